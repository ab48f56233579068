"""NaN, infinity, words, null and lists where numbers belong: one sentence with the place, wherever they come from."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyhf
import pytest
from helpers.random_workspace import random_workspace

from oddjets.core.errors import OddjetsError
from oddjets.stats import CabinetryAdapter, Model, PyhfOptimizer
from oddjets.stats.histfactory.workspace_checks import WorkspaceError

GOOD: dict[str, Any] = {
    "channels": [
        {
            "name": "c",
            "samples": [
                {
                    "name": "s",
                    "data": [5.0, 6.0],
                    "modifiers": [
                        {"name": "mu", "type": "normfactor", "data": None},
                        {"name": "lumi", "type": "lumi", "data": None},
                        {"name": "h", "type": "histosys", "data": {"hi_data": [6.0, 7.0], "lo_data": [4.0, 5.0]}},
                        {"name": "n", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
                        {"name": "st", "type": "staterror", "data": [0.5, 0.5]},
                        {"name": "sh", "type": "shapesys", "data": [0.5, 0.5]},
                    ],
                },
                {"name": "b", "data": [50.0, 60.0], "modifiers": []},
            ],
        }
    ],
    "observations": [{"name": "c", "data": [55.0, 66.0]}],
    "measurements": [
        {
            "name": "m",
            "config": {
                "poi": "mu",
                "parameters": [
                    {"name": "lumi", "auxdata": [1.0], "sigmas": [0.1], "inits": [1.0], "bounds": [[0.5, 1.5]]},
                    {"name": "sh", "auxdata": [100.0, 144.0], "factors": [100.0, 144.0]},
                ],
            },
        }
    ],
    "version": "1.0.0",
}
SAMPLE = "/channels/0/samples/0"
PARAMETERS = "/measurements/0/config/parameters"
#: where a number is: JSON pointer, and what is said of the place
PLACES = {
    f"{SAMPLE}/data/1": "channel 'c', sample 's': bin 1 is",
    "/observations/0/data/1": "observation of channel 'c': bin 1 is",
    f"{SAMPLE}/modifiers/2/data/hi_data/1": "sample 's', histosys 'h', hi_data: bin 1 is",
    f"{SAMPLE}/modifiers/2/data/lo_data/0": "sample 's', histosys 'h', lo_data: bin 0 is",
    f"{SAMPLE}/modifiers/3/data/hi": "sample 's', normsys 'n': 'hi' is",
    f"{SAMPLE}/modifiers/3/data/lo": "sample 's', normsys 'n': 'lo' is",
    f"{SAMPLE}/modifiers/4/data/0": "sample 's', staterror 'st': bin 0 is",
    f"{SAMPLE}/modifiers/5/data/0": "sample 's', shapesys 'sh': bin 0 is",
    f"{PARAMETERS}/0/auxdata/0": "measurement 'm': parameter 'lumi', auxdata:",
    f"{PARAMETERS}/0/sigmas/0": "measurement 'm': parameter 'lumi', sigmas:",
    f"{PARAMETERS}/0/inits/0": "measurement 'm': parameter 'lumi', inits:",
    f"{PARAMETERS}/0/bounds/0/1": "measurement 'm': parameter 'lumi', bounds:",
    f"{PARAMETERS}/1/auxdata/1": "measurement 'm': parameter 'sh', auxdata:",
    f"{PARAMETERS}/1/factors/1": "measurement 'm': parameter 'sh', factors:",
}
#: lists of numbers, with one too many
LISTS = {
    f"{SAMPLE}/data": "channel 'c', sample 's': ",
    f"{SAMPLE}/modifiers/2/data/hi_data": "sample 's', histosys 'h', hi_data: ",
    f"{SAMPLE}/modifiers/4/data": "sample 's', staterror 'st': ",
    f"{PARAMETERS}/0/auxdata": "parameter 'lumi', auxdata: ",
    f"{PARAMETERS}/0/bounds": "parameter 'lumi', bounds: ",
    f"{PARAMETERS}/1/factors": "parameter 'sh', factors: ",
}
BAD = [float("nan"), float("inf"), float("-inf"), None, True, "1", [1.0], {}]


def replaced(pointer: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": pointer, "value": value}]


def patched(pointer: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    """The good workspace with another value in a place."""
    result = copy.deepcopy(GOOD)
    *way, last = [int(key) if key.isdigit() else key for key in pointer.split("/")[1:]]
    place: Any = result
    for key in way:
        place = place[key]
    place[last] = change(place[last])
    return result


def test_the_workspace_is_good() -> None:
    assert Model(GOOD).fit()["mu"] > 0


@pytest.mark.parametrize("value", BAD, ids=repr)
@pytest.mark.parametrize(("pointer", "place"), PLACES.items())
def test_what_is_no_number_is_said_with_its_place(pointer: str, place: str, value: Any) -> None:
    with pytest.raises(WorkspaceError) as error:
        Model(patched(pointer, lambda _: value))
    assert place in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("pointer", "place"), PLACES.items())
def test_so_in_files_and_in_patches(tmp_path: Path, pointer: str, place: str) -> None:
    (tmp_path / "w.json").write_text(json.dumps(patched(pointer, lambda _: float("nan"))))
    (tmp_path / "p.json").write_text(json.dumps(replaced(pointer, float("nan"))))
    for source, patches in (
        (tmp_path / "w.json", []),
        (GOOD, [tmp_path / "p.json"]),
        (GOOD, [replaced(pointer, float("nan"))]),
    ):
        with pytest.raises(WorkspaceError) as error:
            Model(source, patches=patches)
        assert place in str(error.value)


@pytest.mark.parametrize("change", [lambda v: [*v, v[0]], lambda v: v[:-1], lambda _: 1.0])
@pytest.mark.parametrize(("pointer", "place"), LISTS.items())
def test_lists_of_another_length_or_none(pointer: str, place: str, change: Any) -> None:
    content = patched(pointer, change)
    with pytest.raises(WorkspaceError) as error:
        Model(content)
    assert place in str(error.value) or "the measurement's parameters lack" in str(error.value)


@pytest.fixture(scope="module")
def pair() -> tuple[Any, list[float]]:
    workspace = pyhf.Workspace(GOOD)
    model = workspace.model()
    return model, workspace.data(model)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (1, np.nan, r"bin 1 (of channel 'c': nan|is nan)"),
        (0, np.inf, r"bin 0 (of channel 'c': inf|is inf)"),
        (0, -1.0, r"bin 0 (of channel 'c': -1|is -1)"),
        (2, np.nan, "the data, auxiliary data of '"),
        (0, "five", "the data are not a list of numbers"),
        (0, None, r"bin 0 (of channel 'c': nan|is nan)"),
        (0, [1.0, 2.0], "the data are not a list of numbers"),
    ],
)
def test_data_beside_a_model(pair: tuple[Any, list[float]], at: int, value: Any, message: str) -> None:
    model, data = pair
    bad = [value if i == at else number for i, number in enumerate(data)]
    for ask in (lambda: Model((model, bad)), lambda: CabinetryAdapter(model, bad)):
        with pytest.raises(OddjetsError, match=message):
            ask()
    optimizer = PyhfOptimizer()
    bounds, init = model.config.suggested_bounds(), model.config.suggested_init()
    with pytest.raises(pyhf.exceptions.InvalidPdfData, match=message):
        optimizer.minimize(pyhf.infer.mle.twice_nll, bad, model, init, bounds)


def test_rounding_below_zero_is_no_event(pair: tuple[Any, list[float]]) -> None:
    model, data = pair
    optimizer, (init, bounds) = PyhfOptimizer(), (model.config.suggested_init(), model.config.suggested_bounds())
    found = [
        optimizer.minimize(pyhf.infer.mle.twice_nll, [n, *data[1:]], model, init, bounds, return_fitted_val=True)[1]
        for n in (0.0, -1e-12)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: [*d, 1.0], lambda _: [], lambda d: d[:2]])
def test_too_few_or_too_many_data(pair: tuple[Any, list[float]], change: Any) -> None:
    model, data = pair
    with pytest.raises(OddjetsError, match=f"numbers where the model has {len(data)}: one for each bin"):
        Model((model, change(data)))


@pytest.mark.parametrize("source", [5, None, [1, 2], ("a", "b"), (1, 2, 3)])
def test_what_is_no_workspace_at_all(source: Any) -> None:
    with pytest.raises(OddjetsError, match=r"a workspace is a dictionary|a pair that stands for a workspace"):
        Model(source)


def test_a_fit_names_the_parameter_that_it_does_not_have() -> None:
    model = Model(random_workspace(1))
    with pytest.raises(OddjetsError, match="the fit has no parameter 'mmu'; did you mean 'mu'"):
        model.fit()["mmu"]
    with pytest.raises(OddjetsError, match="the fit has no parameter 'mmu'"):
        model.fit().error("mmu")


@pytest.mark.parametrize("level", [95, 0.0, 1.0, -0.95, float("nan")])
def test_a_confidence_level_in_per_cent_is_refused(level: float) -> None:
    with pytest.raises(OddjetsError, match=f"a confidence level of {level:g} is not between 0 and 1"):
        Model(random_workspace(1)).limit(level)
