"""All ways to load a checkpoint from the Hub give the same embeddings, also where hf_vitret is not installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from hf_vitret import ViTRetModel, embed_images
from hf_vitret.hub.export.onnx_graph import export_onnx
from hf_vitret.hub.export.sentence_transformers_files import write_sentence_transformers
from tests.hub_stand_in.stand_in import HubStandIn
from tests.training.runs import draw
from tests.training.tiny_backbones import tiny

# Name of the case -> fields of the model, and whether sentence-transformers has modules for it. The models differ in
# their class token and projection.
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "cls": ({"kind": "dinov2", "pooling": "cls", "embedding_dim": 5}, True),
    "mean": ({"kind": "siglip_vision_model", "pooling": "mean"}, True),
    "max": ({"kind": "siglip_vision_model", "pooling": "max", "embedding_dim": 5}, True),
    "patches": ({"kind": "vit", "pooling": "mean", "embedding_dim": 5}, False),
}
GRAPHS = ("cls", "max")  # only two cases are exported to ONNX, because an export takes seconds
LOAD = """
import json, sys
sys.modules["hf_vitret"] = None  # any import of it fails
from pathlib import Path
import numpy, onnxruntime, torch
from huggingface_hub import HfApi, hf_hub_download
from PIL import Image
from sentence_transformers import SentenceTransformer
from transformers import AutoImageProcessor, AutoModel, pipeline

paths, cases, folders = map(json.loads, sys.argv[1:])
for folder in map(Path, folders):
    HfApi().create_repo(f"ada/{folder.name}")
    HfApi().upload_folder(repo_id=f"ada/{folder.name}", folder_path=folder)
images = [Image.open(path) for path in paths]
found = {}
for repo_id, (needs_code, has_graph) in cases.items():
    model = AutoModel.from_pretrained(repo_id, trust_remote_code=True)
    processor = AutoImageProcessor.from_pretrained(repo_id)
    with torch.no_grad():
        auto = model(**processor(images, return_tensors="pt")).embeddings.tolist()
    extractor = pipeline("image-feature-extraction", model=repo_id, trust_remote_code=True)
    encoder = SentenceTransformer(repo_id, trust_remote_code=needs_code, device="cpu")
    found[repo_id] = {
        "auto": auto,
        "pipeline": [row[0] for row in extractor(images)],
        "sentence-transformers": encoder.encode(images).tolist(),
    }
    if has_graph:
        session = onnxruntime.InferenceSession(hf_hub_download(repo_id, "onnx/model.onnx"))
        pixels = processor(images, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"]
        found[repo_id]["onnx"] = session.run(["embeddings"], {"pixel_values": pixels})[0].tolist()
    assert numpy.shape(extractor(images[0])) == (1, len(auto[0]))
    modules = [type(module).__name__ for module in encoder]
    assert modules[-1] == ("Transformer" if needs_code else "Normalize"), modules
    assert encoder.get_embedding_dimension() == len(auto[0])
    assert (encoder.similarity_fn_name, encoder.modalities) == ("cosine", ["image"])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Draw three images that are not square."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        draw(number, 0).resize((70, 44)).save(path)
    return paths


def small(kind: str, **fields: Any) -> ViTRetModel:
    return tiny(kind, {"num_hidden_layers": 1}, **fields)


def test_all_ways_give_the_embeddings_of_the_model(hub: HubStandIn, photos: list[Path], tmp_path: Path) -> None:
    expected, cases = {}, {}
    for name, (fields, has_modules) in CASES.items():
        model, folder = small(**fields), tmp_path / name
        model.save_pretrained(folder)
        needs_code = write_sentence_transformers(folder)
        assert needs_code != has_modules
        if name in GRAPHS:
            export_onnx(model, folder / "onnx")
        images = []
        for path in photos:
            with Image.open(path) as image:
                images.append(image.copy())
        # The first way is `ViTRetModel`; the process that runs LOAD tries the others.
        loaded = ViTRetModel.from_pretrained(folder)
        expected[f"ada/{name}"] = embed_images(loaded, images, progress=False)
        cases[f"ada/{name}"] = (needs_code, name in GRAPHS)
    inputs = [[str(path) for path in photos], cases, [str(tmp_path / name) for name in CASES]]
    run = hub.run(LOAD, *map(json.dumps, inputs), token=hub.token)
    assert "MISSING" not in run.stderr, run.stderr
    for repo_id, by_way in json.loads(run.stdout.splitlines()[-1]).items():
        assert len(by_way) == 3 + cases[repo_id][1]
        for way, embeddings in by_way.items():
            difference = (torch.tensor(embeddings) - expected[repo_id]).abs().max()
            assert difference < 1e-5, (repo_id, way)
        assert (expected[repo_id][0] - expected[repo_id][1]).abs().max() > 1e-2  # images differ in their embeddings


def weights_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def test_the_form_with_code_stores_no_weights_again(tmp_path: Path) -> None:
    small("vit", pooling="cls").save_pretrained(tmp_path)
    alone = weights_in(tmp_path)
    assert not write_sentence_transformers(tmp_path)
    assert weights_in(tmp_path) > 1.5 * alone
    assert write_sentence_transformers(tmp_path, copy_weights=False)
    assert weights_in(tmp_path) == alone
    assert [module["path"] for module in json.loads((tmp_path / "modules.json").read_text())] == [""]
    assert not list(tmp_path.rglob(".partial-*"))


@pytest.mark.parametrize(
    ("kind", "fields", "reason"),
    [
        ("vit", {"pooling": "gem"}, "no module for GeM"),
        ("vit", {"pooling": "max"}, "'max' would include the class token and registers of vit"),
        ("clip_vision_model", {"pooling": "cls"}, "the norm that clip_vision_model applies after pooling"),
        ("vit", {"pooling": "cls", "backbone": {"image_size": 64}}, "position embeddings from 64 to 32 px"),
    ],
)
def test_what_its_own_modules_cannot_do_is_refused(
    kind: str, fields: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    tiny(kind, **fields).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=reason):
        write_sentence_transformers(tmp_path, copy_weights=True)
    assert not (tmp_path / "modules.json").exists()
    assert write_sentence_transformers(tmp_path)


def test_no_checkpoint_no_files(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"config\.json"):
        write_sentence_transformers(tmp_path)
    assert not list(tmp_path.iterdir())
