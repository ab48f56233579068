"""Profile likelihoods: against closed forms, pyhf, and where there is no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyhf
import pytest
from helpers.random_workspace import random_workspace
from scipy.optimize import brentq

from oddjets.stats import Model
from oddjets.stats.histfactory.results import FitError
from oddjets.stats.inference.estimates import best_fits, significance, two_sided_error
from oddjets.stats.inference.limits import upper_limit
from oddjets.stats.inference.profile import ProfileLikelihood
from oddjets.stats.inference.scans import scan
from oddjets.stats.inference.searches import rises
from oddjets.stats.summary import fit_workspace


def counting(
    signal: float, background: float, data: float, bounds: tuple[float, float] = (0.0, 10.0)
) -> dict[str, Any]:
    samples = [{"name": "s", "data": [signal], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}]
    if background:
        samples.append({"name": "b", "data": [background], "modifiers": []})
    parameters = [{"name": "mu", "bounds": [list(bounds)], "inits": [float(np.clip(1.0, *bounds))]}]
    return {
        "channels": [{"name": "c", "samples": samples}],
        "observations": [{"name": "c", "data": [data]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": parameters}}],
        "version": "1.0.0",
    }


def sides_of_poisson(n: float) -> tuple[float, float]:
    """Where -2 ln L of a Poisson mean has risen by one: below and above n."""

    def rise(mean: float) -> float:
        return 2 * (mean - n + n * np.log(n / mean)) - 1

    return brentq(rise, 1e-9 * n, n), brentq(rise, n, 10 * n + 10)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e6])
def test_two_sided_errors_are_those_of_a_poisson_mean_whatever_the_signals_size(scale: float) -> None:
    signal, background, n = 10.0 * scale, 50.0, 75.0
    model = Model(counting(signal, background, n, bounds=(0.0, 100.0 / scale)))
    found = two_sided_error(model, "mu", best_fits(model).best)
    low, high = sides_of_poisson(n)
    assert found.down == pytest.approx((n - low) / signal, rel=1e-4)
    assert found.up == pytest.approx((high - n) / signal, rel=1e-4)
    assert not found.up_at_bound
    assert not found.down_at_bound


def test_the_bound_ends_the_way_and_that_is_said() -> None:
    model = Model(counting(10.0, 50.0, 60.0, bounds=(0.5, 1.2)))
    found = two_sided_error(model, "mu", best_fits(model).best)
    assert (found.down, found.up) == (pytest.approx(0.5), pytest.approx(0.2))
    assert found.up_at_bound
    assert found.down_at_bound


@pytest.mark.parametrize("seed", [3, 8, 11])
def test_points_are_those_of_pyhf_with_the_parameter_held(seed: int) -> None:
    model = Model(random_workspace(seed, two_sided=True))
    fits = best_fits(model)
    profile = ProfileLikelihood(model, "mu", fits.best.values, fits.best.deviance)
    values = [float(np.clip(fits.best["mu"] + step, 0.0, 10.0)) for step in (0.3, 1.0, 2.5)]
    config = model.spec.pyhf_model.config
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    for value, rise in zip(values, rises(profile, values), strict=True):
        init, fixed = config.suggested_init(), config.suggested_fixed()
        init[config.poi_index], fixed[config.poi_index] = value, True
        _, held = pyhf.infer.mle.fit(
            model.spec.pyhf_data,
            model.spec.pyhf_model,
            init,
            config.suggested_bounds(),
            fixed,
            return_fitted_val=True,
        )
        assert rise <= float(held) - fits.best.twice_nll + 1e-4
        assert rise == pytest.approx(float(held) - fits.best.twice_nll, abs=5e-3)
    pyhf.set_backend("numpy")


def test_a_point_that_fails_costs_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(counting(10.0, 50.0, 75.0))
    best = best_fits(model).best
    plain = Model.fit_batch

    def failing(self: Model, data: Any, start: Any, held: Any, **options: Any) -> Any:
        batch = plain(self, data, start, held, **options)
        there = np.abs(batch.parameters[:, 0] - 5.0) < 0.2
        return batch._replace(converged=batch.converged & ~there)

    monkeypatch.setattr(Model, "fit_batch", failing)
    profile = ProfileLikelihood(model, "mu", best.values, best.deviance)
    found = rises(profile, [1.0, 3.0, 5.0, 7.0])
    assert np.isfinite(found).tolist() == [True, True, False, True]
    assert 5.0 in profile.failed
    found = scan(model, "mu", best)
    assert len(found.values) > 30


def test_without_a_background_there_is_a_fit_and_no_significance() -> None:
    model = Model(counting(100.0, 0.0, 110.0))
    fits = best_fits(model)
    assert fits.best["mu"] == pytest.approx(1.1)
    assert "mu = 0 is impossible" in fits.no_background
    with pytest.raises(FitError, match="there is no significance"):
        significance(model, fits)
    result = fit_workspace(counting(100.0, 0.0, 110.0), impacts=False, progress=False)
    assert result["significance"] == {}
    assert {entry["question"] for entry in result["failed"]} == {"significance", "limit"}
    low, high = sides_of_poisson(110.0)
    assert result["poi"]["error_up"] == pytest.approx(high / 100 - 1.1, rel=1e-4)
    assert result["poi"]["error_down"] == pytest.approx(1.1 - low / 100, rel=1e-4)
    assert result["scan"]["twice_delta_nll"]


def test_bounds_that_exclude_zero_leave_no_significance() -> None:
    fits = best_fits(Model(counting(10.0, 50.0, 75.0, bounds=(1.0, 5.0))))
    assert fits.no_background == "the bounds [1, 5] of mu exclude 0"


def test_a_limit_beyond_the_bound_is_there_and_said() -> None:
    bounded, wide = (
        upper_limit(model, best_fits(model))
        for model in (Model(counting(10.0, 50.0, 55.0, bounds=(0.0, high))) for high in (0.7, 20.0))
    )
    assert wide.notes == ()
    np.testing.assert_allclose([bounded.observed, *bounded.expected], [wide.observed, *wide.expected], rtol=1e-4)
    assert any("beyond the upper bound 0.7 of mu" in note for note in bounded.notes)
