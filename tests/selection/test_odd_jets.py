"""Jets with odd corrections, indices and inputs: never a rejected jet in the pair, never another event's, never a last bin."""

import json

import awkward as ak
import numpy as np
import pytest
import yaml
from helpers import toy_analysis
from helpers.chunks import chunk_of
from helpers.toy_nano import toy_nano

from oddjets.core.errors import OddjetsError
from oddjets.core.files import sha256_of
from oddjets.simulation.nanoaod_layout import jagged
from oddjets.workflow.executors.skipped_files import LostEventsError

NUMBER = 60
BAD = np.arange(NUMBER) % 10 == 4


def run_of(folder, datasets, chunk_size=1000, name="out", **changes):
    file = toy_analysis.write(folder, datasets, **{"systematics": []} | changes)
    return toy_analysis.run_of(file, folder / f"{name}{chunk_size}", chunk_size=chunk_size)


def of(run, dataset="top"):
    found = toy_analysis.process(run).extra("process")["datasets"][dataset]["input_anomalies"]
    table = toy_analysis.rows(run).get(dataset, {})
    return table, {name: count for name, count in found.items() if count and not name.startswith("without")}


def set_jets(record, **columns):
    for name, values in columns.items():
        counts = ak.num(record["FatJet"])
        record["FatJet"] = ak.with_field(record["FatJet"], ak.unflatten(np.asarray(values).ravel(), counts), name)


# ---- indices of generator jets -------------------------------------------------------------------------------------------


def with_generator_jets(index):
    """Two generator jets an event, one where BAD, each with two subjets; ``index`` stands for the jet that is absent."""

    def change(record, runs):
        n = np.where(BAD, 1, 2)
        kept = ~(np.repeat(BAD, 2) & (np.arange(2 * NUMBER) % 2 == 1))
        jets = {name: ak.to_numpy(ak.flatten(record["FatJet"][name])) for name in ("pt", "eta", "phi", "mass")}
        generated = {name: values[kept] for name, values in jets.items()}
        record["GenJetAK8"] = jagged(n, **generated)
        subjets = {name: np.repeat(values, 2) for name, values in generated.items()}
        subjets |= {"eta": subjets["eta"] + np.tile([0.15, -0.15], kept.sum()), "pt": subjets["pt"] / 2}
        record["SubGenJetAK8"] = jagged(2 * n, **subjets | {"mass": np.full(2 * kept.sum(), 5.0)})
        stored = np.tile([0, 1], (NUMBER, 1))
        stored[BAD, 1] = index
        set_jets(record, genJetAK8Idx=stored.astype(np.int32))

    return change


JETS = {"systematics": ["jes", "jer", "jms", "jmr"], "jet_corrections": ["jer"]}


@pytest.mark.parametrize(
    "index", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(7, marks=pytest.mark.slow), 1000, -2147483648]
)
def test_an_index_outside_of_the_event_is_no_match(tmp_path, index):
    """The 55th event is the last one with an index too large: behind it are others, and in a chunk of one there are none."""
    expected, nothing = of(
        run_of(tmp_path, {"top": [toy_nano(tmp_path / "good.root", NUMBER, change=with_generator_jets(-1))]}, **JETS)
    )
    assert nothing == {}
    lacking = BAD[expected["event"].astype(int)]
    assert lacking.any()
    assert (expected["mass_1__jmrUp"] != expected["mass_1"]).all()
    file = toy_nano(tmp_path / "bad.root", NUMBER, change=with_generator_jets(index))
    # chunks of single events are slow, and the same for all indices
    for chunk_size in (1000, 1 if index == 1 else 16):
        table, counted = of(run_of(tmp_path, {"top": [file]}, chunk_size, "bad", **JETS))
        toy_analysis.assert_same_rows({"top": table}, {"top": expected})
        # of all pairs; that an event passes is decided later
        assert counted == {"links_to_no_generator_jet": BAD.sum()}


# ---- corrections that are not positive -----------------------------------------------------------------------------------


