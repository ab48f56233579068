"""Inspections of events in an output folder, as far as the report shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.config.window import Window
from oddjets.core.errors import InputFileError

__all__ = ["FOLDER", "read_inspection"]

#: the folder of inspections, in the output folder
FOLDER = "inspection"


def read_inspection(out: Path, analysis: Analysis, part: str) -> dict[str, Any] | None:
    """Return a part of the inspection that the YAML asks for; None if it was not made.

    Args:
        out: the output folder.
        analysis: its section ``inspect`` says which window.
        part: name of the file, without its ending: ``events``, ``displays``, ``neighbours`` or ``why``.

    Raises:
        InputFileError: the file is damaged.
    """
    if analysis.inspect is None:
        return None
    file = out / FOLDER / Window.of_analysis(analysis, analysis.inspect).name / f"{part}.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content["shows_data_in_A"], bool):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{file}: cannot be read as an inspection ({type(error).__name__}); remove it, or run `oddjets inspect` again"
        ) from None
    return dict(content)
