"""Tail probabilities of the scores of event tables: which jets they are of, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from oddjets.config.selection import Score
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io import event_table
from oddjets.scoring.tail_probabilities import combine_scores, missing_scores

OWN = {name: Score(signal=("x",), background=("y",)) for name in ("a", "b")}
BOTH = {**OWN, "both": Score(product=("a", "b"))}


def events(n: int, seed: int, **columns: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of random events."""
    rng = np.random.default_rng(seed)
    made = {"run": np.full(n, seed), "luminosityBlock": np.ones(n), "event": np.arange(n), "weight": np.ones(n)}
    made |= {"passes_nominal": np.ones(n, bool)}
    for j in (1, 2):
        made |= {f"mass_{j}": rng.uniform(60, 240, n), f"pt_{j}": rng.uniform(450, 1000, n)}
        made |= {f"score_{name}_{j}": rng.uniform(size=n) for name in "ab"}
    return {**made, **columns}


def write(folder: Path, dataset: str, table: dict[str, np.ndarray], pieces: int = 1) -> None:
    for number, rows in enumerate(np.array_split(np.arange(len(table["event"])), pieces)):
        part = {name: values[rows] for name, values in table.items()}
        event_table.write_part(folder / dataset / f"part-{number:06d}.parquet", part, {})


def combined(folder: Path, scores: dict[str, Score], data: dict[str, int]) -> dict[str, dict]:
    found, made = combine_scores(scores, folder, data)
    found.save(folder)
    return made


def both_jets(table: dict[str, np.ndarray], name: str) -> np.ndarray:
    return np.concatenate([table[f"score_{name}_{j}"] for j in (1, 2)])


def test_the_jets_of_all_data_count_and_nothing_of_simulation(tmp_path: Path):
    tables = {"early": events(120, 1), "late": events(80, 2), "top": events(50, 3, weight=np.full(50, 1e6))}
    # rows that only a variation brings
    tables["late"]["passes_nominal"] = np.arange(80) % 4 > 0
    for name, table in tables.items():
        write(tmp_path, name, table)
    made = combined(tmp_path, BOTH, {"early": 120, "late": 80})
    assert made == {"both": {"how": "product", "of": ["a", "b"], "jets": 2 * (120 + 60)}}
    kept = tables["late"]["passes_nominal"]
    data = {
        name: np.concatenate(
            [both_jets(tables["early"], name), *(tables["late"][f"score_{name}_{j}"][kept] for j in (1, 2))]
        )
        for name in "ab"
    }
    # by hand, with SciPy's ranks among data and this jet
    expected = np.zeros(100)
    for name, values in data.items():
        for i, value in enumerate(both_jets(tables["top"], name)):
            expected[i] -= np.log10((np.sum(values > value) + 0.5) / (len(values) + 1))
    found = event_table.read(tmp_path, "top")
    assert np.concatenate([found["score_both_1"], found["score_both_2"]]) == pytest.approx(expected, rel=1e-12)
    # and the data themselves
    early = event_table.read(tmp_path, "early", ["score_both_1", "score_both_2"])
    ranks = [stats.rankdata(-data[name])[:240] / (len(data[name]) + 1) for name in "ab"]
    assert both_jets(early, "both") == pytest.approx(-np.log10(ranks[0] * ranks[1]), rel=1e-12)


def test_division_and_order_of_tables_change_no_bit(tmp_path: Path):
    scores = {
        **BOTH,
        "even": Score.model_validate(
            {"mean": ["both", "a"], "flat_in": {"mass": [60, 120, 240], "pt": [450, 600, 900]}}
        ),
    }
    table = events(300, 5)
    found = []
    for number, pieces in enumerate((1, 7)):
        folder = tmp_path / str(number)
        rows = np.arange(300) if number == 0 else np.random.default_rng(1).permutation(300)
        write(folder, "data", {name: values[rows] for name, values in table.items()}, pieces)
        combined(folder, scores, {"data": 300})
        found.append(event_table.read(folder, "data"))
    for name in ("score_both_1", "score_even_2"):
        assert np.array_equal(found[0][name], found[1][name])


def test_readers_see_combinations_as_columns(tmp_path: Path):
    write(tmp_path, "data", events(40, 7), 3)
    combined(tmp_path, {**BOTH, "any": Score(max=("both", "a"))}, {"data": 40})
    whole = event_table.read(tmp_path, "data")
    assert {"score_both_1", "score_any_2", "score_a_1"} <= whole.keys()
    only = event_table.read(tmp_path, "data", ["score_any_1"])
    assert [*only] == ["score_any_1"]
    assert np.array_equal(only["score_any_1"], whole["score_any_1"])
    pieces = [*event_table.stream(tmp_path, "data", ["score_both_2", "mass_1"], rows=7)]
    assert [*pieces[0]] == ["score_both_2", "mass_1"]
    assert sorted(np.concatenate([p["score_both_2"] for p in pieces])) == sorted(whole["score_both_2"])
    # what was read can be written, and is computed again where it is read
    write(tmp_path, "again", {**whole, "score_both_1": np.zeros(40)})
    assert np.array_equal(event_table.read(tmp_path, "again")["score_both_1"], whole["score_both_1"])
    with pytest.raises(InputFileError, match="no column 'score_bth_1'"):
        event_table.read(tmp_path, "data", ["score_bth_1"])


