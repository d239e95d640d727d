"""Caltech-UCSD Birds: 100 species to train on, 100 others to test on, with the paper's settings.

Paper:    El-Nouby et al. 2021, arXiv 2102.05644, tables 2 and 3; as Stanford Online Products, in 2,000 steps
Command:  accelerate launch recipes/train_cub.py --data_dir CUB_200_2011.tgz
          (several GPUs: accelerate launch --config_file recipes/accelerate/multi_gpu.yaml recipes/train_cub.py ...)
Same as:  hf-vitret train cub --data_dir CUB_200_2011.tgz
Hardware: one GPU with 16 GB; the paper names none
Hours:    not yet measured
Score:    R@1 76.6, R@2 85.0, R@4 91.1, R@8 94.3 (the paper's IRT_R, DeiT-S distilled, 384 dimensions);
          74.2 is R@1 of IRT_L (--koleo_weight 0) and 58.5 that of IRT_O (off the shelf), both with DeiT-S
"""

from hf_vitret.cli.recipe import train

SETTINGS = {
    "model": "facebook/deit-small-distilled-patch16-224",
    "margin": 0.5,
    "koleo_weight": 0.7,
    "learning_rate": 3e-5,
    "max_steps": 2000,
    "eval_steps": 200,
    "save_steps": 200,
    "eval_ks": [1, 2, 4, 8, 10],
}

if __name__ == "__main__":
    train("cub", __doc__, SETTINGS)
