"""Known masses peak where they belong."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from oddjets.simulation.resonances import MASSES, NEEDED_BRANCHES, matched_masses

#: Share of its mass by which a peak may be off. Jets have no energy corrections: thresholds and losses against multiparton
#: interactions that soft drop leaves; neutrinos of bottom decays lower H and t, a lost part of three prongs t.
SHIFT = {24: 0.03, 23: 0.03, 25: 0.05, 6: 0.04}
#: Half of the central 68 % over the mass: the detector's resolution and the soft radiation that grooming takes or leaves
RESOLUTION = {24: 0.12, 23: 0.12, 25: 0.14, 6: 0.12}


def W(quarks: list[int], offsets: list[float], flags: int = 1 << 13) -> ak.Array:
    """One event: a W at eta 0 that decays, and a jet at eta 0 with a pT of 500 GeV and a mass of 80 GeV."""
    one = {
        "GenPart_pdgId": [24, *quarks],
        "GenPart_statusFlags": [flags] * 3,
        "GenPart_genPartIdxMother": [-1, 0, 0],
        "GenPart_eta": [0.0, *offsets],
        "GenPart_phi": [3.1, 3.1, -3.1],
        "FatJet_pt": [500.0],
        "FatJet_eta": [0.0],
        "FatJet_phi": [3.14],
        "FatJet_msoftdrop": [80.0],
    }
    return ak.zip({name: ak.Array([values]) for name, values in one.items()}, depth_limit=1)


@pytest.mark.parametrize(
    ("event", "masses"),
    [
        (W([1, -2], [0.1, 0.4]), [80.0]),
        (W([1, -2], [0.1, 0.7]), []),
        (W([11, -12], [0.1, 0.4]), []),
        (W([1, -2], [0.1, 0.4], flags=0), []),
    ],
    ids=["all quarks in the jet", "one outside", "leptons", "not the last copy"],
)
def test_a_jet_matches_only_with_all_quarks_of_a_hadronic_decay(event: ak.Array, masses: list[float]) -> None:
    assert matched_masses(event, 24).tolist() == masses
    assert matched_masses(event, 24, min_pt=510).tolist() == []
    assert matched_masses(event, 23).tolist() == []


@pytest.mark.parametrize(("dataset", "code"), [("wz_4q", 24), ("wz_4q", 23), ("top", 6), ("hh", 25)])
def test_masses_peak_where_they_belong(resonances: Path, dataset: str, code: int) -> None:
    events = uproot.open(resonances / dataset / f"{dataset}-0000.root")["Events"].arrays(list(NEEDED_BRANCHES))
    masses = matched_masses(events, code) / MASSES[code]
    assert len(masses) > 10
    masses = masses[np.abs(masses - 1) < 0.3]
    low, median, high = np.percentile(masses, [16, 50, 84])
    width = (high - low) / 2
    # 1.253: error of a median over that of a mean
    error = 1.253 * RESOLUTION[code] / np.sqrt(len(masses))
    assert median == pytest.approx(1, abs=SHIFT[code] + 3 * error)
    assert width < RESOLUTION[code] * (1 + 3 / np.sqrt(2 * len(masses)))
