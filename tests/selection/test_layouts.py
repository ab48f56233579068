"""The same events in every layout of PF candidates: equal tables where the layouts say the same, and what is said where not."""

import json

import numpy as np
import pytest
import yaml
from coffea.processor import IterativeExecutor, Runner
from helpers import layouts, tiny_model
from helpers.chunks import copy, process, write_analysis
from helpers.toy_nano import toy_nano

import oddjets
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.provenance import read_manifest
from oddjets.io import event_table
from oddjets.io.layouts import LAYOUTS
from oddjets.io.nanoaod_schema import PFNano

EVENTS = 40
#: columns that v15 has under no name
TAGGED = ("btag_1", "btag_2")
V15 = {"names": "v15"}
MODEL = {"scores": {"omnilearned": {"card": "omnilearned_small_simulation.yaml"}}}


def of(run, dataset="top"):
    """The table of a run, and what its manifest says of the dataset."""
    found = read_manifest(run.out, "process")["extra"]["datasets"][dataset]
    return event_table.read(run.out / "events", dataset), found


def counted(found):
    return {name: count for name, count in found["input_anomalies"].items() if count}


def assert_same(one, other, *but):
    for name in one:
        if name not in but:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def small(folder, name, **changes):
    """A tiny model's card, with changes of what it says of constituents."""
    folder.mkdir(parents=True, exist_ok=True)
    card = tiny_model.write(folder)
    content = yaml.safe_load(card.read_text(encoding="utf-8"))
    content["constituents"] |= changes
    card.write_text(yaml.safe_dump(content), encoding="utf-8")
    return {"scores": {"mine": {"card": str(card)}}, "threshold": {"score": "mine", "value": 0.5}}


@pytest.fixture(scope="module")
def files(sample, tmp_path_factory):
    """The same events in each layout."""
    folder = tmp_path_factory.mktemp("layouts")
    source = sample.files("top")[0]
    return {
        name: copy(source, folder / f"{name}.root", change, stop=EVENTS) for name, change in layouts.CHANGES.items()
    }


@pytest.fixture(scope="module")
def runs(files, tmp_path_factory):
    """Tables of a model without impact parameters, and of the branches where there are no candidates."""
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for name, file in files.items():
        taggers = {"taggers": V15} if "v15" in name else {}
        own = small(folder / name, name)
        own["scores"]["xbb"] = {"signal": ["xbb"], "background": ["qcd"]}
        if name == "nanoaod":
            del own["scores"]["mine"]
            own["threshold"] = {"score": "xbb", "value": 0.5}
        made[name] = of(process(folder / name, {"top": file}, **own, selection=selection(**taggers)))
    return made


def selection(**more):
    return {"cuts": ["two_jets", "jet_pt", "jet_mass", "lepton_veto"], "triggers": ["PFHT800", "PFJet450"], **more}


def test_the_helper_makes_every_layout():
    assert set(layouts.CHANGES) == {row.name for row in LAYOUTS}


@pytest.mark.parametrize("name", layouts.CHANGES)
def test_tables_are_equal_where_the_layouts_say_the_same(runs, name):
    table, found = runs[name]
    reference, _ = runs["pfnano"]
    assert len(table["event"]) > 10
    row = next(row for row in LAYOUTS if row.name == name)
    assert found["layouts"] == {name: {"files": 1, "derived": dict(row.derived), "missing": list(row.missing)}}
    assert list(found["constituents"]) == [row.source or "none"]
    ours = [
        c for c in reference if row.source == "index" or not c.startswith(("score_mine", "share_", "n_constituents"))
    ]
    assert_same({c: reference[c] for c in ours}, table, *(TAGGED if "v15" in name else ()))
    assert "score_xbb_1" in table
    assert ("score_mine_1" in table) is (row.source is not None)
    if row.source == "reclustered":
        np.testing.assert_allclose(table["score_mine_1"], reference["score_mine_1"], atol=0.05)


def test_jets_clustered_again_are_the_same_in_both_layouts_without_an_index(runs):
    assert_same(runs["pfnano_without_index"][0], runs["nanoaod_v15_without_index"][0], *TAGGED)


def test_what_v15_lacks_is_counted_and_the_rest_is_sound(runs):
    table, found = runs["nanoaod_v15"]
    constituents = int((table["n_constituents_1"] + table["n_constituents_2"]).sum())
    anomalies = counted(found)
    assert anomalies.pop("impact_parameters_not_stored") == anomalies.pop("charges_not_stored") == constituents
    assert anomalies.pop("jet_ids_not_stored") >= 2 * len(table["event"])
    anomalies.pop("jets_cut_short", None)
    anomalies.pop("constituents_of_1_GeV", None)
    assert anomalies == {}
    assert (
        not {"impact_parameters_not_stored", "charges_not_stored", "jet_ids_not_stored"}
        & runs["pfnano"][1]["input_anomalies"].keys()
    )


