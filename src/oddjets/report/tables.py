"""The report's tables: rows of text with the numbers to sort by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import cutflow
from oddjets.report.text import count, duration, label_html, with_error
from oddjets.stats.closure_parts import one_efficiency

__all__ = [
    "Cell",
    "Table",
    "closure_table",
    "cutflow_table",
    "last_cut_table",
    "parameter_table",
    "provenance_table",
    "variations_table",
    "weights_table",
    "yields_table",
]


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, the value to sort by (None: the text), and a longer form for the title."""

    text: str | Markup
    value: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Table:
    """A table: its caption, column heads, rows, a closing row or two, and where the numbers are."""

    caption: str
    columns: list[str]
    rows: list[list[Cell]]
    file: str
    key: str
    foot: list[list[Cell]] = field(default_factory=list)
    note: str = ""
    anchor: str = ""

    @property
    def of_numbers(self) -> list[bool]:
        """By column, whether it has a number: text in such a column, as ``too few (0)``, is aligned with the numbers."""
        rows = [*self.rows, *self.foot]
        return [
            place > 0
            and any(row[place].value is not None or row[place].text == "–" for row in rows if place < len(row))
            for place in range(len(self.columns))
        ]


def yields_table(artifacts: Artifacts, region: str) -> Table | None:
    """Return a region's fitted yields: processes by letters, with the data below."""
    letters = {
        letter: entry
        for letter, entry in artifacts.results["yields"].get(region, {}).items()
        if "signal_plus_background" in entry
    }
    if not letters:
        return None
    names = list(dict.fromkeys(p for e in letters.values() for p in e["signal_plus_background"] if p != "total"))

    def cell(letter: str, process: str) -> Cell:
        numbers = letters[letter]["signal_plus_background"].get(process)
        if numbers is None:
            return Cell("–")
        value, error = numbers["sum"]["value"], numbers["sum"]["error"]
        return Cell(with_error(value, error), value)

    rows = [[Cell(label_html(artifacts.process(p)["label"])), *(cell(letter, p) for letter in letters)] for p in names]
    foot = [[Cell("Fitted total"), *(cell(letter, "total") for letter in letters)]]
    if any(e.get("data") is not None for e in letters.values()):
        counts = [None if e.get("data") is None else float(np.sum(e["data"])) for e in letters.values()]
        hidden = "A" if artifacts.blinded else None
        seen = (Cell("blinded") if x == hidden else Cell(count(c), c) for x, c in zip(letters, counts, strict=True))
        foot.append([Cell(artifacts.data_name), *seen])
    return Table(
        f"Yields in {region}, signal + background fit",
        ["Process", *letters],
        rows,
        "results.json",
        f"yields.{region}",
        foot,
        " ".join(
            [
                "Errors are those of the sums over the bins, with the covariance of all parameters.",
                *_absorbed_signal(artifacts, region),
            ]
        ),
    )


def _absorbed_signal(artifacts: Artifacts, region: str) -> list[str]:
    """Say how much of each signal the QCD estimate would take, were its share of B, C and D not in the model."""
    return [
        f"The model knows the {artifacts.process(process)['label']} events in B, C and D, at strength {taken['strength']:g}: "
        f"without them, B C / D would take {taken['events']:.3g} of {taken['signal_in_A']:.3g} such events in A for QCD."
        for process, taken in artifacts.results.get("absorbed", {}).get(region, {}).items()
    ]


def closure_table(artifacts: Artifacts) -> Table | None:
    """Return the parts of the ABCD closure: regions by what they are, the constants at the working point, and advice."""
    parts = artifacts.closure.get("parts", {})
    if not any("structural" in one for one in parts.get("regions", {}).values()):
        return None

    def cell(entry: dict[str, Any] | None, value: str = "value", error: str = "error") -> Cell:
        if not entry or entry.get(value) is None:
            return Cell("–")
        return Cell(with_error(entry[value], entry.get(error)), entry[value])

    rows = [
        [
            Cell(region),
            Cell(one["kind"], title=one["why"] or ", ".join(one["cells"])),
            cell(one.get("structural")),
            cell(one.get("correlation")),
            cell((one.get("control") or {}).get("correlation")),
            cell(one, "constant", "constant_error"),
            Cell(one.get("verdict", "inconclusive")),
            Cell(one["advice"]["treatment"] or "–", title=one["advice"]["why"]),
        ]
        for region, one in parts["regions"].items()
    ]
    heads = ["Region", "Kind", "Structural", "Correlation", "Correlation, control", "c", "Verdict", "Advised abcd"]
    sources = parts["sources"]
    return Table(
        f"What ABCD assumes, at an efficiency of {100 * parts['working_point']:.3g} %",
        heads,
        rows,
        "closure.json",
        "parts",
        anchor="table-closure",
        note=" ".join(
            [
                artifacts.naming_data(
                    "c = structural x correlation: the first from jets of different events"
                    f" ({sources['structural'] or 'none'}), the second from events as they are"
                    f" ({sources['correlation'] or 'none'}; control: data with both scores below the threshold), extrapolated"
                    " along a line in the logarithm of the efficiency. The constant is the sum of A over the sum of B C / D of"
                    " the bins; that of the closure figures is fitted to the ratios of the bins."
                ),
                *_from_one_efficiency(parts),
                *(artifacts.naming_data(f"Note: {note}.") for note in parts["notes"]),
            ]
        ),
    )


