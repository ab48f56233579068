"""The simulated processes: pT, soft-drop mass and tau21 of their jets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from matplotlib.figure import Figure

from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite, ratio
from oddjets.simulation.processes import load_processes
from oddjets.simulation.resonances import MASSES

__all__ = ["data", "draw", "figure_data", "histograms", "rows"]

#: what a row shows: its processes
FAMILIES = {
    "QCD, V + jet": ("qcd", "wjets", "zjets"),
    "top": ("top", "stop_t", "stop_s", "tth"),
    "VV": ("ww", "ww_4q", "wz", "wz_4q", "zz", "zz_4q"),
    "Higgs": ("wh", "zh", "hj", "hh"),
}
#: observable: axis label and bin edges
AXES = {
    "pt": (r"Jet $p_\mathrm{T}$ [GeV]", np.linspace(450, 1200, 16)),
    "mass": ("Soft-drop mass [GeV]", np.linspace(60, 240, 46)),
    "tau21": (r"$\tau_{21}$", np.linspace(0, 1, 26)),
}
_BRANCHES = ["FatJet_pt", "FatJet_eta", "FatJet_msoftdrop", "FatJet_tau1", "FatJet_tau2"]
_SYMBOLS = {24: "W", 23: "Z", 25: "H", 6: "t"}


def histograms(files: Sequence[Path]) -> dict[str, Any]:
    """Return the distributions of the two leading jets, each with pT > 450 GeV, abs(eta) < 2.5 and mass > 60 GeV.

    Args:
        files: PFNano files of one process.

    Returns:
        ``jets``, their number, and for each of ``AXES`` the fraction of them in each bin.
    """
    values: dict[str, list[np.ndarray]] = {name: [] for name in AXES}
    for file in files:
        with uproot.open(file) as root:
            events = root["Events"].arrays(_BRANCHES)
        good = (events.FatJet_pt > 450) & (abs(events.FatJet_eta) < 2.5) & (events.FatJet_msoftdrop > 60)
        pair = events[ak.sum(good[:, :2], axis=1) == 2]
        values["pt"].append(ak.to_numpy(ak.flatten(pair.FatJet_pt[:, :2])))
        values["mass"].append(ak.to_numpy(ak.flatten(pair.FatJet_msoftdrop[:, :2])))
        tau1, tau2 = (ak.to_numpy(ak.flatten(pair[f"FatJet_tau{n}"][:, :2])) for n in (1, 2))
        values["tau21"].append(np.nan_to_num(ratio(tau2, tau1)))
    joined = {name: np.concatenate(parts) for name, parts in values.items()}
    jets = len(joined["pt"])
    shares = {n: finite(np.histogram(v, AXES[n][1])[0] / max(jets, 1)) for n, v in joined.items()}
    return {"jets": jets, **shares}


def rows(processes: Mapping[str, Mapping[str, Any]], colors: Mapping[str, str]) -> list[dict[str, Any]]:
    """Put processes in rows by family.

    Args:
        processes: name to what `histograms` returned.
        colors: name to colour, as in all figures of an analysis.

    Returns:
        Rows with ``label`` and ``lines``; families without a process are left out.
    """
    known = load_processes()
    made = []
    for label, names in FAMILIES.items():
        shown = [name for name in names if name in processes and processes[name]["jets"]]
        lines = [{"process": n, "label": known[n].label, "color": colors[n], **processes[n]} for n in shown]
        if lines:
            made.append({"label": label, "lines": lines})
    return made


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the distributions of every simulated template."""
    fileset = artifacts.json("simulation/fileset.json")
    folder = artifacts.path("simulation").parent
    found = {
        name: histograms([folder / file for file in entry["files"]])
        for name, entry in fileset.items()
        if not entry["metadata"]["is_data"]
    }
    made = rows(found, artifacts.colors_of(found))
    return {"processes": figure_data(made, artifacts.header)} if made else {}


def figure_data(made: list[dict[str, Any]], header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figure's data.

    Args:
        made: what `rows` returned.
        header: label and right corner, as of every figure.
    """
    jets = ", ".join(f"{line['process']} {line['jets']}" for row in made for line in row["lines"])
    return {
        "kind": "processes",
        "name": "processes",
        "title": "Simulated processes",
        "header": {"label": [header["label"][0], "simulation"], "right": "(13 TeV)"},
        "x": [{"name": n, "label": label, "edges": finite(edges)} for n, (label, edges) in AXES.items()],
        "rows": made,
        "marks": [{"label": _SYMBOLS[code], "value": mass} for code, mass in MASSES.items()],
        "alt": f"Transverse momentum, soft-drop mass and tau21 of the jets of each simulated process; jets: {jets}.",
        "caption": (
            r"The two leading jets of events in which both have $p_\mathrm{T}$ > 450 GeV, $|\eta|$ < 2.5 and soft-drop "
            "mass > 60 GeV; each distribution is normalised to one. Dotted: the masses of W, Z, H and t."
        ),
        "sources": [{"file": "simulation/", "key": "FatJet_pt, FatJet_msoftdrop, FatJet_tau2 / FatJet_tau1"}],
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw a row a family: pT (logarithmic), mass with the known masses, tau21."""
    with style.context(0.72):
        made = style.figure(15.0, 0.8 + 3.5 * len(drawn["rows"]))
        grid = made.subplots(len(drawn["rows"]), 3, squeeze=False)
        for row, panels in zip(drawn["rows"], grid, strict=True):
            for x, axes in zip(drawn["x"], panels, strict=True):
                edges = np.asarray(x["edges"], dtype=float)
                for k, line in enumerate(row["lines"]):
                    axes.stairs(
                        np.asarray(line[x["name"]], dtype=float),
                        edges,
                        baseline=None,
                        color=line["color"],
                        linestyle=style.DASHES[k],
                        linewidth=2.0,
                        label=line["label"],
                    )
                axes.set_xlim(edges[0], edges[-1])
                axes.set_xlabel(x["label"])
                axes.set_ylabel("Fraction of jets / bin")
                if x["name"] == "pt":
                    axes.set_yscale("log")
                    axes.legend(loc="upper right", title=row["label"])
                else:
                    axes.set_ylim(0, 1.15 * max(max(line[x["name"]]) for line in row["lines"]))
                if x["name"] == "mass":
                    for mark in drawn["marks"]:
                        axes.axvline(mark["value"], color="0.35", linewidth=1.2, linestyle=":", zorder=0)
                        axes.annotate(
                            mark["label"], (mark["value"], 0.98), (3, 0), xycoords=("data", "axes fraction"),
                            textcoords="offset points", va="top", color="0.35",
                        )  # fmt: skip
        style.header(grid[0, 0], drawn["header"]["label"])
        style.header(grid[0, 2], ("",), drawn["header"]["right"])
    return made
