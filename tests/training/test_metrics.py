"""Weights that balance spectra, and measures of a score: against closed forms and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddjets.training.class_labels import CLASSES, QCD, SIGNAL
from oddjets.training.train.reweighting import MASS_EDGES, PT_EDGES, balanced_weights, effective_number
from oddjets.training.train.settings import class_shares
from oddjets.training.validate.metrics import auc, matched_weights, rejection, sculpting, threshold


def toy_spectra(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.choice(list((QCD | SIGNAL).values()), n)
    is_qcd = np.isin(label, list(QCD.values()))
    pt = 400 + rng.exponential(np.where(is_qcd, 80, 150 + label / 2))
    mass = 20 + rng.exponential(np.where(is_qcd, 40 + (label == QCD["QCD_g"]) * 20, 100))
    return pt, mass, label


@pytest.mark.parametrize("seed", [1, 2])
def test_neither_pt_nor_mass_tells_qcd_from_signal(seed: int) -> None:
    pt, mass, label = toy_spectra(20_000, seed)
    groups = class_shares(supervised=False)
    weights = balanced_weights(pt, mass, label, groups)
    edges = [np.append(PT_EDGES, 1e9), np.append(MASS_EDGES, 1e9)]
    spectra = [
        np.histogram2d(pt[rows], mass[rows], edges, weights=weights[rows])[0]
        for rows in (np.isin(label, list(group)) for group in groups)
    ]
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(spectra[0], spectra[1], rtol=0, atol=1e-12)
    # each class has its share, and the spectrum of pT of all
    common = spectra[0].sum(axis=1)
    for group in groups:
        for index, share in group.items():
            rows = label == index
            found = np.histogram(pt[rows], edges[0], weights=weights[rows])[0]
            np.testing.assert_allclose(found, share / sum(group.values()) * common, rtol=0.1, atol=1e-3)
    assert effective_number(weights) > 0.05 * len(label)


def test_classes_that_are_not_learned_have_no_weight() -> None:
    pt, mass, label = toy_spectra(2000, 1)
    label[:100] = CLASSES["top"]
    weights = balanced_weights(pt, mass, label, class_shares(supervised=False))
    assert not weights[:100].any()


def test_area_of_two_normal_distributions() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(1)
    signal, background = rng.normal(1, 1, 200_000), rng.normal(0, 1, 200_000)
    ones = np.ones(200_000)
    assert auc(signal, background, ones, ones) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.003)
    found = rejection(signal, background, ones, ones, 0.5)
    assert found.threshold == pytest.approx(1, abs=0.01)
    assert found.rejection == pytest.approx(1 / norm.sf(1), abs=4 * found.error)
    assert found.error == pytest.approx(found.rejection / np.sqrt(found.qcd_passing))


@pytest.mark.parametrize("levels", [2, 10, 1000])
def test_area_is_that_of_scikit_learn(levels: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn, which omnilearned installs")
    rng = np.random.default_rng(levels)
    signal, background = rng.integers(0, levels, 30).astype(float), rng.integers(0, levels, 50).astype(float)
    weights = rng.exponential(size=80)
    expected = metrics.roc_auc_score(np.arange(80) < 30, np.r_[signal, background], sample_weight=weights)
    assert auc(signal, background, weights[:30], weights[30:]) == pytest.approx(expected)


def test_ties_count_half() -> None:
    ones = np.ones(4)
    assert auc(ones, ones, ones, ones) == 0.5


def test_a_perfect_score_rejects_everything() -> None:
    ones = np.ones(10)
    found = rejection(ones, 0 * ones, ones, ones, 0.3)
    assert found.rejection == np.inf
    assert found.qcd_passing == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_threshold_passes_at_least_its_share(scores: list[float], efficiency: float) -> None:
    values, ones = np.array(scores), np.ones(len(scores))
    cut = threshold(values, ones, efficiency)
    assert np.mean(values >= cut) >= efficiency - 1e-9
    assert np.mean(values > cut) < efficiency


def test_matched_weights_give_the_spectrum_of_the_target() -> None:
    rng = np.random.default_rng(1)
    values, target = 400 + rng.exponential(50, 5000), 400 + rng.exponential(150, 3000)
    edges = np.array([400.0, 450, 500, 600])
    weights = matched_weights(values, np.ones(5000), target, np.ones(3000), edges)
    bins = np.append(edges, 1e9)
    np.testing.assert_allclose(np.histogram(values, bins, weights=weights)[0], np.histogram(target, bins)[0])


def test_a_score_without_mass_does_not_sculpt_and_one_of_mass_does() -> None:
    rng = np.random.default_rng(1)
    mass, ones = rng.uniform(60, 240, 40_000), np.ones(40_000)
    free = sculpting(mass, rng.random(40_000), ones, 0.01)
    assert free.n == 400
    assert abs(free.mean - 150) < 4 * free.mean_error
    assert abs(free.std - 180 / np.sqrt(12)) < 4 * free.std_error
    assert abs(free.js_bits - free.js_bits_expected) < 5 * free.js_bits_spread
    tied = sculpting(mass, mass, ones, 0.01)
    assert tied.mean > 238
    # all of the last ninth passes: H(p) of 1 in 9 bins against the mixture
    expected = 0.5 * np.log2(1 / (5 / 9)) + 0.5 * (8 / 9 + (1 / 9) * np.log2((1 / 9) / (5 / 9)))
    assert tied.js_bits == pytest.approx(expected, abs=1e-3)
    assert tied.js_bits > tied.js_bits_expected + 20 * tied.js_bits_spread


def test_no_cut_changes_nothing() -> None:
    mass = np.random.default_rng(1).uniform(60, 240, 1000)
    assert sculpting(mass, mass, np.ones(1000), 1.0).js_bits == 0
