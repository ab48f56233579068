"""Event tables as the authors' event files: nothing is lost, and what is written can be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import planted

from oddjets.config.analysis import load_analysis
from oddjets.core.errors import OddjetsError
from oddjets.io import event_table, paper_npz
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages import npz


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    """An analysis of which two datasets are of the process top, its tables with the columns that the export asks for."""
    run = RunContext(load_analysis(planted.write(tmp_path / "in", blind=False)), tmp_path / "out")
    run_stage(run, stage_of(run, "process"))
    shutil.copytree(run.out / "events" / "top", run.out / "events" / "top_more")
    file = run.out / "manifests" / "process.json"
    manifest = json.loads(file.read_text())
    manifest["extra"]["datasets"]["top_more"] = manifest["extra"]["datasets"]["top"]
    file.write_text(json.dumps(manifest))
    for name in event_table.datasets(run.out / "events"):
        for part in event_table.parts(run.out / "events", name):
            table = dict(event_table.read(run.out / "events", name))
            for j in (1, 2):
                table |= {f"prob_0_odd_{j}": 1 - table[f"score_odd_{j}"], f"prob_10_odd_{j}": table[f"score_odd_{j}"]}
            event_table.write_part(part, table, {})
    # the planted score has no model that says which classes there are
    monkeypatch.setattr(npz, "_kept_probabilities", lambda run, score: ["prob_0_odd", "prob_10_odd"])
    return run


def test_datasets_of_one_process_have_a_file_each(run: RunContext, tmp_path: Path) -> None:
    files = npz.export_npz(run, tmp_path / "npz")
    assert len(set(files)) == len(files) == len(event_table.datasets(run.out / "events"))
    assert run.analysis.npz is not None
    found = paper_npz.find_files(run.analysis.npz.model_copy(update={"model": "s"}), tmp_path / "npz")
    names = [file.name for file in found["top"]]
    assert names == ["outputs_pretrain_s_top_dijet_top.npz", "outputs_pretrain_s_top_dijet_top_more.npz"]
    written = sum(len(paper_npz.read_file(file)[1]) // 2 for of_process in found.values() for file in of_process)
    tables = [event_table.read(run.out / "events", name) for name in event_table.datasets(run.out / "events")]
    assert written == sum(int(np.sum(table["passes_nominal"])) for table in tables)


def test_a_mass_without_a_logarithm_is_refused_before_anything_is_written(run: RunContext, tmp_path: Path) -> None:
    part = event_table.parts(run.out / "events", "top")[0]
    table = dict(event_table.read(run.out / "events", "top"))
    table["mass_2"] = table["mass_2"].copy()
    table["mass_2"][:3] = 0
    event_table.write_part(part, table, {})
    with pytest.raises(
        OddjetsError, match=r"events/top: 3 events with a jet's mass that is 0, negative, NaN or infinite"
    ):
        npz.export_npz(run, tmp_path / "npz")
    assert not (tmp_path / "npz").exists()
