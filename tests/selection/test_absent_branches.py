"""Branches that a file, or all files, do not have: said and named, or NaN; never a traceback, never silence."""

import json

import awkward as ak
import numpy as np
import pytest
from helpers import toy_analysis
from helpers.toy_nano import toy_nano

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.provenance import read_manifest
from oddjets.io import event_table, nanoaod_schema
from oddjets.io.histograms import HistogramSet
from oddjets.report import health
from oddjets.report.artifacts import Artifacts
from oddjets.workflow.executors.skipped_files import LostEventsError
from oddjets.workflow.pipeline import run_stages, stage_of
from oddjets.workflow.skim.run import skim

SELECTION = {"triggers": ["PFHT800", "PFJet450"], "filters": ["goodVertices"]}
MASS = {"leading_mass": {"expression": "mass_1", "label": "mass", "bins": 4, "range": [60, 200]}}
REGIONS = {"SR": {"all": "tau21_low"}, "VR1": {"cuts": ["not SR"]}}


def changed(*removed, **added):
    """A change of a toy file: branches of Events, or of FatJet, removed, and FatJet's added, one number for all jets."""

    def change(record, runs):
        for name in removed:
            collection, _, inner = name.partition("_")
            if collection in record:
                record[collection] = record[collection][[f for f in record[collection].fields if f != inner]]
            else:
                del record[name]
        for name, value in added.items():
            record["FatJet"] = ak.with_field(record["FatJet"], ak.full_like(record["FatJet"]["pt"], value), name)

    return change


def run_of(folder, datasets, chunk_size=20, name="out", skip=False, **changes):
    plain = {"systematics": [], "selection": SELECTION, "observables": MASS, "regions": REGIONS}
    file = toy_analysis.write(folder, datasets, **plain | changes)
    return toy_analysis.run_of(file, folder / name, chunk_size=chunk_size, skip_bad_files=skip)


def histogrammed(run):
    run_stages(run, [stage_of(run, "process"), stage_of(run, "histogram")])
    return HistogramSet.load(run.out / "histograms")


def said(capfd):
    return " ".join(capfd.readouterr().err.split())


# ---- triggers and filters --------------------------------------------------------------------------------------------------


def test_a_path_that_no_file_has_is_said_and_kept_in_the_manifest(tmp_path, capfd):
    data = [toy_nano(tmp_path / f"d{i}.root", 20, is_data=True, run=i, seed=i) for i in (1, 2)]
    run = run_of(tmp_path, {"data": data}, selection=SELECTION | {"triggers": ["PFHT800", "PFJet45O"]})
    toy_analysis.process(run)
    words = said(capfd)
    assert words.count("dataset 'data': no file has the trigger path 'HLT_PFJet45O'") == 1
    assert "no dataset has it; did you mean 'PFJet450'" in words
    assert read_manifest(run.out, "process")["extra"]["datasets"]["data"]["absent_triggers"] == ["PFJet45O"]


@pytest.mark.parametrize("lacking", ["data", "top"])
def test_a_path_of_simulation_alone_or_of_data_alone_is_said(tmp_path, capfd, lacking):
    datasets = {}
    for name in ("data", "top"):
        change = changed("HLT_PFJet450") if name == lacking else None
        datasets[name] = [toy_nano(tmp_path / f"{name}.root", 20, is_data=name == "data", change=change)]
    run = toy_analysis.process(run_of(tmp_path, datasets))
    other = {"data": "top", "top": "data"}[lacking]
    assert (
        f"dataset '{lacking}': no file has the trigger path 'HLT_PFJet450', which counts as not fired: '{other}' has it"
        in said(capfd)
    )
    found = run.extra("process")["datasets"]
    assert (found[lacking]["absent_triggers"], found[other]["absent_triggers"]) == (["PFJet450"], [])


