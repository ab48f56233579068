"""What could be expected, how many events decide, and how numbers are shown: against closed forms and pyhf."""

from __future__ import annotations

import re

import numpy as np
import pyhf
import pytest
from helpers.small_fit import make_analysis, make_histograms
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from oddjets.stats import Model
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference import deciding_events, expected_significance
from oddjets.stats.inference.scans import scan
from oddjets.stats.shown_numbers import is_asymmetric, p_from_toys, percent, unreached
from oddjets.stats.summary import fit_workspace
from oddjets.stats.summary_lines import summary
from oddjets.stats.workspace import build

QUIET = {"limit": False, "impacts": False, "scan": False, "progress": False}


def counting(data: list[float], signal: list[float], background: list[float], **poi: object) -> dict[str, object]:
    """A workspace of one channel whose background is known, but for an uncertainty that is nothing."""
    parameter = {"name": "mu", "bounds": [[0, 10]], "inits": [1.0], **poi}
    known = {"name": "k", "type": "normsys", "data": {"hi": 1 + 1e-6, "lo": 1 - 1e-6}}
    return {
        "channels": [
            {
                "name": "c",
                "samples": [
                    {"name": "s", "data": signal, "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]},
                    {"name": "b", "data": background, "modifiers": [known]},
                ],
            }
        ],
        "observations": [{"name": "c", "data": data}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [parameter]}}],
        "version": "1.0.0",
    }


@pytest.mark.parametrize(("s", "b", "strength"), [(5.0, 10.0, 1.0), (3.0, 1.0, 1.0), (40.0, 900.0, 2.0)])
def test_the_expected_significance_is_that_of_the_closed_form(s, b, strength):
    """Cowan et al., arXiv:1007.1727, eq. 97."""
    model = Model(counting([b + 1], [s], [b]))
    s *= strength
    expected = np.sqrt(2 * ((s + b) * np.log(1 + s / b) - s))
    assert model.expected_significance(strength).z == pytest.approx(expected, rel=1e-5)
    assert model.expected_significance(strength).p_value == pytest.approx(norm.sf(expected), rel=1e-4)


def test_the_expected_significance_is_pyhfs():
    theirs = pyhf.simplemodels.uncorrelated_background([3.0, 6.0], [10.0, 20.0], [2.0, 3.0])
    data = [12.0, 28.0, *theirs.config.auxdata]
    settings = (theirs.config.suggested_init(), theirs.config.suggested_bounds(), theirs.config.suggested_fixed())
    asimov = pyhf.infer.calculators.generate_asimov_data(1.0, data, theirs, *settings)
    q0 = float(pyhf.infer.test_statistics.q0(0.0, asimov, theirs, *settings))
    assert Model((theirs, data)).expected_significance().q0 == pytest.approx(q0, rel=1e-4)


@pytest.mark.parametrize("strength", [0.0, -1.0, 11.0])
def test_no_significance_is_expected_of_a_strength_out_of_bounds(strength):
    model = Model(counting([12.0], [5.0], [10.0]))
    with pytest.raises(FitError, match="is not above 0 and up to 10"):
        expected_significance(model, model.fits, strength)


def test_the_background_of_a_counting_experiment_decides():
    model = Model(counting([7.0], [3.0], [4.0]))
    assert deciding_events(model, model.fits) == pytest.approx(4.0, rel=1e-4)


def test_bins_without_a_signal_decide_nothing_and_the_skewness_is_that_of_thrown_events():
    s, b = np.array([3.0, 1.0, 0.01]), np.array([4.0, 6.0, 5000.0])
    model = Model(counting([9.0, 7.0, 5000.0], s.tolist(), b.tolist()))
    found = deciding_events(model, model.fits)
    assert found < 10
    weights = np.log1p(model.fits.best["mu"] * s / b)
    thrown = poisson.rvs(b, size=(400_000, 3), random_state=np.random.default_rng(1)) @ weights
    skewness = np.mean((thrown - thrown.mean()) ** 3) / thrown.std() ** 3
    # a Poisson count of n events has a skewness of 1/sqrt(n)
    assert found == pytest.approx(1 / skewness**2, rel=0.05)


def test_toys_are_offered_where_few_events_decide():
    few, many = counting([6.0], [3.0], [4.0]), counting([60.0], [30.0], [40.0])
    (warning,) = [w for w in fit_workspace(few, **QUIET)["warnings"] if "toys" in w]
    assert warning.startswith("the significance is asymptotic, and only some 4 background events decide")
    assert "--toys auto" in warning
    assert not [w for w in fit_workspace(many, **QUIET)["warnings"] if "toys" in w]
    assert not [w for w in fit_workspace(few, toys=20, **QUIET)["warnings"] if "compare with toys" in w]


def test_expected_stands_beside_observed_and_both_are_called_asymptotic():
    result = fit_workspace(counting([60.0], [30.0], [40.0]), impacts=False, scan=False, progress=False)
    expected = np.sqrt(2 * (70 * np.log(7 / 4) - 30))
    assert result["significance"]["expected"]["z"] == pytest.approx(expected, rel=1e-4)
    assert result["significance"]["method"] == result["limit"]["method"] == "asymptotic"
    said = "\n".join(summary(result))
    observed = result["significance"]["z"]
    assert f"significance of mu > 0: {observed:.2f}, {expected:.2f} expected for mu = 1 (asymptotic)" in said
    assert f"expected {result['limit']['expected'][2]:.3g}" in said
    assert said.count("asymptotic") == 2


