"""Your own images: a folder for each class, a CSV or Parquet file, or a data set of the Hub.

Paper:    the method of arXiv 2102.05644; its losses and optimiser settings, a shorter run
Command:  accelerate launch recipes/train_catalogue.py --data_dir photos
          accelerate launch recipes/train_catalogue.py --data_dir products.csv --image_column file --label_column sku
          accelerate launch recipes/train_catalogue.py --data_dir user/dataset --label_column category
Hardware: one GPU; a CPU does for a small model at a small --image_size
Hours:    not yet measured: depends on your images; 2,000 steps are what the paper gives CUB's 5,864 images
Score:    printed before and after, on classes set aside for testing where you name no test split
"""

import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path

from hf_vitret import RetrievalTrainingArguments, load_retrieval_dataset
from hf_vitret.experiment.arguments import ModelArguments, bad_input_as_message, parse_arguments
from hf_vitret.experiment.finetune import DataFacts, finetune
from hf_vitret.training.training_args import has_fast_bf16


@dataclass
class DataArguments:
    """Where the images are, and what tells their class."""

    data_dir: str = field(
        metadata={"help": "Folder with a folder for each class; .csv or .parquet file; or a data set of the Hub."}
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
        dataset = load_retrieval_dataset(
            "catalogue",
            data_dir=data_args.data_dir,
            image_column=data_args.image_column,
            label_column=data_args.label_column,
            train_split=data_args.train_split,
            test_split=data_args.test_split,
            query_split=data_args.query_split,
            gallery_split=data_args.gallery_split,
            test_fraction=data_args.test_fraction,
            seed=data_args.split_seed,
        )
    load = f"import hf_vitret; print(hf_vitret.ViTRetModel.from_pretrained({f'{args.output_dir}/final'!r}))"
    facts = DataFacts(
        name=Path(data_args.data_dir).resolve().name,  # of "." too
        license=data_args.data_license,
        command=shlex.join(["accelerate", "launch", *sys.argv]),
        next_command=shlex.join(["python", "-c", load]),
        base_model=model_args.base_model,
    )
    finetune(dataset, model_args, args, facts)


if __name__ == "__main__":
    main()
