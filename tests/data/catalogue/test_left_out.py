"""Which files of a folder are images, and that every other file is counted with the right reason."""

import io
import logging
import os
import sys
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.catalogue import file_kinds as kinds
from hf_vitret.data.catalogue import image_files
from hf_vitret.data.catalogue.image_files import find_images, list_folder
from hf_vitret.data.catalogue.left_out import MAX_NAMES, LeftOut, Reason, collecting


def saved(file_format, **options):
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), (200, 90, 9)).save(stream, file_format, **options)
    return stream.getvalue()


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", "b")
    return stream.getvalue()


def test_photographs_of_every_ending_are_loaded(tmp_path):
    for name in "abcd":
        for number, ending in enumerate(("jpg", "jpg", "jfif", "jfif", "jfif")):
            write(tmp_path, {f"{name}/{number}.{ending}": saved("JPEG")})
    dataset = load_retrieval_dataset("catalogue", tmp_path)
    assert {split: len(rows) for split, rows in dataset.items()} == {"train": 10, "test": 10}


TEXT = b"a line of text\n"
# What is in a file, and why it is left out; `None`: it is an image.
CASES = {
    "photo.JPG": (saved("JPEG"), None),
    "photo.jpe": (saved("JPEG"), None),
    "photo.jfif": (saved("JPEG"), None),
    "photo.mpo": (saved("MPO"), None),
    "photo.jp2": (saved("JPEG2000"), None),
    "photo.tga": (saved("TGA"), None),
    "photo.pcx": (saved("PCX"), None),
    "photo.qoi": (saved("QOI"), None),
    "photo.apng": (saved("PNG"), None),
    "photo.webp": (saved("WEBP"), None),
    "photo": (saved("PNG"), None),
    "jpg": (saved("GIF"), None),
    "IMG_0001.THM": (saved("JPEG"), None),
    "photo.jpg.orig": (saved("JPEG"), None),
    "photo.txt": (saved("BMP"), None),
    "pixels.dat": (saved("PPM"), None),
    "damaged.jpg": (TEXT, None),  # listed, so that it is reported as unreadable
    "empty.png": (b"", None),
    "notes.txt": (TEXT, kinds.OTHER),
    "png": (TEXT, kinds.OTHER),
    "about.txt": (b"P1 shoes\nP2 boots\n", kinds.OTHER),
    "empty": (b"", Reason("files that are no images (empty)")),
    "manual.pdf": (b"%PDF-1.7\n", Reason("files that are no images (PDF, which is a document)")),
    "photos.zip": (zipped(), Reason("files that are no images (a ZIP archive)")),
    "page.html": (
        b"<!doctype html><html>",
        Reason("files that are no images (HTML, such as the error page of a download)"),
    ),
    "clip.mp4": (b"\0\0\0\x18ftypisom" + bytes(20), Reason("files that are no images (a video)")),
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", kinds.DRAWING),
    "drawing.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n", kinds.DRAWING),
    "drawing": (b"%!PS-Adobe-3.0 EPSF-3.0\n", kinds.DRAWING),
    "drawing.wmf": (b"\xd7\xcd\xc6\x9a" + bytes(30), kinds.DRAWING),
    "DSC_1.NEF": (saved("TIFF"), kinds.RAW),
    "DSC_1.dng": (saved("TIFF"), kinds.RAW),
    "IMG_1.CR2": (saved("TIFF"), kinds.RAW),
    "IMG_1.CR3": (b"\0\0\0\x18ftypcrx " + bytes(20), kinds.RAW),
    "scan.exr": (b"v/1\x01" + bytes(20), kinds.UNDECODED),
    "Thumbs.db": (b"\xd0\xcf\x11\xe0", kinds.PROGRAM),
    "desktop.ini": (TEXT, kinds.PROGRAM),
    ".DS_Store": (TEXT, kinds.PROGRAM),
    "._photo.jpg": (TEXT, kinds.PROGRAM),
    ".gitignore": (TEXT, kinds.HIDDEN),
    ".photo.jpg": (saved("JPEG"), kinds.HIDDEN_IMAGE),
    ".photo": (saved("JPEG"), kinds.HIDDEN_IMAGE),
    ".5mm/1.jpg": (saved("JPEG"), kinds.IN_HIDDEN_FOLDER),
    ".5mm/more/1": (saved("JPEG"), kinds.IN_HIDDEN_FOLDER),
    ".5mm/notes.txt": (TEXT, kinds.HIDDEN),
    ".git/x.jpg": (saved("JPEG"), kinds.PROGRAM),
    "__MACOSX/cup/._x.jpg": (TEXT, kinds.PROGRAM),
}


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_file(tmp_path, name):
    content, reason = CASES[name]
    listing = list_folder(write(tmp_path, {f"cup/{name}": content}))
    files = {one: names for one, names in listing.left_out.names.items() if not one.is_folder}
    if reason is None:
        assert [path.name for path in listing.images] == [name]
        assert not files
    else:
        assert listing.images == []
        assert files == {reason: [f"cup/{name}"]}


