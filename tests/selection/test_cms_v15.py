"""The processor on 200 simulated CMS events of top pairs in NanoAODv15, without a tree Runs."""

import json

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from helpers import tiny_model
from helpers.analyses import content

from oddjets.config.analysis import load_analysis
from oddjets.core.provenance import read_manifest
from oddjets.io import event_table
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext

SUM = 70_000.0
CUTS = ["two_jets", "jet_pt", "jet_mass"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, nanoaod_v15_file):
    folder = tmp_path_factory.mktemp("v15")
    metadata = {"process": "top", "is_data": False, "era": "run3", "cross_section_pb": 1.0, "sum_of_weights": SUM}
    (folder / "fileset.json").write_text(json.dumps({"tt": {"files": [str(nanoaod_v15_file)], "metadata": metadata}}))
    (folder / "run3.yaml").write_text("name: run3\nenergy_TeV: 13.6\njet_id: Run3\n")
    data = content(
        era="run3",
        luminosity=1000.0,
        scores={"mine": {"card": str(tiny_model.write(folder))}, "xbb": {"signal": ["xbb"], "background": ["qcd"]}},
        threshold={"score": "mine", "value": 0.5},
        systematics=[],
        execution={"executor": "iterative"},
        fit=None,
    )
    data["selection"] = {
        "cuts": CUTS,
        "jets": {"pt_min": 170.0, "mass_min": 0.0},
        "taggers": {"names": "v15"},
    }
    (folder / "a.yaml").write_text(yaml.safe_dump(data))
    (folder / "corrections").mkdir()
    (folder / "run3.yaml").rename(folder / "corrections" / "run3.yaml")
    made = RunContext(load_analysis(folder / "a.yaml"), folder / "out")
    run_stage(made, stage_of(made, "process"))
    return made


@pytest.fixture(scope="module")
def found(run):
    return read_manifest(run.out, "process")["extra"]["datasets"]["tt"]


def test_events_that_pass_each_cut(run):
    cutflow = json.loads((run.out / "cutflow.json").read_text())["datasets"]["tt"]
    assert cutflow["raw"] == [200, 20, 20, 20]


def test_rows_are_those_of_plain_uproot(run, nanoaod_v15_file):
    table = event_table.read(run.out / "events", "tt")
    names = (
        "event",
        "FatJet_pt",
        "FatJet_eta",
        "FatJet_globalParT3_Xbb",
        "FatJet_globalParT3_QCD",
        "nFatJetPFCand",
        "FatJetPFCand_jetIdx",
    )
    stored = {row["event"]: row for row in uproot.open(nanoaod_v15_file)["Events"].arrays(names).to_list()}
    for i, event in enumerate(table["event"]):
        row = stored[int(event)]
        order = [k for k in np.argsort(row["FatJet_pt"])[::-1] if abs(row["FatJet_eta"][k]) < 2.5][:2]
        for j in event_table.JETS:
            k = order[j - 1]
            assert table[f"pt_{j}"][i] == np.float32(row["FatJet_pt"][k])
            assert table[f"n_constituents_{j}"][i] == row["FatJetPFCand_jetIdx"].count(k)
            signal, other = row["FatJet_globalParT3_Xbb"][k], row["FatJet_globalParT3_QCD"][k]
            assert table[f"score_xbb_{j}"][i] == pytest.approx(signal / (signal + other), rel=1e-6)
            assert 0 < table[f"score_mine_{j}"][i] < 1


def test_its_candidates_add_up_and_what_it_lacks_is_counted(found):
    counted = {name: count for name, count in found["input_anomalies"].items() if count}
    assert "jets_unlike_constituents" not in counted
    assert "charges_not_known" not in counted
    assert counted["jet_ids_not_stored"] == 64
    assert counted["impact_parameters_not_stored"] == counted["charges_not_stored"] > 1000
    assert found["layouts"]["nanoaod_v15"]["files"] == 1


def test_the_sum_of_weights_is_that_of_the_metadata(found):
    assert (found["sum_of_weights"], found["sum_of_weights_from"]) == (SUM, "metadata")


def test_every_charge_of_the_file_is_known(nanoaod_v15_file):
    from oddjets.io.layouts import charges_of

    codes = ak.to_numpy(ak.flatten(uproot.open(nanoaod_v15_file)["Events"]["PFCand_pdgId"].array()))
    charges, known = charges_of(codes)
    assert known.all()
    assert set(np.unique(codes[charges == 0])) == {22, 130}
