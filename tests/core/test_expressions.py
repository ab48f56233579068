"""Arithmetic as text: right values, and nothing but arithmetic."""

import gc
import re
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddjets.core.expressions import ExpressionError, evaluate, names_in, renamed, without_not

COLUMNS = {
    "pt_1": np.array([500.0, 600.0]),
    "mass_1": np.array([80.0, 170.0]),
    "n": np.array([1, 3]),
    "flags": np.array([5, 2]),
}


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
        ("10 ** 20", 1e20),
        ("10 ** -2", 0.01),
        ("(n == 1) & (mass_1 < 100)", [True, False]),
        ("(flags & 4) > 0 and n", [True, False]),
        ("not n", [False, False]),
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


@pytest.mark.parametrize(
    "text",
    [
        "n == 1 & flags == 5",
        "mass_1 > 100 & pt_1 > 500",
        "mass_1 > 100 | (n == 1)",
        "(n == 1) & flags > 0",
    ],
)
def test_bits_in_place_of_conditions_are_refused(text):
    # Python does & before ==: `n == 1 & flags == 5` is n == (1 & flags) == 5
    with pytest.raises(ExpressionError, match="put each comparison into parentheses"):
        evaluate(text, COLUMNS)


@pytest.mark.parametrize(
    ("text", "part"), [("n == 1 or mass_1", "mass_1"), ("mass_1 > 100 and 200", "200"), ("not (pt_1 + 1)", "pt_1 + 1")]
)
def test_numbers_in_place_of_conditions_are_refused(text, part):
    with pytest.raises(ExpressionError, match=rf"'{re.escape(part)}' is no condition"):
        evaluate(text, COLUMNS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("maximum(n, flags, n)", "'maximum' takes 2 arguments, not 3"),
        ("sqrt(pt_1, mass_1)", "'sqrt' takes one argument, not 2"),
        ("where(n > 2)", "'where' takes 3 arguments, not 1"),
        ("abs()", "'abs' takes one argument, not 0"),
        ("mass_1 > 3 && !(n == 1)", "write 'and' for '&&' and 'not' for '!'$"),
        ("mass_1 = 3", "write '==' for '='$"),
    ],
)
def test_what_numpy_would_write_into_a_column_is_refused(text, says):
    kept = {name: column.copy() for name, column in COLUMNS.items()}
    with pytest.raises(ExpressionError, match=says):
        evaluate(text, COLUMNS)
    for name, column in COLUMNS.items():
        np.testing.assert_array_equal(column, kept[name])


def test_numbers_that_no_integer_holds():
    with pytest.raises(ExpressionError, match="can't be computed"):
        evaluate("n + 99999999999999999999999 > 3", COLUMNS)


@pytest.mark.parametrize("text", ["-" * 700 + "n", "~" * 400 + "n", "n" + "+n" * 300, "not " * 150 + "n == 1"])
@pytest.mark.parametrize("read", [names_in, without_not, lambda text: renamed(text, {"n": "m"})])
def test_deep_expressions_are_refused(text, read):
    with pytest.raises(ExpressionError, match="in one another"):
        read(text)


def test_an_expression_is_as_long_in_one_way_of_writing_it():
    text = "+".join(["mass_1"] * 90) + " > " + "9" * 368
    assert len(text) == 1000
    written, _ = without_not(text)
    assert len(written) > 1000
    assert names_in(written) == {"mass_1"}
