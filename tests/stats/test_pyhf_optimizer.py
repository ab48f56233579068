"""pyhf's own functions on the fast fit."""

from __future__ import annotations

import logging
from contextlib import contextmanager

import numpy as np
import pyhf
import pytest
from helpers.random_workspace import random_workspace

from oddjets.stats import Model, PyhfOptimizer, build, load_workspace

SEEDS = (1, 4, 6, 11)


@contextmanager
def optimizer(chosen):
    """Let pyhf's functions run on this optimizer."""
    before = pyhf.get_backend()
    pyhf.set_backend("numpy", chosen)
    try:
        yield chosen
    finally:
        pyhf.set_backend(*before)


def pair(workspace):
    theirs = pyhf.Workspace(workspace)
    model = theirs.model()
    return model, theirs.data(model)


def minuit():
    return pyhf.optimize.minuit_optimizer(tolerance=1e-3, strategy=2)


def test_pyhf_takes_it():
    before = pyhf.get_backend()[1]
    with optimizer(PyhfOptimizer()) as ours:
        assert pyhf.get_backend()[1] is ours
    assert pyhf.get_backend()[1] is before


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fit_is_minuits_with_its_errors_and_correlations(seed):
    model, data = pair(random_workspace(seed, two_sided=True))
    asked = {"return_uncertainties": True, "return_correlations": True, "return_fitted_val": True}
    with optimizer(minuit()):
        theirs, their_corr, their_value = pyhf.infer.mle.fit(data, model, **asked)
    with optimizer(PyhfOptimizer()):
        ours, corr, value = pyhf.infer.mle.fit(data, model, **asked)
        assert pyhf.infer.mle.twice_nll(ours[:, 0], data, model)[0] == pytest.approx(value, abs=1e-6)
    assert value < their_value + 1e-6
    low, high = np.array(model.config.suggested_bounds()).T
    inside = (theirs[:, 1] > 0) & (ours[:, 0] > low) & (ours[:, 0] < high)
    assert inside.sum() > len(inside) / 2
    assert np.all(np.abs(ours - theirs)[inside, 0] < 0.02 * theirs[inside, 1])
    assert ours[inside, 1] == pytest.approx(theirs[inside, 1], rel=0.05)
    both = np.ix_(inside, inside)
    assert corr[both] == pytest.approx(their_corr[both], abs=0.02)


# MINUIT needs up to a minute for each
@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_cls_and_limits_are_minuits(seed):
    model, data = pair(random_workspace(seed, two_sided=True))
    grid = np.linspace(0, 3, 13)
    found = []
    for chosen in (minuit(), PyhfOptimizer()):
        with optimizer(chosen):
            cls = pyhf.infer.hypotest(1.0, data, model, test_stat="qtilde", return_expected_set=True)
            limit = pyhf.infer.intervals.upper_limits.upper_limit(data, model, grid)
            found.append([float(cls[0]), *map(float, cls[1]), float(limit[0]), *map(float, limit[1])])
    assert found[1] == pytest.approx(found[0], rel=2e-3, abs=1e-5)


def test_the_small_abcd_analysis(histograms, analysis):
    model, data = pair(build(analysis, histograms)[0])
    found = []
    for chosen in (minuit(), PyhfOptimizer()):
        with optimizer(chosen):
            found.append(pyhf.infer.mle.fixed_poi_fit(0.5, data, model, return_fitted_val=True)[1])
    assert found[1] == pytest.approx(found[0], abs=1e-3)
    assert found[1] < found[0] + 1e-6


def test_start_bounds_and_fixed_parameters_are_kept():
    model, data = pair(random_workspace(4, two_sided=True))
    init, bounds = model.config.suggested_init(), model.config.suggested_bounds()
    fixed = model.config.suggested_fixed()
    moved = next(i for i, name in enumerate(model.config.par_names) if name in ("n1", "h1", "h2"))
    init[moved], fixed[moved] = 0.7, True
    poi = model.config.poi_index
    bounds[poi] = (0.25, 0.5)
    init[poi] = 0.3
    with optimizer(PyhfOptimizer()):
        ours, result = pyhf.infer.mle.fit(
            data, model, init, bounds, fixed, return_uncertainties=True, return_result_obj=True
        )
    assert ours[moved].tolist() == [0.7, 0.0]
    assert 0.25 <= ours[poi, 0] <= 0.5
    assert ours[poi, 1] > 0
    assert result.success
    assert result.corr[moved].tolist() == [0.0] * len(init)
    assert result.fun == pytest.approx(-2 * model.logpdf(ours[:, 0], data)[0])
    with optimizer(PyhfOptimizer()):
        again = pyhf.infer.mle.fit(data, model)
    assert again[moved] != 0.7


def test_what_the_model_holds_is_freed_where_asked():
    workspace = random_workspace(4, two_sided=True)
    workspace["measurements"][0]["config"]["parameters"][0]["fixed"] = True
    model, data = pair(workspace)
    with optimizer(PyhfOptimizer()):
        held = pyhf.infer.mle.fit(data, model)
        free = pyhf.infer.mle.fit(data, model, fixed_params=[False] * len(held))
    assert held[model.config.poi_index] == 1.0
    assert free[model.config.poi_index] != 1.0


