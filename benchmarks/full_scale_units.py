"""Units of work of full_scale.py: some hundred events each, simulated, selected and scored in one pass.

A unit is a block of the plan of `oddjets simulate` with seeds of its own, so each can be made again alone. Units of pseudo-data
hold a Poisson number of tries, as many for each unit of a process: any number of finished units is a sample of one luminosity.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from full_scale_torch import RemoteScorer
from full_scale_truth import truth_of
from scipy.special import logit

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.config.simulation import SimulationSpec
from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write
from oddjets.corrections.systematics import variations_of
from oddjets.io.event_table import JETS
from oddjets.io.fileset import Dataset, DatasetMetadata, inspect
from oddjets.scoring.column_scorer import AnyScorer
from oddjets.selection.processor import DijetProcessor
from oddjets.simulation.generator import prepare_multiparton_tables
from oddjets.simulation.job_plan import EVENTS_PER_BLOCK, Block, make_plan
from oddjets.simulation.processes import load_processes
from oddjets.simulation.run import simulate_block
from oddjets.study.bank import BITS, columns_for, rounded
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import plan as plan_chunks
from oddjets.workflow.executors.records import CHUNKS
from oddjets.workflow.validation import resolve

FILE = Path(__file__).resolve().with_name("full_scale.yaml")
LABELLED = Path(__file__).resolve().with_name("full_scale_labelled.yaml")
#: what events of pseudo-data are called, in front of their process
DATA = "data_"
#: hard events of a unit: 10 to 20 s of one core
TRIES = {"qcd": 15_000}
TRIES_OF_OTHERS = 3000
#: binary digits that are kept of the logit of scores: a step of 1/4096 of it
SCORE_BITS = 12
#: output folder to a processor
_PROCESSORS: dict[str, Any] = {}
#: a score is kept no closer to 0 or 1
NEAREST = 1e-9


@dataclass(frozen=True)
class Unit:
    """A block of a plan, what it is for, and how many such units the whole plan has."""

    block: Block
    process: str
    is_data: bool
    of: int

    @property
    def name(self) -> str:
        """Dataset and number, which no other unit has."""
        return f"{self.block.dataset}-{self.block.index:05d}"


def scaled(spec: SimulationSpec, scale: float) -> SimulationSpec:
    """Return a sample of another size."""
    assert spec.luminosity is not None
    templates = {process: max(1, round(tries * scale)) for process, tries in spec.templates.items()}
    return spec.model_copy(update={"luminosity": spec.luminosity * scale, "templates": templates})


def the_analysis(labelled: Path | None = None) -> Analysis:
    """Return the analysis, with the labelled baseline among its scores if its card is given."""
    card = {"card": str(labelled), "label": "labelled baseline"}
    return load_analysis(FILE, None if labelled is None else {"scores": {"labelled": card}})


def make_units(spec: SimulationSpec) -> list[Unit]:
    """Return all units of a sample: those of small processes alternate with those of QCD until they are done.

    Raises:
        OddjetsError: two units have one seed.
    """
    assert spec.luminosity is not None
    found: dict[tuple[bool, str], list[Unit]] = {}
    for process in spec.data_processes:
        made = load_processes()[process]
        tries = made.cross_section_pb * made.k_factor * spec.luminosity
        number = max(1, round(tries / TRIES.get(process, TRIES_OF_OTHERS)))
        own = spec.model_copy(update={"data_processes": (process,), "templates": {}, "blocks": number})
        # another dataset, so that they have generator truth
        blocks = [replace(b, dataset=DATA + process) for b in make_plan(own)]
        found[True, process] = [Unit(b, process, True, number) for b in blocks]
    for process, tries in spec.templates.items():
        size = TRIES.get(process, TRIES_OF_OTHERS)
        own = spec.model_copy(update={"luminosity": None, "templates": {process: tries}})
        blocks = [part for b in make_plan(own) for part in _divided(b, size)]
        found[False, process] = [Unit(b, process, False, len(blocks)) for b in blocks]
    seeds = [stream.pythia_seed for units in found.values() for u in units for stream in u.block.streams]
    if len(set(seeds)) < len(seeds):
        raise OddjetsError("two units of the plan have one seed of Pythia: choose another seed of the sample")
    main = found.pop((True, "qcd"), [])
    others = [u for units in found.values() for u in units]
    others.sort(key=lambda u: ((u.block.index + 0.5) / u.of, u.name))
    paired = [u for pair in zip(others, main, strict=False) for u in pair]
    return [*paired, *others[len(main) :], *main[len(others) :]]


def _divided(block: Block, size: int) -> list[Block]:
    """Return a block of templates as several, with seeds that follow from its own."""
    (stream,) = block.streams
    number = -(-stream.tries // size)
    parts = []
    for k in range(number):
        tries = stream.tries * (k + 1) // number - stream.tries * k // number
        rng = np.random.default_rng([stream.pythia_seed, k])
        pythia = stream.pythia_seed if k == 0 else int(rng.integers(1, 900_000_000))
        detector = stream.detector_seed if k == 0 else int(rng.integers(0, 2**62))
        own = replace(stream, tries=tries, pythia_seed=pythia, detector_seed=detector)
        parts.append(replace(block, index=block.index * 100 + k, streams=(own,)))
    return parts


@dataclass(frozen=True)
class Worker(ChunkWorker):
    """The worker of the package, with models that may run on a GPU elsewhere."""

    address: str = ""

    def build(self) -> DijetProcessor:
        """Make the processor; see `ChunkWorker.build`."""
        if not self.address:
            return super().build()
        processor = replace(self, address="", cards=()).build()
        from oddjets.scoring.model_card import load_card

        scorers: dict[str, AnyScorer] = {}
        for name, card in self.cards:
            scorers[name] = RemoteScorer(load_card(card, "constituents"), self.address)
        processor.scorers = scorers
        return processor

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.address))


@dataclass(frozen=True)
class Task:
    """What all workers need.

    Attributes:
        out: folder of the units.
        scratch: folder of files that are removed again, with the tables of multiple interactions.
        labelled: card of the labelled baseline.
        planned_pb: luminosity of the whole plan.
        addresses: of the processes that run models; none: ONNX Runtime on the CPU.
        threads: of one worker's inference on the CPU.
    """

    out: Path
    scratch: Path
    labelled: Path | None
    planned_pb: float = 0.0
    addresses: tuple[str, ...] = ()
    threads: int = 1

    def worker(self, number: int) -> Worker:
        """Return the worker with this number."""
        resolved = resolve(the_analysis(self.labelled))
        cards = tuple((name, str(path)) for name, path in resolved.cards.items())
        output = self.scratch / f"worker{number}"
        address = self.addresses[number % len(self.addresses)] if self.addresses else ""
        return Worker(resolved.source, resolved.analysis, cards, str(output), self.threads, None, address)


def _processor_of(worker: Worker) -> Any:
    """Return a processor without models, for the names of columns."""
    key = worker.output or ""
    if key not in _PROCESSORS:
        _PROCESSORS[key] = replace(worker, address="", cards=()).build()
    return _PROCESSORS[key]


def file_of(out: Path, unit: Unit) -> Path:
    """Return the file of a finished unit."""
    return out / unit.block.dataset / f"{unit.name}.parquet"


def make_unit(unit: Unit, worker: Worker, task: Task) -> dict[str, Any]:
    """Simulate, select, score and store a unit; return what its file says of it."""
    started, block = time.perf_counter(), unit.block
    note: dict[str, Any] = {
        "unit": unit.name,
        "dataset": block.dataset,
        "process": unit.process,
        "is_data": unit.is_data,
        "index": block.index,
        "of": unit.of,
        "planned_pb": task.planned_pb,
        "tries": block.tries,
        "pythia_seed": None,
        "detector_seed": None,
        "sum_of_weights": 0.0,
        "rows": 0,
        "sum_of_row_weights": 0.0,
        "seconds": {"simulation": 0.0, "selection and scores": 0.0},
    }
    if not block.streams:
        # of a small process the Poisson number of tries can be none
        write(file_of(task.out, unit), {}, note)
        return note
    folder = Path(tempfile.mkdtemp(prefix=f"{unit.name}-", dir=task.scratch))
    try:
        (folder / block.dataset).mkdir()
        (folder / "multiparton.dat").symlink_to(task.scratch / "multiparton.dat")
        simulate_block(block, folder)
        simulated = time.perf_counter()
        file = folder / block.path
        summary = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        info = inspect(str(file), is_data=False)
        metadata = DatasetMetadata(process=unit.process, is_data=False, era="simulation")
        dataset = Dataset(block.dataset, (str(file),), metadata)
        columns: dict[str, npt.NDArray[Any]] = {}
        chunks = plan_chunks({block.dataset: (dataset, [info])}, 10**9, "full_scale")
        assert worker.output is not None
        for chunk in chunks:
            outcome = worker(chunk)[chunk.id]
            if getattr(outcome, "kind", None):
                raise OddjetsError(f"{unit.name}: {outcome.message}")  # type: ignore[union-attr]
            stored = Path(worker.output) / CHUNKS / block.dataset / f"{chunk.name}.parquet"
            table = pq.read_table(stored, memory_map=False)
            columns = {name: table[name].to_numpy() for name in table.column_names}
            shutil.rmtree(stored.parent)
        selected = time.perf_counter()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (stream,) = block.streams
    note |= {
        "pythia_seed": stream.pythia_seed,
        "detector_seed": stream.detector_seed,
        "sum_of_weights": info.sum_of_weights,
        "passed": summary["passed"],
        "written": summary["written"],
        "rows": len(columns.get("event", ())),
        "sum_of_row_weights": float(np.asarray(columns.get("weight", np.zeros(0)), np.float64).sum()),
        "seconds": {"simulation": simulated - started, "selection and scores": selected - simulated},
    }
    arrays = stored_columns(worker.analysis, _processor_of(worker), unit, columns) if columns else {}
    write(file_of(task.out, unit), arrays, note)
    return note


def stored_columns(
    analysis: Analysis, processor: Any, unit: Unit, columns: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Return what is kept of the rows of a unit, rounded.

    Of scores the logit is kept with 12 binary digits, of all other numbers 11. The mean of a family and the dijet mass follow
    from what is kept, and the cuts that every row passes are not kept.
    """
    simulated = unit.process != analysis.data_driven
    wanted = columns_for(analysis, processor, unit.process, simulated=simulated)
    wanted += ["prefiring"]
    left_out = {"mjj", *(f"score_team_{j}" for j in JETS), *(f"trigger_{t}" for t in analysis.selection.triggers)}
    left_out |= {"passes_filters", *(f"tau{n}_{j}" for n in range(1, 5) for j in JETS)}
    varied = [v for v in variations_of(analysis, unit.process, is_data=False) if v.kind == "jets"]
    if not varied:
        left_out |= {"n_muons", "n_electrons"}
    made: dict[str, npt.NDArray[Any]] = {}
    for name in dict.fromkeys(wanted):
        if name in left_out or name not in columns:
            continue
        values = columns[name]
        if name.startswith("score_"):
            made[name] = rounded(logit(np.clip(values.astype(np.float64), NEAREST, 1 - NEAREST)), SCORE_BITS)
        elif np.issubdtype(values.dtype, np.floating):
            made[name] = rounded(values, BITS)
        else:
            made[name] = values
    for j in JETS:
        made[f"truth_{j}"] = truth_of(columns, j)
        made[f"flavour_{j}"] = np.asarray(columns[f"flavour_{j}"]).astype(np.int8)
    made["entry"] = (columns["event"].astype(np.int64) - unit.block.index * EVENTS_PER_BLOCK).astype(np.uint32)
    return made


