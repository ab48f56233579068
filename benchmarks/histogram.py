"""Rows x variations a second of the stage `histogram`, before and now: ``python benchmarks/histogram.py``.

Tables are made up: all columns of real ones, the regions, observables and systematics of paper_top.yaml, data, top pairs
and W + jets, 1.3 million rows. *Before* is the plain way: under every variation, of jets or of weights, the selection, the
regions, letters and observables are computed anew, and hist fills every histogram. It stands below, whole, since it is also
the independent reference of tests/selection/test_histogramming.py. Both read the same files and count the same weights for
``event_weights.json``; every bit of both must agree. Times are CPU seconds of one core; the ways take turns, and the fastest
round of each counts.

The last table is what later stages do with the result, before and now: all contents of a `HistogramSet` viewed, which was
hist's own indexing; the workspace built of them; the workspace read, where pyhf's steps compare it with the schema once as a
whole and twice in part.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
import uhi.io.json

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.config.regions import split_cut
from oddjets.core.expressions import evaluate
from oddjets.core.kinematics import momenta
from oddjets.core.resources import find
from oddjets.corrections.systematics import NOMINAL, kind_of, variations_of
from oddjets.io import event_table
from oddjets.io.event_table import JETS, EventTable
from oddjets.io.histograms import DATA, HistogramSet, empty_histogram
from oddjets.selection.decorators import JetColumns
from oddjets.selection.event_weights import ALL_LETTERS, OUTLIER, WeightAudit
from oddjets.selection.histogramming import add_envelope, make_histograms
from oddjets.selection.regions import find_threshold
from oddjets.stats.histfactory import workspace_reader
from oddjets.stats.histfactory.workspace_checks import check
from oddjets.stats.histfactory.workspace_reader import read
from oddjets.stats.workspace import build
from oddjets.workflow.validation import resolve

#: dataset, which is its process too, and its rows
ROWS = {"data": 200_000, "top": 600_000, "wjets": 500_000}
LUMINOSITY = 150.0
AXES = ("process", "letter", "variation")
Normalisation = Mapping[str, tuple[str, bool, float]]


# ---- made-up tables ----------------------------------------------------------------------------------------------------


def made_up(rng: np.random.Generator, n: int, analysis: Analysis, process: str, first: int = 0) -> dict[str, Any]:
    """Columns of n rows: two jets, all that the cuts of the shipped processors read, and every variation of the process."""
    number = np.arange(first, first + n)
    columns: dict[str, Any] = {"run": np.ones(n), "luminosityBlock": number // 1000, "event": number}
    columns |= {name: (rng.random(n) < 0.01).astype(int) for name in ("n_muons", "n_electrons")}
    columns |= {f"trigger_{path}": rng.random(n) < 0.8 for path in analysis.selection.triggers}
    columns["passes_filters"] = rng.random(n) < 0.99
    pt = np.sort(445 + rng.exponential(110, (n, 2)), axis=1)[:, ::-1]
    for j in JETS:
        mass, tau1, tau21 = 58 + rng.gamma(2, 35, n), rng.uniform(0.1, 0.4, n), rng.beta(4, 5, n)
        jet = {"pt": pt[:, j - 1], "eta": rng.uniform(-2.4, 2.4, n), "phi": rng.uniform(-np.pi, np.pi, n), "mass": mass}
        jet |= {"mass_ungroomed": mass * rng.uniform(1, 1.4, n), "tau21": tau21, "btag": rng.beta(0.4, 0.6, n)}
        jet |= {f"tau{k}": tau1 * tau21 ** (k > 1) * 0.8 ** max(k - 2, 0) for k in (1, 2, 3, 4)}
        jet |= {name: rng.random(n) for name in ("xbb", "xqq", "xcc")}
        jet |= {f"score_{name}": rng.beta(1, 3, n) for name in analysis.scores}
        columns |= {f"{name}_{j}": values for name, values in jet.items()}
    columns = {name: np.asarray(values).astype(event_table.dtype_of(name)) for name, values in columns.items()}
    columns["mjj"] = event_table.dijet_mass(columns).astype(np.float32)
    columns |= {"weight": np.ones(n) if process == DATA else rng.normal(1, 0.3, n), "passes_nominal": np.ones(n, bool)}
    for variation in variations_of(analysis, process, is_data=process == DATA):
        if variation.kind != "jets":
            columns[f"weight__{variation.name}"] = columns["weight"] * rng.normal(1, 0.1, n)
            continue
        for j in JETS:
            # masses alone move under jms and jmr
            moves = ("mass",) if variation.systematic in ("jms", "jmr") else ("pt", "mass")
            factor = 1 + variation.sign * 0.01 + rng.normal(0, 0.01, n).astype(np.float32)
            columns |= {
                f"{name}_{j}__{variation.name}": columns[f"{name}_{j}"] * (factor if name in moves else np.float32(1))
                for name in ("pt", "mass")
            }
    return columns


def make_tables(folder: Path, analysis: Analysis, rows: Mapping[str, int], piece: int = 100_000) -> None:
    """Write the event tables of datasets, a file for every ``piece`` of rows."""
    rng = np.random.default_rng(1)
    for dataset, total in rows.items():
        for first in range(0, total, piece):
            columns = made_up(rng, min(piece, total - first), analysis, dataset, first)
            event_table.write_part(folder / dataset / f"part-{first:09}.parquet", columns, {})


# ---- before: every variation from the beginning ------------------------------------------------------------------------


def _pair_mass(columns: Mapping[str, Any]) -> np.ndarray:
    first, second = (
        momenta(*(columns[f"{name}_{j}"] for name in ("pt", "eta", "phi", "mass_ungroomed"))) for j in JETS
    )
    p = first + second
    return np.sqrt(np.maximum(p[..., 3] ** 2 - (p[..., 0] ** 2 + p[..., 1] ** 2 + p[..., 2] ** 2), 0.0))


class PlainTable(EventTable):
    """An event table that computes all of a variation at once and keeps nothing between two."""

    def __init__(self, columns: Mapping[str, Any], variation: str = NOMINAL) -> None:
        self._columns, self.variation = columns, variation
        self._varied, self._swap = {}, None
        suffix = f"__{variation}"
        if f"pt_1{suffix}" in columns:
            varied = {f"{name}_{j}": columns[f"{name}_{j}{suffix}"] for name in ("pt", "mass") for j in JETS}
            with np.errstate(invalid="ignore", divide="ignore"):
                for j in JETS:
                    own = f"mass_ungroomed_{j}{suffix}"
                    ratio = np.where(columns[f"pt_{j}"] > 0, varied[f"pt_{j}"] / columns[f"pt_{j}"], 1.0)
                    scaled = columns[f"mass_ungroomed_{j}"] * ratio
                    varied[f"mass_ungroomed_{j}"] = columns.get(own, scaled)
            unordered = {**{f"{n}_{j}": columns[f"{n}_{j}"] for n in ("eta", "phi") for j in JETS}, **varied}
            nominal = _pair_mass(columns)
            ratio = np.divide(_pair_mass(unordered), nominal, out=np.ones_like(nominal), where=nominal > 0)
            self._varied = {**varied, "mjj": columns["mjj"] * ratio}
            self._swap = varied["pt_2"] > varied["pt_1"]
        elif variation != NOMINAL:
            self._varied = {"weight": columns[f"weight{suffix}"]}

    def __getitem__(self, column: str) -> Any:
        value = self._varied.get(column, self._columns[column])
        other = column[:-1] + ("2" if column[-1] == "1" else "1")
        if self._swap is not None and column[-2:] in ("_1", "_2") and other in self._columns:
            return np.where(self._swap, self._varied.get(other, self._columns[other]), value)
        return value

    def under(self, variation: str) -> PlainTable:
        return PlainTable(self._columns, variation)


class PlainAudit(WeightAudit):
    """The counts of weights, letter by letter by name."""

    def add(self, process: str, weights: Any, letter: Any, masks: Mapping[str, Any]) -> None:
        for region, mask in masks.items():
            for name in "ABCD":
                chosen = weights[mask & (letter == name)]
                chosen = chosen[np.isfinite(chosen)]
                if len(chosen):
                    sizes = np.abs(chosen)
                    found = np.array([len(chosen), chosen.sum(), sizes.sum(), (chosen**2).sum(), sizes.max()])
                    for place in (name, ALL_LETTERS):
                        cell = self._cells.setdefault((process, region, place), np.zeros(5))
                        cell[:4] += found[:4]
                        cell[4] = max(cell[4], found[4])

    def add_varied(
        self, process: str, variation: str, weights: Any, nominal: Any, letter: Any, masks: Mapping[str, Any]
    ) -> None:
        used = np.any(list(masks.values()), axis=0) & np.isfinite(weights) & np.isfinite(nominal)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(used & (weights != nominal), np.abs(weights / nominal), np.where(used, 1.0, 0.0))
        entry = self._varied.setdefault((process, variation), [0, 0, 0.0])
        entry[0] += int(used.sum())
        entry[1] += int((ratio > OUTLIER).sum())
        finite = np.where(np.isfinite(ratio), ratio, 0.0)
        if used.any() and finite.max() > entry[2]:
            at = int(np.argmax(finite))
            entry[2] = float(finite[at])
            self._worst[process, variation] = next(r for r, mask in masks.items() if mask[at]), str(letter[at])


def plain_passing(processor: Any, table: EventTable) -> np.ndarray:
    """The base selection, as coffea's `PackedSelection` has it."""
    return ~np.asarray(processor._failures(table).any(*processor.selection.cuts), dtype=bool)


