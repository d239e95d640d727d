"""A folder of embeddings is what embedding its images one by one gives, whoever wrote it and however often it died."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from hf_vitret import EmbeddingFolder, embed_images
from hf_vitret.embedding.sources.opening import open_source
from hf_vitret.embedding.write_embeddings import write_embeddings
from tests.embedding.photographs import all_bytes, noise, one_by_one, read_all, write_photos
from tests.warm_process import run_warm


@pytest.fixture
def photos(tmp_path):
    """Write 12 pictures in three folders, one of them broken and one empty."""
    folder = write_photos(tmp_path / "photos", 12)
    (folder / "0" / "03.png").write_bytes((folder / "0" / "03.png").read_bytes()[:60])
    (folder / "1" / "07.png").write_bytes(b"")
    return folder


GOOD = [number for number in range(12) if number not in (3, 7)]
IDS = [f"{number // 5}/{number:02d}.png" for number in GOOD]


def embed(model, photos, output_dir, shard_size=5, **options):
    options = {"batch_size": 2, "dtype": "float32", "progress": False, **options}
    return write_embeddings(model, open_source(photos, shard_size=shard_size), output_dir, **options)


@pytest.mark.parametrize("file_format", ["parquet", "npy"])
def test_equals_the_loop_over_single_images(tiny_model, photos, tmp_path, file_format):
    manifest = embed(tiny_model, photos, tmp_path / "E", file_format=file_format)
    ids, vectors = read_all(tmp_path / "E")
    assert ids == IDS
    expected = one_by_one(tiny_model, [noise(number) for number in GOOD])
    np.testing.assert_allclose(vectors, expected, atol=1e-5, rtol=0)
    assert (np.linalg.norm(expected[:, None] - expected, axis=2) + np.eye(10)).min() > 1e-3  # a swap would be seen
    in_memory = embed_images(tiny_model, [noise(number) for number in GOOD], progress=False).numpy()
    np.testing.assert_allclose(vectors, in_memory, atol=1e-6, rtol=0)
    assert (manifest.num_images, manifest.num_bad_images, manifest.dim) == (10, 2, 32)
    assert [(shard.num_rows, shard.source) for shard in manifest.shards] == [
        (4, "photos[0:5]"),
        (4, "photos[5:10]"),
        (2, "photos[10:12]"),
    ]


def test_bad_images_are_listed_without_a_trace_of_the_machine(tiny_model, photos, tmp_path):
    (photos / "2" / "99.png").symlink_to(tmp_path / "nowhere.png")
    embed(tiny_model, photos, tmp_path / "E")
    bad = json.loads((tmp_path / "E" / "bad_images.json").read_text())
    assert [one["image_id"] for one in bad] == ["0/03.png", "1/07.png", "2/99.png"]
    assert [one["path"] for one in bad] == ["0/03.png", "1/07.png", "2/99.png"]
    assert bad[1]["error"] == "empty file"
    assert "2/99.png" in bad[2]["error"]
    for content in all_bytes(tmp_path / "E").values():
        assert str(tmp_path).encode() not in content
        assert b" at 0x" not in content


def test_a_shard_of_bad_images_alone(tiny_model, photos, tmp_path):
    for number in range(5):
        (photos / "0" / f"{number:02d}.png").write_bytes(b"gone")
    manifest = embed(tiny_model, photos, tmp_path / "E")
    assert [shard.num_rows for shard in manifest.shards] == [0, 4, 2]
    assert manifest.num_bad_images == 6
    assert read_all(tmp_path / "E")[0] == IDS[4:]


def test_half_precision_and_vectors_before_the_norm(tiny_model, photos, tmp_path):
    manifest = embed(tiny_model, photos, tmp_path / "raw", normalize=False, dtype="bfloat16", stored_dtype="float16")
    assert (manifest.normalized, manifest.dtype, manifest.scale) == (False, "float16", None)
    _, vectors = read_all(tmp_path / "raw")
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).min() > 1e-2
    expected = one_by_one(tiny_model, [noise(number) for number in GOOD])
    cosines = (vectors * expected).sum(axis=1) / np.linalg.norm(vectors, axis=1)
    assert 0.999 < cosines.min() < 1 - 1e-7
    manifest = embed(tiny_model, photos, tmp_path / "int8", stored_dtype="int8")
    assert manifest.scale == 1 / 127
    assert np.abs(read_all(tmp_path / "int8")[1] - expected).max() < 0.5 / 127 + 1e-5


def test_what_is_lost_is_made_again_byte_for_byte(tiny_model, photos, tmp_path, monkeypatch):
    folder = tmp_path / "E"
    embed(tiny_model, photos, folder)
    whole = all_bytes(folder)
    assert sorted(whole) == [
        "bad_images.json",
        "embeddings-00000.parquet",
        "embeddings-00001.parquet",
        "embeddings-00002.parquet",
        "manifest.json",
        "settings.json",
    ]
    kept = (folder / "embeddings-00000.parquet").stat().st_mtime_ns
    for lost in ("manifest.json", "embeddings-00001.parquet"):
        (folder / lost).unlink()
    (folder / ".partial-embeddings-00001.parquet").write_bytes(b"half of it")
    embed(tiny_model, photos, folder, num_threads=1)
    assert all_bytes(folder) == whole
    assert (folder / "embeddings-00000.parquet").stat().st_mtime_ns == kept
    monkeypatch.setattr("hf_vitret.embedding.write_embeddings.open_shard", None)  # nothing is left to write
    assert embed(tiny_model, photos, folder).num_images == 10


KILL = """
import os, signal, sys
from pathlib import Path
import torch
from hf_vitret import ViTRetModel
from hf_vitret.embedding import write_embeddings as writing
from hf_vitret.embedding.sources.opening import open_source
from hf_vitret.files import atomic_writes
torch.set_num_threads(1)
photos, model, folder = sys.argv[1:]
model = ViTRetModel.from_pretrained(model)
moments = [(atomic_writes, "flush"), (writing, "check_finite"), (writing, "sha256_of")]
seen, fatal, has_begun = 0, 0, False
def wrap(module, name):
    original = getattr(module, name)
    def dying(*arguments):
        global seen
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)
    setattr(module, name, dying)
