"""Score any model on any data set, with confidence intervals, alone or against another model.

  hf-vitret evaluate photos --model outputs/photos/final
  hf-vitret evaluate photos --model outputs/photos/final --compare facebook/dinov2-small
  hf-vitret evaluate sop --data_dir Stanford_Online_Products --model user/model
  hf-vitret evaluate user/photos --label_column category --model user/model --num_processes 2
  hf-vitret evaluate photos --model user/model --false_match_rates 0.01 0.001

Writes evaluation.json, with --compare also comparison.json: both models see images of the same size unless
--compare_image_size says otherwise. With --false_match_rates also match_rates.json: from which score on a search may
say that two images match, for hf-vitret index and search --calibration.
Exit status: 0 where it is measured, 1 where images were left out, 2 for bad input.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options.data_options import add_data_options, choose_data, data_arguments
from ..options.launch_options import add_launch_options
from ..options.model_options import add_model_options, model_settings
from ..options.sizes import size
from ..output import add_output_options, labelled, output_of
from ..progress import hide_loading

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer
    from collections.abc import Mapping, Sequence

    from ...models.modeling_vitret import ViTRetModel
    from ...workflows.evaluate.model_evaluation import ModelEvaluation, ModelScores

RESULT_NAME, COMPARISON_NAME, RATES_NAME = "evaluation.json", "comparison.json", "match_rates.json"
LEFT_OUT = 1  # exit status
OWN_SIZE = "own"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ...data.image_checks import ON_BAD_IMAGE
    from ...workflows.evaluate.evaluation_choices import RESIZE_MODES

    add_data_options(parser)
    images = parser.add_argument_group("images")
    images.add_argument(
        "--on_bad_image",
        choices=ON_BAD_IMAGE,
        default=ON_BAD_IMAGE[0],
        help="stop at unreadable images, leave them out, or complete truncated JPEG files and leave the others out",
    )
    images.add_argument("--trusted_images", action="store_true", help="do not decode each image once before the start")
    model = add_model_options(parser, required=True)
    model.add_argument("--resize_size", type=int, help="side in pixels before the centre crop; default: the model's")
    model.add_argument("--resize_mode", choices=RESIZE_MODES, help="what is resized to that side; default: the model's")
    model.add_argument("--compare", metavar="OTHER_MODEL", help="also score this one, and the difference of the two")
    model.add_argument(
        "--compare_image_size",
        metavar="PIXELS",
        help=f"side of the image that the other model sees, or '{OWN_SIZE}'; default: that of --model",
    )
    _add_scores(parser.add_argument_group("scores"))
    run = parser.add_argument_group("run")
    run.add_argument("-b", "--batch_size", type=int, default=64, help="images embedded at once")
    run.add_argument("--num_workers", type=int, default=0, help="processes that decode images")
    run.add_argument("-o", "--output_dir", default="outputs/evaluation", help="where the JSON files are written")
    add_launch_options(parser)
    add_output_options(parser)


def _add_scores(scores: _ActionsContainer) -> None:
    from ...workflows.evaluate.evaluation_choices import DEFAULT_METRICS, DTYPES, KS, METRICS, RERANKINGS, TIES

    scores.add_argument("--ks", type=int, nargs="+", default=list(KS), help="cut-offs")
    scores.add_argument(
        "--metrics",
        nargs="+",
        choices=METRICS,
        default=list(DEFAULT_METRICS),
        metavar="METRIC",
        help=", ".join(METRICS),
    )
    scores.add_argument(
        "--ties", choices=TIES, default=TIES[0], help="rank of a positive that scores the same as a negative"
    )
    scores.add_argument("--rerank", choices=RERANKINGS, help="re-ranking after the search")
    scores.add_argument(
        "--rerank_neighbors", type=int, help="neighbours that it uses; default: those of its paper, for large classes"
    )
    scores.add_argument(
        "--false_match_rates",
        type=float,
        nargs="+",
        default=[],
        metavar="RATE",
        help="shares of the pairs of two classes that may match: find the score from which on two images match",
    )
    scores.add_argument("--num_resamples", type=int, default=10_000, help="resamples of the bootstrap over queries")
    scores.add_argument("--confidence", type=float, default=0.95, help="confidence of the intervals")
    scores.add_argument("--bootstrap_seed", type=int, default=0, help="seed of the resamples")
    scores.add_argument(
        "--memory_budget",
        type=size,
        metavar="SIZE",
        help="memory for the scores held at once, such as 500MB; default: one that suits the device",
    )
    scores.add_argument("--dtype", choices=DTYPES, default=DTYPES[0], help="precision that the model computes in")


def run(options: Namespace) -> int:
    """Score the model, and the other one, on the same images; print and write what came out."""
    from ...data.catalogue.left_out import describe_left_out
    from ...files.json_values import write_json

    output = output_of(options)
    if not options.verbose:
        hide_loading()
    is_first = os.environ.get("RANK", "0") == "0"
    say = output.say if is_first else _silent
    models, evaluation = _prepare(options, say)
    folder, scored = Path(options.output_dir), []
    for name, model in models.items():
        say(f"Evaluating {name} at {model.config.image_size} px ...")
        scored.append(evaluation.score(model, name))
    _end_processes()
    found: list[ModelScores] = [each for each in scored if each is not None]
    if not found:
        return 0  # not the first process
    written = [found[0].result.save(folder / RESULT_NAME)]
    content: dict[str, Any] = {"evaluation": asdict(found[0].result)}
    calibration = found[0].calibration()
    if calibration:
        written.append(write_json(folder / RATES_NAME, calibration))
        content |= calibration
    tables, lines = [table for each in found for table in each.tables()], []
    if len(found) == 2:
        comparison = evaluation.compare(found[0], found[1])
        written.append(comparison.save(folder / COMPARISON_NAME))
        content["comparison"] = asdict(comparison)
        tables.append(comparison.table())
        sizes = [f"{name} at {model.config.image_size} px" for name, model in models.items()]
        lines.append(("Compared", " and ".join(sizes)))
    lines.append(("Wrote", " and ".join(map(str, written))))
    say()
    output.result("\n\n".join([*tables, labelled(*lines)]), {**content, "files": [str(path) for path in written]})
    left_out, mended = evaluation.unreadable, evaluation.mended
    if left_out:
        output.note("Left out", ", ".join(f"{count} of {name}" for name, count in left_out.items()) + " cannot be read")
    if mended:
        counts = ", ".join(f"{count} of {name}" for name, count in mended.items())
        output.note("Mended", f"{counts} are truncated JPEG files")
    for line in describe_left_out(evaluation.left_out_files):
        output.note("Not used", line)
    of_model = [part for name, value in model_settings(options).items() for part in (f"--{name}", str(value))]
    named = Path(options.model) if Path(options.model).is_dir() else options.model
    output.next(["hf-vitret", "doctor", *data_arguments(options.data, options), "--model", named, *of_model])
    return LEFT_OUT if left_out or any(one["is_image"] for one in evaluation.left_out_files) else 0


def _prepare(options: Namespace, say: Any) -> tuple[dict[str, ViTRetModel], ModelEvaluation]:
    """Load models and data; all that can be refused is refused here, before the work starts."""
    from ...data.catalogue.left_out import collecting
    from ...workflows.evaluate.evaluated_data import evaluated_data
    from ...workflows.evaluate.model_evaluation import EvaluationSettings, ModelEvaluation

    names = EvaluationSettings.__dataclass_fields__
    settings = EvaluationSettings(**{name: getattr(options, name) for name in names})
    if options.trusted_images and options.on_bad_image != "error":
        raise ValueError(
            "expected no --on_bad_image with --trusted_images, which looks for no bad image: leave one out"
        )
    chosen = choose_data(options, options.data)
    models = _load_models(options)
    with collecting() as files:
        loaded = chosen.load()
    checked = evaluated_data(loaded, on_bad_image=options.on_bad_image, is_trusted=options.trusted_images, say=say)
    facts: dict[str, Any] = {"data_set": chosen.title, "unreadable_images": _count(checked.left_out)}
    facts |= {"mended_images": _count(checked.mended)} if checked.mended else {}
    facts |= {"left_out_files": files.to_json()} if files.counts else {}
    return models, ModelEvaluation(checked.dataset, facts, settings)


def _count(images: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    """Return the number of images of each split."""
    return {split: len(found) for split, found in images.items()}


def _load_models(options: Namespace) -> dict[str, ViTRetModel]:
    """Load one model or two, by their names in the report; both for images of one size unless that is asked for."""
    from ...inference.load_model import load_model, model_name

    sides = {"resize_size": options.resize_size, "resize_mode": options.resize_mode}
    settings = {**model_settings(options), **sides}
    if options.compare is not None:
        name, other_name = _different_names(options.model, options.compare)
    model = load_model(options.model, **settings)
    if options.compare is None:
        if options.compare_image_size is not None:
            raise ValueError(
                "expected --compare with --compare_image_size, which is a setting of it; give both, or neither"
            )
        return {model_name(options.model): model}
    other = {"pooling": options.pooling, "device": options.device}
    if options.compare_image_size is None:
        config = model.config
        other |= {"image_size": config.image_size, "resize_size": config.resize_size, "resize_mode": config.resize_mode}
    elif options.compare_image_size != OWN_SIZE:
        other["image_size"] = _pixels(options.compare_image_size)
    given = {key: value for key, value in other.items() if value is not None}
    return {name: model, other_name: load_model(options.compare, **given)}


def _different_names(first: str, second: str) -> tuple[str, str]:
    """Return the names of two models in the report: short ones, or the paths if these end alike."""
    from ...inference.find_checkpoint import find_checkpoint
    from ...inference.load_model import model_name

    found, other = find_checkpoint(first), find_checkpoint(second)
    if found == other or (Path(found).is_dir() and Path(found).resolve() == Path(other).resolve()):
        raise ValueError(f"expected another model to compare with; got {first} and {second}, which are the same")
    name, other_name = model_name(found), model_name(other)
    return (name, other_name) if name != other_name else (found, other)


def _pixels(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"expected a number of pixels, or '{OWN_SIZE}', for --compare_image_size; got {text!r}")
    return int(text)


def _end_processes() -> None:
    """Let all processes end together."""
    from accelerate import PartialState

    state = PartialState()
    state.wait_for_everyone()
    state.destroy_process_group()


def _silent(text: str = "") -> None:
    """Print nothing: on all processes but the first."""