@pytest.mark.parametrize(
    ("module", "file_format", "name", "package"),
    [
        ("pillow_heif", "HEIF", "photo.HEIC", "hf_vitret[formats]"),
        ("pillow_heif", "HEIF", "photo", "hf_vitret[formats]"),
        ("pillow_jxl", "JXL", "photo.jxl", "hf_vitret[formats]"),
    ],
)
def test_an_image_that_needs_a_plugin(tmp_path, monkeypatch, module, file_format, name, package):
    pytest.importorskip(module, reason="THE PLUG-IN IS NOT INSTALLED: pip install 'hf_vitret[formats]'")
    assert kinds.has_decoder(file_format)
    content = saved(file_format)
    root = write(tmp_path, {f"cup/{name}": content, "cup/other.heic": saved("JPEG"), "cup/1.jpg": saved("JPEG")})
    assert {path.name for path in find_images(root)} == {name, "other.heic", "1.jpg"}
    monkeypatch.setitem(sys.modules, module, None)  # cannot be imported
    monkeypatch.delitem(Image.OPEN, file_format)
    with collecting() as left_out:
        assert {path.name for path in find_images(root)} == {"other.heic", "1.jpg"}  # a JPEG of the wrong name
    [line] = left_out.lines()
    assert line.endswith(f'cup/{name}; pip install "{package}"')
    assert left_out.has_images


def test_only_files_whose_names_do_not_decide_are_opened(tmp_path, monkeypatch):
    opened = []
    read_head = image_files.read_head
    monkeypatch.setattr(image_files, "read_head", lambda path: opened.append(path) or read_head(path))
    root = write(tmp_path, {f"cup/{name}": content for name, (content, _) in CASES.items()})
    list_folder(root)
    decided = [name for name in CASES if name.lower().endswith((".jpg", ".jfif", ".tga", ".nef", ".svg", ".db"))]
    assert len(decided) > 8
    assert not {f"{root}/cup/{name}" for name in decided if not name.startswith(".")} & {*opened}


def test_links_pipes_and_folders_that_hold_nothing(tmp_path):
    root = write(tmp_path / "root", {"cup/1.png": saved("PNG"), "fan/notes.txt": TEXT, "zoo/deep/2.png": saved("PNG")})
    (root / "empty").mkdir()
    (root / "loop").symlink_to(root, target_is_directory=True)
    (root / "same").symlink_to(root / "cup", target_is_directory=True)
    (root / "cup" / "nowhere").symlink_to(root / "no such file")
    (root / "cup" / "itself").symlink_to(root / "cup" / "itself")
    os.mkfifo(root / "cup" / "pipe.jpg")  # to read it would wait for ever
    os.mkfifo(root / "cup" / "pipe")
    listing = list_folder(root)
    assert [path.relative_to(root).as_posix() for path in listing.images] == ["cup/1.png", "zoo/deep/2.png"]
    assert listing.left_out.names == {
        kinds.SPECIAL: ["cup/nowhere", "cup/pipe", "cup/pipe.jpg"],
        kinds.UNOPENED: ["cup/itself"],
        image_files.EMPTY: ["empty", "fan"],
        kinds.OTHER: ["fan/notes.txt"],
        image_files.LINKED: ["loop", "same"],
    }


