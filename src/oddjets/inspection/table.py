"""The table of the oddest events: as JSON can hold it, as text, and as a list for picking them elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from oddjets.core.tables import text_table
from oddjets.inspection.source_files import SourceEvent
from oddjets.inspection.window import RegionEvents
from oddjets.io.event_table import JETS
from oddjets.io.nanoaod_schema import IDENTITY

__all__ = ["OddEvent", "event_rows", "event_text", "oddest", "picked_list"]

#: nothing is known
_NOTHING = "-"
#: columns of a jet in the table -> (key, decimals)
_OF_JET: tuple[tuple[str, str, int], ...] = (
    ("pT", "pt", 0),
    ("eta", "eta", 2),
    ("phi", "phi", 2),
    ("mass", "mass", 1),
    ("tau21", "tau21", 2),
    ("tau32", "tau32", 2),
    ("tau43", "tau43", 2),
    ("b tag", "btag", 2),
)
#: further quantities of a jet in the JSON, where the tables have them
_FURTHER = ("mass_ungroomed", "xbb", "xqq", "xcc", "n_constituents", "flavour")


class OddEvent(NamedTuple):
    """An event by its place: of which dataset, and which of its events there.

    Attributes:
        events: the events of its dataset.
        place: its number among them.
    """

    events: RegionEvents
    place: int


def oddest(found: Sequence[RegionEvents], number: int) -> list[OddEvent]:
    """Return the events with the largest lower scores, the oddest first; ties in the order of run, section and event.

    Args:
        found: events of some datasets.
        number: of events, at most.
    """
    chosen = [
        (float(-lower), tuple(int(events.columns[name][place]) for name in IDENTITY), which, place)
        for which, events in enumerate(found)
        for place, lower in enumerate(events.lower_score)
    ]
    return [OddEvent(found[which], place) for *_, which, place in sorted(chosen)[:number]]


def event_rows(
    events: Sequence[OddEvent],
    sources: Sequence[SourceEvent],
    scores: Sequence[str],
    shares: Sequence[Mapping[str, Sequence[Mapping[str, float] | None]]],
    truth: Sequence[str | None],
) -> list[dict[str, Any]]:
    """Return the rows of the table, as JSON can hold them: NaN and what a dataset lacks are null.

    Args:
        events: the oddest first.
        sources: where each of them is.
        scores: the names of the analysis's scores.
        shares: of each event, score to the shares of the groups of classes of each of its two jets; None: not known.
        truth: the process that each event was simulated as; None: data, or not told.
    """
    return [
        _row(rank, event, source, scores, share, told)
        for rank, (event, source, share, told) in enumerate(zip(events, sources, shares, truth, strict=True), 1)
    ]


def _row(
    rank: int,
    event: OddEvent,
    source: SourceEvent,
    scores: Sequence[str],
    shares: Mapping[str, Sequence[Mapping[str, float] | None]],
    truth: str | None,
) -> dict[str, Any]:
    table, place = event
    columns = {name: values[place] for name, values in table.columns.items()}
    identity = {name: int(columns[name]) for name in IDENTITY}
    return {
        "rank": rank,
        "id": ":".join(map(str, identity.values())),
        **identity,
        "dataset": table.dataset,
        "process": None if table.is_data else table.process,
        "truth": truth,
        "file": source.source.shown or None,
        "entry": source.entry,
        "letter": str(table.letters[place]),
        "value": _number(table.values[place]),
        "weight": _number(columns["weight"]),
        "mjj": _number(columns.get("mjj")),
        "lower_score": _number(table.lower_score[place]),
        "jets": [_jet(columns, j, scores, {name: found[j - 1] for name, found in shares.items()}) for j in JETS],
        "problem": source.problem or None,
    }


def _jet(
    columns: Mapping[str, Any], j: int, scores: Sequence[str], shares: Mapping[str, Mapping[str, float] | None]
) -> dict[str, Any]:
    def value(name: str) -> float | None:
        return _number(columns.get(f"{name}_{j}"))

    found: dict[str, Any] = {name: value(name) for name in ("pt", "eta", "phi", "mass", "btag", *_FURTHER)}
    for upper, lower in ((2, 1), (3, 2), (4, 3)):
        top, bottom = value(f"tau{upper}"), value(f"tau{lower}")
        found[f"tau{upper}{lower}"] = top / bottom if top is not None and bottom else None
    found["scores"] = {name: value(f"score_{name}") for name in scores}
    found["shares"] = {
        name: None if groups is None else {group: _number(share) for group, share in groups.items()}
        for name, groups in shares.items()
    }
    return found


def _number(value: Any) -> float | None:
    """Return a number that JSON can hold; None of what is none."""
    return float(value) if value is not None and math.isfinite(value) else None


def event_text(rows: Sequence[Mapping[str, Any]], score: str) -> str:
    """Return the table as text: two lines an event, one a jet, and below where the events are.

    Args:
        rows: from `event_rows`.
        score: the score that events are sorted by; shares of groups are those behind it.
    """
    scores = list(dict.fromkeys([score, *(name for row in rows for jet in row["jets"] for name in jet["scores"])]))
    groups = list(dict.fromkeys(g for row in rows for jet in row["jets"] for g in (jet["shares"].get(score) or {})))
    told = any(row["process"] or row["truth"] for row in rows)
    head = ["", "run:section:event", *(["process"] if told else []), "mjj", "jet", *(name for name, _, _ in _OF_JET)]
    head += [*scores, *groups]
    lines = []
    for row in rows:
        for j, jet in zip(JETS, row["jets"], strict=True):
            first = j == JETS[0]
            process = [str(row["truth"] or row["process"] or "") if first else ""] if told else []
            lines.append(
                [
                    str(row["rank"]) if first else "",
                    row["id"] if first else "",
                    *process,
                    _written(row["mjj"], 0) if first else "",
                    str(j),
                    *(_written(jet[key], decimals) for _, key, decimals in _OF_JET),
                    *(_score(jet["scores"].get(name)) for name in scores),
                    *(_percent((jet["shares"].get(score) or {}).get(group)) for group in groups),
                ]
            )
    places = [[str(row["rank"]), row["dataset"], row["file"] or _NOTHING, _entry(row["entry"])] for row in rows]
    return f"{text_table(head, lines)}\n\n{text_table(('', 'dataset', 'file', 'entry'), places)}"


def _written(value: float | None, decimals: int) -> str:
    return _NOTHING if value is None else f"{value:.{decimals}f}"


def _score(value: float | None) -> str:
    """Return a score with five digits; near to 1, what is lacking says more: ``1 - 3.2e-07``."""
    if value is None:
        return _NOTHING
    return f"1 - {1 - value:.1e}" if 0.99999 < value < 1 else f"{value:.5f}"


def _percent(value: float | None) -> str:
    return _NOTHING if value is None else f"{100 * value:.1f} %"


def _entry(value: int | None) -> str:
    return _NOTHING if value is None else str(value)


def picked_list(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one line ``run:section:event`` for each event, as ``edmPickEvents.py`` of CMSSW reads them."""
    return "".join(f"{row['id']}\n" for row in rows)