for module, name in moments:
    wrap(module, name)
def embed(output_dir):
    writing.write_embeddings(model, open_source(photos, shard_size=5), output_dir, batch_size=2, dtype="float32",
                             progress=False)
for fatal in (0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9, 0):  # each a fork: it loads nothing again
    output_dir = folder if has_begun else folder + "-whole"
    child = os.fork()
    if not child:
        embed(output_dir)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), (Path(output_dir) / "manifest.json").exists())
    has_begun = True
"""


def test_killed_at_each_of_its_moments(tiny_model, photos, tmp_path):
    """In one folder, again and again, a process dies as the settings, a batch, a shard, the manifest is due."""
    tiny_model.save_pretrained(tmp_path / "model")
    process = run_warm(KILL, photos, tmp_path / "model", tmp_path / "E")
    assert process.returncode == 0, process.stderr
    whole, *killed, last = process.stdout.splitlines()
    assert (whole, last) == ("0 True", "0 True")
    assert set(killed[:9]) == {"-9 False"}
    assert all_bytes(tmp_path / "E") == all_bytes(tmp_path / "E-whole")
    assert not list(tmp_path.rglob("*.lock"))


def test_the_shares_of_several_processes_are_the_whole(tiny_model, photos, tmp_path, monkeypatch):
    whole = embed(tiny_model, photos, tmp_path / "whole")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert embed(tiny_model, photos, tmp_path / "E") is None
    assert [path.name for path in (tmp_path / "E").glob("*.parquet")] == ["embeddings-00001.parquet"]
    assert not (tmp_path / "E" / "manifest.json").exists()
    assert embed(tiny_model, photos, tmp_path / "E", rank=0, world_size=2) == whole  # in the place of the environment
    assert all_bytes(tmp_path / "E") == all_bytes(tmp_path / "whole")
    assert embed(tiny_model, photos, tmp_path / "E", rank=3, world_size=4) == whole


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, None), (None, 3)])
def test_a_rank_that_there_is_not(tiny_model, photos, tmp_path, rank, world_size):
    with pytest.raises(ValueError, match="rank"):
        embed(tiny_model, photos, tmp_path / "E", rank=rank, world_size=world_size)
    assert not (tmp_path / "E").exists()


def other_weights(model):
    with torch.no_grad():
        next(model.parameters()).add_(0.1)


def other_images(folder):
    (folder / "0" / "00.png").unlink()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (other_weights, {}, "the model: other weights"),
        (None, {"stored_dtype": "float16"}, "stored_dtype: 'float32', now 'float16'"),
        (None, {"batch_size": 3}, "batch_size: 2, now 3"),
        (None, {"dtype": "bfloat16"}, "dtype: 'float32', now 'bfloat16'"),
        (None, {"normalize": False}, "normalize: True, now False"),
        (None, {"file_format": "npy"}, "file_format: 'parquet', now 'npy'"),
        (None, {"shard_size": 4}, r"the input: 'photos' in 3 shards, now 'photos' in 3"),
        (other_images, {}, r"the input: 'photos' in 3 shards"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_a_folder_of_something_else_is_refused(tiny_model, photos, tmp_path, change, options, message, finished):
    embed(tiny_model, photos, tmp_path / "E")
    if not finished:
        (tmp_path / "E" / "manifest.json").unlink()
        (tmp_path / "E" / "embeddings-00001.parquet").unlink()
    before = all_bytes(tmp_path / "E")
    if change is not None:
        change(tiny_model if change is other_weights else photos)
    with pytest.raises(ValueError, match=f"was embedded with something else: {message}"):
        embed(tiny_model, photos, tmp_path / "E", **options)
    assert all_bytes(tmp_path / "E") == before


def test_a_folder_of_other_things_is_left_alone(tiny_model, photos, tmp_path):
    with pytest.raises(FileExistsError, match="is no folder of embeddings; name another output_dir"):
        embed(tiny_model, photos, photos)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="is no folder of embeddings"):
        embed(tiny_model, photos, tmp_path / "file")


def test_a_model_that_has_diverged_writes_no_shard(tiny_model, photos, tmp_path):
    with torch.no_grad():
        next(tiny_model.parameters()).fill_(torch.nan)
    with pytest.raises(ValueError, match="the model has diverged"):
        embed(tiny_model, photos, tmp_path / "E")
    assert not list((tmp_path / "E").glob("embeddings-*"))


def test_the_same_folder_on_another_machine_has_the_same_bytes(tiny_model, photos, tmp_path):
    embed(tiny_model, photos, tmp_path / "first")
    (tmp_path / "elsewhere").mkdir()
    shutil.move(photos, tmp_path / "elsewhere" / "photos")
    embed(tiny_model, tmp_path / "elsewhere" / "photos", tmp_path / "second")
    assert all_bytes(tmp_path / "first") == all_bytes(tmp_path / "second")
    assert EmbeddingFolder(tmp_path / "first").locations == {"images": str(photos)}
    assert EmbeddingFolder(tmp_path / "second").locations == {"images": str(tmp_path / "elsewhere" / "photos")}


def test_other_readers_can_read_it(tiny_model, photos, tmp_path):
    from datasets import Dataset

    embed(tiny_model, photos, tmp_path / "E", stored_dtype="float16")
    files = sorted(str(path) for path in (tmp_path / "E").glob("*.parquet"))
    loaded = Dataset.from_parquet(files, cache_dir=str(tmp_path / "cache")).with_format("numpy")
    ids, vectors = read_all(tmp_path / "E")
    assert loaded["image_id"][:].tolist() == ids
    assert np.array_equal(np.stack(loaded["embedding"][:]), vectors.astype(np.float16))
    assert pq.read_schema(files[0]).field("embedding").type.list_size == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "expected a batch_size of at least 1 image; got 0"),
        ({"shard_size": 0}, "shard_size is a number of images, at least 1; got 0"),
        ({"file_format": "csv"}, "expected a file_format of parquet, npy; got 'csv'"),
        ({"stored_dtype": "int8", "normalize": False}, "int8 has one scale"),
        ({"dtype": "float8"}, "expected a dtype of auto, float32, bfloat16, float16; got 'float8'"),
    ],
)
def test_settings_outside_their_domain(tiny_model, photos, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        embed(tiny_model, photos, tmp_path / "E", **options)
    assert not (tmp_path / "E").exists()
