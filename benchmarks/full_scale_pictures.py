"""The pictures of the page of full_scale.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from full_scale_closure import PAPERS_MASS, REGIONS
from full_scale_sample import EFFICIENCY, PAPER, SCORES, TREATMENTS
from full_scale_study import PAPERS_Z
from scipy.stats import norm

from oddjets.core.rounding import rounded

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of what draws

AT = str(EFFICIENCY)


def pm(one: Mapping[str, Any]) -> str:
    """Return a number with its error."""
    if one["value"] is None or one["error"] is None:
        return "–"
    return " ± ".join(rounded(one["value"], one["error"]))


def fits(result: Mapping[str, Any]) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return set-up, score, treatment and result of every fit of the pseudo-data that worked."""
    return [
        (entry["set_up"], entry["score"], treatment, fitted)
        for entry in result["observed"].values()
        for treatment, fitted in entry["treatments"].items()
        if fitted.get("z") is not None
    ]


def draw_closure(result: Mapping[str, Any]) -> Any:
    figure, axes = plt.subplots(2, 3, figsize=(10, 6), constrained_layout=True)
    for axis, region in zip(axes.ravel(), REGIONS, strict=True):
        one = result["closure"]["omnilearned"][region][AT]
        edges, a = np.array(one["edges"]), np.array(one["A"])
        middle = 0.5 * (edges[1:] + edges[:-1])
        axis.stairs(one["predicted"], edges, color="#94a4a2", fill=True, label="B C / D")
        axis.errorbar(middle, a, np.sqrt(np.maximum(a, 0)), fmt="k.", label="QCD in A")
        axis.set_title(f"{region}: {pm(one['whole'])}", fontsize=9)
        axis.set_xlabel("leading-jet soft-drop mass (GeV)", fontsize=8)
    axes[0, 0].legend(fontsize=8)
    return figure


def draw_z(result: Mapping[str, Any]) -> Any:
    made = [f for f in fits(result) if f[0] != "top"]
    names = list(dict.fromkeys((f[0], f[1]) for f in made))
    figure, axis = plt.subplots(figsize=(9, 0.6 + 0.2 * max(len(names), 4)), constrained_layout=True)
    for k, (treatment, marker) in enumerate(zip(TREATMENTS, "os^", strict=True)):
        own = [(names.index((f[0], f[1])), f[3]["z"]) for f in made if f[2] == treatment]
        if own:
            axis.plot([v for _, v in own], [p + 0.2 * (k - 1) for p, _ in own], marker, ms=4, label=treatment)
    axis.axvline(PAPERS_Z, color="k", ls="--", lw=1)
    axis.set_yticks(
        range(len(names)), [f"{u}, {SCORES[s]}{' (paper)' if (u, s) in PAPER else ''}" for u, s in names], fontsize=7
    )
    axis.invert_yaxis()
    axis.set_xlabel("z of an HH-like signal in pseudo-data without one (dashed: the paper's 4.11)")
    axis.legend(fontsize=8)
    return figure


def draw_anywhere(result: Mapping[str, Any]) -> Any:
    figure, axis = plt.subplots(figsize=(6, 4), constrained_layout=True)
    for label in ("paper", "trainings", "all"):
        rows = result["choices"].get(label, {}).get("anywhere", ())
        if rows:
            p = np.array([row["p"] for row in rows])
            band = np.abs(np.array([[row["low"], row["high"]] for row in rows]).T - p)
            axis.errorbar(
                [row["z"] for row in rows],
                p,
                band,
                marker="o",
                ms=4,
                capsize=2,
                label=f"{label} ({len(result['choices'][label]['choices'])})",
            )
    levels = np.linspace(1.8, 4.3, 50)
    axis.plot(levels, norm.sf(levels), "k--", lw=1, label="a single choice")
    axis.set_yscale("log")
    axis.set_xlabel("z")
    axis.set_ylabel("experiments with z or more in some choice")
    axis.legend(fontsize=8)
    return figure


def draw_spurious(result: Mapping[str, Any]) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True, sharey=True)
    for axis, region in zip(axes, ("VR1", "SR1"), strict=True):
        for score, regions in result["sculpting"].items():
            rows = regions[region][AT]["masses"]
            axis.plot([r["mass"] for r in rows], [r["ratio"] for r in rows], lw=1, label=SCORES[score])
        axis.axvline(PAPERS_MASS, color="k", ls=":", lw=1)
        axis.axhspan(-1, 1, color="#dddddd", zorder=0)
        axis.set_title(region, fontsize=9)
        axis.set_xlabel("mass of the narrow peak (GeV)")
    axes[0].set_ylabel("spurious signal over its error")
    axes[0].legend(fontsize=6)
    return figure


PICTURES = {"closure": draw_closure, "z": draw_z, "anywhere": draw_anywhere, "spurious": draw_spurious}
