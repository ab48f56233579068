"""Jet energy corrections and resolution smearing of AK8 jets.

pT, mass and soft-drop mass move by the same factor; the score and the subjettiness stay those of the stored
constituents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.core.kinematics import delta_r, positions
from oddjets.corrections import jet_resolution, lookups
from oddjets.corrections.lookups import Era
from oddjets.io import nanoaod_schema

__all__ = ["OFFICIAL_SMEARING", "REQUIRED_CORRECTIONS", "calibrated_jets"]

Array = npt.NDArray[np.float64]

#: step of `jet_corrections` -> the era's corrections that it uses
REQUIRED_CORRECTIONS: Mapping[str, tuple[str, ...]] = {
    "jec": ("jec", "jec_data"),
    "jer": ("jer_resolution", "jer_scale_factor"),
}
#: what `jer: official` uses besides
OFFICIAL_SMEARING = "jer_smear"

#: up to NanoAODv9, from v10 on, and in scouting files
_RHO = ("fixedGridRhoFastjetAll", "Rho_fixedGridRhoFastjetAll", "ScoutingRho_fixedGridRhoFastjetAll")
_RHO_NAMES = " or ".join(f"'{name}'" for name in _RHO)


def calibrated_jets(
    events: Any,
    era: Era,
    folder: Path,
    steps: Sequence[str],
    *,
    is_data: bool,
    official_smearing: bool = False,
    smearing_direction: str | None = None,
) -> Any:
    """Return the AK8 jets of a chunk after the steps that the analysis asks for.

    A correction that is not positive leaves a jet whose pT is not either, and one that is not finite a pT that is not: no
    pair has such jets.

    Args:
        events: a chunk.
        era: has the corrections named in `REQUIRED_CORRECTIONS`.
        folder: where the era's relative paths start.
        steps: ``jec``: raw pT times today's corrections, those of data for data; ``jer``: simulation is smeared, see
            `jet_resolution.hybrid_smearing`. None: the jets as stored.
        is_data: data is never smeared.
        official_smearing: by the era's `OFFICIAL_SMEARING`, the POG's JERSmear, with its own random numbers.
        smearing_direction: ``Up`` or ``Down``: with the resolution's scale factor moved by its uncertainty.

    Raises:
        InputFileError: a branch that a step needs is missing.
        NotFiniteError: an input of a correction is not finite in an event with two jets.
        OddjetsError: the era lacks a correction.
    """
    jets = nanoaod_schema.collection(events, "FatJet")
    steps = [step for step in steps if step == "jec" or not is_data]
    if not steps:
        return jets
    stored = _flat(events, "pt")
    columns = _columns(events, stored)
    if "jec" in steps:
        columns |= {"raw_factor": _flat(events, "rawFactor"), "area": _flat(events, "area")}
    factors = np.ones(len(stored))
    at = _correctable(events, columns)
    if "jec" in steps:
        columns["pt_raw"] = columns["pt"] * (1 - columns["raw_factor"])
        # nothing of such a jet is left to correct
        empty = np.isfinite(columns["pt_raw"][at]) & (columns["pt_raw"][at] <= 0)
        factors[at[empty]] = 0.0
        at = at[~empty]
        here = {name: array[at] for name, array in columns.items()}
        factor = _correction(era, folder, "jec_data" if is_data else "jec", here)
        factors[at] = here["pt_raw"] * factor / here["pt"]
    if "jer" in steps:
        at = at[np.isfinite(factors[at]) & (factors[at] > 0)]
        here = {name: array[at] for name, array in columns.items()}
        here["pt"] = here["pt"] * factors[at]
        here["gen_pt"], here["gen_distance"] = (array[at] for array in _generator_match(events))
        direction = {None: "nominal", "Up": "up", "Down": "down"}[smearing_direction]
        here["resolution"] = _correction(era, folder, "jer_resolution", here)
        here["scale_factor"] = _correction(era, folder, "jer_scale_factor", here, direction)
        smearing = _official_smearing(era, folder, here) if official_smearing else _built_in_smearing(here)
        factors[at] = factors[at] * smearing
    moved = ak.unflatten(factors, np.asarray(ak.num(jets, axis=1)))
    for name in ("pt", "mass", "msoftdrop"):
        nanoaod_schema.field(events, "FatJet", name)
        jets = ak.with_field(jets, jets[name] * moved, name)
    return jets


def _correctable(events: Any, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """Return which jets are corrected, of all: those without a finite momentum never enter a pair.

    Corrections refuse other inputs that are not finite, such as rho. Where an event has fewer than two jets they decide
    nothing: such jets are left as they are.
    """
    counts = np.asarray(ak.num(nanoaod_schema.collection(events, "FatJet"), axis=1))
    sound = np.all([np.isfinite(columns[name]) for name in ("pt", "eta", "phi")], axis=0) & (columns["pt"] > 0)
    event = np.repeat(np.arange(len(counts)), counts)
    matters = np.bincount(event[sound], minlength=len(counts))[event] >= 2
    finite = np.all([np.isfinite(array) for array in columns.values()], axis=0)
    return np.flatnonzero(sound & (matters | finite))


def _built_in_smearing(jets: Mapping[str, npt.NDArray[Any]]) -> Array:
    noise = jet_resolution.standard_normal(jets["run"], jets["luminosityBlock"], jets["event"], jets["position"], "jer")
    return jet_resolution.hybrid_smearing(
        jets["pt"], jets["gen_pt"], jets["gen_distance"], jets["resolution"], jets["scale_factor"], noise
    )


def _official_smearing(era: Era, folder: Path, jets: Mapping[str, npt.NDArray[Any]]) -> Array:
    matched = jet_resolution.is_matched(jets["pt"], jets["gen_pt"], jets["gen_distance"], jets["resolution"])
    # the file does not match jets: it scales where it is given a generator jet's pT, and smears where that is -1
    given = {**jets, "gen_pt": np.where(matched, jets["gen_pt"], -1.0)}
    # nor does it keep a far tail from turning a jet around
    return np.maximum(_correction(era, folder, OFFICIAL_SMEARING, given), 0.0)


def _flat(events: Any, name: str) -> Array:
    return nanoaod_schema.flatten(nanoaod_schema.field(events, "FatJet", name)).astype(np.float64)


def _columns(events: Any, pt: Array) -> dict[str, npt.NDArray[Any]]:
    """Return the inputs of the corrections for each jet, flat; identifiers and rho are those of its event."""
    counts = np.asarray(ak.num(nanoaod_schema.collection(events, "FatJet"), axis=1))
    rho = next((name for name in _RHO if nanoaod_schema.has(events, [name])), None)
    if rho is None:
        raise InputFileError(
            f"{nanoaod_schema.location_of(events)}: no branch {_RHO_NAMES}, which jet corrections need"
        )
    of_event = nanoaod_schema.identifiers(events)
    of_event["rho"] = np.asarray(nanoaod_schema.branch(events, rho), dtype=np.float64)
    columns = {name: np.repeat(values, counts) for name, values in of_event.items()}
    # numbers from 1, in the order of the file, which no correction changes
    columns["position"] = positions(1, counts)
    return columns | {"pt": pt, "eta": _flat(events, "eta"), "phi": _flat(events, "phi")}


def _correction(
    era: Era, folder: Path, name: str, columns: Mapping[str, npt.NDArray[Any]], direction: str = "nominal"
) -> Array:
    if name not in era.corrections:
        raise OddjetsError(f"era '{era.name}' has no correction '{name}'; {nearest(name, era.corrections)}")
    spec = era.corrections[name]
    variation = {"nominal": spec.nominal, "up": spec.up, "down": spec.down}[direction]
    return lookups.lookup(era, folder, spec, columns, variation)


def _generator_match(events: Any) -> tuple[Array, Array]:
    """Return pT (GeV) of each jet's generator jet and the distance to it; NaN where there is none."""
    for branch in ("FatJet_genJetAK8Idx", "GenJetAK8_pt", "GenJetAK8_eta", "GenJetAK8_phi"):
        nanoaod_schema.branch(
            events, branch
        )  # smearing without a match everywhere would be another resolution: an error
    index = nanoaod_schema.flatten(nanoaod_schema.indices(events, "FatJet", "genJetAK8Idx"))
    event = np.repeat(np.arange(len(events)), np.asarray(ak.num(events["FatJet"], axis=1)))
    offsets = nanoaod_schema.offsets_of(events["GenJetAK8"]["pt"])
    matched = (index >= 0) & (index < np.diff(offsets)[event])
    place = (offsets[event] + index)[matched]

    def of_match(name: str) -> Array:
        values = np.full(len(index), np.nan)
        values[matched] = nanoaod_schema.flatten(events["GenJetAK8"][name])[place]
        return values

    eta, phi = _flat(events, "eta"), _flat(events, "phi")
    return of_match("pt"), delta_r(eta, phi, of_match("eta"), of_match("phi"))
