"""Events per second of the processor on PFNano with realistic event sizes: ``python benchmarks/processing.py``.

    python benchmarks/processing.py --events 50000 --folder FOLDER

Simulated QCD events are replicated with jitter, filled up with soft candidates to about 1500 an event, shuffled, and written
with ZSTD(5) in baskets of 500. Real files use LZMA, which takes longer to decompress and leaves less to gain. The jets of
a part ``--heavy`` of the events keep their masses; two thirds of these pass. The same events are then processed three
times, each in a fresh process on one core, scoring off:

* oddjets: the processor of the analyses, up to the pair's constituents;
* plain coffea: the same columns and constituents in the way of coffea's manual: events are selected first, then come its
  nested gathers, ``FatJet.constituents.pf``;
* uproot: the baskets that oddjets read, decompressed and thrown away.

The first two must agree in every value. Times are CPU seconds, without imports and compilation.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from coffea import processor as coffea_processor

from oddjets.config import Analysis
from oddjets.core.resources import find
from oddjets.corrections import load_era
from oddjets.io import nanoaod_schema
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents
from oddjets.scoring.model_card import load_card
from oddjets.selection import DijetProcessor
from oddjets.simulation.nanoaod_layout import jagged, truncate_mantissa

TRIGGERS = ("PFHT800", "PFHT900", "PFJet450", "AK8PFJet360_TrimMass30", "AK8PFHT700_TrimR0p1PT0p03Mass50")
FILTERS = ("goodVertices", "HBHENoiseFilter", "HBHENoiseIsoFilter")
CANDIDATES, EVENTS_A_FILE, EVENTS_A_BASKET = 1500, 12_500, 500
JET_COLUMNS = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "msoftdrop", "tau1": "tau1", "tau2": "tau2"}
ANALYSIS = {
    "name": "benchmark",
    "title": "Benchmark",
    "era": "simulation",
    "processor": "dijet_anomaly.py:DijetAnomaly",
    "fileset": "none.json",
    "processes": {"qcd": {"label": "QCD"}},
    "selection": {"triggers": TRIGGERS, "filters": FILTERS},
    "scores": {"sum": {"card": "none.yaml"}},
    "threshold": {"score": "sum", "value": 0.5},
    "observables": {"mass": {"expression": "mass_1", "label": "mass", "bins": 2, "range": [60, 240]}},
    "regions": {"SR": {"cuts": ["jet_pt"]}},
}


# ---- the files ---------------------------------------------------------------------------------------------------


def make_files(folder: Path, n_events: int, heavy: float, level: int = 5) -> list[Path]:
    """Write PFNano of realistic size, unless it is there; jets of a part ``heavy`` of the events keep their masses."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"pfnano-{n_events}-{heavy}-{level}-{i}.root" for i in range(-(-n_events // EVENTS_A_FILE))]
    if all(file.is_file() for file in files):
        return files
    from oddjets.config import SimulationSpec
    from oddjets.simulation.run import simulate  # Pythia is needed to make the files alone

    spec = SimulationSpec(seed=1, luminosity=0.1, templates={"qcd": 3000})
    fileset = json.loads(simulate(spec, folder / "simulation", workers=2).read_text(encoding="utf-8"))
    source = ak.concatenate(
        [uproot.open(folder / "simulation" / name)["Events"].arrays() for name in fileset["qcd"]["files"]]
    )
    rng = np.random.default_rng(2)
    for i, file in enumerate(files):
        n = min(EVENTS_A_FILE, n_events - i * EVENTS_A_FILE)
        blocks = [
            enlarged(source, np.arange(start, min(start + EVENTS_A_BASKET, n)) + i * EVENTS_A_FILE, heavy, rng)
            for start in range(0, n, EVENTS_A_BASKET)
        ]
        write(file, blocks, n, level)
    return files


