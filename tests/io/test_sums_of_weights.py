"""Sums of generated events in the tree Runs: what cannot be, what is suspicious, and what is right."""

import contextlib

import awkward as ak
import numpy as np
import pytest
import uproot

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io.fileset import Dataset, DatasetMetadata, inspect, sums_of_variations
from oddjets.io.sums_of_weights import StoredFile, duplicate_rows
from oddjets.selection.sums_checks import refuse_unlike_sums
from oddjets.workflow.executors.preflight import check_files

SIGNS = np.where(np.arange(40) % 8 == 0, -1.0, 1.0)


def row_of(weights, **more):
    """A row of Runs, as NanoAOD fills it."""
    return {"genEventCount": len(weights), "genEventSumw": weights.sum(), "genEventSumw2": (weights**2).sum()} | more


def varied(weights, entries=4, seed=1):
    """Means of weights that vary from event to event."""
    factors = np.random.default_rng(seed).uniform(0.8, 1.2, (len(weights), entries))
    return ((weights[:, None] * factors).sum(axis=0) / weights.sum()).tolist()


def write(path, entries, *rows, types=None):
    """A simulated file with so many events and these rows of Runs."""
    with uproot.recreate(path) as out:
        events = {"event": np.arange(entries), "genWeight": np.ones(entries, np.float32)}
        out.mktree("Events", {k: v.dtype for k, v in events.items()}).extend(events)
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        arrays = {}
        for name, values in columns.items():
            dtype = (types or {}).get(name, np.int64 if name == "genEventCount" else np.float64)
            arrays[name] = ak.values_astype(ak.Array(values), dtype)
        kinds = {k: v.type.content if v.ndim > 1 else ak.to_numpy(v).dtype for k, v in arrays.items()}
        out.mktree("Runs", kinds).extend(arrays)
    return str(path)


def read(path):
    return inspect(path, is_data=False)


def fileset(*files, tried=None, **more):
    """Files of the dataset top, and datasets beside it."""
    found = {}
    for name, paths in {"top": files, **more}.items():
        known = DatasetMetadata(process=name, is_data=False, era="x", cross_section_pb=1.0, events_tried=tried)
        found[name] = (Dataset(name, tuple(paths), known), [read(path) for path in paths])
    return found


# ---- one file ----------------------------------------------------------------------------------------------------


def test_fewer_generated_than_stored_events_cannot_be(tmp_path):
    """A merged file that kept the Runs of one of its inputs: its templates would be four times too large."""
    file = write(tmp_path / "a.root", 40, row_of(SIGNS[:10]))
    with pytest.raises(InputFileError, match=r"a\.root: 'genEventCount' of its tree 'Runs' is 10, but it holds 40"):
        read(file)


def test_names_with_an_underscore_are_those_of_an_older_version(tmp_path):
    rows = [row_of(w, PSSumw=varied(w)) for w in (SIGNS, 2 * SIGNS[:20])]
    older = [{f"{name}_": value for name, value in row.items()} for row in rows]
    one = read(write(tmp_path / "a.root", 60, *rows))
    other = read(write(tmp_path / "b.root", 60, *older, types={"genEventCount_": np.int64}))
    assert (other.sum_of_weights, other.sums_of_variations) == (one.sum_of_weights, one.sums_of_variations)
    assert [row.count for row in other.runs] == [40, 20]


@pytest.mark.parametrize(
    "types", [None, {"genEventCount": np.uint32, "genEventSumw": np.float32}], ids=["double", "float"]
)
def test_rows_of_a_merged_file_add_up(tmp_path, types):
    rows = [row_of(w, PSSumw=varied(w)) for w in (SIGNS, 2 * SIGNS[:20])]
    found = read(write(tmp_path / "a.root", 60, *rows, types=types))
    assert found.sum_of_weights == 30 + 2 * 14
    expected = sum(row["PSSumw"][0] * row["genEventSumw"] for row in rows)
    assert found.sums_of_variations["isrUp"] == pytest.approx(expected, rel=1e-12)


def test_a_skim_stores_fewer_events_than_were_generated(tmp_path):
    assert read(write(tmp_path / "a.root", 3, row_of(SIGNS))).sum_of_weights == 30


def test_without_a_count_nothing_is_compared(tmp_path):
    assert read(write(tmp_path / "a.root", 40, {"genEventSumw": 30.0})).sum_of_weights == 30


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genEventSumw": np.nan}, "the sum of weights 'genEventSumw' is nan"),
        ({"genEventSumw": np.inf}, "the sum of weights 'genEventSumw' is inf"),
        ({"genEventCount": -40}, "is -40, but it holds 40 events"),
        ({"genEventSumw2": np.nan}, "the sum of squared weights 'genEventSumw2' is"),
        ({"genEventSumw2": -1.0}, "the sum of squared weights 'genEventSumw2' is"),
        ({"genEventSumw2": 0.0}, "contradicts itself"),
        # the squares of a quarter of the events
        ({"genEventSumw2": 10.0}, r"no 40 weights .* the sum 30 .* squares that add up to 10"),
        ({"genEventSumw": 400.0}, "contradicts itself"),
        ({"genEventSumw": [30.0, 1.0]}, "'genEventSumw' of the tree 'Runs' is a list"),
    ],
)
def test_sums_that_cannot_be(tmp_path, change, message):
    with pytest.raises(InputFileError, match=message):
        read(write(tmp_path / "a.root", 40, row_of(SIGNS) | change))


