"""bfloat16 is taken where the device has instructions for it."""

import pytest
import torch

from hf_vitret.inference.fast_bf16 import has_fast_bf16


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


@pytest.mark.parametrize(("kind", "expected"), [("cuda", True), ("cpu", False), ("mps", False)])
def test_a_device_is_asked_whatever_else_there_is(kind: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: kind != "cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert has_fast_bf16(torch.device(kind)) is expected
