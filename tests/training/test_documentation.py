"""The page on published checkpoints works as it is written, with a checkpoint of the same layout in their place."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.scoring.model_card import load_card
from oddjets.workflow import validation

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "checkpoints.md").read_text(encoding="utf-8")


def test_the_commands_and_the_analysis_of_the_page(torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = REPOSITORY / "models" / "best_model_omnilearned_small_simulation_s.pt"
    shutil.copy(checkpoint, tmp_path / "best_model_pretrain_s.pt")
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^oddjets (model .*)$", PAGE, re.MULTILINE)
    assert [command.split()[1] for command in commands] == ["export", "check"]
    for command in commands:
        done = CliRunner().invoke(app, shlex.split(command))
        assert done.exit_code == 0, (command, done.output, done.exception)
    (analysis,) = re.findall(r"```yaml\n(# published\.yaml\n.*?)```", PAGE, re.DOTALL)
    Path("published.yaml").write_text(analysis, encoding="utf-8")
    resolved = validation.resolve(load_analysis(Path("published.yaml")))
    card = load_card(resolved.cards["omnilearned"])
    assert card.path == tmp_path / "omnilearned_s.onnx"
    assert card.trained_on_labelled == ("H", "W", "Z", "top")  # as the page says
