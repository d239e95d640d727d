"""What each kind of input is cut into, and that the rows and their columns arrive as they are."""

import csv
import io
import json
import logging
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature

from hf_vitret import ImageIndex
from hf_vitret.data.images import read_image
from hf_vitret.embedding.shards import EmbeddingFolder
from hf_vitret.embedding.sources import tar_files
from hf_vitret.embedding.sources.opening import open_source
from hf_vitret.embedding.write_embeddings import write_embeddings
from hf_vitret.files.json_values import read_json
from tests.embedding.photographs import encoded, noise, write_photos
from tests.hub_stand_in.stand_in import HubStandIn
from tests.hub_stand_in.stand_in import hub as hub


def rows_of(source):
    return [row for shard in source.shards for row in shard.read()]


def same_picture(row, seed):
    return np.array_equal(np.asarray(read_image(row.stored)), np.asarray(noise(seed)))


def test_a_folder_is_cut_into_shards_in_the_order_of_its_paths(tmp_path):
    folder = write_photos(tmp_path / "photos", 7)
    (folder / "notes.txt").write_text("not an image")
    source = open_source(folder, shard_size=3)
    assert [(shard.name, shard.num_rows) for shard in source.shards] == [
        ("photos[0:3]", 3),
        ("photos[3:6]", 3),
        ("photos[6:7]", 1),
    ]
    rows = rows_of(source)
    assert [row.image_id for row in rows] == [f"{number // 5}/{number:02d}.png" for number in range(7)]
    assert [row.path for row in rows] == [row.image_id for row in rows]
    assert all(same_picture(row, seed) for seed, row in enumerate(rows))


def test_the_folder_that_holds_an_image_is_its_label(tmp_path):
    for path in ("red/1.png", "blue/1.png", "fruit/apples/2.png", "3.png"):
        (tmp_path / "photos" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / path).write_bytes(encoded(noise(0)))
    source = open_source(tmp_path / "photos")
    assert source.columns == pa.schema([("label", pa.string())])
    labels = {row.path: row.columns["label"] for row in rows_of(source)}
    assert labels == {"red/1.png": "red", "blue/1.png": "blue", "fruit/apples/2.png": "apples", "3.png": None}
    assert {row.columns["label"] for row in rows_of(open_source(f"{tmp_path}/photos/*/*.png"))} == {"red", "blue"}


def test_images_of_one_folder_have_no_label(tmp_path):
    write_photos(tmp_path / "photos", 3)
    source = open_source(tmp_path / "photos" / "0")
    assert source.columns.names == []
    assert rows_of(source)


def test_labels_travel_to_the_index_and_are_searched_by(tiny_model, tmp_path):
    write_photos(tmp_path / "photos", 12)  # five in each of the folders 0 and 1, two in 2
    manifest = write_embeddings(tiny_model, tmp_path / "photos", tmp_path / "E", progress=False)
    assert manifest.columns == ("label",)
    index = ImageIndex.build_from(tmp_path / "E", progress=False)
    (vectors,) = (shard.embeddings for shard in EmbeddingFolder(tmp_path / "E").shards())
    for label, count in (("0", 5), ("1", 5), ("2", 2), ("3", 0)):
        found = index.search(vectors[:1], 12, where=f"label={label}")[1][0]
        assert sorted(image_id for image_id in found if image_id is not None) == [
            f"{number // 5}/{number:02d}.png" for number in range(12) if number // 5 == int(label)
        ]
        assert sum(image_id is not None for image_id in found) == count


def test_a_pattern_names_files_from_its_first_wildcard_on(tmp_path):
    write_photos(tmp_path / "photos", 7)
    assert [row.path for row in rows_of(open_source(tmp_path / "photos" / "*" / "*5.png"))] == ["1/05.png"]
    found = rows_of(open_source(f"{tmp_path}/pho*/**/0[0-2].png"))
    assert [row.path for row in found] == [f"photos/0/0{number}.png" for number in range(3)]
    assert [row.path for row in rows_of(open_source(tmp_path / "photos" / "0" / "00.png"))] == ["00.png"]


def test_a_folder_of_several_kinds_is_asked_about(tmp_path):
    folder = write_photos(tmp_path / "photos", 2)
    write_tar(folder / "more.tar", [("1.png", encoded(noise(1)))])
    with pytest.raises(ValueError, match=r"expected images of one kind in photos.*pattern, such as 'photos"):
        open_source(folder)
    assert len(rows_of(open_source(f"{folder}/*.tar"))) == 1


