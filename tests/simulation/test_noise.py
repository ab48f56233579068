"""A noisy tower in simulated files: what it changes, and that it changes nothing else."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from oddjets.config.simulation import SimulationSpec
from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import delta_phi, delta_r, momenta
from oddjets.simulation.noise import NoisyTower, with_noisy_tower
from oddjets.simulation.parton_veto import EARLY_VETO, leading_jets

pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")

TOWER = NoisyTower(eta=0.4, phi=3.1, pt=(90.0, 120.0), fraction=0.7, files=(1, 1), seed=4)
SPEC = SimulationSpec(seed=3, luminosity=40.0, data_processes=("wjets", "zjets"), blocks=2, templates={"zjets": 20})
BRANCHES = ("FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_msoftdrop", "FatJet_tau2", "run", "event", "PV_npvs")


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    from oddjets.simulation.run import simulate

    folder = tmp_path_factory.mktemp("simulation")
    simulate(SPEC, folder, workers=1)
    return folder


def read(folder, number):
    with uproot.open(folder / "data" / f"data-000{number}.root") as file:
        return file["Events"].arrays(), file["Runs"]["run"].array()


def test_a_file_with_the_tower_has_it_in_its_jets_and_the_others_are_copies(simulation, tmp_path):
    fileset = with_noisy_tower(SPEC, simulation, tmp_path, TOWER, files_per_run=1)
    content = json.loads(fileset.read_text())
    assert [*content["data"]["files"]] == [str(tmp_path / "data" / f"data-000{number}.root") for number in (0, 1)]
    # templates stay where they are
    assert [*content["zjets"]["files"]] == [str(p.resolve()) for p in sorted((simulation / "zjets").glob("*.root"))]
    towers = []
    for number in (0, 1):
        before, _ = read(simulation, number)
        after, run = read(tmp_path, number)
        assert set(after.fields) == set(before.fields)
        assert set(after.run.to_numpy()) == set(run.to_numpy()) == {number + 1}
        assert set(after.luminosityBlock.to_numpy()) == {number + 1}
        with np.load(tmp_path / "truth" / f"data-000{number}.npz") as truth:
            assert truth["event"].tolist() == after.event.to_numpy().tolist()
            assert set(truth["process"].tolist()) == {"wjets", "zjets"}
        candidates = (after[f"PFCands_{name}"] for name in ("eta", "phi", "pt", "pdgId"))
        eta, phi, pt, code = candidates
        there = (code == 130) & (abs(eta - TOWER.eta) < 0.09) & (abs(delta_phi(phi, TOWER.phi)) < 0.09) & (pt > 70)
        towers.append(ak.any(there, axis=1).to_numpy())
        if number == 0:
            for name in BRANCHES:
                if name != "run":
                    assert ak.array_equal(after[name], before[name])
    assert not towers[0].any()
    # stored are the candidates of AK8 jets: the tower where it is in one
    after, _ = read(tmp_path, 1)
    assert 3 <= towers[1].sum() < len(after)
    for event in after[towers[1]]:
        near = delta_r(event.FatJet_eta.to_numpy(), event.FatJet_phi.to_numpy(), TOWER.eta, TOWER.phi)
        assert near.min() < 0.85
    assert after.event.to_numpy().tolist() == list(range(10_000_001, 10_000_001 + len(after)))


def test_collisions_are_kept_whose_jets_are_massive_because_of_the_tower():
    tower = NoisyTower(eta=0.0, phi=0.0, pt=(100.0, 100.0), fraction=1.0)
    # two jets of little mass, one of them 0.5 from the tower
    light = momenta([600.0, 20.0, 400.0, 160.0], [0.5, 0.52, -0.3, -0.6], [0.0, 0.1, 3.0, 2.6], np.zeros(4))
    pt, mass = leading_jets(light)
    assert pt.min() > EARLY_VETO.min_pt
    assert mass[0] < EARLY_VETO.min_mass < mass[1]
    shown = tower.shows(1.25)
    assert shown == pytest.approx(tower.shows(1.25))
    assert np.hypot(*shown[:2]) == pytest.approx(100)
    assert leading_jets(np.concatenate([light, shown[None]]))[1].min() > EARLY_VETO.min_mass
    never = [NoisyTower(0.0, 0.0, fraction=0.3).shows(px) is None for px in np.linspace(0, 1, 400)]
    assert np.mean(never) == pytest.approx(0.7, abs=0.08)


def test_a_folder_without_these_pseudo_data_is_an_error(simulation, tmp_path):
    with pytest.raises(OddjetsError, match="no fileset of a simulation"):
        with_noisy_tower(SPEC, tmp_path, tmp_path / "out", TOWER)
    other = SPEC.model_copy(update={"blocks": 3})
    with pytest.raises(OddjetsError, match="its pseudo-data are not those that are asked for"):
        with_noisy_tower(other, simulation, tmp_path / "out", TOWER)
