"""The scores of an analysis, compared: how well each separates, and how much they agree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import b_tags_in
from oddjets.core.errors import OddjetsError
from oddjets.core.rounding import rounded
from oddjets.core.tables import Table, Tabular
from oddjets.io.event_table import JETS
from oddjets.io.histograms import DATA
from oddjets.report.artifacts import Artifacts
from oddjets.report.combination_health import read_by_models
from oddjets.report.text import count, with_error
from oddjets.stats.score_tables import ScoredEvents, compare_scores

__all__ = [
    "ScoreComparison",
    "comparison",
    "estimate_text",
    "nearest_fraction",
    "percent",
    "sample_label",
    "score_labels",
]

#: up and down errors of which one is larger by this factor are both shown
_LOPSIDED = 1.25

#: signals that the report shows; the command shows all
MAX_SIGNALS = 6

_made: WeakKeyDictionary[Artifacts, dict[str, Any] | None] = WeakKeyDictionary()


def comparison(artifacts: Artifacts) -> dict[str, Any] | None:
    """Return the scores compared, see `compare_scores`; None if there are no events to find thresholds in.

    The background is the simulation of the data-driven process; without any it is the data, unless these are blinded. All other
    simulated processes are signals, those of the fit's strengths first. Each event has the smaller score of its two jets.

    Args:
        artifacts: with event tables and cutflow.

    Raises:
        OddjetsError: the tables lack a score.
    """
    if artifacts not in _made:
        _made[artifacts] = _compare(artifacts)
    return _made[artifacts]


def _compare(artifacts: Artifacts) -> dict[str, Any] | None:
    analysis = artifacts.analysis
    names = list(analysis.scores)
    table = artifacts.table([f"score_{name}_{j}" for name in names for j in JETS])
    samples = {
        process: ScoredEvents.from_jets(
            columns, names, columns["weight"], selected=process != DATA or not artifacts.blinded
        )
        for process, columns in table.items()
        if columns["weight"].sum() > 0
    }
    background = str(analysis.data_driven)
    if background not in samples:
        background = DATA
    if background not in samples or not samples[background].selected:
        return None
    pois = [poi.process for poi in analysis.fit.pois] if analysis.fit is not None else []
    signals = [name for name in dict.fromkeys([*pois, *analysis.processes]) if name in samples and name != background]
    order = [background, *signals, *([DATA] if DATA in samples and background != DATA else [])]
    return compare_scores({name: samples[name] for name in order}, background, signals, analysis.threshold.score)


def score_labels(analysis: Analysis) -> dict[str, str]:
    """Return what each score is called in figures: its label, or its name where several have the same label."""
    return {name: analysis.score_label(name) for name in analysis.scores}


def sample_label(artifacts: Artifacts, sample: str) -> str:
    """Return what a sample is called in figures."""
    return artifacts.data_name if sample == DATA else str(artifacts.process(sample)["label"])


def shown_signals(compared: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return the signals that figures and the report's tables show, and the number of the others."""
    signals = compared["signals"]
    return signals[:MAX_SIGNALS], max(len(signals) - MAX_SIGNALS, 0)


def percent(fraction: float) -> str:
    """Return a fraction as ``0.5 %``."""
    return f"{100 * fraction:.3g} %"


def nearest_fraction(artifacts: Artifacts, compared: Mapping[str, Any]) -> int:
    """Return the place of the fraction that is next to the analysis's efficiency; of 1 % where that is not known."""
    asked = artifacts.analysis.threshold.efficiency or 0.01
    return int(np.argmin(np.abs(np.log(np.array(compared["fractions"]) / asked))))


def estimate_text(entry: Mapping[str, Any]) -> str:
    """Return an estimate with its error, with both where they differ, or ``too few`` and the number of events."""
    value, down, up = entry["value"], entry["down"], entry["up"]
    if entry["few"]:
        return f"too few ({count(round(entry['events'], 1))})"
    if value is None:
        return "–"
    if down is None or up is None or max(down, up) <= _LOPSIDED * min(down, up) or max(down, up) < 1e-9:
        known = [error for error in (down, up) if error is not None]
        return with_error(value, max(known, default=None))
    # a value at its end, such as an overlap of 0, has no error on that side
    size = min(down, up) if min(down, up) > 1e-9 else max(down, up)
    low, high = (rounded(error, size)[0] if error > 1e-9 else "0" for error in (down, up))
    return f"{rounded(value, size)[0]} +{high} −{low}"


