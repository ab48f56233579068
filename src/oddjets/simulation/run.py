"""The simulation of pseudo-data and templates as PFNano files with a fileset."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.config.simulation import SimulationSpec
from oddjets.core.console import log, progress
from oddjets.core.files import atomic_write, write_json
from oddjets.core.worker_pool import run_tasks
from oddjets.simulation.cost_estimate import predict
from oddjets.simulation.generator import (
    GENERATOR,
    SHOWER_VARIATIONS,
    GeneratedBatch,
    generate,
    prepare_multiparton_tables,
    require_pythia,
)
from oddjets.simulation.job_plan import EVENTS_PER_BLOCK, Block, make_plan
from oddjets.simulation.pileup import load_pool, prepare_pool
from oddjets.simulation.processes import load_processes
from oddjets.simulation.reconstruction import reconstruct
from oddjets.simulation.writer import explain_full_disk, write_nano

__all__ = ["simulate", "simulate_block"]

_FILESET = "fileset.json"
_TABLES = "multiparton.dat"
_POOL = "pileup.npz"
_IDENTITY = ("run", "luminosityBlock", "event")
#: events of a template that are held at once, about; fewer would compress worse
EVENTS_PER_PIECE = 1000


class _Summary(TypedDict):
    """The summary of a finished file, stored beside it as JSON."""

    key: str
    tried: int
    passed: int
    written: int
    #: shower variation -> sums of its weight and of its square over the written events
    shower_weights: dict[str, list[float]]


def simulate(spec: SimulationSpec, out: Path, workers: int = 2) -> Path:
    """Simulate pseudo-data and templates; finished files of an earlier, interrupted call are kept.

    Args:
        spec: what to simulate.
        out: folder for ``fileset.json``, one folder of ROOT files a dataset, and ``truth/`` (which process each
            pseudo-data event came from, for validation only).
        workers: processes; the events do not depend on it.

    Returns:
        The path of ``fileset.json``: coffea's layout, file names relative to its folder.

    Raises:
        OddjetsError: if Pythia is missing or refuses, the disk is full, or a worker was killed.
    """
    require_pythia()
    plan = make_plan(spec)
    out.mkdir(parents=True, exist_ok=True)
    for folder in {block.dataset for block in plan} | {"truth"}:
        (out / folder).mkdir(exist_ok=True)
    todo = [block for block in plan if not _is_finished(block, out)]
    if len(todo) < len(plan):
        log.info("simulate: %d of %d files are already there", len(plan) - len(todo), len(plan))
    if todo:
        log.info("simulate: %s", predict(todo).text(workers))
        prepare_multiparton_tables(out / _TABLES)
        if (seed := plan[0].pileup_seed) is not None:
            prepare_pool(out / _POOL, seed)
        with progress("simulate (hard events)", sum(block.tries for block in todo)) as bar:
            for block in run_tasks(todo, functools.partial(simulate_block, out=out), workers, "simulate"):
                bar.advance(block.tries)
    fileset = out / _FILESET
    with explain_full_disk(fileset):
        write_json(fileset, _fileset(spec, plan, out))
    return fileset


def simulate_block(block: Block, out: Path) -> None:
    """Make one file, its summary and, of pseudo-data, its truth.

    Args:
        block: an entry of the plan.
        out: the simulation's folder, with the tables of `prepare_multiparton_tables` and the pool of `prepare_pool`.
    """
    summary = _Summary(key=block.key, tried=block.tries, passed=0, written=0, shower_weights={})
    # unit weights: the sums count every try, also those that the early veto dropped
    runs: dict[str, Any] = {"run": np.array([1], np.uint32)}
    if not block.is_data:
        runs["genEventCount"] = np.array([block.tries], np.int64)
        runs["genEventSumw"] = runs["genEventSumw2"] = np.array([block.tries], np.float64)
    write_nano(out / block.path, _pieces(block, out, summary), runs)
    file = (out / block.path).with_suffix(".json")
    with explain_full_disk(file):
        write_json(file, summary)


def _pieces(block: Block, out: Path, summary: _Summary) -> Iterator[ak.Array]:
    """Yield the events of a file in pieces, and fill the summary."""
    # the empty start gives the branches their types where nothing survives
    none = reconstruct(GeneratedBatch.empty(), np.random.default_rng(0), is_data=block.is_data)
    yield _numbered(none, block, 0)
    parts = _reconstructed(block, out, summary)
    for events, origin in [_shuffled(block, none, parts)] if block.is_data else _joined_batches(parts):
        events = _numbered(events, block, summary["written"])
        summary["written"] += len(events)
        for name, sums in _shower_weight_sums(events).items():
            known = summary["shower_weights"].setdefault(name, [0.0, 0.0])
            known[:] = [known[0] + sums[0], known[1] + sums[1]]
        if block.is_data:
            names = np.array([stream.process for stream in block.streams], np.str_)
            columns = {name: ak.to_numpy(events[name]) for name in _IDENTITY} | {"process": names[origin]}
            _write_truth(out / "truth" / Path(block.path).with_suffix(".npz").name, columns)
        yield events


def _reconstructed(block: Block, out: Path, summary: _Summary) -> Iterator[tuple[ak.Array, npt.NDArray[np.int64]]]:
    """Yield reconstructed events, with the number of the stream that each is from."""
    processes = load_processes()
    pool = None if block.pileup_seed is None else load_pool(out / _POOL, block.pileup_seed)
    for number, stream in enumerate(block.streams):
        rng = np.random.default_rng(stream.detector_seed)
        for batch in generate(
            processes[stream.process],
            stream.tries,
            stream.pythia_seed,
            early_veto=block.early_veto,
            tables=out / _TABLES,
            shower_variations=processes[stream.process].shower_variations and not block.is_data,
        ):
            summary["passed"] += len(batch.offsets) - 1
            events = reconstruct(batch, rng, is_data=block.is_data, pool=pool)
            yield events, np.full(len(events), number)


def _joined_batches(parts: Iterator[tuple[ak.Array, Any]]) -> Iterator[tuple[ak.Array, Any]]:
    """Join parts to pieces that are large enough to write, so that few are held in memory."""
    held: list[tuple[ak.Array, Any]] = []
    for part in parts:
        held.append(part)
        if sum(len(events) for events, _ in held) >= EVENTS_PER_PIECE:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _shuffled(
    block: Block, none: ak.Array, parts: Iterator[tuple[ak.Array, npt.NDArray[np.int64]]]
) -> tuple[ak.Array, npt.NDArray[np.int64]]:
    """Return all events of a block of pseudo-data in random order, so that the order does not show the process."""
    events, origin = _joined([(none, np.zeros(0, np.int64)), *parts])
    order = np.random.default_rng(block.shuffle_seed).permutation(len(events))
    return ak.to_packed(events[order]), origin[order]


def _joined(parts: list[tuple[ak.Array, npt.NDArray[np.int64]]]) -> tuple[ak.Array, npt.NDArray[np.int64]]:
    return ak.concatenate([events for events, _ in parts]), np.concatenate([origin for _, origin in parts])


def _numbered(events: ak.Array, block: Block, first: int) -> ak.Array:
    """Add the columns of ``_IDENTITY`` to events; the file has ``first`` events before them."""
    n = len(events)
    numbers = (
        np.ones(n, np.uint32),
        np.full(n, block.index + 1, np.uint32),
        np.arange(n, dtype=np.uint64) + np.uint64(block.index * EVENTS_PER_BLOCK + 1 + first),
    )
    for name, column in zip(_IDENTITY, numbers, strict=True):
        events[name] = column
    return events


def _shower_weight_sums(events: ak.Array) -> dict[str, list[float]]:
    if "PSWeight" not in events.fields or not ak.all(ak.num(events.PSWeight) == len(SHOWER_VARIATIONS)):
        return {}
    table = ak.to_numpy(events.PSWeight).astype(np.float64).reshape(-1, len(SHOWER_VARIATIONS))
    return {name: [float(w.sum()), float((w**2).sum())] for name, w in zip(SHOWER_VARIATIONS, table.T, strict=True)}


def _shower_note(summaries: list[_Summary]) -> str:
    """Describe the effective number of events of each shower variation, (sum w)^2 / sum w^2, relative to the events written."""
    n = sum(s["written"] for s in summaries)
    shares = {}
    for name in SHOWER_VARIATIONS:
        sums = [s["shower_weights"][name] for s in summaries if name in s["shower_weights"]]
        first, second = (sum(pair[k] for pair in sums) for k in range(2))
        if second > 0:
            shares[name] = first**2 / (n * second)
    if not shares:
        return ""
    return "effective events of PSWeight: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items())


def _write_truth(path: Path, columns: dict[str, Any]) -> None:
    with explain_full_disk(path), atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)


def _is_finished(block: Block, out: Path) -> bool:
    try:
        return bool(_summary(block, out)["key"] == block.key) and (out / block.path).exists()
    except (OSError, ValueError, KeyError):
        return False


def _summary(block: Block, out: Path) -> _Summary:
    summary: _Summary = json.loads((out / block.path).with_suffix(".json").read_text(encoding="utf-8"))
    return summary


def _fileset(spec: SimulationSpec, plan: list[Block], out: Path) -> dict[str, Any]:
    """Return coffea's fileset, with the metadata that later stages need."""
    processes = load_processes()
    fileset: dict[str, Any] = {}
    for dataset in dict.fromkeys(block.dataset for block in plan):
        blocks = [block for block in plan if block.dataset == dataset]
        summaries = [_summary(block, out) for block in blocks]
        tried, passed = sum(s["tried"] for s in summaries), sum(s["passed"] for s in summaries)
        efficiency = passed / tried if tried else 0.0
        metadata: dict[str, Any] = {
            "process": dataset,
            "is_data": blocks[0].is_data,
            "era": "simulation",
            "generator": f"{GENERATOR}, 13 TeV, early veto {'on' if spec.early_veto else 'off'}"
            f"{', pileup overlaid' if spec.pileup else ''}",
            "events_tried": tried,
            "filter_efficiency": efficiency,
            "filter_efficiency_error": math.sqrt(efficiency * (1 - efficiency) / tried) if tried else 0.0,
            "cross_section_pb": None,
            "k_factor": 1.0,
            "cross_section_source": "pseudo-data: a Poisson mix at the stated luminosity",
            "overlap_group": None,
        }
        if blocks[0].is_data:
            metadata["luminosity_pb"] = spec.luminosity
        else:
            process = processes[dataset]
            metadata |= {
                "cross_section_pb": process.cross_section_pb,
                "k_factor": process.k_factor,
                "cross_section_source": process.source,
                "overlap_group": process.overlap_group,
                "note": _shower_note(summaries),
            }
        fileset[dataset] = {"files": {block.path: "Events" for block in blocks}, "metadata": metadata}
    return fileset
