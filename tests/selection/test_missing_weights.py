"""Weights of the generator that some events or files lack: decided event by event, whatever the chunks are."""

import json

import awkward as ak
import numpy as np
import pytest
from helpers import toy_analysis
from helpers.toy_nano import toy_nano

from oddjets.io.fileset import inspect, sums_of_variations
from oddjets.workflow.skim.run import skim

SYSTEMATICS = ["isr", "fsr", "scale", "toppt"]
NUMBER = 60
LACKING = np.arange(NUMBER) % 7 == 3
BEFORE = "PS weights (w_var / w_nominal); [0] is ISR=0.5 FSR=1; [1] is ISR=1 FSR=0.5; [2] is ISR=2 FSR=1; [3] is ISR=1 FSR=2 "


def lists(values, rows):
    return ak.values_astype(ak.Array([values if row else one for row, one in rows]), np.float32)


def replaced(branch, short, where=LACKING):
    """A change of the lists of some events."""

    def change(record, runs):
        full = ak.to_list(record[branch])
        record[branch] = lists(short, zip(where, full, strict=True))

    return change


def some_lack_all(record, runs):
    replaced("LHEScaleWeight", [])(record, runs)
    replaced("PSWeight", [1.0])(record, runs)
    flavours = ak.to_numpy(record["GenPart"]["pdgId"])
    flavours[LACKING] = [[21, -6]]
    record["GenPart"] = ak.with_field(record["GenPart"], ak.from_regular(flavours), "pdgId")


def run_of(folder, files, chunk_size=1000, **changes):
    file = toy_analysis.write(folder, {"top": files}, **{"systematics": SYSTEMATICS} | changes)
    return toy_analysis.process(toy_analysis.run_of(file, folder / f"out{chunk_size}", chunk_size=chunk_size))


def of(run):
    found = run.extra("process")["datasets"]["top"]
    return toy_analysis.rows(run)["top"], {name: count for name, count in found["input_anomalies"].items() if count}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    return of(run_of(folder, [toy_nano(folder / "top.root", NUMBER)]))[0]


@pytest.mark.slow
@pytest.mark.parametrize("rntuple", [False, True])
def test_an_event_without_weights_is_as_nominal_for_every_chunking(tmp_path, full, rntuple):
    file = toy_nano(tmp_path / "top.root", NUMBER, change=some_lack_all, rntuple=rntuple)
    found = {size: of(run_of(tmp_path, [file], size)) for size in ((1000, 7) if rntuple else (1000, 7, 1))}
    table, counted = found[1000]
    lacking = LACKING[table["event"].astype(int)]
    assert 0 < lacking.sum() < len(lacking)
    for name in full:
        expected = np.where(lacking, full["weight"], full[name]) if name.startswith("weight__") else full[name]
        np.testing.assert_array_equal(table[name], expected, err_msg=name)
    assert counted == dict.fromkeys((f"without_{name}" for name in SYSTEMATICS), lacking.sum())
    for other, count in found.values():
        assert count == counted
        toy_analysis.assert_same_rows({"top": other}, {"top": table})


def test_a_file_without_weights_beside_one_with_them(tmp_path):
    files = [toy_nano(tmp_path / "a.root", 20), toy_nano(tmp_path / "b.root", 20, run=2, weights=False, seed=2)]
    run = run_of(tmp_path, files, systematics=[{"name": n, "own_normalisation": True} for n in ("isr", "scale")])
    table, counted = of(run)
    second = table["run"] == 2
    assert counted == dict.fromkeys(("without_isr", "without_scale"), second.sum())
    np.testing.assert_array_equal(table["weight__isrUp"][second], table["weight"][second])
    assert (table["weight__isrUp"][~second] != table["weight"][~second]).all()


def no_list(record, runs):
    del record["PSWeight"], record["LHEScaleWeight"]
    del runs["PSSumw"], runs["LHEScaleSumw"]


def one_each(record, runs):
    runs["PSSumw"], runs["LHEScaleSumw"] = ak.Array([[1.0]]), ak.Array([[1.0]])


