"""Branches of other types than NanoAOD's: as good as theirs if all values fit, else an error that names branch and file."""

import awkward as ak
import numpy as np
import pytest
from helpers import toy_analysis
from helpers.toy_nano import toy_nano

from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import delta_r
from oddjets.io import nanoaod_schema


def process(folder, change=None, **changes):
    """Process 20 simulated events with a change of their file."""
    file = toy_nano(folder / "top.root", 20, change=change)
    return toy_analysis.rows(
        toy_analysis.process(toy_analysis.run_of(toy_analysis.write(folder, {"top": [file]}, **changes)))
    )


def spoiled(name, kind, row=None, value=None):
    """A change of a branch to another type, and of one of its values."""

    def change(record, runs):
        record[name] = np.asarray(record[name]).astype(kind)
        if row is not None:
            record[name][row] = value

    return change


def of_collection(name, inner, kind):
    """A change of a collection's branch to another type."""

    def change(record, runs):
        record[name] = ak.with_field(record[name], ak.values_astype(record[name][inner], kind), inner)

    return change


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return process(tmp_path_factory.mktemp("reference"), systematics=["jms", "toppt"])


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float64])
@pytest.mark.parametrize("name", list(nanoaod_schema.IDENTITY))
def test_event_numbers_of_another_type_are_the_same_numbers(tmp_path, reference, name, kind):
    found = process(tmp_path, spoiled(name, kind), systematics=["jms", "toppt"])
    toy_analysis.assert_same_rows(found, reference)


@pytest.mark.parametrize("name", list(nanoaod_schema.IDENTITY))
@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (np.int64, -1, r"has -1 in 1 event\(s\): these are whole numbers from 0 to"),
        (np.float64, 2.0**64, r"has 1\.8\d*e\+19 in 1 event"),
        (np.float64, 0.5, "is float64 with values that are not whole numbers"),
        (np.float64, np.nan, "is float64 with values that are not whole numbers"),
    ],
)
def test_event_numbers_that_are_none_are_named(tmp_path, name, kind, value, said):
    """Cast to the types of the event table they would be those of other events."""
    with pytest.raises(OddjetsError, match=rf"top\.root: branch '{name}' {said}"):
        process(tmp_path, spoiled(name, kind, 7, value))


def test_a_run_number_beyond_its_type_is_named(tmp_path):
    with pytest.raises(OddjetsError, match="branch 'run' has 4294967296 in 1 event"):
        process(tmp_path, spoiled("run", np.int64, 7, 2**32))


@pytest.mark.parametrize("name", list(nanoaod_schema.IDENTITY))
def test_a_file_without_event_numbers_is_named(tmp_path, name):
    def change(record, runs):
        del record[name]

    with pytest.raises(OddjetsError, match=rf"top\.root: no branch '{name}'"):
        process(tmp_path, change)


@pytest.mark.parametrize(("name", "inner"), [("FatJet", "jetId"), ("GenPart", "statusFlags")])
def test_bits_in_whole_numbers_of_a_floating_type_are_bits(tmp_path, reference, name, inner):
    found = process(tmp_path, of_collection(name, inner, np.float32), systematics=["jms", "toppt"])
    toy_analysis.assert_same_rows(found, reference)


@pytest.mark.parametrize(("name", "inner"), [("FatJet", "jetId"), ("GenPart", "statusFlags")])
def test_a_decision_has_no_bits(tmp_path, name, inner):
    """The tight ID is bit 1, which True has not: no jet would pass, without a word."""
    with pytest.raises(OddjetsError, match=rf"top\.root: branch '{name}_{inner}' is bool"):
        process(tmp_path, of_collection(name, inner, bool), systematics=["toppt"])


@pytest.mark.filterwarnings("error")
def test_two_infinite_jets_are_near_to_nothing():
    """A damaged jet and the generator jet with its eta: no match, and no warning of NumPy's."""
    one, infinite = np.array([0.0]), np.array([np.inf])
    assert not (delta_r(infinite, one, infinite, one) < 0.4).any()