def test_a_flat_score_is_uniform_in_each_bin_of_data(tmp_path: Path):
    table = events(500, 9)
    for j in (1, 2):
        # a score that follows mass and pT
        table[f"score_a_{j}"] = table[f"mass_{j}"] / 100 + table[f"pt_{j}"] / 300 + table[f"score_a_{j}"]
    write(tmp_path, "data", table)
    edges = {"mass": [60, 110, 160, 240], "pt": [450, 700, 1000]}
    made = combined(
        tmp_path, {**OWN, "even": Score.model_validate({"product": ["a"], "flat_in": edges})}, {"data": 500}
    )
    assert made["even"]["bins"] == 6
    # all of them have fewer than 1000 jets; how many is nobody's business
    assert len(made["even"]["few_jets"]) == 6
    assert made["even"]["few_jets"][1] == "mass 60 to 110 GeV, pt 700 to 1000 GeV"
    found = event_table.read(tmp_path, "data")
    score, mass, pt = (np.concatenate([found[f"{n}_{j}"] for j in (1, 2)]) for n in ("score_even", "mass", "pt"))
    places = np.digitize(mass, edges["mass"][1:-1]) * 2 + np.digitize(pt, edges["pt"][1:-1])
    for number in range(6):
        inside = np.sort(10.0 ** -score[places == number])
        assert inside == pytest.approx(np.arange(1, len(inside) + 1) / (len(inside) + 1), rel=1e-12)


def test_a_variation_leaves_a_flat_score_and_swaps_it_with_the_jets(tmp_path: Path):
    table = events(60, 4)
    table |= {f"{q}_{j}__jesUp": table[f"{q}_{j}"] * (1.5 if j == 2 else 1.0) for q in ("pt", "mass") for j in (1, 2)}
    table |= {"mjj": np.ones(60), **{f"{q}_{j}": np.ones(60) for q in ("mass_ungroomed", "eta", "phi") for j in (1, 2)}}
    write(tmp_path, "data", table)
    flat = {"product": ["a"], "flat_in": {"mass": [60, 150, 240], "pt": [450, 700, 1000]}}
    combined(tmp_path, {**OWN, "even": Score.model_validate(flat)}, {"data": 60})
    varied = event_table.EventTable(event_table.read(tmp_path, "data"), "jesUp")
    nominal = varied.under("nominal")
    swapped = varied["pt_1"] != nominal["pt_1"]
    assert 0 < swapped.sum() < 60
    assert np.array_equal(varied["score_even_1"], np.where(swapped, nominal["score_even_2"], nominal["score_even_1"]))


@pytest.mark.parametrize("value", [0.3, np.nan], ids=["a number", "no number"])
def test_a_component_that_is_the_same_for_all_jets_is_refused(tmp_path: Path, value: float):
    write(tmp_path, "data", events(10, 1, score_b_1=np.full(10, value), score_b_2=np.full(10, value)))
    what = "the value 0.3" if np.isfinite(value) else "no number as its value"
    with pytest.raises(OddjetsError, match=rf"scores.both: its component 'b' has {what} for all 20 jets of data"):
        combine_scores(BOTH, tmp_path, {"data": 10})


@pytest.mark.parametrize("data", [{}, {"data": 10}], ids=["no dataset", "no event passes"])
def test_without_data_there_are_no_tail_probabilities(tmp_path: Path, data: dict[str, int]):
    write(tmp_path, "data", events(10, 1, passes_nominal=np.zeros(10, bool)))
    with pytest.raises(OddjetsError, match=r"scores.both: is made of tail probabilities in data, and no event of data"):
        combine_scores(BOTH, tmp_path, data)


def test_a_bin_without_data_is_named(tmp_path: Path):
    write(tmp_path, "data", events(30, 1))
    flat = Score.model_validate({"product": ["a"], "flat_in": {"mass": [0, 30, 240, 300, 400]}})
    with pytest.raises(
        OddjetsError,
        match=r"scores.even.flat_in: no jet of data in the bin of mass 0 to 30 GeV, and in 2 more bins; join",
    ):
        combine_scores({**OWN, "even": flat}, tmp_path, {"data": 30})


def test_jets_without_a_number_are_counted_and_the_least_odd(tmp_path: Path):
    table = events(30, 1)
    table["score_b_2"][:4] = np.nan
    write(tmp_path, "data", table)
    write(tmp_path, "top", events(8, 2, score_a_1=np.full(8, np.nan)))
    scores = {**BOTH, "nested": Score(max=("both", "a"))}
    combined(tmp_path, scores, {"data": 30})
    assert missing_scores(scores, tmp_path, ["data", "top"]) == {"data": {"b": 4}, "top": {"a": 8}}
    found = event_table.read(tmp_path, "data", ["event", "score_b_2", "score_a_2", "score_both_2"])
    lacking = np.isnan(found["score_b_2"])
    assert lacking.sum() == 4
    assert np.isfinite(found["score_both_2"]).all()
    tail = stats.rankdata(-both_jets(table, "a"))[30:] / 61
    # the middle of the last four ranks of sixty
    assert found["score_both_2"][lacking] == pytest.approx(-np.log10(tail[:4] * 58.5 / 61))


def test_a_column_that_data_lack_is_named(tmp_path: Path):
    table = events(10, 1)
    write(tmp_path, "data", {name: values for name, values in table.items() if name != "score_b_2"})
    with pytest.raises(InputFileError, match="no column 'score_b_2'"):
        combine_scores(BOTH, tmp_path, {"data": 10})
