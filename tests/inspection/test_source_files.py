"""Events read again from their source files, in every layout of PF candidates, and where the files are not what they were."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from helpers import layouts, toy_candidates
from helpers.file_servers import HttpServer
from helpers.toy_nano import toy_nano

from oddjets.config.analysis import load_analysis
from oddjets.inspection.source_files import SourceEvent, joined_jets, take_jets
from oddjets.inspection.table import OddEvent
from oddjets.io.event_table import JETS
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.scoring.inputs import CANDIDATE_BRANCHES
from oddjets.scoring.model_card import load_card
from oddjets.scoring.scorer import Scorer
from oddjets.workflow.inspected_run import InspectedRun, asked_of
from oddjets.workflow.pipeline import run_stages, stages_up_to
from oddjets.workflow.run import RunContext

#: without candidates, the score is one of branches
XBB = {"scores": {"xbb": {"signal": ["xbb"], "background": ["qcd"]}}, "threshold": {"score": "xbb", "value": 0.3}}


#: both without an index are read alike
LAYOUTS = [name for name in layouts.CHANGES if name != "pfnano_without_index"]


def run_of(folder: Path, layout: str) -> RunContext:
    changes: dict[str, Any] = dict(XBB) if layout == "nanoaod" else {}
    file = toy_candidates.write(folder, layout, **changes)
    run = RunContext(load_analysis(file), folder / "out")
    run_stages(run, stages_up_to(run, "histogram"))
    return run


@pytest.fixture(scope="module")
def runs(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunContext]:
    folder = tmp_path_factory.mktemp("layouts")
    found = {layout: run_of(folder / layout, layout) for layout in LAYOUTS if layout != "pfnano"}
    return {"pfnano": RunContext(load_analysis(made / "analysis.yaml"), made / "out"), **found}


def inspected(run: RunContext, **asked: object) -> InspectedRun:
    return InspectedRun(run, asked_of(run, {"top": 8, **asked}))


def identity(event: OddEvent) -> tuple[int, ...]:
    return tuple(int(event.events.columns[name][event.place]) for name in IDENTITY)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_events_are_found_in_their_files(runs: dict[str, RunContext], layout: str) -> None:
    found = inspected(runs[layout])
    assert len(found.oddest) == 8
    for event, source in zip(found.oddest, found.sources, strict=True):
        assert source.entry is not None
        with uproot.open(source.source.path) as file:
            stored = file["Events"].arrays(list(IDENTITY), library="np")
            # of the other branches, those of the same entry
            jets = file["Events"].arrays(["FatJet_eta"], library="np")["FatJet_eta"][source.entry]
        assert tuple(int(stored[name][source.entry]) for name in IDENTITY) == identity(event)
        assert source.pair is not None
        expected = [event.events.columns[f"eta_{j}"][event.place] for j in JETS]
        np.testing.assert_array_equal(jets[list(source.pair)], expected)
    # two files, so that both are opened
    assert len({source.source.path for source in found.sources}) == 2


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "nanoaod"])
def test_constituents_give_the_scores_of_the_event_table(runs: dict[str, RunContext], layout: str) -> None:
    run = runs[layout]
    found = inspected(run)
    jets = joined_jets([source.jets for source in found.sources if source.jets is not None])
    scores = Scorer(load_card(run.resolved.cards["mine"])).score(jets).reshape(-1, 2)
    stored = [[e.events.columns[f"score_mine_{j}"][e.place] for j in JETS] for e in found.oddest]
    np.testing.assert_allclose(scores, stored, rtol=1e-6)
    counts = np.diff(jets.offsets).reshape(-1, 2)
    expected = [[e.events.columns[f"n_constituents_{j}"][e.place] for j in JETS] for e in found.oddest]
    np.testing.assert_array_equal(counts, expected)


def test_all_candidates_are_there_weighted(runs: dict[str, RunContext]) -> None:
    one = inspected(runs["pfnano"]).sources[0]
    v15 = inspected(runs["nanoaod_v15"]).sources[0]
    for source in (one, v15):
        assert source.candidates is not None
        assert len(source.candidates["pt"]) == 2 * toy_candidates.IN_JET + toy_candidates.BESIDE
        # every tenth of what is in no jet is pileup
        assert np.count_nonzero(source.candidates["pt"] == 0) == toy_candidates.BESIDE // 10
    assert one.all_stored
    assert not v15.all_stored
    assert (one.layout, v15.layout) == ("PFNano with allPF", "NanoAODv15")


def test_without_candidates_there_are_the_jets_of_the_event(runs: dict[str, RunContext]) -> None:
    source = inspected(runs["nanoaod"]).sources[0]
    assert source.jets is None
    assert source.candidates is None
    assert "has no PF candidates" in source.problem
    assert source.fat_jets is not None
    assert len(source.fat_jets["pt"]) == 2


def test_simulation_is_read_as_well(runs: dict[str, RunContext]) -> None:
    sources = inspected(runs["pfnano"], process="top", letter="D").sources
    assert sources
    assert all(not source.problem and Path(source.source.path).name == "top.root" for source in sources)


def test_jets_are_taken_and_joined(runs: dict[str, RunContext]) -> None:
    parts = [source.jets for source in inspected(runs["nanoaod_v15_without_index"]).sources if source.jets is not None]
    together = joined_jets(parts)
    assert together.n_jets == 2 * len(parts)
    for number, part in enumerate(parts):
        again = take_jets(together, [2 * number, 2 * number + 1])
        for name in (*CANDIDATE_BRANCHES, "offsets", "jet_eta", "jet_phi"):
            np.testing.assert_array_equal(getattr(again, name), getattr(part, name))
    swapped = take_jets(parts[0], [1, 0])
    np.testing.assert_array_equal(take_jets(swapped, [1, 0]).pt, parts[0].pt)


@pytest.fixture
def own(tmp_path: Path, runs: dict[str, RunContext]) -> Iterator[RunContext]:
    """A run whose files may be harmed; they are put back."""
    folder = Path(runs["pfnano"].out).parent
    kept = tmp_path / "kept"
    kept.mkdir()
    for file in folder.glob("*.root"):
        shutil.copy2(file, kept)
    yield runs["pfnano"]
    for file in kept.iterdir():
        shutil.copy2(file, folder)


def problems(run: RunContext) -> dict[str, set[str]]:
    """Source file to the problems of its events."""
    found: dict[str, set[str]] = {}
    for source in inspected(run).sources:
        found.setdefault(Path(source.source.path).name, set()).add(source.problem)
    return found


def test_a_file_that_is_gone_is_named_and_costs_its_own_events_alone(own: RunContext) -> None:
    file = own.out.parent / "data1.root"
    file.unlink()
    assert problems(own) == {"data1.root": {f"{file}: is not there any more"}, "data2.root": {""}}


def test_files_that_were_moved_are_found_where_the_fileset_says(own: RunContext, tmp_path: Path) -> None:
    folder, moved = own.out.parent, tmp_path / "a folder" / "moved"
    moved.mkdir(parents=True)
    for name in ("analysis.yaml", "mine.onnx", "mine.yaml"):
        shutil.copy2(folder / name, moved)
    text = (folder / "fileset.json").read_text(encoding="utf-8")
    (moved / "fileset.json").write_text(text.replace(str(folder), str(moved)), encoding="utf-8")
    shutil.copytree(own.out, moved / "out")
    (moved / "out" / "analysis.json").unlink()
    for name in ("data1.root", "data2.root"):
        (folder / name).rename(moved / name)
    run = RunContext(load_analysis(moved / "analysis.yaml"), moved / "out")
    assert {(s.source.path, s.problem) for s in inspected(run).sources} == {
        (str(moved / name), "") for name in ("data1.root", "data2.root")
    }
    # what has the name alone is not taken for it
    shutil.copy2(moved / "data2.root", moved / "data1.root")
    assert problems(run)["data1.root"] == {f"{moved / 'data1.root'}: is another file than the one that was processed"}


def test_a_file_that_was_made_again_is_another_one(own: RunContext) -> None:
    file = own.out.parent / "data1.root"
    toy_nano(file, 30, is_data=True, run=1, seed=1, change=toy_candidates.with_candidates(1))
    found = problems(own)
    assert found["data1.root"] == {f"{file}: is another file than the one that was processed"}
    assert found["data2.root"] == {""}


def test_a_damaged_file_says_what_is_wrong_with_it(own: RunContext) -> None:
    file = own.out.parent / "data1.root"
    file.write_bytes(file.read_bytes()[:2000])
    (said,) = problems(own)["data1.root"]
    assert said.startswith(f"{file}: cannot be read (")
    file.write_bytes(b"nothing")
    (said,) = problems(own)["data1.root"]
    assert said.startswith(f"{file}: cannot be read (")


def test_a_run_without_records_of_chunks_knows_the_only_file_of_a_dataset(own: RunContext, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(own.out, out)
    shutil.rmtree(out / "chunks")
    without = RunContext(own.analysis, out)
    assert {s.problem for s in inspected(without, process="top", letter="D").sources} == {""}
    # of two files nobody knows which
    assert {s.problem for s in inspected(without).sources} == {"its source file is not recorded"}


def test_remote_files_are_read(own: RunContext, tmp_path: Path) -> None:
    folder = own.out.parent
    server = HttpServer(folder)
    try:
        text = (folder / "fileset.json").read_text(encoding="utf-8")
        remote = tmp_path / "remote"
        remote.mkdir()
        for name in ("analysis.yaml", "mine.onnx", "mine.yaml"):
            shutil.copy2(folder / name, remote)
        (remote / "fileset.json").write_text(text.replace(str(folder), server.url), encoding="utf-8")
        # as if it had been processed from there
        shutil.copytree(own.out, remote / "out")
        for record in (remote / "out" / "chunks" / "data").glob("*.json"):
            record.write_text(record.read_text().replace(str(folder), server.url), encoding="utf-8")
        run = RunContext(load_analysis(remote / "analysis.yaml"), remote / "out")
        there, here = (inspected(one).sources for one in (run, own))
        assert all(source.source.path.startswith("http") for source in there)
        for one, other in zip(there, here, strict=True):
            assert _same(one, other)
    finally:
        server.stop()


def _same(one: SourceEvent, other: SourceEvent) -> bool:
    assert one.jets is not None
    assert other.jets is not None
    return one.entry == other.entry and np.array_equal(one.jets.pt, other.jets.pt)
