"""Chunks: ranges of entries of files, each with the content key of all that its rows depend on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from oddjets.core import provenance
from oddjets.io.fileset import Dataset, FileInfo

__all__ = ["DATASET_FIELDS", "Chunk", "Fileset", "plan"]

#: dataset name to dataset and what its files hold
Fileset = Mapping[str, tuple[Dataset, Sequence[FileInfo]]]

#: metadata of a dataset that a processor sees; the others, such as cross sections, are for later stages, and redo nothing
DATASET_FIELDS = ("process", "is_data", "era", "weights", "generator_cut")
#: digits of the key that are in names of files; the record has all of it
_DIGITS = 12


@dataclass(frozen=True)
class Chunk:
    """Some events of one file.

    Attributes:
        dataset: what the file belongs to.
        path: of the file.
        uuid: the ROOT file's own.
        start: the first entry.
        stop: one past the last entry.
        metadata: of the dataset, those in `DATASET_FIELDS`, as JSON-able pairs.
        key: content key; chunks with equal keys have equal rows.
    """

    dataset: str
    path: str
    uuid: str
    start: int
    stop: int
    metadata: tuple[tuple[str, Any], ...]
    key: str

    @property
    def name(self) -> str:
        """The name of its files, without suffix."""
        return f"part-{self.uuid}-{self.start:012d}-{self.key[:_DIGITS]}"

    @property
    def id(self) -> str:
        """Its name with the dataset; no other chunk of any plan has it."""
        return f"{self.dataset}/{self.name}"

    @property
    def entries(self) -> int:
        """The number of events."""
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.path}: events {self.start} to {self.stop}"


def plan(fileset: Fileset, chunk_size: int, key: str | Mapping[str, str]) -> list[Chunk]:
    """Cut all files of a fileset into chunks; files without events have none.

    Args:
        fileset: the datasets and their files.
        chunk_size: events; the chunks of a file are of nearly this, equal size.
        key: of all that the rows depend on apart from the file; by era where there are several.

    Returns:
        The chunks, in the fileset's order.
    """
    chunks = []
    for name, (dataset, files) in fileset.items():
        known = dataset.metadata.model_dump(mode="json", include=set(DATASET_FIELDS))
        metadata = tuple((field, _frozen(known[field])) for field in DATASET_FIELDS)
        of_all = key if isinstance(key, str) else key[dataset.metadata.era]
        for info in files:
            number = max(round(info.entries / chunk_size), 1) if info.entries else 0
            edges = [i * info.entries // number for i in range(number + 1)] if number else []
            for start, stop in itertools.pairwise(edges):
                of_chunk = provenance.content_key(
                    {"of all": of_all, "dataset": name, "metadata": known, "file": info.uuid, "entries": [start, stop]}
                )
                chunks.append(Chunk(name, info.path, info.uuid, start, stop, metadata, of_chunk))
    return chunks


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
