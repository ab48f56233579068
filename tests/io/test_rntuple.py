"""RNTuples: fields found in one pass are those that uproot finds."""

import awkward as ak
import numpy as np
import uproot
from helpers.toy_nano import toy_nano

from oddjets.io.rntuple import index_fields


def fields_of(found):
    return [(field.name, field.typename, [child.name for child in field.fields]) for field in found.fields]


def assert_as_uproot(path):
    with uproot.open(path, object_cache=None) as plain, uproot.open(path, object_cache=None) as other:
        expected, found = plain["Events"], index_fields(other["Events"])
        assert fields_of(found) == fields_of(expected)
        assert found.typenames() == expected.typenames()
        for one, same in zip(found.ntuple.all_fields, expected.ntuple.all_fields, strict=True):
            assert fields_of(one) == fields_of(same)


def test_fields_of_nested_records_and_lists_are_those_of_uproot(tmp_path):
    inner = ak.Array([[{"x": 1.0, "y": [1, 2]}], [], [{"x": 2.0, "y": []}, {"x": 3.0, "y": [3]}]])
    with uproot.recreate(tmp_path / "nested.root") as file:
        file["Events"] = {
            "jets": inner,
            "event": np.arange(3),
            "pair": ak.zip({"a": [1, 2, 3], "b": [[1], [], [2]]}, depth_limit=1),
        }
    assert_as_uproot(tmp_path / "nested.root")


def test_fields_of_nanoaod_are_those_of_uproot(tmp_path):
    assert_as_uproot(toy_nano(tmp_path / "toy.root", 5, rntuple=True))


def test_the_reader_of_the_file_gets_the_same_object(tmp_path):
    with uproot.open(toy_nano(tmp_path / "toy.root", 5, rntuple=True)) as file:
        assert index_fields(file["Events"]) is file["Events"]


def test_a_tree_is_returned_as_it_is(tmp_path):
    with uproot.open(toy_nano(tmp_path / "toy.root", 5)) as file:
        assert index_fields(file["Events"]).num_entries == 5
