"""The context of a run: the analysis, its output folder with a lock, input files and the results of earlier stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from oddjets.config import stages
from oddjets.config.analysis import Analysis
from oddjets.core import provenance
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.locks import locked
from oddjets.io import aspen, event_table, paper_npz
from oddjets.io.fileset import Dataset, FileInfo, inspect, load_fileset
from oddjets.io.fileset_search import find_fileset
from oddjets.io.histograms import DATA
from oddjets.selection.normalisation import Luminosities, luminosities_read, total_luminosity
from oddjets.workflow import blinding
from oddjets.workflow.dataset_eras import match_eras
from oddjets.workflow.executors.skipped_files import SkippedFile
from oddjets.workflow.output_folder import save_analysis
from oddjets.workflow.validation import ResolvedAnalysis, resolve

__all__ = ["RunContext", "Stage"]


class RunContext:
    """An analysis and its output folder.

    Args:
        analysis: the analysis.
        out: the output folder.
        combined_from: output folder whose tail probabilities of scores stand here too; None: they are of this folder's data.
        unblind: show the data in A although the analysis is blind; a text says how the user asked for it, for the record of
            blinding (``--unblind``), and True stands for ``unblind=True``.

    Raises:
        ConfigError: mistakes in the analysis.
        OddjetsError: ``out`` is a file.
    """

    def __init__(
        self, analysis: Analysis, out: Path, *, unblind: bool | str = False, combined_from: Path | None = None
    ) -> None:
        if out.is_file():
            raise OddjetsError(f"{out}: is a file, and results need a folder; give another folder with --out")
        #: the analysis as given
        self.requested = analysis
        #: how the data in A are shown although the YAML blinds them; "" if they are not
        self.unblinds = ("unblind=True" if unblind is True else unblind or "") if analysis.blind else ""
        self.resolved: ResolvedAnalysis = resolve(
            analysis.unblinded() if unblind else analysis, recorded=combined_from is not None
        )
        self.analysis = self.resolved.analysis
        self.out = out
        self.combined_from = combined_from
        self._lock_depth = 0

    def reload(self) -> RunContext:
        """Return a new context that reads the user's code and the model cards again, but not the files of events."""
        fresh = RunContext(self.requested, self.out, unblind=self.unblinds, combined_from=self.combined_from)
        if "_inspected" in self.__dict__:
            fresh.__dict__["_inspected"] = self._inspected
        return fresh

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the output folder for this run, and record in it the analysis and its blinding; may be nested.

        Raises:
            OddjetsError: another run uses the folder.
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

    def has_stage(self, stage: str) -> bool:
        """Return whether this analysis has a stage with this name."""
        return stages.has_stage(self.analysis, stage)

    @property
    def fileset(self) -> dict[str, tuple[Dataset, list[FileInfo]]]:
        """The datasets and the properties of their files; every file is opened once."""
        return self._inspected[0]

    @property
    def unreadable(self) -> list[SkippedFile]:
        """Files that cannot be opened, if ``execution.skip_bad_files``; otherwise the first one is an error."""
        return self._inspected[1]

    @cached_property
    def _inspected(self) -> tuple[dict[str, tuple[Dataset, list[FileInfo]]], list[SkippedFile]]:
        if self.analysis.fileset is not None:
            path = find_fileset(self.analysis.fileset, self.analysis.folder)
        else:
            path = self.out / "simulation" / "fileset.json"
            if not path.is_file():
                raise InputFileError(f"{path} does not exist yet; run `oddjets simulate` first")
        execution = self.analysis.execution
        access = execution.access(self.analysis.folder)
        found: dict[str, tuple[Dataset, list[FileInfo]]] = {}
        losses = []
        datasets = load_fileset(path)
        if self.analysis.fileset is not None:
            datasets = match_eras(self.analysis, datasets)
        for name, dataset in datasets.items():
            infos = []
            for file in dataset.files:
                try:
                    given = dataset.metadata.sum_of_weights is not None
                    infos.append(inspect(file, is_data=dataset.metadata.is_data, access=access, sum_is_given=given))
                except InputFileError as error:
                    # without a cause, it is the fileset that is wrong
                    if error.cause is None or not execution.skip_bad_files:
                        raise
                    losses.append(SkippedFile(name, file, error.cause, str(error)))
            found[name] = (dataset, infos)
        return found, losses

    @cached_property
    def npz_files(self) -> dict[str, list[Path]]:
        """The authors' event files by process, without processes that the analysis does not have."""
        spec = self.analysis.npz
        assert spec is not None
        folder = Path(spec.folder)
        found = paper_npz.find_files(spec, folder if folder.is_absolute() else self.analysis.folder / folder)
        return {name: files for name, files in found.items() if name == DATA or name in self.analysis.processes}

    @cached_property
    def aspen_files(self) -> list[aspen.AspenFile]:
        """The files of Aspen Open Jets, checked; each is opened once."""
        spec = self.analysis.aspen
        assert spec is not None
        if not spec.files:
            raise InputFileError(
                f"{self.analysis.name}: no files; name them in 'aspen.files', or to `oddjets import-aspen`"
            )
        return [aspen.inspect(file) for file in aspen.find_files(spec.files, self.analysis.folder)]

    @property
    def aspen_simulation(self) -> Path | None:
        """The output folder that simulated processes beside Aspen Open Jets are taken from; None: there are none."""
        spec = self.analysis.aspen
        if spec is None or spec.simulation is None:
            return None
        return self.analysis.folder / Path(spec.simulation).expanduser()

    def extra(self, stage: str) -> dict[str, Any]:
        """Return the entry ``extra`` of a stage's manifest.

        Raises:
            InputFileError: the stage has not run.
        """
        manifest = provenance.read_manifest(self.out, stage)
        if manifest is None or "extra" not in manifest:
            raise InputFileError(f"{self.out}: no results of the stage '{stage}'; run `oddjets {stage}` first")
        extra: dict[str, Any] = manifest["extra"]
        return extra

    @property
    def event_tables(self) -> Path:
        """The folder of the event tables.

        Raises:
            InputFileError: the stage `process` has not run, or its tables are gone.
        """
        folder = self.out / "events"
        rows = sum(found.get("rows", 0) for found in self.extra("process")["datasets"].values())
        if rows and not event_table.datasets(folder):
            raise InputFileError(f"{folder}: the event tables are gone; run `oddjets process` again")
        return folder

    @property
    def luminosities(self) -> Luminosities:
        """The luminosity that simulation is normalised to, /pb: one number, or era to number where there are several eras."""
        stated = self.analysis.luminosity is not None
        manifest = provenance.read_manifest(self.out, "process") or {}
        # what the YAML says is known before anything was processed
        found = luminosities_read(self.analysis, manifest.get("extra", {}) if stated else self.extra("process"))
        if found is None:
            raise OddjetsError(
                f"{self.analysis.name}: no luminosity: give 'luminosity' (/pb) in the YAML, or 'luminosity_pb' in the"
                " metadata of every dataset of data"
            )
        return found

    @property
    def luminosity_pb(self) -> float:
        """The luminosity of all eras together, /pb."""
        return total_luminosity(self.luminosities)


@dataclass(frozen=True)
class Stage:
    """A stage of the workflow, an arrow in the picture of docs/architecture.md.

    Attributes:
        name: its name, which is also the command.
        needs: stages whose results it reads.
        code: the modules whose code, with all that they import, determines the result (see `code_digests`).
        outputs: files or folders, relative to the output folder, that exist if the stage is done.
        run: does the work; returns the entry ``extra`` of the manifest.
        ready: raises an error for mistakes that can be found before any work is done.
        intact: whether its results, given ``extra`` of its manifest, are complete; ``outputs`` are checked separately.
        check_names: raises an error for names that do not exist in the results it reads.
        kept: folders with earlier work that it reuses, unless it is forced to run.
        values: what it uses of the configuration, for its key; None: what `keys` says of its name.
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
    values: Callable[[RunContext], Any] | None = None