def era(folder, expression="1.0-(x*y*0.5)/z"):
    """An era whose energy correction is L1's offset alone: A rho / 2 of 20 GeV for an area of 2 and rho of 20."""
    real = {"type": "real"}
    inputs = [{"name": name} | real for name in ("JetA", "JetPt", "Rho")]
    data = {
        "nodetype": "formula",
        "expression": expression,
        "parser": "TFormula",
        "variables": ["JetA", "Rho", "JetPt"],
    }
    jec = {"name": "JEC", "version": 1, "inputs": inputs, "output": {"name": "out"} | real, "data": data}
    folder = folder / "corrections"
    folder.mkdir(exist_ok=True)
    (folder / "jec.json").write_text(json.dumps({"schema_version": 2, "corrections": [jec]}))
    spec = {"file": "jec", "key": "JEC", "inputs": {"JetA": "area", "JetPt": "pt_raw", "Rho": "rho"}}
    files = {"jec": {"path": "jec.json", "sha256": sha256_of(folder / "jec.json"), "source": "here"}}
    content = {"name": "mine", "files": files, "corrections": {"jec": spec, "jec_data": spec}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(content))
    return {"era": "mine", "jet_corrections": ["jec"]}


def three_jets(last, jet_id=(6, 0, 6), **others):
    """700 GeV, 500 GeV that fails the ID, and a third one."""

    def change(record, runs):
        n = len(record["run"])
        names = record["FatJet"].fields
        values = {name: np.tile(ak.to_numpy(record["FatJet"][name][:, 0])[:, None], (1, 3)) for name in names}
        values |= {"pt": np.tile([700.0, 500.0, last], (n, 1)), "jetId": np.tile(jet_id, (n, 1))}
        values |= {"eta": np.tile([0.1, 0.2, 0.3], (n, 1)), "area": np.full((n, 3), 2.0), "rawFactor": np.zeros((n, 3))}
        values |= {name: np.broadcast_to(value, (n, 3)).copy() for name, value in others.items()}
        record["FatJet"] = jagged(np.full(n, 3), **{name: array.ravel() for name, array in values.items()})

    return change


@pytest.mark.parametrize("is_data", [True, False])
@pytest.mark.parametrize("last", [15.0, 20.0, 5.0])
def test_a_rejected_jet_is_in_no_pair_however_small_the_good_ones_are(tmp_path, last, is_data):
    """A raw pT of 15 GeV becomes -5 GeV, of 20 becomes 0."""
    name = "data" if is_data else "top"
    file = toy_nano(tmp_path / "d.root", 20, is_data=is_data, change=three_jets(last))
    run = run_of(tmp_path, {name: [file]}, **era(tmp_path))
    table, counted = of(run, name)
    assert counted == {"jets_not_positive": 20}
    assert len(table["event"]) == 0
    raw = run.extra("process")["datasets"][name]["raw"]
    assert raw[run.extra("process")["cuts"].index("two_jets")] == 0


def test_a_jet_that_a_correction_leaves_without_pt_does_not_hide_the_next_one(tmp_path):
    """The middle jet is good here: the pair is 700 and 500 GeV, less 20 each."""
    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=three_jets(15.0, jet_id=(6, 6, 6)))
    table, counted = of(run_of(tmp_path, {"data": [file]}, **era(tmp_path)), "data")
    assert counted == {"jets_not_positive": 20}
    np.testing.assert_array_equal(np.unique(table["pt_1"]), [680.0])
    np.testing.assert_array_equal(np.unique(table["pt_2"]), [480.0])


@pytest.mark.parametrize("raw_factor", [1.0, 1.5])
def test_a_jet_without_raw_pt_has_nothing_to_correct(tmp_path, raw_factor):
    """A negative raw pT times a negative correction is no jet either."""
    change = three_jets(900.0, jet_id=(6, 6, 6), rawFactor=np.array([0.0, 0.0, raw_factor]))
    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=change)
    table, counted = of(run_of(tmp_path, {"data": [file]}, **era(tmp_path, "0*x*y*z-0.9")), "data")
    assert counted == {"jets_not_positive": 60}
    assert len(table["event"]) == 0


def test_a_correction_that_is_no_number_leaves_a_jet_that_is_not_finite(tmp_path):
    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=three_jets(15.0, jet_id=(6, 6, 6)))
    table, counted = of(run_of(tmp_path, {"data": [file]}, **era(tmp_path, "log(z-16)/log(z-16)+0*x*y")), "data")
    assert counted == {"jets_not_finite": 20}
    np.testing.assert_array_equal(np.unique(table["pt_2"]), [500.0])


# ---- inputs of corrections that are not finite -----------------------------------------------------------------------------


