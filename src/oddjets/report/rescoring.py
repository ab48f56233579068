"""The page of a rescored signal: one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oddjets import __version__
from oddjets.config.analysis import Analysis
from oddjets.report.artifacts import Artifacts
from oddjets.report.figure_files import write_figures
from oddjets.report.html import EmbeddedFigure, embed, page_template
from oddjets.report.registry import KINDS
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, label_html

__all__ = ["write_page"]

PAGE = "rescoring.html"
#: section: its title and kinds of figure
SECTIONS = {
    "limit": ("The limit", ("signal_limit",)),
    "acceptance": ("Acceptance times efficiency", ("acceptance", "signal_score")),
    "templates": ("Templates", ("signal_templates",)),
}
#: what is said of the analysis's own signal
FATES = {
    "background": "The analysis's own signal, {}, is a background at its stated cross section.",
    "removed": "The analysis's own signal, {}, is not in the model.",
    "free": "The analysis's own signal, {}, has a free strength.",
}


def write_page(analysis: Analysis, out: Path) -> Path:
    """Write ``out/rescoring.html`` with its figures, from ``rescoring.json``.

    Args:
        analysis: that the signal went through.
        out: the folder of the rescoring.

    Returns:
        The file.
    """
    artifacts = Artifacts(analysis, out)
    found = artifacts.json("rescoring.json", "signal", "acceptance", "limit", "contamination")
    chosen = [
        (KINDS[name], data)
        for _, kinds in SECTIONS.values()
        for name in kinds
        if all(artifacts.has(need) for need in KINDS[name].needs)
        for data in KINDS[name].data(artifacts).values()
    ]
    written = write_figures(out / "figures", chosen, reuse=True)
    figures: dict[str, list[EmbeddedFigure]] = {}
    for (kind, data), files in zip(chosen, written, strict=True):
        figures.setdefault(kind.name, []).append(embed(kind, data, files[1]))
    tables = {
        "limit": [_contamination(found)],
        "acceptance": [_cuts(found), _regions(found)],
        "templates": [_systematics(found)],
    }
    sections = [
        {
            "name": name,
            "title": title,
            "figures": [f for kind in kinds for f in figures.get(kind, ())],
            "tables": [t for t in tables[name] if t.rows],
        }
        for name, (title, kinds) in SECTIONS.items()
    ]
    page = page_template("rescoring.html.j2").render(
        title=label_html(analysis.title),
        header=artifacts.header,
        forced=found["forced"],
        headline=_headline(found),
        numbers=_numbers(found),
        sentences=_sentences(found),
        notes=_notes(found),
        warnings=[*found.get("fit_warnings", ()), *((found["limit"] or {}).get("notes", ()))],
        sections=[section for section in sections if section["figures"] or section["tables"]],
        files=[name for name in ("results.json", "workspace.json", "cutflow.json") if (out / name).is_file()],
        version=__version__,
    )
    file = out / PAGE
    file.write_text(page, encoding="utf-8")
    return file


def _pb(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g} pb"


def _headline(found: Mapping[str, Any]) -> str:
    limit, label = found["limit"], found["signal"]["label"]
    if limit is None:
        return f"There is no limit on {label}: {found['no_limit']}."
    level = f"{100 * limit['level']:g} %"
    if found["blinded"]:
        expected = _pb(limit["expected_pb"][2])
        return f"Expected at {level} confidence level: less than {expected} of {label}. The data are blinded."
    if limit["observed_pb"] is None:
        return f"At {level} confidence level there is no observed limit on {label}; the warnings say why."
    return f"At {level} confidence level there is less than {_pb(limit['observed_pb'])} of {label}."


def _numbers(found: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return name, value, note and key of the numbers on the first screen."""
    numbers = []
    if (limit := found["limit"]) is not None:
        seen = "blinded" if found["blinded"] else _pb(limit["observed_pb"])
        numbers.append(("Observed limit", seen, "on the cross section", "limit.observed_pb"))
        low, middle, high = (limit["expected_pb"][i] for i in (1, 2, 3))
        band = "" if low is None or high is None else f"68 %: {low:.3g} to {high:.3g} pb"
        numbers.append(("Expected limit", _pb(middle), band, "limit.expected_pb"))
    last = found["acceptance"]["cuts"][-1]
    numbers.append(("Base selection", _share(last), f"{count(last['events'])} events", "acceptance.cuts"))
    numbers.append(
        (
            "Stated cross section",
            _pb(found["signal"]["cross_section_pb"]),
            f"from {found['signal']['cross_section_from']}",
            "signal.cross_section_pb",
        )
    )
    return numbers


def _share(row: Mapping[str, Any]) -> str:
    """Return a share in percent with its interval."""
    value = 100 * row["value"]
    if row["down"] is None:
        return f"{value:.3g} %"
    down, up = (100 * row[key] for key in ("down", "up"))
    return f"{value:.3g} +{up:.2g} −{down:.2g} %"


