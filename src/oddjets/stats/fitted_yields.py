"""Yields of a fit by region and letter, before and after it, with errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oddjets.stats.cell_bins import sums_over_cells
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitResult
from oddjets.stats.inference.postfit import ChannelYields, SampleModel

__all__ = ["fitted_yields", "split_channel"]


def split_channel(name: str) -> tuple[str, str]:
    """Split a channel's name into region and letter; the letter is "" if the name has none."""
    region, _, letter = name.rpartition("_")
    return (region, letter) if region and letter in {"A", "B", "C", "D"} else (name, "")


def fitted_yields(
    model: HistFactoryModel,
    fits: Mapping[str, FitResult],
    edges: Mapping[str, Sequence[float]],
    cells: Mapping[str, Mapping[str, list[list[int]]]],
) -> dict[str, Any]:
    """Return region -> letter -> edges, data, yields before the fit and after each of the fits.

    Args:
        model: the model.
        fits: label to fit.
        edges: region -> bin edges; others have bin numbers.
        cells: region -> product cell -> its groups of merged bins: the region is shown as the sum of its cells.
    """
    samples = SampleModel(model)
    # a region with product cells is shown as the sum of these
    sums = {
        f"{region}_{letter}": {f"{cell}_{letter}": bins for cell, bins in sums_over_cells(groups).items()}
        for region, groups in cells.items()
        for letter in "ABCD"
    }
    prefit = samples.channels(model.parameters.init)
    fitted = {label: samples.with_errors(fit, sums) for label, fit in fits.items()}
    data = {channel: model.spec.data[part] for channel, part in model.spec.slices.items()}
    for name, channels in sums.items():
        processes = dict.fromkeys(process for channel in channels for process in prefit[channel])
        data[name] = _summed(data, channels)
        prefit[name] = {p: _summed({c: prefit[c][p] for c in channels if p in prefit[c]}, channels) for p in processes}
    shown = {channel: name for name, channels in sums.items() for channel in channels}
    result: dict[str, Any] = {}
    for channel in dict.fromkeys(shown.get(channel, channel) for channel in model.spec.slices):
        region, letter = split_channel(channel)
        result.setdefault(region, {})[letter] = {
            "edges": list(edges.get(region, range(len(data[channel]) + 1))),
            "data": data[channel].tolist(),
            "prefit": {name: values.tolist() for name, values in prefit[channel].items()},
            **{label: _channel(yields[channel]) for label, yields in fitted.items()},
        }
    return result


def _summed(values: Mapping[str, np.ndarray], channels: Mapping[str, list[list[int]]]) -> np.ndarray:
    """Return the sum over channels, each with its groups of bins; of those that ``values`` has."""
    return np.asarray(
        sum(
            np.array([values[channel][group].sum() for group in groups])
            for channel, groups in channels.items()
            if channel in values
        )
    )


def _channel(yields: ChannelYields) -> dict[str, Any]:
    """Return yields with errors by bin and of all bins together; their errors are correlated, so they do not add."""
    parts = {name: (values, yields.errors[name]) for name, values in yields.values.items()}
    parts["total"] = (yields.total, yields.total_error)
    return {
        name: {
            "values": values.tolist(),
            "errors": errors.tolist(),
            "sum": {"value": float(values.sum()), "error": yields.sum_errors[name]},
        }
        for name, (values, errors) in parts.items()
    }
