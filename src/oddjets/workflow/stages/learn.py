"""The stage `learn`: a score from the data of an analysis, and the analysis that uses it beside the score that it grew from."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import BlindedError, OddjetsError, nearest
from oddjets.core.files import write_json
from oddjets.io import event_table
from oddjets.io.event_table import JETS, Columns
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.learning.card import LearntFrom, write_learnt
from oddjets.learning.closure import PairClosure, pair_closure
from oddjets.learning.folded import FoldedScore
from oddjets.learning.folds import event_hash, fold_of
from oddjets.learning.labels import mass_window, pt_edges_of, tag_n_train
from oddjets.scoring.class_groups import share_columns
from oddjets.scoring.column_inputs import input_matrix
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.selection.decorators import JetColumns
from oddjets.workflow import blinding
from oddjets.workflow.stages.learn_checks import refuse_empty_columns, refuse_mass_options, refuse_name
from oddjets.workflow.stages.learn_methods import OUTLIERS, chosen_method, trained_with, trainer_of
from oddjets.workflow.stages.learnt_product import LearntProduct, evidence_line, nothing_learnt
from oddjets.workflow.stages.learnt_yaml import folder_of, product_name, write_analysis

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["NUMBERS", "LearnOptions", "learnt_columns", "refuse_impossible", "work"]

Floats = npt.NDArray[np.float64]

#: the file with the numbers of the training, which are of the data in A too
NUMBERS = "learnt.json"
#: shares of the jets that pass, at which closure is measured
_SHARES = (0.01, 0.05)
#: cuts of an analysis on one jet in so many that are tried where it has a value instead of an efficiency
_LEAST_EFFICIENCY = 1e-6


@dataclass(frozen=True)
class LearnOptions:
    """The options of a training.

    Attributes:
        method: one of `oddjets.workflow.stages.learn_methods.METHODS`.
        seed_score: labels jets, and is multiplied with the learnt score; "": the threshold's score.
        columns: columns or expressions of a jet; empty: the shares of the class groups of the seed score's model.
        folds: of the events.
        members: trainings of each fold.
        high: quantile of the other jet's seed score from which on a jet is signal-like.
        low: quantile up to which it is background-like.
        window: of a mass window, GeV.
        sidebands: likewise.
        own_mass: the mass window is of the jet's own mass.
        name: of the score.
        seed: of all random numbers.
        workers: threads.
    """

    method: str = "tag-n-train"
    seed_score: str = ""
    columns: tuple[str, ...] = ()
    folds: int = 5
    members: int = 4
    high: float = 0.95
    low: float = 0.80
    window: tuple[float, float] | None = None
    sidebands: tuple[tuple[float, float], ...] = ()
    own_mass: bool = False
    name: str = "learnt"
    seed: int = 1
    workers: int = 1

    def recorded(self) -> dict[str, Any]:
        """Return what decides the result; the number of workers does not."""
        return {name: value for name, value in asdict(self).items() if name != "workers"}


@dataclass(frozen=True)
class _Events:
    """Events with what a training reads of both jets: features (n, 2, columns), seed score and pT and mass (n, 2)."""

    features: npt.NDArray[np.float32]
    seed: Floats
    pt: Floats
    mass: Floats
    threshold: Floats
    hashes: npt.NDArray[np.uint64]
    weights: Floats


def refuse_impossible(run: RunContext, options: LearnOptions) -> None:
    """Refuse what cannot be learnt, before any work.

    Raises:
        BlindedError: the data in A are blinded.
        OddjetsError: an unknown method or score, no pairs of jets, or options that do not go together.
    """
    analysis = run.analysis
    if analysis.aspen is not None and not analysis.aspen.events:
        raise OddjetsError(
            f"{analysis.name}: is of single jets, and a jet is labelled by the other one of its event; make events"
            " ('aspen.events: true')"
        )
    if not analysis.reads_root:
        raise OddjetsError(
            f"{analysis.name}: has imported events, whose scores are columns of their files; a learnt score is computed where"
            " PFNano is processed"
        )
    chosen_method(options.method)
    seed = _seed_of(run, options)
    if seed not in analysis.scores:
        raise OddjetsError(f"--seed-score: no score '{seed}'; {nearest(seed, analysis.scores)}")
    refuse_name(options.name)
    if taken := [name for name in (options.name, product_name(options.name, seed)) if name in analysis.scores]:
        raise OddjetsError(f"--name: '{analysis.name}' has a score '{taken[0]}' already; give the new one another name")
    refuse_mass_options(options.method, options.window, options.sidebands, own_mass=options.own_mass)
    if analysis.blind:
        raise BlindedError(
            f"{analysis.name}: the data in A are blinded, and a training reads the jets of all data, whose scores would show"
            " what is in A; give --unblind, which is recorded"
        )


def work(run: RunContext, options: LearnOptions) -> dict[str, Any]:
    """Train, and write the score's folder: card, graph, hashes of the events, the analysis and the numbers of the training.

    Args:
        run: the analysis and its folder, with event tables.
        options: what is asked.

    Returns:
        What the manifest says.

    Raises:
        OddjetsError: no data, too few events for the folds, an empty class, or a column that is not there.
    """
    blinding.record_state(run.analysis, run.out, unblinds=run.unblinds)
    seed = _seed_of(run, options)
    columns = learnt_columns(run, seed, options.columns)
    began = time.perf_counter()
    data = _data(run, seed, columns)
    if options.columns:
        # shares of class groups are nobody's choice, and one of them may have one value
        refuse_empty_columns(columns, data.features)
    folds = fold_of(data.hashes, options.folds)
    labels = _labels(data, options)
    trainer, trained_as = trainer_of(options.method, options.members, columns)
    score = FoldedScore.train(
        data.features,
        folds,
        trainer,
        labels,
        n_folds=options.folds,
        seed=options.seed,
        workers=options.workers,
    )
    trained = time.perf_counter()
    scores = score.scores(data.features, folds)
    agreement = score.agreement(data.features, folds)
    efficiency = _efficiency(run, data)
    joined = LearntProduct.of(scores, data.seed, labels)
    yields = {
        process: _yields(run, process, score, (data, folds), joined, seed, columns, efficiency)
        for process in _signals(run)
    }
    rng = np.random.default_rng(options.seed)
    product = joined(scores, data.seed)
    closure = {
        name: [_stated(pair_closure(values, folds, rng, share)) for share in _SHARES]
        for name, values in ((options.name, scores), (product_name(options.name, seed), product), (seed, data.seed))
    }
    folder = run.out / folder_of(options.name)
    said = f"{_labelled(run, options, data, labels)}; {options.folds} folds of events, {trained_as} each"
    files = write_learnt(
        folder,
        score,
        data.features.reshape(-1, len(columns)),
        LearntFrom(
            name=f"{run.analysis.name}-{options.name}",
            analysis=run.analysis.name,
            method=options.method,
            training=said,
            columns=columns,
            members=options.members,
            hashes=data.hashes,
            agreement=agreement,
            seed_score=seed if options.method == "tag-n-train" else None,
        ),
    )
    notes = [f"The score '{options.name}' was learnt from the data of '{run.analysis.name}': {said}"]
    if options.window is not None:
        notes.append("A score that can guess the mass it was labelled by sculpts it: see `oddjets study sculpting`.")
    stated = joined.stated()
    notes.append(nothing_learnt(stated).capitalize() or f"Of the score '{options.name}': {evidence_line(stated)}.")
    if run.unblinds:
        notes.append(f"The data in A were blinded; the training saw them ({run.unblinds}).")
    stochastic = {process: found["stochastic"] for process, found in yields.items()}
    yaml_file = write_analysis(
        run, folder, files.card.name, options.name, seed, joined.weight, efficiency, stochastic, tuple(notes)
    )
    found = {
        "options": options.recorded() | {"seed_score": seed, "columns": list(columns)},
        "events": len(data.hashes),
        "jets": _counts(labels, data),
        "smallest_fold": int(np.bincount(folds, minlength=options.folds).min()),
        "agreement": agreement,
        **joined.stated(),
        "parity": files.difference,
        "trained_with": trained_with(options.method),
        "signals": yields,
        "seconds": {"training": trained - began, "all": time.perf_counter() - began},
        "card": f"{folder.name}/{files.card.name}",
        "analysis": f"{folder.name}/{yaml_file.name}",
    }
    write_json(folder / NUMBERS, found | {"closure": closure})
    return found


def _seed_of(run: RunContext, options: LearnOptions) -> str:
    return options.seed_score or run.analysis.threshold.score


def learnt_columns(run: RunContext, seed: str, asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a training reads of a jet: what is asked for, or the shares of class groups.

    Args:
        run: the analysis.
        seed: the score that labels jets.
        asked: columns or expressions of a jet; empty: the shares.

    Raises:
        OddjetsError: nothing is asked for, and no score has a model with class groups.
    """
    if asked:
        if len(set(asked)) < len(asked):
            raise OddjetsError(f"--column: one is given twice ({', '.join(asked)})")
        return asked
    cards = {name: load_card(path) for name, path in run.resolved.cards.items() if name in run.analysis.scores}
    owner = run.analysis.scores[seed].of or seed
    for name in (owner, *cards):
        card = cards.get(name)
        if isinstance(card, ModelCard) and (columns := tuple(share_columns(card, name).values())):
            return columns
    raise OddjetsError(
        f"{run.analysis.name}: no score has a model with class groups, whose shares would be learnt from; name columns of the"
        " jets, such as --column 'tau3 / tau2' --column n_constituents"
    )


