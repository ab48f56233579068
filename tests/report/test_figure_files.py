"""Figures are drawn from any directory, however odd, and absent stages are named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import synthetic
from PIL import Image

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.report import style
from oddjets.report.artifacts import Artifacts, MissingArtifactError
from oddjets.report.figure_files import collect, make
from oddjets.report.registry import draw

Finished = tuple[Analysis, Path]


def _copy(finished: Finished, tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).symlink_to(finished[1] / name)
    return tmp_path


def test_writes_json_png_and_pdf(finished: Finished, tmp_path: Path) -> None:
    out = _copy(finished, tmp_path, "results.json")
    files = make(finished[0], out, ["postfit_SR_A", "scan"])
    assert [f.name for f in files] == [
        f"{name}.{suffix}" for name in ("postfit_SR_A", "scan") for suffix in ("json", "png", "pdf")
    ]
    assert files[1].read_bytes().startswith(b"\x89PNG")
    pdf = files[2].read_bytes()
    assert pdf.startswith(b"%PDF")
    # publishers refuse Type 3 fonts
    assert b"/FontFile" in pdf
    assert b"/Type3" not in pdf


def test_a_figure_is_drawn_again_from_its_json(finished: Finished, tmp_path: Path) -> None:
    out = _copy(finished, tmp_path, "results.json")
    data = json.loads(make(finished[0], out, ["gof"])[0].read_text())
    axes = draw(data).axes[0]
    assert axes.get_xlabel() == "Saturated goodness-of-fit statistic"


def test_same_data_give_the_same_bytes(finished: Finished, tmp_path: Path) -> None:
    out = _copy(finished, tmp_path, "results.json")
    first = [f.read_bytes() for f in make(finished[0], out, ["limit"])]
    assert [f.read_bytes() for f in make(finished[0], out, ["limit"])] == first


def test_nothing_global_is_left_changed(finished: Finished, tmp_path: Path) -> None:
    before = dict(plt.rcParams)
    make(finished[0], _copy(finished, tmp_path, "results.json"), ["scan"])
    assert dict(plt.rcParams) == before
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("name", "verb"), [("postfit", "fit"), ("postfit_SR_A", "fit"), ("cutflow", "process"), ("closure", "closure")]
)
def test_absent_artifact_names_the_verb(name: str, verb: str, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match=f"`oddjets {verb}` first"):
        make(synthetic.analysis(), tmp_path, [name])


def test_unknown_figure_names_the_nearest(finished: Finished) -> None:
    with pytest.raises(OddjetsError, match="did you mean 'postfit'"):
        make(*finished, ["posfit"])
    with pytest.raises(OddjetsError, match="did you mean 'postfit_VR1_A'"):
        make(*finished, ["postfit_VR2_A"])


def test_all_from_an_empty_directory_is_nothing_and_says_what_to_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # it reads files, so nothing is to be simulated
    assert make(synthetic.analysis(), tmp_path) == []
    said = [record.getMessage() for record in caplog.records]
    assert [re.findall(r"`oddjets (\w+)`", line) for line in said] == [["process"], ["histogram"], ["closure"], ["fit"]]
    assert "closure, closures" in said[2]


def _blind(asked: Analysis) -> Analysis:
    assert asked.fit is not None
    return asked.model_copy(update={"fit": asked.fit.model_copy(update={"blind": True})})


@pytest.mark.parametrize("names", [None, ["cutflow"]])
def test_figures_of_a_blind_analysis_that_no_longer_hold_are_removed(
    names: list[str] | None, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oddjets.report.style.save", lambda figure, path: path.touch())
    folder = tmp_path / "figures"
    # with its data in A; half of one; one that is not ours
    make(
        finished[0],
        _copy(finished, tmp_path, "histograms", "cutflow.json"),
        ["observable_SR_mass", "regions", "cutflow"],
    )
    (folder / "score.png").touch()
    (folder / "mine.png").touch()
    make(_blind(finished[0]), tmp_path, names)
    left = {file.stem for file in folder.iterdir()}
    assert {"cutflow", "mine"} <= left
    assert "score" not in left
    if names is not None:
        assert left == {"cutflow", "mine"}
        return
    # drawn anew: nothing of A is left
    assert json.loads((folder / "observable_SR_mass.json").read_text())["panels"][1]["data"] is None
    assert json.loads((folder / "regions.json").read_text())["maps"][0]["letters"]["A"] is None


def test_events_that_cannot_be_shown_blind_leave_the_other_figures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = _blind(synthetic.analysis())
    synthetic.fabricate(tmp_path, asked)
    other = asked.model_copy(update={"threshold": asked.threshold.model_copy(update={"efficiency": 0.01})})
    drawn = {kind.name for kind, _ in collect(Artifacts(other, tmp_path))}
    assert {"postfit", "cutflow", "regions", "observable"} <= drawn
    assert "score" not in drawn
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any("'score'" in line and "`oddjets histogram`" in line for line in said)


ODD = [
    pytest.param({}, {"with_data": False}, id="no data"),
    pytest.param({"bins": 1}, {}, id="one bin"),
    pytest.param({}, {"empty": "wjets"}, id="empty process"),
    pytest.param({}, {"empty": "qcd", "scale": 0.0}, id="no events"),
    pytest.param({}, {"scale": 2e4}, id="1e9 events"),
    pytest.param({"processes": 60}, {}, id="60 processes", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("asked", "changes"), ODD)
def test_odd_input_is_still_drawn(asked: dict[str, Any], changes: dict[str, Any], tmp_path: Path) -> None:
    analysis = synthetic.analysis(**asked)
    synthetic.fabricate(tmp_path, analysis, **changes)
    for kind, data in collect(Artifacts(analysis, tmp_path), ["postfit_SR_D", "score", "cutflow"]):
        with style.context():
            figure = kind.draw(data)
            figure.canvas.draw()
        shown = figure.axes[0].get_ylim()
        # whatever the numbers, the panel has room above what it shows
        highest = max([v for v in data.get("total", {}).get("values", []) if v] or [0.0])
        assert 0 <= shown[0] < shown[1]
        assert shown[1] > highest


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "changes"), ODD)
def test_every_kind_is_drawn_from_odd_input(asked: dict[str, Any], changes: dict[str, Any], tmp_path: Path) -> None:
    analysis = synthetic.analysis(**asked)
    synthetic.fabricate(tmp_path, analysis, **changes)
    firsts = {kind.name: data for kind, data in reversed(collect(Artifacts(analysis, tmp_path)))}
    assert {"postfit", "grid", "yields", "regions", "cutflow", "closure", "limit", "scan"} <= set(firsts)
    for name, data in firsts.items():
        with style.context():
            figure = draw(data)
            figure.canvas.draw()
        for axes in figure.axes:
            low, high = axes.get_ylim()
            assert np.isfinite([low, high]).all(), name
            assert low != high, name
        # a legend of sixty entries would leave no room for what it explains
        main = figure.axes[0]
        if main.get_legend() is not None:
            assert main.get_legend().get_window_extent().height < 0.6 * figure.bbox.height, name


def test_animation_has_a_frame_for_every_threshold(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oddjets.report.figures.threshold_scan.FRAMES", 6)
    monkeypatch.setattr("oddjets.report.style.save", lambda figure, path: path.touch())
    out = _copy(finished, tmp_path, "events", "cutflow.json", "histograms")
    animation = make(finished[0], out, ["threshold_scan"])[-1]
    with Image.open(animation) as image:
        assert image.n_frames == 6
