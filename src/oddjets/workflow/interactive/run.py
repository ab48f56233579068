"""The class `Run`: an analysis and its folder, for notebooks and scripts."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak

from oddjets.config.analysis import Analysis, find_analysis
from oddjets.core.console import quiet
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError, StaleResultsWarning, nearest
from oddjets.workflow.blinding import stages_showing_data
from oddjets.workflow.inspected_jets import inspect_jets
from oddjets.workflow.inspected_run import asked_of
from oddjets.workflow.inspection import Inspection, inspect_events
from oddjets.workflow.interactive.events import events_of
from oddjets.workflow.interactive.surroundings import single_threaded_workers, stops_at_interrupt
from oddjets.workflow.interactive.views import RunHistograms, RunResults
from oddjets.workflow.interactive.wording import in_words_of_python, worded_for_python
from oddjets.workflow.loading import load, path_of
from oddjets.workflow.output_folder import folders_beside, saved_analysis
from oddjets.workflow.pipeline import (
    STAGES,
    run_stage,
    run_stages,
    stage_of,
    stages_of,
    stages_up_to,
    warn_of_skipped_files,
)
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import stage_states
from oddjets.workflow.status import RunStatus, status_of

if TYPE_CHECKING:
    from oddjets.report.artifacts import Artifacts
    from oddjets.report.registry import FigureKind
    from oddjets.report.style import StyledFigure

__all__ = ["Run"]

#: what a `Run` is made of
_ANALYSIS = (
    "a Run is made of an analysis (its YAML, its name in the package, or what oddjets.load returned) or of its output"
    " folder"
)


class Run:
    """An analysis and its output folder, with methods to run its stages and to read their results.

    The analysis is read once, when this object is made; the user's code that it names is read again every time. Results are
    checked as by `status` before they are returned: out-of-date results give a `StaleResultsWarning`, and missing ones
    an error that names the method to call. The data in A of a blind analysis are not shown.

    Args:
        analysis: an analysis YAML, its name if it is part of the package, or the result of `load`; or an output folder, in
            which its analysis is recorded.
        output: the folder of the results, by default ``output/NAME``; like the analysis, relative to the working folder when
            this object is made.
        unblind: show the data in A although the analysis is blind; this is recorded in the folder.

    Raises:
        OddjetsError: no such analysis, or mistakes in it.

    Examples:
        >>> import oddjets
        >>> run = oddjets.Run("analysis.yaml")
        >>> run
        Run('small', output='output/small')
        >>> run.up_to("histogram", progress=False)
        >>> run.status()["histogram"].state
        'done'
    """

    def __init__(
        self, analysis: str | Path | Analysis, output: str | Path | None = None, *, unblind: bool = False
    ) -> None:
        if not isinstance(unblind, bool):
            raise OddjetsError(f"unblind is True or False; got {unblind!r}")
        folder = None if output is None else path_of(output, "'output' is a folder")
        with worded_for_python():
            if isinstance(analysis, Analysis):
                asked = analysis
            elif (given := path_of(analysis, _ANALYSIS)).is_dir():
                if folder is not None:
                    raise OddjetsError(
                        f"{analysis} is an output folder; give only that folder, or an analysis with 'output'"
                    )
                asked, folder = saved_analysis(given), given
            else:
                asked = load(find_analysis(given, folders_beside(given)))
            if asked.path is not None:
                asked = asked.model_copy(update={"path": asked.path.absolute()})
            # relative paths are those of today's working folder, wherever the program goes later
            out = (folder or Path("output") / asked.name).absolute()
            self._context = RunContext(asked, out, unblind=unblind)

    @property
    def analysis(self) -> Analysis:
        """The analysis."""
        return self._context.analysis

    @property
    def output(self) -> Path:
        """The folder of the results, an absolute path."""
        return self._context.out

    def __repr__(self) -> str:
        here = Path.cwd()
        shown = self.output.relative_to(here) if self.output.is_relative_to(here) else self.output
        return f"Run({self.analysis.name!r}, output={str(shown)!r})"

    # ---- run stages ---------------------------------------------------------------------------------------------------

    def run(self, *, progress: bool = True) -> None:
        """Run all stages in order; stages that are up to date are skipped, and an interrupted one resumes.

        Args:
            progress: show messages and progress bars.

        Raises:
            OddjetsError: a mistake that the user can correct; or files were skipped, if the analysis allows it: results are
                kept, and the message lists what is missing.
        """
        self._work(None, force=False, progress=progress)

    def up_to(self, stage: str, *, force: bool = False, progress: bool = True) -> None:
        """Run a stage and all stages that it needs; those that are up to date are skipped.

        Args:
            stage: simulate, process, histogram, closure, workspace, fit, plot or report.
            force: run this stage even if its results are up to date.
            progress: show messages and progress bars.

        Raises:
            OddjetsError: no such stage, or as `run`.
        """
        if not isinstance(stage, str):
            raise OddjetsError(f"a stage is named by text; {nearest(stage, STAGES)}")
        self._work(stage, force=force, progress=progress)

    def _work(self, name: str | None, *, force: bool, progress: bool) -> None:
        with worded_for_python(), quiet(not progress), stops_at_interrupt(), single_threaded_workers():
            # files may have changed since they were opened
            context = RunContext(self._context.requested, self.output, unblind=self._context.unblinds)
            self._context = context
            self._run_stages(context, name, force)

    @staticmethod
    def _run_stages(context: RunContext, name: str | None, force: bool) -> None:
        stages = stages_of(context) if name is None else stages_up_to(context, name)
        with context.lock():
            if force:
                for i, stage in enumerate(stages[:-1]):
                    run_stage(context, stage, later=stages[i + 1 :])
                run_stage(context, stages[-1], force=True)
                warn_of_skipped_files(context)
            else:
                run_stages(context, stages)

    def status(self) -> RunStatus:
        """Return the state of each stage (done, missing, failed, stale) with the reason; shown as a table in a notebook.

        Examples:
            >>> status = run.status()
            >>> [stage.name for stage in status if stage.state == "done"]
            ['process', 'histogram', 'closure', 'workspace', 'fit']
            >>> status.done  # figures and report are missing
            False
        """
        # one unreadable file must not hide the state of the others
        asked = self._context.requested
        execution = asked.execution.model_copy(update={"skip_bad_files": True})
        changed = asked.model_copy(update={"execution": execution})
        with worded_for_python():
            found = status_of(RunContext(changed, self.output, unblind=self._context.unblinds))
        stages = tuple(replace(stage, why=in_words_of_python(stage.why)) for stage in found.stages)
        return replace(found, stages=stages, no_chunks=in_words_of_python(found.no_chunks))

    # ---- read results ------------------------------------------------------------------------------------------------

    @property
    def datasets(self) -> list[str]:
        """The datasets that have been processed."""
        with worded_for_python():
            return list(self._checked("process").extra("process")["datasets"])

    def events(self, dataset: str, variation: str = "nominal", columns: Sequence[str] | None = None) -> ak.Array:
        """Return the events of a dataset that pass the base selection, as a variation sees them.

        Args:
            dataset: its name in the fileset.
            variation: ``nominal``, or for example ``jesUp``: with the varied jets, numbered by varied pT, or the varied weight.
            columns: which columns to read; None: all.

        Returns:
            A record an event. The columns of the event table by name, as ``mjj``, ``pt_1``, ``score_NAME_2``, pT and masses in
            GeV; and ``jets``, two an event, with the columns of both: ``jets.pt`` is ``pt_1`` and ``pt_2``. ``weight`` is
            normalised to the luminosity: filled into a histogram, these are the events of `histograms`. Of a blind analysis,
            the data in A are left out.

        Raises:
            OddjetsError: not processed yet; or no such dataset, variation or column: the message has the nearest.
            BlindedError: the data in A are hidden, and without the threshold nobody can tell which data these are.

        Examples:
            >>> events = run.events("top", "jmsUp")
            >>> events.jets.pt[0].tolist() == [events.pt_1[0], events.pt_2[0]]
            True
            >>> run.events("top", "jmsUpp")
            Traceback (most recent call last):
            oddjets.core.errors.OddjetsError: dataset 'top' has no variation 'jmsUpp'; did you mean 'jmsUp'?
        """
        with worded_for_python():
            return events_of(self._checked("process"), dataset, variation, columns)

    def inspect(self, **asked: Any) -> Inspection:
        """Inspect the oddest events of a window, or single jets where there are no events, as the command `inspect` does.

        Args:
            **asked: keys of the YAML's section ``inspect``, such as ``region``, ``letter``, ``bins`` or ``top``; what is not
                given is the YAML's.

        Returns:
            Part (``events``, ``displays``, ...; of single jets ``jets``) to the content of its JSON file; displayed as text.

        Raises:
            OddjetsError: a key or a name that does not exist, or results are missing.
            BlindedError: the events are blinded data.

        Examples:
            >>> found = run.inspect(process="top", top=3, displays=0)
            >>> [event["rank"] for event in found["events"]["events"]]
            [1, 2, 3]
        """
        with worded_for_python():
            of_events = self._context.has_stage("histogram")
            context = self._checked("histogram" if of_events else "process")
            return (inspect_events if of_events else inspect_jets)(context, asked_of(context, asked))

    @property
    def histograms(self) -> RunHistograms:
        """The histograms by region and observable, each a `hist.Hist` of process, letter, variation and the observable.

        Raises:
            OddjetsError: they do not exist yet.

        Examples:
            >>> masses = run.histograms["SR", "leading_mass"]
            >>> masses.axes.name
            ('process', 'letter', 'variation', 'leading_mass')
            >>> top_in_a = masses["top", "A", "nominal", :]
        """
        with worded_for_python():
            return RunHistograms(self._artifacts("histogram").histograms)

    @property
    def workspace(self) -> dict[str, Any]:
        """The statistical model as a pyhf workspace; ``oddjets.stats.Model(run.workspace)`` fits it.

        Raises:
            OddjetsError: it does not exist yet, or the analysis has no fit.
            BlindedError: it contains blinded data in A.

        Examples:
            >>> import oddjets
            >>> oddjets.stats.Model(run.workspace)
            Model: 8 channels, 48 bins, 64 parameters, parameter of interest mu
        """
        with worded_for_python():
            context = self._checked("workspace")
        if context.analysis.blind and "workspace" in stages_showing_data(context.out):
            raise BlindedError(
                f"{context.out / 'workspace.json'} contains the data in A, but the analysis is blind: call"
                " run.up_to('workspace'), which replaces them by the expected background, or make the Run with unblind=True"
            )
        return dict(self._artifacts().json("workspace.json"))

    @property
    def results(self) -> RunResults:
        """The results of the fit: the content of ``results.json``, displayed as a summary of a few lines.

        Raises:
            OddjetsError: it does not exist yet, or the analysis has no fit.
            BlindedError: it shows blinded data in A.

        Examples:
            >>> run.results["poi"]["name"]
            'mu'
        """
        with worded_for_python():
            return RunResults(self._artifacts("fit").results)

    @property
    def figures(self) -> list[str]:
        """The figures that can be drawn from the existing results, in the order of the report."""
        with worded_for_python():
            return [data["name"] for _, data in self._drawable()]

    def figure(self, name: str) -> StyledFigure:
        """Draw a figure of the report without writing a file.

        Args:
            name: a name in `figures`, or a kind of figure (``limit``, ``cutflow``) with only one figure.

        Returns:
            The Matplotlib figure, in the style of the report wherever it is drawn or saved; notebooks display it.

        Raises:
            OddjetsError: no such figure, or a kind with several figures, whose names are in the message; or the stage that
                it is drawn from has not run.
            BlindedError: it shows blinded data in A.

        Examples:
            >>> run.figure("cutflow").savefig("cutflow.pdf")
            >>> run.figure("cutflows")
            Traceback (most recent call last):
            oddjets.core.errors.OddjetsError: no figure is called 'cutflows'; did you mean 'cutflow'?
        """
        from oddjets.report.artifacts import ARTIFACTS
        from oddjets.report.figure_files import collect
        from oddjets.report.registry import draw, find

        with worded_for_python():
            kind = find(name)
            for need in kind.needs:
                self._checked(ARTIFACTS[need][1])
            found = collect(self._artifacts(), [name])
        if len(found) != 1:
            names = ", ".join(data["name"] for _, data in found)
            raise OddjetsError(f"'{name}' is a kind of figure with {len(found)} figures: {names}")
        made: StyledFigure = draw(found[0][1])  # type: ignore[assignment]  # all are made by `style.figure`
        made.align_ylabels()
        return made

    # ---- checks before reading ---------------------------------------------------------------------------------------

    def _drawable(self) -> list[tuple[FigureKind, dict[str, Any]]]:
        from oddjets.report.figure_files import collect

        return collect(self._artifacts(), None)

    def _artifacts(self, stage: str | None = None) -> Artifacts:
        from oddjets.report.artifacts import Artifacts

        context = self._context if stage is None else self._checked(stage)
        return Artifacts(context.analysis, context.out)

    def _checked(self, name: str) -> RunContext:
        """Return the context, after a check that a stage's results exist and are up to date."""
        context = self._context = self._context.reload()
        stage_of(context, name)
        state, why = stage_states(context, stages_up_to(context, name))[name]
        absent = [place for place in STAGES[name].outputs if not (context.out / place).exists()]
        if state in ("missing", "failed", "interrupted", "running") or absent:
            reason = f"no results of the stage '{name}'"
            if state in ("failed", "interrupted", "running"):
                reason = f"the stage '{name}' {'failed' if state == 'failed' else f'is {state}'}: {why}"
            raise InputFileError(f"{context.out}: {reason}: call run.up_to('{name}')")
        if state != "done":
            what = "are incomplete" if state == "incomplete" else "are out of date"
            warnings.warn(
                f"{context.out}: the results of '{name}' {what} ({why}): run.up_to('{name}') updates them",
                StaleResultsWarning,
                stacklevel=_frames_within() + 1,
            )
        return context


def _frames_within() -> int:
    """Count the frames of this module between here and the user's line, for the warning's stacklevel."""
    frame, number = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename == __file__:
        frame, number = frame.f_back, number + 1
    return number - 1
