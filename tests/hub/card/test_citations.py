"""The card cites the method, the backbone and the data set of a checkpoint, and nothing else."""

import doctest
import re

import pytest

from hf_vitret.data.loading import DATASETS
from hf_vitret.hub.card import citations as module
from hf_vitret.hub.card.citations import BACKBONES, DATA, METHOD, citations


def test_examples() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("entry", [METHOD, *BACKBONES.values(), *DATA.values()])
def test_an_entry_is_bibtex_with_its_braces_in_pairs(entry: str) -> None:
    assert re.fullmatch(r"@\w+\{\w+,\n.*\n\}", entry, re.DOTALL)
    assert entry.count("{") == entry.count("}")
    assert all(re.search(rf"^ +{name} += \{{", entry, re.MULTILINE) for name in ("title", "author", "year"))


def test_data_sets_are_known_ones() -> None:
    assert DATA.keys() <= {*DATASETS, "sfm120k"}


@pytest.mark.parametrize(
    ("backbone", "key"),
    [
        ("facebook/deit-small-distilled-patch16-224", "touvron2021training"),
        ("google/vit-base-patch16-224", "dosovitskiy2021image"),
        ("somebody/vitamin", None),
        ("facebook/dino-vits16", None),
        (None, None),
    ],
)
def test_backbones(backbone: str | None, key: str | None) -> None:
    found = citations({"base_model": None, "backbone": backbone, "data": {}})
    assert re.findall(r"@\w+\{(\w+),", found) == ["elnouby2021training", *([key] if key else [])]
