"""Sculpting: nothing is found where nothing is, a sculpted mass is, and a spurious signal is where it was made."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import kstest
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.core.errors import OddjetsError
from oddjets.stats.divergence import distance_correlation, jensen_shannon
from oddjets.study.sculpting import divergence_of, effective, spurious_signal, thresholds_for

EDGES = np.linspace(60, 240, 10)


def test_the_divergence_has_its_known_values():
    assert jensen_shannon(np.array([1.0, 1.0]), np.array([2.0, 2.0])) == 0
    assert jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == pytest.approx(1)


def test_random_selections_show_no_divergence():
    rng = np.random.default_rng(1)
    p = []
    for _ in range(40):
        mass = 60 + rng.exponential(60, 800)
        p.append(divergence_of(mass, rng.random(800) < 0.1, np.ones(800), EDGES)["p_value"])
    assert kstest(p, "uniform").pvalue > 1e-3


def test_a_sculpted_mass_is_found_and_few_events_say_nothing():
    rng = np.random.default_rng(2)
    mass = 60 + rng.exponential(60, 5000)
    passes = rng.random(5000) < np.where(np.abs(mass - 150) < 20, 0.2, 0.02)
    found = divergence_of(mass, passes, np.ones(5000), EDGES)
    assert found["excess"] > 5 * found["spread"]
    assert found["p_value"] == pytest.approx(1 / 1001)
    assert divergence_of(mass, np.arange(5000) < 5, np.ones(5000), EDGES)["bits"] is None


def test_thresholds_keep_their_share_of_the_weight():
    scores, weights = np.arange(1000.0), np.full(1000, 0.5)
    assert thresholds_for(scores, weights, (0.05, 0.01)).tolist() == [950.0, 990.0]
    assert effective(weights) == pytest.approx(1000)


def abcd(bump=0.0):
    centres = 0.5 * (EDGES[1:] + EDGES[:-1])
    d = 1e5 * np.exp(-centres / 50)
    letters = np.stack([0.01 * d, 0.1 * d, 0.1 * d, d])
    letters[0] *= 1 + bump * np.exp(-0.5 * ((centres - 150) / 15) ** 2)
    return letters


def test_where_abcd_holds_there_is_no_spurious_signal():
    letters = abcd()
    found = spurious_signal(letters, letters / 50, EDGES)
    assert abs(found["largest"]["ratio"]) < 1e-9
    assert found["decided"] == all(row["uncertainty"] < 0.2 for row in found["masses"])
    # a sample of k times the experiment knows the ratio to 1/sqrt(k)
    assert found["masses"][4]["uncertainty"] == pytest.approx(1 / np.sqrt(50), rel=0.05)


def test_a_bump_in_a_is_a_spurious_signal_at_its_mass():
    found = spurious_signal(abcd(0.5), abcd(0.5) / 50, EDGES)
    assert found["largest"]["mass"] == pytest.approx(150, abs=20)
    assert found["largest"]["ratio"] > 1


def test_bins_without_an_estimate_are_left_out_and_counted():
    letters = abcd()
    letters[1, 3] = 0
    found = spurious_signal(letters, letters / 50, EDGES)
    assert found["bins_left_out"] == 1
    assert abs(found["largest"]["ratio"]) < 1e-9


def slow_distance_correlation(x, y):
    """By the matrices of distances, as in Szekely and Rizzo."""
    n = len(x)

    def centred(v):
        a = np.abs(v[:, None] - v[None, :])
        rows = a.sum(axis=1, keepdims=True) / (n - 2)
        u = a - rows - rows.T + a.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(u, 0.0)
        return u

    a, b = centred(x), centred(y)
    return (a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum())


def test_the_distance_correlation_is_that_of_the_matrices():
    rng = np.random.default_rng(3)
    x = rng.normal(size=150)
    for y in (0.3 * x + rng.normal(size=150), x**2, np.round(rng.normal(size=150))):
        assert distance_correlation(x, y).squared == pytest.approx(slow_distance_correlation(x, y), abs=1e-12)


def test_its_test_is_right_without_correlation_and_sees_one_that_is_not_linear():
    rng = np.random.default_rng(4)
    p = np.array([distance_correlation(*rng.normal(size=(2, 60))).p_value for _ in range(400)])
    assert (p < 0.05).mean() < 0.08
    x = rng.normal(size=300)
    assert distance_correlation(x, x**2).p_value < 1e-6
    with pytest.raises(ValueError, match="needs 10 events"):
        distance_correlation(x[:5], x[:5])


def test_the_command_studies_a_bank(tmp_path):
    found = CliRunner().invoke(
        app, ["study", "sculpting", "demo.yaml", "--bank", "bank.parquet", "--out", str(tmp_path)]
    )
    assert found.exit_code == 0, found.output
    content = json.loads((tmp_path / "study" / "sculpting.json").read_text(encoding="utf-8"))
    assert set(content["regions"]) == {"SR", "VR1"}
    rows = content["regions"]["SR"]["efficiencies"]
    assert [row["efficiency"] for row in rows] == [0.05, 0.02, 0.01, 0.005, 0.002]
    assert [row["threshold"] for row in rows] == sorted(row["threshold"] for row in rows)
    for row in rows:
        # the bank is 17 times an experiment
        uncertainty = row["spurious_simulation"]["masses"][3]["uncertainty"]
        assert uncertainty == pytest.approx(1 / np.sqrt(17), rel=0.15)
        # a product of cuts on single jets closes for independent jets
        assert abs(row["spurious_mixed"]["largest"]["ratio"]) < 3 * row["spurious_mixed"]["largest"]["uncertainty"]
        assert row["divergence"]["bits"] < row["divergence"]["by_chance"] + 4 * row["divergence"]["spread"]
    assert content["regions"]["SR"]["correlation"]["n"] == 5000


def test_the_command_needs_events(tmp_path):
    found = CliRunner().invoke(app, ["study", "sculpting", "demo.yaml", "--out", str(tmp_path / "none")])
    assert isinstance(found.exception, OddjetsError)
    assert "there are no event tables" in str(found.exception)


@pytest.mark.parametrize("study", ["sculpting", "injection", "null"])
def test_the_command_refuses_events_of_another_analysis(tmp_path, study):
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "process.json").write_text('{"key": "another"}', encoding="utf-8")
    found = CliRunner().invoke(app, ["study", study, "demo.yaml", "--out", str(tmp_path)])
    assert isinstance(found.exception, OddjetsError)
    assert "are not those of 'demo' as it is now" in str(found.exception)
