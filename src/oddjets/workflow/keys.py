"""Content keys of stages and chunks.

A key holds three things: the values of the configuration that the stage uses (a function a stage in this module says
which), the code that computes its result (`oddjets.core.code_digests`), and the keys of the stages that it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import combinations_of, without_combinations
from oddjets.config.nuisances import luminosity_parts, nuisances_of
from oddjets.config.per_era import by_era
from oddjets.config.window import Window
from oddjets.core import provenance
from oddjets.core.code_digests import code_parts, code_sha256
from oddjets.core.files import sha256_of
from oddjets.corrections import lookups, luminosity
from oddjets.io.inspections import FOLDER as INSPECTIONS
from oddjets.io.publications import FILE as PUBLISHED
from oddjets.io.studies import CHOICES, FOLDER, INJECTION, LEARNING, LEARNING_MIXED, SCULPTING, TRAININGS, TWO_SAMPLE
from oddjets.scoring.model_card import load_card
from oddjets.selection.normalisation import own_normalisations
from oddjets.workflow import aspen_keys
from oddjets.workflow.executors import chunk_worker
from oddjets.workflow.run import RunContext, Stage

__all__ = [
    "DECIDES_ROWS",
    "code_of",
    "fitted_values",
    "inputs_of",
    "key_of",
    "row_selection",
    "rows_keys",
    "rows_of_era",
]

#: the parts of the configuration of `process` that decide which events are rows
DECIDES_ROWS = ("selection", "systematics", "processor", "era", "jet_corrections", "jer", "luminosity")
#: parts that go into numbers of whole datasets, or into what is said, and not into rows
_OF_DATASETS = ("files", "luminosity", "combinations", "score_variation_sources")


# ---- the values of the configuration that each stage uses ----------------------------------------------------------------


def _simulate(run: RunContext) -> Any:
    return run.analysis.simulate.model_dump(mode="json") if run.analysis.simulate else None


def _process(run: RunContext) -> Any:
    analysis = run.analysis
    if analysis.npz is not None:
        files = sorted(file for found in run.npz_files.values() for file in found)
        return {
            "npz": analysis.npz.model_dump(mode="json", exclude={"folder"}),
            "scores": {name: score.column for name, score in without_combinations(analysis.scores).items()},
            "files": {file.name: sha256_of(file) for file in files},
            **_combinations(analysis),
        }
    if analysis.aspen is not None:
        return {**aspen_keys.key_inputs(run), **_combinations(analysis)}
    parts = {
        str(asked.era): {
            **rows_of_era(run, asked),
            "luminosity": luminosity.input_digests(
                asked, *run.resolved.eras[str(asked.era)], [dataset for dataset, _ in part.values()]
            ),
        }
        for asked, part in by_era(analysis, run.fileset)
    }
    of_files = {
        name: [dataset.metadata.model_dump(mode="json"), [[f.uuid, f.entries, f.sum_of_weights] for f in files]]
        for name, (dataset, files) in run.fileset.items()
    }
    if isinstance(analysis.era, str):
        return {**parts[analysis.era], "files": of_files, **_combinations(analysis)}
    return {"eras": parts, "files": of_files, **_combinations(analysis)}


def _combinations(analysis: Analysis) -> dict[str, Any]:
    """Return the combinations of scores, if there are any: no row depends on them, so that no chunk is done again for them."""
    made = {name: analysis.scores[name].stated() for name in combinations_of(analysis.scores)}
    return {"combinations": made} if made else {}


def rows_of_era(run: RunContext, asked: Analysis) -> dict[str, Any]:
    """Return what decides the rows of an era's datasets, apart from its files: that of an analysis of this era alone."""
    era, folder = run.resolved.eras[str(asked.era)]
    # what relates an era to others decides no row; nor do sources of the energy scale that nobody asks for
    other = {"correlations", "luminosity_uncertainties", *(("jes_sources",) if asked.jes == "total" else ())}
    unchecked = lookups.unchecked_files(era, folder)
    related = {"decorrelate", "own_normalisation", "eras", "correlation"}
    return {
        "selection": asked.selection.model_dump(mode="json"),
        "scores": {name: score.stated() for name, score in without_combinations(asked.scores).items()},
        "systematics": [s.model_dump(mode="json", exclude=related) for s in asked.systematics],
        "processor": [run.resolved.source.code_sha256, run.resolved.source.class_name],
        "cards": {name: load_card(path).sha256 for name, path in run.resolved.cards.items()},
        "card_files": {name: sha256_of(path) for name, path in run.resolved.cards.items()},
        "era": era.model_dump(mode="json", exclude=other),
        **({"unchecked_files": unchecked} if unchecked else {}),
        **_varied(asked),
        "jet_corrections": asked.jet_corrections,
        "jer": asked.jer,
    }


