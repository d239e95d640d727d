"""What the commands hand on to the loader of a data set."""

import inspect
from argparse import ArgumentParser

import pytest

from hf_vitret.cli.options.loader_options import LOADER_OPTIONS, add_loader_options, given_loader_options
from hf_vitret.data import DATASETS


def read(dataset: str, *line: str) -> dict[str, object]:
    parser = ArgumentParser()
    add_loader_options(parser)
    return given_loader_options(parser.parse_args(line), dataset)


def test_every_option_is_one_of_a_loader() -> None:
    known = {name for loader in DATASETS.values() for name in inspect.signature(loader).parameters}
    assert LOADER_OPTIONS.keys() <= known


def test_the_icons_of_the_demo_can_be_asked_for() -> None:
    assert read("icons", "--min_drawings", "3", "--size", "64", "--seed", "2") == {
        "min_drawings": 3,
        "size": 64,
        "seed": 2,
    }
    assert read("icons") == {}


@pytest.mark.parametrize("name", ["min_drawings", "size"])
def test_other_data_sets_take_none_of_them(name: str) -> None:
    with pytest.raises(ValueError, match=f"^catalogue takes no --{name}; leave it out$"):
        read("catalogue", f"--{name}", "3")
