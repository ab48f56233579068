"""Empty bins: a template that a variation turns negative there earns nothing."""

from __future__ import annotations

import numpy as np
import pyhf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from oddjets.stats import Model
from oddjets.stats.histfactory.hessian import hessian
from oddjets.stats.histfactory.results import Data
from oddjets.stats.summary import fit_workspace


@pytest.fixture
def workspace() -> dict:
    """A signal whose shape variation of 150 % makes it negative in the empty bins from one standard deviation on."""
    signal = {
        "name": "signal",
        "data": [6.0, 0.8, 0.6],
        "modifiers": [
            {"name": "mu", "type": "normfactor", "data": None},
            {"name": "jms", "type": "histosys", "data": {"hi_data": [6.0, 2.0, 1.5], "lo_data": [6.0, -0.4, -0.3]}},
            {"name": "mcstat", "type": "staterror", "data": [1.0, 0.8, 0.6]},
        ],
    }
    background = {"name": "background", "data": [5.0, 0.3, 0.2], "modifiers": []}
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[0, 10]], "inits": [1]}]}
    return {
        "channels": [{"name": "A", "samples": [signal, background]}],
        "observations": [{"name": "A", "data": [11.0, 0.0, 0.0]}],
        "measurements": [{"name": "m", "config": config}],
        "version": "1.0.0",
    }


def test_the_fit_does_not_run_away_into_negative_rates(workspace):
    model = Model(workspace, "mu")
    fit = model.fit()
    # against the saturated model no fit can be better than perfect
    assert model.deviance(fit.values, model.data)[0] >= 0
    assert 0.3 < fit["mu"] < 3
    assert abs(fit["jms"]) < 2


def test_bins_held_at_nothing_are_listed_and_the_error_is_the_profiles(workspace):
    result = fit_workspace(workspace)
    assert result["at_kinks"] == ["bin 1 of channel 'A'", "bin 2 of channel 'A'"]
    assert any("held at an expectation of exactly zero" in w for w in result["warnings"])
    assert result["failed"] == []
    poi = result["poi"]
    assert poi["error_kind"] == "profile"
    model = Model(workspace, "mu")
    best = model.fit()
    sides = []
    for sign in (1, -1):
        at = {"start": best.values, "with_covariance": False}
        rise = lambda d, s=sign, a=at: model.fit({"mu": best["mu"] + s * d}, **a).deviance - best.deviance - 1  # noqa: E731
        sides.append(brentq(rise, 1e-3, best["mu"] if sign < 0 else 5, rtol=1e-4))
    assert poi["error"] == pytest.approx(np.mean(sides), rel=1e-3)


def test_bins_that_a_variation_turns_negative_have_no_curvature(workspace):
    """The Hessian is that of finite differences also where the empty bins are below zero, and does not curve down there."""
    model = Model(workspace, "mu")
    point = model.parameters.init.copy()
    point[[model.parameters.index("mu"), model.parameters.index("jms")]] = 1.2, -2.0
    assert (model.expected(point)[1:] < 0).all()
    n, step = len(point), 1e-4
    shifts = step * np.eye(n)
    value = lambda x: 0.5 * model.deviance(x[None], model.data)[0]  # noqa: E731
    slow = np.array(
        [
            [
                sum(a * b * value(point + a * shifts[i] + b * shifts[j]) for a in (1, -1) for b in (1, -1))
                / (4 * step**2)
                for j in range(n)
            ]
            for i in range(n)
        ]
    )
    np.testing.assert_allclose(hessian(model, point, model.data), slow, atol=2e-5)


def kinked(width: float) -> dict:
    """A background whose variation empties a bin without data: 0.1 + alpha events there, 30 + 10 alpha beside it."""
    background = {
        "name": "background",
        "data": [30.0, 0.1],
        "modifiers": [
            {"name": "tilt", "type": "histosys", "data": {"hi_data": [40.0, 1.1], "lo_data": [20.0, -0.9]}},
            {"name": "norm", "type": "normsys", "data": {"hi": 1 + width, "lo": 1 / (1 + width)}},
        ],
    }
    signal = {"name": "s", "data": [1.0, 0.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    config = {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[-50, 50]], "inits": [1]}]}
    return {
        "channels": [{"name": "c", "samples": [signal, background]}],
        "observations": [{"name": "c", "data": [31.0, 0.0]}],
        "measurements": [{"name": "m", "config": config}],
        "version": "1.0.0",
    }


@settings(max_examples=10)
@given(st.floats(0.05, 0.5))
def test_at_a_kink_the_direction_that_leaves_it_is_dropped(width):
    # bin 0 pulls the tilt up, bin 1 holds it where it expects nothing
    model = Model(kinked(width))
    fit = model.fit({"mu": 0.0})
    assert fit.kinks.bins.tolist() == [1]
    assert 0 < fit.kinks.slope[0] < 1
    assert fit["tilt"] == pytest.approx(-0.1, abs=1e-5)
    assert fit.error("tilt") < 1.1e-2
    # what is left is one Poisson bin with a log-normal
    rate, slope = model.expected(fit.values)[0], np.log1p(width)
    curvature = 1 + slope**2 * rate
    assert fit.error("norm") == pytest.approx(1 / np.sqrt(curvature), rel=0.1)


def test_a_minimum_at_a_kink_is_no_higher_than_any_point_of_a_grid():
    model = Model(kinked(0.2))
    fit = model.fit({"mu": 0.0})
    tilt, norm = (a.ravel() for a in np.meshgrid(np.linspace(-1, 1, 201), np.linspace(-2, 2, 201)))
    grid = np.repeat(fit.values[None], tilt.size, axis=0)
    grid[:, model.parameters.index("tilt")], grid[:, model.parameters.index("norm")] = tilt, norm
    data = Data(*(np.repeat(a, tilt.size, axis=0) for a in model.data))
    values = model.deviance(grid, data)
    assert fit.deviance <= values.min() + 1e-9
    assert fit.deviance == pytest.approx(values.min(), abs=2e-3)


def test_the_likelihood_is_that_of_pyhf_with_clipped_bins(workspace):
    model = Model(workspace, "mu")
    clipped = pyhf.Workspace(workspace).model(clip_bin_data=0.0)
    data = pyhf.Workspace(workspace).data(clipped)
    start = np.asarray(clipped.config.suggested_init(), dtype=float)
    names = list(model.parameters.names)
    order = [names.index(n) for n in clipped.config.par_names]
    for jms in (-4.0, -1.5, 0.0, 2.0):
        pars = start.copy()
        pars[clipped.config.par_names.index("jms")] = jms
        pars[clipped.config.par_names.index("mu")] = 2.0
        ours = np.empty(len(names))
        ours[order] = pars
        expected = -2 * float(clipped.logpdf(pars, data)[0])
        assert model.twice_nll(ours) == pytest.approx(expected, abs=1e-6)
