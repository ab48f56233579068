"""CMS Combine cards of workspaces: ``datacard.txt``, ``shapes.root`` and, with the changes, ``combine_report.json``.

QCD in an ABCD region becomes one process per bin, each with its own ``rateParam`` in B, C and D and the formula B C / D in A,
as the authors' code does it; the histograms contain the nominal yields, so that all parameters are 1 at the start.

The models of HistFactory and Combine differ slightly:

- Shapes: pyhf interpolates each bin's yield (polynomial of sixth order inside one sigma, straight lines outside). Combine
  splits a shape variation into its normalisation, a log-normal, and the normalised shape, morphed vertically.
- Log-normals: pyhf joins the two exponentials by a polynomial inside one sigma, Combine by another smooth function; for
  ``lo = 1/hi`` they differ by less than a per mille.
- Statistical uncertainties of templates: here the background's and the signal's gammas scale their yields, with
  constant relative errors. Combine's ``autoMCStats`` has one parameter a bin for all processes together; its absolute
  error is the quadratic sum of the processes' errors, each scaled as its process is at the moment (strength, rateParams,
  log-normals).
- Templates: text2workspace.py stops at a template without events ("bogus norm"). So an empty variation of a template that
  is not empty is floored at `FLOOR` events, a process without events in a channel is left out there, with its variations, and
  negative bins are set to zero. All changes are listed in the report and at the top of the card.
- The factors' bounds: here they are on s, b and c with B = s b; in the card on B, C and D themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hist
import numpy as np
import uproot

from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.stats.fitted_yields import split_channel

__all__ = ["card_changes", "write_card"]

#: total events given to a variation without events, in the shape of the nominal template
FLOOR = 1e-5
#: fraction of the nominal template's events below which a variation counts as empty
EMPTY_FRACTION = 1e-12
#: the letters whose yields predict the yield in A
CONTROL = ("B", "C", "D")


class _Line(NamedTuple):
    """One process of one channel in the card."""

    channel: str
    process: str
    nominal: np.ndarray
    variance: np.ndarray
    modifiers: list[dict[str, Any]]


def write_card(
    workspace: Mapping[str, Any],
    folder: Path,
    edges: Mapping[str, Sequence[float]] | None = None,
    variances: Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray]] | None = None,
    cells: Mapping[str, Collection[str]] | None = None,
) -> list[Path]:
    """Write a workspace as a Combine card.

    Args:
        workspace: of `workspace.build`.
        folder: where to write.
        edges: bin edges by region; None: bin numbers.
        variances: variances of the varied templates, from `workspace.varied_variances`; without them, the relative
            errors are those of the nominal template.
        cells: region -> its product cells, for the head of the card.

    Returns:
        The files, ``datacard.txt``, ``shapes.root`` and ``combine_report.json`` (see `card_changes`).

    Raises:
        OddjetsError: a free template outside of an ABCD region, a bin that is not finite, or no events at all.
    """
    changes: list[dict[str, Any]] = []
    lines = [line for channel in workspace["channels"] for line in _lines(channel, changes)]
    if not lines:
        raise OddjetsError(
            "no process of the workspace has events in any channel, so there is nothing to write to a card"
        )
    there = {(line.channel, line.process) for line in lines}
    changes += [
        {"change": "held", "channel": line.channel, "process": line.process}
        for line in lines
        if split_channel(line.channel)[1] == "A" and _free(line) and not _has_controls(line, there)
    ]
    data = {o["name"]: np.asarray(o["data"], dtype=float) for o in workspace["observations"]}
    folder.mkdir(parents=True, exist_ok=True)
    shapes, card, report = folder / "shapes.root", folder / "datacard.txt", folder / "combine_report.json"
    with uproot.recreate(shapes) as file:
        for channel, values in data.items():
            at = (edges or {}).get(split_channel(channel)[0], range(len(values) + 1))
            file[f"{channel}/data_obs"] = _histogram(values, values, at)
            for line in (x for x in lines if x.channel == channel):
                file[f"{channel}/{line.process}"] = _histogram(line.nominal, line.variance, at)
                for m in line.modifiers:
                    if m["type"] == "histosys":
                        known = (variances or {}).get((channel, line.process, m["name"]))
                        for i, (key, side) in enumerate((("hi_data", "Up"), ("lo_data", "Down"))):
                            varied = np.asarray(m["data"][key], dtype=float)
                            spread = _scaled(line, varied) if known is None else known[i]
                            file[f"{channel}/{line.process}_{m['name']}{side}"] = _histogram(varied, spread, at)
    descriptions = card_changes(changes)
    write_json(report, {"changes": changes})
    descriptions += [
        f"region {r}: the sum of its product cells {', '.join(names)}" for r, names in (cells or {}).items()
    ]
    card.write_text("\n".join(_card(workspace, lines, data, descriptions)) + "\n", encoding="utf-8")
    return [card, shapes, report]


def card_changes(changes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe each difference between a workspace and its card in one line.

    Args:
        changes: from ``combine_report.json``: ``change`` is ``floored`` (a variation without events), ``negative`` (bins that
            became zero), ``left_out`` (a process without events in a channel) or ``held`` (QCD of a bin in A that
            B, C and D do not scale), with channel, process and, where there is one, nuisance parameter and side.
    """
    words = {
        "floored": f"has no events and is set to {FLOOR:g} events in total",
        "negative": "has negative bins, which are set to zero in the card",
        "left_out": "has no events and is omitted there, with its variations",
        "held": "keeps its nominal yield: B, C or D has no yield, so there is no factor to scale it",
    }
    return [
        f"{c['process']} in {c['channel']}"
        + (f", {c['nuisance']}{c['side']}" if "nuisance" in c else "")
        + f" {words[c['change']]}"
        for c in changes
    ]


