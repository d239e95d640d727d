"""Write the scenes: training images in the format of SfM-120k, queries and gallery in that of ROxford5k."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....files.atomic_folders import whole_folder
from ...landmarks.sfm120k_lists import NAME, image_path
from .cameras import View, visible_part
from .photographs import read_photographs
from .scenes import choose_scenes
from .views import object_box, render_view

if TYPE_CHECKING:
    from os import PathLike

    from PIL import Image

DATASET_NAME = "scenes"  # in the names of the files: gnd_scenes.pkl
SPLITS = ("train", "val", "test")  # the position of a split is part of its seed
QUERY_STRENGTH = 0.15
QUERY_ENLARGED = 1.5  # factor by which an image of a query, from which a box is cropped, is larger than the others
# Easy and hard gallery images of a query, by the smallest share of the query's box that the image shows, and the
# smallest and largest scale of the box against the query. An image that shows less of the box is junk; one that shows
# nothing of it is a wrong answer.
EASY_SHARE, EASY_SCALES = 0.75, (0.4, 1.5)
HARD_SHARE, HARD_SCALES = 0.30, (0.2, 4.0)
# Training pairs: the smallest share of the anchor that the positive shows, and the smallest and largest scale.
PAIR_SHARE, PAIR_SCALES = 0.35, (0.4, 2.5)
POSITIVES_PER_IMAGE = 2


def write_scenes(
    folder: str | PathLike[str],
    *,
    seed: int = 0,
    num_train_scenes: int = 60,
    num_val_scenes: int = 9,
    num_queries: int = 24,
    views_per_scene: int = 12,
    num_distractors: int = 300,
    size: int = 128,
) -> Path:
    """Write a small landmark data set, rendered from photographs.

    A scene is a square of a photograph that scikit-image or scikit-learn ships (`PHOTOGRAPHS` lists their licences).
    Training, validation and test use different photographs, and no two scenes overlap. A view of a scene is a
    perspective image of it with its own crop, zoom, light and noise; an object in front covers a part of some views.
    Distractors are views of other squares of the test photographs. These squares may overlap the test scenes, because
    every gallery image is judged by the share of the query's box that is visible in it, which the geometry gives
    exactly. The same arguments give the same bytes with the same versions of Pillow and numpy.

    Args:
        folder: Folder to make; it may exist if it is empty. The function writes `retrieval-SfM-120k.pkl` and `ims/`
            (training and validation), `gnd_scenes.pkl` and `jpg/` (test).
        seed: Seed of all random numbers.
        num_train_scenes: Number of scenes in the training split. They are the 3-D models of SfM-120k.
        num_val_scenes: Number of scenes in the validation split.
        num_queries: Number of scenes in the test split, with one query each.
        views_per_scene: Number of images of each scene, of increasing strength. A query is one image more.
        num_distractors: Number of gallery images of other squares.
        size: Long side of the images in pixels; that of the queries is 1.5 times as long.

    Returns:
        The folder, for `load_sfm120k(folder, check_counts=False)` and `load_revisited("scenes", folder,
        check_counts=False)`.

    Raises:
        ModuleNotFoundError: scikit-image or scikit-learn is not installed (extra `demo`).
        ValueError: The folder is not empty; a number is below its minimum; or the photographs have too little room for
            so many scenes.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"expected a folder that does not exist or is empty; {folder} has files: name another folder")
    if min(num_train_scenes, num_val_scenes, num_queries) < 1 or views_per_scene < 4 or size < 32:
        raise ValueError(
            "expected at least 1 scene in each split, 4 views of each scene and a size of 32 pixels; got "
            f"num_train_scenes={num_train_scenes}, num_val_scenes={num_val_scenes}, num_queries={num_queries}, "
            f"views_per_scene={views_per_scene}, size={size}"
        )
    numbers = {"train": num_train_scenes, "val": num_val_scenes}
    with whole_folder(folder) as partial:
        lists = {
            split: _write_training(partial, split, numbers[split], views_per_scene, size, seed) for split in numbers
        }
        first = num_train_scenes  # the validation models are numbered after the training models
        lists["val"]["cluster"] = [model + first for model in lists["val"]["cluster"]]
        _write_pickle(partial / f"{NAME}.pkl", lists)
        truth = _write_test(partial / "jpg", num_queries, views_per_scene, num_distractors, size, seed)
        _write_pickle(partial / f"gnd_{DATASET_NAME}.pkl", truth)
    return folder


