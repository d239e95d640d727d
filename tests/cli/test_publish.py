"""`hf-vitret publish` as a command: what it asks the function for, what it prints, and what is refused."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from hf_vitret.cli.main import main
from hf_vitret.hub import publish_checkpoint as publish
from hf_vitret.hub.publish_checkpoint import Published


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
        "Published  https://hub/ada/birds/tree/v3\n"
        "Commit     c0ffee\n"
        'Load       AutoModel.from_pretrained("ada/birds", revision="v3", trust_remote_code=True)\n'
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


def test_what_is_no_checkpoint_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish", str(tmp_path), "ada/birds"]) == 2
    assert capsys.readouterr().err.startswith(f"error: expected a checkpoint in {tmp_path}; there is no config.json")