def _sentences(found: Mapping[str, Any]) -> list[str]:
    threshold, own = found["threshold"], found["own_signal"]
    signal = found["signal"]
    said = [
        (
            f"Events: {signal['kind']}. The same cuts, model card and recorded threshold ({threshold['score']} at"
            f" {threshold['value']:.5g}) as in {found['analysis']}, {found['luminosity_pb']:g} /pb."
        ),
        FATES[own["kept"]].format(own["process"]),
    ]
    if found["score"]["background"] is None:
        said.append(
            "The score is shown without the published background and data: figures/score.json was not in the analysis's folder."
        )
    if share := found["acceptance"]["negative_share"]:
        said.append(f"{100 * share:.3g} % of the generated events have negative weights.")
    return said


def _notes(found: Mapping[str, Any]) -> list[str]:
    notes = [f"{text[:1].upper()}{text[1:]}." for text in (*found["signal"]["notes"], *found["warnings"])]
    changed = found["template_changes"]
    if negative := changed.get("negative"):
        notes.append(f"{len(negative)} bins of templates were negative and are set to 0.")
    return notes


def _cuts(found: Mapping[str, Any]) -> Table:
    rows = [
        [
            Cell(row["cut"].replace("_", " ")),
            Cell(count(row["events"]), row["events"]),
            Cell(_share(row), row["value"]),
        ]
        for row in found["acceptance"]["cuts"]
    ]
    generated = found["acceptance"]["generated"]
    note = (
        f"Shares of the weights of all {count(generated)} generated events, with Clopper-Pearson 68 % intervals for"
        f" {found['acceptance']['effective_events']:.4g} effective events. The first row is what the files hold."
    )
    return Table(
        "After each cut",
        ["Cut", "Events", "Acceptance × efficiency"],
        rows,
        "rescoring.json",
        "acceptance.cuts",
        note=note,
    )


def _regions(found: Mapping[str, Any]) -> Table:
    rows = []
    for region, of_region in found["acceptance"]["regions"].items():
        rows.append([Cell(region), *(Cell(_share(of_region[x]), of_region[x]["value"]) for x in ("all", *"ABCD"))])
    return Table(
        "In each region",
        ["Region", "All", *"ABCD"],
        rows,
        "rescoring.json",
        "acceptance.regions",
        note="With all weights of the nominal templates, inside and outside of the range of the fitted observable.",
    )


def _systematics(found: Mapping[str, Any]) -> Table:
    """Return the systematics: how they move the template in A, or why they are absent."""
    rows = []
    in_a = {name: t for name, t in found["templates"].items() if name.endswith("_A")}
    for name in found["systematics"]["present"]:
        moved = []
        for channel, template in in_a.items():
            total = sum(template["nominal"])
            if name in template["variations"] and total > 0:
                up, down = (100 * (sum(template["variations"][name][key]) / total - 1) for key in ("up", "down"))
                moved.append(f"{channel}: {up:+.2g} / {down:+.2g} %")
            elif name in template["scales"]:
                up, down = (100 * (value - 1) for value in template["scales"][name])
                moved.append(f"{channel}: {up:+.2g} / {down:+.2g} %")
        rows.append([Cell(name), Cell("; ".join(moved).replace("-", "−") or "no events in A")])
    rows += [[Cell(name), Cell(f"not there: {why}")] for name, why in found["systematics"]["absent"].items()]
    return Table(
        "Systematic uncertainties of the templates",
        ["Systematic", "Change of the events in A, up / down"],
        rows,
        "rescoring.json",
        "systematics",
        note="Statistical errors of the sample and the luminosity's uncertainty come on top.",
    )


def _contamination(found: Mapping[str, Any]) -> Table:
    names = {"stated": "stated cross section", "expected": "expected limit", "observed": "observed limit"}
    rows = []
    for key, of_regions in found["contamination"].items():
        for region, taken in of_regions.items():
            share, change = taken["share_of_signal"], taken["relative_change"]
            rows.append(
                [
                    Cell(f"{region}, {names[key]}"),
                    *(Cell(f"{taken['signal'][x]:.3g}", taken["signal"][x]) for x in "ABCD"),
                    Cell(f"{taken['estimate_without']:.4g} → {taken['estimate']:.4g}", taken["estimate"]),
                    Cell("–" if change is None else f"{100 * change:+.3g} %", change),
                    Cell("–" if share is None else f"{100 * share:.3g} %", share),
                ]
            )
    return Table(
        "Signal that ABCD would take for background",
        ["Region", *(f"Signal in {x}" for x in "ABCD"), "B C / D", "Change", "Share of signal in A"],
        rows,
        "rescoring.json",
        "contamination",
        note=(
            "B C / D of data minus other simulation, without this signal in B, C and D and with it, if it were in the data and"
            " not in the model. The fit has the signal in all letters, so that its limit does not suffer from this."
        ),
    )
