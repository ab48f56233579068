"""The stages in order: what each reads and writes, and when it can be skipped.

A stage runs if its content key differs from the one in its manifest, or if something it wrote is gone; see `keys`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from rich.markup import escape

from oddjets.config.stages import what_lacks
from oddjets.core import provenance, redaction
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError, nearest
from oddjets.selection import processor
from oddjets.workflow.executors import chunk_worker
from oddjets.workflow.executors.records import NO_OUTPUT
from oddjets.workflow.executors.skipped_files import raise_if_skipped
from oddjets.workflow.keys import code_of, inputs_of
from oddjets.workflow.run import RunContext, Stage
from oddjets.workflow.stage_states import is_done, stage_state, stage_states
from oddjets.workflow.stages import closure, fit, histogram, plot, process, report, simulate, workspace

__all__ = [
    "STAGES",
    "run_stage",
    "run_stages",
    "stage_of",
    "stages_of",
    "stages_up_to",
    "warn_of_skipped_files",
    "warn_of_stale_inputs",
]


_BEFORE_FIGURES = ("simulate", "process", "histogram", "closure", "workspace", "fit")


def _stage(
    module: ModuleType,
    needs: tuple[str, ...],
    outputs: tuple[str, ...],
    *,
    work: Callable[[RunContext], dict[str, Any]] | None = None,
    code: tuple[str, ...] = (),
) -> Stage:
    name = module.__name__.rpartition(".")[2]
    ready = getattr(module, "check_environment", lambda run: None)
    intact = getattr(module, "has_all_outputs", lambda run, extra: True)
    check_names = getattr(module, "check_names", lambda run: None)
    kept = getattr(module, "KEPT_FOLDERS", ())
    return Stage(name, needs, (module.__name__, *code), outputs, work or module.work, ready, intact, check_names, kept)


def _write_report(run: RunContext) -> dict[str, Any]:
    # every figure's data are looked at anew, so pictures are never stale here
    found = stage_states(run, [stage for stage in stages_of(run) if stage.name in _BEFORE_FIGURES])
    return report.work(run, {name: why for name, (state, why) in found.items() if state == "stale"})


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        _stage(simulate, (), ("simulation/fileset.json",)),
        _stage(process, ("simulate",), ("events", "cutflow.json"), code=(chunk_worker.__name__,)),
        _stage(
            histogram,
            ("process",),
            ("histograms/index.json", "threshold.json", "event_weights.json"),
            # has the base selection and cuts of every processor
            code=(processor.__name__,),
        ),
        _stage(closure, ("histogram",), ("closure.json",), code=(processor.__name__,)),
        _stage(workspace, ("histogram", "closure"), ("workspace.json",)),
        _stage(fit, ("workspace", "closure"), ("results.json",)),
        _stage(plot, _BEFORE_FIGURES, ("figures",)),
        _stage(
            report,
            (*_BEFORE_FIGURES, "plot"),
            ("report.html",),
            work=_write_report,
            # what it hides is not shown
            code=(redaction.__name__,),
        ),
    )
}


def stages_of(run: RunContext) -> list[Stage]:
    """Return the stages that an analysis has, in order."""
    return [stage for stage in STAGES.values() if run.has_stage(stage.name)]


def stage_of(run: RunContext, name: str) -> Stage:
    """Return a stage of an analysis by name.

    Raises:
        OddjetsError: there is no such stage, or the analysis does not ask for it.
    """
    if name not in STAGES:
        raise OddjetsError(f"no stage '{name}'; {nearest(name, STAGES)}")
    if lacking := what_lacks(run.analysis, name):
        if lacking.startswith("aspen."):
            raise OddjetsError(
                f"{run.analysis.name}: '{name}' needs '{lacking}': the files hold single jets of data alone"
            )
        raise OddjetsError(f"{run.analysis.name}: the analysis has no '{lacking}', so there is nothing to {name}")
    return STAGES[name]


def warn_of_stale_inputs(run: RunContext, stage: Stage) -> None:
    """Warn of results that a stage reads and that are not up to date; the stage runs all the same."""
    before = [
        known for known in stages_of(run) if known.name in stage.needs and provenance.read_manifest(run.out, known.name)
    ]
    # input that is no longer there, or that another command named, stops nothing that does not read it
    states = {known.name: stage_state(run, known) for known in before}
    stale = {name: why for name, (state, why) in states.items() if state not in ("done", "incomplete")}
    if stale:
        console.print(
            f"[bold yellow]{stage.name} reads results that are out of date: {', '.join(stale)}[/bold yellow]"
            f" ({escape('; '.join(why for why in stale.values() if why))}); `oddjets run` updates them all"
        )


def run_stage(run: RunContext, stage: Stage, *, force: bool = False, later: Sequence[Stage] = ()) -> bool:
    """Run one stage unless its results are up to date.

    Args:
        run: the analysis and its folder.
        stage: which.
        force: run it all the same.
        later: stages that are to follow; what would stop them is found before this one works.

    Returns:
        Whether it ran.
    """
    with run.lock():
        if not force and is_done(run, stage):
            console.print(f"[dim]{stage.name}: up to date[/dim]")
            return False
        for each in (stage, *later):
            each.ready(run)
        stage.check_names(run)
        console.print(f"[bold]{stage.name}[/bold]")
        if began := provenance.read_start(run.out, stage.name):
            console.print(f"{stage.name}: the last run, of {escape(began)}, was interrupted")
        # without its manifest, a half-written stage is never taken for a whole one
        provenance.remove_manifest(run.out, stage.name)
        provenance.write_start(run.out, stage.name)
        for folder in stage.kept if force else ():
            shutil.rmtree(run.out / folder, ignore_errors=True)
        try:
            _work(run, stage)
        except Exception as error:
            provenance.write_failure(run.out, stage.name, redaction.redacted(str(error)))
            if isinstance(error, OSError) and error.errno in NO_OUTPUT:
                raise OddjetsError(
                    f"{run.out}: nothing more can be written there ({error.strerror}), so that '{stage.name}' stopped; what is"
                    " finished stays, and the same command continues from there"
                ) from error
            raise
        return True


def _work(run: RunContext, stage: Stage) -> None:
    """Run a stage's work, and write its manifest."""
    started = time.perf_counter()
    # before the work: what changes while it goes on makes its result stale
    inputs = inputs_of(run, stage)
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
                "code": provenance.digests(code_of(stage), 1),
                "upstream": provenance.digests(inputs["upstream"], 1),
            },
            "time_s": seconds,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "extra": extra,
        },
    )
    console.print(f"[dim]{stage.name}: {seconds:.1f} s[/dim]")


def stages_up_to(run: RunContext, name: str) -> list[Stage]:
    """Return a stage and all that it needs, in order."""
    wanted = {stage_of(run, name).name}
    for stage in reversed(stages_of(run)):
        if stage.name in wanted:
            wanted |= set(stage.needs)
    return [stage for stage in stages_of(run) if stage.name in wanted]


def run_stages(run: RunContext, stages: Sequence[Stage] | None = None) -> None:
    """Run stages in order; those with results up to date are skipped.

    Args:
        run: the analysis and its folder.
        stages: which; None: all that the analysis has.
    """
    stages = stages_of(run) if stages is None else stages
    with run.lock():
        for i, stage in enumerate(stages):
            run_stage(run, stage, later=stages[i + 1 :])
        warn_of_skipped_files(run)


def warn_of_skipped_files(run: RunContext) -> None:
    """Raise, with another exit code, where files were left out of the event tables.

    Raises:
        LostEventsError: says how much is lost.
    """
    manifest = provenance.read_manifest(run.out, "process")
    raise_if_skipped(manifest and manifest.get("extra"), run.out)
