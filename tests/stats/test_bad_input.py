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


def _parameters(w):
    return w["measurements"][0]["config"]["parameters"]


def _lumi(w, **parameter):
    for channel in w["channels"]:
        for sample in channel["samples"]:
            sample["modifiers"] = [m for m in sample["modifiers"] if m["type"] != "lumi"]
    _sample(w)["modifiers"].append({"name": "lumi", "type": "lumi", "data": None})
    _parameters(w)[:] = [p for p in _parameters(w) if p["name"] != "lumi"]
    if parameter:
        _parameters(w).append({"name": "lumi", **parameter})


def _set_poi(w, **parameter):
    _parameters(w)[:] = [p for p in _parameters(w) if p["name"] != "mu"]
    _parameters(w).append({"name": "mu", **parameter})


def fixed_poi(w):
    _set_poi(w, fixed=True, inits=[1.0], bounds=[[0, 10]])


def poi_of_one_value(w):
    _set_poi(w, inits=[1.0], bounds=[[1, 1]])


def poi_of_nearly_one_value(w):
    _set_poi(w, inits=[1.0], bounds=[[1, 1 + 1e-12]])


def lumi_unset(w):
    _lumi(w)


def lumi_in_part(w):
    _lumi(w, auxdata=[1.0], sigmas=[0.02])


def lumi_without_width(w):
    _lumi(w, auxdata=[1.0], sigmas=[0.0], inits=[1.0], bounds=[[0.5, 1.5]])


def lumi_with_a_negative_width(w):
    _lumi(w, auxdata=[1.0], sigmas=[-0.02], inits=[1.0], bounds=[[0.5, 1.5]])


def lumi_measured_twice(w):
    _lumi(w, auxdata=[1.0, 1.0], sigmas=[0.02], inits=[1.0], bounds=[[0.5, 1.5]])


def endless_bounds(w):
    _set_poi(w, inits=[1.0], bounds=[[0, float("inf")]])


def falling_bounds(w):
    _set_poi(w, inits=[1.0], bounds=[[10, 0]])


def start_of_nan(w):
    _set_poi(w, inits=[float("nan")])


def too_many_starts(w):
    _set_poi(w, inits=[1.0, 1.0])


def parameter_configured_twice(w):
    _set_poi(w, inits=[1.0])
    _parameters(w).append({"name": "mu", "inits": [2.0]})


def twin_channels(w):
    w["channels"].append(copy.deepcopy(w["channels"][0]))


def twin_observations(w):
    w["observations"].append(copy.deepcopy(w["observations"][0]))


def observation_of_no_channel(w):
    w["observations"].append({"name": "ch9", "data": [1.0]})