def test_missing_impact_parameters_are_those_of_candidates_without_a_track(sample, files, tmp_path, capfd):
    """The shipped model reads them: its scores are, bit for bit, those of PFNano in which no candidate has a track."""
    few = copy(files["nanoaod_v15"], tmp_path / "v15.root", stop=6)
    table, _ = of(process(tmp_path / "a", {"top": few}, **MODEL, selection=selection(taggers=V15)))
    said = " ".join(capfd.readouterr().err.split())
    assert "without d0, d0_error, dz, dz_error: the model of the score 'omnilearned' gets 0 for them" in said
    bare = copy(sample.files("top")[0], tmp_path / "bare.root", layouts.without_impact_parameters, stop=6)
    reference, _ = of(process(tmp_path / "b", {"top": bare}, **MODEL, selection=selection()))
    assert len(table["event"]) > 1
    assert_same(reference, table, *TAGGED, *(f"{x}_{j}" for x in ("xbb", "xqq", "xcc") for j in (1, 2)))
    np.testing.assert_array_equal(reference["xbb_1"], table["xbb_1"])


def test_8_and_16_bit_integers_change_nothing(sample, files, runs, tmp_path):
    file = copy(sample.files("top")[0], tmp_path / "small.root", layouts.small_integers, stop=EVENTS)
    own = small(tmp_path, "small")
    own["scores"]["xbb"] = {"signal": ["xbb"], "background": ["qcd"]}
    table, found = of(process(tmp_path / "run", {"top": file}, **own, selection=selection()))
    assert_same(runs["pfnano"][0], table)
    assert counted(found) == counted(runs["pfnano"][1])


@pytest.mark.fault(
    "Candidates with other PUPPI weights than the jets",
    "Compares each jet's raw pT with the sum of its candidates; counts those that differ, and warns if there are many.",
)
def test_stale_puppi_weights_are_found(sample, tmp_path, capfd):
    file = copy(sample.files("top")[0], tmp_path / "stale.root", layouts.stale, stop=10)
    table, found = of(
        process(tmp_path / "run", {"top": file}, **small(tmp_path, "a"), selection=selection(taggers=V15))
    )
    assert found["input_anomalies"]["jets_unlike_constituents"] == 2 * len(table["event"]) > 0
    assert "the candidates of 100 % of the jets do not add up" in " ".join(capfd.readouterr().err.split())


def test_jets_without_a_raw_factor_are_not_compared(sample, tmp_path):
    def change(columns):
        layouts.stale(columns)
        del columns["FatJet_rawFactor"]

    file = copy(sample.files("top")[0], tmp_path / "stale.root", change, stop=10)
    table, found = of(
        process(tmp_path / "run", {"top": file}, **small(tmp_path, "a"), selection=selection(taggers=V15))
    )
    assert counted(found)["jets_not_compared"] == 2 * len(table["event"])
    assert "jets_unlike_constituents" not in found["input_anomalies"]


@pytest.mark.fault(
    "Model that needs what a layout lacks",
    "Names the file, the layout and what the model card requires, before any work.",
)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"required": ["d0", "charge"]},
            r"nanoaod_v15\.root: NanoAODv15 has no d0, which the card of the score 'mine' requires",
        ),
        ({"puppi": "raw"}, r"nanoaod_v15\.root: NanoAODv15 stores candidates times their PUPPI weights, .* without"),
    ],
)
def test_a_card_that_demands_what_v15_lacks_is_an_error(files, tmp_path, changes, message):
    own = small(tmp_path, "mine", **changes)
    with pytest.raises(InputFileError, match=message):
        process(tmp_path / "a", {"top": files["nanoaod_v15"]}, **own, selection=selection(taggers=V15))
    process(tmp_path / "b", {"top": copy(files["pfnano"], tmp_path / "few.root", stop=3)}, **own, selection=selection())


def in_coffeas_runner(*arguments, **changes):
    processor = oddjets.processor(write_analysis(*arguments, **changes))
    return Runner(IterativeExecutor(), schema=PFNano, chunksize=30)(processor.fileset, processor)


