"""Everything that the kept files hold, as numbers: what commit d1bad55 read is `expected.json`."""

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import hf_vitret

FOLDER = Path(__file__).parent
INDEXES = ("index-flat-torch", "index-flat-faiss", "index-hnsw-faiss")
# Entries of +-1/4 in 16 dimensions: unit vectors whose inner products float32 holds exactly, on every processor.
QUERIES = np.sign(np.random.default_rng(2).standard_normal((6, 16))).astype(np.float32) / 4


def observe():
    """Read each kept file with the package that is installed; floats as hexadecimal text, to the last bit."""
    return {
        "weights": {name: _digest(value) for name, value in sorted(_model().state_dict().items())},
        "processor": _model().image_processor.to_dict()["size"],
        "embeddings": {name: _folder(FOLDER / name) for name in ("embeddings-parquet", "embeddings-npy")},
        "indexes": {name: _search(FOLDER / name) for name in INDEXES},
        "index of embeddings": _own_neighbors(),
        "prepared": _prepared(),
        "map": _hex(hf_vitret.EmbeddingMap.load(FOLDER / "map.safetensors").new_weight),
        "pca": _hex(hf_vitret.PCA.load(FOLDER / "pca.safetensors").components),
    }


def photos():
    return [Image.open(path) for path in sorted((FOLDER / "photos").rglob("*.png"))]


def _model():
    return hf_vitret.load_model(FOLDER / "checkpoint")


def _folder(path):
    folder = hf_vitret.EmbeddingFolder(path)
    folder.check_files()
    shards = list(folder.shards())
    return {
        "model": folder.manifest.model.name,
        "ids": [one for shard in shards for one in shard.ids],
        "prices": [one for shard in shards for one in shard.table["price"].to_pylist()],
        "vectors": [_hex(shard.embeddings) for shard in shards],
    }


def _search(path):
    index = hf_vitret.ImageIndex.load(path)
    scores, ids = index.search(QUERIES, k=4, where=["color=red"])
    return {"num_images": len(index), "kind": index.manifest.kind, "scores": _hex(scores), "ids": ids.tolist()}


def _own_neighbors():
    """Search an index of embeddings by what is in it: each image finds itself."""
    index = hf_vitret.ImageIndex.load(FOLDER / "index-of-embeddings")
    vectors = np.concatenate(
        [shard.embeddings for shard in hf_vitret.EmbeddingFolder(FOLDER / "embeddings-parquet").shards()]
    )
    return {"model": index.manifest.model.name, "nearest": index.search(vectors, k=1)[1][:, 0].tolist()}


def _prepared():
    dataset = hf_vitret.load_retrieval_dataset("catalogue", data_dir=FOLDER / "prepared")
    return {
        name: [
            [row["image_id"], split.features["label"].int2str(row["label"]), _pixels(row["image"])]
            for row in split.cast_column("image", type(split.features["image"])(decode=False))
        ]
        for name, split in dataset.items()
    }


def _pixels(image):
    return _digest(np.asarray(Image.open(io.BytesIO(image["bytes"])).convert("RGB")))


def _digest(value):
    array = value.numpy() if isinstance(value, torch.Tensor) else value
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _hex(value):
    array = np.ascontiguousarray(value.numpy() if isinstance(value, torch.Tensor) else value)
    return f"{array.dtype} {list(array.shape)} {array.tobytes().hex()}"
