"""What is written is what is read, whatever it is stored as; a folder that is not what it was is refused."""

import json

import numpy as np
import pyarrow as pa
import pytest

from hf_vitret.embedding import shards as reading
from hf_vitret.embedding.manifest import EmbeddingManifest
from hf_vitret.embedding.prefetching import BadImage
from hf_vitret.embedding.shard_files import open_shard, read_notes
from hf_vitret.embedding.shards import EmbeddingFolder
from hf_vitret.embedding.sources.source import SourceRow
from hf_vitret.embedding.stored_values import check_stored_dtype, to_stored
from hf_vitret.embedding.write_embeddings import write_embeddings
from tests.embedding.photographs import read_all, write_photos


@pytest.fixture
def folder(tiny_model, tmp_path):
    write_photos(tmp_path / "photos", 7)
    write_embeddings(tiny_model, tmp_path / "photos", tmp_path / "E", progress=False)
    return tmp_path / "E"


def unit_vectors(rows, dim):
    values = np.random.default_rng(0).normal(size=(rows, dim)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0), ("float16", 2**-11), ("int8", 0.5 / 127 + 1e-7)])
@pytest.mark.parametrize("file_format", ["parquet", "npy"])
def test_rows_come_back_in_small_parts(tmp_path, monkeypatch, dtype, error, file_format):
    """The largest error is half of what the type can tell apart at 1."""
    monkeypatch.setattr("hf_vitret.embedding.shard_files.ROWS_AT_ONCE", 4)
    monkeypatch.setattr(reading, "ROWS_AT_ONCE", 4)
    vectors, path = unit_vectors(11, 6), tmp_path / f"embeddings-00000.{file_format}"
    rows = [SourceRow(f"{row}", f"{row}.png", None, {"price": row / 2}) for row in range(11)]
    columns = pa.schema([("price", pa.float64())])
    with open_shard(path, columns, 6, dtype) as shard:
        for first in (0, 3, 9):
            last = {0: 3, 3: 9, 9: 11}[first]
            shard.write(rows[first:last], vectors[first:last], [BadImage("x", "x.png", f"bad {first}")])
        assert not path.exists()
    assert read_notes(path) == (11, [BadImage("x", "x.png", f"bad {first}") for first in (0, 3, 9)])
    facts = reading.ShardFacts(path.name, 11, "", "")
    manifest = EmbeddingManifest(
        None, 6, dtype, 1 / 127 if dtype == "int8" else None, True, 11, 3, (facts,), ("price",)
    )
    found = EmbeddingFolder.__new__(EmbeddingFolder)
    found.folder, found.manifest = tmp_path, manifest
    parts = list(found.shards())
    assert max(len(part.embeddings) for part in parts) <= 6  # a batch is not torn up for it
    assert np.abs(np.concatenate([part.embeddings for part in parts]) - vectors).max() <= error
    assert {part.embeddings.dtype for part in parts} == {np.dtype(np.float32)}
    assert [one for part in parts for one in part.ids] == [row.image_id for row in rows]
    assert pa.concat_tables([part.table for part in parts]).to_pylist() == [
        {"image_id": row.image_id, "path": row.path, **row.columns} for row in rows
    ]


def test_int8_is_the_nearest_of_255_steps():
    values = np.array([[-1, -0.5, 0, 0.499 / 127, 0.501 / 127, 1]], np.float32)
    assert to_stored(values, "int8").tolist() == [[-127, -64, 0, 0, 1, 127]]  # half a step goes to the even one
    with pytest.raises(ValueError, match="int8 has one scale, for components from -1 to 1; got vectors"):
        check_stored_dtype("int8", normalize=False)
    with pytest.raises(ValueError, match="expected a stored dtype of float32, float16, int8; got 'int4'"):
        check_stored_dtype("int4", normalize=True)


def test_a_manifest_is_what_was_saved(folder, tmp_path):
    manifest = EmbeddingManifest.load(folder)
    (tmp_path / "copy").mkdir()
    manifest.save(tmp_path / "copy")
    assert (tmp_path / "copy/manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()
    assert json.loads((folder / "manifest.json").read_text())["format_version"] == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("{}", "is damaged"),
        ('{"format_version": 2}', "expected format_version 1, got 2"),
        ('{"format_version": 1, "model": {}}', "is damaged"),
    ],
)
def test_a_manifest_that_cannot_be_read(folder, content, message):
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        EmbeddingFolder(folder)


def test_no_folder_of_embeddings(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"is not a folder of embeddings, or not finished.*hf-vitret embed"):
        EmbeddingFolder(tmp_path)


def test_a_shard_that_is_missing_changed_or_elsewhere(folder):
    path = folder / "embeddings-00000.parquet"
    EmbeddingFolder(folder).check_files()
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"x" + content[101:])
    with pytest.raises(ValueError, match="is not what it was when it was written"):
        EmbeddingFolder(folder).check_files()
    path.unlink()
    with pytest.raises(FileNotFoundError, match="is missing, and the manifest names it"):
        read_all(folder)
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace("embeddings-00000", "../embeddings-00000"))
    (folder.parent / path.name).write_bytes(content)
    with pytest.raises(FileNotFoundError, match="is missing, and the manifest names it"):
        read_all(folder)


def test_a_shard_with_other_rows_than_the_manifest_says(folder):
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"num_rows": 7', '"num_rows": 8'))
    with pytest.raises(ValueError, match="is not what it was when it was written"):
        read_all(folder)
