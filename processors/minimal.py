"""The smallest analysis of one's own: copy it, rename the class, change a cut."""

from __future__ import annotations

import numpy as np

from oddjets.selection import DijetProcessor, cut


class Minimal(DijetProcessor):
    """The base selection, and one cut of our own that a region of the YAML can name."""

    def jet_columns(self, jets):
        """Each jet gets a column: ``tau32_1`` and ``tau32_2``."""
        return {"tau32": jets["tau3"] / jets["tau2"]}

    @cut
    def three_pronged(self, table):
        """Both jets look like three prongs."""
        return np.maximum(table["tau32_1"], table["tau32_2"]) < self.parameters.get("tau32_max", 0.7)
