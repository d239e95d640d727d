"""The command that everyone reads: without the token, however it was spelled, and without paths."""

import doctest
import shlex

import pytest

from hf_vitret.workflows.finetune import own_command as module
from hf_vitret.workflows.finetune.own_command import own_command


def test_examples() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    "spelled",
    [["--hub_token", "s3cret"], ["--hub-token", "s3cret"], ["--hub_token=s3cret"], ["--hub_t", "s3cret"]],
    ids=" ".join,
)
def test_no_token(spelled: list[str]) -> None:
    found = own_command(["recipes/train_sop.py", "--seed", "3", *spelled, "--hub_model_id", "ada/x"])
    assert found == "accelerate launch recipes/train_sop.py --seed 3 --hub_model_id ada/x"


def test_the_rest_is_as_it_was() -> None:
    line = ["recipes/train_sop.py", "--data_dir", "a b", "--push_to_hub", "--lr_decay=0", "--seed", "-1"]
    assert shlex.split(own_command(line)) == ["accelerate", "launch", *line]
    assert own_command(["/home/ada/train.py", "--data_dir=/mnt/x/sop"]) == "accelerate launch train.py --data_dir=sop"
