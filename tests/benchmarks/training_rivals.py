"""Images a second of fine-tuning one ViT-S on the same images: ours, two other libraries, and the bare loop.

All of them, alternated in one process on the CPU: the pretrained ViT-S in float32 under bf16 autocast, 98 px, labelled
batches of 64, AdamW (fused) at 3e-5 without clipping, one implementation of attention, the same threads and workers
(`training_throughput` says when `--float32` is to be preferred).
What each does in a step, beside forward and backward of the backbone and AdamW:

* bare loop: its batches lie in memory, cropped and normalised; one 64 x 64 matrix product for a loss.
* RetrievalTrainer: decodes, crops and flips; 16 classes x 4 images; contrastive loss against the batch and a full
  memory of the training set; KoLeo.
* sentence-transformers (`SentenceTransformerTrainer`): decodes; the image processor resizes, crops the centre and
  normalises, in the data collator: there is no place for augmentation, so it has none. Its labelled batches
  (`GROUP_BY_LABEL`) are 32 classes x 2 images. `BatchAllTripletLoss`, the nearest that it has to a contrastive loss
  over all pairs of a labelled batch; no memory.
* pytorch-metric-learning, a loop as in its documentation: torch's DataLoader over encoded images in memory, Pillow
  decodes, torchvision crops and flips as ours does; `MPerClassSampler`, 16 classes x 4 images;
  `CrossBatchMemory(ContrastiveLoss)` with a full memory of the training set; no KoLeo.

Each run is checked: what the backbone got (shape, autocast), and that all its weights changed.

Usage: python -m tests.benchmarks.training_rivals [--steps 20] [--rounds 3] [--workers 0] [--threads 2]
       [--attention eager] [--float32]
"""

import argparse
import gc
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import datasets
import torch
from PIL import Image
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import ContrastiveLoss, CrossBatchMemory
from pytorch_metric_learning.samplers import MPerClassSampler
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import BatchAllTripletLoss, BatchHardTripletLossDistanceFunction
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from transformers import AutoModel

from hf_vitret.data.schema import column_values
from hf_vitret.models.configuration_vitret import IMAGENET_MEAN, IMAGENET_STD

from .training_throughput import (
    BACKBONE,
    BATCH,
    IMAGES_PER_CLASS,
    LEARNING_RATE,
    RESIZED,
    SIDE,
    WEIGHT_DECAY,
    StepTimes,
    bare_loop,
    build_model,
    header,
    images_per_second,
    parse_options,
    retrieval_trainer,
    run_settings,
    train_images,
)

OURS, BARE = "RetrievalTrainer", "bare loop"
MARGIN = 0.5
Run = Callable[[], list[float]]  # trains; returns the ends of its steps


class Witness:
    """See what a backbone gets in each forward, and whether training changes all of its weights."""

    def __init__(self, backbone: nn.Module) -> None:
        self.backbone = backbone
        self.before = {name: weight.detach().clone() for name, weight in self._weights()}
        self.seen: set[tuple[Any, ...]] = set()
        # On its first part: sentence-transformers calls the backbone's `forward` by name, past the hooks.
        self.hook = backbone.embeddings.register_forward_pre_hook(self._note, with_kwargs=True)

    def _weights(self) -> list[tuple[str, nn.Parameter]]:
        # The mask token takes part in no forward.
        return [named for named in self.backbone.named_parameters() if not named[0].endswith("mask_token")]

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pixels = kwargs["pixel_values"] if "pixel_values" in kwargs else args[0]
        precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else pixels.dtype
        attention = self.backbone.config._attn_implementation
        self.seen.add((tuple(pixels.shape), precision, attention, module.training))

    def testify(self, name: str, options: argparse.Namespace) -> None:
        """End the benchmark where the run was not like the others."""
        self.hook.remove()
        precision = torch.float32 if options.float32 else torch.bfloat16
        expected = {((BATCH, 3, SIDE, SIDE), precision, options.attention, True)}
        if self.seen != expected:
            sys.exit(f"{name} is not like for like: its backbone got {self.seen}, expected {expected}")
        same = [weight_name for weight_name, weight in self._weights() if weight.equal(self.before[weight_name])]
        if same:
            sys.exit(f"{name} does not train all of the backbone: {len(same)} weights stayed as they were: {same[:5]}")


def sentence_transformer(attention: str) -> SentenceTransformer:
    """Build the same backbone and pooling, as its documentation composes a model of modules."""
    backbone = Transformer(
        str(BACKBONE),
        model_kwargs={"dtype": torch.float32, "attn_implementation": attention},
        processor_kwargs={"size": {"shortest_edge": RESIZED}, "crop_size": {"height": SIDE, "width": SIDE}},
    )
    pooling = Pooling(backbone.get_embedding_dimension(), pooling_mode="cls")
    return SentenceTransformer(modules=[backbone, pooling, Normalize()], device="cpu")


