"""The report's table of the oddest events of a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.report.artifacts import Artifacts
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count

__all__ = ["event_table"]

_NONE = Cell("–")
#: column -> (key of a jet, decimals)
_OF_JETS = (("pT", "pt", 0), ("mass", "mass", 1), ("τ21", "tau21", 2), ("b tag", "btag", 2))


def event_table(artifacts: Artifacts) -> Table | None:
    """Return the oddest events of the window that the YAML asks for; None where they were not inspected."""
    found = artifacts.inspection("events")
    if found is None:
        return None
    score, window = found["score"], found["window"]
    label = artifacts.analysis.score_label(score)
    told = any(row["process"] or row["truth"] for row in found["events"])
    rows = []
    for row in found["events"]:
        cells = [
            Cell(str(row["rank"]), row["rank"]),
            Cell(row["id"], None, _place(row)),
            *([Cell(row["truth"] or row["process"] or "")] if told else []),
            _number(row["mjj"], 0),
        ]
        cells += [_number(jet[key], decimals) for _, key, decimals in _OF_JETS for jet in row["jets"]]
        cells += [_number(jet["scores"].get(score), 5) for jet in row["jets"]]
        cells += [_largest(jet["shares"].get(score)) for jet in row["jets"]]
        rows.append(cells)
    number = found["in_window"]["events"]
    who = f"{count(number)} events" if found["is_data"] else f"{count(number)} simulated events of {window['of']}"
    which = "" if len(rows) == number else f": the {len(rows)} with the highest lower score of their jets"
    return Table(
        caption=f"{window['text']}, {who}{which}" if rows else f"{window['text']}: no event",
        columns=[
            *("", "run:section:event", *(["process"] if told else []), "mjj"),
            *(f"{name} {j}" for name, _, _ in _OF_JETS for j in (1, 2)),
            *(f"{label} {j}" for j in (1, 2)),
            *(f"taken for {j}" for j in (1, 2)),
        ],
        rows=rows,
        file=f"inspection/{window['name']}/events.json",
        key="events",
        note="1 and 2: the leading and the subleading jet; pT and masses in GeV. Taken for: the group of classes with the"
        " largest share of the model's probability. A score is what a model makes of a jet, and no proof of what it is.",
    )


def _number(value: float | None, decimals: int) -> Cell:
    return _NONE if value is None else Cell(f"{value:.{decimals}f}", value)


def _largest(groups: Mapping[str, float | None] | None) -> Cell:
    """Return the group with the largest share; all shares are in the title."""
    known = {group: share for group, share in (groups or {}).items() if share is not None}
    if not known:
        return _NONE
    group = max(known, key=lambda name: known[name])
    shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in known.items())
    return Cell(f"{group} {100 * known[group]:.0f} %", known[group], shares)


def _place(row: Mapping[str, Any]) -> str:
    """Return where an event is, for the title of its cell."""
    if row["problem"]:
        return str(row["problem"])
    return f"{row['dataset']}: entry {row['entry']} of {row['file']}"
