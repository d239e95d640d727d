"""Caltech-UCSD Birds: 100 species to train on, 100 others to test on, with the paper's settings.

Paper:    El-Nouby et al. 2021, arXiv 2102.05644, tables 2 and 3; as Stanford Online Products, in 2,000 steps
Command:  accelerate launch recipes/train_cub.py --data_dir CUB_200_2011.tgz
          (several GPUs: accelerate launch --config_file recipes/accelerate/multi_gpu.yaml recipes/train_cub.py ...)
Hardware: one GPU with 16 GB; the paper names none
Hours:    not yet measured
Score:    R@1 76.6, R@2 85.0, R@4 91.1, R@8 94.3 (the paper's IRT_R, DeiT-S distilled, 384 dimensions);
          74.2 is R@1 of IRT_L (--koleo_weight 0) and 58.5 that of IRT_O (off the shelf), both with DeiT-S
"""

from dataclasses import dataclass, field

from hf_vitret.workflows.finetune.benchmark import train_benchmark


@dataclass
class DataArguments:
    """Where the data is."""

    data_dir: str = field(
        default="CUB_200_2011",
        metadata={"help": "The extracted folder, its parent, or CUB_200_2011.tgz."},
    )


def main() -> None:
    """Fine-tune as in the paper; what is not said here is as on Stanford Online Products."""
    train_benchmark(
        "cub",
        __doc__,
        DataArguments,
        title="CUB-200-2011",
        license="Photographs from Flickr, collected by Caltech and UC San Diego (Wah et al. 2011) for research and "
        "education that are not commercial; the rights are the photographers'.",
        max_steps=2000,
        eval_steps=200,
        eval_ks=[1, 2, 4, 8, 10],
        save_steps=200,
    )


if __name__ == "__main__":
    main()
