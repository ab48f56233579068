"""The study of an analysis without signal: which experiments it makes, and what they say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.core.rounding import rounded
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.histograms import DATA
from oddjets.io.studies import calibration_line, few_experiments
from oddjets.stats import workspace
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.closure_uncertainty import ClosureUncertainty
from oddjets.study.bootstrap import TemplateBootstrap
from oddjets.study.calibration import Tail, calibrated, counted_p, tail_curve
from oddjets.study.events import EventArrays, Patterns
from oddjets.study.experiments import Experiments, run_chunks
from oddjets.study.procedure import Procedure, Questions
from oddjets.study.rates import bank_ratio, closure_of, rates_of, require_marginals
from oddjets.study.summary import describe, read_chunks, toy_lines
from oddjets.study.thresholds import ThresholdGrid, find_grid, templates_at

__all__ = ["NAMES", "SOURCES", "NullPlan", "NullStudy", "Source", "of_events", "of_model", "run", "tested"]

Floats = npt.NDArray[np.float64]
Source = Literal["simulation", "independent", "mixed", "control", "toys"]

SOURCES: tuple[Source, ...] = ("simulation", "independent", "mixed", "control", "toys")
#: what the p of a source is the probability under
NAMES: Mapping[str, str] = {
    "simulation": "p if the simulation is right",
    "independent": "p if ABCD holds",
    "mixed": "p if the jets are independent",
    "control": "p by data below the threshold",
    "toys": "p by toys of the fitted model",
}
#: how far z is moved in importance sampling
TILTS = (0.0, 1.5, 3.0, 4.5)
#: the part of the experiments that is made for each thing that may be true instead
SHARE = 0.25
#: a width of z that differs from 1 by more errors than this is said, and a coverage that differs by fewer may be chance
WIDE, CLEAR = 3.0, 2.0
#: a Kolmogorov-Smirnov p below this is a warning
LEAST_KS = 0.05
_NO_TILTS = np.zeros((0, 0, 0))


@dataclass(frozen=True)
class NullPlan:
    """The extent of a study.

    Attributes:
        experiments: with the nominal truth.
        tail: for importance sampling; 0: none.
        nuisances: the nuisance parameters that may be one width off.
        closures: region -> (c, its error) of the data-driven process; empty: c is as in the source.
        seed: of all random numbers.
        limit: whether limits are found.
        strength: true strength of the signal; 0: none.
        toys: toys of each plain experiment's fit, for its p by toys; 0: none.
        bootstrap: whether each experiment has templates of its own (see `TemplateBootstrap`).
    """

    experiments: int = 1000
    tail: int = 0
    nuisances: tuple[str, ...] = ()
    closures: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    seed: int = 1
    limit: bool = True
    strength: float = 0.0
    toys: int = 0
    bootstrap: bool = False


@dataclass(frozen=True)
class NullStudy:
    """The experiments of a study, by what is true in them; the first is nominal."""

    analysis: Analysis
    source: Source
    truths: Mapping[str, Experiments]
    plan: NullPlan
    notes: Mapping[str, Any]


def tested(analysis: Analysis) -> tuple[str, str, dict[str, float]]:
    """Return the tested strength, its process, and the strengths of the other signals."""
    fit = analysis.fit
    if fit is None or analysis.data_driven is None:
        raise OddjetsError("a study needs a 'fit' section and a process with 'data_driven: true'")
    name = fit.tested or fit.pois[0].name
    pois = {poi.name: poi for poi in fit.pois}
    if name not in pois:
        raise OddjetsError(
            f"fit.tested: '{name}' is not the strength of a process, so there is no experiment without it"
        )
    others = {p.process: float(np.clip(p.init, *p.bounds)) for p in fit.pois if p.name != name}
    return name, pois[name].process, others


def questions_of(analysis: Analysis, plan: NullPlan) -> Questions:
    """Return what each experiment is asked: what the analysis's fit asks of its data."""
    assert analysis.fit is not None
    gof = analysis.fit.goodness_of_fit
    name, _, _ = tested(analysis)
    return Questions(name, plan.strength, plan.limit, tuple(gof.letters), gof.model == "signal", plan.toys)


