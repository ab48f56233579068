"""RNTuples: fields found in one pass are those that uproot finds."""

import awkward as ak
import numpy as np
import uproot
from helpers.toy_nano import toy_nano

import oddjets.io.fileset  # noqa: F401  (every reader of files imports it, and with it the fields found at once)
from oddjets.io.rntuple import UPROOT_FIELDS


def by_uproot(field):
    return [
        (child.name, child.typename, [below.name for below in UPROOT_FIELDS.fget(child)])
        for child in UPROOT_FIELDS.fget(field)
    ]


def at_once(field):
    return [(child.name, child.typename, [below.name for below in child.fields]) for child in field.fields]


def assert_as_uproot(path):
    with uproot.open(path, object_cache=None) as plain, uproot.open(path, object_cache=None) as other:
        expected, found = plain["Events"], other["Events"]
        assert at_once(found) == by_uproot(expected)
        for one, same in zip(found.ntuple.all_fields, expected.ntuple.all_fields, strict=True):
            assert at_once(one) == by_uproot(same)


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


def test_no_field_is_searched_for_twice(tmp_path):
    """coffea's `Runner` opens files itself: one look through all fields, whichever is asked for first."""
    with uproot.open(toy_nano(tmp_path / "toy.root", 5, rntuple=True), object_cache=None) as file:
        events = file["Events"]
        assert any(vars(field)["_fields"] is None for field in events.ntuple.all_fields)
        assert events.fields
        assert all(vars(field)["_fields"] is not None for field in events.ntuple.all_fields)


def test_a_tree_is_read_as_ever(tmp_path):
    with uproot.open(toy_nano(tmp_path / "toy.root", 5)) as file:
        assert file["Events"].num_entries == 5
