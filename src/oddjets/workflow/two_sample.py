"""The two-sample study: data against their own pairs, against simulation, or against the events of another file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import atomic_write, write_json
from oddjets.core.provenance import read_manifest
from oddjets.inspection.compared_columns import derived_columns
from oddjets.io import event_table
from oddjets.io.event_table import JETS, Columns
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.io.studies import FOLDER, PICKS, TWO_SAMPLE, made_of, two_sample_lines
from oddjets.study.density_ratio import ratio_map, ratio_spectrum
from oddjets.study.two_sample import (
    PairProblem,
    TwoSamplePlan,
    TwoSampleProblem,
    TwoSampleResult,
    compare_samples,
    permutation_problem,
    refuse_constant,
)
from oddjets.workflow import blinding
from oddjets.workflow.run import RunContext
from oddjets.workflow.study_events import StudyEvents, is_processed, require_current_tables
from oddjets.workflow.two_sample_inputs import (
    DATASET,
    PairedColumns,
    Samples,
    alike_columns,
    columns_of,
    common_events,
    refuse_all_blinded,
)

__all__ = ["OWN_PAIRS", "SIMULATION", "TwoSampleOptions", "study_two_sample"]

#: what data can be compared with, besides files and folders
OWN_PAIRS, SIMULATION = "own-pairs", "simulation"
#: the most discrepant events that are listed
LISTED = 50
#: simulated events whose pairs are made, at most: a correlation that they do not have is less than the statistics of data
MOST_SIMULATED = 60_000
#: more pairs outside of the base selection than this are a warning
_MOST_FAILING = 0.05


@dataclass(frozen=True)
class TwoSampleOptions:
    """The options of a two-sample study.

    Attributes:
        against: ``own-pairs``, ``simulation``, a Parquet file or an output folder.
        columns: expressions that are compared; empty: score and mass of both jets.
        alike: columns in which events are alike whose jets are paired; None: the momenta of both jets.
        toys: how many.
        most: events of data, at most.
        seed: of all random numbers.
        workers: threads.
        bank: simulated events instead of the folder's.
        known: whether known processes are added to the pairs.
        residual: whether the correlation of simulated pairs enters as an uncertainty.
    """

    against: str = OWN_PAIRS
    columns: tuple[str, ...] = ()
    alike: tuple[str, ...] | None = None
    toys: int = 300
    most: int = 20_000
    seed: int = 1
    workers: int = 1
    bank: Path | None = None
    known: bool = True
    residual: bool = True


def study_two_sample(run: RunContext, options: TwoSampleOptions) -> dict[str, Any]:
    """Test data against a reference, and write ``study/two_sample.json`` and the list of the most discrepant events.

    Args:
        run: the analysis and its folder.
        options: what is asked.

    Returns:
        What was written.

    Raises:
        BlindedError: the data in A are blinded, and what is asked would show them.
        OddjetsError: no event tables, too few events, or a column that cannot be compared.
    """
    if run.analysis.aspen is not None and not run.analysis.aspen.events:
        raise OddjetsError(
            f"{run.analysis.name}: is of single jets, which have no pairs; make events ('aspen.events: true')"
        )
    if not is_processed(run):
        raise InputFileError(f"{run.out}: there are no event tables; run `oddjets process` first")
    require_current_tables(run)
    with run.lock():
        if not run.analysis.blind:
            # if they were hidden before, this is recorded as unblinding
            blinding.record_state(run.analysis, run.out, unblinds=run.unblinds)
        return _study(run, options)


def default_columns(analysis: Analysis) -> tuple[str, ...]:
    """Return what is compared if nobody says: the threshold's score and the soft-drop mass of both jets."""
    score = analysis.threshold.score
    return tuple(name for stem in (f"score_{score}", "mass") for name in (f"{stem}_{j}" for j in JETS))


