"""The processor on ten real simulated CMS events (2017 conditions, QCD, jets of more than 1.2 TeV), by YAML alone."""

import json
from collections import Counter

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from helpers.analyses import content
from helpers.chunks import chunk_of

from oddjets.config.analysis import load_analysis
from oddjets.core import resources
from oddjets.io import event_table
from oddjets.scoring import inputs, model_card
from oddjets.selection import constituents
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext

CUTS = ("all", "trigger", "event_filters", "two_jets", "jet_pt", "jet_mass", "lepton_veto")


def process(folder, cms_file, mass_min, **changes):
    metadata = {"process": "qcd", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    (folder / "fileset.json").write_text(json.dumps({"cms": {"files": [str(cms_file)], "metadata": metadata}}))
    data = content(
        luminosity=1000.0,
        threshold={"score": "omnilearned", "value": 0.5},
        systematics=["jms", "jmr", "pref"],
        execution={"executor": "iterative"},
        **changes,
    )
    data["selection"] |= {
        "triggers": ["PFHT1050", "AK8PFJet500", "PFHT800"],  # PFHT800 is not in the menu of 2017
        "filters": ["goodVertices", "globalSuperTightHalo2016Filter"],
        "jets": {"mass_min": mass_min},
    }
    (folder / "cms.yaml").write_text(yaml.safe_dump(data))
    run = RunContext(load_analysis(folder / "cms.yaml"), folder / "out")
    run_stage(run, stage_of(run, "process"))
    return run


@pytest.fixture(scope="module")
def without_mass_cut(tmp_path_factory, cms_file):
    return process(tmp_path_factory.mktemp("cms"), cms_file, 0.0)


def test_how_many_events_pass_each_cut(tmp_path, cms_file):
    run = process(tmp_path, cms_file, 60.0)
    cutflow = json.loads((run.out / "cutflow.json").read_text())
    assert tuple(cutflow["cuts"]) == CUTS
    # counted from the branches with uproot alone: no jet pair of these ten QCD events has both masses above 60 GeV
    assert cutflow["datasets"]["cms"]["raw"] == [10, 10, 10, 10, 10, 0, 0]


def test_counts_agree_with_plain_uproot(without_mass_cut, cms_file):
    tree = uproot.open(cms_file)["Events"]
    names = ["FatJet_pt", "FatJet_eta", "FatJet_jetId", "FatJet_msoftdrop"]
    jets = tree.arrays([*names, "HLT_PFHT1050", "HLT_AK8PFJet500"])
    passed = []
    for event in jets.to_list():
        good = [
            (pt, mass)
            for pt, eta, jet_id, mass in zip(*(event[n] for n in names), strict=True)
            if abs(eta) < 2.5 and jet_id & 2
        ]
        pair = sorted(good, reverse=True)[:2]
        fired = event["HLT_PFHT1050"] or event["HLT_AK8PFJet500"]
        passed.append(fired and len(pair) == 2 and all(pt > 450 and mass > 0 for pt, mass in pair))
    cutflow = json.loads((without_mass_cut.out / "cutflow.json").read_text())
    assert cutflow["datasets"]["cms"]["raw"][-2] == sum(passed)
    assert 0 < sum(passed) < 10


def test_columns_are_the_branches_of_the_pair(without_mass_cut, cms_file):
    table = event_table.read(without_mass_cut.out / "events", "cms")
    tree = uproot.open(cms_file)["Events"].arrays(
        ["event", "FatJet_pt", "FatJet_msoftdrop", "FatJet_tau1", "FatJet_tau2", "FatJet_btagDeepB"]
    )
    stored = {row["event"]: row for row in tree.to_list()}
    for i, event in enumerate(table["event"]):
        row = stored[int(event)]
        order = np.argsort(row["FatJet_pt"])[::-1][:2]
        for j in event_table.JETS:
            k = order[j - 1]
            assert table[f"pt_{j}"][i] == row["FatJet_pt"][k]
            # a massless groomed jet is stored as -2e-5 GeV
            assert table[f"mass_{j}"][i] == max(row["FatJet_msoftdrop"][k], 0)
            # the branches, not a four-vector's proper time
            assert table[f"tau21_{j}"][i] == pytest.approx(row["FatJet_tau2"][k] / row["FatJet_tau1"][k], rel=1e-6)
            assert table[f"btag_{j}"][i] == pytest.approx(max(row["FatJet_btagDeepB"][k], 0))


def leading_two(chunk):
    """The first two jets of every event, flat, and their constituents."""
    two = chunk.FatJet[:, :2]
    eta, phi = (np.asarray(two[k]) for k in ("eta", "phi"))
    pair = np.tile([0, 1], (10, 1))
    return ak.flatten(two), constituents.read_pair_constituents(chunk, np.arange(10), pair, eta, phi, Counter())


def test_constituents_add_up_to_the_jet(cms_file):
    """The sum of PUPPI-weighted constituents has the jet's raw pT and mass; the links are the right ones."""
    lead, jets = leading_two(chunk_of(cms_file))
    owner = np.repeat(np.arange(20), np.diff(jets.offsets))
    pt = jets.pt.astype(float) * jets.puppi_weight
    energy = np.sqrt((pt * np.cosh(jets.eta)) ** 2 + (jets.mass * jets.puppi_weight) ** 2)
    vector = [pt * np.cos(jets.phi), pt * np.sin(jets.phi), pt * np.sinh(jets.eta), energy]
    px, py, pz, e = (np.bincount(owner, weights=v, minlength=20) for v in vector)
    raw = 1 - np.asarray(lead.rawFactor)
    np.testing.assert_allclose(np.hypot(px, py), np.asarray(lead.pt) * raw, rtol=0.005)
    np.testing.assert_allclose(np.sqrt(e**2 - px**2 - py**2 - pz**2), np.asarray(lead.mass) * raw, rtol=0.02)
    d_phi = (jets.phi - jets.jet_phi[owner] + np.pi) % (2 * np.pi) - np.pi
    heavy = pt > 1.0
    assert (np.hypot(jets.eta - jets.jet_eta[owner], d_phi)[heavy] < 0.85).all()


def test_features_lie_inside_the_jet_and_padding_is_zero(cms_file):
    card = model_card.load_card(resources.find("omnilearned_small_simulation.yaml", "models"))
    _, jets = leading_two(chunk_of(cms_file))
    prepared = inputs.prepare(jets, card)
    tensors = prepared.tensors(np.arange(20), 150)
    x, counts = tensors["x"], prepared.counts
    present = np.arange(150)[None, :] < counts[:, None]
    assert (x[~present] == 0).all()
    assert (tensors["pid"][~present] == 0).all()
    assert (x[present][:, 2] != 0).all()
    assert (np.hypot(x[..., 0], x[..., 1])[present & (x[..., 2] > 0)] < 0.85).all()
    # descending pT, and energy at least pT
    assert (np.diff(np.where(present, x[..., 2], -20.0), axis=1) <= 0).all()
    assert (x[..., 3] >= x[..., 2] - 1e-5)[present].all()


def test_scores_are_probabilities_and_weights_are_the_branches(without_mass_cut):
    table = event_table.read(without_mass_cut.out / "events", "cms")
    for j in event_table.JETS:
        assert ((table[f"score_omnilearned_{j}"] >= 0) & (table[f"score_omnilearned_{j}"] <= 1)).all()
    assert (table["weight__prefUp"] <= table["weight"]).all()
    assert not table["trigger_PFHT800"].any()
