"""The stages in order: what each reads and writes, and when it can be skipped.

A stage runs if its content key differs from the one in its manifest, or if something it wrote is gone; see `provenance`.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from oddjets import corrections, datasets, executors, luminosity, npz, provenance, repairs, resources
from oddjets.cards import load_card
from oddjets.config import Analysis, Threshold
from oddjets.console import console
from oddjets.corrections import sha256_of
from oddjets.datasets import Dataset, FileInfo, save_json
from oddjets.errors import InputFileError, OddjetsError, nearest
from oddjets.events import read, write_part
from oddjets.executors import Work
from oddjets.filling import make_histograms
from oddjets.histograms import DATA, HistogramSet
from oddjets.systematics import variations_of
from oddjets.validation import Resolved, resolve

__all__ = ["STAGES", "Run", "run_stages", "up_to"]


@dataclass(frozen=True)
class Stage:
    """One arrow of DESIGN's picture.

    Attributes:
        name: the verb.
        needs: stages whose results it reads.
        module: the oddjets module whose code (with its imports) decides the result.
        outputs: what must exist, relative to the output folder, for the stage to count as done.
        run: does the work; returns what goes into the manifest under ``extra``.
        config: the part of the configuration that the stage uses.
    """

    name: str
    needs: tuple[str, ...]
    module: str
    outputs: tuple[str, ...]
    run: Callable[[Run], dict[str, Any]]
    config: Callable[[Run], Any]


class Run:
    """An analysis and its output folder.

    Args:
        analysis: what was asked.
        out: the folder that everything is written into.
    """

    def __init__(self, analysis: Analysis, out: Path) -> None:
        self.resolved: Resolved = resolve(analysis)
        self.analysis = self.resolved.analysis
        self.out = out

    @property
    def stages(self) -> list[Stage]:
        """The stages that this analysis has, in order."""
        has = {"simulate": self.analysis.simulate is not None, "closure": self.analysis.data_driven is not None}
        has |= dict.fromkeys(("workspace", "fit"), self.analysis.fit is not None)
        return [stage for stage in STAGES.values() if has.get(stage.name, True)]

    def stage(self, name: str) -> Stage:
        """Return a stage of this analysis by name."""
        stages = {s.name: s for s in self.stages}
        if name not in stages:
            section = {"simulate": "simulate", "closure": "processes.*.data_driven"}.get(name, "fit")
            raise OddjetsError(f"{self.analysis.name}: the analysis has no '{section}', so there is nothing to {name}")
        return stages[name]

    # ---- inputs --------------------------------------------------------------------------------------------------

    @cached_property
    def fileset(self) -> dict[str, tuple[Dataset, list[FileInfo]]]:
        """The datasets and what their files hold; every file is opened once."""
        if self.analysis.fileset is not None:
            path = resources.find(self.analysis.fileset, "datasets", self.analysis.folder)
        else:
            path = self.out / "simulation" / "fileset.json"
            if not path.is_file():
                raise InputFileError(f"{path}: not there yet; run `oddjets simulate` first")
        return {
            name: (dataset, [datasets.inspect(file, is_data=dataset.metadata.is_data) for file in dataset.files])
            for name, dataset in datasets.load_fileset(path).items()
        }

    @cached_property
    def npz_files(self) -> dict[str, list[Path]]:
        """The authors' event files by process, those of processes that the analysis does not have left out."""
        spec = self.analysis.npz
        assert spec is not None
        folder = Path(spec.folder)
        found = npz.find_files(spec, folder if folder.is_absolute() else self.analysis.folder / folder)
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
            return self.analysis.luminosity
        read = [d["luminosity_pb"] for d in self.extra("process")["datasets"].values() if d["is_data"]]
        if not read or any(value is None for value in read):
            raise OddjetsError(
                f"{self.analysis.name}: no luminosity: give 'luminosity' (/pb) in the YAML, or 'luminosity_pb' in the"
                " metadata of every dataset of data"
            )
        return float(sum(read))

    # ---- keys ----------------------------------------------------------------------------------------------------

    def key(self, stage: Stage) -> str:
        """Return the content key that a stage has now."""
        upstream = {}
        for name in stage.needs:
            if any(s.name == name for s in self.stages):
                manifest = provenance.read_manifest(self.out, name)
                upstream[name] = manifest["key"] if manifest else None
        return provenance.content_key(
            {
                "stage": stage.name,
                "config": stage.config(self),
                "code": provenance.code_of(stage.module),
                "upstream": upstream,
                "versions": provenance.versions(),
            }
        )

    def is_done(self, stage: Stage) -> bool:
        """Tell whether a stage's results are there and still stand."""
        manifest = provenance.read_manifest(self.out, stage.name)
        if manifest is None or not all((self.out / name).exists() for name in (*stage.outputs, *manifest["outputs"])):
            return False
        return bool(manifest["key"] == self.key(stage))


