"""Yields by process at a fitted point, with errors propagated through the full covariance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from oddjets.stats.histfactory.expected import evaluate, row_weights
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitResult
from oddjets.stats.histfactory.tensors import compile_layout

__all__ = ["ChannelYields", "SampleModel"]

#: derivatives are symmetric differences over this fraction of a parameter's error
STEP = 0.02
Groups = Sequence[Sequence[int]]

#: points evaluated at once
GROUP = 64


class ChannelYields(NamedTuple):
    """Yields of one channel.

    Attributes:
        values: by process, (bins,).
        errors: their errors, (bins,).
        total: yield of all processes, (bins,).
        total_error: its errors, (bins,).
        sum_errors: error of the sum over the bins, by process and for "total", with the bins' covariance.
    """

    values: dict[str, np.ndarray]
    errors: dict[str, np.ndarray]
    total: np.ndarray
    total_error: np.ndarray
    sum_errors: dict[str, float]


class SampleModel:
    """A model that gives the yields of each sample separately.

    Args:
        model: the model.
    """

    def __init__(self, model: HistFactoryModel) -> None:
        self.model = model
        self._layout = compile_layout(model.spec, merge=False)

    def yields(self, pars: np.ndarray) -> np.ndarray:
        """Return the yields of every slot, (T, n_bins, J), at parameters (T, n); slots are named by `names`."""
        layout = self._layout
        local = np.where(layout.block_pars >= 0, pars[:, layout.block_pars], 1.0)
        gamma = np.where(layout.gamma_pars >= 0, pars[:, layout.gamma_pars], 1.0)
        weight = np.concatenate([np.ones((*gamma.shape[:2], 1)), gamma], axis=2)
        slots = evaluate(layout, pars[:, layout.global_pars], local).slots
        return np.asarray((slots * row_weights(layout, weight))[:, layout.place])

    @property
    def names(self) -> dict[str, list[str]]:
        """Process names of the slots of each channel."""
        return self._layout.names

    def channels(self, pars: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """Return channel -> process -> yields (bins,) at one point (n,)."""
        slots = self.yields(pars[None])[0]
        return {
            channel: {name: slots[part, j] for j, name in enumerate(self.names[channel])}
            for channel, part in self.model.spec.slices.items()
        }

    def with_errors(
        self, fit: FitResult, sums: Mapping[str, Mapping[str, Groups]] | None = None
    ) -> dict[str, ChannelYields]:
        """Return the yields at a fit with their errors, by channel.

        Args:
            fit: where.
            sums: name -> channel -> for each bin of the sum, the channel's bins in it: further entries of the result, which
                are sums over channels, with the covariance of all their bins.
        """
        p = self.model.parameters
        moving = np.flatnonzero(fit.errors > 0)
        step = STEP * fit.errors[moving]
        centre = self.yields(fit.values[None])[0]
        by_slot = np.empty((len(moving), *centre.shape))
        for i in range(0, len(moving), GROUP):
            part = moving[i : i + GROUP]
            h = step[i : i + GROUP]
            points = np.repeat(fit.values[None], 2 * len(part), axis=0)
            rows = np.arange(len(part))
            points[rows, part] = np.minimum(fit.values[part] + h, p.high[part])
            points[len(part) + rows, part] = np.maximum(fit.values[part] - h, p.low[part])
            width = points[rows, part] - points[len(part) + rows, part]
            y = self.yields(points)
            by_slot[i : i + GROUP] = (y[: len(part)] - y[len(part) :]) / width[:, None, None]
        matrix = fit.parts.among(moving)
        total_error = _propagate(by_slot.sum(axis=2), matrix)
        errors = _propagate(by_slot.reshape(len(moving), centre.size), matrix).reshape(centre.shape)
        result = {}
        for name, channels in (sums or {}).items():
            result[name] = self._sum(channels, centre, by_slot, matrix)
        for channel, bins in self.model.spec.slices.items():
            names = self.names[channel]
            totals = by_slot[:, bins, : len(names)].sum(axis=1)
            sum_errors = _propagate(np.column_stack([totals, totals.sum(axis=1)]), matrix)
            result[channel] = ChannelYields(
                {name: centre[bins, j] for j, name in enumerate(names)},
                {name: errors[bins, j] for j, name in enumerate(names)},
                centre[bins].sum(axis=1),
                total_error[bins],
                dict(zip([*names, "total"], sum_errors.tolist(), strict=True)),
            )
        return result

    def _sum(
        self, channels: Mapping[str, Groups], centre: np.ndarray, by_slot: np.ndarray, matrix: np.ndarray
    ) -> ChannelYields:
        """Return the yields of a sum over channels with their errors."""
        names = list(dict.fromkeys(name for channel in channels for name in self.names[channel]))
        size = len(next(iter(channels.values())))
        values, slopes = np.zeros((size, len(names))), np.zeros((len(by_slot), size, len(names)))
        for channel, groups in channels.items():
            start = self.model.spec.slices[channel].start
            for j, name in enumerate(self.names[channel]):
                for i, group in enumerate(groups):
                    bins = [start + b for b in group]
                    values[i, names.index(name)] += centre[bins, j].sum()
                    slopes[:, i, names.index(name)] += by_slot[:, bins, j].sum(axis=1)
        errors = _propagate(slopes.reshape(len(by_slot), values.size), matrix).reshape(values.shape)
        totals = slopes.sum(axis=1)
        sum_errors = _propagate(np.column_stack([totals, totals.sum(axis=1)]), matrix)
        return ChannelYields(
            {name: values[:, j] for j, name in enumerate(names)},
            {name: errors[:, j] for j, name in enumerate(names)},
            values.sum(axis=1),
            _propagate(slopes.sum(axis=2), matrix),
            dict(zip([*names, "total"], sum_errors.tolist(), strict=True)),
        )


def _propagate(slopes: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Return the errors, (m,), of quantities with derivatives by the parameters, (n, m), and their covariance, (n, n)."""
    return np.asarray(np.sqrt(np.maximum((slopes * (covariance @ slopes)).sum(axis=0), 0)))