def test_nothing_is_expected_of_a_strength_that_is_out_of_bounds():
    result = fit_workspace(counting([60.0], [30.0], [40.0], bounds=[[0, 0.9]], inits=[0.5]), **QUIET)
    assert "expected" not in result["significance"]
    assert not result["failed"]
    line = summary(result)[1]
    assert line == f"significance of mu > 0: {result['significance']['z']:.2f} (asymptotic)"


def test_a_scan_reaches_zero_and_two_sigma():
    """Where few events make -2 ln L rise slowly upwards, and a strong signal is far from 0."""
    n, s, b = 7.0, 4.0, 1.0
    found = scan(model := Model(counting([n], [s], [b], bounds=[[0, 100]])), "mu", model.fits.best, include=0.0)

    def rise(mu: float) -> float:
        rate = mu * s + b
        return 2 * (rate - n - n * np.log(rate / n))

    # both ends of the interval at 2 sigma are in the scan
    best = (n - b) / s
    assert found.values[0] <= brentq(lambda mu: rise(mu) - 4, 0, best)
    assert found.values[-1] >= brentq(lambda mu: rise(mu) - 4, best, 50) - 1e-6
    assert found.values[0] == 0
    assert found.twice_delta_nll[0] == pytest.approx(rise(0.0), rel=1e-4)
    far = Model(counting([260.0], [40.0], [100.0]))
    assert 0 < scan(far, "mu", far.fits.best).values[0] < far.fits.best["mu"]
    assert fit_workspace(counting([260.0], [40.0], [100.0]), **QUIET | {"scan": True})["scan"]["poi"][0] == 0


def test_a_scan_of_one_sigma_ends_there():
    model = Model(counting([260.0], [40.0], [100.0]))
    found = scan(model, "mu", model.fits.best, sigmas=1.0)
    assert found.twice_delta_nll[[0, -1]] == pytest.approx([1.0, 1.0], abs=0.01)


def strength(up: float, down: float, error: float | None = 1.0, kind: str = "symmetric") -> dict[str, object]:
    return {"name": "mu", "value": 2.0, "error": error, "error_kind": kind, "error_up": up, "error_down": down}


@pytest.mark.parametrize(
    ("poi", "shown"),
    [
        (strength(1.09, 0.93), False),
        (strength(1.11, 1.0), True),
        (strength(1.0, 0.89), True),
        (strength(1.05, 0.95, 1.0, "profile"), False),
        (strength(1.2, 0.8, 1.0, "profile"), True),
        (strength(0.83, 0.0, 0.83, "one-sided"), True),
        ({"name": "mu", "value": 2.0, "error": 1.0, "error_kind": "symmetric"}, False),
    ],
)
def test_two_sided_errors_are_shown_where_they_are_further_than_a_tenth_from_symmetric(poi, shown):
    assert is_asymmetric(poi) is shown


def test_the_errors_of_a_counting_experiment_are_shown_on_both_sides():
    n, s, b = 7.0, 4.0, 1.0
    said = summary(fit_workspace(counting([n], [s], [b]), **QUIET))[0]

    def off(mu: float) -> float:
        rate = mu * s + b
        return 2 * (rate - n - n * np.log(rate / n)) - 1

    up, down = brentq(off, 1.5, 9) - 1.5, 1.5 - brentq(off, 0, 1.5)
    assert said == f"mu = 1.5 +{up:.2g} -{down:.2g}"
    symmetric = summary(fit_workspace(counting([500.0], [100.0], [400.0]), **QUIET))[0]
    assert symmetric == f"mu = 1 +- {np.sqrt(500) / 100:.2g}"


@pytest.mark.parametrize(
    ("reached", "toys", "failed", "text"),
    [(0, 1000, 0, "p < 0.001"), (0, 904, 4, "p < 0.0011"), (1, 999, 0, "p = 0.002"), (499, 999, 0, "p = 0.5")],
)
def test_a_p_value_that_no_toy_reached_is_a_bound(reached, toys, failed, text):
    p = (1 + reached) / (1 + toys - failed)
    assert p_from_toys(p, toys, failed) == text
    assert unreached(p, toys, failed) == (None if reached else toys - failed)


def test_results_of_toys_are_printed_and_a_strong_signal_is_beyond_them():
    result = fit_workspace(counting([90.0], [30.0], [40.0]), toys=50, gof_toys=9, **QUIET | {"limit": True})
    said = "\n".join(summary(result))
    assert "mu = 0 has p < 0.02 from toys (50 toys, 0 failed)" in said
    assert "upper limit on mu from toys" in said
    assert re.search(r"goodness of fit p = [01]\S* \(9 toys, 0 failed\)", said)


def test_a_workspace_of_ours_expects_its_signal():
    workspace, report = build(make_analysis(), make_histograms(seed=None))
    result = fit_workspace(workspace, report=report, **QUIET)
    # the data are the expectation with the stated strength: observed is what is expected
    assert result["significance"]["z"] == pytest.approx(result["significance"]["expected"]["z"], rel=1e-3)


@pytest.mark.parametrize(("part", "text"), [(0.0248, "2.5 %"), (0.112, "11 %"), (1.342, "134 %"), (0.0994, "9.9 %")])
def test_percentages_have_no_powers_of_ten(part, text):
    assert percent(part) == text
