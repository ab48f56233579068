"""Searches for where profiles reach a height: closed forms, points that fail, minima that are elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.random_workspace import random_workspace
from scipy.optimize import brentq
from scipy.stats import norm

from oddjets.stats import Model
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference import profile as profile_module
from oddjets.stats.inference.estimates import best_fits, two_sided_errors
from oddjets.stats.inference.limits import BANDS, cls_from_q, upper_limit
from oddjets.stats.inference.profile import ProfileLikelihood, find_lower_minima
from oddjets.stats.inference.searches import find_crossings, rise_search, rises


def counting(signal: float, background: float, data: float, high: float = 10.0) -> dict[str, Any]:
    modifier = {"name": "mu", "type": "normfactor", "data": None}
    samples = [
        {"name": "s", "data": [signal], "modifiers": [modifier]},
        {"name": "b", "data": [background], "modifiers": []},
    ]
    parameters = [{"name": "mu", "bounds": [[0.0, high]], "inits": [min(1.0, high)]}]
    return {
        "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": [data]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }


def rise(mean: float, n: float) -> float:
    """-2 ln L of a Poisson mean above its minimum."""
    return 2 * (mean - n + (n * np.log(n / mean) if n else 0.0))


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("data", [0.0, 40.0, 55.0, 90.0])
def test_the_limits_of_a_counting_experiment(data: float, scale: float) -> None:
    signal, background, level = 10 * scale, 50.0, 0.95
    model = Model(counting(signal, background, data, high=100 / scale))
    found = upper_limit(model, best_fits(model), level)
    asimov = [norm.isf((1 - level) * norm.cdf(band)) + band for band in BANDS]
    for limit, root in zip(found.expected, asimov, strict=True):
        above = brentq(lambda mean, root=root: rise(mean, background) - root**2, background, 1e4)
        assert limit == pytest.approx((above - background) / signal, rel=1e-5)
    # no strength below zero: q compares with the background
    best = max(data, background)

    def excess(mean: float) -> float:
        q = np.array([rise(mean, data) - rise(best, data)])
        return float(cls_from_q(q, np.array([rise(mean, background)]))[0]) - (1 - level)

    assert found.observed == pytest.approx((brentq(excess, best + 1e-6, 1e4) - background) / signal, rel=1e-5)


def test_cls_where_the_tails_are_too_small_for_numbers() -> None:
    # q far above the Asimov data's: CLs goes as exp(-q/2)
    assert cls_from_q(np.array([10.0]), np.array([1e-9]))[0] == pytest.approx(np.exp(-5.0), rel=1e-4)
    assert cls_from_q(np.array([2000.0]), np.array([1.0]))[0] == 0


def failing(monkeypatch: pytest.MonkeyPatch, where: tuple[float, float]) -> list[int]:
    """Let no fit converge whose strength is within a range; return the sizes of the batches."""
    plain, sizes = Model.fit_batch, []

    def fit_batch(self: Model, data: Any, start: Any, held: Any, **options: Any) -> Any:
        batch = plain(self, data, start, held, **options)
        sizes.append(len(data.main))
        strength = batch.parameters[:, self.parameters.index("mu")]
        return batch._replace(converged=batch.converged & ~((strength > where[0]) & (strength < where[1])))

    monkeypatch.setattr(Model, "fit_batch", fit_batch)
    return sizes


def test_a_limit_that_no_fit_reaches_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(counting(10.0, 50.0, 55.0))
    fits = best_fits(model)
    whole = upper_limit(model, fits)
    # the one at +2 sigma
    failing(monkeypatch, (0.5 * (whole.expected[3] + whole.expected[4]), np.inf))
    found = upper_limit(model, fits)
    assert np.isnan(found.expected[4])
    np.testing.assert_allclose([found.observed, *found.expected[:4]], [whole.observed, *whole.expected[:4]], rtol=1e-5)
    (note,) = found.notes
    assert note.startswith("no expected limit at +2 sigma: the fit did not converge with mu held at")


def test_an_observed_limit_that_no_fit_reaches_leaves_the_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(counting(10.0, 50.0, 120.0, high=100.0))
    fits = best_fits(model)
    whole = upper_limit(model, fits)
    failing(monkeypatch, (fits.best["mu"] + 0.1, np.inf))
    found = upper_limit(model, fits)
    assert np.isnan(found.observed)
    np.testing.assert_allclose(found.expected, whole.expected, rtol=1e-5)
    assert found.notes[0].startswith("no observed limit: ")


def test_where_nothing_converges_there_is_no_limit_and_the_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(counting(10.0, 50.0, 55.0))
    fits = best_fits(model)
    failing(monkeypatch, (-np.inf, np.inf))
    with pytest.raises(FitError, match=r"no expected limit at -2 sigma: .*; no observed limit: "):
        upper_limit(model, fits)


def test_a_gap_where_nothing_converges_is_stepped_over(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(counting(10.0, 50.0, 55.0))
    fits = best_fits(model)
    whole = upper_limit(model, fits)
    failing(monkeypatch, (0.8, 0.9))
    found = upper_limit(model, fits)
    np.testing.assert_allclose(found.expected, whole.expected, rtol=1e-5)


def test_all_limits_are_walked_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(random_workspace(3, two_sided=True))
    fits = best_fits(model)
    sizes = failing(monkeypatch, (np.inf, np.inf))
    upper_limit(model, fits)
    # a walk of its own for each took hundreds of batches of one
    assert len(sizes) < 40
    assert np.mean(sizes) > 3


def test_a_far_point_is_walked_to() -> None:
    model = Model(counting(10.0, 50.0, 75.0))
    best = best_fits(model).best
    profile = ProfileLikelihood(model, "mu", best.values, best.deviance)
    found = rises(profile, [9.0])
    assert found[0] == pytest.approx(rise(140.0, 75.0))
    between = [point.value for point in profile.points if best["mu"] < point.value < 9.0]
    heights = np.sqrt(rises(profile, [best["mu"], *between, 9.0]))
    assert np.diff(heights).max() < 3


def test_errors_of_several_parameters_are_those_of_each() -> None:
    model = Model(random_workspace(2, two_sided=True))
    best = best_fits(model).best
    names = [model.parameters.names[i] for i in model.layout.global_pars]
    together = two_sided_errors(model, names, best)
    for name in names:
        assert together[name] == pytest.approx(two_sided_errors(model, [name], best)[name], rel=1e-4)


def test_a_height_that_is_never_reached_is_said() -> None:
    # a free factor of the signal takes all that the strength gives
    workspace = counting(10.0, 50.0, 60.0)
    workspace["channels"][0]["samples"][0]["modifiers"].append(
        {"name": "k", "type": "normfactor", "data": None},
    )
    workspace["measurements"][0]["config"]["parameters"].append({"name": "k", "bounds": [[0.0, 10.0]], "fixed": False})
    model = Model(workspace)
    best = model.fit(with_covariance=False)
    profile = ProfileLikelihood(model, "mu", best.values, best.deviance, beyond=True)
    (found,) = find_crossings([rise_search(profile, 1.0, 1.0)])
    assert isinstance(found, FitError)
    assert "does not reach the required value up to mu = " in str(found)


@pytest.mark.parametrize("seed", [7, 10])
def test_points_lie_on_the_lowest_branch_that_any_of_them_found(seed: int) -> None:
    # one-sided variations: two minima at many strengths
    model = Model(random_workspace(seed))
    best = best_fits(model).best
    profile = ProfileLikelihood(model, "mu", best.values, best.deviance)
    values = np.linspace(0.2, 2.0, 10).tolist()
    found = rises(profile, values)
    held = [model.fit({"mu": value}, with_covariance=False).deviance - profile.minimum.deviance for value in values]
    assert (found < np.array(held) + 1e-5).all()
    assert not find_lower_minima([profile])


@pytest.mark.parametrize("many", ["", "bins", "parameters"])
def test_a_point_that_a_result_is_read_from_is_searched_for_other_minima(
    many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # also in a model with many bins or global parameters, where close points are left out
    if many == "bins":
        monkeypatch.setattr(profile_module, "MANY_BINS", 0)
    if many == "parameters":
        monkeypatch.setattr(profile_module, "is_small", lambda _: False)
    asked: list[float] = []
    take = profile_module._take_lower

    def record(requests, starts, *, lowest):
        asked.extend(value for _, value in requests if lowest)
        return take(requests, starts, lowest=lowest)

    monkeypatch.setattr(profile_module, "_take_lower", record)
    model = Model(random_workspace(7))
    best = best_fits(model).best
    profile = ProfileLikelihood(model, "mu", best.values, best.deviance)
    (end,) = find_crossings([rise_search(profile, 1.0, 1.0)])
    assert end.value in asked
    heights = np.sort([profile.height(profile.point_at(value)) for value in asked])
    if many:
        assert (np.diff(heights) > profile_module.LARGE_SPACING).all()
        assert len(asked) < len(profile.points) - 1
