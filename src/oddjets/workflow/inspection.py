"""Inspection of the events of a window: the table, the displays, and what else is asked for, in files and in the report."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape

from oddjets.config.inspect import Inspect
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, UnknownKeyError, nearest
from oddjets.core.files import write_json
from oddjets.core.provenance import read_manifest
from oddjets.inspection.displays import DISPLACED, event_display
from oddjets.inspection.neighbour_text import neighbour_text
from oddjets.inspection.shares import shares_of_columns, shares_of_groups
from oddjets.inspection.source_files import SourceEvent, joined_jets
from oddjets.inspection.table import OddEvent, event_rows, event_text, picked_list
from oddjets.io.event_table import JETS
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.report.artifacts import Artifacts
from oddjets.report.figure_files import write_figure
from oddjets.report.figures import display, neighbours
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.scoring.scorer import Scorer
from oddjets.workflow import blinding, inspected_scores
from oddjets.workflow.inspected_neighbours import compare_with_neighbours
from oddjets.workflow.inspected_run import InspectedRun
from oddjets.workflow.pipeline import stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import stage_state

__all__ = ["Inspection", "inspect_events"]

#: a score that is computed again differs more than this only where the constituents are others: providers and versions of
#: libraries change less
_SAME_SCORE = 1e-3
#: of events without constituents, so many are named with the reason
_NAMED = 3
#: written by an inspection: what else is in the folder of a window is of an earlier one
_SUFFIXES = (".json", ".png", ".pdf", ".txt")

#: of an event: score to the shares of the groups of classes of its two jets; None where they are not known
Shares = dict[str, list[dict[str, float] | None]]


class Inspection(Mapping[str, Any]):
    """The results of an inspection: part (``events``, ``displays``, ...) to the content of its JSON file.

    Args:
        folder: the folder of the window.

    Attributes:
        folder: the folder of the window.
        text: the table of the oddest events.
        written: the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.text = ""
        self.written: list[Path] = []
        self._parts: dict[str, Any] = {}

    def __getitem__(self, part: str) -> Any:
        """Return the content of a part.

        Raises:
            UnknownKeyError: there is none, or it was not asked for; the message has the nearest.
        """
        if part not in self._parts:
            raise UnknownKeyError(f"no part '{part}' in this inspection; {nearest(part, self._parts)}")
        return self._parts[part]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"

    def write_text(self, name: str, content: str) -> None:
        """Write a text file of the window's folder."""
        (self.folder / name).write_text(content, encoding="utf-8")
        self.written.append(self.folder / name)

    def write_part(self, name: str, content: dict[str, Any]) -> None:
        """Write the JSON file of a part."""
        write_json(self.folder / f"{name}.json", content)
        self.written.append(self.folder / f"{name}.json")
        self._parts[name] = content

    def remove_others(self) -> None:
        """Remove what an earlier inspection of the window left."""
        for file in self.folder.iterdir():
            if file.suffix in _SUFFIXES and file not in self.written:
                file.unlink()


def inspect_events(run: RunContext, asked: Inspect) -> Inspection:
    """Inspect the events of a window, and write the results to ``inspection/WINDOW`` in the output folder.

    Args:
        run: the analysis and its folder.
        asked: what is asked for.

    Returns:
        What was written.

    Raises:
        BlindedError: the window has nothing but blinded data.
        OddjetsError: a name that does not exist, or results that are missing.
    """
    run.extra("histogram")
    state, why = stage_state(run, stage_of(run, "histogram"))
    if state != "done":
        console.print(
            f"[bold yellow]the histograms are out of date[/bold yellow] ({escape(why)}); `oddjets run` updates them"
        )
    inspected = InspectedRun(run, asked)
    with run.lock():
        if inspected.is_data and not run.analysis.blind:
            # if they were hidden before, this is recorded as unblinding
            blinding.record_state(run.analysis, run.out, unblinds=run.unblinds)
        inspected.folder.mkdir(parents=True, exist_ok=True)
        made = Inspection(inspected.folder)
        for name, part in PARTS.items():
            content = part(inspected, made)
            if content is not None:
                made.write_part(name, _stamp(inspected) | content)
        made.remove_others()
    return made


def _stamp(inspected: InspectedRun) -> dict[str, Any]:
    """Return what every part says: of which window, whose events, and of which results."""
    run, window = inspected.run, inspected.window
    return {
        "analysis": run.analysis.name,
        "window": {
            "name": window.name,
            "text": window.describe(run.analysis),
            "region": window.region,
            "letter": window.letter,
            "observable": window.observable,
            "low": window.low if np.isfinite(window.low) else None,
            "high": window.high if np.isfinite(window.high) else None,
            "of": window.of,
        },
        "shows_data_in_A": inspected.is_data
        and (window.letter == "A" if inspected.picked is None else inspected.hidden is None),
        "histogram_key": (read_manifest(run.out, "histogram") or {}).get("key"),
    }


# ---- the table -----------------------------------------------------------------------------------------------------------


