"""The columns of variations of the constituents: both jets are varied, scored again, and their N-subjettiness moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.corrections.systematics import Variation
from oddjets.io.event_table import JETS
from oddjets.scoring.cache import ScoreCache
from oddjets.scoring.column_scorer import AnyScorer
from oddjets.scoring.inputs import JetConstituents
from oddjets.scoring.scorer import Scorer
from oddjets.selection import jet_scores
from oddjets.selection.chunk_counts import Inference, VariedScores
from oddjets.selection.column_scores import column_scores
from oddjets.selection.constituent_variations import EventNumbers, changed_jets, subjettiness, varied_constituents

__all__ = ["ChunkPairs", "varied_score_columns"]

Array = npt.NDArray[Any]

#: columns of jets that stay, whoever computes them
_NOT_MOVED = ("pt", "eta", "phi", "mass", "mass_ungroomed", "btag")


class _Processor(Protocol):
    analysis: Analysis
    scorers: dict[str, AnyScorer]

    def calibrated_jets(self, events: Any) -> Any: ...

    def jet_columns(self, jets: Any) -> dict[str, Any]: ...


class ChunkPairs(NamedTuple):
    """The jets of some events of a chunk.

    Attributes:
        events: the chunk.
        rows: its events.
        pair: places of their two jets in FatJet, shape (rows, 2).
    """

    events: Any
    rows: npt.NDArray[np.int64]
    pair: npt.NDArray[np.int64]


def varied_score_columns(
    processor: _Processor,
    chunk: ChunkPairs,
    jets: JetConstituents | None,
    columns: Mapping[str, Array],
    variations: Sequence[Variation],
    cache: ScoreCache | None,
    needed: Collection[str],
    counts: dict[str, VariedScores],
) -> dict[str, Array]:
    """Compute what variations of the constituents change of the events of a chunk.

    tau_N are multiplied by the ratio of varied over nominal, both computed from the constituents, and the processor's
    `jet_columns` are computed of them again. The jets' momenta, soft-drop masses and axes stay: their uncertainties are
    systematics of their own.

    Args:
        processor: its analysis, models and columns of jets.
        chunk: the events.
        jets: both jets of event after event; None: there are no events.
        columns: all nominal columns of the events, each of shape (events,), with the scores.
        variations: those of the process; others than those of scores are left alone.
        cache: where outputs of models are kept; None: nowhere.
        needed: columns that cuts, observables and models read.
        counts: is told, for each variation, how its jets got their scores.

    Returns:
        ``score_NAME_j__VARIATION`` of scores that come from constituents, ``tauN_j__VARIATION``, and what else is needed.

    Raises:
        OddjetsError: as `oddjets.selection.jet_scores.scores_of_models`.
    """
    variations = [variation for variation in variations if variation.kind == "scores"]
    # a skim asks which events are rows, and reads no constituents
    if not variations or (jets is None and len(chunk.rows)):
        return {}
    analysis, scorers = processor.analysis, processor.scorers
    assert analysis.score_variations is not None
    again = _jet_columns_again(processor, chunk)
    of_constituents = {name: scorer for name, scorer in scorers.items() if isinstance(scorer, Scorer)}
    # a score that is a column is computed again: its column may be varied
    columns_as_scores = {
        f"score_{name}_{j}" for name, score in analysis.scores.items() if score.column is not None for j in JETS
    }
    base = {name: values for name, values in columns.items() if name not in columns_as_scores}
    numbers = EventNumbers(*(np.repeat(columns[key], 2) for key in ("run", "luminosityBlock", "event")))
    nominal = np.empty((0, 4)) if jets is None else subjettiness(jets)
    found: dict[str, Array] = {}
    for variation in variations:
        inference: dict[str, Inference] = {}
        varied, changed, taus, multiplicity = None, 0, nominal, np.empty(0, np.int64)
        if jets is not None:
            varied = varied_constituents(jets, numbers, analysis.score_variations, variation.systematic, variation.sign)
            changed, multiplicity = changed_jets(jets, varied), np.diff(varied.offsets)
            taus = nominal if varied is jets else subjettiness(varied)
        # what is odd about the jets was counted with the nominal ones
        own = jet_scores.scores_of_models(analysis, of_constituents, varied, cache, Counter(), inference)
        counts[variation.name] = {
            "jets": 0 if jets is None else jets.n_jets,
            "changed": changed,
            "computed": sum(how["computed"] for how in inference.values()),
            "from_cache": sum(how["from_cache"] for how in inference.values()),
        }
        moved = _moved_subjettiness(columns, nominal, taus)
        own |= again(moved) | moved
        own |= {f"n_constituents_{j}": multiplicity[j - 1 :: 2] for j in JETS}
        # data are not varied
        own |= column_scores(scorers, {**base, **own}, Counter(), {}, is_data=False)
        own |= jet_scores.scores_of_columns(analysis, {**base, **own}, Counter(), last=True)
        for name, values in own.items():
            if name in columns and (name.startswith(("score_", "tau")) or name in needed):
                found[f"{name}__{variation.name}"] = values
    return found


def _moved_subjettiness(
    columns: Mapping[str, Array], nominal: npt.NDArray[np.float64], varied: npt.NDArray[np.float64]
) -> dict[str, Array]:
    """Return tau_N times varied over nominal; tau_N stay where the nominal constituents give 0."""
    ratio = np.divide(varied, nominal, out=np.ones_like(nominal), where=nominal > 0)
    return {
        # in the column's type, so that a ratio of 1 leaves every bit
        column: (columns[column] * ratio[j - 1 :: 2, n - 1]).astype(columns[column].dtype)
        for n in range(1, nominal.shape[1] + 1)
        for j in JETS
        if (column := f"tau{n}_{j}") in columns
    }


def _jet_columns_again(processor: _Processor, chunk: ChunkPairs) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Return what computes the processor's columns of the pair for other tau_N."""
    jets = processor.calibrated_jets(chunk.events)[chunk.rows][ak.from_regular(chunk.pair)]

    def columns_of(moved: Mapping[str, Array]) -> dict[str, Array]:
        changed = jets
        for stem in sorted({column[:-2] for column in moved}):
            values = np.stack([moved[f"{stem}_{j}"] for j in JETS], axis=1)
            changed = ak.with_field(changed, ak.from_regular(values), stem)
        found: dict[str, Array] = {}
        for stem, values in processor.jet_columns(changed).items():
            if stem in _NOT_MOVED:
                continue
            both = np.asarray(ak.to_numpy(ak.to_regular(values))).reshape(-1, 2)
            found |= {f"{stem}_{j}": both[:, j - 1] for j in JETS}
        return found

    return columns_of
