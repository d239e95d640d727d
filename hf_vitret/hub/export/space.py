"""Write a Space of the Hub: a Gradio app that shows the nearest neighbours of an uploaded image."""

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
from .decoding import write_decoding
from .endpoint import check_is_checkpoint

if TYPE_CHECKING:
    from datasets import Dataset

TEMPLATES = Path(__file__).with_name("templates")
SPACE_FOLDER = "space"
SDK_VERSION = "6.31.0"  # the version of gradio with which the Space was tested
REQUIREMENTS = "torch>=2.6\ntorchvision>=0.21\ntransformers>=5,<6\nsafetensors>=0.5\npyarrow>=17\n"
# The thumbnails are kept in memory, 100 MB at about 5 kB each, and each upload is compared with all images.
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
    """Write the folder `space/` into a checkpoint's folder: an app, its README, and the images that it searches.

    The images are part of the Space as thumbnails. Publish it only if their licence allows that.

    Args:
        folder: The folder of the checkpoint, which embeds the images.
        dataset: The images to search, in the column `image`. The column `label`, if there is one, is shown under each
            neighbour.
        title: The title of the Space.
        repo_id: Owner and name of the checkpoint's repository on the Hub. Default: the app loads the checkpoint from
            the parent folder of the Space.
        revision: Commit, tag or branch of that repository. The app runs the code of the checkpoint, so name a commit or
            a tag, which do not change.
        num_shown: Number of neighbours that the app shows.
        batch_size: Number of images that are embedded at once.

    Returns:
        The path of the folder, to be pushed as a repository of its own. `python app.py` runs the app locally, with
        `hf_vitret[space]` installed.

    Raises:
        FileNotFoundError: There is no checkpoint in the folder.
        ValueError: There are no images, or too many for a Space, or an embedding is not finite.
    """
    from safetensors.torch import save_file

    from ...inference.embed import embed_images
    from ...inference.load_model import load_model

    check_is_checkpoint(Path(folder))
    if not 1 <= len(dataset) <= MAX_INDEXED:
        raise ValueError(
            f"expected 1 to {MAX_INDEXED} images to search; got {len(dataset)}. Pass a part, with "
            "dataset.select(...) or by --num_images of hf-vitret export"
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
    write_decoding(space)
    write_text(space / "app.py", (TEMPLATES / "space_app.py").read_text(encoding="utf-8"))
    write_text(space / "README.md", _readme(title, repo_id, len(dataset)))
    return space


def _write_thumbnails(dataset: Dataset, path: Path) -> None:
    """Write a Parquet file with a JPEG thumbnail and a caption for each image."""
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
    """Make the text of the Space's README: the YAML header from which the Hub builds the Space, and a description."""
    header: dict[str, Any] = {"title": title, "emoji": "🔎", "colorFrom": "gray", "colorTo": "blue", "sdk": "gradio"}
    header |= {"sdk_version": SDK_VERSION, "app_file": "app.py", "pinned": False}
    if repo_id is not None:
        header["models"] = [repo_id]
    # JSON is valid YAML, so that colons and quotes in titles need no further escaping.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in header.items()]
    text = (TEMPLATES / "space_readme.md").read_text(encoding="utf-8")
    model = (
        "the checkpoint in its parent folder" if repo_id is None else f"[{repo_id}](https://huggingface.co/{repo_id})"
    )
    return "\n".join(["---", *lines, "---", "", text.format(title=title, model=model, num_images=f"{num_images:,}")])