def test_a_change_of_names_sizes_or_cuts_is_another_input(tmp_path):
    folder = write_photos(tmp_path / "photos", 7)
    seen = {open_source(folder).fingerprint, open_source(folder, shard_size=3).fingerprint}
    (folder / "0" / "00.png").write_bytes(b"longer or shorter")
    seen.add(open_source(folder).fingerprint)
    (folder / "0" / "00.png").rename(folder / "0" / "0.png")
    seen.add(open_source(folder).fingerprint)
    assert len(seen) == 4
    assert open_source(folder).fingerprint in seen


@pytest.fixture
def lines(tmp_path):
    write_photos(tmp_path / "photos", 3)
    return [
        {"file": "photos/0/00.png", "sku": "007", "name": "Cup, blue", "price": ""},
        {"file": "photos/0/02.png", "sku": "None", "name": 'a "quoted"\nname', "price": "3"},
        {"file": "photos/nowhere.png", "sku": "8", "name": "größe", "price": "4.5"},
    ]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_a_table_of_paths(tmp_path, lines, suffix):
    path = tmp_path / f"products.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(lines), path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8-sig", newline="") as stream:
            writer = csv.DictWriter(stream, list(lines[0]), delimiter="\t" if suffix == "tsv" else ",")
            writer.writeheader()
            writer.writerows(lines)
    source = open_source(path, image_column="file", shard_size=2)
    assert [shard.num_rows for shard in source.shards] == [2, 1]
    assert source.columns.names == ["sku", "name", "price"]
    rows = rows_of(source)
    assert [row.image_id for row in rows] == [row.path for row in rows] == [line["file"] for line in lines]
    expected = [{key: line[key] for key in ("sku", "name", "price")} for line in lines]
    if suffix != "parquet":
        expected[0]["price"] = None  # an empty cell
    assert [row.columns for row in rows] == expected
    assert same_picture(rows[0], 0)
    assert same_picture(rows[1], 2)


def write_ids(tmp_path, header, *rows):
    for seed, path in enumerate(("0/1/2/0123.png", "f00d.png", "abc/abcd.png")):
        (tmp_path / "index" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "index" / path).write_bytes(encoded(noise(seed)))
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "t.csv").write_text("\n".join([header, *rows]) + "\n")
    return tmp_path / "t" / "t.csv"


def test_a_table_of_ids_beside_a_folder_of_images(tmp_path, tiny_model):
    table = write_ids(tmp_path, "id,kind", "0123,x", "f00d,y", "abcd,z", "none,z")
    options = {"image_column": "id", "image_dir": tmp_path / "index", "image_suffix": ".png"}
    source = open_source(table, shard_size=3, **options)
    assert source.root == tmp_path / "index"
    rows = rows_of(source)
    assert [(row.image_id, row.path, row.columns) for row in rows] == [
        ("0123", "0/1/2/0123.png", {"kind": "x"}),
        ("f00d", "f00d.png", {"kind": "y"}),
        ("abcd", "abc/abcd.png", {"kind": "z"}),
        ("none", "none.png", {"kind": "z"}),
    ]
    assert all(same_picture(row, seed) for seed, row in enumerate(rows[:3]))
    (tmp_path / "index" / "0123.png").write_bytes(encoded(noise(9)))
    assert open_source(table, shard_size=3, **options).fingerprint != source.fingerprint
    manifest = write_embeddings(tiny_model, source, tmp_path / "E", progress=False)
    assert (manifest.num_images, manifest.num_bad_images) == (3, 1)


def test_a_row_that_lists_several_images_is_one_for_each(tmp_path, caplog):
    table = write_ids(tmp_path, "path,image_id,kind", "0123 f00d,1,x", "abcd,2,y")
    source = open_source(table, image_dir=tmp_path / "index", image_suffix=".png")
    rows = [(row.image_id, row.columns["kind"]) for row in rows_of(source)]
    assert rows == [("0123", "x"), ("f00d", "x"), ("abcd", "y")]
    assert "t.csv: rows list several images, so that their ids are not image_id but their names" in caplog.text
    table.write_text("image_id\n0123\nf00d\n")  # a column that is the images and the ids
    options = {"image_column": "image_id", "image_dir": tmp_path / "index", "image_suffix": ".png"}
    assert [(row.image_id, row.columns) for row in rows_of(open_source(table, **options))] == [
        ("0123", {}),
        ("f00d", {}),
    ]


