"""The emulated triggers' turn-ons are measured back, in events that a muon trigger took."""

import json

import awkward as ak
import numpy as np
import pytest
import yaml
from scipy.stats import chi2, norm

from oddjets.config.analysis import load_analysis
from oddjets.core.kinematics import momenta, pt_eta_phi
from oddjets.core.resources import find
from oddjets.core.substructure import cluster_jets
from oddjets.io import event_table
from oddjets.report.artifacts import Artifacts
from oddjets.report.figure_files import make
from oddjets.report.figures import efficiency
from oddjets.simulation.jets import build_fat_jets
from oddjets.simulation.leptons import Leptons
from oddjets.simulation.nanoaod_layout import jagged
from oddjets.simulation.trigger import emulate
from oddjets.simulation.writer import write_nano
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext

NUMBER = 24000


def two_pronged(rng):
    """Two jets of two massless prongs each, back to back: pT 250 to 700 GeV, masses 5 to 120 GeV."""
    leading = rng.uniform(250, 700, NUMBER)
    pt = np.stack([leading, leading * rng.uniform(0.7, 1, NUMBER)], axis=1)
    mass, z = rng.uniform(5, 120, (NUMBER, 2)), rng.uniform(0.3, 0.7, (NUMBER, 2))
    # m^2 = z (1 - z) pT^2 dR^2 for a small opening
    opening = np.minimum(mass / (pt * np.sqrt(z * (1 - z))), 0.35)
    eta = rng.uniform(-1.5, 1.5, (NUMBER, 2))
    phi = np.stack([np.zeros(NUMBER), np.full(NUMBER, np.pi - 0.01)], axis=1)
    prongs = [(z * pt, eta + (1 - z) * opening), ((1 - z) * pt, eta - z * opening)]
    flat = [np.stack([a, b], axis=2).ravel() for a, b in zip(*prongs, strict=True)]
    p = momenta(flat[0], flat[1], np.repeat(phi.ravel(), 2), np.zeros(4 * NUMBER))
    return p, np.arange(0, 4 * NUMBER + 1, 4)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A file with emulated triggers, and of each event the true probability of two paths."""
    rng = np.random.default_rng(3)
    p, offsets = two_pronged(rng)
    narrow, fat = cluster_jets(p, offsets, 0.4, 30.0), build_fat_jets(p, offsets)
    muons = Leptons(np.ones(NUMBER, np.int64), np.arange(NUMBER), np.zeros(NUMBER), np.ones(NUMBER, dtype=bool))
    muon_pt = np.full(NUMBER, 40.0, np.float32)
    fired = emulate(narrow, fat, muons, muon_pt, rng)

    counts = np.diff(fat.clustered.event_offsets)
    pt, eta, phi = pt_eta_phi(fat.clustered.momenta)
    mass = fat.groomed.mass
    of_jet = norm.cdf((pt - 360) / (0.05 * pt)) * norm.cdf((mass - 30) / (0.1 * np.maximum(mass, 1e-9)))
    any_jet = 1 - np.asarray(ak.prod(ak.unflatten(1 - of_jet, counts), axis=1))
    narrow_pt, narrow_eta, _ = pt_eta_phi(narrow.momenta)
    central = ak.unflatten((narrow_pt > 40) & (abs(narrow_eta) < 2.5), np.diff(narrow.event_offsets))
    ht = np.asarray(ak.sum(ak.unflatten(narrow_pt, np.diff(narrow.event_offsets))[central], axis=1))

    one, none = np.ones(NUMBER), np.empty(0)
    unused = ("tau1", "tau2", "tau3", "tau4", "particleNetMD_Xbb", "particleNetMD_QCD")
    jets = {"pt": pt, "eta": eta, "phi": phi, "mass": mass, "msoftdrop": mass} | dict.fromkeys(unused, np.ones(len(pt)))
    muon = {"pt": muon_pt, "eta": one, "phi": one, "mass": 0 * one, "pfRelIso04_all": 0 * one}
    electron = dict.fromkeys(("pt", "eta", "phi", "mass"), none)
    integers = np.ones(NUMBER, np.int64)
    record = {
        "run": one.astype(np.uint32),
        "luminosityBlock": one.astype(np.uint32),
        "event": np.arange(NUMBER, dtype=np.uint64),
        "genWeight": one.astype(np.float32),
        "FatJet": jagged(counts, **jets, jetId=np.full(len(pt), 6)),
        "Muon": jagged(integers, **muon, charge=integers, tightId=one.astype(bool)),
        "Electron": jagged(0 * integers, **electron, charge=none.astype(int), cutBased=none.astype(int)),
        "Flag_goodVertices": one.astype(bool),
        **{f"HLT_{path}": decision for path, decision in fired.items()},
    }
    folder = tmp_path_factory.mktemp("trigger")
    write_nano(folder / "a.root", [ak.zip(record, depth_limit=1)], {"genEventSumw": np.array([float(NUMBER)])})
    metadata = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    (folder / "fileset.json").write_text(json.dumps({"top": {"files": ["a.root"], "metadata": metadata}}))
    (folder / "trigger_efficiency.yaml").write_text(find("trigger_efficiency.yaml", "processors").read_text())
    return folder, {"AK8PFJet360_TrimMass30": any_jet, "PFHT900": norm.cdf((ht - 900) / (0.03 * ht))}


def measured(folder, path, **jets):
    changes = {
        "extends": "trigger_efficiency.yaml",
        "simulate": None,
        "fileset": "fileset.json",
        "selection": {"triggers": [path], "jets": jets},
        "execution": {"executor": "iterative"},
    }
    (folder / "a.yaml").write_text(yaml.safe_dump(changes))
    run = RunContext(load_analysis(folder / "a.yaml"), folder / f"out_{path}")
    run_stage(run, stage_of(run, "process"))
    return run, efficiency.data(Artifacts(run.analysis, run.out))


@pytest.mark.parametrize(
    ("path", "variable", "column", "jets"),
    [
        ("AK8PFJet360_TrimMass30", "mass", "mass_1", {"pt_min": 400.0, "mass_min": 40.0}),
        ("AK8PFJet360_TrimMass30", "pt", "pt_1", {"pt_min": 400.0, "mass_min": 40.0}),
        ("PFHT900", "ht", "ht", {"pt_min": 400.0, "mass_min": 40.0}),
    ],
)
def test_the_emulated_turn_on_is_measured_back(sample, path, variable, column, jets):
    folder, truth = sample
    run, figures = measured(folder, path, **jets)
    figure = figures[f"efficiency_{variable}"]
    table = event_table.read(run.out / "events", "top")
    # the muon trigger's plateau is 0.9, and it knows nothing of jets
    assert len(table["event"]) == pytest.approx(0.9 * NUMBER, rel=0.03)
    low = np.minimum(*(table[f"pt_{j}"] for j in (1, 2))), np.minimum(*(table[f"mass_{j}"] for j in (1, 2)))
    asked = {"mass": low[0] > 400, "pt": low[1] > 40, "ht": np.ones(len(low[0]), dtype=bool)}[variable]
    probability = truth[path][table["event"].astype(int)][asked]
    place = np.digitize(table[column][asked], figure["x"]["edges"]) - 1
    n = len(figure["passed"])
    inside = (place >= 0) & (place < n)
    expected = np.bincount(place[inside], probability[inside], n)
    variance = np.bincount(place[inside], (probability * (1 - probability))[inside], n)
    np.testing.assert_array_equal(np.bincount(place[inside], minlength=n), figure["total"])
    # the turn-on itself, not only the plateau
    turning = variance > 1
    assert turning.sum() >= 2
    pulls = (np.array(figure["passed"]) - expected)[turning] / np.sqrt(variance[turning])
    assert chi2.sf((pulls**2).sum(), turning.sum()) > 1e-3
    assert "simulated events" in figure["caption"]
    assert json.loads(json.dumps(figure, allow_nan=False)) == figure
    assert len(figure["alt"]) > 40


def test_full_efficiency_begins_after_the_last_bin_below():
    edges, up = [0, 1, 2, 3, 4, 5], np.full(5, 0.001)
    assert efficiency.full_from(edges, [0.5, 1.0, 0.9, 1.0, np.nan], up, 1.0) == 3
    assert efficiency.full_from(edges, [0.5, 0.985, 0.989, 0.995, 1.0], up, 1.0) == 2
    assert efficiency.full_from(edges, [0.5, 0.6, 0.7, 0.8, 0.9], up, 1.0) is None
    assert efficiency.full_from(edges, np.full(5, np.nan), np.full(5, np.nan), 1.0) is None


def test_the_figure_is_asked_for_by_name_and_other_analyses_have_none(sample):
    folder, _ = sample
    run, _ = measured(folder, "PFHT900", pt_min=400.0, mass_min=40.0)
    files = make(run.analysis, run.out, ["efficiency_ht"])
    assert sorted(f.name for f in files) == ["efficiency_ht.json", "efficiency_ht.pdf", "efficiency_ht.png"]
    selection = run.analysis.selection.model_copy(update={"cuts": ("trigger",)})
    other = run.analysis.model_copy(update={"selection": selection})
    assert efficiency.data(Artifacts(other, run.out)) == {}
