"""The ledger of chunks: planned, kept from earlier runs, done and lost."""

from __future__ import annotations

import math
import os
import socket
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape

from oddjets.config.execution import Execution
from oddjets.core.console import console, progress
from oddjets.core.errors import OddjetsError
from oddjets.workflow.executors.base import Outcomes, WorkersLostError
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.executors.records import ChunkFailure, ChunkRecord, completed_record
from oddjets.workflow.executors.select import execution_backend
from oddjets.workflow.executors.skipped_files import SkippedFile

__all__ = ["ChunkError", "Ledger", "run", "totals"]

#: how many of the slowest chunks are named
_SLOWEST = 5


class ChunkError(OddjetsError):
    """A chunk whose failure ends the run."""


@dataclass
class Ledger:
    """The outcome of a plan.

    Attributes:
        chunks: the plan.
        records: chunk's id to its record; those that are neither here nor among the losses were not tried.
        losses: files and chunks that were left out.
        kept: how many of the records are of an earlier run.
    """

    chunks: Sequence[Chunk]
    records: dict[str, ChunkRecord] = field(default_factory=dict)
    losses: list[SkippedFile] = field(default_factory=list)
    kept: int = 0

    @property
    def lost_files(self) -> set[str]:
        """Paths of files of which anything is lost: none of their events count."""
        return {loss.file for loss in self.losses}

    def counting(self) -> dict[str, ChunkRecord]:
        """Return the records of files of which nothing is lost, in the plan's order."""
        lost = self.lost_files
        chunks = [chunk for chunk in self.chunks if chunk.id in self.records and chunk.path not in lost]
        return {chunk.id: self.records[chunk.id] for chunk in chunks}

    def costs(self) -> dict[str, Any]:
        """Return times and memory of all chunks that were done, for the manifest; the slowest ones are named."""
        records = list(self.records.values())
        slowest = sorted(records, key=lambda record: -record.cost.seconds)[:_SLOWEST]
        return {
            "planned": len(self.chunks),
            "done": len(records),
            "kept": self.kept,
            "seconds": math.fsum(record.cost.seconds for record in records),
            "cpu_seconds": math.fsum(record.cost.cpu_seconds for record in records),
            "peak_MB": max((record.cost.peak_MB for record in records), default=0.0),
            "workers": len({(record.cost.host, record.cost.worker) for record in records}),
            "slowest": [{"file": r.file, "start": r.start, "stop": r.stop, **asdict(r.cost)} for r in slowest],
        }


def run(work: ChunkWorker, chunks: Sequence[Chunk], execution: Execution, out: Path) -> Ledger:
    """Process all chunks of a plan that are not yet done.

    Args:
        work: what is done with each.
        chunks: the plan.
        execution: who does it, and whether files that cannot be read are left out.
        out: the output folder, where records of earlier runs are.

    Returns:
        The ledger: every chunk is done or lost.

    Raises:
        OddjetsError: a chunk failed, or a worker died; what is done is kept, and the same call resumes.
    """
    ledger = Ledger(chunks)
    ledger.records = {chunk.id: record for chunk in chunks if (record := completed_record(out, chunk)) is not None}
    ledger.kept = len(ledger.records)
    todo = [chunk for chunk in chunks if chunk.id not in ledger.records]
    if ledger.kept:
        console.print(f"process: {ledger.kept} of {len(chunks)} chunks are kept from an earlier run")
    by_id = {chunk.id: chunk for chunk in todo}
    said: set[str] = set()

    with progress("processing (events)", sum(chunk.entries for chunk in todo)) as bar:

        def on_done(outcomes: Outcomes) -> None:
            for name, outcome in outcomes.items():
                if isinstance(outcome, ChunkFailure):
                    _handle_failure(ledger, outcome, skip_bad_files=execution.skip_bad_files)
                else:
                    ledger.records[name] = outcome
                    _report_cpu_fallback(outcome, said)
                bar.advance(by_id[name].entries)

        if todo:
            try:
                with execution_backend(execution) as carry:
                    carry(todo, work, on_done)
            except WorkersLostError as error:
                raise WorkersLostError(f"process: {error}; {_chunks_done(ledger)}") from error
    _check_ledger(ledger)
    return ledger