@pytest.mark.parametrize("path", ["../index/f00d.png", "/etc/hostname", "file:///etc/hostname"])
def test_a_table_does_not_lead_outside_its_folder(tmp_path, path):
    table = write_ids(tmp_path, "path", path)
    with pytest.raises(ValueError, match=r"t.csv: .* 1 of 1 images are outside: row 0: .*--allow_outside"):
        open_source(table)
    (row,) = rows_of(open_source(table, allow_outside=True))
    assert row.image_id == path
    assert row.stored["path"] == {"..": str(tmp_path / "index" / "f00d.png")}.get(path[:2], "/etc/hostname")


@pytest.mark.parametrize("images", ["index", "index/*.png", "t/t.parquet"])
def test_settings_of_a_table_of_names_with_other_sources(tmp_path, monkeypatch, images):
    write_ids(tmp_path, "path", "f00d.png")
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"image": [encoded(noise(0))]}), tmp_path / "t" / "t.parquet")
    with pytest.raises(ValueError, match=r"expected image_dir, image_suffix .* with a table on this machine only"):
        open_source(images, image_suffix=".png")


def test_columns_travel_into_the_output(tiny_model, tmp_path, lines):
    table = pa.Table.from_pylist(
        [{**line, "image_id": f"id {row}", "when": row, "tags": ["x"]} for row, line in enumerate(lines)]
    )
    pq.write_table(table, tmp_path / "products.parquet")
    source = open_source(tmp_path / "products.parquet", image_column="file")
    manifest = write_embeddings(tiny_model, source, tmp_path / "E", dtype="float32", progress=False)
    assert manifest.columns == ("sku", "name", "price", "when")
    [shard] = EmbeddingFolder(tmp_path / "E").shards()
    assert shard.ids == ["id 0", "id 1"]
    assert shard.table.to_pylist() == [
        {"image_id": f"id {row}", "path": line["file"], **{k: line[k] for k in ("sku", "name", "price")}, "when": row}
        for row, line in enumerate(lines[:2])
    ]
    assert shard.table.schema.field("when").type == pa.int64()


def test_a_row_of_a_table_may_have_an_id_and_no_image(tmp_path, tiny_model):
    write_photos(tmp_path / "photos", 2)
    paths = ["photos/0/00.png", None, "photos/0/01.png"]
    pq.write_table(pa.table({"image_id": [*"abc"], "path": paths}), tmp_path / "p.parquet")
    manifest = write_embeddings(tiny_model, tmp_path / "p.parquet", tmp_path / "E", progress=False)
    assert (manifest.num_images, manifest.num_bad_images) == (2, 1)
    (shard,) = EmbeddingFolder(tmp_path / "E").shards()
    assert shard.ids == ["a", "c"]


def test_a_column_that_is_not_copied_is_reported(tmp_path, lines, caplog):
    pq.write_table(pa.Table.from_pylist([{**line, "tags": ["x"]} for line in lines]), tmp_path / "p.parquet")
    with caplog.at_level(logging.WARNING):
        open_source(tmp_path / "p.parquet", image_column="file")
    assert "these columns are not copied, because they are nested or binary: tags (list<" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda line: {"photo": line["file"]},
            "expected a column image or path or file_name; it has photo",
        ),
        (lambda line: {"path": "same.png"}, r"listed more than once: same.png; keep one row of each"),
        (lambda line: {"path": None if line["sku"] == "8" else line["file"]}, "rows 2 name none: fill them in"),
        (
            lambda line: {"path": line["file"], "embedding": 1.0},
            "has a column 'embedding', a name that the output",
        ),
        (lambda line: {"path": line["file"], "image_id": 3}, "expected image_id to be text; it is int64"),
        (lambda line: {"path": 3}, "expected paths or encoded images in column 'path'; it is int64"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, lines, change, message):
    pq.write_table(pa.Table.from_pylist([change(line) for line in lines]), tmp_path / "p.parquet")
    with pytest.raises(ValueError, match=message):
        open_source(tmp_path / "p.parquet")


