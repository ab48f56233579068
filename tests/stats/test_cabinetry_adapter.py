"""cabinetry's figures from the fast fit, and its numbers."""

from __future__ import annotations

import logging
import sys

import matplotlib.pyplot as plt
import numpy as np
import pyhf
import pytest
from helpers.random_workspace import random_workspace

from oddjets.core.errors import OddjetsError
from oddjets.stats import CabinetryAdapter, build

cabinetry = pytest.importorskip("cabinetry", reason="needs cabinetry: pip install cabinetry")


@pytest.fixture(scope="module")
def pair():
    logging.getLogger("cabinetry").setLevel(logging.WARNING)
    return cabinetry.model_utils.model_and_data(random_workspace(1, two_sided=True))


@pytest.fixture(scope="module")
def ours(pair):
    return CabinetryAdapter(*pair)


def test_the_fit_is_cabinetrys_with_minos_and_goodness(pair, ours):
    theirs = cabinetry.fit.fit(*pair, minos="mu", goodness_of_fit=True, strategy=2, tolerance=1e-3)
    found = ours.fit(minos="mu", goodness_of_fit=True)
    assert type(found) is type(theirs)
    assert found.labels == theirs.labels
    assert found.best_twice_nll == pytest.approx(theirs.best_twice_nll, abs=1e-3)
    assert found.best_twice_nll < theirs.best_twice_nll + 1e-6
    free = theirs.uncertainty > 0
    assert np.all(np.abs(found.bestfit - theirs.bestfit)[free] < 0.02 * theirs.uncertainty[free])
    assert found.uncertainty == pytest.approx(theirs.uncertainty, rel=0.02)
    assert found.corr_mat == pytest.approx(theirs.corr_mat, abs=0.02)
    assert found.goodness_of_fit == pytest.approx(theirs.goodness_of_fit, abs=1e-3)
    assert found.minos_uncertainty["mu"] == pytest.approx(theirs.minos_uncertainty["mu"], rel=0.01)


def test_the_ranking_is_cabinetrys(pair, ours):
    theirs = cabinetry.fit.ranking(*pair, strategy=2, tolerance=1e-3)
    found = ours.ranking()
    assert found.labels == theirs.labels
    error = ours.fit().uncertainty[pair[0].config.poi_index]
    for name in ("prefit_up", "prefit_down", "postfit_up", "postfit_down"):
        assert getattr(found, name) == pytest.approx(getattr(theirs, name), abs=0.02 * error)


def test_the_scan_is_cabinetrys(pair, ours):
    theirs = cabinetry.fit.scan(*pair, "mu", n_steps=5, strategy=2, tolerance=1e-3)
    found = ours.scan("mu", par_range=(theirs.parameter_values[0], theirs.parameter_values[-1]), n_steps=5)
    assert found.parameter_values == pytest.approx(theirs.parameter_values)
    assert found.delta_nlls == pytest.approx(theirs.delta_nlls, abs=2e-3)


def test_the_limits_are_cabinetrys(pair, ours):
    theirs = cabinetry.fit.limit(*pair, poi_tolerance=1e-4, tolerance=1e-3, strategy=2)
    found = ours.limit()
    assert found.observed_limit == pytest.approx(theirs.observed_limit, rel=3e-3)
    assert found.expected_limit == pytest.approx(theirs.expected_limit, rel=3e-3)
    for mine, other in (
        (found.observed_CLs, theirs.observed_CLs),
        (found.expected_CLs[:, 2], theirs.expected_CLs[:, 2]),
    ):
        assert np.interp(theirs.poi_values[1:-1], found.poi_values, mine) == pytest.approx(other[1:-1], abs=0.03)
    at_limit = np.flatnonzero(found.poi_values == found.observed_limit)
    assert found.observed_CLs[at_limit] == pytest.approx(0.05, abs=1e-4)


def test_every_figure_is_made(tmp_path, ours):
    fit = ours.fit()
    options = {"figure_folder": tmp_path}
    cabinetry.visualize.pulls(fit, **options)
    cabinetry.visualize.correlation_matrix(fit, **options)
    cabinetry.visualize.ranking(ours.ranking(), **options)
    cabinetry.visualize.scan(ours.scan("mu"), **options)
    cabinetry.visualize.limit(ours.limit(), **options)
    assert {f.stem for f in tmp_path.iterdir()} == {"pulls", "correlation_matrix", "ranking", "scan_mu", "limit"}
    plt.close("all")


def test_data_and_model_after_the_fit(tmp_path, pair, ours):
    prediction = cabinetry.model_utils.prediction(pair[0], fit_results=ours.fit())
    cabinetry.visualize.data_mc(prediction, pair[1], figure_folder=tmp_path, close_figure=True)
    assert len(list(tmp_path.iterdir())) == len(pair[0].config.channels)


def test_the_small_abcd_analysis(histograms, analysis):
    model, data = cabinetry.model_utils.model_and_data(build(analysis, histograms)[0])
    found = CabinetryAdapter(model, data)
    assert found.fit().best_twice_nll == pytest.approx(float(-2 * model.logpdf(found.fit().bestfit, data)[0]), abs=1e-6)
    ranking = found.ranking()
    assert len(ranking.labels) == model.config.npars - 1
    jes = ranking.labels.index("jes")
    assert ranking.postfit_up[jes] * ranking.postfit_down[jes] <= 0


def test_bounds_held_parameters_and_another_parameter_of_interest(pair):
    model, data = pair
    bounds, fixed = model.config.suggested_bounds(), model.config.suggested_fixed()
    bounds[model.config.poi_index] = (1.2, 1.5)
    init = model.config.suggested_init()
    init[model.config.poi_index] = 1.3
    fixed[model.config.par_names.index("n1")] = True
    other = CabinetryAdapter(model, data, poi_name="h1", init_pars=init, fix_pars=fixed, par_bounds=bounds)
    fit = other.fit()
    assert 1.2 <= fit.bestfit[model.config.poi_index] <= 1.5
    assert fit.uncertainty[model.config.par_names.index("n1")] == 0
    assert "h1" not in other.ranking().labels


def test_no_parameter_of_interest():
    model = pyhf.Model(pyhf.simplemodels.uncorrelated_background([5.0], [50.0], [7.0]).spec, poi_name="")
    found = CabinetryAdapter(model, [55.0, *model.config.auxdata])
    for ask in (found.ranking, found.limit):
        with pytest.raises(OddjetsError, match="names no parameter of interest; give one as poi_name"):
            ask()


def test_without_cabinetry(monkeypatch, pair):
    monkeypatch.setitem(sys.modules, "cabinetry.fit", None)
    with pytest.raises(OddjetsError, match="pip install cabinetry"):
        CabinetryAdapter(*pair)
