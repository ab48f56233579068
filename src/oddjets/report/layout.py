"""Text in figures: its width, lines that wrap, and the sizes that can be read on the page."""

from __future__ import annotations

import functools
import re

import matplotlib
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

__all__ = ["COLUMN_PIXELS", "READABLE", "columns_of", "legend_points", "text_width", "wrapped"]

#: CSS pixels of a picture that takes one, two or all three columns of the report, in a window of 1280 pixels or more
COLUMN_PIXELS = {1: 342, 2: 747, 3: 1153}
#: figures of this many inches take one and two columns at most; the words of a wider one could not be read there
_COLUMN_INCHES = {1: 8.4, 2: 11.5}
#: smallest text on the page, CSS pixels
READABLE = 8.0

_BREAKS = re.compile(r"(?<=[_/,\-])|(?<=\s)")


def columns_of(inches: float) -> int:
    """Return how many of the three columns of the report a figure takes.

    Args:
        inches: its width.
    """
    return next((n for n, widest in _COLUMN_INCHES.items() if inches <= widest), 3)


def legend_points() -> float:
    """Return the size of text in legends, points; Matplotlib's setting may be a word such as ``medium``."""
    return float(FontProperties(size=matplotlib.rcParams["legend.fontsize"]).get_size_in_points())


@functools.lru_cache(maxsize=4096)
def _width(text: str, family: tuple[str, ...], bold: bool) -> float:
    font = FontProperties(family=list(family), weight="bold" if bold else "normal")
    path = TextPath((0, 0), text, size=100, prop=font)
    return float(path.get_extents().width) / 100 if len(path.vertices) else 0.0


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Return the width of a line of text in points.

    Args:
        text: with LaTeX between $ signs.
        size: of the font, points.
        bold: whether it is bold.
    """
    family = matplotlib.rcParams["font.family"]
    return size * _width(text, tuple([family] if isinstance(family, str) else family), bold)


def wrapped(text: str, width: float, size: float, *, bold: bool = False, lines: int | None = None) -> list[str]:
    """Break a text into lines: at blanks, after underscores, hyphens and commas, and in the middle of what is longer still.

    Args:
        text: with LaTeX between $ signs, which is not broken.
        width: of the lines, points.
        size: of the font, points.
        bold: whether it is bold.
        lines: their largest number; what is left ends in an ellipsis. None: as many as needed.
    """
    parts: list[str] = []
    for index, piece in enumerate(text.split("$")):
        broken = [f"${piece}$"] if index % 2 else [p for p in _BREAKS.split(piece) if p]
        # a formula and what follows it without a blank are one word
        if parts and broken and not parts[-1][-1].isspace() and (index % 2 or not broken[0][0].isspace()) and index:
            parts[-1] += broken.pop(0)
        parts += broken
    made = [""]
    for part in parts:
        if made[-1] and text_width(made[-1] + part.rstrip(), size, bold=bold) > width:
            made.append("")
        made[-1] += part
        while "$" not in made[-1] and len(made[-1]) > 1 and text_width(made[-1].rstrip(), size, bold=bold) > width:
            keep = next(
                (n for n in range(len(made[-1]) - 1, 1, -1) if text_width(made[-1][:n], size, bold=bold) <= width), 1
            )
            made[-1:] = [made[-1][:keep], made[-1][keep:]]
    made = [line.strip() for line in made]
    if lines is not None and len(made) > lines:
        made = [*made[: lines - 1], f"{made[lines - 1].rstrip('$')}…" if "$" not in made[lines - 1] else "…"]
    return made
