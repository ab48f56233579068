"""The stage `process`: event tables from PFNano, from the authors' event files, or from Aspen Open Jets."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from oddjets.config.per_era import by_era, eras_of
from oddjets.core import provenance
from oddjets.core.console import console
from oddjets.core.errors import InputFileError
from oddjets.corrections import lookups, luminosity
from oddjets.corrections.sections import sections_of_file
from oddjets.corrections.working_point import check_working_point
from oddjets.io.event_table import parts
from oddjets.io.fileset import FileInfo, sum_of_weights, sums_of_variations
from oddjets.io.histograms import DATA
from oddjets.scoring.cache import refused_writing
from oddjets.scoring.class_groups import probability_columns, share_columns
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.scoring.onnx_session import check_provider
from oddjets.selection import input_anomalies
from oddjets.selection.file_layouts import constituent_sources, summarise_layouts, warn_of_stale_weights
from oddjets.selection.normalisation import cutflow_line
from oddjets.selection.score_checks import check_columns, refuse_useless_columns
from oddjets.selection.sums_checks import refuse_unlike_sums
from oddjets.selection.trigger_menus import trigger_menus
from oddjets.workflow.executors import bookkeeping, select, skipped_files
from oddjets.workflow.executors.aspen_worker import JETS
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import plan
from oddjets.workflow.executors.preflight import (
    check_files,
    refuse_overlap,
)
from oddjets.workflow.executors.records import CHUNKS, EVENTS, publish
from oddjets.workflow.executors.skipped_files import SkippedFile
from oddjets.workflow.keys import rows_keys
from oddjets.workflow.skim.compatibility import incompatible_skims
from oddjets.workflow.stages.aspen import has_all_jets, import_aspen
from oddjets.workflow.stages.combined_scores import has_combined_scores, remove_combined_scores, write_combined_scores
from oddjets.workflow.stages.cutflow import write_cutflow
from oddjets.workflow.stages.npz import import_npz

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["work"]

#: folders that it takes earlier work from, unless it is forced to run
KEPT_FOLDERS = (CHUNKS, JETS)


def check_environment(run: RunContext) -> None:
    """Refuse executors, schedulers and an ONNX Runtime that are not there."""
    execution = run.analysis.execution
    if run.analysis.npz is None:
        if run.analysis.reads_root:
            select.check(execution)
        if run.resolved.cards:
            # workers of a cluster may have what is missing here
            check_provider(execution.provider if execution.executor in ("iterative", "futures") else "auto")
            if execution.score_folder is not None and (folder := execution.scores(run.out, run.analysis.folder)):
                refused_writing(folder)


def has_all_outputs(run: RunContext, extra: Mapping[str, Any]) -> bool:
    """Tell whether all parts of the event tables are there, and no others; what could not be read is tried again."""
    return (
        (run.analysis.aspen is None or has_all_jets(run, extra))
        and not provenance.lost_files(extra)
        and has_combined_scores(run, extra)
        and all(
            {part.name for part in parts(run.out / EVENTS, name)} == set(found.get("parts", ()))
            for name, found in extra.get("datasets", {}).items()
        )
    )


def work(run: RunContext) -> dict[str, Any]:
    """Process all files; the manifest gets what every dataset adds up to."""
    if run.analysis.npz is not None:
        events = run.out / EVENTS
        # what is there belongs to another key
        shutil.rmtree(events, ignore_errors=True)
        events.mkdir(parents=True)
        imported = import_npz(run, events)
        return imported | write_combined_scores(run, imported["datasets"])
    remove_combined_scores(run)
    if run.analysis.aspen is not None:
        events = run.out / EVENTS
        events.mkdir(parents=True, exist_ok=True)
        imported = import_aspen(run, events)
        return imported | (write_combined_scores(run, imported["datasets"]) if imported["datasets"] else {})
    for asked, _ in by_era(run.analysis, run.fileset):
        assert isinstance(asked.era, str)
        check_working_point(asked, *run.resolved.eras[asked.era], only=len(run.resolved.eras) == 1)
    for name, (analysis, differing) in incompatible_skims(run).items():
        console.print(
            f"[bold yellow]dataset '{escape(name)}' is a skim made for '{analysis}', with other"
            f" {', '.join(differing)}[/bold yellow]: events that pass here and not there are missing; if that"
            " can be, skim again"
        )
    execution = run.analysis.execution
    scores = execution.scores(run.out, run.analysis.folder)
    if run.resolved.cards and execution.score_folder is not None and scores and (why := refused_writing(scores)):
        console.print(
            f"{escape(str(scores))}: scores are taken from there, and new ones are not stored ({escape(why)})"
        )
    cards = {name: load_card(path) for name, path in run.resolved.cards.items()}
    check_files(run.fileset, cards, run.analysis, skip_bad_files=execution.skip_bad_files)
    lost = [*run.unreadable, *(_unreadable_sections(run) if execution.skip_bad_files else [])]
    fileset = skipped_files.without_files(run.fileset, (loss.file for loss in lost))
    # before the work, so that a wrong golden JSON is found at once
    luminosities = luminosity.luminosities_of_eras(run.analysis, run.resolved.eras, fileset)
    found = bookkeeping.run(
        ChunkWorker(
            source=run.resolved.source,
            analysis=run.analysis,
            cards=tuple((name, str(path)) for name, path in run.resolved.cards.items()),
            output=str(run.out),
            threads=2 if execution.executor == "iterative" else 1,
            score_cache=str(scores) if scores is not None else None,
        ),
        plan(fileset, execution.chunk_size, rows_keys(run)),
        execution,
        run.out,
    )
    if found.losses:
        lost += found.losses
        fileset = skipped_files.without_files(fileset, found.lost_files)
        luminosities = luminosity.luminosities_of_eras(run.analysis, run.resolved.eras, fileset)
    counting = found.counting()
    for name, (dataset, files) in fileset.items():
        # a cut of the generator takes weights of events away
        if not dataset.metadata.is_data and dataset.metadata.generator_cut is None:
            records = [record for record in counting.values() if record.dataset == name]
            weighted = {
                info.path: math.fsum(r.counts["weighted"][0] for r in records if r.file == info.path) for info in files
            }
            refuse_unlike_sums(name, files, weighted)
    counted = {
        name: bookkeeping.totals([record for record in counting.values() if record.dataset == name], cuts)
        for name, cuts in dict.fromkeys(fileset, len(run.analysis.selection.cuts)).items()
    }
    check_columns(cards, {name: counts["inference"] for name, counts in counted.items()})
    accounts = skipped_files.close_ledger(
        run.fileset, lost, {name: counts["entries"] for name, counts in counted.items()}
    )
    refuse_useless_columns(
        run.analysis,
        {
            # not for the manifest: the ends of data may be those of A
            name: (DATA if dataset.metadata.is_data else dataset.metadata.process, counted[name].pop("score_columns"))
            for name, (dataset, _) in fileset.items()
        },
    )
    publish(run.out, found.chunks, counting)
    skipped_files.write(run.out, accounts)
    summary = {
        name: _summary(run, name, files, counted[name], luminosities.get(name), accounts[name]["fraction"])
        for name, (_, files) in fileset.items()
    }
    for name, menus in trigger_menus(run.analysis, fileset).items():
        summary[name] |= menus
    _report_inference([how for dataset in summary.values() for how in dataset["inference"].values()])
    if run.analysis.score_variations is not None:
        _report_variations([dataset.get("varied_scores", {}) for dataset in summary.values()])
    refuse_overlap(run.out / EVENTS, fileset)
    combined = write_combined_scores(run, summary)
    extra = {
        "cuts": ["all", *run.analysis.selection.cuts],
        "datasets": summary,
        "ledger": accounts,
        "fraction_of_data": _fraction_of_data(run, accounts),
        **_of_eras(run, accounts),
        "shares": _shares(run),
        "probabilities": _classes(run),
        **_learnt(run),
        **_score_variations(run),
        "chunks": {"executor": execution.executor, **found.costs()},
        **combined,
    }
    write_cutflow(run, extra)
    return extra


def _unreadable_sections(run: RunContext) -> list[SkippedFile]:
    """Return files of data whose luminosity sections, and so whose luminosity, cannot be read."""
    if run.analysis.selection.golden_json is None:
        return []
    found = []
    for name, (dataset, files) in run.fileset.items():
        for info in files if dataset.metadata.is_data else ():
            try:
                sections_of_file(info.path)
            except InputFileError as error:
                found.append(SkippedFile(name, info.path, error.cause or "damaged", str(error)))
    return found


def _summary(
    run: RunContext,
    name: str,
    files: Sequence[FileInfo],
    counted: Mapping[str, Any],
    measured: luminosity.Luminosity | None,
    fraction: float,
) -> dict[str, Any]:
    """Return the manifest's content about a dataset: it describes the files that were read to the end."""
    metadata = run.fileset[name][0].metadata
    if not counted["entries"]:
        console.print(f"dataset '{escape(name)}': its files hold no events")
    elif counted["rows"] == 0:
        flow = cutflow_line(["all", *run.analysis.selection.cuts], counted["raw"])
        console.print(f"dataset '{escape(name)}': no event of {counted['entries']} passes the base selection: {flow}")
    input_anomalies.report(name, counted["input_anomalies"])
    warn_of_stale_weights(name, counted["input_anomalies"], 2 * counted["rows"])
    total = sum_of_weights(run.fileset[name][0], files)
    if total is not None and fraction < 1 and _origin(metadata.is_data, files) == "metadata":
        total *= fraction
        console.print(
            f"dataset '{escape(name)}': its sum of weights is taken as {100 * fraction:.4g} % of what its metadata say, since"
            " so many of its events were read"
        )
    content = {
        **metadata.model_dump(mode="json"),
        "files": [f.path for f in files],
        "sum_of_weights": total,
        "sum_of_weights_from": _origin(metadata.is_data, files),
        "sums_of_variations": sums_of_variations(files),
        "constituents": constituent_sources(files),
        "layouts": summarise_layouts(files),
        **counted,
    }
    if measured is not None:
        content |= {"luminosity_pb": measured.luminosity_pb, "luminosity": measured.as_dict()}
    elif metadata.luminosity_pb is not None and fraction < 1:
        content["luminosity_pb"] = metadata.luminosity_pb * fraction
        console.print(
            f"dataset '{escape(name)}': its luminosity is taken as {100 * fraction:.4g} % of what its metadata say, since so"
            " many of its events were read"
        )
    return content


