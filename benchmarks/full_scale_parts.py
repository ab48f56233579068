"""Parts of a sample of full_scale.py: finished units in few files that travel, and their join into one bank."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from full_scale_units import DATA, the_analysis
from scipy.special import expit, logit

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import atomic_write
from oddjets.core.worker_pool import pool_context
from oddjets.io.event_table import JETS, dijet_mass
from oddjets.scoring.score import mean_score
from oddjets.simulation.processes import load_processes
from oddjets.study.bank import LAYOUT, pack
from oddjets.workflow.bank_validation import describe
from oddjets.workflow.validation import resolve

#: parts are small enough for any way of sending them: at most eight files below 16 MiB
MOST_MB, MOST_FILES = 15.0, 8
#: process of the study -> processes of the simulation that it is made of; too few events of one have no templates of their own
GROUPS = {
    "qcd": ("qcd",),
    "top": ("top",),
    "stop": ("stop_t", "stop_s"),
    "wjets": ("wjets",),
    "zjets": ("zjets",),
    "vv": ("ww", "wz", "zz"),
    "higgs": ("wh", "zh", "hj", "tth"),
    "hh": ("hh",),
}
#: columns that say which unit and which event a row is
IDENTITY = ("dataset", "unit", "entry")
#: members of the family, whose mean is made when parts are joined
MEMBERS = tuple(f"team_member{k}" for k in range(1, 5))

Columns = dict[str, npt.NDArray[Any]]


def _note(file: Path) -> Any:
    try:
        said = (pq.read_schema(file).metadata or {}).get(b"full_scale")
        return json.loads(said) if said is not None else None
    except (pa.ArrowException, OSError, ValueError):
        return None


def pack_units(folder: Path, out: Path, prefix: str, *, workers: int = 1, files: int | None = None) -> list[Path]:
    """Pack the finished units of a folder into few files.

    Args:
        folder: of `sample`.
        out: where to.
        prefix: of the files' names.
        workers: processes.
        files: how many; None: as few as are below the size that travels.

    Returns:
        The files.

    Raises:
        OddjetsError: no unit is finished.
    """
    units = sorted(folder.glob("*/*.parquet"))
    if not units:
        raise OddjetsError(f"{folder}: no unit is finished; run `full_scale.py sample` first")
    size = sum(unit.stat().st_size for unit in units) / 2**20
    number = files or min(MOST_FILES, max(1, int(np.ceil(size / MOST_MB))))
    out.mkdir(parents=True, exist_ok=True)
    shares = [units[k::number] for k in range(number)]
    targets = [out / f"{prefix}-{k}.parquet" for k in range(number)]
    if workers > 1 and number > 1:
        with ProcessPoolExecutor(min(workers, number), pool_context("spawn")) as pool:
            list(pool.map(_pack, shares, targets))
    else:
        for share, target in zip(shares, targets, strict=True):
            _pack(share, target)
    return targets


def _pack(units: Sequence[Path], target: Path) -> None:
    tables: dict[str, list[pa.Table]] = defaultdict(list)
    notes = []
    for file in units:
        note = _note(file)
        if note is None:
            continue  # a unit that was cut off has no file under its name; this one is no unit
        notes.append(note)
        if note["rows"]:
            table = pq.read_table(file, memory_map=False).replace_schema_metadata(None)
            unit = pa.array(np.full(table.num_rows, note["index"], np.uint32))
            tables[note["dataset"]].append(table.append_column("unit", unit))
    joined = []
    for dataset, found in sorted(tables.items()):
        whole = pa.concat_tables(found, promote_options="permissive")
        joined.append(whole.append_column("dataset", pa.array([dataset] * whole.num_rows)))
    table = (
        pa.concat_tables(joined, promote_options="permissive")
        if joined
        else pa.table({"dataset": pa.array([], pa.string())})
    )
    table = table.replace_schema_metadata({"full_scale": json.dumps({"units": notes}, sort_keys=True)})
    floats = [field.name for field in table.schema if pa.types.is_floating(field.type)]
    with atomic_write(target) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=12,
            use_dictionary=[name for name in table.column_names if name not in floats],
            column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
            row_group_size=max(table.num_rows, 1),
        )


@dataclass
class Joined:
    """All parts of a sample.

    Attributes:
        units: what is said of each unit.
        tables: dataset -> its rows.
    """

    units: list[dict[str, Any]]
    tables: dict[str, pa.Table]


def read_parts(files: Sequence[Path]) -> Joined:
    """Read parts and check them.

    Raises:
        InputFileError: a file is no part, or its rows are not those that its units have.
        OddjetsError: a unit, a seed or an event is there twice, or sums of weights do not add up.
    """
    units: list[dict[str, Any]] = []
    tables: dict[str, list[pa.Table]] = defaultdict(list)
    of_file: dict[str, Path] = {}
    for file in files:
        note = _note(file)
        if not isinstance(note, dict) or "units" not in note:
            raise InputFileError(f"{file}: is no part of a sample; make one with `full_scale.py pack`")
        for unit in note["units"]:
            if (other := of_file.get(unit["unit"])) is not None:
                raise OddjetsError(f"unit {unit['unit']} is in {other} and in {file}: join each part once")
            of_file[unit["unit"]] = file
        try:
            table = pq.read_table(file, memory_map=False)
        except (pa.ArrowException, OSError) as error:
            raise InputFileError(f"{file}: damaged part ({error}); copy it again") from None
        expected = sum(unit["rows"] for unit in note["units"])
        if table.num_rows != expected:
            raise InputFileError(f"{file}: has {table.num_rows} events, and its units {expected}; copy it again")
        units += note["units"]
        for dataset in table["dataset"].unique().to_pylist():
            part = table.filter(pa.compute.equal(table["dataset"], dataset))
            kept = [n for n in part.column_names if part[n].null_count < part.num_rows]
            tables[dataset].append(part.select(kept).replace_schema_metadata(None))
    found = Joined(units, {d: pa.concat_tables(t, promote_options="permissive") for d, t in tables.items()})
    _check(found)
    return found


def _check(joined: Joined) -> None:
    for key in ("pythia_seed", "detector_seed"):
        seeds = Counter(unit[key] for unit in joined.units if unit[key] is not None)
        if twice := [seed for seed, number in seeds.items() if number > 1]:
            names = [unit["unit"] for unit in joined.units if unit[key] == twice[0]]
            raise OddjetsError(f"{key} {twice[0]} is there twice, in {' and '.join(names)}: these are the same events")
    by_dataset: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for unit in joined.units:
        by_dataset[unit["dataset"]].append(unit)
    for dataset, units in by_dataset.items():
        if len({(u["of"], u["process"], u["planned_pb"]) for u in units}) > 1:
            raise OddjetsError(f"dataset '{dataset}': its units are of different plans: join parts of one sample")
        table = joined.tables.get(dataset)
        number, entries = (
            (np.zeros(0), np.zeros(0)) if table is None else (table[c].to_numpy() for c in ("unit", "entry"))
        )
        if len(np.unique(np.stack([number, entries]), axis=1).T) < len(entries):
            raise OddjetsError(f"dataset '{dataset}': an event is there twice")
        weights = np.zeros(0) if table is None else table["weight"].to_numpy().astype(np.float64)
        for unit in units:
            own = number == unit["index"]
            if own.sum() != unit["rows"]:
                raise OddjetsError(f"unit {unit['unit']}: has {own.sum()} events, and {unit['rows']} were written")
            # rounding to 11 binary digits is at most 2.5e-4 of each weight
            stated = unit["sum_of_row_weights"]
            if abs(weights[own].sum() - stated) > 2.5e-4 * np.abs(weights[own]).sum() + 1e-9:
                raise OddjetsError(
                    f"unit {unit['unit']}: its weights add up to {weights[own].sum():g}, and not to {stated:g}"
                )
            if unit["sum_of_weights"] != unit["tries"]:
                raise OddjetsError(f"unit {unit['unit']}: the sum of all weights is not the number of tries")


def luminosities(joined: Joined) -> dict[str, float]:
    """Return the luminosity of the pseudo-data of each process, /pb: the share of the plan's units that are finished."""
    found: dict[str, float] = {}
    for process in {u["process"] for u in joined.units if u["is_data"]}:
        units = [u for u in joined.units if u["is_data"] and u["process"] == process]
        found[process] = units[0]["planned_pb"] * len(units) / units[0]["of"]
    return found


