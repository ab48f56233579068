"""An analysis whose events are inspected: which are asked for, and where they come from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from rich.markup import escape

from oddjets.config.combinations import components_of
from oddjets.config.inspect import Inspect
from oddjets.config.window import Window
from oddjets.config.yaml import describe_errors
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.inspection.source_files import SourceEvent, read_events
from oddjets.inspection.table import OddEvent, oddest
from oddjets.inspection.window import RegionEvents, events_of_region, refuse_blinded
from oddjets.io import event_table
from oddjets.io.event_origins import SourceRange, sources_of
from oddjets.io.event_table import JETS
from oddjets.io.fileset import load_fileset
from oddjets.io.fileset_search import find_fileset
from oddjets.io.histograms import ThresholdResult
from oddjets.io.inspections import FOLDER
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.io.studies import FOLDER as STUDIES
from oddjets.io.studies import PICKS
from oddjets.report.artifacts import Artifacts
from oddjets.scoring.class_groups import formula_of, share_columns
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.selection.normalisation import factors
from oddjets.selection.per_era import at_era
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.records import CHUNKS
from oddjets.workflow.run import RunContext

__all__ = ["InspectedRun", "asked_of", "model_behind"]


def asked_of(run: RunContext, changes: Mapping[str, Any] | None = None) -> Inspect:
    """Return what is to be inspected: the YAML's ``inspect``, with the options of the command line laid over it.

    Args:
        run: the analysis.
        changes: key to value; None: as in the YAML.

    Raises:
        OddjetsError: a value that cannot be, such as a range that does not rise.
    """
    given = {name: value for name, value in (changes or {}).items() if value is not None}
    base = run.analysis.inspect.model_dump() if run.analysis.inspect is not None else {}
    if given.keys() & {"process", "dataset"}:
        # one of them is asked for, and takes the place of the other
        base |= {"process": None, "dataset": None}
    if given.get("observable") not in (None, base.get("observable")):
        # the YAML's are of another one
        base["bins"] = None
    try:
        return Inspect.model_validate(base | given)
    except ValidationError as error:
        # of what concerns several keys, the sentence names them
        lines = [line.removeprefix("(top level): ") for line in describe_errors(error, Inspect)]
        raise OddjetsError("; ".join(f"inspect: {line}" for line in lines)) from None


def model_behind(run: RunContext, score: str) -> tuple[str, ModelCard] | None:
    """Return the first score with a model of constituents that a score is made of, and its card with that score's formula.

    Args:
        run: the analysis.
        score: one of its scores: of a model of constituents or of its class groups, a combination, or of a model of columns of
            jets, which can be the shares or the score of another one.

    Returns:
        The name that the model has among the scores, and the card; None where there is none.
    """
    scores = run.analysis.scores
    cards = {name: load_card(path) for name, path in run.resolved.cards.items() if name in scores}
    waiting, seen = [*components_of(scores, score)], set[str]()
    while waiting:
        name = waiting.pop(0)
        owner = scores[name].of or name
        card = cards.get(owner)
        if isinstance(card, ModelCard):
            return owner, card.model_copy(update={"score": formula_of(scores[name], card)})
        if isinstance(card, ColumnCard) and name not in seen:
            columns = " ".join(column.column for tensor in card.inputs for column in tensor.columns)
            words = {*re.findall(r"\w+", columns)}
            waiting += [
                part for other in scores if words & _columns_of(other, cards) for part in components_of(scores, other)
            ]
        seen.add(name)
    return None


def _columns_of(score: str, cards: Mapping[str, ModelCard | ColumnCard]) -> set[str]:
    """Return the columns of a jet that a score has in event tables: itself, and the shares of its model's class groups."""
    card = cards.get(score)
    shares = share_columns(card, score).values() if isinstance(card, ModelCard) else ()
    return {f"score_{score}", *shares}