def _origin(is_data: bool, files: Sequence[FileInfo]) -> str | None:
    """Say where a sum of weights comes from: ``files``, or ``metadata`` of the fileset; None of data."""
    if is_data:
        return None
    return "metadata" if files and all(info.sum_of_weights is None for info in files) else "files"


def _of_eras(run: RunContext, accounts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the manifest says of the eras: files of theirs that nobody checked, and which part of each was read."""
    found: dict[str, Any] = {}
    unchecked = {name: lookups.unchecked_files(*era) for name, era in run.resolved.eras.items()}
    if unchecked := {name: files for name, files in unchecked.items() if files}:
        found["unchecked_files"] = unchecked
        for name, files in unchecked.items():
            console.print(
                f"[bold yellow]era '{escape(name)}': not checked[/bold yellow]: its YAML has no sha256 of {', '.join(files)};"
                " the manifest says which version was used"
            )
    if not isinstance(run.analysis.era, str):
        found["fraction_of_data_by_era"] = {era: _fraction_of_data(run, accounts, era) for era in eras_of(run.analysis)}
    return found


def _fraction_of_data(run: RunContext, accounts: Mapping[str, Any], era: str | None = None) -> float:
    """Return which part of all events of data, or of those of an era, was read."""
    data = [
        accounts[name]
        for name, (dataset, _) in run.fileset.items()
        if dataset.metadata.is_data and era in (None, dataset.metadata.era)
    ]
    planned = math.fsum(found["done"] / found["fraction"] for found in data if found["done"])
    return sum(found["done"] for found in data) / planned if planned else 1.0


def _of_constituents(run: RunContext) -> dict[str, ModelCard]:
    cards = {name: load_card(path) for name, path in run.resolved.cards.items()}
    # members of families have no columns of classes
    return {name: card for name, card in cards.items() if isinstance(card, ModelCard) and name in run.analysis.scores}


def _shares(run: RunContext) -> dict[str, dict[str, str]]:
    """Return score to column of a class group's share (without _1 and _2) to the group's name on the card."""
    return {
        name: {column: group for group, column in share_columns(card, name).items()}
        for name, card in _of_constituents(run).items()
    }


def _classes(run: RunContext) -> dict[str, dict[str, str]]:
    """Return score to column of a class's probability (without _1 and _2) to the class's name on the card."""
    cards = {name: card for name, card in _of_constituents(run).items() if run.analysis.scores[name].keep_probabilities}
    return {
        name: {column: card.class_names[index] for index, column in probability_columns(card, name).items()}
        for name, card in cards.items()
    }


def _learnt(run: RunContext) -> dict[str, Any]:
    """Return how scores were learnt from data, by name, if any was: what their cards say."""
    cards = {name: load_card(path) for name, path in run.resolved.cards.items()}
    found = {
        name: {
            **card.learnt.model_dump(mode="json", exclude={"events", "least_agreement"}),
            "training": card.training,
            "columns": [column.column for tensor in card.inputs for column in tensor.columns],
        }
        for name, card in cards.items()
        if isinstance(card, ColumnCard) and card.learnt is not None
    }
    return {"learnt": found} if found else {}


def _score_variations(run: RunContext) -> dict[str, Any]:
    """Return what the manifest says of variations of constituents: sizes, sources and processes."""
    section = run.analysis.score_variations
    if section is None:
        return {}
    acting = {s.name: list(s.processes or ()) for s in run.analysis.systematics if s.kind == "scores"}
    return {
        "score_variations": {
            name: {**found, "processes": acting.get(name, [])} for name, found in section.stated().items()
        }
    }


def _report_variations(datasets: list[dict[str, Any]]) -> None:
    """Say what the variations of constituents cost, and which of them change no jet."""
    found: dict[str, Counter[str]] = {}
    for dataset in datasets:
        for variation, counts in dataset.items():
            found.setdefault(variation, Counter()).update(counts)
    total: Counter[str] = sum(found.values(), Counter())
    console.print(
        f"process: {len(found)} variations of constituents: models' output computed for {total['computed']} jets and kept for"
        f" {total['from_cache']} (each variation and model counts)"
    )
    if idle := [name for name, counts in found.items() if counts["jets"] and not counts["changed"]]:
        console.print(f"process: [bold yellow]no jet is changed[/bold yellow] by {', '.join(idle)}")


def _report_inference(found: list[dict[str, Any]]) -> None:
    """Say for how many jets no model had to run."""
    cached, computed = (sum(how[key] for how in found) for key in ("from_cache", "computed"))
    if cached:
        console.print(
            f"process: models' output kept from earlier runs for {cached} jets, computed for {computed} (each model counts)"
        )
