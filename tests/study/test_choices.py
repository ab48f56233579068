"""Several choices on the same experiments: identical ones count once, independent ones as often as there are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import study_events
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.config.choices import load_choices
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.resources import find
from oddjets.stats.closure_uncertainty import ClosureUncertainty
from oddjets.study.choices import ChoiceEvents, absent_signals, describe_choices, say_choices, share, source_warnings
from oddjets.study.global_significance import copula_tail, effective_trials, global_p, normal_scores
from oddjets.study.null import NullPlan
from oddjets.study.shared_events import SharedEvents, counted_alike, without_negative

RUNNER = CliRunner()
POI = {"name": "mu", "process": "top", "bounds": [0, 10]}


def sidak(p, number):
    return 1 - (1 - p) ** number


# ---- ranks and copula --------------------------------------------------------------------------------------------------------


def test_the_global_p_of_ten_identical_choices_is_the_local_one():
    z = np.repeat(np.random.default_rng(1).normal(size=(5000, 1)), 10, axis=1)
    found = global_p(z, np.full(10, 2.0))
    assert found["p_value"] == pytest.approx((1 + (z[:, 0] >= 2).sum()) / 5001, rel=0.02)
    assert found["low"] < norm.sf(2.0) * 1.1
    for row in effective_trials(z, [1.0, 2.0, 3.0]):
        assert row["trials"] == pytest.approx(1, rel=0.01)


def test_the_global_p_of_ten_independent_choices_is_sidaks():
    z = np.random.default_rng(2).normal(size=(20_000, 10))
    observed = np.array([2.5, *np.zeros(9)])
    found = global_p(z, observed)
    expected = sidak(found["local_p"][0], 10)
    assert found["low"] - 0.003 < expected < found["high"] + 0.003
    for row in effective_trials(z, [1.0, 2.0, 3.0]):
        assert row["trials_low"] - 0.6 < 10 < row["trials_high"] + 0.6


def test_trials_and_p_know_nothing_of_how_large_z_is():
    """A choice whose asymptotic z is twice as large as it should be counts as much as the others."""
    z = np.random.default_rng(3).normal(size=(4000, 3))
    odd = z * [1.0, 2.0, 0.5] + [0.0, 1.0, -1.0]
    one, other = effective_trials(z, [1.0, 2.0]), effective_trials(odd, [1.0, 2.0])
    assert one == other
    np.testing.assert_allclose(normal_scores(z), normal_scores(odd))


def test_an_observed_z_beyond_all_experiments_gives_a_bound():
    z = np.random.default_rng(4).normal(size=(500, 2))
    result = describe_choices({"a": z[:, 0], "b": z[:, 1]}, {"a": 6.0, "b": 0.0})
    found = result["global"]
    assert found["saturated"]
    assert found["local_z_extrapolated"]
    assert found["p_value"] == pytest.approx(3 / 501)
    assert found["copula"]["p"] < 1e-6
    lines: list[str] = []
    say_choices(result, lines.append)
    assert "p below 0.00599 by counting" in lines[-1]


def test_an_observed_z_beyond_all_experiments_is_no_smaller_than_their_largest():
    """Stretched to the width of an even distribution, a z beyond all of it would be one of 1.8."""
    z = np.random.default_rng(4).uniform(-3, 3, size=(500, 2))
    found = describe_choices({"a": z[:, 0], "b": z[:, 1]}, {"a": 3.1, "b": 2.5})["global"]
    assert found["choice"] == "a"
    assert found["local_z"] == pytest.approx(norm.isf(1 / 501))


@pytest.mark.parametrize(("mean", "width", "local"), [(-0.7, 0.9, 4.44), (0.0, 1.2, 4.44 / 1.2), (1.0, 1.0, 3.44)])
def test_an_extrapolation_is_no_more_significant_than_the_formula(mean, width, local):
    """A z of 4.44 beyond experiments of a mean below 0 or a small width is still one of 4.44; others make it smaller."""
    z = np.random.default_rng(4).normal(size=(2000, 2))
    z = mean + width * (z - z.mean(axis=0)) / z.std(axis=0)
    result = describe_choices({"a": z[:, 0], "b": z[:, 1]}, {"a": 4.44, "b": 0.0})
    found = result["global"]
    assert found["local_z"] == pytest.approx(local)
    assert found["copula"]["z"] < 4.44
    lines: list[str] = []
    say_choices(result, lines.append)
    assert "by the copula, an extrapolation" in lines[-1]


def test_the_copula_is_a_normal_integral():
    correlation = np.array([[1, 0.6, 0.2], [0.6, 1, 0.4], [0.2, 0.4, 1]])
    for z in (0.5, 2.0, 3.0):
        inside = multivariate_normal(cov=correlation, seed=1, abseps=1e-9, releps=1e-9).cdf(np.full(3, z))
        found = copula_tail(correlation, z)
        assert found.p == pytest.approx(1 - inside, rel=5e-3)
        assert abs(found.p - (1 - inside)) < 5 * found.error + 1e-6


@given(st.integers(1, 12), st.floats(0.5, 8.0))
@settings(max_examples=20, deadline=None)
def test_the_copula_of_independent_and_of_identical_choices(number, z):
    independent = -np.expm1(number * norm.logcdf(z))
    assert copula_tail(np.eye(number), z, draws=20_000).p == pytest.approx(independent, rel=0.02)
    assert copula_tail(np.ones((number, number)), z, draws=5000).p == pytest.approx(norm.sf(z), rel=1e-3)


def test_correlated_choices_are_fewer_and_more_of_them_at_larger_z():
    rng = np.random.default_rng(5)
    z = np.sqrt(0.5) * rng.normal(size=(20_000, 1)) + np.sqrt(0.5) * rng.normal(size=(20_000, 6))
    trials = [row["trials"] for row in effective_trials(z, [1.0, 2.0, 2.5])]
    assert 1 < trials[0] < trials[1] < trials[2] < 6


# ---- events that are shared --------------------------------------------------------------------------------------------------


def test_shared_counts_are_poisson_and_the_same_for_all_choices():
    rates, qcd = np.array([0.5, 2.0, 0.1]), np.array([True, False, True])
    one = SharedEvents(rates, qcd, np.array([0, 1, 0]))
    other = SharedEvents(rates, qcd, np.array([2, 0, -1]))
    of_qcd, every = one.counts(4000, 2, np.random.default_rng(6))
    _, again = other.counts(4000, 3, np.random.default_rng(6))
    np.testing.assert_array_equal(every[:, 1], again[:, 0])
    assert every.mean(axis=0) == pytest.approx([0.6, 2.0], rel=0.05)
    assert every.var(axis=0) == pytest.approx([0.6, 2.0], rel=0.1)
    assert of_qcd[:, 1].sum() == 0
    np.testing.assert_array_equal(of_qcd[:, 0], every[:, 0])


def test_blocks_of_draws_change_nothing(monkeypatch):
    events = SharedEvents(np.full(50, 0.2), np.ones(50, bool), np.arange(50))
    whole = events.counts(64, 50, np.random.default_rng(7))
    monkeypatch.setattr("oddjets.study.shared_events.AT_ONCE", 37)
    for one, other in zip(whole, events.counts(64, 50, np.random.default_rng(7)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_events_that_count_alike_for_all_choices_are_one_group():
    rng = np.random.default_rng(8)
    qcd, places = rng.random(500) < 0.5, [rng.integers(-1, 3, 500) for _ in range(3)]
    firsts, group = counted_alike(qcd, places)
    rows = np.stack([qcd.astype(int), *places], axis=1)
    assert len(firsts) == len(np.unique(rows, axis=0))
    np.testing.assert_array_equal(rows[firsts][group], rows)
    grouped = SharedEvents(np.bincount(group, np.full(500, 0.3)), qcd[firsts], places[0][firsts], firsts)
    _, counts = grouped.counted_in(places[2]).counts(400, 3, np.random.default_rng(9))
    expected = [0.3 * np.sum(places[2] == k) for k in range(3)]
    assert counts.mean(axis=0) == pytest.approx(expected, rel=0.05)


def test_negative_weights_are_taken_from_events_in_the_same_place():
    rates, qcd = np.array([1.0, 1.0, -0.5, -0.2]), np.zeros(4, bool)
    found, negative = without_negative(rates, qcd, [np.array([0, 0, 0, 1])])
    assert found.tolist() == pytest.approx([0.75, 0.75, 0.0, 0.0])
    assert negative == pytest.approx(0.2)
    with pytest.raises(OddjetsError, match="positive weight"):
        without_negative(-rates[:1], qcd[:1], [np.zeros(1, int)])


def choice_of(regions=("SR",), efficiency=0.02, process="top", qcd=20_000):
    analysis = study_events.make_analysis(
        fit={"observable": "mass", "regions": list(regions), "poi": POI | {"process": process}},
        threshold={"score": "s", "efficiency": efficiency},
    )
    events = study_events.make_events(analysis, qcd=qcd, scale=0.1)
    return ChoiceEvents(analysis, events, events)


def z_of(choices, experiments=96):
    made, _ = share(choices, NullPlan(experiments=experiments))
    return {name: one.chunk(0, experiments).z for name, one in made.items()}


def test_identical_choices_have_identical_z_and_others_are_correlated():
    same = choice_of()
    z = z_of({"one": same, "again": same, "tighter": choice_of(efficiency=0.01)})
    np.testing.assert_array_equal(z["one"], z["again"])
    rho = np.corrcoef(z["one"], z["tighter"])[0, 1]
    assert 0.3 < rho < 0.95


def test_a_closure_uncertainty_is_in_the_fits_of_the_experiments():
    plain = choice_of()
    content = plain.analysis.model_dump(exclude_unset=True)
    content["fit"] = {**content["fit"], "closure_uncertainty": True}
    asked = ChoiceEvents(
        type(plain.analysis).model_validate(content),
        plain.templates,
        plain.truth,
        {"SR": ClosureUncertainty(0.5, 1.0, 0.5, "a test", fallback=False)},
    )
    made, _ = share({"without": plain, "with": asked}, NullPlan())
    without, closed = (one.procedure(one.central) for one in made.values())
    assert len(closed.names) == len(without.names) + 1
    assert closed.sigma > 1.05 * without.sigma


def test_pairs_that_do_not_close_are_a_warning():
    """Of 220 simulated events the demo's pairs have c = 0.88 in SR, and z a mean of -0.64."""
    (line,) = source_warnings({"a": {"SR": 0.876, "VR1": 0.991}, "b": {"SR": 0.99, "VR1": None}})
    assert "of 'a' are drawn from have c = 0.88 in SR, so" in line


