"""The closure's verdicts on the regions of a fit: whether its result stands only if ABCD holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["conditions", "known_parts", "region_verdicts"]


def known_parts(closure: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the parts of the closure of those regions whose constant at the working point is known.

    Args:
        closure: the content of ``closure.json``.
    """
    parts = closure.get("parts", {}).get("regions", {})
    tested = closure.get("regions", {})
    return {region: one for region in tested if (one := parts.get(region, {})).get("constant") is not None}


def region_verdicts(closure: Mapping[str, Any]) -> dict[str, str]:
    """Return the verdict on each region: at the working point with all efficiencies behind it, where that is known.

    Args:
        closure: the content of ``closure.json``.
    """
    known = known_parts(closure)
    return {
        region: str((known.get(region) or found).get("verdict", "inconclusive"))
        for region, found in closure.get("regions", {}).items()
    }


def conditions(
    closure: Mapping[str, Any] | None, regions: Sequence[str], uncertainty: Mapping[str, Any] | None
) -> list[str]:
    """Return why a result stands only if ABCD holds, as clauses; empty: the closure shows it, and the fit has its uncertainty.

    Args:
        closure: the content of ``closure.json``; None: it was not measured.
        regions: of the fit.
        uncertainty: the closure uncertainty that the fit has, by region; empty or None: it has none.
    """
    verdicts = region_verdicts(closure) if closure else {}
    said = []
    for verdict, words in (
        ("does not close", "the closure contradicts it in"),
        ("inconclusive", "the closure is inconclusive in"),
        ("", "the closure was not tested in"),
    ):
        if found := [region for region in regions if verdicts.get(region, "") == verdict]:
            said.append(f"{words} {' and '.join(found)}")
    if not uncertainty:
        said.append("the fit has no closure uncertainty")
    return said