def spoiled(name, value, event=7):
    def change(record, runs):
        values = np.array(record[name])
        values[event] = value
        record[name] = values

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunk_size", [1000, pytest.param(1, marks=pytest.mark.slow)])
def test_pileup_that_is_not_finite_is_refused_with_file_and_event(tmp_path, value, chunk_size):
    good = toy_nano(tmp_path / "good.root", 20)
    bad = toy_nano(tmp_path / "bad.root", 20, run=2, seed=5, change=spoiled("Pileup_nTrueInt", value))
    run = run_of(tmp_path, {"top": [good, bad]}, chunk_size, systematics=["pu"])
    said = r"bad\.root: systematic 'pu': Pileup_nTrueInt .* is not finite in 1 event\(s\), the first being 2:8:7 \(run"
    with pytest.raises(OddjetsError, match=said):
        toy_analysis.process(run)
    skipping = toy_analysis.run_of(tmp_path / "a.yaml", tmp_path / "skipped", skip_bad_files=True)
    with pytest.raises(LostEventsError, match=r"bad\.root"):
        toy_analysis.process(skipping)
    assert set(toy_analysis.rows(skipping)["top"]["run"]) == {1}


def test_pileup_of_an_event_that_is_no_row_does_not_matter(tmp_path):
    def change(record, runs):
        spoiled("Pileup_nTrueInt", np.nan)(record, runs)
        record["HLT_PFHT800"][7] = record["HLT_PFJet450"][7] = False

    file = toy_nano(tmp_path / "top.root", 20, change=change)
    assert len(of(run_of(tmp_path, {"top": [file]}, systematics=["pu"]))[0]["event"]) > 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["fixedGridRhoFastjetAll", "area", "rawFactor"])
def test_what_an_energy_correction_needs_must_be_finite(tmp_path, name, value):
    def change(record, runs):
        three_jets(600.0, jet_id=(6, 6, 6))(record, runs)
        if name == "fixedGridRhoFastjetAll":
            spoiled(name, value)(record, runs)
        else:
            values = ak.to_numpy(record["FatJet"][name]).copy()
            values[7, 1] = value
            set_jets(record, **{name: values})

    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=change)
    with pytest.raises(OddjetsError, match=r"d\.root: (rho|area|pt_raw) .* is not finite in 1 event.*1:8:7"):
        toy_analysis.process(run_of(tmp_path, {"data": [file]}, **era(tmp_path)))


def test_rho_of_an_event_without_two_jets_does_not_matter(tmp_path):
    def change(record, runs):
        three_jets(600.0, jet_id=(6, 6, 6))(record, runs)
        spoiled("fixedGridRhoFastjetAll", np.nan)(record, runs)
        pt = ak.to_numpy(record["FatJet"]["pt"]).copy()
        pt[7, 1:] = np.nan
        set_jets(record, pt=pt)

    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=change)
    table, counted = of(run_of(tmp_path, {"data": [file]}, **era(tmp_path)), "data")
    assert counted == {"jets_not_finite": 2}
    assert 7 not in table["event"]


VARYING = """
from dijet_anomaly import DijetAnomaly

from oddjets.selection import jet_variation


class Mine(DijetAnomaly):
    @jet_variation
    def odd(self, jets, sign):
        return jets["pt"] * (jets["event"] - 7.0) / (jets["event"] - 7.0), jets["mass"]
"""


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_varied_jet_that_is_not_finite_is_refused(tmp_path):
    """It would fail every cut without a word."""
    (tmp_path / "mine.py").write_text(VARYING)
    file = toy_nano(tmp_path / "top.root", 20)
    changes = {"processor": "mine.py:Mine", "systematics": [{"name": "odd", "kind": "jets"}]}
    with pytest.raises(OddjetsError, match=r"top\.root: pt_1__oddUp is not finite in 1 event.*:7 \(run"):
        toy_analysis.process(run_of(tmp_path, {"top": [file]}, **changes))


def test_coffeas_own_cross_references_end_at_the_event(tmp_path):
    """`FatJet.matched_gen` in a hook: what coffea does with such an index."""

    events = chunk_of(toy_nano(tmp_path / "bad.root", NUMBER, change=with_generator_jets(1)))
    assert ak.to_list(ak.is_none(events.FatJet.matched_gen[BAD], axis=1)) == [[False, True]] * BAD.sum()
