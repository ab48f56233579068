"""Finished studies, other than those of experiments without signal, as the report shows them."""

from __future__ import annotations

from typing import Any

from oddjets.io.studies import FinishedStudy, read_study
from oddjets.report.artifacts import Artifacts

__all__ = ["current_study", "study_of"]


def study_of(artifacts: Artifacts, name: str) -> FinishedStudy | None:
    """Return a study, up to date or not; None where there is none. Of a blinded analysis nothing that was observed is in it.

    Args:
        artifacts: of the output directory.
        name: ``choices``, ``injection``, ``learning``, ``sculpting`` or ``two_sample``.

    Raises:
        InputFileError: the file is no such study.
    """
    found = read_study(artifacts.out, f"{name}.json")
    if found is not None and artifacts.blinded and found.content.get("shows_data_in_A"):
        return None
    if found is None or name != "choices" or not artifacts.blinded:
        return found
    hidden = {k: v for k, v in found.content.items() if k != "global"}
    hidden["choices"] = {
        choice: {k: v for k, v in known.items() if k != "observed_z"} for choice, known in hidden["choices"].items()
    }
    return FinishedStudy(hidden, found.outdated)


def current_study(artifacts: Artifacts, name: str) -> dict[str, Any] | None:
    """Return the content of a study that is of the state that is there now; None where there is none.

    Args:
        artifacts: of the output directory.
        name: ``choices``, ``injection``, ``learning``, ``sculpting`` or ``two_sample``.
    """
    found = study_of(artifacts, name)
    return None if found is None or found.outdated else found.content
