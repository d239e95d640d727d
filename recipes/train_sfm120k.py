"""SfM-120k: particular objects, with the paper's settings; scored on ROxford5k and RParis6k.

Paper:    El-Nouby et al. 2021, arXiv 2102.05644, tables 6 to 8
Command:  accelerate launch recipes/train_sfm120k.py --data_dir sfm120k --revisited_dir revisited
          (several GPUs: accelerate launch --config_file recipes/accelerate/multi_gpu.yaml recipes/train_sfm120k.py ...)
          accelerate launch recipes/train_sfm120k.py --demo    a small set of scenes, made here from photographs
Same as:  hf-vitret train sfm120k --data_dir sfm120k --revisited_dir revisited
Hardware: one GPU with 16 GB at 224 pixels; the paper names none
Hours:    not yet measured
Score:    mAP medium and hard on ROxford5k, on RParis6k: 34.5 15.8, 65.8 42.0 (the paper's IRT_L, --koleo_weight 0,
          with this backbone, DeiT-S distilled at 224 pixels). IRT_R with DeiT-S: 34.0 11.5, 66.1 40.2, and off the
          shelf 20.3 5.6, 50.2 26.3. IRT_R with DeiT-B distilled at 384 pixels (--image_size 384 --model
          facebook/deit-base-distilled-patch16-384): 55.1 28.3, 72.7 49.6

The paper follows the code of Radenovic et al. (arXiv 1711.02512), by its own words. Where the paper is silent, this
follows that code too: the loss is Euclidean and a sum over the five tuples of a step; Adam adds its weight decay to the
gradient, of every weight; the learning rate falls by exp(-0.01) an epoch; a pool is drawn anew in each epoch, from all
training images. Where that code is silent as well: KoLeo sees the 35 images of a step at once; the checkpoint kept is
the one with the best MAP@R among the images of the 3-D models for validation. The paper whitens nothing and re-ranks
nothing: the lines that do are extra, and the whitened model is in a folder of its own.
"""

from hf_vitret.cli.recipe import train

if __name__ == "__main__":
    train("sfm120k", __doc__)
