"""The stages in order: what each reads and writes, and when it can be skipped.

A stage runs if its content key differs from the one in its manifest, or if something it wrote is gone; see `provenance`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.core import provenance, resources
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.core.locks import locked
from oddjets.core.redaction import redacted
from oddjets.io import paper_npz
from oddjets.io.fileset import Dataset, FileInfo, inspect, load_fileset
from oddjets.io.histograms import DATA
from oddjets.workflow.executors.records import NO_OUTPUT
from oddjets.workflow.executors.skipped_files import Loss, lost_files, raise_if_lost
from oddjets.workflow.output_folder import remember
from oddjets.workflow.stages import closure, fit, histogram, plot, process, report, simulate, workspace
from oddjets.workflow.validation import Resolved, resolve

__all__ = ["STAGES", "Run", "run_stages", "up_to", "warn_of_stale_inputs"]


@dataclass(frozen=True)
class Stage:
    """One arrow of the picture in docs/architecture.md.

    Attributes:
        name: the verb.
        needs: stages whose results it reads.
        module: the oddjets module whose code (with its imports) decides the result.
        outputs: what must exist, relative to the output folder, for the stage to count as done.
        run: does the work; returns what goes into the manifest under ``extra``.
        config: the part of the configuration that the stage uses.
        ready: refuses what would stop it, as far as that can be told before any work is done.
        intact: whether what it left is all there, given its part of the manifest; what must exist is in ``outputs``.
        kept: folders that it takes earlier work from, unless it is forced to run.
    """

    name: str
    needs: tuple[str, ...]
    module: str
    outputs: tuple[str, ...]
    run: Callable[[Run], dict[str, Any]]
    config: Callable[[Run], Any]
    ready: Callable[[Run], None]
    intact: Callable[[Run, dict[str, Any]], bool]
    kept: tuple[str, ...]


class Run:
    """An analysis and its output folder.

    Args:
        analysis: what was asked.
        out: the folder that everything is written into.
    """

    def __init__(self, analysis: Analysis, out: Path) -> None:
        self.resolved: Resolved = resolve(analysis)
        self.analysis = self.resolved.analysis
        self.out = out
        self._lock_depth = 0

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs off the output folder, which learns which analysis it is for; may be nested.

        Raises:
            OddjetsError: another run works there.
        """
        with nullcontext() if self._lock_depth else locked(self.out):
            if not self._lock_depth:
                remember(self.analysis, self.out)
            self._lock_depth += 1
            try:
                yield
            finally:
                self._lock_depth -= 1

    @property
    def stages(self) -> list[Stage]:
        """The stages that this analysis has, in order."""
        has = {"simulate": self.analysis.simulate is not None, "closure": self.analysis.data_driven is not None}
        has |= dict.fromkeys(("workspace", "fit"), self.analysis.fit is not None)
        return [stage for stage in STAGES.values() if has.get(stage.name, True)]

    def stage(self, name: str) -> Stage:
        """Return a stage of this analysis by name."""
        stages = {s.name: s for s in self.stages}
        if name not in stages:
            section = {"simulate": "simulate", "closure": "processes.*.data_driven"}.get(name, "fit")
            raise OddjetsError(f"{self.analysis.name}: the analysis has no '{section}', so there is nothing to {name}")
        return stages[name]

    # ---- inputs --------------------------------------------------------------------------------------------------

    @property
    def fileset(self) -> dict[str, tuple[Dataset, list[FileInfo]]]:
        """The datasets and what their files hold; every file is opened once."""
        return self._inspected[0]

    @property
    def unreadable(self) -> list[Loss]:
        """Files that cannot even be opened, where such files are left out; else the first one is an error."""
        return self._inspected[1]

    @cached_property
    def _inspected(self) -> tuple[dict[str, tuple[Dataset, list[FileInfo]]], list[Loss]]:
        if self.analysis.fileset is not None:
            path = resources.find(self.analysis.fileset, "datasets", self.analysis.folder)
        else:
            path = self.out / "simulation" / "fileset.json"
            if not path.is_file():
                raise InputFileError(f"{path}: not there yet; run `oddjets simulate` first")
        execution = self.analysis.execution
        access = execution.access(self.analysis.folder)
        found: dict[str, tuple[Dataset, list[FileInfo]]] = {}
        losses = []
        for name, dataset in load_fileset(path).items():
            infos = []
            for file in dataset.files:
                try:
                    infos.append(inspect(file, is_data=dataset.metadata.is_data, access=access))
                except InputFileError as error:
                    # without a cause, it is the fileset that is wrong
                    if error.cause is None or not execution.skip_bad_files:
                        raise
                    losses.append(Loss(name, file, error.cause, str(error)))
            found[name] = (dataset, infos)
        return found, losses

    @cached_property
    def npz_files(self) -> dict[str, list[Path]]:
        """The authors' event files by process, those of processes that the analysis does not have left out."""
        spec = self.analysis.npz
        assert spec is not None
        folder = Path(spec.folder)
        found = paper_npz.find_files(spec, folder if folder.is_absolute() else self.analysis.folder / folder)
        return {name: files for name, files in found.items() if name == DATA or name in self.analysis.processes}

    def extra(self, stage: str) -> dict[str, Any]:
        """Return what a stage left in its manifest.

        Raises:
            InputFileError: the stage has not run.
        """
        manifest = provenance.read_manifest(self.out, stage)
        if manifest is None:
            raise InputFileError(f"{self.out}: nothing here of the stage '{stage}'; run `oddjets {stage}` first")
        extra: dict[str, Any] = manifest["extra"]
        return extra

    @property
    def luminosity_pb(self) -> float:
        """The luminosity that simulation is normalised to, /pb."""
        if self.analysis.luminosity is not None:
            # what the YAML says is that of all files
            manifest = provenance.read_manifest(self.out, "process") or {}
            return self.analysis.luminosity * float(manifest.get("extra", {}).get("fraction_of_data", 1.0))
        read = [d["luminosity_pb"] for d in self.extra("process")["datasets"].values() if d["is_data"]]
        if not read or any(value is None for value in read):
            raise OddjetsError(
                f"{self.analysis.name}: no luminosity: give 'luminosity' (/pb) in the YAML, or 'luminosity_pb' in the"
                " metadata of every dataset of data"
            )
        return float(sum(read))

    # ---- keys ----------------------------------------------------------------------------------------------------

    def inputs_of(self, stage: Stage) -> dict[str, Any]:
        """Return all that a stage's result depends on, as it is now."""
        upstream = {}
        for name in stage.needs:
            if any(s.name == name for s in self.stages):
                manifest = provenance.read_manifest(self.out, name)
                # a key says what was asked for, and not what could not be read of it
                lost = lost_files(manifest["extra"]) if manifest else None
                upstream[name] = [manifest["key"] if manifest else None, *([lost] if lost else [])]
        return {
            "stage": stage.name,
            "config": stage.config(self),
            "code": provenance.code_of(stage.module),
            "upstream": upstream,
            "versions": provenance.versions(),
        }

    def key(self, stage: Stage) -> str:
        """Return the content key that a stage has now."""
        return provenance.content_key(self.inputs_of(stage))

    def is_done(self, stage: Stage) -> bool:
        """Tell whether a stage's results are there and still stand."""
        manifest = provenance.read_manifest(self.out, stage.name)
        if manifest is None or not all(
            (self.out / name).exists() for name in (*stage.outputs, *manifest.get("outputs", ()))
        ):
            return False
        return stage.intact(self, manifest.get("extra", {})) and bool(manifest.get("key") == self.key(stage))


