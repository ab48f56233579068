"""Signal that the ABCD method would take for background, were it in data and not in the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.stats.qcd_templates import QCD_FLOOR

__all__ = ["Absorbed", "absorbed_events"]

Floats = npt.NDArray[np.float64]


class Absorbed(NamedTuple):
    """The estimate B C / D of the data-driven process in A, (bins,), with the signal in B, C and D and without it.

    Attributes:
        with_signal: of data minus other simulation, as it is.
        without: of the same, minus the signal.
    """

    with_signal: Floats
    without: Floats

    @property
    def taken(self) -> Floats:
        """Events of the estimate that are there only since signal is in B, C and D; negative where D has more of it."""
        return self.with_signal - self.without


def absorbed_events(rest: Mapping[str, Floats], signal: Mapping[str, Floats]) -> Absorbed:
    """Return what B C / D is with a signal in B, C and D that nobody subtracts, and where it is subtracted.

    Args:
        rest: letter -> data minus all simulation but this signal, (bins,), of B, C and D; the signal is in it. Bins below
            `QCD_FLOOR` events are taken as that, as in the workspace's nominal templates.
        signal: letter -> the signal's events, (bins,).
    """
    seen = {x: np.maximum(rest[x], QCD_FLOOR) for x in "BCD"}
    clean = {x: np.maximum(seen[x] - signal[x], QCD_FLOOR) for x in "BCD"}
    return Absorbed(seen["B"] * seen["C"] / seen["D"], clean["B"] * clean["C"] / clean["D"])
