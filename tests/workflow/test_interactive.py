"""`oddjets.Run`: what the stages left, from Python."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import signal
import warnings
from pathlib import Path
from typing import Any

import awkward as ak
import hist
import matplotlib
import numpy as np
import pytest
from helpers import toy_search
from matplotlib.figure import Figure
from typer.testing import CliRunner

import oddjets
from oddjets.cli.main import app
from oddjets.core import console as console_module
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError, StaleResultsWarning, UnknownKeyError
from oddjets.core.expressions import evaluate
from oddjets.report.figure_files import make
from oddjets.workflow.interactive import run as interactive
from oddjets.workflow.interactive.surroundings import single_threaded_workers
from oddjets.workflow.interactive.wording import in_words_of_python


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small search, fitted; nobody changes it."""
    made = tmp_path_factory.mktemp("search")
    file = toy_search.write(made)
    oddjets.Run(str(file), output=str(made / "out")).up_to("fit", progress=False)
    return made


@pytest.fixture
def run(folder: Path) -> oddjets.Run:
    return oddjets.Run(folder / "analysis.yaml", folder / "out")


def copied(folder: Path, to: Path, **changes: Any) -> oddjets.Run:
    """The same search with its results elsewhere, for tests that change something."""
    shutil.copytree(folder / "out", to / "out")
    return oddjets.Run(oddjets.load(folder / "analysis.yaml", changes), to / "out")


# ---- events and histograms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "variation"),
    [("data", "nominal"), *(("top", v) for v in ("nominal", "jmsUp", "jmsDown", "prefUp", "prefDown"))],
)
def test_events_filled_by_hand_are_the_histograms(run: oddjets.Run, dataset: str, variation: str) -> None:
    """Cuts, letters and weights written out here: the rows, their weights and the variation are those of the stages."""
    events = run.events(dataset, variation)
    threshold = 0.5
    leading, subleading = (np.asarray(events[f"score_xbb_{j}"]) >= threshold for j in (1, 2))
    heavy = np.asarray(events.mass_2) > 100.0
    for region, inside in (("SR", heavy), ("VR1", ~heavy)):
        found = run.histograms[region, "leading_mass"]
        assert list(found.axes["process"]) == ["data", "top"]
        for letter, mask in (
            ("A", leading & subleading),
            ("B", ~leading & subleading),
            ("C", leading & ~subleading),
            ("D", ~leading & ~subleading),
        ):
            chosen = events[inside & mask]
            mine = hist.Hist(hist.axis.Regular(6, 60, 240), storage=hist.storage.Weight())
            mine.fill(np.asarray(chosen.mass_1), weight=np.asarray(chosen.weight))
            theirs = found[dataset, letter, variation, :]
            np.testing.assert_allclose(theirs.values(), mine.values(), rtol=1e-12)
            np.testing.assert_allclose(theirs.variances(), mine.variances(), rtol=1e-12)


def test_jets_are_the_columns_of_both(run: oddjets.Run) -> None:
    events = run.events("top", "jmsUp")
    assert ak.all(ak.num(events.jets, axis=1) == 2)
    for name in events.jets.fields:
        assert events.jets[name][:, 0].tolist() == events[f"{name}_1"].tolist()
        assert events.jets[name][:, 1].tolist() == events[f"{name}_2"].tolist()
    # what an event has belongs to each of its jets
    for two in (events, events[:2]):
        assert (two.weight * two.jets.pt)[:, 1].tolist() == (two.weight * two.pt_2).tolist()
    # numbered by pT, and other masses than the nominal ones
    assert ak.all(events.jets.pt[:, 0] >= events.jets.pt[:, 1])
    assert ak.mean(events.jets.mass) > ak.mean(run.events("top").jets.mass)


