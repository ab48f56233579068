"""The health table: what single events and odd variations do to templates is on the first screen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import planted, synthetic

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.io import paper_npz
from oddjets.report import health, html
from oddjets.report.artifacts import Artifacts
from oddjets.report.health_line import HealthCheck
from oddjets.selection.event_weights import WeightAudit
from oddjets.workflow.pipeline import run_stages, stage_of
from oddjets.workflow.run import RunContext


def lines(artifacts: Artifacts) -> dict[str, HealthCheck]:
    return {check.name: check for check in health.health_checks(artifacts)}


def _with_report(finished: tuple[Analysis, Path], out: Path, **report: Any) -> Artifacts:
    shutil.copytree(finished[1], out, dirs_exist_ok=True)
    file = out / "manifests" / "workspace.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | {"extra": {"report": report}}))
    return Artifacts(finished[0], out)


LARGE = [
    {"region": "SR", "letter": "A", "process": "top", "variation": "jes", "largest_change": 0.7},
    {"region": "SR", "letter": "B", "process": "top", "variation": "fsr", "largest_change": 6.83},
]
ONE_SIDED = [
    {"region": "SR", "letter": "A", "process": "top", "variation": "jes", "up": -0.01, "down": -0.9},
    {"region": "VR1", "letter": "A", "process": "wjets", "variation": "fsr", "up": -0.56, "down": -0.23},
]


def test_wild_and_one_sided_variations_are_counted_with_the_worst(
    finished: tuple[Analysis, Path], tmp_path: Path
) -> None:
    found = lines(_with_report(finished, tmp_path, large=LARGE, one_sided=ONE_SIDED))
    large, one_sided = found["Large variations"], found["One-sided variations"]
    assert (large.status, large.value) == ("watch", "2")
    assert "fsr changes one of top in SR B by 683 %" in large.note
    assert (one_sided.status, one_sided.value) == ("watch", "2")
    assert "fsr moves wjets in VR1 A by −56 % and −23 %" in one_sided.note
    assert "smoothed" not in large.note + one_sided.note


def test_what_was_done_about_them_is_said(finished: tuple[Analysis, Path], tmp_path: Path) -> None:
    found = lines(_with_report(finished, tmp_path, large=LARGE, smoothed=LARGE[:1], capped=LARGE[:1]))
    assert found["Large variations"].note.endswith("; smoothed and capped where asked")


def test_an_analysis_without_them_has_no_such_lines(finished: tuple[Analysis, Path]) -> None:
    assert (
        not {"Large variations", "One-sided variations", "Varied weights", "Data in A"}
        & lines(Artifacts(*finished)).keys()
    )


def test_the_first_screen_links_to_the_tables_behind(
    finished: tuple[Analysis, Path], tmp_path: Path, quick_pictures: None
) -> None:
    artifacts = _with_report(finished, tmp_path, large=LARGE, one_sided=ONE_SIDED)
    text = html.write(artifacts.analysis, tmp_path).read_text(encoding="utf-8")
    first = text[text.index('id="answer"') : text.index('id="regions"')]
    assert f'href="#{health.VARIATIONS}"' in first
    assert f'id="{health.VARIATIONS}"' in text
    assert "+683 %" in text


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Imported event files with one event of 5000 times the weight, and one whose varied weight is 4000 times nominal."""
    folder = tmp_path_factory.mktemp("heavy")
    file = planted.write(folder, blind=False)
    name = folder / "outputs_pretrain_l_top_dijet.npz"
    with np.load(name) as content:
        prediction, cond = content["prediction"], content["cond"].copy()
    # the first events of SR are in A
    cond[0:2, 34:] *= 5000
    cond[2:4, paper_npz.WEIGHT_VARIATIONS["puUp"]] *= 4000
    np.savez(name, prediction=prediction, cond=cond)
    run = RunContext(load_analysis(file), folder / "out")
    run_stages(run, [stage_of(run, stage) for stage in ("process", "histogram")])
    return Artifacts(run.analysis, run.out)


def test_one_event_of_an_imported_file_with_most_of_the_weight_is_named(imported: Artifacts) -> None:
    assert imported.event_weights is not None
    heavy = {(t["process"], t["region"], t["letter"]): t for t in imported.event_weights["templates"] if t["heavy"]}
    # its template, and the region as a whole: 320 events in each of four letters
    assert heavy.keys() == {("top", "SR", "A"), ("top", "SR", "all")}
    assert heavy["top", "SR", "A"]["largest_share"] == pytest.approx(5000 / 5319)
    line = lines(imported)["Event weights"]
    assert (line.status, line.value) == ("watch", "one event dominates 2 templates")
    assert line.note == "one event has 94 % of top in SR A, so that 320 events count as 1.1 of equal weight"


def test_a_varied_weight_of_thousands_is_named(imported: Artifacts) -> None:
    line = lines(imported)["Varied weights"]
    assert (line.status, line.value) == ("watch", "1 event")
    assert "puUp of top reaches 4\N{NARROW NO-BREAK SPACE}000 times in SR A" in line.note


def test_data_are_in_no_count_of_weights(imported: Artifacts) -> None:
    assert imported.event_weights is not None
    assert {t["process"] for t in imported.event_weights["templates"]} == {"top", "qcd"}


def test_even_weights_are_good(finished: tuple[Analysis, Path], tmp_path: Path) -> None:
    synthetic.fabricate(tmp_path, finished[0])
    line = line_of(finished[0], tmp_path, np.ones(10))
    assert (line.status, line.value) == ("good", "even")


def line_of(analysis: Analysis, folder: Path, weights: npt.NDArray[np.float64]) -> HealthCheck:
    """What is said of one template of these weights."""
    audit, size = WeightAudit(), len(weights)
    audit.add("top", weights, np.zeros(size, np.int8), {"SR": np.ones(size, bool)})
    (folder / "event_weights.json").write_text(json.dumps(audit.summary()))
    return lines(Artifacts(analysis, folder))["Event weights"]


@pytest.mark.parametrize("events", [2, 3])
def test_few_events_with_most_of_the_weight_are_not_even(
    finished: tuple[Analysis, Path], tmp_path: Path, events: int
) -> None:
    synthetic.fabricate(tmp_path, finished[0])
    line = line_of(finished[0], tmp_path, np.append(np.ones(300), np.full(events, 1e6)))
    assert (line.status, line.value) == ("watch", "few events dominate 2 templates")
    assert line.note == f"few events have most of top in SR A: {300 + events} events count as {events} of equal weight"
    # of ten events nobody can say more than that
    line = line_of(finished[0], tmp_path, np.append(np.ones(10 - events), np.full(events, 1e6)))
    assert (line.status, line.value) == ("good", "uneven")
    assert line.note == f"the 10 events of top in SR A count as {events} of equal weight"
