"""Your own images: a folder for each class, a CSV or Parquet file, or a data set of the Hub.

Paper:    the method of arXiv 2102.05644; its losses and optimiser settings, a shorter run
Command:  accelerate launch recipes/train_catalogue.py --data_dir photos
          accelerate launch recipes/train_catalogue.py --data_dir products.csv --image_column file --label_column sku
          accelerate launch recipes/train_catalogue.py --dataset_name user/dataset --label_column category
          accelerate launch recipes/train_catalogue.py --dataset_name user/dataset --streaming
Hardware: one GPU; a CPU does for a small model at a small --image_size
Hours:    not yet measured: depends on your images; 2,000 steps are what the paper gives CUB's 5,864 images
Score:    printed before and after, on classes set aside for testing where you name no test split
"""

import shlex
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from transformers import AutoConfig

from hf_vitret import RetrievalTrainingArguments, ViTRetConfig, load_retrieval_dataset
from hf_vitret.evaluation.metrics.metric_choice import DEFAULT_KS
from hf_vitret.inference.fast_bf16 import has_fast_bf16
from hf_vitret.inference.self_contained import check_self_contained
from hf_vitret.workflows.finetune.arguments import ModelArguments, bad_input_as_message, parse_arguments
from hf_vitret.workflows.finetune.data_facts import DataFacts
from hf_vitret.workflows.finetune.finetune import FINAL_FOLDER, finetune
from hf_vitret.workflows.finetune.own_command import own_command


@dataclass
class DataArguments:
    """Where the images are, and what tells their class."""

    data_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder with a folder for each class, .csv or .parquet file, or what hf-vitret prepare wrote."
        },
    )
    dataset_name: str | None = field(default=None, metadata={"help": "Data set of the Hub, in place of --data_dir."})
    dataset_config: str | None = field(default=None, metadata={"help": "Its configuration, where it has several."})
    dataset_revision: str | None = field(default=None, metadata={"help": "Its branch, tag or commit."})
    streaming: bool = field(
        default=False,
        metadata={"help": "Read it once as a stream and keep small copies only, in --output_dir: for small disks."},
    )
    image_column: str = field(default="image", metadata={"help": "Column of the images or of their paths."})
    label_column: str = field(default="label", metadata={"help": "Column of the class: text or whole numbers."})
    train_split: str = field(default="train", metadata={"help": "Split to train on."})
    test_split: str | None = field(
        default=None, metadata={"help": "Split to test on; default: 'test', or a share of the classes set aside."}
    )
    query_split: str | None = field(default=None, metadata={"help": "Split of the queries, with --gallery_split."})
    gallery_split: str | None = field(default=None, metadata={"help": "Split that the queries search."})
    test_fraction: float = field(default=0.5, metadata={"help": "Share of the classes to set aside for testing."})
    split_seed: int = field(default=0, metadata={"help": "Seed of the choice of those classes."})
    data_license: str = field(default="", metadata={"help": "Licence of the images, for the model card."})
    benchmark_task: str | None = field(
        default=None,
        metadata={"help": "Where it is a benchmark of the Hub: the task that R@1 is a score of."},
    )
    model_license: str | None = field(
        default=None, metadata={"help": "Licence of the trained weights as the Hub spells it, for the model card."}
    )
    model_license_name: str | None = field(default=None, metadata={"help": "What it is called, where that is 'other'."})
    model_license_link: str | None = field(default=None, metadata={"help": "Where that one is to be read."})


def load(data_args: DataArguments, model_args: ModelArguments, output_dir: str) -> DatasetDict:
    """Load the images from this machine or from the Hub; with `--streaming`, by way of copies in the output folder.

    The copies have the size that the model resizes to. Of several processes one makes them and the others wait.
    """
    if (data_args.data_dir is None) == (data_args.dataset_name is None):
        raise ValueError("expected --data_dir (images of this machine) or --dataset_name (of the Hub), one of them")
    for_hub = ("dataset_config", "dataset_revision", "streaming", "benchmark_task")
    unused = [name for name in for_hub if getattr(data_args, name) and data_args.dataset_name is None]
    if unused:
        raise ValueError(f"--{unused[0]} is for a data set of the Hub: give its --dataset_name, or leave it out")
    options: dict[str, Any] = {}
    if data_args.dataset_revision is not None:
        options["revision"] = data_args.dataset_revision
    if data_args.streaming:
        folder = copies(model_args, output_dir)
        options |= {"streaming": True, "short_side": resize_size(model_args), "prepared_dir": folder}
    return load_retrieval_dataset(
        "catalogue",
        data_dir=data_args.data_dir,
        dataset_name=data_args.dataset_name,
        dataset_config=data_args.dataset_config,
        image_column=data_args.image_column,
        label_column=data_args.label_column,
        train_split=data_args.train_split,
        test_split=data_args.test_split,
        query_split=data_args.query_split,
        gallery_split=data_args.gallery_split,
        test_fraction=data_args.test_fraction,
        seed=data_args.split_seed,
        **options,
    )


