"""Fine-tune one backbone on the same images for the same number of steps with other libraries.

All: the weights in float32, under bf16 autocast where asked for; the class token, L2 normalised, as the descriptor; 64
labelled images a step; AdamW (fused), constant rate, weight decay 5e-4, no clipping. No flips: drawings are not
symmetric. Each imports its own library alone, so that the memory of its process is its own.

* "pml contrastive + memory": pytorch-metric-learning, a plain loop as in its documentation. `MPerClassSampler`, 16
  classes x 4 images; `CrossBatchMemory(ContrastiveLoss)` on cosine similarities; the memory is as large as the training
  set, and fills while it trains.
* "pml contrastive": the same without the memory.
* "pml multi-similarity": the same loop and sampler; `MultiSimilarityLoss` on what `MultiSimilarityMiner` finds, both
  with their defaults.
* "st batch-all triplet": sentence-transformers (`SentenceTransformerTrainer`). The image processor resizes, crops the
  centre and normalises, in the data collator: there is no place for augmentation, so it has none. Its labelled batches
  (`GROUP_BY_LABEL`) are 32 classes x 2 images. `BatchAllTripletLoss` on cosine distances. As any trainer of
  transformers' kind, it spares biases and norms from weight decay.
* "st batch-hard soft-margin": the same; `BatchHardSoftMarginTripletLoss`, which has no margin, on its default distance.
* "oml triplet": parts of open-metric-learning in the plain loop. `BalanceSampler`, 16 classes x 4 images;
  `TripletLossWithMiner` of the hardest triplets, margin 0.15, their mean: its recipe for a ViT-S with normalised
  descriptors (Stanford Online Products).

The plain loops resize, then crop at random. The seed decides order, crops and weights; on a GPU, which adds in any
order, the weights but for rounding.
"""

import contextlib
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import BatchSampler, DataLoader
from transformers import AutoConfig, AutoModel, PreTrainedModel, set_seed
from transformers.trainer_callback import PrinterCallback

from ..harness.encoded_images import EncodedImages

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WEIGHT_DECAY = 5e-4
OML_MARGIN = 0.15
PML, ST = "pytorch-metric-learning", "sentence-transformers"
# It asks for numpy below 2, which it does not need, and for more than these parts of it import.
OML = "matplotlib && python -m pip install --no-deps open-metric-learning==4.0.0 "
OML += "gdown beautifulsoup4 soupsieve omegaconf validators"


@dataclass(frozen=True)
class RivalSetting:
    """What is trained on what, and how long.

    Attributes:
        backbone: Folder of a backbone of transformers.
        images: Columns `image` and `label`.
        image_size: Side in pixels of a crop, what the backbone gets.
        resize_size: Short side in pixels before the crop.
        seed: Of the order of the images and their augmentation.
        attention: Implementation of attention.
        bf16: Whether under autocast.
        images_per_class: K of a batch, but in sentence-transformers.
        margin: Of the losses that have one, but for open-metric-learning's.
    """

    backbone: Path
    images: datasets.Dataset
    image_size: int
    resize_size: int
    max_steps: int
    learning_rate: float
    seed: int
    attention: str
    bf16: bool
    batch: int = 64
    images_per_class: int = 4
    margin: float = 0.5


@contextlib.contextmanager
def installed_by(packages: str) -> Iterator[None]:
    """End the benchmark where an import finds a package missing, and say how to install it."""
    try:
        yield
    except ModuleNotFoundError as error:
        sys.exit(f"the benchmark needs the module {error.name}: python -m pip install {packages}")


def encoded_images(setting: RivalSetting) -> EncodedImages:
    """Read the images of a setting, without flips."""
    return EncodedImages(setting.images, setting.resize_size, setting.image_size, flip=0.0)


def train_in_loop(
    setting: RivalSetting,
    train: EncodedImages,
    sampler: Iterable[list[int]],
    loss_function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> PreTrainedModel:
    """Train in a plain loop on a sampler's batches, over and over; the loss is of descriptors and labels."""
    set_seed(setting.seed)
    attention = setting.attention
    backbone = AutoModel.from_pretrained(setting.backbone, dtype=torch.float32, attn_implementation=attention)
    weights = backbone.train().to(DEVICE).parameters()
    optimizer = torch.optim.AdamW(weights, lr=setting.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)
    loader = DataLoader(
        train,
        batch_sampler=sampler,
        pin_memory=DEVICE == "cuda",
        generator=torch.Generator().manual_seed(setting.seed),
    )
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    for pixels, labels in itertools.islice(epochs, setting.max_steps):
        optimizer.zero_grad()
        with torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=setting.bf16):
            hidden = backbone(pixels.to(DEVICE, non_blocking=True)).last_hidden_state  # (batch, tokens, dim)
        descriptors = F.normalize(hidden[:, 0].float(), dim=1)
        loss_function(descriptors, labels.to(DEVICE, non_blocking=True)).backward()
        optimizer.step()
    return backbone.eval().cpu()


def pml_sampler(setting: RivalSetting, train: EncodedImages) -> BatchSampler:
    """Let pytorch-metric-learning draw the batches of a whole run."""
    from pytorch_metric_learning.samplers import MPerClassSampler

    length = setting.max_steps * setting.batch
    rows = MPerClassSampler(train.labels, setting.images_per_class, setting.batch, length_before_new_iter=length)
    return BatchSampler(rows, setting.batch, drop_last=True)