def _write_training(folder: Path, split: str, num_scenes: int, num_views: int, size: int, seed: int) -> dict[str, Any]:
    """Write the images of a training or validation split, and return its lists for the pickle of SfM-120k."""
    from tqdm.auto import tqdm

    photographs = read_photographs(split)
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    lists: dict[str, Any] = {"cids": [], "cluster": [], "qidxs": [], "pidxs": []}
    scenes = choose_scenes(photographs, num_scenes, rng)
    for model, scene in enumerate(tqdm(scenes, desc=f"Rendering {split}", unit="scene"), start=1):
        views: list[View] = []
        first = len(lists["cids"])
        for number in range(num_views):
            image, view = render_view(photographs, scene, size, (number + 1) / num_views, rng, is_query=False)
            cid = hashlib.sha256(f"{seed}/{split}/{model}/{number}".encode()).hexdigest()[:32]
            _save(image, folder / "ims" / image_path(cid), rng)
            views.append(view)
            lists["cids"].append(cid)
            lists["cluster"].append(model)
        for anchor, positive in _pairs(views, rng):
            lists["qidxs"].append(first + anchor)
            lists["pidxs"].append(first + positive)
    return lists


def _pairs(views: list[View], rng: np.random.Generator) -> list[tuple[int, int]]:
    """Choose up to `POSITIVES_PER_IMAGE` positives for each view, from the views that show enough of it."""
    pairs = []
    for anchor, view in enumerate(views):
        whole = (0.0, 0.0, float(view.size[0]), float(view.size[1]))
        found = []
        for other, candidate in enumerate(views):
            share, scale = visible_part(view, whole, candidate)
            if other != anchor and share >= PAIR_SHARE and PAIR_SCALES[0] <= scale <= PAIR_SCALES[1]:
                found.append(other)
        chosen = rng.permutation(np.array(found, dtype=np.int64))[:POSITIVES_PER_IMAGE]
        pairs += [(anchor, positive) for positive in sorted(chosen.tolist())]
    return pairs


def _write_test(
    folder: Path, num_queries: int, num_views: int, num_distractors: int, size: int, seed: int
) -> dict[str, Any]:
    """Write the images of queries and gallery, and return the ground truth for `gnd_scenes.pkl`."""
    from tqdm.auto import tqdm

    photographs = read_photographs("test")
    rng = np.random.default_rng([seed, SPLITS.index("test")])
    scenes = choose_scenes(photographs, num_queries, rng)
    queries, boxes, gallery = [], [], []
    for scene in tqdm(scenes, desc="Rendering test", unit="scene"):
        enlarged = round(size * QUERY_ENLARGED)
        image, view = render_view(photographs, scene, enlarged, QUERY_STRENGTH, rng, is_query=True)
        queries.append((image, view))
        boxes.append(object_box(view, scene))
        for number in range(num_views):
            strength = (number + 1) / num_views
            gallery.append(render_view(photographs, scene, size, strength, rng, is_query=False))
    for scene in choose_scenes(photographs, num_distractors, rng, apart=False):
        gallery.append(render_view(photographs, scene, size, float(rng.random()), rng, is_query=False))
    # Names are in random order, so that neither a name nor a row of the gallery shows which scene an image has.
    names = [f"{DATASET_NAME}_{number:06d}" for number in rng.permutation(len(queries) + len(gallery))]
    query_names, rest = names[: len(queries)], names[len(queries) :]
    order = np.argsort(rest)
    gallery_names, gallery = [rest[position] for position in order], [gallery[position] for position in order]
    for name, (image, _) in zip(query_names + gallery_names, queries + gallery):
        _save(image, folder / f"{name}.jpg", rng)
    views = [view for _, view in gallery]
    gnd = [_judge(view, box, views) for (_, view), box in zip(queries, boxes)]
    return {"imlist": gallery_names, "qimlist": query_names, "gnd": gnd}


def _judge(query: View, box: tuple[float, float, float, float], gallery: list[View]) -> dict[str, Any]:
    """Return the ground truth of one query: its box, and the rows of the gallery that are easy, hard and junk."""
    entry: dict[str, Any] = {"bbx": list(box), "easy": [], "hard": [], "junk": []}
    for row, view in enumerate(gallery):
        share, scale = visible_part(query, box, view)
        if share >= EASY_SHARE and EASY_SCALES[0] <= scale <= EASY_SCALES[1]:
            entry["easy"].append(row)
        elif share >= HARD_SHARE and HARD_SCALES[0] <= scale <= HARD_SCALES[1]:
            entry["hard"].append(row)
        elif share > 0:
            entry["junk"].append(row)
    return entry


def _save(image: Image.Image, path: Path, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=int(rng.integers(60, 95)))


def _write_pickle(path: Path, content: dict[str, Any]) -> None:
    """Write a pickle like the official files: protocol 2, with lists of numbers and text."""
    path.write_bytes(pickle.dumps(content, protocol=2))
