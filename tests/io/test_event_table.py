"""The event table: what a variation sees, and that what is written is what is read."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io import event_table
from oddjets.io.duplicate_events import find_duplicate
from oddjets.io.event_table import EventTable


def columns(n=4, seed=0):
    rng = np.random.default_rng(seed)
    pt = np.sort(rng.uniform(450, 900, (n, 2)))[:, ::-1]
    table = {"run": np.ones(n), "luminosityBlock": np.arange(n) // 3, "event": np.arange(n)[::-1]}
    for j in event_table.JETS:
        table |= {
            f"pt_{j}": pt[:, j - 1],
            f"eta_{j}": rng.uniform(-2, 2, n),
            f"phi_{j}": rng.uniform(-np.pi, np.pi, n),
            f"mass_{j}": rng.uniform(60, 240, n),
            f"mass_ungroomed_{j}": rng.uniform(60, 300, n),
            f"score_x_{j}": rng.uniform(0, 1, n),
        }
    table["mjj"] = event_table.dijet_mass(table)
    table["weight"] = rng.uniform(0.5, 2, n)
    return table


def test_dijet_mass_of_back_to_back_massless_jets():
    one = {f"{k}_{j}": np.array([0.0]) for k in ("eta", "phi", "mass_ungroomed") for j in (1, 2)}
    one |= {"pt_1": np.array([500.0]), "pt_2": np.array([500.0]), "phi_2": np.array([np.pi])}
    assert event_table.dijet_mass(one)[0] == pytest.approx(1000.0)


def test_a_weight_variation_changes_the_weight_alone():
    table = columns()
    table["weight__puUp"] = 2 * table["weight"]
    varied = EventTable(table, "puUp")
    np.testing.assert_array_equal(varied["weight"], 2 * table["weight"])
    np.testing.assert_array_equal(varied["pt_1"], table["pt_1"])


def test_varied_jets_are_numbered_by_varied_pt():
    table = columns(1)
    table |= {"pt_1__xUp": table["pt_2"], "pt_2__xUp": table["pt_1"]}
    table |= {f"mass_{j}__xUp": table[f"mass_{j}"] for j in (1, 2)}
    varied = EventTable(table, "xUp")
    assert varied["pt_1"][0] == table["pt_1"][0]
    # the jet that was second leads now, with its own mass, direction and score
    for name in ("mass", "eta", "phi", "score_x"):
        assert varied[f"{name}_1"][0] == table[f"{name}_2"][0]
        assert varied[f"{name}_2"][0] == table[f"{name}_1"][0]


@given(st.integers(0, 1000), st.floats(0.9, 1.1))
def test_a_common_scale_scales_the_dijet_mass_and_keeps_the_order(seed, scale):
    table = columns(5, seed)
    for j in (1, 2):
        table[f"pt_{j}__xUp"] = table[f"pt_{j}"] * scale
        table[f"mass_{j}__xUp"] = table[f"mass_{j}"] * scale
    varied = EventTable(table, "xUp")
    np.testing.assert_allclose(varied["mjj"], table["mjj"] * scale, rtol=1e-9)
    np.testing.assert_array_equal(varied["score_x_1"], table["score_x_1"])


def test_an_unknown_variation_names_the_known():
    table = columns()
    table["weight__puUp"] = table["weight"]
    with pytest.raises(OddjetsError, match="puUp"):
        EventTable(table, "puUP")


def test_written_is_read_sorted_whatever_the_parts(tmp_path):
    table = columns(7)
    whole, split = tmp_path / "whole", tmp_path / "split"
    event_table.write_part(whole / "d" / "part-0.parquet", table, {})
    for i in range(7):
        event_table.write_part(split / "d" / f"part-{6 - i}.parquet", {k: v[i : i + 1] for k, v in table.items()}, {})
    a, b = event_table.read(whole, "d"), event_table.read(split, "d")
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
        assert a[name].dtype == event_table.dtype_of(name)
    assert (np.diff(a["luminosityBlock"].astype(int)) >= 0).all()


def test_a_missing_column_names_the_nearest(tmp_path):
    event_table.write_part(tmp_path / "d" / "part-0.parquet", columns(), {})
    with pytest.raises(InputFileError, match="did you mean 'mass_1'"):
        event_table.read(tmp_path, "d", ["mas_1"])


def test_a_truncated_part_is_a_clear_error(tmp_path):
    file = tmp_path / "d" / "part-0.parquet"
    event_table.write_part(file, columns(), {})
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(InputFileError, match="broken event table"):
        event_table.read(tmp_path, "d")


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_stream_has_every_row_once_in_the_order_of_entries(tmp_path, rows):
    """Whatever the parts and the pieces."""
    table = columns(11)
    for start, stop in ((0, 4), (4, 5), (5, 5), (5, 11)):
        piece = {name: values[start:stop] for name, values in table.items()}
        event_table.write_part(tmp_path / "d" / f"part-a-{start:012d}-{stop}.parquet", piece, {})
    found = list(event_table.stream(tmp_path, "d", rows=rows))
    assert all(len(piece["event"]) == rows for piece in found[:-1])
    assert 0 < len(found[-1]["event"]) <= rows
    for name, values in table.items():
        np.testing.assert_array_equal(
            np.concatenate([piece[name] for piece in found]), values.astype(event_table.dtype_of(name))
        )


def test_a_stream_of_no_rows_has_no_pieces(tmp_path):
    event_table.write_part(tmp_path / "d" / "part-0.parquet", columns(0), {})
    assert list(event_table.stream(tmp_path, "d")) == []


def test_an_event_that_is_there_twice_is_found_among_many_and_the_first_one_is_named(tmp_path):
    rng = np.random.default_rng(1)
    identities = {
        "run": rng.integers(1, 4, 3000),
        "luminosityBlock": rng.integers(1, 9, 3000),
        "event": np.arange(3000),
    }
    for i in range(3):
        piece = {name: values[1000 * i : 1000 * (i + 1)] for name, values in identities.items()}
        event_table.write_part(tmp_path / "d" / f"part-{i}.parquet", piece, {"fileuuid": f"file{i}"})
    assert find_duplicate(tmp_path, ["d"]) is None
    again = {name: values[[1500, 20]] for name, values in identities.items()}
    event_table.write_part(tmp_path / "d" / "part-4.parquet", again, {"fileuuid": "again"})
    expected = min(tuple(int(values[i]) for values in identities.values()) for i in (1500, 20))
    event, one, other = find_duplicate(tmp_path, ["d"])
    assert event == expected
    assert (one, other) == ("file1" if expected[2] == 1500 else "file0", "again")


def test_a_stream_holds_a_few_pieces_however_many_there_are(tmp_path):
    rows, before = 5000, pa.total_allocated_bytes()
    for i in range(20):
        event_table.write_part(tmp_path / "d" / f"part-{i:02d}.parquet", columns(rows, seed=i), {})
    held = [pa.total_allocated_bytes() - before for _ in event_table.stream(tmp_path, "d", rows=rows)]
    assert len(held) == 20
    assert max(held) <= 2 * held[0]