def _events(inspected: InspectedRun, made: Inspection) -> dict[str, Any]:
    """Write the table of the oddest events as text and as a list; return it as JSON can hold it."""
    run, window, inside = inspected.run, inspected.window, inspected.inside
    number, weight = sum(map(len, inside)), float(sum(events.columns["weight"].sum() for events in inside))
    words = window.describe(run.analysis)
    if inspected.picked is not None:
        if lacking := len(inspected.picked) - number:
            console.print(escape(f"inspect: {lacking} events of {words} are not among {window.of}, or are blinded"))
    elif off := window.off_edges(run.analysis):
        edges = ", ".join(f"{edge:g}" for edge in window.edges(run.analysis))
        console.print(
            f"inspect: {', '.join(f'{end:g}' for end in off)} is no edge of the bins of {window.observable} in"
            f" {window.region} ({edges}): events are chosen by their values, and histograms and fits have other counts"
        )
    if not number and inspected.picked is None:
        console.print(escape(f"inspect: no event of {window.of} is in {words}{_where_else(inspected)}"))
    shares = _shares(inspected)
    _warn_of_unread(inspected.sources)
    rows = event_rows(inspected.oddest, inspected.sources, [*run.analysis.scores], shares, _truth(inspected))
    score = inspected.threshold.score
    text = f"{_headline(inspected, number, weight)}\n\n"
    text += event_text(rows, score) + "\n" if rows else ""
    made.text = text
    made.write_text("events.txt", text)
    made.write_text("picks.txt", picked_list(rows))
    return {
        "score": score,
        "threshold": inspected.threshold.value,
        "in_window": {"events": number, "weight": weight},
        "datasets": inspected.datasets,
        "is_data": inspected.is_data,
        # `process` has said them of whole datasets
        "input_anomalies": {name: count for name, count in inspected.anomalies.items() if count},
        "events": rows,
    }


def _headline(inspected: InspectedRun, number: int, weight: float) -> str:
    """Return how many events there are, and how many are shown."""
    words = inspected.window.describe(inspected.run.analysis)
    if inspected.is_data:
        who = f"{number} events of {Artifacts(inspected.run.analysis, inspected.run.out).data_name.lower()}"
    else:
        who = f"{number} simulated events of {inspected.window.of} ({weight:.4g} expected)"
    shown = len(inspected.oddest)
    if inspected.picked is not None:
        return f"{who} in {words}; the first {shown} of them:"
    return f"{who} in {words}" + (
        f"; the {shown} with the highest lower {inspected.threshold.score} of both jets:" if shown else ""
    )


def _where_else(inspected: InspectedRun) -> str:
    """Return where the events of the region and letter are, if any are."""
    window = inspected.window
    others = [events.beside(window).values for events in inspected.events]
    values = np.concatenate([np.empty(0), *others])
    values = values[np.isfinite(values)]
    if not len(values):
        return "; the letter has no other events"
    return f"; the letter has {len(values)} events, from {values.min():.4g} to {values.max():.4g}"


def _warn_of_unread(sources: list[SourceEvent]) -> None:
    """Say which events have no constituents, and why: each reason once."""
    reasons: dict[str, int] = {}
    for source in sources:
        if source.problem:
            reasons[source.problem] = reasons.get(source.problem, 0) + 1
    for reason, count in list(reasons.items())[:_NAMED]:
        console.print(
            f"[bold yellow]{count} event{'s' if count > 1 else ''} without constituents[/bold yellow]: {escape(reason)}"
        )
    if len(reasons) > _NAMED:
        console.print(f"inspect: {len(reasons) - _NAMED} more reasons are in the table's JSON, under 'problem'")


def _shares(inspected: InspectedRun) -> list[Shares]:
    """Return the shares of the groups of classes behind the scores, of each of the oddest events.

    They are computed for these jets alone, from their constituents; where these cannot be read, they are those of the event
    table. A score of class groups of another one's model has that one's, and one that is made of others those behind it.
    """
    found: list[Shares] = [{} for _ in inspected.oddest]
    read = [number for number, source in enumerate(inspected.sources) if source.jets is not None]
    execution = inspected.run.analysis.execution
    for name, path in inspected.run.resolved.cards.items():
        card = load_card(path)
        if not isinstance(card, ModelCard):
            # a model of columns of the jet has no class groups
            continue
        for number, event in enumerate(inspected.oddest):
            found[number][name] = [_stored(event, card, name, j) for j in JETS]
        if not read:
            continue
        jets = joined_jets([jets for number in read if (jets := inspected.sources[number].jets) is not None])
        scores, probabilities = Scorer(card, provider=execution.provider).score_and_probabilities(jets)
        groups = shares_of_groups(card, probabilities)
        for place, number in enumerate(read):
            found[number][name] = [
                {group: float(values[2 * place + j - 1]) for group, values in groups.items()} for j in JETS
            ]
        _compare_scores(inspected, name, read, scores)
    for name, score in inspected.run.analysis.scores.items():
        if score.of is not None:
            for shares in found:
                shares[name] = shares[score.of]
    if found and (model := inspected.model_behind) is not None:
        for shares in found:
            shares.setdefault(inspected.threshold.score, shares[model[0]])
    return found


