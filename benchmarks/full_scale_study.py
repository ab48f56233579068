"""The studies of full_scale.py: from a joined sample to one JSON, section by section; finished sections are kept."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from full_scale_sample import EFFICIENCY, PAPER, SET_UPS, TREATMENTS, Sample
from scipy.stats import norm

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.core.worker_pool import pool_context
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.histograms import DATA as DATA_NAME
from oddjets.selection.mixing import PairedEvents, abcd_yields_of_events, abcd_yields_of_pairs, select_nominal
from oddjets.stats import workspace
from oddjets.stats.closure_parts import LEAST_EVENTS, StructuralFactor, abcd_constant, effective_events, spread
from oddjets.stats.summary import fit_workspace
from oddjets.study import null
from oddjets.study.calibration import binomial_interval
from oddjets.study.choices import ChoiceEvents, describe_choices, run_choices, share
from oddjets.study.events import EventArrays, Patterns
from oddjets.study.global_significance import copula_tail
from oddjets.study.independence import classes_of
from oddjets.study.sculpting import divergence_of, spurious_signal
from oddjets.study.thresholds import ThresholdGrid, letter_sums, templates_at

Floats = npt.NDArray[np.float64]

#: the paper's largest local significance, and the mass near which it sees a structure, GeV
PAPERS_Z, PAPERS_MASS = 4.11, 150.0
REGIONS = ("SR", "VR1", "SR1", "SR2", "SR3", "SR4")
#: regions that are unions of products, which need a structural constant
UNIONS = ("VR1", "SR3", "SR4")
#: thresholds of the closure: the paper's, and a looser one with more events
EFFICIENCIES = (EFFICIENCY, 0.01)
PAIRS = 300_000


@dataclass(frozen=True)
class Settings:
    """What is asked of a study.

    Attributes:
        experiments: of each null and of the choices.
        strengths: injected, in units of HH's cross section.
        toys: of a goodness of fit.
        replicas: of a bootstrap.
        workers: processes.
        seed: of all random numbers.
        only: sections; empty: all that are not there.
    """

    experiments: int = 400
    strengths: tuple[float, ...] = (500.0, 1500.0)
    toys: int = 100
    replicas: int = 40
    workers: int = 2
    seed: int = 1
    only: tuple[str, ...] = ()


def study(file: Path, out: Path, settings: Settings) -> dict[str, Any]:
    """Make the sections that are asked for, and write each when it is done.

    Raises:
        OddjetsError: an unknown section, or results of another sample.
    """
    if unknown := [name for name in settings.only if name not in SECTIONS]:
        raise OddjetsError(f"--only: no section '{unknown[0]}'; there are {', '.join(SECTIONS)}")
    sample = Sample.open(file)
    about = {
        key: sample.card.get(key) for key in ("luminosity_pb", "luminosities_pb", "planned_pb", "samples", "units")
    }
    about |= {
        "events": dict(sample.card["events"]),
        "cpu_seconds": sample.card.get("cpu_seconds"),
        "scores": sample.scores,
    }
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"sample": about}
    if json.loads(json.dumps(about)) != result.get("sample"):
        raise OddjetsError(f"{out}: has results of another sample; give another file with --out, or remove it")
    for name, make in SECTIONS.items():
        if (settings.only and name not in settings.only) or (not settings.only and name in result):
            continue
        started = time.perf_counter()
        made = make(sample, settings, result)
        result[name] = made
        known = {k: v for k, v in asdict(settings).items() if k not in ("only", "workers")}
        result.setdefault("made", {})[name] = {"seconds": round(time.perf_counter() - started, 1), "settings": known}
        write_json(out, result)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return result


# ---- several at once --------------------------------------------------------------------------------------------------

#: what processes of a pool have in common: sample, settings, results so far
_SHARED: list[Any] = []


def _one(task: tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]) -> dict[str, Any]:
    """Return what is made, or why it is not."""
    make, of = task
    try:
        return make(*_SHARED, *of)
    except OddjetsError as error:
        return {"failed": str(error)}


def _each(
    make: Callable[..., dict[str, Any]],
    tasks: Sequence[tuple[Any, ...]],
    sample: Sample,
    settings: Settings,
    result: Any,
) -> list[dict[str, Any]]:
    """Return what is made of each task, several at once; the events are not copied."""
    _SHARED[:] = [sample, settings, result]
    work = [(make, task) for task in tasks]
    if settings.workers <= 1 or len(work) < 2:
        return [_one(task) for task in work]
    with ProcessPoolExecutor(settings.workers, pool_context("fork")) as pool:
        return list(pool.map(_one, work))


# ---- closure ---------------------------------------------------------------------------------------------------------


def closure(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return score -> region -> efficiency -> the constant A D / (B C) of QCD: of pairs of jets, whole, and their ratio."""
    made = _each(_closure_of, [(score,) for score in sample.scores], sample, settings, result)
    return dict(zip(sample.scores, made, strict=True))


