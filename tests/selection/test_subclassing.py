"""Every row of the table "Extending it" of docs/architecture.md, end to end through the command line."""

import json
from pathlib import Path

import correctionlib.schemav2 as cs
import numpy as np
import pytest
import uproot
import yaml
from helpers.analyses import content
from helpers.toy_nano import toy_nano
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.core.files import sha256_of
from oddjets.core.resources import find
from oddjets.io import event_table
from oddjets.io.histograms import HistogramSet

MINE = '''
"""A processor of one's own, in a file of its own."""

import numpy as np

from oddjets.selection import DijetProcessor, cut, jet_variation


class Mine(DijetProcessor):
    """A new selection: two hooks, a cut and a jet systematic."""

    def select_jets(self, jets):
        return super().select_jets(jets) & (abs(jets.eta) < 1.9)

    def jet_columns(self, jets):
        return {"tau32": jets["tau3"] / jets["tau2"]}

    @cut
    def central(self, table):
        """The jets are close in eta."""
        return np.abs(table["eta_1"] - table["eta_2"]) < self.parameters["delta_eta_max"]

    @jet_variation
    def tilt(self, jets, sign):
        """A scale that grows with pT."""
        scale = 1 + sign * 0.05 * jets["pt"] / 1000
        return jets["pt"] * scale, jets["mass"] * scale
'''

ANALYSIS = {
    "extends": "base.yaml",
    "era": "mine",
    "processor": "mine.py:Mine",
    "selection": {"parameters": {"delta_eta_max": 1.3}},
    "scores": {"omnilearned": None, "xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
    "threshold": {"score": "xbb", "efficiency": 0.2},
    "observables": {
        "asymmetry": {"expression": "(pt_1 - pt_2) / (pt_1 + pt_2)", "label": "a", "bins": 4, "range": [0, 1]}
    },
    "regions": {"SR": {"cuts": ["central"]}, "VR1": {"cuts": ["not SR"]}, "SR1": None, "SR2": None},
    "systematics": [
        "tilt",
        {
            "name": "htweight",
            "correction": {"file": "mine", "key": "ht", "inputs": {"ht": "LHE_HT", "way": "variation"}},
        },
        {"name": "slope", "correction": {"nominal": None, "up": "1 + pt_1 / 1e4", "down": "1 - pt_1 / 1e4"}},
        {"name": "isr", "own_normalisation": True},
        {"name": "scale", "own_normalisation": True},
        "toppt",
    ],
    "fit": {"limit": False, "impacts": False, "scan": False, "goodness_of_fit": {"toys": 0}, "poi": {"process": "top"}},
    "execution": {"executor": "iterative"},
}


def era_of(folder):
    """An era with a correctionlib file of one's own: 1, 1.1 and 0.9, whatever HT."""
    ways = [cs.CategoryItem(key=k, value=v) for k, v in (("nominal", 1.0), ("up", 1.1), ("down", 0.9))]
    correction = cs.Correction(
        name="ht",
        version=1,
        inputs=[cs.Variable(name="ht", type="real"), cs.Variable(name="way", type="string")],
        output=cs.Variable(name="weight", type="real"),
        data=cs.Category(nodetype="category", input="way", content=ways),
    )
    file = folder / "mine.json"
    file.write_text(cs.CorrectionSet(schema_version=2, corrections=[correction]).model_dump_json(exclude_unset=True))
    files = {"mine": {"path": file.name, "sha256": sha256_of(file), "source": "a test"}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"name": "mine", "files": files}))


def oddjets(*words, code=0):
    result = CliRunner().invoke(app, [str(w) for w in words])
    assert result.exit_code == code, f"{result.output}\n{result.exception}"
    return result.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data and top pairs, and everything of one's own, in an empty folder."""
    folder = tmp_path_factory.mktemp("mine")
    toy_nano(folder / "data.root", 800, is_data=True)
    toy_nano(folder / "top.root", 500, seed=2)
    toy_nano(folder / "plain.root", 300, seed=3, weights=False)
    simulated = {"is_data": False, "era": "mine", "cross_section_pb": 2.0}
    fileset = {
        "data": {
            "files": ["data.root"],
            "metadata": {"process": "data", "is_data": True, "era": "mine", "luminosity_pb": 9},
        },
        "top": {"files": ["top.root"], "metadata": simulated | {"process": "top", "k_factor": 1.5}},
        "wjets": {
            "files": ["plain.root"],
            "metadata": simulated | {"process": "wjets", "generator_cut": "LHE_HT < 500"},
        },
    }
    (folder / "fileset.json").write_text(json.dumps(fileset))
    (folder / "mine.py").write_text(MINE)
    era_of(folder)
    (folder / "base.yaml").write_text(yaml.safe_dump(content()))
    (folder / "mine_analysis.yaml").write_text(yaml.safe_dump(ANALYSIS))
    for verb in ("validate", "process", "histogram"):
        oddjets(verb, folder / "mine_analysis.yaml", *(() if verb == "validate" else ("--out", folder / "out")))
    return folder


def table(folder, dataset):
    return event_table.read(folder / "out" / "events", dataset)


