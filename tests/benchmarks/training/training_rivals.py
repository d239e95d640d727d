"""Images a second of fine-tuning one ViT-S on the same images: ours, two other libraries, and the bare loop.

All of them take their steps in turn, each in a process of its own on the CPU: the pretrained ViT-S in float32 under
bf16 autocast, 98 px, labelled batches of 64, AdamW (fused) at 3e-5 without clipping, one implementation of attention
(by default the one that the recipes choose on a CPU), the same threads and workers. On a processor without bf16 of its
own, which is slower in it than in float32, what is left to a trainer weighs too little and the ratios flatter: the
header says so, and `--float32` is for it.

What each does in a step, beside forward and backward of the backbone and AdamW:

* bare loop: its batches lie in memory, cropped and normalised; one 64 x 64 matrix product for a loss.
* RetrievalTrainer: decodes, crops and flips; 16 classes x 4 images; contrastive loss against the batch and a full
  memory of the training set; KoLeo. The last block computes the class token alone, as it does by default.
* sentence-transformers (`SentenceTransformerTrainer`): decodes; the image processor resizes, crops the centre and
  normalises, in the data collator: there is no place for augmentation, so it has none. Its labelled batches
  (`GROUP_BY_LABEL`) are 32 classes x 2 images. `BatchAllTripletLoss`, the nearest that it has to a contrastive loss
  over all pairs of a labelled batch; no memory.
* pytorch-metric-learning, a loop as in its documentation: torch's DataLoader over encoded images in memory, Pillow
  decodes, torchvision crops and flips as ours does; `MPerClassSampler`, 16 classes x 4 images;
  `CrossBatchMemory(ContrastiveLoss)` with a full memory of the training set; no KoLeo.

Each is checked while it warms up: what the backbone gets (shape, autocast), and that all its weights change. The peak
is the largest resident size of its process (Linux only), which has imported all of the libraries, as the others have.

Usage: python -m tests.benchmarks.training.training_rivals [--steps 25] [--workers 0] [--threads 2] [--attention eager]
       [--float32]
"""

import argparse
import statistics
import tempfile

import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import ContrastiveLoss, CrossBatchMemory
from pytorch_metric_learning.samplers import MPerClassSampler
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import BatchAllTripletLoss, BatchHardTripletLossDistanceFunction
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from sentence_transformers.sentence_transformer.training_args import BatchSamplers
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..harness.development_data import WEIGHTS
from ..harness.encoded_images import EncodedImages
from ..harness.figures import Figure, record
from ..harness.turns import Turn, take_turns
from .training_programs import (
    BATCH,
    IMAGES_PER_CLASS,
    LEARNING_RATE,
    RESIZED,
    SIDE,
    WEIGHT_DECAY,
    StepTurns,
    Witness,
    bare_loop,
    header,
    parse_options,
    plain_backbone,
    retrieval_trainer,
    run_settings,
    train_images,
)

OURS, BARE = "RetrievalTrainer", "bare loop"
BARE_BAR = 0.95
MARGIN = 0.5


def sentence_transformers_trainer(turn: Turn, options: argparse.Namespace) -> None:
    """Train the same backbone and pooling, composed as in the documentation, on columns of images and labels."""
    torch.set_num_threads(options.threads)
    backbone = Transformer(
        str(WEIGHTS),
        model_kwargs={"dtype": torch.float32, "attn_implementation": options.attention},
        processor_kwargs={"size": {"shortest_edge": RESIZED}, "crop_size": {"height": SIDE, "width": SIDE}},
    )
    pooling = Pooling(backbone.get_embedding_dimension(), pooling_mode="cls")
    model = SentenceTransformer(modules=[backbone, pooling, Normalize()], device="cpu")
    loss = BatchAllTripletLoss(model, BatchHardTripletLossDistanceFunction.cosine_distance, margin=MARGIN)
    turns = StepTurns(turn, Witness(backbone.model, options))
    with tempfile.TemporaryDirectory() as folder:
        args = SentenceTransformerTrainingArguments(
            **run_settings(folder, options), batch_sampler=BatchSamplers.GROUP_BY_LABEL
        )
        # A further column would be taken for a further input. With no column of text, its model card (6.2) finds no
        # row in a data set that is a selection of another, and stops the run: hence the flat copy.
        train = train_images().select_columns(["image", "label"]).flatten_indices(keep_in_memory=True)
        SentenceTransformerTrainer(model, args, train, loss=loss, callbacks=[turns]).train()