def _columns(table: pa.Table, triggers: Sequence[str]) -> Columns:
    """Return the columns of a table as studies read them."""
    columns: Columns = {}
    for name in table.column_names:
        if name in IDENTITY:
            continue
        values = table[name].to_numpy()
        columns[name] = expit(values.astype(np.float64)) if name.startswith("score_") else values
    for j in JETS:
        if all(f"score_{member}_{j}" in columns for member in MEMBERS):
            columns[f"score_team_{j}"] = mean_score([columns[f"score_{member}_{j}"] for member in MEMBERS])
    columns["mjj"] = dijet_mass(columns)
    size = table.num_rows
    for name in ("n_muons", "n_electrons"):
        columns.setdefault(name, np.zeros(size, np.int32))
    # no variation moves these cuts, which all rows have passed
    for name in ("passes_filters", *(f"trigger_{path}" for path in triggers)):
        columns[name] = np.ones(size, bool)
    return columns


def join(files: Sequence[Path], out: Path, labelled: Path | None = None) -> dict[str, Any]:
    """Join parts into a bank that the studies read, with the pseudo-data of one luminosity in it.

    The bank has the groups of processes as templates, weighted for 1 /pb; QCD are all events of its pseudo-data, weighted by
    what prefiring leaves of them. `in_data` says which rows are pseudo-data, with weight 1: of QCD those that prefiring leaves,
    of other processes rows of their own, under ``data_GROUP``. Each process is thinned to the luminosity of the one with the
    least.

    Args:
        files: of `pack_units`.
        out: the bank.
        labelled: the card of the labelled baseline, for the bank's card.

    Returns:
        What is said of it: luminosities, numbers of events, and how many of them were thinned.

    Raises:
        OddjetsError: see `read_parts`; or a process of the pseudo-data is missing.
    """
    analysis = the_analysis(labelled)
    assert analysis.simulate is not None
    joined = read_parts(files)
    reached = luminosities(joined)
    if missing := [p for p in analysis.simulate.data_processes if p not in reached]:
        raise OddjetsError(
            f"the parts have no pseudo-data of {', '.join(missing)}: too little was simulated, or a part is missing"
        )
    luminosity = min(reached.values())
    processes = load_processes()
    tries: Counter[str] = Counter()
    for unit in joined.units:
        tries[unit["dataset"]] += unit["tries"]
    rng = np.random.default_rng(analysis.simulate.seed)
    parts: list[tuple[str, Columns]] = []
    counted: dict[str, dict[str, float]] = {}
    for group, members in GROUPS.items():
        for member in members:
            # pseudo-data first: whether they are thinned must not depend on the templates
            for dataset, columns in _of_member(joined, member, analysis.selection.triggers):
                process = processes[member]
                of_one = process.cross_section_pb * process.k_factor / tries[dataset]
                about = counted.setdefault(dataset, {"tries": tries[dataset], "events": len(columns["weight"])})
                if dataset.startswith(DATA):
                    kept = rng.random(len(columns["weight"])) < columns["prefiring"] * (luminosity / reached[member])
                    about |= {"luminosity_pb": reached[member], "in_data": int(kept.sum())}
                    if member == "qcd":
                        # pileup reweights what nothing depends on here, and would cost statistics
                        parts.append((group, columns | {"weight": columns["prefiring"] * of_one, "in_data": kept}))
                        continue
                    own = {n: a[kept] for n, a in columns.items() if "__" not in n}
                    one = np.ones(int(kept.sum()))
                    parts.append((DATA + group, own | {"weight": one, "in_data": one > 0}))
                else:
                    weights = {n: a * of_one for n, a in columns.items() if n == "weight" or n.startswith("weight__")}
                    parts.append((group, columns | weights))
    wanted = {
        name: sorted({c for g, columns in parts if g == name for c in columns if c != "event"}) for name, _ in parts
    }
    resolved = resolve(analysis)
    about = describe(analysis, resolved.cards)
    card = {
        **about,
        "analysis": analysis.name,
        "simulate": analysis.simulate.model_dump(mode="json"),
        "weights": "events for 1 /pb; pseudo-data 1",
        "luminosity_pb": luminosity,
        "luminosities_pb": reached,
        "planned_pb": joined.units[0]["planned_pb"],
        "samples": counted,
        "units": len(joined.units),
        # whatever the order of the parts
        "cpu_seconds": {
            k: round(math.fsum(u["seconds"][k] for u in joined.units), 1)
            for k in ("simulation", "selection and scores")
        },
    }
    # a bank finds the processes in the order of its card, whose keys are sorted
    events = pack(out, sorted(parts, key=lambda part: part[0]), card, wanted)
    return {"layout": LAYOUT, **card, "events": events}


