"""The limits of the server: sizes of uploads, numbers of concurrent requests, and times."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ...data.in_order import default_threads

MIB = 2**20
MEGAPIXEL = 1_000_000


@dataclass(frozen=True)
class ServingSettings:
    """Limits of the server. A request beyond a limit is refused with a message, before it takes further resources.

    Attributes:
        max_upload_bytes: Largest size in bytes of the body of a request: the file and the few bytes of the form.
        max_pixels: Largest number of pixels of an image. Decoding takes up to 16 bytes per pixel in each of
            `num_threads` threads.
        max_batch: Largest number of images that the model embeds at once.
        max_wait: Seconds that an image waits for others to be embedded in one batch; 0 does not wait.
        max_waiting: Largest number of searches in progress. Further ones are refused with status 503.
        timeout: Seconds that a search may take after its upload (status 504).
        upload_timeout: Seconds that an upload may take (status 408).
        num_threads: Number of threads that decode images and search.

    Raises:
        ValueError: A limit is infinite or not above 0 (for `max_wait`, below 0).
    """

    max_upload_bytes: int = 20 * MIB
    max_pixels: int = 64 * MEGAPIXEL
    max_batch: int = 16
    max_wait: float = 0.005
    max_waiting: int = 64
    timeout: float = 30.0
    upload_timeout: float = 30.0
    num_threads: int = default_threads()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (0 < value < math.inf or (field.name == "max_wait" and value == 0)):
                bound = "of at least" if field.name == "max_wait" else "above"
                raise ValueError(
                    f"expected {field.name} {bound} 0; got {value}. Set it to a finite number in this range"
                )
