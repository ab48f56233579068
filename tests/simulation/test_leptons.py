"""Leptons, their isolation and their identification."""

from __future__ import annotations

import numpy as np
import pytest

from oddjets.simulation.detector import DetectedCandidates
from oddjets.simulation.leptons import Leptons, electron_level, find_leptons


def candidates(n_events: int, pdg_id: int, eta: float = 0.0) -> DetectedCandidates:
    """A lepton of 50 GeV, 5 GeV at a distance of 0.2 across phi = pi, and 20 GeV far away, in each event."""
    pt, phi = np.array([50, 5, 20], np.float32), np.array([np.pi - 0.1, -np.pi + 0.1, 0], np.float32)
    floats = {"pt": np.tile(pt, n_events), "phi": np.tile(phi, n_events)}
    floats["eta"] = np.full(3 * n_events, eta, np.float32)
    codes = np.tile(np.array([pdg_id, 211, 22], np.int32), n_events)
    weights = np.ones(len(codes), np.float32)
    return DetectedCandidates(np.arange(0, 3 * n_events + 1, 3), floats, codes, np.sign(codes), weights)


@pytest.mark.parametrize(("cone", "isolation"), [(0.4, 0.1), (0.1, 0.0), (4.0, 0.5)])
def test_isolation_sums_the_cone_around_and_not_the_lepton(cone: float, isolation: float) -> None:
    leptons = find_leptons(candidates(2, -13), 13, 3.0, cone, np.random.default_rng(1))
    assert leptons.counts.tolist() == [1, 1]
    assert leptons.rows.tolist() == [0, 3]
    np.testing.assert_allclose(leptons.isolation, isolation)


@pytest.mark.parametrize(
    ("flavour", "eta", "efficiency"), [(13, 1.0, 0.95), (13, 2.45, 0.0), (11, 1.0, 0.95), (11, 2.0, 0.85)]
)
def test_leptons_are_identified_with_the_cited_efficiency(flavour: int, eta: float, efficiency: float) -> None:
    n = 4000
    leptons = find_leptons(candidates(n, flavour, eta), flavour, 3.0, 0.4, np.random.default_rng(1))
    tolerance = 4 * np.sqrt(efficiency * (1 - efficiency) / n)
    assert leptons.identified.mean() == pytest.approx(efficiency, abs=tolerance)


def test_only_the_flavour_above_the_threshold_counts() -> None:
    assert find_leptons(candidates(3, 11), 13, 3.0, 0.4, np.random.default_rng(1)).counts.tolist() == [0, 0, 0]
    assert len(find_leptons(candidates(3, 13), 13, 60.0, 0.4, np.random.default_rng(1)).rows) == 0


@pytest.mark.parametrize(("eta", "expected"), [(1.0, [4, 3, 2, 1, 0]), (2.0, [4, 4, 2, 1, 0])])
def test_electrons_of_jets_are_not_identified(eta: float, expected: list[int]) -> None:
    # limits of CMS's cut-based identification at 50 GeV: 0.039, 0.058, 0.122, 0.208 in the barrel
    # and 0.064, 0.085, 0.127, 0.222 in the endcaps (tight to veto)
    isolation = np.array([0.03, 0.05, 0.11, 0.20, 0.30])
    electrons = Leptons(np.array([5]), np.arange(5), isolation, np.ones(5, np.bool_))
    level = electron_level(electrons, np.full(5, 50.0), np.full(5, eta))
    assert level.tolist() == expected
    assert (
        electron_level(electrons._replace(identified=np.zeros(5, np.bool_)), np.full(5, 50.0), np.full(5, eta)).max()
        == 0
    )
