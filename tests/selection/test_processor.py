"""The template processor on simulated PFNano: what it keeps, what it reads, what it costs to change."""

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from helpers.analyses import of_simulation
from helpers.chunks import chunk_of, copy
from helpers.runs import processed, run_of
from typer.testing import CliRunner

from oddjets.cli import main
from oddjets.core.errors import OddjetsError
from oddjets.io import event_table
from oddjets.scoring import inputs
from oddjets.scoring.model_card import load_card
from oddjets.scoring.scorer import Scorer
from oddjets.selection.normalisation import factors
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.stages.npz import export_npz

NO_SCORE = {
    "scores": {"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
    "threshold": {"score": "xbb", "value": 0.5},
    "systematics": [],
}
MINE = """
import numpy as np
from oddjets.selection.decorators import cut, jet_variation
from dijet_anomaly import DijetAnomaly

class Mine(DijetAnomaly):
    def event_columns(self, events):
        return {"n_jets": np.asarray(events.FatJet.pt.layout.offsets.data[1:] - events.FatJet.pt.layout.offsets.data[:-1])}

    @cut
    def heavy_pair(self, table):
        '''Both jets are heavy.'''
        return np.minimum(table["mass_1"], table["mass_2"]) > self.parameters["heavy"]

    @jet_variation
    def tilt(self, jets, sign):
        '''A scale that grows with pT.'''
        scale = 1 + sign * 0.02 * jets["pt"] / 500
        return jets["pt"] * scale, jets["mass"] * scale
"""


def processor_of(run, scorers=True):
    resolved = run.resolved
    made = {n: Scorer(load_card(c), provider="cpu") for n, c in resolved.cards.items()} if scorers else {}
    return resolved.processor(run.analysis, resolved.era, resolved.era_folder, made)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, sample):
    return processed(tmp_path_factory.mktemp("reference"), of_simulation(sample.folder))


@pytest.fixture(scope="module")
def few_events(sample, tmp_path_factory):
    """The pseudo-data and top pairs in few events, as an analysis with all systematics of the simulated era."""
    folder = tmp_path_factory.mktemp("few")
    fileset = {}
    for name in ("data", "top"):
        file = copy(sample.files(name)[0], folder / f"{name}.root", stop=9)
        fileset[name] = {"files": [str(file)], "metadata": sample.fileset[name]["metadata"]}
    (folder / "fileset.json").write_text(json.dumps(fileset))
    return of_simulation(sample.folder) | {"fileset": str(folder / "fileset.json")}


@pytest.fixture(scope="module")
def one_chunk(few_events, tmp_path_factory):
    return processed(tmp_path_factory.mktemp("whole"), few_events)


@pytest.mark.parametrize(
    "execution",
    [
        pytest.param({"chunk_size": 1}, id="1", marks=pytest.mark.slow),
        pytest.param({"chunk_size": 7}, id="7"),
        pytest.param({"executor": "futures", "workers": 2, "chunk_size": 7}, id="7-futures", marks=pytest.mark.slow),
    ],
)
def test_rows_are_the_same_bits_for_any_chunks_and_executor(tmp_path, one_chunk, few_events, execution):
    """With scores of the shipped model and the variations jes, jms, jmr, pu and pref."""
    assert_same_rows(one_chunk, processed(tmp_path, few_events, **execution))