def test_a_count_that_is_infinite_is_named(tmp_path):
    row = row_of(SIGNS) | {"genEventCount": np.inf}
    with pytest.raises(InputFileError, match=r"a\.root: 'genEventCount' of its tree 'Runs' is inf"):
        read(write(tmp_path / "a.root", 40, row, types={"genEventCount": np.float64}))


def test_an_empty_tree_of_sums_is_an_error(tmp_path):
    path = tmp_path / "a.root"
    with uproot.recreate(path) as out:
        out.mktree("Events", {"genWeight": "f4"}).extend({"genWeight": np.ones(3, np.float32)})
        out.mktree("Runs", {"genEventSumw": "f8"})
    with pytest.raises(InputFileError, match=r"a\.root: its tree 'Runs' is empty"):
        read(str(path))


@pytest.mark.parametrize(
    ("name", "stored", "reason"),
    [
        ("LHEScaleSumw", [0.0] * 9, "the sum of 'nominal' is 0"),
        ("LHEScaleSumw", [1.0] * 4 + [0.0] + [1.0] * 4, "the sum of 'nominal' is 0"),
        ("LHEScaleSumw", [1.0] * 4 + [1e-38] + [1.0] * 4, "the sum of 'nominal' is 6e-37"),
        ("LHEScaleSumw", [0.0] + [1.0] * 7, "the sum of 'scale0' is 0"),
        ("PSSumw", [np.nan] * 4, "the sum of 'isrUp' is nan"),
        ("PSSumw", [1.0, 1.0, -1.0, 1.0], "the sum of 'isrDown' is -60"),
    ],
)
def test_sums_that_are_zero_negative_or_no_number_normalise_nothing(tmp_path, capfd, name, stored, reason):
    good = write(tmp_path / "good.root", 40, row_of(SIGNS, **{name: [1.0] * len(stored)}))
    bad = write(tmp_path / "bad.root", 40, row_of(np.concatenate([SIGNS, SIGNS]), **{name: stored}))
    assert read(bad).unusable_sums == {name: reason}
    assert len(read(good).sums_of_variations) == {4: 4, 8: 6, 9: 6}[len(stored)]
    assert sums_of_variations([read(good), read(bad)]) == {}
    check_files(fileset(good, bad), {})
    assert f"bad.root: '{name}' of the tree 'Runs' is unusable ({reason})" in capfd.readouterr().err


def test_a_row_of_no_events_takes_no_part(tmp_path):
    """Its means are 0 / 0."""
    none = {"genEventCount": 0, "genEventSumw": 0.0, "genEventSumw2": 0.0, "PSSumw": [np.nan] * 4}
    some = row_of(SIGNS, PSSumw=[1.1, 1.2, 0.9, 0.8])
    found = read(write(tmp_path / "a.root", 40, none, some))
    assert found.sums_of_variations["isrUp"] == pytest.approx(33)
    empty = read(write(tmp_path / "b.root", 0, none))
    assert sums_of_variations([found, empty]) == found.sums_of_variations


# ---- all files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [0.0, -30.0])
def test_a_dataset_whose_weights_sum_to_nothing_is_found_before_the_work(tmp_path, total):
    file = write(tmp_path / "a.root", 40, row_of(SIGNS) | {"genEventSumw": total})
    with pytest.raises(OddjetsError, match=rf"dataset 'top': the sum of generator weights is {total:g}.*a\.root"):
        check_files(fileset(file), {})


def test_one_file_of_negative_sum_is_said(tmp_path, capfd):
    files = write(tmp_path / "a.root", 3, row_of(-SIGNS[1:4])), write(tmp_path / "b.root", 40, row_of(SIGNS))
    check_files(fileset(*files), {})
    assert "a.root: the sum of generator weights is -3\n" in capfd.readouterr().err


CONTINUOUS = np.random.default_rng(4).uniform(0.5, 1.5, 40)


@pytest.mark.parametrize(
    "row",
    [row_of(SIGNS, PSSumw=varied(SIGNS)), row_of(SIGNS, LHEScaleSumw=varied(SIGNS, 9)), row_of(CONTINUOUS)],
    ids=["showers", "scales", "weights"],
)
@pytest.mark.parametrize("entries", [(10, 10), (3, 40), (40, 40)], ids=["split", "skims", "whole"])
def test_no_two_productions_have_the_same_sums_of_differing_weights(tmp_path, row, entries):
    files = [write(tmp_path / f"{i}.root", n, row) for i, n in enumerate(entries)]
    with pytest.raises(
        InputFileError, match=r"the same row of the tree 'Runs' appears 2 times in .*0\.root, .*1\.root"
    ):
        check_files(fileset(*files), {})
    with pytest.raises(InputFileError, match="2 times"):  # in two datasets, too
        check_files(fileset(files[0], other=[files[1]]), {})


