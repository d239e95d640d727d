"""`transformers` itself pushes a model to the stand-in and loads it from there, where hf_vitret is not to be had."""

import json

from .stand_in import HubStandIn

PUSH = """
import json, torch
from hf_vitret import ViTRetConfig, ViTRetModel
backbone = {"model_type": "vit", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 64, "image_size": 32, "patch_size": 8}
torch.manual_seed(0)
model = ViTRetModel(ViTRetConfig(backbone, image_size=32)).eval()
model.push_to_hub("ada/tiny", private=True)
print(json.dumps(model(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)).embeddings.tolist()))
"""
LOAD = """
import json, sys
sys.modules["hf_vitret"] = None  # any import of it fails
import torch
from transformers import AutoModel
model = AutoModel.from_pretrained("ada/tiny", trust_remote_code=True, revision="main").eval()
print(json.dumps(model(torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)).embeddings.tolist()))
"""


def test_a_model_pushed_is_loaded_bit_for_bit(hub: HubStandIn) -> None:
    pushed = hub.run(PUSH, token=hub.token).stdout.splitlines()[-1]
    loaded = hub.run(LOAD, token=hub.token).stdout.splitlines()[-1]
    assert json.loads(loaded) == json.loads(pushed)
    repository = hub.store.repositories["model", "ada/tiny"]
    assert repository.private
    assert {"config.json", "model.safetensors", "modeling_vitret.py"} <= set(repository.resolve("main").files)
    assert [seen.path for seen in hub.requests if not seen.route] == []
