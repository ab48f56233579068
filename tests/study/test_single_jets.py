"""Single jets without signal: cells against counts by hand, experiments against closed forms, all choices on the same jets."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from helpers import bank_jets
from scipy.stats import kstest, norm

from oddjets.core.errors import OddjetsError
from oddjets.selection.oddest_jets import find_oddest
from oddjets.stats import dijet_function
from oddjets.study.jet_null import lines_of, null_of_jets
from oddjets.study.single_jets import JetCells, JetChoice, count_cells, draw, search_all, smooth_cells

EDGES = np.linspace(60.0, 240.0, 25)
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2
WINDOW = (MIDDLES > 142.5) & (MIDDLES < 202.5)
FALLING = np.exp(3 * np.log(100 / MIDDLES))


def cells_of(counts: np.ndarray, member: Any, choices: int) -> JetCells:
    """Cells of one step of pT: numbers of jets by cell and bin, and none of other masses."""
    counts = np.pad(np.asarray(counts, np.int64), ((0, 0), (0, 1)))[:, None, :]
    named = tuple(JetChoice(f"score {k}", 0.01, 0.5) for k in range(choices))
    return JetCells(named, np.asarray(member, bool), counts, counts.sum(axis=0), EDGES, WINDOW, np.array([450.0]))


def jets(number: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Jets whose mass, and both scores, follow pT."""
    rng = np.random.default_rng(seed)
    pt = 450 / rng.random(number) ** 0.2
    return {
        "pt": pt,
        "mass": 50 + rng.exponential(0.1 * pt),
        "score_a": rng.random(number) * pt / (300 + pt),
        "score_b": np.where(rng.random(number) < 0.01, np.nan, rng.random(number)),
    }


@pytest.fixture(scope="module")
def counted() -> tuple[dict[str, np.ndarray], JetCells]:
    table = jets(40_000)
    choices = [JetChoice("a", 0.1, 0.55), JetChoice("a", 0.02, 0.7), JetChoice("b", 0.05, 0.95)]
    pieces = (
        {name: values[start : start + 7000] for name, values in table.items()} for start in range(0, 40_000, 7000)
    )
    return table, count_cells(pieces, choices, EDGES, WINDOW, 450.0)


def test_the_spectra_of_cells_are_those_of_the_selected_jets(counted: tuple[dict[str, np.ndarray], JetCells]) -> None:
    table, cells = counted
    for choice, spectrum in zip(cells.choices, cells.spectra, strict=True):
        mass = table["mass"][table[f"score_{choice.score}"] >= choice.cut]
        np.testing.assert_array_equal(spectrum, np.histogram(mass, EDGES)[0])
    # the tighter cut is within the looser one: no cell is of the tighter alone
    assert not (cells.member[:, 1] & ~cells.member[:, 0]).any()
    assert cells.pool.sum() == len(table["mass"])
    assert (cells.pool.sum(axis=1) >= 200).all()
    np.testing.assert_array_equal(np.histogram(table["pt"], [*cells.steps, np.inf])[0], cells.pool.sum(axis=1))


def test_mixed_masses_keep_pt_and_forget_the_score(counted: tuple[dict[str, np.ndarray], JetCells]) -> None:
    """The mean of each bin is the sum over steps of pT of selected jets times the fraction of all jets there: closed form."""
    _, cells = counted
    made = draw(cells, "mixed-masses", 400, np.random.default_rng(2))
    jets_by_step = np.einsum("cs,ck->ks", cells.counts.sum(axis=2), cells.member)
    fraction = cells.pool / cells.pool.sum(axis=1, keepdims=True)
    expected = (jets_by_step @ fraction)[:, :-1]
    error = np.sqrt(expected / 400)
    np.testing.assert_array_less(np.abs(made.mean(axis=0) - expected), 5 * error + 1e-9)
    # jets of a higher pT have other masses, which steps of pT keep: one step for all would be wrong
    together = cells.spectra.sum(axis=1)[0] * cells.pool.sum(axis=0)[:-1] / cells.pool[:, :-1].sum()
    assert np.abs((made.mean(axis=0)[0] - together) / error[0]).max() > 10


def test_side_bands_are_fitted_in_cells_and_a_bump_is_not() -> None:
    bump = np.where(WINDOW, 400, 0)
    truth = np.stack([4000 * FALLING, 900 * FALLING, 20 * FALLING])
    cells = cells_of(np.round(truth + np.outer([1, 0, 0], bump)), [[1, 0], [1, 1], [0, 1]], 2)
    expected = smooth_cells(cells)
    # the last cell is too small for a fit of its own, and has the others' shape
    np.testing.assert_allclose(expected[:2], truth[:2], rtol=0.02)
    np.testing.assert_allclose(expected[2], truth[2], rtol=0.15)
    made = draw(cells, "sidebands", 300, np.random.default_rng(3))
    np.testing.assert_allclose(made.mean(axis=0)[0], expected[:2].sum(axis=0), rtol=0.02)
    # jets that both choices select are the same ones
    shared, total = expected[1].sum(), [expected[:2].sum(), expected[1:].sum()]
    found = np.corrcoef(made.sum(axis=2).T)[0, 1]
    assert found == pytest.approx(shared / np.sqrt(np.prod(total)), abs=0.15)


