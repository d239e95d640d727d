"""The exception of a refused request, with a message for its sender."""

from __future__ import annotations


class RefusedRequest(Exception):
    """A request is refused. The message is sent to the client and must reveal nothing of the server.

    Args:
        status: The HTTP status of the answer, 4xx.
        message: What was expected, what was received, and how to mend the request.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message
