"""The analysis that an output folder belongs to: its YAML and the options of the command line."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import write_json

__all__ = ["FILE", "folders_beside", "save_analysis", "saved_analysis"]

FILE = "analysis.json"
#: how the work is done changes no result, but which chunks are planned
_OF_EXECUTION = ("chunk_size", "skip_bad_files")


def save_analysis(analysis: Analysis, out: Path) -> None:
    """Record which analysis a folder is for; one that was not read from a file is not recorded.

    Args:
        analysis: as it runs.
        out: its output folder.

    Raises:
        OddjetsError: the folder is another analysis's.
    """
    if analysis.path is None:
        return
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads((out / FILE).read_text(encoding="utf-8"))
        if known["name"] != analysis.name:
            raise OddjetsError(
                f"{out}: holds the analysis '{known['name']}' ({known['analysis']}), whose results '{analysis.name}' would"
                " replace: give another folder with --out, or remove this one"
            )
    try:
        plain = _content(load_analysis(analysis.path))
    except OddjetsError:  # edited since it was read: what was laid over it cannot be told
        return
    laid_over = {name: value for name, value in _content(analysis).items() if value != plain[name]}
    content = {"name": analysis.name, "analysis": str(analysis.path.resolve()), "laid_over": laid_over}
    write_json(out / FILE, content)


def saved_analysis(out: Path) -> Analysis:
    """Return the analysis that a folder is for: its YAML as it is now, with the recorded options of the command line.

    Args:
        out: the output folder.

    Raises:
        InputFileError: the folder does not say.
        OddjetsError: the YAML is gone or wrong.
    """
    try:
        content = json.loads((out / FILE).read_text(encoding="utf-8"))
        path, laid_over = Path(content["analysis"]), dict(content["laid_over"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputFileError(
            f"{out}: no {FILE} here that says which analysis this is for; give the analysis's YAML, and this folder with --out"
        ) from None
    if not path.is_file():
        raise InputFileError(
            f"{path}: the analysis of {out} is not there any more; give its YAML, and this folder with --out"
        )
    plain = load_analysis(path)
    content = plain.model_dump(mode="json")
    content["execution"] |= laid_over.pop("execution", {})
    if plain.fit is not None and laid_over.get("fit"):
        # --unblind holds for one command; what was hidden on top of the YAML stays so
        laid_over["fit"] = laid_over["fit"] | {"blind": plain.fit.blind or bool(laid_over["fit"].get("blind"))}
    return Analysis.model_validate(content | laid_over).model_copy(update={"path": path})


def folders_beside(path: Path) -> list[str]:
    """Return the output folders in the folder of a path, for messages."""
    return sorted(str(found.parent) for found in path.parent.glob(f"*/{FILE}"))


def _content(analysis: Analysis) -> dict[str, Any]:
    content = analysis.model_dump(mode="json")
    content["execution"] = {name: content["execution"][name] for name in _OF_EXECUTION}
    return content
