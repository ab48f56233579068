"""PFNano as coffea sees it: names as in the file, and errors that name the nearest."""

import numpy as np
import pytest
from helpers.chunks import chunk_of, copy

from oddjets.core.errors import InputFileError
from oddjets.io import nanoaod_schema


@pytest.fixture(scope="module")
def chunk(sample, tmp_path_factory):
    return chunk_of(copy(sample.files("top")[0], tmp_path_factory.mktemp("schema") / "top.root", stop=5))


def test_branches_have_the_names_of_the_file(chunk):
    """Collections, single branches, and names with several underscores."""
    branches = nanoaod_schema.branches_of(chunk)
    for name in ("FatJet_pt", "run", "HLT_AK8PFJet360_TrimMass30", "L1PreFiringWeight_Nom", "FatJet_particleNetMD_Xbb"):
        assert name in branches
        assert nanoaod_schema.has(chunk, [name])
    assert not nanoaod_schema.has(chunk, ["FatJet_pt", "FatJet_nothing"])


def test_a_branch_is_found_by_its_name(chunk):
    np.testing.assert_array_equal(nanoaod_schema.branch(chunk, "Pileup_nTrueInt"), chunk.Pileup.nTrueInt)
    np.testing.assert_array_equal(nanoaod_schema.branch(chunk, "event"), chunk.event)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda chunk: nanoaod_schema.branch(chunk, "Pileup_nTrueint"),
            "no branch 'Pileup_nTrueint'; did you mean 'Pileup_nTrueInt'",
        ),
        (
            lambda chunk: nanoaod_schema.field(chunk, "FatJet", "msoftDrop"),
            "no branch 'FatJet_msoftDrop'; did you mean 'FatJet_msoftdrop'",
        ),
        (lambda chunk: nanoaod_schema.collection(chunk, "Fatjet"), "no collection 'Fatjet'; did you mean 'FatJet'"),
    ],
    ids=["branch", "field", "collection"],
)
def test_what_is_missing_is_named_with_file_and_nearest(chunk, ask, message):
    with pytest.raises(InputFileError, match=rf"top\.root: {message}"):
        ask(chunk)


def test_tau2_is_the_branch_and_not_a_proper_time(chunk):
    """The trap of docs/architecture.md: a jet is a four-vector, which has a tau2 of its own."""
    assert (np.asarray(nanoaod_schema.flatten(chunk.FatJet["tau2"])) < 1).all()
    assert (np.asarray(nanoaod_schema.flatten(chunk.FatJet.tau2)) > 1).any()


def test_offsets_and_content_of_jagged_branches(chunk):
    offsets, flat = nanoaod_schema.offsets_of(chunk.FatJet.pt), nanoaod_schema.flatten(chunk.FatJet.pt)
    assert offsets[0] == 0
    for i, row in enumerate(chunk.FatJet.pt.to_list()):
        assert flat[offsets[i] : offsets[i + 1]].tolist() == row