def test_parquet_files_of_images_are_a_shard_each(tmp_path):
    features = Features({"image": ImageFeature(), "label": Value("string"), "mask": ImageFeature()})
    for part in range(2):
        rows = [{"bytes": encoded(noise(part * 3 + row)), "path": f"{row}.png"} for row in range(3)]
        rows = [None if part and row == 1 else image for row, image in enumerate(rows)]
        columns = {"image": rows, "label": [*"abc"], "mask": [None] * 3}
        (tmp_path / "data").mkdir(exist_ok=True)
        Dataset.from_dict(columns, features=features).to_parquet(tmp_path / "data" / f"train-{part}.parquet")
    for images in (tmp_path, f"{tmp_path}/data/*.parquet"):
        source = open_source(images)
        prefix = "data/" if images == tmp_path else ""
        assert [(shard.name, shard.num_rows) for shard in source.shards] == [
            (f"{prefix}train-{part}.parquet", 3) for part in range(2)
        ]
        rows = rows_of(source)
        assert [row.image_id for row in rows[2:4]] == [f"{prefix}train-0/000002", f"{prefix}train-1/000000"]
        assert [row.columns for row in rows[:3]] == [{"label": letter} for letter in "abc"]
        assert same_picture(rows[3], 3)
        assert rows[3].path == "0.png"
        assert rows[4].stored is None
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "data" / "zebra.parquet")
    with pytest.raises(ValueError, match=r"expected the columns of train-0.parquet in zebra.parquet"):
        open_source(tmp_path)


def test_a_parquet_file_that_is_damaged_is_named(tmp_path):
    # Pages of random bytes: their checksum or their codec notices.
    pq.write_table(pa.table({"image": [encoded(noise(row)) for row in range(9)]}), tmp_path / "t.parquet")
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[4:60] = bytes(56)
    (tmp_path / "t.parquet").write_bytes(content)
    source = open_source(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"expected a Parquet file; .*t\.parquet is none, or is damaged: \S"):
        rows_of(source)


def test_a_path_in_a_parquet_file_of_images_is_never_read(tmp_path):
    write_photos(tmp_path / "photos", 1)
    stored = [{"bytes": None, "path": f"{tmp_path}/photos/0/00.png"}, {"bytes": encoded(noise(0)), "path": "/x"}]
    pq.write_table(pa.table({"image": stored}), tmp_path / "t.parquet")
    assert [row.stored and row.stored["bytes"] for row in rows_of(open_source(tmp_path / "t.parquet"))] == [
        None,
        encoded(noise(0)),
    ]


def write_tar(path, members):
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def test_webdataset_archives_as_webdataset_itself_writes_them(tmp_path):
    webdataset = pytest.importorskip("webdataset", reason="WEBDATASET IS NOT INSTALLED: pip install 'hf_vitret[test]'")
    for part in range(2):
        with webdataset.TarWriter(str(tmp_path / f"shard-{part}.tar")) as writer:
            for number in range(3):
                seed = part * 3 + number
                sample = {"__key__": f"{seed:03d}", "png": encoded(noise(seed)), "json": {"n": seed}, "cls": seed % 2}
                writer.write(sample | ({"txt": "a cup"} if seed == 0 else {}))
    for images in (tmp_path, f"{tmp_path}/shard-*.tar"):
        source = open_source(images)
        assert [shard.name for shard in source.shards] == ["shard-0.tar", "shard-1.tar"]
        assert sorted(source.columns.names) == ["cls", "json", "txt"]
        rows = rows_of(source)
        assert [row.path for row in rows] == [f"shard-{seed // 3}.tar/{seed:03d}.png" for seed in range(6)]
        assert all(same_picture(row, seed) for seed, row in enumerate(rows))
        assert [json.loads(row.columns["json"]) for row in rows] == [{"n": seed} for seed in range(6)]
        assert [row.columns["cls"] for row in rows] == ["0", "1"] * 3
        assert [row.columns["txt"] for row in rows] == ["a cup", *[None] * 5]


def test_any_archive_of_images(tmp_path):
    members = [
        ("./a/1.png", encoded(noise(1))),
        ("a/._1.png", b"of macOS"),
        ("b.left.png", encoded(noise(2))),
        ("b.right.png", encoded(noise(3))),
        ("readme", b"text"),
    ]
    write_tar(tmp_path / "all.tar.gz", members)
    rows = rows_of(open_source(tmp_path / "all.tar.gz"))
    assert [row.path for row in rows] == ["all.tar.gz/a/1.png", "all.tar.gz/b.left.png", "all.tar.gz/b.right.png"]
    assert [same_picture(row, seed) for seed, row in enumerate(rows, 1)] == [True] * 3