@dataclass(frozen=True, repr=False)
class ScoreComparison(Tabular):
    """The scores of an analysis compared, shown as tables.

    Attributes:
        name: of the analysis.
        numbers: what `compare_scores` returned.
        place: of the fraction at which overlaps are shown.
        notes: what the numbers are.
    """

    name: str
    numbers: Mapping[str, Any]
    place: int
    notes: tuple[str, ...]

    @classmethod
    def from_artifacts(cls, artifacts: Artifacts) -> ScoreComparison:
        """Compare the scores of an analysis.

        Raises:
            OddjetsError: there are no events in which thresholds could be found.
        """
        found = comparison(artifacts)
        if found is None:
            process = artifacts.analysis.data_driven
            hidden = " and the data are blinded" if artifacts.blinded else ""
            raise OddjetsError(
                f"{artifacts.out}: no events to find thresholds in: there is no simulation of a data-driven process"
                f"{f' ({process})' if process else ''}{hidden or ', and there are no data'}; simulate some"
            )
        return cls(
            artifacts.analysis.name, found, nearest_fraction(artifacts, found), comparison_notes(artifacts, found)
        )

    def to_json(self) -> str:
        """Return the numbers and notes as JSON."""
        content = {"analysis": self.name, **self.numbers, "notes": list(self.notes)}
        return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)

    @property
    def _headline(self) -> str:
        return f"{self.name}: scores compared"

    def _tables(self) -> list[Table]:
        found = self.numbers
        fractions = [percent(fraction) for fraction in found["fractions"]]
        rejections = [f"rejection at {percent(target)}" for target in found["targets"]]
        tables: list[Table] = [
            (["signal", "score", "AUC", *rejections, *(f"SIC at {f}" for f in fractions)], list(self._separation()))
        ]
        if found["pairs"]:
            samples = list(found["samples"])
            chosen = [name for name in samples if found["samples"][name]["selected"]]
            reference = found["reference"]
            tables += [
                (["signal", f"gain over {reference}", *(f"at {f}" for f in fractions)], list(self._gains())),
                (["rank correlation of", "and", *samples], list(self._ranks(samples))),
                ([f"overlap at {fractions[self.place]} of", "and", *chosen], list(self._overlaps(chosen))),
                (["signal", "union of", "and", *(f"gain at {f}" for f in fractions)], list(self._unions())),
            ]
        return [(head, rows) for head, rows in tables if rows]

    def _separation(self) -> Iterator[list[str]]:
        for signal, of_scores in self.numbers["separation"].items():
            for score, one in of_scores.items():
                numbers = [one["area"], *one["rejection"], *one["improvement"]]
                yield [signal, score, *map(estimate_text, numbers)]

    def _gains(self) -> Iterator[list[str]]:
        for signal, of_scores in self.numbers["separation"].items():
            for score, one in of_scores.items():
                if score != self.numbers["reference"]:
                    yield [signal, score, *map(estimate_text, one["gain"])]

    def _ranks(self, samples: Sequence[str]) -> Iterator[list[str]]:
        for pair in self.numbers["pairs"]:
            yield [*pair["scores"], *(estimate_text(pair["rank"][sample]) for sample in samples)]

    def _overlaps(self, samples: Sequence[str]) -> Iterator[list[str]]:
        for pair in self.numbers["pairs"]:
            yield [*pair["scores"], *(estimate_text(pair["overlap"][sample][self.place]) for sample in samples)]

    def _unions(self) -> Iterator[list[str]]:
        for signal in self.numbers["signals"]:
            for pair in self.numbers["pairs"]:
                yield [signal, *pair["scores"], *(estimate_text(one["gain"]) for one in pair["union"][signal])]

    def _notes(self) -> list[str]:
        return list(self.notes)


def comparison_notes(artifacts: Artifacts, found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what the numbers are, in sentences."""
    background = found["background"]
    sample = found["samples"][background]
    what = "the data, signal and all" if background == DATA else f"simulated events of {background}"
    effective = (
        "" if round(sample["effective"]) == sample["events"] else f", effectively {count(round(sample['effective']))}"
    )
    events = f"{count(sample['events'])} {artifacts.naming_data(what)}{effective}"
    notes = [f"events after the base selection, with the smaller score of their two jets; background: {events}"]
    notes.append(
        "SIC: efficiency of the signal over the root of that of the background, at thresholds that keep this much of the"
        " background; rejection: background over what passes, at this efficiency of the signal"
    )
    notes.append(
        "errors: 68 % intervals of effective counts, with the uncertainty of the threshold; too few: fewer than 10 effective"
        " events above the threshold"
        + ("" if background == DATA else f"; more simulated events of {background} would make them numbers")
    )
    analysis, read = artifacts.analysis, read_by_models(artifacts)
    if tagged := {name: tags for name in analysis.scores if (tags := b_tags_in(analysis, name, read))}:
        inside = ", ".join(name if tags == (name,) else f"{name} ({', '.join(tags)})" for name, tags in tagged.items())
        notes.append(
            f"b tags, of a tagger or a model's classes of b quarks, are in {inside}: they couple the two jets of an event with"
            " b quarks of one gluon, so that B C / D may predict too little and QCD looks like a signal; the numbers here do"
            " not see that, the closure does"
        )
    if found["pairs"]:
        notes.append(
            "overlap: 2 x both / (first + second) of the selected events; union: events that either selects, at one tail"
            " probability for both such that the union keeps this much of the background; its gain is over the better of both"
        )
    if DATA in found["samples"] and artifacts.blinded:
        notes.append(artifacts.naming_data("the data in A are blinded and left out, so no events of data are selected"))
    tied = [
        f"{score} keeps {percent(one['kept'])} at {percent(one['fraction'])}"
        for score, separated in next(iter(found["separation"].values()), {}).items()
        for one in separated["improvement"]
        if one["kept"] is not None and one["kept"] > 1.1 * one["fraction"] and not one["few"]
    ]
    if tied:
        notes.append(f"many events have the same score, and numbers are for what is kept: {'; '.join(tied)}")
    return tuple(notes)
