"""What the benchmarks measured, as a table in Markdown and as a picture of the ratios."""

import io
import os
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure as Picture

from hf_vitret.evaluation.reporting.plot_style import COLORS, INK, PLOT_STYLE

_COLUMNS = ("benchmark", "figure", "ours (spread)", "peer or limit", "ratio", "bar", "met")
_MET, _MISSED, _WITHOUT = COLORS[2], COLORS[1], COLORS[0]
_WIDTH, _ROW, _MARGINS = 10.0, 0.21, 1.0  # inches


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Lay out all figures in one table, and what they were measured on below it."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for result in results.values():
        lines += [f"| `{result['command']}` | {_row(figure)} |" for figure in result["figures"]]
    lines += ["", "In brackets: the least and the most of the repeats, or their quartiles. A bar is asked of the ratio"]
    lines += ["where there is one, else of the figure.", ""]
    for name, result in results.items():
        if result["exit_code"]:
            lines += [f"`{name}` ended with status {result['exit_code']}: a bar missed, or an error.", ""]
        elif not result["figures"]:
            lines += [f"`{name}` measured nothing: what it needs is not here.", ""]
    return "\n".join(lines) + "\n".join(_environments(results)) + "\n"


def draw_ratios(results: dict[str, dict[str, Any]]) -> bytes:
    """Draw each ratio on a logarithmic axis, with its bar; return the picture as PNG."""
    rows: list[tuple[str, dict[str, Any] | None]] = []  # of a benchmark its name, and its figures
    for name, result in results.items():
        found = [figure for figure in result["figures"] if figure["ratio"] is not None and figure["ratio"] > 0]
        rows += [(name, None), *((f"{figure['name']} / {figure['peer']}", figure) for figure in found)] if found else []
    with rc_context(PLOT_STYLE):
        picture = Picture(figsize=(_WIDTH, _ROW * max(1, len(rows)) + _MARGINS), layout="constrained")
        axes = picture.add_subplot()
        axes.axvline(1.0, color=INK, linewidth=0.8)
        for place, (_, figure) in enumerate(rows):
            if figure is None:
                continue
            color = {True: _MET, False: _MISSED, None: _WITHOUT}[figure["is_met"]]
            axes.hlines(place, min(1.0, figure["ratio"]), max(1.0, figure["ratio"]), color=color, linewidth=1.2)
            axes.plot(figure["ratio"], place, color=color, marker=">" if figure["larger_is_better"] else "<", zorder=3)
            if figure["bar"] is not None:
                axes.plot(figure["bar"], place, color=INK, marker="|", markersize=9, markeredgewidth=1.6, zorder=4)
            axes.annotate(
                _number(figure["ratio"]),
                (1.0, place),
                xycoords=axes.get_yaxis_transform(),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
            )
        axes.set_xscale("log")
        axes.set_yticks(range(len(rows)), [label for label, _ in rows])
        for tick, (_, figure) in zip(axes.get_yticklabels(), rows, strict=True):
            tick.set_fontweight("normal" if figure else "bold")
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(max(1, len(rows)) - 0.4, -0.6)
        axes.margins(x=0.08)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        axes.tick_params(axis="x", which="both", labelsize="x-small")
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("ratio to the peer or limit")
        for color, label in ((_MET, "bar met"), (_MISSED, "bar missed"), (_WITHOUT, "without a bar")):
            axes.plot([], [], color=color, marker=">", label=label)
        axes.plot([], [], color=INK, marker="|", markersize=9, markeredgewidth=1.6, linestyle="", label="bar")
        axes.plot([], [], color=INK, marker=">", linestyle="", label="the tip: where it is better")
        picture.legend(loc="outside upper center", ncols=5)
        stream = io.BytesIO()
        picture.savefig(stream, format="png", dpi=150)
    return stream.getvalue()


def write_aside(path: Path, content: bytes) -> None:
    """Write a file beside its place, and put it there when it is whole."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _row(figure: dict[str, Any]) -> str:
    unit = f" {figure['unit']}" if figure["unit"] else ""
    ours = f"{_number(figure['value'])}{unit}"
    if figure["low"] is not None:
        kind = "" if figure["spread"] == "range" else f"{figure['spread']} "
        ours += f" ({kind}{_number(figure['low'])} to {_number(figure['high'])})"
    peer = figure["peer"] or ""
    if figure["peer_value"] is not None:
        peer += f": {_number(figure['peer_value'])}{unit}"
    ratio = "" if figure["ratio"] is None else _number(figure["ratio"])
    bar = ""
    if figure["bar"] is not None:
        bar = f"at {'least' if figure['larger_is_better'] else 'most'} {_number(figure['bar'])}"
    met = {True: "yes", False: "NO", None: ""}[figure["is_met"]]
    return " | ".join(cell.replace("|", "\\|") for cell in (figure["name"], ours, peer, ratio, bar, met))


def _environments(results: dict[str, dict[str, Any]]) -> list[str]:
    """Say on what each was measured, once for those that share it."""
    shared: dict[str, list[str]] = {}
    for name, result in results.items():
        facts = dict(result["environment"])
        commit, is_changed = facts.pop("commit"), facts.pop("is_changed")
        said = f"commit {commit}{' with changes' if is_changed else ''}, "
        said += ", ".join(f"{fact} {value}" for fact, value in facts.items())
        shared.setdefault(said, []).append(f"`{name}` ({result['date'][:10]}, {result['seconds']:,.0f} s)")
    return [f"\n{', '.join(names)}: {said}.\n" for said, names in shared.items()]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