def plain_region(analysis: Analysis, processor: Any, region: str, table: EventTable) -> np.ndarray:
    """A region's mask, each of its cuts evaluated wherever it is named."""
    mask = np.ones(table.size, dtype=bool)
    for quantifier, cuts in analysis.regions[region].of_jets.items():
        one, two = (plain_jets(processor, cuts, JetColumns(table, jet)) for jet in JETS)
        mask &= {"all": one & two, "any": one | two, "leading": one, "subleading": two}[quantifier]
    for cut in analysis.regions[region].of_events:
        name, negated = split_cut(cut)
        inner = name in analysis.regions
        passed = plain_region(analysis, processor, name, table) if inner else getattr(processor, name)(table)
        mask &= ~passed if negated else passed
    return mask


def plain_jets(processor: Any, cuts: Sequence[str], jets: JetColumns) -> np.ndarray:
    """Which jets pass all cuts of a list."""
    mask = np.ones(len(jets["pt"]), dtype=bool)
    for cut in cuts:
        name, negated = split_cut(cut)
        passed = getattr(processor, name)(jets)
        mask &= ~passed if negated else passed
    return mask


def fill(
    target: Mapping[tuple[str, str], Any],
    analysis: Analysis,
    processor: Any,
    table: EventTable,
    *,
    process: str,
    threshold: Any,
    factor: float,
    audit: WeightAudit | None,
) -> None:
    """Fill one variation of some events into all histograms."""
    base = plain_passing(processor, table)
    weights = np.asarray(table["weight"], dtype=np.float64) * factor
    leading, subleading = (table[f"score_{threshold.score}_{j}"] for j in JETS)
    passes = np.greater if analysis.threshold.strict else np.greater_equal
    one, two = passes(leading, threshold.value), passes(subleading, threshold.value)
    letter = np.where(one & two, "A", np.where(two, "B", np.where(one, "C", "D")))
    if analysis.blind and process == DATA:
        base = base & (letter != "A")
    values = {name: evaluate(o.expression, table) for name, o in analysis.observables.items()}
    masks = {region: base & plain_region(analysis, processor, region, table) for region in analysis.regions}
    if audit is not None and process != DATA:
        if table.variation == NOMINAL:
            audit.add(process, weights, letter, masks)
        elif (nominal := table.under(NOMINAL)["weight"]) is not table["weight"]:
            audit.add_varied(process, table.variation, table["weight"], nominal, letter, masks)
    for (region, observable), histogram in target.items():
        mask = masks[region]
        axes: dict[str, Any] = {
            "process": process,
            "letter": letter[mask],
            "variation": table.variation,
            observable: np.broadcast_to(values[observable], mask.shape)[mask],
        }
        histogram.fill(**axes, weight=weights[mask])


