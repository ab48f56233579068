"""`process`: event tables from PFNano, or from the authors' event files."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

from oddjets import corrections, datasets, luminosity, provenance, repairs
from oddjets.cards import load_card
from oddjets.console import console
from oddjets.corrections import sha256_of
from oddjets.executors import ledger
from oddjets.executors.checks import check_files, constituent_sources, refuse_overlap
from oddjets.executors.chunks import plan
from oddjets.executors.records import CHUNKS, EVENTS, publish
from oddjets.executors.work import Work
from oddjets.skimming import made_for_others
from oddjets.stages.cutflow import write_cutflow
from oddjets.stages.npz_files import import_npz

if TYPE_CHECKING:
    from oddjets.pipeline import Run

__all__ = ["config", "rows_key", "work"]

#: folders that it takes earlier work from, unless it is forced to run
KEPT = (CHUNKS,)
#: packages that compute rows; the others of `provenance.PACKAGES` compute later
COMPUTES = (
    "python",
    "awkward",
    "coffea",
    "correctionlib",
    "fastjet",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "pyarrow",
    "scipy",
    "uproot",
)


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


def rows_key(run: Run) -> str:
    """Return the content key of all that rows depend on, apart from the files: what chunks are done again for."""
    used = config(run)
    # these go into numbers of whole datasets
    decides = {name: part for name, part in used.items() if name not in ("files", "luminosity")}
    decides["selection"] = {name: value for name, value in used["selection"].items() if name != "luminosity_table"}
    decides["golden_json"] = used["luminosity"].get("golden_json")
    versions = {name: version for name, version in provenance.versions().items() if name in COMPUTES}
    return provenance.content_key(
        {"config": decides, "code": provenance.code_of("oddjets.executors.work"), "versions": versions}
    )


def work(run: Run) -> dict[str, Any]:
    """Process all files; the manifest gets what every dataset adds up to."""
    if run.analysis.npz is not None:
        events = run.out / EVENTS
        # what is there belongs to another key
        shutil.rmtree(events, ignore_errors=True)
        events.mkdir(parents=True)
        return import_npz(run, events)
    corrections.check_working_point(run.analysis, run.resolved.era, run.resolved.era_folder)
    for name, (analysis, differing) in made_for_others(run).items():
        console.print(
            f"[bold yellow]dataset '{name}' is a skim made for '{analysis}', with other {', '.join(differing)}[/bold yellow]:"
            " events that pass here and not there are missing; if that can be, skim again"
        )
    luminosities = luminosity.luminosities(run.analysis, run.resolved.era, run.resolved.era_folder, run.fileset)
    execution = run.analysis.execution
    check_files(run.fileset, next(iter(run.resolved.cards), None))
    found = ledger.run(
        Work(
            source=run.resolved.source,
            analysis=run.analysis,
            cards=tuple((name, str(path)) for name, path in run.resolved.cards.items()),
            output=str(run.out),
            threads=2 if execution.executor == "iterative" else 1,
            score_cache=str(run.out / "scores") if execution.score_cache else None,
        ),
        plan(run.fileset, execution.chunk_size, rows_key(run)),
        execution,
        run.out,
    )
    publish(run.out, found.chunks, counting := found.counting())
    cuts = run.analysis.selection.cuts
    summary = {}
    for name, (dataset, files) in run.fileset.items():
        counted = ledger.totals(
            [counting[c.id] for c in found.chunks if c.dataset == name and c.id in counting], len(cuts)
        )
        if not counted["entries"]:
            console.print(f"dataset '{name}': its files hold no events")
        elif counted["rows"] == 0:
            console.print(f"dataset '{name}': no event of {counted['entries']} passes the base selection")
        summary[name] = {
            **dataset.metadata.model_dump(mode="json"),
            "files": [f.path for f in files],
            "sum_of_weights": None if dataset.metadata.is_data else math.fsum(f.sum_of_weights or 0.0 for f in files),
            "sums_of_variations": datasets.sums_of_variations(files),
            "constituents": constituent_sources(files),
            **counted,
        }
        repairs.report(name, summary[name]["repairs"])
        if name in luminosities:
            summary[name] |= {
                "luminosity_pb": luminosities[name].luminosity_pb,
                "luminosity": luminosities[name].as_dict(),
            }
    _report_inference([how for dataset in summary.values() for how in dataset["inference"].values()])
    refuse_overlap(run.out / EVENTS, run.fileset)
    extra = {"cuts": ["all", *cuts], "datasets": summary, "chunks": {"executor": execution.executor, **found.costs()}}
    write_cutflow(run, extra)
    return extra


def _report_inference(found: list[dict[str, Any]]) -> None:
    """Say how many scores needed no inference."""
    cached, computed = (sum(how[key] for how in found) for key in ("from_cache", "computed"))
    if cached:
        console.print(f"process: {cached} scores of jets kept from earlier runs, {computed} computed")
