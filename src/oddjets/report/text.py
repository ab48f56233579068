"""Formatting of numbers and labels in HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from oddjets.core.rounding import rounded
from oddjets.stats.shown_numbers import is_asymmetric, unreached

__all__ = [
    "count",
    "duration",
    "label_html",
    "name_some",
    "p_of_toys",
    "p_value",
    "prose_html",
    "strength",
    "with_error",
]

_SYMBOLS = {
    r"\rightarrow": "→",
    r"\to": "→",
    r"\geq": "≥",
    r"\leq": "≤",
    r"\ge": "≥",
    r"\le": "≤",
    r"\pm": "±",
    r"\times": "×",
    r"\alpha": "α",
    r"\beta": "β",
    r"\gamma": "γ",
    r"\Delta": "Δ",
    r"\eta": "η",
    r"\ell": "ℓ",
    r"\mu": "μ",
    r"\nu": "ν",
    r"\pi": "π",
    r"\phi": "φ",
    r"\rho": "ρ",
    r"\sigma": "σ",
    r"\tau": "τ",
    r"\theta": "θ",
    r"\chi": "χ",
    r"\,": "\N{NARROW NO-BREAK SPACE}",
    r"\;": " ",
    r"\ ": " ",
    "~": "\N{NO-BREAK SPACE}",
}


#: stand for the element that draws a bar, until everything is escaped; no label holds them
_BAR = ("\ue000", "\ue001")


def label_html(label: str) -> Markup:
    r"""Return a label, with LaTeX between $ signs, as HTML.

    Args:
        label: such as ``r"$t\bar{t}$ + jets"``; a command that is not known stays as its name.

    Returns:
        Escaped HTML: a bar as ``<span class="bar">``, indices as sub and sup elements.
    """
    parts = label.split("$")
    return Markup("").join(_math(part) if index % 2 else escape(part) for index, part in enumerate(parts))


def _math(source: str) -> Markup:
    text = re.sub(
        r"\\(?:bar|overline)\s*(?:\{\s*(\\?\w+)\s*\}|(\w))", lambda m: f"{_BAR[0]}{m[1] or m[2]}{_BAR[1]}", source
    )
    text = re.sub(r"\\(?:mathrm|text|mathit|mathbf|rm)\s*\{([^{}]*)\}", r"\1", text)
    for command in sorted(_SYMBOLS, key=len, reverse=True):
        text = text.replace(command, _SYMBOLS[command])
    text = re.sub(r"\\([A-Za-z]+)", r"\1", text)
    html = str(escape(text.replace("-", "\N{MINUS SIGN}")))
    html = re.sub(r"_(?:\{([^{}]*)\}|(\w))", lambda m: f"<sub>{m[1] or m[2]}</sub>", html)
    html = re.sub(r"\^(?:\{([^{}]*)\}|(\w))", lambda m: f"<sup>{m[1] or m[2]}</sup>", html)
    html = html.replace("{", "").replace("}", "").replace(_BAR[0], '<span class="bar">').replace(_BAR[1], "</span>")
    return Markup(html)


def prose_html(text: str) -> Markup:
    """Return a sentence with the parts between backticks as code."""
    parts = text.split("`")
    return Markup("").join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))


def count(value: float | None) -> str:
    """Return a count with its thousands apart, for example ``1 234 567``; fractions of a large number are dropped."""
    if value is None or not math.isfinite(value):
        return "–"
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:.3g}"


def with_error(value: float | None, error: float | None) -> str:
    """Return ``value ± error``, both rounded to the second significant digit of the error, see `rounded`."""
    if value is None or not math.isfinite(value):
        return "–"
    if error is None or not math.isfinite(error) or error <= 0:
        return _signed(f"{value:.4g}") if abs(value) < 1e5 else count(value)
    return " ± ".join(rounded(value, error))


def p_value(value: float | None) -> str:
    """Return a p-value: two digits, small ones as a power of ten."""
    if value is None or not math.isfinite(value):
        return "–"
    if value >= 0.001 or value == 0:
        return f"{value:.2g}"
    mantissa, exponent = f"{value:.1e}".split("e")
    powers = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
    return f"{mantissa} × 10{str(int(exponent)).translate(powers)}"


def p_of_toys(value: float, toys: int, failed: int = 0) -> str:
    """Return a p-value from toys with its relation: ``p = 0.34``, or ``p < 0.001`` if none of a thousand toys reached it.

    Args:
        value: (1 + toys as extreme) / (1 + toys that converged).
        toys: number of generated toys.
        failed: number of those that did not converge.
    """
    none_of = unreached(value, toys, failed)
    return f"p = {p_value(value)}" if none_of is None else f"p < {p_value(1 / none_of)}"


def strength(poi: Mapping[str, Any]) -> str:
    """Return a strength with its error; with its two-sided errors where they differ from it: ``1.30 +0.66 −0.46``.

    Args:
        poi: an entry of ``pois`` in ``results.json``.
    """
    value, up, down = poi.get("value"), poi.get("error_up"), poi.get("error_down")
    if value is None or up is None or down is None or not is_asymmetric(poi):
        return with_error(value, poi.get("error"))
    # the smaller error that is one decides the digits of all
    least = min((error for error in (up, down) if error > 0), default=0.0)
    middle, low, high = (rounded(number, least)[0] for number in (value, down, up))
    return f"{middle} +{high} −{low}"


def duration(seconds: float | None) -> str:
    """Return a duration for people: ``0.42 s``, ``73 s``, ``12 min``."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.2g} s"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def name_some(names: Sequence[str], shown: int = 4) -> str:
    """Return the first names of a list, and how many more there are: ``a, b, c, d and 3 more``."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _signed(text: str) -> str:
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text)