def twin_modifiers(w):
    twin = {"name": "twin", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    _sample(w)["modifiers"] += [twin, {**twin, "data": {"hi": 1.5, "lo": 0.5}}]


def a_word_for_a_yield(w):
    _sample(w)["data"][0] = "5"


def true_for_a_yield(w):
    _sample(w)["data"][0] = True


def a_number_beyond_all(w):
    _sample(w)["data"][0] = 10**400


def a_background_of_1e300(w):
    _sample(w, sample=1)["data"][0] = 1e300


def data_of_1e300(w):
    w["observations"][0]["data"][0] = 1e300


def an_endless_factor(w):
    _sample(w)["modifiers"].append({"name": "n", "type": "normsys", "data": {"hi": 1e300, "lo": 1e-300}})


def an_uncertainty_of_nearly_nothing(w):
    # its square is 0, by which pyhf divides
    tiny = [1e-300] * len(_sample(w)["data"])
    _sample(w)["modifiers"].append({"name": "tiny", "type": "shapesys", "data": tiny})


def three_bounds(w):
    _set_poi(w, bounds=[[0, 1, 2]])


def a_word_for_a_factor(w):
    _sample(w)["modifiers"].append({"name": "x", "type": "normsys", "data": {"hi": "1.1", "lo": 0.9}})


def a_word_for_a_width(w):
    _lumi(w, auxdata=[1.0], sigmas=["0.02"], inits=[1.0], bounds=[[0.5, 1.5]])


def a_list_for_a_name(w):
    w["channels"][0]["name"] = ["ch0"]


def no_modifiers(w):
    del _sample(w)["modifiers"]


def no_configuration(w):
    del w["measurements"][0]["config"]


def another_version(w):
    w["version"] = "2.0.0"


def bounds_of_no_pair(w):
    _set_poi(w, bounds=[0])


def fit(monkeypatch, capsys, folder, text, *options):
    """Run the program in this process; return its exit code and what it said."""
    (folder / "w.json").write_text(text)
    words = ["oddjets", "fit", str(folder / "w.json"), "--out", str(folder / "out"), *options]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code, capsys.readouterr().err


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
        (fixed_poi, "'mu' is fixed at 1 by the measurement"),
        (poi_of_one_value, "the bounds of 'mu' leave it one value, 1"),
        (poi_of_nearly_one_value, "the bounds of 'mu' leave it one value, 1"),
        (lumi_unset, "lumi needs auxdata, sigmas, inits, bounds; the measurement's parameters lack auxdata"),
        (lumi_in_part, "lumi needs auxdata, sigmas, inits, bounds; the measurement's parameters lack inits"),
        (lumi_without_width, "parameter 'lumi', sigmas: 0; a width must be above zero"),
        (lumi_with_a_negative_width, "parameter 'lumi', sigmas: -0.02; a width must be above zero"),
        (lumi_measured_twice, "parameter 'lumi', auxdata: 2 values where the parameter has 1"),
        (endless_bounds, "parameter 'mu', bounds: inf is not a finite number"),
        (falling_bounds, "parameter 'mu', bounds: [10, 0]: the lower bound is above the upper one"),
        (start_of_nan, "parameter 'mu', inits: nan is not a finite number"),
        (too_many_starts, "parameter 'mu', inits: 2 values where the parameter has 1"),
        (parameter_configured_twice, "parameter 'mu' is there twice"),
        (twin_channels, "channel 'ch0' is there twice"),
        (twin_observations, "the observation of channel 'ch0' is there twice"),
        (observation_of_no_channel, "an observation of 'ch9' but no such channel"),
        (twin_modifiers, "modifier 'normsys twin' is there twice"),
        (a_word_for_a_yield, "bin 0 is '5'; a yield must be a finite number"),
        (true_for_a_yield, "bin 0 is true; a yield must be a finite number"),
        (a_number_beyond_all, "a yield must be a finite number"),
        (a_background_of_1e300, "bin 0 is 1e+300; a fit of more than 1e+12 events in a bin"),
        (data_of_1e300, "observation of channel 'ch0': bin 0 is 1e+300; a fit of more than 1e+12"),
        (an_endless_factor, "normsys 'n': 'hi' is 1e+300; a factor must be within 1e-20 and 1e+20"),
        (an_uncertainty_of_nearly_nothing, "shapesys 'tiny': bin 0 is 1e-300 of"),
        (three_bounds, "parameter 'mu', bounds: [0, 1, 2] is not a pair of numbers"),
        (a_word_for_a_factor, "'hi' is '1.1'; a factor must be a number above zero"),
        (a_word_for_a_width, "parameter 'lumi', sigmas: '0.02' is not a finite number"),
        (
            a_list_for_a_name,
            "the workspace does not follow pyhf's schema: channels[0].name: ['ch0'] is not of type 'string'",
        ),
        (
            no_modifiers,
            "the workspace does not follow pyhf's schema: channels[0].samples[0]: 'modifiers' is a required",
        ),
        (no_configuration, "the workspace does not follow pyhf's schema: measurements[0]: 'config' is a required"),
        (another_version, "the workspace does not follow pyhf's schema: version: '1.0.0' was expected"),
        (bounds_of_no_pair, "parameter 'mu', bounds: 0 is not a pair of numbers"),
    ],
)
def test_a_damaged_workspace_is_a_message(monkeypatch, capsys, tmp_path, damage, message):
    workspace = copy.deepcopy(GOOD)
    damage(workspace)
    code, said = fit(monkeypatch, capsys, tmp_path, json.dumps(workspace))
    assert code == 2
    assert message in said
    assert "Traceback" not in said
    assert "RuntimeWarning" not in said
    assert not (tmp_path / "out" / "results.json").exists()


def test_a_truncated_workspace_is_a_message(monkeypatch, capsys, tmp_path):
    code, said = fit(monkeypatch, capsys, tmp_path, json.dumps(GOOD)[:300])
    assert code == 2
    assert "is not valid JSON" in said
    assert "it may be incomplete" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            json.dumps({**GOOD, "observations": []}).replace("[]", '[{"name": "ch0", "data": [1], "data": [2]}]', 1),
            "'data' is there twice in /observations/0, and only the last would be read",
        ),
        (json.dumps(GOOD)[:-1] + ', "channels": []}', "'channels' is there twice in its outermost object"),
        ("[" * 100_000, "is nested too deeply to be read"),
        ("[1" + "0" * 5000 + "]", "Exceeds the limit"),
    ],
)
def test_json_that_is_no_workspace_is_a_message(monkeypatch, capsys, tmp_path, text, message):
    code, said = fit(monkeypatch, capsys, tmp_path, text)
    assert code == 2
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--poi", "muu"], "no parameter 'muu'; did you mean 'mu'?"),
        (["--scan", "muu"], "no parameter 'muu'; did you mean 'mu'?"),
        (["--measurement", "n"], "the workspace has no measurement 'n'; valid names: m"),
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
    said = capsys.readouterr().err
    assert f"mu = {results['poi']['value']:.3g} +- {results['poi']['error']:.2g}" in said
    assert f"upper limit on mu {results['limit']['observed']:.3g}" in said
    assert set(results["gof"]) >= {"statistic", "p_value", "toys", "failed"}
    assert results["gof"]["letters"] == ["ch0", "ch1"]
    assert {"impacts", "pulls", "limit", "scan"} <= set(results)
