"""What is done of an analysis, what is missing, failed or stale, and why, as far as its folder tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from oddjets.core import provenance
from oddjets.core.errors import OddjetsError
from oddjets.workflow.executors.chunks import plan
from oddjets.workflow.executors.records import kept
from oddjets.workflow.executors.skipped_files import lost_files
from oddjets.workflow.pipeline import Run, Stage
from oddjets.workflow.stages.process import rows_key

__all__ = ["ChunkCount", "StageStatus", "chunk_counts", "stage_statuses"]

#: incomplete: done, but for files that could not be read; the next run tries them again
State = Literal["done", "incomplete", "stale", "failed", "missing"]

#: how many changed things are named
_NAMED = 6


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
    state: State
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


def stage_statuses(run: Run) -> list[StageStatus]:
    """Return the state of all stages, in order; a stage that needs one that is not done is not done either."""
    found: dict[str, StageStatus] = {}
    for stage in run.stages:
        status = _status(run, stage)
        waiting = [name for name in stage.needs if name in found and found[name].state not in ("done", "incomplete")]
        if status.state == "done" and waiting:
            status = StageStatus(stage.name, "stale", f"needs {waiting[0]}", status.finished, status.seconds)
        found[stage.name] = status
    return list(found.values())


def _status(run: Run, stage: Stage) -> StageStatus:
    manifest = provenance.read_manifest(run.out, stage.name)
    if manifest is None:
        failure = provenance.read_failure(run.out, stage.name)
        if failure is not None:
            return StageStatus(stage.name, "failed", failure.partition("\n")[0])
        return StageStatus(stage.name, "missing")
    state, why = _standing(run, stage, manifest)
    seconds = manifest.get("time_s")
    return StageStatus(stage.name, state, why, str(manifest.get("finished", "")), seconds)


def _standing(run: Run, stage: Stage, manifest: Mapping[str, Any]) -> tuple[State, str]:
    """Say whether a stage's results stand, and if not, why."""
    gone = [name for name in (*stage.outputs, *manifest.get("outputs", ())) if not (run.out / name).exists()]
    if gone:
        return "stale", f"{gone[0]} is not there"
    try:
        inputs = run.inputs_of(stage)
    except OddjetsError as error:
        return "stale", str(error).partition("\n")[0]
    if provenance.content_key(inputs) != manifest.get("key"):
        return "stale", "; ".join(_changes(stage, inputs, manifest)) or "made by another version of oddjets"
    if lost := lost_files(manifest.get("extra")):
        return "incomplete", f"{len(lost)} file(s) left out, {lost[0]} the first; see lost.json"
    if not stage.intact(run, manifest.get("extra", {})):
        return "stale", "some of its files are not there, or others are"
    return "done", ""


def _changes(stage: Stage, inputs: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Name what has changed since a manifest was written, if it says what it depended on."""
    depends = manifest.get("depends")
    if depends is None:
        return []
    said = []
    for kind, now in (
        ("configuration", provenance.digests(inputs["config"])),
        ("upstream", provenance.digests(inputs["upstream"], 1)),
        ("code", provenance.digests(provenance.texts_of(stage.module), 1)),
    ):
        before = depends.get("config" if kind == "configuration" else kind, {})
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        if changed:
            named = ", ".join(changed[:_NAMED]) + (
                f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            )
            said.append(f"{kind}: {named}" if named else kind)
    before, now = manifest.get("versions", {}), inputs["versions"]
    versions = [
        f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    return [*said, *([f"versions: {', '.join(versions)}"] if versions else [])]


def chunk_counts(run: Run) -> list[ChunkCount]:
    """Count the chunks of the stage `process`, done and to be done, as the files and the configuration are now.

    Args:
        run: best one that leaves out files that cannot be read.

    Raises:
        OddjetsError: the files are not known.
    """
    chunks = plan(run.fileset, run.analysis.execution.chunk_size, rows_key(run))
    manifest = provenance.read_manifest(run.out, "process")
    lost = set(lost_files(manifest.get("extra") if manifest else None))
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
