"""The Combine card, parsed back: every rate, channel, process and nuisance is in it again."""

from __future__ import annotations

import copy
import json
import re

import numpy as np
import pytest
import uproot
from helpers.random_workspace import random_workspace
from helpers.small_fit import EDGES, make_analysis, make_histograms

from oddjets.core.errors import OddjetsError
from oddjets.stats.combine import FLOOR, write_card
from oddjets.stats.workspace import build, varied_variances


@pytest.fixture(scope="module")
def workspace():
    fit = {
        "scale_factor": {"processes": ["wjets"]},
        "normalisations": {"sf_v": {"processes": ["wjets"], "size": 0.5, "letters": ["A"]}},
    }
    return build(make_analysis(**fit), make_histograms())


@pytest.fixture(scope="module")
def card(workspace, tmp_path_factory):
    folder = tmp_path_factory.mktemp("combine")
    files = write_card(workspace[0], folder, workspace[1]["edges"])
    assert [f.name for f in files] == ["datacard.txt", "shapes.root", "combine_report.json"]
    return _parse((folder / "datacard.txt").read_text()), uproot.open(folder / "shapes.root")


def _parse(text):
    """What Combine reads of a card."""
    lines = [line.split() for line in text.splitlines() if line and not line.startswith(("#", "-"))]
    first = lambda key: [line[1:] for line in lines if line[0] == key]  # noqa: E731
    header, columns = first("bin")
    names, numbers = first("process")
    result = {
        "channels": header,
        "observation": dict(zip(header, map(float, first("observation")[0]), strict=True)),
        "columns": list(zip(columns, names, strict=True)),
        "numbers": dict(zip(names, map(int, numbers), strict=True)),
        "rates": dict(zip(zip(columns, names, strict=True), map(float, first("rate")[0]), strict=True)),
        "counts": {key: int(first(key)[0][0]) for key in ("imax", "jmax", "kmax")},
        "nuisances": {},
        "rate_params": {},
    }
    for line in lines:
        if len(line) > 2 and line[1] in ("lnN", "shape"):
            cells = dict(zip(result["columns"], line[2:], strict=True))
            result["nuisances"][line[0], line[1]] = {k: v for k, v in cells.items() if v != "-"}
        if len(line) > 2 and line[1] == "rateParam":
            result["rate_params"].setdefault(line[0], []).append(line[2:])
    return result


def _process(name):
    return re.sub(r"_bin\d+$", "", name)


def test_every_channel_and_its_data_are_there(workspace, card):
    observed = {o["name"]: sum(o["data"]) for o in workspace[0]["observations"]}
    assert card[0]["observation"] == pytest.approx(observed)
    assert card[0]["counts"]["imax"] == len(observed)


def test_every_process_has_its_rate(workspace, card):
    found = {}
    for (channel, name), rate in card[0]["rates"].items():
        found[channel, _process(name)] = found.get((channel, _process(name)), 0) + rate
    expected = {(c["name"], s["name"]): sum(s["data"]) for c in workspace[0]["channels"] for s in c["samples"]}
    assert found == pytest.approx(expected)


def test_the_signal_alone_has_a_number_below_one(card):
    assert [name for name, number in card[0]["numbers"].items() if number <= 0] == ["top"]
    assert card[0]["counts"]["jmax"] == len(card[0]["numbers"]) - 1


def test_every_nuisance_acts_where_it_does_in_the_workspace(workspace, card):
    expected = {}
    for c in workspace[0]["channels"]:
        for s in c["samples"]:
            for m in s["modifiers"]:
                kind = {"normsys": "lnN", "histosys": "shape"}.get(m["type"])
                if kind:
                    expected.setdefault((m["name"], kind), set()).add((c["name"], s["name"]))
    assert {k: set(v) for k, v in card[0]["nuisances"].items()} == expected
    assert card[0]["counts"]["kmax"] == len(expected)
    assert card[0]["nuisances"]["sf_v", "lnN"]["SR_A", "wjets"] == "0.66666667/1.5"


def test_a_is_the_formula_of_the_other_letters_bin_by_bin(card):
    params = card[0]["rate_params"]
    for region in ("SR", "VR1"):
        for i in range(5):
            name = f"qcd_bin{i}_{region}"
            (channel, process, formula, arguments), *rest = params[f"{name}_A"]
            assert not rest
            assert (channel, process, formula) == (f"{region}_A", f"qcd_bin{i}", "(@0*@1/@2)")
            assert arguments.split(",") == [f"{name}_{x}" for x in "BCD"]
            for letter in "BCD":
                assert params[f"{name}_{letter}"][0][:3] == [f"{region}_{letter}", f"qcd_bin{i}", "1"]


