"""A licence that the Hub would refuse is refused before the training."""

import pytest

from hf_vitret.workflows.finetune.data_facts import DataFacts

FACTS = {"name": "shapes", "license": "", "command": "do this"}


@pytest.mark.parametrize("found", [(None, None, None), ("mit", None, None), ("other", "mine", "https://example.org")])
def test_licences(found: tuple[str | None, ...]) -> None:
    license, name, link = found
    facts = DataFacts(**FACTS, model_license=license, model_license_name=name, model_license_link=link)
    assert facts.model_license == license


@pytest.mark.parametrize(
    "found", [("other", None, None), ("other", "mine", None), ("mit", "mine", "x"), (None, None, "x")]
)
def test_half_a_licence(found: tuple[str | None, ...]) -> None:
    license, name, link = found
    with pytest.raises(ValueError, match="model_license_name and model_license_link both where"):
        DataFacts(**FACTS, model_license=license, model_license_name=name, model_license_link=link)
