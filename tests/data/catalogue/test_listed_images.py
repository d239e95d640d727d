"""A table beside a folder of images: competitions' layouts, with the files that each row leads to, and refusals."""

import base64
import csv
import io
import json
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hf_vitret.data.catalogue.catalogue import load_catalogue
from hf_vitret.data.catalogue.left_out import collecting
from hf_vitret.data.catalogue.listed_images import FileRules
from hf_vitret.data.catalogue.tables import image_column_of, read_table


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def write_table(path: Path, rows: list[dict], *, delimiter: str = ",") -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return path


def write_files(root: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(seed))


def read(table: Path, image_column: str, label_column: str, **rules) -> list[tuple[str, str, str]]:
    """Read a table; return the file (relative to the folder of the table), the label and the id of each row."""
    split = read_table(table, image_column, label_column, FileRules.of(**rules))["train"]
    images = split.select_columns([image_column_of(image_column)]).with_format("arrow")[:]
    files = [stored["path"] for stored in images.column(0).to_pylist()]
    ids = split["image_id"][:] if "image_id" in split.column_names else [""] * len(files)
    labels = [str(label) for label in split[label_column][:]]
    return [
        (str(Path(file).relative_to(table.parent)), label, str(name)) for file, label, name in zip(files, labels, ids)
    ]


