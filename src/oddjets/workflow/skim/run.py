"""The verb `skim`: reduced files of an analysis, and their fileset."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uproot

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import of_era
from oddjets.core import provenance
from oddjets.core.code_digests import code_sha256
from oddjets.core.console import console, progress
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import atomic_write, write_json
from oddjets.core.locks import locked
from oddjets.core.redaction import redacted
from oddjets.core.worker_pool import run_tasks
from oddjets.corrections.lookups import load_era
from oddjets.io.fileset import TREE, Dataset, FileInfo
from oddjets.io.remote.access import is_remote, open_file
from oddjets.io.remote.failures import advice_on, cause_of, with_retries
from oddjets.selection.processor import DijetProcessor
from oddjets.selection.processor_loader import ProcessorSource
from oddjets.workflow.keys import row_selection
from oddjets.workflow.skim.branches import required_branches, without_model
from oddjets.workflow.skim.writer import write_skim

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["STAGE", "skim"]

STAGE = "skim"
_FILESET = "fileset.json"
#: what decides which events and branches a skim has
_CODE = tuple(f"oddjets.workflow.skim.{name}" for name in ("branches", "run", "writer"))


@dataclass(frozen=True)
class SkimTask:
    """One file to skim, in a form that travels to another process.

    Attributes:
        source: the processor's file.
        analysis: what was asked.
        dataset: what the file belongs to.
        info: what it holds.
        target: the skim.
        key: content key of the skim.
    """

    source: ProcessorSource
    analysis: Analysis
    dataset: Dataset
    info: FileInfo
    target: Path
    key: str

    @property
    def note(self) -> str:
        """What the skim says of itself; equal notes mean equal skims."""
        return f"{self.key}\nskim of {redacted(self.info.path)} (UUID {self.info.uuid}, {self.info.entries} events)"

    def is_done(self) -> bool:
        """Tell whether the skim is there and still stands."""
        try:
            with uproot.open(self.target) as file:
                whole = file.file.fEND == self.target.stat().st_size
                return whole and str(file["skim"]).partition("\n")[0] == self.key
        except Exception:  # absent, half a file, no skim: uproot raises many kinds, and all mean that it is made anew
            return False

    def run(self) -> None:
        """Make the skim; it gets its name when it is whole.

        Raises:
            OddjetsError: a branch is missing, or another mistake that a user can mend.
        """
        asked = of_era(self.analysis, self.dataset.metadata.era)
        assert isinstance(asked.era, str)
        era, folder = load_era(asked.era, self.analysis.folder)
        processor = without_model(self.source.load())(asked, era, folder, {})
        with atomic_write(self.target) as temporary:
            try:
                with_retries(lambda: self._write(processor, temporary), self.info.path)
            except OddjetsError:
                raise
            except Exception as error:
                cause = cause_of(error)
                if cause == "unknown" or (isinstance(error, OSError) and error.filename == str(temporary)):
                    raise
                raise InputFileError(
                    f"{self.info.path}: cannot be read ({cause}; {type(error).__name__}: {str(error)[:200]});"
                    f" {advice_on(cause)}",
                    cause=cause,
                ) from None

    def _write(self, processor: DijetProcessor, target: Path) -> None:
        chunk_size = self.analysis.execution.chunk_size
        with open_file(self.info.path, self.analysis.execution.access(self.analysis.folder)) as file:
            needs = required_branches(processor, file, self.dataset, self.info, chunk_size)
            write_skim(target, file, self.dataset, self.info, needs, chunk_size, self.note)


def skim(run: RunContext, out: Path) -> Path:
    """Reduce every file of an analysis's fileset to the events and branches that the analysis needs.

    Skims of an earlier, interrupted call are kept. Sums of weights and luminosity sections stay those of the files.

    Args:
        run: the analysis; its output folder is looked at for simulated files alone.
        out: folder for ``<dataset>/*.root`` and ``fileset.json``.

    Returns:
        The path of ``fileset.json``.

    Raises:
        OddjetsError: the analysis reads no PFNano, a file is listed twice, ``out`` holds the analysis's own files, or a
            file cannot be read.
    """
    if not run.analysis.reads_root:
        what = "the authors' event files" if run.analysis.npz is not None else "HDF5 files"
        raise OddjetsError(f"{run.analysis.name}: reads {what}, not PFNano: there is nothing to skim")
    with locked(out):
        return _skim(run, out)


def _skim(run: RunContext, out: Path) -> Path:
    tasks = _tasks(run, out)
    # without it, a half-made skim is never taken for a whole one
    (out / "manifests" / f"{STAGE}.json").unlink(missing_ok=True)
    for folder in {task.target.parent for task in tasks}:
        folder.mkdir(parents=True, exist_ok=True)
    todo = [task for task in tasks if not task.is_done()]
    if len(todo) < len(tasks):
        console.print(f"skim: {len(tasks) - len(todo)} of {len(tasks)} files are already there")
    started = datetime.now(UTC)
    with progress("skim (events)", sum(task.info.entries for task in todo)) as bar:
        for task in run_tasks(todo, SkimTask.run, run.analysis.execution.processes, "skim"):
            bar.advance(task.info.entries)
    write_json(out / _FILESET, {name: _entry(dataset, tasks, out) for name, (dataset, _) in run.fileset.items()})
    summary = {name: _summary(name, tasks, out) for name in run.fileset}
    for name, found in summary.items():
        console.print(
            f"dataset '{name}': {found['events']} of {found['source_events']} events,"
            f" {found['bytes'] / 1e6:.1f} MB; sums of weights are those of all events",
        )
    manifest = {
        "stage": STAGE,
        "key": provenance.content_key([task.key for task in tasks]),
        "inputs": [],
        "outputs": [_FILESET],
        "versions": provenance.versions(),
        "time_s": (datetime.now(UTC) - started).total_seconds(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "extra": {"analysis": run.analysis.name, "selection": row_selection(run), "datasets": summary},
    }
    provenance.write_manifest(out, STAGE, manifest)
    return out / _FILESET


def _tasks(run: RunContext, out: Path) -> list[SkimTask]:
    seen: dict[str, str] = {}
    shared = {
        "selection": row_selection(run),
        "code": code_sha256(*_CODE),
        "versions": provenance.versions(),
    }
    tasks = []
    for dataset, files in run.fileset.values():
        for info in files:
            if info.uuid in seen:
                # a skim has a UUID of its own, so nothing would tell later
                raise InputFileError(
                    f"{info.path}: the same file as {seen[info.uuid]} (UUID {info.uuid}); keep one of them"
                )
            seen[info.uuid] = info.path
            if not is_remote(info.path) and out.resolve() in Path(info.path).parents:
                raise OddjetsError(f"--out {out}: holds {info.path}, which is to be read; give another folder")
            metadata = dataset.metadata.model_dump(mode="json")
            key = provenance.content_key({**shared, "metadata": metadata, "file": [info.uuid, info.entries]})
            target = out / dataset.name / f"{Path(info.path.partition('?')[0]).stem}-{info.uuid[:8]}.root"
            tasks.append(SkimTask(run.resolved.source, run.analysis, dataset, info, target, key))
    return tasks


def _entry(dataset: Dataset, tasks: list[SkimTask], out: Path) -> dict[str, Any]:
    """Return a dataset's entry of the fileset, with paths relative to it and the list of its sections."""
    metadata = dataset.metadata.model_dump(mode="json")
    if dataset.metadata.processed_lumis is not None:
        copied = out / dataset.name / "processedLumis.json"
        shutil.copyfile(dataset.metadata.processed_lumis, copied)
        metadata["processed_lumis"] = str(copied.relative_to(out))
    files = {str(t.target.relative_to(out)): TREE for t in tasks if t.dataset.name == dataset.name}
    return {"files": files, "metadata": metadata}


def _summary(name: str, tasks: list[SkimTask], out: Path) -> dict[str, Any]:
    """Return the manifest's content about a dataset: for each skim its source file, events and bytes."""
    files: dict[str, dict[str, Any]] = {}
    for task in (task for task in tasks if task.dataset.name == name):
        with uproot.open(task.target) as file:
            events = int(file[TREE].num_entries)
        files[str(task.target.relative_to(out))] = {
            "source": task.info.path,
            "source_uuid": task.info.uuid,
            "source_events": task.info.entries,
            "events": events,
            "bytes": task.target.stat().st_size,
        }
    totals = {key: sum(file[key] for file in files.values()) for key in ("source_events", "events", "bytes")}
    return {**totals, "files": files}
