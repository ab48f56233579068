"""A minimal analysis of your own: copy this file, rename the class, change a cut."""

from __future__ import annotations

import numpy as np

from oddjets.selection import DijetProcessor, cut


class Minimal(DijetProcessor):
    """The base selection, and one more cut, which a region in the YAML can use."""

    def jet_columns(self, jets):
        """Add a column per jet: ``tau32_1`` and ``tau32_2``."""
        return {"tau32": jets["tau3"] / jets["tau2"]}

    @cut
    def three_pronged(self, table):
        """Both jets look three-pronged: tau32 below the maximum."""
        return np.maximum(table["tau32_1"], table["tau32_2"]) < self.parameters.get("tau32_max", 0.7)
