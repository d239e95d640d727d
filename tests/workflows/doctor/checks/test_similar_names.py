"""Pairs of names that differ by one typing error are found as a comparison of all pairs finds them."""

import random
import string

import pytest

from hf_vitret.workflows.doctor.checks.similar_names import MAX_ALIKE, similar_names


def is_near(one: str, other: str) -> bool:
    """Try every error: a letter left out, replaced, added, or swapped with the next one."""
    letters = string.ascii_lowercase + " _"
    places = range(len(one) + 1)
    changed = {one[:i] + one[i + 1 :] for i in places}
    changed |= {one[:i] + letter + one[i:] for i in places for letter in letters}
    changed |= {one[:i] + letter + one[i + 1 :] for i in places for letter in letters}
    changed |= {one[:i] + one[i + 1 : i + 2] + one[i : i + 1] + one[i + 2 :] for i in places}
    return one != other and other in changed


def test_one_long_word_against_all_pairs():
    generator = random.Random(0)
    names = {"".join(generator.choices("abc", k=generator.choice([8, 9]))) for _ in range(120)}
    # Few names of three letters have many neighbours; those with more than the limit are not compared.
    names = sorted(names)[:60]
    expected = [(i, j) for j in range(len(names)) for i in range(j) if is_near(names[i], names[j])]
    assert len(expected) > 3
    assert similar_names(names) == sorted(expected)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("toyota corolla", "toyota corola"),
        ("golden retriever", "golden retreiver"),
        ("running shoe", "running shoes"),
        ("running shoe", "running_shoe"),
        ("sail boat", "sailboat"),
        ("mercedes 300 coupe", "mercedes 300 coupé"),
        ("саксофон тенор", "саксафон тенор"),
        ("brown sofas", "brown sofaz"),
    ],
)
def test_typing_errors(one, other):
    assert similar_names(["a longer name", one, "another name", other]) == [(1, 3)]
    assert similar_names([other, one]) == [(0, 1)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("toyota 2011 corolla", "toyota 2012 corolla"),  # digits
        ("toyota 201 corolla", "toyota 2011 corolla"),
        ("shirt, size s", "shirt, size m"),  # a word of one letter
        ("audi tt coupe", "audi tts coupe"),
        ("boots", "books"),  # short
        ("toyota corolla", "toyota carola"),  # two errors
        ("corolla toyota", "toyota corolla"),
        ("brown sofa", "brown soda"),
    ],
)
def test_names_that_differ_for_a_reason(one, other):
    assert similar_names([one, other]) == []


def test_a_letter_that_distinguishes_many_names_is_no_error():
    names = [f"station {letter}lpha" for letter in string.ascii_lowercase]
    assert len(names) > MAX_ALIKE
    assert similar_names(names) == []
    assert similar_names(names[:2]) == [(0, 1)]


def test_many_names_with_numbers_are_not_compared(monkeypatch):
    names = [f"product of our catalogue {number:05d}" for number in range(20_000)]
    compared = []
    monkeypatch.setattr(
        "hf_vitret.workflows.doctor.checks.similar_names._is_one_error", lambda *pair: compared.append(pair) or False
    )
    assert similar_names(names) == []
    assert compared == []


@pytest.mark.parametrize("names", [[], ["a"], ["a long name"]])
def test_too_few(names):
    assert similar_names(names) == []