def test_the_images_of_an_archive_are_told_like_those_of_a_folder(tiny_model, tmp_path):
    jpeg, tiff = encoded(noise(1), "JPEG"), encoded(noise(2), "TIFF")
    members = [("a/1.jpg", jpeg), ("a/1.json", b"{}"), ("a/2.jfif", jpeg), ("a/3", jpeg)]
    members += [("a/4.NEF", tiff), ("a/._5.jpg", b"of macOS"), ("a/6.json", b"{}"), ("readme", b"text")]
    write_tar(tmp_path / "t.tar", members)
    source = open_source(tmp_path / "t.tar")
    for _ in range(2):  # what is left out is counted once
        assert [row.path for row in rows_of(source)] == ["t.tar/a/1.jpg", "t.tar/a/2.jfif", "t.tar/a/3"]
    expected = {"a/4.NEF", "a/._5.jpg", "a/6.json", "readme"}
    assert {name for names in source.shards[0].left_out.names.values() for name in names} == expected
    for file_format in ("parquet", "npy"):
        folder = tmp_path / file_format
        arguments = {"dtype": "float32", "file_format": file_format, "progress": False}
        manifest = write_embeddings(tiny_model, tmp_path / "t.tar", folder, **arguments)
        assert (manifest.num_images, manifest.num_bad_images) == (3, 0)
        written = read_json(folder / "left_out.json")
        assert [(row["is_image"], row["count"]) for row in written] == [(True, 1), (False, 1), (False, 2)]
        assert written[0]["names"] == ["t.tar/a/4.NEF"]
        (folder / "manifest.json").unlink()  # stopped before it was written: the finished shard knows what it lacks
        (folder / "left_out.json").unlink()
        write_embeddings(tiny_model, tmp_path / "t.tar", folder, **arguments)
        assert read_json(folder / "left_out.json") == written


def test_what_a_folder_or_pattern_leaves_out(tiny_model, tmp_path):
    folder = write_photos(tmp_path / "photos", 7)
    plain = write_embeddings(tiny_model, folder, tmp_path / "plain", dtype="float32", progress=False)
    assert not (tmp_path / "plain" / "left_out.json").exists()
    (folder / "0" / "x.dng").write_bytes(encoded(noise(2), "TIFF"))
    (folder / "notes.txt").write_text("not an image")
    source = open_source(folder)
    assert [(row["is_image"], row["names"]) for row in source.left_out.to_json()] == [
        (True, ["0/x.dng"]),
        (False, ["notes.txt"]),
    ]
    again = write_embeddings(tiny_model, source, tmp_path / "E", dtype="float32", progress=False)
    assert again == plain
    assert read_json(tmp_path / "E" / "left_out.json") == source.left_out.to_json()
    (folder / "top").write_bytes(encoded(noise(3), "JPEG"))
    found = open_source(f"{folder}/t*")
    assert [row.path for row in rows_of(found)] == ["top"]
    (folder / "notes.txt").unlink()
    found = open_source(f"{folder}/*")
    assert [row.path for row in rows_of(found)] == ["top"]
    assert [(row["is_image"], row["names"]) for row in found.left_out.to_json()] == [(True, ["0", "1"])]
    with pytest.raises(ValueError, match=r"got 0/x.dng \(raw photographs of a camera: convert"):
        open_source(f"{folder}/**/*")


def test_archives_beside_images_of_no_use(tmp_path):
    write_tar(tmp_path / "t.tar", [("1.png", encoded(noise(1)))])
    (tmp_path / "x.cr2").write_bytes(encoded(noise(2), "TIFF"))
    source = open_source(tmp_path)
    assert len(rows_of(source)) == 1
    assert source.left_out.has_images


def test_a_folder_of_raw_photographs_says_so(tmp_path):
    (tmp_path / "x.cr2").write_bytes(encoded(noise(2), "TIFF"))
    with pytest.raises(ValueError, match=r"found none; left out 1 raw photographs of a camera: x.cr2; convert them"):
        open_source(tmp_path)