def export_npz(run: Run, folder: Path) -> list[Path]:
    """Write the event tables of a run as the authors' event files (FACTS 6).

    Args:
        run: a run whose stage `process` is done; its threshold's score must have kept its class probabilities.
        folder: where to.

    Returns:
        The files, one a dataset: ``outputs_pretrain_s_<process>_dijet.npz``.

    Raises:
        OddjetsError: a table without class probabilities.
    """
    score = run.analysis.threshold.score
    processed = run.extra("process")
    normalisation = factors(run.analysis, processed, run.luminosity_pb)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for dataset, (process, is_data, factor) in normalisation.items():
        table = read(run.out / "events", dataset)
        stems = [
            name[: -len(f"_{score}_1")] for name in table if name.startswith("prob") and name.endswith(f"_{score}_1")
        ]
        if not stems:
            raise OddjetsError(
                f"{run.out / 'events' / dataset}: no class probabilities of '{score}'; say"
                f" 'scores.{score}.keep_probabilities: true' and run `oddjets process` again"
            )
        stems.sort(key=lambda stem: int(stem.removeprefix("prob")))
        selected = {name: array[table["passes_nominal"]] for name, array in table.items()}
        classes = np.stack(
            [np.stack([selected[f"{stem}_{score}_{j}"] for stem in stems], axis=1) for j in (1, 2)], axis=1
        )
        name = npz.DATA_NAME if is_data else process
        file = folder / f"outputs_pretrain_s_{name}_dijet.npz"
        prediction, cond = npz.from_table(selected, classes, factor)
        np.savez_compressed(file, prediction=prediction, cond=cond)
        written.append(file)
    return written


# ---- the stages ------------------------------------------------------------------------------------------------------


def _simulate(run: Run) -> dict[str, Any]:
    from oddjets.simulation.run import simulate  # Pythia is an extra: imported where it is needed

    assert run.analysis.simulate is not None
    fileset = simulate(run.analysis.simulate, run.out / "simulation", workers=run.analysis.execution.workers)
    run.__dict__.pop("fileset", None)
    content = json.loads(fileset.read_text(encoding="utf-8"))
    return {"datasets": {name: entry["metadata"] for name, entry in content.items()}}


def _process_config(run: Run) -> Any:
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
        "processor": [run.resolved.source.sha256, run.resolved.source.class_name],
        "cards": {name: load_card(path).sha256 for name, path in run.resolved.cards.items()},
        "card_files": {name: sha256_of(path) for name, path in run.resolved.cards.items()},
        "era": run.resolved.era.model_dump(mode="json"),
        "jet_corrections": analysis.jet_corrections,
        "luminosity": luminosity.inputs_of(
            analysis, run.resolved.era, run.resolved.era_folder, [dataset for dataset, _ in run.fileset.values()]
        ),
        "files": {
            name: [dataset.metadata.model_dump(mode="json"), [[f.uuid, f.entries, f.sum_of_weights] for f in files]]
            for name, (dataset, files) in run.fileset.items()
        },
    }


