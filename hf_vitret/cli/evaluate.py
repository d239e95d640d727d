"""Score any model on any data set, with confidence intervals, alone or against another model.

  hf-vitret evaluate --model outputs/icons/final --dataset icons --min_drawings 3
  hf-vitret evaluate --model user/model --dataset sop --data_dir Stanford_Online_Products
  hf-vitret evaluate --model facebook/dinov2-small --data_dir photos --compare outputs/catalogue/final
  hf-vitret evaluate --model user/model --dataset_name user/photos --label_column category
  hf-vitret evaluate --model user/model --data_dir photos --false_match_rates 0.01 0.001

Writes evaluation.json, with --compare also comparison.json. With --false_match_rates also match_rates.json: from which
score on a search may say that two images match, for hf-vitret index and search --calibration.
Exit status: 0 where it is measured, 2 for bad input.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options.given_options import given_options
from .options.loader_options import add_loader_options, given_loader_options

if TYPE_CHECKING:
    from argparse import Namespace, _ActionsContainer
    from collections.abc import Sequence

    from ..models.modeling_vitret import ViTRetModel
    from ..workflows.evaluate.model_evaluation import ModelEvaluation

COMMAND = ("hf-vitret", "evaluate")
# Off the shelf; the second is the paper's.
BASELINES = ("facebook/dinov2-small", "facebook/deit-small-distilled-patch16-224")
RESULT_NAME, COMPARISON_NAME, RATES_NAME = "evaluation.json", "comparison.json", "match_rates.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ..data.loading import DATASETS
    from ..workflows.evaluate.evaluation_choices import POOLINGS, RESIZE_MODES

    model = parser.add_argument_group("model")
    model.add_argument("--model", required=True, help="folder or Hub id of a checkpoint, or of a plain backbone")
    model.add_argument("--revision", help="branch, tag or commit on the Hub")
    model.add_argument("--compare", metavar="OTHER_MODEL", help="also score this one, and tell the two apart")
    model.add_argument("--backbone_pooling", choices=POOLINGS, default="cls", help="of a plain backbone")
    model.add_argument("--image_size", type=int, help="side in pixels of the image; default: the model's")
    model.add_argument("--resize_size", type=int, help="side before the crop; default: the model's, or by its rule")
    model.add_argument("--resize_mode", choices=RESIZE_MODES, help="what that side means; default: the model's")
    data = parser.add_argument_group("data set")
    data.add_argument("--dataset", default="catalogue", help=", ".join(sorted(DATASETS)))
    data.add_argument("--data_dir", help="where it is: a folder, an archive or a table")
    data.add_argument("--dataset_name", help="catalogue: data set of the Hub, in place of --data_dir")
    data.add_argument("--dataset_config", help="catalogue: its configuration, where it has several")
    data.add_argument("--dataset_revision", help="catalogue: its branch, tag or commit")
    add_loader_options(data)
    data.add_argument("--on_bad_image", choices=("error", "skip"), default="error", help="images that cannot be read")
    data.add_argument("--trusted_images", action="store_true", help="do not decode each image once before the start")
    _add_scores(parser.add_argument_group("scores"))
    run = parser.add_argument_group("run")
    run.add_argument("--batch_size", type=int, default=64, help="images embedded at once")
    run.add_argument("--num_workers", type=int, default=0, help="processes that decode images")
    run.add_argument("--output_dir", default="outputs/evaluation", help="where the JSON is written")
    run.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _add_scores(scores: _ActionsContainer) -> None:
    from ..workflows.evaluate.evaluation_choices import DEFAULT_METRICS, DTYPES, KS, METRICS, RERANKINGS, TIES

    scores.add_argument("--ks", type=int, nargs="+", default=list(KS), help="cut-offs")
    scores.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        default=list(DEFAULT_METRICS),
        metavar="METRIC",
        help=", ".join(METRICS),
    )
    scores.add_argument("--ties", choices=TIES, default=TIES[0], help="what items that score alike are worth")
    scores.add_argument("--rerank", choices=RERANKINGS, help="a step of the search after embedding")
    scores.add_argument(
        "--rerank_neighbors", type=int, help="neighbours it takes; default: the paper's, for large classes"
    )
    scores.add_argument(
        "--false_match_rates",
        type=float,
        nargs="+",
        default=[],
        metavar="RATE",
        help="shares of the pairs of two classes that may match: find the score from which on two images match",
    )
    scores.add_argument("--num_resamples", type=int, default=10_000, help="of the bootstrap over queries")
    scores.add_argument("--confidence", type=float, default=0.95, help="of the intervals")
    scores.add_argument("--bootstrap_seed", type=int, default=0, help="of the resamples")
    scores.add_argument(
        "--memory_budget", type=float, metavar="MiB", help="of the scores held at once; default: what suits the device"
    )
    scores.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="of the model's arithmetic")


def run(options: Namespace, command: Sequence[str] = COMMAND) -> int:
    """Score the model, and the other one, on the same images; print and write what came out.

    Args:
        options: As read from the command line.
        command: What it is called by, for the commands that are shown.
    """
    stream = sys.stderr if options.json else sys.stdout

    def tell(line: str) -> None:
        stream.write(f"{line}\n")
        stream.flush()

    models, evaluation = _prepare(options, command, tell)
    folder, scored, comparison = Path(options.output_dir), [], None
    for name, model in models.items():
        tell(f"Evaluating {name} ...")
        scored.append(evaluation.score(model, name))
        tell(f"\n{scored[-1].result.table()}\n")
        if scored[-1].match_rates is not None:
            tell(f"{scored[-1].match_rates[1].table()}\n")
    written = [scored[0].result.save(folder / RESULT_NAME)]
    calibration = scored[0].calibration()
    if calibration:
        from ..files.json_values import write_json

        written.append(write_json(folder / RATES_NAME, calibration))
    if len(scored) == 2:
        comparison = evaluation.compare(*scored)
        written.append(comparison.save(folder / COMPARISON_NAME))
        tell(f"{comparison.table()}\n")
    if options.json:
        results = [RESULT_NAME] if comparison is None else [RESULT_NAME, COMPARISON_NAME]
        content = {Path(name).stem: json.loads((folder / name).read_text(encoding="utf-8")) for name in results}
        sys.stdout.write(json.dumps({**content, **calibration, "files": [str(path) for path in written]}) + "\n")
    tell(f"Wrote        {' and '.join(map(str, written))}")
    tell(f"Next         {next_command(options, command)}")
    return 0


def _prepare(options: Namespace, command: Sequence[str], tell: Any) -> tuple[dict[str, ViTRetModel], ModelEvaluation]:
    """Load models and data, and find what is wrong before the work."""
    from ..workflows.evaluate.evaluated_data import data_title, load_evaluated
    from ..workflows.evaluate.model_evaluation import EvaluationSettings, ModelEvaluation

    num_processes = int(os.environ.get("WORLD_SIZE", "1"))  # as accelerate launch and torchrun set it
    if num_processes > 1:
        raise ValueError(
            f"expected one process; got {num_processes}: intervals need every query's score in one place. Run "
            f"{' '.join(command)} ... by itself, or accelerate launch --num_processes 1"
        )
    names = EvaluationSettings.__dataclass_fields__
    settings = EvaluationSettings(**{name: getattr(options, name) for name in names})
    models = _load_models(options)
    dataset, left_out = load_evaluated(
        options.dataset,
        data_dir=options.data_dir,
        hub={name: getattr(options, name) for name in ("dataset_name", "dataset_config", "dataset_revision")},
        loader_options=given_loader_options(options, options.dataset),
        on_bad_image=options.on_bad_image,
        is_trusted=options.trusted_images,
        tell=tell,
    )
    title = data_title(options.dataset, options.data_dir, options.dataset_name)
    return models, ModelEvaluation(dataset, {"data_set": title, "unreadable_images": left_out}, settings)


def _load_models(options: Namespace) -> dict[str, ViTRetModel]:
    """Load one model or two, by their names in the report."""
    from ..inference.load_model import load_model, model_name

    names = ("backbone_pooling", "image_size", "resize_size", "resize_mode")
    settings = {name: getattr(options, name) for name in names}
    models = {model_name(options.model): load_model(options.model, revision=options.revision, **settings)}
    if options.compare is not None:
        name = model_name(options.compare)
        if name in models:
            raise ValueError(f"expected another model to compare with; got {name} twice")
        models[name] = load_model(options.compare, **settings)
    return models


def next_command(options: Namespace, command: Sequence[str] = COMMAND) -> str:
    """Say what to try after this: another model, or what is wrong with the images."""
    if options.compare is None:
        parser = ArgumentParser()
        add_arguments(parser)
        other = BASELINES[options.model == BASELINES[0]]
        return shlex.join([*command, *given_options(parser, options, compare=other)])
    where = options.data_dir or options.dataset_name
    place = [] if where is None else ["--data_dir", where]
    given = given_loader_options(options, options.dataset)
    place += [part for name, value in given.items() for part in (f"--{name}", str(value))]
    return shlex.join(["hf-vitret", "doctor", options.dataset, *place, "--model", options.model])
