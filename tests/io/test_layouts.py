"""The table of layouts: which row fits a file, and what is said where none does."""

import numpy as np
import pytest

from oddjets.io.layouts import LAYOUTS, WITHOUT_CANDIDATES, charges_of, describe_misfits, find_layout
from oddjets.scoring.inputs import CANDIDATE_BRANCHES

ROWS = {row.name: row for row in LAYOUTS}


@pytest.mark.parametrize("row", [row for row in LAYOUTS if row.candidates], ids=lambda row: row.name)
def test_a_row_fits_its_own_branches_and_says_where_every_quantity_comes_from(row):
    assert find_layout(set(row.required).__contains__) is row
    sources = [*row.branches, *row.derived, *row.missing]
    assert sorted(sources) == sorted(CANDIDATE_BRANCHES)


def test_the_branches_of_pfnano_are_those_of_the_models_inputs():
    assert dict(ROWS["pfnano"].branches) == CANDIDATE_BRANCHES
    assert list(ROWS["pfnano"].branches) == list(CANDIDATE_BRANCHES)


@pytest.mark.parametrize(
    ("name", "lacking", "expected"),
    [
        ("pfnano", "FatJetPFCands_pFCandsIdx", "pfnano_without_index"),
        ("nanoaod_v15", "FatJetPFCand_jetIdx", "nanoaod_v15_without_index"),
    ],
)
def test_without_an_index_jets_are_clustered_again(name, lacking, expected):
    found = find_layout((set(ROWS[name].required) - {lacking}).__contains__)
    assert found is ROWS[expected]
    assert found.source == "reclustered"


def test_a_file_of_both_is_read_as_pfnano():
    both = {*ROWS["pfnano"].required, *ROWS["nanoaod_v15"].required}
    assert find_layout(both.__contains__) is ROWS["pfnano"]


def test_no_branch_of_candidates_is_nanoaod():
    assert find_layout({"FatJet_pt", "Jet_pt"}.__contains__) is WITHOUT_CANDIDATES
    assert WITHOUT_CANDIDATES.source is None


@pytest.mark.fault(
    "Unknown layout of PF candidates", "Lists the layouts that were tried and the branches that each of them lacks."
)
def test_no_row_fits_and_each_says_what_is_lacking():
    names = {"PFCands_pt", "PFCands_eta", "PFCand_pdgId"}
    assert find_layout(names.__contains__) is None
    said = describe_misfits(names.__contains__)
    for row in LAYOUTS:
        if row.candidates:
            start = said.index(f"{row.name} ({row.label}) lacks")
            listed = said[start:].split(";")[0]
            assert [name for name in row.required if name in listed.replace(",", "").split()] == row.lacking(
                names.__contains__
            )


def test_charges_of_codes():
    codes = np.array([211, -211, 11, -11, 13, -13, 22, 130, 1, 2, 0, -321, 2212, 999], np.int32)
    charges, known = charges_of(codes)
    assert charges.tolist() == [1, -1, -1, 1, -1, 1, 0, 0, 0, 0, 0, -1, 1, 0]
    assert known.tolist() == [True] * 13 + [False]


def test_charges_of_8_bits():
    charges, known = charges_of(np.array([-11, 13, 22, -128], np.int8))
    assert charges.tolist() == [1, -1, 0, 0]
    assert known.tolist() == [True, True, True, False]
