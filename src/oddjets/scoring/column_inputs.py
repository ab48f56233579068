"""Columns of jets as a model's inputs: the same numbers when a model is trained and when it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddjets.core.errors import nearest
from oddjets.core.expressions import MissingColumnError, evaluate, names_in
from oddjets.io.event_table import JETS, dtype_of

__all__ = ["input_matrix"]


def input_matrix(
    columns: Sequence[str], jets: Mapping[str, NDArray[Any]], dtype: type[np.float32 | np.float64] = np.float32
) -> NDArray[Any]:
    """Compute the inputs of a model of jet columns.

    Columns are rounded as the event table has them on disk (float32, scores float64), expressions of them are computed in
    float64, and the result is rounded once: so it does not matter whether the columns come from a file or from a processor.

    Args:
        columns: names of columns without ``_1`` and ``_2``, or expressions of them.
        jets: name to a column of one jet per event, shape (n_jets,); `oddjets.selection.JetColumns` gives those of an event
            table.
        dtype: of the inputs.

    Returns:
        Shape (n_jets, len(columns)); NaN where a value is NaN or infinite, also if it does not fit the type.

    Raises:
        ExpressionError: not an expression, or a column that is not there.

    Examples:
        >>> import numpy as np
        >>> jets = {"tau2": np.array([0.2, 0.0]), "tau3": np.array([0.1, 0.1])}
        >>> input_matrix(["tau3 / tau2", "tau2"], jets).tolist()
        [[0.5, 0.20000000298023224], [nan, 0.0]]
    """
    n_jets = len(next(iter(jets.values()))) if len(jets) else 0
    values = np.empty((n_jets, len(columns)), dtype)
    exact: dict[str, NDArray[Any]] = {}
    for name, expression in {name: text for text in columns for name in sorted(names_in(text))}.items():
        if name not in jets:
            where = f" (in '{expression}')" if name != expression else ""
            raise MissingColumnError(f"no column '{name}'{where} of the jets; {nearest(name, jets)}")
        # contiguous: NumPy's functions may round otherwise where numbers are not next to each other
        stored = np.ascontiguousarray(jets[name], dtype_of(f"{name}_{JETS[0]}"))
        exact[name] = stored if stored.dtype == np.bool_ else stored.astype(np.float64)
    for i, expression in enumerate(columns):
        found = evaluate(expression, exact)
        with np.errstate(over="ignore"):
            values[:, i] = found
    values[~np.isfinite(values)] = np.nan
    return values
