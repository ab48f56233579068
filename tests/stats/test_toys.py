"""What toys must show: asymptotics where they hold, uniform p values, unbiased strengths with the right coverage."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.small_fit import make_analysis, make_histograms
from scipy.stats import chi2, kstest

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model
from oddjets.stats.histfactory.results import Data, FitError
from oddjets.stats.inference.estimates import best_fits
from oddjets.stats.inference.limits import upper_limit
from oddjets.stats.inference.toy_limits import ToyCLs, toy_cls, toy_limit
from oddjets.stats.inference.toys import ToyFits, goodness_of_fit, letter_bins, toy_significance
from oddjets.stats.workspace import build

POI = {"name": "mu", "process": "top", "bounds": [-20, 20]}


@pytest.fixture(scope="module")
def model():
    """A model whose data are the expectation without signal; the strength may be negative, the events are many."""
    return Model(build(make_analysis(poi=POI), make_histograms(strength=0.0, seed=None, scale=3))[0])


@pytest.fixture(scope="module")
def fits(model):
    return best_fits(model)


def test_q0_under_the_background_is_half_a_chi_square(model, fits):
    toys = toy_significance(model, fits, 2000, seed=5)
    assert toys.failed == 0
    above = toys.distribution[toys.distribution > 0]
    # half of the toys fluctuate down and have q0 = 0
    assert len(above) / 2000 == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2000))
    assert kstest(above, chi2(1).cdf).pvalue > 1e-3


def test_toys_start_near_their_minimum(model, fits):
    # the minimum is the same from any start; the linear response only saves steps
    truth, held = fits.background.values, np.zeros(len(fits.background.values), dtype=bool)
    toys = model.sample(truth, 100, np.random.default_rng(8))
    near, far = ToyFits(model, truth, held)(toys), model.fit_batch(toys, truth, held)
    np.testing.assert_allclose(near.deviance, far.deviance, atol=1e-6)
    assert near.iterations.mean() < far.iterations.mean()


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_injected_strengths_come_back_unbiased_with_68_per_cent_coverage(model, fits, strength):
    n = 600
    truth = fits.background.values.copy()
    index = model.parameters.index("mu")
    truth[index] = strength
    held = np.zeros(len(truth), dtype=bool)
    toys = model.sample(truth, n, np.random.default_rng(int(strength) + 1))
    free = ToyFits(model, truth, held)(toys)
    assert free.converged.all()
    values = free.parameters[:, index]
    spread = values.std()
    assert abs(values.mean() - strength) < 4 * spread / np.sqrt(n)
    # coverage by the likelihood: the truth lies within -2 Delta log L < 1 in 68.3 % of the toys
    held[index] = True
    at_truth = ToyFits(model, truth, held)(toys)
    covered = (at_truth.deviance - free.deviance < 1).mean()
    assert covered == pytest.approx(0.6827, abs=4 * np.sqrt(0.68 * 0.32 / n))


def test_goodness_of_fit_p_values_are_uniform(model, fits):
    # toys are thrown from the fit of one data set, the p values are those of data sets thrown from the truth
    truth = fits.best.values
    one = model.fit(data=model.sample(truth, 1, np.random.default_rng(4)), with_covariance=False)
    reference = goodness_of_fit(model, one, 1000, letters=["A"], seed=2).distribution
    data = goodness_of_fit(model, fits.best, 300, letters=["A"], seed=3).distribution
    p_values = np.array([(reference >= value).mean() for value in data])
    assert kstest(p_values, "uniform").pvalue > 1e-3


def test_a_bad_fit_has_a_small_p_value(model, fits):
    data = model.data.main.copy()
    part = model.spec.slices["SR_A"]
    data[0, part] *= np.array([0.5, 1.6, 0.5, 1.6, 0.5])
    strange = Model(build(make_analysis(poi=POI), make_histograms(strength=0.0, seed=None, scale=3))[0])
    strange.data = Data(data, model.data.aux)
    fit = strange.fit()
    assert goodness_of_fit(strange, fit, 100, letters=["A"]).p_value < 0.03
    assert goodness_of_fit(model, fits.best, 100, letters=["A"]).p_value > 0.9


def test_the_same_seed_gives_the_same_toys(model, fits):
    one, two = (goodness_of_fit(model, fits.best, 40, seed=9).distribution for _ in range(2))
    other = goodness_of_fit(model, fits.best, 40, seed=10).distribution
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_the_statistic_is_summed_over_the_letters_asked_for(model, fits):
    parts = sum(goodness_of_fit(model, fits.best, 1, letters=[x]).statistic for x in "ABCD")
    assert goodness_of_fit(model, fits.best, 1).statistic == pytest.approx(parts)
    assert letter_bins(model, ["A"]).sum() == 10


def test_background_toys_hold_the_signal_at_zero(model, fits):
    found = goodness_of_fit(model, fits.background, 50, signal=False)
    assert found.failed == 0
    assert found.statistic == pytest.approx(0, abs=1e-4)


def test_failed_toys_are_counted_and_left_out(model, fits, monkeypatch):
    original = Model.fit_batch

    def failing(self, data, *args, **kwargs):
        batch = original(self, data, *args, **kwargs)
        return batch._replace(converged=data.main[:, 0] % 2 == 0)

    monkeypatch.setattr(Model, "fit_batch", failing)
    found = goodness_of_fit(model, fits.best, 40)
    assert 0 < found.failed < 40
    assert len(found.distribution) == 40 - found.failed


def test_an_unknown_letter_is_named(model):
    with pytest.raises(OddjetsError, match="no channel is called or ends in X"):
        letter_bins(model, ["A", "X"])


def test_toys_give_the_asymptotic_limit_where_events_are_many(model, fits):
    limit = upper_limit(model, fits)
    cls = toy_cls(model, fits, limit.expected[2], 600, seed=3)
    assert cls.failed == 0
    # p(background) is a half, so that CLs = 0.05 has a binomial error of about sqrt(0.025/1500)/0.5
    assert cls.expected[2] == pytest.approx(0.05, abs=4 * np.sqrt(0.025 / 600) / 0.5)


@pytest.mark.parametrize("seed", [1, 2])
def test_toys_of_nearly_empty_regions_all_converge(seed):
    # a handful of events a region: bins without data, QCD at its bound, templates with rates near zero
    sparse = make_histograms(seed=seed, scale=0.012)
    small = Model(build(make_analysis(), sparse)[0])
    best = small.fit(with_covariance=False)
    toys = small.sample(best.values, 200, np.random.default_rng(seed))
    batch = ToyFits(small, best.values, small.parameters.fixed)(toys)
    assert batch.converged.all()
    assert np.isfinite(batch.deviance).all()
    # no lower point nearby: the minima are minima
    shaken = np.clip(
        batch.parameters * np.random.default_rng(seed).uniform(0.9, 1.1, batch.parameters.shape),
        small.parameters.low,
        small.parameters.high,
    )
    assert (small.deviance(shaken, toys) >= batch.deviance - 1e-6).all()


def test_a_toy_limit_that_is_out_of_reach_leaves_the_others(model, fits, monkeypatch):
    table = iter(
        # observed never excluded; the expected ones fall from 0.5 to nothing
        [ToyCLs(0.5, tuple(0.5 * 0.4**k * np.array([1.0, 1.2, 1.4, 1.6, 100.0])), 0) for k in range(9)]
    )

    def cls(model, fits, mu, toys, *, seed):
        found = next(table)
        if found.expected[0] == pytest.approx(0.2):
            raise FitError(f"no toy at mu = {mu:g} could be fitted")
        return found

    monkeypatch.setattr("oddjets.stats.inference.toy_limits.toy_cls", cls)
    found = toy_limit(model, fits, 1000)
    assert np.isnan(found.observed)
    assert np.isfinite(found.expected).tolist() == [True, True, True, True, True]
    assert any(note.startswith("no toy at mu = ") for note in found.notes)
    assert any(note.startswith("the observed limit lies outside of [") for note in found.notes)