def test_the_scale_factor_is_one_parameter_for_all_its_processes(card):
    assert [entry[:2] for entry in card[0]["rate_params"]["sf"]] == [["SR_A", "wjets"], ["VR1_A", "wjets"]]


def test_the_shapes_are_the_templates(workspace, card):
    file = card[1]
    for c in workspace[0]["channels"]:
        for s in c["samples"]:
            if s["name"] == "qcd":
                total = sum(file[f"{c['name']}/qcd_bin{i}"].values() for i in range(5))
                np.testing.assert_allclose(total, s["data"])
                continue
            histogram = file[f"{c['name']}/{s['name']}"]
            np.testing.assert_allclose(histogram.values(), s["data"])
            np.testing.assert_allclose(histogram.axis().edges(), EDGES)
            for m in s["modifiers"]:
                if m["type"] == "histosys":
                    for key, side in (("hi_data", "Up"), ("lo_data", "Down")):
                        values = file[f"{c['name']}/{s['name']}_{m['name']}{side}"].values()
                        np.testing.assert_allclose(values, m["data"][key])
                elif m["type"] == "staterror":
                    np.testing.assert_allclose(histogram.errors(), m["data"])


def test_varied_templates_have_the_variances_of_their_events(workspace, tmp_path):
    variances = varied_variances(make_analysis(), make_histograms())
    write_card(workspace[0], tmp_path, workspace[1]["edges"], variances)
    with uproot.open(tmp_path / "shapes.root") as file:
        for region, letter in (("SR", "A"), ("VR1", "D")):
            for name, variation in (("jes", "jesUp"), ("isr_top", "isrUp")):
                expected = make_histograms().variances(region, "mass", "top", letter, variation)
                assert expected.min() > 0
                found = file[f"{region}_{letter}/top_{name}Up"].variances()
                np.testing.assert_allclose(found, expected)


def test_without_them_varied_templates_have_the_nominals_relative_errors(card):
    nominal, varied = card[1]["SR_A/top"], card[1]["SR_A/top_jesUp"]
    np.testing.assert_allclose(varied.errors() / varied.values(), nominal.errors() / nominal.values())


def test_a_free_factor_starts_where_it_does_in_the_workspace(tmp_path):
    factor = {"processes": ["wjets"], "init": 0.5, "bounds": [0, 1]}
    write_card(build(make_analysis(scale_factor=factor), make_histograms())[0], tmp_path)
    entries = _parse((tmp_path / "datacard.txt").read_text())["rate_params"]
    assert entries["sf"] == [["SR_A", "wjets", "0.5", "[0,1]"], ["VR1_A", "wjets", "0.5", "[0,1]"]]
    assert entries["qcd_bin0_SR_B"][0][2] == "1"


def _changed(workspace, folder):
    """The card of a workspace: what it says, its report, and the integrals of its templates."""
    write_card(workspace, folder)
    changes = json.loads((folder / "combine_report.json").read_text())["changes"]
    with uproot.open(folder / "shapes.root") as file:
        sums = {
            name: float(file[name].values().sum()) for name in file.keys(cycle=False, recursive=True) if "/" in name
        }
    return _parse((folder / "datacard.txt").read_text()), changes, sums


def _sample(workspace, channel, process):
    samples = next(c["samples"] for c in workspace["channels"] if c["name"] == channel)
    return next(s for s in samples if s["name"] == process)


def _variation(workspace, channel, process, name):
    return next(m["data"] for m in _sample(workspace, channel, process)["modifiers"] if m["name"] == name)


