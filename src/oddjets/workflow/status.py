"""What is done of an analysis, what is missing, failed or stale, and why, as far as its folder tells."""

from __future__ import annotations

from dataclasses import dataclass

from oddjets.core import provenance
from oddjets.workflow.blinding import stages_that_show
from oddjets.workflow.executors.chunks import plan
from oddjets.workflow.executors.records import kept
from oddjets.workflow.keys import TrainingState, rows_key, stage_states
from oddjets.workflow.pipeline import stages_of
from oddjets.workflow.run import RunContext

__all__ = ["ChunkCount", "StageStatus", "chunk_counts", "stage_statuses"]


@dataclass(frozen=True)
class StageStatus:
    """One stage.

    Attributes:
        name: the verb.
        state: what there is of it.
        why: what has changed, or what went wrong; "" for what is done.
        finished: when it was done, ISO 8601; "" if it was not.
        seconds: what it took, s.
    """

    name: str
    state: TrainingState
    why: str = ""
    finished: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class ChunkCount:
    """The chunks of one dataset.

    Attributes:
        dataset: its name.
        planned: by the files and the configuration as they are now.
        done: of these.
        lost: of these, could not be read when they were last tried.
        unreadable: files that cannot even be opened.
    """

    dataset: str
    planned: int
    done: int
    lost: int
    unreadable: int


def stage_statuses(run: RunContext) -> list[StageStatus]:
    """Return the state of all stages, in order; a stage that needs one that is not done is not done either."""
    found = []
    shown = stages_that_show(run.out) if run.analysis.blind else []
    for name, (state, why) in stage_states(run, stages_of(run)).items():
        manifest = provenance.read_manifest(run.out, name) or {}
        if name in shown:
            state, why = (
                ("stale" if state == "done" else state),
                "; ".join(["holds the data in A", *([why] if why else [])]),
            )
        found.append(StageStatus(name, state, why, str(manifest.get("finished", "")), manifest.get("time_s")))
    return found


def chunk_counts(run: RunContext) -> list[ChunkCount]:
    """Count the chunks of the stage `process`, done and to be done, as the files and the configuration are now.

    Args:
        run: best one that leaves out files that cannot be read.

    Raises:
        OddjetsError: the files are not known.
    """
    chunks = plan(run.fileset, run.analysis.execution.chunk_size, rows_key(run))
    manifest = provenance.read_manifest(run.out, "process")
    lost = set(provenance.lost_files(manifest.get("extra") if manifest else None))
    return [
        ChunkCount(
            dataset=name,
            planned=len(mine := [chunk for chunk in chunks if chunk.dataset == name]),
            done=len(done := {chunk.id for chunk in mine if kept(run.out, chunk, thorough=False) is not None}),
            lost=sum(chunk.path in lost and chunk.id not in done for chunk in mine),
            unreadable=sum(loss.dataset == name for loss in run.unreadable),
        )
        for name in run.fileset
    ]