def plain_histograms(
    analysis: Analysis,
    processor: Any,
    folder: Path,
    normalisation: Normalisation,
    *,
    own_factors: Mapping[str, Mapping[str, float]] | None = None,
    audit: WeightAudit | None = None,
) -> HistogramSet:
    """What `make_histograms` gives, the plain way."""

    def pieces(dataset: str) -> Iterator[event_table.Columns]:
        return event_table.stream(folder, dataset) if event_table.parts(folder, dataset) else iter(())

    scores = [f"score_{analysis.threshold.score}_{j}" for j in JETS]
    lower = [
        np.minimum(*(columns[name][plain_passing(processor, PlainTable(columns))] for name in scores))
        for dataset, (_, is_data, _) in normalisation.items()
        for columns in (pieces(dataset) if is_data else ())
    ]
    threshold = find_threshold(analysis.threshold, dict.fromkeys(scores, np.concatenate(lower)) if lower else None)
    target = {
        (region, name): empty_histogram(
            name, analysis.binning(name, region), f"{o.label} [{o.unit}]" if o.unit else o.label
        )
        for region in analysis.regions
        for name, o in analysis.observables.items()
    }
    found: dict[str, list[str]] = {}
    for dataset, (process, is_data, factor) in normalisation.items():
        process = DATA if is_data else process
        variations = variations_of(analysis, process, is_data=is_data)
        found.setdefault(process, [NOMINAL, *(v.name for v in variations if v.kind != "envelope")])
        for columns in pieces(dataset):
            for name in (NOMINAL, *(v.name for v in variations)):
                table = PlainTable(columns, name)
                scale = factor * (own_factors or {}).get(dataset, {}).get(name, 1.0)
                fill(
                    target,
                    analysis,
                    processor,
                    table,
                    process=process,
                    threshold=threshold,
                    factor=scale,
                    audit=audit,
                )
    for systematic in analysis.systematics:
        for process in found if kind_of(systematic) == "envelope" else ():
            if process != DATA and (systematic.processes is None or process in systematic.processes):
                for histogram in target.values():
                    add_envelope(histogram, process, systematic.name, systematic.members)
                found[process] += [f"{systematic.name}Up", f"{systematic.name}Down"]
    order = [DATA, *analysis.processes]
    by_process = {p: found[p] for p in sorted(found, key=lambda p: order.index(p) if p in order else len(order))}
    shown = threshold.blinded() if analysis.blind else threshold
    return HistogramSet(target, by_process, LUMINOSITY, shown, 13.0, blinded=analysis.blind)