_BEFORE_PICTURES = ("simulate", "process", "histogram", "closure", "workspace", "fit")


def _stage(module: ModuleType, needs: tuple[str, ...], outputs: tuple[str, ...]) -> Stage:
    name = module.__name__.rpartition(".")[2]
    ready = getattr(module, "ready", lambda run: None)
    intact = getattr(module, "intact", lambda run, extra: True)
    kept = getattr(module, "KEPT", ())
    return Stage(name, needs, module.__name__, outputs, module.work, module.config, ready, intact, kept)


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        _stage(simulate, (), ("simulation/fileset.json",)),
        _stage(process, ("simulate",), ("events", "cutflow.json")),
        _stage(histogram, ("process",), ("histograms/index.json", "threshold.json")),
        _stage(closure, ("histogram",), ("closure.json",)),
        _stage(workspace, ("histogram", "closure"), ("workspace.json",)),
        _stage(fit, ("workspace", "closure"), ("results.json",)),
        _stage(plot, _BEFORE_PICTURES, ("figures",)),
        _stage(report, (*_BEFORE_PICTURES, "plot"), ("report.html",)),
    )
}


def warn_of_stale_inputs(run: Run, stage: Stage) -> None:
    """Say which results that a stage reads no longer stand; the stage runs on what is there all the same."""
    stale = [
        known.name
        for known in run.stages
        if known.name in stage.needs and provenance.read_manifest(run.out, known.name) and not run.is_done(known)
    ]
    if stale:
        console.print(
            f"[bold yellow]{stage.name} reads results of an earlier state: {', '.join(stale)}[/bold yellow]; `oddjets run`"
            " brings all up to date"
        )


