"""The study of an injected signal: the analysis and searches without its score, on the same pseudo-experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import write_json
from oddjets.io.event_table import JETS, Columns
from oddjets.io.studies import FOLDER, INJECTION, few_experiments, made_of
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.closure_uncertainty import ClosureUncertainty
from oddjets.study.choices import ChoiceEvents, share, source_warnings
from oddjets.study.events import Patterns
from oddjets.study.experiments import CHUNK, Experiments, run_chunks
from oddjets.study.injection import (
    FACTORS,
    bump_significance,
    describe_strength,
    injection_lines,
    signal_window,
    strength_for,
    strengths_about,
)
from oddjets.study.null import NullPlan, tested
from oddjets.study.shared_events import joined_truth
from oddjets.study.summary import read_chunks
from oddjets.study.supervised import CrossFitted, feature_stems
from oddjets.workflow.hold_out import with_signal
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages.workspace import measured_closure
from oddjets.workflow.study_events import SharedSource, StudyEvents, is_processed, require_current_tables

__all__ = ["InjectionOptions", "study_injection"]

Floats = npt.NDArray[np.float64]

#: the region of searches without the score: all events that pass the base selection
EVERYTHING = "everything"
#: scores of such searches; the analysis may have scores of the plain names, and other ones
TAU21, XBB, SUPERVISED = "alone_tau21", "alone_xbb", "alone_supervised"
#: the score of such a search -> what the result calls it
WITHOUT_AI = {TAU21: "tau21 alone", XBB: "X(bb) tagger", SUPERVISED: "classifier trained on this signal (bound)"}
BUMP = "bump in all events"
#: strengths that are all below this part of their error say nothing
LEAST_SEEN = 0.5


@dataclass(frozen=True)
class InjectionOptions:
    """The options of a study of an injected signal.

    Attributes:
        source: what QCD of the experiments is drawn from, as for choices.
        experiments: for each strength.
        strengths: to inject, and 0; empty: up to five times that of an expected significance of 3.
        seed: of all random numbers.
        workers: processes.
        bank: a file of `make_bank`; None: the events of the folder.
        luminosity: of an experiment, /pb; None: the analysis's.
        compare: whether other searches are made on the same experiments.
    """

    source: SharedSource = "mixed"
    experiments: int = 256
    strengths: tuple[float, ...] = ()
    seed: int = 1
    workers: int = 1
    bank: Path | None = None
    luminosity: float | None = None
    compare: bool = True


def _tau21(columns: Columns) -> Columns:
    found: Columns = {}
    for jet in JETS:
        one, two = (np.asarray(columns[f"tau{n}_{jet}"], np.float64) for n in (1, 2))
        # a jet with two prongs has a small ratio
        found[f"score_{TAU21}_{jet}"] = 1 - np.divide(two, one, out=np.ones(len(one)), where=one > 0)
    return found


def _xbb(columns: Columns) -> Columns:
    return {f"score_{XBB}_{jet}": np.nan_to_num(np.asarray(columns[f"xbb_{jet}"], np.float64)) for jet in JETS}


def _without_score(analysis: Analysis, score: str) -> Analysis:
    """Return the analysis with a score, in one region that holds all events."""
    assert analysis.fit is not None
    content = analysis.model_dump(exclude_unset=True)
    if score not in content["scores"]:
        content["scores"] = {**content["scores"], score: {"column": score}}
    content["threshold"] = {**content["threshold"], "score": score}
    content["regions"] = {**content["regions"], EVERYTHING: {"label": "all events"}}
    content["fit"] = {**content["fit"], "regions": [EVERYTHING], "abcd": "as-published", "closure_uncertainty": False}
    content["closure"] = None
    made = Analysis.model_validate(content)
    return made.model_copy(update={"path": analysis.path})


def study_injection(run: RunContext, options: InjectionOptions) -> dict[str, Any]:
    """Inject signals into experiments of an analysis, and write ``study/injection.json``.

    Args:
        run: the analysis and its folder.
        options: what is asked.

    Returns:
        What was written.

    Raises:
        OddjetsError: no fit, no signal in A, too few events, strengths that say nothing.
    """
    _, signal, _ = tested(run.analysis)
    if any(not (s >= 0 and np.isfinite(s)) for s in options.strengths):
        raise OddjetsError("--strength: a strength to inject is a number of at least 0")
    if options.bank is None and not is_processed(run):
        raise InputFileError(f"{run.out}: there are no event tables; run the analysis first, or give a --bank")
    require_current_tables(run)
    for line in few_experiments(options.experiments):
        console.print(escape(line))
    with run.lock():
        return _study(run, options, signal)


def _study(run: RunContext, options: InjectionOptions, signal: str) -> dict[str, Any]:
    # each is prepared before any is fitted, so that a mistake is said at once
    prepared = {
        name: _Signal.prepare(RunContext(with_signal(run.analysis, name), run.out), options, name)
        for name in (signal, *run.analysis.hold_out)
    }
    held = {name: one for name, one in prepared.items() if name != signal}
    found: dict[str, Any] = {
        "analysis": run.analysis.name,
        "of": made_of(run.out, INJECTION),
        "signal": signal,
        "source": options.source,
        "seed": options.seed,
        "luminosity_pb": prepared[signal].luminosity,
        "experiments": options.experiments,
        **prepared[signal].study(run.out / FOLDER / "injection", options),
        "hold_out": {name: one.study(run.out / FOLDER / "injection" / name, options) for name, one in held.items()},
    }
    every = [found, *found["hold_out"].values()]
    if all(of["for_3"] is None for one in every for of in one["methods"].values()) and options.strengths:
        console.print(escape("warning: no search reaches an expected 3 sigma with these strengths; give larger ones"))
    file = run.out / FOLDER / INJECTION
    write_json(file, found)
    for name, one in ((signal, found), *found["hold_out"].items()):
        apart = ", held out: no setting was chosen on it" if name in held else ""
        console.print(escape(f"injection of '{name}' into experiments of {found['luminosity_pb']:g} /pb{apart}:"))
        injection_lines(one, lambda line: console.print(escape(line)))
    console.print(escape(f"study: {file}"))
    return found


@dataclass(frozen=True)
class _Signal:
    """A signal and the searches for it.

    Attributes:
        signal: the process.
        methods: the events of each search, by its name.
        spectrum: the events of the search for a bump.
        strengths: to inject.
        luminosity: of an experiment, /pb.
    """

    signal: str
    methods: Mapping[str, ChoiceEvents]
    spectrum: ChoiceEvents
    strengths: Sequence[float]
    luminosity: float

    @classmethod
    def prepare(cls, run: RunContext, options: InjectionOptions, signal: str) -> _Signal:
        """Read the events of all searches for a signal, and find the strengths.

        Raises:
            OddjetsError: no signal in A, too few events, strengths that say nothing.
        """
        events = StudyEvents(run, options.bank, options.luminosity)
        methods = {"this analysis": _of(events, options, *measured_closure(run))}
        _require_events(methods["this analysis"], signal)
        strengths = _strengths(methods["this analysis"], options, signal)
        spectrum = methods["this analysis"]
        if options.compare:
            methods |= _others(events, options, signal)
            spectrum = _of(events.seen_by(_without_score(run.analysis, run.analysis.threshold.score), None), options)
        return cls(signal, methods, spectrum, strengths, events.luminosity)

    def study(self, folder: Path, options: InjectionOptions) -> dict[str, Any]:
        """Make the experiments of all strengths, and return what each search finds: ``strengths`` and ``methods``.

        Args:
            folder: where experiments are recorded.
            options: what is asked.
        """
        plan = _plan(options)
        rows: dict[str, list[dict[str, Any]]] = {}
        for strength in self.strengths:
            also = [_bump_places(self.spectrum, self.signal, strength)] if options.compare else []
            made, _ = share(self.methods, replace(plan, strength=strength), also)
            for name, experiments in made.items():
                own = folder / "".join(c if c.isalnum() else "_" for c in name)
                label = f"injection of {self.signal}: {name}, {strength:.3g}"
                read = read_chunks(
                    run_chunks(experiments, options.experiments, own, workers=options.workers, label=label)
                )
                rows.setdefault(name, []).append(describe_strength(strength, read["z"], read["strength"], read["pull"]))
            if options.compare:
                z = _bump(self.spectrum, self.signal, made["this analysis"], options.experiments, also[0])
                rows.setdefault(BUMP, []).append(describe_strength(strength, z))
        found: dict[str, Any] = {"strengths": list(self.strengths), "methods": {}}
        for name, of in rows.items():
            there = [row for row in of if "z" in row]
            medians = [row["z"]["median"] for row in there]
            injected = [row["injected"] for row in there]
            found["methods"][name] = {
                "strengths": of,
                "for_3": strength_for(3.0, injected, medians),
                "for_5": strength_for(5.0, injected, medians),
            }
        return found


def _plan(options: InjectionOptions) -> NullPlan:
    return NullPlan(options.experiments, seed=options.seed, limit=False)


def _of(
    events: StudyEvents,
    options: InjectionOptions,
    closure: Mapping[str, ClosureUncertainty] | None = None,
    structural: Mapping[str, StructuralFactor] | None = None,
) -> ChoiceEvents:
    """Return the events of one search, with the closure that its fit asks for."""
    return ChoiceEvents(events.analysis, *events.drawn(options.source, options.seed), closure, structural)


def _others(events: StudyEvents, options: InjectionOptions, signal: str) -> dict[str, ChoiceEvents]:
    """Return the searches that do not use the analysis's score, as far as the event tables have what they need."""
    qcd = str(events.analysis.data_driven)
    known = {process: list(events.tables_of(process)) for process in (signal, qcd)}
    every = [table for tables in known.values() for table in tables if len(table["event"])]
    ways: dict[str, Callable[[Columns], Columns]] = {TAU21: _tau21, XBB: _xbb}
    needed = {TAU21: ("tau1_1", "tau2_1"), XBB: ("xbb_1",)}
    for score, columns in needed.items():
        if any(name not in table or not np.isfinite(table[name]).any() for table in every for name in columns):
            del ways[score]
            console.print(
                escape(f"injection: without '{WITHOUT_AI[score]}': the event tables lack {', '.join(columns)}")
            )
    try:
        trained = CrossFitted(known[signal], known[qcd], feature_stems(every), options.seed)
        ways[SUPERVISED] = lambda columns: {f"score_{SUPERVISED}_{j}": s for j, s in trained.scores(columns).items()}
    except OddjetsError as error:
        console.print(escape(f"injection: without '{WITHOUT_AI[SUPERVISED]}': {error}"))
    found = {}
    for score, add in ways.items():
        seen = events.seen_by(_without_score(events.analysis, score), add)
        found[WITHOUT_AI[score]] = _of(seen, options)
    return found


