"""Tables of figures in bins of one quantity: shapes, fits, ratios, efficiencies and distributions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.report.record.stacks import FIT, STATISTICAL, Parts, asymmetric
from oddjets.report.record.tables import Variable, binned, long_table

__all__ = [
    "bump",
    "class_shares",
    "closure",
    "counts",
    "efficiency",
    "goodness_of_fit",
    "jet_bump",
    "neighbours",
    "overlap",
    "processes",
    "residual",
    "shapes",
    "systematics",
    "two_sample",
]


def residual(data: Mapping[str, Any]) -> Parts:
    """Return data minus background, the fitted signal, and the fit's uncertainty of both together."""
    points, signal = data["points"], data["signal"]
    columns = [
        Variable(f"{points['label']} - background", points["values"], errors={STATISTICAL: asymmetric(points)}),
        Variable(
            signal["label"], signal["values"], errors={FIT: data["band"]}, qualifiers={"process": signal["process"]}
        ),
    ]
    return [("", [binned(data["x"]["label"], data["x"]["edges"])], columns)]


def shapes(data: Mapping[str, Any]) -> Parts:
    """Return the shapes of a score, a process a column."""
    columns = [
        Variable(
            line["label"], line["values"], errors={STATISTICAL: line["errors"]}, qualifiers={"process": line["process"]}
        )
        for line in data["lines"]
    ]
    return [("", [binned(data["x"]["label"], data["x"]["edges"])], columns)]


def closure(data: Mapping[str, Any]) -> Parts:
    """Return the events in A, their prediction, and the ratio."""
    heads = {"observed": "Simulated events in A", "predicted": "B C / D", "ratio": "A / (B C / D)"}
    columns = [
        Variable(head, data[key]["values"], errors={f"{STATISTICAL}, simulation": data[key]["errors"]})
        for key, head in heads.items()
    ]
    return [("", [binned(data["x"]["label"], data["x"]["edges"])], columns)]


def efficiency(data: Mapping[str, Any]) -> Parts:
    """Return an efficiency with Clopper-Pearson errors."""
    column = Variable("Efficiency", data["values"], errors={STATISTICAL: asymmetric(data)})
    return [("", [binned(data["x"]["label"], data["x"]["edges"])], [column])]


def counts(data: Mapping[str, Any], axis: str, head: str) -> Parts:
    """Return a plain histogram, and in a table of its own what was observed."""
    made: Parts = [("", [binned(axis, data["edges"])], [Variable(head, data["counts"])])]
    if data.get("observed") is not None:
        made.append(("observed", [], [Variable(axis, [data["observed"]])]))
    return made


def goodness_of_fit(data: Mapping[str, Any]) -> Parts:
    """Return the statistic of toys, and that of the data with its p-value."""
    made = counts(data, "Goodness-of-fit statistic", "Toys")
    heads = {"statistic": "Statistic of the data", "p_value": "p-value", "toys": "Toys", "failed": "Toys that failed"}
    columns = [Variable(head, [data[key]], qualifiers={"letters": data["letters"]}) for key, head in heads.items()]
    return [*made, ("observed", [], columns)]


def _search(data: Mapping[str, Any], suffix: str, axis: str) -> Parts:
    """Return a spectrum with its fit, and the numbers of the window."""
    points, fit = data["data"], data["fit"]
    columns = [
        Variable(points["label"], points["values"], errors={STATISTICAL: asymmetric(points)}),
        Variable("Fit to the sidebands", fit["values"], errors={"fit": fit["errors"]}),
        Variable("(data - fit) / error", data["pulls"]),
    ]
    if (signal := data.get("signal")) is not None:
        columns.append(Variable(signal["label"], signal["values"], qualifiers={"process": signal["process"]}))
    inside, p = data["in_window"], data["p_value"]
    found = [
        Variable("Observed", [inside["observed"]]),
        Variable("Expected", [inside["expected"]], errors={"fit": [inside["error"]]}),
        Variable("Local p-value", [p["local"]]),
        Variable("Global p-value", [p["global"]], qualifiers={"toys": p["toys"]}),
        Variable("Smallest local p-value of any window", [p["smallest_local"]]),
        Variable("Parameters of the function", [data["order"]]),
        Variable("Deviance outside the window", [data["quality"]["deviance"]]),
        Variable("Degrees of freedom", [data["quality"]["ndf"]]),
    ]
    low, high = data["window"]
    window = Variable("Window", [(low, high)], "GeV")
    return [(suffix, [binned(axis, data["edges"])], columns), (f"{suffix}_window".strip("_"), [window], found)]


