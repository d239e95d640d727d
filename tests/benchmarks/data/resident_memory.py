"""Resident memory while the trainer's loader reads 20,000 images three times over.

The images are drawn: JPEG files of 320 x 240 pixels, one folder a class, and the Parquet that `prepare` makes of them.
The loader is `RetrievalTrainer`'s own, without workers. Linux only: `RssAnon` is what the process has allocated,
`VmRSS` counts the pages of mapped Parquet or Arrow files too, which belong to the kernel's cache and go when memory is
short.

Usage: python -m tests.benchmarks.data.resident_memory [--images 20000]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from datasets import Dataset
from PIL import Image as Pillow
from tqdm.auto import tqdm
from transformers import ViTConfig

from hf_vitret import RetrievalTrainer, RetrievalTrainingArguments, ViTRetConfig, ViTRetModel, load_retrieval_dataset
from hf_vitret.data.preparation.prepare import prepare_dataset

from ..harness.figures import Figure, record
from ..harness.resident import resident

EPOCHS, EVERY, BATCH = 3, 1_000, 64
IMAGES_PER_CLASS = 10
BAR = 1.0  # MB more for each 1,000 images


def draw_catalogue(folder: Path, num_images: int) -> None:
    """Write the images, each of other content."""
    rng = np.random.default_rng(0)
    for image in tqdm(range(num_images), desc="Drawing", leave=False):
        path = folder / f"{image // IMAGES_PER_CLASS:05d}" / f"{image % IMAGES_PER_CLASS}.jpg"
        path.parent.mkdir(exist_ok=True, parents=True)
        drawing = Pillow.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        drawing.resize((320, 240), Pillow.Resampling.BICUBIC).save(path, quality=85)


def read(images: Dataset, folder: Path) -> dict[str, list[float]]:
    """Read the images for some epochs through the trainer's loader; return the sizes every 1,000 images."""
    backbone = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16)
    model = ViTRetModel(ViTRetConfig(backbone, image_size=224))
    args = RetrievalTrainingArguments(
        output_dir=str(folder),
        max_steps=1,
        per_device_train_batch_size=BATCH,
        use_cpu=True,
        memory_size=0,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    trainer = RetrievalTrainer(model, args, images)
    loader = trainer.get_train_dataloader()
    sizes: dict[str, list[float]] = {"RssAnon": [], "VmRSS": []}
    seen = 0
    for epoch in range(EPOCHS):
        assert trainer.sampler is not None
        trainer.sampler.set_epoch(epoch)
        for batch in loader:
            before, seen = seen, seen + len(batch["labels"])
            if before // EVERY < seen // EVERY:
                for field, values in sizes.items():
                    values.append(resident(field) / 1e6)
    return sizes


def slope(values: list[float]) -> float:
    """Fit a line; return its slope: MB for each 1,000 images."""
    return float(np.polyfit(np.arange(len(values)), values, 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000, help="to train on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split, share in (("train", 1), ("test", 200)):
            draw_catalogue(folder / "files" / split, options.images // share)
        dataset = load_retrieval_dataset("catalogue", data_dir=folder / "files")
        prepare_dataset(dataset, folder / "prepared", short_side=256, progress=False)
        prepared = load_retrieval_dataset("catalogue", data_dir=folder / "prepared")
        print(f"{options.images:,} images, {EPOCHS} epochs; MB, and MB for each 1,000 images (bar: under {BAR})\n")
        print("| | | after 1,000 | at the end | slope | of the second and third epoch |\n|---|---|---|---|---|---|")
        for kind, images in (("files", dataset["train"]), ("prepared", prepared["train"])):
            for field, values in read(images, folder / "run").items():
                later = values[len(values) // EPOCHS :]
                row = f"| {kind} | {field} | {values[0]:.0f} | {values[-1]:.0f} | {slope(values):.3f} |"
                print(f"{row} {slope(later):.3f} |", flush=True)
                name, unit = f"{kind}: {field}, growth", "MB for each 1,000 images"
                record(
                    Figure(name, slope(values), unit, bar=BAR),
                    Figure(f"{name} in the second and third epoch", slope(later), unit, bar=BAR),
                    seed=0,
                )


if __name__ == "__main__":
    main()