def _strengths(choice: ChoiceEvents, options: InjectionOptions, signal: str) -> list[float]:
    """Return the strengths to inject: those that were asked for, or up to five times that with an expected 3 sigma.

    Raises:
        OddjetsError: the signal has no events in A; or all strengths are too small to be seen, or above the fit's bound.
    """
    made, notes = share({"": choice}, _plan(options))
    for line in source_warnings(notes["closure_of_source"]) if options.source == "mixed" else ():
        console.print(escape(line))
    experiments = made[""]
    _require_in_a(experiments, choice.analysis, signal)
    sigma = experiments.procedure(experiments.central).sigma
    name, *_ = tested(choice.analysis)
    assert choice.analysis.fit is not None
    high = next(poi.bounds[1] for poi in choice.analysis.fit.pois if poi.name == name)
    given = sorted(set(options.strengths))
    about = f"the strength of '{signal}' has an error of {sigma:.3g} without signal"
    if given and given[-1] < LEAST_SEEN * sigma:
        raise OddjetsError(
            f"--strength: {given[-1]:g} at most says nothing, since {about}; an expected 3 sigma needs about {3 * sigma:.3g}"
        )
    if given and given[-1] > high:
        raise OddjetsError(
            f"--strength: {given[-1]:g} is above the upper bound of the fit, {high:g}; give smaller ones, or raise"
            " fit.poi.bounds"
        )
    if not given and high < 3 * sigma:
        raise OddjetsError(
            f"no strength within the bounds of the fit would be seen: {about}, and its upper bound is {high:g}; raise"
            " fit.poi.bounds, or take more luminosity"
        )
    # without 0 nothing says where an expected significance begins
    strengths = sorted({0.0, *given}) if given else strengths_about(sigma, FACTORS)
    within = [strength for strength in strengths if strength <= high]
    if len(within) < len(strengths):
        console.print(escape(f"injection: strengths above the upper bound of the fit, {high:g}, are left out"))
    return within