def test_only_the_columns_that_are_asked_for(run: oddjets.Run) -> None:
    few = run.events("data", columns=["mjj", "pt_1"])
    assert few.fields == ["mjj", "pt_1", "weight"]
    assert few.mjj.tolist() == run.events("data").mjj.tolist()
    assert evaluate("mjj / 2", {name: np.asarray(few[name]) for name in few.fields}).tolist() == (few.mjj / 2).tolist()


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda r: r.events("tops"), r"no dataset 'tops'; did you mean 'top'\?"),
        (lambda r: r.events("top", "jmsup"), r"dataset 'top' has no variation 'jmsup'; did you mean 'jmsUp'"),
        (lambda r: r.events("data", "jmsUp"), r"dataset 'data' has no variation 'jmsUp'; valid names: nominal"),
        (lambda r: r.events("top", columns=["mij"]), r"no column 'mij'; did you mean 'mjj'\?"),
        (lambda r: r.histograms["SR2", "leading_mass"], r"in region 'SR2'; did you mean 'SR, leading_mass'"),
        (lambda r: r.histograms["SR"], r"is a region and an observable, as \('SR', 'leading_mass'\); got 'SR'"),
        (lambda r: r.figure("cutflows"), r"no figure is called 'cutflows'; did you mean 'cutflow'\?"),
        (lambda r: r.figure("postfit"), r"'postfit' is a kind of figure with 10 figures: postfit_SR_A, "),
        (lambda r: r.up_to("histograms"), r"no stage 'histograms'; did you mean 'histogram'\?"),
        (lambda r: r.status()["fits"], r"no stage 'fits'; did you mean 'fit'\?"),
        (lambda r: r.results["limits"], r"no 'limits' in the results; did you mean 'limit'"),
        # what is no name
        (lambda r: r.events(None), r"no dataset 'None'; valid names: data, top"),
        (lambda r: r.events(["data"]), r"no dataset '\['data'\]'"),
        (lambda r: r.events("top", 3), r"no variation '3'; valid names: "),
        (lambda r: r.events("top", columns="mjj"), r"columns: a list of names, such as \['mjj', 'pt_1'\]; got 'mjj'"),
        (lambda r: r.events("top", columns=3), r"columns: a list of names, .*; got 3"),
        (lambda r: r.events("top", columns=[3]), r"no column '3'"),
        (lambda r: r.histograms["SR", ["leading_mass"]], r"is a region and an observable, as \('SR', 'leading_mass'\)"),
        (lambda r: r.results[["limit"]], r"no '\['limit'\]' in the results"),
        (lambda r: r.status()[0], r"no stage '0'"),
        (lambda r: r.figure(Path("limits")), r"no figure is called 'limits'"),
        (lambda r: r.up_to(None), r"a stage is named by text; valid names: closure, fit, "),
    ],
)
def test_a_wrong_name_is_told_the_right_one(run: oddjets.Run, ask: Any, said: str) -> None:
    with pytest.raises(OddjetsError, match=said):
        ask(run)


def test_a_histogram_is_a_copy(run: oddjets.Run) -> None:
    run.histograms["SR", "leading_mass"].reset()
    found = run.histograms
    assert found["SR", "leading_mass"].sum(flow=True).value > 0
    assert list(found) == [("SR", "leading_mass"), ("VR1", "leading_mass")]
    assert repr(found).splitlines()[0] == "2 histograms at 10/pb"
    assert "<td" in found._repr_html_()


# ---- workspace, results, figures -----------------------------------------------------------------------------------------


def test_the_workspace_fits_to_the_results(run: oddjets.Run) -> None:
    model = oddjets.stats.Model(run.workspace)
    assert model.fits.best["mu"] == pytest.approx(run.results["poi"]["value"], abs=1e-6)
    assert model.limit().observed == pytest.approx(run.results["limit"]["observed"], rel=1e-4)
    assert model.significance().z == pytest.approx(run.results["significance"]["z"], abs=1e-4)


def test_results_say_the_answers(run: oddjets.Run) -> None:
    results = run.results
    assert dict(results) == json.loads((run.output / "results.json").read_text())
    assert repr(results).splitlines()[1].startswith("mu = ")
    assert "<li>mu = " in results._repr_html_()
    with pytest.raises(KeyError, match="did you mean 'limit'"):
        results["limits"]


def test_what_is_missing_in_results_is_missing_as_in_any_mapping(run: oddjets.Run) -> None:
    for found, there, absent in (
        (run.histograms, ("SR", "leading_mass"), ("SR", "mass")),
        (run.results, "limit", "limits"),
    ):
        asked: Any = found
        assert there in asked
        assert absent not in asked
        assert "nothing" not in asked
        assert None not in asked
        assert asked.get(absent, 5) == 5
    with pytest.raises(UnknownKeyError) as raised:
        run.results["limits"]
    # a sentence, where KeyError shows its argument in quotation marks
    assert str(raised.value).startswith("no 'limits' in the results; did you mean 'limit'")