def test_local_p_is_uniform_and_the_smallest_of_two_is_as_sidak_says() -> None:
    """Two choices without a jet in common: P(smallest <= t) = 1 - (1 - t)^2; a choice beside itself: t."""
    counts = np.stack([9000 * FALLING, 5000 * FALLING])
    cells = cells_of(np.round(counts), [[1, 0, 1], [0, 1, 0]], 3)
    number = 800
    made = search_all(draw(cells, "sidebands", number, np.random.default_rng(5)), cells)
    for local in made.local.T:
        assert kstest(local, "uniform").pvalue > 0.01
    np.testing.assert_allclose(made.local[:, 0], made.local[:, 2], rtol=1e-9)
    for t in (0.02, 0.1, 0.3):
        for choices, wanted in (([0, 1], 1 - (1 - t) ** 2), ([0, 2], t)):
            found = (made.local[:, choices].min(axis=1) <= t).mean()
            assert found == pytest.approx(wanted, abs=4 * np.sqrt(wanted * (1 - wanted) / number))
    # more masses cost more
    assert (made.smallest.min(axis=1) <= 0.02).mean() > (made.local.min(axis=1) <= 0.02).mean()


def test_the_global_p_counts_experiments_of_all_choices() -> None:
    bump = np.where((MIDDLES > 157.5) & (MIDDLES < 187.5), 330, 0)
    cells = cells_of(np.stack([np.round(9000 * FALLING), np.round(5000 * FALLING) + bump]), np.eye(2), 2)
    found = null_of_jets(cells, "sidebands", 200, 1)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    odd = found["choices"][1]
    assert odd["local"]["seen"] < 1e-5
    # where it is, and not beside it
    assert odd["at"][0] <= 157.5
    assert odd["at"][1] >= 187.5
    # a bound: 1 - 0.05^(1/200)
    assert odd["local"]["p_value"] is None
    assert odd["local"]["bound"]["p_below"] == pytest.approx(1 - 0.05 ** (1 / 200))
    assert found["choices"][0]["local"]["p_value"] > 0.1
    assert found["together"]["window"]["score"] == "score 1"
    assert found["together"]["window"]["seen"] == odd["local"]["seen"]
    # the curve is the distribution that the p values are counted in
    place = found["curve"]["p"].index(1.0)
    assert found["curve"]["anywhere"][place] == 1.0
    said = "\n".join(lines_of(found))
    assert "smallest local p" in said
    assert "none of 200" in said
    again = null_of_jets(cells, "sidebands", 200, 1)
    assert again == found


def test_too_few_jets_are_left_out_and_none_at_all_is_an_error() -> None:
    cells = cells_of(np.stack([np.round(900 * FALLING), np.ones(24)]), np.eye(2), 2)
    found = null_of_jets(cells, "mixed-masses", 20, 1)
    assert found["left_out"] == [{"score": "score 1", "efficiency": 0.01}]
    assert "too few jets for a fit: score 1, 1 %" in "\n".join(lines_of(found))
    with pytest.raises(OddjetsError, match="no score and efficiency of 'jet_bump' selects jets enough"):
        null_of_jets(cells_of(np.ones((1, 24)), [[1]], 1), "sidebands", 20, 1)


def test_a_strong_bump_is_found_where_it_is_and_not_where_it_spoils_the_fit() -> None:
    bump = 300 * np.exp(-(((MIDDLES - 172) / 10) ** 2) / 2)
    spectrum = np.round(700 * FALLING + bump)[None]
    found = dijet_function.scan(spectrum, dijet_function.design(MIDDLES, 3), 8)
    middle = EDGES[found.place[0]] + 4 * (EDGES[1] - EDGES[0])
    assert abs(middle - 172) < 8
    # elsewhere an extrapolation over the bump sees an excess that is none
    assert found.local[0].min() < found.smallest[0]


def test_top_quarks_make_a_bump_at_their_mass_with_scores_of_the_model_and_qcd_makes_none() -> None:
    """The oddest 1 % of simulated jets of 300 /pb by the shipped model, with top pairs at their cross section and without.

    QCD alone has a mean z of 1.4 here: the mass of its odd jets is not quite of the dijet function (docs/aspen.md).
    """
    z, places = {}, []
    for processes in (("qcd",), ("qcd", "top")):
        found = []
        for seed in range(6):
            table = bank_jets.drawn(processes, 300.0, seed)
            total = len(table["mass"])
            cut, _ = find_oddest([table], ["omnilearned"], total, 0.01)["omnilearned"].above(0.01)
            cells = count_cells([table], [JetChoice("omnilearned", 0.01, cut)], EDGES, WINDOW, 450.0)
            searched = search_all(cells.spectra[None], cells)
            found.append(norm.isf(searched.local[0, 0]))
            places.append(EDGES[searched.place[0, 0]])
        z[processes] = np.mean(found)
    assert z["qcd",] < 2.5
    assert z["qcd", "top"] > z["qcd",] + 2
    # windows of 60 GeV that hold the top quark's mass
    assert np.mean([low < 173 < low + 60 for low in places[6:]]) > 0.8