def write(file: Path, arrays: Mapping[str, npt.NDArray[Any]], note: Mapping[str, Any]) -> None:
    """Write columns with what is said of them; a reader sees all of the file or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({name: pa.array(arrays[name]) for name in sorted(arrays)})
    table = table.replace_schema_metadata({"full_scale": json.dumps(note, sort_keys=True)})
    with atomic_write(file) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def work(number: int, units: Sequence[Unit], task: Task, place: Any, until: float) -> None:
    """Make units, the next one that nobody has begun, until the time is over; what fails is recorded."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    worker = task.worker(number)
    while time.time() < until:
        with place.get_lock():
            mine = place.value
            place.value += 1
        if mine >= len(units):
            return
        try:
            make_unit(units[mine], worker, task)
        except Exception:
            failed = task.out / "failed" / f"{units[mine].name}.txt"
            failed.parent.mkdir(parents=True, exist_ok=True)
            failed.write_text(traceback.format_exc(), encoding="utf-8")


def make_units_of(units: Sequence[Unit], task: Task, workers: int, until: float) -> None:
    """Make units in worker processes until a time, and let those that are begun end."""
    task.out.mkdir(parents=True, exist_ok=True)
    task.scratch.mkdir(parents=True, exist_ok=True)
    prepare_multiparton_tables(task.scratch / "multiparton.dat")
    context = multiprocessing.get_context("spawn")
    place = context.Value("q", 0)
    processes = [context.Process(target=work, args=(k, units, task, place, until), daemon=True) for k in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if lost := [p.exitcode for p in processes if p.exitcode]:
        raise OddjetsError(
            f"{len(lost)} of {workers} workers were killed (memory?); finished units are kept, run it again"
        )


__all__ = [
    "DATA",
    "Task",
    "Unit",
    "Worker",
    "file_of",
    "make_unit",
    "make_units",
    "make_units_of",
    "scaled",
    "the_analysis",
]
