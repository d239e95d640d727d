"""The web page of the server: one HTML document that loads nothing from other servers."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from .uploads import FORMAT_NAMES, MEDIA_TYPES

if TYPE_CHECKING:
    from .settings import ServingSettings


@dataclass(frozen=True)
class Page:
    """A page and its content security policy.

    Attributes:
        html: The complete document.
        policy: The content security policy, which allows only the script and style of the page and requests to this
            server.
    """

    html: str
    policy: str


def draw_page(title: str, note: str, settings: ServingSettings) -> Page:
    """Make the page.

    Args:
        title: The title.
        note: A line under the title, such as the number of images.
        settings: The limits of the server. The page refuses files that are too large without sending them.

    Returns:
        The page and its content security policy.
    """
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    html = template.substitute(
        title=escape(title),
        note=escape(note),
        formats=escape(FORMAT_NAMES),
        accept=",".join(MEDIA_TYPES),
        max_bytes=settings.max_upload_bytes,
    )
    rules = [
        "default-src 'none'",
        f"script-src {_hash_of(html, 'script')}",
        f"style-src {_hash_of(html, 'style')}",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return Page(html, "; ".join(rules))


def _hash_of(html: str, element: str) -> str:
    [content] = re.findall(f"<{element}>(.*?)</{element}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
