"""Make `AutoConfig` and `AutoModel` know the model, without loading either before somebody asks for it.

`AutoModel.register` needs the model class, and with it all of `transformers.modeling_utils`: that alone takes
longer than `import transformers; import torch` together. So the registration waits, by an import hook, until
transformers' own auto modules are loaded; where they are loaded already, it happens at once.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_CONFIGURATION = "hf_vitret.models.configuration_vitret"
_MODELING = "hf_vitret.models.modeling_vitret"


def _register_config() -> None:
    from transformers import AutoConfig

    from ..models.configuration_vitret import ViTRetConfig

    AutoConfig.register(ViTRetConfig.model_type, ViTRetConfig)
    ViTRetConfig.register_for_auto_class()  # type: ignore[no-untyped-call]


def _register_model() -> None:
    from transformers import AutoModel

    from ..models.configuration_vitret import ViTRetConfig
    from ..models.modeling_vitret import ViTRetModel

    AutoModel.register(ViTRetConfig, ViTRetModel)
    ViTRetModel.register_for_auto_class("AutoModel")  # type: ignore[no-untyped-call]


# What happens once a module has been loaded. Two steps, because our modules import transformers' auto modules
# themselves: whichever comes first brings the other, and the registration waits for ours to be whole.
_AFTER: dict[str, Callable[[], object]] = {
    "transformers.models.auto.configuration_auto": partial(importlib.import_module, _CONFIGURATION),
    "transformers.models.auto.modeling_auto": partial(importlib.import_module, _MODELING),
    _CONFIGURATION: _register_config,
    _MODELING: _register_model,
}


class _ThenCall(Loader):
    """Load a module as its own loader does, then call a function."""

    def __init__(self, loader: Loader, function: Callable[[], object]) -> None:
        self.loader = loader
        self.function = function

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # What the module keeps is its own loader: inspect and pickle look there for the source.
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.function()


class _ThenRegister(MetaPathFinder):
    """Attach the next step to the modules that registration waits for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _AFTER:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenCall(spec.loader, _AFTER[fullname])
        return spec


def install() -> None:
    """Register at once what transformers has loaded already, and the rest as soon as it is loaded."""
    sys.meta_path.insert(0, _ThenRegister())
    for name in [name for name in _AFTER if name in sys.modules]:
        _AFTER[name]()