def _from_one_efficiency(parts: dict[str, Any]) -> list[str]:
    """Return a sentence that names the constants that are from a single efficiency, other than the working point's."""
    alone = [
        f"{name} of {region} ({100 * efficiency:.3g} %)"
        for region, one in parts["regions"].items()
        for name, part in (
            ("structural", one),
            ("correlation", one),
            ("correlation, control", one.get("control") or {}),
        )
        if (found := part.get(name.partition(",")[0])) is not None
        and (efficiency := one_efficiency(found, parts["working_point"])) is not None
    ]
    return [f"From one efficiency alone, without the error of a slope: {', '.join(alone)}."] if alone else []


def cutflow_table(artifacts: Artifacts, kind: str) -> Table:
    """Return the cutflow: processes by cuts.

    Args:
        artifacts: with cutflow.json.
        kind: ``weighted`` (to the luminosity) or ``raw``.
    """
    cuts = [c.replace("_", " ") for c in artifacts.cutflow["cuts"]]
    rows: list[list[Cell]] = []
    foot: list[list[Cell]] = []
    for process, numbers in cutflow.by_process(artifacts).items():
        is_data = process == "data"
        label = Cell(artifacts.data_name) if is_data else Cell(label_html(artifacts.process(process)["label"]))
        values = numbers["raw" if is_data else kind]
        shares = [100 * b / a if a else None for a, b in zip(values[:1] + values[:-1], values, strict=True)]
        cells = [
            Cell(count(v), float(v), "" if s is None else f"{s:.3g} % of the cut before")
            for v, s in zip(values, shares, strict=True)
        ]
        (foot if is_data else rows).append([label, *cells])
    what = "events, simulation normalised to the luminosity" if rows and kind == "weighted" else "events as counted"
    return Table(f"Cutflow: {what}", ["Process", *cuts], rows, "cutflow.json", f"datasets.*.{kind}", foot)


def last_cut_table(artifacts: Artifacts) -> Table | None:
    """Return the fraction of events that each cut keeps when it is applied last: processes by cuts."""
    counts: dict[str, dict[str, list[float]]] = {}
    for dataset, cuts in (artifacts.cutflow.get("n_minus_1") or {}).items():
        entry = artifacts.cutflow["datasets"][dataset]
        kept = float(entry["raw" if entry["is_data"] else "weighted"][-1])
        one = counts.setdefault("data" if entry["is_data"] else entry["process"], {})
        for cut, (raw, weighted) in cuts.items():
            sums = one.setdefault(cut, [0.0, 0.0])
            sums[0] += kept
            sums[1] += float(raw if entry["is_data"] else weighted)
    if not counts:
        return None
    cuts = list(dict.fromkeys(cut for one in counts.values() for cut in one))

    def cell(sums: list[float] | None) -> Cell:
        return (
            Cell("–") if sums is None or sums[1] <= 0 else Cell(f"{100 * sums[0] / sums[1]:.3g} %", sums[0] / sums[1])
        )

    rows = [
        [
            Cell(artifacts.data_name if process == "data" else label_html(artifacts.process(process)["label"])),
            *(cell(one.get(cut)) for cut in cuts),
        ]
        for process, one in counts.items()
    ]
    heads = ["Process", *(c.replace("_", " ") for c in cuts)]
    return Table("What each cut keeps when it is the last", heads, rows, "cutflow.json", "n_minus_1")


