"""Folds, labels, boosters and the score of all folds, in memory."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_pairs import made_pairs

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.learning.boosted import BoostedTrainer
from oddjets.learning.cdf import ScoreCdf
from oddjets.learning.folded import FoldedScore
from oddjets.learning.folds import event_hash, fold_of
from oddjets.learning.labels import MassLabelWarning, mass_window, pt_edges_of, tag_n_train
from oddjets.study.learning_chunk import LearningChunk

QUICK = BoostedTrainer(members=2, most_trees=60)


def splitmix(state: int) -> int:
    """One step of splitmix64 with Python's own integers."""
    mask = (1 << 64) - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_the_hash_of_an_event_is_that_of_python_integers_and_of_earlier_versions():
    run, section, event = np.array([1, 278820, 367000]), np.array([0, 17, 1]), np.array([1, 2**40 + 3, 2**63 - 1])
    expected = []
    for numbers in zip(run.tolist(), section.tolist(), event.tolist(), strict=True):
        state = 0
        for number in numbers:
            state = splitmix(state ^ number)
        expected.append(state)
    assert event_hash(run, section, event).tolist() == expected
    # cards keep hashes: these numbers must never change
    assert expected == [0x6C5795E14B3B7E33, 0x481BBAAC855D9085, 0xBEF7B5C4D0C9CE8C]
    folds = fold_of(event_hash(np.ones(10000, int), np.zeros(10000, int), np.arange(10000)), 5)
    assert np.bincount(folds).tolist() == pytest.approx([2000] * 5, abs=4 * np.sqrt(1600))


def test_a_jet_is_labelled_by_the_other_one_in_bins_of_its_pt():
    random = np.random.default_rng(2)
    pt, seed = random.uniform(300, 900, (4000, 2)), random.normal(size=(4000, 2))
    seed += pt / 100
    edges = pt_edges_of(pt)
    assert len(edges) == 4
    labels = tag_n_train(seed, pt, edges)
    for j in (0, 1):
        for low, high in zip((0, *edges), (*edges, np.inf), strict=True):
            here = (pt[:, 1 - j] >= low) & (pt[:, 1 - j] < high)
            pooled = seed[(pt >= low) & (pt < high)]
            assert np.array_equal(labels[here, j] == 1, seed[here, 1 - j] >= np.quantile(pooled, 0.95))
            assert np.array_equal(labels[here, j] == 0, seed[here, 1 - j] <= np.quantile(pooled, 0.80))
    assert tag_n_train([[np.nan, 1.0], [0.0, 2.0]], np.ones((2, 2)))[0].tolist() == [0, -1]
    assert pt_edges_of(pt[:300]) == ()


def test_mass_windows_warn_and_refuse_overlaps():
    mass = np.array([[80.0, 170.0], [120.0, 20.0]])
    with pytest.warns(MassLabelWarning, match="sculpts"):
        assert mass_window(mass, (150, 200), [(50, 150)]).tolist() == [[1, 0], [-1, 0]]
    with pytest.warns(MassLabelWarning, match="same jet"):
        assert mass_window(mass, (150, 200), [(50, 150)], of_other=False).tolist() == [[0, 1], [0, -1]]
    for window, bands, said in (
        ((150, 200), [(50, 160)], "overlaps"), ((200, 150), [(50, 60)], "empty"), ((150, 200), [], "at least one")
    ):  # fmt: skip
        with pytest.raises(OddjetsError, match=said):
            mass_window(mass, window, bands)


def test_a_distribution_is_the_part_of_the_jets_below():
    random = np.random.default_rng(3)
    values = np.concatenate([random.normal(size=20000), np.zeros(3000)])
    cdf = ScoreCdf.of(values)
    at = np.linspace(-6, 6, 2001)
    levels = cdf(at)
    assert np.all(np.diff(levels) > 0)
    assert levels[0] > 0
    assert levels[-1] < 1
    exact = (np.searchsorted(np.sort(values), at, "left") + np.searchsorted(np.sort(values), at, "right")) / 46000
    far = np.abs(at) > 0.02
    assert np.abs(levels - exact)[far].max() < 0.002
    # in the tails to parts of what is left
    top = np.sort(values)[-200:-20]
    assert 1 - cdf(top) == pytest.approx((np.arange(200, 20, -1) - 0.5) / 23000, rel=0.1)
    assert np.isnan(cdf(np.nan))
    with pytest.raises(OddjetsError, match="same score"):
        ScoreCdf.of(np.ones(10))


