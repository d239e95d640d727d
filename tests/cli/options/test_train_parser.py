"""The options of `hf-vitret train`: presets, a file of settings, what wins, what repeats a run, what means nothing."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hf_vitret import RetrievalTrainingArguments
from hf_vitret.cli.options.config_file import config_text
from hf_vitret.cli.options.data_options import DataOptions
from hf_vitret.cli.options.train_parser import (
    TrainOptions,
    TrainParser,
    arguments_of,
    own_parser,
    parse_train,
    plain_settings,
)
from hf_vitret.cli.output import add_output_options
from hf_vitret.data.locating import NAMED, PAIRS
from hf_vitret.training.tuples.arguments import TupleTrainingArguments
from hf_vitret.workflows.finetune.arguments import ModelArguments
from hf_vitret.workflows.finetune.landmarks import LandmarkOptions
from hf_vitret.workflows.finetune.presets import PRESETS, SCENES


def parse(*line: str, **recipe: Any) -> TrainOptions:
    return parse_train(
        line, prog="hf-vitret train", description="First.\n\n  second\n", add_more=add_output_options, **recipe
    )


def values(*line: str, **recipe: Any) -> dict[str, Any]:
    return vars(parse(*line, **recipe).values)


def file_of(folder: Path, text: str) -> str:
    path = folder / "run.yaml"
    path.write_text(text)
    return str(path)


PAPER = {
    "per_device_train_batch_size": 64,
    "max_steps": 35_000,
    "learning_rate": 3e-5,
    "weight_decay": 5e-4,
    "margin": 0.5,
    "koleo_weight": 0.7,
    "koleo_neighbors": "all",
    "memory_size": None,  # as large as the training set: tests/training/test_trainer.py
    "memory_momentum": 0.0,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "max_grad_norm": 0.0,
    "eval_ks": [1, 10, 100, 1000],
    "model": "facebook/deit-small-distilled-patch16-224",
    "pooling": "cls",
    "embedding_dim": None,
    "image_size": 224,
}
# What the paper does otherwise than on Stanford Online Products.
BENCHMARKS: dict[str, dict[str, Any]] = {
    "sop": {},
    "inshop": {"memory_size": 0.2, "memory_momentum": 0.999, "eval_ks": [1, 10, 20, 30]},
    "cub": {"max_steps": 2000, "eval_ks": [1, 2, 4, 8, 10]},
    "cars": {"max_steps": 2000, "eval_ks": [1, 2, 4, 8, 10]},  # as CUB-200-2011
    "inat2018": {"eval_ks": [1, 4, 16, 32]},
    "gldv2": {},
    "met": {},
    "inat2021": {"eval_ks": [1, 4, 16, 32]},
    "products10k": {},
}
PAIRS_PAPER = {
    "learning_rate": 5e-7,
    "weight_decay": 1e-6,
    "l2_decay": True,
    "lr_decay": 0.01,
    "num_train_epochs": 100,
    "max_steps": -1,
    "pairs_per_epoch": 2_000,
    "pool_size": 22_000,
    "num_negatives": 5,
    "per_device_train_batch_size": 35,
    "margin": 0.85,
    "koleo_weight": 4.0,
    "flip": 0.0,
    "model": "facebook/deit-small-distilled-patch16-224",
    "pooling": "cls",
    "image_size": 224,
    "resize_mode": "square",
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_have_the_papers_settings(name: str) -> None:
    expected, found = PAPER | BENCHMARKS[name], values(name, "--data_dir", "there")
    assert {setting: found[setting] for setting in expected} == expected


def test_pairs_have_the_papers_settings() -> None:
    for line in ((), ("--demo", "false")):
        found = values(PAIRS, "--data_dir", "there", *line)
        assert {setting: found[setting] for setting in PAIRS_PAPER} == PAIRS_PAPER
    for line in (["--demo"], ["--demo", "true"], ["--demo=true"]):
        found = values(PAIRS, *line)
        assert (found["image_size"], found["num_train_epochs"], found["rerank"]) == (98, 4, "reciprocal")
    assert values(PAIRS, "--demo", "--image_size", "56")["image_size"] == 56


def test_every_data_set_has_a_preset_of_options_that_exist() -> None:
    assert PRESETS.keys() == {*NAMED, PAIRS, "catalogue"}
    for name, preset in [*PRESETS.items(), (PAIRS, SCENES)]:
        known = values(name)
        assert preset.settings.keys() <= known.keys()


OTHERS = {
    "per_device_train_batch_size": 32,
    "max_steps": 7000,
    "learning_rate": 1e-4,
    "weight_decay": 0.1,
    "margin": 0.25,
    "koleo_weight": 0.3,
    "koleo_neighbors": "negatives",
    "memory_size": 512.0,
    "memory_momentum": 0.9,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 10,
    "max_grad_norm": 1.0,
    "eval_ks": [1, 5],
    "model": "facebook/dinov2-small",
    "pooling": "gem",
    "embedding_dim": 128,
    "image_size": 112,
    "gem_p": 4.0,
    "gem_learnable": True,
    "resize_size": 120,
    "resize_mode": "square",
    "memory_weight": 0.5,
    "images_per_class": 2,
    "augmentation": "random_resized_crop",
    "flip": 0.25,
    "bf16": False,
    "eval_steps": 100,
    "save_steps": 100,
    "output_dir": "elsewhere",
    "seed": 3,
}


@pytest.mark.parametrize("data", ["photos", "sop", "icons"])
def test_every_setting_is_an_option_and_reaches_its_dataclass(data: str) -> None:
    assert PAPER.keys() <= OTHERS.keys()
    parsed = parse(data, *arguments_of(OTHERS))
    model, args = parsed.build(ModelArguments), parsed.build(RetrievalTrainingArguments)
    for name, value in OTHERS.items():
        assert getattr(model if hasattr(model, name) else args, name) == value, name


def test_short_forms() -> None:
    found = values("photos", "-m", "x", "-o", "y", "-b", "8", "--num-workers", "2", "-n", "3", "-q", "-v")
    expected = {"model": "x", "output_dir": "y", "per_device_train_batch_size": 8, "dataloader_num_workers": 2}
    assert {name: found[name] for name in expected} == expected
    assert (found["num_processes"], found["quiet"], found["verbose"]) == (3, True, True)
    assert values("photos", "--batch_size", "8")["per_device_train_batch_size"] == 8


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("photos", []),
        ("photos", ["--bf16", "false", "--eval_ks", "1", "5", "--split_seed", "4"]),
        ("photos", ["--bf16", "true", "--lr_scheduler_kwargs", '{"num_cycles": 2}', "--lr_scheduler_type", "cosine"]),
        ("photos", ["--num_train_epochs", "3"]),
        ("photos", ["--loss", "mine:Loss", "--temperature", "0.1", "--weight_decay", "0", "--train_split", "- all"]),
        ("user/photos", ["--streaming", "--label_column", "a b", "--model_license", "mit", "--device", "cpu"]),
        ("icons", ["--max_steps", "7", "--koleo_weight", "0.7"]),
        ("inshop", ["--memory_size", "0", "--data_dir", "In-shop Clothes Retrieval Benchmark"]),
        (PAIRS, ["--data_dir", "there", "--num_negatives", "3", "--per_device_train_batch_size", "10"]),
        (PAIRS, ["--demo", "--max_steps", "2"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value)[:30],
)
def test_the_printed_command_and_the_file_repeat_the_run(data: str, line: list[str], tmp_path: Path) -> None:
    parsed = parse(data, *line)
    kinds = [ModelArguments, DataOptions, *([LandmarkOptions] if parsed.has_pairs else [])]
    kinds.append(TupleTrainingArguments if parsed.has_pairs else RetrievalTrainingArguments)
    command = parsed.command()
    assert command[:3] == ["hf-vitret", "train", data]
    text = config_text({"data": data, **plain_settings(parsed.kept)}, "a run")
    for again in (parse(*command[2:]), parse("--config", file_of(tmp_path, text))):
        assert vars(again.values) == {**vars(parsed.values), "config": again.values.config}
        for kind in kinds:
            first, second = (each.build(kind) for each in (parsed, again))
            assert _comparable(first) == _comparable(second)
    assert parse("--config", file_of(tmp_path, text)).command() == command


def _comparable(arguments: Any) -> dict[str, Any]:
    return {name: str(value) for name, value in vars(arguments).items() if name not in ("logging_dir", "_n_gpu")}


def test_the_file_holds_what_the_preset_says_and_the_command_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = parse("icons", "--seed", "3", "--eval_steps", "20", "--hub_token", "s3cret", "--push_to_hub", "true")
    assert parsed.command() == [
        "hf-vitret",
        "train",
        "icons",
        "--push_to_hub",
        "true",
        "--seed",
        "3",
        "--eval_steps",
        "20",
    ] or (set(parsed.command()[3:]) == {"--push_to_hub", "true", "--seed", "3", "--eval_steps", "20"})
    kept = plain_settings(parsed.kept)
    assert kept.items() >= {**PRESETS["icons"].settings, "seed": 3, "eval_steps": 20, "push_to_hub": True}.items()
    assert "s3cret" not in str(kept)
    assert isinstance(kept["eval_steps"], int)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert parsed.command()[-2:] == ["--num_processes", "4"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([], 2000),
        (["--num_train_epochs", "5"], -1),
        (["--num_train_epochs", "3"], -1),  # transformers' own default, and yet asked for
        (["--num_train_epochs=5", "--max_steps", "-1"], -1),
        (["--max_steps", "7"], 7),
    ],
)
def test_epochs_mean_epochs(line: list[str], expected: int) -> None:
    assert values("photos", *line)["max_steps"] == expected


def test_steps_and_epochs_are_refused_together(tmp_path: Path) -> None:
    message = "expected --max_steps or --num_train_epochs; got both"
    with pytest.raises(ValueError, match=message):
        parse("photos", "--max_steps", "2000", "--num_train_epochs", "3")
    with pytest.raises(ValueError, match=message):
        parse("--config", file_of(tmp_path, "data: photos\nmax_steps: 9\nnum_train_epochs: 2"))
    steps, epochs = (file_of(tmp_path, "max_steps: 9\nseed: 5"), ["--num_train_epochs", "2"])
    found = values("photos", "--config", steps, *epochs)
    assert (found["max_steps"], found["num_train_epochs"], found["seed"]) == (-1, 2, 5)
    found = values("photos", "--config", file_of(tmp_path, "num_train_epochs: 2"), "--max_steps", "9")
    assert found["max_steps"] == 9


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    text = "data: photos\nimage_size: 112\nbatch_size: 16\nbf16: false\ndataloader_pin_memory: true\neval_ks: [1, 5]\n"
    path = file_of(tmp_path, text)
    found = values("--config", path, "--image_size", "96")
    assert (found["data"], found["image_size"], found["per_device_train_batch_size"]) == ("photos", 96, 16)
    assert (found["bf16"], found["dataloader_pin_memory"], found["eval_ks"]) == (False, True, [1, 5])
    found = values("other", "-c", path, "--eval_ks", "1", "2", "--bf16")
    assert (found["data"], found["bf16"], found["eval_ks"]) == ("other", True, [1, 2])
    assert parse("-c", file_of(tmp_path, "data: sop\ndata_dir: there\nseed: 1\n")).preset is PRESETS["sop"]
    assert values("-c", file_of(tmp_path, f"data: {PAIRS}\ndemo: true\n"))["image_size"] == 98


def test_processes_of_a_file_are_not_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file_of(tmp_path, "data: photos\nnum_processes: 2\naccelerate_config: c.yaml\n")
    assert values("-c", path)["num_processes"] == 2
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert (values("-c", path)["num_processes"], values("-c", path)["accelerate_config"]) == (None, None)
    assert values("-c", path, "-n", "3")["num_processes"] == 3  # to be refused


def test_a_setting_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no setting koleo_wait: did you mean koleo_weight\?"):
        parse("photos", "--config", file_of(tmp_path, "koleo_wait: 3"))
    with pytest.raises(ValueError, match="expected --num_negatives with sfm120k only; got it with photos"):
        parse("photos", "--config", file_of(tmp_path, "num_negatives: 3"))
    with pytest.raises(ValueError, match=r"expected the settings of a run on sop; .*run\.yaml has data: cub"):
        parse("--config", file_of(tmp_path, "data: cub"), data="sop", settings={})


@pytest.mark.parametrize(
    ("line", "option"),
    [
        (["photos", "--memory_size", "0", "--memory_weight", "2"], "memory_weight with --memory_size 0"),
        (["photos", "--memory_size", "0", "--memory_momentum", "0.5"], "memory_momentum with --memory_size 0"),
        (["photos", "--koleo_weight", "0", "--koleo_neighbors", "negatives"], "koleo_neighbors with --koleo_weight 0"),
        (["icons", "--koleo_neighbors", "negatives"], "koleo_neighbors with --koleo_weight 0"),
        (["photos", "--hub_model_id", "ada/x"], "hub_model_id without --push_to_hub true"),
        (["photos", "--hub_token", "s3cret"], "hub_token without --push_to_hub true"),
        (["photos", "--head_only", "--flip", "0"], "flip with --head_only"),
        (["photos", "--trusted_images", "--on_bad_image", "skip"], "on_bad_image with --trusted_images"),
        (["photos", "--test_fraction", "0", "--split_seed", "1"], "split_seed with --test_fraction 0"),
        (["photos", "--test_split", "test", "--split_seed", "1"], "split_seed with --test_fraction 0, --test_split"),
        (["photos", "--loss", "supcon", "--margin", "0.3"], "margin with --loss supcon, which has no margin"),
        (["photos", "--temperature", "0.3"], "temperature with --loss contrastive, which has no temperature"),
        (["photos", "--loss_learning_rate", "0.3"], "loss_learning_rate with --loss contrastive"),
        ([PAIRS, "--demo", "--label_column", "x"], f"label_column with {PAIRS}, which is trained on pairs"),
        ([PAIRS, "--data_dir", "x", "--whitening_dim", "5"], "whitening_dim without --revisited_dir"),
        ([PAIRS, "--demo", "--streaming"], f"streaming with {PAIRS}"),
        ([PAIRS, "--demo", "--images_per_class", "2"], f"images_per_class with {PAIRS}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_option_without_an_effect_is_refused_by_name(line: list[str], option: str) -> None:
    with pytest.raises(ValueError, match=f"^expected no --{option}.*; got it: leave it out$") as refused:
        parse(*line)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "line",
    [
        ["photos", "--loss", "mine:Loss", "--margin", "0.3", "--temperature", "2", "--loss_learning_rate", "1"],
        ["photos", "--loss", "normalized_softmax", "--temperature", "2", "--loss_learning_rate", "1"],
        ["inshop", "--memory_size", "0"],
        ["photos", "--push_to_hub", "true", "--hub_model_id", "ada/x"],
        ["photos", "--test_fraction", "0.3", "--split_seed", "1"],
        [PAIRS, "--demo", "--whitening_dim", "5"],
    ],
    ids=" ".join,
)
def test_an_option_with_an_effect_is_taken(line: list[str]) -> None:
    assert parse(*line).data == line[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["photos", "--colour", "red"], "there is no option --colour"),
        (["photos", "--koleo_wait", "3"], "there is no option --koleo_wait; did you mean --koleo_weight?"),
        (["photos", "--max_steps", "many"], "argument --max_steps: invalid int value: 'many'"),
        (["photos", "more"], "expected no further argument; got more"),
        ([], "expected what to train on: "),
    ],
)
def test_what_is_not_understood(line: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(*line)
    assert stop.value.code == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_help_keeps_the_description_and_shows_the_defaults_of_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for data in ("photos", "icons"):
        with pytest.raises(SystemExit) as stop:
            parse(data, "--help")
        assert stop.value.code == 0
        shown[data] = " ".join((text := capsys.readouterr().out).split())
        assert "First.\n\n  second\n" in text
    assert "Side in pixels of the image that the model sees. (default: 224)" in shown["photos"]
    assert "Side in pixels of the image that the model sees. (default: 56)" in shown["icons"]
    assert "--adam_beta1" not in shown["photos"]
    with pytest.raises(SystemExit) as stop:
        parse("photos", "--help_all")
    assert stop.value.code == 0
    assert "--adam_beta1" in capsys.readouterr().out


def test_a_recipe_has_its_own_defaults() -> None:
    found = parse("--seed", "3", data="icons", settings={"image_size": 48, "koleo_weight": 0.7, "num_train_epochs": 2})
    expected = {"image_size": 48, "koleo_weight": 0.7, "flip": 0.0, "max_steps": -1, "num_train_epochs": 2, "seed": 3}
    assert {name: getattr(found.values, name) for name in expected} == expected
    # What is printed and kept is for `hf-vitret train`, which has the preset's defaults.
    again = parse(*found.command()[2:])
    assert vars(again.values) == vars(found.values)
    assert yaml.safe_load(config_text(plain_settings(found.kept), ""))["koleo_weight"] == 0.7


def test_the_parser_for_completion_has_the_settings_of_ones_own_images() -> None:
    parser: TrainParser = own_parser("hf-vitret train", None, add_output_options)
    assert parser.get_default("max_steps") == PRESETS["catalogue"].settings["max_steps"]
    assert {"--koleo_weight", "--json", "-b", "--num_processes"} <= parser._option_string_actions.keys()
