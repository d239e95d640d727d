"""Write the places: training images as SfM-120k has them, queries and gallery as ROxford5k has them."""

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


SPLITS = ("train", "val", "test")  # their places in the seeds
QUERY_STRENGTH = 0.15
QUERY_ENLARGED = 1.5  # a query's image, of which a part is cut out, is larger than the others by this
# What makes a gallery image easy, hard or junk: the share of the query's box that it shows, and its side there, of the
# side in the query. What shows none of it is another place.
EASY_SHARE, EASY_SCALES = 0.75, (0.4, 1.5)
HARD_SHARE, HARD_SCALES = 0.30, (0.2, 4.0)
# A pair for training: the share of the anchor that the positive shows, and the scales.
PAIR_SHARE, PAIR_SCALES = 0.35, (0.4, 2.5)
POSITIVES_PER_IMAGE = 2


def write_places(
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
    """Write a small data set of places: real photographs, seen from many standpoints.

    Scenes are squares of photographs that scikit-image and scikit-learn ship (`PHOTOGRAPHS`, with their licences);
    those of training, validation and test are of different photographs, and no two overlap. A view of a scene is a
    perspective of it, with its own crop and zoom, light, noise, and in part something in front. Distractors are views
    of other squares of the test photographs, which may overlap the scenes: they are judged as all others are, by how
    much of the query's box is to be seen in them, which the geometry tells exactly. The same arguments give the same
    bytes (with the same versions of Pillow and numpy).

    Args:
        folder: To be made, or empty. Into it go `retrieval-SfM-120k.pkl` and `ims/`, `gnd_places.pkl` and `jpg/`.
        seed: Seed of everything.
        num_train_scenes: 3-D models of the training split.
        num_val_scenes: 3-D models of the validation split.
        num_queries: Scenes of the test photographs, each asked for once.
        views_per_scene: Images of each scene, of growing strength; of those of the test a query is one more.
        num_distractors: Gallery images of other squares.
        size: Long side of the images in pixels.

    Returns:
        The folder, for `load_sfm120k(folder, check_counts=False)` and `load_revisited("places", folder,
        check_counts=False)`.

    Raises:
        ModuleNotFoundError: scikit-image or scikit-learn is not installed (extra `demo`).
        ValueError: The folder is not empty, or there are more scenes than the photographs have room for.
    """
    folder = Path(folder).expanduser()
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: give a folder to be made")
    if min(num_train_scenes, num_val_scenes, num_queries) < 1 or views_per_scene < 4 or size < 32:
        raise ValueError("expected a scene of each split, four views of each and a size of 32 pixels, or more")
    numbers = {"train": num_train_scenes, "val": num_val_scenes}
    with whole_folder(folder) as partial:
        lists = {
            split: _write_training(partial, split, numbers[split], views_per_scene, size, seed) for split in numbers
        }
        first = num_train_scenes  # models are numbered through
        lists["val"]["cluster"] = [model + first for model in lists["val"]["cluster"]]
        _write_pickle(partial / f"{NAME}.pkl", lists)
        truth = _write_test(partial / "jpg", num_queries, views_per_scene, num_distractors, size, seed)
        _write_pickle(partial / "gnd_places.pkl", truth)
    return folder


def _write_training(folder: Path, split: str, num_scenes: int, num_views: int, size: int, seed: int) -> dict[str, Any]:
    """Write the images of one split; return its lists."""
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
    """Choose for each view some of those that show much of the same."""
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
    """Write queries and gallery; return the ground truth."""
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
    # Names and order tell nothing of the scenes.
    names = [f"places_{number:06d}" for number in rng.permutation(len(queries) + len(gallery))]
    query_names, rest = names[: len(queries)], names[len(queries) :]
    order = np.argsort(rest)
    gallery_names, gallery = [rest[place] for place in order], [gallery[place] for place in order]
    for name, (image, _) in zip(query_names + gallery_names, queries + gallery):
        _save(image, folder / f"{name}.jpg", rng)
    views = [view for _, view in gallery]
    gnd = [_judge(view, box, views) for (_, view), box in zip(queries, boxes)]
    return {"imlist": gallery_names, "qimlist": query_names, "gnd": gnd}


def _judge(query: View, box: tuple[float, float, float, float], gallery: list[View]) -> dict[str, Any]:
    """Return the entry of one query: its box, and which rows of the gallery are easy, hard and junk."""
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
    """Write as the official files are: protocol 2, lists of numbers and text."""
    path.write_bytes(pickle.dumps(content, protocol=2))