def _import(run: Run, events: Path) -> dict[str, Any]:
    """Turn the authors' event files into event tables; an event passes if its trigger fired and it has no lepton."""
    spec = run.analysis.npz
    assert spec is not None
    scores = {name: score.column for name, score in run.analysis.scores.items() if score.column is not None}
    summary = {}
    for process, files in run.npz_files.items():
        is_data = process == DATA
        raw, weighted = [0, 0, 0], [0.0, 0.0, 0.0]
        for number, file in enumerate(files):
            prediction, cond = npz.read_file(file)
            table = npz.to_table(prediction, cond, scores=scores, formula=spec.formula, is_data=is_data, number=number)
            fired = table["trigger_dijet"]
            passed = fired & (table["n_muons"] == 0) & (table["n_electrons"] == 0)
            for i, mask in enumerate((np.ones(len(fired), dtype=bool), fired, passed)):
                raw[i] += int(mask.sum())
                weighted[i] += float(table["weight"][mask].sum())
            kept = {name: array[passed] for name, array in table.items()}
            write_part(events / process / f"part-{number:06d}.parquet", kept, {"dataset": process, "file": file.name})
        summary[process] = {
            "process": process,
            "is_data": is_data,
            "complete_weights": True,
            "luminosity_pb": run.analysis.luminosity if is_data else None,
            "files": [str(file) for file in files],
            "entries": raw[0],
            "rows": raw[2],
            "raw": raw,
            "weighted": weighted,
            "n_minus_1": [[raw[2], weighted[2]]] * 2,
            "repairs": {},
        }
    extra = {"cuts": ["all", "trigger", "lepton_veto"], "datasets": summary}
    _write_cutflow(run, extra)
    return extra


def _process(run: Run) -> dict[str, Any]:
    events = run.out / "events"
    # what is there belongs to another key
    shutil.rmtree(events, ignore_errors=True)
    events.mkdir(parents=True)
    if run.analysis.npz is not None:
        return _import(run, events)
    corrections.check_working_point(run.analysis, run.resolved.era, run.resolved.era_folder)
    luminosities = luminosity.luminosities(run.analysis, run.resolved.era, run.resolved.era_folder, run.fileset)
    execution = run.analysis.execution
    work = executors.Work(
        source=run.resolved.source,
        analysis=run.analysis,
        cards=tuple((name, str(path)) for name, path in run.resolved.cards.items()),
        output=str(events),
        threads=1 if execution.executor == "futures" else 2,
    )
    counts = executors.run(work, run.fileset, execution)
    summary = {}
    for name, (dataset, files) in run.fileset.items():
        planned = sum(f.entries for f in files)
        found = counts.get(name)
        read = found["entries"] if found else 0
        if read != planned:
            raise OddjetsError(f"dataset '{name}': {planned} events planned, {read} read: the ledger does not close")
        if found is None:
            console.print(f"dataset '{name}': its files hold no events")
        elif found["rows"] == 0:
            console.print(f"dataset '{name}': no event of {planned} passes the base selection")
        cuts = ("all", *run.analysis.selection.cuts)
        empty = [0] * len(cuts)
        summary[name] = {
            **dataset.metadata.model_dump(mode="json"),
            "files": [f.path for f in files],
            "entries": planned,
            "rows": found["rows"] if found else 0,
            "sum_of_weights": None if dataset.metadata.is_data else sum(f.sum_of_weights or 0.0 for f in files),
            "sums_of_variations": datasets.sums_of_variations(files),
            "raw": [int(x) for x in found["raw"]] if found else empty,
            "weighted": [float(x) for x in found["weighted"]] if found else empty,
            "n_minus_1": found["n_minus_1"].reshape(-1, 2).tolist() if found else [[0, 0]] * (len(cuts) - 1),
            "repairs": dict(found["repairs"]) if found else {},
            "constituents": executors.constituent_sources(files),
        }
        repairs.report(name, summary[name]["repairs"])
        if name in luminosities:
            summary[name] |= {
                "luminosity_pb": luminosities[name].luminosity_pb,
                "luminosity": luminosities[name].as_dict(),
            }
    executors.refuse_overlap(events, run.fileset)
    extra = {"cuts": ["all", *run.analysis.selection.cuts], "datasets": summary}
    _write_cutflow(run, extra)
    return extra


