"""Another signal in a finished workspace: its samples are added, and the workspace's own signal is kept or taken away.

Nothing else is changed: data, backgrounds, the factors of ABCD with their starts, and all constraints are the workspace's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from oddjets.core.errors import OddjetsError
from oddjets.stats.absorption import absorbed_events

__all__ = ["OwnSignal", "contamination", "exchange_signal", "highest_strength"]

#: what becomes of the workspace's own signal: a background at its stated cross section, nothing, or one of free strength
OwnSignal = Literal["background", "removed", "free"]
#: the signal at the upper bound of its strength has this many times the data's events and fluctuation in A
REACH = 10.0
SIGMAS = 5.0


def highest_strength(workspace: Mapping[str, Any], samples: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return an upper bound of a signal's strength that no limit reaches; None where it has no event in A.

    Args:
        workspace: with the data.
        samples: channel -> the signal's sample there.
    """
    data = {entry["name"]: float(np.sum(entry["data"])) for entry in workspace["observations"]}
    reach = []
    for name, sample in samples.items():
        expected = float(np.sum(sample["data"]))
        if name.endswith("_A") and expected > 0:
            reach.append(REACH * (data[name] + SIGMAS * np.sqrt(data[name] + 1)) / expected)
    # the region that sees most of it decides
    return float(min(reach)) if reach else None


def exchange_signal(
    workspace: Mapping[str, Any],
    samples: Mapping[str, Mapping[str, Any]],
    poi: str,
    high: float,
    own: tuple[str, str],
    kept: OwnSignal,
    *,
    own_scale: float = 1.0,
) -> dict[str, Any]:
    """Return a workspace with another signal.

    Args:
        workspace: of `workspace.build`, with one measurement.
        samples: channel -> the new signal's sample, with the modifier of its strength; channels without it have none.
        poi: the new parameter of interest.
        high: upper bound of the new strength.
        own: the workspace's own signal: its process and its parameter.
        kept: what becomes of that; it is removed in any case where the new signal has its name.
        own_scale: how many times its stated cross section the own signal's template is.

    Raises:
        OddjetsError: a channel of the new signal is not in the workspace, or has other bins.
    """
    made: dict[str, Any] = copy.deepcopy(dict(workspace))
    known = {channel["name"]: channel for channel in made["channels"]}
    if missing := [name for name in samples if name not in known]:
        raise OddjetsError(
            f"the workspace has no channel '{missing[0]}', where the signal has events; it is of another analysis"
        )
    process, parameter = own
    names = {sample["name"] for sample in samples.values()}
    keep = kept != "removed" and process not in names
    for name, channel in known.items():
        place = next((i for i, s in enumerate(channel["samples"]) if s["name"] == process), 0)
        here = []
        for sample in channel["samples"]:
            if sample["name"] != process:
                here.append(sample)
            elif keep:
                here.append(sample if kept == "free" else _at_stated_strength(sample, parameter, own_scale))
        if name in samples:
            _require_bins(name, samples[name], channel)
            here.insert(min(place, len(here)), copy.deepcopy(dict(samples[name])))
        channel["samples"] = here
    config = made["measurements"][0]["config"]
    free = [entry for entry in config["parameters"] if entry["name"] != parameter or (keep and kept == "free")]
    start = float(min(1.0, high))
    config["parameters"] = [
        {"name": poi, "bounds": [[0.0, high]], "inits": [start]},
        *(entry for entry in free if entry["name"] != poi),
    ]
    config["poi"] = poi
    return made


def _at_stated_strength(sample: Mapping[str, Any], parameter: str, scale: float) -> dict[str, Any]:
    """Return a sample without the parameter of its strength, at its stated cross section."""
    modifiers = []
    for modifier in sample["modifiers"]:
        if modifier["name"] == parameter and modifier["type"] == "normfactor":
            continue
        data = modifier["data"]
        if modifier["type"] == "histosys":
            data = {key: [x / scale for x in values] for key, values in data.items()}
        elif modifier["type"] == "staterror":
            data = [x / scale for x in data]
        modifiers.append({**modifier, "data": data})
    return {**sample, "data": [x / scale for x in sample["data"]], "modifiers": modifiers}


def _require_bins(name: str, sample: Mapping[str, Any], channel: Mapping[str, Any]) -> None:
    bins = {len(other["data"]) for other in channel["samples"]}
    if bins and {len(sample["data"])} != bins:
        raise OddjetsError(
            f"channel '{name}': the signal has {len(sample['data'])} bins, and the workspace {bins.pop()}: it is of another"
            " analysis"
        )


def contamination(
    workspace: Mapping[str, Any],
    signal: str,
    data_driven: str,
    channels: Mapping[str, tuple[str, ...]],
    strength: float,
) -> dict[str, dict[str, Any]]:
    """Return how much of a signal B C / D would take for background, were it in the data and not in the model.

    Args:
        workspace: with the signal.
        signal: its process.
        data_driven: the process that ABCD estimates.
        channels: region -> its channels without the letter: itself, or its product cells.
        strength: of the signal in the data.

    Returns:
        Region -> ``signal`` by letter, ``estimate`` and ``estimate_without`` (B C / D of data minus other simulation, and the
        same minus the signal), ``taken`` (their difference, the signal taken for background), ``relative_change`` of the
        estimate, and ``share_of_signal`` (``taken`` over the signal in A; None without signal in A).
    """
    data = {entry["name"]: np.asarray(entry["data"], float) for entry in workspace["observations"]}
    samples = {channel["name"]: channel["samples"] for channel in workspace["channels"]}
    found = {}
    for region, names in channels.items():
        counts = dict.fromkeys("ABCD", 0.0)
        seen = clean = 0.0
        for channel in names:
            yields, rest = {}, {}
            for letter in "ABCD":
                place = f"{channel}_{letter}"
                zero = np.zeros(len(data[place]))
                of = {sample["name"]: np.asarray(sample["data"], float) for sample in samples[place]}
                yields[letter] = strength * of.get(signal, zero)
                counts[letter] += float(yields[letter].sum())
                others = [values for name, values in of.items() if name not in (signal, data_driven)]
                rest[letter] = data[place] - np.sum([*others, zero], axis=0)
            absorbed = absorbed_events(rest, yields)
            seen, clean = seen + float(absorbed.with_signal.sum()), clean + float(absorbed.without.sum())
        found[region] = {
            "strength": strength,
            "signal": counts,
            "estimate": seen,
            "estimate_without": clean,
            "taken": seen - clean,
            "relative_change": (seen - clean) / clean if clean > 0 else None,
            "share_of_signal": (seen - clean) / counts["A"] if counts["A"] > 0 else None,
        }
    return found
