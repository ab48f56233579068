"""Jets, leptons, triggers on small arrays made by hand."""

from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest

from oddjets.config.selection import JetSelection, LeptonSelection
from oddjets.core.errors import InputFileError
from oddjets.selection import objects


class Events(SimpleNamespace):
    """A chunk by hand: collections are record arrays."""

    metadata = {"filename": "hand.root"}

    @property
    def fields(self):
        return list(vars(self))

    def __getitem__(self, name):
        return getattr(self, name)

    def __len__(self):
        return len(next(iter(vars(self).values())))


def test_the_pair_is_the_two_good_jets_of_highest_pt():
    pt = ak.Array([[500.0, 700.0, 600.0], [500.0, 400.0], [300.0], []])
    good = ak.Array([[True, False, True], [True, True], [True], []])
    assert objects.leading_pair(pt, good).tolist() == [[2, 0], [0, 1], [0, -1], [-1, -1]]


def test_equal_pt_keeps_the_order_of_the_file():
    pt = ak.Array([[500.0, 500.0, 500.0]])
    assert objects.leading_pair(pt, pt > 0).tolist() == [[0, 1]]


def test_a_good_jet_of_any_pt_ranks_above_rejected_ones():
    pt = ak.Array([[700.0, 500.0, -5.0], [-5.0, 800.0, -3.0], [-1.0, 900.0]])
    good = ak.Array([[True, False, True], [True, False, True], [False, False]])
    assert objects.leading_pair(pt, good).tolist() == [[0, 2], [2, 0], [-1, -1]]


@pytest.mark.parametrize("dtype", [np.int64, np.int16])
def test_take_pair_never_reaches_into_another_event(dtype):
    values = ak.Array([[1.0, 2.0], [], [3.0], [4.0]])
    index = np.array([[2, 0], [0, 1], [1, -1], [1, 10_000]], dtype=dtype)
    taken = objects.take_pair(values, index, missing=-9)
    np.testing.assert_array_equal(taken, [[-9, 1], [-9, -9], [-9, -9], [-9, -9]])
    assert objects.out_of_range(index, values).tolist() == [[True, False], [True, True], [True, False], [True, True]]
    np.testing.assert_array_equal(objects.take_pair(ak.Array([[], []])[:], np.array([[0, 1]] * 2)), [[np.nan] * 2] * 2)


def test_take_pair_fills_what_is_missing():
    values = ak.Array([[1.0, 2.0, 3.0], [4.0]])
    taken = objects.take_pair(values, np.array([[2, 0], [0, -1]]))
    np.testing.assert_array_equal(taken, [[3.0, 1.0], [4.0, np.nan]])


def test_tight_id_is_bit_1():
    jets = ak.zip({"eta": [[0.0, 0.0, 0.0, 2.6]], "jetId": [[0, 2, 5, 6]]})
    assert objects.good_jets(jets, JetSelection()).tolist() == [[False, True, False, False]]


def test_absent_trigger_paths_are_left_out_and_none_at_all_is_an_error():
    events = Events(HLT=ak.zip({"PFHT900": [True, False], "PFJet450": [False, False]}))
    found = objects.trigger_decisions(events, ["PFHT800", "PFHT900"])
    assert {k: v.tolist() for k, v in found.items()} == {"PFHT900": [True, False]}
    with pytest.raises(InputFileError, match=r"none of the 1 trigger paths.*did you mean 'PFHT900'"):
        objects.trigger_decisions(events, ["PFHT800"])
    with pytest.raises(InputFileError, match=r"or it was read with a schema that does not group branches by name$"):
        objects.trigger_decisions(Events(), ["PFHT800"])


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (LeptonSelection(pt_min=30), [2, 0]),
        (LeptonSelection(pt_min=30, identification="tightId"), [1, 0]),
        (LeptonSelection(pt_min=5, identification="cutBased>=3"), [1, 1]),
        (LeptonSelection(pt_min=5, isolation="iso", isolation_max=0.2), [2, 0]),
    ],
)
def test_leptons_that_count(selection, expected):
    leptons = ak.zip(
        {
            "pt": [[40.0, 50.0, 20.0], [10.0]],
            "eta": [[0.0, -1.0, 0.0], [0.0]],
            "tightId": [[True, False, True], [True]],
            "cutBased": [[2, 3, 2], [4]],
            "iso": [[0.1, 0.3, 0.1], [0.5]],
        }
    )
    assert objects.count_leptons(Events(Muon=leptons), "Muon", selection).tolist() == expected


def test_a_missing_branch_names_the_nearest():
    events = Events(Muon=ak.zip({"pt": [[40.0]], "eta": [[0.0]], "tightId": [[True]]}))
    with pytest.raises(InputFileError, match="no branch 'Muon_tightID'; did you mean 'Muon_tightId'"):
        objects.count_leptons(events, "Muon", LeptonSelection(pt_min=30, identification="tightID"))


def test_all_filters_must_pass_and_exist():
    events = Events(Flag=ak.zip({"a": [True, True], "b": [True, False]}))
    assert objects.passes_filters(events, ["a", "b"]).tolist() == [True, False]
    with pytest.raises(InputFileError, match="Flag_c"):
        objects.passes_filters(events, ["c"])


def test_a_score_of_branches_is_the_signals_part_of_the_sum():
    values = {"Xbb": np.array([0.3, -1.0, 0.0, np.nan, np.inf]), "QCD": np.array([0.1, -1.0, 0.0, 0.5, 0.5])}
    # not evaluated (-1) and empty sums are 0; what is not finite is for the caller to count
    np.testing.assert_allclose(objects.score_of_branches(values, ["Xbb"]), [0.75, 0, 0, np.nan, np.nan])


def test_isolation_and_identification_of_the_veto_are_as_configured():
    """The same muon counts or not, by the YAML alone."""
    muon = ak.zip({"pt": [[40.0]], "eta": [[0.0]], "tightId": [[True]], "looseId": [[True]], "iso": [[0.2]]})
    events = Events(Muon=muon)
    for isolation_max, expected in ((0.15, 0), (0.25, 1)):
        selection = LeptonSelection(pt_min=30, identification="tightId", isolation="iso", isolation_max=isolation_max)
        assert objects.count_leptons(events, "Muon", selection).tolist() == [expected]
