"""Experiments with templates of their own, and p values by toys of each experiment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import study_events
from scipy.stats import norm

from oddjets.corrections.systematics import NOMINAL
from oddjets.study import null
from oddjets.study.bootstrap import redrawn
from oddjets.study.events import Patterns
from oddjets.study.experiment_chunk import ExperimentChunk
from oddjets.study.experiments import run_chunks
from oddjets.study.summary import describe, read_chunks, toy_lines
from oddjets.study.thresholds import find_grid, letter_sums

POI = {"name": "mu", "process": "top", "bounds": [0, 10]}


@pytest.fixture(scope="module")
def small():
    analysis = study_events.make_analysis(
        fit={"observable": "mass", "regions": ["SR"], "poi": POI}, threshold={"score": "s", "efficiency": 0.02}
    )
    return analysis, study_events.make_events(analysis, qcd=60_000, scale=0.1)


def study_of(small, **settings):
    analysis, events = small
    return null.of_events(analysis, "simulation", null.NullPlan(limit=False, **settings), events, events)


def test_templates_fluctuate_as_their_squared_weights_say_and_variations_with_them(small):
    analysis, events = small
    top = [e for e in events if e.process == "top"]
    grid, patterns = find_grid(analysis, events, {"top": 0.0}), Patterns.from_analysis(analysis)
    central = len(grid) // 2
    rng = np.random.default_rng(1)

    def contents(parts):
        found = {}
        for part in parts:
            found |= {name: sums[central, :, 0] for name, sums in letter_sums(part, patterns, grid).items()}
        return found

    before = contents(top)
    drawn = [contents(redrawn(top, rng)) for _ in range(300)]
    value, square = before[NOMINAL]
    many = square > 20 * square.max() / 1000
    values = np.array([d[NOMINAL][0] for d in drawn])
    pulls = (values[:, many].mean(axis=0) - value[many]) / np.sqrt(square[many] / len(drawn))
    assert np.abs(pulls).max() < 4
    np.testing.assert_allclose(values[:, many].var(axis=0), square[many], rtol=0.4)
    # the squared weights are those of another sample, and not twice as large
    squares = np.array([d[NOMINAL][1] for d in drawn])
    np.testing.assert_allclose(squares[:, many].mean(axis=0), square[many], rtol=0.2)
    # a variation of weights moves with the nominal template exactly, one of jets nearly: they are of the same events
    for d in drawn[:5]:
        np.testing.assert_allclose(d["isrUp"][0], 1.05 * d[NOMINAL][0], rtol=1e-9)
        own, shared = d["jesUp"][0].sum() / before["jesUp"][0].sum(), d[NOMINAL][0].sum() / value.sum()
        assert own == pytest.approx(shared, rel=1e-3)


def test_rows_are_the_same_event_in_all_variations(small):
    _, events = small
    of_top = {e.variations: e for e in events if e.process == "top"}
    assert len(of_top) == 3
    for part in of_top.values():
        np.testing.assert_array_equal(part.rows, np.arange(4000))


@pytest.mark.slow
def test_experiments_with_templates_of_their_own_are_the_same_for_any_number_of_workers(small, tmp_path, monkeypatch):
    study = study_of(small, bootstrap=True)
    experiments = study.truths["nominal"]
    assert study.notes["templates"] == "bootstrap"
    plain = replace(experiments, bootstrap=None)
    assert experiments.key != plain.key
    # two chunks, so that there are two workers
    monkeypatch.setattr("oddjets.study.experiments.CHUNK", 4)
    one = run_chunks(experiments, 8, tmp_path / "one")
    two = run_chunks(experiments, 8, tmp_path / "two", workers=2)
    assert len(one) == len(two) == 2
    for of_one, of_two in zip(one, two, strict=True):
        second = ExperimentChunk.load(of_two)
        for name, value in vars(ExperimentChunk.load(of_one)).items():
            np.testing.assert_array_equal(value, getattr(second, name))
    # the same data, another fit
    found, other = read_chunks(one), read_chunks(run_chunks(plain, 8, tmp_path / "plain"))
    np.testing.assert_array_equal(found["in_a"], other["in_a"])
    assert np.isfinite(found["z"]).all()
    assert (found["z"] != other["z"]).all()
    assert np.abs(found["z"] - other["z"]).max() < 0.5


def test_templates_that_no_fit_can_be_made_with_are_failures(small):
    """A signal of two events, which are in none of some experiments' templates."""
    analysis, events = small
    few = [replace_rows(e, np.flatnonzero(e.rows < 2)) if e.process == "top" else e for e in events]
    experiments = null.of_events(
        analysis, "simulation", null.NullPlan(limit=False, bootstrap=True), few, events
    ).truths["nominal"]
    found = experiments.chunk(0, 24)
    assert 0 < np.isnan(found.z).sum() < 24


