"""`hf-vitret publish` as a command: what it asks the function for, what it prints, and what is refused."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from hf_vitret.cli.main import main
from hf_vitret.hub import publish_checkpoint as publish
from hf_vitret.hub.publish_checkpoint import Published
from tests.training.runs import tiny_vit


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Give what `publish_checkpoint` is called with; it answers as if it had published."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def publish_checkpoint(*inputs: Any, **options: Any) -> Published:
        calls.append((inputs, options))
        return Published(inputs[1], "c0ffee", "v3", f"https://hub/{inputs[1]}/tree/v3")

    monkeypatch.setattr(publish, "publish_checkpoint", publish_checkpoint)
    return calls


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("", {"private": True, "tag": None}),
        ("--no-private --tag 2026-11", {"private": False, "tag": "2026-11"}),
    ],
)
def test_what_is_asked_for_and_said(line: str, options: dict[str, Any], asked, capsys) -> None:
    assert main(["publish", "runs/final", "ada/birds", *shlex.split(line)]) == 0
    assert asked == [(("runs/final", "ada/birds"), options)]
    assert capsys.readouterr().out == (
        "Published    https://hub/ada/birds/tree/v3\n"
        "Commit       c0ffee\n"
        'Load         AutoModel.from_pretrained("ada/birds", revision="v3", trust_remote_code=True)\n'
    )


def test_json_is_all_that_is_printed(asked, capsys) -> None:
    assert main(["publish", "runs/final", "ada/birds", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {
        "repo_id": "ada/birds",
        "commit": "c0ffee",
        "tag": "v3",
        "url": "https://hub/ada/birds/tree/v3",
        "load": 'AutoModel.from_pretrained("ada/birds", revision="v3", trust_remote_code=True)',
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Write the output folder of a run, with a card that has a path of this machine in it."""
    tiny_vit().save_pretrained(tmp_path / "run" / "final")
    (tmp_path / "run" / "final" / "README.md").write_text("# Card of /home/ada/birds\n")
    (tmp_path / "run" / "final" / "training_args.bin").write_bytes(b"0")
    return tmp_path / "run"


def test_a_dry_run_lists_the_files_and_asks_for_no_token(
    run: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(run / "final"), "--dry_run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = sorted(path.name for path in (run / "final").iterdir() if path.name != "training_args.bin")
    assert [line.split()[-1] for line in lines[1:-1]] == names
    assert re.fullmatch(rf"Dry run      {len(names)} files, [\d.]+ kB, of {run}/final", lines[0])
    assert f"{'':13}{'16 B':>9}  README.md" in lines
    assert lines[-1].startswith("Then         the same command with USER/NAME")
    assert asked == []


def test_a_dry_run_as_json_of_the_folder_of_a_run(
    run: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert main(["publish", str(run), "ada/birds", "--dry_run", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["checkpoint"] == str(run / "final")
    assert printed["files"]["README.md"] == len("# Card of birds\n")
    assert printed["files"]["config.json"] == (run / "final" / "config.json").stat().st_size
    assert printed["num_bytes"] == sum(printed["files"].values())
    assert f"{run} is the folder of a run" in caplog.text


def test_a_dry_run_makes_the_checks_of_a_release(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "final" / "results.json").write_text("hf_" + "aB3" * 12)
    assert main(["publish", str(run), "--dry_run"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "error: expected no token of the Hub in results.json; it contains one" in err


def test_without_a_repository_the_message_names_what_there_is(
    run: Path, asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(run)]) == 2
    assert "error: expected the repository on the Hub, USER/NAME, or --dry_run" in capsys.readouterr().err
    assert asked == []


def test_an_interruption_says_what_is_kept(run: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "publish_checkpoint", interrupt)
    assert main(["publish", str(run), "ada/birds"]) == 130
    assert "interrupted: nothing of this release can be seen on the Hub" in capsys.readouterr().err


def test_what_is_no_checkpoint_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options in ([], ["--dry_run"]):
        assert main(["publish", str(tmp_path), "ada/birds", *options]) == 2
        assert capsys.readouterr().err.startswith(f"error: expected a model in {tmp_path}, with config.json")
