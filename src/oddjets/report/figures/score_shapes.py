"""The score of single jets, per process and in data, each normalised to one."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from oddjets.report import panels, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.intervals import finite

__all__ = ["data", "draw"]

BINS = 40


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the distribution of every score over all jets of the pair, after the base selection."""
    made = {}
    for name in artifacts.analysis.scores:
        label = artifacts.analysis.score_label(name, in_text=True)
        table = artifacts.table([f"score_{name}_{j}" for j in (1, 2)])
        jets = {p: np.concatenate([c[f"score_{name}_1"], c[f"score_{name}_2"]]) for p, c in table.items()}
        weights = {p: np.tile(c["weight"], 2) for p, c in table.items()}
        present = [p for p in artifacts.analysis.processes if p in jets and weights[p].sum() > 0]
        # the signal is what the score is for, however small it is
        kept = sorted(present, key=lambda p: (not artifacts.process(p)["signal"], -weights[p].sum()))[
            : panels.MAX_PROCESSES
        ]
        shown = sorted(kept, key=lambda p: -weights[p].sum())
        if not shown:
            continue
        low = min(0.0, *(float(jets[p].min()) for p in shown))
        high = max(1.0, *(float(jets[p].max()) for p in shown))
        edges = np.linspace(low, high, BINS + 1)
        lines = []
        for process in [*shown, *(["data"] if len(jets.get("data", ())) else [])]:
            values = np.histogram(jets[process], edges, weights=weights[process])[0]
            errors = np.sqrt(np.histogram(jets[process], edges, weights=weights[process] ** 2)[0])
            drawn = {
                **artifacts.process(process),
                **({"label": artifacts.data_name, "color": "#000000"} if process == "data" else {}),
            }
            total = weights[process].sum()
            lines.append({**drawn, "values": finite(values / total), "errors": finite(errors / total)})
        left_out = len(present) - len(shown)
        above = ", ".join(f"{artifacts.naming_data(line['process'])} {line['values'][-1]:.2g}" for line in lines)
        made[f"shapes_{name}"] = {
            "kind": "shapes",
            "name": f"shapes_{name}",
            "title": f"Shapes of the {label}",
            "header": artifacts.header,
            "x": {"label": f"Jet {label}", "edges": finite(edges)},
            "lines": lines,
            "alt": (
                f"Distributions of the {label} of single jets, each normalised to one, for {len(lines)} samples. "
                f"Fraction in the highest of {BINS} bins: {above}."
            ),
            "caption": "Both jets of every event after the base selection; each distribution is normalised to one."
            + (f" The {left_out} smallest processes are left out." if left_out else "")
            + artifacts.blinded_events,
            "sources": [{"file": "events/", "key": f"score_{name}_1, score_{name}_2"}],
        }
    return made


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw one step line a process, and the data as points."""
    made = style.figure()
    axes = made.subplots()
    x = np.asarray(drawn["x"]["edges"], dtype=float)
    everything = []
    for index, line in enumerate(drawn["lines"]):
        values, errors = (np.asarray(line[k], dtype=float) for k in ("values", "errors"))
        everything.append(values)
        if line["process"] == "data":
            centres, good = (x[:-1] + x[1:]) / 2, values > 0
            axes.errorbar(
                centres[good],
                values[good],
                yerr=errors[good],
                fmt="o",
                color="black",
                markersize=4,
                linewidth=1.2,
                label=line["label"],
            )
            continue
        axes.stairs(
            values,
            x,
            baseline=None,
            color=line["color"],
            linestyle=style.DASHES[index % len(style.DASHES)],
            linewidth=3.0 if line["signal"] else 2.0,
            label=line["label"],
        )
    positive = np.concatenate(everything)
    positive = positive[positive > 0]
    axes.set_xlim(x[0], x[-1])
    axes.set_xlabel(drawn["x"]["label"])
    axes.set_ylabel("Fraction of jets / bin")
    taken = style.words(axes, [], axes.get_legend_handles_labels()[0])
    style.headroom(axes, float(positive.max()), taken, log=True, lowest=0.5 * float(positive.min()))
    style.header(axes, drawn["header"]["label"], drawn["header"]["right"])
    return made
