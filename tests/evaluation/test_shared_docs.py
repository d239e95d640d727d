"""`same_arguments` copies the Args and Raises sections, and nothing else, between functions of the same parameters."""

import doctest
import inspect

import pytest

from hf_vitret import query_metrics, retrieval_metrics
from hf_vitret.evaluation import protocols
from hf_vitret.evaluation.shared_docs import same_arguments


def halve(number: float, digits: int = 2) -> float:
    """Halve a number.

    Args:
        number: Any number.
        digits: Number of digits
            after the point.

    Returns:
        Half the number.

    Raises:
        TypeError: It is no number.

    Example:
        >>> halve(3)
        1.5
    """
    return round(number / 2, digits)


def test_the_sections_are_in_order():
    @same_arguments(halve)
    def third(number: float, digits: int = 2) -> float:
        """Divide a number by three.

        The result is rounded.

        Returns:
            A third of the number.

        Example:
            >>> third(1)
            0.33
        """
        return round(number / 3, digits)

    assert third(1) == 0.33
    assert third.__doc__ == inspect.cleandoc(
        """Divide a number by three.

        The result is rounded.

        Args:
            number: Any number.
            digits: Number of digits
                after the point.

        Returns:
            A third of the number.

        Raises:
            TypeError: It is no number.

        Example:
            >>> third(1)
            0.33
        """
    )


def test_a_section_of_its_own_stays():
    @same_arguments(halve)
    def third(number: float, digits: int = 2) -> float:
        """Divide a number by three.

        Raises:
            ValueError: Never.
        """
        return round(number / 3, digits)

    assert "number: Any number." in third.__doc__
    assert third.__doc__.endswith("Raises:\n    ValueError: Never.")
    assert "TypeError" not in third.__doc__


def test_without_docstrings_nothing_is_copied():
    @same_arguments(halve)
    def third(number: float, digits: int = 2) -> float:
        return round(number / 3, digits)

    assert third.__doc__ is None


def other_name(count: float, digits: int = 2) -> float:
    return count


def other_default(number: float, digits: int = 3) -> float:
    return number


def other_type(number: int, digits: int = 2) -> float:
    return number


@pytest.mark.parametrize("function", [other_name, other_default, other_type])
def test_other_parameters_are_refused(function):
    message = (
        rf"{function.__name__} must have the parameters of halve, \(number, digits\), with the same defaults and types"
    )
    with pytest.raises(TypeError, match=message):
        same_arguments(halve)(function)


def test_help_of_the_metrics_of_each_query_is_complete():
    described = inspect.getdoc(query_metrics)
    shared = inspect.getdoc(retrieval_metrics).partition("Args:\n")[2].partition("\nReturns:\n")[0]
    assert len(shared) > 2_000
    assert shared in described
    assert inspect.unwrap(query_metrics) is query_metrics
    assert query_metrics.__module__ == "hf_vitret.evaluation.metrics.retrieval"


def test_doctest_finds_the_examples_of_decorated_functions():
    names = {each.name for each in doctest.DocTestFinder().find(protocols) if each.examples}
    assert "hf_vitret.evaluation.protocols.RetrievalProtocol" in names
    module = inspect.getmodule(query_metrics)
    assert f"{module.__name__}.query_metrics" in {
        each.name for each in doctest.DocTestFinder().find(module) if each.examples
    }