def test_choices_with_other_events_are_refused():
    with pytest.raises(OddjetsError, match="do not share their events"):
        share({"one": choice_of(), "other": choice_of(qcd=19_000)}, NullPlan())


def test_a_choice_without_a_fit_is_named():
    analysis = replace_fit(choice_of().analysis)
    with pytest.raises(OddjetsError, match="choice 'none': a study needs a 'fit'"):
        absent_signals({"none": analysis})


def replace_fit(analysis):
    return analysis.model_copy(update={"fit": None})


def test_too_few_complete_experiments_name_the_choice_that_fails():
    z = np.random.default_rng(8).normal(size=50)
    bad = np.where(np.arange(50) < 45, np.nan, z)
    with pytest.raises(OddjetsError, match="most failed in 'bad'"):
        describe_choices({"good": z, "bad": bad})


# ---- the list and the command ------------------------------------------------------------------------------------------------


def write(folder: Path, text: str) -> Path:
    file = folder / "list.yaml"
    file.write_text(text, encoding="utf-8")
    return file


GRID = """\
name: few
of: demo.yaml
grid:
  efficiencies: [0.05, 0.02]
  regions: {both: [SR, VR1], one: [SR]}
"""


def test_a_grid_has_all_combinations(tmp_path):
    found, of, analyses = load_choices(write(tmp_path, GRID))
    assert (found.name, of.name) == ("few", "demo")
    assert list(analyses) == ["5 %, both", "5 %, one", "2 %, both", "2 %, one"]
    assert analyses["2 %, one"].threshold.efficiency == 0.02
    assert analyses["2 %, one"].fit.regions == ("SR",)