def test_both_jets_are_scored_by_the_model_that_saw_neither():
    pairs = made_pairs(6000)
    labels = tag_n_train(pairs.seed, pairs.pt, pt_edges_of(pairs.pt))
    score = FoldedScore.train(pairs.features, pairs.folds, QUICK, labels, workers=2)
    found = score.scores(pairs.features, pairs.folds)
    # fold 3 again, alone and slowly
    rows = pairs.folds != 3
    used = labels[rows] >= 0
    events = np.broadcast_to(np.flatnonzero(rows)[:, None], used.shape)
    seed = int(np.random.SeedSequence((1, 3)).generate_state(1)[0])
    alone = QUICK(pairs.features[rows][used], labels[rows][used], events[used], seed)
    raw = alone.logit(pairs.features[pairs.folds == 3].reshape(-1, 4)).reshape(-1, 2)
    assert np.array_equal(raw, score.raw_scores(pairs.features, pairs.folds)[pairs.folds == 3])
    assert np.array_equal(found[pairs.folds == 3], score.cdfs[3](raw))
    # the same scale in all folds, in whose middle many jets share their leaves
    for fold in range(5):
        assert np.quantile(found[pairs.folds == fold], [0.1, 0.9, 0.99]) == pytest.approx([0.1, 0.9, 0.99], abs=0.01)
    # it has learnt something, and what no training saw gets the same kind of score
    assert found[pairs.is_signal].mean() > 0.7
    other = made_pairs(2000, seed=9)
    assert score.mean_scores(other.features)[other.is_signal].mean() > 0.7
    every = score.fold_scores(other.features[:, 0])
    assert np.allclose(every.mean(axis=1), score.mean_scores(other.features)[:, 0])
    members = score.member_scores(pairs.features, pairs.folds)
    assert members.shape == (2, 6000, 2)
    assert np.array_equal(score.spread(pairs.features, pairs.folds), members.std(axis=0, ddof=1))


def test_validation_is_by_event_and_both_parts_are_weighted():
    given = {}

    class Fake:
        def __init__(self, **settings):
            assert settings["early_stopping"]

        def fit(self, x, y, sample_weight, X_val, y_val, sample_weight_val):
            given.update(x=x, y=y, w=sample_weight, X_val=X_val, y_val=y_val, w_val=sample_weight_val)

    import sklearn.ensemble

    features = np.repeat(np.arange(500.0), 2)[:, None]
    labels = (np.arange(1000) % 10 == 0).astype(np.int8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sklearn.ensemble, "HistGradientBoostingClassifier", Fake)
        BoostedTrainer(members=1)(features, labels, features[:, 0].astype(np.intp), 1)
    assert not set(given["x"][:, 0]) & set(given["X_val"][:, 0])
    for y, w in ((given["y"], given["w"]), (given["y_val"], given["w_val"])):
        assert w[y == 1].sum() == pytest.approx(w[y == 0].sum()) == pytest.approx(len(y) / 2)


def test_a_member_draws_jets_of_the_larger_class_where_there_are_too_many():
    given = []

    class Fake:
        def __init__(self, **settings):
            pass

        def fit(self, x, y, sample_weight, X_val, y_val, sample_weight_val):
            given.append((np.concatenate([x, X_val])[:, 0], np.concatenate([y, y_val])))

    import sklearn.ensemble

    labels = (np.arange(1000) % 10 == 0).astype(np.int8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sklearn.ensemble, "HistGradientBoostingClassifier", Fake)
        BoostedTrainer(members=2, most_jets=300)(np.arange(1000.0)[:, None], labels, np.arange(1000), 1)
    for x, y in given:
        assert (len(set(x)), y.sum()) == (300, 100)
        assert np.array_equal(labels[x.astype(int)], y)
    assert set(given[0][0]) != set(given[1][0])


def test_what_cannot_be_trained_is_refused():
    pairs = made_pairs(1200)
    labels = tag_n_train(pairs.seed, pairs.pt)
    for n, folds, given, said in (
        (1200, 10, labels, "smallest of 10 folds has"),
        (1200, 1, labels, "from 2 to 20"),
        (1200, 5, np.ones_like(labels), "no jet is background-like"),
        (1200, 5, np.where(labels == 1, -1, labels), "no jet is signal-like"),
        (1200, 5, np.where(np.arange(1200)[:, None] % 4, np.minimum(labels, 0), labels), "needs 80"),
    ):
        with pytest.raises(OddjetsError, match=said):
            FoldedScore.train(pairs.features[:n], fold_of(pairs.hashes[:n], folds), QUICK, given[:n], n_folds=folds)


@pytest.mark.fault(
    "a column without any value in a training", "is refused by its name, and not by scikit-learn's bins."
)
def test_a_column_without_a_value_is_refused_by_its_name():
    features = np.stack([np.arange(1000.0), np.full(1000, np.nan)], axis=1)
    trainer = BoostedTrainer(members=1, names=("tau1", "tau2 / 0"))
    with pytest.raises(OddjetsError, match=r"'tau2 / 0' has no finite value in any of \d+ jets of a training"):
        trainer(features, (np.arange(1000) % 2).astype(np.int8), np.arange(1000), 1)


@pytest.mark.fault("an empty file of recorded experiments", "is called damaged, with what to do.")
def test_an_empty_file_of_experiments_is_called_damaged(tmp_path):
    (tmp_path / "chunk.npz").touch()
    with pytest.raises(InputFileError, match="is damaged"):
        LearningChunk.load(tmp_path / "chunk.npz")
