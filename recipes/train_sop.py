"""Stanford Online Products: the paper's first benchmark, with the paper's settings.

Paper:    El-Nouby et al. 2021, arXiv 2102.05644, tables 2 and 3
Command:  accelerate launch recipes/train_sop.py --data_dir Stanford_Online_Products
          (several GPUs: accelerate launch --config_file recipes/accelerate/multi_gpu.yaml recipes/train_sop.py ...)
Hardware: one GPU with 16 GB; the paper names none
Hours:    not yet measured
Score:    R@1 84.2, R@10 93.7, R@100 97.3, R@1000 99.1 (the paper's IRT_R, DeiT-S distilled, 384 dimensions);
          83.0 is R@1 of IRT_L (--koleo_weight 0) and 52.8 that of IRT_O (off the shelf), both with DeiT-S
"""

from dataclasses import dataclass, field

from hf_vitret.workflows.finetune.benchmark import train_benchmark


@dataclass
class DataArguments:
    """Where the data is."""

    data_dir: str = field(
        default="Stanford_Online_Products",
        metadata={"help": "The extracted folder, its parent, or Stanford_Online_Products.zip."},
    )


def main() -> None:
    """Fine-tune as in the paper; the defaults of `RetrievalTrainingArguments` are this benchmark's."""
    train_benchmark(
        "sop",
        __doc__,
        DataArguments,
        title="Stanford Online Products",
        license="Photographs from eBay, collected by Stanford for research (Song et al. 2016, arXiv 1511.06452).",
    )


if __name__ == "__main__":
    main()
