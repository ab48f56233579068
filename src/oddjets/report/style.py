"""The style of the figures: mplhep's CMS style without the CMS label."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import mplhep
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from oddjets.report import layout

__all__ = [
    "DASHES",
    "DPI",
    "HATCH",
    "MORE_COLORS",
    "PALETTE",
    "StyledFigure",
    "context",
    "count_label",
    "figure",
    "hatches",
    "header",
    "luminosity_text",
    "ratio_axes",
    "save",
    "text_block",
    "words",
]

#: M. Petroff, "Accessible color sequences for data visualization", arXiv:2107.02270, ten colours; their lightness
#: differs
PALETTE = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)

#: for what is beyond the ten, from the same source's six and eight colours, those that differ most from the ten
MORE_COLORS = (
    "#7a21dd",
    "#c849a9",
    "#1845fb",
    "#adad7d",
    "#e42536",
    "#656364",
    "#578dff",
    "#964a8b",
    "#f89c20",
    "#9c9ca1",
)

#: of pictures, pixels an inch
DPI = 110

#: what marks the signal where colour cannot
HATCH = "////"

#: lines that can be told apart without colour, as many as a figure has
DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 2)),
    (0, (2, 1.5)),
    (0, (6, 2, 1.5, 2)),
    (0, (1, 1)),
    (0, (8, 2, 1, 2, 1, 2)),
    (0, (12, 4)),
    (0, (4, 4)),
    (0, (3, 1, 3, 1, 1, 1)),
)

#: fills that lightness alone does not tell apart in grey get these, in turn
_HATCHES = ("\\\\\\\\", "....", "----", "||||", "oo", "++++", "**", "\\\\")
#: difference of CIE lightness (0 to 100) that is seen between two fills with a line between them
_SEEN = 7.0

#: of a font, in units of its size: between lines
_LINE = 1.35
#: of a legend, in units of its font's size: handle with the space around it, row, frame
_HANDLE, _ROW, _FRAME = 2.6, 1.4, 1.2

_OVERRIDES: dict[str, Any] = {
    "figure.figsize": (8.0, 7.4),
    "font.size": 17,
    "legend.fontsize": 13.5,
    "axes.labelsize": 18,
    "axes.linewidth": 1.3,
    "xtick.labelsize": 15,
    "ytick.labelsize": 15,
    "xtick.major.size": 8,
    "xtick.minor.size": 4,
    "ytick.major.size": 8,
    "ytick.minor.size": 4,
    "hatch.linewidth": 0.7,
    # TrueType: publishers refuse the Type 3 fonts that Matplotlib embeds by itself
    "pdf.fonttype": 42,
    "savefig.facecolor": "white",
    "figure.facecolor": "white",
    "svg.hashsalt": "oddjets",
}


@contextmanager
def context(scale: float = 1.0) -> Iterator[None]:
    """Apply the style inside the block only, on Matplotlib's defaults, so that no matplotlibrc changes a figure.

    Args:
        scale: factor on every font size, for figures with many panels.
    """
    overrides = dict(_OVERRIDES)
    for key in ("font.size", "legend.fontsize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize"):
        overrides[key] = scale * overrides[key]
    rc: Any = {**mplhep.style.CMS, **overrides}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(rc)
        yield


class StyledFigure(Figure):
    """A figure that keeps this style wherever it is drawn or saved, and shows itself in a notebook."""

    def draw(self, renderer: Any) -> None:
        """Draw as ever, in this style: Matplotlib asks for some of it only now."""
        with context():
            super().draw(renderer)

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as ever, in this style: fonts of a PDF, say."""
        with context():
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        written = io.BytesIO()
        self.savefig(written, format="png", dpi=DPI)
        return written.getvalue()


def figure(width: float = 8.0, height: float = 7.4) -> StyledFigure:
    """Make a figure with an Agg canvas, outside pyplot.

    Args:
        width: inches.
        height: inches.
    """
    made = StyledFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def ratio_axes(parent: Any, ratio: bool = True, height: float = 0.32) -> tuple[Axes, Axes | None]:
    """Add a main panel and, under it, a ratio panel that shares its x axis.

    Args:
        parent: a figure or a subfigure.
        ratio: whether there is a ratio panel.
        height: of the ratio panel, in heights of the main one.
    """
    if not ratio:
        return parent.subplots(), None
    main, below = parent.subplots(2, 1, sharex=True, height_ratios=[1.0, height])
    return main, below