def _require_events(choice: ChoiceEvents, signal: str) -> None:
    """Refuse a signal of which nothing reaches the regions of the fit.

    Raises:
        OddjetsError: no event of it is in a bin of a region.
    """
    parts = [e for e in choice.truth if e.process == signal and "nominal" in e.variations]
    if not sum(float(e.nominal[e.codes > 0].sum()) for e in parts) > 0:
        raise OddjetsError(
            f"no event of '{signal}' is in a region of the fit, so that no strength of it can be seen; simulate more of it, or"
            " fit other regions"
        )


def _require_in_a(experiments: Experiments, analysis: Analysis, signal: str) -> None:
    """Refuse a signal of which no event is in A.

    Raises:
        OddjetsError: none has both scores above the threshold in a region of the fit.
    """
    channels = experiments.workspaces[experiments.central]["channels"]
    of_signal = [s for c in channels if c["name"].endswith("_A") for s in c["samples"] if s["name"] == signal]
    if not sum(sum(sample["data"]) for sample in of_signal) > 0:
        assert analysis.fit is not None
        raise OddjetsError(
            f"no event of '{signal}' has both scores above the threshold in {', '.join(analysis.fit.regions)}: it has none in"
            " A, and no strength of it can be seen; use a looser threshold, another score, or simulate more of it"
        )