def write(file: Path, blocks: list[ak.Array], n: int, level: int) -> None:
    with uproot.recreate(file, compression=uproot.ZSTD(level) if level else None) as out:
        first = {name: blocks[0][name] for name in blocks[0].fields}
        types = {k: v.type.content if v.ndim > 1 else ak.to_numpy(v).dtype for k, v in first.items()}
        tree = out.mktree("Events", types, counter_name=lambda collection: f"n{collection}")
        for block in blocks:
            tree.extend({name: block[name] for name in block.fields})
        out.mktree("Runs", {"genEventSumw": "f8"}).extend({"genEventSumw": np.array([float(n)])})


def enlarged(source: ak.Array, numbers: np.ndarray, heavy: float, rng: np.random.Generator) -> ak.Array:
    """Copies of simulated events with jitter in all momenta and about 1500 candidates, in random order."""
    events = source[numbers % len(source)]
    own = ak.to_numpy(events.nPFCands).astype(np.int64)
    total = np.maximum(own, rng.poisson(CANDIDATES, len(events)))
    event = np.repeat(np.arange(len(events)), total)
    starts = np.cumsum(total) - total
    place = np.arange(total.sum()) - starts[event]
    shuffled = np.lexsort([rng.random(len(event)), event])
    is_own = place < own[event]
    candidates = {}
    for name in CANDIDATE_BRANCHES.values():
        values = ak.to_numpy(ak.flatten(events[f"PFCands_{name}"]))
        # soft ones look like the jets' own, but for their momenta
        column = rng.choice(values, len(event))
        if name == "pt":
            column = rng.exponential(0.8, len(event))
        elif name in ("eta", "phi"):
            column = rng.uniform(*((-4, 4) if name == "eta" else (-np.pi, np.pi)), len(event))
        elif name == "puppiWeight":
            column = np.where(rng.random(len(event)) < 0.6, 0.0, rng.random(len(event)))
        column[is_own] = values * (1 + 0.02 * rng.normal(size=len(values))) if name == "pt" else values
        column = column.astype(values.dtype)
        if values.dtype == np.float32:
            column = truncate_mantissa(column, 10)
        candidates[name] = column[shuffled]
    new_place = np.empty(len(event), np.int64)
    new_place[shuffled] = place
    links = ak.to_numpy(events.nFatJetPFCands)
    link_event = np.repeat(np.arange(len(events)), links)
    old = ak.to_numpy(ak.flatten(events.FatJetPFCands_pFCandsIdx))
    jet_index = ak.to_numpy(ak.flatten(events.FatJetPFCands_jetIdx))
    columns: dict[str, Any] = {
        "PFCands": jagged(total, **candidates),
        "FatJetPFCands": jagged(links, jetIdx=jet_index, pFCandsIdx=new_place[starts[link_event] + old]),
    }
    jitter = 1 + 0.05 * rng.normal(size=int(ak.sum(events.nFatJet)))
    for name in ("FatJet", "Muon", "Electron"):
        fields = [f for f in events.fields if f.startswith(f"{name}_")]
        flat = {f.removeprefix(f"{name}_"): ak.to_numpy(ak.flatten(events[f])) for f in fields}
        if name == "FatJet":
            light = np.repeat(rng.random(len(events)) > heavy, ak.to_numpy(events.nFatJet))
            flat["pt"], flat["msoftdrop"] = flat["pt"] * jitter, flat["msoftdrop"] * np.where(light, 0.1, jitter)
        columns[name] = jagged(ak.to_numpy(events[f"n{name}"]), **flat)
    scalars = [f for f in events.fields if events[f].ndim == 1 and not f.startswith("n")]
    columns |= {f: ak.to_numpy(events[f]) for f in scalars}
    columns["event"] = numbers.astype(np.uint64)
    return ak.zip(columns, depth_limit=1)


# ---- what is compared --------------------------------------------------------------------------------------------


class Sum:
    """Stands where a model would: takes the constituents, keeps them, and gives the sum of their weighted pT."""

    provider_used = "none"
    fallback = ""

    def __init__(self) -> None:
        # what is odd about constituents is counted by a card
        self.card = load_card(find("omnilearned_small_simulation.yaml", "models"))
        self.seen: list[JetConstituents] = []

    def score(self, jets: JetConstituents) -> np.ndarray:
        self.seen.append(jets)
        owner = np.repeat(np.arange(jets.n_jets), np.diff(jets.offsets))
        return np.bincount(owner, jets.pt.astype(np.float64) * jets.puppi_weight, minlength=jets.n_jets)


