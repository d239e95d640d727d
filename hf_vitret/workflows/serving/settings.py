"""What a server takes: how much of an upload, how many at once, and for how long."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ...data.in_order import default_threads

MIB = 2**20
MEGAPIXEL = 1_000_000


@dataclass(frozen=True)
class ServingSettings:
    """Limits of a server; what is beyond them is refused in words, and costs no more than finding that out.

    Attributes:
        max_upload_bytes: Of a request, the few that surround the file among them.
        max_pixels: Of an image. Decoding takes up to 16 bytes a pixel, in each of `num_threads`.
        max_batch: Images that the model embeds at once.
        max_wait: Seconds that an image waits for others to be embedded with.
        max_waiting: Searches that are under way; whoever comes next is told to come again (503).
        timeout: Seconds that a search may take once it is uploaded (504).
        upload_timeout: Seconds that an upload may take (408).
        num_threads: Threads that decode and search.

    Raises:
        ValueError: One is not above 0.
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
                raise ValueError(f"expected {field.name} above 0; got {value}")
