"""The whole job with a Hub: killed and resumed from it, refused by it, and published on it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from hf_vitret.workflows.finetune import publish_run as module
from tests.hub_stand_in.faults import Refuse
from tests.hub_stand_in.stand_in import HubStandIn
from tests.hub_stand_in.stand_in import hub as hub

# Without a token; killed after its first checkpoint was pushed; gone on from the Hub; never stopped; published at once.
RUN = """
import json, os, shutil, sys
from pathlib import Path
from hf_vitret import RetrievalTrainer
from hf_vitret.cli.main import main
from tests.workflows.finetune import flow

class Killed(BaseException):
    pass

def step_or_die(self, *inputs, **settings):
    if self.state.global_step == 4:
        [push.exception() for _, push in self._pushes]
        raise Killed
    return step(self, *inputs, **settings)

token = sys.argv[1]
backbone = flow.save_backbone(Path("backbone"))
pushed = {"push_to_hub": True, "hub_model_id": "ada/run", "hub_strategy": "checkpoint", "hub_always_push": True}
try:
    flow.run(Path("refused"), backbone, **pushed)
except (ValueError, OSError) as error:
    print(error)
step = RetrievalTrainer.training_step
RetrievalTrainer.training_step = step_or_die
pushed["hub_token"] = token
try:
    flow.run(Path("first"), backbone, **pushed)
except Killed:
    shutil.rmtree("first")
RetrievalTrainer.training_step = step
resumed = flow.run(Path("second"), backbone, resume_from_checkpoint="true", **pushed)
os.environ["HF_TOKEN"] = token
main(["publish", str(resumed), "ada/run"])
whole = flow.run(Path("third"), backbone)
print(json.dumps([flow.results_of(folder)["scores"] for folder in (resumed, whole)]))
once = pushed | {"hub_model_id": "ada/once", "hub_strategy": "end", "hub_private_repo": False}
flow.run(Path("fourth"), backbone, max_steps=3, **once)
try:
    flow.run(Path("fifth"), backbone, **once | {"hub_private_repo": None})
except (ValueError, OSError) as error:
    print(error)
"""


def test_runs_with_a_hub(hub: HubStandIn, tmp_path: Path) -> None:
    hub.faults.add("create_commit", Refuse(500, message="out of order"), nth=2)  # the resumed run's checkpoint
    hub.faults.add("create_commit", Refuse(401, message="who are you"), nth=3)  # its release
    process = hub.run(RUN, hub.token, home=tmp_path / "home")
    folder = tmp_path / "hub"  # where the stand-in runs its clients
    assert "push_to_hub needs a token that may write" in process.stdout
    assert "ada/once is there and is public; private was asked for. Set hub_private_repo to False" in (process.stdout)
    assert not (folder / "refused").exists()

    assert "No checkpoint in second: fetching that of ada/run on the Hub" in process.stdout
    assert not (folder / "second" / ".partial-push-checkpoint-6").exists()
    assert {path.name for path in (folder / "second").iterdir()} == {"final", "checkpoint-3", "checkpoint-6"}
    resumed, whole = json.loads(next(line for line in process.stdout.splitlines() if line.startswith("[{")))
    assert resumed == whole

    # Both failures were reported, and neither ended the run; the printed command made up for them.
    assert "a push to ada/run failed, training goes on" in process.stderr
    (line,) = [line for line in process.stderr.splitlines() if line.startswith("NOT PUBLISHED: ")]
    assert line.endswith("the checkpoint is whole in second/final: hf-vitret publish second/final ada/run")
    private, public = (hub.store.repositories["model", f"ada/{name}"] for name in ("run", "once"))
    assert private.private
    assert not public.private
    for repository, name in ((private, "second"), (public, "fourth")):
        titles = [commit.title for commit in reversed(repository.history(repository.resolve("main")))]
        assert titles[1:] == [*(["Training in progress, step 3"] if name == "second" else []), "Release v1"]
        assert repository.resolve("v1").oid == repository.resolve("main").oid
        files = repository.resolve("v1").files
        assert {*files} - {".gitattributes"} == {path.name for path in (folder / name / "final").iterdir()}
        assert files["results.json"].content == (folder / name / "final" / "results.json").read_bytes()
        assert (
            f'"{"ada/run" if name == "second" else "ada/once"}", revision="v1"' in files["README.md"].content.decode()
        )
    assert "Published    " in process.stdout

    # The token is nowhere.
    assert hub.token not in process.stdout + process.stderr
    written = [path for name in ("second", "fourth") for path in (folder / name).rglob("*") if path.is_file()]
    assert len(written) > 30
    assert not [path for path in written if hub.token.encode() in path.read_bytes()]
    assert "" not in hub.num_requests()


def test_whatever_goes_wrong_is_reported_without_the_token(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("bad header: Bearer secret")

    monkeypatch.setattr(module, "publish_checkpoint", fail)
    trainer = SimpleNamespace(args=SimpleNamespace(hub_private_repo=False, hub_token="secret"), hub_model_id="ada/x")
    module.publish_run(Path("a b"), trainer)
    assert capsys.readouterr().err == (
        "NOT PUBLISHED: RuntimeError: bad header: Bearer ***; the checkpoint is whole in a b: "
        "hf-vitret publish 'a b' ada/x --no-private\n"
    )
