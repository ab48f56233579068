"""The authors' event files as input in place of `process`, and as output (Zenodo 10.5281/zenodo.19181048)."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from oddjets.config.combinations import components_of
from oddjets.core.console import console
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError
from oddjets.core.provenance import is_consistent, read_manifest
from oddjets.io import paper_npz
from oddjets.io.event_table import read, write_part
from oddjets.io.histograms import DATA
from oddjets.scoring.class_groups import probability_columns
from oddjets.scoring.model_card import load_card
from oddjets.scoring.score import score_of_predictions
from oddjets.selection.normalisation import factors
from oddjets.workflow.blinding import record_state
from oddjets.workflow.stages.cutflow import write_cutflow

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["export_npz", "import_npz"]


def import_npz(run: RunContext, events: Path) -> dict[str, Any]:
    """Turn the authors' event files into event tables; an event passes if its trigger fired and it has no lepton.

    Args:
        run: of an analysis with the option `npz`.
        events: the folder of the tables.

    Raises:
        InputFileError: a file that is none of theirs, one of data that is called simulation, or a copy of another.
    """
    spec = run.analysis.npz
    assert spec is not None
    scores = {name: score.column for name, score in run.analysis.scores.items() if score.column is not None}
    summary = {}
    #: of the arrays of a file -> the file: without event numbers nothing else tells a copy
    seen: dict[str, Path] = {}
    for process, files in run.npz_files.items():
        is_data = process == DATA
        raw, weighted = [0, 0, 0], [0.0, 0.0, 0.0]
        for number, file in enumerate(files):
            prediction, cond = paper_npz.read_file(file)
            if not is_data:
                paper_npz.refuse_data(file, cond)
            _refuse_copy(file, cond, seen)
            # what no score is made of need not be of any form
            used = paper_npz.PREDICTION in scores.values()
            try:
                score = score_of_predictions(prediction, spec.formula) if used else np.zeros(len(cond))
            except InputFileError as error:
                raise InputFileError(f"{file}: {error}") from None
            table = paper_npz.to_table(score, cond, scores=scores, is_data=is_data, number=number)
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
            "parts": [f"part-{number:06d}.parquet" for number in range(len(files))],
            "entries": raw[0],
            "rows": raw[2],
            "raw": raw,
            "weighted": weighted,
            "n_minus_1": [[raw[2], weighted[2]]] * 2,
            "input_anomalies": {},
        }
    extra = {"cuts": ["all", "trigger", "lepton_veto"], "datasets": summary}
    write_cutflow(run, extra)
    return extra


def _refuse_copy(file: Path, cond: np.ndarray, seen: dict[str, Path]) -> None:
    """Refuse a file with the jets of another one: its events would count twice."""
    digest = hashlib.sha256(np.ascontiguousarray(cond, dtype=np.float64).tobytes()).hexdigest()
    if len(cond) and digest in seen:
        raise InputFileError(f"{file}: has the same events as {seen[digest].name}; keep one of the two files")
    seen[digest] = file


def _threshold(run: RunContext) -> float | None:
    """Return the cut on the scores above which data are blinded; None where they are not."""
    if not run.analysis.blind:
        return None
    if read_manifest(run.out, "histogram") is None:
        raise BlindedError(
            f"{run.out}: the data in A are blinded, and which events these are is known after `oddjets histogram`; run it"
            " first, or export with --unblind"
        )
    if not is_consistent(
        run.out, "histogram", "process", {"threshold": run.analysis.threshold.model_dump(mode="json")}
    ):
        raise BlindedError(
            f"{run.out}: the data in A are blinded, and the threshold or the events are others than when the histograms were"
            " made, so that nobody can tell which data these are; run `oddjets histogram` first, or export with --unblind"
        )
    return float(run.extra("histogram")["threshold"]["value"])


def _score_with_classes(run: RunContext, score: str) -> str:
    """Return the score whose class probabilities are written: itself, or the one of a combination that has a model."""
    if run.analysis.scores[score].combined is None:
        return score
    components = components_of(run.analysis.scores, score)
    owners = dict.fromkeys(run.analysis.scores[name].of or name for name in components)
    models = [name for name in owners if name in run.resolved.cards]
    if len(models) != 1:
        raise OddjetsError(
            f"the score '{score}' combines {', '.join(components)}, of which {', '.join(models) or 'none'} have a model: the"
            " class probabilities to write are those of a single model"
        )
    return models[0]


def _kept_probabilities(run: RunContext, score: str) -> list[str]:
    """Return the stems of the columns, in the order of the card's softmax, as the model's probabilities are."""
    owner = _with_card(run, score)
    return [*probability_columns(load_card(run.resolved.cards[owner], "constituents"), owner).values()]


def _with_card(run: RunContext, score: str) -> str:
    """Return the score whose card a score is computed with: itself, or the one that it is ``of``."""
    owner = run.analysis.scores[score].of or score
    if owner not in run.resolved.cards:
        raise OddjetsError(f"the score '{score}' has no model, and so no class probabilities")
    return owner


def export_npz(run: RunContext, folder: Path) -> list[Path]:
    """Write the event tables of a run as the authors' event files.

    Args:
        run: a run whose stage `process` is done; its threshold's score must have kept its class probabilities.
        folder: where to.

    Returns:
        The files, one a dataset: ``outputs_pretrain_s_<process>_dijet.npz``, or ``..._dijet_<dataset>.npz`` where several
        datasets are of one process.

    Raises:
        OddjetsError: a table without class probabilities, or a score that has none; or events with a number that the files
            cannot hold, such as a mass of 0, whose logarithm they have. No file is written then.
        BlindedError: the data in A are blinded, and no threshold says yet which they are.
    """
    hidden = _threshold(run)
    record_state(run.analysis, run.out, unblinds=run.unblinds)
    cut_on = run.analysis.threshold.score
    score = _score_with_classes(run, cut_on)
    stems = _kept_probabilities(run, score)
    processed = run.extra("process")
    normalisation = factors(run.analysis, processed, run.luminosities)
    of_process = Counter((n.process, n.is_data) for n in normalisation.values())
    contents: dict[Path, tuple[np.ndarray, np.ndarray]] = {}
    for dataset, (process, is_data, factor, _) in normalisation.items():
        table = read(run.out / "events", dataset)
        if any(f"{stem}_1" not in table for stem in stems):
            raise OddjetsError(
                f"{run.out / 'events' / dataset}: no class probabilities of '{score}'; say"
                f" 'scores.{run.analysis.scores[score].of or score}.keep_probabilities: true' and run `oddjets process` again"
            )
        kept = np.array(table["passes_nominal"], dtype=bool)
        if is_data and hidden is not None:
            # what lies at a strict threshold goes too
            kept &= ~(np.minimum(*(table[f"score_{cut_on}_{j}"] for j in (1, 2))) >= hidden)
            console.print(f"dataset '{dataset}': blinded, the events in A are left out")
        selected = {name: array[kept] for name, array in table.items()}
        classes = np.stack([np.stack([selected[f"{stem}_{j}"] for stem in stems], axis=1) for j in (1, 2)], axis=1)
        name = paper_npz.DATA_NAME if is_data else process
        suffix = f"_{dataset}" if of_process[process, is_data] > 1 else ""
        prediction, cond = paper_npz.from_table(selected, classes, factor)
        if wrong := paper_npz.find_unstorable(prediction, cond):
            raise OddjetsError(
                f"{run.out / 'events' / dataset}: {'; '.join(wrong)}: the authors' files cannot hold them. Add cuts to the"
                " selection, and run `oddjets process` again"
            )
        contents[folder / f"outputs_pretrain_s_{name}_dijet{suffix}.npz"] = prediction, cond
    folder.mkdir(parents=True, exist_ok=True)
    for file, (prediction, cond) in contents.items():
        np.savez_compressed(file, prediction=prediction, cond=cond)
    return list(contents)