class Ours(DijetProcessor):
    """The processor, its rows returned instead of written."""

    def process(self, events: Any) -> dict[str, Any]:
        self.scorers: dict[str, Any] = {"sum": Sum()}
        columns, counts = self.table(events)
        rows = {f"{name}_{j}": columns[f"{name}_{j}"] for name in (*JET_COLUMNS, "score_sum") for j in (1, 2)}
        return {
            "entries": counts.entries,
            "raw": np.asarray(counts.raw),
            "rows": [{"event": columns["event"], **rows}],
            "constituents": [
                {name: np.asarray(getattr(jets, name)) for name in CANDIDATE_BRANCHES}
                for jets in self.scorers["sum"].seen
            ],
        }


class Plain(coffea_processor.ProcessorABC):
    """The same in the way of coffea's manual."""

    def process(self, events: Any) -> dict[str, Any]:
        fired, clean = np.zeros(len(events), bool), np.ones(len(events), bool)
        for path in TRIGGERS:
            fired = fired | events.HLT[path]
        for name in FILTERS:
            clean = clean & events.Flag[name]
        muons, electrons = events.Muon, events.Electron
        muons = muons[(muons.pt > 30) & (abs(muons.eta) < 2.5) & muons.tightId & (muons.pfRelIso04_all < 0.15)]
        electrons = electrons[(electrons.pt > 15) & (abs(electrons.eta) < 2.5) & (electrons.cutBased >= 3)]
        jets = events.FatJet
        jets = jets[(abs(jets.eta) < 2.5) & ((jets.jetId & 2) != 0)]
        jets = jets[ak.argsort(jets.pt, ascending=False, stable=True)][:, :2]
        two = ak.num(jets) == 2
        cuts = [
            fired,
            clean,
            two,
            two & ak.all(jets.pt > 450, axis=1),
            two & ak.all(jets.msoftdrop > 60, axis=1),
            (ak.num(muons) == 0) & (ak.num(electrons) == 0),
        ]
        raw = [len(events)]
        mask = np.ones(len(events), bool)
        for cut in cuts:
            mask = mask & cut
            raw.append(int(ak.sum(mask)))
        pair = jets[mask]
        rows: dict[str, np.ndarray] = {"event": ak.to_numpy(events.event[mask])}
        candidates = pair.constituents.pf  # events, the two jets, their candidates
        total = ak.sum(ak.values_astype(candidates.pt, np.float64) * candidates.puppiWeight, axis=2)
        for j in (0, 1):
            rows |= {f"{name}_{j + 1}": ak.to_numpy(pair[:, j][branch]) for name, branch in JET_COLUMNS.items()}
            rows[f"score_sum_{j + 1}"] = ak.to_numpy(total[:, j])
        columns = {
            name: ak.to_numpy(ak.flatten(candidates[branch], axis=None)) for name, branch in CANDIDATE_BRANCHES.items()
        }
        return {"entries": len(events), "raw": np.asarray(raw), "rows": [rows], "constituents": [columns]}

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator


def ours() -> Ours:
    analysis = Analysis.model_validate(ANALYSIS)
    return Ours(analysis, *load_era(analysis.era, Path()), {})