class InspectedRun:
    """An analysis whose events are inspected: what is asked for, and the events of the window's region.

    Args:
        run: the analysis and its folder, whose stages `process` and `histogram` are done.
        asked: what is asked for.

    Raises:
        BlindedError: the window has nothing but blinded data.
        OddjetsError: no such region, observable, process or dataset; or results are missing.

    Attributes:
        run: the analysis and its folder.
        asked: what is asked for.
        window: the window.
        folder: where the results of this window are written.
    """

    def __init__(self, run: RunContext, asked: Inspect) -> None:
        self.run, self.asked = run, asked
        self.window = Window.of_analysis(run.analysis, asked)
        self.folder: Path = run.out / FOLDER / self.window.name
        if self.picked is None:
            refuse_blinded(self.window, is_data=self.is_data, hidden=self.hidden)

    @cached_property
    def picked(self) -> dict[tuple[int, ...], int] | None:
        """The events of the list that is asked for: run, section and event to their place; None: a window is asked for.

        Raises:
            InputFileError: there is no such list, or it is none.
        """
        if self.asked.picks is None:
            return None
        of_study = self.asked.picks == "two-sample"
        file = self.run.out / STUDIES / PICKS if of_study else Path(self.asked.picks)
        try:
            lines = file.read_text(encoding="utf-8").split()
            found = {tuple(int(part) for part in line.split(":")): rank for rank, line in enumerate(lines)}
            if any(len(identity) != len(IDENTITY) for identity in found):
                raise ValueError("not run:section:event")
        except OSError:
            hint = "; run `oddjets study two-sample` first" if of_study else ""
            raise InputFileError(f"--picks: {file} cannot be read{hint}") from None
        except ValueError as error:
            raise InputFileError(f"--picks: {file}: has a line that is no run:section:event ({error})") from None
        return found

    @cached_property
    def processed(self) -> dict[str, Any]:
        """What the stage `process` left in its manifest."""
        return self.run.extra("process")

    @cached_property
    def datasets(self) -> list[str]:
        """The datasets of the window's events.

        Raises:
            OddjetsError: there are none.
        """
        known: dict[str, dict[str, Any]] = self.processed["datasets"]
        if (name := self.asked.dataset) is not None:
            if name not in known:
                raise OddjetsError(f"inspect: {self.run.out} has no dataset '{name}'; {nearest(name, known)}")
            return [name]
        simulated = sorted({found["process"] for found in known.values() if not found["is_data"]})
        if (process := self.asked.process) is not None:
            found = [name for name, of in known.items() if not of["is_data"] and of["process"] == process]
            if not found:
                raise OddjetsError(
                    f"inspect: no simulated dataset of the process '{process}'; {nearest(process, simulated)}"
                )
            return found
        data = [name for name, of in known.items() if of["is_data"]]
        if not data:
            raise OddjetsError(
                f"inspect: there is no data in {self.run.out}; look at a simulated process with --process:"
                f" {', '.join(simulated)}"
            )
        return data

    @cached_property
    def model_behind(self) -> tuple[str, ModelCard] | None:
        """The score whose model of constituents is behind the threshold's score, and its card with that score's formula.

        It is the threshold's own; of a score that is made of others, or learnt from the columns of another, theirs, with a
        line that says so. None, likewise, where no such model is.
        """
        name = self.threshold.score
        found = model_behind(self.run, name)
        if found is None:
            console.print(
                escape(
                    f"inspect: the score '{name}' is not the output of a model of constituents in this analysis, and not made"
                    " of one, so what it rests on and shares of class groups are not computed"
                )
            )
        elif found[0] not in (name, self.run.analysis.scores[name].of):
            console.print(
                escape(
                    f"inspect: '{name}' is not the output of a model of constituents; shares of class groups, and what scores"
                    f" rest on, are those of '{found[0]}', which is behind it"
                )
            )
        return found

    @cached_property
    def is_data(self) -> bool:
        """Whether the window's events are data."""
        return bool(self.processed["datasets"][self.datasets[0]]["is_data"])

    @cached_property
    def threshold(self) -> ThresholdResult:
        """What divides events into letters, as the stage `histogram` found it."""
        return ThresholdResult(**self.run.extra("histogram")["threshold"])

    @cached_property
    def hidden(self) -> ThresholdResult | None:
        """The cut on the scores at and above which data are blinded; None: they are not.

        Raises:
            BlindedError: nobody can tell which data are.
        """
        return Artifacts(self.run.analysis, self.run.out).cut_on_data() if self.run.analysis.blind else None

    def of_datasets(self, names: list[str], *, everywhere: bool = False) -> list[RegionEvents]:
        """Return the events of datasets in the window's region: all letters, without blinded data, and all values.

        Args:
            names: of the datasets; those without events are left out.
            everywhere: take all events of the base selection, whatever their region.

        Raises:
            InputFileError: an event table is broken, or has other rows than were written.
            OddjetsError: a cut or the observable reads a column that is not there.
        """
        run = self.run
        made = factors(run.analysis, self.processed, run.luminosities if not self._only_data(names) else 1.0)
        processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
        found = []
        for name in names:
            self._require_rows(name)
            if not event_table.parts(run.event_tables, name):
                continue
            process, is_data, factor, era = made[name]
            events = events_of_region(
                run.analysis,
                at_era(run.analysis, processor, era),
                event_table.stream(run.event_tables, name),
                self.window,
                self.threshold,
                dataset=name,
                process=process,
                is_data=is_data,
                factor=factor,
                hidden=self.hidden,
                everywhere=everywhere,
            )
            found.append(events)
        return found

    def _require_rows(self, name: str) -> None:
        """Refuse an event table of which parts were taken away: fewer events look like any other number of them."""
        expected = self.processed["datasets"][name].get("rows")
        files = event_table.parts(self.run.event_tables, name)
        found = (
            sum(len(table["event"]) for table in event_table.stream(self.run.event_tables, name, ["event"]))
            if files
            else 0
        )
        if expected is not None and found != expected:
            raise InputFileError(
                f"{self.run.event_tables / name}: {found} events, and {expected} were written: files were removed or added;"
                " run `oddjets process --force`"
            )

    def _only_data(self, names: list[str]) -> bool:
        return all(self.processed["datasets"][name]["is_data"] for name in names)

    @cached_property
    def events(self) -> list[RegionEvents]:
        """The events of the window's datasets in its region, as `of_datasets`."""
        return self.of_datasets(self.datasets)

    @cached_property
    def selected(self) -> list[RegionEvents]:
        """The events of the window's datasets in the base selection, whatever their region, as `of_datasets`."""
        return self.of_datasets(self.datasets, everywhere=True)

    @property
    def simulated(self) -> list[RegionEvents]:
        """The events of all simulated datasets in the window's region, as `of_datasets`."""
        return self.of_datasets([name for name, of in self.processed["datasets"].items() if not of["is_data"]])

    @cached_property
    def inside(self) -> list[RegionEvents]:
        """The events in the window, or of the list, dataset by dataset."""
        if self.picked is not None:
            return [
                events.select(np.flatnonzero([i in self.picked for i in _identities(events)]))
                for events in self.selected
            ]
        return [events.inside(self.window) for events in self.events]

    @cached_property
    def oddest(self) -> list[OddEvent]:
        """The oddest events in the window, or the first of the list, as many as the table shows."""
        if self.picked is not None:
            every = [
                (self.picked[identity], which, place)
                for which, events in enumerate(self.inside)
                for place, identity in enumerate(_identities(events))
            ]
            return [OddEvent(self.inside[which], place) for _, which, place in sorted(every)[: self.asked.top]]
        return oddest(self.inside, self.asked.top)

    @cached_property
    def sources(self) -> list[SourceEvent]:
        """The oddest events, as their source files have them."""
        return self.read(self.oddest)

    @cached_property
    def anomalies(self) -> Counter[str]:
        """What was odd in the source files and dealt with, so far (`oddjets.selection.input_anomalies`)."""
        return Counter()

    def read(self, events: Sequence[OddEvent]) -> list[SourceEvent]:
        """Read events again from their source files.

        Args:
            events: some events.

        Returns:
            One entry an event; those that cannot be read say why.
        """
        found: list[SourceEvent | None] = [None] * len(events)
        by_dataset: dict[str, list[int]] = {}
        for number, event in enumerate(events):
            by_dataset.setdefault(event.events.dataset, []).append(number)
        names = [*IDENTITY, *(f"{axis}_{j}" for axis in ("eta", "phi") for j in JETS)]
        for dataset, numbers in by_dataset.items():
            rows = np.array([events[number].events.rows[events[number].place] for number in numbers], np.int64)
            sources = sources_of(
                self.run.event_tables, dataset, rows, self.run.out / CHUNKS, self._files.get(dataset, ())
            )
            columns = {
                name: np.array([events[number].events.columns[name][events[number].place] for number in numbers])
                for name in names
            }
            access = self.run.analysis.execution.access(self.run.analysis.folder)
            read = read_events(sources, columns, access, anomalies=self.anomalies)
            for number, source in zip(numbers, read, strict=True):
                found[number] = source
        return [source for source in found if source is not None]

    def sources_of(self, events: RegionEvents) -> list[SourceRange]:
        """Return which part of which source file each event comes from."""
        return sources_of(
            self.run.event_tables,
            events.dataset,
            events.rows,
            self.run.out / CHUNKS,
            self._files.get(events.dataset, ()),
        )

    @cached_property
    def _files(self) -> dict[str, tuple[str, ...]]:
        """The files of each dataset, as the fileset names them now; none where there is no fileset any more."""
        analysis = self.run.analysis
        if not analysis.reads_root:
            return {}
        try:
            path = self.run.out / "simulation" / "fileset.json"
            if analysis.fileset is not None:
                path = find_fileset(analysis.fileset, analysis.folder)
            return {name: dataset.files for name, dataset in load_fileset(path).items()}
        except OddjetsError:
            # the records of chunks name the files, too
            return {}


def _identities(events: RegionEvents) -> list[tuple[int, ...]]:
    """Return run, section and event of each event."""
    return list(zip(*(events.columns[name].tolist() for name in IDENTITY), strict=True))