@pytest.mark.filterwarnings("ignore:Performed attempt:UserWarning")
def test_so_it_is_in_coffeas_runner(files, tmp_path):
    own = small(tmp_path, "mine", required=["d0"])
    # coffea tells which chunk failed, and why as the cause
    with pytest.raises(Exception, match="Failed processing file") as told:
        in_coffeas_runner(tmp_path, {"top": files["nanoaod_v15"]}, **own, selection=selection(taggers=V15))
    assert isinstance(told.value.__cause__, InputFileError)
    assert "NanoAODv15 has no d0, which the card of the score 'mine' requires" in str(told.value.__cause__)


def test_two_layouts_and_what_they_lack_are_said_by_coffeas_runner_too(files, tmp_path, capfd):
    def renumbered(columns):
        columns["event"] = columns["event"] + 10**6

    second = copy(files["pfnano"], tmp_path / "second.root", renumbered)
    own = small(tmp_path, "mine")
    both = in_coffeas_runner(tmp_path, {"top": [files["nanoaod_v15"], second]}, **own, selection=selection(taggers=V15))
    assert len(both["datasets"]["top"]["files"]) == 2
    said = " ".join(capfd.readouterr().err.split())
    assert "its files have 2 layouts of PF candidates (1 nanoaod_v15, 1 pfnano)" in said
    assert "1 of 2 file(s) are NanoAODv15, without charge of candidates" in said


@pytest.mark.slow
def test_a_card_may_require_a_charge_which_the_pdg_id_tells(files, tmp_path):
    own = small(tmp_path, "mine", required=["charge", "puppi_weight"])
    few = copy(files["nanoaod_v15"], tmp_path / "few.root", stop=3)
    process(tmp_path / "a", {"top": few}, **own, selection=selection(taggers=V15))


@pytest.mark.fault("Unknown layout of PF candidates", "Stops before any work; --skip-bad-files leaves the file out.")
def test_a_layout_that_no_row_fits_is_an_error_or_left_out(files, tmp_path):
    def change(columns):
        del columns["PFCands_d0Err"]

    odd, good = copy(files["pfnano"], tmp_path / "odd.root", change), tmp_path / "good.root"

    def renumbered(columns):
        columns["event"] = columns["event"] + 10**6

    copy(files["pfnano"], good, renumbered)
    own = small(tmp_path, "mine")
    tried = r"odd\.root: no known layout .*pfnano \(.*\) lacks PFCands_d0Err; nanoaod_v15 \(NanoAODv15\) lacks PFCand_pt, .*"
    with pytest.raises(InputFileError, match=tried):
        process(tmp_path / "a", {"top": [odd, good]}, **own, selection=selection())
    skipping = {"execution": {"executor": "iterative", "skip_bad_files": True}}
    run = process(tmp_path / "b", {"top": [odd, good]}, **own, **skipping, selection=selection())
    lost = json.loads((run.out / "lost.json").read_text())["datasets"]["top"]["files"]
    assert [file["file"] for file in lost] == [str(odd)]
    # without a model, nobody reads candidates
    branches = {
        "scores": {"xbb": {"signal": ["xbb"], "background": ["qcd"]}},
        "threshold": {"score": "xbb", "value": 0.5},
    }
    _, found = of(process(tmp_path / "c", {"top": odd}, **branches, selection=selection()))
    assert list(found["layouts"]) == ["unknown"]


@pytest.mark.fault(
    "Files of two layouts in one dataset",
    "Reads each by its own layout, reports how many files have which, and what each lacks.",
)
def test_two_layouts_in_one_dataset_are_said_and_counted(files, runs, tmp_path, capfd):
    def renumbered(columns):
        columns["event"] = columns["event"] + 10**6

    second = copy(files["pfnano_without_index"], tmp_path / "second.root", renumbered)
    run = process(
        tmp_path / "run", {"top": [files["pfnano"], second]}, **small(tmp_path, "mine"), selection=selection()
    )
    table, found = of(run)
    assert {name: entry["files"] for name, entry in found["layouts"].items()} == {
        "pfnano": 1,
        "pfnano_without_index": 1,
    }
    assert "its files have 2 layouts of PF candidates (1 pfnano, 1 pfnano_without_index)" in " ".join(
        capfd.readouterr().err.split()
    )
    first = table["event"] < 10**6
    np.testing.assert_array_equal(table["score_mine_1"][first], runs["pfnano"][0]["score_mine_1"])
    np.testing.assert_array_equal(table["score_mine_1"][~first], runs["pfnano_without_index"][0]["score_mine_1"])