def test_auxiliary_data_count():
    model, data = pair(random_workspace(1, two_sided=True))
    data = np.asarray(data)
    with optimizer(PyhfOptimizer()):
        one = pyhf.infer.mle.fit(data, model, return_fitted_val=True)[1]
        shifted = data + np.where(np.arange(len(data)) >= model.config.nmaindata, 0.5, 0.0)
        pars, two = pyhf.infer.mle.fit(shifted, model, return_fitted_val=True)
    assert two == pytest.approx(-2 * model.logpdf(pars, shifted)[0], abs=1e-6)
    assert abs(one - two) > 1e-3


def test_a_model_is_read_once(monkeypatch):
    model, data = pair(random_workspace(1))
    read = []
    monkeypatch.setattr("oddjets.stats.pyhf_optimizer.HistFactoryModel", lambda w: read.append(1) or Model(w))
    with optimizer(PyhfOptimizer()):
        pyhf.infer.hypotest(1.0, data, model)
        pyhf.infer.mle.fit(data, model)
    assert len(read) == 1


def test_toys_run_on_it():
    model, data = pair(random_workspace(1, two_sided=True))
    with optimizer(PyhfOptimizer()):
        toys = pyhf.infer.calculators.ToyCalculator(data, model, ntoys=20, track_progress=False)
        signal, background = toys.distributions(1.0)
    assert signal.pvalue(0.0) == background.pvalue(0.0) == 1


@pytest.mark.parametrize("what", ["interpolation", "objective", "clip", "applier"])
def test_what_it_does_not_know_is_left_to_pyhf_and_said_once(what, caplog):
    workspace = pyhf.Workspace(random_workspace(1, two_sided=True))
    options = {}
    if what == "interpolation":
        options = {"modifier_settings": {"normsys": {"interpcode": "code1"}, "histosys": {"interpcode": "code0"}}}
    elif what == "clip":
        options = {"clip_bin_data": 0.0}
    model = workspace.model(**options)
    if what == "applier":
        appliers = model.main_model.modifiers_appliers
        appliers["normfactor"] = Wrapped(appliers["normfactor"])
    data = workspace.data(model)
    objective = (lambda *a: pyhf.infer.mle.twice_nll(*a)) if what == "objective" else pyhf.infer.mle.twice_nll
    init, bounds = model.config.suggested_init(), model.config.suggested_bounds()
    with optimizer(PyhfOptimizer()) as ours, caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = ours.minimize(objective, data, model, init, bounds, return_fitted_val=True)[1]
    said = [r.message for r in caplog.records if "instead of the fast fit" in r.message]
    assert len(said) == 1
    assert said[0].startswith("the fit uses pyhf's minuit")
    with optimizer(pyhf.optimize.minuit_optimizer()) as theirs:
        assert found == theirs.minimize(objective, data, model, init, bounds, return_fitted_val=True)[1]


class Wrapped:
    """Somebody's own modifier."""

    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def apply(self, pars):
        return self.inner.apply(pars)


def test_a_failure_is_pyhfs():
    model = pyhf.simplemodels.uncorrelated_background([5.0], [0.0], [0.0])
    with optimizer(PyhfOptimizer()), pytest.raises(pyhf.exceptions.FailedMinimization, match="has 3 events where"):
        pyhf.infer.mle.fit([3.0, *model.config.auxdata], model, init_pars=[0.0, 1.0], fixed_params=[True, False])


def test_errors_that_the_data_leave_open():
    model = pyhf.Model(
        {
            "channels": [
                {
                    "name": "c",
                    "samples": [
                        {
                            "name": n,
                            "data": [10.0],
                            "modifiers": [{"name": f"mu{n}", "type": "normfactor", "data": None}],
                        }
                        for n in "ab"
                    ],
                }
            ]
        },
        poi_name="mua",
    )
    with optimizer(PyhfOptimizer()):
        assert pyhf.infer.mle.fit([25.0], model, return_fitted_val=True)[0].sum() == pytest.approx(2.5)
        with pytest.raises(pyhf.exceptions.FailedMinimization, match="cannot tell"):
            pyhf.infer.mle.fit([25.0], model, return_uncertainties=True)


def test_options():
    model, data = pair(random_workspace(1))
    with optimizer(PyhfOptimizer()):
        pyhf.infer.mle.fit(data, model, maxiter=10, tolerance=1e-3, strategy=1)
        with pytest.raises(pyhf.exceptions.Unsupported, match="stratagy"):
            pyhf.infer.mle.fit(data, model, stratagy=1)


def test_a_published_workspace(shared_dir):
    file = shared_dir / "data" / "workspaces" / "atlas_ttz_4l.json.xz"
    if not file.is_file():
        pytest.skip(f"needs the published workspace {file.name}")
    model, data = pair(load_workspace(file))
    found = []
    for chosen in (pyhf.optimize.scipy_optimizer(), PyhfOptimizer()):
        with optimizer(chosen):
            found.append(pyhf.infer.mle.fit(data, model, return_fitted_val=True))
    (theirs, their_value), (ours, value) = found
    assert value == pytest.approx(-2 * model.logpdf(ours, data)[0], abs=1e-6)
    assert value < their_value + 1e-6
    # the strength's error is 0.18
    assert abs(ours - theirs)[model.config.poi_index] < 1e-3
