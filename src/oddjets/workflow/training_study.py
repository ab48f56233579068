"""The study of a family of trainings: its events, from the output folder, and where its results are written."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write, sha256_of, write_json
from oddjets.io.studies import FOLDER, TRAININGS
from oddjets.study.trainings import compare_trainings, lines_of, require_family
from oddjets.workflow.run import RunContext
from oddjets.workflow.stages.workspace import measured_closure
from oddjets.workflow.studies import results_of
from oddjets.workflow.study_events import StudyEvents

__all__ = ["study_trainings"]


def study_trainings(run: RunContext) -> dict[str, Any]:
    """Give every member of the family of the threshold's score the analysis; write ``study/trainings.json`` and ``.txt``.

    Args:
        run: the analysis and its folder, where `oddjets run` has finished.

    Returns:
        What was written.

    Raises:
        OddjetsError: the threshold's score is no family, the analysis has no fit, or its results are missing or out of date.
    """
    analysis = run.analysis
    if analysis.fit is None or analysis.data_driven is None:
        raise OddjetsError(f"{analysis.name}: a study needs a 'fit' section, and a process with 'data_driven: true'")
    members = require_family(analysis)
    with run.lock():
        if not results_of(run):
            raise OddjetsError(f"{run.out / 'results.json'}: not there; run `oddjets run` first")
        events = StudyEvents(run, None, None)
        closure, structural = measured_closure(run)
        found = compare_trainings(
            analysis,
            members,
            lambda score: (
                events.of_folder(None, score=score),
                events.of_folder(None, data=True, scale=1.0, score=score),
            ),
            closure,
            structural,
        )
        file = run.out / "workspace.json"
        found["workspace_sha256"] = sha256_of(file) if file.is_file() else None
        found["cards"] = {name: run.resolved.cards[name].name for name in members}
        folder = run.out / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / TRAININGS, found)
        lines = lines_of(found)
        text = (folder / TRAININGS).with_suffix(".txt")
        with atomic_write(text) as temporary:
            temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for line in lines:
        console.print(escape(line))
    console.print(escape(f"study: {folder / TRAININGS}, {text.name}"))
    return found
