"""A noisy tower in simulated files: what it changes, and that it changes nothing else."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np
import pytest
import uproot

from oddjets.config.simulation import SimulationSpec
from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import delta_r
from oddjets.simulation.noise import NoisyTower, with_noisy_tower

pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")

TOWER = NoisyTower(eta=0.4, phi=3.1, pt=(90.0, 120.0), fraction=0.7, files=(1, 1))
BRANCHES = ("FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_msoftdrop", "FatJet_tau2", "run", "event", "PV_npvs")


@pytest.fixture(scope="module")
def simulation(tmp_path_factory):
    from oddjets.simulation.run import simulate

    folder = tmp_path_factory.mktemp("simulation")
    spec = SimulationSpec(seed=3, luminosity=40.0, data_processes=("wjets", "zjets"), blocks=2, templates={"zjets": 20})
    simulate(spec, folder, workers=1)
    return folder


def read(fileset, number):
    files = json.loads(fileset.read_text())["data"]["files"]
    with uproot.open(list(files)[number]) as file:
        return file["Events"].arrays(), file["Runs"]["run"].array()


def test_jets_near_the_tower_change_and_all_others_stay(simulation, tmp_path):
    fileset = with_noisy_tower(simulation, tmp_path, TOWER, files_per_run=1)
    original = {"data": {"files": {str(p): "Events" for p in sorted((simulation / "data").glob("*.root"))}}}
    (tmp_path / "original.json").write_text(json.dumps(original))
    changed = 0
    for number in (0, 1):
        before, _ = read(tmp_path / "original.json", number)
        after, run = read(fileset, number)
        assert set(after.fields) == set(before.fields)
        assert set(after.run.to_numpy()) == set(run.to_numpy()) == {number + 1}
        assert ak.all(after.event == before.event)
        assert ak.all(after.PV_npvs == before.PV_npvs)
        for old, new in zip(before[list(BRANCHES)], after[list(BRANCHES)], strict=True):
            near = delta_r(*(np.asarray(new[f"FatJet_{n}"]) for n in ("eta", "phi")), TOWER.eta, TOWER.phi) < 0.9
            same = len(old.FatJet_pt) == len(new.FatJet_pt) and np.allclose(old.FatJet_pt, new.FatJet_pt, rtol=1e-3)
            if number == 0 or not near.any():
                assert same
                # stored candidates are rounded
                assert np.allclose(old.FatJet_msoftdrop, new.FatJet_msoftdrop, rtol=0.05, atol=1.0)
            changed += not same
        links = after.FatJetPFCands_pFCandsIdx
        assert ak.all(links < ak.num(after.PFCands_pt))
        assert ak.all(after.FatJetPFCands_jetIdx < ak.num(after.FatJet_pt))
    assert changed > 0


def test_what_was_injected_can_be_left_out_and_templates_stay(simulation, tmp_path):
    fileset = with_noisy_tower(simulation, tmp_path, None, without=["zjets"])
    content = json.loads(fileset.read_text())
    assert [*content["zjets"]["files"]] == [str(p.resolve()) for p in sorted((simulation / "zjets").glob("*.root"))]
    kept = 0
    for number in (0, 1):
        with np.load(simulation / "truth" / f"data-000{number}.npz") as truth:
            expected = truth["event"][truth["process"] != "zjets"]
        after, _ = read(fileset, number)
        assert after.event.to_numpy().tolist() == expected.tolist()
        kept += len(expected)
    assert kept > 0


def test_a_folder_without_pseudo_data_is_an_error(tmp_path):
    with pytest.raises(OddjetsError, match="no fileset of a simulation"):
        with_noisy_tower(tmp_path, tmp_path / "out", TOWER)
    (tmp_path / "fileset.json").write_text("{}")
    with pytest.raises(OddjetsError, match="has no pseudo-data"):
        with_noisy_tower(tmp_path, tmp_path / "out", TOWER)
