"""pyhf's parameters without its arrays: the same as those of pyhf's own model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyhf
import pytest
from helpers.random_workspace import hard_workspace, random_workspace

from oddjets.stats.histfactory.pyhf_config import pyhf_config
from oddjets.stats.histfactory.workspace_checks import WorkspaceError
from oddjets.stats.histfactory.workspace_reader import read


@pytest.mark.parametrize("make", [hard_workspace, random_workspace])
@pytest.mark.parametrize("seed", range(12))
def test_the_parameters_are_pyhfs(make: Any, seed: int) -> None:
    workspace = make(seed)
    settings = workspace["measurements"][0]["config"]["parameters"]
    theirs = pyhf.Model({"channels": workspace["channels"], "parameters": settings}, poi_name=None).config
    ours = pyhf_config(workspace["channels"], settings)
    for what in ("par_order", "par_names", "auxdata_order", "channels", "channel_slices", "modifiers"):
        assert getattr(ours, what) == getattr(theirs, what)
    for what in ("suggested_init", "suggested_bounds", "suggested_fixed"):
        assert getattr(ours, what)() == getattr(theirs, what)()
    np.testing.assert_allclose(ours.auxdata, theirs.auxdata, rtol=1e-15)
    for name in theirs.par_order:
        mine, other = ours.param_set(name), theirs.param_set(name)
        assert mine.constrained == other.constrained
        if mine.constrained:
            assert mine.pdf_type == other.pdf_type
            np.testing.assert_allclose(mine.width(), other.width(), rtol=1e-15)


def test_a_staterror_on_different_samples_of_two_channels_is_refused_as_by_pyhf() -> None:
    def channel(name: str, with_error: int) -> dict[str, Any]:
        mu = {"name": "mu", "type": "normfactor", "data": None}
        error = {"name": "stat", "type": "staterror", "data": [1.0]}
        samples = [
            {"name": f"s{i}", "data": [10.0], "modifiers": [mu, *([error] if i == with_error else [])]} for i in (0, 1)
        ]
        return {"name": name, "samples": samples}

    workspace = {
        "channels": [channel("a", 0), channel("b", 1)],
        "observations": [{"name": name, "data": [20.0]} for name in "ab"],
        "measurements": [{"name": "m", "config": {"poi": "mu", "parameters": []}}],
        "version": "1.0.0",
    }
    with pytest.raises(AssertionError):
        pyhf.Workspace(workspace).model()
    with pytest.raises(WorkspaceError, match="staterror 'stat' is on one sample in some channels"):
        read(workspace)


def test_reading_makes_none_of_pyhfs_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have an entry for each sample, modifier and bin, and take most of the time and of the memory."""
    monkeypatch.setattr(pyhf.modifiers.histosys_combined, "__init__", None)
    assert read(random_workspace(1)).parameters.names