def _scaled(line: _Line, varied: np.ndarray) -> np.ndarray:
    """Return the variance of a variation with the relative errors of its nominal template."""
    there = line.nominal > 0
    return np.where(there, line.variance * (varied / np.where(there, line.nominal, 1.0)) ** 2, 0.0)


def _histogram(values: np.ndarray, variances: np.ndarray, edges: Sequence[float]) -> Any:
    result = hist.Hist(hist.axis.Variable(list(edges), name="x"), storage=hist.storage.Weight())
    view = result.view()
    view["value"], view["variance"] = values, variances
    return result


def _lines(channel: dict[str, Any], changes: list[dict[str, Any]]) -> list[_Line]:
    result = []
    for sample in channel["samples"]:
        place = {"channel": channel["name"], "process": sample["name"]}
        nominal = _bins(sample["data"], place, changes)
        if not nominal.any():
            changes.append({"change": "left_out", **place})
            continue
        free = [m for m in sample["modifiers"] if m["type"] == "shapefactor"]
        stat = next((np.asarray(m["data"]) for m in sample["modifiers"] if m["type"] == "staterror"), 0 * nominal)
        if not free:
            modifiers = [_normalisable(m, nominal, place, changes) for m in sample["modifiers"]]
            result.append(_Line(channel["name"], sample["name"], nominal, stat**2, modifiers))
            continue
        if not split_channel(channel["name"])[1]:
            raise OddjetsError(
                f"channel '{channel['name']}', sample '{sample['name']}': a free template outside of an ABCD region "
                "(channels REGION_A to REGION_D) has no counterpart in the card"
            )
        others = [m for m in sample["modifiers"] if m["type"] != "shapefactor"]
        for i in np.flatnonzero(nominal > 0):
            one = np.where(np.arange(len(nominal)) == i, nominal, 0.0)
            own = [_of_bin(m, int(i), float(nominal[i])) for m in others]
            result.append(_Line(channel["name"], f"{sample['name']}_bin{i}", one, 0 * one, [*own, *free]))
    return result


def _of_bin(modifier: dict[str, Any], i: int, nominal: float) -> dict[str, Any]:
    """Return a modifier of one bin that is a process of its own: of a shape its part there, as a log-normal."""
    if modifier["type"] != "histosys":
        return modifier
    high, low = (float(modifier["data"][key][i]) / nominal for key in ("hi_data", "lo_data"))
    return {"name": modifier["name"], "type": "normsys", "data": {"hi": high, "lo": low}}


