"""The mass of the jets with the highest scores, with a smooth fit to the sidebands."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite, points
from oddjets.report.text import with_error
from oddjets.stats import dijet_function
from oddjets.stats.shown_numbers import p_from_toys

__all__ = ["data", "draw", "draw_panel", "search_content", "signal_window"]

BINS = 24
RANGE = (60.0, 240.0)
#: of the simulated signal inside the window
COVERAGE = 0.68
TOYS = 1000


def signal_window(histogram: np.ndarray, coverage: float = COVERAGE) -> tuple[int, int]:
    """Return the shortest run of bins that holds a fraction of a histogram, as (first, one past the last)."""
    total = histogram.sum()
    sums = np.concatenate([[0.0], np.cumsum(histogram)])
    for width in range(1, len(histogram) + 1):
        held = sums[width:] - sums[:-width]
        best = int(np.argmax(held))
        if held[best] >= coverage * total:
            return best, best + width
    return 0, len(histogram)


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the spectrum of the oddest jets of the data, the fit to its sidebands and the p-values of the window.

    Jets are counted one by one: the fraction of all jets with the highest scores that the threshold's efficiency names.
    The window is the shortest interval with 68 % of the simulated signal's jets, selected alike.
    """
    fit = artifacts.analysis.fit
    threshold = artifacts.histograms.threshold
    columns = [f"{name}_{j}" for name in ("mass", f"score_{threshold.score}") for j in (1, 2)]
    table = artifacts.table(columns)
    process = fit.pois[0].process if fit is not None else None
    # without the jets of A there is no spectrum of the oddest
    if artifacts.blinded or "data" not in table or process not in table:
        return {}
    jets = {p: _jets(c, threshold.score) for p, c in table.items()}
    efficiency = threshold.efficiency_asked or 0.01
    if len(jets["data"][0]) < 100:
        return {}
    cut = float(np.quantile(jets["data"][1], 1 - efficiency))
    edges = np.linspace(*RANGE, BINS + 1)
    counts = np.histogram(jets["data"][0][jets["data"][1] >= cut], edges)[0].astype(float)
    mass, score, weight = jets[process]
    signal = np.histogram(mass[score >= cut], edges, weights=weight[score >= cut])[0]
    if signal.sum() <= 0 or (counts > 0).sum() < len(counts) // 2:
        return {}
    first, last = signal_window(signal)
    window = np.zeros(BINS, dtype=bool)
    window[first:last] = True
    if (~window).sum() < 6:
        return {}
    made = dijet_function.search(counts, edges, window, toys=TOYS)
    label = artifacts.process(process)["label"]
    numbers = {"observed": made.observed, "expected": made.expected, "error": made.error}
    name = artifacts.data_name.lower()
    background = with_error(numbers["expected"], numbers["error"])
    order = made.order
    return {
        "bump": {
            "kind": "bump",
            "name": "bump",
            "title": "Mass of the oddest jets",
            "header": artifacts.header,
            "text": [f"Oddest {100 * efficiency:.3g} % of jets", f"score > {cut:.4g}"],
            "edges": finite(edges),
            "data": {"label": artifacts.data_name, **points(counts)},
            "signal": {**artifacts.process(process), "values": finite(signal)},
            **search_content(made, edges, window, toys=TOYS),
            "alt": (
                f"Soft-drop mass of {counts.sum():.0f} jets, the oddest {100 * efficiency:.3g} % of the {name}, "
                "with a smooth fit of "
                f"{order} parameters to the sidebands: {numbers['observed']:.0f} jets between {edges[first]:g} and "
                f"{edges[last]:g} GeV against {background}; local p-value {made.local:.2g}, "
                f"global {p_from_toys(made.overall, TOYS, digits=2)}."
            ),
            "caption": (
                f"Dijet-type function with {order} parameters (F-tests at {dijet_function.F_TEST_LEVEL:.0%} chose "
                "them), fitted outside "
                f"the window, the shortest with {COVERAGE:.0%} of simulated {label}. In it {numbers['observed']:.0f} jets, "
                f"{background} expected; global p-value from {TOYS} toys, "
                "any window of this width. Dashed: simulation of the signal, not fitted. "
                f"Below: ({name} − fit) / error."
            ).replace("%", " %"),
            "sources": [{"file": "events/", "key": f"mass_j, score_{threshold.score}_j of data"}],
        }
    }