def test_a_file_in_an_archive_that_is_too_large_is_no_image(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(tar_files, "MAX_MEMBER_BYTES", 100)
    write_tar(tmp_path / "t.tar", [("1.png", encoded(noise(1))), ("2.png", b"x")])
    manifest = write_embeddings(tiny_model, tmp_path / "t.tar", tmp_path / "E", dtype="float32", progress=False)
    assert (manifest.num_images, manifest.num_bad_images) == (0, 2)


@pytest.mark.parametrize("damage", ["cut", "climbs", "text"])
def test_an_archive_that_is_damaged_or_unsafe(tiny_model, tmp_path, damage):
    names = ["1.png", "../2.png"] if damage == "climbs" else ["1.png", "2.png"]
    path = tmp_path / "t.tar"
    write_tar(path, [(name, encoded(noise(1))) for name in names])
    if damage != "climbs":
        path.write_bytes(path.read_bytes()[:1500] if damage == "cut" else b"no archive" * 200)
    message = "outside its folder" if damage == "climbs" else "is no tar archive, or is damaged"
    with pytest.raises(ValueError, match=message):
        write_embeddings(tiny_model, path, tmp_path / "E", dtype="float32", progress=False)
    assert not list(tmp_path.glob("E/embeddings-*"))


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("nowhere", FileNotFoundError, "'nowhere' is no folder, file or pattern on this machine; and expected a data"),
        ("a/b/c/d", FileNotFoundError, "is no folder, file or pattern on this machine"),
        ("empty", ValueError, "expected images to embed in empty; found none"),
        ("photos/**/*.jpg", FileNotFoundError, "expected files that match"),
        ("photos/notes.txt", ValueError, r"got notes.txt \(files that are no images\), 1 of 1 files: leave them out"),
        ("broken.parquet", ValueError, "expected a Parquet file; broken.parquet is none, or is damaged"),
    ],
)
def test_inputs_that_are_none(tmp_path, monkeypatch, images, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (write_photos(tmp_path / "photos", 2) / "notes.txt").write_text("x")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(error, match=message):
        open_source(images)


PUSH = """
import io
from datasets import Dataset, Features, Image, Value
from hf_vitret.files.json_values import read_json
from tests.embedding.photographs import encoded, noise
photos = [{"bytes": encoded(noise(seed)), "path": None} for seed in range(7)]
rows = {"photo": photos, "sku": [f"{n}" for n in range(7)]}
data = Dataset.from_dict(rows, features=Features({"photo": Image(), "sku": Value("string")}))
data.push_to_hub("ada/photos", num_shards=3)
data.select(range(2)).push_to_hub("ada/photos", split="test")
"""
READ = """
import json, sys
from hf_vitret.embedding.sources.opening import open_source
from hf_vitret.embedding.shards import EmbeddingFolder
from hf_vitret.embedding.write_embeddings import write_embeddings
try:
    open_source("ada/photos", image_column="photo")
except ValueError as error:
    print(error)
source = open_source("ada/photos", image_column="photo", split="train")
write_embeddings(sys.argv[1], source, sys.argv[2], dtype="float32", progress=False)
"""


def test_a_data_set_of_the_hub_is_streamed(hub: HubStandIn, tiny_model, tmp_path):
    hub.run(PUSH, token=hub.token)
    tiny_model.save_pretrained(tmp_path / "model")
    said = hub.run(READ, tmp_path / "model", tmp_path / "E").stdout
    assert "ada/photos: expected a split of train, test; got None: name one with split" in said
    folder = EmbeddingFolder(tmp_path / "E")
    assert [(shard.source, shard.num_rows) for shard in folder.manifest.shards] == [
        ("train/00000", 3),
        ("train/00001", 2),
        ("train/00002", 2),
    ]
    commit = hub.store.repositories["dataset", "ada/photos"].resolve("main").oid
    settings = json.loads((tmp_path / "E" / "settings.json").read_text())
    assert settings["input_name"] == f"ada/photos@{commit}, train"
    table = pa.concat_tables([shard.table for shard in folder.shards()])
    assert table["sku"].to_pylist() == [f"{number}" for number in range(7)]
    assert table["image_id"].to_pylist()[2:4] == ["train/00000/000002", "train/00001/000000"]
    write_embeddings(
        tiny_model, write_photos(tmp_path / "photos", 7), tmp_path / "local", dtype="float32", progress=False
    )
    vectors, local = (
        np.concatenate([shard.embeddings for shard in EmbeddingFolder(tmp_path / name).shards()])
        for name in ("E", "local")
    )
    np.testing.assert_allclose(vectors, local, atol=1e-6, rtol=0)