def test_a_list_of_choices_is_no_analysis(tmp_path):
    with pytest.raises(ConfigError, match="is a list of choices and no analysis"):
        load_analysis(write(tmp_path, GRID))


def test_the_papers_choices_are_five():
    _, of, analyses = load_choices(find("paper_choices.yaml", "processors"))
    assert of.name == "paper_hh"
    assert [a.fit.observable for a in analyses.values()] == 4 * ["leading_mass"] + ["dijet_mass"]
    assert [a.threshold.score for a in analyses.values()].count("xbb") == 1
    assert absent_signals(analyses) == {"hh": "SR + VR1"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: x\nof: demo.yaml\n", "there are no choices"),
        ("name: x\nof: demo.yaml\ngrid: {efficiencies: [0.02]}\n", "there is one choice"),
        ("name: x\nof: demo.yaml\ngrid: {efficiencies: [2, 1]}\n", "above 0 and below 1"),
        ("name: x\nof: demo.yaml\ngrid: {scores: [a, a]}\n", "scores: something is there twice"),
        ("name: x\nof: demo.yaml\ngrid: {efficiencies: [0.05, 0.0500000001, 0.02]}\n", "have the same name"),
        ("name: x\nof: demo.yaml\ngrid: {regions: {none: [], one: [SR]}}\n", "the set 'none' is empty"),
        ("extends: demo.yaml\n", "this is an analysis"),
        ("- 1\n", "is a mapping"),
        ("name: x\nof: demo.yaml\nchoices: {a: {analysis: nowhere.yaml}, b: {}}\n", "choices.a: no analysis"),
        ("name: x\nof: demo.yaml\ngird: {}\n", "gird"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path, text, said):
    with pytest.raises((ConfigError, InputFileError), match=said):
        load_choices(write(tmp_path, text))


def test_the_command_studies_choices_of_a_bank(tmp_path):
    file, out = write(tmp_path, GRID), tmp_path / "out"
    arguments = ["study", "choices", str(file), "--bank", "bank.parquet", "--experiments", "24", "--workers", "1"]
    found = RUNNER.invoke(app, [*arguments, "--events", str(tmp_path / "none"), "--out", str(out)])
    assert found.exit_code == 0, found.output
    assert "warning: 24 experiments say little" in " ".join(found.output.split())
    content = json.loads((out / "study" / "choices.json").read_text(encoding="utf-8"))
    assert content["complete"] <= content["experiments"] == 24
    assert content["choices"]["5 %, one"]["regions"] == ["SR"]
    assert "global" not in content
    matrix = np.array(content["correlation"])
    np.testing.assert_allclose(matrix, matrix.T)
    assert matrix[0, 1] > 0.3  # the same regions, and another with them


def test_the_command_refuses_what_it_cannot_do(tmp_path):
    file = write(tmp_path, GRID)
    for changes, said in (
        ("{fit: {closure_uncertainty: by-bin}}", "'other': fit.closure_uncertainty: by-bin needs a study of sculpting"),
        ("{fit: {blind: true}}", "'other': the data in A are blinded (fit.blind)"),
        ("{selection: {filters: []}}", "bank"),
    ):
        odd = tmp_path / "odd.yaml"
        odd.write_text(
            f"name: odd\nof: demo.yaml\nchoices: {{one: {{}}, other: {{changes: {changes}}}}}\n", encoding="utf-8"
        )
        found = RUNNER.invoke(
            app, ["study", "choices", str(odd), "--bank", "bank.parquet", "--events", str(tmp_path / "none")]
        )
        assert isinstance(found.exception, OddjetsError), found.output
        assert said in str(found.exception)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(GRID.replace("one: [SR]", "one: [SR9]"), encoding="utf-8")
    found = RUNNER.invoke(app, ["study", "choices", str(wrong), "--bank", "bank.parquet"])
    assert isinstance(found.exception, OddjetsError)
    assert "choice '5 %, one'" in str(found.exception)
    assert "SR9" in str(found.exception)
    for more, said in (
        (["--source", "toys"], "is of one analysis alone"),
        (["--source", "mxed"], "no source 'mxed'"),
        (["--events", str(tmp_path / "none")], "there are no event tables"),
        (["--luminosity", "-3"], "--luminosity: must be above 0"),
        (["--out", str(file)], "is a file, and results need a folder"),
    ):
        found = RUNNER.invoke(app, ["study", "choices", str(file), *more])
        assert isinstance(found.exception, OddjetsError), found.output
        assert said in str(found.exception)
