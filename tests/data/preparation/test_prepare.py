"""A prepared data set: its content, reading it again, interrupted runs, and data and settings that are refused."""

import json
import signal
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, IterableDataset, Value, load_dataset

from hf_vitret.data import describe_split, load_retrieval_dataset
from hf_vitret.data.preparation import prepare, row_groups
from hf_vitret.data.preparation.prepare import prepare_dataset, report_mended, report_skipped
from hf_vitret.data.preparation.prepared_folder import check_files, read_manifest
from hf_vitret.data.preparation.reencoding import Encoding
from tests.data.preparation.preparing import MOMENTS, NUM_TRAIN, SETTINGS, content, make_dataset, make_split, picture
from tests.data.test_readable_images import cut_jpeg
from tests.training.distributed.forked import Run, launch


def prepare_until(moment: str, folder: Path, processes: int = 1) -> None:
    """Prepare the drawn data set in `<folder>/out`, in other processes, until they die or finish."""
    (codes,) = launch(Run("tests.data.preparation.preparing:run", [str(folder), moment], processes), may_die=True)
    assert codes == [0 if moment == "never" else -signal.SIGKILL] * processes


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepare the drawn data set without interruption."""
    return prepare_dataset(make_dataset(), tmp_path_factory.mktemp("whole") / "things-16", **SETTINGS)


# --- content


def test_images_labels_and_ids_are_the_sources(prepared: Path) -> None:
    loaded = load_dataset(str(prepared))
    source = make_dataset()
    assert set(loaded) == set(source)
    for name, split in source.items():
        assert loaded[name].features == split.features
        assert loaded[name]["label"][:] == split["label"][:]
        assert loaded[name]["image_id"][:] == split["image_id"][:]
    train = loaded["train"].cast_column("image", datasets.Image(decode=False))
    assert train[NUM_TRAIN - 1]["image"] == {
        "bytes": Encoding(16).encode({"bytes": picture(NUM_TRAIN - 1), "path": None}),
        "path": "picture 349.jpg",
    }
    assert loaded["test"][0]["image"].size == (24, 16)


def test_files_are_the_hubs_and_hold_small_row_groups(prepared: Path) -> None:
    assert sorted(content(prepared)) == [
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "prepare.json",
    ]
    shards = [pq.ParquetFile(path).metadata for path in sorted((prepared / "data").iterdir())]
    sizes = [[shard.row_group(group).num_rows for group in range(shard.num_row_groups)] for shard in shards]
    assert sizes == [[30], [100, 100], [100, 50]]
    assert not list(prepared.parent.glob(".preparing-*"))


def test_the_manifest_counts_what_is_there(prepared: Path) -> None:
    manifest = check_files(prepared)
    for name, split in load_dataset(str(prepared)).items():
        assert manifest["splits"][name] == {**describe_split(split), "num_source_images": len(split), "skipped": []}
    assert sum(file["num_images"] for file in manifest["files"].values()) == NUM_TRAIN + 30
    assert manifest["settings"]["short_side"] == 16
    text = (prepared / "prepare.json").read_text()
    assert str(prepared.parent) not in text


@pytest.mark.parametrize("names", [("train", "test"), ("train", "query", "gallery")])
@pytest.mark.parametrize("label", [ClassLabel(names=list("gfedcba")), Value("int64")])
def test_the_catalogue_loads_it_as_it_was(tmp_path: Path, names: tuple[str, ...], label: object) -> None:
    source = make_dataset(names, label)
    prepare_dataset(source, tmp_path / "out", **SETTINGS)
    loaded = load_retrieval_dataset("catalogue", data_dir=tmp_path / "out")
    assert set(loaded) == set(names)
    for name, split in source.items():
        assert loaded[name].features == split.features
        assert loaded[name]["label"][:] == split["label"][:]
        assert loaded[name]["image_id"][:] == split["image_id"][:]


@pytest.mark.parametrize("label", [ClassLabel(names=list("gfedcba")), Value("int64"), Value("string")])
def test_a_train_split_alone_is_halved_by_class(tmp_path: Path, label: object) -> None:
    source = {"train": make_split("train", 70, Value("int64")).cast_column("label", label)}
    prepare_dataset(source, tmp_path / "out", **SETTINGS)
    loaded = load_retrieval_dataset("catalogue", data_dir=tmp_path / "out")
    classes = [set(split["label"]) for split in loaded.values()]
    assert [len(split) for split in loaded.values()] == [40, 30]
    assert not classes[0] & classes[1]


def test_an_id_for_images_that_have_none(tmp_path: Path) -> None:
    source = {"train": make_split("train", 3, Value("int64")).remove_columns("image_id")}
    prepare_dataset(source, tmp_path / "out", **SETTINGS)
    assert load_dataset(str(tmp_path / "out"))["train"]["image_id"][:] == [f"train/{row:06d}" for row in range(3)]


def test_names_of_files_come_from_ids_and_nothing_else(tmp_path: Path) -> None:
    ids = ["a/b.PNG", "sku-1.5", "/home/ada/c.jpg", "", "..", "ваза 1"]
    rows = [{"image": {"bytes": picture(0), "path": "/home/ada/x.jpg"}, "label": 0, "image_id": name} for name in ids]
    features = make_split("train", 1, Value("int64")).features
    prepare_dataset({"train": datasets.Dataset.from_list(rows, features=features)}, tmp_path / "out", **SETTINGS)
    train = load_dataset(str(tmp_path / "out"))["train"].cast_column("image", datasets.Image(decode=False))
    names = [row["image"]["path"] for row in train]
    assert names == ["b.jpg", "sku-1.5.jpg", "c.jpg", ".jpg", "...jpg", "ваза 1.jpg"]
    assert train["image_id"][:] == ids
    rows[3]["image_id"] = None
    with pytest.raises(ValueError, match="image_id is null in row 3; give each row an image_id"):
        prepare_dataset({"train": datasets.Dataset.from_list(rows, features=features)}, tmp_path / "2", **SETTINGS)


def test_threads_and_streams_change_nothing(prepared: Path, tmp_path: Path) -> None:
    prepare_dataset(make_dataset(), tmp_path / "alone", num_workers=1, **SETTINGS)
    streams = {name: split.to_iterable_dataset(num_shards=3) for name, split in make_dataset().items()}
    prepare_dataset(streams, tmp_path / "streamed", num_workers=3, **SETTINGS)
    assert content(tmp_path / "alone") == content(tmp_path / "streamed") == content(prepared)


def test_few_rows_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, written, ahead = 0, 0, []

    def rows():
        nonlocal read
        for number in range(1000):
            read += 1
            yield {"image": {"bytes": picture(0), "path": None}, "label": 0, "image_id": str(number)}

    def counting(writer, group, original=prepare.write_group):
        nonlocal written
        ahead.append(read - written)
        written += len(group)
        original(writer, group)

    monkeypatch.setattr(prepare, "write_group", counting)
    stream = IterableDataset.from_generator(rows, features=make_split("train", 1, Value("int64")).features)
    prepare_dataset({"train": stream}, tmp_path / "out", **SETTINGS)
    assert len(ahead) == 10
    # The group being written, the group held back, and the groups encoded ahead.
    assert max(ahead) <= (2 + row_groups.GROUPS_AHEAD) * 100 + 100


# --- interrupted runs


def shards_on_disk(folder: Path) -> set[tuple[str, int]]:
    """Return split, number and inode of the finished shards, under whichever name they have."""
    paths = (folder / "data").glob("[!.]*")
    return {(path.stem.split("-of-")[0], path.stat().st_ino) for path in paths}


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != "never"])
def test_killed_and_repeated_it_is_the_same_byte_for_byte(prepared: Path, tmp_path: Path, moment: str) -> None:
    output_dir = tmp_path / "out"
    prepare_until(moment, tmp_path)
    assert not output_dir.exists()
    done = shards_on_disk(tmp_path / ".preparing-out")
    prepare_dataset(make_dataset(), output_dir, **SETTINGS)
    assert content(output_dir) == content(prepared)
    assert done <= shards_on_disk(output_dir)  # a finished shard is not written again
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_of_two_at_once_one_works(prepared: Path, tmp_path: Path) -> None:
    prepare_until("never", tmp_path, processes=2)
    assert content(tmp_path / "out") == content(prepared)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_bad_image_names_itself_and_work_goes_on_when_it_is_mended(prepared: Path, tmp_path: Path) -> None:
    good = make_dataset()

    def spoil(row: dict, number: int) -> dict:
        return {**row, "image": {"bytes": b"gone" if number in (301, 333) else row["image"]["bytes"], "path": None}}

    raw = good["train"].cast_column("image", datasets.Image(decode=False))
    bad = raw.map(spoil, with_indices=True).cast_column("image", datasets.Image())
    message = r"2 images cannot be read: row 301, train/picture 301.png: expected an image.*, row 333.*repeat the call"
    with pytest.raises(ValueError, match=message):
        prepare_dataset({**good, "train": bad}, tmp_path / "out", **SETTINGS)
    (done,) = (tmp_path / ".preparing-out" / "data").glob("[!.]*")
    prepare_dataset(good, tmp_path / "out", **SETTINGS)
    assert content(tmp_path / "out") == content(prepared)
    assert done.name == "train-00000.parquet"


@pytest.mark.parametrize("bad", [[5], [0, 99, 100], list(range(100, 300)), list(range(20)), list(range(290, 350))])
def test_bad_images_left_out_are_counted(tmp_path: Path, bad: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = make_split("train", NUM_TRAIN, Value("int64")).cast_column("image", datasets.Image(decode=False)).to_list()
    for row in bad:
        rows[row]["image"]["bytes"] = b"gone"
    split = datasets.Dataset.from_list(rows, features=make_split("train", 1, Value("int64")).features)
    settings = {**SETTINGS, "on_bad_image": "skip"}

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prepare, "write_manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset({"train": split}, tmp_path / "out", **settings)
    prepare_dataset({"train": split}, tmp_path / "out", **settings)
    facts = read_manifest(tmp_path / "out")["splits"]["train"]
    assert [one["row"] for one in facts["skipped"]] == bad
    assert (facts["num_images"], facts["num_source_images"]) == (NUM_TRAIN - len(bad), NUM_TRAIN)
    left = [image_id for row, image_id in enumerate(split["image_id"][:]) if row not in bad]
    assert load_dataset(str(tmp_path / "out"))["train"]["image_id"][:] == left
    assert f"left out {len(bad)} unreadable images: train/picture {bad[0]}.png (expected an image" in report_skipped(
        tmp_path / "out"
    )
    assert prepare_dataset({"train": split}, tmp_path / "out", **settings) == tmp_path / "out"


@pytest.mark.parametrize("cut", [[5], [0, 299, 300, 349]])
def test_truncated_jpegs_are_completed_and_counted(tmp_path: Path, cut: list[int], monkeypatch) -> None:
    rows = make_split("train", NUM_TRAIN, Value("int64")).cast_column("image", datasets.Image(decode=False)).to_list()
    for row in cut:
        rows[row]["image"]["bytes"] = cut_jpeg(row, 1_500)
    rows[7]["image"]["bytes"] = b"gone"
    split = datasets.Dataset.from_list(rows, features=make_split("train", 1, Value("int64")).features)
    with pytest.raises(ValueError, match=r"cannot be read: .*--on_bad_image mend.*--on_bad_image skip"):
        prepare_dataset({"train": split}, tmp_path / "out", **SETTINGS)
    settings = {**SETTINGS, "on_bad_image": "mend"}

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prepare, "write_manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset({"train": split}, tmp_path / "out", **settings)
    prepare_dataset({"train": split}, tmp_path / "out", **settings)
    prepare_dataset({"train": split}, tmp_path / "at once", **settings)
    assert content(tmp_path / "out") == content(tmp_path / "at once")
    facts = read_manifest(tmp_path / "out")["splits"]["train"]
    assert [one["row"] for one in facts["mended"]] == cut
    assert [one["row"] for one in facts["skipped"]] == [7]
    assert facts["mended"][0]["reason"].startswith("OSError: image file is truncated")
    assert report_mended(tmp_path / "out").startswith(
        f"train: completed {len(cut)} truncated JPEG files: train/picture"
    )
    written = load_dataset(str(tmp_path / "out"))["train"]
    assert len(written) == NUM_TRAIN - 1
    assert set(split["image_id"][:]) - set(written["image_id"][:]) == {split["image_id"][7]}
    raw = written.cast_column("image", datasets.Image(decode=False))
    for row in cut:
        completed = {"bytes": cut_jpeg(row, 1_500) + b"\xff\xd9", "path": None}
        assert raw[row - (row > 7)]["image"]["bytes"] == Encoding(SETTINGS["short_side"]).encode(completed)
    with pytest.raises(ValueError, match="other settings: on_bad_image 'mend', now 'skip'"):
        prepare_dataset({"train": split}, tmp_path / "out", **{**SETTINGS, "on_bad_image": "skip"})


def test_leaving_images_out_goes_on_with_what_refusing_them_left(tmp_path: Path) -> None:
    rows = make_split("train", NUM_TRAIN, Value("int64")).cast_column("image", datasets.Image(decode=False)).to_list()
    rows[NUM_TRAIN - 1]["image"]["bytes"] = b"gone"
    split = {"train": datasets.Dataset.from_list(rows, features=make_split("train", 1, Value("int64")).features)}
    skip = {**SETTINGS, "on_bad_image": "skip"}
    with pytest.raises(ValueError, match=r"1 images cannot be read: row 349.*on_bad_image"):
        prepare_dataset(split, tmp_path / "out", **SETTINGS)
    (kept,) = (tmp_path / ".preparing-out" / "data").glob("[!.]*")
    written = kept.stat().st_mtime_ns
    prepare_dataset(split, tmp_path / "out", **skip)
    assert (tmp_path / "out" / "data" / "train-00000-of-00002.parquet").stat().st_mtime_ns == written
    prepare_dataset(split, tmp_path / "at once", **skip)
    assert content(tmp_path / "out") == content(tmp_path / "at once")
    with pytest.raises(ValueError, match="other settings: on_bad_image 'skip', now 'error'"):
        prepare_dataset(split, tmp_path / "out", **SETTINGS)


def test_a_whole_folder_without_bad_images_is_what_leaving_them_out_makes(prepared: Path) -> None:
    assert prepare_dataset(make_dataset(), prepared, **SETTINGS, on_bad_image="skip") == prepared


def test_only_skip_may_follow_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = make_split("train", NUM_TRAIN, Value("int64"))
    rows = split.cast_column("image", datasets.Image(decode=False)).to_list()
    rows[301]["image"]["bytes"] = b"gone"
    source = {"train": datasets.Dataset.from_list(rows, features=split.features)}
    error, skip = ({**SETTINGS, "on_bad_image": way} for way in ("error", "skip"))
    with pytest.raises(ValueError, match="1 images cannot be read: row 301"):
        prepare_dataset(source, tmp_path / "out", **error)
    with pytest.raises(ValueError, match=r"prepared with other settings: short_side 16, now 17\. Repeat"):
        prepare_dataset(source, tmp_path / "out", **{**skip, "short_side": 17})

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prepare, "write_manifest", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare_dataset(source, tmp_path / "out", **skip)
    with pytest.raises(ValueError, match=r"other settings: on_bad_image 'skip', now 'error'\. Repeat"):
        prepare_dataset(source, tmp_path / "out", **error)  # the begun folder has left an image out
    prepare_dataset(source, tmp_path / "out", **skip)
    assert [one["row"] for one in read_manifest(tmp_path / "out")["splits"]["train"]["skipped"]] == [301]


# --- data and settings that are refused


def test_a_whole_folder_is_returned_at_once(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "encode_groups", None)
    assert prepare_dataset(make_dataset(), prepared, **SETTINGS) == prepared


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Begin to prepare the data set twice: killed inside a shard, and when all were written."""
    folders = [tmp_path_factory.mktemp("begun") for _ in range(2)]
    for folder, moment in zip(folders, ("in the second shard", "before notes are removed"), strict=True):
        prepare_until(moment, folder)
    return [folder / "out" for folder in folders]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"short_side": 17}, "prepared with other settings: short_side 16, now 17. Repeat the call with those"),
        ({"source": "elsewhere"}, "source '', now 'elsewhere'"),
        ({"quality": 50, "image_format": "webp"}, "image_format 'jpeg', now 'webp'; quality 90, now 50"),
    ],
)
def test_other_settings(prepared: Path, begun: list[Path], changes: dict, message: str) -> None:
    for output_dir in (prepared, *begun):
        with pytest.raises(ValueError, match=message):
            prepare_dataset(make_dataset(), output_dir, **{**SETTINGS, **changes})


