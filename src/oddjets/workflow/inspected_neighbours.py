"""The events of an inspected window against its side bands and the fitted background; events that are there twice; rates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.expressions import names_in
from oddjets.inspection.by_run import compare_runs, even_azimuth, rate_at, turned
from oddjets.inspection.compared_columns import column_histogram, compared_columns, defining_columns, derived_columns
from oddjets.inspection.fitted_background import FittedYields, composition_weights, equal_weights, fitted_background
from oddjets.inspection.multiplicities import RateByRun, crowd, duplicates, rate_by_run
from oddjets.inspection.neighbour_text import (
    TURNED,
    comparison_as_dict,
    runs_as_text,
    said_of_background,
    said_of_rate,
    said_of_runs,
)
from oddjets.inspection.neighbours import DEAD, HOT, LEAST_EVENTS, NeighbourComparison, compare
from oddjets.inspection.side_bands import nearest_side_bands, said_of_side_bands
from oddjets.inspection.source_columns import source_columns
from oddjets.inspection.window import RegionEvents
from oddjets.io.histograms import DATA
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.report.artifacts import Artifacts
from oddjets.selection.binned_events import bin_numbers
from oddjets.workflow.inspected_exposures import exposures_by_run
from oddjets.workflow.inspected_run import InspectedRun
from oddjets.workflow.pipeline import stage_of
from oddjets.workflow.stage_states import stage_state

__all__ = ["compare_with_neighbours"]

Columns = dict[str, npt.NDArray[Any]]

#: what knows nothing of what a jet is: when an event was, where its jets are in azimuth, and what else was in the detector
OF_THE_DETECTOR = ("run", "luminosityBlock", "bunch_crossing", "n_vertices", "rho", "phi_1", "phi_2")
#: so many columns are drawn, those that differ most
DRAWN = 4
#: of larger samples so many events are compared by run and azimuth: more take minutes
MOST_SELECTED = 10_000
#: of permutations: the same events give the same p values
_SEED = 1


def compare_with_neighbours(inspected: InspectedRun) -> dict[str, Any]:
    """Compare the events of a window with those beside it and with the fitted background.

    Args:
        inspected: the window.

    Returns:
        What ``neighbours.json`` holds.
    """
    return _Neighbours(inspected).content()


class _Neighbours:
    """The events of a window and those beside it as columns, with those of the source files."""

    def __init__(self, inspected: InspectedRun) -> None:
        self.inspected, self.window, self.asked = inspected, inspected.window, inspected.asked
        self.analysis = inspected.run.analysis
        self.notes: dict[str, None] = {}
        self.unread: dict[tuple[str, str], int] = {}
        self.defining_names = names_in(self.analysis.observables[self.window.observable].expression)
        self.inside, self.values = self.joined([events.inside(self.window) for events in inspected.events])
        beside = [events.beside(self.window) for events in inspected.events]
        self.bands = self.asked.side_bands or nearest_side_bands(self.window, beside)
        self.beside, self.values_beside = self.joined([events.between(*self.bands) for events in beside])

    @property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng(_SEED)

    def joined(self, parts: Sequence[RegionEvents]) -> tuple[Columns, npt.NDArray[np.float64]]:
        """Return the columns that all parts have, with those of source files and what follows from them; and the observable."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return {}, np.empty(0)
        tables = [self._columns(part) for part in parts]
        lacking = [_lacking(table) for table in tables]
        left_out = set()
        for name in sorted(set().union(*tables)):
            missing = [name not in table or name in without for table, without in zip(tables, lacking, strict=True)]
            if any(missing) and not all(missing):
                without = dict.fromkeys(part.dataset for part, is_so in zip(parts, missing, strict=True) if is_so)
                self.notes[f"{name} is not compared: {', '.join(without)} does not have it"] = None
                left_out.add(name)
        common = [name for name in tables[0] if name not in left_out and all(name in table for table in tables)]
        return (
            {name: np.concatenate([table[name] for table in tables]) for name in common},
            np.concatenate([part.values for part in parts]),
        )

    def _columns(self, events: RegionEvents) -> Columns:
        further, problems = source_columns(self.inspected.sources_of(events), {n: events.columns[n] for n in IDENTITY})
        for problem, number in problems.items():
            # the same events are in several samples
            key = (events.dataset, problem)
            self.unread[key] = max(number, self.unread.get(key, 0))
        table = {**further, **events.columns}
        return {**table, **derived_columns(table)}

    def content(self) -> dict[str, Any]:
        """Return all results."""
        against: dict[str, Any] = {}
        if self.window.is_bounded:
            against["side_bands"] = self._against_side_bands()
        else:
            self.notes["without --bins the window has no side bands"] = None
        if self.inspected.is_data:
            against["other_letters"] = self._against_other_letters()
            against |= self._whole_selection()
        background = self._against_background()
        if background is not None:
            against["background"] = background
        return {
            "against": against,
            **self._multiplicities(),
            "notes": [
                *(
                    f"{number} events of {dataset} without columns of their source files: {problem}"
                    for (dataset, problem), number in self.unread.items()
                ),
                *self.notes,
            ],
            "permutations": self.asked.permutations,
        }

    # ---- columns -------------------------------------------------------------------------------------------------------

    def _against_side_bands(self) -> dict[str, Any]:
        inside, beside, rng = self.inside, self.beside, self.rng
        values, values_beside = self.values, self.values_beside
        notes = said_of_side_bands(
            self.window, self.bands, values_beside, self.analysis.observables[self.window.observable].unit
        )
        if not self.inspected.is_data:
            rows, rows_beside = (equal_weights(events.get("weight", ()), rng) for events in (inside, beside))
            inside, beside = _taken(inside, rows), _taken(beside, rows_beside)
            values, values_beside = values[rows], values_beside[rows_beside]
            notes += ["simulated events are taken at random by their weights, so that all have the same"]
        found = self._compare(inside, beside, rng, (values, values_beside))
        return self._as_dict("the side bands", found, inside, beside, notes)

    def _against_other_letters(self) -> dict[str, Any]:
        """Compare with events whose jets are less odd, in what no score knows: a detector's faults know nothing of letters."""
        parts = [events.select(events.letters != self.window.letter) for events in self.inspected.events]
        others, _ = self.joined([part.select(self.window.contains(part.values)) for part in parts])
        rng = self.rng
        found = self._compare(self.inside, others, rng, None, only=OF_THE_DETECTOR)
        notes = [
            "compared in what no score knows: when and where; eta differs if odd jets are more central than others"
        ]
        return self._as_dict("the other letters", found, self.inside, others, notes)

    def _whole_selection(self) -> dict[str, Any]:
        """Compare the azimuths, and the runs, of all selected events: faults are where few events are odd, too."""
        parts, rng = self.inspected.selected, self.rng
        n = sum(len(part) for part in parts)
        if n > MOST_SELECTED:
            kept = np.split(rng.permutation(n) < MOST_SELECTED, np.cumsum([len(part) for part in parts])[:-1])
            parts = [part.select(mask) for part, mask in zip(parts, kept, strict=True)]
            self.notes[f"of {n} selected events {MOST_SELECTED} at random are compared by run and azimuth"] = None
        columns, _ = self.joined(parts)
        if not columns or n < LEAST_EVENTS:
            return {}
        found: dict[str, Any] = {}
        sample = "the base selection" + ("" if self.inspected.hidden is None else " without what is blinded")
        even = even_azimuth(columns, rng, permutations=self.asked.permutations)
        if even is not None:
            rate = None if even.hot is None else rate_at(columns, even.hot, self.asked.permutations, rng)
            found["azimuth"] = self._as_dict(TURNED, even, columns, turned(columns, rng), said_of_rate(rate), sample)
        groups = compare_runs(columns, rng, permutations=self.asked.permutations)
        if groups:
            worst = min(groups, key=lambda group: group.found.smallest)
            inside = np.zeros(len(columns["run"]), np.bool_)
            inside[worst.rows] = True
            own, others = (_taken(columns, np.flatnonzero(mask)) for mask in (inside, ~inside))
            name = f"{runs_as_text(worst.first, worst.last)} in {sample}"
            found["runs"] = self._as_dict("the other runs", worst.found, own, others, said_of_runs(groups), name)
        return found

    def _compare(
        self,
        inside: Columns,
        others: Columns,
        rng: np.random.Generator,
        position: tuple[npt.ArrayLike, npt.ArrayLike] | None,
        only: Collection[str] | None = None,
        weights: npt.NDArray[np.float64] | None = None,
    ) -> NeighbourComparison:
        score = self.inspected.threshold.score
        return compare(
            inside,
            others,
            rng,
            permutations=self.asked.permutations,
            defining=defining_columns({*inside, *others}, self.defining_names, score),
            position=position,
            only=only,
            weights=weights,
        )

    def _against_background(self) -> dict[str, Any] | None:
        reason = self._no_background()
        if reason:
            self.notes[f"not compared with the fitted background: {reason}"] = None
            return None
        fit, data_driven = self.analysis.fit, self.analysis.data_driven
        assert fit is not None
        assert data_driven is not None
        entry = Artifacts(self.analysis, self.inspected.run.out).results["yields"][self.window.region]["A"]
        edges = np.asarray(entry["edges"], np.float64)
        fitted = {name: np.asarray(found["values"]) for name, found in entry["signal_plus_background"].items()}
        signals = {poi.process for poi in fit.pois}
        inner = self.window.inner_bins(self.analysis)

        def yields(process: str) -> npt.NDArray[np.float64]:
            found = np.zeros(len(edges) - 1)
            found[inner] = fitted[process][inner] if process in fitted else 0.0
            return found

        by_letter = {
            letter: self.joined([e.select(e.letters == letter) for e in self.inspected.events]) for letter in "BC"
        }
        of_process: dict[str, list[RegionEvents]] = {}
        for events in self.inspected.simulated:
            if events.process in fitted and events.process not in {*signals, data_driven, DATA}:
                of_process.setdefault(events.process, []).append(events.select(events.letters == "A"))
        simulated = {}
        for process, parts in of_process.items():
            columns, values = self.joined(parts)
            if len(values):
                lacking = _lacking(columns) - _lacking(by_letter["C"][0])
                columns = {name: found for name, found in columns.items() if name not in lacking}
                simulated[process] = (columns, _bins(values, edges), columns["weight"])
                for name in compared_columns(set(by_letter["C"][0]) - set(columns)):
                    self.notes[f"{name} is not compared with the fitted background: {process} does not have it"] = None
        rng = self.rng
        sample = fitted_background(
            (by_letter["C"][0], _bins(by_letter["C"][1], edges)),
            (by_letter["B"][0], _bins(by_letter["B"][1], edges)),
            (data_driven, yields(data_driven)),
            simulated,
            {process: yields(process) for process in simulated},
            rng,
        )
        bins = _bins(self.values, edges)
        rows = np.flatnonzero(np.isin(bins, inner))
        inside = _taken(self.inside, rows)
        # run and section are those of the data, and simulated events have none of their own
        columns = (
            sample.columns
            if not any(sample.events[p] for p in simulated)
            else {name: values for name, values in sample.columns.items() if name not in IDENTITY}
        )
        found_yields = {
            name: FittedYields(fitted[name], np.asarray(of["errors"]), float(of["sum"]["error"]))
            for name, of in entry["signal_plus_background"].items()
            if name in (data_driven, *simulated)
        }
        weights = composition_weights(sample, bins[rows], found_yields, self.asked.permutations, rng)
        found = self._compare(inside, columns, rng, None, weights=weights)
        return self._as_dict("the fitted background", found, inside, columns, said_of_background(sample)) | {
            "sample": {name: getattr(sample, name) for name in ("scale", "events", "fitted", "lost")}
        }

    def _no_background(self) -> str:
        """Return why the window cannot be compared with the fitted background; "" if it can."""
        run, fit = self.inspected.run, self.analysis.fit
        if not self.inspected.is_data:
            return "the window is of simulated events"
        if self.window.letter != "A":
            return "outside of A the fit takes it from the same events"
        if fit is None or self.analysis.data_driven is None:
            return "the analysis has no fit with a data-driven process"
        if self.window.observable != fit.observable or self.window.region not in fit.regions:
            return f"the fit is of {fit.observable} in {', '.join(fit.regions)}"
        if self.window.off_edges(self.analysis):
            return "the ends of the window are no bin edges"
        state, _ = stage_state(run, stage_of(run, "fit"))
        if state != "done" or not Artifacts(self.analysis, run.out).has("results"):
            return "the fit is not done, or out of date; run `oddjets run`"
        entry = Artifacts(self.analysis, run.out).results["yields"].get(self.window.region, {}).get("A", {})
        if "signal_plus_background" not in entry:
            return "the fit has no yields of the region"
        return ""

    def _as_dict(
        self,
        title: str,
        found: NeighbourComparison,
        inside: Columns,
        others: Columns,
        notes: Sequence[str],
        sample: str = "",
    ) -> dict[str, Any]:
        drawn = [c.name for c in found.columns if c.corrected is not None and c.name not in (HOT, DEAD)][:DRAWN]
        return comparison_as_dict(title, found, notes, sample) | {
            "drawn": [column_histogram(name, inside[name], others[name]) for name in drawn],
            "jets": {
                which: [_finite(columns[f"{axis}_{j}"]) for j in (1, 2) for axis in ("eta", "phi")]
                for which, columns in (("window", inside), ("others", others))
                if found.hot is not None
            },
        }

    # ---- events that are there twice, sections and runs ------------------------------------------------------------------

    def _multiplicities(self) -> dict[str, Any]:
        n = len(self.values)
        # all events of the region, whatever their letter, say what is expected of a section
        window_events = [events.inside(self.window) for events in self.inspected.events]
        others = [self._outside(events) for events in self.inspected.events]
        parts = [part for part in (*window_events, *others) if len(part)]
        names = set.intersection(*(set(part.columns) for part in parts)) if parts else set()
        columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in sorted(names)}
        found: dict[str, Any] = {"duplicates": {"same_number": [], "same_jets": [], "compared": []}}
        found |= {"sections": None, "runs": None, "rate": None}
        if not n:
            return found
        twice = duplicates(columns, n)
        found["duplicates"] = {
            "same_number": [self._named(columns, group) for group in twice.same_number],
            "same_jets": [self._named(columns, group) for group in twice.same_jets],
            "compared": list(twice.compared),
        }
        if not self.inspected.is_data:
            self.notes["simulated events have no runs and sections of their own: nothing is said of them"] = None
            return found
        for key, section in (("sections", columns["luminosityBlock"]), ("runs", None)):
            crowded = crowd(columns["run"], section, n, self.asked.permutations, self.rng)
            found[key] = None if crowded is None else asdict(crowded)
        if found["runs"] is None:
            self.notes[
                f"all events have run {columns['run'][0]}: a fault of some runs, and the rate by run, cannot be seen"
                + ("; simulated data have no real runs, and their sections are files" if self._is_simulation else "")
            ] = None
            return found
        against, exposures, problem = exposures_by_run(self.inspected)
        if problem:
            self.notes[problem] = None
        rate = rate_by_run(columns["run"][:n], exposures, self.asked.permutations, self.rng)
        if rate is None:
            self.notes["too few events for a rate by run"] = None
        else:
            found["rate"] = {"against": against, **asdict(rate)}
            self._note_runs(rate)
        return found

    @property
    def _is_simulation(self) -> bool:
        return self.analysis.simulate is not None

    def _outside(self, events: RegionEvents) -> RegionEvents:
        return events.select(~((events.letters == self.window.letter) & self.window.contains(events.values)))

    def _named(self, columns: Columns, rows: Sequence[int]) -> list[str]:
        return [":".join(str(columns[name][row]) for name in IDENTITY) for row in rows]

    def _note_runs(self, rate: RateByRun) -> None:
        if rate.without_exposure:
            self.notes[f"{rate.without_exposure} events are in runs without luminosity, and in no rate"] = None


def _taken(columns: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.intp]) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _lacking(columns: Mapping[str, npt.NDArray[Any]]) -> set[str]:
    """Return which columns have no value at all: event tables have NaN where files lack a branch."""
    return {
        name
        for name, values in columns.items()
        if values.dtype.kind == "f" and len(values) >= LEAST_EVENTS and np.isnan(values).all()
    }


def _bins(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the numbers of bins from 0, -1 and the number of bins outside of them."""
    return np.asarray(bin_numbers(values, edges), np.int64) - 1


def _finite(values: npt.NDArray[Any]) -> list[float | None]:
    return [round(float(v), 3) if np.isfinite(v) else None for v in values]
