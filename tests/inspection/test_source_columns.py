"""Columns of source files: those of the right events, of the branches that a file has."""

from __future__ import annotations

import awkward as ak
import numpy as np
import uproot

from oddjets.inspection.source_columns import source_columns
from oddjets.io.event_origins import SourceRange


def write(path, number, **branches):
    event = np.arange(number, dtype=np.uint64)
    same = {"run": np.full(number, 7, np.uint32), "luminosityBlock": np.full(number, 3, np.uint32), "event": event}
    with uproot.recreate(path) as file:
        tree = file.mktree("Events", {n: getattr(v, "dtype", None) or ak.type(v).content for n, v in branches.items()} | {
            n: v.dtype for n, v in same.items()
        })  # fmt: skip
        tree.extend({**branches, **same})
    with uproot.open(path) as file:
        return str(file.file.uuid)


def identity(events):
    n = len(events)
    return {"run": np.full(n, 7), "luminosityBlock": np.full(n, 3), "event": np.array(events)}


def test_columns_are_those_of_the_events_and_of_what_the_file_has(tmp_path):
    eta = ak.Array([[2.7, 0.1], [-2.6, 2.9], [], [3.2]])
    first = tmp_path / "first.root"
    uuid = write(first, 4, PV_npvs=np.array([10, 20, 30, 40], np.int32), Jet_eta=ak.values_astype(eta, np.float32))
    second = tmp_path / "second.root"
    other = write(second, 3, bunchCrossing=np.array([1, 2, 3], np.int32))
    sources = [SourceRange(str(first), uuid, 0, 4)] * 3 + [SourceRange(str(second), other, 1, 3)] * 2
    found, problems = source_columns(sources, identity([3, 0, 1, 2, 0]))
    assert problems == {}
    assert set(found) == {"n_vertices", "bunch_crossing", "n_jets_in_horns"}
    np.testing.assert_array_equal(found["n_vertices"], [40, 10, 20, np.nan, np.nan])
    np.testing.assert_array_equal(found["n_jets_in_horns"], [0, 1, 2, np.nan, np.nan])
    # event 0 is not in the range that its row came from
    np.testing.assert_array_equal(found["bunch_crossing"], [np.nan, np.nan, np.nan, 3, np.nan])


def test_files_that_cannot_be_read_are_counted_with_the_reason(tmp_path):
    there = tmp_path / "there.root"
    write(there, 2, PV_npvs=np.array([1, 2], np.int32))
    sources = [
        SourceRange("", "u", 0, 2),
        SourceRange(str(tmp_path / "gone.root"), "u", 0, 2),
        SourceRange("root://server//file.root", "u", 0, 2),
        SourceRange(str(there), "another", 0, 2),
        SourceRange("events.npz", "", 0, 0),
    ]
    found, problems = source_columns(sources, identity([0] * 5))
    assert found == {}
    assert sum(problems.values()) == 5
    words = " ".join(problems)
    for said in ("is not recorded", "is not there any more", "on other machines", "another file", "no further columns"):
        assert said in words
