"""The significance that a fit would have with the closure's uncertainty, of a workspace without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oddjets.stats.closure_uncertainty import closure_modifier
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.inference.estimates import Significance, best_fits, significance

__all__ = ["significance_with_closure"]


def significance_with_closure(
    workspace: Mapping[str, Any],
    process: str,
    channels: Mapping[str, Sequence[str]],
    sizes: Mapping[str, float],
    poi: str | None = None,
) -> Significance:
    """Return the significance of a workspace to which the closure's uncertainty is added.

    Args:
        workspace: without such an uncertainty; it is not changed.
        process: the data-driven one, which the uncertainties act on.
        channels: region to the names of its channels, those of its product cells if it has such, without the letter.
        sizes: region to the relative uncertainty of that process in A.
        poi: the parameter of interest; None: the measurement's.

    Raises:
        FitError: a fit did not converge, or there is no background-only fit.
    """
    of_channel = {f"{channel}_A": closure_modifier(r, sizes[r]) for r, names in channels.items() for channel in names}

    def changed(channel: Mapping[str, Any]) -> Mapping[str, Any]:
        modifier = of_channel.get(channel["name"])
        if modifier is None:
            return channel
        samples = [
            {**sample, "modifiers": [*sample["modifiers"], modifier]} if sample["name"] == process else sample
            for sample in channel["samples"]
        ]
        return {**channel, "samples": samples}

    model = HistFactoryModel({**workspace, "channels": [changed(c) for c in workspace["channels"]]}, poi)
    return significance(model, best_fits(model))
