"""Arithmetic expressions over named arrays, as in the YAML: ``tau2_1 / tau1_1 < 0.45``.

Parsed with `ast` and evaluated over a short list of allowed nodes, so that a YAML can't run code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError, nearest

__all__ = ["ExpressionError", "MissingColumnError", "evaluate", "names_in", "renamed", "without_not"]

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "log": np.log,
    "log10": np.log10,
    "exp": np.exp,
    "sin": np.sin,
    "cos": np.cos,
    "cosh": np.cosh,
    "sinh": np.sinh,
    "tanh": np.tanh,
    "minimum": np.minimum,
    "maximum": np.maximum,
    "hypot": np.hypot,
    "where": np.where,
    "isfinite": np.isfinite,
}
BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.Mod: np.mod,
    ast.BitAnd: np.bitwise_and,
    ast.BitOr: np.bitwise_or,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
UNARY: dict[type[ast.AST], Callable[[Any], Any]] = {
    ast.USub: np.negative,
    ast.UAdd: np.positive,
    ast.Not: np.logical_not,
    ast.Invert: np.invert,
}


class ExpressionError(OddjetsError):
    """An expression that can't be parsed, or names something that isn't there."""


class MissingColumnError(ExpressionError):
    """An expression that names a column, or a branch, which is not there."""


def _parse(expression: str) -> ast.expr:
    if len(expression) > 1000:
        raise ExpressionError(f"the expression is longer than 1000 characters: {expression[:60]}...")
    try:
        return ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"'{expression}' is not an arithmetic expression") from None


def names_in(expression: str) -> set[str]:
    """Return the columns that an expression reads.

    Raises:
        ExpressionError: it can't be parsed or uses something that isn't allowed.
    """
    names: set[str] = set()

    def visit(node: ast.AST) -> None:
        match node:
            case ast.Name(id=name):
                names.add(name)
            case ast.Constant(value=bool() | int() | float()):
                pass
            case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
                visit(left)
                visit(right)
            case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
                visit(operand)
            case ast.BoolOp(values=values):
                for value in values:
                    visit(value)
            case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(o) in BINARY for o in ops):
                visit(left)
                for comparator in comparators:
                    visit(comparator)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                if name not in FUNCTIONS:
                    raise ExpressionError(f"'{expression}': no function '{name}'; {nearest(name, FUNCTIONS)}")
                for argument in args:
                    visit(argument)
            case _:
                raise ExpressionError(
                    f"'{expression}': only arithmetic, comparisons and {', '.join(FUNCTIONS)} are allowed"
                )

    visit(_parse(expression))
    return names


def without_not(expression: str) -> tuple[str, bool]:
    """Return an expression without ``not`` before all of it, in one way of writing it, and whether that negates it.

    Raises:
        ExpressionError: it can't be parsed.

    Examples:
        >>> without_not("not (pt_1>500)")
        ('pt_1 > 500', True)
    """
    node, negated = _parse(expression), False
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node, negated = node.operand, not negated
    return ast.unparse(node), negated


def renamed(expression: str, names: Mapping[str, str]) -> str:
    """Return an expression that reads other columns.

    Args:
        expression: the expression.
        names: column to the one in its place.

    Raises:
        ExpressionError: it can't be parsed.
    """
    tree = _parse(expression)
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in functions:
            node.id = names.get(node.id, node.id)
    return ast.unparse(tree)


def evaluate(expression: str, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Evaluate an expression elementwise.

    Args:
        expression: arithmetic over the columns; ``and``, ``or``, ``not`` act elementwise.
        columns: name to array, all of one shape; looked up only when used.

    Returns:
        The result, of the columns' shape (zero-dimensional if no column is used).

    Raises:
        MissingColumnError: a name isn't among the columns.
        ExpressionError: the expression is no arithmetic.
    """
    missing = sorted(name for name in names_in(expression) if name not in columns)
    if missing:
        raise MissingColumnError(f"'{expression}': no column '{missing[0]}'; {nearest(missing[0], columns)}")

    try:
        with np.errstate(all="ignore"):
            return np.asarray(_compute(_parse(expression), columns))
    except (TypeError, ValueError) as error:
        raise ExpressionError(f"'{expression}' can't be computed: {error}") from None


def _compute(node: ast.AST, columns: Mapping[str, npt.NDArray[Any]]) -> Any:
    # no function inside `evaluate`: one that calls itself would keep the columns in memory until the garbage is collected
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=constant):
            return constant
        case ast.BinOp(left=left, op=op, right=right):
            return BINARY[type(op)](_compute(left, columns), _compute(right, columns))
        case ast.UnaryOp(op=unary, operand=operand):
            return UNARY[type(unary)](_compute(operand, columns))
        case ast.BoolOp(op=boolean, values=values):
            join = np.logical_and if isinstance(boolean, ast.And) else np.logical_or
            result = _compute(values[0], columns)
            for value in values[1:]:
                result = join(result, _compute(value, columns))
            return result
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            result, before = np.True_, _compute(left, columns)
            for comparison, comparator in zip(ops, comparators, strict=True):
                after = _compute(comparator, columns)
                result = np.logical_and(result, BINARY[type(comparison)](before, after))
                before = after
            return result
        case ast.Call(func=ast.Name(id=name), args=args):
            return FUNCTIONS[name](*(_compute(argument, columns) for argument in args))
    raise AssertionError(node)
