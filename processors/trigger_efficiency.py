"""The efficiency of the dijet triggers, in events of a single-muon trigger, which does not bias the jets."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.io import EventTable, nanoaod_schema
from oddjets.selection import DijetProcessor, cut, objects

Mask = npt.NDArray[np.bool_]


class TriggerEfficiency(DijetProcessor):
    """Events with an isolated muon and a muon trigger; the figure `efficiency` shows the fraction with a dijet trigger.

    ``selection.parameters``: ``reference``, the paths of the muon trigger; ``ht_jets``, ``ht_pt_min`` (GeV) and
    ``ht_eta_max``, the jets that are summed in HT.
    """

    def event_columns(self, events: Any) -> dict[str, npt.NDArray[Any]]:
        """Return the decision of the muon trigger, and HT (GeV)."""
        decisions = objects.trigger_decisions(events, self.parameters["reference"])
        collection = self.parameters["ht_jets"]
        pt, eta = (nanoaod_schema.field(events, collection, name) for name in ("pt", "eta"))
        summed = pt[(pt > self.parameters["ht_pt_min"]) & (abs(eta) < self.parameters["ht_eta_max"])]
        return {
            "passes_reference": np.any(list(decisions.values()), axis=0),
            "ht": np.asarray(ak.sum(summed, axis=1), dtype=np.float64),
        }

    @cut
    def reference_trigger(self, table: EventTable) -> Mask:
        """Require a single-muon trigger."""
        return np.asarray(table["passes_reference"])

    @cut
    def isolated_muon(self, table: EventTable) -> Mask:
        """At least one isolated muon."""
        return np.asarray(table["n_muons"] > 0)
