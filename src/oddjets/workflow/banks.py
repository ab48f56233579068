"""Banks of an analysis: what is simulated for them, and what their cards say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError, nearest
from oddjets.io import event_table
from oddjets.io.event_table import JETS, Columns
from oddjets.selection.normalisation import factor_of, own_factors
from oddjets.study.bank import columns_for, pack
from oddjets.study.supervised import feature_stems
from oddjets.workflow.bank_validation import describe
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.run import RunContext

__all__ = ["bank_analysis", "card_of", "make_bank", "require_file"]


def card_of(run: RunContext) -> dict[str, Any]:
    """Return what the card of a bank says of an analysis: its selection, and the models of its scores."""
    return describe(run.analysis, run.resolved.cards)


def bank_analysis(analysis: Analysis, seed: int, generate: Sequence[str]) -> Analysis:
    """Return an analysis that simulates a bank: no pseudo-data, and as many templates as asked.

    Args:
        analysis: whose bank it is.
        seed: of the simulation, another one than that of any sample that is studied with the bank.
        generate: words PROCESS=N, hard events.

    Raises:
        OddjetsError: it simulates nothing, the seed is the analysis's own, or a word of another form.
    """
    if analysis.simulate is None:
        raise OddjetsError(f"'{analysis.name}' has no 'simulate': make its event tables, then pack them without --seed")
    counts = dict(analysis.simulate.templates)
    for word in generate:
        process, _, number = word.partition("=")
        if process not in counts or not number.isdecimal() or int(number) < 1:
            raise OddjetsError(
                f"--generate: '{word}' is not of the form PROCESS=N, such as qcd=100000; {nearest(process, counts)}"
            )
        counts[process] = int(number)
    if seed == analysis.simulate.seed:
        raise OddjetsError(
            f"--seed: {seed} is the seed of '{analysis.name}' itself, whose events the bank would repeat; give another one"
        )
    update = {"seed": seed, "templates": counts, "luminosity": None}
    spec = analysis.simulate.model_copy(update=update)
    return analysis.model_copy(update={"simulate": spec})


def require_file(file: Path) -> None:
    """Refuse a folder as the file of a bank, before anything is simulated for it.

    Raises:
        OddjetsError: it is one.
    """
    if file.is_dir():
        raise OddjetsError(f"--file: {file} is a folder; give a file, such as {file / 'bank.parquet'}")


def make_bank(run: RunContext, file: Path, *, pseudo_data: bool = False, features: bool = False) -> dict[str, int]:
    """Pack the events of a processed analysis into a bank.

    Args:
        run: the analysis and its folder.
        file: where to.
        pseudo_data: take the data-driven process also from simulated pseudo-data, by truth; weights are for all of them.
        features: keep the columns of jets that scores are learnt from, too.

    Returns:
        Process -> events.
    """
    require_file(file)
    processed, analysis = run.extra("process"), run.analysis
    processor = ChunkWorker(run.resolved.source, run.analysis, (), None, 1).build()
    parts = list(_parts(run, processed, pseudo_data=pseudo_data))
    # signals that are held out are no processes of a fit, but studies inject them
    named = [*analysis.processes, *(name for name in analysis.hold_out if any(name == process for process, _ in parts))]
    wanted = {p: columns_for(analysis, processor, p, simulated=p != analysis.data_driven) for p in named}
    if features:
        kept = [f"{stem}_{j}" for stem in feature_stems([columns for _, columns in parts]) for j in JETS]
        wanted = {process: list(dict.fromkeys([*names, *kept])) for process, names in wanted.items()}
    simulate = analysis.simulate
    card = {
        **card_of(run),
        "analysis": analysis.name,
        "simulate": None if simulate is None else simulate.model_dump(mode="json"),
        "weights": "events for 1 /pb",
    }
    return pack(file, parts, card, wanted)


def _parts(run: RunContext, processed: Mapping[str, Any], *, pseudo_data: bool) -> Iterator[tuple[str, Columns]]:
    analysis, folder = run.analysis, run.event_tables
    if not isinstance(analysis.era, str):
        raise OddjetsError(f"{analysis.name}: a bank has one era: make an analysis of each era, and pack these")
    by_hand = own_factors(analysis, processed)
    extra: list[Columns] = []
    share = 1.0
    qcd = str(analysis.data_driven)
    known = {*analysis.processes, *analysis.hold_out}
    if pseudo_data:
        extra, luminosity = _pseudo_data(run, processed, qcd)
        of_qcd = next((factor_of(d, 1.0) for d in processed["datasets"].values() if d["process"] == qcd), 0.0)
        # both samples describe the same events: each counts by its luminosity
        share = 1 / (1 + luminosity * of_qcd) if of_qcd else 0.0
        for columns in extra:
            columns["weight"] = columns["weight"] * (1 - share) / luminosity
    for dataset, d in processed["datasets"].items():
        if d["is_data"] or d["process"] not in known or not event_table.parts(folder, dataset):
            continue
        factor = factor_of(d, 1.0) * (share if d["process"] == qcd else 1.0)
        for columns in event_table.stream(folder, dataset):
            scaled = dict(columns)
            for name in columns:
                if name == "weight" or name.startswith("weight__"):
                    own = by_hand.get(dataset, {}).get(name.partition("__")[2], 1.0)
                    scaled[name] = columns[name] * (factor * own)
            yield d["process"], scaled
    for columns in extra:
        yield qcd, columns


def _pseudo_data(run: RunContext, processed: Mapping[str, Any], process: str) -> tuple[list[Columns], float]:
    """Return the events of a process among simulated pseudo-data, and the luminosity of these, /pb."""
    truth = sorted((run.out / "simulation" / "truth").glob("*.npz"))
    data = [name for name, d in processed["datasets"].items() if d["is_data"]]
    if not truth or not data:
        raise OddjetsError(f"{run.out}: has no simulated pseudo-data with their truth")
    keys = ("run", "luminosityBlock", "event")
    known: set[tuple[int, ...]] = set()
    for file in truth:
        with np.load(file, allow_pickle=False) as stored:
            of = np.asarray(stored["process"]).astype(str) == process
            known |= set(zip(*(stored[key][of].tolist() for key in keys), strict=True))
    found = []
    for dataset in data:
        for columns in event_table.stream(run.event_tables, dataset):
            there = zip(*(columns[key].tolist() for key in keys), strict=True)
            kept = np.fromiter((event in known for event in there), bool, len(columns["event"]))
            found.append({name: array[kept] for name, array in columns.items()})
    return found, float(sum(processed["datasets"][name]["luminosity_pb"] for name in data))