def test_a_split_that_copied_the_sums_of_equal_weights(tmp_path):
    """Its parts hold together exactly the events that each says were generated."""
    files = [write(tmp_path / f"{i}.root", n, row_of(np.ones(40))) for i, n in enumerate((10, 20, 10))]
    with pytest.raises(InputFileError, match=r"appears 3 times .*genEventCount 40; 40 events stored"):
        check_files(fileset(*files), {})


def test_parts_merged_again_count_once(tmp_path):
    file = write(tmp_path / "a.root", 40, *[row_of(np.ones(40))] * 4)
    with pytest.raises(InputFileError, match=r"appears 4 times in .*a\.root"):
        check_files(fileset(file), {})


def test_productions_of_one_size_raise_no_alarm(tmp_path, capfd):
    """Files of the simulation here: unit weights, as many tries in each, of which a filter keeps a few."""
    files = [write(tmp_path / f"{i}.root", n, row_of(np.ones(40))) for i, n in enumerate((3, 7, 5))]
    check_files(fileset(*files, tried=120), {})
    check_files(fileset(*files[:2], tried=120), {})
    whole = [write(tmp_path / f"w{i}.root", 40, row_of(np.ones(40))) for i in range(3)]
    check_files(fileset(*whole), {})
    assert capfd.readouterr().err == ""


def test_what_may_be_a_split_is_said(tmp_path, capfd):
    files = [write(tmp_path / f"{i}.root", n, row_of(np.ones(40))) for i, n in enumerate((3, 7, 5))]
    check_files(fileset(*files), {})
    said = capfd.readouterr().err
    assert "warning: dataset 'top': the same row of the tree 'Runs' appears 3 times in" in said
    assert all(file in said for file in files)
    with pytest.raises(InputFileError, match="together 120 events generated, but the fileset says 40 were tried"):
        check_files(fileset(*files, tried=40), {})


@pytest.mark.parametrize(
    ("entries", "weighted", "refused"), [(40, 30.0, False), (40, 30.02, False), (40, 20.0, True), (12, 20.0, False)]
)
def test_all_events_add_up_to_the_sum_that_normalises_them(tmp_path, entries, weighted, refused):
    """Only of files that hold all that was generated is it known."""
    info = read(write(tmp_path / "a.root", entries, row_of(SIGNS)))
    with (
        pytest.raises(InputFileError, match=r"a\.root: .* genWeight add up to 20, and 'genEventSumw' says 30")
        if refused
        else contextlib.nullcontext()
    ):
        refuse_unlike_sums("top", [info], {info.path: weighted})


def test_a_file_of_no_sum_beside_a_whole_one_is_refused(tmp_path):
    good = read(write(tmp_path / "a.root", 40, row_of(SIGNS)))
    bad = read(write(tmp_path / "b.root", 40, row_of(SIGNS, genEventSumw=0.0)))
    with pytest.raises(InputFileError, match=r"b\.root: .* add up to 30, and 'genEventSumw' says 0") as error:
        refuse_unlike_sums("top", [good, bad], {good.path: 30.0, bad.path: 30.0})
    assert "a.root" not in str(error.value)


def test_weights_that_cancel_may_be_rounded(tmp_path):
    """20 of 1e6 and 20 of -1e6, stored in float32, beside their sum in double precision."""
    info = read(write(tmp_path / "a.root", 40, row_of(np.repeat([1e6, -1e6 + 1e-2], 20))))
    assert info.sum_of_weights == pytest.approx(0.2)
    refuse_unlike_sums("top", [info], {info.path: 0.0})


def test_a_sum_of_next_to_nothing_normalises_no_part(tmp_path):
    """Without a count it is not known that the events are all."""
    info = read(write(tmp_path / "a.root", 40, {"genEventSumw": 1e-300}))
    with pytest.raises(InputFileError, match=r"dataset 'top': the sum .* is 1e-300, and the genWeight .* add up to 30"):
        refuse_unlike_sums("top", [info], {info.path: 30.0})


def test_not_all_files_of_many_are_named():
    row = read_row()
    errors, warnings = duplicate_rows([StoredFile(f"{i}.root", "top", 1, (row,)) for i in range(30)], {})
    assert warnings == []
    assert "appears 30 times in 0.root, 1.root, 2.root, 3.root, 4.root and 25 more" in errors[0]


def read_row():
    from oddjets.io.sums_of_weights import RunsRow

    return RunsRow(b"x", 40, distinctive=True)
