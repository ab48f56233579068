"""The fast likelihood and its minimum against pyhf's."""

from __future__ import annotations

import numpy as np
import pyhf
import pytest
from helpers.random_workspace import random_point, random_workspace
from helpers.small_fit import make_analysis, make_histograms
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from oddjets.stats import Model
from oddjets.stats.histfactory.hessian import SingularModelError, covariance, hessian
from oddjets.stats.histfactory.results import Data, FitError
from oddjets.stats.histfactory.starts import NonlinearParameters
from oddjets.stats.workspace import build

seeds = st.integers(0, 2**31)


@settings(max_examples=30)
@given(seed=seeds, low=st.booleans())
def test_the_likelihood_equals_pyhfs_at_any_point(seed, low):
    model = Model(random_workspace(seed, low_counts=low))
    point = random_point(model, seed + 1)
    expected = -2 * model.spec.pyhf_model.logpdf(point, model.spec.pyhf_data)[0]
    assert model.twice_nll(point) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=15)
@given(seed=seeds)
def test_expected_yields_equal_pyhfs(seed):
    model = Model(random_workspace(seed))
    points = np.stack([random_point(model, seed + k) for k in range(3)])
    for point, mine in zip(points, model.expected(points), strict=True):
        np.testing.assert_allclose(mine, model.spec.pyhf_model.expected_data(point, include_auxdata=False), rtol=1e-10)


def _pyhf_minimum(model, start, optimizer):
    pyhf.set_backend("numpy", optimizer)
    try:
        _, value = pyhf.infer.mle.fit(
            model.spec.pyhf_data, model.spec.pyhf_model, init_pars=start.tolist(), return_fitted_val=True
        )
        return float(value)
    except pyhf.exceptions.FailedMinimization:
        return None
    finally:
        pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer())


@pytest.mark.filterwarnings("ignore:Values in x were outside bounds:RuntimeWarning")  # SLSQP's own
@pytest.mark.filterwarnings(
    "ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning"
)  # pyhf's steps
@settings(max_examples=8)
@given(seed=seeds, low=st.booleans())
@example(seed=1221330, low=True)  # two minima
def test_the_minimum_is_pyhfs_or_lower_and_pyhf_started_there_finds_nothing_else(seed, low):
    model = Model(random_workspace(seed, low_counts=low))
    fit = model.fit(with_covariance=False)
    for optimizer in (pyhf.optimize.scipy_optimizer(), pyhf.optimize.minuit_optimizer()):
        alone = _pyhf_minimum(model, model.parameters.init, optimizer)
        there = _pyhf_minimum(model, fit.values, optimizer)
        assert alone is None or fit.twice_nll <= alone + 1e-6
        assert there is None or abs(fit.twice_nll - there) < 1e-5


def test_the_lower_of_two_minima_is_found():
    # up and down variations that go the same way: the nominal value is a stationary point between two minima
    workspace = _counting(signal=1.0, background=100.0, data=130.0)
    shape = {"name": "shape", "type": "histosys", "data": {"hi_data": [125.0], "lo_data": [126.0]}}
    workspace["channels"][0]["samples"][1]["modifiers"].append(shape)
    model = Model(workspace)
    fit = model.fit({"mu": 0.0}, with_covariance=False)
    assert [model.parameters.names[i] for i in model.nonlinear.one_sided] == ["shape"]
    grid = np.repeat(fit.values[None], 801, axis=0)
    grid[:, model.parameters.index("shape")] = np.linspace(-4, 4, 801)
    values = model.deviance(grid, Data(*(np.repeat(a, 801, axis=0) for a in model.data)))
    assert fit.deviance <= values.min() + 1e-9
    assert fit["shape"] < 0


@settings(max_examples=20)
@given(seed=seeds)
def test_the_covariance_is_the_inverse_of_the_hessian(seed):
    model = Model(random_workspace(seed))
    best = model.fit(with_covariance=False)
    free = ~model.parameters.fixed & ~np.isin(model.parameters.names, best.at_bounds)
    try:
        parts, idle, held = covariance(model, best.values, model.data, free)
    except SingularModelError:
        reject()
    found = parts.dense()
    np.testing.assert_allclose(parts.diagonal, np.diag(found), rtol=1e-12)
    some = np.arange(0, len(free), 2)
    np.testing.assert_allclose(parts.among(some), found[np.ix_(some, some)], rtol=1e-12, atol=1e-15)
    free[idle] = False
    scale = np.sqrt(np.abs(np.diag(found)))[free]
    expected = np.linalg.inv(hessian(model, best.values, model.data, held)[np.ix_(free, free)])
    difference = (found[np.ix_(free, free)] - expected) / scale[:, None] / scale
    assert np.abs(difference).max() < 1e-6
    assert not found[~free].any()
    assert not found[:, ~free].any()


@settings(max_examples=10)
@given(seed=seeds)
def test_the_hessian_is_the_second_derivative(seed):
    model = Model(random_workspace(seed))
    point = random_point(model, seed)
    point[model.layout.global_pars] += 1e-3  # away from the joints of the interpolation at -1, 0 and 1
    matrix = hessian(model, point, model.data)
    step = 1e-4
    n = len(point)
    rng = np.random.default_rng(seed)
    for _ in range(6):
        i, k = rng.integers(n, size=2)
        corners = np.repeat(point[None], 4, axis=0)
        corners[[0, 1], i] += step
        corners[[2, 3], i] -= step
        corners[[0, 2], k] += step
        corners[[1, 3], k] -= step
        f = 0.5 * model.deviance(corners, Data(*(np.repeat(a, 4, axis=0) for a in model.data)))
        numeric = (f[0] - f[1] - f[2] + f[3]) / (4 * step**2)
        assert matrix[i, k] == pytest.approx(numeric, rel=2e-3, abs=2e-3 * np.sqrt(abs(matrix[i, i] * matrix[k, k])))


