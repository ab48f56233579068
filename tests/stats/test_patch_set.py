"""The published likelihood: background and patch give the workspace again, for pyhf too."""

from __future__ import annotations

import json
from typing import Any

import pyhf
import pytest
from helpers.small_fit import make_analysis, make_histograms

from oddjets.core.errors import OddjetsError
from oddjets.stats.histfactory.workspace_sources import load_workspace
from oddjets.stats.patch_set import split_signal
from oddjets.stats.workspace import build


@pytest.fixture(scope="module")
def workspace() -> dict[str, Any]:
    return json.loads(json.dumps(build(make_analysis(), make_histograms())[0]))


def test_the_patch_gives_the_workspace_in_every_digit_and_order(workspace: dict[str, Any]) -> None:
    made = split_signal(workspace, {"mu": "top"})
    again = pyhf.PatchSet(made.patch_set).apply(pyhf.Workspace(made.background), made.name)
    assert json.dumps(again) == json.dumps(workspace)
    assert load_workspace(made.background, [(made.patch_set, made.name)]) == workspace


def test_the_background_has_no_signal_and_is_valid(workspace: dict[str, Any]) -> None:
    background = split_signal(workspace, {"mu": "top"}).background
    assert "top" in pyhf.Workspace(workspace).samples
    assert "top" not in pyhf.Workspace(background).samples
    assert "mu" not in json.dumps(background["measurements"])
    model = pyhf.Workspace(background).model()
    assert model.config.poi_name is None


def test_a_background_that_was_changed_is_refused(workspace: dict[str, Any]) -> None:
    made = split_signal(workspace, {"mu": "top"})
    made.background["observations"][0]["data"][0] += 1
    with pytest.raises(pyhf.exceptions.PatchSetVerificationError):
        pyhf.PatchSet(made.patch_set).verify(pyhf.Workspace(made.background))


def test_names_are_those_that_pyhf_takes(workspace: dict[str, Any]) -> None:
    assert split_signal(workspace, {"mu": "X → bb", "nu": "top"}).name == "X___bb_and_top"


def test_a_channel_of_signal_alone_is_refused(workspace: dict[str, Any]) -> None:
    samples = [s for s in workspace["channels"][0]["samples"] if s["name"] == "top"]
    changed = {**workspace, "channels": [{**workspace["channels"][0], "samples": samples}, *workspace["channels"][1:]]}
    with pytest.raises(OddjetsError, match="nothing but the signal"):
        split_signal(changed, {"mu": "top"})
