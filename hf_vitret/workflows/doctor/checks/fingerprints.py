"""Read every image of a data set once, and keep a kilobyte of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ....data.in_order import map_in_order
from ..findings import Finding
from .image_facts import DIGEST_BYTES, image_facts
from .perceptual_hash import THUMBNAIL_SHAPE

if TYPE_CHECKING:
    from ..settings import Settings
    from .image_table import ImageTable


@dataclass
class Fingerprints:
    """What tells which images are one, by their number in an `ImageTable`.

    Attributes:
        file_digests: `(num_images,)` of 16 bytes (dtype V16); all zero where there was no content.
        has_file: `(num_images,)` bool: whether the file is an image, decoded or too large for that.
        is_decoded: `(num_images,)` bool. What follows holds for these only.
        sizes: `(num_images, 2)` int32, width and height in pixels, upright.
        hashes: `(num_images,)` uint64; see `perceptual_hash`.
        is_flat: `(num_images,)` bool: shows nothing, the hash means nothing.
        thumbnails: `(num_images, 16, 16, 3)` uint8.
    """

    file_digests: np.ndarray
    has_file: np.ndarray
    is_decoded: np.ndarray
    sizes: np.ndarray
    hashes: np.ndarray
    is_flat: np.ndarray
    thumbnails: np.ndarray

    @classmethod
    def empty(cls, num_images: int) -> Fingerprints:
        """Make room for some images."""
        return cls(
            file_digests=np.zeros(num_images, dtype=f"V{DIGEST_BYTES}"),
            has_file=np.zeros(num_images, dtype=bool),
            is_decoded=np.zeros(num_images, dtype=bool),
            sizes=np.zeros((num_images, 2), dtype=np.int32),
            hashes=np.zeros(num_images, dtype=np.uint64),
            is_flat=np.zeros(num_images, dtype=bool),
            thumbnails=np.zeros((num_images, *THUMBNAIL_SHAPE), dtype=np.uint8),
        )


def take_fingerprints(
    table: ImageTable, settings: Settings, *, num_threads: int | None = None, progress: bool = True
) -> tuple[Fingerprints, list[Finding]]:
    """Read every image, and note what is odd about each.

    Args:
        table: The images. Those in work, a few per thread, are in memory.
        settings: What is giant and what is tiny.
        num_threads: Threads that read and decode; default: one per CPU, 16 at most.
        progress: Whether to show a bar.

    Returns:
        The fingerprints, and a finding for each oddity of each image.
    """
    from tqdm.auto import tqdm

    prints, findings = Fingerprints.empty(len(table)), []
    look = partial(image_facts, max_megapixels=settings.max_megapixels, min_side=settings.min_side)
    bar = tqdm(total=len(table), desc="Reading images", unit="img", disable=not progress)
    with bar:
        for number, facts in enumerate(map_in_order(look, table.all_stored(), num_threads)):
            kinds = [kind for kind, _ in facts.oddities]
            findings += [Finding(kind, detail, (table[number],)) for kind, detail in facts.oddities]
            if facts.file_digest is not None:
                prints.file_digests[number] = np.void(facts.file_digest)
                prints.has_file[number] = "unreadable" not in kinds
            if facts.fingerprint is not None:
                prints.is_decoded[number] = True
                prints.sizes[number] = facts.fingerprint.size
                prints.hashes[number] = facts.fingerprint.perceptual_hash
                prints.is_flat[number] = facts.fingerprint.is_flat
                prints.thumbnails[number] = facts.fingerprint.thumbnail
            bar.update()
    return prints, findings