def _factor(d: Mapping[str, Any], luminosity_pb: float) -> float:
    """Return what multiplies a dataset's weights: 1 for data and for weights that are complete."""
    if d["is_data"] or d.get("complete_weights"):
        return 1.0
    return float(d["cross_section_pb"] * d["k_factor"] * luminosity_pb / (d["sum_of_weights"] or 1.0))


def factors(
    analysis: Analysis, processed: Mapping[str, Any], luminosity_pb: float
) -> dict[str, tuple[str, bool, float]]:
    """Return dataset to (process, is_data, factor): cross section x K x luminosity / sum of weights; 1 for data.

    Args:
        analysis: may scale a process's template.
        processed: what the stage `process` left in its manifest.
        luminosity_pb: of the data, /pb.

    Raises:
        OddjetsError: simulation whose weights sum to zero.
    """
    out = {}
    for name, d in processed["datasets"].items():
        if not d["is_data"] and d["entries"] and not d.get("complete_weights") and not d["sum_of_weights"]:
            raise OddjetsError(f"dataset '{name}': the sum of generator weights is 0, so it has no normalisation")
        factor = _factor(d, luminosity_pb)
        if not d["is_data"] and d["process"] in analysis.processes:
            factor *= analysis.processes[d["process"]].template_scale
        out[name] = (d["process"], bool(d["is_data"]), factor)
    return out