def test_what_is_shown_in_a_notebook_is_escaped() -> None:
    content = {
        "title": "<script>alert(1)</script>",
        "poi": {"name": "<i>mu</i>"},
        "pois": [],
        "significance": {},
        "warnings": ["<b>"],
    }
    shown = oddjets.workflow.interactive.views.RunResults(content)._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown


def test_a_figure_is_that_of_the_report(folder: Path, tmp_path: Path) -> None:
    """The same bytes, whatever the user's own style is."""
    run = copied(folder, tmp_path)
    names = ("limit", "postfit_SR_A", "pulls")
    make(run.analysis, run.output, names)
    before = sorted(run.output.rglob("*"))
    for name in names:
        made = run.figure(name)
        assert isinstance(made, Figure)
        written = io.BytesIO()
        with matplotlib.rc_context({"font.size": 5, "mathtext.fontset": "stix", "savefig.facecolor": "red"}):
            made.savefig(written, format="png", dpi=110, metadata={"Software": None})
        assert written.getvalue() == (run.output / "figures" / f"{name}.png").read_bytes(), name
    assert made._repr_png_().startswith(b"\x89PNG")
    assert sorted(run.output.rglob("*")) == before


@pytest.mark.slow
def test_figures_are_those_that_plot_draws(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    run.run(progress=False)
    assert run.status().done
    assert sorted(run.figures) == sorted(file.stem for file in (run.output / "figures").glob("*.png"))


# ---- what is missing, stale, or failed -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ask", "stage"),
    [
        (lambda r: r.events("data"), "process"),
        (lambda r: r.histograms, "histogram"),
        (lambda r: r.workspace, "workspace"),
        (lambda r: r.results, "fit"),
        (lambda r: r.figure("limit"), "fit"),
        (lambda r: r.figure("cutflow"), "process"),
    ],
)
def test_what_is_missing_is_told_which_call_makes_it(folder: Path, tmp_path: Path, ask: Any, stage: str) -> None:
    run = oddjets.Run(folder / "analysis.yaml", tmp_path / "new")
    with pytest.raises(InputFileError, match=rf"no results of the stage '{stage}': call run.up_to\('{stage}'\)"):
        ask(run)
    assert run.figures == []


@pytest.mark.parametrize(
    ("file", "ask", "key"),
    [
        ("cutflow.json", lambda r: r.figure("cutflow"), "cuts"),
        ("results.json", lambda r: r.results, "poi"),
        ("results.json", lambda r: r.figure("limit"), "poi"),
    ],
)
def test_a_file_of_results_that_was_emptied_is_named(
    folder: Path, tmp_path: Path, file: str, ask: Any, key: str
) -> None:
    run = copied(folder, tmp_path)
    (run.output / file).write_text("{}")
    with pytest.raises(InputFileError, match=rf"{file}: has no '{key}', so it is not complete; make it again"):
        ask(run)


def test_the_yields_of_results_are_as_they_are_described(run: oddjets.Run) -> None:
    yields = run.results["yields"]
    assert list(yields) == list(run.analysis.fit.regions)
    for region, letters in yields.items():
        assert list(letters) == ["A", "B", "C", "D"]
        bins = len(run.analysis.binning(run.analysis.fit.observable, region)) - 1
        for found in letters.values():
            assert {*found} == {"edges", "data", "prefit", "background_only", "signal_plus_background"}
            assert (len(found["edges"]), len(found["data"])) == (bins + 1, bins)
            assert {len(values) for values in found["prefit"].values()} == {bins}
            for fit in ("background_only", "signal_plus_background"):
                assert {*found[fit]} == {*found["prefit"], "total"}
                total = found[fit]["total"]
                assert {*total} == {"values", "errors", "sum"}
                assert sum(total["values"]) == pytest.approx(total["sum"]["value"])
                assert len(total["errors"]) == bins


def test_stages_that_the_analysis_does_not_have(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path, fit=None)
    with pytest.raises(OddjetsError, match="the analysis has no 'fit'"):
        _ = run.results