@pytest.mark.parametrize("change", [no_list, one_each])
def test_a_file_without_weights_adds_its_nominal_sum_to_those_of_the_others(tmp_path, change):
    one = inspect(str(toy_nano(tmp_path / "a.root", 20)), is_data=False)
    other = inspect(
        str(toy_nano(tmp_path / "b.root", 20, weights=change is no_list, seed=2, change=change)), is_data=False
    )
    sums = sums_of_variations([one, other])
    assert len(sums) == 10
    for name, total in sums.items():
        assert total == pytest.approx(one.sums_of_variations[name] + other.sum_of_weights)


def test_runs_of_other_lengths_count_as_their_events_do(tmp_path):
    """Rows with 4, 1 and 7 sums: events of the last two are as nominal, and so are their sums."""

    def change(record, runs):
        runs["run"] = np.array([1, 2, 3], np.uint32)
        runs["genEventSumw"] = np.array([10.0, 20.0, 40.0])
        runs["PSSumw"] = ak.Array([[1.5, 1.0, 0.5, 1.0], [1.0], [9.0] * 7])
        runs["LHEScaleSumw"] = ak.Array([[2.0] * 4 + [1.0] + [0.5] * 4, [3.0] * 4 + [0.5] * 4, []])

    sums = inspect(str(toy_nano(tmp_path / "a.root", 20, change=change)), is_data=False).sums_of_variations
    assert (sums["isrUp"], sums["isrDown"]) == (10 * 1.5 + 60, 10 * 0.5 + 60)
    assert (sums["scale0"], sums["scale5"]) == (10 * 2.0 + 20 * 3.0 + 40, 10 * 0.5 + 20 * 0.5 + 40)


@pytest.mark.slow
def test_lengths_that_nobody_knows_are_named(tmp_path, full, capfd):
    def change(record, runs):
        replaced("PSWeight", [1.5] * 44)(record, runs)
        replaced("LHEScaleWeight", [1.5] * 18)(record, runs)

    file = toy_nano(tmp_path / "top.root", NUMBER, change=change)
    table, counted = of(run_of(tmp_path, [file], 7))
    lacking = LACKING[table["event"].astype(int)]
    for name in ("weight__isrUp", "weight__scale3"):
        np.testing.assert_array_equal(table[name], np.where(lacking, full["weight"], full[name]))
    odd = ("isr_of_44_weights", "fsr_of_44_weights", "scale_of_18_weights")
    assert counted == dict.fromkeys((*odd, "without_isr", "without_fsr", "without_scale"), lacking.sum())
    said = " ".join(capfd.readouterr().err.split())
    assert f"{lacking.sum()} events with 44 weights, whose order" in said


@pytest.mark.slow
def test_a_title_that_states_another_order_is_followed_said_and_kept_by_a_skim(tmp_path, full, capfd):
    file = toy_nano(tmp_path / "top.root", NUMBER, titles={"PSWeight": BEFORE})
    run = run_of(tmp_path, [file], 7, systematics=["isr", "fsr"])
    table, counted = of(run)
    for name in ("isr", "fsr"):
        np.testing.assert_array_equal(table[f"weight__{name}Up"], full[f"weight__{name}Down"])
        np.testing.assert_array_equal(table[f"weight__{name}Down"], full[f"weight__{name}Up"])
    rows = len(table["event"])
    assert counted == {"isr_in_another_order": rows, "fsr_in_another_order": rows}
    assert "not in CMS's usual order" in " ".join(capfd.readouterr().err.split())
    info = inspect(str(file), is_data=False)
    plain = inspect(str(toy_nano(tmp_path / "plain.root", NUMBER)), is_data=False)
    assert info.sums_of_variations["isrUp"] == plain.sums_of_variations["isrDown"]

    fileset = json.loads(skim(run, tmp_path / "skim").read_text())
    (name,) = fileset["top"]["files"]
    skimmed = tmp_path / "skim" / name
    again, counted_again = of(run_of(tmp_path / "again", [skimmed], systematics=["isr", "fsr"]))
    toy_analysis.assert_same_rows({"top": again}, {"top": table})
    assert counted_again == counted
    assert inspect(str(skimmed), is_data=False).sums_of_variations == info.sums_of_variations
