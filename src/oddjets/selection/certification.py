"""Cuts on the quality of data: certified luminosity sections and the jet veto map."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError, nearest
from oddjets.corrections import lookups, luminosity, sections
from oddjets.io import nanoaod_schema
from oddjets.io.event_table import JETS, EventTable
from oddjets.selection.decorators import cut

__all__ = ["DataQuality"]

Mask = npt.NDArray[np.bool_]


class DataQuality:
    """Cuts that a processor inherits; they act where the YAML's ``selection.cuts`` names them.

    Attributes:
        analysis: what was asked.
        era: its corrections.
        era_folder: where the era's relative paths start.
    """

    analysis: Analysis
    era: lookups.Era
    era_folder: Path

    @cut
    def certified(self, table: EventTable) -> Mask:
        """Require a certified luminosity section (golden JSON); simulation always passes."""
        return np.asarray(table["passes_certified"])

    @cut
    def jet_veto(self, table: EventTable) -> Mask:
        """Require no jet of the pair in a part of the detector that the era's veto map excludes."""
        spec = self.era.corrections.get("jet_veto_map")
        if spec is None:
            near = nearest("jet_veto_map", self.era.corrections)
            raise OddjetsError(f"era '{self.era.name}' has no correction 'jet_veto_map'; {near}")
        passed = np.ones(table.size, dtype=bool)
        for j in JETS:
            # no second jet: nothing to veto
            jet = {name: np.nan_to_num(table[f"{name}_{j}"].astype(np.float64)) for name in ("eta", "phi")}
            # float32 rounds pi up, out of the map
            jet["phi"] = np.clip(jet["phi"], -3.1415926, 3.1415926)
            vetoed = lookups.lookup(self.era, self.era_folder, spec, jet, spec.nominal) != 0
            passed &= ~(vetoed & np.isfinite(table[f"pt_{j}"]))
        return passed

    def certified_events(self, events: Any) -> dict[str, Mask]:
        """Return the column that the cut `certified` reads; none where the analysis has no golden JSON."""
        if self.analysis.selection.golden_json is None:
            return {}
        if not events.metadata["is_data"]:
            return {"passes_certified": np.ones(len(events), dtype=bool)}
        identity = nanoaod_schema.identifiers(events)
        certified = sections.in_intervals(self._certified, identity["run"], identity["luminosityBlock"])
        return {"passes_certified": certified}

    @cached_property
    def _certified(self) -> sections.SectionIntervals:
        return luminosity.certified_sections(self.analysis, self.era, self.era_folder)[0]
