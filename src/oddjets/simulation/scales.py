"""Weights for other renormalisation and factorisation scales of the hard process, exact at leading order.

Pythia varies the scales of its showers and not those of its hard processes. At leading order the hard cross section is
proportional to alpha_s(mu_R^2)^n f(x1, mu_F^2) f(x2, mu_F^2), so that the ratio at other scales follows from what Pythia
says of each event. Showers, multiparton interactions and decays keep their own scales.
"""

from __future__ import annotations

from collections.abc import Callable

import awkward as ak
import numpy as np
import numpy.typing as npt

__all__ = ["SCALE_FACTORS", "scale_weights"]

#: factors on (mu_R, mu_F) in the order of NanoAOD's LHEScaleWeight; the fifth is the nominal
SCALE_FACTORS = tuple((r, f) for r in (0.5, 1.0, 2.0) for f in (0.5, 1.0, 2.0))


def scale_weights(
    hard: ak.Array,
    order: int,
    alpha_s: Callable[[float], float],
    xf: Callable[[int, float, float], float],
) -> npt.NDArray[np.float64]:
    """Return the weight of every pair of scales relative to the nominal one.

    Args:
        hard: (events) Pythia's record of the hard process: id1, x1, id2, x2, Q2Ren, Q2Fac (GeV^2).
        order: n, the power of alpha_s in the process's cross section.
        alpha_s: of a squared scale in GeV^2, as the matrix elements use it.
        xf: x f(x) of a parton's PDG code, x and a squared scale in GeV^2; both beams are protons.

    Returns:
        (events, 9), columns as ``SCALE_FACTORS``.
    """
    weights = np.ones((len(hard), len(SCALE_FACTORS)))
    for row, event in enumerate(hard.to_list()):
        coupling = {k: alpha_s(k * k * event["Q2Ren"]) ** order for k in (0.5, 1.0, 2.0)}
        partons = {
            k: xf(event["id1"], event["x1"], k * k * event["Q2Fac"])
            * xf(event["id2"], event["x2"], k * k * event["Q2Fac"])
            for k in (0.5, 1.0, 2.0)
        }
        nominal = coupling[1.0] * partons[1.0]
        weights[row] = [coupling[r] * partons[f] / nominal for r, f in SCALE_FACTORS]
    return weights