LAYOUTS = {
    # name: files, table, its rows, columns, options, (file, label, id) of each image
    "Products-10k": (
        ["train/0.jpg", "train/1.jpg"],
        "train.csv",
        [{"name": "0.jpg", "class": "7", "group": "1"}, {"name": "1.jpg", "class": "8", "group": "2"}],
        ("name", "class"),
        {"image_dir": "train"},
        [("train/0.jpg", "7", "0.jpg"), ("train/1.jpg", "8", "1.jpg")],
    ),
    "Shopee": (
        ["train_images/a.jpg", "train_images/b.jpg"],
        "train.csv",
        [
            {"posting_id": "p", "image": "a.jpg", "label_group": "2"},
            {"posting_id": "q", "image": "b.jpg", "label_group": "2"},
        ],
        ("image", "label_group"),
        {"image_dir": "train_images"},
        [("train_images/a.jpg", "2", "a.jpg"), ("train_images/b.jpg", "2", "b.jpg")],
    ),
    "GLDv2 train.csv": (
        ["train/0/1/2/0123abcd.jpg", "train/f/0/0/f00d.jpg"],
        "train.csv",
        [
            {"id": "0123abcd", "url": "http://x", "landmark_id": "1"},
            {"id": "f00d", "url": "http://y", "landmark_id": "2"},
        ],
        ("id", "landmark_id"),
        {"image_dir": "train", "image_suffix": ".jpg"},
        [("train/0/1/2/0123abcd.jpg", "1", "0123abcd"), ("train/f/0/0/f00d.jpg", "2", "f00d")],
    ),
    "GLDv2 train_clean.csv": (
        ["train/0/1/2/0123.jpg", "train/f/0/0/f00d.jpg", "train/a/b/c/abcd.jpg"],
        "train_clean.csv",
        [{"landmark_id": "1", "images": "0123 f00d"}, {"landmark_id": "2", "images": "abcd"}],
        ("images", "landmark_id"),
        {"image_dir": "train", "image_suffix": ".jpg"},
        [
            ("train/0/1/2/0123.jpg", "1", "0123"),
            ("train/f/0/0/f00d.jpg", "1", "f00d"),
            ("train/a/b/c/abcd.jpg", "2", "abcd"),
        ],
    ),
    "H&M": (
        ["images/010/0108775015.jpg", "images/011/0110065001.jpg"],
        "articles.csv",
        [
            {"article_id": "0108775015", "product_code": "0108775"},
            {"article_id": "0110065001", "product_code": "0110065"},
        ],
        ("article_id", "product_code"),
        {"image_dir": "images", "image_suffix": ".jpg"},
        [
            ("images/010/0108775015.jpg", "0108775", "0108775015"),
            ("images/011/0110065001.jpg", "0110065", "0110065001"),
        ],
    ),
    "Humpback whale": (
        ["train/0000e88ab.jpg", "train/0001f9222.jpg"],
        "train.csv",
        [{"Image": "0000e88ab.jpg", "Id": "w_f48451c"}, {"Image": "0001f9222.jpg", "Id": "new_whale"}],
        ("Image", "Id"),
        {"image_dir": "train"},
        [("train/0000e88ab.jpg", "w_f48451c", "0000e88ab.jpg"), ("train/0001f9222.jpg", "new_whale", "0001f9222.jpg")],
    ),
    "a column image_id of names": (
        ["a.jpg", "b.jpg"],
        "train.csv",
        [{"image_id": "a", "label": "x"}, {"image_id": "b.jpg", "label": "y"}],
        ("image_id", "label"),
        {"image_suffix": ".jpg"},
        [("a.jpg", "x", "a"), ("b.jpg", "y", "b.jpg")],
    ),
    "ids of its own": (
        ["p/a.jpg", "p/b.jpg"],
        "train.tsv",
        [{"image": "a.jpg", "label": "x", "image_id": "1"}, {"image": "b.jpg", "label": "y", "image_id": "2"}],
        ("image", "label"),
        {"image_dir": "p"},
        [("p/a.jpg", "x", "1"), ("p/b.jpg", "y", "2")],
    ),
    "lists in JSON Lines": (
        ["p/a.jpg", "p/b c.jpg", "p/d.jpg"],
        "t.jsonl",
        [{"image": ["a", "b c"], "label": 1}, {"image": ["d"], "label": 2}],
        ("image", "label"),
        {"image_dir": "p", "image_suffix": ".jpg"},
        [("p/a.jpg", "1", "a"), ("p/b c.jpg", "1", "b c"), ("p/d.jpg", "2", "d")],
    ),
    "lists in Parquet": (
        ["a.jpg", "b.jpg", "d.jpg"],
        "t.parquet",
        [{"image": ["a.jpg", "b.jpg"], "label": 1}, {"image": ["d.jpg"], "label": 2}],
        ("image", "label"),
        {},
        [("a.jpg", "1", "a.jpg"), ("b.jpg", "1", "b.jpg"), ("d.jpg", "2", "d.jpg")],
    ),
    "numbers in Parquet": (
        ["p/7.png", "p/10.png"],
        "t.parquet",
        [{"image": 7, "label": 1}, {"image": 10, "label": 2}],
        ("image", "label"),
        {"image_dir": "p", "image_suffix": ".png"},
        [("p/7.png", "1", "7"), ("p/10.png", "2", "10")],
    ),
    "a name with spaces is one name": (
        ["a b.jpg", "a", "b.jpg"],
        "t.csv",
        [{"image": "a b.jpg", "label": "x"}],
        ("image", "label"),
        {},
        [("a b.jpg", "x", "a b.jpg")],
    ),
    "an ending that differs in case": (
        ["A.JPG"],
        "t.csv",
        [{"image": "A.JPG", "label": "x"}],
        ("image", "label"),
        {"image_suffix": ".jpg"},
        [("A.JPG", "x", "A.JPG")],
    ),
    "`..` that stays inside": (
        ["p/a.jpg"],
        "t.csv",
        [{"image": "q/../p/a.jpg", "label": "x"}],
        ("image", "label"),
        {},
        [("p/a.jpg", "x", "q/../p/a.jpg")],
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_file_of_each_row(tmp_path, name):
    files, table, rows, columns, options, expected = LAYOUTS[name]
    write_files(tmp_path, *files)
    options = options | ({"image_dir": tmp_path / options["image_dir"]} if "image_dir" in options else {})
    assert read(write_table(tmp_path / table, rows), *columns, **options) == expected


def test_relative_folders(tmp_path, monkeypatch):
    write_files(tmp_path, "p/0/1/2/012.jpg", "p/0123.jpg")
    monkeypatch.chdir(tmp_path)
    write_table(Path("t.csv"), [{"image": "0123", "label": "x"}])
    split = read_table(Path("t.csv"), "image", "label", FileRules.of("p", ".jpg"))["train"]
    assert split[0]["image"].size == (8, 8)
    write_table(Path("p/t.csv"), [{"image": str(tmp_path / "p" / "0123.jpg"), "label": "x"}])
    assert len(read_table(Path("p/t.csv"), "image", "label")["train"]) == 1


def one(cell, **more):
    return [{"image": cell, "label": "x"} | more]


PNG_TEXT = base64.b64encode(png(0)).decode()
REFUSED = {
    # name: rows, options, words
    "absolute": (
        one("/etc/hostname"),
        {},
        r"t.csv: expected files below .* only; 1 of 1 images are outside: row 0: /etc/",
    ),
    "climbs": (one("../x.jpg"), {}, r"outside: row 0: ../x.jpg. A table of someone else could name any file"),
    "climbs later": (one("p/../../x.jpg"), {}, "outside: row 0: p/../../x.jpg"),
    "file address": (one("file:///etc/hostname"), {}, "outside: row 0: file:///etc/hostname"),
    "list that climbs": (one("a.jpg ../../etc/hostname"), {}, "outside: row 0: ../../etc/hostname"),
    "named option": (one("/etc/hostname"), {}, r"read them with allow_outside \(--allow_outside\)"),
    "address": (
        [*one("a.jpg"), *one("https://x.org/1.jpg")],
        {},
        r"1 of 2 rows hold an address: row 1: https://x.org/1.jpg. Fetch the images first \(pip install img2dataset\):"
        r"\n  img2dataset --url_list \S+t.csv --input_format csv --url_col image --output_format parquet "
        "--output_folder t_images",
    ),
    "bucket": (one("s3://shop/1.jpg"), {"allow_outside": True}, "1 of 1 rows hold an address"),
    "base64": (
        one(PNG_TEXT),
        {},
        r"expected paths in column 'image'; 1 of 1 rows hold an image as base64 text: row 0: iVBORw0KGgoAAAANSUhE\.",
    ),
    "data address": (one("data:image/png;base64,AAAA"), {}, "hold an image as base64 text"),
    "long": (one("x" * 4000), {}, r"not there: row 0: x{40}\.\.\.x{40} \(4000 characters\)"),
    "missing": (
        [one(f"{number}.jpg")[0] for number in range(12)],
        {},
        r"12 of 12 images are not there: row 0: 0.jpg, row 1: 1.jpg, .*row 9: 9.jpg \.\.\. and 2 more. Paths are taken "
        r"relative to the folder of the table, .*\(--image_dir\)",
    ),
    "missing in a folder": (
        one("z"),
        {"image_dir": "p", "image_suffix": ".jpg"},
        "not there: row 0: z. Paths are taken relative to image_dir, .*p, with the ending .jpg",
    ),
    "one of a list": (one("a.jpg z.jpg"), {}, "1 of 2 images are not there: row 0: z.jpg"),
    "no ending": (one("a"), {}, r"There is a.jpg: add the ending with image_suffix \(--image_suffix .jpg\)"),
    "backslash": (one("p\\b.jpg"), {}, r"divided by \\: write / instead"),
    "twice": ([*one("a.jpg"), *one("a.jpg")], {}, "listed more than once: a.jpg; keep one row of each"),
    "null": ([*one("a.jpg"), *one("")], {}, "the image path is missing in rows 1"),
    "ending": (one("a"), {"image_suffix": "jpg"}, "to begin with a dot, such as .jpg; got 'jpg'"),
    "word": (one("a"), {"on_missing_file": "leave"}, "to be one of error, skip; got 'leave'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    rows, options, words = REFUSED[name]
    write_files(tmp_path, "shop/a.jpg", "shop/p/b.jpg", "x.jpg")
    if "image_dir" in options:
        options = options | {"image_dir": tmp_path / "shop" / options["image_dir"]}
    table = write_table(tmp_path / "shop" / "t.csv", rows)
    with pytest.raises(ValueError, match=words) as caught:
        read(table, "image", "label", **options)
    assert len(str(caught.value)) < 1000


def test_no_folder_of_that_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected image_dir .* there is no folder .*none"):
        FileRules.of(tmp_path / "none")


def test_outside_where_it_is_allowed(tmp_path):
    write_files(tmp_path, "x.jpg", "shop/a.jpg", "y z.jpg")
    cells = ["../x.jpg", "a.jpg", (tmp_path / "y z.jpg").as_uri()]
    table = write_table(tmp_path / "shop" / "t.csv", [one(cell)[0] for cell in cells])
    split = read_table(table, "image", "label", FileRules.of(allow_outside=True))["train"]
    assert [np.asarray(row["image"]).tolist() for row in split] == [
        np.asarray(Image.open(tmp_path / name)).tolist() for name in ("x.jpg", "shop/a.jpg", "y z.jpg")
    ]


def test_missing_files_are_left_out_and_counted(tmp_path, caplog):
    write_files(tmp_path, "a.jpg", "b.jpg")
    table = write_table(tmp_path / "t.csv", [one(f"{name}.jpg")[0] for name in "azby"])
    with caplog.at_level(logging.WARNING), collecting() as left_out:
        assert [row[0] for row in read(table, "image", "label", on_missing_file="skip")] == ["a.jpg", "b.jpg"]
    assert left_out.lines() == ["2 images that the table names and that are not there: z.jpg, y.jpg"]
    assert left_out.has_images
    assert "2 of 4 images are not there: row 1: z.jpg, row 3: y.jpg" in caplog.text
    with pytest.raises(ValueError, match="1 of 1 images are not there"):
        read(write_table(tmp_path / "t.csv", one("z.jpg")), "image", "label", on_missing_file="skip")


def test_a_link_that_leads_outside_is_said(tmp_path, caplog):
    write_files(tmp_path, "other/a.jpg", "other/q/b.jpg", "shop/c.jpg")
    (tmp_path / "shop" / "a.jpg").symlink_to(tmp_path / "other" / "a.jpg")
    (tmp_path / "shop" / "q").symlink_to(tmp_path / "other" / "q")
    (tmp_path / "shop" / "d.jpg").symlink_to("c.jpg")
    table = write_table(tmp_path / "shop" / "t.csv", [one(name)[0] for name in ("c.jpg", "d.jpg")])
    read(table, "image", "label")
    assert "links" not in caplog.text
    table = write_table(tmp_path / "shop" / "t.csv", [one(name)[0] for name in ("a.jpg", "q/b.jpg", "c.jpg")])
    assert len(read(table, "image", "label")) == 3
    assert f"2 images are links that lead outside {tmp_path / 'shop'}, such as" in caplog.text
    # The folder before a link is the one that is named, not the one behind it.
    table = write_table(tmp_path / "shop" / "t.csv", one("q/../a.jpg"))
    (tmp_path / "shop" / "a.jpg").unlink()
    with pytest.raises(ValueError, match="1 of 1 images are not there"):
        read(table, "image", "label")


def test_a_parquet_file_with_bytes_and_paths(tmp_path):
    write_files(tmp_path, "shop/a.jpg", "secret.jpg")
    images = [{"bytes": png(5), "path": "/anywhere/1.png"}, {"bytes": None, "path": "a.jpg"}, None]
    rows = [{"image": image, "label": "x"} for image in images]
    table = write_table(tmp_path / "shop" / "t.parquet", rows)
    split = read_table(table, "image", "label")["train"]
    stored = split["image"][:]
    assert stored[0] == images[0]
    assert stored[1] == {"bytes": None, "path": str(tmp_path / "shop" / "a.jpg")}
    assert stored[2] is None
    for path in (str(tmp_path / "secret.jpg"), "../secret.jpg", "file:///etc/hostname"):
        write_table(table, [*rows, {"image": {"bytes": None, "path": path}, "label": "x"}])
        with pytest.raises(ValueError, match=r"1 of 4 images are outside: row 3: .*--allow_outside"):
            read_table(table, "image", "label")
        if "etc" not in path:
            assert len(read_table(table, "image", "label", FileRules.of(allow_outside=True))["train"]) == 4
    write_table(table, [*rows, {"image": {"bytes": None, "path": "z.jpg"}, "label": "x"}])
    with pytest.raises(ValueError, match=r"1 of 4 images have no bytes, and no file below .*: row 3: z.jpg. Drop"):
        read_table(table, "image", "label")
    with pytest.raises(ValueError, match=r"expected image_dir.* column 'image' has encoded images: leave it out"):
        read_table(table, "image", "label", FileRules.of(image_suffix=".jpg"))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", "t.csv: expected a header with the names of the columns; the file is empty"),
        ("t.csv", b"image,label\n", "t.csv: expected a row for each image; the table has a header and no rows"),
        ("t.csv", b"image;label\na.jpg;x\n", r"t.csv: expected columns divided by a comma; .*looks like a semicolon"),
        ("t.csv", b"image\tlabel\na.jpg\tx\n", "the delimiter looks like a tab"),
        ("t.tsv", b"image,label\na.jpg,x\n", "divided by a tab; .* the delimiter looks like a comma"),
        ("t.parquet", b"", "expected a Parquet file; .*t.parquet is none, or is damaged"),
        ("t.parquet", b"PAR1 cut off", "expected a Parquet file; .*t.parquet is none, or is damaged"),
    ],
)
def test_tables_that_are_damaged_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_table(tmp_path / name, "image", "label")


@pytest.mark.parametrize("position", ["end", "page"])
def test_a_parquet_file_that_is_damaged_is_named(tmp_path, position):
    write_table(tmp_path / "t.parquet", [{"image": f"{number}.jpg", "label": str(number)} for number in range(1000)])
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    if position == "end":
        del content[-9:]
    else:
        content[10:400] = bytes(390)
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected a Parquet file; .*t\.parquet is none, or is damaged: \S"):
        read_table(tmp_path / "t.parquet", "image", "label")


def test_a_catalogue_of_a_table_beside_a_folder(tmp_path):
    names = [f"{seed:04x}{label}" for seed, label in enumerate("aabbccdd")]
    write_files(tmp_path, *[f"train/{name[0]}/{name[1]}/{name[2]}/{name}.png" for name in names])
    rows = [{"image_id": name, "landmark_id": name[-1]} for name in names]
    table = write_table(tmp_path / "train.csv", rows)
    options = {"image_column": "image_id", "label_column": "landmark_id"}
    files = {"image_dir": tmp_path / "train", "image_suffix": ".png"}
    splits = load_catalogue(table, **options, **files)
    found = {
        row["image_id"]: (np.asarray(row["image"]).tolist(), split.features["label"].int2str(row["label"]))
        for split in splits.values()
        for row in split
    }
    assert found == {
        name: (np.asarray(Image.open(io.BytesIO(png(seed)))).tolist(), name[-1]) for seed, name in enumerate(names)
    }
    write_table(tmp_path / "train.csv", [*rows, {"image_id": "none", "landmark_id": "a"}])
    with pytest.raises(ValueError, match=r"1 of 9 images are not there: row 8: none\."):
        load_catalogue(table, **options, **files)
    splits = load_catalogue(table, **options, **files, on_missing_file="skip")
    assert sum(len(split) for split in splits.values()) == 8


@pytest.mark.parametrize("given", [{"image_dir": "."}, {"image_suffix": ".jpg"}, {"on_missing_file": "skip"}])
def test_settings_of_a_table_with_a_folder(tmp_path, given):
    write_files(tmp_path, *[f"{label}/{number}.jpg" for label in "abcd" for number in range(2)])
    with pytest.raises(ValueError, match=r"expected image_dir, .* with a table on this machine only"):
        load_catalogue(tmp_path, **given)
    with pytest.raises(ValueError, match=r"expected image_dir, .* with a table on this machine only"):
        load_catalogue(dataset_name="user/x", **given)


@pytest.mark.parametrize("kind", ["csv", "parquet", "folder of Parquet files", "prepared folder"])
def test_no_source_reads_a_file_outside_unless_it_is_allowed(tmp_path, kind):
    write_files(tmp_path, "home/secret.png", *[f"shop/{number}.png" for number in range(7)])
    secret = str(tmp_path / "home" / "secret.png")
    labels = [*"aabbccdd"]
    if kind == "csv":
        rows = [{"image": f"{number}.png", "label": label} for number, label in enumerate(labels)]
        rows[7]["image"] = secret
        source = write_table(tmp_path / "shop" / "t.csv", rows)
    else:
        rows = [{"image": {"bytes": png(n), "path": None}, "label": label} for n, label in enumerate(labels)]
        rows[7]["image"] = {"bytes": None, "path": secret}
        folder = tmp_path / "set"
        source = folder / "data" / "train-00000-of-00001.parquet"
        source.parent.mkdir(parents=True)
        write_table(source, rows)
        if kind == "prepared folder":
            (folder / "prepare.json").write_text("{}")
        source = source if kind == "parquet" else folder
    with pytest.raises(ValueError, match=r"1 of 8 images are outside: row 7: .*secret.png.*--allow_outside"):
        load_catalogue(source)
    splits = load_catalogue(source, allow_outside=True)
    assert sum(len(split) for split in splits.values()) == 8
