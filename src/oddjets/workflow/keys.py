"""Content keys of stages and chunks, and whether results are up to date.

A key holds three things: the values of the configuration that the stage uses (a function a stage in this module says
which), the code that computes its result (`oddjets.core.code_digests`), and the keys of the stages that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from oddjets.core import provenance
from oddjets.core.code_digests import code_parts, code_sha256
from oddjets.core.errors import OddjetsError
from oddjets.core.files import sha256_of
from oddjets.corrections import luminosity
from oddjets.scoring.model_card import load_card
from oddjets.selection.normalisation import own_normalisations
from oddjets.workflow.executors import chunk_worker
from oddjets.workflow.run import RunContext, Stage

__all__ = [
    "DECIDES_ROWS",
    "StageState",
    "changes",
    "code_of",
    "inputs_of",
    "is_done",
    "key_of",
    "row_selection",
    "rows_key",
    "stage_state",
    "stage_states",
]

#: incomplete: done, but for files that could not be read; the next run tries them again
StageState = Literal["done", "incomplete", "stale", "failed", "missing"]

#: the parts of the configuration of `process` that decide which events are rows
DECIDES_ROWS = ("selection", "systematics", "processor", "era", "jet_corrections", "jer", "luminosity")
#: how many changed things are named
_NAMED = 6


# ---- the values of the configuration that each stage uses ----------------------------------------------------------------


def _simulate(run: RunContext) -> Any:
    return run.analysis.simulate.model_dump(mode="json") if run.analysis.simulate else None


def _process(run: RunContext) -> Any:
    analysis = run.analysis
    if analysis.npz is not None:
        files = sorted(file for found in run.npz_files.values() for file in found)
        return {
            "npz": analysis.npz.model_dump(mode="json", exclude={"folder"}),
            "scores": {name: score.column for name, score in analysis.scores.items()},
            "files": {file.name: sha256_of(file) for file in files},
        }
    return {
        "selection": analysis.selection.model_dump(mode="json"),
        "scores": {name: score.model_dump(mode="json", exclude={"label"}) for name, score in analysis.scores.items()},
        "systematics": [
            s.model_dump(mode="json", exclude={"decorrelate", "own_normalisation"}) for s in analysis.systematics
        ],
        "processor": [run.resolved.source.code_sha256, run.resolved.source.class_name],
        "cards": {name: load_card(path).sha256 for name, path in run.resolved.cards.items()},
        "card_files": {name: sha256_of(path) for name, path in run.resolved.cards.items()},
        "era": run.resolved.era.model_dump(mode="json"),
        "jet_corrections": analysis.jet_corrections,
        "jer": analysis.jer,
        "luminosity": luminosity.input_digests(
            analysis, run.resolved.era, run.resolved.era_folder, [dataset for dataset, _ in run.fileset.values()]
        ),
        "files": {
            name: [dataset.metadata.model_dump(mode="json"), [[f.uuid, f.entries, f.sum_of_weights] for f in files]]
            for name, (dataset, files) in run.fileset.items()
        },
    }


def _histogram(run: RunContext) -> Any:
    dump = run.analysis.model_dump(mode="json")
    keys = ("threshold", "observables", "regions", "luminosity")
    scales = {name: process.template_scale for name, process in run.analysis.processes.items()}
    return {
        **{k: dump[k] for k in keys},
        "processes": scales,
        "own_normalisation": own_normalisations(run.analysis),
        "blind": run.analysis.blind,
        # regions are made of its cuts, also where it did not make the tables
        "processor": [run.resolved.source.code_sha256, run.resolved.source.class_name],
    }


def _closure(run: RunContext) -> Any:
    return [run.analysis.data_driven, _workspace(run) if run.analysis.fit else None]


def _workspace(run: RunContext) -> Any:
    assert run.analysis.fit is not None
    return {
        "fit": run.analysis.fit.model,
        "processes": {k: v.data_driven for k, v in run.analysis.processes.items()},
        "systematics": [s.model_dump(mode="json") for s in run.analysis.systematics],
    }


def _fit(run: RunContext) -> Any:
    assert run.analysis.fit is not None
    return {**_workspace(run), "fit": run.analysis.fit.model_dump(mode="json")}


def _plot_and_report(run: RunContext) -> Any:
    # labels and colours count; who did the work does not
    return run.analysis.model_dump(mode="json", exclude={"execution"})


_VALUES: dict[str, Callable[[RunContext], Any]] = {
    "simulate": _simulate,
    "process": _process,
    "histogram": _histogram,
    "closure": _closure,
    "workspace": _workspace,
    "fit": _fit,
    "plot": _plot_and_report,
    "report": _plot_and_report,
}


def rows_key(run: RunContext) -> str:
    """Return the content key of all that rows depend on, apart from the files: what chunks are done again for."""
    used = _process(run)
    # these go into numbers of whole datasets
    decides = {name: part for name, part in used.items() if name not in ("files", "luminosity")}
    decides["selection"] = {name: value for name, value in used["selection"].items() if name != "luminosity_table"}
    decides["golden_json"] = used["luminosity"].get("golden_json")
    return provenance.content_key({"config": decides, "code": chunk_worker.code(), "versions": chunk_worker.versions()})


def row_selection(run: RunContext) -> dict[str, Any]:
    """Return the part of the configuration that decides which events and branches a skim has."""
    content: dict[str, Any] = _process(run)
    # a file's own part comes with the file, and which model it is does not matter
    return {name: content[name] for name in (*DECIDES_ROWS, "scores")}


# ---- keys of stages ------------------------------------------------------------------------------------------------------


def code_of(stage: Stage) -> dict[str, str]:
    """Return module, or data file, to sha256, of all code that decides a stage's result."""
    return code_parts(*stage.code)


def inputs_of(run: RunContext, stage: Stage) -> dict[str, Any]:
    """Return all that a stage's result depends on, as it is now."""
    upstream = {}
    for name in filter(run.has_stage, stage.needs):
        upstream[name] = provenance.upstream_state(provenance.read_manifest(run.out, name))
    return {
        "stage": stage.name,
        "config": _VALUES[stage.name](run),
        "code": code_sha256(*stage.code),
        "upstream": upstream,
        "versions": provenance.versions(),
    }


def key_of(run: RunContext, stage: Stage) -> str:
    """Return the content key that a stage has now."""
    return provenance.content_key(inputs_of(run, stage))


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
        return ("missing", "") if failure is None else ("failed", failure.partition("\n")[0])
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
