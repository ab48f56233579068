"""`process`: event tables from PFNano, or from the authors' event files."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from oddjets import corrections, datasets, executors, luminosity, repairs
from oddjets.cards import load_card
from oddjets.console import console
from oddjets.corrections import sha256_of
from oddjets.errors import OddjetsError
from oddjets.events import parts
from oddjets.skimming import made_for_others
from oddjets.stages.cutflow import write_cutflow
from oddjets.stages.npz_files import import_npz

if TYPE_CHECKING:
    from oddjets.pipeline import Run

__all__ = ["config", "work"]


def config(run: Run) -> Any:
    """Return the part of the configuration that the stage uses."""
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


def work(run: Run) -> dict[str, Any]:
    """Process all files; the manifest gets what every dataset adds up to."""
    events = run.out / "events"
    # what is there belongs to another key
    shutil.rmtree(events, ignore_errors=True)
    events.mkdir(parents=True)
    if run.analysis.npz is not None:
        return import_npz(run, events)
    corrections.check_working_point(run.analysis, run.resolved.era, run.resolved.era_folder)
    for name, (analysis, differing) in made_for_others(run).items():
        console.print(
            f"[bold yellow]dataset '{name}' is a skim made for '{analysis}', with other {', '.join(differing)}[/bold yellow]:"
            " events that pass here and not there are missing; if that can be, skim again"
        )
    luminosities = luminosity.luminosities(run.analysis, run.resolved.era, run.resolved.era_folder, run.fileset)
    execution = run.analysis.execution
    work = executors.Work(
        source=run.resolved.source,
        analysis=run.analysis,
        cards=tuple((name, str(path)) for name, path in run.resolved.cards.items()),
        output=str(events),
        threads=1 if execution.executor == "futures" else 2,
        score_cache=str(run.out / "scores") if execution.score_cache else None,
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
            "parts": [part.name for part in parts(events, name)],
            "sum_of_weights": None if dataset.metadata.is_data else sum(f.sum_of_weights or 0.0 for f in files),
            "sums_of_variations": datasets.sums_of_variations(files),
            "raw": [int(x) for x in found["raw"]] if found else empty,
            "weighted": [float(x) for x in found["weighted"]] if found else empty,
            "n_minus_1": found["n_minus_1"].reshape(-1, 2).tolist() if found else [[0, 0]] * (len(cuts) - 1),
            "repairs": dict(found["repairs"]) if found else {},
            "constituents": executors.constituent_sources(files),
            "inference": {
                score: {**how, "providers": sorted(how["providers"])}
                for score, how in (found["inference"] if found else {}).items()
            },
        }
        repairs.report(name, summary[name]["repairs"])
        if name in luminosities:
            summary[name] |= {
                "luminosity_pb": luminosities[name].luminosity_pb,
                "luminosity": luminosities[name].as_dict(),
            }
    _report_inference([how for dataset in summary.values() for how in dataset["inference"].values()])
    executors.refuse_overlap(events, run.fileset)
    extra = {"cuts": ["all", *run.analysis.selection.cuts], "datasets": summary}
    write_cutflow(run, extra)
    return extra


def _report_inference(found: list[dict[str, Any]]) -> None:
    """Say how many scores needed no inference."""
    cached, computed = (sum(how[key] for how in found) for key in ("from_cache", "computed"))
    if cached:
        console.print(f"process: {cached} scores of jets kept from earlier runs, {computed} computed")
