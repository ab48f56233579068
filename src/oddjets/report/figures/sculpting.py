"""The narrow signal that QCD alone would seem to have, against its mass, for several thresholds."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.finished_studies import current_study

__all__ = ["data", "draw"]

MARKERS = ("o", "s", "^", "D", "v")


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the spurious signal of every region; nothing without a study of the current histograms."""
    found = current_study(artifacts, "sculpting")
    if found is None:
        return {}
    made = {}
    for region, one in found["regions"].items():
        series = [
            {
                "label": f"{100 * row['efficiency']:g} %",
                **{
                    name: [mass[name] for mass in row["spurious_simulation"]["masses"]]
                    for name in ("mass", "ratio", "uncertainty")
                },
            }
            for row in one["efficiencies"]
            if row["spurious_simulation"]["largest"] is not None
        ]
        if not series:
            continue
        largest = max((abs(value) for row in series for value in row["ratio"]), default=0.0)
        name = f"sculpting_{region}"
        made[name] = {
            "kind": "sculpting",
            "name": name,
            "title": f"Spurious signal of QCD alone in {region}",
            "header": artifacts.header,
            "x": artifacts.axis_label(found["observable"]),
            "criterion": one["efficiencies"][0]["spurious_simulation"]["criterion"],
            "series": series,
            "text": [region, f"simulated {artifacts.process(found['process'])['label']} alone"],
            "alt": (
                f"Spurious signal over its error against the mass in {region}, for {len(series)} thresholds; the largest is"
                f" {largest:.2f} in size."
            ),
            "caption": (
                f"A narrow peak fitted to A - B C / D of simulated {found['process']} alone in {region}, in units of the error"
                f" that an experiment of {found['luminosity_pb']:.4g} /pb has, for thresholds that these fractions pass. The"
                " errors are those of the sample; the band is the usual criterion of 20 %. Points of neighbouring masses share"
                " events."
            ),
            "sources": [{"file": "study/sculpting.json", "key": f"regions.{region}.efficiencies"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw the ratio of every threshold, side by side at each mass."""
    made = style.figure()
    axes = made.subplots()
    series = drawn["series"]
    masses = sorted({mass for row in series for mass in row["mass"]})
    step = min((b - a for a, b in pairwise(masses)), default=1.0)
    axes.axhspan(-drawn["criterion"], drawn["criterion"], color="0.85", linewidth=0)
    axes.axhline(0, color="0.35", linewidth=1)
    for number, (row, marker) in enumerate(zip(series, MARKERS, strict=False)):
        shift = 0.13 * step * (number - (len(series) - 1) / 2)
        axes.errorbar(
            [mass + shift for mass in row["mass"]],
            row["ratio"],
            yerr=row["uncertainty"],
            fmt=marker,
            color=style.PALETTE[number],
            label=row["label"],
        )
    axes.set_xlabel(drawn["x"])
    axes.set_ylabel("Spurious signal / its error")
    axes.set_xlim(masses[0] - step, masses[-1] + step)
    reach = max(
        abs(value) + error for row in series for value, error in zip(row["ratio"], row["uncertainty"], strict=True)
    )
    taken = style.words(axes, drawn["text"], axes.get_legend_handles_labels()[0])
    axes.set_ylim(-1.15 * reach, -1.15 * reach + 2.3 * reach / (1 - min(taken, 0.6)))
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
