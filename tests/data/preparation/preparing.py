"""A drawn data set for the tests of `prepare`, and a run that prepares it and dies at a chosen moment."""

import functools
import io
import os
import signal
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage

from hf_vitret.data.preparation import prepare, prepared_folder
from hf_vitret.files import atomic_writes

SETTINGS = {"short_side": 16, "shard_size": 60_000, "progress": False}
NUM_TRAIN = 350  # three row groups and a half, two shards of two groups


@functools.cache
def picture(number: int) -> bytes:
    """Draw a JPEG of 48 x 32 pixels that no other number has."""
    stream = io.BytesIO()
    gradient = PILImage.linear_gradient("L").rotate(number).resize((48, 32))
    PILImage.merge("RGB", (gradient, gradient.rotate(90 + number), gradient.rotate(180))).save(stream, "JPEG")
    return stream.getvalue()


def make_split(name: str, size: int, label: object) -> Dataset:
    rows = {
        "image": [{"bytes": picture(number), "path": None} for number in range(size)],
        "label": [number % 7 for number in range(size)],
        "image_id": [f"{name}/picture {number}.png" for number in range(size)],
    }
    return Dataset.from_dict(rows, features=Features(image=Image(), label=label, image_id=Value("string")))


def make_dataset(names: tuple[str, ...] = ("train", "test"), label: object = None) -> dict[str, Dataset]:
    label = label or ClassLabel(names=list("gfedcba"))
    return {name: make_split(name, NUM_TRAIN if name == "train" else 30, label) for name in names}


def content(folder: Path) -> dict[str, bytes]:
    """Read every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# Moments: (where it is called, its name, at which call the process dies in its place).
MOMENTS = {
    "never": (prepare, "write_group", 1_000_000),
    "in the first group": (prepare, "write_group", 1),
    "in the second shard": (prepare, "write_group", 3),
    "before a shard has its note": (prepare, "write_text", 2),
    "before a shard has its name": (atomic_writes, "flush", 9),
    "in the test split": (prepare, "write_group", 5),
    "while shards get their last names": (Path, "rename", 2),
    "before the manifest": (prepared_folder, "write_json", 1),
    "before notes are removed": (prepare, "_finish", 1),
    "before the folder has its name": (prepare, "flush", 1),
}


def die_at(where: object, name: str, call: int) -> None:
    """Replace a function by one that kills this process at its n-th call."""
    original, calls = getattr(where, name), 0

    def deadly(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(where, name, deadly)


def run(folder: str, moment: str) -> None:
    """Prepare the data set in `<folder>/out`."""
    die_at(*MOMENTS[moment])
    prepare.prepare_dataset(make_dataset(), Path(folder, "out"), **SETTINGS)