def test_what_may_not_be_opened(tmp_path, monkeypatch):
    root = write(tmp_path, {"cup/1.png": saved("PNG"), "cup/2": saved("PNG"), "fan/1.png": saved("PNG")})
    scan = image_files._scan

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(image_files, "read_head", refuse)
    monkeypatch.setattr(image_files, "_scan", lambda path: refuse(path) if path.endswith("fan/") else scan(path))
    listing = list_folder(root)
    assert [path.name for path in listing.images] == ["1.png"]
    assert listing.left_out.names == {kinds.UNOPENED: ["cup/2"], image_files.CLOSED: ["fan"]}
    assert listing.left_out.has_images
    with pytest.raises(PermissionError):
        list_folder(root / "fan")


def test_each_reason_is_a_line_of_the_log(tmp_path, caplog):
    files = {
        f"cup/{name}": CASES[name][0] for name in ("photo.JPG", "DSC_1.NEF", "IMG_1.CR2", "notes.txt", "Thumbs.db")
    }
    root = write(tmp_path / "photos", files)
    with caplog.at_level(logging.WARNING, "hf_vitret"), collecting() as left_out:
        find_images(root)
    assert [record.getMessage() for record in caplog.records] == [
        f"{root}: left out 2 raw photographs of a camera: cup/DSC_1.NEF, cup/IMG_1.CR2; convert them to JPEG or PNG",
        f"{root}: left out 1 files that the operating system or a program keeps for itself: cup/Thumbs.db",
        f"{root}: left out 1 files that are no images: cup/notes.txt",
    ]
    assert left_out.names[kinds.RAW] == ["photos/cup/DSC_1.NEF", "photos/cup/IMG_1.CR2"]


def test_files_that_are_used_otherwise_are_not_reported(tmp_path):
    root = write(tmp_path, {"metadata.csv": TEXT, "cup/metadata.csv": TEXT, "cup/1.png": saved("PNG")})
    with collecting() as left_out:
        find_images(root, used={"metadata.csv"})
    assert left_out.names == {kinds.OTHER: [f"{root.name}/cup/metadata.csv"]}


def test_a_folder_without_images_may_be_of_another_kind(tmp_path):
    with collecting() as left_out:
        assert find_images(write(tmp_path, {"data/train.parquet": TEXT, "data/1.dng": saved("TIFF")})) == []
    assert left_out.names == {kinds.RAW: [f"{tmp_path.name}/data/1.dng"]}


def test_nested_collections(tmp_path):
    root = write(tmp_path, {"cup/1.png": saved("PNG"), "cup/notes.txt": TEXT})
    with collecting() as outer:
        with collecting() as inner:
            find_images(root)
        find_images(root)
    find_images(root)
    assert (inner.num_files, outer.num_files) == (1, 2)


def test_names_are_few_and_can_be_written(tmp_path):
    found = LeftOut()
    for number in range(25):
        found.add(kinds.OTHER, f"{number}.txt")
    found.add(kinds.RAW, "caf\udce9.dng")  # a name in Latin-1, as the system returns it
    assert found.num_files == 26
    assert found.names[kinds.OTHER] == [f"{number}.txt" for number in range(MAX_NAMES)]
    assert found.lines() == [
        "1 raw photographs of a camera: caf\\udce9.dng; convert them to JPEG or PNG",
        "25 files that are no images: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 20 more",
    ]
    again = LeftOut.from_json(found.to_json())
    assert (again.counts, again.names) == (found.counts, found.names)
    assert again.only_images().counts == {kinds.RAW: 1}


PARTS = st.sampled_from(["cup", "fan", ".5mm", ".git", "deep", "__MACOSX"])
FILES = st.sampled_from(sorted(name for name in CASES if "/" not in name))


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.tuples(st.lists(PARTS, max_size=3), FILES).map(lambda pair: "/".join([*pair[0], pair[1]])), max_size=12)
)
def test_every_file_is_listed_or_counted_once(tmp_path_factory, names):
    root = write(tmp_path_factory.mktemp("tree"), {name: CASES[name.rpartition("/")[2]][0] for name in names})
    listing = list_folder(root)
    images = [path.relative_to(root).as_posix() for path in listing.images]
    assert images == sorted(images, key=lambda name: name.split("/"))
    assert len(images) + listing.left_out.num_files == len(names)
    hidden = {".5mm", ".git", "__MACOSX"}
    expected = {
        name for name in names if CASES[name.rpartition("/")[2]][1] is None and not hidden & {*name.split("/")[:-1]}
    }
    assert {*images} == expected
