"""Studies and inspections of single jets, from the command to the report; golden JSON and luminosity of their files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("h5py", reason="needs h5py: pip install 'oddjets[hdf5]'")

from helpers import aspen_files
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.config.inspect import Inspect
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError
from oddjets.inspection.single_jets import JetsByRun, as_events, in_sample
from oddjets.io import event_table
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import jet_bump, jet_null, jet_periods
from oddjets.report.health import missing
from oddjets.report.jet_inspection import jet_tables
from oddjets.report.jet_studies import jet_null_tables
from oddjets.workflow.inspected_jets import inspect_jets
from oddjets.workflow.interactive.run import Run
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages.histogram import work as make_histograms
from oddjets.workflow.studies import study_null
from oddjets.workflow.study_options import Options

RUNNER = CliRunner()
RUNS = (280000, 280001, 280002, 280003)
#: where the jets of a noisy part of run 280002 are
SPOT = (0.8, -1.2)
BUMP = {"scores": ["top"], "efficiencies": [0.05, 0.1], "bins": 12, "toys": 50, "window": [145, 205]}
CERTIFIED = {"280000": [[1, 5]], "280001": [[1, 10]], "280002": [[3, 10]]}


def run_of(folder: Path, **changes: Any) -> RunContext:
    run = RunContext(load_analysis(aspen_files.analysis(folder, **changes)), folder / "out")
    run_stage(run, stage_of(run, "process"))
    return run


def write_table(path: Path, rows: list[tuple[int, int, float]]) -> None:
    """A table of brilcalc by section: run, section and recorded luminosity, /pb."""
    with path.open("w", newline="") as stream:
        out = csv.writer(stream)
        out.writerow(["#run:fill", "ls", "time", "beamstatus", "E(GeV)", "delivered(/pb)", "recorded(/pb)", "avgpu"])
        out.writerows([f"{run}:1", f"{ls}:{ls}", "x", "STABLE", 6500, 9.9, pb, 20] for run, ls, pb in rows)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of four runs with tops; a tenth of the jets of one run at one place, and certified sections with luminosity."""
    folder = tmp_path_factory.mktemp("jets")
    rng = np.random.default_rng(3)
    for seed, run in enumerate(RUNS):
        rows = aspen_files.rows(700, 10 + seed, run=run, top=0.03)
        if run == RUNS[2]:
            noisy = np.flatnonzero(rng.random(len(rows["event_info"])) < 0.1)
            rows["jet_kinematics"][noisy, 1:3] = rng.normal(SPOT, 0.08, (len(noisy), 2))
        aspen_files.write(folder / f"{run}.h5", rows)
    (folder / "golden.json").write_text(json.dumps(CERTIFIED))
    write_table(folder / "lumi.csv", [(run, ls, 0.5 + 0.01 * ls) for run in RUNS for ls in range(1, 21)])
    return folder


@pytest.fixture(scope="module")
def imported(made: Path) -> RunContext:
    return run_of(made, jet_bump=BUMP)


# ---- study null --------------------------------------------------------------------------------------------------------------


def test_study_null_of_single_jets_says_what_all_choices_are_worth(imported: RunContext) -> None:
    out = imported.out
    said = ""
    for source in ([], ["--source", "mixed-masses"]):
        found = RUNNER.invoke(app, ["study", "null", str(out), "--experiments", "150", *source])
        assert found.exit_code == 0, found.output
        said += found.output
    assert "all scores and efficiencies, at 7 masses" in said
    content = json.loads((out / "study" / "jets_sidebands.json").read_text(encoding="utf-8"))
    assert [(one["score"], one["efficiency"]) for one in content["choices"]] == [("top", 0.05), ("top", 0.1)]
    # what was seen is what the figure shows
    figures = jet_bump.data(Artifacts(imported.analysis, out))
    for one, name in zip(content["choices"], ("jet_bump_5", "jet_bump_10"), strict=True):
        (panel,) = figures[name]["panels"]
        assert one["cut"] == panel["cut"]
        assert one["local"]["seen"] == pytest.approx(panel["p_value"]["local"], rel=1e-6)
        assert one["anywhere"]["seen"] == pytest.approx(panel["p_value"]["smallest_local"], rel=1e-6)
    assert content["together"]["window"]["bound"]["experiments"] == 150
    assert "All scores, efficiencies and masses together: global p <" in figures["jet_bump_5"]["caption"]
    # of known tops, at their mass
    assert content["choices"][0]["at"][0] < 173 < content["choices"][0]["at"][1]


