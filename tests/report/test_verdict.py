"""How sure: each answer of the first screen has its place, and a study that lacks, or is out of date, is said to be so."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from helpers import made_studies

from oddjets.config.analysis import Analysis
from oddjets.core.errors import InputFileError
from oddjets.report import html, registry, style
from oddjets.report.artifacts import Artifacts
from oddjets.report.learnt_scores import learning_tables, learnt_checks
from oddjets.report.scrutiny_tables import choice_tables, injection_tables, sculpting_tables
from oddjets.report.two_sample import two_sample_tables
from oddjets.report.verdict import verdict, verdict_table

STUDIES = ("choices", "injection", "learning", "sculpting", "two_sample")


@pytest.fixture
def bare(finished: tuple[Analysis, Path], tmp_path: Path) -> tuple[Analysis, Path]:
    """The made-up directory as far as answers are read from it."""
    asked, out = finished
    for name in ("results.json", "closure.json", "cutflow.json"):
        shutil.copy(out / name, tmp_path)
    shutil.copytree(out / "manifests", tmp_path / "manifests")
    shutil.copytree(out / "histograms", tmp_path / "histograms")
    return asked, tmp_path


def answers(asked: Analysis, out: Path) -> dict[str, str]:
    return {one.name: one.text for one in verdict(Artifacts(asked, out))}


def test_studies_that_were_not_run_are_named_with_their_command(bare: tuple[Analysis, Path]) -> None:
    asked, out = bare
    said = answers(asked, out)
    assert list(said) == ["local z", "calibrated z", "global z", "closure", "expected signal"]
    assert said["local z"] == f"{Artifacts(asked, out).results['significance']['z']:.2f}"
    assert said["calibrated z"] == f"not run: `oddjets study null {out}`"
    assert said["global z"] == f"not run: `oddjets study choices CHOICES.yaml --events {out}`"
    assert said["expected signal"] == f"not run: `oddjets study injection {out}`"
    assert [t.caption for t in choice_tables(Artifacts(asked, out))] == []


def test_studies_are_told_and_those_of_another_state_are_not(bare: tuple[Analysis, Path]) -> None:
    asked, out = bare
    made_studies.write(out, **{name: getattr(made_studies, name)(out) for name in STUDIES})
    said = answers(asked, out)
    # some 2 choices, at 2.5 sigma
    assert 1.9 < float(said["global z"]) < 2.4
    assert said["expected signal"].startswith("3 σ at strength 1.5") or said["expected signal"].startswith(
        "3 σ at strength 1.4"
    )
    artifacts = Artifacts(asked, out)
    searches, fitted = injection_tables(artifacts)
    assert [row[1].text for row in searches.rows] == 2 * ["this analysis", "tau21 alone"]
    assert ["held out" in row[0].text for row in searches.rows] == [False, False, True, True]
    assert len(fitted.rows) == 8
    assert len(sculpting_tables(artifacts)[0].rows) == 2
    gains, checks = learning_tables(artifacts)
    assert [row[1].text for row in gains.rows] == 2 * ["0", "0.5", "1", "2"]
    assert len(checks.rows) == 3 * len(gains.rows)
    learnt = next(row for row in verdict_table(artifacts).rows if "learnt from data" in row[0].text)
    assert learnt[1].text.startswith("\N{MINUS SIGN}20 ± ")
    assert "a gain from strength 0." in learnt[1].text
    training = {
        "events": 5000,
        "jets": {"signal-like": 500, "background-like": 8000},
        "smallest_fold": 980,
        "agreement": 0.9,
    }
    options = {
        "name": "learnt",
        "method": "tag-n-train",
        "folds": 5,
        "members": 4,
        "seed_score": "s",
        "columns": ["share_bb"],
    }
    signal = {"efficiency": 0.4, "seed_efficiency": 0.3, "stochastic": 0.02}
    extra = training | {"analysis": "learnt/learnt.yaml", "options": options, "signals": {"top": signal}}
    (out / "manifests" / "learn.json").write_text(json.dumps({"key": "k", "extra": extra}), encoding="utf-8")
    assert [row[1].text for row in learning_tables(artifacts)[-1].rows][-3:] == ["0.400", "0.300", "2.0 %"]
    # a second one, and the report of an analysis that uses it
    (out / "manifests" / "learn_odd.json").write_text(json.dumps({"key": "k", "extra": extra}), encoding="utf-8")
    assert [table.file for table in learning_tables(artifacts)[-2:]] == [
        "manifests/learn.json",
        "manifests/learn_odd.json",
    ]
    assert learnt_checks(artifacts) == []
    card = {"folds": 5, "members": 4, "method": "mass-window", "seed_score": None, "analysis": "toy", "n_events": 5000}
    card |= {"agreement": 0.9, "training": "by a mass", "columns": ["tau1"]}
    artifacts.manifests["process"]["extra"]["learnt"] = {"odd": card}
    (line,) = learnt_checks(artifacts)
    assert (line.status, line.value) == ("watch", "odd: mass-window")
    assert "sculpting study below" in line.note
    (used,) = (table for table in learning_tables(artifacts) if table.anchor == line.table)
    assert [cell.text for cell in used.rows[0]] == [
        "odd",
        "mass-window",
        "none",
        "toy",
        "5\u202f000",
        "5, 4",
        "0.90",
        "1",
    ]
    tests, cells, events = two_sample_tables(artifacts)
    assert [row[0].text for row in tests.rows][-2:] == ["smallest p of all widths", "mean p of all widths"]
    assert tests.rows[-2][3].text.startswith("< 0.0025")
    assert cells.rows[0][0].text in ("score_s", "mass")
    assert events.rows[0][0].text == "1:2:3"
    for name in STUDIES:
        figures = registry.KINDS[name].data(artifacts)
        assert json.loads(json.dumps(figures, allow_nan=False)) == figures
        assert all(len(figure["alt"]) > 40 for figure in figures.values())
    # beyond all experiments it is an extrapolation
    made_studies.write(out, choices=made_studies.choices(out, observed=6.0))
    counted, extrapolated = answers(asked, out)["global z"].split(", ")
    assert counted.startswith("above ")
    assert counted.endswith(" by counting")
    assert extrapolated.endswith(" by extrapolation")
    assert 2 < float(counted.split()[1]) < float(extrapolated.split()[0]) < 6
    local = [row[-1].text for row in choice_tables(Artifacts(asked, out))[1].rows]
    assert [one.startswith("< ") for one in local] == [True, False, False]
    # another workspace
    (out / "workspace.json").write_text("{}", encoding="utf-8")
    said = answers(asked, out)
    assert said["global z"] == f"out of date: `oddjets study choices CHOICES.yaml --events {out}`"
    assert said["expected signal"] == f"out of date: `oddjets study injection {out}`"
    assert not registry.KINDS["choices"].data(Artifacts(asked, out))
    # sculpting is of the histograms, whatever the fit takes from it
    assert sculpting_tables(Artifacts(asked, out))


def test_the_calibrated_z_is_of_the_study_that_assumes_what_the_analysis_does(bare: tuple[Analysis, Path]) -> None:
    asked, out = bare
    seen = {"z": 2.07, "bound": None, "method": "counting", "extrapolated": False}
    for source, z in (("independent", 2.07), ("simulation", 1.5)):
        study = {"source": source, "workspace_sha256": None, "name": f"p of {source}", "experiments": 1000}
        made_studies.write(out, **{f"null_{source}": {**study, "calibration": {**seen, "z": z}}})
    assert answers(asked, out)["calibrated z"] == "2.07"
    bound = {**seen, "z": None, "bound": {"z_above": 2.33, "p_below": 0.0099}}
    made_studies.write(out, null_independent={**study, "source": "independent", "calibration": bound})
    assert answers(asked, out)["calibrated z"] == "> 2.33"
    (out / "workspace.json").write_text("{}", encoding="utf-8")
    assert answers(asked, out)["calibrated z"] == f"out of date: `oddjets study null {out}`"


def test_a_blinded_analysis_shows_no_observed_choice(bare: tuple[Analysis, Path]) -> None:
    asked, out = bare
    made_studies.write(out, choices=made_studies.choices(out))
    assert asked.fit is not None
    hidden = asked.model_copy(update={"fit": asked.fit.model_copy(update={"blind": True})})
    shown = str([[cell.text for row in table.rows for cell in row] for table in choice_tables(Artifacts(hidden, out))])
    assert "2.50" not in shown
    assert "2.50" in str(
        [[cell.text for row in table.rows for cell in row] for table in choice_tables(Artifacts(asked, out))]
    )


def test_a_damaged_study_is_an_error_that_names_its_file(bare: tuple[Analysis, Path]) -> None:
    asked, out = bare
    made_studies.write(out, injection={"signal": "top"})
    with pytest.raises(
        InputFileError, match=r"injection.json: cannot be read as a study .*`oddjets study injection` again"
    ):
        verdict(Artifacts(asked, out))


@pytest.mark.usefixtures("quick_pictures")
def test_every_answer_of_the_page_leads_to_its_place(bare: tuple[Analysis, Path]) -> None:
    asked, out = bare
    made_studies.write(out, **{name: getattr(made_studies, name)(out) for name in STUDIES})
    page = html.write(asked, out).read_text(encoding="utf-8")
    line = re.search(r'<p class="verdict">(.*?)</p>', page, re.DOTALL)
    assert line is not None
    links = re.findall(r'href="#([^"]+)"', line[1])
    assert len(links) == 5  # the section, and all but the study that was not run
    assert all(f'id="{link}"' in page for link in links)
    assert "<code>oddjets study null" in line[1]
    for name in STUDIES:
        data = next(iter(registry.KINDS[name].data(Artifacts(asked, out)).values()))
        with style.context():
            registry.KINDS[name].draw(data)