def resize_size(model_args: ModelArguments) -> int:
    """Return the side in pixels to which the model will resize images: asked for, a checkpoint's, or the default."""
    if model_args.resize_size is not None:
        return model_args.resize_size
    check_self_contained(model_args.backbone, model_args.backbone_revision)
    source = AutoConfig.from_pretrained(
        model_args.backbone, revision=model_args.backbone_revision, trust_remote_code=False
    )
    if source.model_type == ViTRetConfig.model_type:
        return int(source.resize_size)
    return int(ViTRetConfig(image_size=model_args.image_size).resize_size)


def copies(model_args: ModelArguments, output_dir: str) -> Path:
    """Name the folder of the copies that `--streaming` keeps."""
    return Path(output_dir) / f"images-{resize_size(model_args)}"


def evaluate_command(data_args: DataArguments, model_args: ModelArguments, args: RetrievalTrainingArguments) -> str:
    """Write the command that scores what was trained on the same test images under the same protocol."""
    given = {each.name: getattr(data_args, each.name) for each in fields(data_args)}
    given = {each.name: given[each.name] for each in fields(data_args) if given[each.name] != each.default}
    for_card = ("data_license", "benchmark_task", "model_license", "model_license_name", "model_license_link")
    given = {name: value for name, value in given.items() if name not in for_card}
    if data_args.streaming:  # what was chosen of the source is all that the copies hold
        given = {name: value for name, value in given.items() if name in ("test_fraction", "split_seed")}
        given = {"data_dir": copies(model_args, str(args.output_dir)), **given}
    line = ["python", "recipes/evaluate.py", "--model", f"{args.output_dir}/{FINAL_FOLDER}"]
    for name, value in given.items():
        line += [f"--{'seed' if name == 'split_seed' else name}", str(value)]
    if args.on_bad_image != "error":
        line += ["--on_bad_image", args.on_bad_image]
    if list(args.eval_ks) != list(DEFAULT_KS):
        line += ["--ks", *map(str, args.eval_ks)]
    if args.autocast_dtype is not None:
        line += ["--dtype", str(args.autocast_dtype).removeprefix("torch.")]
    return shlex.join(line)


def card_facts(data_args: DataArguments, model_args: ModelArguments, args: RetrievalTrainingArguments) -> DataFacts:
    """Collect what the card says of the images and of the weights."""
    benchmark = {"id": data_args.dataset_name, "tasks": {data_args.benchmark_task: "recall_at_1"}}
    if data_args.dataset_revision is not None:
        benchmark["revision"] = data_args.dataset_revision
    return DataFacts(
        name=data_args.dataset_name or Path(str(data_args.data_dir)).resolve().name,  # of "." too
        license=data_args.data_license,
        command=own_command(sys.argv),
        next_command=evaluate_command(data_args, model_args, args),
        base_model=model_args.base_model,
        model_license=data_args.model_license,
        model_license_name=data_args.model_license_name,
        model_license_link=data_args.model_license_link,
        dataset_id=data_args.dataset_name,
        revision=data_args.dataset_revision,
        benchmark=benchmark if data_args.benchmark_task else None,
    )


def main() -> None:
    """Fine-tune DINOv2-small on the given images."""
    data_args, model_args, args = parse_arguments(
        __doc__,
        DataArguments,
        ModelArguments,
        RetrievalTrainingArguments,
        output_dir="outputs/catalogue",
        backbone="facebook/dinov2-small",
        max_steps=2000,
        eval_steps=500,
        save_steps=500,
        bf16=has_fast_bf16(),
    )
    with bad_input_as_message():
        facts = card_facts(data_args, model_args, args)
        dataset = load(data_args, model_args, str(args.output_dir))
    finetune(dataset, model_args, args, facts)


if __name__ == "__main__":
    main()