def test_the_report_shows_studies_of_single_jets_until_the_searches_change(imported: RunContext) -> None:
    study_null(imported, Options("sidebands", 30))
    artifacts = Artifacts(imported.analysis, imported.out)
    data = jet_null.data(artifacts)["jet_null_sidebands"]
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    table = jet_null_tables(artifacts)[-1]
    assert [row[0].text for row in table.rows] == ["anomaly score, 5 %", "anomaly score, 10 %"]
    assert table.foot[0][3].text.startswith("< ")
    assert not any("single jets" in line for line in missing(artifacts, {}))
    # toys of the figure change no study; another window does
    bump = imported.analysis.jet_bump
    assert bump is not None
    for change, shown in (({"toys": 60}, True), ({"window": (130.0, 190.0)}, False)):
        other = imported.analysis.model_copy(update={"jet_bump": bump.model_copy(update=change)})
        assert bool(jet_null_tables(Artifacts(other, imported.out))) is shown
    assert any(
        "(sidebands) is of other jets or searches" in line for line in missing(Artifacts(other, imported.out), {})
    )
    (imported.out / "study" / "jets_sidebands.json").write_text("{}")
    with pytest.raises(InputFileError, match="cannot be read as a study"):
        jet_null.data(artifacts)
    (imported.out / "study" / "jets_sidebands.json").unlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"toys": 10}, "--toys: has no meaning with --source sidebands"),
        ({"luminosity": 5.0}, "--luminosity: has no meaning"),
        ({"limit": False}, "--no-limit: has no meaning"),
        ({"tail": 10}, "--tail: has no meaning"),
    ],
)
def test_options_without_a_meaning_for_single_jets_are_refused(
    imported: RunContext, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OddjetsError, match=message):
        study_null(imported, Options("sidebands", 10, **options))


def test_other_sources_and_other_states_are_errors(imported: RunContext, tmp_path: Path) -> None:
    with pytest.raises(OddjetsError, match="of its single jets, give --source sidebands or mixed-masses"):
        study_null(imported, Options("independent", 10))
    without = RunContext(imported.analysis.model_copy(update={"jet_bump": None}), imported.out)
    with pytest.raises(OddjetsError, match="has no section 'jet_bump'"):
        study_null(without, Options("sidebands", 10))
    jets = imported.analysis.selection.jets.model_copy(update={"pt_min": 400.0})
    selection = imported.analysis.selection.model_copy(update={"jets": jets})
    changed = RunContext(imported.analysis.model_copy(update={"selection": selection}), imported.out)
    with pytest.raises(OddjetsError, match="are not those of 'toy' as it is now"):
        study_null(changed, Options("sidebands", 10))
    blind = {"observable": "leading_mass", "regions": ["SR"], "poi": {"name": "mu", "process": "top", "bounds": [0, 1]}}
    content = imported.analysis.model_dump(mode="json", exclude_unset=True) | {
        "fit": {**blind, "blind": True},
        "processes": {"qcd": {"label": "QCD", "data_driven": True}, "top": {"label": "top"}},
    }
    hidden = RunContext(type(imported.analysis).model_validate(content), tmp_path)
    for look in (lambda: study_null(hidden, Options("sidebands", 10)), lambda: inspect_jets(hidden, Inspect())):
        with pytest.raises(BlindedError, match="jets of events in A are among the oddest"):
            look()


