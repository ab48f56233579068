"""Simulation of the data-driven process from a bank, for a closure that says something where an analysis simulates little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.event_table import Columns
from oddjets.io.histograms import HistogramSet, ThresholdResult
from oddjets.selection.decorators import HasCuts
from oddjets.selection.histogramming import HistogramFiller, assembled
from oddjets.selection.mixing import select_nominal

__all__ = ["ClosureBank"]


@dataclass(frozen=True)
class ClosureBank:
    """Events of the data-driven process in a bank, those that pass the base selection.

    Attributes:
        name: of the file.
        process: the data-driven one.
        columns: of its events; weights are for the luminosity of the analysis.
    """

    name: str
    process: str
    columns: Columns

    @classmethod
    def select(cls, name: str, process: str, columns: Columns, processor: HasCuts, luminosity_pb: float) -> ClosureBank:
        """Return the events that pass the base selection.

        Args:
            name: of the file.
            process: the data-driven one.
            columns: of all of its events, with weights for 1 /pb.
            processor: has the base selection.
            luminosity_pb: of the analysis, /pb.
        """
        kept = select_nominal(processor, columns)
        return cls(name, process, {**kept, "weight": np.asarray(kept["weight"], np.float64) * luminosity_pb})

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """The weights, shape (n,)."""
        return np.asarray(self.columns["weight"], np.float64)

    @property
    def source(self) -> str:
        """What the closure calls these events."""
        return f"simulation of '{self.process}' in {self.name}"

    def histograms(
        self,
        analysis: Analysis,
        processor: HasCuts,
        threshold: ThresholdResult,
        luminosity_pb: float,
        energy_TeV: float,
    ) -> HistogramSet:
        """Return the nominal histograms of these events in all regions.

        Args:
            analysis: regions and observables.
            processor: defines the cuts.
            threshold: defines the letters.
            luminosity_pb: of the analysis, /pb.
            energy_TeV: centre-of-mass energy.
        """
        asked = analysis.model_copy(update={"systematics": ()})
        filler = HistogramFiller(asked, processor, threshold)
        filler.add(self.columns, self.process, {NOMINAL: 1.0})
        return assembled(
            asked,
            filler.histograms(),
            {self.process: [NOMINAL]},
            threshold,
            luminosity_pb,
            energy_TeV,
            shared_events=filler.shared_events,
        )
