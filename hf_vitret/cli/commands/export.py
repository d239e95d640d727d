"""Write further ways to load beside a checkpoint: sentence-transformers, ONNX; an Endpoint's handler, a Space.

  hf-vitret export outputs/cub/final --sentence_transformers --onnx
  hf-vitret export outputs/cub/final --int8 --data cub --data_dir CUB_200_2011.tgz
  hf-vitret export outputs/photos/final --endpoint --space --data photos --repository user/things --model_revision v1

What is written is recorded in results.json and on the card, and goes with the next hf-vitret publish; a Space is a
repository of its own. An 8-bit graph is scored where the images of the run are named: its rows are then on the card.
The images of a Space are published with it: they need a licence that allows it.
Exit status: 0 where it is written, 2 for bad input.
"""

from __future__ import annotations

from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options.data_options import ChosenData, add_data_options, choose_data, given_options
from ..options.model_options import add_device_option
from ..output import add_output_options, labelled, output_of
from ..progress import hide_loading

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from datasets import Dataset, DatasetDict

KINDS = ("sentence_transformers", "onnx", "int8", "endpoint", "space")
# The options that are settings of a Space.
OF_SPACE = ("title", "repository", "model_revision", "num_images")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="folder that hf-vitret train wrote: <output_dir>/final"
    )
    what = parser.add_argument_group("what to write")
    what.add_argument("--sentence_transformers", action="store_true", help="modules.json and what it names")
    what.add_argument("--onnx", action="store_true", help="onnx/model.onnx, which takes uint8 pixels")
    what.add_argument("--int8", action="store_true", help="also onnx/model_int8.onnx")
    what.add_argument("--endpoint", action="store_true", help="handler.py, which an Inference Endpoint looks for")
    what.add_argument("--space", action="store_true", help="space/: an app that searches among images")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--copy_weights",
        action=BooleanOptionalAction,
        help="sentence_transformers: a second copy of the weights, and no code of the checkpoint's; default: where its "
        "own modules can do what the model does",
    )
    how.add_argument("--dynamic_size", action="store_true", default=None, help="onnx: images of any size")
    how.add_argument("--title", help="space: its title; default: made of the name of the data set")
    how.add_argument("--repository", metavar="USER/NAME", help="space: repository of the checkpoint on the Hub")
    how.add_argument("--model_revision", help="space: its commit or tag there; default: main")
    how.add_argument("--num_images", type=int, help="space: images to search among, drawn at random; default: all")
    add_device_option(how)
    add_data_options(parser, positional=False)
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Export; return 0."""
    from ...hub.model_card import CARD_NAME
    from ...inference.find_checkpoint import find_checkpoint

    output = output_of(options)
    chosen = _check(options)
    if not options.verbose:
        hide_loading()
    folder = Path(find_checkpoint(options.checkpoint))
    dataset = chosen.load() if chosen is not None and (options.space or options.int8) else None
    lines: list[tuple[str, str]] = []
    facts: dict[str, Any] = {"checkpoint": str(folder), "files": []}
    if options.sentence_transformers:
        from ...hub.export.sentence_transformers_files import write_sentence_transformers

        needs_code = write_sentence_transformers(folder, copy_weights=options.copy_weights)
        argument = ", trust_remote_code=True" if needs_code else ""
        lines.append(("Wrote", f'{folder / "modules.json"}: SentenceTransformer("{folder}"{argument})'))
        facts["files"].append(str(folder / "modules.json"))
    if options.onnx or options.int8:
        _export_graphs(folder, options, dataset, lines, facts)
    if options.endpoint:
        from ...hub.export.endpoint import write_endpoint_handler

        facts["files"].append(str(write_endpoint_handler(folder)))
        lines.append(("Wrote", facts["files"][-1]))
    if options.space and dataset is not None and chosen is not None:
        from ...hub.export.space import write_space

        title = options.title or f"Visual search: {chosen.title}"
        images = _drawn(dataset["gallery" if "gallery" in dataset else "test"], options.num_images)
        revision = options.model_revision or "main"
        space = write_space(folder, images, title=title, repo_id=options.repository, revision=revision)
        lines.append(("Wrote", f"{space}: python app.py runs it there"))
        facts["files"].append(str(space))
    output.result(labelled(*lines), facts)
    if (folder / CARD_NAME).is_file():  # a checkpoint without a card cannot be published
        output.next(["hf-vitret", "publish", folder, "--dry_run"])
    return 0


def interruption(options: Namespace) -> str:
    """Say what an interrupted export leaves."""
    return f"the files that were written in {options.checkpoint} are whole; the same command writes them again"


def _check(options: Namespace) -> ChosenData | None:
    """Check which options go together; find the images, where they are named."""
    if not any(getattr(options, kind) for kind in KINDS):
        raise ValueError(f"expected one or more of {', '.join(f'--{kind}' for kind in KINDS)}; got none")
    needed = {"copy_weights": ("sentence_transformers",), "dynamic_size": ("onnx", "int8")}
    needed |= dict.fromkeys(OF_SPACE, ("space",))
    needed |= {"device": ("onnx", "int8")}
    for name, kinds in needed.items():
        if getattr(options, name) is not None and not any(getattr(options, kind) for kind in kinds):
            raise ValueError(f"expected --{kinds[0]} with --{name}, which is a setting of it; give both, or neither")
    if options.model_revision is not None and options.repository is None:
        raise ValueError("expected --repository with --model_revision, which is a setting of it; give both, or neither")
    if options.num_images is not None and options.num_images < 1:
        raise ValueError(f"expected --num_images of 1 or more; got {options.num_images}")
    given = list(given_options(options))
    if options.data is None:
        if options.space or given:
            wants = "--space" if options.space else f"--{given[0]}"
            raise ValueError(f"expected --data with {wants}: the images are not named")
        return None
    if not (options.space or options.int8):
        raise ValueError("expected --int8 or --space with --data: nothing else looks at images; leave it out")
    return choose_data(options, options.data)


def _export_graphs(
    folder: Path,
    options: Namespace,
    dataset: DatasetDict | None,
    lines: list[tuple[str, str]],
    facts: dict[str, Any],
) -> None:
    """Write the graphs, and score the 8-bit one on the images of the run; report both."""
    from ...hub.card.run_files import RESULTS_NAME
    from ...hub.export.onnx_encoder import OnnxEncoder, score_change
    from ...hub.export.onnx_graph import INT8_NAME, export_onnx
    from ...hub.export.recorded import record_int8
    from ...inference.load_model import load_model

    model: Any = load_model(folder, device=options.device)
    path = export_onnx(model, folder / "onnx", dynamic_size=bool(options.dynamic_size), quantize_int8=options.int8)
    names = [path, *([path.with_name(INT8_NAME)] if options.int8 else [])]
    lines += [("Wrote", str(name)) for name in names]
    facts["files"] += [str(name) for name in names]
    if not options.int8:
        return
    if dataset is None:
        lines.append(("Not scored", "the 8-bit graph; name the images of the run by --data"))
        return
    from ...evaluation.evaluator import RetrievalEvaluator

    evaluator = RetrievalEvaluator({name: split for name, split in dataset.items() if name != "train"})
    change = score_change(evaluator, model, OnnxEncoder(path.with_name(INT8_NAME)))
    first = change["recall_at_1"]
    lines.append(("R@1", f"{100 * first.mean_b:.1f} in float32, {100 * first.mean_a:.1f} in int8"))
    facts["recall_at_1"] = {"float32": first.mean_b, "int8": first.mean_a}
    if (folder / RESULTS_NAME).is_file():
        record_int8(folder, change)


def _drawn(dataset: Dataset, number: int | None) -> Dataset:
    """Draw images without repetition, in their order; all where no number is given."""
    import numpy as np

    if number is None or number >= len(dataset):
        return dataset
    return dataset.select(np.sort(np.random.default_rng(0).permutation(len(dataset))[:number]))