@settings(max_examples=10)
@given(seed=seeds, low=st.booleans())
def test_a_fit_in_a_batch_is_the_fit_alone(seed, low):
    model = Model(random_workspace(seed, low_counts=low))
    toys = model.sample(model.parameters.init, 5, np.random.default_rng(seed))
    held = np.zeros(len(model.parameters), dtype=bool)
    together = model.fit_batch(toys, model.parameters.init, held)
    assert together.converged.all()
    for k in range(5):
        alone = model.fit_batch(Data(toys.main[k : k + 1], toys.aux[k : k + 1]), model.parameters.init, held)
        assert alone.deviance[0] == pytest.approx(together.deviance[k], abs=1e-7)


@settings(max_examples=10)
@given(seed=seeds)
def test_the_asimov_fit_returns_the_truth(seed):
    model = Model(random_workspace(seed))
    truth = random_point(model, seed)
    fit = model.fit(data=model.asimov(truth), with_covariance=False)
    assert fit.deviance == pytest.approx(0.0, abs=1e-7)


def test_errors_agree_with_minuit():
    workspace, _ = build(make_analysis(regions=["SR"]), make_histograms())
    model = Model(workspace)
    fit = model.fit()
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer())
    try:
        best = pyhf.infer.mle.fit(
            model.spec.pyhf_data, model.spec.pyhf_model, init_pars=fit.values.tolist(), return_uncertainties=True
        )
    finally:
        pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer())
    index = model.parameters.index("mu")
    assert fit.error("mu") == pytest.approx(best[index, 1], rel=0.02)


def test_a_fit_leaves_a_saddle_point():
    # the data lie above the nominal; the variation raises the yield on both sides and by as much: at 0 the slope vanishes
    workspace = _counting(signal=1.0, background=100.0, data=125.0)
    shape = {"name": "shape", "type": "histosys", "data": {"hi_data": [110.0], "lo_data": [110.0]}}
    workspace["channels"][0]["samples"][1]["modifiers"].append(shape)
    model = Model(workspace)
    none = np.zeros(0, dtype=int)
    model.nonlinear = NonlinearParameters(none, none, none, none, none)  # else both sides are tried anyway
    fit = model.fit({"mu": 0.0})
    assert abs(fit["shape"]) > 0.5
    assert fit.error("shape") > 0


def test_held_parameters_stay():
    model = Model(random_workspace(7))
    fit = model.fit({"mu": 2.5, "h1": 0.3} if "h1" in model.parameters.names else {"mu": 2.5})
    assert fit["mu"] == 2.5
    assert fit.error("mu") == 0


def test_a_held_gamma_equals_pyhf_with_it_fixed():
    workspace, _ = build(make_analysis(), make_histograms())
    model = Model(workspace)
    name = "mcstat_top_SR_A[3]"
    fit = model.fit({name: 1.2}, with_covariance=False)
    fixed = model.spec.pyhf_model.config.suggested_fixed()
    fixed[model.parameters.index(name)] = True
    _, value = pyhf.infer.mle.fit(
        model.spec.pyhf_data,
        model.spec.pyhf_model,
        init_pars=fit.values.tolist(),
        fixed_params=fixed,
        return_fitted_val=True,
    )
    assert fit.twice_nll == pytest.approx(float(value), abs=1e-5)
    assert fit[name] == 1.2


def _counting(signal=10.0, background=50.0, data=55.0, extra=()):
    modifiers = [{"name": "mu", "type": "normfactor", "data": None}, *extra]
    return {
        "channels": [
            {
                "name": "c",
                "samples": [
                    {"name": "s", "data": [signal], "modifiers": modifiers},
                    {"name": "b", "data": [background], "modifiers": []},
                ],
            }
        ],
        "observations": [{"name": "c", "data": [data]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def test_a_counting_experiment_has_the_known_answer():
    fit = Model(_counting()).fit()
    assert fit["mu"] == pytest.approx(0.5, abs=1e-6)
    assert fit.error("mu") == pytest.approx(np.sqrt(55) / 10, rel=1e-6)


def test_two_names_for_one_direction_are_refused():
    workspace = _counting(extra=[{"name": "twin", "type": "normfactor", "data": None}])
    with pytest.raises(SingularModelError, match=r"cannot tell these parameters apart: (mu, twin|twin, mu)"):
        Model(workspace).fit()


def test_a_parameter_at_its_bound_is_flagged():
    fit = Model(_counting(data=30.0)).fit()
    assert fit["mu"] == 0
    assert fit.at_bounds == ("mu",)


def test_data_where_nothing_is_expected_are_an_error():
    with pytest.raises(FitError, match="bin 0 of channel 'c' has 3 events where the model starts with 0"):
        Model(_counting(signal=1.0, background=0.0, data=3.0)).fit({"mu": 0.0})


def test_a_fit_that_does_not_converge_is_no_result(monkeypatch):
    monkeypatch.setattr("oddjets.stats.histfactory.newton.MAX_ITERATIONS", 0)
    with pytest.raises(FitError, match="did not converge"):
        Model(random_workspace(1)).fit()
