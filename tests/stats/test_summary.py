"""results.json: its keys, its numbers, and that others can use our workspace."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyhf
import pytest
from helpers.random_workspace import random_workspace
from helpers.small_fit import make_analysis, make_histograms
from scipy.optimize import brentq

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model
from oddjets.stats.fitted_yields import split_channel
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference.estimates import best_fits
from oddjets.stats.inference.postfit import SampleModel
from oddjets.stats.strengths import strengths
from oddjets.stats.summary import fit_workspace
from oddjets.stats.summary_lines import summary
from oddjets.stats.workspace import build


@pytest.fixture(scope="module")
def built():
    return build(make_analysis(), make_histograms())


@pytest.fixture(scope="module")
def result(built):
    workspace, report = built
    return fit_workspace(workspace, gof_toys=20, gof_letters=["A"], progress=False, report=report)


def test_the_results_have_their_keys_and_are_json(result):
    keys = {
        "poi", "pois", "significance", "twice_nll", "yields", "pulls", "correlation", "limit", "scan", "gof", "impacts",
        "at_bounds", "warnings", "convergence", "timing_s",
    }  # fmt: skip
    assert keys <= set(result)
    json.dumps(result, allow_nan=False)


def test_twice_nll_is_pyhfs_at_the_fitted_point(built, result):
    model = Model(built[0])
    best = model.fit()
    value = -2 * model.spec.pyhf_model.logpdf(best.values, model.spec.pyhf_data)[0]
    assert result["twice_nll"]["signal_plus_background"] == pytest.approx(float(value), abs=1e-6)
    assert best.twice_nll == pytest.approx(float(value), abs=1e-6)


def test_q0_is_the_difference_of_the_two(result):
    nll = result["twice_nll"]
    assert result["significance"]["q0"] == pytest.approx(nll["background"] - nll["signal_plus_background"], abs=1e-6)


def test_the_injected_signal_is_found(result):
    assert result["significance"]["z"] > 3
    assert abs(result["poi"]["value"] - 1) < 3 * result["poi"]["error"]


def test_totals_are_the_sum_of_the_processes(result):
    for letters in result["yields"].values():
        for channel in letters.values():
            for fitted in (channel["background_only"], channel["signal_plus_background"]):
                parts = sum(np.array(v["values"]) for k, v in fitted.items() if k != "total")
                np.testing.assert_allclose(parts, fitted["total"]["values"])


def test_the_background_fit_has_no_signal(result):
    assert not np.any(result["yields"]["SR"]["A"]["background_only"]["top"]["values"])


def test_what_qcd_absorbs_is_passed_on(built, result):
    assert result["absorbed"] == built[1]["absorbed"]
    assert set(result["absorbed"]) == {"SR", "VR1"}


def test_edges_come_from_the_report(built, result):
    assert result["yields"]["SR"]["A"]["edges"] == built[1]["edges"]["SR"]


def test_yield_errors_equal_those_of_sampled_parameters(built):
    model = Model(built[0])
    fits = best_fits(model)
    part = model.spec.slices["SR_A"]
    errors = SampleModel(model).with_errors(fits.best)["SR_A"].total_error
    rng = np.random.default_rng(1)
    # small excursions, where the yields are linear
    excursions = rng.multivariate_normal(np.zeros(len(fits.best.values)), fits.best.covariance * 1e-4, 4000)
    spread = model.expected(fits.best.values + excursions)[:, part].std(axis=0)
    np.testing.assert_allclose(spread, 0.01 * errors, rtol=0.06)


def test_prefit_yields_are_the_templates(built, result):
    workspace, _ = built
    channel = next(c for c in workspace["channels"] if c["name"] == "VR1_C")
    for sample in channel["samples"]:
        np.testing.assert_allclose(result["yields"]["VR1"]["C"]["prefit"][sample["name"]], sample["data"])


def test_any_workspace_can_be_fitted():
    result = fit_workspace(random_workspace(5), impacts=False, scan=False, limit=False)
    assert set(result["yields"]) == {c["name"] for c in random_workspace(5)["channels"]}


def test_a_factor_called_sf_is_a_strength_in_anybodys_workspace(built):
    workspace = random_workspace(5)
    workspace["channels"][0]["samples"][-1]["modifiers"].append({"name": "sf", "type": "normfactor", "data": None})
    ask = {"limit": False, "impacts": False, "scan": False, "progress": False}
    assert "sf" in {strength["name"] for strength in fit_workspace(workspace, **ask)["pois"]}
    # in a workspace of ours it is the common factor of the simulation
    assert "sf" not in {strength["name"] for strength in fit_workspace(workspace, report=built[1], **ask)["pois"]}


def test_a_scan_of_another_parameter(built):
    result = fit_workspace(built[0], limit=False, impacts=False, scan_parameter="jes")
    assert result["scan"]["name"] == "jes"


def test_the_same_seed_gives_the_same_results(built):
    first, second = (
        fit_workspace(built[0], impacts=False, scan=False, limit=False, gof_toys=30, seed=4, progress=False)
        for _ in "ab"
    )
    assert first["gof"] == second["gof"]


def test_channels_split_into_region_and_letter():
    assert split_channel("SR1_A") == ("SR1", "A")
    assert split_channel("my_region") == ("my_region", "")


def test_a_factor_at_its_bound_is_warned_about(built):
    workspace, _ = build(make_analysis(poi={"process": "top", "bounds": [0, 0.3]}), make_histograms(strength=2))
    result = fit_workspace(workspace, limit=False, impacts=False, scan=False)
    assert result["poi"]["at_boundary"]
    assert any(w.startswith("mu = 0.3 ends within 1 % of a bound") for w in result["warnings"])


def test_a_factor_more_than_one_sigma_from_its_bound_is_not(built):
    workspace, _ = build(make_analysis(poi={"process": "top", "bounds": [0, 1000]}), make_histograms(strength=2))
    result = fit_workspace(workspace, limit=False, impacts=False, scan=False)
    assert result["poi"]["error"] < result["poi"]["value"] < 10
    assert not any("ends within 1 %" in w for w in result["warnings"])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cabinetry_fits_our_workspace_to_the_same_strength():
    cabinetry = pytest.importorskip("cabinetry")
    workspace, _ = build(make_analysis(regions=["SR"]), make_histograms())
    ours = Model(workspace).fit()
    model, data = cabinetry.model_utils.model_and_data(workspace)
    found = cabinetry.fit.fit(model, data)
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer())
    k = found.labels.index("mu")
    assert found.bestfit[k] == pytest.approx(ours["mu"], abs=0.02 * ours.error("mu"))
    assert found.uncertainty[k] == pytest.approx(ours.error("mu"), rel=0.03)


@pytest.mark.slow
def test_toys_stand_beside_the_asymptotic_numbers():
    workspace, _ = build(make_analysis(regions=["SR"]), make_histograms())
    result = fit_workspace(workspace, impacts=False, scan=False, toys=200, progress=False)
    # z is near 3 or above: at most a few of 200 background toys reach it
    found = result["significance"]["toys"]
    assert found["failed"] == 0
    assert found["p_value"] <= 4 / 201
    expected, toys = result["limit"]["expected"][2], result["limit"]["toys"]["expected"][2]
    assert toys == pytest.approx(expected, rel=0.25)


def _without(parameter):
    """A `Model.fit_batch` whose refits never converge while this parameter, and only it, is held."""
    original = Model.fit_batch

    def fit_batch(model, data, start, held, *, restarts=False):
        batch = original(model, data, start, held, restarts=restarts)
        rows = np.broadcast_to(held, batch.parameters.shape)
        alone = rows[:, model.parameters.index(parameter)] & (rows.sum(axis=1) == 1)
        return batch._replace(converged=batch.converged & ~alone)

    return fit_batch


def test_a_refit_that_fails_costs_only_its_own_impact(built, monkeypatch):
    monkeypatch.setattr(HistFactoryModel, "fit_batch", _without("jes"))
    result = fit_workspace(built[0], limit=False, scan=False)
    names = {impact["name"] for impact in result["impacts"]}
    assert "jes" not in names
    assert {"isr_top", "mcstat_top_SR_A[1]", "mcstat_top_SR_A[3]"} <= names
    assert [f["question"] for f in result["failed"]] == ["impacts"]
    assert any("the refits of jes did not converge" in w for w in result["warnings"])


@pytest.mark.parametrize("question", ["limit", "scan", "gof"])
def test_a_question_that_fails_is_left_out_and_listed(built, monkeypatch, question):
    def fail(*_, **__):
        raise FitError("no fit")

    places = {"limit": "summary.upper_limit", "scan": "inference.scans.scan", "gof": "summary.goodness_of_fit"}
    monkeypatch.setattr(f"oddjets.stats.{places[question]}", fail)
    result = fit_workspace(built[0], impacts=False, gof_toys=3, progress=False)
    assert question not in result
    assert {"limit", "scan", "gof"} - {question} <= set(result)
    assert result["failed"] == [{"question": question, "reason": "no fit"}]
    assert f"{question}: no fit" in result["warnings"]


def test_best_fits_that_fail_are_no_result(built, monkeypatch):
    monkeypatch.setattr(HistFactoryModel, "fit_batch", _without("mu"))
    with pytest.raises(FitError, match="did not converge"):
        fit_workspace(built[0])


def _counting(data):
    signal = {"name": "s", "data": [10.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    return {
        "channels": [{"name": "c", "samples": [signal, {"name": "b", "data": [50.0], "modifiers": []}]}],
        "observations": [{"name": "c", "data": [data]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def test_at_a_bound_the_error_is_where_the_likelihood_has_risen_by_one():
    # 40 events where 50 are expected without signal: mu ends at 0
    expected = brentq(lambda mu: 2 * (10 * mu - 40 * np.log(1 + 10 * mu / 50)) - 1, 1e-6, 10)
    poi = fit_workspace(_counting(40.0))["poi"]
    assert (poi["value"], poi["at_boundary"], poi["error_kind"]) == (0.0, True, "one-sided")
    assert poi["error"] == pytest.approx(expected, rel=1e-4)


def test_away_from_the_bounds_the_error_is_symmetric():
    poi = fit_workspace(_counting(75.0))["poi"]
    assert (poi["error_kind"], poi["error"]) == ("symmetric", pytest.approx(np.sqrt(75) / 10, rel=1e-6))


def test_the_error_of_a_sum_has_the_bins_covariance(built, result):
    model = Model(built[0])
    best = best_fits(model).best
    part = model.spec.slices["SR_A"]
    # small excursions, where the yields are linear
    excursions = np.random.default_rng(1).multivariate_normal(np.zeros(len(best.values)), best.covariance * 1e-4, 4000)
    spread = model.expected(best.values + excursions)[:, part].sum(axis=1).std()
    total = result["yields"]["SR"]["A"]["signal_plus_background"]["total"]
    assert 0.01 * total["sum"]["error"] == pytest.approx(spread, rel=0.06)
    assert total["sum"]["value"] == pytest.approx(sum(total["values"]))
    assert total["sum"]["error"] < sum(total["errors"])


def test_it_is_said_which_parameter_is_tested():
    workspace = random_workspace(1, two_sided=True)
    usual = fit_workspace(workspace, impacts=False, progress=False)
    said = "\n".join(summary(usual))
    assert f"significance of mu > 0: {usual['significance']['z']:.2f}" in said
    assert f"upper limit on mu {usual['limit']['observed']:.3g} at 95%" in said
    assert usual["tested"]["kind"] == "strength"
    assert "auxiliary measurement" not in said
    other = fit_workspace(workspace, poi="h1", impacts=False, progress=False)
    said = "\n".join(summary(other))
    assert f"significance of h1 > 0: {other['significance']['z']:.2f}" in said
    assert f"upper limit on h1 {other['limit']['observed']:.3g} at 95%" in said
    assert other["tested"]["kind"] == "nuisance"
    assert other["significance"]["tests"] == "h1 = 0 against h1 > 0"
    assert other["limit"]["parameter"] == "h1"
    assert "warning: h1 has an auxiliary measurement: the significance tests h1 = 0 against h1 > 0" in said
    assert "the background-only fit is the one with h1 = 0" in said
    # and so they are: the numbers of the fits with h1 held at zero
    model = Model(workspace, "h1")
    held, best = model.fit({"h1": 0.0}), model.fit()
    q0 = held.deviance - best.deviance if best["h1"] > 0 else 0.0
    assert other["significance"]["q0"] == pytest.approx(q0, abs=1e-5)
    assert other["twice_nll"]["background"] == pytest.approx(held.twice_nll, abs=1e-5)


def test_a_nuisance_without_zero_has_no_test():
    workspace = random_workspace(1, two_sided=True)
    kinds = {m["type"] for c in workspace["channels"] for s in c["samples"] for m in s["modifiers"]}
    assert "lumi" in kinds
    result = fit_workspace(workspace, poi="lumi", impacts=False, progress=False)
    assert [f["question"] for f in result["failed"]] == ["significance", "limit"]
    assert result["poi"]["error"] > 0
    assert not any("auxiliary measurement" in warning for warning in result["warnings"])


def test_which_of_several_measurements_is_fitted_is_said():
    workspace = random_workspace(1, two_sided=True)
    first = workspace["measurements"][0]
    other = {"name": "wide", "config": {"poi": "k", "parameters": first["config"]["parameters"]}}
    workspace["measurements"].append(other)
    asked = {"limit": False, "impacts": False, "scan": False, "progress": False}
    result = fit_workspace(workspace, **asked)
    assert (result["measurement"], result["poi"]["name"]) == ("m", "mu")
    assert (
        "the workspace has 2 measurements: 'm', the first, is fitted; --measurement selects another"
        in result["warnings"]
    )
    result = fit_workspace(workspace, measurement="wide", **asked)
    assert (result["measurement"], result["poi"]["name"]) == ("wide", "k")
    assert not any("measurements" in warning for warning in result["warnings"])


def test_no_parameter_of_interest():
    workspace = random_workspace(1)
    workspace["measurements"][0]["config"]["poi"] = ""
    with pytest.raises(OddjetsError, match="names no parameter of interest; give one with --poi"):
        fit_workspace(workspace, progress=False)
    assert fit_workspace(workspace, poi="k", limit=False, impacts=False, progress=False)["poi"]["name"] == "k"


def test_a_lower_minimum_that_the_scanned_parameter_finds_is_the_best_fit():
    workspace = random_workspace(1, two_sided=True)
    model = Model(workspace)
    fits = best_fits(model)
    # as if the fit had stopped in a higher minimum
    poor = model.fit({"h1": fits.best["h1"] + 1.0}, with_covariance=False)
    free = dataclasses.replace(fits.best, values=poor.values, deviance=poor.deviance)
    found, _ = strengths(model, fits._replace(best=free), [], "h1")
    assert found.best.deviance == pytest.approx(fits.best.deviance, abs=1e-6)
