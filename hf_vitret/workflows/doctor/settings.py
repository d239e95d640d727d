"""What the doctor takes for too large, too small and too much alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Limits of the checks.

    How far near duplicates may differ was measured on drawings (8,401, of 1,193 emoji by 10 vendors, white around them)
    and on 18 pieces of photographs. Of copies of 400 drawings and of the photographs, saved as JPEG of quality 50, 99%
    and all are within 8 bits (of quality 20: 98% and 89%), at half the size 83% and all, cut by 1% at each edge 82% and
    all; their thumbnails correlate by 0.98 or more in 95 of 100. Of the 35 million pairs of all drawings 2,739 are
    within 8 bits, and 523 of these correlate by 0.98: 139 of one emoji, 384 of two that differ in a detail (faces,
    families). Copies cut by 5%, framed, mirrored or turned are not found; a model finds some of them.

    The cosine was tried on 640 of these drawings and DINOv2-small off the shelf: 25 groups reach 0.98 that the hash did
    not find, 22 of them inside a class (one motif, flat and shaded). A fine-tuned model draws the images of a class
    together: raise it there.

    Attributes:
        max_megapixels: An image of more is giant, and is not decoded. Default: where Pillow begins to warn.
        min_side: Pixels; a shorter side is tiny. Default: two patches of a vision transformer.
        max_distance: Bits of 64 in which the hashes of near duplicates may differ.
        min_correlation: What the colour thumbnails of near duplicates must reach.
        min_cosine: With a model: the cosine from which two images are taken for one.
        num_neighbors: With a model: nearest images that vote on the class of each.

    Raises:
        ValueError: A limit is outside its domain.
    """

    max_megapixels: float = 89.0
    min_side: int = 32
    max_distance: int = 8
    min_correlation: float = 0.98
    min_cosine: float = 0.98
    num_neighbors: int = 5

    def __post_init__(self) -> None:
        """Check each limit."""
        domains = {
            "max_megapixels": (self.max_megapixels > 0, "above 0"),
            "min_side": (self.min_side >= 1, "at least 1 pixel"),
            "max_distance": (0 <= self.max_distance <= 64, "0 to 64 bits"),
            "min_correlation": (0 < self.min_correlation <= 1, "above 0, at most 1"),
            "min_cosine": (0 < self.min_cosine <= 1, "above 0, at most 1"),
            "num_neighbors": (self.num_neighbors >= 3, "at least 3, so that a majority means something"),
        }
        for name, (is_valid, domain) in domains.items():
            if not is_valid:
                raise ValueError(f"{name} must be {domain}; got {getattr(self, name)}")
