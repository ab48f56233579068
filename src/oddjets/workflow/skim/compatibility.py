"""A check that a skim has all events that an analysis selects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from oddjets.core import provenance
from oddjets.io.remote.access import is_remote
from oddjets.workflow.keys import DECIDES_ROWS, row_selection
from oddjets.workflow.skim.run import STAGE

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["incompatible_skims"]


def incompatible_skims(run: RunContext) -> dict[str, tuple[str, list[str]]]:
    """Return the datasets whose files are skims that were made for another selection.

    Args:
        run: the analysis that reads them.

    Returns:
        Dataset to the name of the analysis that its skim was made for, and what differs: keys of the configuration.
    """
    # as it was stored
    wanted = json.loads(json.dumps(row_selection(run), default=str))
    found: dict[str, tuple[str, list[str]]] = {}
    for name, (_, files) in run.fileset.items():
        for folder in {Path(info.path).parent.parent for info in files if not is_remote(info.path)}:
            manifest = provenance.read_manifest(folder, STAGE)
            if manifest is None or name not in manifest["extra"]["datasets"]:
                continue
            stored = manifest["extra"]["selection"]
            if differing := [key for key in DECIDES_ROWS if stored.get(key) != wanted.get(key)]:
                found[name] = (manifest["extra"]["analysis"], differing)
    return found
