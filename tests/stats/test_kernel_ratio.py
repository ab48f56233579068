"""The density ratio learnt with kernels: against scipy.optimize, scikit-learn, a known ratio, and a published case."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, norm

from oddjets.stats.kernel_ratio import ComparedSample, KernelBasis, distance_quantiles, fit_ratios


def samples(seed=1, columns=2, data=300, reference=900):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(reference, columns)), rng.normal(0.3, 1.0, size=(data, columns))


def slow_loss(alpha, kernels, of_data, gram, weight, penalty):
    """The loss of all kernels, in their own coefficients, as it is printed in arXiv:2204.02317."""
    f, g = kernels @ alpha, of_data @ alpha
    return weight * np.log1p(np.exp(f)).sum() + np.log1p(np.exp(-g)).sum() + penalty * alpha @ gram @ alpha


def test_the_minimum_is_that_of_scipy_in_the_kernels_own_coefficients():
    reference, data = samples()
    centres, width, penalty = reference[:8], 1.5, 0.05
    basis = KernelBasis.at(centres, width)
    weights = np.full(len(reference), len(data) / len(reference))
    made = fit_ratios(basis.of(reference), weights, [ComparedSample(basis.of(data))], penalty, 1e-12)

    def kernels(x):
        return np.exp(-np.square(x[:, None] - centres[None]).sum(axis=2) / (2 * width**2))

    arguments = (kernels(reference), kernels(data), kernels(centres), weights[0], penalty)
    slow = minimize(slow_loss, np.zeros(8), args=arguments, method="BFGS", options={"gtol": 1e-7, "maxiter": 5000})
    f = basis.of(data) @ made.coefficients[0]
    assert f == pytest.approx(kernels(data) @ slow.x, abs=1e-3)
    t = -2 * (weights[0] * np.expm1(kernels(reference) @ slow.x).sum() - (kernels(data) @ slow.x).sum())
    assert made.statistics[0] == pytest.approx(t, abs=1e-2)


def test_the_minimum_is_that_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    reference, data = samples(2)
    basis = KernelBasis.at(reference[:30], 1.0, 20)
    penalty = 0.1
    weights = np.full(len(reference), len(data) / len(reference))
    made = fit_ratios(basis.of(reference), weights, [ComparedSample(basis.of(data))], penalty, 1e-12)
    # its loss is C sum(weighted loss) + |b|^2 / 2
    other = linear_model.LogisticRegression(C=1 / (2 * penalty), fit_intercept=False, tol=1e-10, max_iter=5000)
    other.fit(
        np.concatenate([basis.of(reference), basis.of(data)]),
        np.repeat([0, 1], [len(reference), len(data)]),
        np.concatenate([weights, np.ones(len(data))]),
    )
    assert made.coefficients[0] == pytest.approx(other.coef_[0], abs=2e-4)


def test_samples_that_are_fitted_together_are_fitted_alone_and_a_part_of_the_reference_is_taken_out():
    reference, data = samples(3)
    basis = KernelBasis.at(reference[:40], 1.0, 15)
    pool = np.concatenate([data, reference])
    each = len(data) / len(reference)
    rng = np.random.default_rng(4)
    chosen = [np.sort(rng.choice(len(pool), len(data), replace=False)) for _ in range(3)]
    values = basis.of(pool)
    together = fit_ratios(
        values, np.full(len(pool), each), [ComparedSample(values[rows], rows) for rows in chosen], 0.01, 1e-12
    )
    for rows, t in zip(chosen, together.statistics, strict=True):
        rest = np.delete(np.arange(len(pool)), rows)
        alone = fit_ratios(values[rest], np.full(len(rest), each), [ComparedSample(values[rows])], 0.01, 1e-12)
        assert t == pytest.approx(alone.statistics[0], abs=1e-6)


def test_a_weight_of_two_is_an_event_twice():
    reference, data = samples(5)
    basis = KernelBasis.at(reference[:40], 1.0, 15)
    weights = np.full(len(reference), 2 * len(data) / len(reference))
    twice = np.concatenate([basis.of(data)] * 2)
    both = fit_ratios(
        basis.of(reference),
        weights,
        [ComparedSample(twice), ComparedSample(basis.of(data), None, np.full(len(data), 2.0))],
        0.01,
        1e-12,
    )
    assert both.statistics[0] == pytest.approx(both.statistics[1], abs=1e-6)


def test_the_learnt_ratio_of_two_normal_densities_is_the_known_one():
    rng = np.random.default_rng(6)
    reference, data = rng.normal(size=(100_000, 1)), rng.normal(0.2, 1.0, size=(20_000, 1))
    basis = KernelBasis.at(reference[:100], 1.5, 12)
    weights = np.full(len(reference), len(data) / len(reference))
    made = fit_ratios(basis.of(reference), weights, [ComparedSample(basis.of(data))], 1e-3)
    x = np.linspace(-1.5, 1.5, 7)[:, None]
    # log N(0.2, 1)/N(0, 1) = 0.2 x - 0.02
    assert basis.of(x) @ made.coefficients[0] == pytest.approx(0.2 * x[:, 0] - 0.02, abs=0.05)
    # twice the log likelihood ratio of the known densities, of these very data, and some dof/1 of overfitting
    known = 2 * (0.2 * data - 0.02).sum()
    assert known - 10 < made.statistics[0] < known + 40


def test_distances_are_those_of_pairs():
    x = np.array([[0.0], [3.0], [4.0]])
    assert distance_quantiles(x, (0.0, 0.5, 1.0), np.random.default_rng(1)) == pytest.approx([1.0, 3.0, 4.0])


def test_the_published_case_in_one_dimension_reduced():
    """arXiv:2204.02317, App. C: a chi2 of 9.58, and Z 2.82 for a peak of 90 events; here in a hundredth of the time."""
    rng = np.random.default_rng(7)
    # in place of 200,000 events, their density on a grid
    grid = (np.arange(2000) + 0.5) * 1.5 / 2000
    basis = KernelBasis.at(rng.exponential(1 / 8, (500, 1)), 0.3)
    reference, weights = basis.of(grid[:, None]), 2000 * 8 * np.exp(-8 * grid) * 1.5 / 2000

    def t(bump, number):
        made = []
        for _ in range(number):
            x = np.concatenate([rng.exponential(1 / 8, rng.poisson(2000)), rng.normal(0.2, 0.02, rng.poisson(bump))])
            made.append(ComparedSample(basis.of(x[:, None])))
        return fit_ratios(reference, weights, made, 2e-5).statistics

    null, peak = t(0, 100), t(90, 60)
    dof = null[null > 0].mean()
    assert dof == pytest.approx(9.58, abs=1.8)
    assert norm.isf(chi2.sf(np.median(peak), dof)) == pytest.approx(2.82, abs=0.7)