def _of_member(joined: Joined, member: str, triggers: Sequence[str]) -> Iterator[tuple[str, Columns]]:
    for dataset in (DATA + member, member):
        if (table := joined.tables.get(dataset)) is not None:
            yield dataset, _columns(table, triggers)


def threshold_moves(
    exact: npt.NDArray[np.float64], efficiency: float, kept: npt.NDArray[np.float64]
) -> Mapping[str, float]:
    """Return how rounding moves events across a threshold: that of the exact scores, and that of the rounded ones.

    Args:
        exact: the smaller score of each event, shape (n,).
        efficiency: what the threshold keeps.
        kept: the same, as they are stored.
    """
    cuts = [float(np.quantile(x, 1 - efficiency)) for x in (exact, kept)]
    before = exact >= cuts[0]
    return {
        "threshold": cuts[0],
        "moved": int((before != (kept >= cuts[0])).sum()),
        "moved_with_own_threshold": int((before != (kept >= cuts[1])).sum()),
        "selected": int(before.sum()),
        "largest_change": float(
            np.abs(logit(np.clip(exact, 1e-9, 1 - 1e-9)) - logit(np.clip(kept, 1e-9, 1 - 1e-9))).max()
        ),
    }


def sizes(files: Iterable[Path]) -> str:
    """Return the sizes of files for people."""
    return ", ".join(f"{file.name} {file.stat().st_size / 2**20:.2f} MiB" for file in files)
