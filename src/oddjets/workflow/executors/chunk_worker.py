"""The processing of one chunk: open the file, run the processor, write the rows, and record it last."""

from __future__ import annotations

import os
import socket
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coffea.nanoevents import NanoEventsFactory

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import eras_of
from oddjets.core import provenance
from oddjets.core.code_digests import code_sha256
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import sha256_of
from oddjets.core.redaction import redacted
from oddjets.core.tracebacks import user_line
from oddjets.corrections.lookups import load_era
from oddjets.io.event_table import write_part
from oddjets.io.fileset import TREE
from oddjets.io.nanoaod_schema import PFNano
from oddjets.io.remote.access import open_file
from oddjets.io.remote.failures import cause_of, with_retries
from oddjets.scoring.column_scorer import scorer_of
from oddjets.scoring.model_card import load_card
from oddjets.selection.chunk_counts import ChunkCounts
from oddjets.selection.processor import DijetProcessor
from oddjets.selection.processor_loader import ProcessorSource
from oddjets.workflow.executors import memory
from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.executors.records import (
    CHUNKS,
    NO_OUTPUT,
    ChunkCost,
    ChunkFailure,
    ChunkRecord,
    FailureKind,
    TablePart,
    save,
)

__all__ = ["COMPUTES", "ChunkWorker", "code", "versions"]

#: one processor per process and per piece of work; a worker gets many chunks
_PROCESSORS: dict[str, DijetProcessor] = {}

#: packages that read files, by their names in tracebacks
_READERS = ("uproot", "fsspec", "fsspec_xrootd", "XRootD", "aiohttp")


#: packages that compute rows; the others of `provenance.PACKAGES` compute later
COMPUTES = (
    "python",
    "awkward",
    "coffea",
    "correctionlib",
    "fastjet",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "pyarrow",
    "scipy",
    "uproot",
)


def code() -> str:
    """Return the sha256 of all code that rows depend on."""
    return code_sha256(__name__)


def versions() -> dict[str, str]:
    """Return the versions of the packages that compute rows."""
    return {name: version for name, version in provenance.versions().items() if name in COMPUTES}


