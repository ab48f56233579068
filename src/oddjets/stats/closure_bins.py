"""The closure of A = B C / D as a smooth function of the observable, and its uncertainty with the correlations between bins.

A log-normal for a region moves all of its bins together, and cannot move a part of the spectrum against another one, as a score
that sculpts the mass does. Here c(m) = A / (B C / D) of simulation is a parabola in the observable, fitted by least squares.
The parabola is fixed in advance, so that no order is chosen by the numbers. Its deviation from 1, and its statistical
covariance, are the covariance of the relative yield of QCD in the bins of A:

    V = (c - 1) (c - 1)^T + cov(c)

V has at most as many eigenvalues above zero as the parabola has coefficients. Each of them becomes a nuisance parameter
``closure_REGION_K``, which moves all bins by the eigenvector times the root of the eigenvalue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.polynomial import legendre
from scipy.stats import chi2

from oddjets.core.errors import OddjetsError
from oddjets.stats.closure_parts import LEAST_EVENTS, StructuralFactor
from oddjets.stats.closure_uncertainty import ClosureUncertainty

__all__ = ["DEGREE", "binned_uncertainties", "shifts_of", "smooth_closure"]

Floats = npt.NDArray[np.float64]

#: of the polynomial: a normalisation, a slope, a curvature
DEGREE = 2
#: eigenvalues below this part of the largest one are rounding errors
LEAST_EIGENVALUE = 1e-9


def smooth_closure(letters: Floats, squares: Floats, edges: Floats) -> dict[str, Any]:
    """Return c = A / (B C / D) of a sample as a smooth function of the observable.

    The error of a bin is what is expected for c = 1: with its own count in A, a low fluctuation would look well known. If chi2
    is above its degrees of freedom, the covariance is multiplied by the ratio (R. T. Birge, Phys. Rev. 40 (1932) 207).

    Args:
        letters: expected events of the data-driven process in A, B, C, D, shape (4, bins).
        squares: sums of squared weights of the sample, shape (4, bins).
        edges: of the bins, in the observable's unit, shape (bins + 1,).

    Returns:
        ``edges``; ``measured`` and ``errors`` of each bin, None where B C / D is 0; ``constants`` of the curve, shape (bins,);
        their ``covariance``, shape (bins, bins); ``shares`` of B C / D; ``chi2``, ``ndf``, ``chi2_p``; ``effective_events``
        expected in A. With too few of them ``constants`` and ``covariance`` are None, and ``why`` says it.
    """
    a, b, c, d = letters
    used = (b > 0) & (c > 0) & (d > 0)
    safe = np.where(used, letters, 1.0)
    predicted = np.where(used, safe[1] * safe[2] / safe[3], 0.0)
    # a weight of A's events
    weight = float(squares[0].sum() / a.sum()) if a.sum() > 0 and squares[0].sum() > 0 else 0.0
    number = float(predicted.sum() / weight) if weight > 0 else 0.0
    found: dict[str, Any] = {"edges": np.asarray(edges).tolist(), "effective_events": number}
    if number < LEAST_EVENTS:
        why = f"{number:.1f} effective events are expected in A, fewer than {LEAST_EVENTS:g}"
        return found | {"constants": None, "covariance": None, "why": why}
    part = np.where(used, predicted, 1.0)
    variance = weight / part + np.where(used, squares[1:] / safe[1:] ** 2, 0.0).sum(axis=0)
    measured = a / part
    centres = 0.5 * (edges[1:] + edges[:-1])
    x = (2 * centres - edges[0] - edges[-1]) / (edges[-1] - edges[0])
    degree = min(DEGREE, int(used.sum()) - 1)
    terms = legendre.legvander(x, degree)
    scaled = terms[used] / np.sqrt(variance[used])[:, None]
    inverse = np.linalg.inv(scaled.T @ scaled)
    coefficients = inverse @ scaled.T @ (measured[used] / np.sqrt(variance[used]))
    curve = terms @ coefficients
    total = float((((measured - curve)[used]) ** 2 / variance[used]).sum())
    ndf = int(used.sum()) - degree - 1
    covariance = terms @ inverse @ terms.T * max(total / ndf if ndf else 1.0, 1.0)
    return found | {
        "measured": [float(v) if use else None for v, use in zip(measured, used, strict=True)],
        "errors": [float(v) if use else None for v, use in zip(np.sqrt(variance), used, strict=True)],
        "constants": curve.tolist(),
        "covariance": covariance.tolist(),
        "shares": (predicted / predicted.sum()).tolist(),
        "chi2": total,
        "ndf": ndf,
        "chi2_p": float(chi2.sf(total, ndf)) if ndf else None,
    }


def shifts_of(covariance: Floats) -> Floats:
    """Return vectors whose outer products add up to a covariance, the longest first, shape (rank, bins).

    Args:
        covariance: symmetric, no eigenvalue below zero, shape (bins, bins).
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = np.flatnonzero(values > LEAST_EIGENVALUE * max(values[-1], 0.0))[::-1]
    found = (vectors[:, kept] * np.sqrt(values[kept])).T
    # of both signs that an eigenvector may have, the one that raises most bins: the same on every machine
    return np.asarray(found * np.where(found.sum(axis=1) < 0, -1.0, 1.0)[:, None])


def binned_uncertainties(
    study: Mapping[str, Any],
    regions: Mapping[str, Sequence[float]],
    structural: Mapping[str, StructuralFactor] | None = None,
) -> dict[str, ClosureUncertainty]:
    """Turn a study of sculpting into uncertainties of the data-driven yield in A, bin by bin, for `workspace.build`.

    Args:
        study: the content of ``sculpting.json``.
        regions: of the fit, with their bin edges.
        structural: constants that the fit knows already, as by ``abcd: structural``; the study's are divided by them.

    Raises:
        OddjetsError: a region was not studied, in other bins, or with too few events.
    """
    found = {}
    for region, edges in regions.items():
        one = study["regions"].get(region, {}).get("closure")
        if one is None or len(one["edges"]) != len(edges) or not np.allclose(one["edges"], edges):
            raise OddjetsError(
                f"fit.closure_uncertainty: by-bin: the study of sculpting has no region '{region}' in these bins; run"
                " `oddjets study sculpting` again"
            )
        if one["constants"] is None:
            raise OddjetsError(
                f"fit.closure_uncertainty: by-bin: the closure of '{region}' is not known bin by bin ({one['why']}); give"
                " `oddjets study sculpting` a --bank with more events, or take 'closure_uncertainty: true'"
            )
        known = structural.get(region) if structural else None
        by = known.value if known is not None else 1.0
        constants = np.asarray(one["constants"]) / by
        statistical = np.asarray(one["covariance"]) / by**2
        covariance = np.outer(constants - 1, constants - 1) + statistical
        shares = np.asarray(one["shares"])
        shifts = shifts_of(covariance)
        worst = int(np.abs(shifts).max(axis=0).argmax())
        if np.abs(shifts[:, worst]).max() >= 1:
            raise OddjetsError(
                f"fit.closure_uncertainty: by-bin: the closure of '{region}' is not known to 100 % from {edges[worst]:g} to"
                f" {edges[worst + 1]:g}; give `oddjets study sculpting` a --bank with more events, or take"
                " 'closure_uncertainty: true'"
            )
        found[region] = ClosureUncertainty(
            float(np.sqrt(shares @ covariance @ shares)),
            float(shares @ constants),
            float(np.sqrt(shares @ statistical @ shares)),
            f"{study['process']} simulation by bin (study sculpting)",
            fallback=False,
            bins=tuple(tuple(row) for row in shifts.tolist()),
        )
    return found
