"""A request that is refused: why, in words that its sender may read."""

from __future__ import annotations


class RefusedRequest(Exception):
    """Says what was expected and what came, and nothing of the server.

    Args:
        status: Of HTTP, 4xx.
        message: One sentence.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
