"""The command line of a recipe: defaults, overrides, help, and one message for what is wrong."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from hf_vitret import RetrievalTrainingArguments, ViTRetModel
from hf_vitret.workflows.finetune.arguments import ModelArguments, bad_input_as_message, parse_arguments
from tests.training.runs import SIDE
from tests.workflows.finetune import flow


@dataclass
class Options:
    """What a recipe would add."""

    shade: str = field(default="dark", metadata={"help": "Shade of the drawings."})


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch):
    """Give the function that parses a command line as a recipe does."""

    def run(*line: str, **defaults):
        monkeypatch.setattr(sys, "argv", ["recipe.py", *line])
        settings = {"output_dir": "outputs/here", **defaults}
        return parse_arguments(
            "First line.\n\nPaper:    one\nCommand:  two",
            Options,
            ModelArguments,
            RetrievalTrainingArguments,
            **settings,
        )

    return run


def test_the_recipe_sets_a_default_and_the_user_overrides_it(parse) -> None:
    options, model, args = parse("--image_size", "96", "--bf16", "false", image_size=48, koleo_weight=0.0, bf16=True)
    assert (options.shade, model.image_size, args.koleo_weight, args.bf16) == ("dark", 96, 0.0, False)
    options, model, args = parse("--shade", "light", "--koleo_weight", "0.3", image_size=48, koleo_weight=0.0)
    assert (options.shade, model.image_size, args.koleo_weight) == ("light", 48, 0.3)
    assert args.output_dir == "outputs/here"


def test_help_keeps_the_lines_of_the_docstring_and_shows_defaults(parse, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse("--help", image_size=48)
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "\nFirst line.\n\nPaper:    one\nCommand:  two\n" in shown
    flat = " ".join(shown.split())
    assert "Side in pixels of the image that the model sees. (default: 48)" in flat
    assert "Shade of the drawings. (default: dark)" in flat


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--colour", "red"], "--colour"),
        (["--memory_size", "-1"], r"memory_size must be 0 \(no memory\), a share .* got -1"),
        (["--augmentation", "cutmix"], "augmentation must be one of random_crop, random_resized_crop; got 'cutmix'"),
        (["--eval_steps", "7", "--save_steps", "10"], "load_best_model_at_end"),
    ],
)
def test_a_bad_line_ends_with_one_message(parse, line: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=rf"^error: .*{message}"):
        parse(*line)


@pytest.mark.parametrize("error", [ValueError, FileNotFoundError, OSError, ModuleNotFoundError])
def test_bad_input_is_a_message_and_status_1(error: type[Exception]) -> None:
    with pytest.raises(SystemExit) as stop, bad_input_as_message():
        raise error("there is no such thing")
    assert stop.value.code == "error: there is no such thing"  # text: Python prints it and exits with 1


@pytest.mark.parametrize("error", [RuntimeError, AssertionError, KeyError])
def test_a_defect_keeps_its_traceback(error: type[Exception]) -> None:
    with pytest.raises(error), bad_input_as_message():
        raise error("our own fault")


def test_every_field_reaches_the_model(backbone: Path) -> None:
    fields = {
        "pooling": "gem",
        "embedding_dim": 6,
        "gem_p": 2.0,
        "gem_learnable": True,
        "image_size": 16,
        "resize_size": 24,
        "resize_mode": "square",
    }
    model = ModelArguments(backbone=str(backbone), attn_implementation="eager", **fields).build()
    assert {name: getattr(model.config, name) for name in fields} == fields
    assert model.backbone.config._attn_implementation == "eager"


def test_goes_on_from_a_retrieval_checkpoint_as_it_is(backbone: Path, tmp_path: Path) -> None:
    """Not as the backbone of another retrieval model, with its projection lost."""
    first = ModelArguments(backbone=str(backbone), embedding_dim=6, pooling="mean", image_size=SIDE).build()
    first.save_pretrained(tmp_path)
    second = ModelArguments(backbone=str(tmp_path)).build()
    pixels = torch.randn(3, 3, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(second.eval()(pixels).embeddings, first(pixels).embeddings)
    assert second.config.embedding_dim == 6
    assert isinstance(second, ViTRetModel)
    assert not isinstance(second.backbone, ViTRetModel)
    with pytest.raises(ValueError, match="is a ViTRet checkpoint with embedding_dim 6; got --embedding_dim 7"):
        ModelArguments(backbone=str(tmp_path), embedding_dim=7).build()


@pytest.mark.parametrize(
    ("auto_map", "message"),
    [
        ("eve/evil--code.Config", r"^refused, and nothing was run: config\.json of .* names something outside"),
        ("code.Config", r"needs code of its own .* which is not run here: choose a backbone that is native"),
    ],
)
def test_no_code_of_a_backbone_is_run(auto_map: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": auto_map}}))
    (tmp_path / "code.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n")
    with pytest.raises(ValueError, match=message):
        ModelArguments(backbone=str(tmp_path)).build()
    assert not (tmp_path / "ran").exists()


def test_only_a_hub_id_is_named_as_base_model(backbone: Path) -> None:
    assert flow.model_arguments(backbone).base_model is None
    assert ModelArguments().base_model == "facebook/deit-small-distilled-patch16-224"


def test_attention_is_eager_on_a_cpu_unless_asked_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_accelerator, expected in ((False, "eager"), (True, None)):
        monkeypatch.setattr("torch.accelerator.is_available", lambda has_accelerator=has_accelerator: has_accelerator)
        assert ModelArguments().attn_implementation == expected
        assert ModelArguments(attn_implementation="sdpa").attn_implementation == "sdpa"
