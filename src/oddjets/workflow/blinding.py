"""When the data in A of an output folder were hidden, when they were opened, and by what."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypedDict

from rich.markup import escape

from oddjets.core.console import console
from oddjets.core.errors import InputFileError
from oddjets.core.files import write_json

if TYPE_CHECKING:
    from oddjets.workflow.run import Run

__all__ = ["FILE", "Act", "history", "record"]

#: in the output folder; not there where nothing was ever blind
FILE = "blinding.json"


class Act(TypedDict):
    """One act: ``blinded`` or ``unblinded``, when (UTC, to the second), and by what."""

    state: str
    on: str
    by: str


def history(run: Run) -> list[Act]:
    """Return what was done to the data in A, the last act last.

    Raises:
        InputFileError: the record cannot be read.
    """
    file = run.out / FILE
    if not file.is_file():
        return []
    try:
        acts: list[Act] = json.loads(file.read_text(encoding="utf-8"))["history"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(f"{file}: broken record of the blinding ({error}); mend it, or remove it") from None
    return acts


def record(run: Run) -> Act | None:
    """Note the state of the data in A before they are filled or written, if it is not what was noted last.

    Args:
        run: whose data are about to be seen, or hidden.

    Returns:
        The last act; None where the data were never blind.
    """
    acts = history(run)
    last = acts[-1]["state"] if acts else None
    where = run.analysis.path.name if run.analysis.path is not None else run.analysis.name
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if run.analysis.blind and last != "blinded":
        acts.append({"state": "blinded", "on": now, "by": f"fit.blind: true in {where}"})
    elif not run.analysis.blind and (last == "blinded" or (last is None and run.unblinds)):
        by = "--unblind" if run.unblinds else f"fit.blind: false in {where}"
        acts.append({"state": "unblinded", "on": now, "by": by})
        console.print(f"[bold yellow]the data in A are unblinded[/bold yellow] by {escape(by)}; {escape(FILE)} has it")
    if not acts:
        return None
    write_json(run.out / FILE, {"history": acts})
    return acts[-1]
