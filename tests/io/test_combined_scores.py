"""Tail probabilities in data and combinations of them, against ranks, closed forms and laws."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io.combined_scores import (
    COMBINED_SCORES,
    Combination,
    CombinedScores,
    TailProbability,
    bin_numbers,
)

#: with ties, and both zeros
scores_of_jets = arrays(np.float64, st.integers(1, 60), elements=st.integers(-8, 8).map(lambda i: i / 4))


def combined(
    how: str,
    tables: dict[str, np.ndarray],
    edges: dict[str, tuple[float, ...]] | None = None,
    weights: tuple[float, ...] = (),
):
    """A combination 'c' of scores whose map is of the jets of a table, for jet 1 alone."""
    names = [name for name in tables if name not in ("mass", "pt")]
    tails = {name: TailProbability.from_scores(tables[name].copy()) for name in names}
    whole = CombinedScores({"c": Combination("c", how, tuple(names), edges or {}, weights)}, tails, {})
    if edges:
        table = {f"score_{name}_1": tables[name] for name in names}
        joined = whole.before_flat(table, "c", 1)
        bins = bin_numbers(edges, {quantity: tables[quantity] for quantity in edges})
        n_bins = whole.combinations["c"].n_bins
        flat = tuple(TailProbability.from_scores(-joined[bins == number]) for number in range(n_bins))
        whole = CombinedScores(whole.combinations, tails, {"c": flat})
    return whole


def score(whole: CombinedScores, tables: dict[str, np.ndarray]) -> np.ndarray:
    """The score 'c' of jets."""
    table = {f"{name if name in ('mass', 'pt') else f'score_{name}'}_1": values for name, values in tables.items()}
    return whole.of_jets(table, ["score_c_1"])["score_c_1"]


@settings(max_examples=40)
@given(scores_of_jets)
def test_jets_of_data_have_their_ranks_and_ties_share_the_middle(values):
    tail = TailProbability.from_scores(values.copy())
    assert tail(values) == pytest.approx(stats.rankdata(-values) / (len(values) + 1), rel=1e-15)
    # the mean of ranks is 1/2, with ties or without
    assert np.mean(tail(values)) == pytest.approx(0.5)


@settings(max_examples=40)
@given(scores_of_jets, scores_of_jets)
def test_other_jets_count_the_jets_of_data_above_them(data, others):
    found = TailProbability.from_scores(data.copy())(others)
    above = np.array([np.sum(data > other) for other in others])
    equal = np.array([np.sum(data == other) for other in others])
    assert found == pytest.approx((above + (equal + 1) / 2) / (len(data) + 1), rel=1e-15)
    assert ((found > 0) & (found < 1)).all()


def test_jets_beyond_all_data_are_neither_impossible_nor_certain():
    tail = TailProbability.from_scores([0.1, 0.2, 0.3])
    assert tail([0.4, np.inf, 0.0, -np.inf, np.nan]) * 8 == pytest.approx([1, 1, 7, 7, 7])


def test_a_score_that_is_no_number_is_below_all_numbers_and_tied():
    tail = TailProbability.from_scores([np.nan, 5.0, np.nan, -3.0])
    assert tail([5.0, -3.0, -4.0, np.nan]) * 5 == pytest.approx([1, 2, 2.5, 3.5])


def test_there_is_no_map_without_jets():
    with pytest.raises(OddjetsError, match="jets of data, and there are none"):
        TailProbability.from_scores([])


@pytest.mark.parametrize("decimals", [15, 2], ids=["no ties", "ties"])
def test_what_is_kept_of_many_jets_is_exact_in_the_tail_and_near_it_below(decimals):
    values = np.round(np.random.default_rng(3).normal(size=50_000), decimals)
    exact = TailProbability.from_scores(values.copy())
    coarse = TailProbability.from_scores(values.copy(), exact=500, step=1e-2)
    asked = np.concatenate([values, np.linspace(-6, 6, 1001)])
    in_tail = exact(asked) < 500 / 50_001
    assert in_tail.sum() > 400
    assert np.array_equal(coarse(asked)[in_tail], exact(asked)[in_tail])
    assert np.abs(coarse(asked) / exact(asked) - 1).max() < 1e-2
    assert len(coarse.values) <= min(len(exact.values), 500 + np.log(100) / np.log1p(1e-2) + 2)
    # never against the order
    ordered = np.sort(asked)
    assert (np.diff(coarse(ordered)) <= 0).all()


N = 20_000


@pytest.fixture(scope="module")
def independent() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(11)
    return {"a": rng.normal(size=N), "b": rng.exponential(size=N)}


@pytest.mark.parametrize(
    ("how", "law"),
    [
        ("product", lambda p: p * (1 - np.log(p))),
        ("max", lambda p: 1 - (1 - p) ** 2),
        ("min", lambda p: p**2),
        ("mean", lambda p: np.where(p < 0.5, 2 * p**2, 1 - 2 * (1 - p) ** 2)),
    ],
)
def test_of_two_independent_scores_a_combination_has_its_closed_distribution(how, law, independent):
    found = score(combined(how, independent), independent)
    probability = 10.0**-found
    # the ranks are exactly uniform, so that the distance is one of N pairs
    assert stats.kstest(probability, law).pvalue > 0.01
    # large is odd: where both scores are largest
    assert stats.spearmanr(found, independent["a"]).statistic > 0.4
    assert stats.spearmanr(found, independent["b"]).statistic > 0.4


@pytest.mark.parametrize("weight", [0.25, 0.5, 2.0])
def test_a_weighted_product_of_two_independent_scores_has_its_closed_distribution(weight, independent):
    """P(p q^w <= x) is the integral of min(1, x / q^w) over q: (x - w x^(1/w)) / (1 - w)."""
    found = score(combined("product", independent, weights=(1.0, weight)), independent)
    assert stats.kstest(10.0**-found, lambda x: (x - weight * x ** (1 / weight)) / (1 - weight)).pvalue > 0.01


def test_weights_of_one_change_no_bit_and_one_of_zero_leaves_the_other_score(independent):
    plain = score(combined("product", independent), independent)
    assert np.array_equal(score(combined("product", independent, weights=(1.0, 1.0)), independent), plain)
    first = next(iter(independent))
    alone = combined("product", {first: independent[first]})
    left = score(combined("product", independent, weights=(1.0, 0.0)), independent)
    assert np.array_equal(left, score(alone, {first: independent[first]}))


def test_every_score_is_in_the_tail_as_precise_as_its_rank(independent):
    whole = combined("product", independent)
    both = {"a": np.array([1e6]), "b": np.array([1e6])}
    assert score(whole, both) == pytest.approx(2 * np.log10(2 * (N + 1)), rel=1e-14)


@settings(max_examples=40)
@given(
    arrays(np.float64, (2, 40), elements=st.integers(-20, 20).map(float)),
    st.sampled_from(["product", "max", "min", "mean"]),
    st.sampled_from([np.exp, np.cbrt, lambda x: 3 * x - 7, lambda x: np.arctan(x / 10), lambda x: x**3 + x]),
)
def test_a_combination_does_not_depend_on_the_scale_of_a_component(values, how, rising):
    before = dict(zip("ab", values, strict=True))
    after = {**before, "a": rising(before["a"])}
    assert np.array_equal(score(combined(how, before), before), score(combined(how, after), after))


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(50, 250), min_size=2, max_size=4, unique=True).map(sorted),
)
def test_a_flat_score_has_uniform_ranks_in_every_bin(seed, edges):
    rng = np.random.default_rng(seed)
    mass = rng.uniform(30, 270, 400)
    # a score that follows the mass
    tables = {"a": mass / 100 + rng.normal(size=400), "mass": mass}
    bins = np.clip(np.digitize(mass, edges) - 1, 0, len(edges) - 2)
    if len(np.unique(bins)) < len(edges) - 1:
        return
    found = score(combined("product", tables, {"mass": tuple(edges)}), tables)
    for number in range(len(edges) - 1):
        inside = np.sort(10.0 ** -found[bins == number])
        assert inside == pytest.approx(np.arange(1, len(inside) + 1) / (len(inside) + 1), rel=1e-12)


@given(arrays(np.float64, 50, elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_bins_are_those_of_a_histogram_with_the_ends_joined(values):
    edges = {"mass": (60.0, 100.0, 240.0), "pt": (450.0, 600.0, 800.0, 1000.0)}
    found = bin_numbers(edges, {"mass": values, "pt": values[::-1]})
    expected = []
    for mass, pt in zip(values, values[::-1], strict=True):
        i = sum(mass >= edge for edge in edges["mass"][1:-1])
        j = sum(pt >= edge for edge in edges["pt"][1:-1])
        expected.append(3 * i + j)
    assert found.tolist() == expected


def test_a_bin_has_a_name():
    made = Combination("c", "product", ("a",), {"mass": (60.0, 100.0, 240.0), "pt": (450.0, 600.0, 800.0)})
    assert [made.bin_name(i) for i in range(made.n_bins)] == [
        f"mass {m} GeV, pt {p} GeV"
        for m, p in itertools.product(("60 to 100", "100 to 240"), ("450 to 600", "600 to 800"))
    ]


def test_a_file_gives_the_same_bits(tmp_path: Path, independent):
    assert CombinedScores.load(tmp_path) is None
    tables = {**independent, "mass": np.random.default_rng(1).uniform(60, 240, N)}
    whole = combined("product", tables, {"mass": (60.0, 100.0, 240.0)}, (1.0, 0.3))
    whole.save(tmp_path)
    found = CombinedScores.load(tmp_path)
    assert found is not None
    assert np.array_equal(score(found, tables), score(whole, tables))
    first = (tmp_path / COMBINED_SCORES).read_bytes()
    whole.save(tmp_path)
    assert (tmp_path / COMBINED_SCORES).read_bytes() == first


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:400]),
        lambda file: file.write_text("no archive"),
        lambda file: np.savez(file, note=np.array("{}")),
        lambda file: np.savez(file, note=np.array('{"layout": 2, "n": {"tail a": 3}, "combinations": []}')),
    ],
    ids=["empty", "cut short", "text", "no layout", "no maps"],
)
def test_a_damaged_file_is_named(tmp_path: Path, spoil, independent):
    combined("product", independent).save(tmp_path)
    spoil(tmp_path / COMBINED_SCORES)
    with pytest.raises(
        InputFileError, match=r"combined_scores.npz: damaged .*`oddjets process --force` makes it again"
    ):
        CombinedScores.load(tmp_path)


def test_a_file_of_another_version_is_named(tmp_path: Path):
    np.savez(tmp_path / COMBINED_SCORES, note=np.array('{"layout": 99}'))
    with pytest.raises(InputFileError, match="of version 99, but version 2 is needed"):
        CombinedScores.load(tmp_path)


def test_a_file_that_has_to_be_there_is_asked_for(tmp_path: Path):
    with pytest.raises(
        InputFileError, match=r"'demo' has combinations of scores.* run `oddjets process` with data first"
    ):
        CombinedScores.require(tmp_path, "demo")
