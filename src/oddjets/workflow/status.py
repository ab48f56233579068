"""The state of an analysis: stages done, missing, failed or stale, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oddjets.core import provenance
from oddjets.core.blinding_history import BLINDED, describe_history, open_periods, read_history
from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.locks import lock_holder
from oddjets.core.tables import Table, Tabular
from oddjets.workflow.blinding import stages_showing_data
from oddjets.workflow.executors.chunks import plan
from oddjets.workflow.executors.records import completed_record
from oddjets.workflow.keys import rows_keys
from oddjets.workflow.pipeline import stages_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import StageState, stage_states

__all__ = ["ChunkCount", "RunStatus", "StageStatus", "chunk_counts", "stage_statuses", "status_of"]


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
    state: StageState
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


@dataclass(frozen=True, repr=False)
class RunStatus(Tabular):
    """The state of an analysis, shown as a table in notebooks.

    Attributes:
        name: of the analysis.
        output: its folder.
        stages: in order.
        chunks: of the stage `process`, a dataset each; empty where the files are not known, or are the authors' event files.
        no_chunks: why they are not known; "" where they are.
        data_in_a: since when the data in A have been hidden, or open; "" where they always were open.
        look_closer: the data in A were or are open although they once were to be hidden.
        at_work: who works in the folder now; "" for nobody.
    """

    name: str
    output: Path
    stages: tuple[StageStatus, ...]
    chunks: tuple[ChunkCount, ...]
    no_chunks: str = ""
    data_in_a: str = ""
    look_closer: bool = False
    at_work: str = ""

    @property
    def done(self) -> bool:
        """Whether every stage is done and stands."""
        return all(stage.state == "done" for stage in self.stages)

    def __getitem__(self, stage: str) -> StageStatus:
        """Return a stage by name.

        Raises:
            OddjetsError: the analysis has no such stage.
        """
        found = {known.name: known for known in self.stages}
        if stage not in [*found]:
            raise OddjetsError(f"{self.name}: no stage '{stage}'; {nearest(stage, found)}")
        return found[stage]

    def __iter__(self) -> Iterator[StageStatus]:
        return iter(self.stages)

    @property
    def _headline(self) -> str:
        done = sum(stage.state == "done" for stage in self.stages)
        return f"{self.name} in {self.output}: {done} of {len(self.stages)} stages done"

    def _tables(self) -> list[Table]:
        stages = [
            (s.name, s.state, s.finished, "" if s.seconds is None else f"{s.seconds:.1f}", s.why) for s in self.stages
        ]
        tables: list[Table] = [(("stage", "state", "finished", "seconds", "why"), stages)]
        if self.chunks:
            chunks = [tuple(vars(c).values()) for c in self.chunks]
            tables.append((("dataset", "chunks", "done", "lost", "unreadable files"), chunks))
        return tables

    def _notes(self) -> list[str]:
        return [
            *([f"a run works here now: {self.at_work}"] if self.at_work else []),
            *([f"data in A: {'warning: ' * self.look_closer}{self.data_in_a}"] if self.data_in_a else []),
            *([f"chunks: {self.no_chunks}"] if self.no_chunks else []),
        ]


def status_of(run: RunContext) -> RunStatus:
    """Return all that is known of an analysis and its folder, without changing anything there.

    Args:
        run: best one that leaves out files that cannot be read.
    """
    chunks: list[ChunkCount] = []
    no_chunks = ""
    stages = stage_statuses(run)
    if run.analysis.reads_root:
        try:
            chunks = chunk_counts(run)
        except OddjetsError as error:
            no_chunks = str(error)
    acts = read_history(run.out)
    return RunStatus(
        run.analysis.name,
        run.out,
        tuple(stages),
        tuple(chunks),
        no_chunks,
        describe_history(acts),
        bool(acts) and (bool(open_periods(acts)) or acts[-1]["state"] != BLINDED),
        lock_holder(run.out) or "",
    )


def stage_statuses(run: RunContext) -> list[StageStatus]:
    """Return the state of all stages, in order; a stage that needs one that is not done is not done either."""
    found = []
    shown = stages_showing_data(run.out) if run.analysis.blind else []
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
    chunks = plan(run.fileset, run.analysis.execution.chunk_size, rows_keys(run))
    manifest = provenance.read_manifest(run.out, "process")
    lost = set(provenance.lost_files(manifest.get("extra") if manifest else None))
    return [
        ChunkCount(
            dataset=name,
            planned=len(mine := [chunk for chunk in chunks if chunk.dataset == name]),
            done=len(
                done := {chunk.id for chunk in mine if completed_record(run.out, chunk, thorough=False) is not None}
            ),
            lost=sum(chunk.path in lost and chunk.id not in done for chunk in mine),
            unreadable=sum(loss.dataset == name for loss in run.unreadable),
        )
        for name in run.fileset
    ]
