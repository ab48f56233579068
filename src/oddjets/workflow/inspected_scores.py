"""Inspected events and their scores: what these rest on, and the mean shares of class groups; which model, and which jets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from oddjets.core.console import progress
from oddjets.core.worker_pool import available_cores
from oddjets.inspection.constituent_groups import RemovalPlan
from oddjets.inspection.removal import removal_effects
from oddjets.inspection.removal_report import jet_content, removal_content, removal_lines, removal_text
from oddjets.inspection.share_profiles import share_means
from oddjets.inspection.share_report import share_content, share_text
from oddjets.inspection.source_files import joined_jets
from oddjets.inspection.window import RegionEvents
from oddjets.io.event_table import JETS
from oddjets.io.histograms import DATA
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.report.artifacts import Artifacts
from oddjets.report.figure_files import write_figure
from oddjets.report.figures import class_shares, removal
from oddjets.scoring.class_groups import share_columns
from oddjets.scoring.model_card import AuthorsCodeScore
from oddjets.scoring.scorer import Scorer
from oddjets.workflow.inspected_run import InspectedRun

__all__ = ["class_share_means", "what_scores_rest_on"]


class _Files(Protocol):
    """The taker of the files and the words of an inspection."""

    text: str
    written: list[Path]

    def write_text(self, name: str, content: str) -> None:
        """Write a text file of the window's folder."""


def what_scores_rest_on(inspected: InspectedRun, made: _Files, stamp: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write what the scores of the oddest events rest on, as text and as pictures; return it as JSON can hold it.

    Args:
        inspected: its window and events.
        made: takes the files.
        stamp: what every part says, of which window and whose events.
    """
    if not inspected.asked.why:
        return None
    model = inspected.model_behind
    if model is None:
        return None
    name, card = model
    plan = RemovalPlan()
    chosen = list(zip(inspected.oddest, inspected.sources, strict=True))[: inspected.asked.why]
    execution = inspected.run.analysis.execution
    scorer = Scorer(card, provider=execution.provider, threads=min(execution.workers, available_cores()))
    events: list[dict[str, Any]] = []
    for event, source in chosen:
        identity = [int(event.events.columns[name][event.place]) for name in IDENTITY]
        events.append({"id": ":".join(map(str, identity)), "identity": identity, "problem": source.problem, "jets": []})
    read = [number for number, (_, source) in enumerate(chosen) if source.jets is not None]
    # a GPU is given all at once; without one, the bar moves on after each event
    steps = [read] if scorer.provider_used == "cuda" else [[number] for number in read]
    with progress("what scores rest on (jets)", len(read) * len(JETS)) as bar:
        for numbers in (step for step in steps if step):
            jets = joined_jets([jets for number in numbers if (jets := chosen[number][1].jets) is not None])
            identities = [[*events[number]["identity"], jet] for number in numbers for jet in JETS]
            effects = removal_effects(jets, scorer, identities, plan, bar.advance)
            for place, number in enumerate(numbers):
                pair = effects[len(JETS) * place : len(JETS) * (place + 1)]
                events[number]["jets"] = [jet_content(jet, found) for jet, found in zip(JETS, pair, strict=True)]
    content = removal_content(events, card, name, plan)
    made.write_text("why.txt", removal_text(content))
    if events:
        said = ["What the scores rest on (a description, not a proof; details in why.txt):", *removal_lines(content)]
        made.text += "\n" + "\n".join(said) + "\n"
    artifacts = Artifacts(inspected.run.analysis, inspected.run.out)
    stamped = {**stamp, **content}
    for number in range(len(events)):
        if (data := removal.figure_data(artifacts, stamped, number)) is not None:
            made.written += write_figure(inspected.folder, "why", data)
    return content


def class_share_means(inspected: InspectedRun, made: _Files, stamp: Mapping[str, Any]) -> dict[str, Any] | None:
    """Write the mean shares of class groups, as text and as a picture; return them as JSON can hold them.

    Args:
        inspected: its window and events.
        made: takes the files.
        stamp: what every part says, of which window and whose events.

    Raises:
        OddjetsError: event tables of an earlier version, without shares.
    """
    if not inspected.asked.shares:
        return None
    model = inspected.model_behind
    if model is None:
        return None
    name, card = model
    run, window = inspected.run, inspected.window
    own = DATA if inspected.is_data else inspected.events[0].process if inspected.events else window.of
    samples: dict[str, list[RegionEvents]] = {own: list(inspected.events)}
    for events in inspected.simulated:
        if inspected.is_data or events.process != own:
            samples.setdefault(events.process, []).append(events)
    edges = _mass_edges(inspected, samples.values())
    unit = run.analysis.observables[window.observable].unit
    means = share_means(samples, window, share_columns(card, name), edges, unit, blinded=inspected.hidden is not None)
    signal = [] if isinstance(card.score, AuthorsCodeScore) else card.score.signal
    content = share_content(
        means, sample=own, letter=window.letter, score=inspected.threshold.score, model=card.name, edges=edges,
        signal=signal,
    )  # fmt: skip
    # the other letters, too
    content["shows_data_in_A"] = inspected.is_data and inspected.hidden is None
    made.write_text("shares.txt", share_text(content, window.describe(run.analysis)))
    artifacts = Artifacts(run.analysis, run.out)
    if (data := class_shares.figure_data(artifacts, {**stamp, **content})) is not None:
        made.written += write_figure(inspected.folder, "class_shares", data)
    return content


def _mass_edges(inspected: InspectedRun, samples: Iterable[list[RegionEvents]]) -> list[float]:
    """Return the bins of the jets' masses: those of an observable that is one in this region, else twelve that hold all."""
    analysis = inspected.run.analysis
    asked = (inspected.window.observable, *analysis.observables)
    for name in dict.fromkeys(asked):
        if analysis.observables[name].expression.strip() in {f"mass_{j}" for j in JETS}:
            return [float(edge) for edge in analysis.binning(name, inspected.window.region)]
    masses = [events.columns[f"mass_{j}"] for of in samples for events in of for j in JETS if len(events)]
    found = np.concatenate([np.zeros(1), *masses])
    return [float(edge) for edge in np.linspace(0.0, max(float(found[np.isfinite(found)].max()), 1.0), 13)]
