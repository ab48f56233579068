"""The studies of full_scale.py: from a joined sample to one JSON, section by section; finished sections are kept."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from full_scale_closure import closure, sculpting, structural_of
from full_scale_sample import EFFICIENCY, PAPER, SET_UPS, TREATMENTS, Sample, Settings, each
from scipy.stats import norm

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.histograms import DATA as DATA_NAME
from oddjets.stats import workspace
from oddjets.stats.histfactory.results import Data
from oddjets.stats.summary import fit_workspace
from oddjets.study import null
from oddjets.study.calibration import binomial_interval
from oddjets.study.choices import describe_choices, run_choices, share
from oddjets.study.events import EventArrays, Patterns
from oddjets.study.global_significance import copula_tail
from oddjets.study.independence import classes_of
from oddjets.study.procedure import Procedure, Questions
from oddjets.study.thresholds import ThresholdGrid, letter_sums, templates_at

Floats = npt.NDArray[np.float64]

#: the paper's largest local significance
PAPERS_Z = 4.11
#: experiments with a z above it are listed
LARGE = 3.0


def study(file: Path, out: Path, settings: Settings) -> dict[str, Any]:
    """Make the sections that are asked for, and write each when it is done.

    Raises:
        OddjetsError: an unknown section, or results of another sample.
    """
    if unknown := [name for name in settings.only if name not in SECTIONS]:
        raise OddjetsError(f"--only: no section '{unknown[0]}'; there are {', '.join(SECTIONS)}")
    sample = Sample.open(file, settings.scores)
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
        known = {k: v for k, v in asdict(settings).items() if k not in ("only", "workers", "scores")}
        result.setdefault("made", {})[name] = {"seconds": round(time.perf_counter() - started, 1), "settings": known}
        write_json(out, result)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    return result


# ---- the pseudo-data -------------------------------------------------------------------------------------------------


def observed(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fits of the pseudo-data: set-up, score -> treatment -> z, strength, goodness of fit, yields in A."""
    cases = [(u, s, t) for u in SET_UPS for s in sample.scores for t in TREATMENTS]
    found: dict[str, Any] = {}
    for (set_up, score, treatment), fitted in zip(cases, each(_fit, cases, sample, settings, result), strict=True):
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
    (yields,) = templates_at(analysis, [*templates, *sample.qcd(analysis)], grid, {})
    seen = np.sum([letter_sums(e, patterns, grid)[NOMINAL][0] for e in data], axis=0)
    for region, start in patterns.starts.items():
        here = slice(start, start + len(patterns.edges[region]) - 1)
        yields.contents[region, DATA_NAME, NOMINAL] = seen[:, :, here]  # type: ignore[index]
    factors = structural_of(result, score, analysis.fit.regions) if treatment == "structural" else None
    built, report = workspace.build(analysis, yields, None, factors)
    poi = null.tested(analysis)[0]
    fitted = fit_workspace(
        built, poi=poi, limit=False, impacts=False, scan=False, progress=False, report=report,
        gof_toys=settings.toys, gof_letters=("A",), seed=settings.seed,
    )  # fmt: skip
    strength = next(p for p in fitted["pois"] if p["name"] == poi)
    significance = fitted.get("significance") or {}
    # the analysis's own fit ends at a strength of 0; below it stands what pseudo-experiments have
    batch = _batch_z(built, poi)
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
        "signed_z": significance.get("z") or min(batch or 0.0, 0.0),
        "batch_z": batch,
        "deciding_events": significance.get("deciding_events"),
        "strength": strength["value"],
        "error": strength["error"],
        "gof": {key: gof.get(key) for key in ("statistic", "p_value", "toys")},
        "edges": {region: edges.tolist() for region, edges in patterns.edges.items()},
        "in_A": in_a,
    }


def _batch_z(built: Mapping[str, Any], poi: str) -> float | None:
    """Return z of the data as pseudo-experiments get it: with the sign of the strength, which may be negative here.

    Returns:
        None where the fit fails.
    """
    procedure = Procedure(built, Questions(poi, limit=False))
    seen = procedure.model.data
    (z,) = procedure.answer(Data(np.atleast_2d(seen.main), np.atleast_2d(seen.aux))).z
    return float(z) if np.isfinite(z) else None


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
    kept = [
        "experiments",
        "failed",
        "z",
        "false_alarms",
        "strength",
        "coverage",
        "goodness_of_fit",
        "closure",
        "events",
    ]
    kept += ["closure_of_source", "bank_over_experiment"]
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
    for (case, source), made in zip(tasks, each(_null, tasks, sample, settings, result), strict=True):
        found.setdefault(source, {})[" / ".join(case)] = made
    return found


