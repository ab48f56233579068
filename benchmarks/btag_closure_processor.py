"""The paper's selection, with the two partons of the hard scattering, which tell gluon jets from quark jets."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from dijet_anomaly import DijetAnomaly  # type: ignore[import-not-found]  # in processors/

#: status of outgoing partons of the hard scattering (Pythia)
_OUTGOING = 23


class HardPartons(DijetAnomaly):  # type: ignore[misc]
    """Columns of `DijetAnomaly`, and of each event ``hard_id_a``, ``hard_eta_a``, ``hard_phi_a`` and ``_b``: two partons."""

    def event_columns(self, events: Any) -> dict[str, Any]:
        """Return the code, eta and phi of the two partons; NaN of data."""
        columns: dict[str, Any] = super().event_columns(events)
        names = {"id": "pdgId", "eta": "eta", "phi": "phi"}
        partons = None
        if not events.metadata["is_data"]:
            partons = events.GenPart[events.GenPart["status"] == _OUTGOING]
        for k, which in enumerate("ab"):
            for name, branch in names.items():
                values = np.full(len(events), np.nan)
                if partons is not None:
                    padded = ak.fill_none(ak.pad_none(partons[branch], 2, axis=1), np.nan)
                    values = np.asarray(ak.to_numpy(padded[:, k]), np.float64)
                columns[f"hard_{name}_{which}"] = values
        return columns