def of_events(
    analysis: Analysis,
    source: Source,
    plan: NullPlan,
    templates: Sequence[EventArrays],
    truth: Sequence[EventArrays],
    *,
    closure: Mapping[str, ClosureUncertainty] | None = None,
    structural: Mapping[str, StructuralFactor] | None = None,
    complete: bool = False,
) -> NullStudy:
    """Prepare experiments that are drawn from events.

    Args:
        analysis: the analysis.
        source: what they are drawn from; ``truth`` is made accordingly.
        plan: how many.
        templates: events of all processes, for the templates.
        truth: events of all processes, for the experiments.
        closure: as for `workspace.build`.
        structural: as for `workspace.build`.
        complete: the data-driven process of the truth is data, in which all other processes are.

    Raises:
        OddjetsError: a process is missing, too few events, a region that is empty, or no workspace can be built.
    """
    _, signal, strengths = tested(analysis)
    qcd = str(analysis.data_driven)
    grid = find_grid(analysis, truth, strengths | {signal: plan.strength}, qcd if source == "independent" else None)
    patterns = Patterns.from_analysis(analysis)
    if source == "independent":
        require_marginals(truth, patterns, grid, qcd)
    assert analysis.fit is not None
    all_strengths = strengths | {p.process: float(np.clip(p.init, *p.bounds)) for p in analysis.fit.pois}
    # the data that a workspace starts from have the truth's data-driven process and the templates' others
    for_data = [e for e in templates if e.process != qcd] + [e for e in truth if e.process == qcd]
    shown = analysis.unblinded()
    rates = rates_of(truth, grid, qcd, signal, strengths, independent=source == "independent")
    in_data = dict.fromkeys(analysis.processes, 0.0) | {qcd: 1.0} if complete else all_strengths
    yields = templates_at(shown, for_data, grid, in_data)
    built: list[dict[str, Any]] = []
    merged: list[dict[str, Any]] = []
    for value, here in zip(grid.values, yields, strict=True):
        try:
            made, report = workspace.build(shown, here, closure, structural)
            built.append(made)
            merged.append({cell: groups for of in report.get("cells", {}).values() for cell, groups in of.items()})
        except OddjetsError as error:
            raise OddjetsError(f"no workspace at the threshold {value:.6g} of an experiment: {error}") from None
    questions = questions_of(analysis, plan)
    known = {} if analysis.fit.scale_factor is None else {"sf": 1.0}

    bootstrap = None
    if plan.bootstrap:
        simulated = [e for e in templates if e.process != qcd]
        expected = [{r: here.contents[r, DATA, NOMINAL] for r in patterns.edges} for here in yields]
        bootstrap = TemplateBootstrap(shown, simulated, grid, expected, closure, structural)
    nominal = Experiments(plan.seed, 0, grid, patterns, built, questions, rates, known, _NO_TILTS, merged, bootstrap)
    central = nominal.central
    constants = closure_of(rates, patterns)[central]
    notes = {
        "thresholds": grid.values.tolist(),
        "bank_over_experiment": {e.process: bank_ratio(e) for e in truth if NOMINAL in e.variations},
        "negative_events": rates.negative,
        "templates": "bootstrap" if plan.bootstrap else "auxiliary data",
        "closure_of_source": dict(zip(patterns.edges, (_plain(c) for c in constants), strict=True)),
    }
    truths = {"nominal": nominal}
    # limits and toys are of the nominal truth alone
    unlimited = replace(nominal, questions=replace(questions, limit=False, toys=0))
    # 1 is for importance sampling
    number = 2
    parameters = set(Procedure(built[central], questions).names) if plan.nuisances else set()
    for nuisance in plan.nuisances:
        for direction, value in (("Up", 1.0), ("Down", -1.0)):
            own = {
                p: value for p in parameters if p == nuisance or p in {f"{nuisance}_{x}" for x in analysis.processes}
            }
            varied = rates_of(
                truth,
                grid,
                qcd,
                signal,
                strengths,
                variation=f"{nuisance}{direction}",
                independent=source == "independent",
            )
            moved = replace(unlimited, number=number, rates=varied, truth=known | own)
            truths[f"{nuisance} {value:+g} sigma"] = moved
            number += 1
    for sign in (1.0, -1.0) if plan.closures else ():
        factors = {
            region: max(c + sign * error, 0.0) / constant
            for (region, constant) in zip(patterns.edges, constants, strict=True)
            if region in plan.closures and np.isfinite(constant) and constant > 0
            for c, error in [plan.closures[region]]
        }
        if factors:
            moved = replace(unlimited, number=number, rates=rates.with_closure(patterns, central, factors))
            truths[f"c {sign:+g} sigma"] = moved
            notes.setdefault("closures", {r: list(plan.closures[r]) for r in factors})
        number += 1
    return NullStudy(analysis, source, truths, plan, notes)