# ---- inspect -----------------------------------------------------------------------------------------------------------------


def test_a_noisy_place_of_one_run_is_found(imported: RunContext) -> None:
    found = RUNNER.invoke(app, ["inspect", str(imported.out), "--permutations", "199", "--top", "3"])
    assert found.exit_code == 0, found.output
    assert "there is no luminosity by section" in found.output
    content = json.loads((imported.out / "inspection" / "jets" / "jets.json").read_text(encoding="utf-8"))
    even = content["against"]["all_azimuth"]
    assert even["smallest_corrected_p"] == pytest.approx(1 / 200)
    assert abs(even["hot"]["eta"] - SPOT[0]) < 0.3
    assert abs(even["hot"]["phi"] - SPOT[1]) < 0.3
    (note,) = even["notes"]
    assert f"run {RUNS[2]}" in note
    assert "p = 0.005" in note
    # against numbers of the table by hand
    jets = event_table.read(imported.out / "jets", "aspen")
    odd = jets["score_top"] >= np.quantile(jets["score_top"], 0.9)
    # 145 to 205 GeV of the YAML, moved to the edges of bins as in the figure
    inside = odd & (jets["mass"] >= 150) & (jets["mass"] < 210)
    for period, run in zip(content["periods"], RUNS, strict=True):
        here = jets["run"] == run
        assert (period["first"], period["last"], period["luminosity_pb"]) == (run, run, None)
        assert [period[k] for k in ("jets", "odd", "inside")] == [int((here & m).sum()) for m in (here, odd, inside)]
        assert period["mean_mass"] == pytest.approx(jets["mass"][here].mean(), rel=1e-5)
        masses = jets["mass"][here & odd]
        assert period["mean_mass_odd"] == pytest.approx(masses.mean(), rel=1e-5)
        assert period["error_odd"] == pytest.approx(masses.std(ddof=1) / np.sqrt(len(masses)), rel=1e-4)
    best = np.argsort(-np.where(inside, jets["score_top"], -1))[:3]
    assert [row["event"] for row in content["oddest"]] == jets["event"][best].tolist()
    assert (imported.out / "inspection" / "jets" / "picks.txt").read_text().count("\n") == 3


def test_the_report_shows_the_inspection_of_single_jets(imported: RunContext) -> None:
    made = Run(imported.analysis, imported.out).inspect(permutations=99, efficiency=0.05, bins=(100.0, 150.0))
    assert made["jets"]["window"] == [100.0, 150.0]
    artifacts = Artifacts(imported.analysis, imported.out)
    (data,) = jet_periods.data(artifacts).values()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    periods, tests, oddest = jet_tables(artifacts)
    assert len(periods.rows) == len(RUNS)
    assert "rate of odd jets by run, against all jets" in tests.rows[0][0].text
    assert len(oddest.rows) == min(20, made["jets"]["inside"])
    bump = imported.analysis.jet_bump
    assert bump is not None
    other = imported.analysis.model_copy(update={"jet_bump": bump.model_copy(update={"bins": 16})})
    assert jet_tables(Artifacts(other, imported.out)) == []
    assert any("inspection of single jets is of other" in line for line in missing(Artifacts(other, imported.out), {}))


def test_what_is_of_events_alone_is_refused_for_single_jets(imported: RunContext) -> None:
    with pytest.raises(OddjetsError, match="'letter' is of events"):
        inspect_jets(imported, Inspect(letter="D"))
    found = RUNNER.invoke(app, ["inspect", str(imported.out), "--events", "--efficiency", "0.1"])
    assert isinstance(found.exception, OddjetsError)
    assert "--efficiency: is of single jets" in str(found.exception)


