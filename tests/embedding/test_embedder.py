"""One callable embeds batches of any kind of image, in this process and in the workers of other people's frameworks."""

import json
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature

from hf_vitret.embedding.embedder import Embedder
from hf_vitret.embedding.process_share import own_device
from tests import ROOT
from tests.embedding.photographs import encoded, noise, one_by_one, write_photos
from tests.warm_process import run_warm

SEEDS = range(5)


@pytest.fixture
def expected(tiny_model):
    return one_by_one(tiny_model, [noise(seed) for seed in SEEDS])


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def as_path(folder):
    return lambda seed: str(folder / "photos" / "0" / f"{seed:02d}.png")


KINDS = {
    "bytes": lambda folder: lambda seed: encoded(noise(seed)),
    "path": as_path,
    "Path": lambda folder: lambda seed: Path(as_path(folder)(seed)),
    "stored": lambda folder: lambda seed: {"bytes": encoded(noise(seed)), "path": None},
    "stored path": lambda folder: lambda seed: {"bytes": None, "path": as_path(folder)(seed)},
    "PIL": lambda folder: noise,
    "array": lambda folder: lambda seed: np.asarray(noise(seed)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image(checkpoint, expected, tmp_path, kind):
    write_photos(tmp_path / "photos", 5)
    images = [KINDS[kind](tmp_path)(seed) for seed in SEEDS]
    embedder = Embedder(checkpoint, batch_size=2, dtype="float32", num_threads=2)
    batch = {"image": images, "label": [10, 11, 12, 13, 14]}
    result = embedder(batch)
    assert list(result) == ["label", "embedding", "embedding_error"]
    assert result["label"] is batch["label"]
    assert result["embedding"].dtype == np.float32
    np.testing.assert_allclose(result["embedding"], expected, atol=1e-5, rtol=0)
    assert result["embedding_error"].tolist() == [""] * 5


def test_bad_images_are_rows_of_nan_with_a_reason(tiny_model, expected):
    images = [encoded(noise(0)), b"broken", None, "nowhere.png", encoded(noise(4))]
    embeddings, errors = Embedder(tiny_model, batch_size=2, dtype="float32").embed(images)
    np.testing.assert_allclose(embeddings[[0, 4]], expected[[0, 4]], atol=1e-5, rtol=0)
    assert np.isnan(embeddings[1:4]).all()
    assert errors[0] == errors[4] == ""
    assert errors[1] == "expected an image; the file has no known format"
    assert errors[2] == "no image (null)"
    assert "nowhere.png" in errors[3]


def test_an_empty_batch(tiny_model):
    result = Embedder(tiny_model)({"image": []})
    assert result["embedding"].shape == (0, 32)
    assert len(result["embedding_error"]) == 0


def test_what_is_asked_for_wrongly(tiny_model):
    with pytest.raises(ValueError, match=r"expected a column 'photo' of images; got image, label: pass the name"):
        Embedder(tiny_model, image_column="photo")({"image": [], "label": []})
    with pytest.raises(ValueError, match="expected a batch_size of at least 1 image; got 0"):
        Embedder(tiny_model, batch_size=0)
    with pytest.raises(TypeError, match=r"expected images as bytes, paths, dicts .* got int"):
        Embedder(tiny_model).embed([3])


def test_pickled_it_is_small_and_embeds_the_same(checkpoint, tiny_model, expected):
    batch = {"image": [noise(seed) for seed in SEEDS]}
    embedder = Embedder(checkpoint, dtype="float32")
    fresh = pickle.dumps(embedder)
    assert len(fresh) < 1000
    first = embedder(batch)["embedding"]
    assert pickle.dumps(embedder) == fresh  # so that a framework's cache knows it again
    assert np.array_equal(pickle.loads(fresh)(batch)["embedding"], first)
    with_weights = pickle.loads(pickle.dumps(Embedder(tiny_model, dtype="float32")))
    assert np.array_equal(with_weights(batch)["embedding"], first)


def test_a_function_of_datasets_map(checkpoint, expected, tmp_path):
    rows = {"image": [{"bytes": encoded(noise(seed)), "path": None} for seed in SEEDS], "name": [*"abcde"]}
    dataset = Dataset.from_dict(rows, features=Features({"image": ImageFeature(), "name": Value("string")}))
    mapped = dataset.map(
        Embedder(checkpoint, dtype="float32"), batched=True, batch_size=2, with_rank=True, keep_in_memory=True
    )
    assert mapped.column_names == ["image", "name", "embedding", "embedding_error"]
    np.testing.assert_allclose(np.array(mapped["embedding"][:]), expected, atol=1e-5, rtol=0)
    assert mapped["name"][:] == [*"abcde"]


def test_pandas_frames_as_spark_hands_them_on(checkpoint, expected):
    """`mapInPandas` gives an iterator of frames, a binary column as bytes, and wants the like back."""
    frames = [
        pd.DataFrame({"sku": [f"{seed}" for seed in part], "content": [encoded(noise(seed)) for seed in part]})
        for part in ([0, 1, 2], [3, 4])
    ]
    mapper = pickle.loads(pickle.dumps(Embedder(checkpoint, image_column="content", dtype="float32").map_frames))
    results = list(mapper(iter(frames)))
    assert [len(frame) for frame in results] == [3, 2]
    whole = pd.concat(results)
    assert whole.columns.tolist() == ["sku", "embedding", "embedding_error"]
    assert whole["sku"].tolist() == [f"{seed}" for seed in SEEDS]
    assert isinstance(whole["embedding"].iloc[0], list)
    np.testing.assert_allclose(np.array(whole["embedding"].tolist()), expected, atol=1e-5, rtol=0)


def test_the_rank_chooses_the_device(monkeypatch):
    assert own_device(3) == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert [own_device(rank).index for rank in (0, 3, 6)] == [0, 3, 2]
    assert [own_device(fallback=rank).index for rank in (0, 3, 6)] == [0, 3, 2]
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device(fallback=3) == torch.device("cuda:1")
    assert own_device(2) == torch.device("cuda:2")


RAY = """
import json, os, sys, time
from pathlib import Path
import numpy as np
import ray
from hf_vitret.embedding.embedder import Embedder
photos, model, folder = sys.argv[1:]
ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, _temp_dir=folder, _node_ip_address="127.0.0.1",
         object_store_memory=100 * 2**20)
class Told(Embedder):  # says which process it was in, and leaves work for the other one
    def __call__(self, batch):
        Path(folder, f"{os.getpid()}.worker").touch()
        end = time.monotonic() + 60
        while len(list(Path(folder).glob("*.worker"))) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        return {**super().__call__(batch), "process": np.full(len(batch["path"]), os.getpid())}
rows = [{"path": f"{photos}/0/{seed:02d}.png", "seed": seed} for seed in (0, 1, 2, 3, 4, 9)]
mapped = ray.data.from_items(rows, override_num_blocks=3).map_batches(
    Told, fn_constructor_args=(model,), fn_constructor_kwargs={"image_column": "path", "dtype": "float32"},
    batch_size=2, compute=ray.data.ActorPoolStrategy(size=2), num_cpus=1,
)
found = sorted(mapped.take_all(), key=lambda row: row["seed"])
print(json.dumps({
    "embeddings": [row["embedding"].tolist() for row in found], "errors": [row["embedding_error"] for row in found],
    "processes": sorted({int(row["process"]) for row in found} - {os.getpid()}),
}))
ray.shutdown()
"""


def test_a_class_of_ray_data_on_two_workers(checkpoint, expected, tmp_path):
    pytest.importorskip("ray", reason="RAY IS NOT INSTALLED: pip install 'hf_vitret[ray]' to test Embedder in it")
    write_photos(tmp_path / "photos", 5)
    environment = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # short: it holds sockets
        process = run_warm(RAY, tmp_path / "photos", checkpoint, folder, environment=dict(os.environ) | environment)
    assert process.returncode == 0, process.stderr[-4000:]
    said = json.loads(process.stdout.splitlines()[-1])
    np.testing.assert_allclose(np.array(said["embeddings"][:5]), expected, atol=1e-5, rtol=0)
    assert np.isnan(said["embeddings"][5]).all()
    assert said["errors"][:5] == [""] * 5
    assert "No such file" in said["errors"][5]
    assert len(said["processes"]) == 2
