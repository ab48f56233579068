"""The samples of a two-sample test: data, their own pairs with known processes, simulation, or the events of another file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial import cKDTree

from oddjets.core.console import console
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError, nearest
from oddjets.core.expressions import evaluate, names_in
from oddjets.inspection.compared_columns import derived_columns
from oddjets.io import event_table
from oddjets.io.event_table import JETS, Columns
from oddjets.io.histograms import ThresholdResult
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.learning.folds import event_hash
from oddjets.report.artifacts import Artifacts
from oddjets.selection import regions
from oddjets.selection.mixing import pair_jets, select_nominal
from oddjets.study.own_pairs import Known, OwnPairs, blocks_of
from oddjets.study.two_sample import LEAST_EVENTS
from oddjets.workflow.run import RunContext
from oddjets.workflow.study_events import StudyEvents

__all__ = [
    "DATASET",
    "PairedColumns",
    "Samples",
    "alike_columns",
    "columns_of",
    "common_events",
    "refuse_all_blinded",
]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: the column that says of which dataset an event is, by its number
DATASET = "dataset_number"
#: simulated events of equal weight that are drawn at most, for each event of data
_MOST_SIMULATED = 10


def columns_of(columns: Columns, expressions: Sequence[str], whose: str, option: str = "--column") -> Floats:
    """Return the values of expressions, (n, expressions).

    Args:
        columns: name to array.
        expressions: over columns, and over those that follow from them, such as ``tau32_1``.
        whose: the events, in words.
        option: by which they were asked for, for the message.

    Raises:
        OddjetsError: a column is not there; the message has the nearest.
    """
    known = columns | derived_columns(columns)
    for expression in expressions:
        if lacking := sorted(names_in(expression) - known.keys()):
            plain = [name for name in known if "__" not in name]
            raise OddjetsError(
                f"{option} {expression}: {whose} have no column '{lacking[0]}'; {nearest(lacking[0], plain)}"
            )
    number = len(columns["weight"])
    found = [np.broadcast_to(np.asarray(evaluate(e, known), np.float64), (number,)) for e in expressions]
    return np.stack(found, axis=1) if found else np.empty((number, 0))


@dataclass(frozen=True)
class PairedColumns:
    """Data and the pairs of their jets, with known processes behind them.

    Attributes:
        pairs: which they are.
        columns: of the rows of the pool.
        swapped: of the pairs, the part whose subleading jet has the higher pT, so that it leads.
        failing: of the pairs, the part that does not pass the base selection.
    """

    pairs: OwnPairs
    columns: Columns
    swapped: float
    failing: float


class Samples:
    """The events of a two-sample test.

    Args:
        run: the analysis and its folder.
        events: its simulated events, from the folder or a bank.
        expressions: what is compared; an event without a number for one of them is left out, and counted.
        most: events of data, at most.
        seed: of random choices.

    Attributes:
        left_out: what was left out, in words, to its number.
        hidden: the cut on the scores below which both jets must be, where data are blinded; None: they are not.
    """

    def __init__(self, run: RunContext, events: StudyEvents, expressions: Sequence[str], most: int, seed: int) -> None:
        self.run, self.events, self.expressions = run, events, expressions
        self._most, self._seed = most, seed
        self.left_out: dict[str, int] = {}
        self.hidden: ThresholdResult | None = (
            Artifacts(run.analysis, run.out).cut_on_data() if run.analysis.blind else None
        )
        #: of the data that could be taken, the part that is
        self.part = 1.0
        self.datasets: list[str] = []

    def data(self) -> Columns:
        """Return the data that are tested, in the order of their datasets.

        Raises:
            OddjetsError: there are none, or too few.
        """
        known = self.run.extra("process")["datasets"]
        self.datasets = [name for name, found in known.items() if found["is_data"]]
        if not self.datasets:
            raise OddjetsError(f"{self.run.out}: there are no data, which a two-sample test is of")
        parts = []
        for number, name in enumerate(self.datasets):
            if not event_table.parts(self.run.event_tables, name):
                continue
            for columns in event_table.stream(self.run.event_tables, name):
                parts.append(columns | {DATASET: np.full(len(columns["event"]), number)})
        found = self.selected(parts, "data", count=True)
        total = len(found["weight"])
        if total > self._most:
            rows = np.sort(np.random.default_rng(self._seed).choice(total, self._most, replace=False))
            found = {name: values[rows] for name, values in found.items()}
            self.part = self._most / total
            self.left_out["of data, chosen at random (--most)"] = total - self._most
        if len(found["weight"]) < LEAST_EVENTS:
            raise OddjetsError(
                f"{len(found['weight'])} events of data are left, and a two-sample test needs {LEAST_EVENTS}"
            )
        return found

    def selected(self, tables: Iterable[Columns], whose: str, *, count: bool = False) -> Columns:
        """Return the events of tables that pass the base selection, are not hidden, and have numbers for all expressions.

        Args:
            tables: parts of event tables.
            whose: in words.
            count: keep account of what is left out.
        """
        made = []
        for table in tables:
            columns = select_nominal(self.events.processor, table)
            if len(columns["weight"]):
                made.append(self._seen(columns))
        if not made:
            raise OddjetsError(f"there are no events of {whose}")
        common = set(made[0]).intersection(*made)
        joined = {name: np.concatenate([part[name] for part in made]) for name in sorted(common)}
        values = columns_of(joined, self.expressions, f"the events of {whose}")
        kept = np.isfinite(values).all(axis=1)
        if not kept.any():
            bad = [e for e, column in zip(self.expressions, values.T, strict=True) if not np.isfinite(column).any()]
            raise OddjetsError(
                f"--column {', '.join(bad or self.expressions)}: is no number in any event of {whose}; leave it out"
            )
        for expression, column in zip(self.expressions, values.T, strict=True):
            if count and (lost := int((~np.isfinite(column)).sum())):
                self.left_out[f"without a number for {expression}"] = lost
        return {name: column[kept] for name, column in joined.items()}

    def _seen(self, columns: Columns) -> Columns:
        if self.hidden is None:
            return columns
        score = self.run.analysis.threshold.score
        one, other = (columns[f"score_{score}_{j}"] for j in JETS)
        letters = regions.letters(one, other, self.hidden.value, strict=self.run.analysis.threshold.strict)
        return {name: values[letters == "D"] for name, values in columns.items()}

    def simulated(self, process: str) -> Columns:
        """Return the simulated events of a process, with normalised weights.

        Raises:
            OddjetsError: there are none.
        """
        return self.selected(self.events.tables_of(process), f"simulated {process}")

    def known_processes(self) -> list[str]:
        """Return the simulated processes that are expected without a signal, but for the data-driven one."""
        analysis = self.run.analysis
        signals = {p.process for p in analysis.fit.pois} if analysis.fit is not None else set()
        return [name for name in analysis.processes if name != analysis.data_driven and name not in signals]

    def with_own_pairs(
        self, data: Columns, alike: Sequence[str], known: Sequence[str], weights: Floats | None = None
    ) -> PairedColumns:
        """Return data, all pairs of their jets in blocks of events that are alike, and known processes unmixed.

        Args:
            data: what `data` returned, or simulated events.
            alike: columns in which the events of a block are alike.
            known: processes.
            weights: of simulated events, (n,); None: 1.
        """
        values = columns_of(data, alike, "the events of data", "--alike")
        blocks = blocks_of(list(values.T)) if alike else blocks_of([np.zeros(len(data["weight"]))])
        added = [columns for process in known if (columns := self._known_of(process)) is not None]
        common = set(data).intersection(*added) if added else set(data)
        simulated = {name: np.concatenate([columns[name] for columns in added]) for name in sorted(common) if added}
        pairs = OwnPairs(blocks, self._matched(data, simulated, values, alike, blocks) if added else None, weights)
        made = pair_jets({name: data[name] for name in sorted(common)}, pairs.leading, pairs.subleading)
        swapped = float((data["pt_2"][pairs.subleading] > data["pt_1"][pairs.leading]).mean())
        failing = float(1 - self.events.processor.passing(event_table.EventTable(made)).mean())
        pool = {name: np.concatenate([v, simulated[name]]) if simulated else v for name, v in made.items()}
        return PairedColumns(pairs, pool, swapped, failing)

    def _known_of(self, process: str) -> Columns | None:
        try:
            found = self.simulated(process)
        except OddjetsError:
            console.print(f"two-sample: no simulated events of {process}, which is not added to the pairs")
            return None
        return found | {"weight": np.maximum(found["weight"], 0.0) * self.part}

    def _matched(
        self,
        data: Columns,
        simulated: Columns,
        values: Floats,
        alike: Sequence[str],
        blocks: Sequence[npt.NDArray[np.intp]],
    ) -> Known:
        """Return known events, each in the block of the data's event that is most like it, with the jets most like its own."""
        score = self.run.analysis.threshold.score
        of_data = np.empty(len(data["weight"]), np.intp)
        for number, rows in enumerate(blocks):
            of_data[rows] = number
        if alike:
            own = columns_of(simulated, alike, "the events of known processes", "--alike")
            spread = np.maximum(values.std(axis=0), 1e-12)
            block = of_data[cKDTree(values / spread).query(own / spread)[1]]
        else:
            block = np.zeros(len(simulated["weight"]), np.intp)
        near = np.empty((2, len(block)), np.intp)
        for j in JETS:
            names = [f"score_{score}_{j}", f"mass_{j}"]
            spread = np.maximum([np.nanstd(data[name]) for name in names], 1e-12)
            jets, known = (
                np.nan_to_num(np.stack([np.asarray(c[name], np.float64) for name in names], axis=1)) / spread
                for c in (data, simulated)
            )
            for number in np.unique(block):
                here, rows = np.flatnonzero(block == number), blocks[number]
                near[j - 1, here] = rows[cKDTree(jets[rows]).query(known[here])[1]]
        return Known(np.asarray(simulated["weight"], np.float64), block, near)

    def of_simulation(self, number: int) -> tuple[Columns, dict[str, float]]:
        """Return simulated events of equal weight, at most ten times as many as the data, and the expected number by process.

        Signals are left out. The events are drawn by their weights, so that each stands for as much.

        Args:
            number: of the data.

        Raises:
            OddjetsError: they are fewer than the data.
        """
        names = [*self.known_processes(), *([q] if (q := self.run.analysis.data_driven) else [])]
        parts = [(name, self.simulated(name)) for name in names]
        common = set(parts[0][1]).intersection(*(columns for _, columns in parts))
        joined = {name: np.concatenate([columns[name] for _, columns in parts]) for name in sorted(common)}
        weights = np.maximum(joined["weight"], 0.0)
        rng = np.random.default_rng(self._seed)
        rows = np.flatnonzero(rng.random(len(weights)) * weights.max() < weights)
        if len(rows) > _MOST_SIMULATED * number:
            rows = np.sort(rng.choice(rows, _MOST_SIMULATED * number, replace=False))
        if len(rows) < number:
            raise OddjetsError(
                f"the simulation has {len(rows)} events of equal weight, and there are {number} events of data: give a --bank"
                " with more, or compare the data with --against own-pairs"
            )
        return {name: values[rows] for name, values in joined.items()}, {
            name: float(columns["weight"].sum()) for name, columns in parts
        }

    def of_file(self, place: Path, find: Callable[[Path], Iterator[Columns]]) -> Columns:
        """Return the events of another file or output folder.

        Args:
            place: a Parquet file with the columns of an event table, or an output folder, of which the data are taken.
            find: yields the tables of a folder's data.
        """
        tables = find(place) if place.is_dir() else iter([_parquet(place)])
        return self.selected(tables, str(place))


