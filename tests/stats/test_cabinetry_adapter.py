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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_the_significance_is_cabinetrys(pair, ours):
    theirs = cabinetry.fit.significance(*pair, strategy=2, tolerance=1e-3)
    found = ours.significance()
    assert type(found) is type(theirs)
    assert found == pytest.approx(theirs, rel=2e-3)


def _strengths(workspace):
    """Two strengths, and one of them fixed."""
    for channel in workspace["channels"]:
        channel["samples"][1]["modifiers"].append({"name": "second", "type": "normfactor", "data": None})
    return workspace


@pytest.fixture(scope="module")
def pairs(pair):
    """What cabinetry can be given: data, the Asimov data of a signal and of none, and the options of the adapter."""
    workspace = random_workspace(1, two_sided=True)
    two = cabinetry.model_utils.model_and_data(_strengths(random_workspace(4, two_sided=True)))
    model, _ = pair
    none = model.config.suggested_init()
    none[model.config.poi_index] = 0.0
    fixed = model.config.suggested_fixed()
    fixed[model.config.par_names.index("n1")] = True
    return {
        "data": (*pair, {}),
        "asimov": (*cabinetry.model_utils.model_and_data(workspace, asimov=True), {}),
        "asimov without signal": (model, model.expected_data(none).tolist(), {}),
        "fixed": (*pair, {"fix_pars": fixed}),
        "two strengths": (*two, {}),
        "the other strength": (*two, {"poi_name": "second"}),
    }


@pytest.mark.parametrize(
    "which", ["data", "asimov", "asimov without signal", "fixed", "two strengths", "the other strength"]
)
def test_every_figure_is_made_of_whatever_there_is_to_fit(tmp_path, pairs, which):
    model, data, options = pairs[which]
    ours = CabinetryAdapter(model, data, **options)
    poi = options.get("poi_name", model.config.poi_name)
    names = [poi, "h1"] if "h1" in model.config.par_names else [poi]
    fit, folder = (
        ours.fit(minos=names, goodness_of_fit=True),
        {"figure_folder": tmp_path, "save_figure": which == "data"},
    )
    assert set(fit.minos_uncertainty) == set(names)
    cabinetry.visualize.pulls(fit, **folder)
    cabinetry.visualize.correlation_matrix(fit, **folder)
    cabinetry.visualize.ranking(ours.ranking(), **folder)
    cabinetry.visualize.scan(ours.scan(poi, n_steps=5), **folder)
    limit = ours.limit()
    cabinetry.visualize.limit(limit, **folder)
    if which == "data":
        made = {f.stem for f in tmp_path.iterdir()}
        assert made == {"pulls", "correlation_matrix", "ranking", "scan_mu", "limit"}
    assert np.isfinite([limit.observed_limit, *limit.expected_limit]).all()
    cabinetry.fit.print_results(fit)
    if which == "asimov":
        assert fit.bestfit[model.config.poi_index] == pytest.approx(1, abs=1e-4)
    if which == "asimov without signal":
        # the background's Asimov data are the data
        assert limit.observed_limit == pytest.approx(limit.expected_limit[2], rel=1e-4)
    if which == "fixed":
        assert fit.uncertainty[model.config.par_names.index("n1")] == 0
    plt.close("all")


def test_what_a_limit_is_beyond_is_in_the_log(caplog, pair):
    model, data = pair
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0.0, 1.2)
    with caplog.at_level(logging.WARNING):
        found = CabinetryAdapter(model, data, par_bounds=bounds).limit()
    assert found.observed_limit > 1.2
    assert "beyond the upper bound 1.2 of mu" in caplog.text


def test_scans_of_what_cannot_move(pair, ours):
    model, data = pair
    fixed = model.config.suggested_fixed()
    fixed[model.config.par_names.index("n1")] = True
    with pytest.raises(OddjetsError, match="'n1' is fixed at 0"):
        CabinetryAdapter(model, data, fix_pars=fixed).scan("n1")
    with pytest.raises(OddjetsError, match=r"par_range: it does not overlap the bounds \[0, 10\] of mu"):
        ours.scan("mu", par_range=(-3, -1))


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
