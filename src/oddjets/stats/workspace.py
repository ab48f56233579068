"""Construction of pyhf workspaces from histograms: channels, templates, ABCD by shared shapefactors, uncertainties.

The choices made, all of them visible in the workspace or in its report:

- ABCD. Per bin, three shapefactors shared between a region's channels: s in A, B, C and D; b in A and B; c in A and C. With
  the nominal BC/D in A, the relation A = B C / D holds for every value of the factors.
- QCD's nominal template in B, C and D is data minus simulation, not below `QCD_FLOOR` events (the floor moves only
  the starting point: the factors are free). With ``mode: authors-code`` see `qcd_of_authors_code`.
- Luminosity is a log-normal named ``lumi`` on every simulated process, log-normals have ``lo = 1/hi``. If it has parts,
  ``lumi_LABEL``, each scales the events of the eras that have it.
- Negative bins of simulated templates, nominal or varied, are set to zero and reported; nothing is rescaled.
- A variation of a bin that is empty at nominal is left out: interpolated, it would be negative on one side.
- A variation that equals its nominal is kept, so that no uncertainty is dropped silently.
- Templates without any event in a channel are left out there and reported.
- With ``abcd: structural`` QCD in A of a union of products is B C / D times the closure's structural constant, whose error is
  a log-normal ``structural_REGION``. With ``abcd: cells`` a union has channels for each of its product cells, ``REGION_CELL_A``
  and so on, with factors s, b and c of their own; see `abcd_cells`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from oddjets.config.analysis import Analysis
from oddjets.config.fit import LETTERS, Fit
from oddjets.core.errors import OddjetsError, nearest
from oddjets.io.histograms import DATA
from oddjets.io.yields import RegionYields
from oddjets.stats.abcd_cells import merged_cells, with_merged_cells
from oddjets.stats.absorption import absorbed_events
from oddjets.stats.cell_bins import channels_of, shown_edges
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.closure_uncertainty import ClosureUncertainty, closure_modifiers
from oddjets.stats.qcd_templates import initial_strengths, qcd_of_authors_code, qcd_templates, unclipped
from oddjets.stats.templates import Template, read_templates, total_of

__all__ = ["build", "sample_of", "varied_variances"]

#: the lists of the report
_LISTS = (
    "floored",
    "negative",
    "left_out",
    "mirrored",
    "one_sided",
    "large",
    "smoothed",
    "capped",
    "blinded",
    "warnings",
)
#: QCD may grow to this many times (data + 5 standard deviations) in each bin
BOUND_MARGIN = 10.0
#: standard deviations of data above itself that QCD's bounds reach at least
BOUND_SIGMAS = 5.0
#: the factors that act on each letter
ABCD_FACTORS = {"A": "sbc", "B": "sb", "C": "sc", "D": "s"}
#: the range of the QCD factors in the authors' code (OmniLearnedAD)
AUTHORS_RANGE = [0.0, 5.0]
AUTHORS_WARNING = (
    "mode authors-code: the range [0, 5] acts on s, b and c, where the authors' acts on D = s, B = s b and C = s c "
    "(only datacard.txt can express that, not a HistFactory workspace); the fits differ if a factor ends at 5, see at_bounds"
)

Report = dict[str, Any]


def build(
    analysis: Analysis,
    histograms: RegionYields,
    closure: Mapping[str, ClosureUncertainty] | None = None,
    structural: Mapping[str, StructuralFactor] | None = None,
) -> tuple[dict[str, Any], Report]:
    """Build the workspace of an analysis.

    Args:
        analysis: the analysis; its `fit` section defines regions, observable and parameters of interest.
        histograms: the templates and data, normalised to the luminosity.
        closure: relative uncertainties of the data-driven yield in A by region (see
            `closure_uncertainty.closure_uncertainties`), added as log-normals ``closure_REGION``, or bin by bin as
            ``closure_REGION_K`` (`closure_bins.binned_uncertainties`); None: no such uncertainty.
        structural: structural constants of the regions that are unions (see `closure_parts.structural_factors`), which
            ``abcd: structural`` needs.

    Returns:
        A schema-valid pyhf workspace with one measurement, and a report: ``edges`` by region,
        ``floored`` and ``negative`` bins, ``left_out`` templates, ``one_sided`` and ``large`` variations, which were
        ``smoothed`` and ``capped`` (if the YAML says so), variations ``mirrored`` because one direction is missing, ``blinded``
        regions, the ``cells`` of regions with their merged bins, the ``structural`` factors, the ``closure_uncertainty`` of
        each region and its source, the events of the signal that BC/D would
        have ``absorbed``, and ``warnings``.

    Raises:
        OddjetsError: no 'fit' section in the YAML, regions that share events, a region without data, no data for ABCD, a signal
            without events, NaN.
    """
    fit = analysis.fit
    if fit is None:
        raise OddjetsError(
            f"{analysis.path or analysis.name}: no 'fit' section; it defines observable, regions and poi"
        )
    if DATA not in histograms.variations:
        raise OddjetsError("the histograms hold no data: the fit needs data, or pseudo-data, in every region")
    _refuse_shared_events(fit, histograms)
    report: Report = {
        **{key: [] for key in _LISTS},
        "edges": {},
        "absorbed": {},
        **({"structural": {region: used._asdict() for region, used in structural.items()}} if structural else {}),
        "closure_uncertainty": {region: used._asdict() for region, used in (closure or {}).items()},
    }
    report["warnings"] += [
        f"the closure uncertainty of {region}, {used.size:.1%}, is not from the closure of simulation at the "
        f"threshold, {used.why}, but from: {used.source}"
        if used.fallback
        else f"the closure uncertainty of {region} is {used.size:.1%}: {used.why}"
        for region, used in (closure or {}).items()
        if used.fallback or used.why
    ]
    if fit.mode == "authors-code" and analysis.data_driven:
        report["warnings"].append(AUTHORS_WARNING)
    if fit.abcd == "structural" and structural is None:
        raise OddjetsError(
            "fit.abcd: 'structural' needs the structural constants of the closure: run `oddjets closure` first"
        )
    if fit.abcd == "cells":
        histograms, report["cells"] = with_merged_cells(analysis, histograms)
        report["warnings"] += merged_cells(report["cells"])
    processes = [p for p in analysis.processes if p != analysis.data_driven and p in histograms.variations]
    signals = {poi.process: poi for poi in fit.pois}
    if len(signals) < len(fit.pois):
        twice = next(p.process for p in fit.pois if signals[p.process] is not p)
        raise OddjetsError(
            f"fit.poi: two parameters of interest scale '{twice}'; the data cannot distinguish them, keep one"
        )
    for name in signals:
        if name not in processes:
            raise OddjetsError(f"fit.poi.process: no simulated process '{name}'; {nearest(name, processes)}")
    channels, observations, parameters = [], [], _common_parameters(fit)
    seen: set[str] = set()
    letters: tuple[str, ...] = LETTERS
    for whole, region in [(name, channel) for name in fit.regions for channel in channels_of(analysis, name)]:
        edges = histograms.edges(region, fit.observable)
        report["edges"][region] = edges.tolist()
        templates = {
            letter: read_templates(analysis, histograms, region, letter, processes, report) for letter in letters
        }
        with_data = letters[1:] if fit.blind else letters
        data = {letter: histograms.values(region, fit.observable, DATA, letter) for letter in with_data}
        _check_data(region, data, analysis.data_driven)
        qcd: dict[str, np.ndarray] = {}
        if analysis.data_driven and fit.mode == "authors-code":
            backgrounds = [p for p in processes if p not in signals]
            qcd = qcd_of_authors_code(region, data, unclipped(histograms, region, fit.observable, backgrounds), report)
        elif analysis.data_driven:
            qcd = qcd_templates(region, data, templates, initial_strengths(fit), report)
        factor = (structural or {}).get(whole) if qcd and fit.abcd == "structural" else None
        by_structure = factor.value if factor is not None else 1.0
        if qcd:
            qcd["A"] = by_structure * qcd["A"]
        if fit.blind:
            background = qcd.get("A")
            if qcd and fit.mode != "authors-code":
                # the model without signal takes the signal of B, C and D for QCD: so a fit finds the strength 0
                alone = qcd_templates(region, data, templates, dict.fromkeys(signals, 0.0), {"floored": []})
                background = by_structure * alone["A"]
            data = {"A": _asimov(templates["A"], signals, background, len(edges) - 1), **data}
            report["blinded"] += [whole] if whole not in report["blinded"] else []
        _check_signal_region(region, data["A"], templates["A"], qcd.get("A"))
        if qcd:
            _add_absorbed(report["absorbed"].setdefault(whole, {}), _absorbed(data, templates, signals))
            parameters += _qcd_parameters(region, data, qcd, fit)
        for letter in letters:
            samples = [sample_of(t, region, letter, analysis, signals) for t in templates[letter]]
            if qcd:
                samples.append(_qcd_sample(str(analysis.data_driven), region, letter, qcd[letter]))
                if letter == "A" and factor is not None:
                    samples[-1]["modifiers"].append(_lognormal(f"structural_{whole}", factor.error / factor.value))
                if letter == "A" and closure is not None:
                    samples[-1]["modifiers"] += closure_modifiers(whole, closure[whole], qcd["A"].tolist())
            channels.append({"name": f"{region}_{letter}", "samples": samples})
            observations.append({"name": f"{region}_{letter}", "data": data[letter].tolist()})
            seen |= {t.process for t in templates[letter]}
    for region, groups in report.get("cells", {}).items():
        report["edges"][region] = shown_edges(groups, histograms.edges(region, fit.observable).tolist())
    for poi in fit.pois:
        if poi.process not in seen:
            raise OddjetsError(
                f"nothing depends on the parameter of interest '{poi.name}': "
                f"its process '{poi.process}' has no event in any region of the fit ({', '.join(fit.regions)})"
            )
    measurement = {"name": analysis.name, "config": {"poi": fit.pois[0].name, "parameters": parameters}}
    return {
        "channels": channels,
        "observations": observations,
        "measurements": [measurement],
        "version": "1.0.0",
    }, report


def _refuse_shared_events(fit: Fit, histograms: RegionYields) -> None:
    """Refuse regions that are not statistically independent, as the product of their Poisson probabilities assumes."""
    pairs = {pair: n for pair, n in histograms.shared_events.items() if {*pair} <= {*fit.regions}}
    if pairs:
        said = ", ".join(f"{one} and {other} share {n}" for (one, other), n in pairs.items())
        one, other = next(iter(pairs))
        raise OddjetsError(
            f"fit.regions: {said} events of data and simulation, which the fit would count twice; add 'not {other}' to the"
            f" cuts of {one}, or leave one of the two out of the fit"
        )


def varied_variances(
    analysis: Analysis, histograms: RegionYields
) -> dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]:
    """Return the sums of squared weights of the varied templates, for the Combine card; a workspace cannot contain them.

    Args:
        analysis: with a fit.
        histograms: as for `build`.

    Returns:
        (channel, process, nuisance parameter) -> sums of squared weights of the templates at +1 and at -1, (bins,) each.
    """
    assert analysis.fit is not None
    if analysis.fit.abcd == "cells":
        histograms, _ = with_merged_cells(analysis, histograms)
    processes = [p for p in analysis.processes if p != analysis.data_driven and p in histograms.variations]
    unused_report: Report = {key: [] for key in _LISTS}
    return {
        (f"{region}_{letter}", template.process, name): both
        for whole in analysis.fit.regions
        for region in channels_of(analysis, whole)
        for letter in LETTERS
        for template in read_templates(analysis, histograms, region, letter, processes, unused_report)
        for name, both in template.shape_variances.items()
    }


def _common_parameters(fit: Fit) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = [
        {"name": poi.name, "bounds": [list(poi.bounds)], "inits": [float(np.clip(poi.init, *poi.bounds))]}
        for poi in fit.pois
    ]
    if fit.scale_factor is not None:
        result.append({"name": "sf", "bounds": [list(fit.scale_factor.bounds)], "inits": [fit.scale_factor.init]})
    return result


def _check_data(region: str, data: Mapping[str, np.ndarray], data_driven: str | None) -> None:
    counts = {letter: float(values.sum()) for letter, values in data.items()}
    if "A" in counts and not any(counts.values()):
        raise OddjetsError(
            f"region '{region}' is empty: no data event in any of its letters A, B, C, D; "
            "remove it from fit.regions, or loosen its cuts"
        )
    for letter in "BCD":
        if data_driven and not counts[letter]:
            raise OddjetsError(
                f"region '{region}' is empty in {letter}: without data there, A = B C / D does not predict {data_driven}; "
                "remove the region from fit.regions, or use a looser threshold"
            )


def _check_signal_region(region: str, data: np.ndarray, templates: Sequence[Template], qcd: np.ndarray | None) -> None:
    expected = total_of(templates, len(data)).sum() + (0.0 if qcd is None else qcd.sum())
    if data.sum() == 0 and expected == 0:
        raise OddjetsError(
            f"region '{region}' is empty in A: no data event and none expected; "
            "remove it from fit.regions, or use a looser threshold"
        )


def _asimov(templates: Sequence[Template], signals: Mapping[str, Any], qcd: np.ndarray | None, size: int) -> np.ndarray:
    """Return the background-only expectation in A, which replaces data in a blinded fit."""
    background = total_of([t for t in templates if t.process not in signals], size)
    return background if qcd is None else background + qcd


def _qcd_parameters(
    region: str, data: Mapping[str, np.ndarray], qcd: Mapping[str, np.ndarray], fit: Fit
) -> list[dict[str, Any]]:
    result = []
    for factor, letter in (("s", "D"), ("b", "B"), ("c", "C")):
        n, nominal = data[letter], qcd[letter]
        reach = (n + BOUND_SIGMAS * np.sqrt(n + 1)) / np.where(nominal > 0, nominal, 1.0)
        bounds = (
            [AUTHORS_RANGE] * len(n)
            if fit.mode == "authors-code"
            else [[0.0, float(BOUND_MARGIN * max(1.0, high))] for high in reach]
        )
        result.append({"name": f"qcd_{factor}_{region}", "bounds": bounds, "inits": [1.0] * len(n)})
    return result


def _qcd_sample(process: str, region: str, letter: str, nominal: np.ndarray) -> dict[str, Any]:
    modifiers = [{"name": f"qcd_{f}_{region}", "type": "shapefactor", "data": None} for f in ABCD_FACTORS[letter]]
    return {"name": process, "data": nominal.tolist(), "modifiers": modifiers}


def sample_of(
    template: Template, region: str, letter: str, analysis: Analysis, signals: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a template as a sample of a workspace's channel, with its modifiers.

    Args:
        template: a simulated process in a region and letter.
        region: the region.
        letter: the letter.
        analysis: with a fit.
        signals: process to its parameter of interest.
    """
    fit, process = analysis.fit, template.process
    assert fit is not None
    modifiers: list[dict[str, Any]] = []
    if process in signals:
        modifiers.append({"name": signals[process].name, "type": "normfactor", "data": None})
    if fit.scale_factor and process in fit.scale_factor.processes and letter in fit.scale_factor.letters:
        modifiers.append({"name": "sf", "type": "normfactor", "data": None})
    if isinstance(fit.luminosity_uncertainty, float) and fit.luminosity_uncertainty > 0:
        modifiers.append(_lognormal("lumi", fit.luminosity_uncertainty))
    modifiers += [
        {"name": name, "type": "normsys", "data": {"hi": high, "lo": low}}
        for name, (high, low) in template.scales.items()
        if high != 1
    ]
    for name, norm in fit.normalisations.items():
        if process in norm.processes and letter in norm.letters:
            modifiers.append(_lognormal(name, norm.size))
    for name, (up, down) in template.shapes.items():
        modifiers.append({"name": name, "type": "histosys", "data": {"hi_data": up.tolist(), "lo_data": down.tolist()}})
    group = f"_{process}" if process in signals else ""
    modifiers.append(
        {"name": f"mcstat{group}_{region}_{letter}", "type": "staterror", "data": np.sqrt(template.variance).tolist()}
    )
    return {"name": process, "data": template.nominal.tolist(), "modifiers": modifiers}


