"""Inspection of single jets: the oddest ones, rate and mass by period of running, and where in the detector they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from rich.markup import escape

from oddjets.config.inspect import Inspect
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.inspection.by_run import compare_runs, even_azimuth, rate_at
from oddjets.inspection.jet_text import jet_text
from oddjets.inspection.multiplicities import rate_of_counts
from oddjets.inspection.neighbour_text import TURNED, comparison_as_dict, said_of_rate, said_of_runs
from oddjets.inspection.single_jets import JetsByRun, as_events, in_sample
from oddjets.io import event_table
from oddjets.io.inspections import FOLDER, JETS_FOLDER
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.io.studies import jets_made_of
from oddjets.report.artifacts import Artifacts
from oddjets.report.figure_files import write_figure
from oddjets.report.figures import jet_periods
from oddjets.selection.oddest_jets import bins_of, find_oddest
from oddjets.workflow.executors.aspen_worker import DATASET, JETS
from oddjets.workflow.inspected_exposures import luminosity_by_run
from oddjets.workflow.inspected_neighbours import MOST_SELECTED
from oddjets.workflow.inspection import Inspection
from oddjets.workflow.jet_studies import refuse_blinded_jets
from oddjets.workflow.run import RunContext
from oddjets.workflow.study_events import require_current_tables

__all__ = ["inspect_jets"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]

#: of permutations: the same jets give the same p values
_SEED = 1
#: compared by run, and shown of single jets; those that a table has
_COMPARED = ("pt", "eta", "phi", "mass", "tau21")
_SHOWN = (*IDENTITY, "jet", "pt", "eta", "phi", "mass", "tau21")
#: digits of the places in the figure
_DIGITS = 3
#: what has a meaning for events alone
_OF_EVENTS = ("region", "letter", "observable", "process", "dataset", "picks", "side_bands", "truth")


def inspect_jets(run: RunContext, asked: Inspect) -> Inspection:
    """Inspect single jets, and write the results to ``inspection/jets`` in the output folder.

    Args:
        run: of an analysis with the sections ``aspen`` and ``jet_bump``.
        asked: what is asked for: ``efficiency``, ``bins`` (of the soft-drop mass, GeV; that of ``jet_bump`` if not given),
            ``top`` and ``permutations``.

    Returns:
        What was written; its one part is ``jets``.

    Raises:
        BlindedError: the data are blinded.
        OddjetsError: the analysis has no single jets, or they are those of another state of it; or what is asked for has a
            meaning for events alone.
    """
    if run.analysis.jet_bump is None or run.analysis.aspen is None:
        raise OddjetsError(f"inspect: '{run.analysis.name}' has no section 'jet_bump' of files of Aspen Open Jets")
    default = Inspect()
    for name in _OF_EVENTS:
        if getattr(asked, name) != getattr(default, name):
            raise OddjetsError(
                f"inspect: '{name}' is of events, and single jets are inspected: leave it out, or make events ('aspen.events')"
            )
    refuse_blinded_jets(run)
    # before the folder's analysis is replaced by this one
    require_current_tables(run)
    with run.lock():
        jets = _Jets(run, asked)
        folder = run.out / FOLDER / JETS_FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        made = Inspection(folder)
        content = jets.content()
        made.text = jet_text(content)
        made.write_text("jets.txt", made.text)
        picks = "".join(f"{row['run']}:{row['luminosityBlock']}:{row['event']}\n" for row in content["oddest"])
        made.write_text("picks.txt", picks)
        made.write_part("jets", content)
        for data in jet_periods.figures_of(Artifacts(run.analysis, run.out), content).values():
            made.written += write_figure(folder, "jet_periods", data)
        made.remove_others()
        console.print(escape(f"inspect: {folder}"))
    return made


class _Jets:
    """The jets of an analysis: all of them by run, and samples of all and of the odd ones."""

    def __init__(self, run: RunContext, asked: Inspect) -> None:
        self.run, self.asked = run, asked
        bump = run.analysis.jet_bump
        assert bump is not None
        self.bump = bump
        self.score = (bump.scores or (run.analysis.threshold.score,))[0]
        self.efficiency = asked.efficiency or max(bump.efficiencies)
        # as the figure has it: whole bins
        edges, inside = bins_of(bump)
        self.window = asked.bins or (float(edges[:-1][inside].min()), float(edges[1:][inside].max()))
        self.jets = run.extra("process")["jets"]
        self.total = (self.jets["raw"] or [0])[-1]
        if not self.total:
            raise OddjetsError(f"{run.out / JETS}: no jet passes the selection, so there is nothing to inspect")
        tables = event_table.stream(run.out / JETS, DATASET, ["mass", f"score_{self.score}"])
        oddest = find_oddest(tables, [self.score], self.total, self.efficiency)[self.score]
        self.cut, masses = oddest.above(self.efficiency)
        self.odd = len(masses)
        self.by_run = JetsByRun()
        self.top: Columns = {}
        self.all_jets, self.odd_jets = self._read()

    def _read(self) -> tuple[Columns, Columns]:
        """Read all jets once; return samples of all and of the odd ones."""
        column = f"score_{self.score}"
        names = [*_SHOWN, column]
        # of all, and of the odd ones, so many events
        parts: list[list[Columns]] = [[], []]
        for table in event_table.stream(self.run.out / JETS, DATASET, names):
            odd = table[column] >= self.cut
            inside = odd & (table["mass"] >= self.window[0]) & (table["mass"] < self.window[1])
            self.by_run.add(table["run"], table["mass"], odd, inside)
            self._keep_top({name: values[inside] for name, values in table.items()})
            for kept, (mask, number) in zip(
                parts, ((np.ones(len(odd), bool), self.total), (odd, self.odd)), strict=True
            ):
                chosen = mask & in_sample(table, MOST_SELECTED / number)
                kept.append({name: values[chosen] for name, values in table.items()})
        joined = [{name: np.concatenate([part[name] for part in kept]) for name in names} for kept in parts]
        return joined[0], joined[1]

    def _keep_top(self, jets: Columns) -> None:
        column = f"score_{self.score}"
        found = {
            name: np.concatenate([self.top[name], values]) if self.top else values for name, values in jets.items()
        }
        order = np.argsort(-found[column], kind="stable")[: self.asked.top]
        self.top = {name: values[order] for name, values in found.items()}

    @cached_property
    def luminosity(self) -> tuple[dict[int, float] | None, str]:
        """The luminosity of the sections that were read, by run, /pb; and why there is none."""
        read: set[int] = set()
        for part in event_table.parts(self.run.out / JETS, DATASET):
            note = json.loads((pq.read_schema(part, memory_map=False).metadata or {})[b"oddjets"])
            read.update(note["counts"]["sections"])
        return luminosity_by_run(self.run, np.array(sorted(read), np.int64))

    def content(self) -> dict[str, Any]:
        """Return all results, as JSON can hold them."""
        asked, rng = self.asked, np.random.default_rng(_SEED)
        luminosity, problem = self.luminosity
        notes = [problem] if problem else []
        periods = self.by_run.periods(luminosity)
        rates, runs = {}, len(self.by_run.counts())
        if runs < 2:
            notes.append("all jets are of one run: nothing can be said by period")
        elif luminosity is None and not problem:
            notes.append(
                "there is no luminosity by section (selection.luminosity_table), so a rate is per jet of the period, and the"
                " rate of all jets is not tested"
            )
        exposure = self.by_run.counts() if luminosity is None else luminosity
        tested = ("odd", "inside") if luminosity is None else ("jets", "odd", "inside")
        if luminosity is not None:
            notes.append(
                "triggers are prescaled ones too, so that rates may follow the prescales and not the luminosity"
            )
        for which in tested:
            rate = rate_of_counts(self.by_run.counts(which), exposure, asked.permutations, rng)
            if rate is not None:
                rates[which] = asdict(rate)
        if self.total > MOST_SELECTED or self.odd > MOST_SELECTED:
            notes.append(
                f"of more jets, some {MOST_SELECTED} of whole events, at random, are compared by place and run"
            )
        against = self._of_sample("all", self.all_jets, "all jets", rng)
        words = f"the oddest {100 * self.efficiency:g} % of jets"
        against |= self._of_sample("odd", self.odd_jets, words, rng)
        return {
            "analysis": self.run.analysis.name,
            "of": jets_made_of(self.run.out, self.bump),
            "score": self.score,
            "efficiency": self.efficiency,
            "cut": self.cut,
            "window": list(self.window),
            "jets": self.total,
            "odd": self.odd,
            "inside": int(sum(self.by_run.counts("inside").values())),
            "rates_against": "the luminosity of the sections that were read" if luminosity is not None else "all jets",
            "periods": [asdict(period) for period in periods],
            "rates": rates,
            "against": against,
            "oddest": _rows(self.top),
            "places": {"all": _places(self.all_jets, rng), "odd": _places(self.odd_jets, rng)},
            "notes": notes,
        }

    def _of_sample(self, key: str, jets: Columns, words: str, rng: np.random.Generator) -> dict[str, Any]:
        """Compare a sample with itself turned about the beam, and its runs with each other."""
        found: dict[str, Any] = {}
        columns = {name: jets[name] for name in (*IDENTITY, *_COMPARED)}
        columns["score"] = jets[f"score_{self.score}"]
        both = as_events(columns)
        even = even_azimuth(both, rng, permutations=self.asked.permutations) if len(both["run"]) else None
        if even is not None:
            rate = None if even.hot is None else rate_at(both, even.hot, self.asked.permutations, rng)
            found[f"{key}_azimuth"] = comparison_as_dict(TURNED, even, said_of_rate(rate), words)
        # one jet an event: two of one would count as two that know nothing of each other
        groups = compare_runs(as_events(columns, jets=1), rng, permutations=self.asked.permutations)
        if groups:
            worst = min(groups, key=lambda group: group.found.smallest)
            said = said_of_runs(groups)
            found[f"{key}_runs"] = comparison_as_dict("the other runs", worst.found, said, words)
        return found


def _places(jets: Columns, rng: np.random.Generator) -> dict[str, Sequence[float]]:
    """Return eta and phi of jets, at random where they are more than can be drawn."""
    number = len(jets["eta"])
    rows = np.sort(rng.permutation(number)[: jet_periods.MOST_JETS])
    return {axis: np.round(jets[axis][rows].astype(float), _DIGITS).tolist() for axis in ("eta", "phi")}


def _rows(jets: Columns) -> list[dict[str, float | int | None]]:
    lists = [[_plain(value) for value in values] for values in jets.values()]
    return [dict(zip(jets, row, strict=True)) for row in zip(*lists, strict=True)]


def _plain(value: Any) -> float | int | None:
    number = value.item()
    return None if isinstance(number, float) and not np.isfinite(number) else number
