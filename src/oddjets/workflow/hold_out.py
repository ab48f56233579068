"""Signals that are held out: processes of no histogram and no fit, which a study injects."""

from __future__ import annotations

from collections.abc import Iterator

from oddjets.config.analysis import Analysis
from oddjets.io.histograms import DATA

__all__ = ["held_out_problems", "with_held_out", "with_signal"]


def with_held_out(analysis: Analysis) -> list[str]:
    """Return all processes that datasets may be of, those that are held out included."""
    return [*analysis.processes, *analysis.hold_out]


def held_out_problems(analysis: Analysis) -> Iterator[str]:
    """Yield what is wrong with the signals that are held out: a sentence each, with its key in the YAML."""
    for name, process in analysis.hold_out.items():
        if name in analysis.processes or name == DATA:
            yield f"hold_out.{name}: is among 'processes' too; what is held out is in no fit"
        if process.data_driven:
            yield f"hold_out.{name}.data_driven: a signal is no background that is estimated from data"
    if analysis.hold_out and analysis.fit is None:
        yield "hold_out: without a 'fit' section no strength of these signals can be found"


def with_signal(analysis: Analysis, signal: str) -> Analysis:
    """Return the analysis with another signal in the place of its own, one of those that are held out.

    Its own signal is then a background at its stated cross section.

    Args:
        analysis: has a fit.
        signal: one that is held out; any other one leaves the analysis as it is.
    """
    if signal not in analysis.hold_out:
        return analysis
    assert analysis.fit is not None
    name = analysis.fit.tested or analysis.fit.pois[0].name
    pois = tuple(poi.model_copy(update={"process": signal}) if poi.name == name else poi for poi in analysis.fit.pois)
    return analysis.model_copy(
        update={
            "processes": {**analysis.processes, signal: analysis.hold_out[signal]},
            "hold_out": {other: process for other, process in analysis.hold_out.items() if other != signal},
            "fit": analysis.fit.model_copy(update={"poi": pois}),
        }
    )
