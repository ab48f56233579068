"""The parametric detector: efficiencies, resolutions, conservation."""

from __future__ import annotations

import numpy as np
import pytest

from oddjets.core.kinematics import momenta
from oddjets.simulation.detector import DetectedCandidates, detect


def shoot(
    pdg_id: int, pt: float, eta: float, n: int, mass: float = 0.1396, vertex: tuple[float, float, float] = (0, 0, 0)
) -> DetectedCandidates:
    """One particle an event, at random azimuth."""
    rng = np.random.default_rng(1)
    p = momenta(np.full(n, pt), np.full(n, eta), rng.uniform(-np.pi, np.pi, n), np.full(n, mass))
    return detect(np.arange(n + 1), np.full(n, pdg_id, np.int32), p, np.tile(np.array(vertex, float), (n, 1)), rng)


# efficiencies of the Delphes CMS card
@pytest.mark.parametrize(
    ("pdg_id", "pt", "eta", "efficiency"),
    [(211, 5, 0.5, 0.95), (-211, 5, 2.0, 0.85), (321, 0.8, 0.5, 0.70), (11, 50, 1.0, 0.95), (13, 50, 2.0, 0.98)],
)
def test_tracks_are_found_with_the_cited_efficiency(pdg_id: int, pt: float, eta: float, efficiency: float) -> None:
    n = 4000
    found = (shoot(pdg_id, pt, eta, n).charge != 0).sum()
    assert found / n == pytest.approx(efficiency, abs=4 * np.sqrt(efficiency * (1 - efficiency) / n))


@pytest.mark.parametrize(
    ("pdg_id", "code", "charge"),
    [(211, 211, 1), (-321, -211, -1), (2212, 211, 1), (11, 11, -1), (-13, -13, 1), (3112, -211, -1), (3222, 211, 1)],
)
def test_tracks_carry_the_charge_and_the_code_that_cms_writes(pdg_id: int, code: int, charge: int) -> None:
    c = shoot(pdg_id, 20, 0.3, 200)
    tracks = c.charge != 0
    assert set(c.pdg_id[tracks]) == {code}
    assert set(c.charge[tracks]) == {charge}


def test_track_momenta_are_unbiased_with_the_cited_resolution() -> None:
    c = shoot(211, 40, 0.2, 5000)
    response = c.floats["pt"][c.charge != 0] / 40
    assert response.mean() == pytest.approx(1, abs=1e-3)
    assert response.std() == pytest.approx(np.hypot(0.01, 40 * 1.5e-4), rel=0.05)


@pytest.mark.parametrize(("pt", "sigma_um"), [(1.0, 90.0), (10.0, 25.0)])
def test_impact_parameters_have_the_resolution_of_the_tracking_paper(pt: float, sigma_um: float) -> None:
    c = shoot(211, pt * 1.0001, 0.5, 6000)
    tracks = c.charge != 0
    assert c.floats["d0"][tracks].std() * 1e4 == pytest.approx(sigma_um, rel=0.05)
    assert c.floats["d0Err"][tracks].mean() * 1e4 == pytest.approx(sigma_um, rel=0.02)
    assert abs(c.floats["d0"][tracks].mean()) * 1e4 < 4 * sigma_um / np.sqrt(tracks.sum())


def test_a_displaced_track_has_its_impact_parameter() -> None:
    n = 3000
    p = momenta(np.full(n, 100.0), np.zeros(n), np.zeros(n), np.full(n, 0.1396))  # along x
    vertices = np.tile([3.0, 2.0, -1.0], (n, 1))  # mm
    c = detect(np.arange(n + 1), np.full(n, 211, np.int32), p, vertices, np.random.default_rng(2))
    tracks = c.charge != 0
    assert c.floats["d0"][tracks].mean() == pytest.approx(0.2, abs=1e-3)  # cm
    assert c.floats["dz"][tracks].mean() == pytest.approx(-0.1, abs=1e-3)


@pytest.mark.parametrize(("pdg_id", "code"), [(22, 22), (2112, 130)])
def test_neutral_energy_is_unbiased(pdg_id: int, code: int) -> None:
    c = shoot(pdg_id, 100, 0.4, 4000, mass=0.0)
    assert set(c.pdg_id) == {code}
    assert set(c.charge) == {0}
    assert set(c.floats["d0Err"]) == {-1.0}
    energy = c.floats["pt"] * np.cosh(c.floats["eta"])
    assert energy.mean() == pytest.approx(100 * np.cosh(0.4), rel=0.01)


def test_neutrinos_and_particles_outside_leave_nothing() -> None:
    assert len(shoot(14, 100, 0.0, 50, mass=0.0).pdg_id) == 0
    assert len(shoot(2112, 100, 5.2, 50).pdg_id) == 0
    assert len(shoot(13, 100, 3.0, 50).pdg_id) == 0  # a muon outside the tracker


def test_photons_in_one_crystal_become_one_candidate_and_far_ones_two() -> None:
    def photons(distance: float) -> int:
        p = momenta([50.0, 50.0], [0.008, 0.008], [0.008, 0.008 + distance], [0.0, 0.0])
        ids = np.full(2, 22, np.int32)
        return len(detect(np.array([0, 2]), ids, p, np.zeros((2, 3)), np.random.default_rng(3)).pdg_id)

    assert photons(0.001) == 1
    assert photons(0.1) == 2


def test_events_do_not_see_each_other() -> None:
    p = momenta([50.0, 50.0], [0.008, 0.008], [0.008, 0.009], [0.0, 0.0])
    c = detect(np.array([0, 1, 2]), np.full(2, 22, np.int32), p, np.zeros((2, 3)), np.random.default_rng(3))
    np.testing.assert_array_equal(c.offsets, [0, 1, 2])


def test_the_same_generator_gives_the_same_candidates() -> None:
    one, two = shoot(211, 5, 0.5, 100), shoot(211, 5, 0.5, 100)
    for name in one.floats:
        np.testing.assert_array_equal(one.floats[name], two.floats[name])
