"""The stages that an analysis asks for: those whose sections it has, and whose input there is."""

from __future__ import annotations

from oddjets.config.analysis import Analysis

__all__ = ["has_stage", "what_lacks"]

#: stages that need regions of events
_OF_EVENTS = ("histogram", "closure", "workspace", "fit")


def has_stage(analysis: Analysis, stage: str) -> bool:
    """Return whether an analysis has a stage with this name."""
    return not what_lacks(analysis, stage)


def what_lacks(analysis: Analysis, stage: str) -> str:
    """Return the key of the YAML without which there is nothing for a stage to do; "" where the analysis has the stage."""
    spec = analysis.aspen
    if spec is not None and stage in _OF_EVENTS and not spec.events:
        # of single jets there are no regions
        return "aspen.events: true"
    if spec is not None and stage in ("workspace", "fit") and spec.simulation is None:
        # nothing to fit
        return "aspen.simulation"
    if stage == "simulate" and analysis.simulate is None:
        return "simulate"
    if stage in ("workspace", "fit") and analysis.fit is None:
        return "fit"
    if stage == "closure":
        if analysis.data_driven is None:
            return "processes.*.data_driven"
        # without bins or regions there is nothing to test it in
        lacking = [key for key, found in zip(("observables", "regions"), analysis.abcd_bins, strict=True) if not found]
        return lacking[0] if lacking else ""
    return ""
