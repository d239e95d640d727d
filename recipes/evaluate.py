"""Score any model on any data set of the package, with confidence intervals, alone or against another model.

Paper:    the protocols of arXiv 2102.05644, tables 2 and 3
Command:  python recipes/evaluate.py --model outputs/icons/final --dataset icons --min_drawings 3
          python recipes/evaluate.py --model user/model --dataset sop --data_dir Stanford_Online_Products
          python recipes/evaluate.py --model facebook/dinov2-small --data_dir photos --compare outputs/catalogue/final
          python recipes/evaluate.py --model user/model --dataset_name user/photos --label_column category
Hardware: one GPU or a CPU; one process
Hours:    not yet measured: each model decodes and embeds every image once
Score:    R@1, R@K, MAP@R and R-precision of the model as it is; a plain backbone is the paper's IRT_O (off the shelf)
"""

import argparse
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import DatasetDict

import hf_vitret
from hf_vitret import RetrievalEvaluator, ViTRetModel, load_retrieval_dataset
from hf_vitret.cli.loader_options import add_loader_options, given_loader_options
from hf_vitret.data import DATASETS
from hf_vitret.evaluation.evaluator import score_queries
from hf_vitret.evaluation.metrics.metric_choice import DEFAULT_KS, DEFAULT_METRICS, METRICS, TIES
from hf_vitret.evaluation.post_processing import POST_PROCESSINGS, PostProcessedSearch
from hf_vitret.evaluation.reporting.bootstrap import bootstrap_interval
from hf_vitret.evaluation.reporting.report import ComparisonResult, EvaluationResult
from hf_vitret.experiment.arguments import bad_input_as_message
from hf_vitret.experiment.readable_images import readable_images
from hf_vitret.models.configuration_vitret import POOLINGS, RESIZE_MODES
from hf_vitret.search.load_model import load_model, model_name

DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Off the shelf; the second is the paper's.
BASELINES = ("facebook/dinov2-small", "facebook/deit-small-distilled-patch16-224")
RESULT_NAME, COMPARISON_NAME = "evaluation.json", "comparison.json"


def command_line() -> argparse.ArgumentParser:
    """Describe the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = parser.add_argument_group("model")
    model.add_argument("--model", required=True, help="folder or Hub id of a checkpoint, or of a plain backbone")
    model.add_argument("--revision", help="branch, tag or commit on the Hub")
    model.add_argument("--compare", metavar="OTHER_MODEL", help="also score this one, and tell the two apart")
    model.add_argument("--backbone_pooling", choices=POOLINGS, default="cls", help="of a plain backbone; default: cls")
    model.add_argument("--image_size", type=int, help="side in pixels of the image; default: the model's")
    model.add_argument("--resize_size", type=int, help="side before the crop; default: the model's, or by its rule")
    model.add_argument("--resize_mode", choices=RESIZE_MODES, help="what that side means; default: the model's")
    data = parser.add_argument_group("data set")
    data.add_argument("--dataset", default="catalogue", help=f"{', '.join(sorted(DATASETS))}; default: catalogue")
    data.add_argument("--data_dir", help="where it is: a folder, an archive or a table")
    data.add_argument("--dataset_name", help="catalogue: data set of the Hub, in place of --data_dir")
    data.add_argument("--dataset_config", help="catalogue: its configuration, where it has several")
    data.add_argument("--dataset_revision", help="catalogue: its branch, tag or commit")
    add_loader_options(data)
    data.add_argument("--on_bad_image", choices=("error", "skip"), default="error", help="images that cannot be read")
    data.add_argument("--trusted_images", action="store_true", help="do not decode each image once before the start")
    scores = parser.add_argument_group("scores")
    scores.add_argument("--ks", type=int, nargs="+", default=list(DEFAULT_KS), help="default: 1 10 100 1000")
    scores.add_argument("--metrics", nargs="+", choices=METRICS, default=list(DEFAULT_METRICS), metavar="METRIC")
    scores.add_argument("--ties", choices=TIES, default=TIES[0], help="what items that score alike are worth")
    scores.add_argument("--rerank", choices=POST_PROCESSINGS, help="a step of the search after embedding")
    scores.add_argument(
        "--rerank_neighbors", type=int, help="neighbours it takes; default: the paper's, for large classes"
    )
    scores.add_argument("--num_resamples", type=int, default=10_000, help="of the bootstrap over queries")
    scores.add_argument("--confidence", type=float, default=0.95, help="of the intervals")
    scores.add_argument("--bootstrap_seed", type=int, default=0, help="of the resamples")
    run = parser.add_argument_group("run")
    run.add_argument("--batch_size", type=int, default=64, help="images embedded at once")
    run.add_argument("--num_workers", type=int, default=0, help="processes that decode images")
    run.add_argument("--dtype", choices=DTYPES, default="float32", help="of the model's arithmetic")
    run.add_argument("--output_dir", default="outputs/evaluation", help="where the JSON is written")
    return parser


def load(options: argparse.Namespace) -> tuple[DatasetDict, dict[str, int]]:
    """Load what is evaluated; also how many images of each split cannot be read and are left out."""
    loader_options = given_loader_options(options, options.dataset)
    for_hub = {name: getattr(options, name) for name in ("dataset_name", "dataset_config", "dataset_revision")}
    for_hub = {name: value for name, value in for_hub.items() if value is not None}
    if options.dataset != "catalogue" and for_hub:
        raise ValueError(
            f"--{next(iter(for_hub))} is for a data set of the Hub; got it with --dataset {options.dataset}"
        )
    loader_options |= {name.replace("dataset_revision", "revision"): value for name, value in for_hub.items()}
    if options.dataset == "catalogue" and (options.data_dir is None) == (options.dataset_name is None):
        raise ValueError(
            "expected --data_dir (images of this machine), --dataset_name (of the Hub), one of them, or --dataset "
            "with the name of a benchmark"
        )
    loaded = load_retrieval_dataset(options.dataset, data_dir=options.data_dir, **loader_options)
    dataset = DatasetDict({name: split for name, split in loaded.items() if name != "train"})
    if options.trusted_images:
        return dataset, {}
    print("Reading each image once ...")
    dataset, bad = readable_images(dataset, options.on_bad_image)
    return dataset, {name: len(images) for name, images in bad.items()}


def load_models(options: argparse.Namespace) -> dict[str, ViTRetModel]:
    """Load one model or two, by their names in the report."""
    settings = {
        name: getattr(options, name) for name in ("backbone_pooling", "image_size", "resize_size", "resize_mode")
    }
    models = {model_name(options.model): load_model(options.model, revision=options.revision, **settings)}
    if options.compare is not None:
        name = model_name(options.compare)
        if name in models:
            raise ValueError(f"expected another model to compare with; got {name} twice")
        models[name] = load_model(options.compare, **settings)
    return models


def evaluate(
    model: ViTRetModel, name: str, options: argparse.Namespace, evaluator: RetrievalEvaluator, data: dict[str, Any]
) -> tuple[EvaluationResult, dict[str, torch.Tensor]]:
    """Score one model: its result, and the metrics of each query."""
    search: RetrievalEvaluator | PostProcessedSearch = evaluator
    if options.rerank is not None:
        search = PostProcessedSearch(evaluator, options.rerank, options.rerank_neighbors)
    print(f"Evaluating {name} ...")
    device = next(model.parameters()).device
    query = evaluator.embed(model, evaluator.query)
    gallery = None if evaluator.gallery is None else evaluator.embed(model, evaluator.gallery)
    values = score_queries(search, query, gallery, device)
    environment = {
        "batch_size": options.batch_size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "hf_vitret": hf_vitret.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    protocol = data | search.protocol(model) | environment
    return EvaluationResult.of_queries(name, values, protocol, **bootstrap_settings(options)), values


def bootstrap_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Collect the settings of the intervals."""
    return {
        "num_resamples": options.num_resamples,
        "confidence": options.confidence,
        "seed": options.bootstrap_seed,
    }