def _study(run: RunContext, options: TwoSampleOptions) -> dict[str, Any]:
    expressions = options.columns or default_columns(run.analysis)
    if twice := sorted({name for name in expressions if expressions.count(name) > 1}):
        raise OddjetsError(f"--column {twice[0]}: is given twice, and would count twice")
    events = StudyEvents(run, options.bank, None)
    samples = Samples(run, events, expressions, options.most, options.seed)
    refuse_all_blinded(samples.hidden, options.against)
    data = samples.data()
    refuse_constant(expressions, columns_of(data, expressions, "the events of data"))
    plan = TwoSamplePlan(options.toys, options.seed, options.workers)
    about: dict[str, Any] = {}
    residual = None
    if options.against == OWN_PAIRS:
        problem, pool, about, residual = _own_pairs(samples, data, expressions, options)
    else:
        problem, pool, about = _other(samples, data, expressions, options)
    made = compare_samples(problem, plan, residual)
    found = {
        "analysis": run.analysis.name,
        "of": made_of(run.out, TWO_SAMPLE),
        "against": options.against,
        "columns": list(expressions),
        "events": len(data["weight"]),
        "left_out": samples.left_out,
        "shows_data_in_A": samples.hidden is None,
        "part": "all events of the base selection" if samples.hidden is None else "both scores below the threshold",
        "score": run.analysis.threshold.score,
        "seed": options.seed,
        "bank": None if options.bank is None else options.bank.name,
        **about,
        "test": made.found,
        "with_residual": made.with_residual,
        "unconverged": made.unconverged,
        "maps": _maps(run.analysis, pool, problem, made, expressions),
        "spectra": {} if options.against == OWN_PAIRS else _spectra(pool, problem, made, expressions),
        "most_discrepant": _most_discrepant(samples, data, made.log_ratio[problem.observed]),
    }
    folder = run.out / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / TWO_SAMPLE, found)
    with atomic_write(folder / PICKS) as temporary:
        lines = [row["id"] for row in found["most_discrepant"]]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in two_sample_lines(found):
        console.print(escape(line))
    console.print(escape(f"study: {folder / TWO_SAMPLE}; the most discrepant events: {folder / PICKS}"))
    return found


def _own_pairs(
    samples: Samples, data: Columns, expressions: Sequence[str], options: TwoSampleOptions
) -> tuple[TwoSampleProblem, Columns, dict[str, Any], PairProblem | None]:
    alike = alike_columns(data, options.alike)
    known = samples.known_processes() if options.known else []
    made = samples.with_own_pairs(data, alike, known)
    problem = PairProblem(_numbers(samples, made, expressions), made.pairs)
    if made.failing > _MOST_FAILING:
        console.print(
            f"warning: {100 * made.failing:.0f} % of the pairs do not pass the base selection, which couples the two jets: give"
            " --alike the columns that it cuts on"
        )
    residual, why = _residual(samples, len(data["weight"]), alike, expressions, options)
    if why:
        console.print(escape(f"two-sample: no uncertainty from simulated pairs: {why}"))
    added = made.pairs.known.weights
    about: dict[str, Any] = {
        "hypothesis": f"the two jets are independent among events with the same {', '.join(alike) or '(anything)'}",
        "toys_are": "permutations of subleading jets inside blocks"
        + (", with known processes drawn" if len(added) else ""),
        "alike": list(alike),
        "known": {"processes": known, "events": float(added.sum()), "jets_taken_whole": made.pairs.clipped},
        "pairs": {"number": len(made.pairs.leading), "swapped": made.swapped, "failing": made.failing},
        "residual": {"used": residual is not None, "why_not": why or None},
    }
    return problem, made.columns, about, residual


def _numbers(samples: Samples, made: PairedColumns, expressions: Sequence[str]) -> npt.NDArray[np.float64]:
    found = columns_of(made.columns, expressions, "the pairs")
    # an expression of both jets may be none for a pair of jets that each have one
    odd = ~np.isfinite(found).all(axis=1)
    if odd.any():
        samples.left_out["pairs without a number, which have the mean"] = int(odd.sum())
        means = np.nanmean(np.where(np.isfinite(found), found, np.nan), axis=0)
        found = np.where(np.isfinite(found), found, means)
    return found


def _residual(
    samples: Samples, number: int, alike: Sequence[str], expressions: Sequence[str], options: TwoSampleOptions
) -> tuple[PairProblem | None, str]:
    """Return simulated events of the data-driven process with their own pairs, or why there are none."""
    qcd = samples.run.analysis.data_driven
    if not options.residual:
        return None, "not asked for (--no-residual)"
    if qcd is None:
        return None, "no process is 'data_driven'"
    try:
        simulated = samples.simulated(qcd)
    except OddjetsError as error:
        return None, str(error)
    weights = np.maximum(np.asarray(simulated["weight"], np.float64), 0.0)
    effective = float(weights.sum() ** 2 / max(np.square(weights).sum(), 1e-300))
    if effective < number:
        return None, (
            f"there are {effective:.0f} effective events of simulated {qcd}, fewer than the {number} of data, so that they do"
            " not know a correlation better; give a --bank"
        )
    if len(weights) > MOST_SIMULATED:
        rows = np.random.default_rng(options.seed).choice(
            len(weights), MOST_SIMULATED, replace=False, p=weights / weights.sum()
        )
        simulated = {name: values[rows] for name, values in simulated.items()}
        weights = np.ones(len(rows))
    made = samples.with_own_pairs(simulated, alike, (), weights)
    return PairProblem(_numbers(samples, made, expressions), made.pairs, 0.0, weights), ""


