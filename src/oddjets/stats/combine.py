"""A workspace as a CMS Combine card: ``datacard.txt`` and ``shapes.root``.

QCD in an ABCD region becomes one process per bin, each with its own ``rateParam`` in B, C and D and the formula B C / D in A,
as the authors' code does it; the histograms carry the nominal yields, so that all parameters are 1 at the start.

HistFactory and Combine are not the same model to the last digit:

- Shapes: pyhf interpolates each bin's yield (polynomial of sixth order inside one sigma, straight lines outside). Combine
  splits a shape variation into its normalisation, a log-normal, and the normalised shape, morphed vertically.
- Log-normals: pyhf joins the two exponentials by a polynomial inside one sigma, Combine by another smooth function; for
  ``lo = 1/hi`` they differ by less than a per mille.
- Statistical uncertainties of templates: here the background's and the signal's gammas scale their yields, with relative
  errors that depend on nothing. Combine's ``autoMCStats`` has one parameter a bin for all processes together; its absolute
  error is the quadratic sum of the processes' errors, each scaled as its process is at the moment (strength, rateParams,
  log-normals).
- The factors' bounds: here they are on s, b and c with B = s b; in the card on B, C and D themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hist
import numpy as np
import uproot

from oddjets.core.errors import OddjetsError
from oddjets.stats.summary import split_channel

__all__ = ["write_card"]

#: the letters whose yields give the one in A
CONTROL = ("B", "C", "D")


class _Line(NamedTuple):
    """One process of one channel in the card."""

    channel: str
    process: str
    nominal: np.ndarray
    variance: np.ndarray
    modifiers: list[dict[str, Any]]


def write_card(
    workspace: Mapping[str, Any], folder: Path, edges: Mapping[str, Sequence[float]] | None = None
) -> list[Path]:
    """Write a workspace as a Combine card.

    Args:
        workspace: of `workspace.build`.
        folder: where to write.
        edges: bin edges by region; None: bin numbers.

    Returns:
        The files, ``datacard.txt`` and ``shapes.root``.

    Raises:
        OddjetsError: a free template that isn't one of an ABCD region's four.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line for channel in workspace["channels"] for line in _lines(channel)]
    data = {o["name"]: np.asarray(o["data"], dtype=float) for o in workspace["observations"]}
    shapes, card = folder / "shapes.root", folder / "datacard.txt"
    with uproot.recreate(shapes) as file:
        for channel, values in data.items():
            at = (edges or {}).get(split_channel(channel)[0], range(len(values) + 1))
            file[f"{channel}/data_obs"] = _histogram(values, values, at)
            for line in (x for x in lines if x.channel == channel):
                file[f"{channel}/{line.process}"] = _histogram(line.nominal, line.variance, at)
                for m in line.modifiers:
                    if m["type"] == "histosys":
                        for key, side in (("hi_data", "Up"), ("lo_data", "Down")):
                            values = np.asarray(m["data"][key], dtype=float)
                            file[f"{channel}/{line.process}_{m['name']}{side}"] = _histogram(values, 0 * values, at)
    card.write_text("\n".join(_card(workspace, lines, data)) + "\n", encoding="utf-8")
    return [card, shapes]


def _histogram(values: np.ndarray, variances: np.ndarray, edges: Sequence[float]) -> Any:
    result = hist.Hist(hist.axis.Variable(list(edges), name="x"), storage=hist.storage.Weight())
    view = result.view()
    view["value"], view["variance"] = values, variances
    return result


def _lines(channel: dict[str, Any]) -> list[_Line]:
    result = []
    for sample in channel["samples"]:
        nominal = np.asarray(sample["data"], dtype=float)
        free = [m for m in sample["modifiers"] if m["type"] == "shapefactor"]
        stat = next((np.asarray(m["data"]) for m in sample["modifiers"] if m["type"] == "staterror"), 0 * nominal)
        if not free:
            result.append(_Line(channel["name"], sample["name"], nominal, stat**2, sample["modifiers"]))
            continue
        if not split_channel(channel["name"])[1]:
            raise OddjetsError(
                f"channel '{channel['name']}', sample '{sample['name']}': a free template outside of an ABCD region "
                "(channels REGION_A to REGION_D) has no counterpart in the card"
            )
        others = [m for m in sample["modifiers"] if m["type"] != "shapefactor"]
        for i in np.flatnonzero(nominal > 0):
            one = np.where(np.arange(len(nominal)) == i, nominal, 0.0)
            result.append(_Line(channel["name"], f"{sample['name']}_bin{i}", one, 0 * one, [*others, *free]))
    return result


