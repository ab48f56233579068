"""Injected signals: a planted strength is recovered, and other searches see the same events."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import study_events
from scipy.stats import norm
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.core.errors import OddjetsError
from oddjets.study.choices import ChoiceEvents, share
from oddjets.study.injection import (
    bump_significance,
    describe_strength,
    injection_lines,
    signal_window,
    strength_for,
    strengths_about,
)
from oddjets.study.null import NullPlan
from oddjets.study.supervised import CrossFitted, feature_stems, fold_of
from oddjets.workflow.injection import InjectionOptions, _strengths

RUNNER = CliRunner()
POI = {"name": "mu", "process": "top", "bounds": [0, 10]}


def test_the_description_of_normal_experiments_is_that_of_a_normal_variable():
    rng = np.random.default_rng(1)
    z, pull = rng.normal(3, 1, 4000), rng.normal(size=4000)
    found = describe_strength(2.0, np.append(z, np.nan), np.append(2 + 0.5 * pull, np.nan), np.append(pull, np.nan))
    assert found["failed"] == 1
    assert found["z"]["median"] == pytest.approx(3, abs=4 * found["z"]["median_error"])
    assert found["z"]["high_68"] - found["z"]["low_68"] == pytest.approx(2, rel=0.05)
    assert found["above_3"]["low"] < 0.5 < found["above_3"]["high"] or abs(found["above_3"]["share"] - 0.5) < 0.03
    assert found["strength"]["bias"] == pytest.approx(0, abs=4 * found["strength"]["mean_error"])
    assert found["coverage"]["68"]["share"] == pytest.approx(0.68, abs=0.03)
    assert found["coverage"]["95"]["share"] == pytest.approx(0.95, abs=0.015)


def test_nothing_is_said_where_all_fits_failed():
    found = describe_strength(1.0, np.full(5, np.nan), np.full(5, np.nan), np.full(5, np.nan))
    assert found == {"injected": 1.0, "experiments": 5, "failed": 5}
    lines: list[str] = []
    injection_lines({"methods": {"a": {"strengths": [found], "for_3": None, "for_5": None}}}, lines.append)
    assert lines == ["  a: expected 3 sigma not reached, 5 sigma not reached", "    1: all fits failed"]


def test_strengths_are_found_on_straight_lines():
    assert strength_for(3.0, [0, 1, 2], [0, 2, 4]) == pytest.approx(1.5)
    assert strength_for(5.0, [0, 1, 2], [0, 2, 4]) is None
    assert strengths_about(0.5)[3] == pytest.approx(1.5)
    assert strengths_about(0.5)[-1] == pytest.approx(7.5)


def test_the_window_is_the_shortest_with_the_share():
    assert signal_window(np.array([1.0, 6.0, 10.0, 6.0, 1.0])).tolist() == [False, True, True, True, False]
    assert signal_window(np.array([0.0, 10.0, 0.0])).tolist() == [False, True, False]


def test_a_bump_is_normal_without_signal_and_large_with_one():
    rng = np.random.default_rng(2)
    edges = np.linspace(60, 240, 19)
    centres = 0.5 * (edges[1:] + edges[:-1])
    smooth = 4e4 * np.exp(-centres / 60)
    window = (centres > 140) & (centres < 180)
    z = bump_significance(rng.poisson(smooth, (400, 18)).astype(float), edges, window)
    assert abs(z.mean()) < 0.25
    assert z.std() == pytest.approx(1, abs=0.15)
    signal = np.where(window, 5 * np.sqrt(smooth.sum() * 0.03), 0.0)
    assert np.median(bump_significance(rng.poisson(smooth + signal, (50, 18)).astype(float), edges, window)) > 5


def test_a_planted_strength_is_recovered_and_seen():
    analysis = study_events.make_analysis(
        fit={"observable": "mass", "regions": ["SR"], "poi": POI}, threshold={"score": "s", "efficiency": 0.02}
    )
    events = study_events.make_events(analysis, qcd=20_000, scale=0.1)
    choice = ChoiceEvents(analysis, events, events)
    made, notes = share({"only": choice}, NullPlan(strength=2.0))
    chunk = made["only"].chunk(0, 128)
    assert notes["absent"] == []
    good = np.isfinite(chunk.z)
    assert good.mean() > 0.95
    # the mean is some 0.2 of the width low, as few events are in A; drawn from the rates it is as low
    width, error = chunk.strength[good].std(), chunk.strength[good].std() / np.sqrt(good.sum())
    assert abs(chunk.strength[good].mean() - 2.0) < 0.3 * width + 4 * error
    plain = replace(made["only"], shared=None).chunk(0, 128).strength
    assert chunk.strength[good].mean() == pytest.approx(np.nanmean(plain), abs=4 * np.sqrt(2) * error)
    none, _ = share({"only": choice}, NullPlan())
    # one sigma is expected, and the difference of the medians has an error of 0.16
    assert np.nanmedian(chunk.z) > np.nanmedian(none["only"].chunk(0, 128).z) + 0.5


def test_a_signal_without_events_in_a_is_refused():
    """All of its events have low scores: they are in the regions, but with the letter D."""
    analysis = study_events.make_analysis(
        fit={"observable": "mass", "regions": ["SR"], "poi": POI}, threshold={"score": "s", "efficiency": 0.02}
    )
    events = study_events.make_events(analysis, qcd=20_000, scale=0.1)
    low = [replace(e, scores=np.full_like(e.scores, -9.0)) if e.process == "top" else e for e in events]
    choice = ChoiceEvents(analysis, low, low)
    with pytest.raises(
        OddjetsError, match="no event of 'top' has both scores above the threshold in SR: it has none in A"
    ):
        _strengths(choice, InjectionOptions(), "top")


def test_choices_of_several_signals_cannot_have_one_injected():
    def of(process):
        analysis = study_events.make_analysis(
            fit={"observable": "mass", "regions": ["SR"], "poi": POI | {"process": process}},
            threshold={"score": "s", "efficiency": 0.02},
        )
        return ChoiceEvents(analysis, [], [])

    with pytest.raises(OddjetsError, match="none of these can be injected"):
        share({"one": of("top"), "other": of("wjets")}, NullPlan(strength=1.0))


# ---- the supervised bound ----------------------------------------------------------------------------------------------------


def jets(number, shift, seed):
    rng = np.random.default_rng(seed)
    found = {
        "run": np.ones(number, np.int64),
        "luminosityBlock": np.arange(number) // 100,
        "event": np.arange(number) + 10_000 * seed,
        "weight": np.ones(number),
    }
    for jet in (1, 2):
        found[f"n_constituents_{jet}"] = rng.normal(50 + shift, 10, number)
        found[f"btag_{jet}"] = np.where(rng.random(number) < 0.1, np.nan, rng.random(number))
    return found


def test_folds_are_a_hash_of_the_event_alone():
    table = jets(5000, 0, 1)
    folds = fold_of(table)
    np.testing.assert_array_equal(fold_of({k: v[::-1] for k, v in table.items()}), folds[::-1])
    assert np.bincount(folds, minlength=5).min() > 850


def test_the_bound_separates_and_its_background_scores_are_uniform_in_every_fold():
    pytest.importorskip("sklearn", reason="the supervised bound needs scikit-learn: pip install 'oddjets[learn]'")
    signal, background = jets(1500, 8, 2), jets(3000, 0, 3)
    stems = feature_stems([signal, background])
    assert stems == ["n_constituents", "btag"]
    made = CrossFitted([signal], [background], stems)
    of_signal, of_background = made.scores(signal)[1], made.scores(background)[1]
    better = (of_signal[:, None] > of_background[None, ::10]).mean()
    # two normal distributions 0.8 widths apart
    assert better == pytest.approx(norm.cdf(0.8 / np.sqrt(2)), abs=0.04)
    folds = fold_of(background)
    for fold in range(5):
        assert of_background[folds == fold].mean() == pytest.approx(0.5, abs=0.03)


def test_too_few_jets_give_no_bound():
    pytest.importorskip("sklearn", reason="the supervised bound needs scikit-learn: pip install 'oddjets[learn]'")
    with pytest.raises(OddjetsError, match="needs 200 jets"):
        CrossFitted([jets(50, 5, 4)], [jets(500, 0, 5)], ["n_constituents"])
    with pytest.raises(OddjetsError, match="no columns of jets"):
        CrossFitted([jets(50, 5, 4)], [jets(500, 0, 5)], [])


# ---- the command -------------------------------------------------------------------------------------------------------------


HELD = """\
extends: demo.yaml
name: held
title: W + jets, held out
processes: {wjets: null}
hold_out: {wjets: {label: W + jets, template_scale: 50}}   # that a strength of 3 is seen
fit: {regions: [SR]}
"""


def test_the_command_injects_into_experiments_of_a_bank(tmp_path):
    file = tmp_path / "held.yaml"
    file.write_text(HELD, encoding="utf-8")
    arguments = ["study", "injection", str(file), "--bank", "bank.parquet", "--experiments", "16", "--workers", "1"]
    found = RUNNER.invoke(app, [*arguments, "--strength", "3", "--out", str(tmp_path)])
    assert found.exit_code == 0, found.output
    said = " ".join(found.output.split())
    assert "without 'tau21 alone': the event tables lack tau1_1, tau2_1" in said
    content = json.loads((tmp_path / "study" / "injection.json").read_text(encoding="utf-8"))
    assert content["strengths"] == [0.0, 3.0]
    assert set(content["methods"]) == {"this analysis", "bump in all events"}
    zero, three = content["methods"]["this analysis"]["strengths"]
    assert three["z"]["median"] > zero["z"]["median"] + 2
    assert content["methods"]["this analysis"]["for_3"] is not None
    # what no setting was chosen on is injected, too, and told apart
    (held,) = content["hold_out"].values()
    zero, three = held["methods"]["this analysis"]["strengths"]
    assert three["strength"]["mean"] > zero["strength"]["mean"] + 1
    assert "held out: no setting was chosen on it" in said
    assert content["signal"] == "top"


def test_the_command_refuses_what_it_cannot_do(tmp_path):
    for more, said in (
        (["--strength", "-1"], "a number of at least 0"),
        (["--strength", "nan"], "a number of at least 0"),
        (["--source", "toys"], "is of one analysis alone"),
        ([], "there are no event tables"),
        (["--bank", "bank.parquet", "--luminosity", "nan"], "--luminosity: must be above 0"),
        (
            ["--bank", "bank.parquet", "--strength", "0.01"],
            "0.01 at most says nothing, since the strength of 'top' has an",
        ),
        (["--bank", "bank.parquet", "--strength", "20"], "20 is above the upper bound of the fit, 10"),
    ):
        found = RUNNER.invoke(app, ["study", "injection", "demo.yaml", *more, "--out", str(tmp_path / "none")])
        assert isinstance(found.exception, OddjetsError), found.output
        assert said in str(found.exception)
