"""The import of some rows of a file of Aspen Open Jets: select, score, write tables, and record it last.

The record is in the metadata of the table of jets: the key of all that its rows depend on, and what was counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from oddjets.core import provenance
from oddjets.corrections import luminosity
from oddjets.corrections.lookups import load_era
from oddjets.corrections.sections import SectionIntervals
from oddjets.io import aspen
from oddjets.io.event_table import write_part
from oddjets.io.histograms import DATA
from oddjets.scoring.cache import ScoreCache
from oddjets.selection.aspen_jets import AspenSelection
from oddjets.workflow.executors import memory
from oddjets.workflow.executors.chunk_worker import ChunkWorker

__all__ = ["DATASET", "JETS", "AspenChunk", "AspenWorker", "counts_of"]

#: the folder of the tables of single jets, and the dataset's name in it and in events/
JETS, DATASET = "jets", "aspen"
#: characters of a file's name in those of its tables; more would be too long for a file system
_STEM = 100

#: one selection per process and per piece of work; a worker gets many chunks
_SELECTIONS: dict[tuple[int, str], AspenSelection] = {}


@dataclass(frozen=True)
class AspenChunk:
    """Some rows of a file.

    Attributes:
        path: of the file.
        identity: of its content (`oddjets.io.aspen.AspenFile`).
        start: the first row.
        stop: one past the last.
        left_out: why to rows that are not selected for it, as `AspenSelection.read` takes them.
        rows_key: content key of all that rows depend on, apart from the file.
    """

    path: Path
    identity: str
    start: int
    stop: int
    left_out: Mapping[str, npt.NDArray[np.int64]]
    rows_key: str

    @property
    def name(self) -> str:
        """The name of its tables."""
        return f"part-{self.path.stem[:_STEM]}-{self.identity[:8]}-{self.start:09d}.parquet"

    @property
    def key(self) -> str:
        """The content key of its rows."""
        left_out = {name: (rows - self.start).tolist() for name, rows in self.left_out.items() if len(rows)}
        return provenance.content_key([self.rows_key, self.identity, self.start, self.stop, left_out])


@dataclass(frozen=True)
class AspenWorker:
    """The function that a process runs on each chunk; it can be pickled.

    Attributes:
        builder: makes the processor, with its scorers.
        output: the analysis's output folder.
        events: the folder of the event tables; None: no pairs are made.
        scores: the folder of stored scores; None: they are not kept.
    """

    builder: ChunkWorker
    output: Path
    events: Path | None
    scores: Path | None

    def __call__(self, chunk: AspenChunk) -> None:
        """Import a chunk.

        Raises:
            InputFileError: the rows cannot be read.
            OddjetsError: a jet that cannot be scored.
        """
        with memory.release_memory():
            self._import(chunk)

    def _import(self, chunk: AspenChunk) -> None:
        kept = None
        if self.scores is not None:
            kept = ScoreCache(self.scores, chunk.identity, chunk.start, chunk.stop)
        with aspen.open_datasets(chunk.path) as datasets:
            made = self._selection(chunk.rows_key).read(datasets, chunk.start, chunk.stop, chunk.left_out, kept)
        note = {
            "dataset": DATASET, "process": DATA, "is_data": True, "file": chunk.path.name, "key": chunk.key,
            "fileuuid": chunk.identity, "entrystart": chunk.start, "entrystop": chunk.stop, "lacking": aspen.LACKING,
        }  # fmt: skip
        if made.events is not None and self.events is not None:
            write_part(self.events / DATASET / chunk.name, made.events, note)
        # last: it says that the chunk is done
        write_part(self.output / JETS / DATASET / chunk.name, made.jets, {**note, "counts": made.counts})

    def _selection(self, rows_key: str) -> AspenSelection:
        # the names of a golden JSON and of models do not say what is in them
        key = hash(self.builder), rows_key
        if key not in _SELECTIONS:
            analysis = self.builder.analysis
            certified: SectionIntervals | None = None
            if analysis.selection.golden_json is not None:
                era, folder = load_era(str(analysis.era), analysis.folder)
                certified = luminosity.certified_sections(analysis, era, folder)[0]
            # of the last work only: notebooks make many
            _SELECTIONS.clear()
            _SELECTIONS[key] = AspenSelection(self.builder.build(), self.events is not None, certified)
        return _SELECTIONS[key]


def counts_of(chunk: AspenChunk, output: Path, events: Path | None) -> dict[str, Any] | None:
    """Return what was counted in a chunk; None if it was not finished, or with other options.

    Args:
        chunk: which.
        output: the analysis's output folder.
        events: as `AspenWorker` has it.
    """
    files = [output / JETS / DATASET / chunk.name, *([events / DATASET / chunk.name] if events is not None else [])]
    try:
        notes = [json.loads((pq.read_schema(file, memory_map=False).metadata or {})[b"oddjets"]) for file in files]
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None
    counts: dict[str, Any] = notes[0].get("counts", {})
    return counts if counts and all(note.get("key") == chunk.key for note in notes) else None
