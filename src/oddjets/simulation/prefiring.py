"""Level-1 trigger prefiring, emulated: late ECAL timing that made CMS lose events with forward activity in 2016.

The trigger primitive of a late endcap crystal belongs to the bunch crossing before; if it fires the trigger there, the
event that it belongs to is never read out (CMS, arXiv:2006.10165, section 8). CMS gives simulation a weight, the
probability that no object prefired. Here pseudo-data are thinned by that very probability, so that the weight is needed.

The map is **ours**, of the size of CMS's maps of 2016: nothing below abs(eta) 2, up to 40 % for hard jets at the edge of
the ECAL. Every object is an AK4 jet: an isolated photon is one too, and one inside a jet is counted once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["PrefiringWeights", "prefiring_probability", "prefiring_weights"]

_ETA_EDGES = (2.0, 2.25, 2.5, 2.75, 3.0)
_PT_EDGES = (30.0, 50.0, 70.0, 100.0, 150.0, 200.0)  # GeV; the last bin is open
#: ours; rows abs(eta), columns pT
_PROBABILITY = np.array(
    [
        [0.000, 0.001, 0.003, 0.006, 0.010, 0.015],
        [0.003, 0.008, 0.020, 0.035, 0.050, 0.070],
        [0.015, 0.040, 0.090, 0.150, 0.200, 0.250],
        [0.030, 0.080, 0.160, 0.250, 0.320, 0.400],
    ]
)
_SYSTEMATIC = 0.20  # of the probability, as CMS's recipe for the ECAL
_STATISTICAL = 0.005  # of the map's bins, absolute; ours


class PrefiringWeights(NamedTuple):
    """Probability that nothing prefired, (events) each, by NanoAOD's names.

    As in NanoAOD, Up is the larger probability of prefiring and so the smaller weight.
    """

    #: the map's probabilities
    Nom: npt.NDArray[np.float64]
    #: all probabilities larger by their uncertainty
    Up: npt.NDArray[np.float64]
    #: all probabilities smaller by their uncertainty
    Dn: npt.NDArray[np.float64]


def prefiring_probability(
    pt: npt.NDArray[np.float64], eta: npt.NDArray[np.float64], direction: int = 0
) -> npt.NDArray[np.float64]:
    """Return the probability that a jet prefires.

    Args:
        pt: (jets) GeV.
        eta: (jets).
        direction: 0; +1 or -1 for the uncertainty: the larger of 20 % and the map's statistical one.

    Returns:
        (jets); 0 below 30 GeV and outside 2 < abs(eta) < 3, whatever the direction.
    """
    row = np.searchsorted(_ETA_EDGES, np.abs(eta), side="right") - 1
    column = np.searchsorted(_PT_EDGES, pt, side="right") - 1
    inside = (row >= 0) & (row < len(_PROBABILITY)) & (column >= 0)
    p = np.where(inside, _PROBABILITY[np.where(inside, row, 0), np.where(inside, column, 0)], 0.0)
    uncertainty = np.where(p > 0, np.maximum(_SYSTEMATIC * p, _STATISTICAL), 0.0)
    return np.asarray(np.clip(p + direction * uncertainty, 0.0, 1.0))


def prefiring_weights(
    event_offsets: npt.NDArray[np.int64], pt: npt.NDArray[np.float64], eta: npt.NDArray[np.float64]
) -> PrefiringWeights:
    """Return the probability that no jet of an event prefires: the product of 1 - p.

    Args:
        event_offsets: (events + 1) where each event's jets begin and end.
        pt: (jets) GeV.
        eta: (jets).
    """
    n = len(event_offsets) - 1
    event = np.repeat(np.arange(n), np.diff(event_offsets))

    def survival(direction: int) -> npt.NDArray[np.float64]:
        return np.exp(np.bincount(event, np.log1p(-prefiring_probability(pt, eta, direction)), n))

    return PrefiringWeights(survival(0), survival(1), survival(-1))