def test_the_new_cut_is_a_region_and_the_new_observable_is_filled(folder):
    histograms = HistogramSet.load(folder / "out" / "histograms")
    data = table(folder, "data")
    central = np.abs(data["eta_1"] - data["eta_2"]) < 1.3
    assert 0 < central.sum() < len(central)
    for region, mask in (("SR", central), ("VR1", ~central)):
        filled = sum(histograms.values(region, "asymmetry", "data", letter).sum() for letter in "ABCD")
        assert filled == (mask & data["passes_nominal"]).sum()


def test_the_hooks_were_used(folder):
    top = table(folder, "top")
    assert max(np.abs(top["eta_1"]).max(), np.abs(top["eta_2"]).max()) < 1.9
    stored = uproot.open(folder / "top.root")["Events"].arrays(["FatJet_tau2", "FatJet_tau3"], library="np")
    ratio = stored["FatJet_tau3"][int(top["event"][0])] / stored["FatJet_tau2"][int(top["event"][0])]
    assert np.isclose(ratio, top["tau32_1"][0]).any()


def test_the_new_jet_systematic_moves_jets_and_regions(folder):
    top = table(folder, "top")
    np.testing.assert_allclose(top["pt_1__tiltUp"], top["pt_1"] * (1 + 0.05 * top["pt_1"] / 1000), rtol=1e-6)
    np.testing.assert_allclose(top["mass_2__tiltDown"], top["mass_2"] * (1 - 0.05 * top["pt_2"] / 1000), rtol=1e-6)


def test_new_weights_from_a_file_and_from_branches(folder):
    top = table(folder, "top")
    np.testing.assert_allclose(top["weight__htweightUp"], 1.1 * top["weight"])
    np.testing.assert_allclose(top["weight__htweightDown"], 0.9 * top["weight"])
    np.testing.assert_allclose(top["weight__slopeUp"], top["weight"] * (1 + top["pt_1"].astype(float) / 1e4), rtol=1e-6)


def test_the_generators_weights_are_those_of_the_branches(folder):
    top = table(folder, "top")
    stored = uproot.open(folder / "top.root")["Events"].arrays(["PSWeight", "LHEScaleWeight"])[top["event"].astype(int)]
    for name, i in (("isrUp", 0), ("isrDown", 2)):
        np.testing.assert_allclose(top[f"weight__{name}"], top["weight"] * stored.PSWeight[:, i].to_numpy(), rtol=1e-6)
    for member, i in enumerate((0, 1, 3, 5, 7, 8)):
        expected = top["weight"] * stored.LHEScaleWeight[:, i].to_numpy()
        np.testing.assert_allclose(top[f"weight__scale{member}"], expected, rtol=1e-6)
    # top quarks' pT: down mirrors up about nominal
    np.testing.assert_allclose(top["weight__topptUp"] + top["weight__topptDown"], 2 * top["weight"])
    assert not [name for name in table(folder, "wjets") if "toppt" in name]


def test_data_have_no_variations_whatever_is_asked(folder):
    assert not [name for name in table(folder, "data") if "__" in name]
    assert list(HistogramSet.load(folder / "out" / "histograms").variations["data"]) == ["nominal"]


def test_a_sample_without_weights_is_counted_and_varies_in_nothing(folder):
    manifest = json.loads((folder / "out" / "manifests" / "process.json").read_text())["extra"]["datasets"]
    plain = table(folder, "wjets")
    assert manifest["wjets"]["input_anomalies"]["without_isr"] == len(plain["event"])
    assert "without_isr" not in manifest["top"]["input_anomalies"]
    for variation in ("isrUp", "isrDown", "scale3"):
        np.testing.assert_array_equal(plain[f"weight__{variation}"], plain["weight"])


def test_a_generator_cut_drops_events_and_not_their_share_of_the_cross_section(folder):
    plain = table(folder, "wjets")
    tree = uproot.open(folder / "plain.root")["Events"].arrays(["LHE_HT", "genWeight"], library="np")
    np.testing.assert_array_equal(plain["weight"] != 0, tree["LHE_HT"][plain["event"].astype(int)] < 500)
    manifest = json.loads((folder / "out" / "manifests" / "process.json").read_text())["extra"]["datasets"]
    assert manifest["wjets"]["sum_of_weights"] == pytest.approx(tree["genWeight"].sum())


def test_sums_of_weights_nominal_and_varied(folder):
    manifest = json.loads((folder / "out" / "manifests" / "process.json").read_text())["extra"]["datasets"]["top"]
    tree = uproot.open(folder / "top.root")["Events"].arrays(["genWeight", "PSWeight", "LHEScaleWeight"])
    generator = tree.genWeight.to_numpy().astype(float)
    assert manifest["sum_of_weights"] == pytest.approx(generator.sum())
    sums = manifest["sums_of_variations"]
    assert sums["isrUp"] == pytest.approx((generator * tree.PSWeight[:, 0].to_numpy()).sum(), rel=1e-5)
    assert sums["scale5"] == pytest.approx((generator * tree.LHEScaleWeight[:, 8].to_numpy()).sum(), rel=1e-5)


