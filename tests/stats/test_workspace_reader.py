"""What is no workspace, and how it is said."""

from __future__ import annotations

import copy
import json

import pyhf
import pytest
from helpers.random_workspace import random_workspace

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model
from oddjets.stats.histfactory.workspace_checks import WorkspaceError
from oddjets.stats.histfactory.workspace_reader import read
from oddjets.stats.histfactory.workspace_sources import load_workspace
from oddjets.stats.summary import fit_workspace


@pytest.fixture
def workspace():
    return copy.deepcopy(random_workspace(1))


def test_a_measurement_is_taken_by_its_name(workspace, caplog):
    first = workspace["measurements"][0]
    workspace["measurements"].append({"name": "other", "config": first["config"] | {"poi": ""}})
    assert read(workspace, "other").poi is None
    assert read(workspace, first["name"]).poi == first["config"]["poi"]
    assert not caplog.records
    assert read(workspace).poi == first["config"]["poi"]
    assert f"2 measurements; the first, '{first['name']}', is used" in caplog.text
    with pytest.raises(WorkspaceError, match="no measurement 'othre'; did you mean 'other'"):
        read(workspace, "othre")


def test_the_schema_is_looked_at_once(workspace, monkeypatch):
    """It is most of the time of reading a workspace."""
    asked = []
    validate = pyhf.schema.validate
    for module in (pyhf.schema, pyhf.workspace.schema, pyhf.pdf.schema):
        monkeypatch.setattr(module, "validate", lambda *a, **k: asked.append(a[1]) or validate(*a, **k))
    read(workspace)
    assert asked == ["workspace.json"]


def test_an_unknown_modifier_is_named_with_the_nearest(workspace):
    workspace["channels"][0]["samples"][0]["modifiers"].append({"name": "x", "type": "normsis", "data": None})
    with pytest.raises(WorkspaceError, match=r"channel 'ch0', sample 'signal': modifier 'x' .* did you mean 'normsys'"):
        read(workspace)


def test_a_template_with_the_wrong_binning(workspace):
    workspace["channels"][1]["samples"][1]["data"].append(1.0)
    with pytest.raises(WorkspaceError, match="channel 'ch1', sample 'bkg1': wrong binning"):
        read(workspace)


def test_a_variation_with_the_wrong_binning(workspace):
    bins = len(workspace["channels"][0]["samples"][0]["data"])
    modifier = {"name": "jes", "type": "histosys", "data": {"hi_data": [1.0] * (bins + 1), "lo_data": [1.0] * bins}}
    workspace["channels"][0]["samples"][0]["modifiers"].append(modifier)
    with pytest.raises(WorkspaceError, match="histosys 'jes', hi_data: wrong binning"):
        read(workspace)


def test_nan_in_a_template(workspace):
    workspace["channels"][0]["samples"][0]["data"][1] = float("nan")
    with pytest.raises(WorkspaceError, match="bin 1 is nan"):
        read(workspace)


def test_negative_data(workspace):
    workspace["observations"][0]["data"][0] = -1.0
    with pytest.raises(WorkspaceError, match="observation of channel 'ch0': bin 0 is -1"):
        read(workspace)


def test_a_factor_of_zero(workspace):
    modifier = {"name": "norm", "type": "normsys", "data": {"hi": 1.1, "lo": 0.0}}
    workspace["channels"][0]["samples"][0]["modifiers"].append(modifier)
    with pytest.raises(WorkspaceError, match="normsys 'norm': 'lo' is 0"):
        read(workspace)


def test_a_poi_that_does_not_exist(workspace):
    workspace["measurements"][0]["config"]["poi"] = "mi"
    with pytest.raises(WorkspaceError, match="nothing depends on the parameter of interest 'mi'; did you mean"):
        read(workspace)


def test_another_poi_by_name_that_does_not_exist(workspace):
    with pytest.raises(OddjetsError, match="no parameter 'muu'; did you mean 'mu'"):
        Model(workspace, "muu")


def test_a_poi_without_events(workspace):
    for channel in workspace["channels"]:
        channel["samples"][0]["data"] = [0.0] * len(channel["samples"][0]["data"])
        channel["samples"][0]["modifiers"] = [{"name": "mu", "type": "normfactor", "data": None}]
    with pytest.raises(OddjetsError, match="nothing depends on the parameter of interest 'mu'"):
        Model(workspace)


