"""`AutoConfig` and `AutoModel` know the model whatever is imported first, and nothing is imported early."""

import sys

import pytest

from hf_vitret.inference import auto_registration as _auto_registration
from tests.warm_process import run_warm

# Each line is what a user's script might import, in its order; each runs in a process of its own.
ORDERS = [
    "import hf_vitret",
    "import hf_vitret; from transformers import AutoModel",
    "from transformers import AutoModel; import hf_vitret",
    "from transformers import AutoConfig; import hf_vitret",
    "import hf_vitret; from transformers import AutoConfig",
    "from transformers import PreTrainedModel; import hf_vitret",
    "import hf_vitret; from transformers import PreTrainedModel",
    "from transformers import AutoConfig; import hf_vitret; from transformers import AutoModel",
    "from hf_vitret.models.modeling_vitret import ViTRetModel",
    "from hf_vitret.models.configuration_vitret import ViTRetConfig",
    "from transformers import AutoModel; from hf_vitret.models.modeling_vitret import ViTRetModel",
    "from hf_vitret import ViTRetModel",
    "from hf_vitret import ViTRetConfig",
    "import hf_vitret.data; import hf_vitret.models",
    "import hf_vitret, importlib; from transformers import AutoModel; importlib.reload(hf_vitret)",
]

# The parent imports what is slow and is no part of the question; a child is forked for each order.
PARENT = """
import gc, os, sys, traceback
import torch, torchvision, transformers
import accelerate, jinja2, tokenizers, huggingface_hub.hf_api
import transformers.loss.loss_utils, transformers.models, transformers.tokenization_utils_base
gc.freeze()

untouched = ("transformers.models.auto.configuration", "transformers.models.auto.modeling",
             "transformers.modeling_utils", "hf_vitret")
assert not [name for name in sys.modules if name.startswith(untouched)]

def check(order):
    exec(order)
    from transformers import AutoConfig, AutoModel
    config = AutoConfig.for_model("vitret", backbone_config={
        "model_type": "vit", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
        "intermediate_size": 8, "image_size": 16, "patch_size": 8})
    model = AutoModel.from_config(config)
    import hf_vitret
    assert type(config) is hf_vitret.ViTRetConfig, type(config)
    assert type(model) is hf_vitret.ViTRetModel, type(model)
    assert (config._auto_class, model._auto_class) == ("AutoConfig", "AutoModel")
    assert model(torch.zeros(1, 3, 16, 16)).embeddings.shape == (1, 8)
    # The hook leaves no trace on the modules that it waited for.
    import inspect
    from importlib.machinery import SourceFileLoader
    for name in hf_vitret.inference.auto_registration._AFTER:
        module = sys.modules[name]
        assert type(module.__loader__) is type(module.__spec__.loader) is SourceFileLoader, name
        assert inspect.getsource(module)

failed = []
for order in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            check(order)
        except BaseException:
            print(f"--- {order}", flush=True)
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        failed.append(order)
print(len(failed), "failed")
sys.exit(bool(failed))
"""

# What is loaded after each step, seen from outside. (That the package loads no torch: test_public_api.)
STAGES = """
import sys
loaded = lambda *names: [name for name in names if name in sys.modules]
ours = ("hf_vitret.models.configuration_vitret", "hf_vitret.models.modeling_vitret")

import hf_vitret
assert loaded("transformers", *ours) == [], loaded("transformers", *ours)
from transformers import AutoConfig
assert loaded(*ours) == [ours[0]], loaded(*ours)
from transformers import AutoModel
assert loaded(*ours) == [*ours], loaded(*ours)
print("as it should be")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")
def test_every_import_order_registers_config_and_model():
    process = run_warm(PARENT, *ORDERS)
    assert process.returncode == 0, process.stdout + process.stderr
    assert process.stdout.strip() == "0 failed"


def test_each_half_waits_for_its_own_auto_module():
    process = run_warm(STAGES)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip() == "as it should be"


def test_hook_leaves_other_modules_to_others():
    hook = _auto_registration._ThenRegister()
    assert hook.find_spec("json", None) is None
    assert hook.find_spec("transformers.models.vit", None) is None


def test_hook_gives_the_modules_own_spec(tmp_path):
    name = "hf_vitret.models.modeling_vitret"
    assert _auto_registration._ThenRegister().find_spec(name, [str(tmp_path)]) is None
    (tmp_path / "modeling_vitret.py").write_text("")
    spec = _auto_registration._ThenRegister().find_spec(name, [str(tmp_path)])
    assert spec is not None
    assert spec.origin == str(tmp_path / "modeling_vitret.py")
