"""A value and its error with the decimals that the error allows, the same everywhere."""

from __future__ import annotations

import math

__all__ = ["rounded"]

#: an error with more decimals than this is written with an exponent
_MOST_DECIMALS = 8


def rounded(value: float, error: float) -> tuple[str, str]:
    """Return a value and its error, both rounded to the second significant digit of the error.

    Args:
        value: any number.
        error: in the same unit; where it is none (0) or not finite, the value has four significant digits.

    Returns:
        The two, with thousands apart and a minus sign: ``("12 350", "230")`` of 12345.6 and 234, ``("0.51", "0.10")`` of 0.512
        and 0.0996. Errors below 1e-8 have exponents.
    """
    # the exponent of the error as it will be written: 0.0996 is 0.10
    known = math.isfinite(value) and 0 < error < math.inf
    digits = 1 - int(f"{error:.1e}".partition("e")[2]) if known else 0
    if not known or digits > _MOST_DECIMALS:
        shown, size = f"{value:.4g}", f"{error:.2g}"
    else:
        # a value that is rounded to zero has no sign
        shown, size = (f"{round(number, digits) + 0.0:,.{max(digits, 0)}f}" for number in (value, error))
    written = str.maketrans({",": "\N{NARROW NO-BREAK SPACE}", "-": "\N{MINUS SIGN}"})
    return shown.translate(written), size.translate(written)