def search_content(
    made: dijet_function.WindowSearch, edges: np.ndarray, window: np.ndarray, *, toys: int
) -> dict[str, Any]:
    """Return what a figure's data say of a search.

    Args:
        made: the search.
        edges: GeV, shape (bins + 1,).
        window: mask of its bins, shape (bins,).
        toys: of the global p-value.
    """
    inside = np.flatnonzero(window)
    expected = made.found.expected[0]
    return {
        "fit": {"values": finite(expected), "errors": finite(expected * made.found.relative_error[0])},
        "pulls": finite(made.pulls),
        "window": [float(edges[inside[0]]), float(edges[inside[-1] + 1])],
        "order": made.order,
        "tests": made.tests,
        "quality": {"deviance": float(made.found.deviance[0]), "ndf": int((~window).sum()) - made.order},
        "in_window": {"observed": made.observed, "expected": made.expected, "error": made.error},
        "p_value": {"local": made.local, "global": made.overall, "smallest_local": made.smallest, "toys": toys},
    }


def _jets(columns: dict[str, np.ndarray], score: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mass, score and weight of every jet, leading and subleading."""
    mass, scores = (np.concatenate([columns[f"{n}_{j}"] for j in (1, 2)]) for n in ("mass", f"score_{score}"))
    return mass, scores, np.tile(columns["weight"], 2)


def _p(value: float) -> str:
    """Format a p-value; a small one as a power of ten."""
    if value >= 1e-3 or value <= 0:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$"


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the spectrum, the fit and its pulls."""
    made = style.figure()
    draw_panel(made, drawn)
    return made


def draw_panel(parent: Any, drawn: dict[str, Any]) -> None:
    """Draw a spectrum, the fit and its pulls.

    Args:
        parent: a figure or a subfigure.
        drawn: `search_content` with ``edges``, ``data``, ``text``, ``header`` and, where there is one, the ``signal``.
    """
    main, below = style.ratio_axes(parent)
    assert below is not None
    x = np.asarray(drawn["edges"], dtype=float)
    centres = (x[:-1] + x[1:]) / 2
    values, errors = (np.asarray(drawn["fit"][k], dtype=float) for k in ("values", "errors"))
    counts, down, up = (np.asarray(drawn["data"][k], dtype=float) for k in ("values", "down", "up"))
    highest = float(max((counts + up).max(), values.max()))
    for axes in (main, below):
        axes.axvspan(*drawn["window"], color="0.92", zorder=0)
    main.plot(
        centres, values, color=style.PALETTE[0], linewidth=2.4, label=f"Sideband fit ({drawn['order']} parameters)"
    )
    main.fill_between(centres, values - errors, values + errors, color=style.PALETTE[0], alpha=0.3, linewidth=0)
    if "signal" in drawn:
        signal = np.asarray(drawn["signal"]["values"], dtype=float)
        highest = max(highest, float(signal.max()))
        main.stairs(
            signal,
            x,
            baseline=None,
            color=drawn["signal"]["color"],
            linestyle="--",
            linewidth=2,
            label=f"{drawn['signal']['label']} (simulation)",
        )
    main.errorbar(
        centres,
        counts,
        yerr=[down, up],
        fmt="o",
        color="black",
        markersize=5,
        linewidth=1.4,
        label=drawn["data"]["label"],
    )
    main.set_xlim(x[0], x[-1])
    main.set_ylabel(style.count_label(drawn["edges"], "GeV").replace("Events", "Jets"))
    p = drawn["p_value"]
    quality = drawn["quality"]
    taken = style.words(
        main,
        [
            *drawn["text"],
            f"deviance / ndf = {quality['deviance']:.1f} / {quality['ndf']}",
            f"p = {_p(p['local'])} in the window (local)",
            f"{p_from_toys(p['global'], p['toys'], digits=2)} anywhere (global)",
        ],
        main.get_legend_handles_labels()[0],
    )
    style.headroom(main, highest, taken, log=False)
    style.header(main, drawn["header"]["label"], drawn["header"]["right"])
    pulls = np.asarray(drawn["pulls"], dtype=float)
    inside = (centres > drawn["window"][0]) & (centres < drawn["window"][1])
    below.stairs(np.where(inside, 0, pulls), x, baseline=0, fill=True, color=style.PALETTE[0], alpha=0.7)
    below.stairs(np.where(inside, pulls, 0), x, baseline=0, fill=True, color=style.PALETTE[2], alpha=0.8)
    below.axhline(0, color="black", linewidth=1)
    span = max(3.2, float(np.nanmax(np.abs(pulls))) * 1.1)
    below.set_ylim(-span, span)
    below.set_ylabel("Pull", loc="center")
    below.set_xlabel("Jet soft-drop mass [GeV]")