def test_the_report_says_which_paths_no_file_has(tmp_path):
    data = [toy_nano(tmp_path / "d.root", 20, is_data=True, change=changed("HLT_PFJet450"))]
    datasets = {"data": data, "top": [toy_nano(tmp_path / "top.root", 20)]}
    for paths, status in ((["PFHT800", "PFJet450"], "watch"), (["PFHT800", "PFJet450", "PFJet45O"], "bad")):
        run = run_of(tmp_path, datasets, selection=SELECTION | {"triggers": paths})
        toy_analysis.process(run)
        (line,) = [c for c in health.health_checks(Artifacts(run.analysis, run.out)) if c.name == "Trigger paths"]
        assert line.status == status
        assert "HLT_PFJet450 in no file of data" in line.note
        assert ("HLT_PFJet45O in no file of any dataset" in line.note) is (status == "bad")


@pytest.mark.parametrize("is_data", [True, False])
def test_a_path_that_one_of_two_files_has_is_said_once(tmp_path, capfd, is_data):
    files = [
        toy_nano(tmp_path / "a.root", 20, is_data=is_data),
        toy_nano(tmp_path / "e.root", 20, is_data=is_data, run=4, seed=4),
        toy_nano(tmp_path / "b.root", 20, is_data=is_data, run=2, seed=2, change=changed("HLT_PFJet450")),
    ]
    name = "data" if is_data else "top"
    run = toy_analysis.process(run_of(tmp_path, {name: files}))
    line = f"dataset '{name}': not all files have all trigger paths, as menus change from run to run: 'HLT_PFJet450' in 2 of 3"
    assert said(capfd).count(line) == 1
    found = run.extra("process")["datasets"][name]
    assert (found["absent_triggers"], found["partly_absent_triggers"]) == ([], {"PFJet450": "2 of 3"})
    (check,) = [c for c in health.health_checks(Artifacts(run.analysis, run.out)) if c.name.startswith("Trigger")]
    assert (check.status, check.value) == ("watch" if is_data else "good", "1 in some files only")
    assert f"HLT_PFJet450 in 2 of 3 files of {name}" in check.note


def without_cuts(*names):
    cuts = ["trigger", "event_filters", "two_jets", "jet_pt", "jet_mass", "lepton_veto"]
    return SELECTION | {"cuts": [cut for cut in cuts if cut not in names]}


NOTHING = ("HLT_PFHT800", "HLT_PFJet450", "Flag_goodVertices")


@pytest.mark.parametrize("rntuple", [False, True])
def test_triggers_and_filters_are_asked_for_only_if_their_cut_is(tmp_path, rntuple):
    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=changed(*NOTHING), rntuple=rntuple)
    run = run_of(tmp_path, {"data": [file]}, selection=without_cuts("trigger", "event_filters"))
    table = toy_analysis.rows(toy_analysis.process(run))["data"]
    assert len(table["event"]) == 20
    assert not [name for name in table if name.startswith(("trigger_", "passes_filters"))]


@pytest.mark.parametrize(
    ("cut", "message"),
    [("trigger", "none of the 2 trigger paths"), ("event_filters", "no (branch|collection) 'Flag")],
)
@pytest.mark.parametrize("of_region", [False, True])
def test_a_file_without_what_an_asked_cut_needs_is_named(tmp_path, cut, message, of_region):
    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=changed(*NOTHING))
    other = ({"trigger", "event_filters"} - {cut}).pop()
    changes = {"selection": without_cuts(other, *([cut] if of_region else []))}
    if of_region:
        changes["regions"] = REGIONS | {"X": {"cuts": [f"not {cut}"]}}
    with pytest.raises(OddjetsError, match=rf"d\.root: {message}"):
        toy_analysis.process(run_of(tmp_path, {"data": [file]}, **changes))


@pytest.mark.parametrize(
    ("column", "message"),
    [("trigger_PFHT800", "none of the 2 trigger paths"), ("passes_filters", "no (branch|collection) 'Flag")],
)
def test_a_file_without_what_an_observable_reads_is_named(tmp_path, column, message):
    files = [
        toy_nano(tmp_path / "a.root", 20, is_data=True),
        toy_nano(tmp_path / "b.root", 20, is_data=True, run=2, change=changed(*NOTHING)),
    ]
    observables = MASS | {"odd": {"expression": column, "label": "x", "bins": 2, "range": [0, 2]}}
    selection = without_cuts("trigger", "event_filters")
    with pytest.raises(OddjetsError, match=rf"b\.root: {message}"):
        toy_analysis.process(run_of(tmp_path, {"data": files}, selection=selection, observables=observables))


