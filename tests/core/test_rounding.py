"""A value and its error have the same decimals, and the error two significant digits."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from oddjets.core.rounding import rounded


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        (1.0999, 0.2, ("1.10", "0.20")),
        # rounding carries the error to the next power of ten: still two digits
        (0.512, 0.0996, ("0.51", "0.10")),
        (99.6, 9.97, ("100", "10")),
        (12345.6, 234, ("12\u202f350", "230")),
        (-0.5, 0.031, ("−0.500", "0.031")),
        # no minus sign before nothing
        (-0.001, 0.12, ("0.00", "0.12")),
        (3.2e-10, 1e-11, ("3.2e−10", "1e−11")),
        (1.23456, 0.0, ("1.235", "0")),
        (1.23456, np.inf, ("1.235", "inf")),
        (np.nan, 0.1, ("nan", "0.1")),
    ],
)
def test_known_pairs(value: float, error: float, shown: tuple[str, str]) -> None:
    assert rounded(value, error) == shown


def test_agrees_with_decimal_arithmetic() -> None:
    rng = np.random.default_rng(3)
    for _ in range(300):
        error = float(10 ** rng.uniform(-6, 5))
        value = float(rng.normal(0, 30) * error)
        shown, size = (text.replace("\u202f", "").replace("−", "-") for text in rounded(value, error))
        # half of the last digit that is kept
        step = Decimal(10) ** (Decimal(size).adjusted() - 1)
        assert Decimal(size) % step == 0
        assert abs(Decimal(shown) - Decimal(value)) <= step / 2 * Decimal("1.000001")
        assert abs(Decimal(size) - Decimal(error)) <= step / 2 * Decimal("1.000001")