def hatches(colors: Mapping[str, str]) -> dict[str, str | None]:
    """Return a hatch for each fill, None for a plain one, so that no two look the same in grey.

    Args:
        colors: name to colour, hexadecimal; the first ones stay plain.
    """
    taken: dict[str | None, list[float]] = {hatch: [] for hatch in (None, *_HATCHES)}
    found = {}
    for name, color in colors.items():
        lightness = _lightness(color)
        # with more than some forty fills, two may look alike after all
        found[name] = next(
            (h for h, others in taken.items() if all(abs(lightness - other) >= _SEEN for other in others)), None
        )
        taken[found[name]].append(lightness)
    return found


def _lightness(color: str) -> float:
    """Return the CIE 1976 lightness L* of a screen colour, 0 (black) to 100 (white)."""
    rgb = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def luminosity_text(luminosity_pb: float | None, energy_TeV: float | None) -> str:
    """Return the text of the upper right corner, for example ``16.4 fb$^{-1}$ (13 TeV)``."""
    energy = f"({energy_TeV:g} TeV)" if energy_TeV else ""
    if not luminosity_pb:
        return energy
    amount = f"{luminosity_pb / 1000:.3g} fb" if luminosity_pb >= 100 else f"{luminosity_pb:.3g} pb"
    return f"{amount}$^{{-1}}$ {energy}".strip()


def header(axes: Axes, label: Sequence[str], right: str = "", scale: float = 1.0) -> None:
    """Write the experiment-style line above a panel.

    Args:
        axes: the panel.
        label: the bold word and what follows it in italics, such as ``("oddjets", "simulation")``.
        right: luminosity and energy.
        scale: factor on the font size.
    """
    bold, *rest = label
    size = matplotlib.rcParams["font.size"] * scale
    above: dict[str, Any] = {
        "xycoords": "axes fraction",
        "textcoords": "offset points",
        "va": "bottom",
        "annotation_clip": False,
    }
    first = axes.annotate(bold, (0, 1), (0, 5), fontsize=1.15 * size, fontweight="bold", ha="left", **above)
    if rest:
        axes.annotate(
            " ".join(rest),
            (1, 0),
            (6, 0),
            xycoords=first,
            textcoords="offset points",
            fontsize=0.95 * size,
            fontstyle="italic",
            va="bottom",
            annotation_clip=False,
        )
    if right:
        axes.annotate(right, (1, 1), (0, 5), fontsize=0.9 * size, ha="right", **above)


def text_block(axes: Axes, lines: Sequence[str], scale: float = 0.82, *, width: float | None = None) -> float:
    """Write lines at the upper left inside a panel, the first in bold, wrapped to the panel.

    Args:
        axes: the panel.
        lines: the lines.
        scale: factor on the font size.
        width: of the lines, points; None: of the panel.

    Returns:
        The height that they take, points.
    """
    size = float(scale * matplotlib.rcParams["font.size"])
    width = _points(axes)[0] - 1.6 * size if width is None else width
    offset = -1.1 * size
    for number, line in enumerate(lines):
        bold = number == 0
        # the font has no narrow space that keeps lines together
        for row in layout.wrapped(line.replace("\N{NARROW NO-BREAK SPACE}", "\N{THIN SPACE}"), width, size, bold=bold):
            axes.annotate(
                row,
                (0, 1),
                (0.8 * size, offset),
                xycoords="axes fraction",
                textcoords="offset points",
                va="top",
                fontsize=size,
                fontweight="bold" if bold else "normal",
            )
            offset -= _LINE * size
    return -offset