def sentence_transformers_trainer(
    model: SentenceTransformer, images: datasets.Dataset, options: argparse.Namespace
) -> list[float]:
    """Train with `SentenceTransformerTrainer` on a column of images and one of labels."""
    loss = BatchAllTripletLoss(model, BatchHardTripletLossDistanceFunction.cosine_distance, margin=MARGIN)
    times = StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        args = SentenceTransformerTrainingArguments(
            **run_settings(folder, options), batch_sampler=BatchSamplers.GROUP_BY_LABEL
        )
        # A further column would be taken for a further input. With no column of text, its model card (6.2) finds no
        # row in a data set that is a selection of another, and stops the run: hence the flat copy.
        train = images.select_columns(["image", "label"]).flatten_indices(keep_in_memory=True)
        SentenceTransformerTrainer(model, args, train, loss=loss, callbacks=[times]).train()
    return times.ends


class EncodedImages(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Encoded images in memory, decoded and augmented one by one."""

    def __init__(self, images: datasets.Dataset) -> None:
        stored = column_values(images.cast_column("image", datasets.Image(decode=False)), "image")
        self.encoded = [image["bytes"] for image in stored]
        self.labels = column_values(images, "label")
        self.transform = v2.Compose(
            [
                v2.Resize(RESIZED, interpolation=v2.InterpolationMode.BICUBIC),
                v2.RandomCrop(SIDE),
                v2.RandomHorizontalFlip(),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.encoded[row])).convert("RGB")
        return self.transform(image), self.labels[row]


def metric_learning_loop(backbone: nn.Module, images: datasets.Dataset, options: argparse.Namespace) -> list[float]:
    """Train with pytorch-metric-learning's sampler, loss and memory in a plain loop."""
    train, dim = EncodedImages(images), backbone.config.hidden_size
    sampler = MPerClassSampler(train.labels, IMAGES_PER_CLASS, BATCH, length_before_new_iter=options.steps * BATCH)
    loader = DataLoader(train, BATCH, sampler=sampler, num_workers=options.workers, drop_last=True)
    pairs = ContrastiveLoss(pos_margin=1, neg_margin=MARGIN, distance=CosineSimilarity())
    loss_function = CrossBatchMemory(pairs, embedding_size=dim, memory_size=len(train))
    loss_function.embedding_memory = F.normalize(torch.randn(len(train), dim), dim=1)
    loss_function.label_memory, loss_function.has_been_filled = torch.tensor(train.labels), True
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    backbone.train()
    ends = []
    for pixels, labels in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not options.float32):
            hidden = backbone(pixels).last_hidden_state
        loss = loss_function(F.normalize(hidden[:, 0].float(), dim=1), labels)
        loss.backward()
        optimizer.step()
        ends.append(time.perf_counter())
    return ends


def contestants(images: datasets.Dataset, options: argparse.Namespace) -> dict[str, Callable[[], Any]]:
    """Return, by name, what builds a fresh model: it gives its backbone and its run."""

    def bare() -> tuple[nn.Module, Run]:
        model = build_model(options.attention)
        return model.backbone, lambda: bare_loop(model, options)

    def ours() -> tuple[nn.Module, Run]:
        model = build_model(options.attention)
        return model.backbone, lambda: retrieval_trainer(model, images, options)

    def sentence_transformers() -> tuple[nn.Module, Run]:
        model = sentence_transformer(options.attention)
        return model[0].model, lambda: sentence_transformers_trainer(model, images, options)

    def metric_learning() -> tuple[nn.Module, Run]:
        model = AutoModel.from_pretrained(BACKBONE, dtype=torch.float32, attn_implementation=options.attention)
        return model, lambda: metric_learning_loop(model, images, options)

    return {
        BARE: bare,
        OURS: ours,
        "sentence-transformers": sentence_transformers,
        "pytorch-metric-learning": metric_learning,
    }


def main() -> None:
    """Print the table, and whether ours is the fastest of the three that train on images."""
    options = parse_options(__doc__)
    images = train_images()
    compared = contestants(images, options)
    rates: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(options.rounds):
        for name, build in compared.items():
            backbone, run = build()
            witness = Witness(backbone)
            rates[name].append(images_per_second(run()))
            witness.testify(name, options)
            del backbone, run, witness
            gc.collect()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(header(options))
    print("| | images a second, median | least | most | / ours | / bare loop |\n|---|---|---|---|---|---|")
    for name, values in rates.items():
        against = [statistics.median(one / other for one, other in zip(values, rates[unit])) for unit in (OURS, BARE)]
        row = f"| {name} | {medians[name]:.1f} | {min(values):.1f} | {max(values):.1f} |"
        print(f"{row} {against[0]:.3f} | {against[1]:.3f} |")
    fastest = max((name for name in compared if name != BARE), key=lambda name: medians[name])
    print(f"\nfastest on images: {fastest} (bar: {OURS})")


if __name__ == "__main__":
    main()
