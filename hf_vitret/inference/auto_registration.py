"""Register the model with `AutoConfig` and `AutoModel`, without importing them earlier than the user does.

`AutoModel.register` needs the model class, and with it all of `transformers.modeling_utils`, whose import takes longer
than `import transformers; import torch` together. An import hook therefore delays the registration until the auto
modules of transformers are imported. If they are imported already, the registration happens at once.
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


# Function to call after each module is imported. There are two steps because the modules of this package import the
# auto modules of transformers themselves: importing one imports the other, and the registration must wait until the
# module of this package is complete.
_AFTER: dict[str, Callable[[], object]] = {
    "transformers.models.auto.configuration_auto": partial(importlib.import_module, _CONFIGURATION),
    "transformers.models.auto.modeling_auto": partial(importlib.import_module, _MODELING),
    _CONFIGURATION: _register_config,
    _MODELING: _register_model,
}


class _ThenCall(Loader):
    """Load a module with its own loader, then call a function."""

    def __init__(self, loader: Loader, function: Callable[[], object]) -> None:
        self.loader = loader
        self.function = function

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module keeps its own loader, because `inspect` and `pickle` use it to find the source.
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        self.function()


class _ThenRegister(MetaPathFinder):
    """Call the function of `_AFTER` after the import of each module in it."""

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
    """Register the classes whose modules are imported already, and each other class when its module is imported."""
    sys.meta_path.insert(0, _ThenRegister())
    for name in [name for name in _AFTER if name in sys.modules]:
        _AFTER[name]()
