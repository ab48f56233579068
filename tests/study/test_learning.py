"""Scores that are learnt anew in every experiment: what is drawn, what is said of it, and one study from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import study_events
from scipy.stats import norm
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.corrections.systematics import NOMINAL
from oddjets.study.events import EventArrays, read_events
from oddjets.study.learning import LearningExperiments, LearningPlan, _closure, run_learning
from oddjets.study.learning_events import ORIGIN, JetCollector, LearningSource
from oddjets.study.learning_summary import break_even, describe_learning, learning_lines, ratio_of_sums, uniformity

RUNNER = CliRunner()
#: columns that know the signal, beside one that does not
STEMS = ("odd", "noise")


def made_source(rows: int = 6000, scale: float = 0.5) -> tuple[Any, LearningSource]:
    """A small search, and what its experiments are drawn from; jets of the signal are odd in a column that the seed lacks."""
    poi = {"name": "mu", "process": "top", "bounds": [0, 20]}
    analysis = study_events.make_analysis(
        fit={"observable": "mass", "regions": ["SR"], "poi": poi}, threshold={"score": "s", "efficiency": 0.05}
    )
    placed = analysis.model_copy(
        update={"threshold": analysis.threshold.model_copy(update={"score": ORIGIN}), "systematics": ()}
    )
    collector = JetCollector("s", STEMS)
    events: list[EventArrays] = []
    for i, (process, share, number) in enumerate((("qcd", 1.0, rows), ("top", 0.02, 3000), ("wjets", 0.01, 1000))):
        table = study_events.columns(process, number, share * rows * scale / number, 10 + i)
        rng = np.random.default_rng(20 + i)
        for j in (1, 2):
            table |= {
                f"odd_{j}": rng.normal(2.0 * (process == "top"), 1, number),
                f"noise_{j}": rng.normal(size=number),
            }
        factors = {NOMINAL: 1.0}
        events += read_events(placed, study_events.Cuts(), [table | collector.add(table)], process, factors)
    return analysis, LearningSource.of(collector.pool(), events, events, "qcd", "top", {})


@pytest.fixture(scope="module")
def experiments() -> LearningExperiments:
    analysis, source = made_source()
    analysis = analysis.model_copy(update={"systematics": ()})
    return LearningExperiments(analysis, source, LearningPlan(folds=3), "mu")


def test_exchanging_jets_inside_folds_has_the_mean_that_is_counted() -> None:
    """Against permutations of the subleading jets, one by one."""
    rng = np.random.default_rng(1)
    folds = rng.integers(0, 3, 400).astype(np.int8)
    passes = np.stack([rng.random(400) < 0.2, rng.random(400) < 0.3 + 0.1 * folds], axis=1)
    found = _closure(passes, folds)
    a = []
    for _ in range(4000):
        other = passes[:, 1].copy()
        for fold in range(3):
            rows = np.flatnonzero(folds == fold)
            other[rows] = rng.permutation(other[rows])
        a.append((passes[:, 0] & other).sum())
    assert found["permuted"] == pytest.approx(np.mean(a), abs=4 * np.std(a) / np.sqrt(4000))
    assert found["in_a"] == passes.all(axis=1).sum()
    b, c, d = (~passes[:, 0] & passes[:, 1]).sum(), (passes[:, 0] & ~passes[:, 1]).sum(), (~passes).all(axis=1).sum()
    assert found["predicted"] == pytest.approx(b * c / (d + 1))


def test_an_experiment_has_the_expected_events_and_the_others_keep_their_weight() -> None:
    _, source = made_source()
    numbers = []
    for number in range(200):
        rngs = [np.random.default_rng((number, part)) for part in range(2)]
        drawn = source.draw(2.0, *rngs)
        numbers.append(np.bincount(drawn.process, minlength=3))
    # 3000 of QCD, 2 x 60 of the signal, 30 of the other
    expected = {"qcd": 3000, "top": 120, "wjets": 30}
    for place, process in enumerate(source.processes):
        mean = np.mean([n[place] for n in numbers])
        assert mean == pytest.approx(expected[process], abs=4 * np.sqrt(expected[process] / 200))
    templates, signal = source.held_out(drawn)
    used = set(drawn.jets.ravel().tolist())
    assert not used & set(signal.scores.ravel().astype(int).tolist())
    assert len(signal) < 3000
    for before, after in zip(source.templates, templates, strict=True):
        np.testing.assert_allclose(after.weights.sum(axis=0), before.weights.sum(axis=0))
    assert source.strength_of(0.02) == pytest.approx(0.02 * 3030 / 60)
    assert source.drawn_share(1.0) == pytest.approx(60 / 3000)


def test_a_ratio_of_sums_has_the_error_of_its_spread() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(400):
        predicted = rng.normal(60, 6, 50)
        found.append(ratio_of_sums(rng.poisson(predicted).astype(float), predicted))
    values, errors = (np.array([one[key] for one in found]) for key in ("value", "error"))
    assert values.mean() == pytest.approx(1, abs=4 * values.std() / 20)
    assert errors.mean() == pytest.approx(values.std(), rel=0.15)
    assert ratio_of_sums(np.zeros(3), np.zeros(3)) == {"value": None, "error": None}


def test_a_break_even_is_where_the_line_crosses_one() -> None:
    rng = np.random.default_rng(3)
    gains = [mean + rng.normal(0, 0.05, 100) for mean in (0.8, 0.9, 1.1)]
    found = break_even([0.0, 1.0, 2.0], gains)
    assert found["strength"] == pytest.approx(1.5, abs=0.1)
    assert found["low"] <= found["strength"] <= found["high"]
    assert break_even([0.0, 1.0], [np.full(9, 0.5), np.full(9, 0.6)])["strength"] is None
    assert break_even([0.0, 1.0], [np.full(9, 1.5), np.full(9, 1.6)])["strength"] == 0.0


def test_normal_z_is_uniform_and_a_shifted_one_is_not() -> None:
    z = norm.ppf((np.arange(200) + 0.5) / 200)
    assert uniformity(z)["ks_p"] > 0.99
    assert uniformity(z + 1)["ks_p"] < 1e-6
    assert uniformity(np.full(3, np.nan))["ks_p"] is None


def test_a_study_goes_on_where_it_was_stopped_and_sees_the_signal(
    experiments: LearningExperiments, tmp_path: Path
) -> None:
    said: list[str] = []
    found = run_learning(experiments, [0.0, 4.0], 4, tmp_path, say=said.append)
    assert said == []
    (folder,) = tmp_path.iterdir()
    files = sorted(folder.glob("*.npz"))
    files[0].unlink()
    again = run_learning(experiments, [0.0, 4.0], 4, tmp_path, say=said.append)
    assert said == ["6 of 8 experiments are recorded already"]
    for strength, values in found.items():
        for name, value in values.items():
            np.testing.assert_array_equal(value, again[strength][name], err_msg=name)
    zero, four = found[0.0], found[4.0]
    # the same background, and 240 events of the signal in 3000
    np.testing.assert_array_equal(zero["events"], four["events"] - four["injected"])
    assert four["injected"].mean() == pytest.approx(240, abs=4 * np.sqrt(240 / 4))
    assert (four["weight"] == 1).all()
    np.testing.assert_allclose(zero["weight"], np.clip(zero["n_sigma"] / 2, 0, 1))
    # of the weight 1 it is the product of equal powers, to the last bit
    np.testing.assert_array_equal(four["sic_equal"], four["sic_product"])
    result = describe_learning(found)
    assert result["strengths"][1]["gain"]["product"]["mean"] > 1.1
    assert result["strengths"][1]["scores"]["product"]["fit"]["failed"] == 0
    assert np.nanmean(four["z_product"]) > np.nanmean(zero["z_product"]) + 3
    assert set(result["uniformity"]) == {"seed", "product"}
    assert result["strengths"][1]["weight"]["mean"] == 1
    # jets are independent here: nothing couples them
    for name in ("learnt", "product"):
        assert zero[f"in_a_{name}"].sum() / zero[f"permuted_{name}"].sum() == pytest.approx(1, abs=0.25)
    json.dumps(result, allow_nan=False)
    about = {"experiments": 4, "source": "simulation", "trained_on": list(STEMS), "signal": "top", "hold_out": {}}
    lines = learning_lines(about | result)
    assert any("product over seed minus 1" in line for line in lines)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sideband", "110-60"], "--sideband 110-60: give two numbers in GeV with a colon between them"),
        (["--window", "140:200"], "--window and --sideband: labels by mass need both"),
        (["--high", "0.5"], "quantiles of a score have to be 0 < low <= high < 1"),
        (["--share", "0"], "--share: a part of the events is between 0 and 1"),
        (["--strength", "-1"], "--strength: a strength to inject is a number of at least 0"),
        ([], "the simulated events have no column 'share_QCD_b_omnilearned' of the jets"),
        (["--column", "tau3 / tau2"], "the simulated events have no column 'tau2' of the jets"),
        (["--column", "mass", "--column", "mass"], "--column: one is given twice (mass, mass)"),
    ],
)
def test_what_cannot_be_studied_is_said(words: list[str], said: str, tmp_path: Path) -> None:
    """The shipped bank has no columns that a score is learnt from."""
    arguments = ["study", "learning", "demo.yaml", "--bank", "bank.parquet", "--out", str(tmp_path), *words]
    found = RUNNER.invoke(app, arguments)
    assert found.exit_code != 0
    text = " ".join(str(found.exception or found.output).split())
    assert said in text
