"""What pyhf's schema allows is read, and is the same likelihood as pyhf's; or the reason why not is true."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pyhf
import pytest
from helpers.odd_workspace import odd_workspace
from helpers.random_workspace import random_workspace

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model, best_fits, impacts
from oddjets.stats.histfactory.workspace_checks import WorkspaceError

#: the only reasons to refuse a workspace of which pyhf makes a model; each is tested below or in test_bad_input
REASONS = (
    "is fixed at",
    "nothing depends on the parameter of interest",
    "this channel has",
    "rename one",
    "is impossible; fix it at 1",
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(40))
def test_odd_workspaces_have_pyhfs_likelihood_or_a_true_reason(seed: int) -> None:
    workspace = odd_workspace(seed)
    theirs = pyhf.Workspace(workspace)
    for measurement in {m["name"]: m for m in workspace["measurements"]}:
        try:
            model, data = _pyhfs(theirs, measurement)
        except (KeyError, pyhf.exceptions.InvalidModel):
            # what pyhf cannot make is refused, and no traceback
            with pytest.raises(OddjetsError):
                Model(workspace, measurement=measurement)
            continue
        ours = _ours(workspace, measurement)
        if isinstance(ours, Model):
            _compare(ours, model, data, seed)
        else:
            assert any(reason in ours for reason in REASONS)


def _ours(workspace: Any, measurement: str) -> Model | str:
    try:
        return Model(workspace, measurement=measurement)
    except OddjetsError as error:
        return str(error)


def _pyhfs(workspace: Any, measurement: str) -> tuple[Any, np.ndarray]:
    model = workspace.model(measurement_name=measurement)
    return model, np.array(workspace.data(model))


def _compare(ours: Model, theirs: Any, data: np.ndarray, seed: int) -> None:
    rng, p = np.random.default_rng(seed), ours.parameters
    assert list(p.names) == theirs.config.par_names
    width = np.where(p.constrained, np.maximum(p.sigma, 0.02), 0.4)
    for k in range(4):
        point = np.clip(p.init + (k > 0) * rng.normal(0, 1, len(p)) * width, np.maximum(p.low, -3), p.high)
        point = np.where(p.fixed, p.init, point)
        rate = theirs.expected_data(point, include_auxdata=False)
        np.testing.assert_allclose(ours.expected(point), rate, rtol=1e-12, atol=1e-12 * np.abs(rate).max())
        expected = -2 * float(theirs.logpdf(point, data)[0])
        # an empty bin is not rewarded for an expectation below zero, see docs/minimiser.md
        if np.isfinite(expected) and rate.min() >= 0:
            # pyhf's sum has terms of the size of n ln n, and loses what lies beyond their digits
            terms = (ours.spec.data * np.log(ours.spec.data + 1)).sum()
            assert ours.twice_nll(point) == pytest.approx(expected, rel=1e-9, abs=1e-9 + 1e-14 * terms)


@pytest.fixture
def workspace() -> dict[str, Any]:
    return copy.deepcopy(random_workspace(1, two_sided=True))


def _rename(content: Any, old: str, new: str) -> Any:
    if isinstance(content, dict):
        return {key: _rename(value, old, new) for key, value in content.items()}
    if isinstance(content, list):
        return [_rename(value, old, new) for value in content]
    return new if content == old else content


@pytest.mark.parametrize("name", ["mu[tt]", "µ→ττ", "the strength", "a/b", "", "[b]", "0"])
def test_a_strength_may_have_any_name(workspace: dict[str, Any], name: str) -> None:
    usual = best_fits(Model(workspace)).best["mu"]
    odd = Model(_rename(workspace, "mu", name), poi=name)
    assert odd.poi == name
    assert best_fits(odd).best[name] == pytest.approx(usual, abs=1e-6)


def test_each_measurement_is_its_own(workspace: dict[str, Any]) -> None:
    first = workspace["measurements"][0]
    second = copy.deepcopy(first) | {"name": "second"}
    second["config"]["parameters"][0] |= {"fixed": True, "inits": [2.0]}
    second["config"]["poi"] = ""
    both = workspace | {"measurements": [first, second]}
    assert Model(both).poi == Model(both, measurement="m").poi == "mu"
    other = Model(both, measurement="second")
    assert other.poi is None
    assert other.fit()["mu"] == 2.0
    assert other.fit().twice_nll == pytest.approx(Model(workspace).fit({"mu": 2.0}).twice_nll)


def test_measurements_that_are_not_there_or_there_twice(workspace: dict[str, Any]) -> None:
    with pytest.raises(WorkspaceError, match="has no measurement 'n'; valid names: m"):
        Model(workspace, measurement="n")
    twice = workspace | {"measurements": 2 * workspace["measurements"]}
    with pytest.raises(WorkspaceError, match="measurement 'm' is there twice: rename one"):
        Model(twice, measurement="m")
    assert Model(twice).poi == "mu"


def test_a_start_outside_of_the_bounds_begins_at_the_bound(workspace: dict[str, Any]) -> None:
    parameters = workspace["measurements"][0]["config"]["parameters"]
    parameters[:] = [p for p in parameters if p["name"] != "mu"] + [{"name": "mu", "bounds": [[1.5, 5]], "inits": [1]}]
    model = Model(workspace)
    assert model.parameters.init[model.parameters.index("mu")] == 1.5
    assert model.fit()["mu"] >= 1.5


def test_arrays_and_their_numbers_are_read_as_pyhf_reads_them(workspace: dict[str, Any]) -> None:
    arrays = copy.deepcopy(workspace)
    for channel in arrays["channels"]:
        for sample in channel["samples"]:
            sample["data"] = np.array(sample["data"])
    arrays["observations"] = [
        {"name": o["name"], "data": [np.int64(n) for n in o["data"]]} for o in arrays["observations"]
    ]
    assert pyhf.Workspace(arrays).model().config.npars == len(Model(arrays).parameters)
    assert Model(arrays).fit().twice_nll == Model(workspace).fit().twice_nll
    # what was given is as it was
    assert isinstance(arrays["channels"][0]["samples"][0]["data"], np.ndarray)


def _channels(*samples: tuple[str, list[float], list[dict[str, Any]]], poi: str = "mu", seen: float = 1.0) -> Any:
    channels = [
        {"name": name, "samples": [{"name": "s", "data": data, "modifiers": modifiers}]}
        for name, data, modifiers in samples
    ]
    return {
        "channels": channels,
        "observations": [{"name": name, "data": [seen * n for n in data]} for name, data, _ in samples],
        "measurements": [{"name": "m", "config": {"poi": poi, "parameters": []}}],
        "version": "1.0.0",
    }


MU, FREE = ({"name": name, "type": kind, "data": None} for name, kind in (("mu", "normfactor"), ("f", "shapefactor")))


def test_a_shapefactor_of_one_bin_may_be_of_interest() -> None:
    workspace = _channels(("a", [20.0], [FREE]), ("b", [200.0], [MU]), poi="f", seen=1.5)
    model = Model(workspace)
    assert model.poi == "f[0]"
    assert model.spec.pyhf_model.config.poi_name == "f"
    found = best_fits(model).best
    assert found["f[0]"] == pytest.approx(1.5)
    assert [i.name for i in impacts(model, found).ranking] == ["mu"]


def test_a_bin_of_a_shapefactor_may_be_asked_about_and_all_together_may_not() -> None:
    workspace = _channels(("a", [20.0, 10.0], [FREE]), ("b", [200.0], [MU]), seen=1.5)
    assert best_fits(Model(workspace, poi="f[1]")).best["f[1]"] == pytest.approx(1.5)
    with pytest.raises(OddjetsError, match="'f' is 2 parameters, one for each bin; name one of them, as 'f\\[0\\]'"):
        Model(workspace, poi="f")


@pytest.mark.parametrize(("first", "second"), [(3, 2), (2, 2)])
def test_a_shapefactor_may_be_shared_with_fewer_bins(first: int, second: int) -> None:
    workspace = _channels(("a", [10.0] * first, [FREE]), ("b", [20.0] * second, [FREE]), ("c", [5.0], [MU]))
    model = Model(workspace)
    point = 1.5 + np.arange(len(model.parameters))
    theirs = model.spec.pyhf_model
    np.testing.assert_allclose(model.expected(point), theirs.expected_data(point, include_auxdata=False))


def test_a_shapefactor_with_fewer_parameters_than_bins_is_refused_as_pyhf_takes_another_for_them() -> None:
    workspace = _channels(("a", [10.0, 10.0], [FREE]), ("b", [20.0] * 3, [FREE]), ("c", [5.0], [MU]))
    model = pyhf.Workspace(workspace).model()
    names = model.config.par_names
    point = np.where(np.array(names) == names[0], 7.0, 1.0)
    # the third bin of b
    assert model.expected_data(point, include_auxdata=False)[4] == 7 * 20
    with pytest.raises(
        WorkspaceError, match=r"channel 'b'.* 'f' has 2 parameters, one for each bin of channel 'a', and"
    ):
        Model(workspace)


def test_a_staterror_with_a_slash_is_refused_as_pyhf_cannot_make_it(workspace: dict[str, Any]) -> None:
    slashed = _rename(workspace, "stat_ch0", "stat/ch0")
    assert slashed != workspace
    with pytest.raises(KeyError):
        pyhf.Workspace(slashed).model()
    with pytest.raises(WorkspaceError, match="staterror 'stat/ch0': pyhf does not support a staterror with '/'"):
        Model(slashed)


def test_the_data_need_not_depend_on_a_nuisance_of_interest() -> None:
    idle = {"name": "n", "type": "normsys", "data": {"hi": 1.0, "lo": 1.0}}
    best = best_fits(Model(_channels(("a", [20.0], [idle, MU]), poi="n"))).best
    assert (best["n"], best.error("n")) == (pytest.approx(0), pytest.approx(1))


@pytest.mark.parametrize("scale", [1e-100, 1e-9, 1e9])
def test_a_signal_of_any_size_may_be_of_interest(scale: float) -> None:
    workspace = _channels(("a", [50.0], []), seen=1.2)
    signal = {"name": "signal", "data": [scale], "modifiers": [MU]}
    workspace["channels"][0]["samples"].append(signal)
    workspace["measurements"][0]["config"]["parameters"] = [{"name": "mu", "bounds": [[0, 100 / scale]]}]
    best = best_fits(Model(workspace)).best
    assert best["mu"] == pytest.approx(10 / scale, rel=1e-5)
    assert best.error("mu") == pytest.approx(60**0.5 / scale, rel=1e-5)


def test_what_a_fit_is_not_precise_enough_for_is_not_called_undetermined() -> None:
    # a free factor, and one that a 40 % constraint holds: determined, but beside 1e9 events for no double to tell
    half = {"name": "half", "type": "normsys", "data": {"hi": 1.4, "lo": 0.6}}
    for events, message in (
        (1e9, "not precise enough for errors: it measures one combination .*: (mu, half|half, mu)"),
        (1e4, ""),
    ):
        model = Model(_channels(("a", [events], [MU, half])))
        if message:
            with pytest.raises(OddjetsError, match=message):
                model.fit()
            assert model.fit(with_covariance=False)["mu"] == pytest.approx(1.0, rel=1e-4)
        else:
            assert model.fit().error("mu") == pytest.approx(0.4, rel=0.1)


def test_two_strengths_of_one_process_are_undetermined_however_exact_the_fit() -> None:
    # their product is the strength: what is left of the gradient is no curvature
    twin = {"name": "twin", "type": "normfactor", "data": None}
    with pytest.raises(OddjetsError, match=r"the data cannot tell these parameters apart: (mu, twin|twin, mu)"):
        Model(_channels(("a", [50.0, 60.0], [MU, twin]), ("b", [70.0, 20.0], [MU, twin]), seen=1.3)).fit()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_factor_that_is_held_where_its_measurement_is_impossible() -> None:
    none = {"name": "none", "type": "shapesys", "data": [0.0]}
    workspace = _channels(("a", [20.0], [MU, none]))
    parameters = workspace["measurements"][0]["config"]["parameters"]
    parameters.append({"name": "none", "inits": [0.0]})
    with pytest.raises(
        WorkspaceError, match=r"'none\[0\]' is fixed at 0, where its auxiliary measurement of 1 is impossible"
    ):
        Model(workspace)
    theirs = pyhf.Workspace(workspace)
    model = theirs.model()
    assert not np.isfinite(model.logpdf(model.config.suggested_init(), theirs.data(model)))
    parameters[0]["inits"] = [1.0]
    assert best_fits(Model(workspace)).best["mu"] == pytest.approx(1.0)
