"""Significance, limits, scans and impacts: against pyhf, asymptotic formulas and themselves."""

from __future__ import annotations

import numpy as np
import pyhf
import pytest
from helpers.random_workspace import random_workspace
from helpers.small_fit import make_analysis, make_histograms
from scipy.stats import norm

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model
from oddjets.stats.histfactory.gamma_refits import refit_gammas
from oddjets.stats.inference.estimates import best_fits, impacts, significance
from oddjets.stats.inference.limits import cls_from_q, upper_limit
from oddjets.stats.inference.profile import ProfileLikelihood
from oddjets.stats.inference.scans import scan
from oddjets.stats.inference.searches import rises
from oddjets.stats.workspace import build


@pytest.fixture(scope="module")
def abcd():
    model = Model(build(make_analysis(), make_histograms())[0])
    return model, best_fits(model)


def _counting(signal, background, data):
    sample = {"name": "s", "data": [signal], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    return {
        "channels": [{"name": "c", "samples": [sample, {"name": "b", "data": [background], "modifiers": []}]}],
        "observations": [{"name": "c", "data": [data]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }


def test_significance_of_a_counting_experiment():
    n, b = 75.0, 50.0
    model = Model(_counting(10.0, b, n))
    expected = np.sqrt(2 * (n * np.log(n / b) - (n - b)))  # arXiv:1007.1727, eq. 97 at mu-hat = n - b
    assert significance(model, best_fits(model)).z == pytest.approx(expected, rel=1e-6)


def test_no_significance_of_a_deficit():
    model = Model(_counting(10.0, 50.0, 40.0))
    assert significance(model, best_fits(model)) == (0.0, 0.0, 0.5)


def test_q0_equals_pyhfs():
    model = Model(random_workspace(8, two_sided=True))
    config = model.spec.pyhf_model.config
    expected = pyhf.infer.test_statistics.q0(
        0.0,
        model.spec.pyhf_data,
        model.spec.pyhf_model,
        config.suggested_init(),
        config.suggested_bounds(),
        config.suggested_fixed(),
    )
    q0 = significance(model, best_fits(model)).q0
    assert q0 > 0
    assert q0 == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.slow
def test_pyhf_excludes_the_limits_at_95_per_cent():
    model = Model(random_workspace(3, two_sided=True))
    limit = upper_limit(model, best_fits(model))
    config = model.spec.pyhf_model.config
    bounds = [(0, 50) if n == "mu" else b for n, b in zip(config.par_names, config.suggested_bounds(), strict=True)]
    for mu, band in ((limit.observed, None), (limit.expected[3], 3)):
        observed, expected = pyhf.infer.hypotest(
            mu, model.spec.pyhf_data, model.spec.pyhf_model, par_bounds=bounds, return_expected_set=True
        )
        assert float(observed if band is None else expected[band]) == pytest.approx(0.05, abs=5e-4)


def test_the_limit_of_a_large_sample_is_gaussian():
    # b known and large, s small against it: mu has a Gaussian error sqrt(b)/s, CLs has a closed form
    model = Model(_counting(100.0, 1e8, 1e8))
    sigma = 100.0
    limit = upper_limit(model, best_fits(model))
    assert limit.observed == pytest.approx(norm.ppf(1 - 0.05 * 0.5) * sigma, rel=1e-3)
    assert limit.expected[2] == pytest.approx(norm.ppf(1 - 0.05 * 0.5) * sigma, rel=1e-3)
    assert limit.expected[4] == pytest.approx((norm.ppf(1 - 0.05 * norm.cdf(2)) + 2) * sigma, rel=1e-3)


def test_cls_is_one_for_no_signal():
    assert cls_from_q(np.array([0.0]), np.array([1e-12]))[0] == pytest.approx(1.0, abs=1e-5)


def test_expected_limits_rise_with_their_band(abcd):
    limit = upper_limit(*abcd)
    assert list(limit.expected) == sorted(limit.expected)


def test_the_scan_is_zero_at_the_best_value_and_one_at_one_error(abcd):
    model, fits = abcd
    found = scan(model, "mu", fits.best)
    assert found.twice_delta_nll.min() == pytest.approx(0.0, abs=1e-6)
    best, error = fits.best["mu"], fits.best.error("mu")
    profile = ProfileLikelihood(model, "mu", fits.best.values, fits.best.deviance)
    assert rises(profile, [best - error, best + error]).mean() == pytest.approx(1.0, rel=0.05)


def test_a_scan_at_a_boundary_goes_inwards():
    model = Model(_counting(10.0, 50.0, 40.0))
    found = scan(model, "mu", best_fits(model).best)
    assert found.values[0] == 0
    assert found.twice_delta_nll[-1] > 1


def test_impacts_agree_with_the_covariance(abcd):
    model, fits = abcd
    for impact in impacts(model, fits.best, ["jes", "lumi", "mcstat_top_SR_A[3]"]).ranking:
        i, mu = model.parameters.index(impact.name), model.parameters.index("mu")
        linear = fits.best.covariance[mu, i] / fits.best.errors[i]
        assert 0.5 * (impact.up - impact.down) == pytest.approx(linear, abs=0.1 * fits.best.error("mu") * 0.2)


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_impacts_are_those_of_refits_of_the_whole_model(scale):
    # where events are few, too: QCD at its bound, empty bins
    model = Model(build(make_analysis(), make_histograms(scale=scale))[0])
    best = best_fits(model).best
    found, failed = impacts(model, best)
    assert failed == ()
    rng = np.random.default_rng(1)
    for impact in [found[k] for k in rng.choice(len(found), 8, replace=False)]:
        value, error = best[impact.name], best.error(impact.name)
        low = model.parameters.low[model.parameters.index(impact.name)]
        for shift, at in ((impact.up, value + error), (impact.down, max(value - error, low))):
            whole = model.fit({impact.name: at}, start=best.values, with_covariance=False)
            assert shift == pytest.approx(whole["mu"] - best["mu"], abs=5e-3 * best.error("mu"))


def test_gammas_are_refitted_on_their_own_bins(abcd):
    # the expansion of the rest answers most of them: else it would be of no use
    model, fits = abcd
    index = model.layout.gamma_pars[model.layout.gamma_pars >= 0]
    same = np.repeat(fits.best.values[None], len(index), axis=0)
    moved = same.copy()
    moved[np.arange(len(index)), index] += fits.best.errors[index]
    found = refit_gammas(model, fits.best, index, moved)
    assert np.isfinite(found).all(axis=1).mean() > 0.7
    # a refit with the gamma at its best value moves nothing
    unmoved = refit_gammas(model, fits.best, index, same)
    np.testing.assert_allclose(unmoved, same[:, model.layout.global_pars], atol=1e-4)


def test_all_nuisances_have_an_impact_and_they_are_ranked(abcd):
    model, fits = abcd
    ranking, failed = impacts(model, fits.best)
    assert failed == ()
    names = {i.name for i in ranking}
    assert {"jes", "isr_top", "lumi", "mcstat_SR_A[0]", "mcstat_top_VR1_D[4]"} <= names
    assert "mu" not in names
    assert not any(name.startswith("qcd_") for name in names)
    sizes = [max(abs(i.up), abs(i.down)) for i in ranking]
    assert sizes == sorted(sizes, reverse=True)


def test_an_impact_is_of_one_parameter(abcd):
    model, _ = abcd
    said = r"'mcstat_SR_A' stands for 5 parameters, one for each bin, .* as \['mcstat_SR_A\[0\]', 'mcstat_SR_A\[1\]'\]"
    with pytest.raises(OddjetsError, match=said):
        model.impacts(["lumi", "mcstat_SR_A"])
    assert [i.name for i in model.impacts(["mcstat_SR_A[1]"]).ranking] == ["mcstat_SR_A[1]"]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        # a level of 0 gave limits of 0
        *(
            (lambda m, x=x: m.limit(x), f"a confidence level of {x!r} is not between 0 and 1")
            for x in (0, 1, 95, float("nan"), "x")
        ),
        *(
            (lambda m, x=x: m.toy_limit(x, progress=False), "toys: a whole number, 1 or more")
            for x in (0, -1, 2.5, "x")
        ),
        (lambda m: m.toy_limit(2, level=95, progress=False), "a confidence level of 95 is not"),
        (lambda m: m.toy_significance(0, progress=False), "toys: a whole number, 1 or more; got 0"),
        (lambda m: m.goodness_of_fit(0, progress=False), "toys: a whole number, 1 or more; got 0"),
        (lambda m: m.goodness_of_fit(2, seed=-1, progress=False), "seed: a whole number, 0 or more; got -1"),
        # no channel at all gave a p value of 1
        (lambda m: m.goodness_of_fit(2, channels=[], progress=False), "channels: at least one is needed"),
        (
            lambda m: m.goodness_of_fit(2, channels="SR_A", progress=False),
            r"channels: a list of names, such as \['SR_A'\]; got 'SR_A'",
        ),
        (lambda m: m.scan("mu", 2), "points: a whole number, 3 or more; got 2"),
        *((lambda m, x=x: m.scan("mu", 5, x), "sigmas: .* above 0; got") for x in (0, -1, float("nan"), float("inf"))),
        (lambda m: m.scan(3), "no parameter '3'"),
        (lambda m: m.two_sided_error(""), "no parameter ''"),
        (lambda m: m.impacts("mu"), r"names: a list of names, such as \['mu'\]; got 'mu'"),
        *((lambda _, x=x: Model(x), "workspace") for x in (None, 3, [], (1, 2), (1, 2, 3))),
        (
            lambda m: Model(_counting(1.0, 5.0, 5.0), patches=[3]),
            "patches: a list of JSON patches or their files; got 3",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(ask, said):
    with pytest.raises(OddjetsError, match=said):
        ask(Model(_counting(1.0, 5.0, 5.0)))