def metric_learning_loop(turn: Turn, options: argparse.Namespace) -> None:
    """Train with pytorch-metric-learning's sampler, loss and memory in a plain loop."""
    torch.set_num_threads(options.threads)
    backbone = plain_backbone(options.attention).train()
    train, dim = EncodedImages(train_images(), RESIZED, SIDE, flip=0.5), backbone.config.hidden_size
    sampler = MPerClassSampler(train.labels, IMAGES_PER_CLASS, BATCH, length_before_new_iter=2 * options.steps * BATCH)
    loader = DataLoader(train, BATCH, sampler=sampler, num_workers=options.workers, drop_last=True)
    pairs = ContrastiveLoss(pos_margin=1, neg_margin=MARGIN, distance=CosineSimilarity())
    loss_function = CrossBatchMemory(pairs, embedding_size=dim, memory_size=len(train))
    loss_function.embedding_memory = F.normalize(torch.randn(len(train), dim), dim=1)
    loss_function.label_memory, loss_function.has_been_filled = torch.tensor(train.labels), True
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    witness = Witness(backbone, options)
    turn.wait()
    for pixels, labels in loader:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not options.float32):
            hidden = backbone(pixels).last_hidden_state
        loss = loss_function(F.normalize(hidden[:, 0].float(), dim=1), labels)
        loss.backward()
        optimizer.step()
        witness.step_done()
        turn.step_done()


PROGRAMS = {
    BARE: bare_loop,
    OURS: retrieval_trainer,
    "sentence-transformers": sentence_transformers_trainer,
    "pytorch-metric-learning": metric_learning_loop,
}


def main() -> None:
    """Print the table, and whether ours is the fastest of the three that train on images."""
    options = parse_options(__doc__)
    measured = take_turns(PROGRAMS, options.steps, options)
    rates = {name: [BATCH / second for second in found.seconds] for name, found in measured.items()}
    print(header(options))
    print("| | images a second, median | quartiles | / ours | / bare loop | peak, MiB |\n|---|---|---|---|---|---|")
    relative, quartiles = {}, {}
    for name, values in rates.items():
        quartiles[name] = low, median, high = statistics.quantiles(values, n=4)
        ours, bare = (statistics.median(map(float.__truediv__, values, rates[unit])) for unit in (OURS, BARE))
        relative[name] = ours
        row = f"| {name} | {median:.1f} | {low:.1f} to {high:.1f} | {ours:.3f} | {bare:.3f} |"
        print(f"{row} {measured[name].peak:,.0f} |")
    print(f"\nours to the bare loop: {1 / relative[BARE]:.3f} (bar: at least {BARE_BAR})")
    fastest = max((name for name in PROGRAMS if name != BARE), key=relative.__getitem__)
    print(f"fastest on images: {fastest} (bar: {OURS})")
    setting = f"{'float32' if options.float32 else 'bf16'}, {options.workers} workers"
    low, median, high = quartiles[OURS]
    for name in PROGRAMS:
        if name == OURS:
            continue
        rate = {"peer": name, "peer_value": quartiles[name][1], "ratio": 1 / relative[name]}
        rate |= {"bar": BARE_BAR if name == BARE else 1.0, "larger_is_better": True}
        peaks = {"peer": name, "peer_value": measured[name].peak, "ratio": measured[OURS].peak / measured[name].peak}
        record(
            Figure(f"training, {setting}", median, "images/s", low, high, "quartiles", **rate),
            Figure(f"peak of training, {setting}", measured[OURS].peak, "MiB", **peaks),
        )


if __name__ == "__main__":
    main()
