"""Results of `Model` at a prompt and in a notebook, and the messages for what is given in the wrong form."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pyhf
import pytest

from oddjets.core.errors import OddjetsError
from oddjets.stats.model import Model


def workspace(**changes: Any) -> dict[str, Any]:
    signal = {"name": "s", "data": [5.0, 3.0], "modifiers": [{"name": "mu", "type": "normfactor", "data": None}]}
    uncertain = {"name": "n", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    background = {"name": "b", "data": [50.0, 40.0], "modifiers": [uncertain]}
    poi = {"name": "mu", "bounds": [[0, 10]], "inits": [1.0]}
    return {
        "channels": [{"name": "c", "samples": [signal, background]}],
        "observations": [{"name": "c", "data": [45.0, 35.0]}],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": [poi]}}],
        "version": "1.0.0",
    } | changes


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(workspace())


@pytest.mark.parametrize(
    ("ask", "head"),
    [
        (lambda m: m.limit(), "upper limit at 95% confidence level: "),
        (lambda m: m.significance(), "significance: 0 sigma"),
        (lambda m: m.scan(points=5), "profile likelihood at 5 points"),
        (lambda m: m.impacts(), "impacts on the parameter of interest: 1"),
        (lambda m: m.goodness_of_fit(toys=7), "goodness of fit: p = "),
        (lambda m: m.toy_significance(7), "significance from toys: p = "),
    ],
)
def test_a_result_is_a_few_lines_and_a_table_in_a_notebook(model: Model, ask: Any, head: str) -> None:
    result = ask(model)
    assert repr(result).startswith(head)
    assert len(repr(result).splitlines()) <= 7
    assert result._repr_html_().startswith("<table>")
    again = pickle.loads(pickle.dumps(result))
    assert type(again) is type(result)
    assert repr(again) == repr(result)


def test_the_notes_of_a_limit_are_below_its_table(model: Model) -> None:
    limit = model.limit()._replace(notes=("beyond <the> bound",))
    assert repr(limit).splitlines()[-1] == "beyond <the> bound"
    assert limit._repr_html_().endswith("<p>beyond &lt;the&gt; bound</p>")


@pytest.mark.parametrize("points", [3, 4, 11])
@pytest.mark.parametrize("data", [[45.0, 35.0], [60.0, 50.0]])
def test_a_scan_has_as_many_points_as_asked_for_also_if_the_best_value_is_at_its_bound(
    data: list[float], points: int
) -> None:
    scan = Model(workspace(observations=[{"name": "c", "data": data}])).scan(points=points)
    assert len(scan.values) == points
    assert np.min(scan.twice_delta_nll) == 0


@pytest.mark.parametrize("fixed", ["mu", 1.0, [("mu", 1.0)]])
def test_parameters_to_hold_are_names_and_values(model: Model, fixed: Any) -> None:
    with pytest.raises(OddjetsError, match=r"fixed: names and values of parameters, as \{'mu': 1\.0\}; got"):
        model.fit(fixed)


def test_what_is_no_workspace_is_named(tmp_path: Any) -> None:
    with pytest.raises(OddjetsError, match=r"give json\.loads\(TEXT\)$"):
        Model(json.dumps(workspace()))
    with pytest.raises(OddjetsError, match="has no data: give it and its data as a pair"):
        Model(pyhf.simplemodels.uncorrelated_background([1.0], [2.0], [1.0]))  # type: ignore[arg-type]


def test_the_name_of_a_patch_is_one_patch(tmp_path: Any) -> None:
    patch = tmp_path / "patch.json"
    patch.write_text('[{"op": "replace", "path": "/observations/0/data", "value": [46.0, 35.0]}]', encoding="utf-8")
    assert Model(workspace(), patches=str(patch)).data.main.tolist() == [[46.0, 35.0]]
    assert Model(workspace(), patches=patch).data.main.tolist() == [[46.0, 35.0]]
