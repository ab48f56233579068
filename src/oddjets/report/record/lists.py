"""Tables of figures that list or map things: parameters, limits, scores, regions, correlations, single events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oddjets.report.record.stacks import FIT, STATISTICAL, Parts
from oddjets.report.record.tables import Error, Number, Variable, long_table

__all__ = [
    "agreement",
    "closures",
    "cutflow",
    "density",
    "display",
    "impacts",
    "improvement",
    "injection",
    "jet_null",
    "jet_periods",
    "learning",
    "limit",
    "limit_columns",
    "matrix",
    "mixing",
    "pulls",
    "regions",
    "removal",
    "scan",
    "sculpting",
]

#: what the expected limits of a figure or of results.json are, in order
_BANDS = ("95 % of experiments", "68 % of experiments")


def cutflow(data: Mapping[str, Any]) -> Parts:
    """Return the events left after each cut."""
    columns = [
        Variable(line["label"], line["values"], qualifiers={"process": line["process"]}) for line in data["lines"]
    ]
    if data["data"] is not None:
        columns.insert(0, Variable(data["data_label"], data["data"]))
    return [("", [Variable("Cut", data["cuts"])], columns)]


def regions(data: Mapping[str, Any]) -> Parts:
    """Return the events of every region and letter, and B C / D."""
    rows: list[Sequence[Any]] = []
    for one in data["maps"]:
        rows += [(one["region"], letter, number) for letter, number in one["letters"].items()]
        rows.append((one["region"], "B C / D", one["predicted"]))
    return [("", *long_table(["Region", "Letter", f"Events of {data['what']}"], rows, 2))]


def pulls(data: Mapping[str, Any]) -> Parts:
    """Return the pulls of nuisance parameters."""
    rows = [(row["name"], row["pull"], row["error"]) for row in data["rows"]]
    return [("", *long_table(["Nuisance parameter", "Pull", f"±{FIT}"], rows, 1))]


def impacts(data: Mapping[str, Any]) -> Parts:
    """Return the impacts of nuisance parameters, ranked."""
    rows = [(row["name"], row["up"], row["down"]) for row in data["rows"]]
    heads = ["Nuisance parameter", f"Change of {data['poi']}, parameter up", f"Change of {data['poi']}, parameter down"]
    return [("", *long_table(heads, rows, 1))]


def scan(data: Mapping[str, Any]) -> Parts:
    """Return a scan of the profile likelihood."""
    axis = Variable(data["poi"]["name"], data["x"])
    return [("", [axis], [Variable("-2 Delta ln L", data["values"])])]


def limit_columns(observed: Number, expected: Sequence[Number]) -> list[Variable]:
    """Return limits as columns: the observed one, and the expected one with its bands as errors.

    Args:
        observed: None: there is none.
        expected: at -2, -1, 0, 1 and 2 standard deviations.
    """
    middle = expected[2]
    errors: dict[str, list[Error]] = {}
    for name, low, high in zip(_BANDS, expected[:2], expected[:2:-1], strict=True):
        if middle is not None:
            errors[name] = [(None if low is None else middle - low, None if high is None else high - middle)]
    return [Variable("Observed limit", [observed]), Variable("Expected limit", [middle], errors=errors)]


def limit(data: Mapping[str, Any]) -> Parts:
    """Return the upper limits."""
    axes = [Variable("Parameter", [data["poi"]]), Variable("Confidence level", [data["confidence"]])]
    return [("", axes, limit_columns(data["observed"], data["expected"]))]


def matrix(data: Mapping[str, Any], axis: str, head: str) -> Parts:
    """Return a matrix, line by line."""
    return [("", *matrix_columns(data["labels"], data["matrix"], axis, head))]


def matrix_columns(
    names: Sequence[str], values: Sequence[Sequence[Number]], axis: str, head: str
) -> tuple[list[Variable], list[Variable]]:
    """Return a matrix as two axes and a variable.

    Args:
        names: of its rows and columns, shape (n,).
        values: shape (n, n).
        axis: what they are.
        head: what the values are.
    """
    rows = [(a, b, value) for a, line in zip(names, values, strict=True) for b, value in zip(names, line, strict=True)]
    return long_table([axis, f"{axis}, second", head], rows, 2)


def density(data: Mapping[str, Any]) -> Parts:
    """Return a density on a grid, and the events that the figure shows."""
    rows = [
        (x, y, value)
        for y, line in zip(data["y"]["grid"], data["density"], strict=True)
        for x, value in zip(data["x"]["grid"], line, strict=True)
    ]
    heads = [data["x"]["label"], data["y"]["label"]]
    events = [(number, x, y) for number, (x, y) in enumerate(zip(*data["points"], strict=True), 1)]
    return [("", *long_table([*heads, "Density"], rows, 2)), ("events", *long_table(["Event", *heads], events, 1))]


def closures(data: Mapping[str, Any]) -> Parts:
    """Return the constants of the closure at other thresholds, with what is said of each."""
    rows = [(row["region"], row["label"], row["value"], row["error"], row["verdict"]) for row in data["rows"]]
    return [
        ("", *long_table(["Region", "Threshold", "A / (B C / D)", f"±{STATISTICAL}, simulation", "Verdict"], rows, 2))
    ]


def mixing(data: Mapping[str, Any]) -> Parts:
    """Return the ABCD constants of jets of one event and of different events, by efficiency and at the working point."""
    rows: list[Sequence[Any]] = []
    for panel in data["panels"]:
        for kind, found in panel["points"].items():
            rows += [(panel["region"], kind, one["efficiency"], one["value"], one["error"]) for one in found]
    heads = ["Region", "Jets", "Efficiency", "A / (B C / D)", f"±{STATISTICAL}, simulation"]
    at = [
        (panel["region"], kind, data["working_point"], one["value"], one["error"])
        for panel in data["panels"]
        for kind, one in panel["at"].items()
        if one is not None
    ]
    return [("", *long_table(heads, rows, 3)), ("working_point", *long_table(heads, at, 3))]


def improvement(data: Mapping[str, Any]) -> Parts:
    """Return what the scores separate of each signal: improvement, areas under curves, rejection."""
    made: Parts = []
    for panel in data["panels"]:
        axes: list[list[Any]] = [[], []]
        found: list[Mapping[str, Any]] = []
        for one in panel["scores"]:
            for point in one["improvement"]:
                axes[0].append(one["label"])
                axes[1].append(point["fraction"])
                found.append(point)
        columns = [
            _estimates("Significance improvement", found),
            _estimates("Efficiency of the signal", [point["efficiency"] for point in found]),
        ]
        heads = [Variable("Score", axes[0]), Variable(f"Fraction of {data['background_label']} kept", axes[1])]
        made.append((panel["signal"], heads, columns))
        scores = Variable("Score", [one["label"] for one in panel["scores"]])
        area = _estimates("Area under the curve", [one["area"] for one in panel["scores"]])
        made.append((f"{panel['signal']}_area", [scores], [area]))
    return made


def _estimates(name: str, found: Sequence[Mapping[str, Any]]) -> Variable:
    return Variable(
        name, [one["value"] for one in found], errors={STATISTICAL: [(one["down"], one["up"]) for one in found]}
    )


def agreement(data: Mapping[str, Any]) -> Parts:
    """Return rank correlations and overlaps of each two scores, by process."""
    rows: list[Sequence[Any]] = []
    for panel in data["panels"]:
        for i, first in enumerate(data["labels"]):
            rows += [
                (panel["label"], first, second, panel["rank"][i][j], panel["overlap"][i][j])
                for j, second in enumerate(data["labels"])
            ]
    heads = ["Process", "Score", "Score, second", "Rank correlation", f"Overlap at {100 * data['fraction']:g} %"]
    made: Parts = [("", *long_table(heads, rows, 3))]
    pairs = [(pair["scores"], process, one) for pair in data["pairs"] for process, one in pair["rank"].items()]
    if pairs:
        axes = [
            Variable("Process", [process for _, process, _ in pairs]),
            Variable("Score", [scores[0] for scores, _, _ in pairs]),
            Variable("Score, second", [scores[1] for scores, _, _ in pairs]),
        ]
        made.append(("rank", axes, [_estimates("Rank correlation", [one for *_, one in pairs])]))
    return made


def injection(data: Mapping[str, Any]) -> Parts:
    """Return significance and fitted strength against the injected strength."""
    heads = (("z", "Median significance"), ("ratio", "Median fitted over injected strength"))
    made: Parts = []
    for key, head in heads:
        found = data[key]
        injected = found.get("injected", data["injected"])
        errors = {
            f"{size} % of experiments": [
                (None if None in (m, a) else m - a, None if None in (m, b) else b - m)
                for m, a, b in zip(found["median"], found[f"low_{size}"], found[f"high_{size}"], strict=True)
            ]
            for size in (68, 95)
        }
        columns = [Variable(head, found["median"], errors=errors)]
        if "mean" in found:
            mean = Variable("Mean fitted over injected strength", found["mean"], errors={STATISTICAL: found["error"]})
            columns.append(mean)
        made.append((key, [Variable("Injected strength", injected)], columns))
    for number, other in enumerate(data["others"], 1):
        column = Variable("Median significance", other["median"], qualifiers={"search": other["label"]})
        made.append((f"other_{number}", [Variable("Injected strength", other["injected"])], [column]))
    return made


def learning(data: Mapping[str, Any]) -> Parts:
    """Return the significance improvement of scores against the injected strength, and the gain over the seed."""
    axis = Variable("Injected strength", data["injected"])
    parts = [(one["name"], f"Significance improvement, {one['label']}", one) for one in data["scores"]]
    parts.append(("gain", "Gain of learnt × seed over the seed", data["gain"]))
    made: Parts = []
    for name, head, one in parts:
        errors = {"of the mean": one["error"], "spread of experiments": one["sd"]}
        made.append((name, [axis], [Variable(head, one["mean"], errors=errors)]))
    return made


def sculpting(data: Mapping[str, Any]) -> Parts:
    """Return the spurious signal of QCD against the mass."""
    made: Parts = []
    for number, one in enumerate(data["series"], 1):
        column = Variable(
            "Spurious signal over its error",
            one["ratio"],
            errors={f"{STATISTICAL}, simulation": one["uncertainty"]},
            qualifiers={"threshold": one["label"]},
        )
        made.append((f"{number}", [Variable("Mass of the signal", one["mass"], "GeV")], [column]))
    return made


def removal(data: Mapping[str, Any]) -> Parts:
    """Return the changes of a score when constituents are removed, beside those for random constituents."""
    rows = []
    for panel in data["panels"]:
        for bar in panel["bars"]:
            chance = bar.get("random") or {}
            said = f"{bar['label']}, d0 and dz set to 0" if bar["reset"] else str(bar["label"])
            rows.append((panel["title"], said, bar["number"], bar["change"], chance.get("mean"), chance.get("spread")))
    heads = ["Jet", "Constituents", "Number", "Change of the logit", "Same, random constituents", "±standard deviation"]
    return [("", *long_table(heads, rows, 2))]


def display(data: Mapping[str, Any]) -> Parts:
    """Return the two jets of an event, and their constituents."""
    jets = data["jets"]
    numbers = ("pt", "eta", "phi", "mass", "tau21", "tau32", "btag")
    rows = [(j, *(jet.get(key) for key in numbers), jet["scores"].get(data["score"])) for j, jet in enumerate(jets, 1)]
    heads = ["Jet", "pT [GeV]", "eta", "phi", "Soft-drop mass [GeV]", "tau21", "tau32", "b tag", data["score_label"]]
    made: Parts = [("jets", *long_table(heads, rows, 1))]
    keys = ("d_eta", "d_phi", "pt", "species", "prong")
    for j, jet in enumerate(jets, 1):
        found = jet.get("constituents") or {}
        lines = [(i, *line) for i, line in enumerate(zip(*(found.get(key, []) for key in keys), strict=True), 1)]
        titles = ["Constituent", "eta - jet eta", "phi - jet phi", "pT [GeV]", "Species", "Prong"]
        made.append((f"jet_{j}", *long_table(titles, lines, 1)))
    return made


def jet_null(data: Mapping[str, Any]) -> Parts:
    """Return the fractions of experiments without signal below a p-value, a row for each choice and p-value."""
    made: Parts = []
    for suffix, key, axis in (("", "choices", "Choice"), ("smallest", "together", "Smallest p-value")):
        rows = [
            (one["label"], p, fraction)
            for one in data[key]
            for p, fraction in zip(data["p"], one["fraction"], strict=True)
        ]
        made.append((suffix, *long_table([axis, "p-value", "Fraction of experiments"], rows, 2)))
        seen = [(one["label"], one["seen"]) for one in data[key]]
        made.append((f"{suffix}_observed".strip("_"), *long_table([axis, "Observed p-value"], seen, 1)))
    return made


def jet_periods(data: Mapping[str, Any]) -> Parts:
    """Return numbers and masses of jets by period of runs."""
    heads = ["First run", "Last run", "Luminosity [1/pb]", "Jets", "Odd jets", "Odd jets in the window"]
    heads += ["Mean mass [GeV]", "Mean mass of odd jets [GeV]", f"±{STATISTICAL}"]
    keys = ("first", "last", "luminosity_pb", "jets", "odd", "inside", "mean_mass", "mean_mass_odd", "error_odd")
    rows = [tuple(period[key] for key in keys) for period in data["periods"]]
    return [("", *long_table(heads, rows, 2))]