def _labels(data: _Events, options: LearnOptions) -> npt.NDArray[np.int8] | None:
    if options.method in OUTLIERS:
        return None
    if options.window is not None:
        return mass_window(data.mass, options.window, options.sidebands, of_other=not options.own_mass)
    return tag_n_train(data.seed, data.pt, pt_edges_of(data.pt), options.high, options.low)


def _data(run: RunContext, seed: str, columns: Sequence[str]) -> _Events:
    """Return the events of data that pass the base selection.

    Raises:
        OddjetsError: there are none.
    """
    datasets = [name for name, found in run.extra("process")["datasets"].items() if found["is_data"]]
    parts = [_events_of(run, table, seed, columns) for name in datasets for table in _tables(run, name)]
    parts = [part for part in parts if len(part.hashes)]
    if not parts:
        raise OddjetsError(f"{run.out}: no event of data passes the base selection, and a score is learnt from data")
    return _joined(parts)


def _tables(run: RunContext, dataset: str) -> Iterator[Columns]:
    if event_table.parts(run.event_tables, dataset):
        for table in event_table.stream(run.event_tables, dataset):
            passed = table["passes_nominal"].astype(bool)
            yield {name: values[passed] for name, values in table.items() if "__" not in name}


def _events_of(run: RunContext, table: Columns, seed: str, columns: Sequence[str]) -> _Events:
    def pair(name: str) -> Floats:
        return np.stack([np.asarray(table[f"{name}_{j}"], np.float64) for j in JETS], axis=1)

    features = np.stack([input_matrix(columns, JetColumns(table, j)) for j in JETS], axis=1)
    hashes = event_hash(*(table[name] for name in IDENTITY))
    known = pair(f"score_{run.analysis.threshold.score}")
    weights = np.asarray(table["weight"], np.float64)
    return _Events(features, pair(f"score_{seed}"), pair("pt"), pair("mass"), known, hashes, weights)


