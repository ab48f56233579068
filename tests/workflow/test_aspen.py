"""Aspen Open Jets: files of the layout made of PFNano, read back, scored alike, regrouped into events, gone on with."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("h5py", reason="needs h5py: pip install 'oddjets[hdf5]'")

from helpers import aspen_files, toy_candidates

from oddjets.cli.simulate import _write_aspen
from oddjets.config.analysis import load_analysis
from oddjets.config.yaml import ConfigError
from oddjets.core import provenance
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io import aspen, aspen_events, event_table
from oddjets.report import html
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import jet_bump
from oddjets.scoring.model_card import load_card
from oddjets.scoring.scorer import Scorer
from oddjets.selection import aspen_jets
from oddjets.selection.aspen_files import jets_of_pfnano
from oddjets.selection.oddest_jets import OddestJets
from oddjets.workflow.executors import aspen_worker
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages import aspen as aspen_stage
from oddjets.workflow.stages.closure import measure

Columns = dict[str, np.ndarray]


def run_of(folder: Path, **changes: Any) -> RunContext:
    return RunContext(load_analysis(aspen_files.analysis(folder, **changes)), folder / "out")


def done(run: RunContext, stage: str = "process") -> RunContext:
    run_stage(run, stage_of(run, stage))
    return run


def jets_of(run: RunContext) -> Columns:
    return event_table.read(run.out / "jets", "aspen")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Columns, RunContext]:
    """The events of PFNano, processed as they are and as files of single jets, with the simulation of the former."""
    folder = tmp_path_factory.mktemp("aspen")
    usual = done(RunContext(load_analysis(toy_candidates.write(folder)), folder / "usual"))
    made = folder / "made"
    _write_aspen(folder / "fileset.json", made)
    for name in ("mine.yaml", "mine.onnx"):
        shutil.copyfile(folder / name, made / name)
    imported = run_of(
        made,
        aspen={"files": ["*.h5"], "events": True, "chunk_size": 7, "simulation": "../usual"},
        processes={"qcd": {"label": "QCD", "data_driven": True}, "top": {"label": "top"}},
        scores={"mine": {"card": "mine.yaml"}},
        threshold={"score": "mine", "efficiency": 0.4},
        selection={"cuts": ["two_jets", "jet_pt"]},
    )
    return event_table.read(usual.out / "events", "data"), done(imported)


def test_scores_are_those_of_the_same_jets_from_pfnano(both: tuple[Columns, RunContext]) -> None:
    usual, run = both
    imported = event_table.read(run.out / "events", "aspen")
    # the makers asked for a trigger, which the other analysis does not
    there = np.isin(usual["run"] * 1e9 + usual["event"], imported["run"] * 1e9 + imported["event"])
    assert there.sum() == len(imported["event"]) > 50
    usual = {name: values[there] for name, values in usual.items()}
    for name in ("luminosityBlock", "event", "pt_1", "pt_2", "mass_1", "tau2_2", "n_constituents_1", "mjj"):
        np.testing.assert_array_equal(imported[name], usual[name], err_msg=name)
    for j in (1, 2):
        # momenta are stored as components in single precision
        np.testing.assert_allclose(imported[f"score_mine_{j}"], usual[f"score_mine_{j}"], atol=2e-6)


def test_scores_of_a_table_are_those_of_the_jets_in_the_file_to_the_bits(both: tuple[Columns, RunContext]) -> None:
    _, run = both
    wanted: dict[tuple[float, float], float] = {}
    scorer = Scorer(load_card(run.resolved.cards["mine"]), provider="cpu")
    for file in run.aspen_files:
        with aspen.open_datasets(file.path) as datasets:
            info, (pt, eta, phi, _) = datasets["event_info"][:], datasets["jet_kinematics"][:].T
            found = scorer.score(aspen_jets.constituents_of(datasets["PFCands"][:], eta, phi, Counter()))
        # run, event and pT tell each jet
        keys = zip((info[:, 0] * 10**6 + info[:, 2]).tolist(), pt.tolist(), strict=True)
        wanted |= dict(zip(keys, found.tolist(), strict=True))
    jets = jets_of(run)
    number = jets["run"].astype(int) * 10**6 + jets["event"].astype(int)
    kept = [wanted[key] for key in zip(number.tolist(), jets["pt"].tolist(), strict=True)]
    np.testing.assert_array_equal(jets["score_mine"], kept)


def test_simulation_of_another_analysis_stands_beside_the_data(both: tuple[Columns, RunContext]) -> None:
    _, run = both
    assert set(run.extra("process")["datasets"]) == {"aspen", "top"}
    done(run, "histogram")
    assert Artifacts(run.analysis, run.out).histograms.variations.keys() == {"data", "top"}


def test_made_files_have_the_traps_of_the_published_ones() -> None:
    """A jet of 160 constituents is cut in the order of the file, momenta have no weights, and an event has five rows."""
    n = 160
    pt = np.linspace(1, 50, n)
    jets = {"pt": np.full(7, 400.0), "eta": np.zeros(7), "phi": np.zeros(7), "msoftdrop": np.full(7, 80.0)}
    event: dict[str, Any] = {f"FatJet_{name}": [values] for name, values in jets.items()}
    event |= {"FatJet_jetId": [np.full(7, 6)], "run": [1], "luminosityBlock": [2], "event": [3]}
    event |= {"FatJetPFCands_jetIdx": [np.zeros(n, int)], "FatJetPFCands_pFCandsIdx": [np.arange(n)]}
    values = {"pt": pt, "eta": np.zeros(n), "puppiWeight": np.full(n, 0.5), "pdgId": np.full(n, 211)}
    for name in ("phi", "mass", "d0", "d0Err", "dz", "dzErr", "charge"):
        values[name] = np.zeros(n)
    event |= {f"PFCands_{name}": [column] for name, column in values.items()}
    rows = jets_of_pfnano(ak.Array(event))
    assert [rows[key].shape for key in aspen.SHAPES] == [(5, *shape) for shape in aspen.SHAPES.values()]
    # the softest first, so that the ten hardest are lost; no weight of 0.5 in the momenta
    np.testing.assert_allclose(rows["PFCands"][0, :, 0], pt[:150], rtol=1e-6)


def test_files_say_what_was_injected_into_them_and_so_does_the_import(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, inject in (("a.h5", None), ("b.h5", {"top": 3.0})):
        made = aspen_files.rows(30, len(name) + bool(inject))
        aspen.write_file(tmp_path / name, [made], simulated=True, inject=inject)
    run = done(run_of(tmp_path))
    assert run.extra("process")["jets"]["inject"] == {"b.h5": {"top": 3.0}}
    assert "b.h5: simulated with top 3 times its cross section" in capsys.readouterr().err
    report = html.write(run.analysis, run.out).read_text(encoding="utf-8")
    assert "In some of the files of simulated jets there is top 3 times its cross section." in report
    import h5py

    with h5py.File(tmp_path / "b.h5", "a") as file:
        file["event_info"].attrs["oddjets_inject"] = "[3]"
    with pytest.raises(InputFileError, match="'oddjets_inject' is no JSON of process: strength"):
        aspen.inspect(tmp_path / "b.h5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    aspen_files.write(tmp_path / "a.h5", aspen_files.rows(150))
    return tmp_path


def test_an_interrupted_import_goes_on_and_other_options_make_it_again(folder: Path) -> None:
    run = done(run_of(folder))
    whole = jets_of(run)
    parts = event_table.parts(run.out / "jets", "aspen")
    assert len(parts) > 2
    # what the files lack is said where the jets are
    assert b"lepton veto" in pq.read_schema(parts[0]).metadata[b"oddjets"]
    before = {part.name: part.stat().st_mtime_ns for part in parts}
    parts[1].unlink()
    done(run_of(folder))
    after = {part.name: part.stat().st_mtime_ns for part in parts}
    assert [name for name in after if after[name] != before[name]] == [parts[1].name]
    np.testing.assert_equal(jets_of(run), whole)
    fewer = jets_of(done(run_of(folder, selection={"cuts": ["jet_pt"], "jets": {"pt_min": 500}})))
    assert 0 < len(fewer["pt"]) == np.count_nonzero(fewer["pt"] > 500)


def test_events_are_the_two_leading_jets_of_rows_of_one_event(folder: Path) -> None:
    run = done(run_of(folder, aspen={"files": ["."], "events": True, "chunk_size": 50}))
    made = aspen_files.rows(150)
    pt, mass = made["jet_kinematics"][:, 0], made["jet_kinematics"][:, 3]
    wanted = {}
    for event in np.unique(made["event_info"][:, 2]):
        rows = np.flatnonzero(made["event_info"][:, 2] == event)
        rows = rows[np.argsort(-pt[rows])][:2]
        if len(rows) == 2 and pt[rows].min() > 320 and mass[rows].min() > 60:
            wanted[int(event)] = (pt[rows[0]], pt[rows[1]], mass[rows[1]])
    found = event_table.read(run.out / "events", "aspen")
    keys, columns = found["event"].tolist(), (found["pt_1"], found["pt_2"], found["mass_2"])
    assert dict(zip(keys, zip(*columns, strict=True), strict=True)) == wanted
    assert len(wanted) > 10


def test_the_closure_of_pairs_is_measured_with_jets_of_different_events(tmp_path: Path) -> None:
    """Two jets of an event know nothing of each other here, so that A D = B C; no simulation is needed to see it."""
    aspen_files.write(tmp_path / "a.h5", aspen_files.rows(2500, 3))
    run = run_of(tmp_path, aspen={"files": ["."], "events": True})
    found = measure(done(run))["regions"]["SR"]
    assert found["structural"]["value"] == pytest.approx(1, abs=5 * found["structural"]["error"])
    assert found["structural"]["error"] < 0.1
    histograms = Artifacts(run.analysis, done(run, "histogram").out).histograms
    # the threshold is found from data
    assert histograms.threshold.n_data == run.extra("process")["datasets"]["aspen"]["rows"] > 300
    # no fit is asked for, and the stage works without
    closed = Artifacts(run.analysis, done(run, "closure").out).closure
    assert closed["parts"]["regions"]["SR"]["structural"] == found["structural"]
    assert [scan["label"] for scan in closed["scans"]] == ["data with both scores below the threshold"]
    with pytest.raises(OddjetsError, match=r"'workspace' needs 'aspen\.simulation'"):
        stage_of(run, "workspace")
    with pytest.raises(OddjetsError, match="no 'regions', so there is nothing to closure"):
        stage_of(run_of(tmp_path, aspen={"files": ["."], "events": True}, regions={}), "closure")


def test_what_is_there_twice_and_numbers_that_are_none_are_counted(tmp_path: Path) -> None:
    made = aspen_files.rows(40)
    first = {key: values[:1] for key, values in made.items()}
    spoiled = {key: values.copy() for key, values in aspen_files.rows(40, 2).items()}
    spoiled["jet_kinematics"][5, 0], spoiled["jet_tagging"][6, 3] = np.nan, np.inf
    # a jet beside itself, and later its event again
    aspen_files.write(tmp_path / "a.h5", first, made, first, spoiled)
    extra = done(run_of(tmp_path)).extra("process")["jets"]
    found = {name: n for name, n in extra["input_anomalies"].items() if n}
    assert found == {
        "jets_twice_in_an_event": 1,
        "jets_of_events_before": 1,
        "jets_not_finite": 1,
        "taggers_not_finite": 1,
    }
    rows = len(made["event_info"]) + len(spoiled["event_info"])
    assert extra["raw"][:2] == [rows + 2, rows - 1]


def test_constituents_without_numbers_are_left_out_and_counted() -> None:
    candidates = aspen_files.rows(10)["PFCands"][:4]
    candidates[0, 0, 0], candidates[1, 1, 9], candidates[2, 2, 5] = np.nan, np.inf, np.inf
    anomalies: Counter[str] = Counter()
    jets = aspen_jets.constituents_of(candidates, np.zeros(4), np.zeros(4), anomalies)
    assert np.diff(jets.offsets).tolist() == [4, 4, 5, 5]
    assert anomalies == {"constituents_not_finite": 2, "impact_parameters_not_finite": 1}


def test_copies_are_errors_and_events_in_two_files_count_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(folder / "a.h5", folder / "b.h5")
    with pytest.raises(InputFileError, match=r"b\.h5: the same content as a\.h5"):
        done(run_of(folder))
    # of another size, with all events of the other
    aspen_files.write(folder / "b.h5", aspen_files.rows(150), aspen_files.rows(5, 3))
    with pytest.raises(InputFileError, match=r"b\.h5: .* is a copy"):
        done(run_of(folder))
    first, more = aspen_files.rows(20), aspen_files.rows(150, 3)
    aspen_files.write(folder / "b.h5", more, first)
    twice = len(first["event_info"])
    whole = jets_of(done(run_of(folder, aspen={"files": ["a.h5"], "events": True})))
    for at_once in (15, 10**6):
        # however many sections are compared at a time
        monkeypatch.setattr(aspen_events, "_AT_ONCE", at_once)
        run = done(run_of(folder, aspen={"files": ["."], "events": True, "chunk_size": 40 + at_once % 2}))
        jets = run.extra("process")["jets"]
        assert jets["input_anomalies"]["jets_of_events_in_other_files"] == twice
        assert jets["raw"][0] - jets["raw"][1] == twice
        found = jets_of(run)
        identity = np.stack([found["event"], found["jet"]])
        assert len(np.unique(identity, axis=1).T) == len(found["event"]) > len(whole["event"])
        assert set(whole["event"]) <= set(found["event"])
    aspen_files.write(folder / "b.h5", more)
    np.testing.assert_equal(jets_of(done(run_of(folder))), found)


@pytest.mark.parametrize("stopped", ["before a table", "between tables", "at the end"])
def test_an_import_stopped_anywhere_gives_the_same_rows(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    asked = {"aspen": {"files": ["."], "events": True, "chunk_size": 100}}
    whole = done(run_of(folder, **asked))
    wanted = jets_of(whole), event_table.read(whole.out / "events", "aspen"), whole.extra("process")
    shutil.rmtree(whole.out)

    written: list[Path] = []

    def dying(file: Path, columns: Any, note: Any) -> None:
        if len(written) == {"before a table": 2, "between tables": 3}.get(stopped, -1):
            raise KeyboardInterrupt
        written.append(file)
        event_table.write_part(file, columns, note)

    def dying_at_the_end(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(aspen_worker, "write_part", dying)
        if stopped == "at the end":
            patch.setattr(aspen_stage, "write_cutflow", dying_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            done(run_of(folder, **asked))
    assert provenance.read_manifest(whole.out, "process") is None
    before = {file: file.stat().st_mtime_ns for file in whole.out.glob("jets/*/part-*")}
    assert len(before) == (1 if stopped != "at the end" else 4)
    again = done(run_of(folder, **asked))
    np.testing.assert_equal((jets_of(again), event_table.read(again.out / "events", "aspen")), wanted[:2])
    assert again.extra("process") == wanted[2]
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_several_processes_give_the_same_rows(folder: Path) -> None:
    aspen_files.write(folder / "b.h5", aspen_files.rows(50, 3))
    asked = {"aspen": {"files": ["."], "events": True, "chunk_size": 100}}
    one = done(run_of(folder, **asked))
    wanted = jets_of(one), event_table.read(one.out / "events", "aspen"), one.extra("process")
    shutil.rmtree(one.out)
    several = {**asked, "execution": {"executor": "futures", "workers": 2, "provider": "cpu"}}
    found = done(run_of(folder, **several))
    np.testing.assert_equal((jets_of(found), event_table.read(found.out / "events", "aspen")), wanted[:2])
    assert found.extra("process") == wanted[2]


def test_what_the_files_lack_cannot_be_asked_for(folder: Path) -> None:
    with pytest.raises(ConfigError) as error:
        run_of(
            folder,
            selection={"cuts": ["trigger", "lepton_veto", "jet_pt"], "triggers": ["PFHT800"], "jets": {"pt_min": 200}},
            scores={"top": {"column": "t_vs_qdc"}},
            jet_bump={"scores": ["nothing"]},
        )
    text = str(error.value)
    for part in (
        "'trigger' needs",
        "'lepton_veto' needs leptons",
        "no jets below 300 GeV",
        "t_vs_qcd",
        "jet_bump.scores",
    ):
        assert part in text
    with pytest.raises(OddjetsError, match=r"'fit' needs 'aspen\.events: true'"):
        stage_of(run_of(folder), "fit")


@pytest.mark.parametrize(("top", "found"), [(0.02, True), (0.0, False)])
def test_the_bump_is_where_the_tops_are_and_not_without_them(tmp_path: Path, top: float, found: bool) -> None:
    aspen_files.write(tmp_path / "a.h5", aspen_files.rows(3000, 4, top=top))
    bump = {"efficiencies": [0.1], "bins": 12, "toys": 100, "window": [145, 205]}
    run = done(run_of(tmp_path, jet_bump=bump, aspen={"files": ["."]}))
    (figure,) = jet_bump.data(Artifacts(run.analysis, run.out)).values()
    (panel,) = figure["panels"]
    assert panel["window"] == [150, 210]
    assert "which the YAML states as 145 to 205 GeV, moved to the edges of bins;" in figure["caption"]
    assert (panel["p_value"]["global"] < 0.02) is found
    assert (panel["p_value"]["local"] < 1e-6) is found
    assert found or panel["p_value"]["local"] > 0.01
    jets = jets_of(run)
    # the cut is NumPy's quantile of all jets, although most were forgotten
    cut = np.quantile(jets["score_top"], 0.9)
    assert panel["cut"] == pytest.approx(cut, rel=1e-12)
    inside = (jets["score_top"] >= cut) & (jets["mass"] > 60) & (jets["mass"] < 240)
    assert sum(panel["data"]["values"]) == np.count_nonzero(inside)


def test_the_oddest_jets_of_a_stream_do_not_depend_on_how_it_is_cut() -> None:
    rng = np.random.default_rng(1)
    score, mass = np.round(rng.random(1000), 2), rng.random(1000)
    found = []
    for size in (7, 1000):
        jets = OddestJets(1000, 0.1)
        for start in range(0, 1000, size):
            jets.add(score[start : start + size], mass[start : start + size])
        found.append(jets.above(0.05))
    assert found[0][0] == found[1][0] == np.quantile(score, 0.95)
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert len(found[0][1]) == np.count_nonzero(score >= found[0][0])
