"""The pictures of the page of full_scale.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from full_scale_closure import EFFICIENCIES, PAPERS_MASS, REGIONS
from full_scale_sample import PAPER, SCORES
from full_scale_study import PAPERS_Z
from scipy.stats import norm

from oddjets.core.rounding import rounded

mpl.use("Agg")
from matplotlib import pyplot as plt  # after the choice of what draws

#: efficiencies, as the JSON has them
AT, LOOSER = map(str, EFFICIENCIES)


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
        if fitted.get("signed_z") is not None
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
        axis.set_ylabel("events", fontsize=8)
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(f"{SCORES['omnilearned']}, 0.2 %: A D / (B C) of simulated QCD", fontsize=10)
    return figure


#: score -> colour and marker; trainings of one network are alike
_MARKS = {
    "omnilearned": ("#3f90da", "o"),
    "team": ("#ffa90e", "D"),
    "labelled": ("#bd1f01", "s"),
    "xbb": ("#832db6", "^"),
}


def draw_z(result: Mapping[str, Any]) -> Any:
    made = [f for f in fits(result) if f[0] != "top"]
    rows = list(dict.fromkeys((f[0], f[2]) for f in made))
    figure, axis = plt.subplots(figsize=(9, 1.4 + 0.27 * max(len(rows), 4)), constrained_layout=True)
    shown: set[str] = set()
    for set_up, score, treatment, fitted in made:
        color, marker = _MARKS.get(score, ("#94a4a2", "o"))
        label = SCORES[score] if score in _MARKS else "four trainings of one network"
        own = (set_up, score) in PAPER and treatment == "as-published"
        axis.plot(
            fitted["signed_z"],
            rows.index((set_up, treatment)),
            marker,
            color=color,
            ms=9 if own else 5,
            mec="k" if own else color,
            ls="",
            zorder=3 if own else 2,
            label=None if label in shown else label,
        )
        shown.add(label)
    axis.plot([], [], "o", color="w", mec="k", ms=9, label="as the paper does it")
    axis.axvspan(-1, 1, color="#eeeeee", zorder=0)
    axis.axvline(0, color="#999999", lw=1, zorder=1)
    axis.axvline(PAPERS_Z, color="k", ls="--", lw=1.5)
    axis.text(PAPERS_Z - 0.08, -0.4, f"the paper's largest: {PAPERS_Z}", rotation=90, ha="right", va="top", fontsize=9)
    axis.set_yticks(range(len(rows)), [f"{set_up}: {treatment}" for set_up, treatment in rows], fontsize=9)
    axis.invert_yaxis()
    axis.set_xlabel("significance of an HH signal that is not there (σ)")
    luminosity = result["sample"]["luminosity_pb"] / 1000
    axis.set_title(
        f"Simulated collisions without HH, {luminosity:.2f} /fb, the paper's set-ups", fontsize=10, loc="left"
    )
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def draw_anywhere(result: Mapping[str, Any]) -> Any:
    figure, axis = plt.subplots(figsize=(6, 4), constrained_layout=True)
    words = {"paper": "the paper's set-ups", "trainings": "set-ups with all trainings", "all": "all choices"}
    colors = ("#3f90da", "#ffa90e", "#bd1f01")
    for k, ((label, name), color) in enumerate(zip(words.items(), colors, strict=True)):
        rows = result["choices"].get(label, {}).get("anywhere", ())
        seen = [row for row in rows if row["above"]]
        p = np.array([row["p"] for row in seen])
        band = np.abs(np.array([[row["low"], row["high"]] for row in seen]).reshape(-1, 2).T - p)
        text = f"{name} ({len(result['choices'].get(label, {}).get('choices', ()))})"
        axis.errorbar([row["z"] for row in seen], p, band, color=color, marker="o", ms=4, capsize=2, label=text)
        for row in rows:
            if not row["above"]:
                # no experiment: the limit at 95 %
                x, limit = row["z"] + 0.05 * (k - 1), -np.log(0.05) / row["experiments"]
                axis.errorbar(x, limit, 0.4 * limit, uplims=True, color=color, capsize=2)
    levels = np.linspace(1.8, 4.3, 50)
    axis.plot(levels, norm.sf(levels), "k--", lw=1, label="a single choice")
    axis.set_yscale("log")
    axis.set_xlabel("z of an HH signal that is not there")
    axis.set_ylabel("experiments with this z or more in some choice")
    axis.legend(fontsize=8)
    return figure


def draw_spurious(result: Mapping[str, Any]) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), constrained_layout=True, sharey=True)
    for axis, region in zip(axes, ("SR", "SR1"), strict=True):
        for score, regions in result["sculpting"].items():
            rows = regions[region][AT]["masses"]
            color, _ = _MARKS.get(score, ("#94a4a2", ""))
            label = SCORES[score] if score in _MARKS else "four trainings" if score == "team_member1" else None
            wide = 2 if score in _MARKS else 1
            axis.plot([r["mass"] for r in rows], [r["ratio"] for r in rows], lw=wide, color=color, label=label)
        axis.axvline(PAPERS_MASS, color="k", ls=":", lw=1)
        axis.axhspan(-1, 1, color="#eeeeee", zorder=0)
        axis.set_title(region, fontsize=9)
        axis.set_xlabel("mass of the narrow peak (GeV)")
    axes[0].set_ylabel("spurious signal / error of one experiment")
    axes[0].legend(fontsize=7)
    return figure


PICTURES = {"closure": draw_closure, "z": draw_z, "anywhere": draw_anywhere, "spurious": draw_spurious}
