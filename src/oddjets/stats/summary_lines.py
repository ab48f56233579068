"""The results of a fit in a few lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.stats.shown_numbers import is_asymmetric, p_from_toys, percent

__all__ = ["summary"]


def summary(result: Mapping[str, Any]) -> list[str]:
    """Return the results in a few lines of text, the warnings last.

    Args:
        result: from `fit_workspace`, or the content of ``results.json``.
    """
    lines, name = [], result["poi"]["name"]
    if result.get("blinded"):
        lines.append(f"blinded in {', '.join(result['blinded'])}: the data in A are the expected background (Asimov)")
    lines += [f"{poi['name']} = {poi['value']:.3g}{_errors(poi)}" for poi in result["pois"]]
    lines += _significance(result, name)
    lines += _limit(result, name)
    if "gof" in result:
        gof = result["gof"]
        p = p_from_toys(gof["p_value"], gof["toys"], gof["failed"])
        lines.append(f"goodness of fit {p} ({gof['toys']} toys, {gof['failed']} failed)")
    return lines + [f"warning: {warning}" for warning in result["warnings"]]


def _errors(poi: Mapping[str, Any]) -> str:
    if poi["error"] is None:
        return ""
    if not is_asymmetric(poi):
        return f" +- {poi['error']:.2g}"
    up, down = (f"{poi[f'error_{side}']:.2g}{' (bound)' if poi[f'{side}_at_bound'] else ''}" for side in ("up", "down"))
    return f" +{up} -{down}"


def _significance(result: Mapping[str, Any], name: str) -> list[str]:
    found, lines = result["significance"], []
    if "z" in found:
        expected = found.get("expected")
        beside = (
            "" if not expected else f", {expected['z']:.2f} expected for {name} = {expected['strength']:g} (asymptotic)"
        )
        lines.append(f"significance of {name} > 0: {found['z']:.2f}{beside or ' (asymptotic)'}")
    if condition := result.get("if_abcd_holds"):
        lines.append(f"this is so if ABCD holds: {'; '.join(condition)}")
    if beside := found.get("with_closure_uncertainty"):
        sizes = ", ".join(f"{percent(size)} in {region}" for region, size in beside["sizes"].items())
        lines.append(f"significance with a closure uncertainty of {sizes}: {beside['z']:.2f}")
    if "toys" in found:
        toys = found["toys"]
        p = p_from_toys(toys["p_value"], toys["toys"], toys["failed"])
        lines.append(f"{name} = 0 has {p} from toys ({toys['toys']} toys, {toys['failed']} failed)")
    return lines


def _limit(result: Mapping[str, Any], name: str) -> list[str]:
    if "limit" not in result:
        return []
    limit = result["limit"]
    low, middle, high = (_number(value) for value in limit["expected"][1:4])
    beside = f"expected {middle} ({low} to {high}), asymptotic"
    lines = [f"upper limit on {name} {_number(limit['observed'])} at {limit['level']:.0%}, {beside}"]
    if "toys" in limit:
        toys = limit["toys"]
        middle = toys["expected"][len(toys["expected"]) // 2]
        expected = "" if middle is None else f", expected {_number(middle)}"
        lines.append(f"upper limit on {name} from toys {_number(toys['observed'])}{expected} ({toys['toys']} toys)")
    return lines


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3g}"