def own_factors(analysis: Analysis, processed: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return dataset and variation to nominal over own sum of weights, for systematics with ``own_normalisation``.

    Args:
        analysis: its systematics.
        processed: what the stage `process` left in its manifest.

    Raises:
        OddjetsError: a sample has the weights of a variation, and its tree Runs does not have their sum.
    """
    found: dict[str, dict[str, float]] = {}
    for name, d in processed["datasets"].items():
        own = [v for v in variations_of(analysis, d["process"], is_data=d["is_data"]) if v.systematic in _own(analysis)]
        # a sample without weights has none to normalise
        for variation in own if d["rows"] else ():
            if d["repairs"].get(f"without_{variation.systematic}") == d["rows"]:
                continue
            total = d["sums_of_variations"].get(variation.name)
            if not total:
                raise OddjetsError(
                    f"dataset '{name}': its tree Runs has no sum of weights of '{variation.name}', which"
                    f" 'own_normalisation' of '{variation.systematic}' needs"
                )
            found.setdefault(name, {})[variation.name] = d["sum_of_weights"] / total
    return found


def _own(analysis: Analysis) -> list[str]:
    return [s.name for s in analysis.systematics if s.own_normalisation]


def _write_cutflow(run: Run, processed: Mapping[str, Any]) -> None:
    if run.analysis.luminosity is not None:
        luminosity: float | None = run.analysis.luminosity
    else:
        read = [d["luminosity_pb"] for d in processed["datasets"].values() if d["is_data"]]
        luminosity = sum(read) if read and None not in read else None
    content: dict[str, Any] = {"cuts": processed["cuts"], "luminosity_pb": luminosity, "datasets": {}, "n_minus_1": {}}
    for name, d in processed["datasets"].items():
        # without a luminosity: the expectation for 1 /pb
        factor = _factor(d, luminosity or 1.0)
        content["datasets"][name] = {
            "process": d["process"],
            "is_data": d["is_data"],
            "raw": d["raw"],
            "weighted": [factor * w for w in d["weighted"]],
        }
        content["n_minus_1"][name] = {
            cut: [raw, factor * weighted]
            for cut, (raw, weighted) in zip(processed["cuts"][1:], d["n_minus_1"], strict=True)
        }
    save_json(run.out / "cutflow.json", content)


def _histogram_config(run: Run) -> Any:
    dump = run.analysis.model_dump(mode="json")
    keys = ("threshold", "observables", "regions", "luminosity")
    scales = {name: process.template_scale for name, process in run.analysis.processes.items()}
    return {**{k: dump[k] for k in keys}, "processes": scales, "own_normalisation": _own(run.analysis)}


def _histogram(run: Run) -> dict[str, Any]:
    processed = run.extra("process")
    luminosity = run.luminosity_pb
    _write_cutflow(run, processed)
    work = Work(run.resolved.source, run.analysis, (), None, 1)
    folder = run.out / "histograms"
    shutil.rmtree(folder, ignore_errors=True)
    histograms = make_histograms(
        run.analysis,
        work.build(),
        run.out / "events",
        factors(run.analysis, processed, luminosity),
        luminosity,
        run.resolved.era.energy_TeV,
        own_factors=own_factors(run.analysis, processed),
    )
    histograms.save(folder)
    threshold = vars(histograms.threshold)
    save_json(run.out / "threshold.json", threshold)
    return {"luminosity_pb": luminosity, "threshold": threshold}


#: data efficiencies at which the closure is repeated (issue of statistics: at 0.2 % few events are left)
CLOSURE_EFFICIENCIES = (0.05, 0.10)


def _closure(run: Run) -> dict[str, Any]:
    """ABCD on QCD simulation at the threshold; again at looser ones; and in data with both scores below the threshold."""
    from oddjets.stats.closure import Source, closure

    nominal = HistogramSet.load(run.out / "histograms")
    normalisation = factors(run.analysis, run.extra("process"), run.luminosity_pb)
    processor = Work(run.resolved.source, run.analysis, (), None, 1).build()

    def at(efficiency: float, below: float | None = None) -> HistogramSet:
        threshold = Threshold(score=run.analysis.threshold.score, efficiency=efficiency)
        analysis = run.analysis.model_copy(update={"threshold": threshold, "systematics": ()})
        return make_histograms(
            analysis,
            processor,
            run.out / "events",
            normalisation,
            nominal.luminosity_pb,
            nominal.energy_TeV,
            below=below,
        )

    qcd = run.analysis.data_driven
    assert qcd is not None
    scans = []
    if nominal.threshold.n_data:
        scans += [Source(f"{qcd} simulation at {e:.0%}", qcd, at(e)) for e in CLOSURE_EFFICIENCIES]
        just_below = at(CLOSURE_EFFICIENCIES[0], below=nominal.threshold.value)
        scans.append(Source("data with both scores below the threshold", DATA, just_below))
    save_json(run.out / "closure.json", closure(run.analysis, nominal, scans))
    return {}


def _fit_config(run: Run) -> Any:
    assert run.analysis.fit is not None
    return {
        "fit": run.analysis.fit.model_dump(mode="json"),
        "processes": {k: v.data_driven for k, v in run.analysis.processes.items()},
        "systematics": [s.model_dump(mode="json") for s in run.analysis.systematics],
    }


def _workspace(run: Run) -> dict[str, Any]:
    from oddjets.stats import workspace
    from oddjets.stats.closure import closure_uncertainties

    fit = run.analysis.fit
    closure = None
    if fit is not None and fit.closure_uncertainty:
        closure = closure_uncertainties(json.loads((run.out / "closure.json").read_text(encoding="utf-8")))
    built, report = workspace.build(run.analysis, HistogramSet.load(run.out / "histograms"), closure)
    save_json(run.out / "workspace.json", built)
    save_json(run.out / "workspace_report.json", report)
    return {"report": report}


def _fit(run: Run) -> dict[str, Any]:
    from oddjets.stats.fit import fit_workspace
    from oddjets.stats.spec import load_workspace

    fit = run.analysis.fit
    assert fit is not None
    started = time.perf_counter()
    results = fit_workspace(
        load_workspace(run.out / "workspace.json"),
        poi=fit.pois[0].name,
        limit=fit.limit,
        impacts=fit.impacts,
        scan=fit.scan,
        gof_toys=fit.goodness_of_fit.toys,
        gof_letters=fit.goodness_of_fit.letters,
        gof_model=fit.goodness_of_fit.model,
        seed=fit.seed,
        report=run.extra("workspace")["report"],
    )
    timing = {}
    for stage in run.stages:
        manifest = provenance.read_manifest(run.out, stage.name)
        if manifest is not None and stage.name != "fit":
            timing[stage.name] = manifest["time_s"]
    timing |= {"fit": time.perf_counter() - started, **{f"fit.{k}": v for k, v in results.get("timing_s", {}).items()}}
    closure = run.out / "closure.json"
    results = {
        "analysis": run.analysis.name,
        "title": run.analysis.title,
        **results,
        "closure": json.loads(closure.read_text(encoding="utf-8")) if closure.is_file() else None,
        "timing_s": timing,
    }
    save_json(run.out / "results.json", results)
    return {}


def _plot(run: Run) -> dict[str, Any]:
    from oddjets import plots

    files = plots.make(run.analysis, run.out, None)
    return {"figures": [str(f.relative_to(run.out)) for f in files]}


def _report(run: Run) -> dict[str, Any]:
    from oddjets.plots import report

    file = report.write(run.analysis, run.out)
    console.print(f"report: {file}")
    return {}


def _everything(run: Run) -> Any:
    return run.analysis.model_dump(mode="json")


_BEFORE_PICTURES = ("simulate", "process", "histogram", "closure", "workspace", "fit")

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "simulate",
            (),
            "oddjets.simulation.run",
            ("simulation/fileset.json",),
            _simulate,
            lambda run: run.analysis.simulate.model_dump(mode="json") if run.analysis.simulate else None,
        ),
        Stage("process", ("simulate",), "oddjets.executors", ("events", "cutflow.json"), _process, _process_config),
        Stage(
            "histogram",
            ("process",),
            "oddjets.filling",
            ("histograms/index.json", "threshold.json"),
            _histogram,
            _histogram_config,
        ),
        Stage(
            "closure",
            ("histogram",),
            "oddjets.stats.closure",
            ("closure.json",),
            _closure,
            lambda run: [run.analysis.data_driven, _fit_config(run) if run.analysis.fit else None],
        ),
        Stage(
            "workspace",
            ("histogram", "closure"),
            "oddjets.stats.workspace",
            ("workspace.json",),
            _workspace,
            _fit_config,
        ),
        Stage("fit", ("workspace", "closure"), "oddjets.stats.fit", ("results.json",), _fit, _fit_config),
        Stage("plot", _BEFORE_PICTURES, "oddjets.plots", ("figures",), _plot, _everything),
        Stage("report", (*_BEFORE_PICTURES, "plot"), "oddjets.plots.report", ("report.html",), _report, _everything),
    )
}


def run_stage(run: Run, stage: Stage, *, force: bool = False) -> bool:
    """Run one stage unless its results still stand.

    Args:
        run: the analysis and its folder.
        stage: which.
        force: run it all the same.

    Returns:
        Whether it ran.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    if not force and run.is_done(stage):
        console.print(f"[dim]{stage.name}: up to date[/dim]")
        return False
    console.print(f"[bold]{stage.name}[/bold]")
    manifest_file = run.out / "manifests" / f"{stage.name}.json"
    # without its manifest, a half-written stage is never taken for a whole one
    manifest_file.unlink(missing_ok=True)
    started = time.perf_counter()
    extra = stage.run(run)
    seconds = time.perf_counter() - started
    provenance.write_manifest(
        run.out,
        stage.name,
        {
            "stage": stage.name,
            "key": run.key(stage),
            "inputs": list(stage.needs),
            "outputs": list(stage.outputs),
            "versions": provenance.versions(),
            "time_s": seconds,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "extra": extra,
        },
    )
    console.print(f"[dim]{stage.name}: {seconds:.1f} s[/dim]")
    return True


def up_to(run: Run, name: str) -> list[Stage]:
    """Return a stage and all that it needs, in order."""
    if name not in STAGES:
        raise OddjetsError(f"no stage '{name}'; {nearest(name, STAGES)}")
    wanted = {run.stage(name).name}
    for stage in reversed(run.stages):
        if stage.name in wanted:
            wanted |= set(stage.needs)
    return [stage for stage in run.stages if stage.name in wanted]


def run_stages(run: Run, stages: list[Stage]) -> None:
    """Run stages in order, each skipped where its results still stand."""
    for stage in stages:
        run_stage(run, stage)