def _parquet(file: Path) -> Columns:
    if not file.is_file():
        raise InputFileError(
            f"--against {file}: not there; give own-pairs, simulation, a Parquet file or an output folder"
        )
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputFileError(f"--against {file}: is no Parquet file with events ({type(error).__name__})") from None
    found = {name: table[name].to_numpy() for name in table.column_names}
    return found if "weight" in found else found | {"weight": np.ones(table.num_rows)}


def alike_columns(data: Columns, asked: Sequence[str] | None) -> list[str]:
    """Return the columns in which the events of a block are alike: those that are asked for, or the momenta of both jets.

    Raises:
        OddjetsError: one of them is no column of single numbers.
    """
    names = [f"pt_{j}" for j in JETS] if asked is None else list(asked)
    values = columns_of(data, names, "the events of data", "--alike")
    for name, column in zip(names, values.T, strict=True):
        if not np.isfinite(column).all():
            raise OddjetsError(
                f"--alike {name}: is no number in {int((~np.isfinite(column)).sum())} events; leave it out"
            )
    return names


def refuse_all_blinded(hidden: ThresholdResult | None, against: str) -> None:
    """Refuse a comparison with other data of which nobody knows whether they are blinded.

    Raises:
        BlindedError: the data are blinded, and the others are not of this analysis.
    """
    if hidden is not None and against not in ("own-pairs", "simulation"):
        raise BlindedError(
            "the data in A are blinded, and other data are not compared with them; use --against own-pairs or simulation, which"
            " take events with both scores below the threshold, or --unblind"
        )


def common_events(data: Columns, other: Columns, values: Sequence[Floats], place: Path) -> int:
    """Return how many events of a reference are among the data: the samples of a permutation test should have none in common.

    Events of a folder are data, and known by their numbers. Those of a file may be simulated, whose numbers begin anew in each
    sample: they are the same if what is compared is the same, too. Of a file without numbers of events it is 0.

    Args:
        data: the events that are tested.
        other: the reference.
        values: what is compared of both, (n, columns) and (m, columns).
        place: the file or folder.
    """
    if any(name not in other for name in IDENTITY):
        return 0
    keys = []
    for columns, compared in zip((data, other), values, strict=True):
        hashes = event_hash(*(columns[name] for name in IDENTITY))
        parts = [hashes] if place.is_dir() else [hashes, *np.ascontiguousarray(compared.T).view(np.uint64)]
        keys.append(set(zip(*(part.tolist() for part in parts), strict=True)))
    return len(keys[0] & keys[1])
