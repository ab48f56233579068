"""The events of studies, from an output folder or a bank."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError, nearest
from oddjets.corrections.systematics import NOMINAL, variations_of
from oddjets.io import event_table
from oddjets.io.event_table import JETS, Columns
from oddjets.selection.normalisation import Luminosities, factors, own_factors, total_luminosity
from oddjets.study.bank import Bank, factors_of
from oddjets.study.events import EventArrays, JetClasses, read_events, scores_of_table
from oddjets.study.mixed import mixed_events
from oddjets.study.null import SOURCES
from oddjets.study.rates import LEAST_RATIO, require_bank
from oddjets.workflow.banks import card_of
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.pipeline import stages_up_to
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import stage_states
from oddjets.workflow.study_options import find_bank, require_luminosity

__all__ = ["SharedSource", "StudyEvents", "is_processed", "require_current_tables", "require_shared_source"]

#: what experiments can be drawn from that several searches share
SharedSource = Literal["mixed", "simulation"]


def require_shared_source(source: str) -> None:
    """Refuse a source of experiments that several searches cannot share.

    Raises:
        OddjetsError: an unknown one; those of a single analysis are said to be that.
    """
    known = get_args(SharedSource)
    if source in SOURCES and source not in known:
        raise OddjetsError(
            f"--source {source}: is of one analysis alone (`oddjets study null`), and no events that several choices could"
            f" share; use {' or '.join(known)}"
        )
    if source not in known:
        raise OddjetsError(f"--source: no source '{source}'; {nearest(source, known)}")


class StudyEvents:
    """The events of an analysis, of its folder or of a bank."""

    def __init__(self, run: RunContext, bank: Path | None, luminosity: float | None) -> None:
        require_luminosity(luminosity)
        self.run, self.analysis = run, run.analysis
        self.add: Callable[[Columns], Columns] | None = None
        if not isinstance(self.analysis.era, str):
            raise OddjetsError(
                f"{self.analysis.name}: a study of several eras together does not exist yet: make an analysis of each era, and"
                " study these"
            )
        self.processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
        opened = None if bank is None else Bank.open(find_bank(bank))
        self.bank = opened and opened.with_combinations(self.analysis, run.out / "events")
        if self.bank is not None:
            self.bank.require_fit(self.analysis, card_of(run))
            made, simulate = self.bank.card.get("simulate") or {}, self.analysis.simulate
            if simulate is not None and made.get("seed") == simulate.seed:
                console.print(
                    f"warning: {escape(str(self.bank.file))} was simulated with the seed of '{self.analysis.name}' itself"
                    f" ({simulate.seed}): its experiments repeat the events that are studied; make a bank with another --seed"
                )
        known: Luminosities | None = None if self.bank is not None and not is_processed(run) else run.luminosity_pb
        if known is None and luminosity is None:
            simulate = self.analysis.simulate
            known = self.analysis.luminosity or (simulate.luminosity if simulate is not None else None)
            if known is None:
                raise OddjetsError(f"{self.analysis.name}: no luminosity; give --luminosity, /pb")
        own = None if known is None else total_luminosity(known)
        self.luminosity = float(luminosity if luminosity is not None else own or 0.0)
        #: what the weights of the folder are multiplied by
        self.scale = self.luminosity / own if own else 1.0

    def seen_by(self, analysis: Analysis, add: Callable[[Columns], Columns] | None) -> StudyEvents:
        """Return the same events for another analysis of them, with further columns.

        Args:
            analysis: whose base selection is the same.
            add: event table -> columns that are added to it; None: none.
        """
        other = copy.copy(self)
        other.analysis, other.add = analysis, add
        return other

    def _added(self, tables: Iterable[Columns]) -> Iterator[Columns]:
        for columns in tables:
            yield columns if self.add is None else columns | self.add(columns)

    def of_bank(self, classes: JetClasses | None) -> list[EventArrays]:
        """Return the events of all processes of the bank."""
        assert self.bank is not None
        found = []
        for process in self.analysis.processes:
            made = factors_of(self.analysis, process, self.luminosity)
            tables = self._added(self.bank.tables(process))
            found += read_events(self.analysis, self.processor, tables, process, made, classes=classes)
        return found

    def drawn(
        self, source: SharedSource, seed: int, least_ratio: float = LEAST_RATIO
    ) -> tuple[list[EventArrays], list[EventArrays]]:
        """Return the events of templates, and those that experiments are drawn from, which several searches can share.

        Args:
            source: what the data-driven process is drawn from: pairs of jets of different simulated events, or these events.
            seed: of the pairs.
            least_ratio: how many times an experiment the simulated events have to be, to be drawn from as they are.

        Raises:
            OddjetsError: the simulated events are too few to be drawn from as they are.
        """
        qcd = str(self.analysis.data_driven)
        truth = self.of_folder(None) if self.bank is None else self.of_bank(None)
        # a bank takes the place of the folder's templates too, unless it stands in for the truth of the folder's own data
        folder = self.bank is not None and is_processed(self.run) and self.scale == 1.0
        templates = self.of_folder(None) if folder else truth
        if source == "simulation":
            require_bank(truth, qcd, least_ratio, "mixed")
            return templates, truth
        mixed = mixed_events(self.analysis, self.processor, self.tables_of(qcd), qcd, seed=seed)
        return templates, [*(e for e in truth if e.process != qcd), mixed]

    def tables_of(self, process: str) -> Iterator[Columns]:
        """Yield the nominal events of a process, with normalised weights."""
        if self.bank is not None:
            by = self.luminosity * self.analysis.processes[process].template_scale
            for columns in self._added(self.bank.tables(process)):
                yield columns | {"weight": columns["weight"].astype(np.float64) * by}
            return
        processed, folder = self.run.extra("process"), self.run.event_tables
        normalisation = factors(self.analysis, processed, self.run.luminosity_pb)
        for dataset, (of, is_data, factor, _) in normalisation.items():
            if of == process and not is_data and event_table.parts(folder, dataset):
                for columns in self._added(event_table.stream(folder, dataset)):
                    yield columns | {"weight": columns["weight"] * (factor * self.scale)}

    def of_folder(
        self,
        classes: JetClasses | None,
        *,
        data: bool = False,
        below: float | None = None,
        scale: float | None = None,
        score: str | None = None,
    ) -> list[EventArrays]:
        """Return the simulated events of the folder, or its data as the data-driven process.

        Args:
            classes: the cuts on single jets.
            data: take data.
            below: keep events with both scores below this.
            scale: what weights are multiplied by; None: to the luminosity.
            score: the score of the events; None: that of the threshold.
        """
        processed = self.run.extra("process")
        folder, by_hand = self.run.event_tables, own_factors(self.analysis, processed)
        parts: dict[str, list[EventArrays]] = {}
        rows: dict[str, int] = {}
        for dataset, (process, is_data, factor, _) in factors(self.analysis, processed, self.run.luminosity_pb).items():
            if is_data != data or not event_table.parts(folder, dataset):
                continue
            if not is_data and process not in self.analysis.processes:
                continue
            name = str(self.analysis.data_driven) if is_data else process
            names = [] if name == self.analysis.data_driven else variations_of(self.analysis, process, is_data=is_data)
            by = factor * (self.scale if scale is None else scale)
            made = {v: by * by_hand.get(dataset, {}).get(v, 1.0) for v in (NOMINAL, *(v.name for v in names))}
            tables = _below(self._added(event_table.stream(folder, dataset)), self.analysis.threshold.score, below)
            first = rows.get(name, 0)
            read = None if score is None else scores_of_table(score)
            for events in read_events(
                self.analysis, self.processor, tables, name, made, scores=read, classes=classes, first=first
            ):
                parts.setdefault(f"{name} {events.variations}", []).append(events)
                # two datasets of a process have no row in common
                rows[name] = max(rows.get(name, 0), int(events.rows.max(initial=-1)) + 1)
        return [EventArrays.joined(found) for found in parts.values()]


def _below(tables: Iterator[Columns], score: str, below: float | None) -> Iterator[Columns]:
    for columns in tables:
        if below is None:
            yield columns
            continue
        kept = np.maximum(*(columns[f"score_{score}_{j}"] for j in JETS)) < below
        yield {name: array[kept] for name, array in columns.items()}


def require_current_tables(run: RunContext) -> None:
    """Refuse event tables of another analysis, or of another state of this one; there need not be any.

    Raises:
        OddjetsError: they are out of date, or incomplete; the message says why.
    """
    if not is_processed(run):
        return
    state, why = stage_states(run, stages_up_to(run, "process"))["process"]
    if state != "done":
        raise OddjetsError(
            f"the event tables in {run.out} are not those of '{run.analysis.name}' as it is now ({why or state}); run"
            " `oddjets run` again, or give another folder with --out"
        )


def is_processed(run: RunContext) -> bool:
    """Return whether the folder has event tables."""
    return (run.out / "manifests" / "process.json").is_file()
