"""The paper's analysis: the base selection of `DijetProcessor` and the cuts that define its regions (arXiv:2603.23593)."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.io import EventTable
from oddjets.selection import DijetProcessor, cut

Mask = npt.NDArray[np.bool_]


class DijetAnomaly(DijetProcessor):
    """Two boosted jets, split by tau21, by the subleading jet's mass and by a b tag."""

    def jet_columns(self, jets: Any) -> dict[str, Any]:
        """Return tau21 of each jet."""
        # not `jets.tau2`: this is the squared proper time of a four-vector, not the branch
        tau1 = jets["tau1"]
        # a jet of one constituent has tau1 = 0 and no tau21
        return {"tau21": jets["tau2"] / ak.where(tau1 > 0, tau1, np.nan)}

    @cut
    def low_tau21(self, table: EventTable) -> Mask:
        """Both jets look two-pronged: tau21 below the maximum."""
        return np.maximum(table["tau21_1"], table["tau21_2"]) < self.selection.tau21_max

    @cut
    def heavy_subleading(self, table: EventTable) -> Mask:
        """Require the subleading jet's soft-drop mass above the split."""
        return table["mass_2"] > self.selection.subleading_mass_split

    @cut
    def btagged(self, table: EventTable) -> Mask:
        """At least one of the two jets is b-tagged."""
        return np.maximum(table["btag_1"], table["btag_2"]) > self.selection.btag_min
