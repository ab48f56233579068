"""The result about the neighbours of a window, in words and as JSON can hold it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from oddjets.core.tables import text_table
from oddjets.inspection.by_run import GroupComparison
from oddjets.inspection.fitted_background import BackgroundSample
from oddjets.inspection.multiplicities import RateByRun
from oddjets.inspection.neighbours import NeighbourComparison

__all__ = [
    "TURNED",
    "comparison_as_dict",
    "comparison_lines",
    "neighbour_text",
    "runs_as_text",
    "said_of_background",
    "said_of_rate",
    "said_of_runs",
]

#: what all events of a region are compared with, to see whether jets are more at some azimuth
TURNED = "the same events, turned about the beam"
#: rows of a table that are printed
SHOWN = 10
#: a part of the fitted yield below this that cannot be represented is not worth a word
_LOST = 0.02


def comparison_as_dict(
    title: str, found: NeighbourComparison, notes: Sequence[str] = (), sample: str = ""
) -> dict[str, Any]:
    """Return a comparison as JSON can hold it.

    Args:
        title: what the window is compared with.
        found: the comparison.
        notes: what else is to be known.
        sample: what is compared; "": the window.
    """
    smallest = found.smallest
    return {
        "title": title,
        "of": sample,
        "notes": list(notes),
        "smallest_corrected_p": None if math.isnan(smallest) else smallest,
        **asdict(found),
    }


def said_of_background(sample: BackgroundSample) -> list[str]:
    """Return what is to be known of a sample of the fitted background, one sentence each.

    Args:
        sample: which.
    """
    parts = ", ".join(f"{sample.fitted[name]:.3g} of {name}" for name in sample.fitted)
    lost = [f"{100 * part:.0f} % of {name}" for name, part in sample.lost.items() if part > _LOST]
    said = [f"fitted: {parts}; {sample.scale:.2g} events stand for each"]
    said += [f"not represented: {', '.join(lost)}"] if lost else []
    return [*said, "yields vary within their errors from permutation to permutation"]


def said_of_runs(groups: Sequence[GroupComparison]) -> list[str]:
    """Return what is to be known of comparisons of runs, one sentence each.

    Args:
        groups: all of them; the one with the smallest p is shown.
    """
    worst = min(groups, key=lambda group: group.found.smallest)
    by_run = ", ".join(f"{runs_as_text(group.first, group.last)}: {group.found.smallest:.2g}" for group in groups)
    n = len(groups)
    shown = f"{runs_as_text(worst.first, worst.last)} is the most different of {n}"
    return [
        f"{shown}; p is corrected for the number of columns and of these {n}",
        f"smallest corrected p of each: {by_run}",
    ]


def said_of_rate(rate: RateByRun | None) -> list[str]:
    """Return how many events are in a square by run, one sentence.

    Args:
        rate: of `oddjets.inspection.by_run.rate_at`; None: there are no runs to compare.
    """
    if rate is None:
        return []
    groups = zip(rate.first, rate.last, rate.found, rate.expected, strict=True)
    by_run = ", ".join(f"{runs_as_text(*ends)}: {found} ({expected:.1f})" for *ends, found, expected in groups)
    chi2 = f"chi2 = {rate.chi2:.1f} for {rate.degrees} degrees of freedom, p = {rate.p:.2g}"
    return [f"events with a jet in the square of most more, by run, and what all events let expect: {by_run}; {chi2}"]


def runs_as_text(first: int, last: int) -> str:
    """Return the name of a group of neighbouring runs.

    Args:
        first: the first of them.
        last: the last one.
    """
    return f"run {first}" if first == last else f"runs {first} to {last}"


def neighbour_text(content: Mapping[str, Any]) -> str:
    """Return the results as text.

    Args:
        content: of ``neighbours.json``.
    """
    lines = []
    for found in content["against"].values():
        lines += [*comparison_lines(found), ""]
    lines += [*_multiplicities(content), ""]
    lines += [f"note: {note}" for note in content["notes"]]
    return "\n".join(lines).rstrip() + "\n"


def comparison_lines(found: Mapping[str, Any]) -> list[str]:
    """Return a comparison as lines of text.

    Args:
        found: from `comparison_as_dict`.
    """
    of = f" of {found['of']}" if found["of"] else ""
    lines = [f"{found['events']} events{of} against {found['reference']} of {found['title']}:"]
    if not found["columns"]:
        return [*lines, "  too few to compare", *(f"  {note}" for note in found["notes"])]
    counted = sum(c["corrected"] is not None for c in found["columns"])
    lines[0] += f" smallest p of {counted} columns, corrected for their number, {found['smallest_corrected_p']:.2g}"
    rows = [
        [
            c["name"],
            "not counted" if c["corrected"] is None else f"{c['corrected']:.2g}",
            f"{c['p']:.2g}",
            _range(c["window"]),
            _range(c["reference"]),
        ]
        for c in found["columns"][:SHOWN]
    ]
    lines.append(text_table(["column", "corrected p", "p", "window: median [16, 84 %]", "the others"], rows))
    for which, words in (("hot", "more"), ("dead", "fewer")):
        if spot := found[which]:
            lines.append(
                f"jets in (eta, phi), most {words}: {spot['found']} where {spot['expected']:.1f} are expected, within"
                f" {spot['size'] / 2:.1g} of eta {spot['eta']:.2f}, phi {spot['phi']:.2f}"
            )
    return [*lines, *_left_out(found["skipped"]), *found["notes"]]


def _left_out(skipped: Mapping[str, str]) -> list[str]:
    """Return which columns were not compared, one line a reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        # the value that all events have is in the JSON
        by_reason.setdefault(reason.partition(":")[0], []).append(name)
    return [f"not compared, {reason}: {', '.join(names)}" for reason, names in by_reason.items()]


def _range(values: Sequence[float] | None) -> str:
    return "" if values is None else f"{values[1]:.3g} [{values[0]:.3g}, {values[2]:.3g}]"


def _multiplicities(content: Mapping[str, Any]) -> list[str]:
    twice = content["duplicates"]
    lines = [
        f"events that are there twice: {len(twice['same_number'])} by their number, {len(twice['same_jets'])} by their jets"
        + (f" (equal {', '.join(twice['compared'])})" if twice["compared"] and not twice["same_jets"] else "")
    ]
    lines += [f"  {' = '.join(group)}" for key in ("same_number", "same_jets") for group in twice[key]]
    for key, words in (("sections", "section"), ("runs", "run")):
        if found := content[key]:
            where = f"{found['run']}" + ("" if found["section"] is None else f":{found['section']}")
            lines.append(
                f"most events of one {words}: {found['found']} of {where}, {found['expected']:.2g} expected;"
                f" p = {found['p']:.2g} for any of {found['groups']}"
            )
    if rate := content["rate"]:
        lines.append(
            f"rate by run, against {rate['against']}: chi2 = {rate['chi2']:.1f} for {rate['degrees']} degrees of freedom,"
            f" p = {rate['p']:.2g}"
        )
    return lines
