"""Running a processor over a fileset, here or on more processes; the results do not depend on which."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coffea import processor as coffea_processor
from coffea.processor.executor import FileMeta
from coffea.util import coffea_console

from oddjets.cards import load_card
from oddjets.config import Analysis, Execution
from oddjets.console import console
from oddjets.corrections import load_era
from oddjets.datasets import TREE, Dataset, FileInfo
from oddjets.errors import InputFileError, OddjetsError
from oddjets.events import overlap
from oddjets.processor import DijetProcessor
from oddjets.schema import PFNano
from oddjets.scoring import Scorer
from oddjets.userspace import ProcessorSource

__all__ = ["Work", "constituent_sources", "refuse_overlap", "run"]

#: one processor per process and per piece of work; a worker gets many chunks
_PROCESSORS: dict[str, DijetProcessor] = {}


@dataclass(frozen=True)
class Work:
    """What travels to a worker: everything needed to build the processor there, and nothing that can't be pickled.

    Attributes:
        source: the processor's file.
        analysis: as JSON-able data, with its path.
        cards: score name to the card's path.
        output: the folder ``events``.
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
        era, folder = load_era(self.analysis.era, self.analysis.folder)
        scorers = {
            name: Scorer(load_card(Path(card)), provider=self.analysis.execution.provider, threads=self.threads)
            for name, card in self.cards
        }
        output = Path(self.output) if self.output is not None else None
        score_cache = Path(self.score_cache) if self.score_cache is not None else None
        return self.source.load()(self.analysis, era, folder, scorers, output, score_cache)

    def __call__(self, events: Any) -> dict[str, Any]:
        """Process a chunk; a user's mistake comes back as a message, since executors bury exceptions."""
        dataset = events.metadata["dataset"]
        key = f"{self.source.sha256}:{hash(self)}"
        try:
            if key not in _PROCESSORS:
                _PROCESSORS[key] = self.build()
            return _PROCESSORS[key].process(events)
        except OddjetsError as error:
            return {dataset: {"entries": 0, "errors": [str(error)]}}
        except Exception as error:
            if not _raised_by_reading(error):
                raise
            entries = f"{events.metadata['entrystart']} to {events.metadata['entrystop']}"
            message = (
                f"{events.metadata['filename']}: events {entries} cannot be read"
                f" ({type(error).__name__}: {str(error)[:200]}); the file is damaged: get it again or leave it out"
            )
            return {dataset: {"entries": 0, "errors": [message]}}

    def __hash__(self) -> int:
        places = (self.output, self.score_cache)
        return hash((self.source, self.analysis.model_dump_json(), self.cards, places, self.threads))


def _raised_by_reading(error: Exception) -> bool:
    """Tell whether uproot raised an error, or what it calls: decompression fails in as many ways as there are codecs."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).startswith("uproot.")


def run(
    work: Work, fileset: Mapping[str, tuple[Dataset, Sequence[FileInfo]]], execution: Execution
) -> dict[str, dict[str, Any]]:
    """Run a piece of work over all events of a fileset.

    Args:
        work: the processor to build in each worker.
        fileset: dataset name to dataset and its files' contents; empty files are left out.
        execution: which executor, how many workers, events per chunk.

    Returns:
        Dataset to summed counts.

    Raises:
        OddjetsError: a file lacks a branch, is a copy of another one, or another mistake that a user can mend; all of
            them at once.
    """
    _check_files(work, fileset)
    target: dict[str, Any] = {}
    cache: dict[FileMeta, dict[str, Any]] = {}
    for name, (dataset, files) in fileset.items():
        filled = [info for info in files if info.entries > 0]
        metadata = dataset.metadata.model_dump(mode="json")
        for info in filled:
            # known from the inspection: coffea need not open the file once more
            known = {"numentries": info.entries, "uuid": uuid.UUID(info.uuid).bytes}
            cache[FileMeta(name, info.path, TREE)] = {**metadata, **known}
        if filled:
            target[name] = {"files": [info.path for info in filled], "metadata": metadata}
    if not target:
        return {}
    # coffea draws its bars on standard output, which belongs to data, and draws them asked or not
    coffea_console.stderr, coffea_console.quiet = True, not console.is_terminal
    status = {"status": console.is_terminal, "desc": "processing", "unit": "chunk"}
    executor = (
        coffea_processor.IterativeExecutor(retries=0, **status)
        if execution.executor == "iterative"
        else coffea_processor.FuturesExecutor(retries=0, workers=execution.workers, **status)
    )
    runner = coffea_processor.Runner(
        executor=executor, schema=PFNano, chunksize=execution.chunk_size, metadata_cache=cache
    )
    total = runner(target, processor_instance=work, treename=TREE)
    errors = list(dict.fromkeys(e for counts in total.values() for e in counts.get("errors", [])))
    if errors:
        raise OddjetsError("\n".join(errors[:10]) + (f"\n... and {len(errors) - 10} more" if len(errors) > 10 else ""))
    result: dict[str, dict[str, Any]] = dict(total)
    return result


def constituent_sources(files: Sequence[FileInfo]) -> dict[str, list[str]]:
    """Return how constituents of jets are found (``index``, ``reclustered`` or ``none``) -> the files of that kind."""
    sources: dict[str, list[str]] = {}
    for info in files:
        sources.setdefault(info.constituents or "none", []).append(info.path)
    return sources


def _check_files(work: Work, fileset: Mapping[str, tuple[Dataset, Sequence[FileInfo]]]) -> None:
    """Refuse copies of a file, and files without PF candidates where a model needs them; say what is clustered again."""
    errors = []
    seen: dict[str, str] = {}
    for name, (_, files) in fileset.items():
        sources = constituent_sources(files)
        for info in files:
            if info.uuid in seen:
                errors.append(f"{info.path}: the same file as {seen[info.uuid]} (UUID {info.uuid}); keep one of them")
            seen[info.uuid] = info.path
        if work.cards and "none" in sources:
            errors.append(
                f"{sources['none'][0]}: no PF candidates (branch 'PFCands_pt'), which the score '{work.cards[0][0]}'"
                f" needs ({len(sources['none'])} file(s) of dataset '{name}'): NanoAOD has none; use a score from"
                " branches of FatJet, or make PFNano with allPF"
            )
        if work.cards and "reclustered" in sources:
            console.print(
                f"dataset '{name}': {len(sources['reclustered'])} of {len(files)} file(s) have no index of the jets'"
                " constituents (FatJetPFCands_jetIdx, _pFCandsIdx): AK8 jets are clustered again and matched"
            )
    if errors:
        raise InputFileError("\n".join(errors))


def refuse_overlap(folder: Path, fileset: Mapping[str, tuple[Dataset, Sequence[FileInfo]]]) -> None:
    """Refuse event tables that hold an event twice: in all of data, or in one simulated dataset.

    Args:
        folder: ``out/events``.
        fileset: what the tables were made from.

    Raises:
        InputFileError: names the event and both files.
    """
    data = [name for name, (dataset, _) in fileset.items() if dataset.metadata.is_data]
    paths = {info.uuid: info.path for _, files in fileset.values() for info in files}
    for names in (data, *([name] for name in fileset if name not in data)):
        found = overlap(folder, names)
        if found is not None:
            (run, block, event), one, other = found
            raise InputFileError(
                f"{paths.get(one, one)} and {paths.get(other, other)} overlap: both hold event {run}:{block}:{event}"
                " (run:luminosityBlock:event); keep one of them"
            )