def of_type(name, values):
    """A change of a toy file: a branch with other values, 20 of them."""

    def change(record, runs):
        record[name] = values

    return change


@pytest.mark.parametrize("branch", ["HLT_PFHT800", "Flag_goodVertices"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full(20, np.nan, np.float32), "not whole numbers"),
        (np.full(20, 0.5, np.float32), "not whole numbers"),
        (ak.Array([[True, False]] * 20), "has lists"),
    ],
)
def test_a_branch_of_decisions_that_are_none_is_named(tmp_path, branch, values, message):
    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=of_type(branch, values))
    with pytest.raises(OddjetsError, match=rf"d\.root: branch '{branch}' .*{message}"):
        toy_analysis.process(run_of(tmp_path, {"data": [file]}))


def test_decisions_may_be_whole_numbers_of_a_floating_type(tmp_path):
    fired = np.arange(20) % 2
    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=of_type("HLT_PFJet450", fired.astype(np.float32)))
    run = toy_analysis.process(run_of(tmp_path, {"data": [file]}, selection=without_cuts("trigger")))
    table = toy_analysis.rows(run)["data"]
    np.testing.assert_array_equal(table["trigger_PFJet450"], table["event"] % 2 == 1)


def test_an_index_is_whole_numbers():
    stored = ak.zip({"FatJet": ak.zip({"genJetAK8Idx": ak.Array([[0.0, -1.0], [], [1.0]])})}, depth_limit=1)
    assert nanoaod_schema.indices(stored, "FatJet", "genJetAK8Idx").to_list() == [[0, -1], [], [1]]
    for odd in (0.7, np.nan):
        broken = ak.zip({"FatJet": ak.zip({"genJetAK8Idx": ak.Array([[0.0, odd], [], [1.0]])})}, depth_limit=1)
        with pytest.raises(InputFileError, match="branch 'FatJet_genJetAK8Idx' is float64 with values"):
            nanoaod_schema.indices(broken, "FatJet", "genJetAK8Idx")


def test_a_region_that_asks_later_for_a_cut_without_columns_is_told(tmp_path):
    file = toy_nano(tmp_path / "d.root", 20, is_data=True, change=changed(*NOTHING))
    selection = without_cuts("trigger", "event_filters")
    toy_analysis.process(run_of(tmp_path, {"data": [file]}, selection=selection))
    run = run_of(tmp_path, {"data": [file]}, selection=selection, regions=REGIONS | {"X": {"cuts": ["event_filters"]}})
    with pytest.raises(OddjetsError, match=r"region 'X': cut 'event_filters' needs the column 'passes_filters'"):
        histogrammed(run)


# ---- optional columns ------------------------------------------------------------------------------------------------------

OPTIONAL = {"particleNetMD_Xqq": "xqq", "particleNetMD_Xcc": "xcc"}


@pytest.mark.parametrize(("branch", "column"), OPTIONAL.items())
@pytest.mark.parametrize("first", [True, False])
def test_a_branch_of_some_files_is_nan_in_the_others_and_all_can_be_read(tmp_path, branch, column, first):
    has = [first, not first]
    files = [
        toy_nano(
            tmp_path / f"d{i}.root",
            40,
            is_data=True,
            run=i,
            seed=i + 1,
            change=changed(**({branch: 0.5} if has[i] else {})),
        )
        for i in (0, 1)
    ]
    top = toy_nano(tmp_path / "top.root", 40)
    run = run_of(tmp_path, {"data": files, "top": [top]}, systematics=["jms", "pref"])
    filled = histogrammed(run)
    tables = toy_analysis.rows(run)
    of_file = [tables["data"]["run"] == i for i in (0, 1)]
    for j in (1, 2):
        values = tables["data"][f"{column}_{j}"]
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values[of_file[has.index(True)]], 0.5)
        assert np.isnan(values[of_file[has.index(False)]]).all()
        # no file of this dataset has it
        assert np.isnan(tables["top"][f"{column}_{j}"]).all()
    assert not [name for name in tables["data"] if "__" in name]
    plain = [toy_nano(tmp_path / f"p{i}.root", 40, is_data=True, run=i, seed=i + 1) for i in (0, 1)]
    expected = histogrammed(run_of(tmp_path / "plain", {"data": plain, "top": [top]}, systematics=["jms", "pref"]))
    for key, histogram in expected.histograms.items():
        assert histogram == filled.histograms[key]


