"""The combination of tests with several widths of kernels, calibrated on the same toys.

A single width is a choice: narrow kernels see peaks, wide ones slopes. The smallest p of several, and their mean, see both, and
cost what their own distribution in the toys says (arXiv:2408.12296).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, logsumexp, ndtri_exp
from scipy.stats import chi2, kstest, norm

__all__ = ["combine_widths", "rank_p"]

Floats = npt.NDArray[np.float64]

#: a toy is at least as extreme as the data if it is smaller by no more than this part
_TIE = 1e-9
#: chi2 has no fewer degrees of freedom: without any spread there would be none
_LEAST_DOF = 0.1


def rank_p(observed: float, toys: Floats) -> float:
    """Return the p value of a statistic by toys: (1 + number at least as large) / (1 + number); never 0.

    Args:
        observed: the statistic of the data.
        toys: of the toys, (n,).
    """
    slack = _TIE * max(abs(observed), 1.0)
    return float((1 + (toys >= observed - slack).sum()) / (1 + len(toys)))


def combine_widths(observed: Floats, toys: Floats) -> dict[str, Any]:
    """Return the p values of each width, and of the smallest and the mean p of all.

    The p of a width is that of a chi2 with the median of t. It serves as a measure that is the same for
    all widths and has no ties; data and toys enter it in the same way, so that the ranks of the combinations are those of a
    permutation test, whether t follows a chi2 or not. The data's place among the toys is the p. Beyond the toys stands the
    extrapolation: the chi2 of the toys, and for the smallest p the number of independent widths that they let expect.

    Args:
        observed: t of the data for each width, (widths,).
        toys: t of the toys, (n, widths).

    Returns:
        ``widths`` (each with ``t``, ``p_value``, ``dof``, ``p_chi2``, the ``ks_p`` of the toys against that chi2), ``best``
        (the place of the smallest), ``min_p`` and ``mean_p`` (each with ``p_value``, ``z``), ``extrapolated`` (``p_value``,
        ``z``, ``independent_widths``) and ``toys``.
    """
    number = len(toys)
    every = np.vstack([observed[None], toys])
    logs = _log_p(every, _freedom(every))
    smallest, means = -logs.min(axis=1), -logsumexp(logs, axis=1)
    dof = _freedom(toys)
    of_toys = chi2.sf(toys, dof)
    alone = _log_p(observed, dof)
    rows = [
        {
            "t": float(observed[k]),
            "p_value": rank_p(float(observed[k]), toys[:, k]),
            "dof": float(dof[k]),
            "p_chi2": float(np.exp(alone[k])),
            "ks_p": float(kstest(toys[:, k], "chi2", args=(dof[k],)).pvalue),
            "below_zero": int((toys[:, k] < 0).sum()),
        }
        for k in range(len(observed))
    ]
    # of n independent widths the smallest p is a beta(1, n) number
    lowest = np.clip(of_toys.min(axis=1), 0.0, 1 - 1e-12)
    independent = float(np.clip(1 / np.mean(-np.log1p(-lowest)), 1.0, len(observed)))
    log_p = float(alone.min())
    beyond = float(-np.expm1(independent * np.log1p(-min(np.exp(log_p), 1 - 1e-15)))) if log_p > -30 else 0.0
    # below the smallest number there is, the logarithm still is one
    beyond_log = np.log(beyond) if beyond > 0 else log_p + np.log(independent)
    return {
        "toys": number,
        "widths": rows,
        "best": int(alone.argmin()),
        "min_p": _ranked(smallest),
        "mean_p": _ranked(means),
        "extrapolated": {
            "p_value": float(np.exp(beyond_log)),
            "z": float(-ndtri_exp(beyond_log)),
            "independent_widths": independent,
        },
    }


def _freedom(t: Floats) -> Floats:
    """Return the degrees of freedom of a chi2 with the median of t, (widths,): one fit that ran away would decide a mean."""
    return np.asarray(np.maximum(np.median(t, axis=0) + 2 / 3, _LEAST_DOF))


def _log_p(t: Floats, dof: Floats) -> Floats:
    """Return the logarithm of the p of a chi2, also where p is below the smallest number; shape of t."""
    a, x = 0.5 * dof, np.maximum(0.5 * t, 1e-300)
    with np.errstate(divide="ignore", over="ignore"):
        plain = chi2.logsf(t, dof)
    # the first terms of the incomplete gamma function for large arguments
    far = (a - 1) * np.log(x) - x - gammaln(a) + np.log1p(np.clip((a - 1) / np.maximum(x, 1.0), -0.9, 1.0))
    return np.asarray(np.where(np.isfinite(plain), plain, far))


def _ranked(values: Floats) -> dict[str, Any]:
    """Return the p of the first value among the others, and whether none is as extreme."""
    p = rank_p(float(values[0]), values[1:])
    return {"p_value": p, "z": float(norm.isf(p)), "beyond": p * len(values) < 1.5}
