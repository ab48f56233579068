"""Sentences about the simulation beside the data, also where there is none."""

from __future__ import annotations

from oddjets.report.artifacts import Artifacts

__all__ = ["has_simulation", "normalisation_text", "not_simulated"]


def has_simulation(artifacts: Artifacts) -> bool:
    """Tell whether any process is simulated, as far as the cutflow says."""
    return not artifacts.has("cutflow") or not all(d["is_data"] for d in artifacts.cutflow["datasets"].values())


def not_simulated(artifacts: Artifacts) -> list[str]:
    """Return the processes that the import of data found no simulation of, and that are not estimated from data."""
    return list(artifacts.processed("not_modelled"))


def normalisation_text(artifacts: Artifacts) -> str:
    """Return the sentence of a caption about the normalisation of simulation before any fit; one that says there is none."""
    return (
        "Simulation is normalised to the luminosity, not fitted."
        if has_simulation(artifacts)
        else "There is no simulation."
    )