def test_a_tagger_that_a_version_lacks_and_a_cut_reads_is_an_error(files, tmp_path):
    regions = {"SR": {"any": "btagged"}}
    branches = {
        "scores": {"xbb": {"signal": ["xbb"], "background": ["qcd"]}},
        "threshold": {"score": "xbb", "value": 0.5},
    }
    with pytest.raises(
        OddjetsError,
        match=r"cut 'btagged': .* no column 'btag' .* NanoAODv15 has no such branch .* selection\.taggers\.btag",
    ):
        process(
            tmp_path / "a", {"top": files["nanoaod_v15"]}, **branches, regions=regions, selection=selection(taggers=V15)
        )
    own = {"names": "v15", "btag": "globalParT3_Xbb"}
    asked = selection(taggers=own, btag_min=0.3)
    table, _ = of(process(tmp_path / "b", {"top": files["nanoaod_v15"]}, **branches, regions=regions, selection=asked))
    np.testing.assert_array_equal(table["btag_1"], table["xbb_1"])


@pytest.fixture(scope="module")
def without_runs(tmp_path_factory):
    """Two skims of another program, which dropped the tree Runs; and one file that kept it."""
    folder = tmp_path_factory.mktemp("skims")

    def drop(number):
        def change(record, runs):
            record["event"] = record["event"] + 1000 * number
            if number:
                runs.clear()
                runs["run"] = np.array([1], np.uint32)

        return change

    return [toy_nano(folder / f"{i}.root", 30, seed=i + 1, change=drop(i)) for i in range(3)]


def with_sum(folder, found, total):
    """The small analysis of branches, whose fileset says the sum of weights."""
    from helpers import toy_analysis

    file = toy_analysis.write(folder, {"top": found})
    content = json.loads((folder / "fileset.json").read_text())
    content["top"]["metadata"]["sum_of_weights"] = total
    (folder / "fileset.json").write_text(json.dumps(content))
    return toy_analysis.process(toy_analysis.run_of(file))


@pytest.mark.fault(
    "Tree missing", "Without the tree Runs, takes the sum of weights from the fileset and says so, or asks for it."
)
def test_files_without_runs_take_the_sum_from_the_metadata_and_say_so(without_runs, tmp_path, capfd):
    run = with_sum(tmp_path / "a", without_runs[1:], 1234.5)
    found = read_manifest(run.out, "process")["extra"]["datasets"]["top"]
    assert (found["sum_of_weights"], found["sum_of_weights_from"]) == (1234.5, "metadata")
    assert "1234.5 is taken from the metadata" in " ".join(capfd.readouterr().err.split())
    with pytest.raises(
        InputFileError, match=r"1\.root: simulation without 'genEventSumw' .* 'sum_of_weights' in the metadata"
    ):
        with_sum(tmp_path / "b", without_runs[1:], None)


def test_sums_in_some_files_only_or_another_sum_are_errors(without_runs, tmp_path):
    with pytest.raises(InputFileError, match=r"2 of 3 files have no sum of generator weights"):
        with_sum(tmp_path / "a", without_runs, 100.0)
    with pytest.raises(InputFileError, match=r"'sum_of_weights' of its metadata is 1e\+06, and 'genEventSumw'"):
        with_sum(tmp_path / "b", without_runs[:1], 1e6)
    stored = read_manifest(with_sum(tmp_path / "c", without_runs[:1], None).out, "process")["extra"]["datasets"]["top"]
    assert stored["sum_of_weights_from"] == "files"
    same = with_sum(tmp_path / "d", without_runs[:1], stored["sum_of_weights"])
    assert read_manifest(same.out, "process")["extra"]["datasets"]["top"]["sum_of_weights_from"] == "files"


@pytest.fixture(scope="module")
def skimmed(files, tmp_path_factory):
    """A v15 file, its skim, and the tables of both."""
    from oddjets.workflow.skim.run import skim

    folder = tmp_path_factory.mktemp("skim")
    own = small(folder, "mine")
    run = process(folder / "a", {"top": files["nanoaod_v15"]}, **own, selection=selection(taggers=V15))
    fileset = json.loads(skim(run, folder / "skim").read_text())
    (path,) = fileset["top"]["files"]
    again = process(folder / "b", {"top": folder / "skim" / path}, **own, selection=selection(taggers=V15))
    return run, again, folder / "skim" / path


def test_a_skim_of_v15_gives_the_same_rows_and_comparisons(skimmed):
    (table, found), (same, other) = (of(run) for run in skimmed[:2])
    assert_same(table, same)
    assert set(other["layouts"]) == {"nanoaod_v15"}
    names = ("impact_parameters_not_stored", "charges_not_stored", "jets_unlike_constituents")
    assert [other["input_anomalies"][name] for name in names] == [found["input_anomalies"][name] for name in names]
    assert "jets_not_compared" not in other["input_anomalies"]
