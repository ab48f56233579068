"""Banks: what is kept, what rounding does, and which are refused."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import study_events
from helpers.study_events import Cuts

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.study.bank import BITS, Bank, columns_for, factors_of, pack, rounded
from oddjets.study.events import Patterns, read_events
from oddjets.study.rates import closure_of, rates_of
from oddjets.study.thresholds import find_grid, templates_at

CARD = {"era": "simulation", "selection": {"tau21_max": 0.45}, "models": {"s": "abc"}, "analysis": "small"}


def probability(columns):
    """Scores between 0 and 1, many of them near 1."""
    return {n: 1 / (1 + np.exp(-3 * v)) if n.startswith("score_") else v for n, v in columns.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    analysis = study_events.make_analysis()
    tables = {
        "qcd": probability(study_events.columns("qcd", 20_000, 0.01, 1)),
        "top": probability(study_events.columns("top", 3000, 0.0001, 2)),
        "wjets": probability(study_events.columns("wjets", 2000, 0.001, 3)),
    }
    file = tmp_path_factory.mktemp("bank") / "bank.parquet"
    wanted = {p: columns_for(analysis, Cuts(), p, simulated=p != "qcd") for p in tables}
    counts = pack(file, tables.items(), CARD, wanted)
    assert counts == {"qcd": 20_000, "top": 3000, "wjets": 2000}
    return analysis, tables, Bank.open(file)


def events_of(analysis, tables):
    found = []
    for process, table in tables.items():
        found += read_events(analysis, Cuts(), [table], process, factors_of(analysis, process, 50.0))
    return found


def test_parts_of_a_process_may_have_integers_of_other_widths(tmp_path):
    narrow, wide = ({"weight": np.ones(2), "n_electrons": np.array([0, n], t)} for n, t in ((1, "i2"), (70_000, "i4")))
    pack(tmp_path / "bank.parquet", [("top", narrow), ("top", wide)], CARD, {"top": ["weight", "n_electrons"]})
    (table,) = Bank.open(tmp_path / "bank.parquet").tables("top")
    assert table["n_electrons"].tolist() == [0, 1, 0, 70_000]


def test_rounding_is_to_the_nearest():
    values = np.random.default_rng(1).normal(0, 100, 1000).astype(np.float32)
    found = rounded(values, BITS)
    assert np.abs(found / values - 1).max() <= 2.0 ** -(BITS + 1)
    assert np.abs(found / values - 1).max() > 2.0 ** -(BITS + 2)
    assert abs((found / values - 1).mean()) < 2.0 ** -(BITS + 3)
    np.testing.assert_array_equal(rounded(found, BITS), found)
    odd = np.array([0.0, np.inf, -np.inf, np.nan, np.finfo(np.float32).max], np.float32)
    np.testing.assert_array_equal(rounded(odd, BITS), odd)


def test_a_study_of_a_bank_is_that_of_its_events(made):
    """Rounding moves a handful of events over edges and thresholds; templates and closures stay."""
    analysis, tables, bank = made
    ours, exact = events_of(analysis, {p: next(bank.tables(p)) for p in tables}), events_of(analysis, tables)
    grid = find_grid(analysis, exact, {"top": 0.0})
    patterns = Patterns.from_analysis(analysis)
    one, other = (templates_at(analysis, e, grid, {})[len(grid) // 2] for e in (ours, exact))
    for (region, process, variation), expected in other.contents.items():
        found = one.contents[region, process, variation]
        # in units of the statistical error of the templates
        error = np.sqrt(expected[1]) + np.sqrt(expected[1].max()) * 0.2
        assert np.abs((found[0] - expected[0]) / error).max() < 0.5, (region, process, variation)
    closures = [closure_of(rates_of(e, grid, "qcd", "top", {}), patterns) for e in (ours, exact)]
    np.testing.assert_allclose(closures[0], closures[1], rtol=0.02)
    # small
    assert bank.file.stat().st_size < 80 * 25_000


def test_processes_may_come_in_any_order(made, tmp_path):
    _, tables, bank = made
    wanted = {p: ["event", "mass_1", "weight"] for p in tables}
    pack(tmp_path / "bank.parquet", [(p, tables[p]) for p in ("wjets", "qcd", "top")], CARD, wanted)
    again = Bank.open(tmp_path / "bank.parquet")
    for process in tables:
        np.testing.assert_array_equal(next(again.tables(process))["mass_1"], next(bank.tables(process))["mass_1"])


def test_weights_are_for_one_inverse_picobarn(made):
    analysis, _, bank = made
    (columns,) = bank.tables("qcd")
    assert columns["weight"].sum() == pytest.approx(200, rel=1e-3)
    assert factors_of(analysis, "qcd", 50.0) == {NOMINAL: 50.0}
    assert list(factors_of(analysis, "top", 50.0)) == [NOMINAL, "jesUp", "jesDown", "isrUp", "isrDown"]


def test_only_columns_that_studies_read_are_kept(made):
    _, _, bank = made
    names = set(pq.read_schema(bank.file).names)
    assert "tau21_1" in names
    assert "weight__isrUp" in names
    assert not names & {"run", "luminosityBlock", "event"}


@pytest.mark.fault(
    "A bank of another analysis, or none", "Refuses it: other cuts, another model, a process or a variation missing."
)
def test_banks_of_something_else_are_refused(made, tmp_path):
    analysis, tables, bank = made
    asked = {"era": CARD["era"], "selection": CARD["selection"], "models": CARD["models"]}
    bank.require_fit(analysis, asked)
    with pytest.raises(OddjetsError, match="the bank is of era 'simulation', and 'small' of '2018'"):
        bank.require_fit(analysis, asked | {"era": "2018"})
    with pytest.raises(OddjetsError, match=r"other cuts than those of 'small'.*unknown"):
        bank.require_fit(analysis, asked | {"selection": CARD["selection"] | {"unknown": 1}})
    with pytest.raises(OddjetsError, match=r"other cuts than those of 'small'.*tau21_max"):
        bank.require_fit(analysis, asked | {"selection": {"tau21_max": 0.5}})
    with pytest.raises(OddjetsError, match="another model's"):
        bank.require_fit(analysis, asked | {"models": {"s": "xyz"}})
    more = study_events.make_analysis(
        processes={p: {"label": p, "data_driven": p == "qcd"} for p in ("qcd", "top", "wjets", "zjets")}
    )
    with pytest.raises(OddjetsError, match="no events of 'zjets'"):
        bank.require_fit(more, asked)
    varied = study_events.make_analysis(systematics=["jes", "pu"])
    with pytest.raises(OddjetsError, match="no variation 'puUp'"):
        bank.require_fit(varied, asked)
    scored = study_events.make_analysis(
        scores={"t": {"signal": ["a"], "background": ["b"]}}, threshold={"score": "t", "efficiency": 0.02}
    )
    with pytest.raises(OddjetsError, match="no score 't'"):
        bank.require_fit(scored, asked)
    other = tmp_path / "other.parquet"
    other.write_bytes(b"nothing")
    with pytest.raises(InputFileError, match="cannot be read as a bank"):
        Bank.open(other)
    bad = tables["qcd"] | {"score_s_1": tables["qcd"]["score_s_1"] + 1}
    with pytest.raises(OddjetsError, match="not between 0 and 1"):
        pack(tmp_path / "bad.parquet", [("qcd", bad)], CARD, {"qcd": list(bad)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"events": {"qcd": 1, "top": 1, "wjets": 1}}, "its card counts other events than it has"),
        ({"selection": None}, "is no bank of this version"),
        ({"models": []}, "is no bank of this version"),
    ],
)
def test_a_card_that_is_not_its_banks_is_refused(made, tmp_path, change, message):
    stored = pq.read_table(made[2].file)
    card = json.loads(stored.schema.metadata[b"oddjets_bank"]) | change
    table = stored.replace_schema_metadata({"oddjets_bank": json.dumps(card)})
    pq.write_table(table, tmp_path / "edited.parquet")
    with pytest.raises(InputFileError, match=message):
        Bank.open(tmp_path / "edited.parquet")


def test_the_formula_of_a_score_decides_too_where_a_bank_says_it(made, tmp_path):
    analysis, tables, _ = made
    formula = {"s": {"signal": [1], "qcd": [0]}}
    asked = {**CARD, "formulas": formula}

    def bank(**said):
        pack(tmp_path / "b.parquet", tables.items(), CARD | said, {p: ["weight"] for p in tables})
        return Bank.open(tmp_path / "b.parquet")

    for fits in ({"formulas": formula}, {}):
        bank(**fits).require_fit(analysis, asked, processes=("qcd",))
    with pytest.raises(OddjetsError, match="is of other classes of the model"):
        bank(formulas={"s": {"signal": [2], "qcd": [0]}}).require_fit(analysis, asked, processes=("qcd",))
    # a key that nobody gave may have come with a new version
    branches = {"signal": ["a"], "background": ["b"], "card": None}
    of_branches = {**CARD, "models": {"s": {"signal": ["a"], "background": ["b"], "of": None}}}
    bank(models={"s": branches}).require_fit(analysis, of_branches, processes=("qcd",))


def test_scores_that_are_columns_may_be_any_numbers_and_are_kept_as_they_are(tmp_path):
    values = np.array([-3.5, 0.0, 0.1, 2e5, np.nan], np.float32)
    table = {"score_t_1": values.astype(np.float64), "score_t_2": values.astype(np.float64), "weight": np.arange(5.0)}
    pack(tmp_path / "b.parquet", [("qcd", table)], CARD | {"plain_scores": ["t"]}, {"qcd": list(table)})
    (found,) = Bank.open(tmp_path / "b.parquet").tables("qcd")
    np.testing.assert_array_equal(found["score_t_1"], values)