@pytest.mark.parametrize("branch", ["btagDeepB", "particleNetMD_Xbb"])
def test_a_branch_that_one_file_lacks_and_nothing_needs(tmp_path, branch):
    files = [
        toy_nano(tmp_path / "a.root", 40, is_data=True),
        toy_nano(tmp_path / "b.root", 40, is_data=True, run=2, change=changed(f"FatJet_{branch}", other=1.0)),
    ]
    score = {"scores": {"s": {"signal": ["tau1"], "background": ["tau2"]}}, "threshold": {"score": "s", "value": 0.5}}
    run = run_of(tmp_path, {"data": files}, **score)
    histogrammed(run)
    column = {"btagDeepB": "btag_1", "particleNetMD_Xbb": "xbb_1"}[branch]
    table = toy_analysis.rows(run)["data"]
    np.testing.assert_array_equal(np.isnan(table[column]), table["run"] == 2)
    pieces = list(event_table.stream(run.out / "events", "data", rows=7))
    np.testing.assert_array_equal(
        np.isnan(np.concatenate([p[column] for p in pieces])).sum(), (table["run"] == 2).sum()
    )


ASKS = {
    "observable": {
        "observables": MASS | {"odd": {"expression": "xqq_1 + xqq_2", "label": "x", "bins": 2, "range": [0, 2]}}
    },
    "cut of a region": {"regions": REGIONS | {"B": {"cuts": ["odd"]}}},
    "cut": {"selection": SELECTION | {"cuts": ["trigger", "two_jets", "odd"]}},
}
PROCESSOR = """
import numpy as np
from dijet_anomaly import DijetAnomaly

from oddjets.selection import cut


class Mine(DijetAnomaly):
    @cut
    def odd(self, table):
        return np.maximum(table["xqq_1"], table["xqq_2"]) > 0.1
"""


@pytest.mark.fault(
    "Branch missing in one of many files",
    "Names a branch that a cut or an observable needs before the time-consuming steps.",
)
@pytest.mark.parametrize("asks", ASKS)
def test_a_branch_that_is_asked_for_is_an_error_that_names_the_file(tmp_path, asks):
    (tmp_path / "mine.py").write_text(PROCESSOR)
    files = [
        toy_nano(tmp_path / "a.root", 40, is_data=True, change=changed(particleNetMD_Xqq=0.5)),
        toy_nano(tmp_path / "b.root", 40, is_data=True, run=2),
    ]
    changes = {"processor": "mine.py:Mine"} | ASKS[asks]
    with pytest.raises(
        OddjetsError, match=r"b\.root: no branch 'FatJet_particleNetMD_Xqq', which the (cut|observable) 'odd' needs"
    ):
        toy_analysis.process(run_of(tmp_path, {"data": files}, **changes))
    run = run_of(tmp_path, {"data": files}, name="skipped", skip=True, **changes)
    with pytest.raises(LostEventsError, match=r"b\.root"):
        histogrammed(run)
    lost = json.loads((run.out / "lost.json").read_text())["datasets"]["data"]["files"]
    assert [loss["lost"][0]["cause"] for loss in lost] == ["missing branch"]
    assert set(toy_analysis.rows(run)["data"]["run"]) == {1}