def _stored(event: OddEvent, card: Any, score: str, j: int) -> dict[str, float] | None:
    table, place = event
    one = {name: values[place : place + 1] for name, values in table.columns.items() if name.startswith("share_")}
    groups = shares_of_columns(card, score, j, one)
    return None if groups is None else {group: float(values[0]) for group, values in groups.items()}


def _compare_scores(inspected: InspectedRun, name: str, read: list[int], scores: Any) -> None:
    """Warn where the constituents that were read again give another score than the one of the event table."""
    stored = np.array([
        [inspected.oddest[number].events.columns[f"score_{name}_{j}"][inspected.oddest[number].place] for j in JETS]
        for number in read
    ], np.float64)  # fmt: skip
    different = np.abs(np.nan_to_num(scores.reshape(-1, 2)) - stored) > _SAME_SCORE
    if different.any():
        console.print(
            f"[bold yellow]{int(different.sum())} of {different.size} scores '{escape(name)}' computed again differ by more"
            f" than {_SAME_SCORE:g} from those of the event table[/bold yellow]: files or model have changed since `oddjets"
            " process`"
        )


def _truth(inspected: InspectedRun) -> list[str | None]:
    """Return the process that each event of pseudo-data was simulated as, where it is asked for and known."""
    unknown: list[str | None] = [None for _ in inspected.oddest]
    if not inspected.asked.truth:
        return unknown
    if not inspected.is_data:
        console.print("truth: these events are not data; they are simulated events of the process that the table names")
        return unknown
    found = [_simulated_as(event, source) for event, source in zip(inspected.oddest, inspected.sources, strict=True)]
    if missing := found.count(None):
        console.print(
            f"truth: not known of {missing} of {len(found)} events: it is in the folder truth/ that a simulation writes beside"
            " the folder of its files"
        )
    return found


def _simulated_as(event: OddEvent, source: SourceEvent) -> str | None:
    """Return what the simulation says of an event: its folders of files have a folder ``truth`` beside them."""
    path = Path(source.source.path)
    file = path.parent.parent / "truth" / f"{path.stem}.npz"
    if not source.source.path or not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as stored:
            same = np.all([stored[name] == event.events.columns[name][event.place] for name in IDENTITY], axis=0)
            return str(stored["process"][same][0]) if same.any() else None
    except (OSError, ValueError, KeyError) as error:
        raise InputFileError(f"{file}: does not say what events were simulated as ({type(error).__name__})") from None


# ---- displays ------------------------------------------------------------------------------------------------------------


def _displays(inspected: InspectedRun, made: Inspection) -> dict[str, Any] | None:
    """Write the pictures of the oddest events; return what they show."""
    if not inspected.asked.displays:
        return None
    drawn = [
        event_display(row, source)
        for row, source in zip(made["events"]["events"], inspected.sources, strict=True)
        if row["rank"] <= inspected.asked.displays and source.fat_jets is not None
    ]
    content = {"score": inspected.threshold.score, "displaced": DISPLACED, "displays": drawn}
    artifacts = Artifacts(inspected.run.analysis, inspected.run.out)
    for one in drawn:
        data = display.figure_data(artifacts, _stamp(inspected) | content, one)
        made.written += write_figure(inspected.folder, "display", data)
    return content


# ---- what other parts make -----------------------------------------------------------------------------------------------


def _neighbours(inspected: InspectedRun, made: Inspection) -> dict[str, Any] | None:
    """Write what is found about the neighbours as text and as pictures; return it as JSON can hold it."""
    if not inspected.asked.neighbours or inspected.picked is not None:
        return None
    content = compare_with_neighbours(inspected)
    # those of the other letters and of all runs, too
    content["shows_data_in_A"] = inspected.is_data and inspected.hidden is None
    text = neighbour_text(content)
    made.text += f"\n{text}"
    made.write_text("neighbours.txt", text)
    artifacts = Artifacts(inspected.run.analysis, inspected.run.out)
    for data in neighbours.figures_of(artifacts, _stamp(inspected) | content).values():
        made.written += write_figure(inspected.folder, "neighbours", data)
    return content


def _why(inspected: InspectedRun, made: Inspection) -> dict[str, Any] | None:
    return inspected_scores.what_scores_rest_on(inspected, made, _stamp(inspected))


def _share_means(inspected: InspectedRun, made: Inspection) -> dict[str, Any] | None:
    if inspected.picked is not None:
        # a list is no window, and has no other letters
        return None
    return inspected_scores.class_share_means(inspected, made, _stamp(inspected))


#: part of an inspection, and its file's name, to what makes it: it writes further files of its own, and returns the
#: content of its JSON file; None where it was not asked for
PARTS: dict[str, Callable[[InspectedRun, Inspection], dict[str, Any] | None]] = {
    "events": _events,
    "displays": _displays,
    "neighbours": _neighbours,
    "why": _why,
    "shares": _share_means,
}
