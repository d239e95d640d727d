"""In-Shop Clothes Retrieval: queries search a gallery of their own, with the paper's settings.

Paper:    El-Nouby et al. 2021, arXiv 2102.05644, tables 2 and 3; as Stanford Online Products, but for the memory:
          a fifth of the training set, with entries made by a momentum encoder (0.999)
Command:  accelerate launch recipes/train_inshop.py --data_dir "In-shop Clothes Retrieval Benchmark"
          (several GPUs: accelerate launch --config_file recipes/accelerate/multi_gpu.yaml recipes/train_inshop.py ...)
Same as:  hf-vitret train inshop --data_dir "In-shop Clothes Retrieval Benchmark"
Hardware: one GPU with 16 GB; the paper names none
Hours:    not yet measured
Score:    R@1 91.9, R@10 98.1, R@20 98.7, R@30 98.9 (the paper's IRT_R, DeiT-S distilled, 384 dimensions);
          90.3 is R@1 of IRT_L (--koleo_weight 0) and 31.3 that of IRT_O (off the shelf), both with DeiT-S
"""

from hf_vitret.cli.recipe import train

SETTINGS = {
    "model": "facebook/deit-small-distilled-patch16-224",
    "margin": 0.5,
    "koleo_weight": 0.7,
    "memory_size": 0.2,
    "memory_momentum": 0.999,
    "learning_rate": 3e-5,
    "max_steps": 35_000,
    "eval_ks": [1, 10, 20, 30],
}

if __name__ == "__main__":
    train("inshop", __doc__, SETTINGS)
