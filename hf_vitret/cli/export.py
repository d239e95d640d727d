"""Write further ways to load beside a checkpoint: sentence-transformers, ONNX; an Endpoint's handler, a Space.

  hf-vitret export outputs/cub/final --sentence_transformers --onnx
  hf-vitret export outputs/cub/final --int8 --dataset cub --data_dir CUB_200_2011.tgz
  hf-vitret export outputs/catalogue/final --endpoint --space --data_dir photos --repository user/things --revision v1

What is written is told in results.json and on the card, and goes with the next hf-vitret publish; a Space is a
repository of its own. An 8-bit graph is scored where the images of the run are named: its rows are then on the card.
The images of a Space are published with it: they need a licence that allows it.
"""

from __future__ import annotations

import shlex
import sys
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options.loader_options import add_loader_options, given_loader_options

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from datasets import Dataset, DatasetDict

KINDS = ("sentence_transformers", "onnx", "int8", "endpoint", "space")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("checkpoint", help="its folder, as a recipe writes it: <output_dir>/final")
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
    how.add_argument("--dynamic_size", action="store_true", help="onnx: images of any size")
    how.add_argument("--title", help="space: its title; default: what the data set is called")
    how.add_argument("--repository", metavar="USER/NAME", help="space: where the checkpoint is on the Hub")
    how.add_argument("--revision", default="main", help="space: its commit or tag there")
    how.add_argument("--num_images", type=int, help="space: images to search among, drawn at random; default: all")
    data = parser.add_argument_group("images to score int8 on, and to search among in the Space")
    data.add_argument("--dataset", default="catalogue", help="name of the data set")
    data.add_argument("--data_dir", help="where it is: a folder, an archive or a table")
    add_loader_options(data)


def run(options: Namespace) -> int:
    """Export; return 0."""
    dataset, folder = _check(options), Path(options.checkpoint)
    if options.sentence_transformers:
        from ..hub.export.sentence_transformers_files import write_sentence_transformers

        needs_code = write_sentence_transformers(folder, copy_weights=options.copy_weights)
        argument = ", trust_remote_code=True" if needs_code else ""
        _say("Wrote", f'{folder / "modules.json"}: SentenceTransformer("{folder}"{argument})')
    if options.onnx or options.int8:
        _export_graphs(folder, options, dataset)
    if options.endpoint:
        from ..hub.export.endpoint import write_endpoint_handler

        _say("Wrote", str(write_endpoint_handler(folder)))
    if options.space and dataset is not None:
        from ..hub.export.space import write_space

        title = options.title or f"Visual search: {options.dataset}"
        images = _drawn(dataset["gallery" if "gallery" in dataset else "test"], options.num_images)
        space = write_space(folder, images, title=title, repo_id=options.repository, revision=options.revision)
        _say("Wrote", f"{space}: python app.py runs it there")
    _say("Next", shlex.join(["hf-vitret", "publish", str(folder), options.repository or "USER/NAME"]))
    return 0


def _check(options: Namespace) -> DatasetDict | None:
    """Check which options go together; load the images, where they are named."""
    if not any(getattr(options, kind) for kind in KINDS):
        raise ValueError(f"expected one or more of {', '.join(f'--{kind}' for kind in KINDS)}; got none")
    given = given_loader_options(options, options.dataset)
    is_named = options.data_dir is not None or options.dataset != "catalogue"
    if not is_named and (options.space or given):
        raise ValueError("expected --data_dir, or --dataset with the name of a data set: the images are not named")
    if not is_named or not (options.space or options.int8):
        return None
    from ..data.loading import load_retrieval_dataset

    return load_retrieval_dataset(options.dataset, data_dir=options.data_dir, **given)


def _export_graphs(folder: Path, options: Namespace, dataset: DatasetDict | None) -> None:
    """Write the graphs, and score the 8-bit one on the images of the run."""
    from ..hub.card.run_files import RESULTS_NAME
    from ..hub.export.onnx_encoder import OnnxEncoder, score_change
    from ..hub.export.onnx_graph import INT8_NAME, export_onnx
    from ..hub.export.recorded import record_int8
    from ..inference.load_model import load_model

    model: Any = load_model(folder)
    path = export_onnx(model, folder / "onnx", dynamic_size=options.dynamic_size, quantize_int8=options.int8)
    _say("Wrote", str(path))
    if not options.int8:
        return
    _say("Wrote", str(path.with_name(INT8_NAME)))
    if dataset is None:
        _say("Not scored", "the 8-bit graph; name the images of the run, by --dataset and --data_dir")
        return
    from ..evaluation.evaluator import RetrievalEvaluator

    evaluator = RetrievalEvaluator({name: split for name, split in dataset.items() if name != "train"})
    change = score_change(evaluator, model, OnnxEncoder(path.with_name(INT8_NAME)))
    first = change["recall_at_1"]
    _say("R@1", f"{100 * first.mean_b:.1f} in float32, {100 * first.mean_a:.1f} in int8")
    if (folder / RESULTS_NAME).is_file():
        record_int8(folder, change)


def _drawn(dataset: Dataset, number: int | None) -> Dataset:
    """Draw images without repetition, in their order; all where no number is given."""
    import numpy as np

    if number is None or number >= len(dataset):
        return dataset
    return dataset.select(np.sort(np.random.default_rng(0).permutation(len(dataset))[:number]))


def _say(what: str, text: str) -> None:
    sys.stdout.write(f"{what:11}{text}\n")
