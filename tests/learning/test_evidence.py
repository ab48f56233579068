"""The evidence that anything was learnt: its area and error against slow ones, and its weight on made events."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_pairs import made_pairs
from scipy import stats

from oddjets.learning.boosted import BoostedTrainer
from oddjets.learning.evidence import Evidence, evidence_of
from oddjets.learning.folded import FoldedScore
from oddjets.learning.labels import pt_edges_of, tag_n_train


def learnt(events: int, signal: float, seed: int) -> Evidence:
    """The evidence of a training on made events; the seed score knows of a column that is learnt from."""
    pairs = made_pairs(events, signal, seed=seed)
    labels = tag_n_train(pairs.seed, pairs.pt, pt_edges_of(pairs.pt))
    score = FoldedScore.train(pairs.features, pairs.folds, BoostedTrainer(members=1, most_trees=40), labels, seed=seed)
    return evidence_of(score.scores(pairs.features, pairs.folds), labels)


def test_the_area_is_that_of_a_rank_test_and_the_error_that_of_exchanged_jets():
    """Of a score that knows of the seed of its own jet, so that the two jets of an event are not independent."""
    random = np.random.default_rng(1)
    own = random.normal(size=(500, 2))
    scores = np.round(own + 0.5 * random.normal(size=(500, 2)), 1)
    labels = tag_n_train(own, np.full((500, 2), 500.0), high=0.7, low=0.5)
    found = evidence_of(scores, labels)
    signal, background = scores[labels == 1], scores[labels == 0]
    rank_sum = stats.mannwhitneyu(signal, background).statistic
    assert found.auc == pytest.approx(rank_sum / (signal.size * background.size), abs=1e-12)
    areas = []
    for _ in range(800):
        # the subleading jet of another event, with the label that it gives the leading one
        other = random.permutation(500)
        exchanged = np.stack([scores[:, 0], scores[other, 1]], axis=1)
        given = np.stack([labels[other, 0], labels[:, 1]], axis=1)
        areas.append(evidence_of(exchanged, given).auc)
    # a score of one training; that of folds has twice the variance
    assert found.error / np.sqrt(2) == pytest.approx(np.std(areas), rel=0.12)
    # jets for themselves have too small an error
    alone = np.sqrt((1 / signal.size + 1 / background.size) / 12)
    assert np.std(areas) > 1.15 * alone


@pytest.mark.parametrize(("auc", "weight"), [(0.4, 0.0), (0.5, 0.0), (0.51, 0.25), (0.53, 0.75), (0.6, 1.0)])
def test_the_weight_is_between_nothing_and_an_equal_say(auc, weight):
    assert Evidence(auc, 0.02).weight == pytest.approx(weight)


def test_one_score_for_all_jets_is_no_evidence():
    labels = tag_n_train(np.arange(20.0).reshape(10, 2), np.full((10, 2), 500.0))
    found = evidence_of(np.full((10, 2), 0.5), labels)
    assert (found.auc, found.n_sigma, found.weight) == (0.5, 0.0, 0.0)


def test_noise_has_little_weight_and_a_strong_signal_all_of_it():
    noise = [learnt(2000, 0.0, seed) for seed in range(5)]
    # the mean of max(z, 0) / 2 is 0.2 with a spread of 0.3
    assert np.mean([one.weight for one in noise]) < 0.5
    assert abs(np.mean([one.n_sigma for one in noise])) < 1.2
    assert learnt(4000, 0.05, 1).weight == 1.0