def test_an_observable_that_comes_later_is_told_what_lacks_its_column(tmp_path):
    """Chunks are kept when an observable is added, so that `process` does not see their files again."""
    files = [
        toy_nano(tmp_path / "a.root", 40, is_data=True, change=changed(particleNetMD_Xqq=0.5)),
        toy_nano(tmp_path / "b.root", 40, is_data=True, run=2),
    ]
    histogrammed(run_of(tmp_path, {"data": files}))
    with pytest.raises(InputFileError, match=r"part-.*: no column 'xqq_1', which the observable 'odd' needs"):
        histogrammed(run_of(tmp_path, {"data": files}, **ASKS["observable"]))


def test_a_hook_may_make_the_column_that_the_file_lacks(tmp_path):
    hook = (
        "\n    def jet_columns(self, jets):\n        return super().jet_columns(jets) | {'xqq': jets.pt * 0 + 0.25}\n"
    )
    (tmp_path / "mine.py").write_text(PROCESSOR + hook)
    file = toy_nano(tmp_path / "b.root", 40, is_data=True)
    run = run_of(tmp_path, {"data": [file]}, processor="mine.py:Mine", **ASKS["observable"])
    histogrammed(run)
    np.testing.assert_array_equal(toy_analysis.rows(run)["data"]["xqq_2"], 0.25)


# ---- branches of weights ---------------------------------------------------------------------------------------------------

WEIGHTS = {
    "L1PreFiringWeight_Up": {"systematics": ["pref"]},
    "L1PreFiringWeight_Nom": {"systematics": ["pref"]},
    "Pileup_nTrueInt": {"systematics": ["pu"]},
    "LHE_HT": {
        "systematics": [
            {"name": "ht", "correction": {"nominal": "1", "up": "1 + LHE_HT / 1e5", "down": "1 - LHE_HT / 1e5"}}
        ]
    },
}


@pytest.mark.fault(
    "Branch missing in one of many files",
    "Names a missing branch that a weight needs; --skip-bad-files leaves the file out.",
)
@pytest.mark.parametrize("branch", WEIGHTS)
def test_a_file_without_the_branch_of_a_weight_is_named_and_left_out(tmp_path, branch):
    files = [
        toy_nano(tmp_path / "a.root", 20),
        toy_nano(tmp_path / "b.root", 25, run=2, seed=5, change=lambda record, runs: record.pop(branch)),
    ]
    (asked,) = WEIGHTS[branch]["systematics"]
    name = asked if isinstance(asked, str) else asked["name"]
    with pytest.raises(OddjetsError, match=rf"b\.root: systematic '{name}': .*no column '{branch}'"):
        toy_analysis.process(run_of(tmp_path, {"top": files}, **WEIGHTS[branch]))
    run = run_of(tmp_path, {"top": files}, name="skipped", skip=True, **WEIGHTS[branch])
    with pytest.raises(LostEventsError, match=r"1 file\(s\) could not be read .*b\.root"):
        toy_analysis.process(run)
    assert set(toy_analysis.rows(run)["top"]["run"]) == {1}
    assert (
        json.loads((run.out / "lost.json").read_text())["datasets"]["top"]["files"][0]["lost"][0]["cause"]
        == "missing branch"
    )


@pytest.mark.slow
def test_a_skim_names_the_file_too_and_keeps_what_is_absent_absent(tmp_path):
    files = [
        toy_nano(tmp_path / "a.root", 40, is_data=True, change=changed(particleNetMD_Xqq=0.5)),
        toy_nano(tmp_path / "b.root", 40, is_data=True, run=2, change=changed("HLT_PFJet450")),
    ]
    run = run_of(tmp_path, {"data": files})
    expected = toy_analysis.rows(toy_analysis.process(run))
    skims = [tmp_path / "skim" / f for f in json.loads(skim(run, tmp_path / "skim").read_text())["data"]["files"]]
    again = toy_analysis.process(run_of(tmp_path / "again", {"data": skims}))
    toy_analysis.assert_same_rows(toy_analysis.rows(again), expected)
    with pytest.raises(OddjetsError, match=r"b\.root: no branch 'FatJet_particleNetMD_Xqq'"):
        skim(run_of(tmp_path, {"data": files}, **ASKS["observable"]), tmp_path / "other")
