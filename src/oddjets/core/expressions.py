"""Arithmetic expressions over named arrays, as in the YAML: ``tau2_1 / tau1_1 < 0.45``.

Parsed with `ast` and evaluated over a short list of allowed nodes, so that a YAML can't run code.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError, nearest

__all__ = ["ExpressionError", "MissingColumnError", "evaluate", "names_in", "renamed", "without_not"]


def _power(base: Any, exponent: Any) -> Any:
    # integers would wrap around (10 ** 20), or refuse a negative exponent (10 ** -2)
    if np.result_type(base).kind in "iu" and np.result_type(exponent).kind in "iu":
        return np.power(np.asarray(base, np.float64), exponent)
    return np.power(base, exponent)


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
#: how many arguments those take that do not take one; NumPy writes its result into a further one
_ARGUMENTS = {"minimum": 2, "maximum": 2, "hypot": 2, "where": 3}
BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: _power,
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
#: an expression has no more characters, blanks apart, and no more brackets, signs or terms inside each other
_LONGEST, _DEEPEST = 1000, 100
#: what is said of & and | between others than conditions, or whole numbers as bits
_BINDS = (
    "'&' and '|' are done before comparisons; write 'and', 'or', or put each comparison into parentheses, as in"
    " (mass_1 > 100) & (mass_2 > 50)"
)
#: of an expression in a message
_SHOWN = 200
#: operators of other languages, and what stands for them here
_OTHER_LANGUAGES = {"&&": "and", "||": "or", "!": "not", "=": "=="}


class ExpressionError(OddjetsError):
    """An expression that can't be parsed, or names something that isn't there."""


class MissingColumnError(ExpressionError):
    """An expression that names a column, or a branch, which is not there."""


def _parse(expression: str) -> ast.expr:
    if len("".join(expression.split())) > _LONGEST:
        raise ExpressionError(f"the expression is longer than {_LONGEST} characters: {expression[:60]}...")
    try:
        parsed = ast.parse(expression.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # of != and == the characters are no others' operators
        bare = re.sub(r"[=!<>]=", "", expression)
        meant = [f"'{ours}' for '{theirs}'" for theirs, ours in _OTHER_LANGUAGES.items() if theirs in bare]
        hint = f"; write {' and '.join(meant)}" if meant else ""
        raise ExpressionError(f"{_quoted(expression)} is not an arithmetic expression{hint}") from None
    level, depth = [parsed], 0
    while level := [child for node in level for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]:
        depth += 1
        if depth > _DEEPEST:
            raise ExpressionError(
                f"{_quoted(expression)}: more than {_DEEPEST} brackets, signs or terms in one another"
            )
    return parsed


def _quoted(expression: str) -> str:
    return f"'{expression}'" if len(expression) <= _SHOWN else f"'{expression[:_SHOWN]}...'"


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
                if len(ops) > 1 and any(_joins_bits(node) for node in comparators[:-1]):
                    raise ExpressionError(f"{_quoted(expression)}: {_BINDS}")
                visit(left)
                for comparator in comparators:
                    visit(comparator)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                if name not in FUNCTIONS:
                    raise ExpressionError(f"{_quoted(expression)}: no function '{name}'; {nearest(name, FUNCTIONS)}")
                if len(args) != (takes := _ARGUMENTS.get(name, 1)):
                    what = f"{takes} arguments" if takes > 1 else "one argument"
                    raise ExpressionError(f"{_quoted(expression)}: '{name}' takes {what}, not {len(args)}")
                for argument in args:
                    visit(argument)
            case _:
                raise ExpressionError(
                    f"{_quoted(expression)}: only arithmetic, comparisons and {', '.join(FUNCTIONS)} are allowed"
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


class _NoConditionError(Exception):
    """A number where a condition must stand."""


def _joins_bits(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr))


def _kind(value: Any) -> str:
    """Return b for conditions, i for whole numbers, f for all others."""
    kind = np.result_type(value).kind
    return {"b": "b", "i": "i", "u": "i"}.get(kind, "f")


def _condition(node: ast.expr, columns: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Return what ``and``, ``or`` and ``not`` join: conditions, or columns of whole numbers, which are true unless 0."""
    value = _compute(node, columns)
    if _kind(value) == "f" or (isinstance(node, ast.Constant) and _kind(value) != "b"):
        raise _NoConditionError(
            f"'{ast.unparse(node)}' is no condition, which 'and', 'or' and 'not' join; compare it with something"
        )
    return value


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
        raise MissingColumnError(f"{_quoted(expression)}: no column '{missing[0]}'; {nearest(missing[0], columns)}")

    try:
        with np.errstate(all="ignore"):
            return np.asarray(_compute(_parse(expression), columns))
    except _NoConditionError as error:
        raise ExpressionError(f"{_quoted(expression)}: {error}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise ExpressionError(f"{_quoted(expression)} can't be computed: {error}") from None


def _compute(node: ast.AST, columns: Mapping[str, npt.NDArray[Any]]) -> Any:
    # no function inside `evaluate`: one that calls itself would keep the columns in memory until the garbage is collected
    match node:
        case ast.Name(id=name):
            return columns[name]
        case ast.Constant(value=constant):
            return constant
        case ast.BinOp(left=left, op=op, right=right):
            first, second = _compute(left, columns), _compute(right, columns)
            if isinstance(op, (ast.BitAnd, ast.BitOr)) and {_kind(first), _kind(second)} not in ({"b"}, {"i"}):
                raise _NoConditionError(_BINDS)
            return BINARY[type(op)](first, second)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(_condition(operand, columns))
        case ast.UnaryOp(op=unary, operand=operand):
            return UNARY[type(unary)](_compute(operand, columns))
        case ast.BoolOp(op=boolean, values=values):
            join = np.logical_and if isinstance(boolean, ast.And) else np.logical_or
            result = _condition(values[0], columns)
            for value in values[1:]:
                result = join(result, _condition(value, columns))
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
