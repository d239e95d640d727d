"""SfM-120k: particular objects, with the paper's settings; scored on ROxford5k and RParis6k.

Paper:    El-Nouby et al. 2021, arXiv 2102.05644, tables 6 to 8
Command:  accelerate launch recipes/train_sfm120k.py --data_dir sfm120k --revisited_dir revisited
          (several GPUs: accelerate launch --config_file recipes/accelerate/multi_gpu.yaml recipes/train_sfm120k.py ...)
          accelerate launch recipes/train_sfm120k.py --demo    a small set of places, made here from photographs
Hardware: one GPU with 16 GB at 224 pixels; the paper names none
Hours:    not yet measured
Score:    mAP medium and hard on ROxford5k, on RParis6k: 34.5 15.8, 65.8 42.0 (the paper's IRT_L, --koleo_weight 0,
          with this backbone, DeiT-S distilled at 224 pixels). IRT_R with DeiT-S: 34.0 11.5, 66.1 40.2, and off the
          shelf 20.3 5.6, 50.2 26.3. IRT_R with DeiT-B distilled at 384 pixels (--image_size 384 --backbone
          facebook/deit-base-distilled-patch16-384): 55.1 28.3, 72.7 49.6

The paper follows the code of Radenovic et al. (arXiv 1711.02512), by its own words. Where it is silent, so does this:
the loss is Euclidean and a sum over the five tuples of a step; Adam adds its weight decay to the gradient, of every
weight; the learning rate falls by exp(-0.01) an epoch; a pool is drawn anew in each epoch, from all training images.
Where that code has nothing to say: KoLeo sees the 35 images of a step at once, since the N of its formula is the
batch's; the checkpoint kept is the one with the best MAP@R among the images of the 3-D models for validation. The
paper whitens nothing and re-ranks nothing: the lines that do are extra, the whitened model in a folder of its own.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import set_seed
from datasets import Dataset
from dinov2_small import HUB_ID, dinov2_small
from transformers import HfArgumentParser

from hf_vitret.data.demo.scenes.photographs import PHOTOGRAPHS
from hf_vitret.data.landmarks.sfm120k import load_sfm120k, load_sfm120k_pairs, load_sfm120k_whitening
from hf_vitret.evaluation.post_processing import POST_PROCESSINGS
from hf_vitret.files.atomic_folders import whole_folder
from hf_vitret.inference.fast_bf16 import has_fast_bf16
from hf_vitret.models.modeling_vitret import ViTRetModel
from hf_vitret.training.tuples.arguments import TupleTrainingArguments
from hf_vitret.workflows.evaluate.revisited_scores import load_evaluators, report_stages, score_stages
from hf_vitret.workflows.finetune.arguments import ModelArguments, bad_input_as_message, parse_arguments
from hf_vitret.workflows.finetune.data_facts import DataFacts
from hf_vitret.workflows.finetune.finetune import AFTER, BEFORE
from hf_vitret.workflows.finetune.own_command import own_command
from hf_vitret.workflows.finetune.particular_objects import finetune_on_tuples, whiten

REVISITED = ("roxford5k", "rparis6k")
SCORES_NAME = "revisited.json"
LICENSE = "Photographs from Flickr, collected for research (Radenovic et al. 2019, arXiv 1711.02512)."
PLACES_LICENSE = "Views of photographs that scikit-image and scikit-learn ship:\n\n" + "\n".join(
    f"- {name}: {photograph.terms}" for name, photograph in PHOTOGRAPHS.items()
)


@dataclass
class DataArguments:
    """Where the data is, and what is done with the model once it is trained."""

    data_dir: str = field(
        default="sfm120k", metadata={"help": "The folder with retrieval-SfM-120k.pkl and ims/ (or ims.tar.gz)."}
    )
    revisited_dir: str | None = field(
        default=None, metadata={"help": "The folder with roxford5k/ and rparis6k/; default: they are not scored."}
    )
    whitening_dim: int | None = field(
        default=None, metadata={"help": "Dimensions that the learned whitening keeps; default: all."}
    )
    rerank: str = field(
        default="query_expansion", metadata={"help": f"What comes after the search: {', '.join(POST_PROCESSINGS)}."}
    )
    rerank_neighbors: int | None = field(
        default=None, metadata={"help": "Neighbours that it takes; default: those of its paper."}
    )
    demo: bool = field(default=False, metadata={"help": "Make a small set of places, and train and score on that."})


# What the demo sets otherwise: a small set takes fewer steps, larger ones, and images that two cores can train on.
DEMO: dict[str, Any] = {
    "output_dir": "outputs/places",
    "backbone": None,
    "image_size": 98,
    "num_train_epochs": 4,
    "pairs_per_epoch": 50,
    "pool_size": 300,
    "learning_rate": 1e-5,
    "logging_steps": 5,
    "bf16": has_fast_bf16(),
    "rerank": "reciprocal",
    "rerank_neighbors": 10,
}


def make_places(data_args: DataArguments, folder: Path) -> None:
    """Let the demo's data be places in a folder, made there unless they are there already."""
    from hf_vitret.data.demo.scenes.writing import write_places

    state = PartialState()
    data_args.data_dir = data_args.revisited_dir = str(folder)
    if state.is_main_process and not folder.exists():
        state.print(f"Making places in {folder} ...")
        with whole_folder(folder) as partial:
            write_places(partial)
    state.wait_for_everyone()