def test_own_normalisation_divides_by_the_variations_own_sum(folder):
    histograms = HistogramSet.load(folder / "out" / "histograms")
    manifest = json.loads((folder / "out" / "manifests" / "process.json").read_text())["extra"]["datasets"]["top"]
    top = table(folder, "top")
    inside = (top["passes_nominal"]) & (top["pt_1"] > 0)
    factor = 2.0 * 1.5 * 9 / manifest["sums_of_variations"]["isrUp"]
    filled = sum(histograms.values(r, "asymmetry", "top", x, "isrUp").sum() for r in ("SR", "VR1") for x in "ABCD")
    assert filled == pytest.approx(factor * top["weight__isrUp"][inside].sum())


def test_a_fit_setup_is_yaml(folder):
    oddjets("workspace", folder / "mine_analysis.yaml", "--out", folder / "out")
    channels = json.loads((folder / "out" / "workspace.json").read_text())["channels"]
    modifiers = {m["name"] for c in channels for s in c["samples"] if s["name"] == "top" for m in s["modifiers"]}
    assert {"tilt", "htweight", "slope", "isr_top", "scale_top", "toppt"} <= modifiers


def test_the_template_is_short_and_works(tmp_path, folder):
    """processors/minimal.py: its cut in a region, through the command line."""
    text = find("minimal.py", "processors").read_text()
    assert len(text.splitlines()) <= 25
    (tmp_path / "minimal.py").write_text(text)
    # without the corrections of the other tests' era
    fileset = json.loads((folder / "fileset.json").read_text())
    for dataset in fileset.values():
        dataset["metadata"]["era"] = "simulation"
        dataset["files"] = [str(folder / file) for file in dataset["files"]]
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    data = content(fileset="fileset.json", processor="minimal.py:Minimal", systematics=["jms"], fit=None)
    data |= {"scores": {"xbb": ANALYSIS["scores"]["xbb"]}, "threshold": ANALYSIS["threshold"]}
    data["regions"] = {"odd": {"all": "three_pronged"}}
    data["selection"]["parameters"] = {"tau32_max": 1.1}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    for verb in ("process", "histogram"):
        oddjets(verb, tmp_path / "a.yaml", "--out", tmp_path / "out")
    top = event_table.read(tmp_path / "out" / "events", "top")
    passed = (np.maximum(top["tau32_1"], top["tau32_2"]) < 1.1) & top["passes_nominal"]
    manifest = json.loads((tmp_path / "out" / "manifests" / "process.json").read_text())["extra"]["datasets"]["top"]
    filled = HistogramSet.load(tmp_path / "out" / "histograms")
    expected = 2.0 * 1.5 * 9 / manifest["sum_of_weights"] * top["weight"][passed].sum()
    # masses above 240 GeV would be in the overflow; the toy has none
    assert sum(filled.values("odd", "leading_mass", "top", x).sum() for x in "ABCD") == pytest.approx(expected)


@pytest.mark.slow
def test_the_golden_json_through_the_command_line(tmp_path, folder):
    """Sections 1 to 4 of 1 to 10 are certified; another year's JSON is refused; the luminosity is that of what was read."""
    toy_nano(tmp_path / "data.root", 200, is_data=True, run=278820)
    (tmp_path / "golden.json").write_text(json.dumps({"278820": [[1, 4]], "280000": [[1, 4]]}))
    metadata = {"process": "data", "is_data": True, "era": "g"}
    (tmp_path / "fileset.json").write_text(json.dumps({"data": {"files": ["data.root"], "metadata": metadata}}))
    periods = {"G": {"runs": [278820, 280385], "luminosity_pb": 100.0}}
    (tmp_path / "g.yaml").write_text(yaml.safe_dump({"name": "g", "periods": periods}))
    data = content(era="g", systematics=[], fit=None)
    data |= {"scores": {"xbb": ANALYSIS["scores"]["xbb"]}, "threshold": {"score": "xbb", "efficiency": 0.2}}
    data["selection"] |= {"golden_json": "golden.json", "cuts": ["certified", "two_jets"]}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    oddjets("process", tmp_path / "a.yaml", "--out", tmp_path / "out")
    assert set(event_table.read(tmp_path / "out" / "events", "data")["luminosityBlock"]) == {1, 2, 3, 4}
    read = json.loads((tmp_path / "out" / "manifests" / "process.json").read_text())["extra"]["datasets"]["data"]
    assert read["luminosity"] == {"luminosity_pb": 50.0, "approximate": True, "sections": 4, "certified": 8}
    assert read["luminosity_pb"] == json.loads((tmp_path / "out" / "cutflow.json").read_text())["luminosity_pb"] == 50.0
    (tmp_path / "golden.json").write_text(json.dumps({"300000": [[1, 4]]}))
    result = CliRunner().invoke(app, ["process", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "out")])
    assert "another year" in str(result.exception)


def test_the_design_still_has_these_rows():
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    rows = (
        "a region",
        "a cut",
        "an observable",
        "a weight systematic",
        "a jet systematic",
        "a score",
        "a new selection",
    )
    assert all(f"| {row} |" in text for row in rows)