def _closure_of(sample: Sample, settings: Settings, result: Mapping[str, Any], score: str) -> dict[str, Any]:
    analysis = sample.analysis("SR + VR1", score)
    processor = sample.processor(analysis)
    columns = select_nominal(processor, sample.tables["qcd"])
    weights = columns["weight"].astype(np.float64) * sample.luminosity
    lower = sample.smaller(sample.pseudo_data(), score)
    thresholds = [float(np.quantile(lower, 1 - e)) for e in EFFICIENCIES]
    source = PairedEvents.from_columns(columns, weights, settings.replicas, settings.seed)
    observable = "leading_mass"
    events = abcd_yields_of_events(analysis, processor, source, thresholds, observable)
    pairs = abcd_yields_of_pairs(analysis, processor, source, thresholds, observable, seed=settings.seed, pairs=PAIRS)
    found: dict[str, Any] = {"thresholds": dict(zip(map(str, EFFICIENCIES), thresholds, strict=True))}
    for region in REGIONS:
        edges = analysis.binning(observable, region)
        found[region] = {
            str(e): _parts_of(events[region][i], pairs[region][i], edges) for i, e in enumerate(EFFICIENCIES)
        }
    return found


def _parts_of(events: Floats, pairs: Floats, edges: Any) -> dict[str, Any]:
    """Return the constants of a region, from yields of all replicas, (replicas + 1, letters, bins) each."""
    structural, whole = abcd_constant(pairs), abcd_constant(events)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = whole / structural
    a, b, c, d = events[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted = np.where(d > 0, b * c / d, 0.0)
    control, expected = (float(x) for x in effective_events(events[0], events[0]))
    return {
        "in_A": float(a.sum()),
        "structural": _number(structural),
        "whole": _number(whole),
        "correlation": _number(correlation),
        "few": bool(min(control, expected) < LEAST_EVENTS),
        "edges": np.asarray(edges, np.float64).tolist(),
        "A": a.tolist(),
        "predicted": predicted.tolist(),
    }


def _number(replicas: Floats) -> dict[str, float | None]:
    value, error = float(replicas[0]), float(spread(replicas))
    return {"value": value if np.isfinite(value) else None, "error": error if np.isfinite(error) else None}


def structural_of(result: Mapping[str, Any], score: str, regions: Any) -> dict[str, StructuralFactor]:
    """Return the structural constants of unions at the paper's efficiency, as the fit takes them."""
    found = {}
    for region in regions:
        if region in UNIONS:
            one = result["closure"][score][region][str(EFFICIENCY)]["structural"]
            if not one["value"] or one["error"] is None:
                raise OddjetsError(f"'{region}' has no structural constant for '{score}': too few events")
            found[region] = StructuralFactor(one["value"], one["error"])
    return found


# ---- the pseudo-data -------------------------------------------------------------------------------------------------


def observed(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fits of the pseudo-data: set-up, score -> treatment -> z, strength, goodness of fit, yields in A."""
    cases = [(u, s, t) for u in SET_UPS for s in sample.scores for t in TREATMENTS]
    found: dict[str, Any] = {}
    for (set_up, score, treatment), fitted in zip(cases, _each(_fit, cases, sample, settings, result), strict=True):
        entry = {"set_up": set_up, "score": score, "paper": (set_up, score) in PAPER, "treatments": {}}
        found.setdefault(f"{set_up} / {score}", entry)["treatments"][treatment] = fitted
    return found


def _fit(
    sample: Sample, settings: Settings, result: Mapping[str, Any], set_up: str, score: str, treatment: str
) -> dict[str, Any]:
    analysis = sample.analysis(set_up, score, treatment)
    assert analysis.fit is not None
    templates, data = sample.templates(analysis), sample.data(analysis)
    threshold = float(np.quantile(np.concatenate([e.scores.min(axis=0) for e in data]), 1 - EFFICIENCY))
    grid = ThresholdGrid(np.array([threshold]), analysis.threshold.strict, EFFICIENCY)
    patterns = Patterns.from_analysis(analysis)
    (yields,) = templates_at(analysis, [*templates, *data], grid, {})
    seen = np.sum([letter_sums(e, patterns, grid)[NOMINAL][0] for e in data], axis=0)
    for region, start in patterns.starts.items():
        here = slice(start, start + len(patterns.edges[region]) - 1)
        yields.contents[region, DATA_NAME, NOMINAL] = seen[:, :, here]
    factors = structural_of(result, score, analysis.fit.regions) if treatment == "structural" else None
    built, report = workspace.build(analysis, yields, None, factors)
    poi = null.tested(analysis)[0]
    fitted = fit_workspace(
        built, poi=poi, limit=False, impacts=False, scan=False, progress=False, report=report,
        gof_toys=settings.toys, gof_letters=("A",), seed=settings.seed,
    )  # fmt: skip
    strength = next(p for p in fitted["pois"] if p["name"] == poi)
    significance = fitted.get("significance") or {}
    in_a = {
        region: {
            process: yields.contents[region, process, NOMINAL][0, 0].tolist()
            for process in yields.variations
            if (region, process, NOMINAL) in yields.contents
        }
        for region in patterns.edges
    }
    gof = fitted.get("gof") or {}
    return {
        "threshold": threshold,
        "z": significance.get("z"),
        "deciding_events": significance.get("deciding_events"),
        "strength": strength["value"],
        "error": strength["error"],
        "gof": {key: gof.get(key) for key in ("statistic", "p_value", "toys")},
        "edges": {region: edges.tolist() for region, edges in patterns.edges.items()},
        "in_A": in_a,
    }


# ---- experiments -----------------------------------------------------------------------------------------------------


def _truth(sample: Sample, analysis: Analysis, source: str, seed: int) -> list[EventArrays]:
    templates = sample.templates(analysis)
    if source == "mixed":
        return [*templates, *sample.mixed(analysis, seed)]
    classes = classes_of(analysis, sample.processor(analysis)) if source == "independent" else None
    return [*templates, *sample.qcd(analysis, classes)]


def _null(
    sample: Sample,
    settings: Settings,
    result: Mapping[str, Any],
    where: tuple[str, str, str],
    source: str,
    strength: float = 0.0,
) -> dict[str, Any]:
    set_up, score, treatment = where
    analysis = sample.analysis(set_up, score, treatment)
    assert analysis.fit is not None
    truth = _truth(sample, analysis, source, settings.seed)
    factors = structural_of(result, score, analysis.fit.regions) if treatment == "structural" else None
    plan = null.NullPlan(experiments=settings.experiments, seed=settings.seed, limit=False, strength=strength)
    made = null.of_events(analysis, source, plan, truth, truth, structural=factors)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        found = null.run(made, Path(folder))
    kept = (
        "experiments",
        "failed",
        "z",
        "false_alarms",
        "strength",
        "coverage",
        "goodness_of_fit",
        "closure",
        "events",
    )
    kept += ("closure_of_source", "bank_over_experiment")
    return {key: found[key] for key in kept if key in found}


def nulls(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return experiments without signal: source -> set-up and treatment -> what they say.

    ``independent`` and ``mixed`` have QCD whose jets know nothing of each other. ``simulation`` has the events as they are,
    which are as many as an experiment has: all experiments share their fluctuation, so that it bounds the correlation alone.
    """
    cases = [(u, s, t) for u, s in PAPER[1:] if s in sample.scores for t in TREATMENTS]
    treated = {
        "independent": ("as-published", "cells"),
        "mixed": ("as-published",),
        "simulation": ("as-published", "cells"),
    }
    tasks = [(case, source) for source, own in treated.items() for case in cases if case[2] in own]
    found: dict[str, Any] = {}
    for (case, source), made in zip(tasks, _each(_null, tasks, sample, settings, result), strict=True):
        found.setdefault(source, {})[" / ".join(case)] = made
    return found


def choices(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return how z of choices belong together on the same experiments, and how often one of them is as large as 4.11."""
    paper = [(u, s, "as-published") for u, s in PAPER[1:] if s in sample.scores]
    others = [(u, s, "as-published") for u in ("split", "split, b tag") for s in sample.scores]
    treated = [(u, s, t) for u, s in PAPER[1:] if s in sample.scores for t in TREATMENTS[1:]]
    lists = {"paper": paper, "trainings": [c for c in others if c[1].startswith(("team", "omni"))]}
    every = list(dict.fromkeys([*paper, *others, *treated]))
    z: dict[str, Floats] = {}
    notes: dict[str, Any] = {"failed": {}, "closure_of_source": {}}
    # all have the same experiments, by the seed and the events
    for case, made in zip(every, _each(_of_choice, [(case,) for case in every], sample, settings, result), strict=True):
        name = " / ".join(case)
        if "failed" in made:
            notes["failed"][name] = made["failed"]
        else:
            z[name] = made["z"]
            notes["closure_of_source"][name] = made["closure_of_source"]
    lists["all"] = [c for c in every if " / ".join(c) in z]
    for label, cases in lists.items():
        own = {name: z[name] for case in cases if (name := " / ".join(case)) in z}
        try:
            notes[label] = _describe(own, result, settings)
        except OddjetsError as error:
            notes[label] = {"failed": str(error)}
    return notes


def _of_choice(
    sample: Sample, settings: Settings, result: Mapping[str, Any], case: tuple[str, str, str]
) -> dict[str, Any]:
    set_up, score, treatment = case
    analysis = sample.analysis(set_up, score, treatment)
    assert analysis.fit is not None
    truth = _truth(sample, analysis, "mixed", settings.seed)
    factors = structural_of(result, score, analysis.fit.regions) if treatment == "structural" else None
    one = ChoiceEvents(analysis, truth, truth, None, factors)
    prepared, about = share({"choice": one}, null.NullPlan(settings.experiments, seed=settings.seed))
    with tempfile.TemporaryDirectory() as folder:
        made = run_choices(prepared, settings.experiments, Path(folder))
    return {"z": made["choice"]["z"], "closure_of_source": about["closure_of_source"]["choice"]}


def _describe(z: Mapping[str, Floats], result: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    seen = {}
    for name in z:
        set_up, score, treatment = name.split(" / ")
        fitted = result.get("observed", {}).get(f"{set_up} / {score}", {}).get("treatments", {}).get(treatment, {})
        if fitted.get("z") is not None:
            seen[name] = float(fitted["z"])
    found = describe_choices(z, seen, settings.seed)
    every = np.stack(list(z.values()), axis=1)
    good = every[np.isfinite(every).all(axis=1)]
    rows = []
    for level in (2.0, 2.5, 3.0, 3.5, PAPERS_Z):
        above = int((good.max(axis=1) >= level).sum())
        low, high = binomial_interval(above, len(good))
        rows.append(
            {"z": level, "above": above, "experiments": len(good), "p": above / len(good), "low": low, "high": high}
        )
        rows[-1]["single_choice"] = float(norm.sf(level))
    tail = copula_tail(np.array(found["correlation"]), PAPERS_Z, seed=settings.seed)
    return found | {"anywhere": rows, "copula_at_4.11": tail._asdict()}


def injection(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return experiments with HH in them: score -> strength -> what the fit finds, split by mass, mixed QCD."""
    fewer = Settings(**{**asdict(settings), "experiments": max(settings.experiments // 4, 20)})
    scores = [s for s in ("omnilearned", "team", "labelled", "xbb") if s in sample.scores]
    tasks = [
        (("split", score, "as-published"), "mixed", strength) for score in scores for strength in settings.strengths
    ]
    found: dict[str, Any] = {}
    for (case, _, strength), made in zip(tasks, _each(_null, tasks, sample, fewer, result), strict=True):
        found.setdefault(case[1], {})[f"{strength:g}"] = made
    return found


# ---- sculpting -------------------------------------------------------------------------------------------------------


def sculpting(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return score -> region -> efficiency -> whether it changes QCD's mass, and the narrow signal that QCD seems to have.

    The spurious signal is that of A - B C / D in QCD alone, in errors of an experiment of this luminosity.
    """
    made = _each(_sculpting_of, [(score,) for score in sample.scores], sample, settings, result)
    return dict(zip(sample.scores, made, strict=True))


def _sculpting_of(sample: Sample, settings: Settings, result: Mapping[str, Any], score: str) -> dict[str, Any]:
    analysis = sample.analysis("split, b tag", score)
    assert analysis.fit is not None
    analysis = analysis.model_copy(update={"fit": analysis.fit.model_copy(update={"regions": REGIONS})})
    (qcd,) = sample.qcd(analysis)
    patterns = Patterns.from_analysis(analysis)
    others = [e for e in sample.templates(analysis) if NOMINAL in e.variations and e.process != "hh"]
    lower = sample.smaller(sample.pseudo_data(), score)
    codes, place = np.unique(qcd.codes, return_inverse=True)
    cells = patterns.cells_of(codes)
    found: dict[str, Any] = {}
    for efficiency in EFFICIENCIES:
        threshold = float(np.quantile(lower, 1 - efficiency))
        grid = ThresholdGrid(np.array([threshold]), analysis.threshold.strict, None)
        letters = letter_sums(qcd, patterns, grid)[NOMINAL][0]
        beside = np.sum([letter_sums(e, patterns, grid)[NOMINAL][0, 0, 0] for e in others], axis=0)
        passing = qcd.scores.min(axis=0) >= threshold
        for region, start in patterns.starts.items():
            edges = patterns.edges[region]
            here = slice(start, start + len(edges) - 1)
            inside = cells[here].any(axis=0)[place.ravel()]
            value = cells[here].argmax(axis=0)[place.ravel()][inside] + 0.5
            spurious = spurious_signal(letters[0][:, here], letters[1][:, here], edges, beside[here])
            near = min(spurious["masses"], key=lambda row: abs(row["mass"] - PAPERS_MASS), default=None)
            bins = np.arange(len(edges), dtype=np.float64)
            found.setdefault(region, {})[str(efficiency)] = {
                "threshold": threshold,
                "divergence": divergence_of(value, passing[inside], qcd.nominal[inside], bins, seed=settings.seed),
                "near_150": near,
                **{key: spurious[key] for key in ("masses", "largest", "bins_left_out")},
            }
    return found


SECTIONS: dict[str, Callable[[Sample, Settings, Mapping[str, Any]], dict[str, Any]]] = {
    "closure": closure,
    "observed": observed,
    "sculpting": sculpting,
    "choices": choices,
    "nulls": nulls,
    "injection": injection,
}
