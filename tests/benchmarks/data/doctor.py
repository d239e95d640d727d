"""The doctor on 20,000 JPEG images of about 400 pixels: seconds, peak memory, and whether it finds what was planted.

    python -m tests.benchmarks.data.doctor [--num_images 20000]

Bar: under 3 minutes and under 1 GB on 2 cores. The images are drawn first, which takes longer and is not measured. The
doctor runs as a process of its own, with its files read from a warm cache; its memory is the peak of the resident set
(VmHWM: Linux only) and includes Python, numpy and datasets. The pages and tables are written, too.
"""

import argparse
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.models.test_color_profiles import WIDE

from ..harness.figures import Figure, record

MAX_SECONDS, MAX_MIB = 180, 1_000
PER_CLASS = 5
# How many of each defect are planted; each on images of its own.
NUM_PLANTED = 40
NAMES = {  # class names with a defect
    "class_name_variants": ["Shoe", "shoe", " SHOE"],
    "placeholder_class": ["nan"],
    "similar_class_names": ["golden retriever", "golden retreiver"],
}
NUM_BLANK = 200  # one file under as many names: twenty thousand pairs
RUN = """
import sys
from hf_vitret.cli.main import main
from tests.benchmarks.harness.resident import MIB, resident
status = main(sys.argv[1:])
print("VmHWM, MiB", resident("VmHWM") / MIB)
sys.exit(status)
"""