def test_an_event_is_one_row_with_its_hardest_jets_and_is_sampled_as_a_whole() -> None:
    rng = np.random.default_rng(1)
    number = np.repeat(np.arange(5000), rng.integers(1, 4, 5000))
    columns = {"run": np.full(len(number), 7), "luminosityBlock": number // 100, "event": number}
    columns |= {"pt": rng.random(len(number)).astype(np.float32), "mass": rng.random(len(number))}
    shuffled = rng.permutation(len(number))
    events = as_events({name: values[shuffled] for name, values in columns.items()})
    assert events["event"].tolist() == list(range(5000))
    for event in (0, 17, 4999):
        pt = np.sort(columns["pt"][number == event])[::-1].astype(float)
        assert events["pt_1"][event] == pt[0]
        assert events["pt_2"][event] == pt[1] if len(pt) > 1 else np.isnan(events["pt_2"][event])
    kept = in_sample(columns, 0.3)
    assert kept[kept].size / kept.size == pytest.approx(0.3, abs=0.03)
    # all jets of an event, or none, however the table is cut
    assert len(np.unique(number[kept])) + len(np.unique(number[~kept])) == 5000
    np.testing.assert_array_equal(in_sample({n: v[100:200] for n, v in columns.items()}, 0.3), kept[100:200])


def test_many_runs_are_joined_to_periods_with_all_jets() -> None:
    rng = np.random.default_rng(2)
    run, by_run = rng.integers(100, 160, 5000), JetsByRun()
    odd = rng.random(5000) < 0.1
    for start in range(0, 5000, 999):
        part = slice(start, start + 999)
        by_run.add(run[part], np.full(len(run[part]), 90.0), odd[part], np.zeros(len(run[part]), bool))
    periods = by_run.periods(dict.fromkeys(range(100, 160), 0.5))
    assert 6 <= len(periods) <= 8
    assert sum(period.jets for period in periods) == 5000
    assert sum(period.odd for period in periods) == odd.sum()
    assert sum(period.luminosity_pb or 0 for period in periods) == pytest.approx(30)
    assert min(period.jets for period in periods) > 5000 / 16


# ---- golden JSON and luminosity sections -------------------------------------------------------------------------------------


def certified(folder: Path, **changes: Any) -> RunContext:
    selection = {
        "cuts": ["certified", "jet_pt", "jet_mass"],
        "jets": {"pt_min": 320, "mass_min": 60},
        "golden_json": "golden.json",
        "luminosity_table": "lumi.csv",
    }
    given = {"selection": selection, "jet_bump": BUMP, "luminosity": None}
    return run_of(folder, **(given | changes))


@pytest.fixture(scope="module")
def good(made: Path) -> RunContext:
    return certified(made)


def luminosity_by_hand(folder: Path) -> dict[int, float]:
    """Certified sections with a jet in the files, whatever its pT: those of aspen_files are 1 to 10."""
    return {
        int(run): sum(0.5 + 0.01 * ls for first, last in ranges for ls in range(first, min(last, 10) + 1))
        for run, ranges in CERTIFIED.items()
    }


def test_jets_of_certified_sections_are_kept_and_their_luminosity_is_that_of_these(good: RunContext) -> None:
    jets = event_table.read(good.out / "jets", "aspen")
    inside = [
        any(first <= ls <= last for first, last in CERTIFIED.get(str(run), []))
        for run, ls in zip(jets["run"].tolist(), jets["luminosityBlock"].tolist(), strict=True)
    ]
    assert all(inside)
    extra = good.extra("process")["jets"]
    assert extra["cuts"] == ["all", "usable", "certified", "jet_pt", "jet_mass"]
    assert 0 < extra["raw"][2] < extra["raw"][1]
    expected = sum(luminosity_by_hand(good.out.parent).values())
    assert extra["luminosity_pb"] == pytest.approx(expected, rel=1e-9)
    assert extra["luminosity"]["approximate"] is False
    # figures of single jets have it above them
    artifacts = Artifacts(good.analysis, good.out)
    assert artifacts.luminosity_pb == pytest.approx(expected, rel=1e-9)
    figure = next(iter(jet_bump.data(artifacts).values()))
    assert f"{expected:.3g}" in figure["header"]["right"]


def test_rates_of_single_jets_are_of_the_luminosity_of_their_sections(good: RunContext) -> None:
    content = inspect_jets(good, Inspect(permutations=199))["jets"]
    assert content["rates_against"] == "the luminosity of the sections that were read"
    by_hand = luminosity_by_hand(good.out.parent)
    assert {one["first"]: one["luminosity_pb"] for one in content["periods"]} == pytest.approx(by_hand)
    assert content["rates"]["jets"]["exposure"] == pytest.approx(list(by_hand.values()))
    # as many events in each section: a rate by section is flat, and one by luminosity nearly so
    assert content["rates"]["odd"]["p"] > 0.01
    (periods, *_) = jet_tables(Artifacts(good.analysis, good.out))
    assert periods.rows[0][2].text == f"{by_hand[RUNS[0]]:.4g}"


def test_events_of_single_jets_are_certified_too(made: Path) -> None:
    run = certified(
        made,
        aspen={"files": ["."], "events": True},
        selection={
            "cuts": ["certified", "two_jets", "jet_pt"],
            "jets": {"pt_min": 320},
            "golden_json": "golden.json",
            "luminosity_table": "lumi.csv",
        },
    )
    dataset = run.extra("process")["datasets"]["aspen"]
    assert dataset["luminosity_pb"] == pytest.approx(sum(luminosity_by_hand(made).values()))
    events = event_table.read(run.out / "events", "aspen")
    assert set(np.unique(events["run"]).tolist()) == {int(run) for run in CERTIFIED}
    assert dataset["raw"][0] > dataset["raw"][1] > len(events["run"])
    make_histograms(run)
    assert Artifacts(run.analysis, run.out).luminosity_pb == pytest.approx(sum(luminosity_by_hand(made).values()))


def test_another_golden_json_makes_the_tables_again(made: Path, tmp_path: Path) -> None:
    for file in ("280000.h5", "lumi.csv"):
        (tmp_path / file).symlink_to(made / file)
    (tmp_path / "golden.json").write_text(json.dumps({"280000": [[1, 5]]}))
    before = len(event_table.read(certified(tmp_path).out / "jets", "aspen", ["pt"])["pt"])
    (tmp_path / "golden.json").write_text(json.dumps({"280000": [[1, 8]]}))
    run = certified(tmp_path)
    assert len(event_table.read(run.out / "jets", "aspen", ["pt"])["pt"]) > before
    # a table of other numbers changes the luminosity, and no jet
    (tmp_path / "lumi.csv").unlink()
    write_table(tmp_path / "lumi.csv", [(280000, ls, 1.0) for ls in range(1, 21)])
    parts = {part: part.stat().st_mtime_ns for part in event_table.parts(run.out / "jets", "aspen")}
    again = certified(tmp_path)
    assert again.extra("process")["jets"]["luminosity_pb"] == pytest.approx(8.0)
    assert {part: part.stat().st_mtime_ns for part in event_table.parts(run.out / "jets", "aspen")} == parts


@pytest.mark.parametrize(
    ("golden", "message"),
    [
        ({"290000": [[1, 5]]}, "no certified luminosity section was read|is it for another year"),
        ({"280000": [[1, 5]], "280001": [[30, 40]]}, None),
        ("no JSON", "golden.json"),
    ],
)
def test_a_golden_json_that_does_not_fit_is_an_error(
    made: Path, tmp_path: Path, golden: Any, message: str | None
) -> None:
    (tmp_path / "280000.h5").symlink_to(made / "280000.h5")
    (tmp_path / "golden.json").write_text(golden if isinstance(golden, str) else json.dumps(golden))
    write_table(tmp_path / "lumi.csv", [(280000, ls, 1.0) for ls in range(1, 11)])
    if message is None:
        # a run that was not read has no luminosity here
        assert certified(tmp_path).extra("process")["jets"]["luminosity_pb"] == pytest.approx(5.0)
        return
    with pytest.raises(OddjetsError, match=message):
        certified(tmp_path)
