"""A minimal analysis of your own: copy this file, rename the class, change a cut."""

from __future__ import annotations

from oddjets.selection import DijetProcessor, jet_cut


class Minimal(DijetProcessor):
    """The base selection, and a cut on single jets, which a region in the YAML can use: ``all: three_pronged``."""

    def jet_columns(self, jets):
        """Add a column per jet: ``tau32_1`` and ``tau32_2``."""
        return {"tau32": jets["tau3"] / jets["tau2"]}

    @jet_cut
    def three_pronged(self, jets):
        """Require a three-pronged jet: tau32 below the maximum."""
        return jets["tau32"] < self.parameters.get("tau32_max", 0.7)