def pml_contrastive(setting: RivalSetting, with_memory: bool) -> PreTrainedModel:
    """Train on pairs of the batch, and of the memory, which starts empty."""
    with installed_by(PML):
        from pytorch_metric_learning.distances import CosineSimilarity
        from pytorch_metric_learning.losses import ContrastiveLoss, CrossBatchMemory

    train = encoded_images(setting)
    loss: nn.Module = ContrastiveLoss(pos_margin=1, neg_margin=setting.margin, distance=CosineSimilarity())
    if with_memory:
        dim = AutoConfig.from_pretrained(setting.backbone).hidden_size
        loss = CrossBatchMemory(loss, embedding_size=dim, memory_size=len(train))
    return train_in_loop(setting, train, pml_sampler(setting, train), loss)


def pml_multi_similarity(setting: RivalSetting) -> PreTrainedModel:
    """Train on the pairs that the miner finds in the batch."""
    with installed_by(PML):
        from pytorch_metric_learning.losses import MultiSimilarityLoss
        from pytorch_metric_learning.miners import MultiSimilarityMiner

    train, loss, mine = encoded_images(setting), MultiSimilarityLoss(), MultiSimilarityMiner()
    sampler = pml_sampler(setting, train)
    return train_in_loop(setting, train, sampler, lambda found, labels: loss(found, labels, mine(found, labels)))


def oml_triplet(setting: RivalSetting) -> PreTrainedModel:
    """Train on the hardest triplet of each image of the batch."""
    with installed_by(OML):
        from oml.losses.triplet import TripletLossWithMiner
        from oml.miners.inbatch_hard_tri import HardTripletsMiner
        from oml.samplers.balance import BalanceSampler

    train = encoded_images(setting)
    sampler = BalanceSampler(train.labels, setting.batch // setting.images_per_class, setting.images_per_class)
    loss = TripletLossWithMiner(OML_MARGIN, HardTripletsMiner(), reduction="mean")
    return train_in_loop(setting, train, sampler, loss)


def train_in_trainer(setting: RivalSetting, make_loss: Callable[[Any], nn.Module]) -> PreTrainedModel:
    """Train backbone and pooling, composed as in sentence-transformers' documentation, on images and labels."""
    import sentence_transformers
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from sentence_transformers.sentence_transformer.training_args import BatchSamplers

    set_seed(setting.seed)
    crop = {"height": setting.image_size, "width": setting.image_size}
    backbone = Transformer(
        str(setting.backbone),
        model_kwargs={"dtype": torch.float32, "attn_implementation": setting.attention},
        processor_kwargs={"size": {"shortest_edge": setting.resize_size}, "crop_size": crop},
    )
    pooling = Pooling(backbone.get_embedding_dimension(), pooling_mode="cls")
    model = sentence_transformers.SentenceTransformer(modules=[backbone, pooling, Normalize()], device=DEVICE)
    with tempfile.TemporaryDirectory() as folder:
        args = sentence_transformers.SentenceTransformerTrainingArguments(
            folder,
            max_steps=setting.max_steps,
            per_device_train_batch_size=setting.batch,
            batch_sampler=BatchSamplers.GROUP_BY_LABEL,
            dataloader_drop_last=True,
            optim="adamw_torch_fused",
            learning_rate=setting.learning_rate,
            weight_decay=WEIGHT_DECAY,
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            bf16=setting.bf16,
            use_cpu=DEVICE == "cpu",
            seed=setting.seed,
            eval_strategy="no",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        # A further column would be taken for a further input. With no column of text, its model card (6.2) finds no
        # row in a data set that is a selection of another, and stops the run: hence the flat copy.
        train = setting.images.select_columns(["image", "label"]).flatten_indices(keep_in_memory=True)
        trainer = sentence_transformers.SentenceTransformerTrainer(model, args, train, loss=make_loss(model))
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return backbone.model.eval().cpu()


def st_batch_all(setting: RivalSetting) -> PreTrainedModel:
    """Train on all triplets of the batch."""
    with installed_by(ST):
        from sentence_transformers.sentence_transformer import losses

    distance = losses.BatchHardTripletLossDistanceFunction.cosine_distance
    return train_in_trainer(setting, lambda model: losses.BatchAllTripletLoss(model, distance, margin=setting.margin))


def st_batch_hard(setting: RivalSetting) -> PreTrainedModel:
    """Train on the hardest triplet of each image of the batch."""
    with installed_by(ST):
        from sentence_transformers.sentence_transformer import losses

    return train_in_trainer(setting, losses.BatchHardSoftMarginTripletLoss)


RIVALS: dict[str, Callable[[RivalSetting], PreTrainedModel]] = {
    "pml contrastive": partial(pml_contrastive, with_memory=False),
    "pml contrastive + memory": partial(pml_contrastive, with_memory=True),
    "pml multi-similarity": pml_multi_similarity,
    "st batch-all triplet": st_batch_all,
    "st batch-hard soft-margin": st_batch_hard,
    "oml triplet": oml_triplet,
}
