"""The limits of the checks: sizes of giant and tiny images, and similarity of duplicates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Limits of the checks.

    The default limits of near duplicates were measured on 8,401 drawings (1,193 emoji by 10 vendors, with white
    margins) and on 18 crops of photographs. Copies were made of 400 of the drawings and of the photographs. The share
    of copies whose hash is within 8 bits of the original's is, for drawings and photographs, 99% and 100% after JPEG of
    quality 50, 98% and 89% after quality 20, 83% and 100% at half the size, and 82% and 100% after cutting 1% off each
    edge. The thumbnails of 95% of the copies correlate by 0.98 or more with the original's. Of the 35 million pairs of
    drawings, 2,739 are within 8 bits, and 523 of these correlate by 0.98: 139 show one emoji, and 384 show two emoji
    that differ in a detail (faces, families). Copies that are cut by 5%, framed, mirrored or rotated are not found; a
    model finds some of them.

    The limit of the cosine was tried on 640 of these drawings with DINOv2-small off the shelf: it finds 25 groups that
    the hash did not find, 22 of them inside a class (one motif, flat and shaded). A fine-tuned model gives the images
    of a class more similar embeddings; use a higher limit with it.

    Attributes:
        max_megapixels: Millions of pixels above which an image is giant and is not decoded. Default: the limit above
            which Pillow warns.
        min_side: Pixels; an image with a shorter side is tiny. Default: two patches of a vision transformer.
        max_distance: Largest number of bits, of 64, in which the hashes of near duplicates differ.
        min_correlation: Lowest correlation of the colour thumbnails of near duplicates.
        min_cosine: Lowest cosine of the embeddings of duplicates; used with a model only.
        num_neighbors: Number of nearest images that vote on the class of each image; used with a model only.

    Raises:
        ValueError: A limit is outside its valid range.
    """

    max_megapixels: float = 89.0
    min_side: int = 32
    max_distance: int = 8
    min_correlation: float = 0.98
    min_cosine: float = 0.98
    num_neighbors: int = 5

    def __post_init__(self) -> None:
        """Check that each limit is in its valid range."""
        domains = {
            "max_megapixels": (self.max_megapixels > 0, "above 0"),
            "min_side": (self.min_side >= 1, "at least 1 pixel"),
            "max_distance": (0 <= self.max_distance <= 64, "0 to 64 bits"),
            "min_correlation": (0 < self.min_correlation <= 1, "above 0 and at most 1"),
            "min_cosine": (0 < self.min_cosine <= 1, "above 0 and at most 1"),
            "num_neighbors": (self.num_neighbors >= 3, "at least 3, so that a majority is meaningful"),
        }
        for name, (is_valid, domain) in domains.items():
            if not is_valid:
                raise ValueError(f"{name} must be {domain}; got {getattr(self, name)}")
