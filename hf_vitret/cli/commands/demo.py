"""Train on icons in minutes, without a GPU or a download of data, and search with the model.

  hf-vitret demo
  hf-vitret demo --output_dir outputs/demo --max_steps 100

Fine-tunes DINOv2-small on the icons of the package qtawesome (pip install "hf_vitret[demo]"), draws what the model
finds before and after, writes some icons that training never saw as image files, and searches them by one of them.
Two CPU cores are enough.
Exit status: 0 if it is done, 2 if a package or the weights are not available.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..output import add_output_options, labelled, output_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...workflows.finetune.run_report import FinishedRun

NUM_CLASSES = 60  # unseen concepts that are searched
K = 5
ICONS, QUERY, PAGE = "icons", "query.png", "found.html"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-o",
        "--output_dir",
        help="folder of the run; default: outputs/icons, or outputs/icons-2 and so on after a finished run",
    )
    parser.add_argument("-m", "--model", help="folder or Hub id of a backbone; default: facebook/dinov2-small")
    parser.add_argument("--max_steps", type=int, help="training steps; default: 400")
    parser.add_argument("--min_drawings", type=int, help="smallest number of drawings of a concept; default: 3")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Train, search, and print the results; return 0."""
    from ...workflows.finetune.run_report import report_run
    from . import train

    output = output_of(options)
    line = ["icons"]
    for name in ("output_dir", "model", "max_steps", "min_drawings"):
        if getattr(options, name) is not None:
            line += [f"--{name}", str(getattr(options, name))]
    if options.max_steps is not None:
        line += [f"--{name}={options.max_steps}" for name in ("eval_steps", "save_steps")]
    training = train.parse(line, "hf-vitret demo")
    training.output, training.verbose = output, options.verbose
    options.training = training
    finished = train.execute(training)
    run_file = train.settings_file(training)
    text = f"{report_run(finished)}\n{labelled(('Settings', str(run_file)))}"
    found, page, again = _search(finished, Path(training.output_dir), options.min_drawings, output.say)
    facts = {**train.facts_of(finished, run_file), **found}
    output.result(f"{text}\n\nA search of icons that training never saw:\n{page}", facts)
    output.next(again)
    return 0


def interruption(options: Namespace) -> str:
    """Say what an interrupted demo leaves, and how to go on with its training."""
    from . import train

    training = getattr(options, "training", None)
    return "nothing was changed" if training is None else train.interruption(training)


def _search(
    finished: FinishedRun, output_dir: Path, min_drawings: int | None, say: Any
) -> tuple[dict[str, Any], str, list[str | Path]]:
    """Search unseen icons by one of them; return the facts, the text, and the command that repeats the search."""
    from dataclasses import asdict

    from ...files.atomic_writes import write_text
    from ...indexing.collection_cache import indexed_collection
    from ...indexing.results.answer_page import draw_page
    from ...indexing.results.answers import format_answers
    from ...indexing.search_by_image import search_by_image
    from ...inference.load_model import load_model

    folder, query, page = output_dir / ICONS, output_dir / QUERY, output_dir / PAGE
    say(f"Writing {NUM_CLASSES} unseen concepts to {folder}, and searching among them ...")
    num_images = _write_icons(folder, query, min_drawings)
    model = load_model(finished.folder)
    index, _ = indexed_collection(model, folder, model_name=str(finished.folder), say=say)
    answers = search_by_image(index, model, [query], K, identity=index.manifest.model)
    write_text(page, draw_page(answers, [str(query)], str(folder), note=f"{num_images:,} images"))
    text = f"{format_answers(answers)}\n\n{labelled(('Page', str(page)))}"
    again: list[str | Path] = ["hf-vitret", "search"]
    again += [folder, query, "--model", Path(finished.folder), "--html", page]
    return {"answers": [asdict(answer) for answer in answers], "page": str(page)}, text, again


def _write_icons(folder: Path, query: Path, min_drawings: int | None) -> int:
    """Write drawings of test concepts as files, the first one as the query; return the number of the others."""
    from ...data.loading import load_retrieval_dataset
    from ...files.atomic_folders import whole_folder
    from ...workflows.finetune.presets import PRESETS

    fewest = PRESETS["icons"].settings["min_drawings"] if min_drawings is None else min_drawings
    drawings = load_retrieval_dataset("icons", min_drawings=fewest)["test"]
    names = drawings.features["label"].names
    chosen = sorted(set(drawings["label"][:]))[:NUM_CLASSES]
    rows = [row for row, label in enumerate(drawings["label"][:]) if label in chosen]
    drawings[rows[0]]["image"].save(query)
    with whole_folder(folder) as partial:
        for row in rows[1:]:
            drawing = drawings[row]
            path = partial / names[drawing["label"]] / f"{drawing['image_id']}.png"
            path.parent.mkdir(exist_ok=True)
            drawing["image"].save(path)
    return len(rows) - 1
