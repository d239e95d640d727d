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

from dataclasses import dataclass, field

from hf_vitret.workflows.finetune.benchmark import train_benchmark


@dataclass
class DataArguments:
    """Where the data is."""

    data_dir: str = field(
        default="In-shop Clothes Retrieval Benchmark",
        metadata={"help": "The folder with Eval/list_eval_partition.txt and Img/ (img.zip in it may be zipped still)."},
    )


def main() -> None:
    """Fine-tune as in the paper; what is not said here is as on Stanford Online Products."""
    train_benchmark(
        "inshop",
        __doc__,
        DataArguments,
        title="In-Shop Clothes Retrieval",
        license="Photographs from a shop, collected by the Chinese University of Hong Kong for research that is not "
        "commercial (DeepFashion, Liu et al. 2016).",
        eval_ks=[1, 10, 20, 30],
        memory_size=0.2,
        memory_momentum=0.999,
    )


if __name__ == "__main__":
    main()