def test_rows_of_an_rntuple_are_those_of_the_tree(tmp_path, one_chunk, few_events):
    """What a user would write with uproot: ``file["Events"] = {...}``."""
    fileset = json.loads(Path(few_events["fileset"]).read_text())
    for name, entry in fileset.items():
        entry["files"] = [str(copy(Path(entry["files"][0]), tmp_path / f"{name}.root", rntuple=True))]
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    with uproot.open(tmp_path / "top.root") as file:
        assert isinstance(file["Events"], uproot.behaviors.RNTuple.HasFields)
    data = few_events | {"fileset": str(tmp_path / "fileset.json")}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    result = CliRunner().invoke(main.app, ["process", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert_same_rows(one_chunk, run_of(tmp_path, data))


def assert_same_rows(one, other):
    for dataset in ("data", "top"):
        a, b = (event_table.read(run.out / "events", dataset) for run in (one, other))
        assert len(a["event"]) > 2
        assert list(a) == list(b)
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_data_has_no_variations(reference):
    assert not [c for c in event_table.read(reference.out / "events", "data") if "__" in c]
    top = event_table.read(reference.out / "events", "top")
    assert {c.split("__")[1] for c in top if "__" in c} == {
        s + d for s in ("jes", "jms", "jmr", "pu", "pref") for d in ("Up", "Down")
    }


def test_jet_variations_are_what_they_say(reference):
    top = event_table.read(reference.out / "events", "top")
    for j in event_table.JETS:
        np.testing.assert_allclose(top[f"mass_{j}__jmsUp"], 1.02 * top[f"mass_{j}"], rtol=1e-6)
        np.testing.assert_array_equal(top[f"pt_{j}__jmsUp"], top[f"pt_{j}"])
        # pT and mass move together, by the era's 0.7 to 1.5 %
        ratio = top[f"pt_{j}__jesUp"] / top[f"pt_{j}"]
        assert ((ratio > 1.0069) & (ratio < 1.0151)).all()
        np.testing.assert_allclose(top[f"mass_{j}__jesUp"] / top[f"mass_{j}"], ratio, rtol=1e-5)


def test_events_that_pass_only_under_a_variation_are_kept_and_flagged(tmp_path, simulated_content):
    simulated_content["systematics"] = [{"name": "jms", "size": 0.5}]
    simulated_content["selection"]["jets"]["mass_min"] = 100.0
    top = event_table.read(processed(tmp_path, simulated_content).out / "events", "top")
    nominal = (np.minimum(top["mass_1"], top["mass_2"]) > 100) & (np.minimum(top["pt_1"], top["pt_2"]) > 400)
    assert (~nominal).any()
    np.testing.assert_array_equal(top["passes_nominal"], nominal)
    assert (np.minimum(top["mass_1__jmsUp"], top["mass_2__jmsUp"]) > 100).all()


def branches_read(monkeypatch):
    """Note the branches that anything asks uproot for."""
    noted = set()
    branch = uproot.behaviors.TBranch.TBranch
    plain = branch.array

    def noting(self, *arguments, **options):
        noted.add(self.name)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(branch, "array", noting)
    return noted


def test_candidates_are_read_only_where_an_event_survives(tmp_path, sample, simulated_content, monkeypatch):
    simulated_content["selection"]["jets"]["pt_min"] = 1e5
    run = run_of(tmp_path, simulated_content)
    chunk = chunk_of(sample.files("top")[0], **sample.fileset["top"]["metadata"])
    read = branches_read(monkeypatch)
    columns, counts = processor_of(run).table(chunk)
    assert len(columns["event"]) == 0
    assert counts.raw[-1] == 0
    assert {"FatJet_pt", "FatJet_msoftdrop", "HLT_PFHT800", "Muon_pt", "genWeight"} <= read
    assert not {name for name in read if "PFCand" in name}


def test_where_events_survive_the_candidates_are_read_and_other_branches_are_not(
    tmp_path, sample, simulated_content, monkeypatch
):
    run = run_of(tmp_path, simulated_content | {"systematics": []})
    chunk = chunk_of(sample.files("top")[0], stop=20, **sample.fileset["top"]["metadata"])
    read = branches_read(monkeypatch)
    columns, _ = processor_of(run).table(chunk)
    assert len(columns["event"]) > 0
    candidates = {f"PFCands_{branch}" for branch in inputs.CANDIDATE_BRANCHES.values()}
    assert {name for name in read if name.startswith("PFCands")} == candidates
    assert not {name for name in read if name.startswith(("Gen", "SubGen", "LHE"))}


def test_cutflow_and_n_minus_1_agree_with_a_loop_over_events(tmp_path, sample, simulated_content):
    """Plain Python on the branches, with the paper's cuts."""
    selection = simulated_content["selection"]
    selection["jets"]["mass_min"] = 80.0
    file = sample.files("top")[0]

    def weigh(columns):
        columns["genWeight"] = ak.values_astype(0.5 + columns["event"] % 7, np.float32)

    copy(file, tmp_path / "top.root", weigh, stop=60)
    run = run_of(tmp_path, simulated_content | NO_SCORE)
    _, counts = processor_of(run).table(chunk_of(tmp_path / "top.root", **sample.fileset["top"]["metadata"]))
    passed = []
    weights = []
    with uproot.open(tmp_path / "top.root") as root:
        rows = root["Events"].arrays().to_list()
    for row in rows:
        jets = sorted(
            (
                (pt, mass)
                for pt, eta, mass, jet_id in zip(
                    *(row[f"FatJet_{name}"] for name in ("pt", "eta", "msoftdrop", "jetId")), strict=True
                )
                if abs(eta) < 2.5 and jet_id & 2
            ),
            reverse=True,
        )[:2]
        muons = zip(*(row[f"Muon_{name}"] for name in ("pt", "eta", "tightId", "pfRelIso04_all")), strict=True)
        electrons = zip(*(row[f"Electron_{name}"] for name in ("pt", "eta", "cutBased")), strict=True)
        passed.append(
            [
                row["HLT_PFHT800"] or row["HLT_PFJet450"],
                row["Flag_goodVertices"],
                len(jets) == 2,
                len(jets) == 2 and jets[1][0] > 400,
                len(jets) == 2 and min(mass for _, mass in jets) > 80,
                not [m for m in muons if m[0] > 30 and abs(m[1]) < 2.5 and m[2] and m[3] < 0.15]
                and not [e for e in electrons if e[0] > 15 and abs(e[1]) < 2.5 and e[2] >= 3],
            ]
        )
        weights.append(row["genWeight"])
    in_order = [[i for i, cuts in enumerate(passed) if all(cuts[:n])] for n in range(7)]
    others = [[i for i, cuts in enumerate(passed) if all(cuts[:n] + cuts[n + 1 :])] for n in range(6)]
    assert counts.raw == [len(kept) for kept in in_order]
    assert 0 < counts.raw[-1] < counts.raw[0]
    np.testing.assert_allclose(counts.weighted, [sum(weights[i] for i in kept) for kept in in_order])
    assert [raw for raw, _ in counts.n_minus_1] == [len(kept) for kept in others]
    np.testing.assert_allclose([w for _, w in counts.n_minus_1], [sum(weights[i] for i in kept) for kept in others])
    assert max(raw for raw, _ in counts.n_minus_1) > counts.raw[-1]


def test_weights_and_factors_give_the_cross_section(reference, sample):
    """The expected yield is cross section x K x luminosity x passed / tried, whatever the filter dropped."""
    metadata = sample.fileset["top"]["metadata"]
    process, is_data, factor, _ = factors(reference.analysis, reference.extra("process"), 1.0)["top"]
    top = event_table.read(reference.out / "events", "top")
    assert (process, is_data) == ("top", False)
    passed = top["passes_nominal"]
    expected = metadata["cross_section_pb"] * metadata["k_factor"] * passed.sum() / metadata["events_tried"]
    # the nominal corrections here average to nearly 1
    assert factor * top["weight"][passed].sum() == pytest.approx(expected, rel=0.05)


def test_cutflow_falls_and_ends_at_the_table(reference):
    cutflow = json.loads((reference.out / "cutflow.json").read_text())
    for dataset, flow in cutflow["datasets"].items():
        assert flow["raw"] == sorted(flow["raw"], reverse=True)
        assert flow["raw"][-1] == event_table.read(reference.out / "events", dataset)["passes_nominal"].sum()
        for cut, (raw, _) in cutflow["n_minus_1"][dataset].items():
            assert raw >= flow["raw"][-1], cut


def test_no_file_of_a_missing_branch_is_read_further(tmp_path, sample, simulated_content):
    copy(sample.files("top")[0], tmp_path / "broken.root", lambda columns: columns.pop("FatJet_tau2"), stop=20)
    fileset = {"top": {"files": [str(tmp_path / "broken.root")], "metadata": sample.fileset["top"]["metadata"]}}
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    simulated_content |= {"fileset": "fileset.json", "threshold": {"score": "omnilearned", "value": 0.5}}
    with pytest.raises(OddjetsError, match=r"broken\.root: no branch 'FatJet_tau2'; did you mean 'FatJet_tau"):
        processed(tmp_path, simulated_content)


def test_a_new_cut_observable_and_jet_systematic_end_to_end(tmp_path, simulated_content):
    (tmp_path / "mine.py").write_text(MINE)
    data = simulated_content | {"processor": "mine.py:Mine", "systematics": ["tilt"]}
    data["selection"]["parameters"] = {"heavy": 60.0}
    data["regions"]["HEAVY"] = {"cuts": ["heavy_pair"]}
    data["observables"]["asymmetry"] = {
        "expression": "(pt_1 - pt_2) / (pt_1 + pt_2)",
        "label": "asymmetry",
        "bins": 5,
        "range": [0, 1],
    }
    run = processed(tmp_path, data)
    run_stage(run, stage_of(run, "histogram"))
    from oddjets.io.histograms import HistogramSet

    histograms = HistogramSet.load(run.out / "histograms")
    assert list(histograms.variations["top"]) == ["nominal", "tiltUp", "tiltDown"]
    table = event_table.read(run.out / "events", "data")
    heavy = np.minimum(table["mass_1"], table["mass_2"]) > 60
    filled = sum(histograms.values("HEAVY", "asymmetry", "data", letter).sum() for letter in "ABCD")
    assert filled == (heavy & table["passes_nominal"]).sum() > 0
    assert "n_jets_1" not in table
    assert (table["n_jets"] >= 2).all()


@pytest.mark.fault("Zero passing events", "Reports it during processing; a fit that needs events names the region.")
def test_no_event_passes_is_said_and_the_fit_names_the_region(tmp_path, simulated_content, capfd):
    simulated_content["selection"]["jets"]["pt_min"] = 5000.0
    simulated_content["threshold"] = {"score": "omnilearned", "value": 0.5}
    run = processed(tmp_path, simulated_content)
    assert "no event of" in capfd.readouterr().err
    run_stage(run, stage_of(run, "histogram"))
    with pytest.raises(OddjetsError, match="SR"):
        run_stage(run, stage_of(run, "workspace"))


def test_kept_probabilities_are_named_by_their_class(tmp_path, one_chunk, few_events):
    """The card lists the outputs in another order than the network has them."""
    scores = {"omnilearned": few_events["scores"]["omnilearned"] | {"keep_probabilities": True}}
    run = processed(tmp_path, few_events | {"scores": scores})
    card = load_card(run.resolved.cards["omnilearned"])
    assert list(card.output.softmax) != sorted(card.output.softmax)
    table = event_table.read(run.out / "events", "top")
    # the shipped card has one output a class
    column = {index: f"prob_{name}_omnilearned" for index, name in card.class_names.items()}
    of_jet = {n: table[f"{column[n]}_1"].astype(float) for n in card.output.softmax}
    np.testing.assert_allclose(sum(of_jet.values()), 1.0, rtol=1e-5)
    # S / (S + Q) by the numbers that the classes have in the network: 2 and 173 to 199 are QCD
    signal = sum(p for n, p in of_jet.items() if 12 <= n <= 172)
    background = sum(p for n, p in of_jet.items() if n == 2 or n >= 173)
    np.testing.assert_allclose(signal / (signal + background), table["score_omnilearned_1"], rtol=1e-4)
    np.testing.assert_array_equal(
        table["score_omnilearned_1"], event_table.read(one_chunk.out / "events", "top")["score_omnilearned_1"]
    )
    said = run.extra("process")["probabilities"]["omnilearned"]
    assert said["prob_X_bb_omnilearned"] == "X_bb"
    assert list(said) == [*column.values()]
    for name in card.classes:
        np.testing.assert_array_equal(table[f"share_{name}_omnilearned_2"], table[f"prob_{name}_omnilearned_2"])

    file = next(path for path in export_npz(run, tmp_path / "npz") if "_top_" in path.name)
    exported = np.load(file)["prediction"].reshape(-1, 2, len(said))
    kept = table["passes_nominal"]
    for k, n in enumerate(card.output.softmax):
        np.testing.assert_array_equal(exported[:, 0, k], of_jet[n][kept].astype(np.float32))


def test_no_probabilities_are_exported_where_none_were_kept(tmp_path, one_chunk, few_events):
    with pytest.raises(OddjetsError, match=r"say 'scores\.omnilearned\.keep_probabilities: true'"):
        export_npz(one_chunk, tmp_path)
