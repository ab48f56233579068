"""The report's tables of several scores: separation, gains, agreement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.core.errors import OddjetsError
from oddjets.report.artifacts import Artifacts
from oddjets.report.score_comparison import (
    comparison,
    comparison_notes,
    estimate_text,
    nearest_fraction,
    percent,
    sample_label,
    shown_signals,
)
from oddjets.report.tables import Cell, Table
from oddjets.report.text import label_html

__all__ = ["agreement_table", "comparison_tables", "gain_table", "separation_table", "union_table"]


def comparison_tables(artifacts: Artifacts) -> list[Table]:
    """Return all tables; none of an analysis with one score, or where events or scores are missing."""
    if len(artifacts.analysis.scores) < 2 or not (artifacts.has("events") and artifacts.has("cutflow")):
        return []
    try:
        compared = comparison(artifacts)
    except OddjetsError:
        # the figures say why
        return []
    if compared is None:
        return []
    made = [
        separation_table(artifacts, compared),
        gain_table(artifacts, compared),
        agreement_table(artifacts, compared),
        union_table(artifacts, compared),
    ]
    return [table for table in made if table.rows]


def separation_table(artifacts: Artifacts, compared: Mapping[str, Any]) -> Table:
    """Return area, rejection and significance improvement of each score, by signal."""
    signals, left_out = shown_signals(compared)
    rows = []
    for signal in signals:
        for score, one in compared["separation"][signal].items():
            numbers = [one["area"], *one["rejection"], *one["improvement"]]
            rows.append([_signal(artifacts, signal), _score(artifacts, score), *map(_cell, numbers)])
    fractions = [f"SIC at {percent(fraction)}" for fraction in compared["fractions"]]
    rejections = [f"Rejection at {percent(target)}" for target in compared["targets"]]
    notes = [note[0].upper() + note[1:] + "." for note in comparison_notes(artifacts, compared)]
    if left_out:
        notes.append(f"{left_out} further processes: `oddjets scores`.")
    return Table(
        "Separation by each score",
        ["Signal", "Score", "AUC", *rejections, *fractions],
        rows,
        "figures/sic.json",
        "panels",
        note=" ".join(notes),
    )


def gain_table(artifacts: Artifacts, compared: Mapping[str, Any]) -> Table:
    """Return the ratio of each score's significance improvement to that of the threshold's score."""
    reference = compared["reference"]
    rows = [
        [_signal(artifacts, signal), _score(artifacts, score), *map(_cell, one["gain"])]
        for signal in shown_signals(compared)[0]
        for score, one in compared["separation"][signal].items()
        if score != reference
    ]
    return Table(
        f"Gain over {reference}",
        ["Signal", "Score", *(f"at {percent(fraction)}" for fraction in compared["fractions"])],
        rows,
        "figures/sic.json",
        "panels",
        note="Ratio of the significance improvements in the same events, whose common fluctuations cancel.",
    )


def agreement_table(artifacts: Artifacts, compared: Mapping[str, Any]) -> Table:
    """Return rank correlations and overlaps of each two scores in each sample."""
    signals, _ = shown_signals(compared)
    samples = [name for name in compared["samples"] if name not in compared["signals"] or name in signals]
    chosen = [name for name in samples if compared["samples"][name]["selected"]]
    place = nearest_fraction(artifacts, compared)
    rows = [
        [
            *(_score(artifacts, score) for score in pair["scores"]),
            *(_cell(pair["rank"][sample]) for sample in samples),
            *(_cell(pair["overlap"][sample][place]) for sample in chosen),
        ]
        for pair in compared["pairs"]
    ]
    at = percent(compared["fractions"][place])
    names = {sample: artifacts.naming_data(sample) for sample in samples}
    return Table(
        "Agreement of each two scores",
        ["Score", "and", *(f"Rank, {names[s]}" for s in samples), *(f"Overlap at {at}, {names[s]}" for s in chosen)],
        rows,
        "figures/agreement.json",
        "pairs",
        note="Rank: Spearman's rank correlation.",
    )


def union_table(artifacts: Artifacts, compared: Mapping[str, Any]) -> Table:
    """Return the gain of the union of each two scores over the better of them, by signal."""
    rows = [
        [
            _signal(artifacts, signal),
            *(_score(artifacts, score) for score in pair["scores"]),
            *(_cell(one["gain"]) for one in pair["union"][signal]),
        ]
        for signal in shown_signals(compared)[0]
        for pair in compared["pairs"]
    ]
    return Table(
        "Gain of the union of two scores over the better one",
        ["Signal", "Score", "or", *(f"at {percent(fraction)}" for fraction in compared["fractions"])],
        rows,
        "figures/agreement.json",
        "pairs.*.union",
        note=f"The union keeps this share of {sample_label(artifacts, compared['background'])} as well.",
    )


def _cell(entry: Mapping[str, Any]) -> Cell:
    return Cell(estimate_text(entry), entry["value"])


def _score(artifacts: Artifacts, score: str) -> Cell:
    return Cell(score, title=artifacts.analysis.score_label(score))


def _signal(artifacts: Artifacts, signal: str) -> Cell:
    return Cell(label_html(sample_label(artifacts, signal)))