def whitening_data(data_dir: str, images: Dataset, pairs: Dataset) -> tuple[Dataset, Dataset]:
    """Return images and pairs to fit a whitening on: the official lists for it, or else those of the training."""
    try:
        official = load_sfm120k_whitening(data_dir)
    except FileNotFoundError:
        return images, pairs
    return official["images"], official["pairs"]


def asks_for_demo() -> bool:
    """Read `--demo` alone off the command line: what the other options are by default depends on it."""
    data_args, _ = HfArgumentParser(DataArguments, add_help=False).parse_args_into_dataclasses(
        return_remaining_strings=True
    )
    return bool(data_args.demo)


def main() -> None:
    """Fine-tune on SfM-120k, or on places that are made first; score before and after, whitened and expanded."""
    is_demo = asks_for_demo()
    defaults = DEMO if is_demo else {"output_dir": "outputs/sfm120k"}
    data_args, model_args, args = parse_arguments(
        __doc__, DataArguments, ModelArguments, TupleTrainingArguments, resize_mode="square", **defaults
    )
    base_model, output_dir = model_args.base_model if model_args.backbone else HUB_ID, Path(args.output_dir)
    with bad_input_as_message():
        if is_demo:
            make_places(data_args, output_dir / "places")
            model_args.backbone = model_args.backbone or dinov2_small()
        data_dir, revisited_dir = data_args.data_dir, data_args.revisited_dir
        dataset = load_sfm120k(data_dir, check_counts=not is_demo)
        pairs = load_sfm120k_pairs(data_dir)["train"]
        names = () if revisited_dir is None else ("places",) if is_demo else REVISITED
        settings = {"batch_size": args.per_device_eval_batch_size, "num_workers": args.dataloader_num_workers}
        settings |= {"dtype": args.autocast_dtype}
        evaluators = load_evaluators(names, revisited_dir, check_counts=not is_demo, **settings)
    real_run = "accelerate launch recipes/train_sfm120k.py --data_dir sfm120k --revisited_dir revisited"
    facts = DataFacts(
        name="places" if is_demo else "SfM-120k",
        license=PLACES_LICENSE if is_demo else LICENSE,
        command=own_command(sys.argv),
        next_command=real_run if is_demo else f"{real_run} --koleo_weight 0 --output_dir outputs/sfm120k-without-koleo",
        base_model=base_model,
        model_license="apache-2.0" if is_demo and base_model == HUB_ID else None,
        dataset=None if is_demo else "sfm120k",
    )

    def score_revisited(folder: Path) -> dict[str, Any]:
        images, matches = whitening_data(data_dir, dataset["train"], pairs)
        print(f"Learning a whitening from {len(matches):,} pairs, and scoring ...")
        set_seed(args.seed)  # a random projection is that which the training began with
        models = {
            BEFORE: model_args.build().to(args.device),
            AFTER: ViTRetModel.from_pretrained(folder).to(args.device),
        }
        whitening = {**settings, "dim": data_args.whitening_dim}
        models |= {f"{name}, whitened": whiten(model, images, matches, **whitening) for name, model in models.items()}
        whitened_folder = output_dir / "whitened"
        with whole_folder(whitened_folder) as partial:
            models[f"{AFTER}, whitened"].save_pretrained(partial)
        stages = score_stages(models, evaluators, rerank=data_args.rerank, num_neighbors=data_args.rerank_neighbors)
        print(f"\n{report_stages(stages, output_dir / SCORES_NAME)}\n")
        print(f"Whitened     {whitened_folder}\nScores       {output_dir / SCORES_NAME}")
        return {"revisited": stages}

    score_more = score_revisited if evaluators else None
    finetune_on_tuples(dataset, pairs, model_args, args, facts, trusted_images=is_demo, score_more=score_more)


if __name__ == "__main__":
    main()
