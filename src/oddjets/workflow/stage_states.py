"""States of stages: up to date or not, and if not, why; their manifests against their keys now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from oddjets.core import provenance
from oddjets.core.errors import OddjetsError
from oddjets.core.locks import lock_holder
from oddjets.workflow.keys import code_of, inputs_of, key_of
from oddjets.workflow.run import RunContext, Stage

__all__ = ["StageState", "changes", "is_done", "stage_state", "stage_states"]

#: incomplete: done, but for files that could not be read; the next run tries them again. interrupted: killed before its end
StageState = Literal["done", "incomplete", "stale", "failed", "interrupted", "running", "missing"]
#: how many changed things are named
_NAMED = 6


def is_done(run: RunContext, stage: Stage) -> bool:
    """Tell whether a stage's results exist and are up to date."""
    manifest = provenance.read_manifest(run.out, stage.name)
    if manifest is None or _missing_outputs(run, stage, manifest):
        return False
    return stage.intact(run, manifest.get("extra", {})) and bool(manifest.get("key") == key_of(run, stage))


def stage_state(run: RunContext, stage: Stage) -> tuple[StageState, str]:
    """Return whether a stage's results are up to date, and if not, why.

    Args:
        run: the analysis and its folder.
        stage: which.

    Returns:
        The state, and why it is that one: what has changed, or what went wrong; "" for what is done or missing.
    """
    manifest = provenance.read_manifest(run.out, stage.name)
    if manifest is None:
        failure = provenance.read_failure(run.out, stage.name)
        return _unfinished(run, stage) if failure is None else ("failed", failure.partition("\n")[0])
    if gone := _missing_outputs(run, stage, manifest):
        return "stale", f"{gone[0]} is not there"
    try:
        inputs = inputs_of(run, stage)
    except OddjetsError as error:
        return "stale", str(error).partition("\n")[0]
    if provenance.content_key(inputs) != manifest.get("key"):
        return "stale", "; ".join(changes(stage, inputs, manifest)) or "made by another version of oddjets"
    if lost := provenance.lost_files(manifest.get("extra")):
        return "incomplete", f"{len(lost)} file(s) left out, {lost[0]} the first; see lost.json"
    if not stage.intact(run, manifest.get("extra", {})):
        return "stale", "some of its files are missing, or there are additional ones"
    return "done", ""


def _unfinished(run: RunContext, stage: Stage) -> tuple[StageState, str]:
    """Return the state of a stage that left neither results nor an error."""
    began = provenance.read_start(run.out, stage.name)
    if began is None:
        return "missing", ""
    if lock_holder(run.out) is not None:
        return "running", f"since {began}"
    return (
        "interrupted",
        f"began {began} and was stopped before its end; `oddjets {stage.name}` continues or repeats it",
    )


def stage_states(run: RunContext, stages: Sequence[Stage]) -> dict[str, tuple[StageState, str]]:
    """Return what `stage_state` says of stages; one that needs another that is not done is not done either.

    Args:
        run: the analysis and its folder.
        stages: in order.
    """
    found: dict[str, tuple[StageState, str]] = {}
    for stage in stages:
        state, why = stage_state(run, stage)
        waiting = [name for name in stage.needs if name in found and found[name][0] not in ("done", "incomplete")]
        if state == "done" and waiting:
            state, why = "stale", f"needs {waiting[0]}"
        found[stage.name] = state, why
    return found


def _missing_outputs(run: RunContext, stage: Stage, manifest: Mapping[str, Any]) -> list[str]:
    return [name for name in (*stage.outputs, *manifest.get("outputs", ())) if not (run.out / name).exists()]


def changes(stage: Stage, inputs: Mapping[str, Any], manifest: Mapping[str, Any]) -> list[str]:
    """Name what has changed since a manifest was written, if it says what it depended on.

    Args:
        stage: whose manifest it is.
        inputs: from `inputs_of`.
        manifest: written by `pipeline.run_stage`.
    """
    depends = manifest.get("depends")
    if depends is None:
        return []
    said = []
    for kind, now in (
        ("configuration", provenance.digests(inputs["config"])),
        ("upstream", provenance.digests(inputs["upstream"], 1)),
        ("code", provenance.digests(code_of(stage), 1)),
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
