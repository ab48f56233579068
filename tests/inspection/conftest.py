"""An analysis of files with candidates, which tests of inspections look at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers import toy_candidates

from oddjets.config.analysis import load_analysis
from oddjets.workflow.pipeline import run_stages, stages_up_to
from oddjets.workflow.run import RunContext


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the analysis, of files of two runs, with histograms; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    # several chunks a file, so that not every entry is counted from the file's first
    file = toy_candidates.write(folder, execution={"executor": "iterative", "provider": "cpu", "chunk_size": 20})
    run = RunContext(load_analysis(file), folder / "out")
    run_stages(run, stages_up_to(run, "histogram"))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of the analysis and its output folder; the files of events are those of the original."""
    for name in ("analysis.yaml", "fileset.json", "mine.yaml", "mine.onnx"):
        shutil.copy2(made / name, tmp_path)
    shutil.copytree(made / "out", tmp_path / "out")
    (tmp_path / "out" / "analysis.json").unlink()
    return tmp_path
