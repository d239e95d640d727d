"""`--model` and its settings: what is read, what reaches the loader, and where the model of an index is found."""

import inspect
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pytest

from hf_vitret.cli.command_table import COMMANDS, command_parser
from hf_vitret.cli.options.model_options import SETTINGS, add_model_options, load_query_model, model_settings
from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.inference import load_model as loading
from hf_vitret.inference.load_model import load_model
from hf_vitret.models.configuration_vitret import POOLINGS
from tests.training.tiny_backbones import tiny


def read(*line: str) -> Namespace:
    parser = ArgumentParser()
    add_model_options(parser)
    return parser.parse_args(line)


def test_only_what_is_given_is_handed_on() -> None:
    assert model_settings(read("-m", "user/model")) == {}
    line = "--revision v1 --pooling mean --image_size 64 --device cpu"
    assert model_settings(read(*line.split())) == {
        "revision": "v1",
        "pooling": "mean",
        "image_size": 64,
        "device": "cpu",
    }
    assert set(SETTINGS) <= inspect.signature(load_model).parameters.keys()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pooling_of_the_model_can_be_chosen(pooling: str) -> None:
    assert read("--pooling", pooling).pooling == pooling


@pytest.mark.parametrize("name", ["embed", "search", "serve", "evaluate", "doctor"])
def test_the_options_are_the_same_in_every_command_with_a_model(name: str) -> None:
    assert name in COMMANDS
    there = {action.dest: action for action in command_parser(name)._actions}
    parser = ArgumentParser()
    add_model_options(parser)
    for one in parser._actions[1:]:
        if name != "doctor" or one.dest in ("model", "revision", "device"):
            other = there[one.dest]
            assert (other.option_strings, other.type, other.choices) == (one.option_strings, one.type, one.choices)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Give the calls of the loader, which loads nothing."""
    calls: list[Any] = []

    def load(source: str, **settings: Any) -> str:
        calls.append((source, settings))
        return "a model"

    monkeypatch.setattr(loading, "load_model", load)
    return calls


def identity(revision: str | None) -> ModelIdentity:
    return ModelIdentity("user/model", revision, "1" * 64, "2" * 64, "3" * 64)


def test_the_named_model_comes_first(loaded: list[Any], tmp_path: Path) -> None:
    options = read("-m", "other", "--device", "cpu")
    assert load_query_model(options, identity("a" * 40), str(tmp_path)) == ("a model", "other")
    assert loaded == [("other", {"device": "cpu"})]


def test_then_that_of_the_hub_at_the_revision_of_the_index(loaded: list[Any], tmp_path: Path) -> None:
    assert load_query_model(read(), identity("a" * 40), str(tmp_path)) == ("a model", "user/model")
    assert load_query_model(read("--revision", "main"), identity("a" * 40), None) == ("a model", "user/model")
    assert loaded == [("user/model", {"revision": "a" * 40}), ("user/model", {"revision": "main"})]


def test_then_its_folder(loaded: list[Any], tmp_path: Path) -> None:
    assert load_query_model(read("--image_size", "64"), identity(None), str(tmp_path)) == ("a model", str(tmp_path))
    assert load_query_model(read(), None, str(tmp_path)) == ("a model", str(tmp_path))
    assert loaded == [(str(tmp_path), {"image_size": 64}), (str(tmp_path), {})]


@pytest.mark.parametrize(
    ("known", "location", "message"),
    [
        (None, None, "^expected --model: the model of the index has no "),
        (identity(None), None, "^expected --model: the model of the index, user/model, has no "),
        (
            identity(None),
            "/nowhere/at all",
            "^expected --model: the model of the index, user/model, .* /nowhere/at",
        ),
    ],
)
def test_else_it_is_asked_for(
    loaded: list[Any], known: ModelIdentity | None, location: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load_query_model(read(), known, location)
    assert loaded == []


def test_a_real_model_is_loaded_from_where_it_lay(tmp_path: Path) -> None:
    made = tiny(embedding_dim=8)
    made.save_pretrained(tmp_path / "model")
    model, source = load_query_model(read("--device", "cpu"), identity(None), str(tmp_path / "model"))
    assert source == str(tmp_path / "model")
    assert ModelIdentity.of(model).weights_sha256 == ModelIdentity.of(made).weights_sha256
