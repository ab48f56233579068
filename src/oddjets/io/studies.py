"""Finished studies in an output folder, as far as the fit's summary and the report show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oddjets.core.errors import InputFileError
from oddjets.core.files import sha256_of

__all__ = ["FOLDER", "calibration_line", "read_null_studies"]

#: the folder of studies, in the output folder
FOLDER = "study"


def read_null_studies(out: Path) -> dict[str, dict[str, Any]]:
    """Return source -> study without signal, of those that are of the workspace that is there now.

    Args:
        out: the output folder.

    Raises:
        InputFileError: a file is no study.
    """
    workspace = out / "workspace.json"
    files = sorted((out / FOLDER).glob("null_*.json"))
    now = sha256_of(workspace) if files and workspace.is_file() else None
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            source, of = content["source"], content["workspace_sha256"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputFileError(
                f"{file}: cannot be read as a study ({type(error).__name__}); remove it, or run `oddjets study null` again"
            ) from None
        if of == now:
            found[source] = content
    return found


def calibration_line(name: str, found: Mapping[str, Any]) -> str:
    """Return a calibrated p in a line.

    Args:
        name: what it is the probability under.
        found: the entry ``calibration`` of a study.
    """
    line = (
        f"{name}: {found['p_value']:.3g} [{found['low']:.2g}, {found['high']:.2g}], z = {found['z']:.2f};"
        f" asymptotic {found['p_asymptotic']:.3g}, z = {found['observed_z']:.2f}"
    )
    if len(found["truths"]) > 1:
        low, high = found["range"]
        line += f"; {low:.2g} to {high:.2g} over nuisance values and c"
    return line + ("; an extrapolation" if found["extrapolated"] else f"; by {found['method']}")