def parameter_table(artifacts: Artifacts) -> Table | None:
    """Return the fitted nuisance parameters with their impacts."""
    pulls = artifacts.results.get("pulls") or []
    if not pulls:
        return None
    impacts = {i["name"]: i for i in artifacts.results.get("impacts") or []}
    rows = []
    for pull in pulls:
        impact = impacts.get(pull["name"])
        size = None if impact is None else max(abs(impact["up"] or 0.0), abs(impact["down"] or 0.0))
        rows.append(
            [
                Cell(pull["name"]),
                Cell(with_error(pull["value"], pull["error"]), pull["value"]),
                Cell(
                    "–" if pull.get("prefit_error") is None else f"{pull['prefit_error']:.3g}", pull.get("prefit_error")
                ),
                Cell("–" if size is None else f"{size:.3g}", size),
            ]
        )
    return Table("Fitted parameters", ["Parameter", "Value", "Prefit error", "Impact"], rows, "results.json", "pulls")


def variations_table(artifacts: Artifacts, anchor: str) -> Table | None:
    """Return the variations that are large in some bin, or have the same sign up and down.

    Args:
        artifacts: with what `workspace` found.
        anchor: of the table.
    """
    report = artifacts.workspace_report
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for kind in ("large", "one_sided"):
        for one in report.get(kind) or []:
            place = tuple(one[k] for k in ("variation", "process", "region", "letter"))
            found.setdefault(place, {}).update({k: v for k, v in one.items() if isinstance(v, float)})
    if not found:
        return None

    def cell(value: float | None) -> Cell:
        if value is None:
            return Cell("–")
        # a total that only rounding moves
        text = "0 %" if abs(value) < 1e-9 else f"{100 * value:+.3g} %"
        return Cell(text.replace("-", "−"), value)

    rows = [
        [*map(Cell, place), *(cell(numbers.get(k)) for k in ("largest_change", "up", "down"))]
        for place, numbers in sorted(found.items(), key=lambda item: -item[1].get("largest_change", 0.0))
    ]
    return Table(
        "Wild and one-sided variations",
        ["Variation", "Process", "Region", "Letter", "Largest change of a bin", "Total up", "Total down"],
        rows,
        "workspace_report.json",
        "large, one_sided",
        note="Largest changes are of large variations, totals of one-sided ones. With few events either can occur by chance.",
        anchor=anchor,
    )


def weights_table(artifacts: Artifacts, anchor: str) -> Table | None:
    """Return the templates that one event leads, or a few, and the variations with weights far from nominal.

    Args:
        artifacts: with event_weights.json.
        anchor: of the table.
    """
    found = artifacts.event_weights or {"templates": [], "variations": []}
    heavy = sorted((t for t in found["templates"] if t["heavy"]), key=lambda t: -t["largest_share"])
    out = sorted((v for v in found["variations"] if v["outliers"]), key=lambda v: -v["largest_ratio"])
    rows = [
        [
            *(Cell(t["process"]), Cell("nominal"), Cell(f"{t['region']} {t['letter']}")),
            Cell(count(t["events"]), t["events"]),
            Cell(f"{t['effective']:.3g}", t["effective"]),
            Cell(f"{100 * t['largest_share']:.3g} %", t["largest_share"]),
            *(Cell("–"), Cell("–")),
        ]
        for t in heavy
    ]
    rows += [
        [
            *(Cell(v["process"]), Cell(v["variation"]), Cell(f"{v['region']} {v['letter']}")),
            Cell(count(v["events"]), v["events"]),
            *(Cell("–"), Cell("–")),
            Cell(f"{v['largest_ratio']:.4g}", v["largest_ratio"]),
            Cell(count(v["outliers"]), v["outliers"]),
        ]
        for v in out
    ]
    if not rows:
        return None
    return Table(
        "Event weights",
        ["Process", "Weight", "Where", "Events", "Effective events", "Largest share", "Largest ratio", "Outliers"],
        rows,
        "event_weights.json",
        "templates, variations",
        note=(
            "Effective events: (sum w)² / sum w². Share: of one event in the template. Ratio: of a varied to the nominal weight"
            f" of one event; outliers are beyond {found.get('limits', {}).get('ratio', 0):.3g}."
        ),
        anchor=anchor,
    )


def provenance_table(artifacts: Artifacts) -> Table | None:
    """Return the stages that ran, with their content keys."""
    rows = [
        [
            Cell(stage),
            Cell(str(m.get("key", ""))[:12], None, str(m.get("key", ""))),
            Cell(str(m.get("finished", "–")).replace("T", " ")[:19]),
            Cell(duration(_number(m.get("time_s"))), _number(m.get("time_s"))),
        ]
        for stage, m in artifacts.manifests.items()
    ]
    if not rows:
        return None
    return Table(
        "Stages",
        ["Stage", "Content key", "Finished", "Time"],
        rows,
        "manifests/",
        "key",
        note="The key's first 12 digits.",
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
