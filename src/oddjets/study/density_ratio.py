"""Ratio of the densities of two samples over columns: where they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ratio_map", "ratio_spectrum"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

#: parts of a column in a map, and in a spectrum; of equal numbers in the reference, but for the last, which is cut again
PARTS = (0.25, 0.5, 0.75, 0.9, 0.97)
SPECTRUM = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


def ratio_map(first: Floats, second: Floats, reference: Floats, observed: Rows, log_ratio: Floats) -> dict[str, Any]:
    """Return data and reference in cells of two columns, such as a score of the leading and of the subleading jet.

    Args:
        first: of all rows of the pool, (rows,).
        second: the other column, (rows,).
        reference: what each row weighs, (rows,).
        observed: the rows of the data, (n,).
        log_ratio: learnt, (rows,).

    Returns:
        ``edges`` of both columns, and ``data``, ``reference``, ``learnt`` and ``sigma`` in cells (first, second); learnt is the
        reference times the ratio, and sigma the difference over the root of the reference.
    """
    edges = [_edges(column, reference, PARTS) for column in (first, second)]
    places = [np.searchsorted(e[1:-1], column, side="right") for e, column in zip(edges, (first, second), strict=True)]
    shape = tuple(len(e) - 1 for e in edges)
    cell = np.ravel_multi_index(places, shape)
    return _counts(cell, int(np.prod(shape)), reference, observed, log_ratio, shape) | {
        "edges": [e.tolist() for e in edges]
    }


def ratio_spectrum(column: Floats, reference: Floats, observed: Rows, log_ratio: Floats) -> dict[str, Any]:
    """Return data and reference in bins of a column; see `ratio_map`."""
    edges = _edges(column, reference, SPECTRUM)
    place = np.searchsorted(edges[1:-1], column, side="right")
    shape = (len(edges) - 1,)
    return _counts(place, shape[0], reference, observed, log_ratio, shape) | {"edges": [edges.tolist()]}


def _edges(column: Floats, reference: Floats, parts: tuple[float, ...]) -> Floats:
    """Return edges at quantiles of the reference, the smallest and the largest value at the ends; each once."""
    order = np.argsort(column, kind="stable")
    sums = np.cumsum(np.maximum(reference[order], 0.0))
    inner = column[order[np.searchsorted(sums, np.asarray(parts) * sums[-1])]]
    found = np.unique(np.concatenate([[column.min()], inner, [column.max()]]))
    return found if len(found) > 1 else np.array([found[0], found[0] + 1])


def _counts(
    cell: Rows, number: int, reference: Floats, observed: Rows, log_ratio: Floats, shape: tuple[int, ...]
) -> dict[str, Any]:
    data = np.bincount(cell[observed], minlength=number).astype(float)
    expected = np.bincount(cell, reference, number).astype(float)
    learnt = np.bincount(cell, reference * np.exp(np.minimum(log_ratio, 50.0)), number).astype(float)
    sigma = (data - expected) / np.sqrt(np.where(expected > 0, expected, np.inf))
    made = {"data": data, "reference": expected, "learnt": learnt, "sigma": sigma}
    return {name: values.reshape(shape).tolist() for name, values in made.items()}
