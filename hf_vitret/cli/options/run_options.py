"""`RunOptions`: the options of `hf-vitret train` beside those of the data, the model and the training."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class RunOptions:
    """Options of a run beside those of the data, the model and the training."""

    _argument_group_name = "run"

    overwrite: bool = field(default=False, metadata={"help": "replace the run in the output folder"})
    device: str | None = field(
        default=None,
        metadata={"help": "device to train on, such as cpu, cuda, cuda:1 or mps; default: a GPU if there is one"},
    )
    streaming: bool = field(
        default=False,
        metadata={"help": "read a data set of the Hub once as a stream, and keep small copies of its images"},
    )
    trusted_images: bool = field(
        default=False, metadata={"help": "skip the check that decodes each image once before training"}
    )
    data_license: str = field(default="", metadata={"help": "licence of the images, for the card"})
    benchmark_task: str | None = field(
        default=None,
        metadata={"help": "task of the benchmark whose score is R@1, if the data set is a benchmark of the Hub"},
    )
    model_license: str | None = field(
        default=None, metadata={"help": "licence of the trained weights as the Hub spells it, for the card"}
    )
    model_license_name: str | None = field(
        default=None, metadata={"help": "name of the licence if --model_license is other"}
    )
    model_license_link: str | None = field(
        default=None, metadata={"help": "address of its text if --model_license is other"}
    )
