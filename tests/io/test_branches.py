"""Parts of jagged branches, read from the file: the same values as whole arrays, and no more baskets than needed."""

import awkward as ak
import numpy as np
import pytest
import uproot
from helpers.chunks import chunk_of
from hypothesis import given, settings
from hypothesis import strategies as st

from oddjets.core.errors import InputFileError
from oddjets.io.branches import FlatBranches

BASKET, EVENTS = 8, 40


def made_up(folder, kind):
    """A file of candidates in five baskets."""
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 9, EVENTS)
    columns = {name: rng.exponential(5, counts.sum()).astype(np.float32) for name in ("pt", "eta", "phi", "mass")}
    columns["charge"] = rng.integers(-1, 2, counts.sum()).astype(np.int32)
    arrays = {name: ak.unflatten(column, counts) for name, column in columns.items()}
    with uproot.recreate(folder / f"{kind}.root") as file:
        ids = dict.fromkeys(("run", "luminosityBlock", "event"), np.arange(EVENTS))
        if kind == "RNTuple":
            file["Events"] = {
                **ids,
                "nPFCands": counts.astype(np.int32),
                **{f"PFCands_{name}": array for name, array in arrays.items()},
            }
        else:
            records = ak.zip(arrays)
            types = {name: column.dtype for name, column in ids.items()} | {"PFCands": records.type.content}
            tree = file.mktree("Events", types, counter_name=lambda name: f"n{name}")
            for i in range(0, EVENTS, BASKET):
                block = slice(i, i + BASKET)
                tree.extend({name: column[block] for name, column in ids.items()} | {"PFCands": records[block]})
    return folder / f"{kind}.root", arrays


@pytest.fixture(scope="module", params=["TTree", "RNTuple"])
def file(request, tmp_path_factory):
    return made_up(tmp_path_factory.mktemp("reading"), request.param)


@settings(max_examples=30)
@given(start=st.integers(0, 20), stop=st.integers(21, EVENTS), seed=st.integers(0, 1000))
def test_values_are_those_of_the_whole_array(file, start, stop, seed):
    """Also where a chunk begins or ends within a basket."""
    path, arrays = file
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(rng.random(stop - start) < 0.3)
    candidates = FlatBranches(chunk_of(path, start, stop), "PFCands", rows)
    for name, array in arrays.items():
        flat = ak.to_numpy(ak.flatten(array[start:stop][rows]))
        positions = np.flatnonzero(rng.random(len(flat)) < 0.5)
        np.testing.assert_array_equal(candidates[name][:], flat)
        np.testing.assert_array_equal(candidates[name][positions], flat[positions])
        assert candidates[name][positions].dtype == flat.dtype or len(positions) == 0


def test_only_baskets_with_wanted_events_are_read(tmp_path, monkeypatch):
    path, _ = made_up(tmp_path, "TTree")
    chunk = chunk_of(path)
    rows = np.array([3, 17, 18, 39])  # in baskets 0, 2, 2 and 4
    candidates = FlatBranches(chunk, "PFCands", rows)
    read = baskets_read(monkeypatch)
    candidates["pt"][:]
    assert read == [("PFCands_pt", 0), ("PFCands_pt", 2), ("PFCands_pt", 4)]


def baskets_read(monkeypatch):
    """Note which baskets uproot decompresses."""
    noted = []
    basket = uproot.models.TBasket.Model_TBasket
    plain = basket.read_members

    def noting(self, chunk, cursor, context, file):
        plain(self, chunk, cursor, context, file)
        noted.append((self._parent.name, self._basket_num))

    monkeypatch.setattr(basket, "read_members", noting)
    return noted


def test_a_missing_branch_names_the_nearest(tmp_path):
    path, _ = made_up(tmp_path, "TTree")
    candidates = FlatBranches(chunk_of(path), "PFCands", np.arange(3))
    with pytest.raises(InputFileError, match="no branch 'PFCands_chargo'; did you mean 'PFCands_charge'"):
        candidates["chargo"]
