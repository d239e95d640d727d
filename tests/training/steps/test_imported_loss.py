"""Losses named as `module:Class`: how they are found, built and called, and the words for each that cannot be."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hf_vitret import RetrievalLoss, SupConLoss
from hf_vitret.losses import PAIR_LOSSES, ExternalLoss
from hf_vitret.training.steps.imported_loss import build_from_settings, import_loss_class
from hf_vitret.training.steps.objective import build_loss
from hf_vitret.workflows.finetune.run_results import run_settings
from tests.training import runs

MODULE = "losses_of_my_own"
CODE = '''
import torch
from torch import nn
from hf_vitret import ContrastiveLoss, RetrievalLoss, SupConLoss


class Distances(nn.Module):
    """A loss that knows nothing of this package, with weights and a margin."""

    def __init__(self, margin, num_classes, embedding_dim=3, scale=2.0):
        super().__init__()
        self.margin, self.scale = margin, scale
        self.proxies = nn.Parameter(torch.ones(num_classes, embedding_dim))

    def forward(self, embeddings, labels):
        return self.scale * (embeddings - self.proxies[labels]).square().mean() + self.margin


class Plain(nn.Module):
    def forward(self, embeddings, labels):
        return embeddings.square().sum()


class Warm(SupConLoss):
    def __init__(self, temperature=0.4):
        super().__init__(temperature)


class Objective(RetrievalLoss):
    pass


class Demanding(nn.Module):
    def __init__(self, temperature, teacher, *, margin=0.1, weights):
        super().__init__()


class NoModule:
    pass


def a_function(embeddings, labels):
    return embeddings.sum()


an_instance = Plain()
'''


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put `CODE` where it can be imported; give a function that writes other modules there, all gone at the end."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def write(name: str, code: str) -> None:
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)

    write(MODULE, CODE)
    return write


def built(tmp_path: Path, name: str, **changes: Any) -> RetrievalLoss:
    args = runs.arguments(tmp_path / "run", loss=f"{MODULE}:{name}", **changes)
    return build_loss(args, num_images=100, num_classes=9, embedding_dim=5, global_batch=8)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return nn.functional.normalize(torch.randn(8, 5), dim=1), torch.arange(8) // 2


def test_the_constructor_gets_what_it_takes_by_name(tmp_path: Path) -> None:
    loss = built(tmp_path, "Distances", margin=0.25).pair_loss.external.loss
    assert (loss.margin, loss.scale, tuple(loss.proxies.shape)) == (0.25, 2.0, (9, 5))
    assert built(tmp_path, "Warm").pair_loss.temperature == 0.4
    assert built(tmp_path, "Warm", temperature=0.2).pair_loss.temperature == 0.2


def test_a_loss_of_another_kind_is_called_as_external_loss_does_and_koleo_is_added(tmp_path: Path) -> None:
    objective = built(tmp_path, "Distances", koleo_weight=0.3)
    embeddings, labels = batch()
    terms = objective(embeddings, labels)
    alone = objective.pair_loss.external.loss
    assert terms["pair"] == ExternalLoss(alone)(embeddings, labels)["loss"] == alone(embeddings, labels)
    assert terms["loss"] == terms["pair"] + 0.3 * terms["koleo"]
    assert objective.memory is None
    # The references are the rows of two processes: the loss is that of all of them.
    of_all = objective(embeddings[:4], labels[:4], embeddings, labels, self_index=torch.arange(4))
    assert of_all["pair"] == terms["pair"]


def test_a_loss_of_pairs_is_composed_as_a_built_in_one_is(tmp_path: Path) -> None:
    objective = built(tmp_path, "Warm", memory_size=50)
    expected = RetrievalLoss(memory_size=50, embedding_dim=5, pair_loss=SupConLoss(0.4))
    for _ in range(2):
        inputs = batch()
        assert objective(*inputs) == expected(*inputs)
    assert built(tmp_path, "Warm").memory.memory_size == 100, "SupConLoss has a memory by default"
    assert built(tmp_path, "Warm", memory_size=0).memory is None


def test_a_module_inside_a_package(tmp_path: Path, modules: Callable[[str, str], None]) -> None:
    modules("package_of_my_own.inner.losses", CODE)
    name = "package_of_my_own.inner.losses:Plain"
    assert import_loss_class(name).__name__ == "Plain"
    assert runs.arguments(tmp_path, loss=name).loss == name


def test_the_current_folder_is_looked_in_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("only_in_this_folder", MODULE):
        (folder / f"{name}.py").write_text("from torch import nn\nclass Near(nn.Module):\n    pass\n")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in ("", str(Path.cwd()))])
    monkeypatch.chdir(folder)
    before = list(sys.path)
    assert import_loss_class("only_in_this_folder:Near").__name__ == "Near"
    assert import_loss_class(f"{MODULE}:Plain").__module__ == MODULE
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("nowhere_at_all:Loss", "nowhere_at_all"),
        ("nowhere_at_all.losses:Loss", "nowhere_at_all"),
        (f"{MODULE}.losses:Loss", rf"{MODULE}\.losses"),
    ],
)
def test_no_such_module(name: str, missing: str) -> None:
    message = rf"expected a module \S+ to import the loss {name} from; got no module named {missing}\. Start the run in"
    with pytest.raises(ImportError, match=message):
        import_loss_class(name)


def test_a_module_with_a_failing_import(modules: Callable[[str, str], None]) -> None:
    modules("needs_others", "import nowhere_at_all")
    message = r"the module needs_others of the loss needs_others:L; one of its own imports failed: No module named"
    with pytest.raises(ImportError, match=f"{message} 'nowhere_at_all'. Install what it imports"):
        import_loss_class("needs_others:L")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Distance",
            f"expected a class Distance in the module {MODULE}, .*; got none of that name. Name one of .* in it: "
            "ContrastiveLoss, Demanding, Distances, Objective, Plain, RetrievalLoss, SupConLoss, Warm",
        ),
        ("NoModule", r"a class derived from torch\.nn\.Module; got the class NoModule\. Name the class"),
        ("a_function", r"a class derived from torch\.nn\.Module; got an object of type function\. Name the class"),
        (
            "an_instance",
            r"a class derived from torch\.nn\.Module; got an object of type Plain\. Name the class, not an",
        ),
        ("Demanding", r"among margin, temperature, .*; got no value for temperature, teacher, weights\. Set it if"),
        ("Objective", r"returns one number; got Objective, whose forward takes memory_embeddings: .* Pass an instance"),
    ],
)
def test_a_class_that_cannot_be_used(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        built(tmp_path, name)


def test_no_memory_without_self_index(tmp_path: Path) -> None:
    message = (
        r"memory_size 0 with Plain, whose forward takes no self_index to .*; got a memory of 50 embeddings\. Leave"
    )
    with pytest.raises(ValueError, match=message):
        built(tmp_path, "Plain", memory_size=50)


def test_an_abstract_class_is_refused() -> None:
    class Unfinished(nn.Module, ABC):
        @abstractmethod
        def _loss(self) -> torch.Tensor: ...

    with pytest.raises(ValueError, match=r"all its methods; got Unfinished with the abstract _loss\. Write"):
        build_from_settings(Unfinished, {})


def test_parameters_that_only_a_position_fills() -> None:
    class Positional(nn.Module):
        def __init__(self, margin: float, /, *args: Any, **kwargs: Any) -> None:
            super().__init__()

    with pytest.raises(ValueError, match="got no value for margin"):
        build_from_settings(Positional, {"margin": 0.5})


@pytest.mark.parametrize("name", ["MyLoss", "module:", ":MyLoss", "module.:MyLoss", "module:My.Loss", "a b:MyLoss"])
def test_a_name_of_neither_form_is_refused_before_anything_is_imported(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{', '.join(PAIR_LOSSES)}, or a class .* as module:Class .*; got {name!r}"):
        runs.arguments(tmp_path, loss=name)


def test_a_run_trains_the_weights_of_the_loss_and_resumes_with_them(tmp_path: Path) -> None:
    settings = {"loss": f"{MODULE}:Distances", "max_steps": 4, "save_steps": 2, "learning_rate": 1e-2}
    settings |= {"eval_strategy": "no", "load_best_model_at_end": False}
    whole = runs.train(tmp_path / "whole", **settings)
    proxies = whole.loss.pair_loss.external.loss.proxies
    assert not torch.equal(proxies, torch.ones(6, 16))
    assert {"pair", "koleo"} <= set(whole.state.log_history[0])
    resumed = runs.new_trainer(tmp_path / "resumed", **settings)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert torch.equal(resumed.loss.pair_loss.external.loss.proxies, proxies)
    for name, weight in resumed.model.state_dict().items():
        assert torch.equal(weight, whole.model.state_dict()[name]), name

    # The checkpoint does not name the code, so that nothing can import it from there.
    files = [path for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if MODULE.encode() in path.read_bytes()]


def test_the_results_of_a_run_name_the_loss_as_it_was_given(tmp_path: Path) -> None:
    settings = run_settings(runs.arguments(tmp_path, loss=f"{MODULE}:Plain"), num_images=24, global_batch=8)
    assert (settings["loss"], settings["memory_size"]) == (f"{MODULE}:Plain", 0)
