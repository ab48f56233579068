"""The template processor on simulated PFNano: what it keeps, what it reads, what it costs to change."""

import json

import numpy as np
import pytest
import uproot
import yaml
from analysis import of_simulation

from oddjets import config, events, schema
from oddjets.cards import load_card
from oddjets.errors import OddjetsError
from oddjets.pipeline import Run, factors, run_stage
from oddjets.scoring import Scorer

MINE = """
import numpy as np
from oddjets.processor import cut, jet_variation
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


def run_of(folder, data, **execution):
    data = {**data, "execution": {**data["execution"], **execution}}
    (folder / "a.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return Run(config.load(folder / "a.yaml"), folder / "out")


def processed(folder, data, **execution):
    folder.mkdir(parents=True, exist_ok=True)
    run = run_of(folder, data, **execution)
    run_stage(run, run.stage("process"))
    return run


def chunk_of(sample, dataset):
    from coffea.nanoevents import NanoEventsFactory

    log = []
    metadata = {**sample.fileset[dataset]["metadata"], "dataset": dataset, "filename": "x", "fileuuid": "0"}
    factory = NanoEventsFactory.from_root(
        {str(sample.files(dataset)[0]): "Events"},
        schemaclass=schema.PFNano,
        mode="virtual",
        metadata=metadata,
        access_log=log,
    )
    return factory.events(), log


def processor_of(run, scorers=True):
    resolved = run.resolved
    made = {n: Scorer(load_card(c), provider="cpu") for n, c in resolved.cards.items()} if scorers else {}
    return resolved.processor(run.analysis, resolved.era, resolved.era_folder, made)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, sample):
    return processed(tmp_path_factory.mktemp("reference"), of_simulation(sample.folder))


@pytest.mark.parametrize(
    "execution", [{"chunk_size": 37}, {"executor": "futures", "workers": 2, "chunk_size": 60}], ids=str
)
def test_rows_are_the_same_bits_for_any_chunks_and_executor(tmp_path, reference, simulated_content, execution):
    run = processed(tmp_path, simulated_content, **execution)
    for dataset in ("data", "top"):
        one, other = (events.read(r.out / "events", dataset) for r in (reference, run))
        assert list(one) == list(other)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_data_has_no_variations(reference):
    assert not [c for c in events.read(reference.out / "events", "data") if "__" in c]
    top = events.read(reference.out / "events", "top")
    assert {c.split("__")[1] for c in top if "__" in c} == {
        s + d for s in ("jes", "jms", "jmr", "pu", "pref") for d in ("Up", "Down")
    }


def test_jet_variations_are_what_they_say(reference):
    top = events.read(reference.out / "events", "top")
    for j in events.JETS:
        np.testing.assert_allclose(top[f"mass_{j}__jmsUp"], 1.02 * top[f"mass_{j}"], rtol=1e-6)
        np.testing.assert_array_equal(top[f"pt_{j}__jmsUp"], top[f"pt_{j}"])
        # pT and mass move together, by the era's 0.7 to 1.5 %
        ratio = top[f"pt_{j}__jesUp"] / top[f"pt_{j}"]
        assert ((ratio > 1.0069) & (ratio < 1.0151)).all()
        np.testing.assert_allclose(top[f"mass_{j}__jesUp"] / top[f"mass_{j}"], ratio, rtol=1e-5)


def test_events_that_pass_only_under_a_variation_are_kept_and_flagged(tmp_path, simulated_content):
    simulated_content["systematics"] = [{"name": "jms", "size": 0.5}]
    simulated_content["selection"]["jets"]["mass_min"] = 100.0
    top = events.read(processed(tmp_path, simulated_content).out / "events", "top")
    nominal = (np.minimum(top["mass_1"], top["mass_2"]) > 100) & (np.minimum(top["pt_1"], top["pt_2"]) > 400)
    assert (~nominal).any()
    np.testing.assert_array_equal(top["passes_nominal"], nominal)
    assert (np.minimum(top["mass_1__jmsUp"], top["mass_2__jmsUp"]) > 100).all()


def test_candidates_are_read_only_where_an_event_survives(tmp_path, sample, simulated_content):
    simulated_content["selection"]["jets"]["pt_min"] = 1e5
    run = run_of(tmp_path, simulated_content)
    chunk, log = chunk_of(sample, "top")
    columns, counts = processor_of(run).table(chunk)
    assert len(columns["event"]) == 0
    assert counts.raw[-1] == 0
    read = {entry.branch for entry in log}
    assert "FatJet_pt" in read
    assert not {b for b in read if "PFCand" in b}


def test_weights_and_factors_give_the_cross_section(reference, sample):
    """The expected yield is cross section x K x luminosity x passed / tried, whatever the filter dropped."""
    metadata = sample.fileset["top"]["metadata"]
    process, is_data, factor = factors(reference.analysis, reference.extra("process"), 1.0)["top"]
    top = events.read(reference.out / "events", "top")
    assert (process, is_data) == ("top", False)
    passed = top["passes_nominal"]
    expected = metadata["cross_section_pb"] * metadata["k_factor"] * passed.sum() / metadata["events_tried"]
    # the nominal corrections here average to nearly 1
    assert factor * top["weight"][passed].sum() == pytest.approx(expected, rel=0.05)


def test_cutflow_falls_and_ends_at_the_table(reference):
    cutflow = json.loads((reference.out / "cutflow.json").read_text())
    for dataset, flow in cutflow["datasets"].items():
        assert flow["raw"] == sorted(flow["raw"], reverse=True)
        assert flow["raw"][-1] == events.read(reference.out / "events", dataset)["passes_nominal"].sum()
        for cut, (raw, _) in cutflow["n_minus_1"][dataset].items():
            assert raw >= flow["raw"][-1], cut


def test_no_file_of_a_missing_branch_is_read_further(tmp_path, sample, simulated_content):
    with uproot.open(sample.files("top")[0]) as source:
        arrays = source["Events"].arrays([k for k in source["Events"].keys() if k != "FatJet_tau2"])  # noqa: SIM118
        runs = source["Runs"].arrays(["genEventSumw"])
    grouped = {name: arrays[name] for name in arrays.fields if not name.startswith("n")}
    flat = {k: v for k, v in grouped.items() if v.ndim == 1}
    jets = {k.removeprefix("FatJet_"): v for k, v in grouped.items() if k.startswith("FatJet_")}
    import awkward as ak

    for name in ("Muon", "Electron"):
        flat[name] = ak.zip({k.removeprefix(f"{name}_"): v for k, v in grouped.items() if k.startswith(f"{name}_")})
    flat["FatJet"] = ak.zip(jets)
    with uproot.recreate(tmp_path / "broken.root") as out:
        out.mktree(
            "Events",
            {k: (v.type.content if v.ndim > 1 else ak.to_numpy(v).dtype) for k, v in flat.items()},
            counter_name=lambda name: f"n{name}",
        )
        out["Events"].extend(flat)
        out.mktree("Runs", {"genEventSumw": "f8"})
        out["Runs"].extend({"genEventSumw": ak.to_numpy(runs["genEventSumw"])})
    fileset = {"top": {"files": [str(tmp_path / "broken.root")], "metadata": sample.fileset["top"]["metadata"]}}
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    simulated_content |= {"fileset": "fileset.json", "threshold": {"score": "omnilearned", "value": 0.5}}
    with pytest.raises(OddjetsError, match=r"broken\.root: no branch 'FatJet_tau2'; did you mean 'FatJet_tau"):
        processed(tmp_path, simulated_content)


def test_a_new_cut_observable_and_jet_systematic_end_to_end(tmp_path, simulated_content):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "dijet_anomaly.py").write_text(
        (__import__("pathlib").Path(__file__).parent.parent / "processors" / "dijet_anomaly.py").read_text()
    )
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
    run_stage(run, run.stage("histogram"))
    from oddjets.histograms import HistogramSet

    histograms = HistogramSet.load(run.out / "histograms")
    assert list(histograms.variations["top"]) == ["nominal", "tiltUp", "tiltDown"]
    table = events.read(run.out / "events", "data")
    heavy = np.minimum(table["mass_1"], table["mass_2"]) > 60
    filled = sum(histograms.values("HEAVY", "asymmetry", "data", letter).sum() for letter in "ABCD")
    assert filled == (heavy & table["passes_nominal"]).sum() > 0
    assert "n_jets_1" not in table
    assert (table["n_jets"] >= 2).all()


def test_no_event_passes_is_said_and_the_fit_names_the_region(tmp_path, simulated_content, capfd):
    simulated_content["selection"]["jets"]["pt_min"] = 5000.0
    simulated_content["threshold"] = {"score": "omnilearned", "value": 0.5}
    run = processed(tmp_path, simulated_content)
    assert "no event of" in capfd.readouterr().err
    run_stage(run, run.stage("histogram"))
    with pytest.raises(OddjetsError, match="SR"):
        run_stage(run, run.stage("workspace"))
