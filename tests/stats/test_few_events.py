"""Whether few events decide: counts of control regions, the warning, and the toys that auto makes."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.stats import Model
from oddjets.stats.few_events import AUTO_LIMIT_TOYS, AUTO_TOYS, few_events, toys_of
from oddjets.stats.inference import control_events, deciding_events
from oddjets.stats.summary import fit_workspace
from oddjets.workflow.overrides import toys_option

QUIET = {"limit": False, "impacts": False, "scan": False, "progress": False}


def abcd(d, b, c, signal, extra=0.0):
    """A region with a free factor of each bin and letter; its data in A are the estimate and some more of the signal."""
    d, b, c, signal = (np.asarray(x, dtype=float) for x in (d, b, c, signal))
    yields = {"A": b * c / d, "B": b, "C": c, "D": d}
    channels, observations = [], []
    for letter, factors in (("A", "sbc"), ("B", "sb"), ("C", "sc"), ("D", "s")):
        free = [{"name": f"qcd_{factor}", "type": "shapefactor", "data": None} for factor in factors]
        samples = [{"name": "qcd", "data": yields[letter].tolist(), "modifiers": free}]
        data = yields[letter]
        if letter == "A":
            strength = [{"name": "mu", "type": "normfactor", "data": None}]
            samples.append({"name": "signal", "data": signal.tolist(), "modifiers": strength})
            data = np.round(data + extra * signal)
        channels.append({"name": f"R_{letter}", "samples": samples})
        observations.append({"name": f"R_{letter}", "data": data.tolist()})
    bounds = [{"name": f"qcd_{f}", "inits": [1.0] * len(d), "bounds": [[0.0, 50.0]] * len(d)} for f in "sbc"]
    measurement = {
        "name": "m",
        "config": {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[0, 9]], "inits": [1.0]}, *bounds]},
    }
    return {"channels": channels, "observations": observations, "measurements": [measurement], "version": "1.0.0"}


@pytest.mark.parametrize(
    ("d", "b", "c", "least"), [(400.0, 50.0, 64.0, 50.0), (8.0, 50.0, 64.0, 8.0), (4.0, 4.0, 4.0, 4.0)]
)
def test_the_control_events_of_a_bin_are_the_fewest_of_its_letters(d, b, c, least):
    model = Model(abcd([d], [b], [c], [30.0], 1.0))
    assert control_events(model, model.fits) == pytest.approx(least)


def test_bins_count_by_what_they_decide():
    """Only the first bin has signal, and the second has few events: they estimate nothing that matters."""
    model = Model(abcd([400, 4], [50, 2], [60, 2], [30.0, 0.0], 1.0))
    assert control_events(model, model.fits) == pytest.approx(50)
    model = Model(abcd([400, 400], [50, 20], [60, 60], [10.0, 10.0], 1.0))
    mean = control_events(model, model.fits)
    background = model.expected(model.fits.background.values).ravel()[:2]
    with_signal = model.fits.background.values.copy()
    with_signal[model.parameters.index("mu")] = model.fits.best["mu"]
    weight = background * np.log(model.expected(with_signal).ravel()[:2] / background) ** 2
    assert mean == pytest.approx((weight * [50, 20]).sum() / weight.sum())


def test_a_model_without_free_factors_of_bins_has_no_control_events():
    workspace = abcd([400], [50], [60], [30.0], 1.0)
    for channel in workspace["channels"]:
        channel["samples"][0]["modifiers"] = []
    workspace["measurements"][0]["config"]["parameters"] = []
    model = Model(workspace)
    assert control_events(model, model.fits) == np.inf
    result = fit_workspace(workspace, **QUIET)
    assert result["significance"]["control_events"] is None


def test_few_control_events_are_a_warning_that_offers_toys():
    result = fit_workspace(abcd([400] * 3, [4] * 3, [400] * 3, [8.0] * 3, 1.0), **QUIET)
    (warning,) = result["warnings"]
    assert "only some 4 events in B, C or D estimate the background of a bin that decides" in warning
    assert "--toys auto" in warning
    assert "toys" not in result["significance"]


def test_auto_makes_toys_where_few_events_decide_and_none_elsewhere(monkeypatch):
    monkeypatch.setattr("oddjets.stats.few_events.AUTO_TOYS", 40)
    few = fit_workspace(abcd([400] * 3, [4] * 3, [400] * 3, [8.0] * 3, 1.0), toys="auto", **QUIET)
    assert few["significance"]["toys"]["toys"] == 40
    assert not few["warnings"]
    many = fit_workspace(abcd([400] * 3, [300] * 3, [300] * 3, [30.0] * 3, 1.0), toys="auto", **QUIET)
    assert "toys" not in many["significance"]
    assert not many["warnings"]


def test_what_is_known_decides():
    assert toys_of("auto", {"deciding_events": 9.0, "control_events": None}) == (AUTO_TOYS, AUTO_LIMIT_TOYS)
    assert toys_of("auto", {"deciding_events": 90.0, "control_events": None}) == (0, 0)
    assert toys_of(7, {"deciding_events": 9.0}) == (7, 7)
    assert few_events({}) == ""
    both = few_events({"deciding_events": 2.0, "control_events": 3.0})
    assert both.count("only some") == 2


def test_the_option_takes_a_number_or_auto(tmp_path):
    assert [toys_option(text) for text in (None, "auto", "0", "300")] == [None, "auto", 0, 300]
    for text in ("-1", "many", "1.5", ""):
        with pytest.raises(OddjetsError, match="neither a number of toys"):
            toys_option(text)
    file = tmp_path / "w.json"
    write_json(file, abcd([400] * 3, [300] * 3, [300] * 3, [30.0] * 3, 1.0))
    done = CliRunner().invoke(app, ["fit", str(file), "--toys", "auto", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "from toys" not in done.output
    done = CliRunner().invoke(app, ["fit", str(file), "--toys", "lots", "--out", str(tmp_path / "out")])
    assert done.exit_code != 0


def test_deciding_and_control_events_are_in_the_results():
    found = fit_workspace(abcd([400], [50], [60], [30.0], 1.0), **QUIET)["significance"]
    model = Model(abcd([400], [50], [60], [30.0], 1.0))
    assert found["control_events"] == control_events(model, model.fits)
    assert found["deciding_events"] == deciding_events(model, model.fits)
