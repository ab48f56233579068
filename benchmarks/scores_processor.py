"""The paper's selection with subjettiness as columns that are large where a jet is odd, so that they can be scores."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from dijet_anomaly import DijetAnomaly  # type: ignore[import-not-found]  # in processors/


class ScoreColumns(DijetAnomaly):  # type: ignore[misc]
    """Columns of `DijetAnomaly`, and of each jet ``two_prongs`` and ``three_prongs``: 1 / (1 + tau21), 1 / (1 + tau32)."""

    def jet_columns(self, jets: Any) -> dict[str, Any]:
        """Return them; a jet without a ratio has none."""
        columns: dict[str, Any] = super().jet_columns(jets)
        tau2 = jets["tau2"]
        ratios = {"two_prongs": columns["tau21"], "three_prongs": jets["tau3"] / ak.where(tau2 > 0, tau2, np.nan)}
        # a score is large where a jet is odd; positive, so that 0, the score of a jet without one, is the lowest
        return {**columns, **{name: 1 / (1 + ratio) for name, ratio in ratios.items()}}
