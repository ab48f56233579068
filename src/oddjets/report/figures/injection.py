"""An injected signal: the significance that the analysis and other searches find, and the strength that it fits."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures.limit import ONE, TWO
from oddjets.report.finished_studies import current_study

__all__ = ["data", "draw"]

#: markers of other searches
MARKERS = ("s", "^", "D", "v", "P", "X")


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return bands of the analysis, and medians of the other searches, for the tested signal and each held out."""
    found = current_study(artifacts, "injection")
    if found is None:
        return {}
    signals = {found["signal"]: found, **found.get("hold_out", {})}
    made = {}
    for number, (signal, one) in enumerate(signals.items()):
        name = "injection" if not number else f"injection_{signal}"
        drawn = _of_signal(artifacts, signal, one)
        if drawn is None:
            continue
        held = "" if not number else " No setting was chosen on this signal."
        this = one["methods"]["this analysis"]
        reached = "not reached" if this["for_3"] is None else f"at strength {this['for_3']:.3g}"
        label = artifacts.process(signal)["label"]
        made[name] = {
            "kind": "injection",
            "name": name,
            "title": f"Injected signal: {label}",
            "header": artifacts.header,
            "signal": label,
            **drawn,
            "alt": (
                f"Significance and fitted strength against the injected strength of {signal}, for this analysis and"
                f" {len(drawn['others'])} other searches; an expected 3 sigma is {reached}."
            ),
            "caption": (
                f"Experiments of {found['luminosity_pb']:.4g} /pb with an injected signal. Above: significance of this"
                " analysis, median with the bands of 68 and 95 % of the experiments, and the medians of other searches on the"
                f" same experiments. Below: fitted over injected strength.{held}"
            ),
            "sources": [
                {
                    "file": "study/injection.json",
                    "key": "methods" if not number else f"hold_out.{signal}.methods",
                }
            ],
        }
    return made


def _of_signal(artifacts: Artifacts, signal: str, found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the numbers of one signal; None where all fits failed."""
    own = [row for row in found["methods"]["this analysis"]["strengths"] if "z" in row]
    if not own:
        return None
    ratios = [row for row in own if row["injected"] > 0 and "strength" in row]
    quantiles = ("low_95", "low_68", "median", "high_68", "high_95")
    return {
        "injected": [row["injected"] for row in own],
        "z": {q: [row["z"][q] for row in own] for q in quantiles},
        "ratio": {
            "injected": [row["injected"] for row in ratios],
            **{q: [row["strength"][q] / row["injected"] for row in ratios] for q in quantiles},
            "mean": [row["strength"]["mean"] / row["injected"] for row in ratios],
            "error": [row["strength"]["mean_error"] / row["injected"] for row in ratios],
        },
        "others": [
            {
                "label": name,
                "injected": [row["injected"] for row in one["strengths"] if "z" in row],
                "median": [row["z"]["median"] for row in one["strengths"] if "z" in row],
            }
            for name, one in found["methods"].items()
            if name != "this analysis"
        ],
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the bands of z with the medians of all searches, and the ratio of the strengths below."""
    made = style.figure(height=9.6)
    axes, below = style.ratio_axes(made, height=0.45)
    assert below is not None
    x, z = drawn["injected"], drawn["z"]
    axes.fill_between(x, z["low_95"], z["high_95"], color=TWO, linewidth=0, label="95 % of experiments")
    axes.fill_between(x, z["low_68"], z["high_68"], color=ONE, linewidth=0, label="68 % of experiments")
    axes.plot(x, z["median"], "o-", color="black", linewidth=2, label="This analysis, median")
    for other, marker, color in zip(drawn["others"], MARKERS, style.PALETTE, strict=False):
        axes.plot(
            other["injected"], other["median"], marker, color=color, linestyle="--", linewidth=1.8, label=other["label"]
        )
    for sigma in (3, 5):
        axes.axhline(sigma, color="0.35", linewidth=1, linestyle=":")
    axes.set_ylabel("Significance z")
    taken = style.words(axes, [drawn["signal"], "injected"], axes.get_legend_handles_labels()[0])
    every = [*z["high_95"], *(value for other in drawn["others"] for value in other["median"])]
    lowest = min([*z["low_95"], *(value for other in drawn["others"] for value in other["median"]), 0.0])
    highest = max([*every, 5.5])
    axes.set_ylim(1.1 * lowest, 1.1 * lowest + (1.05 * highest - 1.1 * lowest) / (1 - min(taken, 0.6)))
    ratio = drawn["ratio"]
    r = ratio["injected"]
    if r:
        below.fill_between(r, ratio["low_95"], ratio["high_95"], color=TWO, linewidth=0)
        below.fill_between(r, ratio["low_68"], ratio["high_68"], color=ONE, linewidth=0)
        below.errorbar(r, ratio["mean"], yerr=ratio["error"], fmt="o", color="black", capsize=3)
        below.set_ylim(min(0.0, 1.1 * float(np.min(ratio["low_68"]))), max(2.0, 1.1 * float(np.max(ratio["high_68"]))))
    below.axhline(1, color="0.35", linewidth=1, linestyle=":")
    below.set_ylabel("Fitted / injected")
    below.set_xlabel("Injected strength")
    below.set_xlim(min(x), max(x) if max(x) > min(x) else max(x) + 1)
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
