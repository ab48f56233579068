"""Another signal in a workspace: what becomes of the own one, and what ABCD would take of a signal for background."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from oddjets.core.errors import OddjetsError
from oddjets.stats.absorption import absorbed_events
from oddjets.stats.signal_exchange import contamination, exchange_signal, highest_strength

LETTERS = "ABCD"
DATA = {"A": [30.0, 20.0], "B": [40.0, 30.0], "C": [50.0, 20.0], "D": [100.0, 60.0]}


def _sample(name: str, values: list[float], *modifiers: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "data": values, "modifiers": list(modifiers)}


def _free(name: str) -> dict[str, Any]:
    return {"name": name, "type": "normfactor", "data": None}


def _workspace() -> dict[str, Any]:
    own = [
        _free("mu"),
        {"name": "jes", "type": "histosys", "data": {"hi_data": [4.4, 2.2], "lo_data": [3.6, 1.8]}},
        {"name": "mcstat", "type": "staterror", "data": [0.4, 0.2]},
        {"name": "lumi", "type": "normsys", "data": {"hi": 1.025, "lo": 0.975}},
    ]
    return {
        "channels": [
            {
                "name": f"SR_{x}",
                "samples": [_sample("top", [4.0, 2.0], *copy.deepcopy(own)), _sample("qcd", DATA[x], _free(f"s_{x}"))],
            }
            for x in LETTERS
        ],
        "observations": [{"name": f"SR_{x}", "data": DATA[x]} for x in LETTERS],
        "measurements": [
            {
                "name": "small",
                "config": {"poi": "mu", "parameters": [{"name": "mu", "bounds": [[0, 10]], "inits": [1.0]}]},
            }
        ],
        "version": "1.0.0",
    }


NEW = {
    f"SR_{x}": _sample("signal", values, _free("mu_signal")) for x, values in {"A": [5.0, 5.0], "B": [1.0, 0.0]}.items()
}


def _exchanged(kept: Any, **changes: Any) -> dict[str, Any]:
    return exchange_signal(_workspace(), changes.get("new", NEW), "mu_signal", 7.0, ("top", "mu"), kept, own_scale=2.0)


def test_the_own_signal_becomes_a_background_at_its_cross_section() -> None:
    made = _exchanged("background")
    of_a = {sample["name"]: sample for sample in made["channels"][0]["samples"]}
    assert list(of_a) == ["signal", "top", "qcd"]
    assert of_a["top"]["data"] == [2.0, 1.0]
    modifiers = {m["name"]: m["data"] for m in of_a["top"]["modifiers"]}
    assert list(modifiers) == ["jes", "mcstat", "lumi"]
    assert modifiers["jes"] == {"hi_data": [2.2, 1.1], "lo_data": [1.8, 0.9]}
    assert modifiers["mcstat"] == [0.2, 0.1]
    assert modifiers["lumi"] == {"hi": 1.025, "lo": 0.975}
    config = made["measurements"][0]["config"]
    assert config["poi"] == "mu_signal"
    assert config["parameters"] == [{"name": "mu_signal", "bounds": [[0.0, 7.0]], "inits": [1.0]}]
    # in C the new signal has no event
    assert [sample["name"] for sample in made["channels"][2]["samples"]] == ["top", "qcd"]


def test_the_own_signal_goes_or_stays_free() -> None:
    gone = _exchanged("removed")
    assert [sample["name"] for sample in gone["channels"][0]["samples"]] == ["signal", "qcd"]
    free = _exchanged("free")
    assert free["channels"][0]["samples"][1] == _workspace()["channels"][0]["samples"][0]
    assert [entry["name"] for entry in free["measurements"][0]["config"]["parameters"]] == ["mu_signal", "mu"]


def test_a_signal_of_the_same_name_takes_its_place() -> None:
    again = {name: {**sample, "name": "top"} for name, sample in NEW.items()}
    made = exchange_signal(_workspace(), again, "mu", 7.0, ("top", "mu"), "background")
    assert [sample["data"] for sample in made["channels"][0]["samples"]] == [[5.0, 5.0], DATA["A"]]
    assert len(made["measurements"][0]["config"]["parameters"]) == 1


def test_channels_and_bins_must_be_those_of_the_workspace() -> None:
    with pytest.raises(OddjetsError, match="no channel 'VR_A'"):
        _exchanged("background", new={"VR_A": NEW["SR_A"]})
    with pytest.raises(OddjetsError, match="the signal has 3 bins, and the workspace 2"):
        _exchanged("background", new={"SR_A": _sample("signal", [1.0, 1.0, 1.0])})


def test_the_bound_is_far_above_the_data() -> None:
    # 10 x (50 + 5 sqrt(51)) events over 10 a unit of strength
    assert highest_strength(_workspace(), NEW) == pytest.approx(50 + 5 * np.sqrt(51))
    assert highest_strength(_workspace(), {"SR_B": NEW["SR_B"]}) is None


def test_what_abcd_takes_of_the_signal_by_hand() -> None:
    made = _exchanged("background")
    found = contamination(made, "signal", "qcd", {"SR": ("SR",)}, 2.0)["SR"]
    # data minus top pairs at half of the template, and minus two events of the signal in the first bin of B
    with_signal = 38 * 48 / 98 + 29 * 19 / 59
    without = 36 * 48 / 98 + 29 * 19 / 59
    assert found["estimate"] == pytest.approx(with_signal)
    assert found["estimate_without"] == pytest.approx(without)
    assert found["relative_change"] == pytest.approx(with_signal / without - 1)
    assert found["signal"] == {"A": 20.0, "B": 2.0, "C": 0.0, "D": 0.0}
    assert found["share_of_signal"] == pytest.approx((with_signal - without) / 20)


def test_signal_in_d_lowers_the_estimate() -> None:
    rest = {x: np.array([100.0]) for x in "BCD"}
    none, some = np.zeros(1), np.array([10.0])
    taken = absorbed_events(rest, {"B": none, "C": none, "D": some}).taken
    assert taken[0] == pytest.approx(100 - 100 * 100 / 90)
