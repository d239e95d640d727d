"""A run on SfM-120k or on generated scenes: training on pairs, scores on ROxford5k and RParis6k."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import PartialState
from accelerate.utils import set_seed

from ...data.demo.scenes.writing import DATASET_NAME, write_scenes
from ...data.landmarks.sfm120k import load_sfm120k, load_sfm120k_pairs, load_sfm120k_whitening
from ...evaluation.post_processing import POST_PROCESSINGS
from ...files.atomic_folders import whole_folder
from ...models.modeling_vitret import ViTRetModel
from ..evaluate.revisited_scores import load_evaluators, report_stages, score_stages
from .measurements import AFTER, BEFORE
from .particular_objects import finetune_on_tuples, whiten

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets import Dataset

    from ...training.tuples.arguments import TupleTrainingArguments
    from .arguments import ModelArguments
    from .data_facts import DataFacts
    from .run_report import FinishedRun

REVISITED = ("roxford5k", "rparis6k")
SCORES_NAME, WHITENED_FOLDER = "revisited.json", "whitened"


@dataclass
class LandmarkOptions:
    """Settings of the evaluation of a run on particular objects, and of the whitening after the training."""

    _argument_group_name = "particular objects"

    revisited_dir: str | None = field(
        default=None, metadata={"help": "Folder with roxford5k/ and rparis6k/; default: no scores on them."}
    )
    whitening_dim: int | None = field(
        default=None, metadata={"help": "Number of dimensions that the learned whitening keeps; default: all."}
    )
    rerank: str = field(
        default="query_expansion", metadata={"help": f"Step after the search: {', '.join(POST_PROCESSINGS)}."}
    )
    rerank_neighbors: int | None = field(
        default=None, metadata={"help": "Number of neighbours in that step; default: as in its paper."}
    )
    demo: bool = field(
        default=False, metadata={"help": "Make a small set of scenes from photographs, train on it and score on it."}
    )


def make_scenes(folder: Path, say: Callable[[str], None] = print) -> None:
    """Write the small set of scenes to a folder unless it exists; the other processes wait for the main one.

    Args:
        folder: Folder for the files of the set.
        say: Prints a line.
    """
    state = PartialState()
    if state.is_main_process and not folder.exists():
        say(f"Making scenes in {folder} ...")
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_scenes(folder)
    state.wait_for_everyone()


def finetune_on_landmarks(
    data_dir: str,
    options: LandmarkOptions,
    model_args: ModelArguments,
    args: TupleTrainingArguments,
    facts: DataFacts,
    *,
    trusted_images: bool = False,
    say: Callable[[str], None] = print,
) -> FinishedRun:
    """Train on SfM-120k, and score the model before and after training, each also whitened and re-ranked.

    Args:
        data_dir: Folder with the official files, or with those of `make_scenes`.
        options: Settings of the evaluation and the whitening.
        model_args: Settings of the model.
        args: Settings of the training.
        facts: Facts about the data and the model for the card.
        trusted_images: Whether to skip the check that decodes each image once before training starts.
        say: Prints a line about the progress.

    Returns:
        The folder of the checkpoint and the results. The whitened model is in `<output_dir>/whitened`.

    Raises:
        ValueError: The data or a setting of the model or of the training is wrong; raised before training starts.
        OSError: The data or the model do not exist; raised before training starts.
    """
    dataset = load_sfm120k(data_dir, check_counts=not options.demo)
    pairs = load_sfm120k_pairs(data_dir)["train"]
    names = (DATASET_NAME,) if options.demo else REVISITED if options.revisited_dir is not None else ()
    settings: dict[str, Any] = {
        "batch_size": args.per_device_eval_batch_size,
        "num_workers": args.dataloader_num_workers,
        "dtype": args.autocast_dtype,
    }
    revisited_dir = data_dir if options.demo else options.revisited_dir
    evaluators = load_evaluators(names, revisited_dir, check_counts=not options.demo, **settings)
    output_dir = Path(str(args.output_dir))

    def score_revisited(folder: Path) -> dict[str, Any]:
        images, matches = whitening_data(data_dir, dataset["train"], pairs)
        say(f"Learning a whitening from {len(matches):,} pairs, and scoring ...")
        set_seed(args.seed)  # a random projection is the same as at the start of the training
        trained: Any = ViTRetModel.from_pretrained(folder)
        models: dict[str, Any] = {BEFORE: model_args.build().to(args.device), AFTER: trained.to(args.device)}
        whitening = {**settings, "dim": options.whitening_dim}
        models |= {f"{name}, whitened": whiten(model, images, matches, **whitening) for name, model in models.items()}
        with whole_folder(output_dir / WHITENED_FOLDER) as partial:
            models[f"{AFTER}, whitened"].save_pretrained(partial)
        stages = score_stages(models, evaluators, rerank=options.rerank, num_neighbors=options.rerank_neighbors)
        say(f"\n{report_stages(stages, output_dir / SCORES_NAME)}\n")
        say(f"Whitened     {output_dir / WHITENED_FOLDER}\nScores       {output_dir / SCORES_NAME}")
        return {"revisited": stages}

    return finetune_on_tuples(
        dataset,
        pairs,
        model_args,
        args,
        facts,
        trusted_images=trusted_images,
        score_more=score_revisited if evaluators else None,
        say=say,
    )


def whitening_data(data_dir: str, images: Dataset, pairs: Dataset) -> tuple[Dataset, Dataset]:
    """Return images and pairs to fit a whitening on: the official lists for whitening, or the training set.

    Args:
        data_dir: Folder with the files of SfM-120k.
        images: Training images.
        pairs: Training pairs, rows of `images`.
    """
    try:
        official = load_sfm120k_whitening(data_dir)
    except FileNotFoundError:
        return images, pairs
    return official["images"], official["pairs"]
