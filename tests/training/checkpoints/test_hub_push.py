"""Real runs that push to the Hub stand-in while they train: the files that arrive, and a run resumed from them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.hub_stand_in.faults import Refuse
from tests.hub_stand_in.stand_in import HubStandIn
from tests.hub_stand_in.stand_in import hub as hub

# Train with pushes, one of which fails; resume from the Hub in another folder; then push with another strategy.
RUN = """
import json, sys
from pathlib import Path
from hf_vitret import RetrievalTrainer
from hf_vitret.training.checkpoints.hub_checkpoint import fetch_checkpoint
from tests.training import runs

def trainer(name, **changes):
    settings = {"save_steps": 2, "eval_steps": 2, "load_best_model_at_end": False, **changes}
    dataset = runs.shapes_dataset()
    return RetrievalTrainer(
        runs.tiny_vit(), runs.arguments(Path.cwd() / name, **settings), dataset["train"], dataset["test"]
    )

token = sys.argv[1]
pushed = {"push_to_hub": True, "hub_model_id": "ada/run", "hub_strategy": "checkpoint", "hub_always_push": True}
try:
    trainer("refused", **pushed)
except ValueError as error:
    print(error)
first = trainer("first", max_steps=6, hub_token=token, **pushed)
first.train()
print(json.dumps(first.args.to_dict()), first.args)
first.save_model("first/final")
resumed = trainer("second", max_steps=6)
checkpoint = fetch_checkpoint("ada/run", "second", token=token)
print("fetched", checkpoint)
resumed.train(resume_from_checkpoint=str(checkpoint))
resumed.save_model("second/final")
Path("first/README.md").write_text("# Mine")
first.push_to_hub()
every = {**pushed, "hub_model_id": "ada/every", "hub_strategy": "every_save", "hub_private_repo": False}
trainer("third", max_steps=2, hub_token=token, **every).train()
"""
MODEL = {
    "config.json",
    "configuration_vitret.py",
    "model.safetensors",
    "modeling_vitret.py",
    "preprocessor_config.json",
}
STATE = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "loss_state.safetensors", "trainer_state.json"}


def test_runs_that_push(hub: HubStandIn, tmp_path: Path) -> None:
    hub.faults.add("create_commit", Refuse(400, message="no space left"), nth=3)
    process = hub.run(RUN, hub.token, home=tmp_path)
    folder = tmp_path / "hub"  # the current folder of programs that the stand-in runs
    assert "push_to_hub needs a token that may write" in process.stdout

    repository = hub.store.repositories["model", "ada/run"]
    assert repository.private
    titles = [commit.title for commit in reversed(repository.history(repository.resolve("main")))]
    assert titles[1:] == ["Training in progress, step 2", "Training in progress, step 4", "End of training"]
    checkpoint = {f"last-checkpoint/{name}" for name in MODEL | STATE | {"contents.json"}}
    assert set(repository.resolve("main").files) == MODEL | checkpoint | {".gitattributes", "README.md"}
    assert repository.resolve("main").files["README.md"].content == b"# Mine"
    state = json.loads(repository.resolve("main").files["last-checkpoint/trainer_state.json"].content)
    assert (state["global_step"], Path(state["best_model_checkpoint"]).name) == (4, state["best_model_checkpoint"])

    # The third push failed: the run continued, and logged the failure when it happened and at its end.
    assert "a push to ada/run failed, training goes on" in process.stderr
    assert "ada/run on the Hub is NOT the model that this run has ended with" in process.stderr
    assert "no space left" in process.stderr

    # The run that was resumed from the checkpoint of the second push ends like the first.
    assert "fetched second/checkpoint-4" in process.stdout
    ends = [load_file(folder / name / "final" / "model.safetensors") for name in ("first", "second")]
    assert all(torch.equal(weight, ends[1][name]) for name, weight in ends[0].items())
    main = repository.resolve("main").files["model.safetensors"].lfs_oid
    assert main is not None
    last = load_file(hub.store.object_path(main))  # the model that `push_to_hub` pushed
    assert all(torch.equal(weight, last[name]) for name, weight in ends[0].items())

    every = hub.store.repositories["model", "ada/every"]
    assert not every.private
    assert set(every.resolve("main").files) == MODEL | {".gitattributes"}

    # No file holds the token, no pickle of the settings is written, and no partial file is left.
    assert hub.token not in process.stdout + process.stderr
    files = [path for name in ("first", "second", "third") for path in (folder / name).rglob("*") if path.is_file()]
    assert len(files) > 30
    assert not [path for path in files if hub.token.encode() in path.read_bytes()]
    assert not [path for path in files if path.name == "training_args.bin" or ".partial" in str(path)]
    stored = [path.read_bytes() for path in hub.store.objects.iterdir()]
    stored += [file.content for commit in repository.commits.values() for file in commit.files.values()]
    assert not [content for content in stored if hub.token.encode() in content or str(folder).encode() in content]
    assert "" not in hub.num_requests()


@pytest.mark.parametrize("files", [[], ["checkpoint-2/config.json"]])
def test_without_a_checkpoint_on_the_hub(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_vitret.training.checkpoints import hub_checkpoint

    monkeypatch.setattr(hub_checkpoint.HfApi, "list_repo_files", lambda *_, **__: files)
    with pytest.raises(
        FileNotFoundError, match=r"expected last-checkpoint or checkpoint-N in ada/x; there is neither\. Train"
    ):
        hub_checkpoint.fetch_checkpoint("ada/x", tmp_path)
    assert list(tmp_path.iterdir()) == []