def of_model(
    analysis: Analysis, plan: NullPlan, built: Mapping[str, Any], truth: Mapping[str, float], threshold: float
) -> NullStudy:
    """Prepare toys of a fitted model, with its threshold.

    Args:
        analysis: the analysis.
        plan: how many.
        built: the workspace.
        truth: the parameters of the fit without signal, by name.
        threshold: of the analysis, for the record.
    """
    grid = ThresholdGrid(np.array([threshold]), False, None)
    experiments = Experiments(
        plan.seed,
        0,
        grid,
        Patterns.from_analysis(analysis),
        [built],
        questions_of(analysis, plan),
        None,
        dict(truth),
        _NO_TILTS,
    )
    return NullStudy(analysis, "toys", {"nominal": experiments}, plan, {"thresholds": [threshold]})


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def run(
    study: NullStudy,
    folder: Path,
    *,
    workers: int = 1,
    observed: Mapping[str, Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Make the experiments, and return what they say: the content of ``null_SOURCE.json``.

    Args:
        study: of `of_events` or `of_model`.
        folder: where chunks are recorded; experiments that are there are not made again.
        workers: processes.
        observed: ``results.json``; None: there is none, and no p is calibrated.
        say: gets lines about what is going on.

    Raises:
        OddjetsError: the fits of all experiments failed.
    """
    plan, nominal = study.plan, next(iter(study.truths.values()))
    files = run_chunks(nominal, plan.experiments, folder, workers=workers, label=f"{study.source}: nominal")
    found = read_chunks(files)
    if not np.isfinite(found["z"]).any():
        raise OddjetsError(
            f"the fits of all {plan.experiments} experiments failed: the regions have too few events for this fit; use a larger"
            " luminosity, a looser threshold or fewer bins"
        )
    names = nominal.procedure(nominal.central).names
    result: dict[str, Any] = {
        "analysis": study.analysis.name,
        "source": study.source,
        "name": NAMES[study.source],
        "seed": plan.seed,
        **describe(found, names, list(nominal.patterns.edges), plan.strength, plan.toys),
        **study.notes,
    }
    tilted: tuple[Floats, Floats] | tuple[None, None] = (None, None)
    if plan.tail and nominal.rates is not None:
        injected = nominal.tilted(files, TILTS, 1)
        more = read_chunks(run_chunks(injected, plan.tail, folder, workers=workers, label=f"{study.source}: tail"))
        tilted = more["z"], more["log_weight"]
        result["importance_sampling"] = {"experiments": plan.tail, "failed": int((~np.isfinite(more["z"])).sum())}
    tail = Tail(found["z"], *tilted)
    result["tail"] = tail_curve(tail, np.arange(0.0, 5.01, 0.25).tolist())
    result["reach"] = tail.reach
    tails = {"nominal": tail}
    share = max(int(SHARE * plan.experiments), 1)
    result["truths"] = {}
    for label, experiments in list(study.truths.items())[1:]:
        own = read_chunks(run_chunks(experiments, share, folder, workers=workers, label=f"{study.source}: {label}"))
        tails[label] = Tail(own["z"])
        brief = describe(own, names, list(nominal.patterns.edges), plan.strength)
        kept = ("experiments", "failed", "z", "false_alarms", "strength", "closure")
        result["truths"][label] = {key: brief[key] for key in kept if key in brief}
    seen = (observed or {}).get("significance") or {}
    if seen.get("z") is not None and not (observed or {}).get("blinded"):
        result["calibration"] = calibrated(float(seen["z"]), tails, float(norm.sf(seen["z"])))
        # toys of the model have no importance sampling
        needed = result["calibration"]["extrapolated"] and nominal.rates is not None
        result["calibration"]["tail_needed"] = tail.needed(float(seen["z"])) if needed else None
        gof = (observed or {}).get("gof")
        if gof and gof.get("statistic") is not None:
            good = found["gof"][np.isfinite(found["gof"])]
            above = int((good >= gof["statistic"]).sum())
            result["calibration"]["goodness_of_fit"] = {
                "statistic": gof["statistic"],
                "p_toys": gof.get("p_value"),
                **counted_p(above, len(good)),
            }
    for line in lines_of(result):
        say(line)
    return result


def warnings_of(result: Mapping[str, Any], about: Literal["z", "coverage"]) -> list[str]:
    """Return whether z is normal, or whether intervals cover as they should, in words; a warning where not.

    Args:
        result: from `run`.
        about: of which.
    """
    if about == "z":
        p = result["z"]["kolmogorov_smirnov"]["p_value"]
        if p < LEAST_KS:
            return [
                f"warning: z is not normal (p < {LEAST_KS:g}): asymptotic p values and intervals are not right here"
            ]
        number, width = result["experiments"] - result["failed"], result["z"]["sd"]
        if number > 1 and abs(width - 1) > WIDE * width / np.sqrt(2 * (number - 1)):
            return [
                f"warning: z has the width {width:.2f}, not 1: asymptotic p values and intervals are not right here"
            ]
        return [f"good: no difference of z from the normal distribution is seen (p >= {LEAST_KS:g})"]
    lines = []
    for c in result["coverage"]:
        if not c["low"] <= c["level"] <= c["high"]:
            how = "too rarely: they are too short" if c["covered"] < c["level"] else "too often: they are too long"
            off = abs(c["covered"] - c["level"]) / (0.5 * (c["high"] - c["low"]))
            chance = "; by chance this is said one time in three" if off < CLEAR else ""
            lines.append(f"warning: intervals of {100 * c['level']:.0f} % cover {how}{chance}")
    return lines or ["good: intervals cover as often as they should"]


def lines_of(result: Mapping[str, Any]) -> list[str]:
    """Return a study in a few lines of text.

    Args:
        result: from `run`.
    """
    z, strength = result["z"], result["strength"]
    lines = [
        f"{result['experiments']} experiments ({result['source']}), {result['failed']} failed",
        *few_experiments(result["experiments"] - result["failed"]),
        f"signed z: mean {z['mean']:+.3f}, sd {z['sd']:.3f}; Kolmogorov-Smirnov p = {z['kolmogorov_smirnov']['p_value']:.3g}",
        *warnings_of(result, "z"),
    ]
    lines += [
        f"z >= {r['sigma']:g}: {r['rate']:.4g}, expected {r['expected']:.4g}; ratio {r['ratio']:.2f}"
        f" [{r['low'] / r['expected']:.2f}, {r['high'] / r['expected']:.2f}]"
        + (
            f"; {r['rate_failures_are_none']:.4g} to {r['rate_failures_are_alarms']:.4g} with failures"
            if result["failed"]
            else ""
        )
        for r in result["false_alarms"]
    ]
    lines += toy_lines(result)
    lines.append(
        f"strength: true {strength['true']:g}, mean {' ± '.join(rounded(strength['mean'], strength['error_of_mean']))},"
        f" sd {strength['sd']:.3g}"
    )
    lines += [
        f"coverage at {c['level']:.0%}: {c['covered']:.3f} [{c['low']:.3f}, {c['high']:.3f}]"
        for c in result["coverage"]
    ]
    lines += warnings_of(result, "coverage")
    source = result.get("closure_of_source", {})
    for region, closed in result["closure"].items():
        constant, error = closed["constant"], closed["error_of_mean"]
        known = f"{constant:.3f}" if error is None else " ± ".join(rounded(constant, error))
        truth = "" if source.get(region) is None else f"; in the source, without fluctuations, {source[region]:.3f}"
        lines.append(f"c of {region}: {known}, sd of an experiment {closed['sd']:.3f}{truth}")
    if found := result.get("calibration"):
        lines.append(calibration_line(result["name"], found))
    lines.append(f"p values are extrapolated above z = {result['reach']:.1f}")
    return lines
