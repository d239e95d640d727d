"""Loading by name: known names, errors, imports of heavy libraries, doctests of the package."""

import doctest
import subprocess
import sys

import pytest

import hf_vitret.data.demo.icons
import hf_vitret.data.splits
from hf_vitret.data import DATASETS, check_schema, load_retrieval_dataset


def test_an_unknown_name_lists_the_known_ones():
    known = ", ".join(sorted(DATASETS))
    with pytest.raises(ValueError, match=rf"unknown data set 'dogs': the known ones are {known}\. For images"):
        load_retrieval_dataset("dogs")


def test_what_a_loader_returns_is_checked(monkeypatch, tmp_path, write_images):
    from hf_vitret.data.catalogue.catalogue import load_catalogue

    folder = write_images(tmp_path / "shop", [f"{name}/{i}.png" for name in "abc" for i in range(2)])
    good = load_catalogue(folder)
    monkeypatch.setitem(DATASETS, "good", lambda data_dir: good)
    monkeypatch.setitem(DATASETS, "bad", lambda data_dir: type(good)(train=good["train"], test=good["train"]))
    assert check_schema(load_retrieval_dataset("good"), "good") is good
    with pytest.raises(ValueError, match="data set 'bad', split 'test': an image_id must be unique"):
        load_retrieval_dataset("bad")


def test_importing_the_package_imports_no_heavy_library():
    code = (
        "import sys, hf_vitret.data;"
        "heavy = {'datasets', 'pyarrow', 'pandas', 'torch', 'qtawesome'};"
        "print(*heavy.intersection(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("module", [hf_vitret.data.splits, hf_vitret.data.demo.icons])
def test_doctests(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
