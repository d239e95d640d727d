"""The page of a server: one file that refers to nothing outside itself."""

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
    """A page and what a browser may do for it.

    Attributes:
        html: The whole document.
        policy: Content security policy: its own script and style, and this server.
    """

    html: str
    policy: str


def draw_page(title: str, note: str, settings: ServingSettings) -> Page:
    """Draw the page.

    Args:
        title: Of the page.
        note: A line under it: what is searched, say.
        settings: The largest upload is told before it is sent.
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