def _handle_failure(ledger: Ledger, failure: ChunkFailure, *, skip_bad_files: bool) -> None:
    """Record a loss where that is allowed, and end the run otherwise."""
    chunk = failure.chunk
    if failure.kind == "file" and skip_bad_files:
        console.print(f"[bold yellow]left out:[/bold yellow] {escape(failure.message)}")
        ledger.losses.append(
            SkippedFile(chunk.dataset, chunk.path, failure.cause, failure.message, chunk.start, chunk.stop)
        )
        return
    raise ChunkError(f"{escape(failure.message)}\n{_chunks_done(ledger)}") from _WorkerError(failure.trace)


def _report_cpu_fallback(record: ChunkRecord, said: set[str]) -> None:
    """Print once that `provider: auto` means the CPU on the workers."""
    if (record.cost.host, record.cost.worker) == (socket.gethostname(), os.getpid()):
        return
    for score, how in record.counts["inference"].items():
        if how["fallbacks"] and score not in said:
            said.add(score)
            why = how["fallbacks"][0]
            console.print(f"process: the score '{score}' is computed on the CPU: {escape(why)}")


class _WorkerError(Exception):
    """The traceback of another process, shown under ``--debug``."""


def _chunks_done(ledger: Ledger) -> str:
    return f"{len(ledger.records)} of {len(ledger.chunks)} chunks are kept: the same command continues from there"


def _check_ledger(ledger: Ledger) -> None:
    """Refuse a ledger that does not add up: every event of the plan is done or lost, and none is both."""
    lost = {(loss.file, loss.start) for loss in ledger.losses}
    for chunk in ledger.chunks:
        record = ledger.records.get(chunk.id)
        read = record.counts["entries"] if record is not None else 0
        planned = 0 if (chunk.path, chunk.start) in lost else chunk.entries
        if read != planned:
            raise OddjetsError(f"{chunk}: {planned} events planned, {read} read: the event counts do not add up")


def totals(records: Sequence[ChunkRecord], cuts: int) -> dict[str, Any]:
    """Add up what chunks counted; floating-point sums are exact before they are rounded, so no order matters.

    Args:
        records: of the chunks.
        cuts: how many cuts there are.
    """
    counts = [record.counts for record in records]
    anomalies: Counter[str] = Counter()
    inference: dict[str, dict[str, Any]] = {}
    columns: dict[str, dict[str, Any]] = {}
    varied: dict[str, Counter[str]] = {}
    for found in counts:
        anomalies.update(found["input_anomalies"])
        for score, how in found["inference"].items():
            nothing = {"computed": 0, "from_cache": 0, "providers": [], "fallbacks": [], "kept_as": [], "scores": []}
            known = inference.setdefault(score, nothing)
            known["computed"] += how["computed"]
            known["from_cache"] += how["from_cache"]
            for names in ("providers", "fallbacks", "kept_as", "scores"):
                known[names] = sorted({*known[names], *how[names]})
            for column, values in how.get("columns", {}).items():
                _add_column(known.setdefault("columns", {}), column, values)
        for score, values in found["score_columns"].items():
            _add_column(columns, score, values)
        for variation, jets in found["varied_scores"].items():
            varied.setdefault(variation, Counter()).update(jets)
    return {
        "entries": sum(found["entries"] for found in counts),
        "rows": sum(record.part.rows for record in records),
        "parts": sorted(record.part.name for record in records),
        "raw": [sum(found["raw"][i] for found in counts) for i in range(cuts + 1)],
        "weighted": [math.fsum(found["weighted"][i] for found in counts) for i in range(cuts + 1)],
        "n_minus_1": [
            [sum(found["n_minus_1"][i][0] for found in counts), math.fsum(found["n_minus_1"][i][1] for found in counts)]
            for i in range(cuts)
        ],
        "input_anomalies": dict(anomalies),
        "inference": inference,
        "score_columns": columns,
        **({"varied_scores": {name: dict(jets) for name, jets in varied.items()}} if varied else {}),
    }


def _add_column(known: dict[str, dict[str, Any]], name: str, values: Mapping[str, Any]) -> None:
    """Add what a chunk's jets have in a column."""
    so_far = known.setdefault(name, {"finite": 0, "not_finite": 0, "lowest": [], "highest": []})
    so_far["finite"] += values["finite"]
    so_far["not_finite"] += values["not_finite"]
    so_far["lowest"] = sorted([*so_far["lowest"], *values["lowest"]])[:1]
    so_far["highest"] = sorted([*so_far["highest"], *values["highest"]])[-1:]
