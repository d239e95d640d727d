"""Only local paths are shortened; a token in any text is found, and the error does not repeat it."""

import doctest
import json
from pathlib import Path

import pytest

from hf_vitret.hub import private_strings as module
from hf_vitret.hub.private_strings import check_no_tokens, without_paths

TOKEN = "hf_" + "aB3" * 12


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--data_dir /mnt/disk-1/sop.tgz --seed 3", "--data_dir sop.tgz --seed 3"),
        ('{"a": "/scratch/ada/run_1/final/", "b": 1}', '{"a": "final", "b": 1}'),
        ("--data_dir=/home/ada/x", "--data_dir=x"),
        ("`/tmp/x/y`, '/root/z'", "`y`, 'z'"),
        (r'{"a": "C:\\Users\\ada\\sop"}', '{"a": "sop"}'),
        ("1/2 and/or a /month", "1/2 and/or a /month"),
        ("(/home/ada/x) https://huggingface.co/home/x", "(x) https://huggingface.co/home/x"),
        ("outputs/home/x ../data/y ./tmp/z ~/data/a", "outputs/home/x ../data/y ./tmp/z ~/data/a"),
        ("#!/usr/bin/env python", "#!/usr/bin/env python"),
        ("POST /api/models/x", "POST /api/models/x"),
    ],
)
def test_paths(text: str, expected: str) -> None:
    assert without_paths(text) == expected


def test_a_folder_of_this_machine_wherever_it_is(tmp_path: Path) -> None:
    text = json.dumps({"command": f"train.py --output_dir {tmp_path / 'out'}"})
    assert json.loads(without_paths(text)) == {"command": "train.py --output_dir out"}


def test_tokens() -> None:
    check_no_tokens({"card": "hf_vitret hf_hub_download hf_" + "a" * 20, "results": "{}"}, "hf_other")
    for text, token in ((f"--hub_token {TOKEN}", None), ("key: short", "short")):
        message = r"^expected no token of the Hub in results\.json; it contains one, and nothing was uploaded\. "
        with pytest.raises(ValueError, match=message) as raised:
            check_no_tokens({"card": "", "results.json": text}, token)
        assert TOKEN not in str(raised.value)


def test_examples() -> None:
    assert doctest.testmod(module) == (0, 2)
