"""What goes wrong on real machines: kills, full disks, missing folders, mistakes. Nothing half-written passes for whole."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from rich.console import Console

from oddjets.config.simulation import SimulationSpec
from oddjets.core.errors import OddjetsError
from oddjets.simulation.job_plan import TRIES_PER_BLOCK_WITHOUT_VETO, make_plan
from oddjets.simulation.run import _joined_batches, simulate
from oddjets.simulation.writer import write_nano

SPEC = {
    "seed": 9,
    "luminosity": 0.1,
    "blocks": 2,
    "data_processes": ["qcd", "top"],
    "templates": {"top": 6, "wz_4q": 6},
}


@pytest.fixture(autouse=True)
def _needs_pythia() -> None:
    pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")


def contents(folder: Path) -> dict[str, list[object]]:
    return {
        str(path.relative_to(folder)): uproot.open(path)["Events"].arrays().to_list()
        for path in sorted(folder.rglob("*.root"))
    }


def program(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "oddjets", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_events(tmp_path: Path) -> None:
    text = f"""
import json, pathlib
from oddjets.simulation.run import simulate
from oddjets.config.simulation import SimulationSpec
simulate(SimulationSpec.model_validate(json.loads({json.dumps(json.dumps(SPEC))})), pathlib.Path("killed"), workers=1)
"""
    running = subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path, start_new_session=True)
    spec = SimulationSpec.model_validate(SPEC)
    names = [Path(block.path).with_suffix(".json") for block in make_plan(spec)]
    killed = tmp_path / "killed"
    for _ in range(6000):
        if (killed / names[1]).exists() or running.poll() is not None:
            break
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    finished = [name for name in names if (killed / name).exists()]
    assert 2 <= len(finished) < len(names)
    # what has its name can be read to the end
    assert all(contents(killed).values())
    simulate(spec, killed, workers=1)
    simulate(spec, tmp_path / "whole", workers=1)
    assert contents(killed) == contents(tmp_path / "whole")
    for truth in sorted((killed / "truth").glob("*.npz")):
        with np.load(truth) as one, np.load(tmp_path / "whole" / "truth" / truth.name) as other:
            np.testing.assert_array_equal(one["process"], other["process"])
    assert (killed / "fileset.json").read_text() == (tmp_path / "whole" / "fileset.json").read_text()


def test_a_disk_that_takes_no_more_leaves_no_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs a limit on the size of files, which this system has not")
    events = ak.zip({"event": np.random.default_rng(1).integers(0, 2**62, 100_000)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OddjetsError, match=r"x\.root cannot be written: .*; finished files are kept"):
            write_nano(tmp_path / "x.root", [events], {"run": np.array([1])})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_empty_data_folder_of_pythia_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = program("simulate", "--set", "tiny", "--out", "made", cwd=tmp_path, PYTHIA8DATA=str(tmp_path / "empty"))
    assert done.returncode == 2
    assert "Pythia finds no settings in its data folder" in done.stderr
    assert "unset PYTHIA8DATA" in done.stderr
    assert not list((tmp_path / "made").rglob("*.root*"))


def test_a_killed_worker_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Pool:
        def __init__(self, *_: object, **__: object) -> None: ...
        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...
        def submit(self, *_: object) -> object:
            raise BrokenProcessPool

    monkeypatch.setattr("oddjets.core.worker_pool.ProcessPoolExecutor", Pool)
    with pytest.raises(OddjetsError, match=r"a worker process was killed.*fewer workers"):
        simulate(SimulationSpec.model_validate(SPEC), tmp_path, workers=2)


@pytest.mark.slow
def test_progress_says_the_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr("oddjets.core.console.console", Console(file=screen, force_terminal=True, width=120))
    simulate(SimulationSpec(seed=3, templates={"top": 2, "ww_4q": 2, "wz_4q": 2}), tmp_path, workers=1)
    # before the end: the time gone and the time left; in the end: none left
    soon, whole = ([line for line in screen.getvalue().splitlines() if done in line][-1] for done in ("4/6", "6/6"))
    assert len(re.findall(r"\d:\d\d:\d\d", soon)) == 2
    assert "0:00:00" in whole


def test_no_more_than_a_piece_of_a_template_is_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oddjets.simulation.run.EVENTS_PER_PIECE", 50)
    alive: list[int] = []

    def batches() -> object:
        for _ in range(40):
            yield ak.Array({"x": np.zeros(20)}), np.zeros(20, np.int64)

    for events, _ in _joined_batches(batches()):  # type: ignore[arg-type]
        alive.append(len(events))
    # as many as it takes to fill a piece, and less than a batch more
    assert sum(alive) == 800
    assert max(alive) < 50 + 20


@pytest.mark.slow
def test_pieces_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = SimulationSpec(seed=3, early_veto=False, templates={"top": 12})
    monkeypatch.setattr("oddjets.simulation.generator.ENOUGH_EVENTS", 1)
    monkeypatch.setattr("oddjets.simulation.generator.BATCH", 4)
    simulate(spec, tmp_path / "one", workers=1)
    monkeypatch.setattr("oddjets.simulation.run.EVENTS_PER_PIECE", 1)
    simulate(spec, tmp_path / "many", workers=1)
    one, many = (uproot.open(tmp_path / name / "top" / "top-0000.root")["Events"] for name in ("one", "many"))
    assert many["event"].num_baskets == 3 > one["event"].num_baskets
    for column in ("event", "GenPart_pt", "FatJet_pt"):
        assert one[column].array().to_list() == many[column].array().to_list()


def test_files_are_smaller_where_every_event_is_kept() -> None:
    spec = SimulationSpec(luminosity=20.0, early_veto=False, templates={"top": 30_000})
    assert max(block.tries for block in make_plan(spec)) < 1.2 * TRIES_PER_BLOCK_WITHOUT_VETO


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "validate"), "no set 'validate'; did you mean 'validation'?"),
        (("--set", "tiny", "--inject", "tpo=2"), "unknown process 'tpo': did you mean 'top'?"),
        (("--set", "tiny", "--luminosity", "-1"), "luminosity: input should be greater than 0 (got -1.0)"),
        (("--set", "tiny", "--inject", "hh=-3"), "inject.hh: input should be greater than or equal to 0 (got -3.0)"),
        (("--set", "tiny", "--inject", "hh"), "'hh' is not of the form PROCESS=MU"),
        ((), "give an ANALYSIS.yaml, or --set NAME with one of tiny, demo, validation, full"),
    ],
)
def test_mistakes_end_with_a_message_before_anything_is_written(
    tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    done = program("simulate", *words, "--out", "made", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_dry_run_predicts_and_makes_nothing(tmp_path: Path) -> None:
    done = program("simulate", "--set", "full", "--dry-run", "--workers", "4", cwd=tmp_path)
    assert done.returncode == 0
    assert "two hard, massive jets; about" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_tiny_set_is_made_whole(tmp_path: Path) -> None:
    done = program("simulate", "--set", "tiny", "--luminosity", "0.2", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # predicted before it starts
    assert done.stderr.index("hard, massive jets; about") < done.stderr.index("simulate (hard events): 100 %")
    fileset = json.loads((tmp_path / "output" / "tiny" / "fileset.json").read_text())
    assert set(fileset) == {"data", "qcd", "top", "wjets", "zjets"}
    assert fileset["data"]["metadata"]["luminosity_pb"] == 0.2
    assert fileset["qcd"]["metadata"]["events_tried"] == 600
