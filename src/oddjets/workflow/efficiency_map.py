"""The map of the score's efficiency from the simulated samples of an output folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.core.files import sha256_of, write_json
from oddjets.io import event_table
from oddjets.io.decay_partons import DecayPartons, read_decay_partons
from oddjets.io.event_table import JETS, Columns, EventTable
from oddjets.io.rescoring import EFFICIENCY_MAP
from oddjets.report.figure_files import make
from oddjets.scoring.model_card import load_card
from oddjets.selection.decorators import HasCuts
from oddjets.selection.normalisation import factors
from oddjets.study.efficiency_map import MapJets, make_map
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.rescoring.published import published_threshold
from oddjets.workflow.run import RunContext

__all__ = ["map_efficiency"]

#: of AK8 jets
RADIUS = 0.8


def map_efficiency(run: RunContext, processes: Sequence[str] = ()) -> Path:
    """Measure how likely single jets pass the threshold, and write ``efficiency_map.json`` and its figure.

    Args:
        run: a finished analysis, or a rescored signal, with its event tables; the simulated files are read for their truth.
        processes: those whose jets are taken; none given: all simulated ones.

    Returns:
        The file.

    Raises:
        InputFileError: there are no event tables or no threshold.
        OddjetsError: no such process, or none whose files have generator particles.
    """
    threshold = published_threshold(run)
    processed = run.extra("process")
    known = list(dict.fromkeys(d["process"] for d in processed["datasets"].values() if not d["is_data"]))
    for name in processes:
        if name not in known:
            raise OddjetsError(f"--process: no simulated process '{name}' in {run.out}; {nearest(name, known)}")
    chosen = list(processes) or known
    processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
    parts: list[MapJets] = []
    samples: dict[str, Any] = {}
    with run.lock():
        for dataset, norm in factors(run.analysis, processed, run.luminosities).items():
            if norm.is_data or norm.process not in chosen:
                continue
            found = list(_jets_of(run, processor, dataset, norm.process, norm.factor, threshold))
            if not found:
                console.print(escape(f"dataset '{dataset}': no selected event, or no generator particles; left out"))
                continue
            parts += found
            content = processed["datasets"][dataset]
            samples[dataset] = {"process": norm.process, "events": sum(len(p.weight) for p in found)}
            samples[dataset] |= {"generator": content.get("generator", "")}
        if not parts:
            raise OddjetsError(f"{run.out}: no simulated sample has selected events and generator particles (GenPart)")
        made, check = make_map(_joined(parts))
        file = run.out / EFFICIENCY_MAP
        path = run.resolved.cards.get(str(threshold["score"]))
        write_json(
            file,
            {
                "analysis": run.analysis.name,
                "what": (
                    "probability that a jet of an event that passes the base selection has a score at or above the threshold;"
                    " prongs: quarks, gluons and charged leptons of decays of top, W, Z, H and new particles within"
                    f" {RADIUS} of the jet"
                ),
                "threshold": {"score": threshold["score"], "value": threshold["value"]},
                "model_sha256": None if path is None else load_card(path).sha256,
                "card_sha256": None if path is None else sha256_of(path),
                "base_selection": list(run.analysis.selection.cuts),
                "samples": samples,
                "map": made.as_dict(),
                "check": check,
            },
        )
        make(run.analysis, run.out, ["efficiency_map"])
    for name, of in check.items():
        console.print(
            escape(
                f"{name}: {of['predicted']:.4g} events in A by the map, each jet for itself; there are {of['events']:.4g} +-"
                f" {of['error']:.2g} with both jets in the map's ranges"
            )
        )
    console.print(escape(f"map: {file}"))
    return file


def _jets_of(
    run: RunContext, processor: HasCuts, dataset: str, process: str, factor: float, threshold: dict[str, Any]
) -> Iterator[MapJets]:
    """Yield the jets of the selected events of a dataset, those of one source file after the other."""
    folder = run.event_tables
    if not event_table.parts(folder, dataset):
        return
    _, files = run.fileset[dataset]
    access = run.analysis.execution.access(run.analysis.folder)
    partons = [found for info in files if (found := read_decay_partons(info.path, access)) is not None]
    if len(partons) < len(files):
        return
    for columns in event_table.stream(folder, dataset):
        table = EventTable(columns)
        passing = np.asarray(processor.passing(table), bool)
        selected = {name: np.asarray(values)[passing] for name, values in columns.items()}
        if len(selected["event"]):
            yield _with_prongs(selected, partons, process, factor, threshold, strict=run.analysis.threshold.strict)


def _with_prongs(
    columns: Columns,
    partons: Sequence[DecayPartons],
    process: str,
    factor: float,
    threshold: dict[str, Any],
    *,
    strict: bool,
) -> MapJets:
    identities = np.stack([np.asarray(columns[n], np.uint64) for n in ("run", "luminosityBlock", "event")], axis=-1)

    def both(stem: str) -> npt.NDArray[np.float64]:
        return np.stack([np.asarray(columns[f"{stem}_{jet}"], np.float64) for jet in JETS])

    eta, phi, scores = both("eta"), both("phi"), both(f"score_{threshold['score']}")
    prongs = np.zeros(eta.shape, np.int64)
    found = np.zeros(len(identities), bool)
    for of_file in partons:
        rows = of_file.rows_of(identities)
        there = rows >= 0
        found |= there
        for jet in (0, 1):
            prongs[jet, there] = of_file.prongs_near(rows[there], eta[jet, there], phi[jet, there], RADIUS)
    if not found.all():
        raise InputFileError(
            f"{int((~found).sum())} events of '{process}' are not in the files of the fileset: these were replaced since; run"
            " `oddjets process` again"
        )
    value = threshold["value"]
    return MapJets(
        both("pt"),
        both("mass"),
        prongs,
        scores > value if strict else scores >= value,
        np.asarray(columns["weight"], np.float64) * factor,
        np.full(len(identities), process),
    )


def _joined(parts: Sequence[MapJets]) -> MapJets:
    axes = {"pt": 1, "mass": 1, "prongs": 1, "passes": 1, "weight": 0, "process": 0}
    return MapJets(**{n: np.concatenate([getattr(p, n) for p in parts], axis=axis) for n, axis in axes.items()})