def _card(workspace: Mapping[str, Any], lines: list[_Line], data: Mapping[str, np.ndarray]) -> list[str]:
    config = workspace["measurements"][0]["config"]
    bounds = {p["name"]: p["bounds"][0] for p in config["parameters"] if "bounds" in p}
    signals = {x.process for x in lines for m in x.modifiers if m["name"] == config["poi"]}
    names = sorted({x.process for x in lines}, key=lambda name: (name not in signals, name))
    number = {name: k - len(signals) + 1 for k, name in enumerate(names)}
    width = max(len(x.process) for x in lines) + 2
    nuisances = _nuisances(lines)
    text = [
        "# written by oddjets; what Combine treats differently from HistFactory is in the documentation of the fit",
        f"# parameter of interest: {config['poi']} (Combine's r)",
        f"imax {len(data)}",
        f"jmax {len(names) - 1}",
        f"kmax {len(nuisances)}",
        "-" * 40,
        "shapes * * shapes.root $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        "-" * 40,
        "bin " + " ".join(data),
        "observation " + " ".join(f"{values.sum():.10g}" for values in data.values()),
        "-" * 40,
        _row("bin", [x.channel for x in lines], width),
        _row("process", [x.process for x in lines], width),
        _row("process", [str(number[x.process]) for x in lines], width),
        _row("rate", [f"{x.nominal.sum():.10g}" for x in lines], width),
        "-" * 40,
    ]
    for (name, kind), values in nuisances.items():
        text.append(_row(f"{name} {kind}", [values.get((x.channel, x.process), "-") for x in lines], width))
    return [*text, *_rate_params(lines, bounds, config["poi"]), "* autoMCStats 0 1 1"]


def _row(title: str, cells: list[str], width: int) -> str:
    return f"{title:<40} " + " ".join(f"{cell:<{width}}" for cell in cells).rstrip()


def _nuisances(lines: list[_Line]) -> dict[tuple[str, str], dict[tuple[str, str], str]]:
    """(nuisance, Combine's type) -> (channel, process) -> its entry."""
    result: dict[tuple[str, str], dict[tuple[str, str], str]] = defaultdict(dict)
    both = {
        name
        for name in {m["name"] for x in lines for m in x.modifiers}
        if {"normsys", "histosys"} <= {m["type"] for x in lines for m in x.modifiers if m["name"] == name}
    }
    for x in lines:
        for m in x.modifiers:
            if m["type"] == "histosys":
                result[m["name"], "shape?" if m["name"] in both else "shape"][x.channel, x.process] = "1"
            elif m["type"] == "normsys":
                entry = f"{m['data']['lo']:.8g}/{m['data']['hi']:.8g}"
                result[m["name"], "shape?" if m["name"] in both else "lnN"][x.channel, x.process] = entry
    return result


def _rate_params(lines: list[_Line], bounds: Mapping[str, Sequence[float]], poi: str) -> list[str]:
    result, there = [], {(x.channel, x.process) for x in lines}
    for x in lines:
        region, letter = split_channel(x.channel)
        if any(m["type"] == "shapefactor" for m in x.modifiers):
            name = f"{x.process}_{region}"
            if letter in CONTROL:
                low, high = bounds[f"qcd_{ {'B': 'b', 'C': 'c', 'D': 's'}[letter] }_{region}"]
                result.append(f"{name}_{letter} rateParam {x.channel} {x.process} 1 [{low:g},{high:g}]")
            elif all((f"{region}_{other}", x.process) in there for other in CONTROL):
                arguments = ",".join(f"{name}_{other}" for other in CONTROL)
                result.append(f"{name}_A rateParam {x.channel} {x.process} (@0*@1/@2) {arguments}")
        for m in x.modifiers:
            if m["type"] == "normfactor" and m["name"] != poi:
                low, high = bounds.get(m["name"], (0, 10))
                result.append(f"{m['name']} rateParam {x.channel} {x.process} 1 [{low:g},{high:g}]")
    return result
