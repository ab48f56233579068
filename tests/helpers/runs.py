"""Runs of analyses given as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from oddjets.config.analysis import load_analysis
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext


def run_of(folder: Path, data: dict[str, Any], **execution: Any) -> RunContext:
    """An analysis given as data, and its output folder."""
    data = {**data, "execution": {**data["execution"], **execution}}
    (folder / "a.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return RunContext(load_analysis(folder / "a.yaml"), folder / "out")


def processed(folder: Path, data: dict[str, Any], **execution: Any) -> RunContext:
    """The same after the stage `process`."""
    folder.mkdir(parents=True, exist_ok=True)
    run = run_of(folder, data, **execution)
    run_stage(run, stage_of(run, "process"))
    return run