def next_command(options: argparse.Namespace) -> str:
    """Say what to try after this."""
    if options.compare is None:
        other = BASELINES[options.model == BASELINES[0]]
        return shlex.join(["python", *sys.argv, "--compare", other])
    where = options.data_dir or options.dataset_name
    place = [] if where is None else ["--data_dir", where]
    given = given_loader_options(options, options.dataset)
    place += [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return shlex.join(["hf-vitret", "doctor", options.dataset, *place, "--model", options.model])


def main() -> None:
    """Score the model, and the other one, on the same images; print and write what came out."""
    options = command_line().parse_args()
    with bad_input_as_message():
        num_processes = int(os.environ.get("WORLD_SIZE", "1"))  # as accelerate launch and torchrun set it
        if num_processes > 1:
            raise ValueError(
                f"expected one process; got {num_processes}: intervals need every query's score in one place. Run "
                "python recipes/evaluate.py ..., or accelerate launch --num_processes 1 recipes/evaluate.py ..."
            )
        if options.rerank is None and options.rerank_neighbors is not None:
            raise ValueError("--rerank_neighbors is a setting of --rerank; give both, or leave it out")
        bootstrap_interval([0.0], **bootstrap_settings(options))  # what is wrong with them is better known now
        models = load_models(options)
        dataset, left_out = load(options)
        evaluator = RetrievalEvaluator(
            dataset,
            ks=options.ks,
            metrics=options.metrics,
            ties=options.ties,
            batch_size=options.batch_size,
            num_workers=options.num_workers,
            dtype=DTYPES[options.dtype],
        )
        title = options.dataset if options.dataset != "catalogue" else options.dataset_name
        data = {"data_set": title or Path(str(options.data_dir)).resolve().name, "unreadable_images": left_out}
        folder, scored = Path(options.output_dir), []
        for name, model in models.items():
            scored.append(evaluate(model, name, options, evaluator, data))
            print(f"\n{scored[-1][0].table()}\n")
        written = [scored[0][0].save(folder / RESULT_NAME)]
        if len(scored) == 2:
            (result, values), (other, other_values) = scored
            settings = bootstrap_settings(options)
            comparison = ComparisonResult.of_queries(result, other, values, other_values, **settings)
            written.append(comparison.save(folder / COMPARISON_NAME))
            print(f"{comparison.table()}\n")
    print(f"Wrote        {' and '.join(map(str, written))}")
    print(f"Next         {next_command(options)}")


if __name__ == "__main__":
    main()