def bump(data: Mapping[str, Any]) -> Parts:
    """Return the spectrum of the oddest jets with its fit."""
    return _search(data, "", "Jet soft-drop mass [GeV]")


def jet_bump(data: Mapping[str, Any]) -> Parts:
    """Return the spectra of the oddest single jets, two tables for each score."""
    return [part for panel in data["panels"] for part in _search(panel, panel["score"], "Jet soft-drop mass [GeV]")]


def overlap(data: Mapping[str, Any]) -> Parts:
    """Return how much of one selection another one shares."""
    found = data["fraction"]
    columns = [
        Variable("Events", data["counts"]),
        Variable("Fraction", found["values"], errors={STATISTICAL: asymmetric(found)}),
    ]
    return [("", [binned(" and ".join(data["labels"]), data["edges"])], columns)]


def processes(data: Mapping[str, Any]) -> Parts:
    """Return the distributions of simulated processes, a table for each quantity."""
    made: Parts = []
    for axis in data["x"]:
        columns = [
            Variable(line["label"], line[axis["name"]], qualifiers={"process": line["process"], "jets": line["jets"]})
            for row in data["rows"]
            for line in row["lines"]
        ]
        made.append((axis["name"], [binned(axis["label"], axis["edges"])], columns))
    return made


def systematics(data: Mapping[str, Any]) -> Parts:
    """Return varied over nominal yields, a table for each region; the statistical error is that of the nominal template."""
    made: Parts = []
    for row in data["rows"]:
        ones = [1.0] * len(row["band"])
        columns = [Variable("nominal", ones, errors={f"{STATISTICAL}, simulation": row["band"]})]
        columns += [
            Variable(f"{one['name']}, {side}", one[side])
            for one in row["panels"]
            for side in ("up", "down")
            if one[side]
        ]
        made.append((row["region"], [binned(data["x"]["label"], row["edges"])], columns))
    return made


def class_shares(data: Mapping[str, Any]) -> Parts:
    """Return the mean share of each class, a column for each sample and jet."""
    columns = []
    for one in data["series"]:
        for name, found in one["binned"].items():
            known = [(None, None) if pair is None else pair for pair in found]
            columns.append(
                Variable(
                    f"Mean share of {name}",
                    [value for value, _ in known],
                    errors={STATISTICAL: [error for _, error in known]},
                    qualifiers={"sample": one["label"], "jet": one["jet"]},
                )
            )
    return [("", [binned("Jet soft-drop mass [GeV]", data["edges"])], columns)]


def neighbours(data: Mapping[str, Any]) -> Parts:
    """Return the columns in which a window differs most from other events, and where its jets are."""
    made: Parts = []
    for panel in data["panels"]:
        columns = [Variable("Events of the window", panel["window"]), Variable("Other events, scaled", panel["others"])]
        name = panel["name"]
        made.append((name, [binned(name, panel["edges"])], columns))
    rows = [(panel["name"], panel["corrected"]) for panel in data["panels"]]
    rows += [(name, value) for name, value in (data.get("places") or {}).items()]
    made.append(("p_values", *long_table(["Column", "p-value, corrected for the number of columns"], rows, 1)))
    return made


def two_sample(data: Mapping[str, Any]) -> Parts:
    """Return the statistic of toys and of the data, or the cells in which data and reference differ."""
    if "panels" not in data:
        made = counts(data, "Two-sample statistic", "Toys")
        seen = [Variable("Statistic of the data", [data["t"]]), Variable("Median of the toys", [data["dof"]])]
        return [*made, ("observed", [], seen)]
    made = []
    for panel in data["panels"]:
        heads = [f"Lowest {panel['column']} of the {jet} jet" for jet in ("leading", "subleading")]
        heads += ["Data", "Expected", "(data - expected) / error"]
        rows = [
            (panel["edges"][i], panel["edges"][j], *(panel[key][i][j] for key in ("data", "reference", "sigma")))
            for i in range(len(panel["edges"]) - 1)
            for j in range(len(panel["edges"]) - 1)
        ]
        made.append((panel["column"], *long_table(heads, rows, 2)))
    return made
