"""Read every image of a data set once, and keep a fingerprint of about a kilobyte for each."""

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
    """Arrays with which duplicates are found, indexed by the number of an image in an `ImageTable`.

    Attributes:
        file_digests: `(num_images,)` of 16 bytes (dtype V16), digests of the files; zeros for images without content.
        has_file: `(num_images,)` bool, whether the file is an image that was decoded or is too large to be decoded.
        is_decoded: `(num_images,)` bool, whether the image was decoded. The attributes below are valid for these images
            only.
        sizes: `(num_images, 2)` int32, width and height in pixels of the upright image.
        hashes: `(num_images,)` uint64, perceptual hashes; see `perceptual_hash`.
        is_flat: `(num_images,)` bool, whether the image shows a single colour, so that its hash is only noise.
        thumbnails: `(num_images, 16, 16, 3)` uint8, RGB.
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
        """Allocate the arrays for a number of images."""
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
    """Read every image, compute its fingerprint, and report what is unusual about its file.

    Args:
        table: The images. Only a few per thread are in memory at a time.
        settings: The limits of giant and tiny images.
        num_threads: Number of threads that read and decode. Default: one per CPU, at most 16.
        progress: Whether to show a progress bar.

    Returns:
        The fingerprints, and a finding for each oddity of each image.
    """
    from tqdm.auto import tqdm

    prints, findings = Fingerprints.empty(len(table)), []
    read_facts = partial(image_facts, max_megapixels=settings.max_megapixels, min_side=settings.min_side)
    bar = tqdm(total=len(table), desc="Reading images", unit="img", disable=not progress)
    with bar:
        for number, facts in enumerate(map_in_order(read_facts, table.all_stored(), num_threads)):
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
