"""The b tag's working point: that of the era's official file."""

from __future__ import annotations

from pathlib import Path

from oddjets.config.analysis import Analysis
from oddjets.config.taggers import DEEP_CSV
from oddjets.core.errors import OddjetsError
from oddjets.corrections.lookups import Era, lookup

__all__ = ["check_working_point", "working_point"]


def working_point(era: Era, folder: Path) -> float | None:
    """Return the b tag's working point that the era's correction ``btag`` names; None where it has none."""
    spec = era.corrections.get("btag")
    return None if spec is None else float(lookup(era, folder, spec, {}, spec.nominal))


def check_working_point(analysis: Analysis, era: Era, folder: Path, *, only: bool = True) -> None:
    """Refuse a b tag that is not the working point which the era's file names.

    Args:
        analysis: of this era.
        era: names the file.
        folder: where its relative paths start.
        only: whether the analysis has no other era.

    Raises:
        OddjetsError: ``selection.btag_min`` is another number.
    """
    if analysis.selection.taggers.branch("btag") != DEEP_CSV:
        # the era's file is about DeepCSV, and the working point of another tagger is the user's own
        return
    stated = working_point(era, folder)
    if stated is not None and abs(stated - analysis.selection.btag_min) > 1e-6:
        assert era.corrections["btag"].nominal is not None
        raise OddjetsError(
            f"selection.btag_min: {analysis.selection.btag_min} is not working point '{era.corrections['btag'].nominal}' of era"
            f" '{era.name}', which is {stated:.4f}{'' if only else '; selection_by_era states it for an era'}"
        )
