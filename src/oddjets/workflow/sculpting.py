"""The study of sculpting: whether the threshold's score changes the observable of QCD, region by region."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import write_json
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.studies import FOLDER, SCULPTING, made_of
from oddjets.stats.closure_bins import smooth_closure
from oddjets.study.events import EventArrays, Patterns
from oddjets.study.mixed import mixed_events
from oddjets.study.null import tested
from oddjets.study.sculpting import (
    EFFICIENCIES,
    correlation_of_scores,
    divergence_of,
    sculpting_lines,
    spurious_signal,
    thresholds_for,
)
from oddjets.study.thresholds import ThresholdGrid, letter_sums
from oddjets.workflow.run import RunContext
from oddjets.workflow.study_events import StudyEvents, is_processed, require_current_tables

__all__ = ["SculptingOptions", "study_sculpting"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SculptingOptions:
    """The options of a study of sculpting.

    Attributes:
        seed: of random divisions and of pairs.
        bank: a file of `make_bank`; None: the events of the folder.
        luminosity: of the experiment whose errors the spurious signal is compared with, /pb; None: the analysis's.
    """

    seed: int = 1
    bank: Path | None = None
    luminosity: float | None = None


def study_sculpting(run: RunContext, options: SculptingOptions) -> dict[str, Any]:
    """Study an analysis, and write ``study/sculpting.json``.

    Simulation alone is looked at, so that blinded data stay so.

    Args:
        run: the analysis and its folder.
        options: what is asked.

    Returns:
        What was written.

    Raises:
        OddjetsError: no fit, no event tables, or no events of the data-driven process.
    """
    _, signal, strengths = tested(run.analysis)
    if options.bank is None and not is_processed(run):
        raise InputFileError(f"{run.out}: there are no event tables; run the analysis first, or give a --bank")
    require_current_tables(run)
    with run.lock():
        return _study(run, options, signal, strengths)


def _study(run: RunContext, options: SculptingOptions, signal: str, strengths: Mapping[str, float]) -> dict[str, Any]:
    events = StudyEvents(run, options.bank, options.luminosity)
    qcd = str(run.analysis.data_driven)
    known = [
        e for e in (events.of_folder(None) if options.bank is None else events.of_bank(None)) if NOMINAL in e.variations
    ]
    own = [e for e in known if e.process == qcd]
    if not own or not own[0].nominal.sum() > 0:
        raise OddjetsError(f"there are no simulated events of '{qcd}', whose mass a score could sculpt; use a --bank")
    (simulated,) = own
    weights = np.maximum(simulated.nominal, 0.0)
    thresholds = thresholds_for(simulated.scores.min(axis=0), weights)
    # as the grid has them: ascending, each once
    values = np.unique(thresholds)
    grid = ThresholdGrid(values, run.analysis.threshold.strict, None)
    patterns = Patterns.from_analysis(run.analysis)
    mixed = mixed_events(run.analysis, events.processor, events.tables_of(qcd), qcd, seed=options.seed)
    backgrounds = [(e, strengths.get(e.process, 1.0)) for e in known if e.process not in (qcd, signal)]
    sums = {
        "simulation": letter_sums(simulated, patterns, grid)[NOMINAL],
        "mixed": letter_sums(mixed, patterns, grid)[NOMINAL],
    }
    # the pairs' weights do not know that they share jets: their statistical error is that of the events
    sums["mixed"] = np.stack([sums["mixed"][:, 0], sums["simulation"][:, 1]], axis=1)
    working = ThresholdGrid(np.array([_threshold(run, simulated, weights)]), run.analysis.threshold.strict, None)
    closure = letter_sums(simulated, patterns, working)[NOMINAL][0]
    others = np.zeros((len(grid), patterns.cells))
    for e, strength in backgrounds:
        others += strength * letter_sums(e, patterns, grid)[NOMINAL][:, 0, 0]
    regions: dict[str, Any] = {}
    for region, start in patterns.starts.items():
        edges = patterns.edges[region]
        here = slice(start, start + len(edges) - 1)
        rows = _of_region(simulated, patterns, region)
        regions[region] = {
            "correlation": correlation_of_scores(simulated, rows >= 0, seed=options.seed),
            "closure": smooth_closure(closure[0][:, here], closure[1][:, here], edges)
            | {"threshold": float(working.values[0])},
            "efficiencies": [
                {
                    "efficiency": efficiency,
                    "threshold": float(threshold),
                    "divergence": divergence_of(
                        np.asarray(rows[rows >= 0] + 0.5, np.float64),
                        simulated.scores.min(axis=0)[rows >= 0] >= threshold,
                        weights[rows >= 0],
                        np.arange(len(edges), dtype=np.float64),
                        seed=options.seed,
                    ),
                    **{
                        f"spurious_{source}": spurious_signal(
                            found[place, 0][:, here], found[place, 1][:, here], edges, others[place, here]
                        )
                        for source, found in sums.items()
                    },
                }
                for efficiency, threshold in zip(EFFICIENCIES, thresholds, strict=True)
                for place in [int(np.searchsorted(values, threshold))]
            ],
        }
    found = {
        "analysis": run.analysis.name,
        "of": made_of(run.out, SCULPTING),
        "score": run.analysis.threshold.score,
        "observable": run.analysis.fit.observable if run.analysis.fit is not None else None,
        "process": qcd,
        "luminosity_pb": events.luminosity,
        "seed": options.seed,
        "bank": None if options.bank is None else options.bank.name,
        "regions": regions,
    }
    file = run.out / FOLDER / SCULPTING
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, found)
    sculpting_lines(found, lambda line: console.print(escape(line)))
    console.print(escape(f"study: {file}"))
    return found


def _threshold(run: RunContext, simulated: EventArrays, weights: Floats) -> float:
    """Return the threshold of the analysis: that of its histograms, or where there are none, of the simulated events."""
    asked, file = run.analysis.threshold, run.out / "threshold.json"
    if asked.value is not None:
        return float(asked.value)
    if file.is_file():
        return float(json.loads(file.read_text(encoding="utf-8"))["value"])
    return float(thresholds_for(simulated.scores.min(axis=0), weights, (float(asked.efficiency or 0.0),))[0])


def _of_region(events: EventArrays, patterns: Patterns, region: str) -> npt.NDArray[np.int64]:
    """Return the bin of a region that each event is in, -1 for none, (n,)."""
    start, bins = patterns.starts[region], len(patterns.edges[region]) - 1
    codes, place = np.unique(events.codes, return_inverse=True)
    cells = patterns.cells_of(codes)[start : start + bins]
    return np.where(cells.any(axis=0), cells.argmax(axis=0), -1)[place.ravel()]
