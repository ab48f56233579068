"""A small simulation, looked at as an analysis would: normalisation, masses, files, reproducibility."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import NanoEventsFactory, PFNanoAODSchema
from scipy import stats

from oddjets.config.simulation import SimulationSpec
from oddjets.simulation.job_plan import make_plan
from oddjets.simulation.run import simulate, simulate_block

if TYPE_CHECKING:
    from conftest import Sample

#: tries of the templates of the shared sample
TRIES = {"qcd": 600, "top": 120, "wjets": 300, "hh": 60}


def open_with_coffea(path: Path) -> ak.Array:
    with warnings.catch_warnings():
        # coffea names each cross reference of full NanoAOD that a file lacks
        warnings.filterwarnings("ignore", message="Missing cross-reference index")
        return NanoEventsFactory.from_root({str(path): "Events"}, schemaclass=PFNanoAODSchema, mode="virtual").events()


@pytest.mark.parametrize("dataset", ["data", "qcd", "top", "wjets"])
def test_coffea_finds_each_jets_constituents(sample: Sample, dataset: str) -> None:
    jets = open_with_coffea(sample.files(dataset)[0]).FatJet
    candidates = jets.constituents.pf
    assert ak.all(ak.num(candidates, axis=2) == jets.nConstituents)
    px = ak.sum(candidates.pt * np.cos(candidates.phi), axis=2)
    py = ak.sum(candidates.pt * np.sin(candidates.phi), axis=2)
    # candidates have 10 bits of mantissa
    assert ak.max(abs(np.hypot(px, py) / jets.pt - 1)) < 2e-3


def test_sums_of_weights_count_every_try(sample: Sample) -> None:
    for process, tries in TRIES.items():
        runs = [uproot.open(path)["Runs"].arrays() for path in sample.files(process)]
        for branch in ("genEventSumw", "genEventSumw2", "genEventCount"):
            assert sum(float(ak.sum(r[branch])) for r in runs) == tries


@pytest.mark.slow
def test_the_filter_changes_no_expected_yield(sample: Sample, tmp_path: Path) -> None:
    # weight of an event: 1 / tries; the veto must not change the yield of hard, massive pairs by more than its loss
    spec = SimulationSpec(seed=5, templates={"wjets": 300}, early_veto=False)
    simulate(spec, tmp_path, workers=1)
    unfiltered = uproot.open(tmp_path / "wjets" / "wjets-0000.root")["Events"].arrays()

    def fraction(events: ak.Array, tries: int) -> tuple[float, float]:
        hard = (events.FatJet_pt > 450) & (abs(events.FatJet_eta) < 2.5)
        massive = ak.sum(hard & (events.FatJet_msoftdrop > 60), axis=1) >= 2
        count = int(ak.sum(massive))
        return count / tries, np.sqrt(count) / tries

    with_filter, error = fraction(sample.events("wjets"), TRIES["wjets"])
    without, other_error = fraction(unfiltered, 300)
    assert with_filter > 3 * error
    assert with_filter == pytest.approx(without, abs=4 * np.hypot(error, other_error))
    assert len(sample.events("wjets")) < 0.7 * len(unfiltered)


def test_shower_weights_are_nanoaods_four_and_average_to_one(resonances: Path) -> None:
    content = json.loads((resonances / "fileset.json").read_text())
    assert "effective events of PSWeight: isr_up" in content["top"]["metadata"]["note"]
    weights = uproot.open(resonances / "top" / "top-0000.root")["Events"]["PSWeight"].array()
    table = ak.to_numpy(weights)
    assert table.shape[1] == 4
    # [ISR up, FSR up, ISR down, FSR down]: more radiation and less pull an event opposite ways
    for up, down in ((0, 2), (1, 3)):
        assert np.corrcoef(np.log(table[:, up]), np.log(table[:, down]))[0, 1] < -0.5
    spread = table.std(axis=0) / np.sqrt(len(table))
    # unity over all tries; the veto selects
    assert np.all(np.abs(table.mean(axis=0) - 1) < 4 * spread + 0.2)


def test_pseudo_data_and_qcd_have_no_shower_weights(sample: Sample) -> None:
    assert "PSWeight" not in sample.events("data").fields
    assert set(ak.to_list(ak.num(sample.events("qcd").PSWeight))) == {1}


def test_events_are_numbered_once(sample: Sample) -> None:
    for dataset in sample.fileset:
        events = sample.events(dataset)
        assert len(np.unique(ak.to_numpy(events.event))) == len(events)
        assert set(ak.to_numpy(events.run)) <= {1}


def test_pseudo_data_look_like_data(sample: Sample) -> None:
    fields = sample.events("data").fields
    truth = ("Gen", "gen", "SubGen", "PSWeight", "LHE", "Pileup", "L1Pre")
    assert not [name for name in fields if name.removeprefix("n").startswith(truth) or "genJet" in name]
    assert uproot.open(sample.files("data")[0])["Runs"].keys() == ["run"]
    assert "Pileup_nTrueInt" in sample.events("qcd").fields


def test_truth_names_the_process_of_every_event_of_pseudo_data(sample: Sample) -> None:
    processes = set()
    for path in sample.files("data"):
        events = uproot.open(path)["Events"].arrays(["run", "luminosityBlock", "event", "FatJet_pt"])
        with np.load(sample.folder / "truth" / f"{path.stem}.npz") as truth:
            for name in ("run", "luminosityBlock", "event"):
                np.testing.assert_array_equal(truth[name], ak.to_numpy(events[name]))
            processes |= set(truth["process"].tolist())
            # shuffled: sorted by process would have at most four runs of the same process
            assert (truth["process"][1:] != truth["process"][:-1]).sum() > 4
    assert {"qcd", "top"} <= processes


def test_no_event_of_pseudo_data_is_in_the_templates(sample: Sample) -> None:
    def leading(dataset: str) -> set[tuple[float, float]]:
        events = sample.events(dataset)
        return set(zip(ak.to_list(events.FatJet_pt[:, 0]), ak.to_list(events.FatJet_phi[:, 0]), strict=True))

    data = leading("data")
    assert len(data) > 50
    for process in TRIES:
        assert not data & leading(process)


def test_pseudo_data_are_what_the_templates_expect(sample: Sample) -> None:
    strengths = {"qcd": 1.0, "top": 10.0, "wjets": 1.0}  # tests/conftest.py; zjets, a part of 10^-3, has no template

    def ht(dataset: str) -> np.ndarray:
        return ak.to_numpy(ak.sum(sample.events(dataset).FatJet_pt[:, :2], axis=1))

    edges = [0, 950, 1050, 1200, np.inf]
    expected, variance = np.zeros(4), np.zeros(4)
    for process, strength in strengths.items():
        metadata = sample.fileset[process]["metadata"]
        weight = strength * metadata["cross_section_pb"] * metadata["k_factor"] / metadata["events_tried"]
        filled = np.histogram(ht(process), edges)[0]
        expected += weight * filled
        variance += weight**2 * filled
    observed = np.histogram(ht("data"), edges)[0]
    assert expected.min() > 5
    chi2 = np.sum((observed - expected) ** 2 / (expected + variance))
    assert stats.chi2.sf(chi2, len(expected)) > 1e-3


def test_events_have_the_two_jets_that_they_promise(sample: Sample) -> None:
    for dataset in sample.fileset:
        pt = sample.events(dataset).FatJet_pt
        assert ak.all(ak.sum(pt > 300, axis=1) >= 2)
        assert ak.all(pt[:, :-1] >= pt[:, 1:])


def test_generator_jets_know_the_jets_before_the_detector(sample: Sample) -> None:
    events = sample.events("wjets")
    index = events.FatJet_genJetAK8Idx[:, 0]
    matched = events[index >= 0]
    response = matched.FatJet_pt[:, 0] / matched.GenJetAK8_pt[ak.singletons(index[index >= 0])][:, 0]
    assert len(matched) > 0.95 * len(events)
    assert 0.85 < np.median(ak.to_numpy(response)) < 1.05
    assert np.std(ak.to_numpy(response)) < 0.15


def test_hard_jets_pass_the_trigger_and_soft_ones_do_not_all(sample: Sample) -> None:
    events = sample.events("data")
    hard = events.FatJet_pt[:, 0] > 600
    assert ak.mean(events.HLT_AK8PFJet360_TrimMass30[hard & (events.FatJet_msoftdrop[:, 0] > 60)]) > 0.99
    softest = np.argsort(ak.to_numpy(ak.sum(events.FatJet_pt, axis=1)))[:10]
    assert ak.mean(events.HLT_PFHT900[softest]) < 0.9


def test_fileset_says_what_the_analysis_needs(sample: Sample) -> None:
    assert set(sample.fileset) == {"data", *TRIES}
    for dataset, entry in sample.fileset.items():
        metadata = entry["metadata"]
        assert metadata["process"] == dataset
        assert metadata["is_data"] == (dataset == "data")
        assert 0 <= metadata["filter_efficiency"] < 1
        assert not any(Path(name).is_absolute() for name in entry["files"])
        assert (metadata["cross_section_pb"] is None) == metadata["is_data"]
    assert sample.fileset["data"]["metadata"]["luminosity_pb"] == 1.0
    assert sample.fileset["top"]["metadata"]["k_factor"] > 1


SMALL = SimulationSpec(seed=3, luminosity=0.1, blocks=2, templates={"top": 8})


def contents(folder: Path) -> dict[str, list[object]]:
    return {
        str(path.relative_to(folder)): uproot.open(path)["Events"].arrays().to_list()
        for path in sorted(folder.rglob("*.root"))
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    simulate(SMALL, folder, workers=1)
    return folder


@pytest.mark.slow
def test_events_do_not_depend_on_the_number_of_workers(small: Path, tmp_path: Path) -> None:
    simulate(SMALL, tmp_path, workers=2)
    assert contents(tmp_path) == contents(small)
    assert (tmp_path / "fileset.json").read_text() == (small / "fileset.json").read_text()


def test_any_file_can_be_made_again_alone(small: Path) -> None:
    before = contents(small)
    block = make_plan(SMALL)[1]
    (small / block.path).unlink()
    simulate_block(block, small)
    assert contents(small) == before


def test_an_interrupted_simulation_goes_on(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(small)
    plan = make_plan(SMALL)
    (small / plan[-1].path).with_suffix(".json").unlink()
    made = []
    original: Callable[..., None] = simulate_block

    def record(block: object, out: Path) -> None:
        made.append(block)
        original(block, out)  # type: ignore[arg-type]

    monkeypatch.setattr("oddjets.simulation.run.simulate_block", record)
    simulate(SMALL, small, workers=1)
    assert made == [plan[-1]]
    assert contents(small) == before


def test_a_block_without_survivors_is_an_empty_file_with_its_tries(tmp_path: Path) -> None:
    fileset = simulate(SimulationSpec(seed=1, templates={"qcd": 1}), tmp_path, workers=1)
    metadata = json.loads(fileset.read_text())["qcd"]["metadata"]
    assert metadata["filter_efficiency"] == 0
    with uproot.open(tmp_path / "qcd" / "qcd-0000.root") as file:
        assert file["Events"].num_entries == 0
        assert "FatJet_pt" in file["Events"].keys()  # noqa: SIM118  (a tree's keys)
        assert file["Runs"]["genEventCount"].array().tolist() == [1]


def test_another_seed_gives_other_events(small: Path, tmp_path: Path) -> None:
    simulate(SMALL.model_copy(update={"seed": 4, "luminosity": None}), tmp_path, workers=1)
    assert contents(tmp_path)["top/top-0000.root"] != contents(small)["top/top-0000.root"]