def words(axes: Axes, lines: Sequence[str], handles: Sequence[Any]) -> float:
    """Write lines at the upper left of a panel and a legend at the upper right, or below the lines where both do not fit.

    Args:
        axes: the panel.
        lines: the lines, the first in bold.
        handles: the legend's entries.

    Returns:
        The fraction of the panel's height that both take, for `headroom`.
    """
    width, height = _points(axes)
    size = 0.82 * matplotlib.rcParams["font.size"]
    legend_size = layout.legend_points()
    frame = 1.6 * legend_size
    labels = [str(handle.get_label()) for handle in handles]
    longest = max((layout.text_width(label, legend_size) for label in labels), default=0.0) + _HANDLE * legend_size
    written = (
        max((layout.text_width(line, size, bold=k == 0) for k, line in enumerate(lines)), default=0.0) + 1.6 * size
    )
    most = 1 if len(handles) <= 4 else 2
    columns = next((n for n in range(most, 0, -1) if n * longest + frame + written <= width), 0)
    below = 0.0
    if columns:
        taken = text_block(axes, lines, width=width)
    elif written > 0.55 * width and longest + frame <= 0.5 * width and len(handles) <= 8:
        columns, taken = 1, text_block(axes, lines, width=width - longest - frame - 1.6 * size)
    else:
        taken = below = text_block(axes, lines)
        columns = most if most * longest + frame <= width else 1
    room = (width - frame) / columns - _HANDLE * legend_size
    rows = [layout.wrapped(label, room, legend_size) for label in labels]
    for handle, row in zip(handles, rows, strict=True):
        handle.set_label("\n".join(row))
    axes.legend(
        handles=list(handles),
        loc="upper right",
        bbox_to_anchor=(1, 1 - below / height),
        ncols=columns,
        columnspacing=1.0,
        handlelength=1.3,
        labelspacing=0.3,
        borderaxespad=0.6,
    )
    filled = -(-len(rows) // columns)
    tall = max((sum(map(len, rows[k * filled : (k + 1) * filled])) for k in range(columns)), default=0)
    return float(max(taken, below + (tall * _ROW + _FRAME) * legend_size) / height)


def _points(axes: Axes) -> tuple[float, float]:
    """Return width and height of a panel in points, as they are before the layout is found: a little small."""
    scale = 72 / matplotlib.rcParams["figure.dpi"]
    return float(axes.bbox.width) * scale, float(axes.bbox.height) * scale


def count_label(edges: Sequence[float], unit: str) -> str:
    """Return the y label of a histogram: events per bin width, or per bin where widths differ."""
    widths = np.diff(np.asarray(edges, dtype=float))
    if len(widths) and np.allclose(widths, widths[0], rtol=1e-6):
        return f"Events / {widths[0]:.3g} {unit}".strip()
    return "Events / bin"


def headroom(axes: Axes, highest: float, fraction: float, *, log: bool, lowest: float = 0.3) -> None:
    """Set the y range so that the upper ``fraction`` of the panel stays free for text and legend.

    Args:
        axes: the panel.
        highest: the largest value drawn.
        fraction: of the panel's height, less than 1.
        log: whether the axis is logarithmic; else it starts at zero and large numbers get a power of ten in the label.
        lowest: the lower end of a logarithmic axis.
    """
    highest = highest if math.isfinite(highest) and highest > 0 else 1.0
    fraction = min(fraction, 0.7)
    if log:
        lowest = min(lowest if lowest > 0 else highest, highest / 10)
        axes.set_yscale("log")
        axes.set_ylim(lowest, highest * (highest / lowest) ** (fraction / (1 - fraction)) * 1.3)
        return
    axes.set_ylim(0, 1.08 * highest / (1 - fraction))
    power = 3 * (math.floor(math.log10(highest)) // 3)
    if power >= 6:
        axes.yaxis.set_major_formatter(lambda value, _: f"{value / 10**power:g}")
        axes.set_ylabel(rf"{axes.get_ylabel()} [$10^{{{power}}}$]")


def save(made: Figure, path: Path) -> None:
    """Write a figure; the same data give the same bytes (no dates in the file).

    Args:
        made: the figure.
        path: ends in ``.png`` or ``.pdf``.
    """
    made.align_ylabels()
    metadata: dict[str, Any] = {"CreationDate": None} if path.suffix == ".pdf" else {"Software": None}
    with context():
        made.savefig(path, dpi=DPI, metadata=metadata)
        # the layout is found once: it is most of the work, and the same for every format
        made.set_layout_engine(None)
