"""Several choices of an analysis on the same pseudo-experiments: how their significances are correlated, and what one is worth.

Nothing is said of choices that are not in the list, and none of those that a person would have made after seeing other data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.closure_uncertainty import ClosureUncertainty
from oddjets.study.events import EventArrays
from oddjets.study.experiments import Experiments, run_chunks
from oddjets.study.global_significance import copula_tail, effective_trials, global_p, normal_scores
from oddjets.study.null import NullPlan, of_events, tested
from oddjets.study.rates import closure_of
from oddjets.study.shared_events import SharedEvents, counted_alike, joined_truth, places_in, without_negative
from oddjets.study.summary import read_chunks

__all__ = [
    "ChoiceEvents",
    "absent_signals",
    "describe_choices",
    "run_choices",
    "say_choices",
    "share",
    "source_warnings",
]

Floats = npt.NDArray[np.float64]

#: local significances that trials are told at
SIGMAS = (1.0, 1.5, 2.0, 2.5, 3.0)
#: the bins of the largest z of an experiment
LARGEST_EDGES = np.linspace(-2.0, 6.0, 41)
#: a constant of the source that is further from 1 moves z by half of its width where some hundred events are in A
MOST_OFF = 0.05
#: fewer complete experiments say nothing of a correlation
LEAST_COMPLETE = 20


@dataclass(frozen=True)
class ChoiceEvents:
    """A choice and its events.

    Attributes:
        analysis: of the choice.
        templates: events of all processes, for its templates.
        truth: events of all processes, for the experiments.
        closure: as for `workspace.build`.
        structural: as for `workspace.build`.
    """

    analysis: Analysis
    templates: Sequence[EventArrays]
    truth: Sequence[EventArrays]
    closure: Mapping[str, ClosureUncertainty] | None = None
    structural: Mapping[str, StructuralFactor] | None = None


def absent_signals(choices: Mapping[str, Analysis]) -> dict[str, str]:
    """Return the processes that the experiments have none of: process -> the first choice that tests its strength.

    Raises:
        OddjetsError: a choice has no fit, or no strength of a process.
    """
    found: dict[str, str] = {}
    for name, analysis in choices.items():
        try:
            found.setdefault(tested(analysis)[1], name)
        except OddjetsError as error:
            raise OddjetsError(f"choice '{name}': {error}") from None
    return found


def share(
    choices: Mapping[str, ChoiceEvents], plan: NullPlan, also: Sequence[npt.NDArray[np.int64]] = ()
) -> tuple[dict[str, Experiments], dict[str, Any]]:
    """Prepare the same experiments for all choices.

    The experiments have none of the signals that any choice tests, or ``plan.strength`` of the one that all of them test.
    Auxiliary measurements of nuisance parameters that choices have in common are the same too.

    Args:
        choices: with the events of the same base selection.
        plan: how many experiments; neither limits, toys, other truths nor templates of their own are made.
        also: where else each event of the experiments is going to be counted (see `SharedEvents.counted_in`), (n,) each.

    Returns:
        The experiments of each choice, and what there is to tell: ``absent``, ``events``, ``negative_events``, and
        ``closure_of_source``: choice -> region -> the constant of what is expected without fluctuations, None for none.

    Raises:
        OddjetsError: the choices do not have the same events, or one cannot be prepared; the message names it. Or a signal is
            to be there, and they test several.
    """
    absent = absent_signals({name: choice.analysis for name, choice in choices.items()})
    if plan.strength and len(absent) > 1:
        raise OddjetsError(
            f"the choices test the strengths of {', '.join(sorted(absent))}, so that none of these can be injected for all of"
            " them"
        )
    plain = replace(plan, nuisances=(), closures={}, limit=False, toys=0, bootstrap=False, tail=0)
    prepared: dict[str, Experiments] = {}
    places: dict[str, npt.NDArray[np.int64]] = {}
    closed: dict[str, dict[str, float | None]] = {}
    same = _SameEvents()
    for name, choice in choices.items():
        signal, hidden = tested(choice.analysis)[1], set(absent)
        truth = [e for e in choice.truth if e.process not in hidden or e.process == signal]
        try:
            study = of_events(
                choice.analysis,
                "simulation",
                plain,
                choice.templates,
                truth,
                closure=choice.closure,
                structural=choice.structural,
            )
        except OddjetsError as error:
            raise OddjetsError(f"choice '{name}': {error}") from None
        one = prepared[name] = study.truths["nominal"]
        present = [e for e in joined_truth(truth) if plan.strength or e.process not in hidden]
        same.add(name, choice.analysis, present, dict.fromkeys(absent, plan.strength))
        assert one.rates is not None
        constants = closure_of(one.rates, one.patterns)[one.central]
        closed[name] = dict(zip(one.patterns.starts, map(_or_none, constants.tolist()), strict=True))
        places[name] = places_in(one.rates, one.grid, one.entries, present)
    qcd = same.qcd
    rates, negative = without_negative(same.rates, qcd, list(places.values()))
    notes = {
        "absent": [] if plan.strength else sorted(absent),
        "events": len(rates),
        "expected_events": float(rates.sum()),
        "negative_events": negative,
        "closure_of_source": closed,
    }
    firsts, group = counted_alike(qcd, [*places.values(), *also])
    rates = np.bincount(group, rates).astype(np.float64)
    made = {
        name: replace(x, shared=SharedEvents(rates, qcd[firsts], places[name][firsts], firsts))
        for name, x in prepared.items()
    }
    return made, notes


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None


def source_warnings(closed: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """Return a warning for each choice whose experiments are of pairs of jets that do not close, which moves its z.

    Args:
        closed: ``closure_of_source`` of `share`.
    """
    found = []
    for name, regions in closed.items():
        off = {region: c for region, c in regions.items() if c is not None and abs(c - 1) > MOST_OFF}
        if off:
            of = f" of '{name}'" if name else ""
            found.append(
                f"warning: the pairs of jets that experiments{of} are drawn from have c = "
                + ", ".join(f"{c:.2f} in {region}" for region, c in off.items())
                + ", so that z is not 0 on average without signal: too few simulated events (use a --bank), or a union"
            )
    return found


class _SameEvents:
    """The events of the first choice, which all others must have too; those of a choice are not kept.

    Attributes:
        rates: expected number of each event in an experiment, (n,).
        qcd: whether it is of the data-driven process, (n,).
    """

    def __init__(self) -> None:
        self.rates: Floats = np.empty(0)
        self.qcd: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._rows: npt.NDArray[Any] = np.empty(0)
        self._process: npt.NDArray[Any] = np.empty(0)
        self._first: str | None = None
        self._data_driven: str | None = None

    def add(self, name: str, analysis: Analysis, present: Sequence[EventArrays], injected: Mapping[str, float]) -> None:
        """Take the events of the first choice, or compare those of another.

        Raises:
            OddjetsError: two choices differ in their events, in the data-driven process, or in what another strength is.
        """
        strengths = {**tested(analysis)[2], **injected}
        rates = np.concatenate([e.nominal * strengths.get(e.process, 1.0) for e in present])
        rows = np.concatenate([e.rows for e in present])
        process = np.concatenate([np.repeat(e.process, len(e)) for e in present])
        if self._first is None:
            self._first, self._data_driven = name, analysis.data_driven
            self.rates, self._rows, self._process = rates, rows, process
            self.qcd = np.asarray(process == analysis.data_driven)
            return
        same = len(rows) == len(self._rows) and bool(np.all(rows == self._rows) and np.all(process == self._process))
        if not same:
            raise OddjetsError(
                f"the choices '{self._first}' and '{name}' do not share their events: {len(self._rows)} and {len(rows)} pass"
                " the base selection; choices differ in what comes after it (score, threshold, regions, observable, signal)"
            )
        if analysis.data_driven != self._data_driven:
            raise OddjetsError(
                f"the choices '{self._first}' and '{name}' estimate other processes from data: {self._data_driven} and"
                f" {analysis.data_driven}"
            )
        if not np.allclose(rates, self.rates, rtol=1e-9):
            raise OddjetsError(
                f"the choices '{self._first}' and '{name}' have other weights or strengths of the same events (fit.poi,"
                " luminosity, template_scale), so that no experiment is right for both"
            )


def run_choices(
    experiments: Mapping[str, Experiments], number: int, folder: Path, *, workers: int = 1
) -> dict[str, dict[str, Floats]]:
    """Make the experiments of every choice, and return what `summary.read_chunks` reads, by choice.

    Args:
        experiments: of `share`.
        number: how many.
        folder: where chunks are recorded; experiments that are there are not made again.
        workers: processes.
    """
    return {
        name: read_chunks(run_chunks(one, number, folder, workers=workers, label=f"choices: {name}"))
        for name, one in experiments.items()
    }


def describe_choices(
    z: Mapping[str, Floats], observed: Mapping[str, float] | None = None, seed: int = 1
) -> dict[str, Any]:
    """Return what the significances of the same experiments say of each other.

    Args:
        z: signed, of every choice, NaN where a fit failed, shape (E,) each.
        observed: z of the data by choice; those that are missing have none.
        seed: of the integration of the copula.

    Returns:
        ``choices``, ``correlation`` (of normal scores), ``trials``, ``largest`` (the largest normal score of an experiment),
        and with observed ones of every choice ``global``.

    Raises:
        OddjetsError: too few experiments are complete.
    """
    names = list(z)
    every = np.stack([z[name] for name in names], axis=1)
    complete = np.isfinite(every).all(axis=1)
    good = every[complete]
    if len(good) < LEAST_COMPLETE:
        worst = max(names, key=lambda name: int((~np.isfinite(z[name])).sum()))
        raise OddjetsError(
            f"the fits of all choices converged in {len(good)} of {len(every)} experiments, too few to compare them; most"
            f" failed in '{worst}': use a looser threshold or fewer bins there, or leave this choice out"
        )
    scores = normal_scores(good)
    moving = scores.std(axis=0) > 0
    correlation = np.eye(len(names))
    correlation[np.ix_(moving, moving)] = np.corrcoef(scores[:, moving], rowvar=False).reshape(2 * (int(moving.sum()),))
    result: dict[str, Any] = {
        "experiments": len(every),
        "complete": len(good),
        "choices": {
            name: {
                "failed": int((~np.isfinite(z[name])).sum()),
                "mean_z": float(good[:, i].mean()),
                "sd_z": float(good[:, i].std()),
            }
            for i, name in enumerate(names)
        },
        "correlation": correlation.tolist(),
        "trials": effective_trials(good, SIGMAS),
        "largest": {
            "edges": LARGEST_EDGES.tolist(),
            "counts": np.histogram(scores.max(axis=1), LARGEST_EDGES)[0].tolist(),
        },
    }
    for row in result["trials"]:
        row["copula_p"] = copula_tail(correlation, row["sigma"], seed=seed).p
        row["independent_p"] = float(-np.expm1(len(names) * norm.logsf(-row["sigma"])))
    known = {name: float(value) for name, value in (observed or {}).items() if np.isfinite(value)}
    for name, value in known.items():
        result["choices"][name]["observed_z"] = value
    if len(known) == len(names):
        result["global"] = _global(good, np.array([known[name] for name in names]), names, correlation, seed)
    return result


def _global(good: Floats, observed: Floats, names: Sequence[str], correlation: Floats, seed: int) -> dict[str, Any]:
    """Return the global p of what was observed: counted, and by the copula."""
    found = global_p(good, observed)
    # a z beyond all experiments is moved and stretched to the mean and the width of its choice's z; an extrapolation makes no
    # result more significant than its formula says, and nothing that was counted, their largest, less
    width = good.std(axis=0)
    stretched = np.minimum((observed - good.mean(axis=0)) / np.where(width > 0, width, 1.0), observed)
    local = np.array(found["local_p"])
    beyond = (good >= observed).sum(axis=0) == 0
    ranked = norm.isf(local)
    calibrated = np.where(beyond, np.maximum(stretched, ranked), ranked)
    largest = int(calibrated.argmax())
    tail = copula_tail(correlation, float(calibrated[largest]), seed=seed)
    return found | {
        "choice": names[largest],
        "observed_z": float(observed[largest]),
        "local_z": float(calibrated[largest]),
        "local_z_extrapolated": bool(beyond[largest]),
        # no rank is smaller than that of the largest experiment: what is counted is an upper bound
        "saturated": bool(beyond[found["smallest"]]),
        "copula": tail._asdict() | {"extrapolated": True},
        "z": None if found["p_value"] is None else float(norm.isf(found["p_value"])),
    }


def say_choices(result: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Tell what `describe_choices` found.

    Args:
        result: what it returned.
        say: gets lines.
    """
    number = len(result["choices"])
    say(
        f"choices: {number}, {result['complete']} experiments without signal in which all fits converged, of"
        f" {result['experiments']}"
    )
    for name, found in result["choices"].items():
        observed = f", observed {found['observed_z']:.2f}" if "observed_z" in found else ""
        failed = f", {found['failed']} fits failed" if found["failed"] else ""
        say(f"  {name}: mean z {found['mean_z']:.2f}, sd {found['sd_z']:.2f}{observed}{failed}")
    for row in result["trials"]:
        if row["trials"] is None:
            say(
                f"  {row['sigma']:g} sigma: no experiment is as large; {row['copula_p']:.2g} by the copula, an extrapolation"
            )
            continue
        say(
            f"  {row['sigma']:g} sigma somewhere: p {row['global_p']:.3g}, as of {row['trials']:.1f} independent choices"
            f" [{row['trials_low']:.1f}, {row['trials_high']:.1f}]; by the copula {row['copula_p']:.3g}"
        )
    if "global" in result:
        found = result["global"]
        counted = "not counted"
        if found["bound"] is not None:
            counted = f"p < {found['bound']['p_below']:.2g} at 95 % by counting"
        elif found["p_value"] is not None:
            counted = f"p {'below ' if found['saturated'] else ''}{found['p_value']:.3g} by counting"
        beyond = ", an extrapolation" if found["local_z_extrapolated"] else ""
        say(
            f"  observed: largest in '{found['choice']}', z {found['observed_z']:.2f}, local z {found['local_z']:.2f}{beyond};"
            f" anywhere: {counted}, {found['copula']['p']:.2g} (z {found['copula']['z']:.2f}) by the copula, an extrapolation"
        )
