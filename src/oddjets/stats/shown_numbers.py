"""Rules for numbers of results that are shown: the errors of a strength, p values from toys, percentages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["is_asymmetric", "p_from_toys", "percent", "unreached"]

#: two-sided errors further from the symmetric one than this part of it are shown
SYMMETRIC_WITHIN = 0.10


def is_asymmetric(strength: Mapping[str, Any]) -> bool:
    """Return whether the two-sided errors of a strength say more than its symmetric error.

    They do where one of them differs from the symmetric error by more than 10 % of it. An error of another kind than
    "symmetric" is made of the two-sided ones, whose mean is compared then.

    Args:
        strength: an entry of ``pois`` in ``results.json``.
    """
    up, down = strength.get("error_up"), strength.get("error_down")
    if up is None or down is None:
        return False
    middle = strength.get("error") if strength.get("error_kind") == "symmetric" else 0.5 * (up + down)
    return middle is None or max(abs(up - middle), abs(down - middle)) > SYMMETRIC_WITHIN * middle


def unreached(p_value: float, toys: int, failed: int = 0) -> int | None:
    """Return the number of toys if none of them was as extreme as the data; None if some were.

    Args:
        p_value: (1 + toys as extreme) / (1 + toys that converged).
        toys: number of generated toys.
        failed: number of those that did not converge.
    """
    converged = toys - failed
    return converged if converged > 0 and p_value * (1 + converged) < 1.5 else None


def p_from_toys(p_value: float, toys: int, failed: int = 0, digits: int = 3) -> str:
    """Return a p value from toys as text: ``p = 0.012``, or ``p < 0.0011`` (one over their number) if no toy reached it.

    Args:
        p_value: (1 + toys as extreme) / (1 + toys that converged).
        toys: number of generated toys.
        failed: number of those that did not converge.
        digits: of a value that was measured.
    """
    none_of = unreached(p_value, toys, failed)
    return f"p = {p_value:.{digits}g}" if none_of is None else f"p < {1 / none_of:.2g}"


def percent(part: float) -> str:
    """Return a part as a percentage of two digits, or more where it is above 100 %: ``2.5 %``, ``130 %``."""
    value = 100 * part
    return f"{value:.0f} %" if value >= 10 else f"{value:.2g} %"
