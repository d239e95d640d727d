"""Checks and automatic values of the training arguments."""

from dataclasses import fields
from pathlib import Path

import pytest

from hf_vitret import RetrievalTrainingArguments, TupleTrainingArguments


@pytest.mark.parametrize("arguments", [RetrievalTrainingArguments, TupleTrainingArguments])
def test_every_field_has_a_help_text(arguments: type) -> None:
    """The texts are the help of the command line, whose parser would take a percent sign for a placeholder."""
    texts = {field.name: str(field.metadata.get("help", "")) for field in fields(arguments)}
    own = {name for owner in arguments.__mro__ if "hf_vitret" in owner.__module__ for name in owner.__annotations__}
    assert all(texts.values())
    assert all(texts[name].endswith(".") and "%" not in texts[name] for name in own & texts.keys())


@pytest.mark.parametrize("ks", [[10, 100], [0, 1], []])
def test_ranks_without_the_first_are_refused(tmp_path: Path, ks: list[int]) -> None:
    with pytest.raises(ValueError, match="eval_ks must be numbers of 1 or more, 1 among them; got"):
        RetrievalTrainingArguments(output_dir=str(tmp_path), use_cpu=True, eval_ks=ks)


def test_an_unknown_treatment_of_bad_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"on_bad_image must be one of error, skip, mend; got 'ignore'"):
        RetrievalTrainingArguments(output_dir=str(tmp_path), use_cpu=True, on_bad_image="ignore")


@pytest.mark.parametrize(
    ("workers", "asked", "expected"),
    [(2, {}, True), (0, {}, False), (2, {"dataloader_persistent_workers": False}, False)],
)
def test_workers_live_from_epoch_to_epoch(tmp_path: Path, workers: int, asked: dict, expected: bool) -> None:
    args = RetrievalTrainingArguments(output_dir=str(tmp_path), use_cpu=True, dataloader_num_workers=workers, **asked)
    assert args.dataloader_persistent_workers is expected