def _bump_places(spectrum: ChoiceEvents, signal: str, strength: float) -> npt.NDArray[np.int64]:
    """Return the bin of the spectrum of each event of the experiments, -1 for none, (n,).

    Args:
        spectrum: the events in one region that holds all of them.
        signal: is in the experiments if the strength is not 0.
        strength: of the signal.
    """
    bins = len(Patterns.from_analysis(spectrum.analysis).edges[EVERYTHING]) - 1
    present = [e for e in joined_truth(spectrum.truth) if strength or e.process != signal]
    codes = np.concatenate([e.codes for e in present])
    # 0 is in no region, 1 below the first bin
    return np.where((codes >= 2) & (codes < bins + 2), codes - 2, -1)


def _bump(
    spectrum: ChoiceEvents, signal: str, experiments: Experiments, number: int, places: npt.NDArray[np.int64]
) -> Floats:
    """Return z of a bump in the observable's spectrum of all events, of the same experiments, (E,).

    Args:
        spectrum: the events in one region that holds all of them.
        signal: the process whose bins are the window.
        experiments: of another search.
        number: how many, E.
        places: of `_bump_places`.
    """
    assert experiments.shared is not None
    edges = Patterns.from_analysis(spectrum.analysis).edges[EVERYTHING]
    bins = len(edges) - 1
    of_signal = [e for e in joined_truth(spectrum.truth) if e.process == signal]
    expected = np.sum([np.bincount(np.clip(e.codes - 1, 0, bins + 1), e.nominal, bins + 2) for e in of_signal], axis=0)
    window = signal_window(np.maximum(expected[1:-1], 0.0))
    shared, found = experiments.shared.counted_in(places), []
    for chunk, first in enumerate(range(0, number, CHUNK)):
        # the random numbers of `Experiments.chunk`: the same events
        seeds = np.random.SeedSequence(experiments.seed, spawn_key=(experiments.number, chunk))
        _, counts = shared.counts(min(CHUNK, number - first), bins, np.random.default_rng(seeds))
        found.append(bump_significance(counts, edges, window))
    return np.concatenate(found)
