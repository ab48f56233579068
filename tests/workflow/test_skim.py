"""Skims: the same rows bit for bit, the same sums of weights and sections, from a fraction of the bytes."""

import json
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from helpers.analyses import content, of_simulation
from helpers.chunks import copy
from helpers.toy_nano import toy_nano
from typer.testing import CliRunner

from oddjets.cli import main
from oddjets.config.analysis import load_analysis
from oddjets.core.errors import OddjetsError
from oddjets.corrections import luminosity
from oddjets.io import event_table
from oddjets.io.fileset import load_fileset
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.skim.compatibility import incompatible_skims
from oddjets.workflow.skim.run import skim

#: everything that the simulated era has: varied jets, corrections, weights of the generator and of its top quarks
SYSTEMATICS = ["jes", "jms", "jmr", "pu", "pref", "isr", "fsr", "toppt"]


#: candidates of no jet that are put before the others of an event
SOFT = 5


def with_soft_candidates(columns):
    for name in [name for name in columns if name.startswith("PFCands_")]:
        columns[name] = ak.concatenate([columns[name][:, :SOFT], columns[name]], axis=1)
    columns["FatJetPFCands_pFCandsIdx"] = columns["FatJetPFCands_pFCandsIdx"] + SOFT


def run_of(folder, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return RunContext(load_analysis(folder / "a.yaml"), folder / "out")


def processed(folder, data):
    run = run_of(folder, data)
    run_stage(run, stage_of(run, "process"))
    return run


def fileset_of(folder, sample, **files):
    """A fileset of some files with the metadata of the simulation's datasets."""
    content = {
        name: {"files": [str(f) for f in paths], "metadata": sample.fileset[name]["metadata"]}
        for name, paths in files.items()
    }
    (folder / "fileset.json").write_text(json.dumps(content), encoding="utf-8")
    return str(folder / "fileset.json")


@pytest.fixture(scope="module")
def before(tmp_path_factory, sample):
    """The analysis of a few simulated events in three files, processed; half the events do not pass."""
    folder = tmp_path_factory.mktemp("before")
    files = {
        name: [copy(sample.files(name)[0], folder / f"{name}.root", with_soft_candidates, stop=40)]
        for name in ("data", "top")
    }
    files["data"].append(copy(sample.files("data")[1], folder / "more.root", stop=20))
    data = of_simulation(sample.folder) | {"fileset": fileset_of(folder, sample, **files), "systematics": SYSTEMATICS}
    data["selection"]["jets"] = {"pt_min": 430.0, "mass_min": 70.0}
    data["execution"] = {"executor": "iterative", "chunk_size": 17}
    return processed(folder, data), data


@pytest.fixture(scope="module")
def after(tmp_path_factory, before):
    """The same analysis on its skim."""
    run, data = before
    folder = tmp_path_factory.mktemp("after")
    fileset = skim(run, folder / "skim")
    return processed(folder, data | {"fileset": str(fileset)})


def assert_same(run, other, dataset):
    one, two = (event_table.read(r.out / "events", dataset) for r in (run, other))
    assert len(one["event"]) > 2
    assert list(one) == list(two)
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.mark.parametrize("dataset", ["data", "top"])
def test_rows_are_the_same_bits(before, after, dataset):
    """With scores of the shipped model and varied jets and weights."""
    assert_same(before[0], after, dataset)


def test_sums_of_weights_and_luminosity_are_those_of_all_events(before, after):
    one, other = (run.extra("process")["datasets"] for run in (before[0], after))
    for dataset, found in one.items():
        for name in ("sum_of_weights", "sums_of_variations", "luminosity_pb", "cross_section_pb", "rows"):
            assert other[dataset][name] == found[name]
        assert other[dataset]["entries"] == other[dataset]["rows"] < found["entries"]
    assert one["top"]["sum_of_weights"] > one["top"]["entries"]


def test_candidates_of_no_jet_are_left_out(before, after):
    """And the links point to the same candidates as before."""
    names = ["event", "PFCands_pt", "FatJetPFCands_pFCandsIdx"]
    whole, skimmed = (uproot.open(run.fileset["top"][1][0].path)["Events"].arrays(names) for run in (before[0], after))
    places = {event: i for i, event in enumerate(whole["event"].to_list())}
    same = whole[[places[event] for event in skimmed["event"].to_list()]]
    np.testing.assert_array_equal(ak.num(same["PFCands_pt"]), ak.num(skimmed["PFCands_pt"]) + SOFT)
    linked = [e["PFCands_pt"][e["FatJetPFCands_pFCandsIdx"]] for e in (same, skimmed)]
    assert ak.all(linked[0] == linked[1])


def test_branches_that_nothing_reads_are_left_out(before, after):
    one, other = (set(uproot.open(run.fileset["top"][1][0].path)["Events"].keys()) for run in (before[0], after))
    assert other < one
    assert {"nFatJet", "FatJet_tau2", "HLT_PFHT800", "GenPart_statusFlags", "PSWeight", "Pileup_nTrueInt"} <= other
    assert not {"HLT_PFHT900", "LHEScaleWeight", "FatJet_nBHadrons", "Muon_looseId"} & other


@pytest.mark.slow
def test_real_cms_events_give_the_same_rows(tmp_path, cms_file):
    """2017 conditions, more than a thousand branches."""
    metadata = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    fileset = {"cms": {"files": [str(cms_file)], "metadata": metadata}}
    (tmp_path / "cms.json").write_text(json.dumps(fileset))
    data = content(
        fileset=str(tmp_path / "cms.json"),
        luminosity=1.0,
        threshold={"score": "omnilearned", "value": 0.5},
        systematics=["jms", "jmr", "pref", "isr", "scale"],
        execution={"executor": "iterative"},
    )
    data["selection"] |= {"triggers": ["PFHT1050", "PFHT800"], "jets": {"pt_min": 1390.0, "mass_min": 0.0}}
    run = processed(tmp_path / "one", data)
    other = processed(tmp_path / "other", data | {"fileset": str(skim(run, tmp_path / "skim"))})
    assert_same(run, other, "cms")
    (one,), (skimmed,) = (r.fileset["cms"][1] for r in (run, other))
    assert skimmed.entries < one.entries
    assert skimmed.sums_of_variations == one.sums_of_variations
    assert Path(skimmed.path).stat().st_size < Path(one.path).stat().st_size / 4
    with uproot.open(one.path) as a, uproot.open(skimmed.path) as b:
        for name, stored in a["Runs"].arrays(how=dict).items():
            assert b["Runs"][name].array().to_list() == stored.to_list()


# ---- random jets: no model, so these are quick ---------------------------------------------------------------------


ALL_CANDIDATES = """
import awkward as ak
import numpy as np
from dijet_anomaly import DijetAnomaly

class Mine(DijetAnomaly):
    def event_columns(self, events):
        return {"all_candidates": np.asarray(ak.sum(events.PFCands.pt, axis=1))}
"""


@pytest.fixture
def toys(tmp_path):
    """Data in two files, and simulation with all weights; an analysis of both by a score of branches."""
    toy_nano(tmp_path / "data.root", 60, is_data=True, run=3)
    toy_nano(tmp_path / "other.root", 40, is_data=True, run=4, seed=5)
    toy_nano(tmp_path / "top.root", 50, seed=2)
    known = {"era": "simulation"}
    fileset = {
        "data": {
            "files": ["data.root", "other.root"],
            "metadata": known
            | {"process": "data", "is_data": True, "luminosity_pb": 2.0, "processed_lumis": "lumis.json"},
        },
        "top": {
            "files": ["top.root"],
            "metadata": known | {"process": "top", "is_data": False, "cross_section_pb": 1.0},
        },
    }
    (tmp_path / "fileset.json").write_text(json.dumps(fileset))
    (tmp_path / "lumis.json").write_text('{"3": [[1, 10]]}')
    data = content(
        fileset=str(tmp_path / "fileset.json"),
        scores={"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
        threshold={"score": "xbb", "value": 0.5},
        systematics=["jes", "isr", "scale"],
        execution={"executor": "iterative", "chunk_size": 40},
        fit=None,
    )
    data["selection"]["jets"] = {"pt_min": 600.0, "mass_min": 80.0}
    return data


@pytest.mark.slow
def test_sums_of_all_weights_and_the_counts_of_events_stay(toys, tmp_path):
    run = processed(tmp_path / "one", toys)
    other = processed(tmp_path / "other", toys | {"fileset": str(skim(run, tmp_path / "skim"))})
    (one,), (skimmed,) = (r.fileset["top"][1] for r in (run, other))
    assert len(one.sums_of_variations) == 10
    assert skimmed.sums_of_variations == one.sums_of_variations
    assert skimmed.sum_of_weights == one.sum_of_weights
    assert skimmed.uuid != one.uuid
    for dataset in ("data", "top"):
        assert_same(run, other, dataset)
    stated = json.loads((tmp_path / "skim" / "manifests" / "skim.json").read_text())["extra"]["datasets"]
    assert {name: d["source_events"] for name, d in stated.items()} == {"data": 100, "top": 50}
    rows = {name: len(event_table.read(run.out / "events", name)["event"]) for name in ("data", "top")}
    assert {name: d["events"] for name, d in stated.items()} == rows


@pytest.mark.slow
def test_sections_without_an_event_left_still_count(toys, tmp_path):
    toys["selection"]["jets"]["pt_min"] = 1e5
    run = run_of(tmp_path / "one", toys)
    other = processed(tmp_path / "other", toys | {"fileset": str(skim(run, tmp_path / "skim"))})
    for one, skimmed in zip(run.fileset["data"][1], other.fileset["data"][1], strict=True):
        assert skimmed.entries == 0
        sections = luminosity.sections_of_file(skimmed.path)
        np.testing.assert_array_equal(sections, luminosity.sections_of_file(one.path))
        assert len(sections) == 10


def test_only_what_is_missing_or_stale_is_made_again(toys, tmp_path):
    fileset = json.loads(Path(toys["fileset"]).read_text())
    (tmp_path / "fileset.json").write_text(json.dumps({"data": fileset["data"]}))
    run = run_of(tmp_path / "one", toys)
    skim(run, tmp_path / "skim")
    files = sorted((tmp_path / "skim" / "data").glob("*.root"))
    assert len(files) == 2
    files[0].write_bytes(files[0].read_bytes()[:-100])
    finished = [file.stat().st_mtime_ns for file in files]
    skim(run, tmp_path / "skim")
    assert sorted((tmp_path / "skim" / "data").glob("*.root")) == files
    assert [file.stat().st_mtime_ns > time for file, time in zip(files, finished, strict=True)] == [True, False]
    toys["selection"]["jets"]["pt_min"] = 610.0
    skim(run_of(tmp_path / "one", toys), tmp_path / "skim")
    assert files[1].stat().st_mtime_ns > finished[1]


@pytest.mark.slow
def test_a_looser_selection_on_a_skim_is_said(toys, tmp_path, capsys):
    """Its events are not there."""
    fileset = str(skim(run_of(tmp_path / "one", toys), tmp_path / "skim"))
    assert incompatible_skims(run_of(tmp_path / "same", toys | {"fileset": fileset})) == {}
    toys["selection"]["jets"]["pt_min"] = 500.0
    capsys.readouterr()
    processed(tmp_path / "other", toys | {"fileset": fileset})
    said = capsys.readouterr().err
    for dataset in ("data", "top"):
        assert f"dataset '{dataset}' is a skim made for 'small', with other selection:" in said


def test_a_hook_that_reads_all_candidates_keeps_them(toys, tmp_path, sample):
    file = copy(sample.files("top")[0], tmp_path / "pf.root", with_soft_candidates, stop=30)
    toys["fileset"] = fileset_of(tmp_path, sample, top=[file])
    toys |= {"systematics": [], "processor": str(tmp_path / "mine.py") + ":Mine"}
    toys["selection"]["jets"] = {"pt_min": 430.0, "mass_min": 70.0}
    (tmp_path / "mine.py").write_text(ALL_CANDIDATES)
    run = processed(tmp_path / "one", toys)
    other = processed(tmp_path / "other", toys | {"fileset": str(skim(run, tmp_path / "skim"))})
    assert_same(run, other, "top")


@pytest.mark.slow
def test_a_damaged_file_is_named_and_leaves_nothing_behind(toys, tmp_path):
    content = bytearray((tmp_path / "top.root").read_bytes())
    with uproot.open(tmp_path / "top.root") as file:
        start = int(file["Events"]["FatJet_pt"].member("fBasketSeek")[0])
    content[start + 100 : start + 140] = bytes(40)
    (tmp_path / "top.root").write_bytes(content)
    with pytest.raises(OddjetsError, match=r"top\.root: cannot be read .* get it again"):
        skim(run_of(tmp_path / "one", toys), tmp_path / "skim")
    assert list((tmp_path / "skim" / "top").iterdir()) == []
    assert len(list((tmp_path / "skim" / "data").iterdir())) == 2
    assert not (tmp_path / "skim" / "fileset.json").exists()


def test_a_copy_of_a_file_is_refused(toys, tmp_path):
    """The skim of each would have a UUID of its own, and nothing would tell that events count twice."""
    (tmp_path / "other.root").write_bytes((tmp_path / "data.root").read_bytes())
    with pytest.raises(OddjetsError, match="the same file as"):
        skim(run_of(tmp_path / "one", toys), tmp_path / "skim")


def test_files_are_never_skimmed_onto_themselves(toys, tmp_path):
    with pytest.raises(OddjetsError, match="is to be read"):
        skim(run_of(tmp_path / "one", toys), tmp_path)


def test_on_the_command_line_with_two_workers(toys, tmp_path):
    run = run_of(tmp_path / "one", toys)
    command = ["skim", str(run.analysis.path), "--out", str(tmp_path / "skim"), "--workers", "2"]
    result = CliRunner().invoke(main.app, command)
    assert result.exit_code == 0, result.output
    assert set(load_fileset(tmp_path / "skim" / "fileset.json")) == {"data", "top"}
    assert len(list((tmp_path / "skim").glob("*/*.root"))) == 3


def test_a_skim_can_be_moved(toys, tmp_path):
    """Its files, and the list of sections that they were made from."""
    skim(run_of(tmp_path / "one", toys), tmp_path / "skim")
    (tmp_path / "skim").rename(tmp_path / "moved")
    for name in ("data.root", "other.root", "top.root", "lumis.json"):
        (tmp_path / name).unlink()
    fileset = load_fileset(tmp_path / "moved" / "fileset.json")
    assert all(Path(file).is_file() for dataset in fileset.values() for file in dataset.files)
    lumis = fileset["data"].metadata.processed_lumis
    assert json.loads(Path(lumis).read_text()) == {"3": [[1, 10]]}
