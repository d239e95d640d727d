"""A Space beside a checkpoint: upload an image, see its nearest neighbours among a set of images."""

from __future__ import annotations

import io
import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...data.images import to_rgb
from ...data.schema import column_values
from ...files.atomic_writes import whole_file, write_text
from ...files.json_values import write_json
from .endpoint import check_is_checkpoint

if TYPE_CHECKING:
    from datasets import Dataset

TEMPLATES = Path(__file__).with_name("templates")
SPACE_FOLDER = "space"
SDK_VERSION = "6.31.0"  # of gradio, which the Space was tested with
REQUIREMENTS = "torch>=2.6\ntorchvision>=0.21\ntransformers>=5,<6\nsafetensors>=0.5\npyarrow>=17\n"
# Thumbnails of 160 px take about 5 kB: 100 MB, held in memory; and all images are compared with each upload.
MAX_INDEXED = 20_000
SIDE = 160
QUALITY = 80


def write_space(
    folder: str | PathLike[str],
    dataset: Dataset,
    *,
    title: str,
    repo_id: str | None = None,
    revision: str = "main",
    num_shown: int = 12,
    batch_size: int = 64,
) -> Path:
    """Write `space/` beside a checkpoint: an app, its README, and an index of the images that it searches among.

    The images are published with the Space, as thumbnails: they need a licence that allows it.

    Args:
        folder: The checkpoint, which embeds the images now.
        dataset: Columns `image` and, shown under each neighbour, `label`.
        title: Of the Space.
        repo_id: Where the checkpoint is on the Hub; None: in the folder above the Space, as on this machine.
        revision: Commit, tag or branch. The app runs the checkpoint's code: name a commit or a tag.
        num_shown: Neighbours shown.
        batch_size: Images embedded at once.

    Returns:
        The folder: a repository of the Space's own. `python app.py` runs it here, with `hf_vitret[space]`.

    Raises:
        FileNotFoundError: There is no checkpoint in the folder.
        ValueError: There are no images, or too many for a Space; or an embedding is not finite.
    """
    from safetensors.torch import save_file

    from ...inference.embed import embed_images
    from ...inference.load_model import load_model

    check_is_checkpoint(Path(folder))
    if not 1 <= len(dataset) <= MAX_INDEXED:
        raise ValueError(
            f"expected 1 to {MAX_INDEXED} images to search among; got {len(dataset)}: pass dataset.select(...)"
        )
    space = Path(folder) / SPACE_FOLDER
    space.mkdir(exist_ok=True)
    embeddings = embed_images(load_model(folder), dataset, batch_size=batch_size)
    with whole_file(space / "embeddings.safetensors") as partial:
        save_file({"embeddings": embeddings}, partial)
    _write_thumbnails(dataset, space / "images.parquet")
    settings = {"title": title, "model": repo_id, "revision": revision, "num_shown": num_shown}
    write_json(space / "space.json", settings)
    write_text(space / "requirements.txt", REQUIREMENTS)
    write_text(space / "app.py", (TEMPLATES / "space_app.py").read_text(encoding="utf-8"))
    write_text(space / "README.md", _readme(title, repo_id, len(dataset)))
    return space


def _write_thumbnails(dataset: Dataset, path: Path) -> None:
    """Write a JPEG and a caption for each image."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    thumbnails = []
    for row in dataset.select_columns(["image"]):
        thumbnail = to_rgb(row["image"])
        thumbnail.thumbnail((SIDE, SIDE))
        stream = io.BytesIO()
        thumbnail.save(stream, "JPEG", quality=QUALITY)
        thumbnails.append(stream.getvalue())
    table = pa.table({"thumbnail": pa.array(thumbnails, pa.binary()), "label": _captions(dataset)})
    with whole_file(path) as partial:
        pq.write_table(table, partial)


def _captions(dataset: Dataset) -> list[str]:
    if "label" not in dataset.column_names:
        return [""] * len(dataset)
    names: Any = getattr(dataset.features["label"], "names", None)
    labels = column_values(dataset, "label")
    return [str(label) if names is None else names[label] for label in labels]


def _readme(title: str, repo_id: str | None, num_images: int) -> str:
    """Write the Space's page: the header that the Hub builds it by, and what it is."""
    header: dict[str, Any] = {"title": title, "emoji": "🔎", "colorFrom": "gray", "colorTo": "blue", "sdk": "gradio"}
    header |= {"sdk_version": SDK_VERSION, "app_file": "app.py", "pinned": False}
    if repo_id is not None:
        header["models"] = [repo_id]
    # JSON is YAML: titles with colons and quotes need no further care.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items()]
    text = (TEMPLATES / "space_readme.md").read_text(encoding="utf-8")
    model = "the checkpoint beside it" if repo_id is None else f"[{repo_id}](https://huggingface.co/{repo_id})"
    return "\n".join(["---", *lines, "---", "", text.format(title=title, model=model, num_images=f"{num_images:,}")])
