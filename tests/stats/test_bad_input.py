"""What a user can get wrong with `oddjets fit WORKSPACE.json`: a message and exit code 2, never a traceback."""

from __future__ import annotations

import copy
import json
import sys

import pytest
from helpers.random_workspace import random_workspace

from oddjets.cli.main import main

GOOD = random_workspace(1)


def _sample(workspace, channel=0, sample=0):
    return workspace["channels"][channel]["samples"][sample]


def unknown_modifier(w):
    _sample(w)["modifiers"].append({"name": "x", "type": "normsis", "data": None})


def not_a_number(w):
    _sample(w)["data"][1] = float("nan")


def wrong_binning(w):
    wrong = {"hi_data": [1.0] * 9, "lo_data": [1.0] * 9}
    _sample(w)["modifiers"].append({"name": "jes", "type": "histosys", "data": wrong})


def twins(w):
    # an excess, so that the strengths are not zero
    for observation in w["observations"]:
        observation["data"] = [1.3 * n for n in observation["data"]]
    for channel in w["channels"]:
        channel["samples"][0]["modifiers"].append({"name": "twin", "type": "normfactor", "data": None})


def poi_without_events(w):
    for channel in w["channels"]:
        channel["samples"][0]["data"] = [0.0] * len(channel["samples"][0]["data"])
        channel["samples"][0]["modifiers"] = [{"name": "mu", "type": "normfactor", "data": None}]


def poi_of_nothing(w):
    w["measurements"][0]["config"]["poi"] = "strength"


def no_data(w):
    del w["observations"][0]


def nothing_expected(w):
    for sample in w["channels"][0]["samples"]:
        sample["data"] = [0.0] * len(sample["data"])
        sample["modifiers"] = [m for m in sample["modifiers"] if m["type"] == "normfactor"]


def fit(monkeypatch, capsys, folder, text, *options):
    """Run the program in this process; return its exit code and what it said."""
    (folder / "w.json").write_text(text)
    words = ["oddjets", "fit", str(folder / "w.json"), "--out", str(folder / "out"), *options]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (unknown_modifier, "modifier 'x' has the unknown type 'normsis'; did you mean 'normsys'?"),
        (not_a_number, "channel 'ch0', sample 'signal': bin 1 is nan"),
        (wrong_binning, "histosys 'jes', hi_data: wrong binning: 9 values"),
        (twins, "the data cannot tell these parameters apart: "),
        (poi_without_events, "nothing depends on the parameter of interest 'mu'"),
        (poi_of_nothing, "nothing depends on the parameter of interest 'strength'"),
        (no_data, "channel 'ch0' has no observation"),
        (nothing_expected, "events where the model starts with 0"),
    ],
)
def test_a_damaged_workspace_is_a_message(monkeypatch, capsys, tmp_path, damage, message):
    workspace = copy.deepcopy(GOOD)
    damage(workspace)
    code, said = fit(monkeypatch, capsys, tmp_path, json.dumps(workspace))
    assert code == 2
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_truncated_workspace_is_a_message(monkeypatch, capsys, tmp_path):
    code, said = fit(monkeypatch, capsys, tmp_path, json.dumps(GOOD)[:300])
    assert code == 2
    assert "is no valid JSON" in said
    assert "was its writing cut off?" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--poi", "muu"], "no parameter 'muu'; did you mean 'mu'?"),
        (["--scan", "muu"], "no parameter 'muu'; did you mean 'mu'?"),
        (["--gof", "2", "--gof-channels", "ch0,Q"], "no channel is called or ends in Q; channels: ch0, ch1"),
        (["--gof", "2", "--gof-model", "sginal"], "'sginal' is neither 'background' nor 'signal'"),
    ],
)
def test_a_wrong_option_is_a_message(monkeypatch, capsys, tmp_path, options, message):
    code, said = fit(monkeypatch, capsys, tmp_path, json.dumps(GOOD), *options)
    assert code == 2
    assert message in said


def test_a_sound_workspace_has_its_answer_printed(monkeypatch, capsys, tmp_path):
    (tmp_path / "w.json").write_text(json.dumps(GOOD))
    monkeypatch.setattr(
        sys,
        "argv",
        ["oddjets", "fit", str(tmp_path / "w.json"), "--out", str(tmp_path), "--limit", "--gof", "20", "--impacts",
         "--gof-channels", "ch0, ch1", "--gof-model", "background", "--scan", "mu"],
    )  # fmt: skip
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    results = json.loads((tmp_path / "results.json").read_text())
    said = " ".join(capsys.readouterr().err.split())
    assert f"mu = {results['poi']['value']:.3g} +- {results['poi']['error']:.2g}" in said
    assert f"upper limit {results['limit']['observed']:.3g}" in said
    assert set(results["gof"]) >= {"statistic", "p_value", "toys", "failed"}
    assert results["gof"]["letters"] == ["ch0", "ch1"]
    assert {"impacts", "pulls", "limit", "scan"} <= set(results)
