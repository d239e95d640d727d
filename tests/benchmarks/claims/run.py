"""What is trained on what, and how long: all that tells one run of the claims from another.

Images are decoded and resized once, before a run. A CPU computes under bf16 autocast, a GPU in TF32: steps of this size
take there as long as it takes to launch them, and autocast launches more.
"""

import dataclasses

OURS = "RetrievalTrainer"
PRETRAINED = "dinov2-small"
VIT, CONV = "ViT-S from scratch", "ResNet-50 from scratch"


@dataclasses.dataclass(frozen=True)
class Run:
    """One training, scored on classes that it never saw.

    Attributes:
        data: `"emoji"` or `"icons"`.
        max_steps: 0: off the shelf, the paper's IRT_O.
        koleo_weight: The paper's lambda; 0: contrastive alone, IRT_L; above: IRT_R.
        seed: Of the order of the images, their augmentation, and the weights that start at random.
        koleo_neighbors: `"all"`, as in the paper, or `"negatives"`.
        koleo_schedule: `"constant"`; `"negatives first"`: only other classes in the first half, all in the second;
            `"late"`: not in the first half.
        images_per_class: K of a batch of 64; 1: 64 images at random, whatever their class.
        loss: Of the batch and the memory, as in `RetrievalTrainingArguments`.
        pooling: Of the model.
        backbone: `"dinov2-small"`, pretrained; or a ViT-S or a ResNet-50 that starts at random.
        image_size: Side in pixels; images are resized to 8/7 of it.
        margin: The paper's beta.
        learning_rate: Of AdamW, constant.
        with_memory: Whether the cross-batch memory holds the training set, or nothing.
        train_classes: Train on that many of the classes; `None`: on all.
        program: `RetrievalTrainer`, or one of `rivals.RIVALS`.
        score_every: Steps between two scores.
        analysed: Whether short vectors and the spread of the test embeddings are measured at the end.
    """

    data: str
    max_steps: int
    koleo_weight: float = 0.0
    seed: int = 0
    koleo_neighbors: str = "all"
    koleo_schedule: str = "constant"
    images_per_class: int = 4
    loss: str = "contrastive"
    pooling: str = "cls"
    backbone: str = PRETRAINED
    image_size: int = 56
    margin: float = 0.5
    learning_rate: float = 3.0e-5
    with_memory: bool = True
    train_classes: int | None = None
    program: str = OURS
    score_every: int = 500
    analysed: bool = False

    @property
    def resize_size(self) -> int:
        """Side in pixels before the crop."""
        return self.image_size * 8 // 7

    @property
    def name(self) -> str:
        """A file's name that says all settings that are not the usual ones."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        parts = [f"{name}={value}" for name, value in dataclasses.asdict(self).items() if value != usual[name]]
        return " ".join(parts)
