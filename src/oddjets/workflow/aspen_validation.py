"""Checks of an analysis of Aspen Open Jets: what the files lack cannot be asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.core.errors import InputFileError, nearest
from oddjets.io.aspen import LOWEST_PT, find_files
from oddjets.scoring.column_card import ColumnCard
from oddjets.selection.aspen_jets import JETS_HAVE
from oddjets.selection.oddest_jets import bins_of

__all__ = ["absent_aspen_files", "aspen_problems"]

#: built-in cut -> what it needs
_CUTS = {
    "trigger": "decisions of single triggers",
    "event_filters": "decisions of single filters (those of the makers were applied)",
    "lepton_veto": "leptons",
}


def aspen_problems(analysis: Analysis, cards: Mapping[str, Any]) -> Iterator[str]:
    """List what an analysis asks of files of Aspen Open Jets that they do not have, and what is wrong with ``jet_bump``.

    Args:
        analysis: its form is right.
        cards: score to its model's card, of the scores whose card can be read.
    """
    if analysis.jet_bump is not None:
        yield from _bump_problems(analysis)
    if analysis.aspen is None:
        return
    cuts = analysis.selection.cuts
    for i, name in enumerate(cuts):
        if name in _CUTS:
            yield f"selection.cuts.{i}: '{name}' needs {_CUTS[name]}, which files of Aspen Open Jets do not have; leave it out"
    if "jet_pt" not in cuts or analysis.selection.jets.pt_min < LOWEST_PT:
        yield (
            f"selection: files of Aspen Open Jets have no jets below {LOWEST_PT:g} GeV, so the cut 'jet_pt' and"
            f" 'jets.pt_min' of {LOWEST_PT:g} or more are needed"
        )
    if analysis.aspen.simulation is not None and not analysis.aspen.events:
        yield "aspen.simulation: simulated processes stand beside tables of events; it needs 'aspen.events: true'"
    if analysis.aspen.events and analysis.luminosity is None and analysis.selection.golden_json is None:
        yield "luminosity: what is made of events is labelled with it; give it (/pb, of all published files), or 'golden_json'"
    if analysis.execution.executor not in ("iterative", "futures"):
        yield (
            f"execution.executor: '{analysis.execution.executor}' reads no files of Aspen Open Jets; use 'futures', in"
            " processes of this machine, or 'iterative'"
        )
    if analysis.jet_corrections:
        yield "jet_corrections: files of Aspen Open Jets have no raw momenta; leave it empty"
    if analysis.systematics and analysis.aspen.simulation is None:
        yield "systematics: all of the files are data, which have none; they belong to the processes of 'aspen.simulation'"
    for name, score in analysis.scores.items():
        if score.sources == ["branches"]:
            yield f"scores.{name}: the files have no branches of FatJet; give a 'column', for example w_vs_qcd"
        elif score.column is not None and score.column not in JETS_HAVE:
            yield f"scores.{name}.column: the files have no '{score.column}'; {nearest(score.column, JETS_HAVE)}"
        elif isinstance(cards.get(name), ColumnCard):
            yield f"scores.{name}.card: jets of Aspen Open Jets are scored with cards of constituents, not of jet columns"


def absent_aspen_files(analysis: Analysis) -> Iterator[str]:
    """Say which files of ``aspen.files`` are not here; this is no error, as a YAML may be written before the download.

    Args:
        analysis: its form is right.
    """
    for name in analysis.aspen.files if analysis.aspen is not None else ():
        try:
            find_files([name], analysis.folder)
        except InputFileError as error:
            yield f"not checked: aspen.files: {error}"


def _bump_problems(analysis: Analysis) -> Iterator[str]:
    bump = analysis.jet_bump
    assert bump is not None
    if analysis.aspen is None:
        yield "jet_bump: is made of tables of single jets, which 'aspen' makes; the figure 'bump' is that of event tables"
    for name in bump.scores or (analysis.threshold.score,):
        score = analysis.scores.get(name)
        if score is None:
            yield f"jet_bump.scores: no score '{name}'; {nearest(name, analysis.scores)}"
        elif score.combined is not None:
            yield f"jet_bump.scores: '{name}' is a combination, which tables of single jets do not have"
    low, high = bump.range
    if not low < bump.window[0] < bump.window[1] < high:
        yield f"jet_bump.window: {list(bump.window)} does not lie inside the range {list(bump.range)}"
    elif not bins_of(bump)[1].any():
        yield (
            f"jet_bump.window: {list(bump.window)} holds the centre of no bin, which are {(high - low) / bump.bins:g} GeV wide;"
            " give more bins or a wider window"
        )
    lowest = analysis.selection.jets.mass_min
    if "jet_mass" in analysis.selection.cuts and low < lowest:
        yield (
            f"jet_bump.range: begins at {low:g} GeV, but the cut 'jet_mass' leaves no jets below {lowest:g} GeV"
            " ('selection.jets.mass_min'), and empty bins spoil the fit; let it begin there"
        )
