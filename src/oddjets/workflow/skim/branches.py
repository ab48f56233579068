"""The branches and events that an analysis needs of a file, found by running its processor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from coffea.nanoevents import NanoEventsFactory

from oddjets.config.analysis import Analysis
from oddjets.core import resources
from oddjets.core.errors import InputFileError
from oddjets.io import nanoaod_schema
from oddjets.io.event_table import JETS
from oddjets.io.fileset import TREE, Dataset, FileInfo
from oddjets.io.layouts import LAYOUTS, CandidateLayout, describe_misfits
from oddjets.scoring.model_card import load_card
from oddjets.selection.processor import DijetProcessor

__all__ = ["RequiredBranches", "chunk_of", "required_branches", "without_model"]

Integers = npt.NDArray[np.int64]

_IDENTITY = ("run", "luminosityBlock", "event")
#: what coffea's vectors must have to be looked at, whether it is read or not
_VECTOR = ("pt", "eta", "phi", "mass", "charge", "x", "y", "z", "t")


@dataclass(frozen=True)
class RequiredBranches:
    """The events and branches that an analysis needs of one file.

    Attributes:
        entries: rising numbers of the events that are rows of the event table.
        branches: all branches that are read, without the counters of jagged ones.
        linked: the layout of PF candidates of which those of AK8 jets alone are read; None: they are read as other branches.
    """

    entries: Integers
    branches: frozenset[str]
    linked: CandidateLayout | None


def without_model(processor: type[DijetProcessor]) -> type[DijetProcessor]:
    """Return a processor's class that computes no model's score: none of them decides which events are rows."""

    def no_scores(
        self: DijetProcessor, jets: Any, cache: Any, columns: Mapping[str, Any], *_: Any
    ) -> dict[str, npt.NDArray[Any]]:
        missing = [name for name in self.analysis.scores if f"score_{name}_{JETS[0]}" not in columns]
        stems = [f"score_{name}" for name in missing]
        # also columns that come with a model's output, where one of them is a score
        columns_of_scores = [self.analysis.scores[name].column or "" for name in missing]
        stems += [column for column in columns_of_scores if column.startswith(("share_", "prob_", "spread_", "score_"))]
        return {f"{stem}_{j}": np.zeros(len(columns["event"])) for stem in (*stems, "n_constituents") for j in JETS}

    return type(processor.__name__, (processor,), {"_scores": no_scores})


def chunk_of(file: Any, dataset: Dataset, info: FileInfo, start: int, stop: int, log: list[Any] | None = None) -> Any:
    """Return events of an open file as coffea's runner would hand them to the processor.

    Args:
        file: of uproot.
        dataset: what the file belongs to.
        info: what it holds.
        start: first event.
        stop: behind the last one.
        log: is told of every branch that is read.
    """
    known = {"dataset": dataset.name, "filename": info.path, "fileuuid": info.uuid, "treename": TREE}
    factory = NanoEventsFactory.from_root(
        file,
        treepath=TREE,
        schemaclass=nanoaod_schema.PFNano,
        mode="virtual",
        entry_start=start,
        entry_stop=stop,
        metadata={**dataset.metadata.model_dump(mode="json"), **known, "entrystart": start, "entrystop": stop},
        access_log=log,
    )
    return factory.events()


def required_branches(
    processor: DijetProcessor, file: Any, dataset: Dataset, info: FileInfo, chunk_size: int
) -> RequiredBranches:
    """Run a processor over a file, and note what it reads and keeps.

    Args:
        processor: one `without_model`.
        file: of uproot.
        dataset: what the file belongs to.
        info: what it holds.
        chunk_size: events that are looked at together.

    Raises:
        InputFileError: a needed branch is missing, a weight is not finite, or no layout of candidates fits and a model
            needs one.
    """
    log: list[Any] = []
    entries = [np.empty(0, np.int64)]
    for start in range(0, info.entries, chunk_size):
        events = chunk_of(file, dataset, info, start, min(start + chunk_size, info.entries), log)
        columns, _ = processor.table(events)
        stored = {name: np.asarray(nanoaod_schema.branch(events, name)) for name in _IDENTITY}
        entries.append(start + np.flatnonzero(np.isin(_identities(stored), _identities(columns))))
    read = set(_IDENTITY) | {accessed.branch for accessed in log}
    layout = info.layout
    scored = _reads_constituents(processor.analysis)
    # what the processor's own reading of constituents takes is not in the log: anything there is a hook's
    by_hook = any(row.candidates and row.candidates in name for row in LAYOUTS for name in read)
    if scored and layout is None:
        raise InputFileError(
            f"{info.path}: no known layout of PF candidates: {describe_misfits(info.branches.__contains__)}",
            cause="missing branch",
        )
    if scored and layout is not None:
        # rawFactor: for the comparison of a jet with its constituents
        read |= {*layout.required, *(["FatJet_rawFactor"] if layout.weighted else [])}
    present = set(file[TREE].keys())
    read |= {f"{collection}_{name}" for collection in _collections(read) for name in _VECTOR}
    linked = layout if layout is not None and layout.source == "index" and not by_hook else None
    return RequiredBranches(np.concatenate(entries), frozenset(read & present), linked)


def _reads_constituents(analysis: Analysis) -> bool:
    """Return whether a model of the analysis reads PF candidates."""
    cards = [score.card for score in analysis.scores.values() if score.card is not None]
    cards += [card for score in analysis.scores.values() for card in score.family]
    files = [resources.find(card, "models", analysis.folder, suffixes=("", ".yaml")) for card in cards]
    return any(load_card(file).reads_constituents for file in files)


def _collections(branches: Iterable[str]) -> set[str]:
    return {name.partition("_")[0] for name in branches if "_" in name}


def _identities(columns: Any) -> npt.NDArray[Any]:
    """Combine run, section and event to one sortable array."""
    out = np.empty(len(columns["event"]), dtype=[(name, np.uint64) for name in _IDENTITY])
    for name in _IDENTITY:
        out[name] = columns[name]
    return out
