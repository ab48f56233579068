"""The luminosity, or number of events, by run: what the events of an inspected window are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.corrections.luminosity import certified_sections, read_luminosity_table
from oddjets.corrections.sections import RUN, Sections
from oddjets.io import event_table
from oddjets.workflow.inspected_run import InspectedRun
from oddjets.workflow.run import RunContext

__all__ = ["exposures_by_run", "luminosity_by_run"]


def exposures_by_run(inspected: InspectedRun) -> tuple[str, dict[int, float], str]:
    """Return what rates are compared with, in words, and it by run; and why it is not the luminosity, where one is given.

    Args:
        inspected: a window of data.
    """
    run = inspected.run
    runs = [event_table.read(run.event_tables, name, ["run"])["run"] for name in inspected.datasets]
    seen, counts = np.unique(np.concatenate(runs).astype(np.int64), return_counts=True)
    events = dict(zip(seen.tolist(), counts.astype(float).tolist(), strict=True))
    found, problem = luminosity_by_run(run)
    if found is None:
        return "all events of the base selection", events, problem
    # files that were not read have no events, but luminosity
    return "the luminosity of certified sections", {n: pb for n, pb in found.items() if n in events}, ""


def luminosity_by_run(run: RunContext, read: Sections | None = None) -> tuple[dict[int, float] | None, str]:
    """Return the luminosity of certified sections by run, /pb, and why there is none where one is given.

    Args:
        run: the analysis.
        read: sections whose luminosity counts; None: all.

    Returns:
        None where the analysis has no table of it, or where that cannot be used: then the text says why.
    """
    analysis = run.analysis
    table = analysis.selection.luminosity_table
    if table is None or not isinstance(analysis.era, str):
        return None, ""
    try:
        path = Path(table) if Path(table).is_absolute() else analysis.folder / table
        sections, luminosities = read_luminosity_table(path)
        if analysis.selection.golden_json is not None:
            era, folder = run.resolved.eras[analysis.era]
            good = certified_sections(analysis, era, folder)[0].contains(sections)
            sections, luminosities = sections[good], luminosities[good]
    except (InputFileError, OddjetsError) as error:
        return None, f"rates are not compared with the luminosity: {error}"
    if read is not None:
        there = np.isin(sections, read)
        sections, luminosities = sections[there], luminosities[there]
    found: dict[int, float] = {}
    for number, luminosity in zip((sections // RUN).tolist(), luminosities.tolist(), strict=True):
        found[number] = found.get(number, 0.0) + luminosity
    return found, ""