def _varied(analysis: Analysis) -> dict[str, Any]:
    """Return the variations of constituents, if there are any; no row depends on what is said of their sources."""
    if analysis.score_variations is None:
        return {}
    stated = analysis.score_variations.stated()
    sources = {name: found.pop("source") for name, found in stated.items()}
    return {"score_variations": stated, "score_variation_sources": sources}


def _histogram(run: RunContext) -> Any:
    dump = run.analysis.model_dump(mode="json")
    keys = ("threshold", "observables", "regions", "luminosity")
    scales = {name: process.template_scale for name, process in run.analysis.processes.items()}
    parts = luminosity_parts(run.analysis)
    return {
        **{k: dump[k] for k in keys},
        **_several(run.analysis),
        **({"luminosity_parts": parts} if parts else {}),
        "processes": scales,
        "own_normalisation": own_normalisations(run.analysis),
        "blind": run.analysis.blind,
        # regions are made of its cuts, also where it did not make the tables
        "processor": [run.resolved.source.code_sha256, run.resolved.source.class_name],
    }


def _closure(run: RunContext) -> Any:
    bank = run.analysis.closure_bank
    return [
        run.analysis.data_driven,
        _workspace(run) if run.analysis.fit else None,
        *([] if bank is None else [sha256_of(bank), run.analysis.simulate.seed if run.analysis.simulate else None]),
    ]


def _workspace(run: RunContext) -> Any:
    assert run.analysis.fit is not None
    return {
        "fit": run.analysis.fit.model,
        "processes": {k: v.data_driven for k, v in run.analysis.processes.items()},
        "systematics": [_stated(s, "eras", "correlation") for s in run.analysis.systematics],
        **_several(run.analysis),
    }


def _workspace_and_study(run: RunContext) -> Any:
    """Return what the stage `workspace` uses: with a closure uncertainty by bin, also the study that it is from."""
    assert run.analysis.fit is not None
    if run.analysis.fit.closure_uncertainty != "by-bin":
        return _workspace(run)
    file = run.out / FOLDER / SCULPTING
    return {**_workspace(run), "sculpting": sha256_of(file) if file.is_file() else None}


def fitted_values(run: RunContext) -> Any:
    """Return the configuration that decides an analysis's histograms and workspace: two with the same one fit the same data."""
    return [_histogram(run), _workspace(run) if run.analysis.fit is not None else None]


def _fit(run: RunContext) -> Any:
    assert run.analysis.fit is not None
    return {**_workspace(run), "fit": run.analysis.fit.model_dump(mode="json")}


def _plot_and_report(run: RunContext) -> Any:
    # labels and colours count; who did the work does not
    later = ("closure", "jes", "selection_by_era", "inspect", "score_variations", "hold_out")
    dump = _stated(run.analysis, *later, exclude={"execution", "systematics"})
    # what the report shows of studies
    names = (TRAININGS, CHOICES, INJECTION, LEARNING, LEARNING_MIXED, SCULPTING, TWO_SAMPLE)
    named = [run.out / FOLDER / name for name in names]
    found = [file for kind in ("null", "jets") for file in sorted((run.out / FOLDER).glob(f"{kind}_*.json"))]
    files = [*found, *(file for file in named if file.is_file())]
    studies = {file.name: sha256_of(file) for file in files}
    return {
        **dump,
        "systematics": [_stated(s, "eras", "correlation") for s in run.analysis.systematics],
        **({"studies": studies} if studies else {}),
        **({"learnt": learnt} if (learnt := _learnt(run)) else {}),
        **({"inspected": inspected} if (inspected := _inspected(run)) else {}),
    }


