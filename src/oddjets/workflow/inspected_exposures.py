"""The luminosity, or number of events, by run: what the events of an inspected window are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.corrections.luminosity import certified_sections, read_luminosity_table
from oddjets.corrections.sections import RUN
from oddjets.io import event_table
from oddjets.workflow.inspected_run import InspectedRun

__all__ = ["exposures_by_run"]


def exposures_by_run(inspected: InspectedRun) -> tuple[str, dict[int, float], str]:
    """Return what rates are compared with, in words, and it by run; and why it is not the luminosity, where one is given.

    Args:
        inspected: a window of data.
    """
    analysis, run = inspected.run.analysis, inspected.run
    table = analysis.selection.luminosity_table
    runs = [event_table.read(run.event_tables, name, ["run"])["run"] for name in inspected.datasets]
    seen, counts = np.unique(np.concatenate(runs).astype(np.int64), return_counts=True)
    events = dict(zip(seen.tolist(), counts.astype(float).tolist(), strict=True))
    if table is None or not isinstance(analysis.era, str):
        return "all events of the base selection", events, ""
    try:
        path = Path(table) if Path(table).is_absolute() else analysis.folder / table
        sections, luminosities = read_luminosity_table(path)
        if analysis.selection.golden_json is not None:
            era, folder = run.resolved.eras[analysis.era]
            good = certified_sections(analysis, era, folder)[0].contains(sections)
            sections, luminosities = sections[good], luminosities[good]
    except (InputFileError, OddjetsError) as error:
        return "all events of the base selection", events, f"rates are not compared with the luminosity: {error}"
    found: dict[int, float] = {}
    for number, luminosity in zip((sections // RUN).tolist(), luminosities.tolist(), strict=True):
        # files that were not read have no events, but luminosity
        if number in events:
            found[number] = found.get(number, 0.0) + luminosity
    return "the luminosity of certified sections", found, ""
