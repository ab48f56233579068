"""The paper's analysis: the base selection of `DijetProcessor` and the cuts that define its regions (arXiv:2603.23593)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.selection import DijetProcessor, jet_cut

Mask = npt.NDArray[np.bool_]
Jets = Mapping[str, npt.NDArray[Any]]


class DijetAnomaly(DijetProcessor):
    """Two boosted jets, split by tau21, by the subleading jet's mass and by a b tag."""

    def jet_columns(self, jets: Any) -> dict[str, Any]:
        """Return tau21 of each jet."""
        # not `jets.tau2`: this is the squared proper time of a four-vector, not the branch
        tau1 = jets["tau1"]
        # a jet of one constituent has tau1 = 0 and no tau21
        return {"tau21": jets["tau2"] / ak.where(tau1 > 0, tau1, np.nan)}

    @jet_cut
    def tau21_low(self, jets: Jets) -> Mask:
        """Require a two-pronged jet: tau21 below the maximum."""
        return jets["tau21"] < self.selection.tau21_max

    @jet_cut
    def mass_high(self, jets: Jets) -> Mask:
        """Require the jet's soft-drop mass above the split."""
        return jets["mass"] > self.selection.subleading_mass_split

    @jet_cut
    def btagged(self, jets: Jets) -> Mask:
        """Require a b tag."""
        return jets["btag"] > self.selection.btag_min
