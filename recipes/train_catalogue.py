"""Your own images: a folder for each class, a table, or a data set of the Hub.

Paper:    the method of arXiv 2102.05644; its losses and optimiser settings, a shorter run
Command:  accelerate launch recipes/train_catalogue.py photos
          accelerate launch recipes/train_catalogue.py products.csv --image_column file --label_column sku
          accelerate launch recipes/train_catalogue.py user/dataset --label_column category
Same as:  hf-vitret train photos
Hardware: one GPU; a CPU does for a small model at a small --image_size
Hours:    not yet measured: depends on your images; 2,000 steps are what the paper gives CUB's 5,864 images
Score:    printed before and after, on classes set aside for testing where you name no test split
"""

from hf_vitret.cli.recipe import train
from hf_vitret.inference.fast_bf16 import has_fast_bf16

SETTINGS = {
    "model": "facebook/dinov2-small",
    "margin": 0.5,
    "koleo_weight": 0.7,
    "learning_rate": 3e-5,
    "max_steps": 2000,
    "eval_steps": 500,
    "save_steps": 500,
    "bf16": has_fast_bf16(),
}

if __name__ == "__main__":
    train(None, __doc__, SETTINGS)