def run_stage(run: Run, stage: Stage, *, force: bool = False, later: Sequence[Stage] = ()) -> bool:
    """Run one stage unless its results still stand.

    Args:
        run: the analysis and its folder.
        stage: which.
        force: run it all the same.
        later: stages that are to follow; what would stop them is found before this one works.

    Returns:
        Whether it ran.
    """
    with run.lock():
        if not force and run.is_done(stage):
            console.print(f"[dim]{stage.name}: up to date[/dim]")
            return False
        for each in (stage, *later):
            each.ready(run)
        console.print(f"[bold]{stage.name}[/bold]")
        # without its manifest, a half-written stage is never taken for a whole one
        provenance.remove_manifest(run.out, stage.name)
        for folder in stage.kept if force else ():
            shutil.rmtree(run.out / folder, ignore_errors=True)
        try:
            _work(run, stage)
        except Exception as error:
            provenance.write_failure(run.out, stage.name, redacted(str(error)))
            if isinstance(error, OSError) and error.errno in NO_OUTPUT:
                raise OddjetsError(
                    f"{run.out}: nothing more can be written there ({error.strerror}), so that '{stage.name}' stopped; what is"
                    " finished stays, and the same command goes on from there"
                ) from error
            raise
        return True


def _work(run: Run, stage: Stage) -> None:
    """Do a stage's work, and write its manifest."""
    started = time.perf_counter()
    # before the work: what changes while it goes on makes its result stale
    inputs = run.inputs_of(stage)
    extra = stage.run(run)
    seconds = time.perf_counter() - started
    provenance.write_manifest(
        run.out,
        stage.name,
        {
            "stage": stage.name,
            "key": provenance.content_key(inputs),
            "inputs": list(stage.needs),
            "outputs": list(stage.outputs),
            "versions": provenance.versions(),
            "depends": {
                "config": provenance.digests(inputs["config"]),
                "code": provenance.digests(provenance.texts_of(stage.module), 1),
                "upstream": provenance.digests(inputs["upstream"], 1),
            },
            "time_s": seconds,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "extra": extra,
        },
    )
    console.print(f"[dim]{stage.name}: {seconds:.1f} s[/dim]")


def up_to(run: Run, name: str) -> list[Stage]:
    """Return a stage and all that it needs, in order."""
    if name not in STAGES:
        raise OddjetsError(f"no stage '{name}'; {nearest(name, STAGES)}")
    wanted = {run.stage(name).name}
    for stage in reversed(run.stages):
        if stage.name in wanted:
            wanted |= set(stage.needs)
    return [stage for stage in run.stages if stage.name in wanted]


def run_stages(run: Run, stages: list[Stage]) -> None:
    """Run stages in order, each skipped where its results still stand."""
    with run.lock():
        for i, stage in enumerate(stages):
            run_stage(run, stage, later=stages[i + 1 :])
        warn_of_losses(run)


def warn_of_losses(run: Run) -> None:
    """End with another exit code where files were left out of the event tables.

    Raises:
        LostEventsError: says how much is lost.
    """
    manifest = provenance.read_manifest(run.out, "process")
    raise_if_lost(manifest and manifest.get("extra"), run.out)