def _learnt(run: RunContext) -> dict[str, str]:
    """Return what the report shows of trainings: stage to its key."""
    stages = sorted(file.stem for file in (run.out / "manifests").glob("learn*.json"))
    found = {stage: provenance.read_manifest(run.out, stage) for stage in stages}
    return {stage: manifest["key"] for stage, manifest in found.items() if manifest}


def _report(run: RunContext) -> Any:
    # it links what is published
    published = run.out / PUBLISHED
    return {**_plot_and_report(run), **({"published": sha256_of(published)} if published.is_file() else {})}


def _inspected(run: RunContext) -> dict[str, str]:
    """Return what the report shows of single events: file to its sha256."""
    if run.analysis.inspect is None:
        return {}
    folder = run.out / INSPECTIONS / Window.of_analysis(run.analysis, run.analysis.inspect).name
    return {
        file.name: sha256_of(file) for file in sorted(folder.glob("*.json")) if not file.name.startswith("display_")
    }


def _several(analysis: Analysis) -> dict[str, Any]:
    """Return which nuisance parameters several eras have; nothing of one era."""
    if isinstance(analysis.era, str):
        return {}
    return {"eras": analysis.era, "nuisances": {s.name: nuisances_of(analysis, s) for s in analysis.systematics}}


def _stated(model: BaseModel, *fields: str, exclude: set[str] | None = None) -> dict[str, Any]:
    """Return a model's content, without those of the fields that have their default: who does not use them has no other key."""
    usual = {name for name in fields if getattr(model, name) == type(model).model_fields[name].default}
    return model.model_dump(mode="json", exclude={*usual, *(exclude or ())})


_VALUES: dict[str, Callable[[RunContext], Any]] = {
    "simulate": _simulate,
    "process": _process,
    "histogram": _histogram,
    "closure": _closure,
    "workspace": _workspace_and_study,
    "fit": _fit,
    "plot": _plot_and_report,
    "report": _report,
}


def rows_keys(run: RunContext) -> str | dict[str, str]:
    """Return the content key of all that rows depend on, apart from the files: what chunks are done again for.

    Of an analysis of several eras, era to its key: that of an analysis of this era alone.
    """
    used = _process(run)
    if isinstance(run.analysis.era, str):
        return _rows_key(used)
    return {era: _rows_key(part) for era, part in used["eras"].items()}


def _rows_key(used: Mapping[str, Any]) -> str:
    decides = {name: part for name, part in used.items() if name not in _OF_DATASETS}
    decides["selection"] = {name: value for name, value in used["selection"].items() if name != "luminosity_table"}
    decides["golden_json"] = used["luminosity"].get("golden_json")
    return provenance.content_key({"config": decides, "code": chunk_worker.code(), "versions": chunk_worker.versions()})


def row_selection(run: RunContext) -> dict[str, Any]:
    """Return the part of the configuration that decides which events and branches a skim has."""
    content: dict[str, Any] = _process(run)
    # a file's own part comes with the file, and which model it is does not matter
    names = (*DECIDES_ROWS, "scores")
    if isinstance(run.analysis.era, str):
        return {name: content[name] for name in names}
    return {name: {era: part[name] for era, part in content["eras"].items()} for name in names}


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
        "config": (stage.values or _VALUES[stage.name])(run),
        "code": code_sha256(*stage.code),
        "upstream": upstream,
        "versions": provenance.versions(),
    }


def key_of(run: RunContext, stage: Stage) -> str:
    """Return the content key that a stage has now."""
    return provenance.content_key(inputs_of(run, stage))