def _lognormal(name: str, size: float) -> dict[str, Any]:
    return {"name": name, "type": "normsys", "data": {"hi": 1 + size, "lo": 1 / (1 + size)}}


def _add_absorbed(total: dict[str, dict[str, float]], more: Mapping[str, dict[str, float]]) -> None:
    """Add what is absorbed in a cell to that of its region."""
    for process, found in more.items():
        before = total.get(process, {"events": 0.0, "signal_in_A": 0.0})
        total[process] = {**found, **{key: before[key] + found[key] for key in ("events", "signal_in_A")}}


def _absorbed(
    data: Mapping[str, np.ndarray], templates: Mapping[str, list[Template]], signals: Mapping[str, Any]
) -> dict[str, dict[str, float]]:
    """Return the signal that BC/D would count as QCD if it were not subtracted in B, C and D, at its nominal strength."""
    result = {}
    rest: dict[str, np.ndarray] = {}
    for x in "BCD":
        others = [t for t in templates[x] if t.process not in signals]
        rest[x] = data[x] - total_of(others, len(data[x]))
    for process, poi in signals.items():
        strength = float(np.clip(poi.init, *poi.bounds))
        signal: dict[str, np.ndarray] = {
            x: strength * total_of([t for t in templates[x] if t.process == process], len(data[x])) for x in "ABCD"
        }
        taken = absorbed_events(rest, signal).taken
        result[process] = {"events": float(taken.sum()), "signal_in_A": float(signal["A"].sum()), "strength": strength}
    return result
