"""Signals that are held out are in no histogram and no fit, until one of them takes the place of the analysis's signal."""

from __future__ import annotations

import pytest

from oddjets.config.analysis import load_analysis
from oddjets.core.resources import find
from oddjets.selection.normalisation import factors
from oddjets.workflow.hold_out import held_out_problems, with_held_out, with_signal


@pytest.fixture(scope="module")
def held():
    return load_analysis(
        find("demo.yaml", "processors"), {"processes": {"wjets": None}, "hold_out": {"wjets": {"label": "W"}}}
    )


def test_what_is_held_out_has_no_normalisation_but_as_the_signal(held):
    one = {"is_data": False, "entries": 5, "sum_of_weights": 2.0, "cross_section_pb": 3.0, "k_factor": 1.0}
    processed = {"datasets": {name: {**one, "process": name} for name in ("top", "wjets")}}
    assert list(factors(held, processed, 10.0)) == ["top"]
    signal = with_signal(held, "wjets")
    assert factors(signal, processed, 10.0)["wjets"].factor == 15.0
    assert signal.fit.poi[0].process == "wjets"
    assert "top" in signal.processes
    assert not signal.hold_out
    assert with_signal(held, "top") is held


def test_a_list_that_cannot_be_is_refused(held):
    assert not list(held_out_problems(held))
    assert "wjets" in with_held_out(held)
    both = held.model_copy(
        update={"hold_out": {"top": held.processes["top"], "other": held.processes["qcd"]}, "fit": None}
    )
    said = "\n".join(held_out_problems(both))
    assert "hold_out.top: is among 'processes' too" in said
    assert "hold_out.other.data_driven: a signal is no background" in said
    assert "without a 'fit' section" in said
