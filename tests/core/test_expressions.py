"""Arithmetic as text: right values, and nothing but arithmetic."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddjets.core.expressions import ExpressionError, evaluate, names_in

COLUMNS = {"pt_1": np.array([500.0, 600.0]), "mass_1": np.array([80.0, 170.0]), "n": np.array([1, 3])}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mass_1 / pt_1", [0.16, 170 / 600]),
        ("mass_1 > 100", [False, True]),
        ("60 < mass_1 < 100 and n == 1", [True, False]),
        ("not (n == 1) or mass_1 < 0", [False, True]),
        ("where(n > 2, mass_1, -mass_1)", [-80, 170]),
        ("maximum(mass_1, 100.0)", [100, 170]),
        ("2 ** 3", 8),
    ],
)
def test_values(text, expected):
    np.testing.assert_allclose(evaluate(text, COLUMNS), expected)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(0.1, 1e3))
def test_agrees_with_python(a, b, c):
    columns = {"a": np.array([a]), "b": np.array([b]), "c": np.array([c])}
    assert evaluate("(a + b * 2) / c - abs(a)", columns)[0] == pytest.approx((a + b * 2) / c - abs(a))


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "pt_1.__class__",
        "[x for x in pt_1]",
        "lambda: 1",
        "'text'",
        "open('x')",
        "pt_1[0]",
        "(pt_1",
        "sqrt(pt_1, where=1)",
        "1 +" * 600,
    ],
)
def test_nothing_but_arithmetic(text):
    with pytest.raises(ExpressionError):
        names_in(text)


def test_names_the_nearest_column():
    with pytest.raises(ExpressionError, match="did you mean 'mass_1'"):
        evaluate("mas_1 > 2", COLUMNS)


def test_columns_are_let_go_of_at_once():
    """Without waiting for the collection of garbage, which counts objects and not bytes."""

    class Columns(dict):
        """A dictionary that a weak reference can point to."""

    columns = Columns(x=np.ones(3))
    seen = weakref.ref(columns)
    gc.disable()
    try:
        evaluate("sqrt(x) + where(x > 0 and x < 2, -x, 1)", columns)
        del columns
        assert seen() is None
    finally:
        gc.enable()
