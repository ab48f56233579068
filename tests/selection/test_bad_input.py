"""Odd files: each oddity is a clear error, or corrected, counted and reported; docs/processing.md lists them."""

import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.chunks import chunk_of, copy, process

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.provenance import read_manifest
from oddjets.io import event_table
from oddjets.io.duplicate_events import find_duplicate
from oddjets.selection import input_anomalies, objects

#: a score from branches: nothing here is about the model, but for the last tests
BRANCHES = {
    "scores": {"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
    "threshold": {"score": "xbb", "value": 0.5},
}


@pytest.fixture(scope="module")
def top(sample, tmp_path_factory):
    return copy(sample.files("top")[0], tmp_path_factory.mktemp("bad") / "top.root", stop=25)


@pytest.fixture(scope="module")
def reference(top, tmp_path_factory):
    run = process(tmp_path_factory.mktemp("reference"), {"top": top}, **BRANCHES)
    return event_table.read(run.out / "events", "top")


def setting(name, row, place, value):
    """A change of one value of a jagged branch."""

    def change(columns):
        flat, counts = ak.to_numpy(ak.flatten(columns[name])).copy(), ak.num(columns[name])
        flat[int(ak.sum(counts[:row])) + place] = value
        columns[name] = ak.unflatten(flat, counts)

    return change


def flat(name, row, value):
    """A change of one value of a flat branch."""

    def change(columns):
        values = ak.to_numpy(columns[name]).copy()
        values[row] = value
        columns[name] = ak.Array(values)

    return change


def of(run, dataset="top"):
    """The table and the input anomalies of a run."""
    counted = read_manifest(run.out, "process")["extra"]["datasets"][dataset]["input_anomalies"]
    return event_table.read(run.out / "events", dataset), {name: count for name, count in counted.items() if count}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("branch", ["FatJet_pt", "FatJet_msoftdrop", "FatJet_mass", "FatJet_phi"])
def test_a_jet_that_is_not_finite_stays_out_of_the_pair(top, branch, value):
    """As if the event did not have it: cheap to check on the chunk itself."""
    jets = chunk_of(top).FatJet
    flat_values = ak.to_numpy(ak.flatten(jets[branch.removeprefix("FatJet_")])).copy()
    flat_values[0] = value
    broken = ak.with_field(jets, ak.unflatten(flat_values, ak.num(jets)), branch.removeprefix("FatJet_"))
    finite = objects.finite_jets(broken)
    assert ak.sum(~finite) == 1
    assert not finite[0, 0]
    assert objects.leading_pair(broken.pt, finite)[0].tolist()[0] == 1


def test_jets_that_are_not_finite_are_counted_and_said(top, reference, tmp_path, capfd):
    file = copy(top, tmp_path / "top.root", setting("FatJet_pt", 3, 0, np.nan))
    table, counted = of(process(tmp_path, {"top": file}, **BRANCHES))
    assert counted == {"jets_not_finite": 1}
    assert "jets_not_finite" in capfd.readouterr().err
    event = chunk_of(top).event[3]
    others = [t["event"] != event for t in (reference, table)]
    for name in reference:
        np.testing.assert_array_equal(reference[name][others[0]], table[name][others[1]], err_msg=name)


def test_negative_masses_become_zero(top, reference, tmp_path):
    file = copy(top, tmp_path / "top.root", setting("FatJet_msoftdrop", 0, 0, -999.0))
    table, counted = of(process(tmp_path, {"top": file}, **BRANCHES))
    assert counted == {"negative_masses": 1}
    assert (table["mass_1"] >= 0).all()
    # the cut asks for more than 0
    assert len(table["event"]) == len(reference["event"]) - 1


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_an_error(top, tmp_path, value):
    file = copy(top, tmp_path / "top.root", flat("genWeight", 7, value))
    event = int(chunk_of(top).event[7])
    with pytest.raises(OddjetsError, match=rf"top\.root: genWeight is not finite in 1 event.*:{event} \(run"):
        process(tmp_path, {"top": file}, **BRANCHES)


def test_a_correction_that_is_not_finite_is_an_error(top, tmp_path):
    file = copy(
        top, tmp_path / "top.root", lambda columns: columns.update(L1PreFiringWeight_Up=columns["genWeight"] * np.nan)
    )
    with pytest.raises(OddjetsError, match="weight__prefUp is not finite"):
        process(tmp_path, {"top": file}, **BRANCHES | {"systematics": ["pref"]})


def test_a_score_of_branches_that_is_not_finite_is_zero(top, tmp_path):
    file = copy(top, tmp_path / "top.root", setting("FatJet_particleNetMD_QCD", 0, 0, np.nan))
    table, counted = of(process(tmp_path, {"top": file}, **BRANCHES))
    assert counted == {"scores_not_finite": 1}
    assert np.isfinite(table["score_xbb_1"]).all()


@pytest.mark.fault("Empty file", "Skips a file without events; the rows are those of the other files.")
def test_an_empty_file_is_passed_over(top, reference, tmp_path):
    empty = copy(top, tmp_path / "empty.root", stop=0)
    table, counted = of(process(tmp_path, {"top": [top, empty]}, **BRANCHES))
    assert not counted
    np.testing.assert_array_equal(table["event"], reference["event"])


@pytest.mark.fault("Empty file", "Stops and names a file of zero bytes.")
def test_a_file_of_no_bytes_is_an_error(tmp_path):
    (tmp_path / "nothing.root").touch()
    with pytest.raises(InputFileError, match=r"nothing\.root: cannot be read as ROOT"):
        process(tmp_path, {"top": tmp_path / "nothing.root"}, **BRANCHES)


@pytest.mark.fault("Corrupt basket", "Names the file and the range of events, for all compression libraries.")
@pytest.mark.parametrize("executor", ["iterative", pytest.param("futures", marks=pytest.mark.slow)])
def test_a_damaged_basket_is_an_error_that_names_the_events(top, tmp_path, executor):
    content = bytearray(top.read_bytes())
    with uproot.open(top) as file:
        start = int(file["Events"]["FatJet_pt"].member("fBasketSeek")[0])
    content[start + 100 : start + 140] = bytes(40)
    (tmp_path / "damaged.root").write_bytes(content)
    with pytest.raises(OddjetsError, match=r"damaged\.root: events 0 to \d+ cannot be read: corrupt basket"):
        process(tmp_path, {"top": tmp_path / "damaged.root"}, **BRANCHES, execution={"executor": executor})


def test_data_listed_as_simulation_and_the_reverse_are_errors(sample, top, tmp_path):
    with pytest.raises(InputFileError, match=r"top\.root: listed as data, but it has generator branches"):
        process(tmp_path / "a", {"data": top}, **BRANCHES)
    with pytest.raises(InputFileError, match="listed as simulation, but it has no branch 'genWeight'"):
        process(tmp_path / "b", {"top": sample.files("data")[0]}, **BRANCHES)


@pytest.mark.fault("The same file listed twice", "Finds a copy under another name by its UUID; names both.")
def test_a_copied_file_is_an_error(top, tmp_path):
    shutil.copy(top, tmp_path / "again.root")
    with pytest.raises(InputFileError, match=r"again\.root: the same file as .*top\.root"):
        process(tmp_path, {"top": [top, tmp_path / "again.root"]}, **BRANCHES)


@pytest.mark.fault("Duplicate events across files", "Names both files and the first event that is in both.")
def test_overlapping_files_are_an_error_that_names_both(top, tmp_path):
    part = copy(top, tmp_path / "part.root", stop=9)
    with pytest.raises(
        InputFileError, match=r"(top|part)\.root and .*(top|part)\.root overlap: both hold event 1:\d+:\d+"
    ):
        process(tmp_path, {"top": [top, part]}, **BRANCHES)


def test_two_simulated_datasets_may_number_events_alike_and_two_of_data_may_not(tmp_path):
    """Simulated samples all begin with run 1, event 1; an event of data exists once."""
    table = {name: np.arange(3) for name in ("run", "luminosityBlock", "event")}
    for dataset in ("one", "two"):
        event_table.write_part(tmp_path / dataset / "part-0.parquet", table, {"fileuuid": dataset})
    assert find_duplicate(tmp_path, ["one"]) is None
    assert find_duplicate(tmp_path, ["one", "two"]) == ((0, 0, 0), "one", "two")
    assert find_duplicate(tmp_path, []) is None


@pytest.mark.slow
def test_links_to_no_jet_are_ignored_and_counted(top, tmp_path):
    def extend(columns):
        """One more link in event 0, to jet 99."""
        for name, value in (("jetIdx", 99), ("pFCandsIdx", 0)):
            more = ak.concatenate([columns[f"FatJetPFCands_{name}"][:1], [[value]]], axis=1)
            rest = columns[f"FatJetPFCands_{name}"][1:]
            columns[f"FatJetPFCands_{name}"] = ak.values_astype(ak.concatenate([more, rest]), np.int32)
        columns["nFatJetPFCands"] = ak.num(columns["FatJetPFCands_jetIdx"])

    plain, _ = of(process(tmp_path / "a", {"top": copy(top, tmp_path / "plain.root", stop=3)}))
    table, counted = of(process(tmp_path / "b", {"top": copy(top, tmp_path / "top.root", extend, stop=3)}))
    assert counted == {"links_to_no_jet": 1}
    for name in plain:
        np.testing.assert_array_equal(plain[name], table[name], err_msg=name)


def test_a_link_of_the_pair_to_no_candidate_is_an_error(top, tmp_path):
    file = copy(top, tmp_path / "top.root", setting("FatJetPFCands_pFCandsIdx", 0, 0, 30_000), stop=3)
    with pytest.raises(
        OddjetsError, match=r"top\.root: .*pFCandsIdx: 1 links of selected jets point outside their event"
    ):
        process(tmp_path, {"top": file})


def test_constituents_that_are_not_finite_are_left_out_or_not_measured(top, tmp_path):
    def change(columns):
        setting("PFCands_pt", 0, 0, np.nan)(columns)
        setting("PFCands_d0", 1, 0, np.inf)(columns)

    table, counted = of(process(tmp_path, {"top": copy(top, tmp_path / "top.root", change, stop=3)}))
    assert counted == {"constituents_not_finite": 1, "impact_parameters_not_finite": 1}
    assert np.isfinite(table["score_omnilearned_1"]).all()


def test_a_jet_without_constituents_has_score_zero(top, tmp_path):
    """A score that is not a number would leave data without a threshold."""

    def unlink(columns):
        links = columns["FatJetPFCands_jetIdx"]
        columns["FatJetPFCands_jetIdx"] = ak.where((ak.local_index(links, axis=0) == 0) & (links == 0), -1, links)

    table, counted = of(process(tmp_path, {"top": copy(top, tmp_path / "top.root", unlink, stop=3)}))
    assert counted == {"jets_without_constituents": 1}
    assert sorted(np.concatenate([table["score_omnilearned_1"], table["score_omnilearned_2"]]))[:1] == [0]
    assert (np.minimum(table["n_constituents_1"], table["n_constituents_2"]) == 0).sum() == 1


def test_an_event_with_5000_candidates_is_scored(top, tmp_path):
    def crowded(columns):
        """Soft candidates around the first jet of event 0, all linked to it."""
        rng = np.random.default_rng(1)
        n = 5000 - len(columns["PFCands_pt"][0])
        jet = {axis: columns[f"FatJet_{axis}"][0, 0] for axis in ("eta", "phi")}
        for name in [name for name in columns if name.startswith("PFCands_")]:
            inner = name.removeprefix("PFCands_")
            new = np.full(n, {"pt": 0.5, "puppiWeight": 1.0, "pdgId": 22}.get(inner, 0.0))
            new = new + rng.normal(0, 0.2, n) + jet[inner] if inner in jet else new
            columns[name] = longer(columns[name], new)
        columns["FatJetPFCands_jetIdx"] = longer(columns["FatJetPFCands_jetIdx"], np.zeros(n))
        columns["FatJetPFCands_pFCandsIdx"] = longer(columns["FatJetPFCands_pFCandsIdx"], np.arange(5000 - n, 5000))

    def longer(column, new):
        first = ak.Array([np.concatenate([ak.to_numpy(column[0]), new]).astype(ak.to_numpy(column[0]).dtype)])
        return ak.concatenate([first, column[1:]])

    run = process(tmp_path, {"top": copy(top, tmp_path / "top.root", crowded, stop=3)})
    table, counted = of(run)
    assert counted == {"jets_cut_short": 1}
    assert max(table["n_constituents_1"].max(), table["n_constituents_2"].max()) > 4000
    assert np.isfinite(table["score_omnilearned_1"]).all()


def test_nanoaod_has_no_model_score_but_scores_of_branches(top, reference, tmp_path):
    def without_candidates(columns):
        for name in [name for name in columns if "PFCands" in name]:
            del columns[name]

    file = copy(top, tmp_path / "nano.root", without_candidates)
    with pytest.raises(
        InputFileError, match=r"nano\.root: no PF candidates .*'omnilearned' needs .*score from branches"
    ):
        process(tmp_path / "a", {"top": file})
    run = process(tmp_path / "b", {"top": file}, **BRANCHES)
    table, _ = of(run)
    for name in reference:
        np.testing.assert_array_equal(reference[name], table[name], err_msg=name)
    manifest = read_manifest(run.out, "process")["extra"]["datasets"]["top"]
    assert manifest["constituents"] == {"none": [str(file)]}


@pytest.mark.slow
def test_a_file_without_the_index_is_clustered_again_said_and_kept(top, tmp_path, capfd):
    def without_index(columns):
        for name in [name for name in columns if "FatJetPFCands" in name]:
            del columns[name]

    plain, _ = of(process(tmp_path / "a", {"top": copy(top, tmp_path / "plain.root", stop=4)}))
    file = copy(top, tmp_path / "top.root", without_index, stop=4)
    run = process(tmp_path / "b", {"top": file})
    table, counted = of(run)
    assert "1 of 1 file(s) have no index" in capfd.readouterr().err
    manifest = read_manifest(run.out, "process")["extra"]["datasets"]["top"]
    assert manifest["constituents"] == {"reclustered": [str(file)]}
    assert not counted
    np.testing.assert_array_equal(table["event"], plain["event"])
    # the order of equal pT may differ, and with it the last bits of the inputs
    np.testing.assert_allclose(table["score_omnilearned_1"], plain["score_omnilearned_1"], atol=1e-3)


def test_every_anomaly_is_documented():
    page = Path(__file__).parents[2] / "docs" / "processing.md"
    text = page.read_text(encoding="utf-8")
    assert not [name for name in input_anomalies.DESCRIPTIONS if f"`{name}`" not in text]