@pytest.mark.parametrize("key", ["channels", "observations", "measurements", "version"])
def test_a_missing_key(workspace, key):
    del workspace[key]
    with pytest.raises(WorkspaceError, match=f"no '{key}'"):
        read(workspace)


def test_a_channel_without_data(workspace):
    del workspace["observations"][0]
    with pytest.raises(WorkspaceError, match="channel 'ch0' has no observation"):
        read(workspace)


def test_two_samples_of_one_name(workspace):
    workspace["channels"][0]["samples"][1]["name"] = "signal"
    with pytest.raises(WorkspaceError, match="two samples of the same name"):
        read(workspace)


def test_a_truncated_file(tmp_path, workspace):
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(workspace)[:200])
    with pytest.raises(OddjetsError, match=r"workspace\.json: is not valid JSON .*incomplete"):
        load_workspace(path)


def test_no_file(tmp_path):
    with pytest.raises(OddjetsError, match=r"workspace\.json: cannot be read: No such file"):
        load_workspace(tmp_path / "workspace.json")


def test_a_list_is_no_workspace(tmp_path):
    path = tmp_path / "workspace.json"
    path.write_text("[1, 2]")
    with pytest.raises(OddjetsError, match="a workspace is a JSON object"):
        load_workspace(path)


def test_a_sound_file_is_read(tmp_path, workspace):
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(workspace))
    assert load_workspace(path) == workspace


def test_one_name_for_a_factor_and_a_constraint(workspace):
    modifier = {"name": "mu", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}}
    workspace["channels"][0]["samples"][1]["modifiers"].append(modifier)
    with pytest.raises(WorkspaceError, match="a name is used for two different things"):
        read(workspace)


def test_what_does_not_follow_the_schema(workspace):
    workspace["channels"][0]["surplus"] = 1
    with pytest.raises(WorkspaceError, match="does not follow pyhf's schema"):
        read(workspace)


def test_a_fixed_parameter_of_interest_is_refused_where_pyhf_refuses_it(workspace):
    parameters = workspace["measurements"][0]["config"]["parameters"]
    parameters[:] = [p for p in parameters if p["name"] != "mu"] + [{"name": "mu", "fixed": True}]
    reference = pyhf.Workspace(workspace)
    model = reference.model()
    with pytest.raises(pyhf.exceptions.InvalidModel, match="fixed"):
        pyhf.infer.hypotest(1.0, reference.data(model), model)
    with pytest.raises(OddjetsError, match="'mu' is fixed at 1"):
        Model(workspace)


def test_another_parameter_of_interest_may_be_asked_about_where_the_first_is_fixed(workspace):
    parameters = workspace["measurements"][0]["config"]["parameters"]
    parameters[:] = [p for p in parameters if p["name"] != "mu"] + [{"name": "mu", "fixed": True, "inits": [1.0]}]
    result = fit_workspace(workspace, poi="k", limit=False, impacts=False, scan=False)
    assert result["poi"]["name"] == "k"
    assert result["poi"]["error"] > 0
    held = next(p for p in result["pois"] if p["name"] == "mu")
    assert (held["value"], held["error"], held["error_kind"]) == (1.0, None, "fixed")


def test_what_is_held_has_no_scan(workspace):
    parameters = workspace["measurements"][0]["config"]["parameters"]
    parameters.append({"name": "k", "fixed": True})
    with pytest.raises(OddjetsError, match="'k' is fixed at 1"):
        fit_workspace(workspace, limit=False, impacts=False, scan_parameter="k")


def test_what_the_model_does_not_have_may_be_configured(workspace):
    workspace["measurements"][0]["config"]["parameters"].append({"name": "absent", "sigmas": [0.0]})
    assert pyhf.Workspace(workspace).model().config.npars == len(Model(workspace).parameters)


def test_one_name_may_be_of_two_types(workspace):
    sample = workspace["channels"][0]["samples"][0]
    up = [1.1 * y for y in sample["data"]]
    sample["modifiers"] += [
        {"name": "both", "type": "normsys", "data": {"hi": 1.1, "lo": 0.9}},
        {"name": "both", "type": "histosys", "data": {"hi_data": up, "lo_data": sample["data"]}},
    ]
    assert "both" in Model(workspace).parameters.names
