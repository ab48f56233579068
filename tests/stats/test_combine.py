"""The Combine card, parsed back: every rate, channel, process and nuisance is in it again."""

from __future__ import annotations

import re

import numpy as np
import pytest
import uproot
from helpers.random_workspace import random_workspace
from helpers.small_fit import EDGES, make_analysis, make_histograms

from oddjets.core.errors import OddjetsError
from oddjets.stats.combine import write_card
from oddjets.stats.workspace import build


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
    assert [f.name for f in files] == ["datacard.txt", "shapes.root"]
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


def test_the_data_are_in_the_file(workspace, card):
    for o in workspace[0]["observations"]:
        np.testing.assert_allclose(card[1][f"{o['name']}/data_obs"].values(), o["data"])


def test_a_free_template_outside_of_abcd_has_no_card(tmp_path):
    workspace = next(w for w in map(random_workspace, range(20)) if "shapefactor" in str(w))
    with pytest.raises(OddjetsError, match="a free template outside of an ABCD region"):
        write_card(workspace, tmp_path)