def run_processor(make: Callable[[], Any], files: list[Path], chunk_size: int) -> dict[str, Any]:
    """Run over the files by coffea, one core."""
    executor = coffea_processor.IterativeExecutor(status=False)
    runner = coffea_processor.Runner(
        executor=executor, pre_executor=executor, schema=nanoaod_schema.PFNano, chunksize=chunk_size
    )
    metadata = {"process": "qcd", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    fileset = {"qcd": {"files": [str(file) for file in files], "metadata": metadata}}
    result: dict[str, Any] = runner(fileset, processor_instance=make(), treename="Events")
    return result


def read_baskets(baskets: Mapping[str, list[tuple[str, int]]]) -> dict[str, Any]:
    """Decompress baskets and throw them away."""
    total = 0
    for path, wanted in baskets.items():
        with uproot.open(path) as file:
            tree = file["Events"]
            for branch, number in wanted:
                total += len(tree[branch].basket(number).data)
    return {"bytes": total}


# ---- measuring ---------------------------------------------------------------------------------------------------


def measured(work: Callable[[], Any], warm_up: Callable[[], Any], queue: Any) -> None:
    """Run in a process of its own: what it gave, CPU seconds and peak memory in MB."""
    warm_up()
    start = time.process_time()
    result = work()
    seconds = time.process_time() - start
    queue.put((result, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def in_own_process(work: Callable[[], Any], warm_up: Callable[[], Any] = list) -> tuple[Any, float, float]:
    """Measure work; this process stays small, since a child's peak memory starts at its parent's."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measured, args=(work, warm_up, queue))
    process.start()
    answer: tuple[Any, float, float] = queue.get()
    process.join()
    return answer


def baskets_read(files: list[Path], chunk_size: int) -> dict[str, list[tuple[str, int]]]:
    """Run ours once more, noting which baskets it asks uproot for."""
    found: dict[str, dict[tuple[str, int], None]] = {str(file): {} for file in files}
    branch_class = uproot.behaviors.TBranch.TBranch
    plain = branch_class.entries_to_ranges_or_baskets

    def noting(self: Any, *arguments: Any) -> Any:
        for number, basket in plain(self, *arguments):
            found[self.file.file_path].setdefault((self.name, number))
            yield number, basket

    branch_class.entries_to_ranges_or_baskets = noting
    try:
        run_processor(ours, files, chunk_size)
    finally:
        branch_class.entries_to_ranges_or_baskets = plain
    return {path: list(baskets) for path, baskets in found.items()}


def agree(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Refuse results that differ."""
    np.testing.assert_array_equal(one["raw"], other["raw"])
    for part in ("rows", "constituents"):
        for a, b in zip(one[part], other[part], strict=True):
            for name in a:
                if name.startswith("score"):
                    np.testing.assert_allclose(a[name], b[name], rtol=1e-12, err_msg=name)
                else:
                    np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--heavy", type=float, default=0.02, help="part of the events whose jets keep their masses")
    parser.add_argument("--level", type=int, default=5, help="of ZSTD; 0: not compressed, to see the time beside that")
    parser.add_argument("--chunk-size", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, help="keeps the files; else a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files, _, _ = in_own_process(partial(make_files, folder, arguments.events, arguments.heavy, arguments.level))
        small, _, _ = in_own_process(partial(make_files, folder, 100, 1.0))
        size = sum(file.stat().st_size for file in files)
        print(f"{arguments.events:_} events, {size / 1e9:.2f} GB, {size / arguments.events / 1e3:.1f} kB an event")
        baskets, _, _ = in_own_process(partial(baskets_read, files, arguments.chunk_size))
        runs = {
            name: in_own_process(
                partial(run_processor, make, files, arguments.chunk_size), partial(run_processor, make, small, 100)
            )
            for name, make in (("oddjets", ours), ("plain coffea", Plain))
        }
        first = {path: wanted[:1] for path, wanted in baskets.items()}
        runs["uproot"] = in_own_process(partial(read_baskets, baskets), partial(read_baskets, first))
        agree(runs["oddjets"][0], runs["plain coffea"][0])
        print(f"{runs['oddjets'][0]['raw'][-1]} events pass; {runs['uproot'][0]['bytes'] / 1e9:.2f} GB decompressed\n")
        print("| | CPU s | events/s | time / oddjets | peak memory, MB |\n|---|---|---|---|---|")
        reference = runs["oddjets"][1]
        for name, (_, seconds, memory) in runs.items():
            rate = arguments.events / seconds
            print(f"| {name} | {seconds:.1f} | {rate:.0f} | {seconds / reference:.2f} | {memory:.0f} |")


if __name__ == "__main__":
    main()
