"""What the arguments find out by themselves."""

from pathlib import Path

import pytest
import torch

from hf_vitret import RetrievalTrainingArguments
from hf_vitret.training.training_args import has_fast_bf16


@pytest.mark.parametrize(
    ("instructions", "expected"), [((True, False), True), ((False, True), True), ((False, False), False)]
)
def test_bf16_on_a_cpu_needs_its_instructions(
    instructions: tuple[bool, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, is_there in zip(("_is_avx512_bf16_supported", "_is_amx_tile_supported"), instructions):
        monkeypatch.setattr(torch.cpu, name, lambda is_there=is_there: is_there)
    assert has_fast_bf16() is expected


def test_bf16_on_a_gpu_is_asked_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for answer in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=answer: answer)
        assert has_fast_bf16() is answer


@pytest.mark.parametrize("ks", [[10, 100], [0, 1], []])
def test_ranks_without_the_first_are_refused(tmp_path: Path, ks: list[int]) -> None:
    with pytest.raises(ValueError, match="eval_ks must be ranks of 1 and more, 1 among them"):
        RetrievalTrainingArguments(output_dir=str(tmp_path), use_cpu=True, eval_ks=ks)


def test_an_unknown_way_with_bad_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"on_bad_image must be one of error, skip; got 'ignore'"):
        RetrievalTrainingArguments(output_dir=str(tmp_path), use_cpu=True, on_bad_image="ignore")
