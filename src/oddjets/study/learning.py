"""Experiments in which a score is learnt anew from the events of each: what it gains, what it costs, and whether ABCD holds.

An experiment is what an analysis sees: events of all processes without their truth. The score is learnt from them as
`oddjets learn` does, in folds by event, and multiplied with the seed (product of tail probabilities). Then truth is used: the
events of the data-driven process are the background, and simulated events of the signal that are not in the experiment test the
separation. The analysis is fitted with the seed and with the product, each with its own threshold.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core import provenance
from oddjets.core.code_digests import code_sha256
from oddjets.core.console import progress
from oddjets.core.errors import OddjetsError
from oddjets.core.worker_pool import run_tasks
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.combined_scores import Combination, TailProbability
from oddjets.io.histograms import DATA
from oddjets.learning.boosted import BoostedTrainer
from oddjets.learning.evidence import Evidence, evidence_of
from oddjets.learning.folded import FoldedScore
from oddjets.learning.folds import event_hash, fold_of
from oddjets.learning.labels import MassLabelWarning, mass_window, pt_edges_of, tag_n_train
from oddjets.selection.histogramming import threshold_from
from oddjets.stats import workspace
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.closure_uncertainty import ClosureUncertainty
from oddjets.stats.histfactory.results import Data
from oddjets.stats.score_comparison import area_under_curve, find_cuts, improvement
from oddjets.study.events import EventArrays, Patterns
from oddjets.study.learning_chunk import LearningChunk
from oddjets.study.learning_events import DrawnEvents, LearningSource
from oddjets.study.procedure import Answers, Procedure, Questions, bins_of_cells
from oddjets.study.sculpting import divergence_of
from oddjets.study.thresholds import ThresholdGrid, letter_sums, templates_at

__all__ = ["EVIDENCE", "FITTED", "SCORES", "LearningExperiments", "LearningPlan", "run_learning"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: the scores that are compared, and those with which the analysis is fitted; in ``equal``, a product too, the learnt score has
#: the weight 1 whatever it learnt
SCORES, FITTED = ("seed", "learnt", "product", "equal"), ("seed", "product")
#: of an experiment, see `oddjets.learning.evidence.Evidence`
EVIDENCE = ("weight", "n_sigma")
#: of the background, at which the significance improvement is stated
FRACTION = 0.01
#: experiments in a file
CHUNK = 2
#: bins of the soft-drop mass for the divergence of background that passes from what fails, GeV
MASS_EDGES = np.linspace(60.0, 240.0, 10)


@dataclass(frozen=True)
class LearningPlan:
    """The way in which scores are learnt in experiments.

    Attributes:
        seed: of all random numbers.
        folds: of the events.
        members: trainings of each fold.
        high: quantile of the other jet's seed score at and above which a jet is signal-like.
        low: at and below which it is background-like.
        window: of the other jet's soft-drop mass, GeV: label by it and not by the seed; empty: by the seed.
        sidebands: lower and upper ends of the side bands of a window, GeV.
    """

    seed: int = 1
    folds: int = 5
    members: int = 1
    high: float = 0.95
    low: float = 0.80
    window: tuple[float, ...] = ()
    sidebands: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class _Learnt:
    """The scores of an experiment.

    Attributes:
        folds: of the events, (n,).
        evidence: that anything was learnt.
        of_data: score -> of both jets of each event, (n, 2).
        of_signal: score -> of events of the signal that are not in the experiment, scored as data are, (m, 2).
        of_pool: score -> of jets of the templates, by their place in the pool, (jets,); NaN of others.
    """

    folds: npt.NDArray[np.int8]
    evidence: Evidence
    of_data: Mapping[str, Floats]
    of_signal: Mapping[str, Floats]
    of_pool: Mapping[str, Floats]


@dataclass(frozen=True)
class LearningExperiments:
    """Experiments of one signal; can be pickled.

    Attributes:
        analysis: the analysis, whose threshold's score is the seed.
        source: what is drawn from.
        plan: how scores are learnt.
        poi: the strength of the signal.
        fitted: whether the analysis is fitted in each experiment.
        closure: as for `workspace.build`.
        structural: likewise.
    """

    analysis: Analysis
    source: LearningSource
    plan: LearningPlan
    poi: str
    fitted: bool = True
    closure: Mapping[str, ClosureUncertainty] | None = None
    structural: Mapping[str, StructuralFactor] | None = None

    @cached_property
    def key(self) -> str:
        """A hash of everything that the results depend on, but for strengths and numbers of experiments."""
        digest, source = hashlib.sha256(), self.source
        pool = source.pool
        for array in (pool.features, pool.seed, pool.pt, pool.mass):
            digest.update(np.ascontiguousarray(array).tobytes())
        for events in (*source.truth, *source.templates):
            for part in (events.codes, events.scores, events.weights):
                digest.update(np.ascontiguousarray(part).tobytes())
        assert self.analysis.fit is not None
        fit = self.analysis.fit
        plain: list[Any] = [
            asdict(self.plan),
            source.signal,
            source.processes,
            dict(source.strengths),
            self.poi,
            self.fitted,
        ]
        plain += [self.analysis.threshold.model_dump(mode="json"), fit.model_dump(mode="json")]
        plain += [[s.model_dump(mode="json") for s in self.analysis.systematics]]
        plain += [{r: c._asdict() for r, c in (known or {}).items()} for known in (self.closure, self.structural)]
        digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
        code = code_sha256(__name__)
        return provenance.content_key({"study": digest.hexdigest(), "code": code, "versions": provenance.versions()})

    def experiment(self, strength: float, number: int) -> dict[str, float]:
        """Make one experiment.

        Experiments of the same number and other strengths have the same events of all processes but the signal, in the same
        folds.

        Args:
            strength: of the signal.
            number: of the experiment; all random numbers depend on it.

        Returns:
            By score: ``sic`` at 1 % of background, ``auc`` of single jets, ``in_a``, ``predicted`` (B C / (D + 1)) and
            ``permuted`` (what A is on average if jets are exchanged inside folds) of the background, ``sculpting`` (see
            `divergence_of`, bits by which it is larger than by chance); ``z``, ``strength`` and ``pull`` of the fits, if
            there are any; ``events`` and ``injected``; `EVIDENCE` that anything was learnt.

        Raises:
            OddjetsError: too few events for a training, or for a threshold.
        """
        seeds = [np.random.SeedSequence(self.plan.seed, spawn_key=(number, part)) for part in range(4)]
        background, injected, auxiliary = (np.random.default_rng(seed) for seed in seeds[:3])
        drawn = self.source.draw(strength, background, injected)
        templates, signal = self.source.held_out(drawn)
        learnt = self._learn(drawn, signal, number, int(seeds[3].generate_state(1)[0]))
        of_qcd = drawn.process == self.source.processes.index(self.source.qcd)
        is_signal = drawn.process == self.source.processes.index(self.source.signal)
        found = {"events": float(len(drawn.row)), "injected": float(is_signal.sum())}
        found |= {name: float(getattr(learnt.evidence, name)) for name in EVIDENCE}
        thrown = int(auxiliary.integers(2**32))
        for name in SCORES:
            scores = learnt.of_data[name]
            cut = threshold_from(self.analysis, scores.min(axis=1)).value
            found |= {f"{key}_{name}": value for key, value in self._separation(name, learnt, of_qcd, signal).items()}
            passes = self._passes(scores, cut)
            found |= {f"{key}_{name}": v for key, v in _closure(passes[of_qcd], learnt.folds[of_qcd]).items()}
            mass = self.source.pool.mass[drawn.jets[of_qcd]].ravel()
            sculpted = divergence_of(mass, passes[of_qcd].ravel(), np.ones(len(mass)), MASS_EDGES)["excess"]
            found[f"sculpting_{name}"] = np.nan if sculpted is None else sculpted
            if self.fitted and name in FITTED:
                # both fits have the same auxiliary measurements
                rng = np.random.default_rng(thrown)
                answers = self._fit(drawn, scores, templates, learnt.of_pool[name], cut, strength, rng)
                found |= {f"{key}_{name}": float(getattr(answers, key)[0]) for key in ("z", "strength", "pull")}
        return found

    def _passes(self, scores: Floats, cut: float) -> npt.NDArray[np.bool_]:
        passing = np.greater if self.analysis.threshold.strict else np.greater_equal
        return np.asarray(passing(scores, cut))

    def _labels(self, jets: Ints) -> npt.NDArray[np.int8]:
        pool, plan = self.source.pool, self.plan
        if plan.window:
            low, high = plan.window
            with warnings.catch_warnings():
                # said once, by whoever asks for it
                warnings.simplefilter("ignore", MassLabelWarning)
                return mass_window(pool.mass[jets], (low, high), plan.sidebands)
        return tag_n_train(pool.seed[jets], pool.pt[jets], pt_edges_of(pool.pt[jets]), plan.high, plan.low)

    def _learn(self, drawn: DrawnEvents, signal: EventArrays, number: int, seed: int) -> _Learnt:
        """Learn a score from an experiment, and score its events, the signal that is not in it, and the templates."""
        pool, plan = self.source.pool, self.plan
        folds = self._folds(number, drawn.process, drawn.row)
        features, labels = pool.features[drawn.jets], self._labels(drawn.jets)
        trained = FoldedScore.train(
            features,
            folds,
            BoostedTrainer(members=plan.members),
            labels,
            n_folds=plan.folds,
            seed=seed,
        )
        jets = signal.scores.T.astype(np.int64)
        place = self.source.processes.index(self.source.signal)
        own_folds = self._folds(number, np.full(len(jets), place), signal.rows)
        seen = {"seed": pool.seed[drawn.jets], "learnt": trained.scores(features, folds)}
        of_signal = {"seed": pool.seed[jets], "learnt": trained.scores(pool.features[jets], own_folds)}
        of_pool = {"seed": pool.seed, "learnt": np.full(len(pool.seed), np.nan)}
        known = self._template_jets
        of_pool["learnt"][known] = trained.fold_scores(pool.features[known]).mean(axis=1)
        evidence = evidence_of(seen["learnt"], labels)
        tails = {name: TailProbability.from_scores(scores.copy()) for name, scores in seen.items()}
        for name, weight in (("product", evidence.weight), ("equal", 1.0)):
            made = Combination(name, "product", ("seed", "learnt"), {}, (1.0, weight))
            for of in (seen, of_signal, of_pool):
                of[name] = -np.log10(made.joined(tails[one](of[one]) for one in made.components))
        return _Learnt(folds, evidence, seen, of_signal, of_pool)

    def _folds(self, number: int, process: Ints, row: Ints) -> npt.NDArray[np.int8]:
        return fold_of(event_hash(np.full(len(row), number), process, row), self.plan.folds)

    @cached_property
    def _template_jets(self) -> Ints:
        """The places of the jets of templates in the pool."""
        return np.unique(np.concatenate([e.scores.ravel() for e in self.source.templates])).astype(np.int64)

    def _separation(
        self, name: str, learnt: _Learnt, of_qcd: npt.NDArray[np.bool_], signal: EventArrays
    ) -> dict[str, float]:
        qcd, other = learnt.of_data[name][of_qcd], learnt.of_signal[name]
        weights, ones = signal.nominal, np.ones(len(qcd))
        (cut,) = find_cuts(qcd.min(axis=1), ones, [FRACTION])
        area = area_under_curve(other.ravel(), np.repeat(weights, 2), qcd.ravel(), np.repeat(ones, 2))
        return {"sic": improvement(other.min(axis=1), weights, cut).estimate.value, "auc": area.value}

    def _fit(
        self,
        drawn: DrawnEvents,
        scores: Floats,
        templates: Sequence[EventArrays],
        of_pool: Floats,
        cut: float,
        strength: float,
        rng: np.random.Generator,
    ) -> Answers:
        """Return what the analysis finds in an experiment, NaN where no workspace can be built of it."""
        assert self.analysis.fit is not None
        spec, patterns = self.analysis.threshold, Patterns.from_analysis(self.analysis)
        grid = ThresholdGrid(np.array([cut]), spec.strict, spec.efficiency)
        scored = [replace(e, scores=of_pool[e.scores.astype(np.int64)]) for e in templates]
        shown = self.analysis.unblinded()
        (yields,) = templates_at(shown, scored, grid, {})
        number = len(scores)
        zeros, ones = np.zeros((2, number), np.int64), np.ones((number, 1))
        seen = EventArrays(DATA, (NOMINAL,), drawn.codes, zeros, scores.T, ones, np.arange(number))
        data = letter_sums(seen, patterns, grid)[NOMINAL][0]
        for region, start in patterns.starts.items():
            part = slice(start, start + len(patterns.edges[region]) - 1)
            yields.contents[region, DATA, NOMINAL] = data[:, :, part]  # type: ignore[index]
        questions = Questions(self.poi, strength, limit=False)
        try:
            built, report = workspace.build(shown, yields, self.closure, self.structural)
            procedure = Procedure(built, questions, {} if self.analysis.fit.scale_factor is None else {"sf": 1.0})
            merged = {cell: groups for of in report.get("cells", {}).values() for cell, groups in of.items()}
            sizes = {region: len(edges) - 1 for region, edges in patterns.edges.items()}
            counts = data[0].reshape(1, -1) @ bins_of_cells(procedure.model, sizes, merged)
            return procedure.answer(Data(counts, procedure.auxiliary(1, rng)))
        except OddjetsError:
            # such as a signal without events in A: counted with the fits that fail
            return Answers.failed(0)

    def chunk(self, strength: float, number: int, size: int) -> LearningChunk:
        """Make some experiments.

        Args:
            strength: of the signal.
            number: of the chunk.
            size: how many, no more than `CHUNK`.
        """
        rows = [self.experiment(strength, number * CHUNK + i) for i in range(size)]
        return LearningChunk({name: np.array([row[name] for row in rows]) for name in rows[0]})


def _closure(passes: npt.NDArray[np.bool_], folds: npt.NDArray[np.int8]) -> dict[str, float]:
    """Return A, its prediction from B, C and D, and its mean if subleading jets are exchanged among events of a fold.

    That mean is the sum over folds of (leading jets that pass) x (subleading jets that pass) / events: no random numbers are
    needed. Of D + 1 see `closure_counts`.

    Args:
        passes: both jets of events, (n, 2).
        folds: of the events, (n,).
    """
    one, other = passes.T
    a, b, c, d = (float(x.sum()) for x in (one & other, ~one & other, one & ~other, ~one & ~other))
    number, leading, subleading = (np.bincount(folds, w) for w in (np.ones(len(folds)), one, other))
    permuted = np.divide(leading * subleading, number, out=np.zeros(len(number)), where=number > 0).sum()
    return {"in_a": a, "predicted": b * c / (d + 1), "permuted": float(permuted)}


def _do_chunk(experiments: LearningExperiments, folder: Path, task: tuple[float, int, int]) -> None:
    experiments.chunk(*task).save(_file(folder, *task))


def _file(folder: Path, strength: float, number: int, size: int) -> Path:
    return folder / f"strength-{strength:.6g}-{number:05d}-{size}.npz"


def run_learning(
    experiments: LearningExperiments,
    strengths: Sequence[float],
    number: int,
    folder: Path,
    *,
    workers: int = 1,
    label: str = "",
    say: Callable[[str], None] = print,
) -> dict[float, dict[str, Floats]]:
    """Make experiments that are not recorded yet, and return all of them.

    What was recorded by a study that was stopped is taken from there. The answers do not depend on the number of workers.

    Args:
        experiments: what they are.
        strengths: to inject.
        number: of experiments for each.
        folder: where chunks are recorded, in a folder of their own key.
        workers: processes.
        label: for the progress bar.
        say: gets a line on experiments that are there already.

    Returns:
        Strength -> entries of `LearningExperiments.experiment`, (experiments,) each.
    """
    own = folder / experiments.key[:16]
    own.mkdir(parents=True, exist_ok=True)
    sizes = [min(CHUNK, number - first) for first in range(0, number, CHUNK)]
    every = [(strength, place, size) for place, size in enumerate(sizes) for strength in strengths]
    tasks = [task for task in every if not _file(own, *task).is_file()]
    total = number * len(strengths)
    if done := total - sum(size for *_, size in tasks):
        say(f"{done} of {total} experiments are recorded already")
    with progress(label or "experiments", total) as bar:
        bar.advance(done)
        for *_, size in run_tasks(tasks, partial(_do_chunk, experiments, own), workers, "study"):
            bar.advance(size)
    found = {}
    for strength in strengths:
        chunks = [LearningChunk.load(_file(own, strength, place, size)) for place, size in enumerate(sizes)]
        found[strength] = {name: np.concatenate([c.values[name] for c in chunks]) for name in chunks[0].values}
    return found
