"""`simulate`: pseudo-data and templates as PFNano files and a fileset."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypedDict

import awkward as ak
import numpy as np

from oddjets.console import log, progress
from oddjets.simulation.generator import (
    GENERATOR,
    SHOWER_VARIATIONS,
    GeneratedBatch,
    generate,
    prepare_multiparton_tables,
    require_pythia,
)
from oddjets.simulation.plan import EVENTS_PER_BLOCK, Block, make_plan
from oddjets.simulation.processes import load_processes
from oddjets.simulation.reconstruction import reconstruct
from oddjets.simulation.sets import predict
from oddjets.simulation.spec import SimulationSpec
from oddjets.simulation.writer import replacing, write_nano

__all__ = ["simulate", "simulate_block"]

_FILESET = "fileset.json"
_TABLES = "multiparton.dat"


class _Summary(TypedDict):
    """What is known of a finished file; lies beside it as JSON."""

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
        OddjetsError: if Pythia is missing or refuses, or the disk is full.
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
        log.info("simulate: %s", predict(spec).text(workers))
        prepare_multiparton_tables(out / _TABLES)
        with progress("simulate (hard events)", sum(block.tries for block in todo)) as bar:
            for block in _run_all(todo, out, workers):
                bar.advance(block.tries)
    fileset = out / _FILESET
    _write_json(fileset, _fileset(spec, plan, out))
    return fileset


def _run_all(blocks: list[Block], out: Path, workers: int) -> Iterator[Block]:
    if workers <= 1 or len(blocks) == 1:
        for block in blocks:
            simulate_block(block, out)
            yield block
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(blocks)), mp_context=context) as pool:
        futures = {pool.submit(simulate_block, block, out): block for block in blocks}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def simulate_block(block: Block, out: Path) -> None:
    """Make one file, its summary and, of pseudo-data, its truth.

    Args:
        block: an entry of the plan.
        out: the simulation's folder, with the tables of `prepare_multiparton_tables`.
    """
    processes = load_processes()
    # the empty start gives the columns their types where nothing survives
    parts = [reconstruct(GeneratedBatch.empty(), np.random.default_rng(0), is_data=block.is_data)]
    origins, passed = [np.zeros(0, np.int64)], 0
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
            passed += len(batch.offsets) - 1
            parts.append(reconstruct(batch, rng, is_data=block.is_data))
            origins.append(np.full(len(parts[-1]), number))
    events, origin = ak.concatenate(parts), np.concatenate(origins)
    if block.is_data:
        order = np.random.default_rng(block.shuffle_seed).permutation(len(events))
        events, origin = ak.to_packed(events[order]), origin[order]
    n = len(events)
    identity = {
        "run": np.ones(n, np.uint32),
        "luminosityBlock": np.full(n, block.index + 1, np.uint32),
        "event": np.arange(n, dtype=np.uint64) + np.uint64(block.index * EVENTS_PER_BLOCK + 1),
    }
    for name, column in identity.items():
        events[name] = column
    # unit weights: the sums count every try, also those that the early veto dropped
    runs: dict[str, Any] = {"run": np.array([1], np.uint32)}
    if not block.is_data:
        runs["genEventCount"] = np.array([block.tries], np.int64)
        runs["genEventSumw"] = runs["genEventSumw2"] = np.array([block.tries], np.float64)
    else:
        names = np.array([stream.process for stream in block.streams], np.str_)
        _write_truth(out / "truth" / Path(block.path).with_suffix(".npz").name, {**identity, "process": names[origin]})
    write_nano(out / block.path, events, runs)
    summary = _Summary(
        key=block.key, tried=block.tries, passed=passed, written=n, shower_weights=_shower_weight_sums(events)
    )
    _write_json((out / block.path).with_suffix(".json"), summary)


def _shower_weight_sums(events: ak.Array) -> dict[str, list[float]]:
    if "PSWeight" not in events.fields or not ak.all(ak.num(events.PSWeight) == len(SHOWER_VARIATIONS)):
        return {}
    table = ak.to_numpy(events.PSWeight).astype(np.float64).reshape(-1, len(SHOWER_VARIATIONS))
    return {name: [float(w.sum()), float((w**2).sum())] for name, w in zip(SHOWER_VARIATIONS, table.T, strict=True)}


def _shower_note(summaries: list[_Summary]) -> str:
    """Effective number of events of each shower variation, (sum w)^2 / sum w^2, relative to the events written."""
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
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **columns)


def _is_finished(block: Block, out: Path) -> bool:
    try:
        return bool(_summary(block, out)["key"] == block.key) and (out / block.path).exists()
    except (OSError, ValueError, KeyError):
        return False


def _summary(block: Block, out: Path) -> _Summary:
    summary: _Summary = json.loads((out / block.path).with_suffix(".json").read_text(encoding="utf-8"))
    return summary


def _write_json(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _fileset(spec: SimulationSpec, plan: list[Block], out: Path) -> dict[str, Any]:
    """Coffea's fileset, with what later stages need to know of each dataset."""
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
            "generator": f"{GENERATOR}, 13 TeV, early veto {'on' if spec.early_veto else 'off'}",
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