def test_results_of_an_earlier_state_come_with_a_warning(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path, threshold={"value": 0.6})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.events("data")  # the events stand
    with pytest.warns(StaleResultsWarning, match=r"'histogram' are out of date \(configuration: threshold") as of:
        _ = run.histograms
    # about the user's line
    assert of[0].filename == __file__
    with pytest.warns(StaleResultsWarning, match=r"'fit' .* \(needs workspace\): run.up_to\('fit'\)"):
        _ = run.results
    run.up_to("histogram", progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run.histograms.found.threshold.value == 0.6


def test_a_selection_that_is_edited_makes_the_same_object_say_so(folder: Path, tmp_path: Path) -> None:
    shutil.copy(toy_search.DIJET_ANOMALY, tmp_path / "mine.py")
    content = {"processor": "mine.py:DijetAnomaly", "fileset": str(folder / "fileset.json")}
    file = toy_search.write(tmp_path, **content)
    run = oddjets.Run(file, tmp_path / "out")
    run.up_to("process", progress=False)
    text = (tmp_path / "mine.py").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(text + "\n\nMORE = 1\n", encoding="utf-8")
    with pytest.warns(StaleResultsWarning, match="configuration: processor"):
        run.events("data")


def test_a_stage_that_failed_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = copied(folder, tmp_path, fit={"toys": 0, "seed": 3})

    def failing(*_: Any, **__: Any) -> None:
        raise OddjetsError("no luck today")

    monkeypatch.setattr("oddjets.stats.summary.fit_workspace", failing)
    with pytest.raises(OddjetsError, match="no luck today"):
        run.up_to("fit", progress=False)
    with pytest.raises(InputFileError, match=r"the stage 'fit' failed: no luck today: call run.up_to\('fit'\)"):
        _ = run.results


def messages() -> list[str]:
    """The texts of the package's modules below the command line that name a command or an option."""
    package = Path(oddjets.__file__).parent
    found = []
    for file in package.rglob("*.py"):
        if "cli" in file.parts or "training" in file.parts:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for raised in (node for node in ast.walk(tree) if isinstance(node, ast.Raise)):
            text = "".join(
                str(part.value)
                for part in ast.walk(raised)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )
            found += [text] if re.search(r"`oddjets|--[a-z]", text) else []
    return found


def test_no_message_names_a_command_where_a_method_is_meant() -> None:
    found = messages()
    assert len(found) > 10
    for text in found:
        said = in_words_of_python(text)
        left = re.findall(r"`oddjets (\w+)[^`]*`", said)
        # there is no method for these
        assert {*left} <= {"efficiency", "fetch", "fileset", "import", "model", "publish", "study"}, said
        assert "--unblind" not in said
        assert "with --out" not in said


@pytest.mark.parametrize(
    ("command", "call"),
    [
        ("run `oddjets histogram` first", "call run.up_to('histogram') first"),
        ("`oddjets process --force` makes it again", "run.up_to('process', force=True) makes it again"),
        ("`oddjets run` fits, and --unblind shows", "run.run() fits, and unblind=True shows"),
        ("`oddjets histogram ANALYSIS.yaml --unblind` fills", "run.up_to('histogram') with unblind=True fills"),
        ("give another folder with --out", "give another folder as 'output'"),
        ("run `oddjets fetch 2016` first", "run `oddjets fetch 2016` first"),
    ],
)
def test_a_command_becomes_a_call(command: str, call: str) -> None:
    assert in_words_of_python(command) == call


def test_broken_results_are_told_the_call_that_makes_them(folder: Path, tmp_path: Path) -> None:
    """And it does, although what is broken counts as done."""
    run = copied(folder, tmp_path)
    (run.output / "histograms" / "index.json").write_text("{")
    for part in (run.output / "events" / "data").glob("*.parquet"):
        part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(InputFileError, match=r"run.up_to\('histogram', force=True\) makes them again"):
        _ = run.histograms
    with pytest.raises(InputFileError, match=r"run.up_to\('process', force=True\) makes it again"):
        run.events("data")
    run.up_to("process", force=True, progress=False)
    run.up_to("histogram", force=True, progress=False)
    assert len(run.events("data")) == run.histograms.found.threshold.n_data
    (run.output / "manifests" / "process.json").write_text("{}")
    with pytest.warns(StaleResultsWarning), pytest.raises(InputFileError, match=r"call run.up_to\('process'\)"):
        _ = run.datasets


def test_a_stale_workspace_is_warned_of_once(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path, threshold={"value": 0.6})
    with pytest.warns(StaleResultsWarning) as of:
        _ = run.workspace
    assert len(of) == 1


# ---- blinding ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blinded(folder: Path) -> oddjets.Run:
    """Fitted blind; nobody changes it."""
    run = oddjets.Run(oddjets.load(folder / "analysis.yaml", {"fit": {"blind": True}}), folder / "blind")
    run.up_to("fit", progress=False)
    return run


@pytest.fixture
def blind(blinded: oddjets.Run, tmp_path: Path) -> oddjets.Run:
    """The same, to be changed."""
    shutil.copytree(blinded.output, tmp_path / "blind")
    return oddjets.Run(blinded.analysis, tmp_path / "blind")


def test_a_blind_analysis_shows_no_data_in_a(blind: oddjets.Run, run: oddjets.Run) -> None:
    everything, seen = run.events("data"), blind.events("data")
    both = (everything.score_xbb_1 >= 0.5) & (everything.score_xbb_2 >= 0.5)
    assert ak.sum(both) > 0
    assert seen.event.tolist() == everything.event[~both].tolist()
    found = blind.histograms["SR", "leading_mass"]
    assert np.isnan(found["data", "A", "nominal", :].values()).all()
    assert np.isfinite(found["data", "B", "nominal", :].values()).all()
    assert np.isfinite(found["top", "A", "nominal", :].values()).all()
    assert blind.results["blinded"]
    assert blind.figure("postfit_SR_A")
    for kind in ("threshold_scan", "kde"):
        with pytest.raises(BlindedError):
            blind.figure(kind)


def test_nothing_shows_data_in_a_that_were_open_before(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path, fit={"blind": True})
    for ask in (lambda: run.workspace, lambda: run.results, lambda: run.figure("limit")):
        with pytest.warns(StaleResultsWarning), pytest.raises(BlindedError):
            ask()
    with pytest.warns(StaleResultsWarning):
        assert np.isnan(run.histograms["SR", "leading_mass"]["data", "A", "nominal", :].values()).all()
    before = len(oddjets.Run(folder / "analysis.yaml", folder / "out").events("data"))
    assert len(run.events("data")) < before


def test_without_a_threshold_no_data_are_shown(folder: Path, tmp_path: Path) -> None:
    run = oddjets.Run(oddjets.load(folder / "analysis.yaml", {"fit": {"blind": True}}), tmp_path / "out")
    run.up_to("process", progress=False)
    with pytest.raises(BlindedError, match="without the threshold of the histograms they cannot be identified"):
        run.events("data")
    assert len(run.events("top")) > 0


def test_looking_at_hidden_data_is_recorded(blind: oddjets.Run) -> None:
    check_workers = oddjets.Run(blind.analysis, blind.output, unblind=True)
    hidden = len(blind.events("data"))
    assert len(check_workers.events("data")) > hidden
    acts = json.loads((blind.output / "blinding.json").read_text())["history"]
    assert [act["state"] for act in acts] == ["blinded", "unblinded"]
    assert acts[1]["by"] == "unblind=True"
    assert "data in A: warning" in repr(blind.status())


def test_data_whose_unblinding_cannot_be_recorded_stay_hidden(
    blind: oddjets.Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refusing(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("oddjets.workflow.blinding.write_json", refusing)
    opened = oddjets.Run(blind.analysis, blind.output, unblind=True)
    with pytest.raises(OddjetsError, match=r"blinding.json: cannot be written \(Permission denied\)"):
        opened.events("data")
    assert "unblinded" not in capfd.readouterr().err


def test_an_output_folder_remembers_that_it_is_blind(blind: oddjets.Run) -> None:
    """Although the YAML is not: it was blinded from Python, on top of it."""
    assert oddjets.Run(blind.output).analysis.blind


# ---- an analysis by many names, and its status ---------------------------------------------------------------------------


def test_an_analysis_is_found_by_its_folder_its_file_or_its_name(
    folder: Path, run: oddjets.Run, tmp_path: Path
) -> None:
    assert oddjets.Run(str(folder / "out")).analysis == run.analysis
    assert oddjets.Run("demo_small").analysis.name == "demo_small"
    assert oddjets.Run("demo_small").output == Path("output/demo_small").absolute()
    with pytest.raises(OddjetsError, match="is an output folder"):
        oddjets.Run(folder / "out", tmp_path)
    with pytest.raises(OddjetsError, match="demo_smal"):
        oddjets.Run("demo_smal")


@pytest.mark.parametrize("given", [None, 3, b"demo", ["demo"], {"name": "x"}, "", "name: x\n" * 1000, "a\0b"])
def test_what_is_no_analysis_is_told_what_one_is(given: Any) -> None:
    with pytest.raises(OddjetsError, match=r"a Run is made of an analysis|no analysis or output folder 'a"):
        oddjets.Run(given)
    with pytest.raises(OddjetsError, match=r"an analysis is the file of a YAML|no analysis 'a"):
        oddjets.load(given)


def test_what_is_no_output_folder_or_no_answer(folder: Path, tmp_path: Path) -> None:
    file = folder / "analysis.yaml"
    for output in ("", 3, b"out", ["out"]):
        with pytest.raises(OddjetsError, match="'output' is a folder; got"):
            oddjets.Run(file, output)  # type: ignore[arg-type]
    # "no" is true in Python, and would show the data in A
    with pytest.raises(OddjetsError, match="unblind is True or False; got 'no'"):
        oddjets.Run(file, folder / "out", unblind="no")  # type: ignore[arg-type]
    with pytest.raises(OddjetsError, match=r"is an output folder; oddjets.Run\('.*out'\) knows its analysis"):
        oddjets.load(folder / "out")
    with pytest.raises(OddjetsError, match="give the analysis's YAML, and this folder as 'output'"):
        oddjets.Run(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(
        OddjetsError, match="file: is a file, and results need a folder; give another folder as 'output'"
    ):
        oddjets.Run(file, tmp_path / "file")
    with pytest.raises(OddjetsError, match=r"nothing can be written there .*; give another folder as 'output'"):
        oddjets.Run(file, tmp_path / "file" / "below").up_to("process", progress=False)


@pytest.mark.parametrize("loaded", [False, True])
def test_relative_paths_are_those_of_the_folder_where_a_run_is_made(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, loaded: bool
) -> None:
    shutil.copytree(folder, tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    made = oddjets.Run(oddjets.load("analysis.yaml") if loaded else "analysis.yaml", "out")
    default = oddjets.Run("analysis.yaml")
    assert repr(made) == f"Run({made.analysis.name!r}, output='out')"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert made.status()["fit"].state == "done"
    made.up_to("histogram", force=True, progress=False)
    assert made.output == tmp_path / "there" / "out"
    assert default.output == tmp_path / "there" / "output" / default.analysis.name
    assert repr(made) == f"Run({made.analysis.name!r}, output={str(made.output)!r})"
    assert not [*Path.cwd().iterdir()]


def test_the_home_folder_has_its_short_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert oddjets.Run("~/analysis.yaml", "~/out").output == folder / "out"


def test_changes_may_hold_arrays_and_paths(folder: Path) -> None:
    file = folder / "analysis.yaml"
    changed = oddjets.load(
        file,
        {
            "observables": {"leading_mass": {"bins": None, "range": None, "edges": np.linspace(60, 240, 4)}},
            "threshold": {"value": np.float64(0.25)},
            "regions": {"SR": {"subleading": ("mass_high",)}},
            "fileset": folder / "fileset.json",
        },
    )
    assert changed.binning("leading_mass", "SR") == [60.0, 120.0, 180.0, 240.0]
    assert changed.threshold.value == 0.25
    with pytest.raises(OddjetsError, match=r"the changes of an analysis are a mapping, .*; got 'x'"):
        oddjets.load(file, "x")  # type: ignore[arg-type]
    with pytest.raises(OddjetsError, match=r"class Mine is named by its file, as 'FILE.py:Mine'.*%%writefile FILE.py"):
        oddjets.load(file, {"processor": type("Mine", (oddjets.DijetProcessor,), {})})
    for value in (float("nan"), float("inf")):
        with pytest.raises(OddjetsError, match=r"threshold.value: input should be a finite number"):
            oddjets.load(file, {"threshold": {"value": value}})


def test_changes_are_laid_over_the_yaml_as_by_a_file_that_extends_it(folder: Path) -> None:
    file = folder / "analysis.yaml"
    changed = oddjets.load(file, {"threshold": {"value": 0.9}, "regions": {"VR1": None}, "fit": {"regions": ["SR"]}})
    assert (changed.threshold.value, list(changed.regions)) == (0.9, ["SR"])
    assert changed.threshold.score == "xbb"
    (folder / "other.yaml").write_text(
        "extends: analysis.yaml\nthreshold: {value: 0.9}\nregions: {VR1: null}\nfit: {regions: [SR]}\n"
    )
    assert oddjets.load(folder / "other.yaml").model_dump() == changed.model_dump()
    with pytest.raises(OddjetsError, match=r"analysis.yaml, with the changes: 1 error\n  thresholds: unknown key"):
        oddjets.load(file, {"thresholds": {}})
    with pytest.raises(OddjetsError, match=r"analysis.yaml, with the changes: 1 error\n  .* no cut or region 'heavy'"):
        oddjets.load(file, {"regions": {"SR": {"cuts": ["heavy"]}}})


def test_the_status_is_that_of_the_command_line(run: oddjets.Run, folder: Path) -> None:
    status = run.status()
    assert not status.done
    assert [stage.name for stage in status if stage.state == "missing"] == ["plot", "report"]
    said = CliRunner().invoke(app, ["status", str(folder / "out")])
    for stage in status:
        assert f"│ {stage.name}" in said.output
        assert stage.finished in repr(status)
        assert f">{stage.finished}</td>" in status._repr_html_()
    assert repr(status).splitlines()[0].endswith("5 of 7 stages done")
    assert [chunk.done for chunk in status.chunks] == [chunk.planned for chunk in status.chunks]


# ---- work ----------------------------------------------------------------------------------------------------------------


def test_the_stop_button_ends_a_run_and_the_next_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = oddjets.Run(folder / "analysis.yaml", tmp_path / "out")
    real = interactive.run_stages
    monkeypatch.setattr(interactive, "run_stages", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    # a kernel has this handler; a shell starts tests in the background with the signal ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run.up_to("process", progress=False)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    monkeypatch.setattr(interactive, "run_stages", real)
    run.up_to("process", progress=False)
    assert run.status()["process"].state == "done"


def test_force_does_one_stage_again(folder: Path, tmp_path: Path) -> None:
    run = copied(folder, tmp_path)
    before = {stage.name: stage.finished for stage in run.status()}
    manifest = json.loads((run.output / "manifests" / "histogram.json").read_text())
    manifest["finished"] = before["histogram"] = "long ago"
    (run.output / "manifests" / "histogram.json").write_text(json.dumps(manifest))
    run.up_to("histogram", force=True, progress=False)
    after = {stage.name: stage.finished for stage in run.status()}
    assert [name for name in before if before[name] != after[name]] == ["histogram"]


def test_without_progress_nothing_is_said(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = copied(folder, tmp_path)
    run.up_to("workspace", force=True, progress=False)
    assert capfd.readouterr() == ("", "")
    run.up_to("workspace", force=True)
    assert "workspace" in capfd.readouterr().err


def test_workers_get_one_thread_each_and_the_notebook_keeps_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with single_threaded_workers():
        assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("7", "1")
    assert "MKL_NUM_THREADS" not in os.environ


def test_a_notebook_gets_a_bar_that_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, bar: Any) -> None:
            shown.append(bar._repr_html_())

    def display(bar: Any, display_id: bool) -> Handle:
        assert display_id
        shown.append(bar._repr_html_())
        return Handle()

    pytest.importorskip("IPython")
    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(console_module.console, "is_jupyter", True)
    with console_module.progress("events <b>", 10) as tracker:
        for _ in range(10):
            tracker.advance()
    assert 'value="0" max="10"' in shown[0]
    assert 'value="10" max="10"' in shown[-1]
    assert "events &lt;b&gt;: 100 %" in shown[-1]
    assert len(shown) < 12
