"""Few events that decide the answers of a fit: the warning that offers toys, and the toys that ``auto`` makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from oddjets.stats.inference.expectation import FEW_EVENTS

__all__ = ["AUTO_LIMIT_TOYS", "AUTO_TOYS", "Toys", "few_events", "toys_of", "warnings"]

#: a number of toys, or ``auto``: `AUTO_TOYS` where few events decide, and none elsewhere
Toys = int | Literal["auto"]
#: of the significance, which resolve a p of 0.001 to a third, and of each hypothesis and strength of the limit, which has nine
#: strengths and wants a p of 0.05
AUTO_TOYS, AUTO_LIMIT_TOYS = 2000, 400


def few_events(significance: Mapping[str, Any]) -> str:
    """Return in words that few events decide, and which; an empty text where there are enough.

    Args:
        significance: with ``deciding_events`` and ``control_events``, where they are known; None is infinitely many.
    """
    deciding, control = (significance.get(key) for key in ("deciding_events", "control_events"))
    said = []
    if deciding is not None and deciding < FEW_EVENTS:
        said.append(f"only some {deciding:.2g} background events decide")
    if control is not None and control < FEW_EVENTS:
        said.append(f"only some {control:.2g} events in B, C or D estimate the background of a bin that decides")
    return " and ".join(said)


def toys_of(asked: Toys, significance: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many toys are made for the significance, and for each hypothesis and strength of the limit.

    Args:
        asked: a number, or ``auto``.
        significance: as in `few_events`.
    """
    if asked == "auto":
        return (AUTO_TOYS, AUTO_LIMIT_TOYS) if few_events(significance) else (0, 0)
    return asked, asked


def warnings(result: Mapping[str, Any], *, toys: int) -> list[str]:
    """Return a warning that offers toys where few events decide; none where there are toys.

    Args:
        result: of `fit_workspace`.
        toys: how many were made.
    """
    few = few_events(result["significance"])
    if toys or not few:
        return []
    what = "the significance and the limit are" if "limit" in result else "the significance is"
    return [f"{what} asymptotic, and {few}: compare with toys (--toys auto, or 'toys: auto' under 'fit')"]