def _other(
    samples: Samples, data: Columns, expressions: Sequence[str], options: TwoSampleOptions
) -> tuple[TwoSampleProblem, Columns, dict[str, Any]]:
    about: dict[str, Any] = {"toys_are": "permutations of which event is of which sample"}
    if options.against == SIMULATION:
        other, expected = samples.of_simulation(len(data["weight"]))
        about |= {"hypothesis": "data are distributed as the simulation without signal", "expected": expected}
    else:
        other = samples.of_file(Path(options.against), lambda place: _tables_of(samples.run, place))
        about["hypothesis"] = "data and the other events have the same distribution"
    about["other_events"] = len(other["weight"])
    if len(other["weight"]) < len(data["weight"]):
        console.print(
            f"two-sample: the reference has {len(other['weight'])} events, fewer than the data: it limits what is seen"
        )
    values = [columns_of(c, expressions, w) for c, w in ((data, "the events of data"), (other, options.against))]
    if options.against != SIMULATION:
        about["common_events"] = common_events(data, other, values, Path(options.against))
        if about["common_events"]:
            console.print(
                f"warning: {about['common_events']} of the {len(other['weight'])} other events are among the data: samples are"
                " compared that have none in common, and what they have hides a difference"
            )
    common = set(data) & set(other)
    pool = {name: np.concatenate([data[name], other[name]]) for name in sorted(common)}
    return permutation_problem(*values), pool, about


def _tables_of(run: RunContext, place: Path) -> Iterator[Columns]:
    """Yield the tables of the data of another output folder."""
    manifest = read_manifest(place, "process")
    if manifest is None:
        raise InputFileError(f"--against {place}: is no output folder with event tables")
    for name, known in manifest["extra"]["datasets"].items():
        if known["is_data"] and event_table.parts(place / "events", name):
            yield from event_table.stream(place / "events", name)


def _maps(
    analysis: Analysis, pool: Columns, problem: TwoSampleProblem, made: TwoSampleResult, expressions: Sequence[str]
) -> dict[str, Any]:
    """Return where the excess is in columns of both jets: the score, the mass, and others that were compared."""
    known = pool | derived_columns(pool)
    stems = [f"score_{analysis.threshold.score}", "mass"]
    stems += [name[:-2] for name in expressions if name.endswith("_1") and name[:-2] not in stems]
    found = {}
    for stem in stems:
        both = [known.get(f"{stem}_{j}") for j in JETS]
        if any(column is None or not np.isfinite(column).all() for column in both):
            continue
        first, second = (np.asarray(column, np.float64) for column in both)
        found[stem] = ratio_map(first, second, _apart(problem), problem.observed, made.log_ratio)
    return found


def _spectra(
    pool: Columns, problem: TwoSampleProblem, made: TwoSampleResult, expressions: Sequence[str]
) -> dict[str, Any]:
    return {
        expression: ratio_spectrum(column, _apart(problem), problem.observed, made.log_ratio)
        for expression, column in zip(expressions, problem.x.T, strict=True)
    }


def _apart(problem: TwoSampleProblem) -> npt.NDArray[np.float64]:
    """Return what rows weigh in the reference of the data: events of data that are in its pool for permutations do not."""
    found = problem.reference.copy()
    if problem.taken:
        found[problem.observed] = 0.0
    return found


def _most_discrepant(samples: Samples, data: Columns, log_ratio: npt.NDArray[np.float64]) -> list[dict[str, Any]]:
    """Return the events of the largest ratio of data to reference, as JSON can hold them."""
    score = samples.run.analysis.threshold.score
    names = [f"{stem}_{j}" for stem in (f"score_{score}", "mass", "pt") for j in JETS]
    rows = []
    for place in np.argsort(-log_ratio, kind="stable")[:LISTED]:
        identity = [int(data[name][place]) for name in IDENTITY]
        rows.append(
            {
                "id": ":".join(map(str, identity)),
                "dataset": samples.datasets[int(data[DATASET][place])],
                "ratio": float(np.exp(min(log_ratio[place], 50.0))),
                **{name: float(data[name][place]) for name in names if name in data},
            }
        )
    return rows
