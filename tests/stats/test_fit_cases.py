"""Workspaces on which fits, scans or limits once went wrong, with their right values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model, best_fits, scan, upper_limit
from oddjets.stats.inference.estimates import two_sided_error
from oddjets.stats.inference.limits import asimov_profile
from oddjets.stats.inference.profile import ProfileLikelihood
from oddjets.stats.inference.searches import rises


@pytest.fixture
def case(shared_dir: Path, request: pytest.FixtureRequest) -> Path:
    file = shared_dir / "cases" / "fit" / f"{request.param}.json"
    if not file.is_file():
        pytest.skip(f"needs the case {file.name}")
    return file


@pytest.mark.parametrize("case", ["abcd_seed6"], indirect=True)
def test_a_point_half_a_sigma_away_converges(case: Path) -> None:
    model = Model(case)
    best = best_fits(model).best
    profile = ProfileLikelihood(model, "mu", best.values, best.deviance)
    assert rises(profile, [-5.567])[0] == pytest.approx(0.192, abs=1e-3)


@pytest.mark.parametrize("case", ["abcd_seed6", "abcd_seed16", "D_error_lost_rnd1110"], indirect=True)
def test_errors_and_scans_are_there(case: Path) -> None:
    model = Model(case)
    best = best_fits(model).best
    sides = two_sided_error(model, "mu", best)
    assert max(sides.up, sides.down) > 0
    found = scan(model, "mu", best)
    # 40 points, and the best value; at a bound it is one of the 40
    assert len(found.values) >= 40
    inside = [v for v, bound in ((best["mu"] + sides.up, sides.up_at_bound), (best["mu"] - sides.down, sides.down_at_bound))
              if not bound]  # fmt: skip
    profile = ProfileLikelihood(model, "mu", best.values, best.deviance)
    np.testing.assert_allclose(rises(profile, inside), 1.0, rtol=1e-4)


@pytest.mark.parametrize("case", ["D1_tiny_signal_error_zero"], indirect=True)
def test_a_signal_of_nearly_no_events_has_an_error(case: Path) -> None:
    assert best_fits(Model(case)).best.error("mu") == pytest.approx(1.14e7, rel=1e-3)


@pytest.mark.parametrize("case", ["D_scale_rnd1323"], indirect=True)
def test_the_other_strength_follows_from_its_bound(case: Path) -> None:
    model = Model(case)
    fits = best_fits(model)
    assert fits.background is not None
    q = rises(asimov_profile(model, fits.background), [2.0, 5.0])
    np.testing.assert_allclose(q, [1.06, 17.6], rtol=1e-3)
    limit = upper_limit(model, fits)
    assert np.isfinite([limit.observed, *limit.expected]).all()


@pytest.mark.parametrize("case", ["D_limit_jump_rnd1082"], indirect=True)
def test_the_asimov_data_are_followed_into_the_lower_minimum(case: Path) -> None:
    model = Model(case)
    fits = best_fits(model)
    assert fits.background is not None
    profile = asimov_profile(model, fits.background)
    assert rises(profile, [4.31])[0] == pytest.approx(5.301, abs=2e-3)
    # pyhf's likelihood at that point says the same
    point = profile.point_at(4.31)
    assert point is not None
    theirs, data = model.spec.pyhf_model, model.to_pyhf(profile.data)[0]
    rise = -2 * (theirs.logpdf(point.parameters, data)[0] - theirs.logpdf(fits.background.values, data)[0])
    assert float(rise) == pytest.approx(5.301, abs=2e-3)


@pytest.mark.parametrize("case", ["D_signal_only_measurement"], indirect=True)
def test_without_a_background_there_is_a_fit(case: Path) -> None:
    fits = best_fits(Model(case))
    assert fits.best["mu"] == pytest.approx(1.14, abs=1e-3)
    assert "mu = 0 is impossible" in fits.no_background


@pytest.mark.parametrize("case", ["D_lumi_no_aux_traceback"], indirect=True)
def test_a_luminosity_without_auxiliary_data_is_a_sentence(case: Path) -> None:
    with pytest.raises(OddjetsError, match="lumi needs auxdata, sigmas, inits, bounds"):
        Model(case)