def test_every_template_of_a_shape_has_events_so_that_text2workspace_does_not_stop(workspace, tmp_path):
    damaged = copy.deepcopy(workspace[0])
    _variation(damaged, "SR_A", "wjets", "jes")["lo_data"] = [0.0] * 5
    _variation(damaged, "VR1_B", "top", "jes")["hi_data"] = [-1.0, 0, 0, 0, -2.0]
    card, changes, sums = _changed(damaged, tmp_path)
    assert changes == [
        {"change": "floored", "channel": "SR_A", "process": "wjets", "nuisance": "jes", "side": "Down", "floor": FLOOR},
        {"change": "negative", "channel": "VR1_B", "process": "top", "nuisance": "jes", "side": "Up", "bins": [0, 4]},
        {"change": "floored", "channel": "VR1_B", "process": "top", "nuisance": "jes", "side": "Up", "floor": FLOOR},
    ]  # fmt: skip
    assert sums["SR_A/wjets_jesDown"] == pytest.approx(1e-5)
    assert sums["VR1_B/top_jesUp"] == pytest.approx(1e-5)
    for (channel, process), rate in card["rates"].items():
        assert rate == pytest.approx(sums[f"{channel}/{process}"])
    for (name, kind), cells in card["nuisances"].items():
        for channel, process in cells if kind == "shape" else ():
            assert min(sums[f"{channel}/{process}_{name}{side}"] for side in ("Up", "Down")) > 0
    said = (tmp_path / "datacard.txt").read_text()
    assert "# wjets in SR_A, jesDown has no events and is set to 1e-05 events in total" in said


def test_a_process_without_events_in_a_channel_is_left_out_there(workspace, tmp_path):
    damaged = copy.deepcopy(workspace[0])
    _sample(damaged, "SR_A", "wjets")["data"] = [0.0] * 5
    card, changes, sums = _changed(damaged, tmp_path)
    assert changes == [{"change": "left_out", "channel": "SR_A", "process": "wjets"}]
    assert ("SR_A", "wjets") not in card["columns"]
    assert ("VR1_A", "wjets") in card["columns"]
    assert not [name for name in sums if name.startswith("SR_A/wjets")]
    assert all(("SR_A", "wjets") not in cells for cells in card["nuisances"].values())


def test_a_variation_of_nearly_no_event_is_floored_and_listed(workspace, tmp_path):
    damaged = copy.deepcopy(workspace[0])
    _variation(damaged, "SR_A", "wjets", "jes")["lo_data"] = [1e-300] * 5
    _, changes, sums = _changed(damaged, tmp_path)
    assert changes == [
        {"change": "floored", "channel": "SR_A", "process": "wjets", "nuisance": "jes", "side": "Down", "floor": FLOOR}
    ]
    assert sums["SR_A/wjets_jesDown"] == pytest.approx(1e-5)


def test_a_workspace_without_any_event_has_no_card(workspace, tmp_path):
    damaged = copy.deepcopy(workspace[0])
    for channel in damaged["channels"]:
        for sample in channel["samples"]:
            sample["data"] = [0.0] * len(sample["data"])
    with pytest.raises(OddjetsError, match="no process of the workspace has events in any channel"):
        write_card(damaged, tmp_path / "card")
    assert not (tmp_path / "card").exists()


def test_negative_bins_are_zero_and_listed(workspace, tmp_path):
    damaged = copy.deepcopy(workspace[0])
    sample = _sample(damaged, "SR_A", "top")
    total = sum(sample["data"])
    sample["data"][0] = -3.0
    card, changes, sums = _changed(damaged, tmp_path)
    assert changes == [{"change": "negative", "channel": "SR_A", "process": "top", "bins": [0]}]
    assert card["rates"]["SR_A", "top"] == pytest.approx(sums["SR_A/top"])
    assert sums["SR_A/top"] < total


def test_a_template_that_is_no_number_has_no_card(workspace, tmp_path):
    damaged = copy.deepcopy(workspace[0])
    _variation(damaged, "SR_A", "wjets", "jes")["lo_data"][2] = float("nan")
    with pytest.raises(OddjetsError, match=r"SR_A, wjets, jes, Down: bin 2 is nan"):
        write_card(damaged, tmp_path)


def test_a_sound_card_has_nothing_to_report(workspace, tmp_path):
    assert _changed(workspace[0], tmp_path)[1] == []


def test_the_data_are_in_the_file(workspace, card):
    for o in workspace[0]["observations"]:
        np.testing.assert_allclose(card[1][f"{o['name']}/data_obs"].values(), o["data"])


def test_a_free_template_outside_of_abcd_has_no_card(tmp_path):
    workspace = next(w for w in map(random_workspace, range(20)) if "shapefactor" in str(w))
    with pytest.raises(OddjetsError, match="a free template outside of an ABCD region"):
        write_card(workspace, tmp_path)