@dataclass(frozen=True)
class ChunkWorker:
    """The function that a worker runs on each chunk, with all it needs to build the processor; it can be pickled.

    Attributes:
        source: the processor's file.
        analysis: as JSON-able data, with its path.
        cards: score name to the card's path.
        output: the analysis's output folder; None: for `build` alone.
        threads: threads of one worker's inference.
        score_cache: the folder ``scores``; None: scores are not kept.
    """

    source: ProcessorSource
    analysis: Analysis
    cards: tuple[tuple[str, str], ...]
    output: str | None
    threads: int
    score_cache: str | None = None

    def build(self) -> DijetProcessor:
        """Make the processor, with its scorers and corrections."""
        # of several eras, each chunk is that of one: `DijetProcessor.at_era`
        era, folder = load_era(eras_of(self.analysis)[0], self.analysis.folder)
        scorers = {
            name: scorer_of(load_card(Path(card)), provider=self.analysis.execution.provider, threads=self.threads)
            for name, card in self.cards
        }
        score_cache = Path(self.score_cache) if self.score_cache is not None else None
        return self.source.load()(self.analysis, era, folder, scorers, score_cache)

    def __call__(self, chunk: Chunk) -> dict[str, ChunkRecord | ChunkFailure]:
        """Process a chunk; return its id and what came of it, which is not added to anything in any executor."""
        with memory.release_memory():
            outcome = self._outcome(chunk)
        return {chunk.id: outcome}

    def _outcome(self, chunk: Chunk) -> ChunkRecord | ChunkFailure:
        started, cpu = time.perf_counter(), time.process_time()
        memory.reset_peak()
        try:
            columns, counts = with_retries(lambda: self._rows(chunk), str(chunk))
            part = self._write(chunk, columns)
        except Exception as error:
            kind = _kind_of(error, chunk)
            return ChunkFailure(chunk, kind, _message(error, chunk, kind), cause_of(error), traceback.format_exc())
        cost = ChunkCost(
            seconds=time.perf_counter() - started,
            cpu_seconds=time.process_time() - cpu,
            peak_MB=memory.peak_MB(),
            host=socket.gethostname(),
            worker=os.getpid(),
        )
        record = ChunkRecord(
            chunk.key, chunk.dataset, redacted(chunk.path), chunk.start, chunk.stop, part, counts.as_dict(), cost
        )
        try:
            save(self._folder, chunk, record)
        except OSError as error:
            return ChunkFailure(chunk, "output", _message(error, chunk, "output"), trace=traceback.format_exc())
        return record

    @property
    def _folder(self) -> Path:
        assert self.output is not None
        return Path(self.output) / CHUNKS

    def _processor(self) -> DijetProcessor:
        key = f"{self.source.sha256}:{hash(self)}"
        if key not in _PROCESSORS:
            _PROCESSORS[key] = self.build()
        return _PROCESSORS[key]

    def _rows(self, chunk: Chunk) -> tuple[dict[str, Any], ChunkCounts]:
        processor = self._processor()
        with open_file(chunk.path, self.analysis.execution.access(self.analysis.folder)) as file:
            if str(file.file.uuid) != chunk.uuid:
                raise OddjetsError(f"{chunk.path}: another file has taken its place since the work began; run it again")
            return processor.at_era(dict(chunk.metadata)["era"]).table(_events(file, chunk))

    def _write(self, chunk: Chunk, columns: dict[str, Any]) -> TablePart:
        metadata = dict(chunk.metadata)
        note = {"dataset": chunk.dataset, "process": metadata["process"], "is_data": metadata["is_data"]}
        note |= {"fileuuid": chunk.uuid, "entrystart": chunk.start, "entrystop": chunk.stop}
        file = self._folder / chunk.dataset / f"{chunk.name}.parquet"
        try:
            write_part(file, columns, note)
            return TablePart(file.name, len(columns["event"]), file.stat().st_size, sha256_of(file))
        except OSError as error:
            raise _OutputError(f"{file}: cannot be written ({error.strerror or error})") from error

    def __hash__(self) -> int:
        places = (self.output, self.score_cache)
        return hash((self.source, self.analysis.model_dump_json(), self.cards, places, self.threads))


class _OutputError(OddjetsError):
    """A failure to write rows."""


def _events(file: Any, chunk: Chunk) -> Any:
    """Return a chunk's events as coffea's runner would hand them to the processor."""
    known = {"dataset": chunk.dataset, "filename": chunk.path, "fileuuid": chunk.uuid, "treename": TREE}
    factory = NanoEventsFactory.from_root(
        file,
        treepath=TREE,
        schemaclass=PFNano,
        mode="virtual",
        entry_start=chunk.start,
        entry_stop=chunk.stop,
        metadata={**dict(chunk.metadata), **known, "entrystart": chunk.start, "entrystop": chunk.stop},
    )
    return factory.events()


def _kind_of(error: Exception, chunk: Chunk) -> FailureKind:
    if isinstance(error, _OutputError):
        return "output"
    if isinstance(error, OddjetsError):
        # what is wrong with a file begins with its name
        of_file = isinstance(error, InputFileError) and str(error).startswith(f"{redacted(chunk.path)}:")
        return "file" if of_file else "mistake"
    if isinstance(error, OSError) and error.errno in NO_OUTPUT:
        return "output"
    # decompression fails in as many ways as there are codecs: what matters is who called it
    names = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    for name in reversed(names):
        if name.split(".")[0] in _READERS or name.startswith("oddjets.io.remote"):
            return "file"
        if name.startswith("oddjets"):
            return "processor"
    return "processor"


def _message(error: Exception, chunk: Chunk, kind: FailureKind) -> str:
    if isinstance(error, OddjetsError):
        return str(error)
    said = f"{type(error).__name__}: {str(error)[:200]}"
    if kind == "file":
        return f"{chunk} cannot be read: {cause_of(error)} ({said}); get the file again or leave it out"
    if kind == "output":
        return f"{chunk}: nothing can be written ({said})"
    line = user_line(error)
    return f"{chunk}: the processor failed{f' in {line}' if line else ''} ({said}); --debug shows where"