# ---- comparing ---------------------------------------------------------------------------------------------------------


def differences(one: HistogramSet, other: HistogramSet) -> list[str]:
    """Return what differs between two sets: axes and their order, contents with under- and overflow, to the bit."""
    found = [name for name in ("variations", "threshold", "blinded") if getattr(one, name) != getattr(other, name)]
    if list(one.histograms) != list(other.histograms):
        return [*found, "histograms"]
    for key, histogram in one.histograms.items():
        # the JSON has every bit of every number, and is what later stages read
        texts = [json.dumps(h, default=uhi.io.json.default) for h in (histogram, other.histograms[key])]
        found += [] if texts[0] == texts[1] else [".".join(key)]
    return found


class ViewedByHist(HistogramSet):
    """A set whose contents are read by hist's own indexing."""

    def values(self, region: str, observable: str, process: str, letter: str, variation: str = NOMINAL) -> np.ndarray:
        return self._content("value", region, observable, process, letter, variation)

    def variances(
        self, region: str, observable: str, process: str, letter: str, variation: str = NOMINAL
    ) -> np.ndarray:
        return self._content("variance", region, observable, process, letter, variation)

    def _content(self, field: str, region: str, observable: str, *cell: str) -> np.ndarray:
        histogram = self.histograms[region, observable]
        if any(name not in histogram.axes[axis] for name, axis in zip(cell, AXES, strict=True)):
            return np.zeros(len(histogram.axes[-1]))
        selected: Any = histogram[*cell, :]
        return np.array(selected.view(flow=False)[field])


def read_in_steps(workspace: dict[str, Any]) -> np.ndarray:
    """The data of a workspace, checked and read in the steps that were pyhf's own."""
    check(workspace)
    read_by_pyhf = pyhf.Workspace(workspace)
    chosen = read_by_pyhf.get_measurement()
    model = read_by_pyhf.model(measurement_name=chosen["name"], poi_name=chosen["config"]["poi"], validate=False)
    workspace_reader._parameters(model.config)
    return np.asarray(read_by_pyhf.data(model))


