"""The paper's selection with what is true of each jet: heavy particles and partons of the hard scattering."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from dijet_anomaly import DijetAnomaly  # type: ignore[import-not-found]  # in processors/
from full_scale_truth import HEAVY, MOST

_OUTGOING, _LAST_COPY = 23, 1 << 13


class WithTruth(DijetAnomaly):  # type: ignore[misc]
    """Columns of `DijetAnomaly`, and of each event what prefiring leaves of it, and particles (``particle_*_0`` and on)."""

    def event_columns(self, events: Any) -> dict[str, Any]:
        """Return ``prefiring`` and of each of six particles its code, eta and phi, NaN where there are fewer."""
        columns: dict[str, Any] = super().event_columns(events)
        if events.metadata["is_data"]:
            return columns
        columns["prefiring"] = np.asarray(ak.to_numpy(events.L1PreFiringWeight["Nom"]), np.float64)
        particles = events.GenPart
        code = abs(particles["pdgId"])
        last = (particles["statusFlags"] & _LAST_COPY) > 0
        order = ak.full_like(code, len(HEAVY))
        for place, heavy in enumerate(HEAVY):
            order = ak.where((code == heavy) & last, place, order)
        light = (particles["status"] == _OUTGOING) & ((code <= 5) | (code == 21))
        wanted = (order < len(HEAVY)) | light
        particles, code, order = particles[wanted], code[wanted], order[wanted]
        first = ak.argsort(order, axis=1, stable=True)
        particles, code = particles[first], code[first]
        for name, values in (("id", code), ("eta", particles["eta"]), ("phi", particles["phi"])):
            padded = ak.to_numpy(ak.fill_none(ak.pad_none(values, MOST, axis=1, clip=True), np.nan))
            columns |= {f"particle_{name}_{k}": np.asarray(padded[:, k], np.float64) for k in range(MOST)}
        return columns
