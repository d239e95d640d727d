"""In-Shop Clothes Retrieval: queries search a gallery of their own, with the paper's settings.

Paper:    El-Nouby et al. 2021, arXiv 2102.05644, tables 2 and 3; as Stanford Online Products, but for the memory:
          a fifth of the training set, with entries made by a momentum encoder (0.999)
Command:  accelerate launch recipes/train_inshop.py --data_dir "In-shop Clothes Retrieval Benchmark"
          (several GPUs: accelerate launch --config_file recipes/accelerate/multi_gpu.yaml recipes/train_inshop.py ...)
Hardware: one GPU with 16 GB; the paper names none
Hours:    not yet measured
Score:    R@1 91.9, R@10 98.1, R@20 98.7, R@30 98.9 (the paper's IRT_R, DeiT-S distilled, 384 dimensions);
          90.3 is R@1 of IRT_L (--koleo_weight 0) and 31.3 that of IRT_O (off the shelf), both with DeiT-S
"""

import shlex
import sys
from dataclasses import dataclass, field

from hf_vitret import RetrievalTrainingArguments, load_retrieval_dataset
from hf_vitret.experiment.arguments import ModelArguments, bad_input_as_message, parse_arguments
from hf_vitret.experiment.finetune import DataFacts, finetune


@dataclass
class DataArguments:
    """Where the data is."""

    data_dir: str = field(
        default="In-shop Clothes Retrieval Benchmark",
        metadata={"help": "The folder with Eval/list_eval_partition.txt and Img/ (img.zip in it may be zipped still)."},
    )


def main() -> None:
    """Fine-tune as in the paper; what is not said here is as on Stanford Online Products."""
    data_args, model_args, args = parse_arguments(
        __doc__,
        DataArguments,
        ModelArguments,
        RetrievalTrainingArguments,
        output_dir="outputs/inshop",
        eval_ks=[1, 10, 20, 30],
        memory_size=0.2,
        memory_momentum=0.999,
    )
    with bad_input_as_message():
        dataset = load_retrieval_dataset("inshop", data_dir=data_args.data_dir)
    facts = DataFacts(
        name="In-Shop Clothes Retrieval",
        license="Photographs from a shop, collected by the Chinese University of Hong Kong for research that is not "
        "commercial (DeepFashion, Liu et al. 2016).",
        command=shlex.join(["accelerate", "launch", *sys.argv]),
        next_command=f"accelerate launch recipes/train_inshop.py --data_dir {shlex.quote(data_args.data_dir)} "
        "--koleo_weight 0 --output_dir outputs/inshop-without-koleo",
        base_model=model_args.base_model,
    )
    finetune(dataset, model_args, args, facts)


if __name__ == "__main__":
    main()
