"""The page and the figures of a rescored signal: what they say, and of which conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import made_rescoring, synthetic

from oddjets.config.analysis import Process
from oddjets.report import registry, rescoring
from oddjets.report.artifacts import Artifacts

KINDS = ("acceptance", "signal_limit", "signal_score", "signal_templates", "efficiency_map")


def _artifacts(out: Path, **changes: Any) -> Artifacts:
    made_rescoring.write(out, **changes)
    asked = synthetic.analysis()
    processes = {**asked.processes, "signal": Process(label="X to YY", color="#832db6")}
    return Artifacts(asked.model_copy(update={"processes": processes}), out)


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_json_with_words_and_can_be_drawn(kind: str, tmp_path: Path) -> None:
    figures = registry.KINDS[kind].data(_artifacts(tmp_path))
    assert len(figures) == (2 if kind == "signal_templates" else 1)
    for name, data in figures.items():
        assert json.loads(json.dumps(data, allow_nan=False)) == data
        assert (data["name"], data["kind"]) == (name, kind)
        assert len(data["alt"]) > 40
    registry.draw(data)


def test_shapes_add_up_to_one_also_of_blinded_data(tmp_path: Path) -> None:
    score = made_rescoring.rescoring()["score"]
    score["data"] |= {key: [*score["data"][key][:12], *[None] * 8] for key in ("values", "down", "up")}
    data = registry.KINDS["signal_score"].data(_artifacts(tmp_path, score=score))["signal_score"]
    for name in ("signal", "background", "data"):
        assert np.nansum(np.array(data[name]["values"], float)) == pytest.approx(1)
    assert data["data"]["values"][12:] == [None] * 8


def test_the_band_of_a_template_is_the_sum_in_quadrature(tmp_path: Path) -> None:
    template = made_rescoring.rescoring()["templates"]["SR_A"]
    data = registry.KINDS["signal_templates"].data(_artifacts(tmp_path))["signal_templates_SR"]
    halves = [np.subtract(v["up"], v["down"]) / 2 for v in template["variations"].values()]
    np.testing.assert_allclose(np.square(data["total"]), np.square(template["errors"]) + np.square(halves).sum(axis=0))
    assert [v["name"] for v in data["variations"]] == ["photon_scale", "jms", "fsr_signal", "jes"]


def _page(out: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> str:
    monkeypatch.setattr(rescoring, "write_figures", lambda *args, **options: [])
    monkeypatch.setattr(rescoring, "SECTIONS", {name: (title, ()) for name, (title, _) in rescoring.SECTIONS.items()})
    artifacts = _artifacts(out, **changes)
    return rescoring.write_page(artifacts.analysis, out).read_text(encoding="utf-8")


def test_the_page_says_limit_conditions_and_what_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _page(tmp_path, monkeypatch, forced=["its beams have 14 TeV, and those of the analysis 13 TeV"])
    for words in (
        "At 95 % confidence level there is less than 0.5 pb of X to YY.",
        "68 %: 0.275 to 0.6 pb",
        "The sample is of other conditions than the analysis (--force)",
        "its beams have 14 TeV",
        "2.5 % of the generated events have negative weights",
        "top, is a background at its stated cross section",
        "not there: no such weights",
        "97 → 103",
        "The sample has only 3 effective events in A.",
    ):
        assert words in text, words


def test_a_page_says_what_it_could_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = made_rescoring.rescoring()
    limit = made["limit"] | {"observed": None, "observed_pb": None}
    score = made["score"] | {"background": None, "data": None}
    text = _page(tmp_path, monkeypatch, limit=limit, score=score)
    assert "there is no observed limit on X to YY; the warnings say why" in text
    assert "without the published background and data" in text


def test_a_page_without_limit_and_one_that_is_blinded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = _page(tmp_path, monkeypatch, limit=None, contamination={}, no_limit="no event of the signal is in A")
    assert "There is no limit on X to YY: no event of the signal is in A." in text
    limit = made_rescoring.rescoring()["limit"] | {"observed": None, "observed_pb": None}
    text = _page(tmp_path, monkeypatch, blinded=True, limit=limit)
    assert "Expected at 95 % confidence level: less than 0.4 pb" in text
    assert ">blinded<" in text
