"""Inspections of events in an output folder, as far as the report shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from oddjets.config.analysis import Analysis
from oddjets.config.window import Window
from oddjets.core.errors import InputFileError
from oddjets.io.studies import jets_made_of

__all__ = ["FOLDER", "JETS_FOLDER", "RATES_OF_JETS", "read_inspection", "read_inspection_of_jets"]

#: the folder of inspections, in the output folder
FOLDER = "inspection"
#: that of single jets, there
JETS_FOLDER = "jets"
#: which jets a rate is of, in words
RATES_OF_JETS = {"jets": "all jets", "odd": "odd jets", "inside": "odd jets in the window"}


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


def read_inspection_of_jets(out: Path, asked: BaseModel | None) -> tuple[dict[str, Any], bool] | None:
    """Return the inspection of single jets, and whether it is of the jets and the searches of now; None where there is none.

    Args:
        out: the output folder.
        asked: the section ``jet_bump``; None: there is none, and no inspection.

    Raises:
        InputFileError: the file is damaged.
    """
    file = out / FOLDER / JETS_FOLDER / "jets.json"
    if asked is None or not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if lacking := [key for key in ("of", "periods", "rates", "against", "oddest", "places") if key not in content]:
            raise KeyError(lacking[0])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{file}: cannot be read as an inspection ({type(error).__name__}); remove it, or run `oddjets inspect` again"
        ) from None
    return dict(content), content["of"] == jets_made_of(out, asked)