def test_other_images(prepared: Path, tmp_path: Path) -> None:
    source = make_dataset()
    begun = tmp_path / "out"
    prepare_until("in the second shard", tmp_path)
    fewer = {**source, "train": source["train"].select(range(349))}
    with pytest.raises(ValueError, match=r"'train' was prepared from 350 images; the source has 349"):
        prepare_dataset(fewer, prepared, **SETTINGS)
    with pytest.raises(ValueError, match=r"'train': 200 images were prepared, but the source has 50"):
        prepare_dataset({**source, "train": source["train"].select(range(50))}, begun, **SETTINGS)
    turned = {**source, "train": source["train"].select([*range(1, 350), 0])}
    for folder in (prepared, begun):
        with pytest.raises(ValueError, match=r"row 0 was prepared from 'train/picture 0.png', which is not there any"):
            prepare_dataset(turned, folder, **SETTINGS)
    with pytest.raises(ValueError, match="prepared with the splits train, test; got train"):
        prepare_dataset({"train": source["train"]}, prepared, **SETTINGS)


def test_something_else_is_there(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is there and is no prepared data set; name another output_dir"):
        prepare_dataset(make_dataset(), tmp_path, **SETTINGS)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_data_that_will_not_do(tmp_path: Path) -> None:
    train, test = make_dataset().values()
    refused = [
        ({}, "expected at least one split, got none"),
        ({"a-b": train}, "letters, digits, _ and . between them; got 'a-b'"),
        (
            {"train": train, "test": test.cast_column("label", Value("int64"))},
            "expected the same features in all splits",
        ),
        ({"train": train.remove_columns("label")}, "split 'train': no column label; it has image, image_id"),
        ({"train": train.cast_column("image_id", Value("binary"))}, "expected image: Image and image_id: string"),
        ({"train": IterableDataset.from_generator(lambda: iter([]))}, "does not declare the types of its columns"),
        ({"train": train.select([])}, "split 'train' has no images that can be read"),
    ]
    for dataset, message in refused:
        with pytest.raises(ValueError, match=message):
            prepare_dataset(dataset, tmp_path / "out", **SETTINGS)
    for settings, message in [
        ({"on_bad_image": "ignore"}, "expected on_bad_image to be one of"),
        ({"shard_size": 0}, "in bytes"),
    ]:
        with pytest.raises(ValueError, match=message):
            prepare_dataset({"train": train}, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_files_that_changed_or_went(prepared: Path, tmp_path: Path) -> None:
    prepare_dataset(make_dataset(), tmp_path / "out", **SETTINGS)
    first, second = sorted((tmp_path / "out" / "data").glob("train*"))
    first.write_bytes(first.read_bytes()[:-1] + b"!")
    with pytest.raises(ValueError, match=r"data/train-00000-of-00002.parquet changed since they were written"):
        check_files(tmp_path / "out")
    second.unlink()
    with pytest.raises(FileNotFoundError, match=r"data/train-00001-of-00002.parquet missing"):
        check_files(tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"is not a prepared data set: expected prepare.json in it"):
        read_manifest(tmp_path)


def test_an_older_format_is_refused(tmp_path: Path) -> None:
    prepare_dataset(make_dataset(), tmp_path / "out", **SETTINGS)
    manifest = json.loads((tmp_path / "out" / "prepare.json").read_text())
    (tmp_path / "out" / "prepare.json").write_text(json.dumps({**manifest, "format": 0}))
    with pytest.raises(ValueError, match="written by another version of prepare_dataset"):
        prepare_dataset(make_dataset(), tmp_path / "out", **SETTINGS)
