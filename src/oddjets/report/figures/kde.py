"""The density of the events in A: a Gaussian kernel density in two masses, with the events as points."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite

__all__ = ["BANDWIDTH", "data", "density", "draw"]

#: factor on the data's standard deviations (the paper, figure 14)
BANDWIDTH = 0.20
GRID = 60
#: points drawn at most: beyond, they hide the density
POINTS = 2000
LABELS = {
    "mass_1": "Leading-jet soft-drop mass [GeV]",
    "mass_2": "Subleading-jet soft-drop mass [GeV]",
    "mjj": "Dijet mass [GeV]",
}


def density(x: np.ndarray, y: np.ndarray, gx: np.ndarray, gy: np.ndarray) -> np.ndarray:
    """Return the kernel density at the points of a grid.

    Args:
        x: shape (events,).
        y: shape (events,).
        gx: grid points along x, shape (nx,).
        gy: grid points along y, shape (ny,).

    Returns:
        Density per unit of x and y, shape (ny, nx); its integral over the plane is one.
    """
    kernel = gaussian_kde(np.stack([x, y]), bw_method=BANDWIDTH)
    mesh_x, mesh_y = np.meshgrid(gx, gy)
    found: np.ndarray = kernel(np.stack([mesh_x.ravel(), mesh_y.ravel()])).reshape(len(gy), len(gx))
    return found


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the densities of the events in A: (leading, subleading mass) and (leading, dijet mass), in data."""
    threshold = artifacts.histograms.threshold
    scores = [f"score_{threshold.score}_{j}" for j in (1, 2)]
    table = artifacts.table([*LABELS, *scores])
    if "data" not in table:
        return {}
    events = table["data"]
    odd = np.minimum(events[scores[0]], events[scores[1]]) >= threshold.value
    made = {}
    for other, name in (("mass_2", "kde_masses"), ("mjj", "kde_dijet")):
        x, y = (events[c][odd].astype(float) for c in ("mass_1", other))
        # a density of fewer points, or of points on a line, says nothing
        if len(x) < 10 or np.std(x) == 0 or np.std(y) == 0:
            continue
        gx, gy = (np.linspace(v.min(), np.quantile(v, 0.995), GRID) for v in (x, y))
        made[name] = {
            "kind": "kde",
            "name": name,
            "title": f"Density of the events in A: {LABELS[other].split(' [')[0].lower()}",
            "header": artifacts.header,
            "x": {"label": LABELS["mass_1"], "grid": finite(gx)},
            "y": {"label": LABELS[other], "grid": finite(gy)},
            "density": [finite(line) for line in density(x, y, gx, gy)],
            "points": [finite(v[:POINTS]) for v in (x, y)],
            "events": len(x),
            "text": [f"{len(x)} events, both jets pass", f"Gaussian kernels, bandwidth {BANDWIDTH:.2f}"],
            "alt": (
                f"Kernel density of {len(x)} events whose jets both pass the threshold, in the plane of leading-jet mass and "
                f"{LABELS[other].split(' [')[0].lower()}; medians {np.median(x):.0f} and {np.median(y):.0f} GeV."
            ),
            "caption": (
                f"Gaussian kernel density (bandwidth {BANDWIDTH:.2f} of the standard deviations) of the {len(x)} "
                f"{artifacts.data_name.lower()} events in A before any region cut; points: the "
                f"events{', the first ' + str(POINTS) if len(x) > POINTS else ''}."
            ),
            "sources": [{"file": "events/", "key": f"mass_1, {other} of data in A"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the density and the events."""
    made = style.figure()
    axes = made.subplots()
    gx, gy = (np.asarray(drawn[k]["grid"], dtype=float) for k in ("x", "y"))
    found = np.asarray(drawn["density"], dtype=float)
    filled = axes.contourf(gx, gy, found / found.max(), levels=np.linspace(0, 1, 11), cmap="Blues")
    axes.plot(*np.asarray(drawn["points"], dtype=float), ".", color="black", markersize=3, alpha=0.55)
    axes.set_xlim(gx[0], gx[-1])
    axes.set_ylim(gy[0], gy[-1])
    axes.set_xlabel(drawn["x"]["label"])
    axes.set_ylabel(drawn["y"]["label"])
    bar = made.colorbar(filled, ax=axes, pad=0.02)
    bar.set_label("Density / maximum")
    bar.ax.tick_params(which="both", labelsize=13.5)
    axes.annotate(
        "\n".join(drawn["text"]),
        (0.98, 0.98),
        xycoords="axes fraction",
        ha="right",
        va="top",
        fontsize=13.5,
        bbox={"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