def draw(number: int) -> Image.Image:
    """Draw patches of colour with edges and grain: no two numbers look alike, and a JPEG of it is about 40 kB."""
    generator = np.random.default_rng(number)
    size = tuple(generator.integers(340, 461, 2).tolist())
    patches = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    smooth = np.asarray(patches.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    grain = generator.normal(scale=9, size=(*smooth.shape[:2], 1)).astype(np.float32)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def draw_white(number: int) -> Image.Image:
    """Draw white spots on a transparent ground, which differ by number."""
    spots = np.random.default_rng(number).integers(0, 2, (8, 8, 1)).astype(bool)
    pixels = np.where(spots, np.uint8(255), np.zeros(4, np.uint8))
    return Image.fromarray(pixels.astype(np.uint8), "RGBA").resize((96, 96), Image.Resampling.NEAREST)


def name_of(number: int, num_images: int) -> str:
    split = "train" if number < num_images // 2 else "test"
    return f"{split}/class{number // PER_CLASS:05d}/{number:05d}.jpg"


def write_one(job: tuple[str, int, int]) -> None:
    folder, number, num_images = job
    path = Path(folder) / name_of(number, num_images)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw(number).save(path, "JPEG", quality=90)


def plant(folder: Path, num_images: int) -> set[tuple[str, str | None, frozenset[str]]]:
    """Add defects to the images, and return what the doctor should find: kind, scope, image ids."""
    planted: set[tuple[str, str | None, frozenset[str]]] = set()
    numbers = iter(np.random.default_rng(0).permutation(num_images // 2).tolist())  # all of them in train

    def add(kind: str, scope: str | None, content: bytes, name: str, *others: str) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        planted.add((kind, scope, frozenset([name, *others])))

    def encode(image: Image.Image, file_format: str, **options: Any) -> bytes:
        stream = io.BytesIO()
        image.save(stream, file_format, **options)
        return stream.getvalue()

    for place in range(NUM_PLANTED):
        target = Path(name_of(num_images // 2 + place * PER_CLASS, num_images)).parent  # a class of test
        for scope in ("inside_class", "across_classes", "across_splits"):
            for kind in ("same_file", "same_pixels", "near_duplicate"):
                number = next(numbers)
                name = name_of(number, num_images)
                content = (folder / name).read_bytes()
                image = Image.open(io.BytesIO(content))
                if kind == "same_pixels":
                    content = encode(image, "PNG")
                elif kind == "near_duplicate":
                    width, height = image.size
                    content = encode(image.resize((width * 3 // 4, height * 3 // 4)), "JPEG", quality=70)
                parent = {
                    "inside_class": Path(name).parent,
                    "across_classes": Path(name_of((number + PER_CLASS) % (num_images // 2), num_images)).parent,
                    "across_splits": target,
                }[scope]
                suffix = "png" if kind == "same_pixels" else "jpg"
                add(kind, scope, content, f"{parent}/{kind}-{scope}-{place}.{suffix}", name)
        new = draw(num_images + place)
        whole = encode(new, "JPEG", quality=90)
        for kind, content in {
            "unreadable": whole[: len(whole) // 2],
            "cmyk": encode(draw(num_images + 1000 + place).convert("CMYK"), "JPEG", quality=90),
            "tiny": encode(draw(num_images + 2000 + place).resize((31, 40)), "JPEG", quality=95),
            "color_profile": encode(draw(num_images + 3000 + place), "JPEG", quality=90, icc_profile=WIDE),
        }.items():
            add(kind, None, content, f"{target}/{kind}-{place}.jpg")
        strip = draw(num_images + 4000 + place).resize((2_000, 33))
        add("unreadable", None, encode(strip, "JPEG"), f"{target}/strip-{place}.jpg")
        # A white drawing on a transparent ground is no defect.
        (folder / f"{target}/drawing-{place}.png").write_bytes(encode(draw_white(num_images + 5000 + place), "PNG"))
    for kind, names in NAMES.items():
        ids = [f"train/{name}/{number}.jpg" for name in names for number in range(2)]
        for number, name in enumerate(ids, start=num_images + 6000 + 100 * len(planted)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(encode(draw(number), "JPEG", quality=90))
        planted.add((kind, None, frozenset(ids)))
    blank = encode(Image.new("RGB", (400, 400), "white"), "JPEG")
    names = [f"train/blank/{place}.jpg" for place in range(NUM_BLANK)]
    for name in names:
        add("blank", None, blank, name)
    planted.add(("same_file", "inside_class", frozenset(names)))
    return planted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num_images", type=int, default=20_000)
    num_images = parser.parse_args().num_images
    if num_images < 4_000:
        parser.error("expected at least 4000 images, so that each defect has some of its own")
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = Path(temporary) / "photos", Path(temporary) / "report"
        print(f"drawing {num_images:,} images ...", flush=True)
        with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
            pool.map(write_one, [(str(folder), number, num_images) for number in range(num_images)], chunksize=100)
        planted = plant(folder, num_images)
        files = [path for path in folder.rglob("*") if path.is_file()]
        kib = sum(path.stat().st_size for path in files) / len(files) / 1_024
        print(f"{len(files):,} images, {kib:.0f} KiB each, {len(planted):,} defects planted; {os.cpu_count()} cores")
        command = ["doctor", str(folder), "--output_dir", str(output)]
        environment = {**os.environ, "HF_DATASETS_CACHE": f"{temporary}/cache", "HF_DATASETS_OFFLINE": "1"}
        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-c", RUN, *command], env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        seconds = time.perf_counter() - start
        print(result.stdout)
        found = {
            (one["kind"], one["scope"], frozenset(image["image_id"] for image in one["images"]))
            for one in json.loads((output / "doctor.json").read_text(encoding="utf-8"))["findings"]
        }
    mib = float(result.stdout.split()[-1])
    missed, invented = planted - found, found - planted
    print(f"{seconds:.1f} s, {len(files) / seconds:.0f} images/s, peak {mib:.0f} MiB")
    print(f"{len(planted & found):,} of {len(planted):,} planted defects found, {len(invented):,} others")
    record(
        Figure(f"{len(files):,} images", seconds, "s", bar=MAX_SECONDS),
        Figure("peak", mib, "MiB", bar=MAX_MIB),
        Figure("planted defects missed", len(missed), f"of {len(planted):,}", bar=0),
        Figure("others found", len(invented), "findings", bar=0),
        seed=0,
    )
    if missed or invented or result.returncode != 1 or seconds > MAX_SECONDS or mib > MAX_MIB:
        sys.exit(
            f"expected all defects and nothing else, in {MAX_SECONDS} s and {MAX_MIB} MiB; status {result.returncode}, "
            f"missed {sorted(map(str, missed))[:3]}, invented {sorted(map(str, invented))[:3]}"
        )


if __name__ == "__main__":
    main()