def fastest(work: Mapping[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Run all in turn, several times; what each gave, and CPU seconds of its fastest round."""
    results: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    for _ in range(rounds):
        for name, of_work in work.items():
            start = time.process_time()
            results[name] = of_work()
            seconds[name] = min(seconds.get(name, np.inf), time.process_time() - start)
    return results, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=sum(ROWS.values()), help="of data, top pairs and W + jets together")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    analysis = load_analysis(find("paper_top.yaml", "processors"))
    resolved = resolve(analysis)
    processor = resolved.processor(analysis, resolved.era, resolved.era_folder, {})
    rows = {name: n * arguments.rows // sum(ROWS.values()) for name, n in ROWS.items()}
    normalisation = {name: (name, name == DATA, 1.0 if name == DATA else 0.01) for name in rows}
    total = sum(n * (1 + len(variations_of(analysis, name, is_data=name == DATA))) for name, n in rows.items())

    def before() -> tuple[HistogramSet, Any]:
        audit = PlainAudit()
        return plain_histograms(analysis, processor, folder, normalisation, audit=audit), audit.summary()

    def now() -> tuple[HistogramSet, Any]:
        audit = WeightAudit()
        made = make_histograms(analysis, processor, folder, normalisation, LUMINOSITY, 13.0, audit=audit)
        return made, audit.summary()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_tables(folder, analysis, rows)
        work = {"before": before, "now": now, "reading alone": lambda: _read(folder, rows)}
        results, seconds = fastest(work, arguments.rounds)
    names = ", ".join(s.name for s in analysis.systematics)
    print(f"{sum(rows.values()):_} rows, {total:_} with variations of {names}")
    print(f"{len(results['now'][0].histograms)} histograms of {len(analysis.regions)} regions\n")
    print("| | CPU s | rows x variations / s |\n|---|---|---|")
    for name, taken in seconds.items():
        print(f"| {name} | {taken:.2f} | {total / taken / 1e6:.1f} M |")
    differ = differences(results["before"][0], results["now"][0])
    same = not differ and results["before"][1] == results["now"][1]
    print(f"\nratio {seconds['before'] / seconds['now']:.2f}; bits {'agree' if same else f'DIFFER: {differ}'}\n")
    later(analysis, results["now"][0], arguments.rounds)
    raise SystemExit(not same)


def _read(folder: Path, rows: Mapping[str, int]) -> None:
    # data are read twice, first for the threshold
    for dataset in (DATA, *rows):
        for _ in event_table.stream(folder, dataset):
            pass


def later(analysis: Analysis, histograms: HistogramSet, rounds: int) -> None:
    """Print what viewing all contents and building the workspace take."""
    places = [
        (region, observable, process, letter, variation)
        for region, observable in histograms.histograms
        for process, variations in histograms.variations.items()
        for variation in variations
        for letter in "ABCD"
    ]

    def all_of(view: Callable[..., np.ndarray]) -> Callable[[], list[np.ndarray]]:
        return lambda: [view(*place) for place in places if place[2] != DATA or place[3] != "A"]

    workspace, _ = build(analysis, histograms)
    # what was looked at before is kept beside the fields
    given = {field.name: getattr(histograms, field.name) for field in fields(histograms)}
    work = {
        "viewed, before": all_of(ViewedByHist(**given).values),
        "viewed, now": all_of(histograms.values),
        "built, before": lambda: build(analysis, ViewedByHist(**given))[0],
        "built, now": lambda: build(analysis, histograms)[0],
        "read, before": lambda: read_in_steps(workspace),
        "read, now": lambda: read(workspace).pyhf_data,
    }
    results, seconds = fastest(work, rounds)
    print(f"{len(places)} templates\n\n| | before, CPU ms | now, CPU ms | ratio | same |\n|---|---|---|---|---|")
    for name in ("viewed", "built", "read"):
        old, new = (seconds[f"{name}, {when}"] * 1000 for when in ("before", "now"))
        one, other = (results[f"{name}, {when}"] for when in ("before", "now"))
        same = one == other if isinstance(one, dict) else all(map(np.array_equal, one, other))
        print(f"| {name} | {old:.0f} | {new:.0f} | {old / new:.1f} | {same} |")


if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    main()