def replace_rows(events, rows):
    changes = {name: getattr(events, name)[rows] for name in ("codes", "weights", "rows")}
    return replace(events, **changes, **{name: getattr(events, name)[:, rows] for name in ("classes", "scores")})


def test_p_by_toys_is_that_of_the_normal_distribution_where_events_are_many(tmp_path):
    analysis = study_events.make_analysis(
        fit={"observable": "mass", "regions": ["SR"], "poi": POI}, threshold={"score": "s", "efficiency": 0.02}
    )
    events = study_events.make_events(analysis, qcd=60_000, scale=2.0)
    study = null.of_events(analysis, "simulation", null.NullPlan(limit=False, toys=150, experiments=12), events, events)
    found = read_chunks(run_chunks(study.truths["nominal"], 12, tmp_path))
    p = norm.sf(found["z"])
    error = np.sqrt(p * (1 - p) / 150)
    assert np.abs((found["toy_p"] - p) / (error + 0.01)).max() < 4
    # what else is tried, and importance sampling, have no toys
    assert all(e.questions.toys == 0 for e in list(study.truths.values())[1:])


def test_toys_of_the_model_have_toys_of_their_own(small):
    study = study_of(small)
    nominal = study.truths["nominal"]
    plan = null.NullPlan(limit=False, toys=20)
    toys = null.of_model(study.analysis, plan, nominal.workspaces[nominal.central], {}, 0.5).truths["nominal"]
    found = toys.chunk(0, 3)
    steps = found.toy_p * 21
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    assert ((steps >= 1) & (steps <= 21)).all()


def described(toy_p, toys):
    n = len(toy_p)
    found = {name: np.zeros(n) for name in ("pull", "gof", "limit", "above", "total")}
    found |= {"z": np.zeros(n), "strength": np.linspace(-1, 1, n), "toy_p": toy_p, "nuisances": np.zeros((3, 0))}
    return describe(found | {"in_a": np.zeros((n, 0)), "predicted": np.zeros((n, 0))}, [], [], 0.0, toys)


def test_alarms_by_toys_are_compared_with_the_steps_that_toys_can_make():
    """With 100 toys p is a multiple of 1/101: 2.3 % of the experiments are below 2/101 + a bit, and 3 sigma is out of reach."""
    result = described(np.tile(np.arange(1, 102) / 101, 20), 100)
    found = result["toys"]
    assert found["kolmogorov_smirnov"]["p_value"] > 0.5
    one, two, three = found["false_alarms"]
    assert one["expected"] == pytest.approx(16 / 101)
    assert one["rate"] == pytest.approx(one["expected"])
    assert two["expected"] == two["rate"] == pytest.approx(2 / 101)
    assert three["rate"] is None
    lines = toy_lines(result)
    assert lines[0].startswith("p by 100 toys of each experiment: Kolmogorov-Smirnov p = 1")
    assert "2 sigma: 0.0198, expected 0.0198; ratio 1.00" in lines[2]
    assert lines[3].endswith("too few toys, 740 are needed")
    # small p values that are too many are found
    assert described(np.tile(np.arange(1, 52) / 101, 20), 100)["toys"]["kolmogorov_smirnov"]["p_value"] < 1e-6
    assert described(np.linspace(0.1, 0.9, 20), 0)["toys"] is None
    assert toy_lines({"toys": None}) == []
