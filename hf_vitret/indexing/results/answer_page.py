"""`draw_page`: the results of a search as an HTML page, with each query beside its images."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from ...data.page_pictures import data_uri
from .found_images import FoundImages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from PIL import Image

    from .answers import Answer, Hit

SIDE = 192  # pixels of a thumbnail, twice its size on the page, for screens of high resolution


def draw_page(
    answers: Sequence[Answer],
    query_paths: Sequence[str | PathLike[str]],
    image_folder: str | PathLike[str] | None,
    *,
    title: str = "Search",
    note: str = "",
) -> str:
    """Draw the results of a search as an HTML page.

    Args:
        answers: The results.
        query_paths: The image file of each query.
        image_folder: Folder relative to which the paths of the index are. None: the page has no pictures of the
            results.
        title: Title of the page.
        note: A line below the title, such as the names of the index and the model.

    Returns:
        An HTML document that needs no other file.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    images = FoundImages(image_folder, SIDE)
    sections = [
        _draw_answer(answer, images.query(path), images) for answer, path in zip(answers, query_paths, strict=True)
    ]
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), note=escape(note), answers="\n".join(sections))


def _draw_answer(answer: Answer, query: Image.Image | None, images: FoundImages) -> str:
    cards = "\n".join(_draw_hit(hit, images.found(hit.path)) for hit in answer.hits)
    found = f'<ol class="hits">\n{cards}\n</ol>' if answer.hits else '<p class="none">No match.</p>'
    name = escape(answer.query)
    return (
        f'<section><figure class="query">{_picture(query, answer.query)}<figcaption>query<br>'
        f'<span class="id" title="{name}">{name}</span></figcaption></figure>\n{found}</section>'
    )


def _draw_hit(hit: Hit, picture: Image.Image | None) -> str:
    facts = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in hit.metadata.items()
        if value is not None
    )
    name = escape(str(hit.image_id))
    return (
        f'<li><figure>{_picture(picture, str(hit.image_id))}<figcaption><span class="score">{hit.score:.4f}</span> '
        f'<span class="rank">{hit.rank}</span><br><span class="id" title="{name}">{name}</span>'
        f"{f'<dl>{facts}</dl>' if facts else ''}</figcaption></figure></li>"
    )


def _picture(image: Image.Image | None, name: str) -> str:
    if image is None:
        return '<div class="lost">no picture</div>'
    return f'<img src="{data_uri(image)}" alt="{escape(name)}">'
