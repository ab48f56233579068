"""An analysis and its output folder: files read, what earlier stages left, and the lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.core import provenance, resources
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.locks import locked
from oddjets.io import paper_npz
from oddjets.io.fileset import Dataset, FileInfo, inspect, load_fileset
from oddjets.io.histograms import DATA
from oddjets.workflow import blinding
from oddjets.workflow.executors.skipped_files import SkippedFile
from oddjets.workflow.output_folder import save_analysis
from oddjets.workflow.validation import ResolvedAnalysis, resolve

__all__ = ["RunContext", "Stage"]


class RunContext:
    """An analysis and its output folder.

    Args:
        analysis: what was asked.
        out: the folder that everything is written into.
        unblind: show the data in A although the analysis is blind.
    """

    def __init__(self, analysis: Analysis, out: Path, *, unblind: bool = False) -> None:
        #: as it was given
        self.asked = analysis
        #: whether the data in A are shown against what the YAML says
        self.unblinds = unblind and analysis.blind
        self.resolved: ResolvedAnalysis = resolve(analysis.unblinded() if unblind else analysis)
        self.analysis = self.resolved.analysis
        self.out = out
        self._lock_depth = 0

    def again(self) -> RunContext:
        """Return the same with the user's code and the model cards read anew; files of events are not opened again."""
        fresh = RunContext(self.asked, self.out, unblind=self.unblinds)
        if "_inspected" in self.__dict__:
            fresh.__dict__["_inspected"] = self._inspected
        return fresh

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other runs off the output folder, which learns which analysis it is for and whether it is blind; may be nested.

        Raises:
            OddjetsError: another run works there.
        """
        with nullcontext() if self._lock_depth else locked(self.out):
            if not self._lock_depth:
                save_analysis(self.analysis, self.out)
                blinding.apply_blinding(self.analysis, self.out, unblinds=self.unblinds)
            self._lock_depth += 1
            try:
                yield
            finally:
                self._lock_depth -= 1

    def has(self, stage: str) -> bool:
        """Tell whether this analysis has a stage of this name; those that every analysis has, it has."""
        sections = {
            "simulate": self.analysis.simulate,
            "closure": self.analysis.data_driven,
            "workspace": self.analysis.fit,
            "fit": self.analysis.fit,
        }
        return sections.get(stage, self.analysis) is not None

    @property
    def fileset(self) -> dict[str, tuple[Dataset, list[FileInfo]]]:
        """The datasets and what their files hold; every file is opened once."""
        return self._inspected[0]

    @property
    def unreadable(self) -> list[SkippedFile]:
        """Files that cannot even be opened, where such files are left out; else the first one is an error."""
        return self._inspected[1]

    @cached_property
    def _inspected(self) -> tuple[dict[str, tuple[Dataset, list[FileInfo]]], list[SkippedFile]]:
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
                    losses.append(SkippedFile(name, file, error.cause, str(error)))
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


@dataclass(frozen=True)
class Stage:
    """One arrow of the picture in docs/architecture.md.

    Attributes:
        name: the verb.
        needs: stages whose results it reads.
        code: the modules whose code, with all that they import, decides the result (see `code_digests`).
        outputs: what must exist, relative to the output folder, for the stage to count as done.
        run: does the work; returns what goes into the manifest under ``extra``.
        ready: refuses what would stop it, as far as that can be told before any work is done.
        intact: whether what it left is all there, given its part of the manifest; what must exist is in ``outputs``.
        check_names: refuses names that the results it reads do not have, when all of them are there.
        kept: folders that it takes earlier work from, unless it is forced to run.
    """

    name: str
    needs: tuple[str, ...]
    code: tuple[str, ...]
    outputs: tuple[str, ...]
    run: Callable[[RunContext], dict[str, Any]]
    ready: Callable[[RunContext], None]
    intact: Callable[[RunContext, dict[str, Any]], bool]
    check_names: Callable[[RunContext], None]
    kept: tuple[str, ...]
