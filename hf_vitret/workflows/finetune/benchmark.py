"""A benchmark of the paper from beginning to end: what its recipes share."""

import shlex
import sys
from typing import Any

from ...data.loading import load_retrieval_dataset
from ...training.training_args import RetrievalTrainingArguments
from .arguments import ModelArguments, bad_input_as_message, parse_arguments
from .data_facts import DataFacts
from .finetune import finetune
from .own_command import own_command


def train_benchmark(
    dataset_name: str, description: str | None, data_arguments: Any, *, title: str, license: str, **defaults: Any
) -> None:
    """Read the command line of `recipes/train_<dataset_name>.py`, load its data set and fine-tune on it.

    Args:
        dataset_name: As for `load_retrieval_dataset`.
        description: The recipe's docstring.
        data_arguments: Dataclass with the field `data_dir`.
        title: Name of the data set, as a person would say it.
        license: Licence of the images, in Markdown.
        **defaults: What the benchmark sets otherwise than `RetrievalTrainingArguments` does.

    Raises:
        SystemExit: The command line, the data or the settings are at fault.
    """
    output_dir = f"outputs/{dataset_name}"
    data_args, model_args, args = parse_arguments(
        description, data_arguments, ModelArguments, RetrievalTrainingArguments, output_dir=output_dir, **defaults
    )
    with bad_input_as_message():
        dataset = load_retrieval_dataset(dataset_name, data_dir=data_args.data_dir)
    facts = DataFacts(
        name=title,
        license=license,
        command=own_command(sys.argv),
        next_command=f"accelerate launch recipes/train_{dataset_name}.py --data_dir {shlex.quote(data_args.data_dir)} "
        f"--koleo_weight 0 --output_dir {output_dir}-without-koleo",
        base_model=model_args.base_model,
        dataset=dataset_name,
    )
    finetune(dataset, model_args, args, facts)