def choices(sample: Sample, settings: Settings, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return how z of choices belong together on the same experiments, and how often one of them is as large as 4.11."""
    paper = [(u, s, "as-published") for u, s in PAPER[1:] if s in sample.scores]
    others = [(u, s, "as-published") for u in ("split", "split, b tag") for s in sample.scores]
    treated = [(u, s, t) for u, s in PAPER[1:] if s in sample.scores for t in TREATMENTS[1:]]
    lists = {"paper": paper, "trainings": [c for c in others if c[1].startswith(("team", "omni"))]}
    every = list(dict.fromkeys([*paper, *others, *treated]))
    plan = null.NullPlan(settings.experiments, seed=settings.seed)
    lazily: dict[str, Any] = {" / ".join(case): Choice(sample, settings, result, case) for case in every}
    prepared, about = share(lazily, plan)
    notes: dict[str, Any] = {key: about[key] for key in ("events", "expected_events", "closure_of_source")}
    names = list(prepared)
    made = each(_experiments, [(name,) for name in names], sample, settings, prepared)
    failed = notes["failed"] = {n: found["failed"] for n, found in zip(names, made, strict=True) if "failed" in found}
    z: dict[str, Floats] = {n: found["z"] for n, found in zip(names, made, strict=True) if n not in failed}
    # what is this large deserves to be looked at one by one
    notes["large"] = [
        {"choice": name, "experiment": int(k), "z": float(values[k]), "strength": float(found["strength"][k])}
        for name, found in zip(names, made, strict=True)
        if name not in failed
        for values in (found["z"],)
        for k in np.flatnonzero(values >= LARGE)
    ]
    lists["all"] = [c for c in every if " / ".join(c) in z]
    for label, cases in lists.items():
        own = {name: z[name] for case in cases if (name := " / ".join(case)) in z}
        try:
            notes[label] = _describe(own, result, settings)
        except OddjetsError as error:
            notes[label] = {"failed": str(error)}
    return notes


class Choice:
    """A choice as `share` takes it, whose events are read when they are asked for, and not kept."""

    closure = None

    def __init__(
        self, sample: Sample, settings: Settings, result: Mapping[str, Any], case: tuple[str, str, str]
    ) -> None:
        set_up, score, treatment = case
        self.analysis = sample.analysis(set_up, score, treatment)
        assert self.analysis.fit is not None
        self.structural = structural_of(result, score, self.analysis.fit.regions) if treatment == "structural" else None
        self._of = (sample, settings)

    @property
    def templates(self) -> list[EventArrays]:
        """All events but the data-driven process."""
        return self._of[0].templates(self.analysis)

    @property
    def truth(self) -> list[EventArrays]:
        """The same, and pairs of QCD jets."""
        return [*self.templates, *self._of[0].mixed(self.analysis, self._of[1].seed)]


def _experiments(sample: Sample, settings: Settings, prepared: Mapping[str, Any], name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return run_choices({name: prepared[name]}, settings.experiments, Path(folder))[name]


def _describe(z: Mapping[str, Floats], result: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    seen = {}
    for name in z:
        set_up, score, treatment = name.split(" / ")
        fitted = result.get("observed", {}).get(f"{set_up} / {score}", {}).get("treatments", {}).get(treatment, {})
        if fitted.get("signed_z") is not None:
            seen[name] = float(fitted["signed_z"])
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
    """Return experiments with HH in them, mixed QCD: set-up, score and treatment -> strength -> what the fit finds."""
    fewer = Settings(**{**asdict(settings), "experiments": max(settings.experiments // 4, 20)})
    cases = [("split", score, "as-published") for score in ("omnilearned", "team", "labelled", "xbb")]
    cases += [("split, b tag", "omnilearned", treatment) for treatment in ("as-published", "cells")]
    tasks = [(case, "mixed", strength) for case in cases if case[1] in sample.scores for strength in settings.strengths]
    found: dict[str, Any] = {}
    for (case, _, strength), made in zip(tasks, each(_null, tasks, sample, fewer, result), strict=True):
        found.setdefault(" / ".join(case), {})[f"{strength:g}"] = made
    return found


SECTIONS: dict[str, Callable[[Sample, Settings, Mapping[str, Any]], dict[str, Any]]] = {
    "closure": closure,
    "observed": observed,
    "sculpting": sculpting,
    "choices": choices,
    "nulls": nulls,
    "injection": injection,
}