def _joined(parts: Sequence[_Events]) -> _Events:
    return _Events(*(np.concatenate(arrays) for arrays in zip(*(vars(part).values() for part in parts), strict=True)))


def _efficiency(run: RunContext, data: _Events) -> float:
    """Return the part of the data above the threshold: of a fixed threshold that of its own score."""
    asked = run.analysis.threshold
    if asked.efficiency is not None:
        return asked.efficiency
    return max(float((data.threshold.min(axis=1) >= asked.value).mean()), _LEAST_EFFICIENCY)


def _signals(run: RunContext) -> list[str]:
    fit = run.analysis.fit
    return [] if fit is None else list(dict.fromkeys(p.process for p in fit.pois))


def _yields(
    run: RunContext,
    process: str,
    score: FoldedScore,
    trained: tuple[_Events, npt.NDArray[np.int8]],
    joined: LearntProduct,
    seed: str,
    columns: Sequence[str],
    efficiency: float,
) -> dict[str, Any]:
    """Return the efficiency of a simulated signal with the product of the scores, by the ensemble and by each member.

    Returns:
        ``efficiency``, with the mean over the folds, as templates have it; ``seed_efficiency`` of the seed score alone;
        ``folds``, by the model of each fold alone, as data have it; ``members``, by each member of all folds alone;
        ``stochastic``, relative: by how much the mean of ``folds`` differs from ``efficiency``, and the standard deviation of
        ``members`` over the root of their number, that of a mean of so many, added in squares.
    """
    data, folds = trained
    datasets = [name for name, found in run.extra("process")["datasets"].items() if found["process"] == process]
    parts = [_events_of(run, table, seed, columns) for name in datasets for table in _tables(run, name)]
    if not sum(len(part.hashes) for part in parts):
        return {"efficiency": None, "seed_efficiency": None, "folds": [], "members": [], "stochastic": 0.0}
    events = _joined(parts)

    def above(of_data: Floats, of_signal: Floats) -> float:
        cut = np.quantile(of_data.min(axis=1), 1.0 - efficiency)
        return float(events.weights[of_signal.min(axis=1) >= cut].sum() / events.weights.sum())

    def with_seed(of_data: Floats, of_signal: Floats) -> float:
        return above(joined(of_data, data.seed), joined(of_signal, events.seed, of_data))

    flat = events.features.reshape(-1, len(columns))
    # of a member of each fold, the mean over the folds
    levels = [cdf(model.member_logits(flat)) for model, cdf in zip(score.models, score.cdfs, strict=True)]
    of_signal = np.mean(levels, axis=0).reshape(len(levels[0]), -1, 2)
    of_data = score.member_scores(data.features, folds)
    members = [with_seed(d, s) for d, s in zip(of_data, of_signal, strict=True)] if len(of_data) > 1 else []
    scores = score.scores(data.features, folds)
    whole = with_seed(scores, score.mean_scores(events.features))
    of_folds = score.fold_scores(flat).T.reshape(score.n_folds, -1, 2)
    by_fold = [with_seed(scores, found) for found in of_folds]
    shift = float(np.mean(by_fold)) / whole - 1.0 if whole > 0 else 0.0
    spread = float(np.std(members, ddof=1) / np.mean(members)) if members and np.mean(members) > 0 else 0.0
    return {
        "efficiency": whole,
        "seed_efficiency": above(data.seed, events.seed),
        "folds": by_fold,
        "members": members,
        "stochastic": float(np.hypot(shift, spread / np.sqrt(max(len(members), 1)))),
    }


def _stated(found: PairClosure) -> dict[str, Any]:
    """Return a closure for JSON, which has no NaN."""
    content = asdict(found) | {"ratio": found.ratio}
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in content.items()
    }


def _counts(labels: npt.NDArray[np.int8] | None, data: _Events) -> dict[str, int]:
    if labels is None:
        return {"without-label": int(data.seed.size)}
    return {"signal-like": int((labels == 1).sum()), "background-like": int((labels == 0).sum())}


def _labelled(run: RunContext, options: LearnOptions, data: _Events, labels: npt.NDArray[np.int8] | None) -> str:
    if labels is None:
        return f"all {data.seed.size} jets of {len(data.hashes)} events of data, without labels"
    counts = f"{int((labels == 1).sum())} against {int((labels == 0).sum())} jets"
    if options.window is not None:
        whose = "its own" if options.own_mass else "the other jet's"
        how = f"jets are labelled by {whose} mass, {options.window[0]:g} to {options.window[1]:g} GeV"
    else:
        how = (
            f"jets are labelled by the other jet's '{_seed_of(run, options)}' at or above its quantile {options.high:g} against"
            f" at or below {options.low:g}, in bins of pT"
        )
    return f"{how} ({counts} of {len(data.hashes)} events of data)"
