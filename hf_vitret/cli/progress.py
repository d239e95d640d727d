"""Progress of long work: bars in a terminal, a line every 30 seconds in a log, nothing with `--quiet`.

All libraries here (hf_vitret, datasets, huggingface_hub, transformers) draw their bars with tqdm, so tqdm is changed.
Only the commands change it: a program that imports hf_vitret keeps tqdm as it is.
"""

from __future__ import annotations

import functools
import logging
import sys
from typing import Any

INTERVAL = 30.0  # seconds between two lines of one task
DELAY = 1.0  # seconds before a bar is drawn: a shorter task needs none


def configure_progress(*, is_quiet: bool = False) -> None:
    """Choose how tasks show their progress in this process.

    Args:
        is_quiet: Whether to show no progress.
    """
    from tqdm.std import tqdm

    if is_quiet or not sys.stderr.isatty():
        _print_lines(is_quiet=is_quiet)
    else:
        tqdm.__init__ = functools.partialmethod(tqdm.__init__, delay=DELAY)


def hide_loading() -> None:
    """Hide the bars and tables of transformers while it loads models, except tables that report missing weights."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("transformers.modeling_utils").addFilter(_is_worth_reading)


def _is_worth_reading(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return "LOAD REPORT" not in text or any(word in text for word in ("MISSING", "MISMATCH", "CONVERSION"))


def _print_lines(*, is_quiet: bool) -> None:
    """Make tqdm print a line from time to time, instead of a bar that it draws again and again."""
    from tqdm.std import tqdm

    def display(bar: Any, msg: str | None = None, pos: int | None = None) -> bool:
        now = bar._time()
        if not hasattr(bar, "last_line_time"):
            bar.first_line_time = bar.last_line_time = now
        if not is_quiet and now - bar.last_line_time >= INTERVAL:
            write_line(bar, now)
        return True

    def close(bar: Any) -> None:
        if bar.disable:
            return
        bar.disable = True
        bar._decr_instances(bar)
        if getattr(bar, "last_line_n", bar.n) != bar.n:  # lines were printed, and the last one is not the end
            write_line(bar, bar._time())

    def write_line(bar: Any, now: float) -> None:
        bar.last_line_time, bar.last_line_n = now, bar.n
        bar.fp.write(f"{bar}\n")
        bar.fp.flush()

    def clear(bar: Any, nolock: bool = False) -> None:
        """Do nothing: a printed line stays."""

    tqdm.display, tqdm.close, tqdm.clear = display, close, clear