def _bins(values: Sequence[float], place: Mapping[str, Any], changes: list[dict[str, Any]]) -> np.ndarray:
    """Return the bins of a template, negative ones set to zero."""
    bins = np.asarray(values, dtype=float)
    if not np.isfinite(bins).all():
        i = int(np.flatnonzero(~np.isfinite(bins))[0])
        where = ", ".join(str(value) for value in place.values())
        raise OddjetsError(f"{where}: bin {i} is {bins[i]}; every bin of a template in a card must be a finite number")
    if (bins < 0).any():
        changes.append({"change": "negative", **place, "bins": np.flatnonzero(bins < 0).tolist()})
    return np.asarray(np.maximum(bins, 0.0))


def _normalisable(
    modifier: dict[str, Any], nominal: np.ndarray, place: Mapping[str, Any], changes: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return a shape variation that Combine can normalise; other modifiers unchanged."""
    if modifier["type"] != "histosys":
        return modifier
    data = {}
    for key, side in (("hi_data", "Up"), ("lo_data", "Down")):
        here = {**place, "nuisance": modifier["name"], "side": side}
        varied = _bins(modifier["data"][key], here, changes)
        # so small a yield is a rounding error of subtractions, and its shape is meaningless
        if varied.sum() <= EMPTY_FRACTION * nominal.sum():
            changes.append({"change": "floored", **here, "floor": FLOOR})
            varied = nominal * (FLOOR / nominal.sum())
        data[key] = varied.tolist()
    return {**modifier, "data": data}


def _card(
    workspace: Mapping[str, Any], lines: list[_Line], data: Mapping[str, np.ndarray], changes: Sequence[str]
) -> list[str]:
    config = workspace["measurements"][0]["config"]
    parameters = {p["name"]: p for p in config["parameters"]}
    signals = {x.process for x in lines for m in x.modifiers if m["name"] == config["poi"]}
    names = sorted({x.process for x in lines}, key=lambda name: (name not in signals, name))
    number = {name: k - len(signals) + 1 for k, name in enumerate(names)}
    width = max(len(x.process) for x in lines) + 2
    nuisances = _nuisances(lines)
    text = [
        "# written by oddjets; what Combine treats differently from HistFactory is in the documentation of the fit",
        f"# parameter of interest: {config['poi']} (Combine's r)",
        *(f"# {change}" for change in changes),
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
    return [*text, *_rate_params(lines, parameters, config["poi"]), "* autoMCStats 0 1 1"]


def _row(title: str, cells: list[str], width: int) -> str:
    return f"{title:<40} " + " ".join(f"{cell:<{width}}" for cell in cells).rstrip()


def _nuisances(lines: list[_Line]) -> dict[tuple[str, str], dict[tuple[str, str], str]]:
    """Return (nuisance, Combine's type) -> (channel, process) -> its entry."""
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


def _rate_params(lines: list[_Line], parameters: Mapping[str, Mapping[str, Any]], poi: str) -> list[str]:
    """Return the lines of the free factors, with their initial values and ranges in the workspace."""
    result, there = [], {(x.channel, x.process) for x in lines}

    def start_and_range(name: str) -> str:
        known = parameters.get(name, {})
        low, high = known.get("bounds", [(0, 10)])[0]
        return f"{known.get('inits', [1.0])[0]:g} [{low:g},{high:g}]"

    for x in lines:
        region, letter = split_channel(x.channel)
        if _free(x):
            name = f"{x.process}_{region}"
            if letter in CONTROL:
                factor = f"qcd_{ {'B': 'b', 'C': 'c', 'D': 's'}[letter] }_{region}"
                result.append(f"{name}_{letter} rateParam {x.channel} {x.process} {start_and_range(factor)}")
            elif _has_controls(x, there):
                arguments = ",".join(f"{name}_{other}" for other in CONTROL)
                result.append(f"{name}_A rateParam {x.channel} {x.process} (@0*@1/@2) {arguments}")
        for m in x.modifiers:
            if m["type"] == "normfactor" and m["name"] != poi:
                result.append(f"{m['name']} rateParam {x.channel} {x.process} {start_and_range(m['name'])}")
    return result


def _free(line: _Line) -> bool:
    return any(m["type"] == "shapefactor" for m in line.modifiers)


def _has_controls(line: _Line, there: Collection[tuple[str, str]]) -> bool:
    """Return whether B, C and D all have the process, so that their factors give the one in A."""
    region, _ = split_channel(line.channel)
    return all((f"{region}_{other}", line.process) in there for other in CONTROL)
