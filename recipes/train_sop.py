"""Stanford Online Products: the paper's first benchmark, with the paper's settings.

Paper:    El-Nouby et al. 2021, arXiv 2102.05644, tables 2 and 3
Command:  accelerate launch recipes/train_sop.py --data_dir Stanford_Online_Products
          (several GPUs: accelerate launch --config_file recipes/accelerate/multi_gpu.yaml recipes/train_sop.py ...)
Same as:  hf-vitret train sop --data_dir Stanford_Online_Products
Hardware: one GPU with 16 GB; the paper names none
Hours:    not yet measured
Score:    R@1 84.2, R@10 93.7, R@100 97.3, R@1000 99.1 (the paper's IRT_R, DeiT-S distilled, 384 dimensions);
          83.0 is R@1 of IRT_L (--koleo_weight 0) and 52.8 that of IRT_O (off the shelf), both with DeiT-S
"""

from hf_vitret.cli.recipe import train

SETTINGS = {
    "model": "facebook/deit-small-distilled-patch16-224",
    "loss": "contrastive",
    "margin": 0.5,
    "koleo_weight": 0.7,
    "memory_size": None,  # as large as the training set: 59,551
    "per_device_train_batch_size": 64,
    "learning_rate": 3e-5,
    "weight_decay": 5e-4,
    "max_steps": 35_000,
}

if __name__ == "__main__":
    train("sop", __doc__, SETTINGS)
