"""A score that is learnt anew in every experiment: the significance improvement by injected signal, and its gain."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.learnt_scores import FILES, NAMES, gain_in_words, signals_of, studies_of

__all__ = ["data", "draw"]

#: markers of the scores
MARKERS = {"seed": "s", "learnt": "^", "product": "o"}


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the improvement of all scores by injected strength, for the tested signal and each held out."""
    return {name: made for found in studies_of(artifacts) for name, made in _of_study(artifacts, found).items()}


def _of_study(artifacts: Artifacts, found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    file = FILES[found["source"]]
    pairs = (
        "" if found["source"] == "simulation" else " Their background is pairs of jets of different simulated events."
    )
    made = {}
    for number, (signal, one) in enumerate(signals_of(found)):
        name = file if not number else f"{file}_{signal}"
        label = artifacts.process(signal)["label"]
        rows = one["strengths"]
        made[name] = {
            "kind": "learning",
            "name": name,
            "title": f"A score learnt from data: {label}",
            "header": artifacts.header,
            "signal": label,
            "experiments": found["experiments"],
            "injected": [row["injected"] for row in rows],
            "events": [row["injected_events"] for row in rows],
            "scores": [
                {
                    "name": score,
                    "label": words,
                    **{key: [row["scores"][score]["sic"][key] for row in rows] for key in ("mean", "sd", "error")},
                }
                for score, words in NAMES.items()
            ],
            "gain": {key: [row["gain"]["product"][key] for row in rows] for key in ("mean", "sd", "error")},
            "alt": (
                f"Significance improvement at 1 % of the background against the injected strength of {signal}, for the seed,"
                f" the learnt score and their product; product over seed: {gain_in_words(one)}."
            ),
            "caption": (
                f"Means of {found['experiments']} experiments for each strength, with a training in each; bands are the spread"
                " of the experiments, error bars that of the mean. Above: significance improvement at 1 % of the background."
                f" Below: that of learnt × seed over that of the seed, in the same experiments.{pairs}"
            ),
            "sources": [
                {"file": f"study/{file}.json", "key": "strengths" if not number else f"hold_out.{signal}.strengths"}
            ],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the improvement of the scores, and the gain below."""
    made = style.figure(height=9.6)
    axes, below = style.ratio_axes(made, height=0.45)
    assert below is not None
    x = np.asarray(drawn["injected"], dtype=float)
    highest = 0.0
    for one, color in zip(drawn["scores"], style.PALETTE, strict=False):
        mean, sd, error = (_numbers(one[key]) for key in ("mean", "sd", "error"))
        axes.fill_between(x, mean - sd, mean + sd, color=color, alpha=0.25, linewidth=0)
        axes.errorbar(
            x,
            mean,
            yerr=error,
            fmt=f"{MARKERS[one['name']]}-",
            color=color,
            capsize=3,
            linewidth=1.8,
            label=one["label"],
        )
        highest = max(highest, float(np.nanmax(mean + np.nan_to_num(sd))))
    axes.set_ylabel("Significance improvement")
    words = [f"{drawn['signal']} injected", f"{drawn['experiments']} trainings a point"]
    taken = style.words(axes, words, axes.get_legend_handles_labels()[0])
    axes.set_ylim(0, 1.05 * highest / (1 - min(taken, 0.6)))
    mean, sd, error = (_numbers(drawn["gain"][key]) for key in ("mean", "sd", "error"))
    below.fill_between(x, mean - sd, mean + sd, color="0.8", linewidth=0)
    below.errorbar(x, mean, yerr=error, fmt="o-", color="black", capsize=3)
    below.axhline(1, color="0.35", linewidth=1, linestyle=":")
    below.set_ylabel("Gain")
    below.set_xlabel("Injected strength")
    below.set_xlim(float(x.min()) - 0.02 * float(np.ptp(x)), float(x.max()) + 0.02 * float(np.ptp(x)))
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made


def _numbers(values: list[float | None]) -> Any:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
