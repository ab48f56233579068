"""The constituents of the two leading jets: by the file's index, or by clustering again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.kinematics import offsets_from
from oddjets.io import nanoaod_schema
from oddjets.io.branches import FlatBranches
from oddjets.io.layouts import CandidateColumns, CandidateLayout, charges_of, describe_misfits, find_layout
from oddjets.scoring import inputs
from oddjets.selection import objects, reclustering

__all__ = ["drop_non_finite", "read_pair_constituents"]

Integers = npt.NDArray[np.int64]

_KINEMATICS = ("pt", "eta", "phi", "mass", "puppi_weight")
#: part of a jet's pT within which its constituents add up to it; of 58 jets of a real file, the farthest is 0.2 % away
_AGREEMENT = 0.02
_IMPACT_PARAMETERS = ("d0", "d0_error", "dz", "dz_error")


def read_pair_constituents(
    events: Any,
    rows: Integers,
    pair: Integers,
    eta: npt.NDArray[np.floating],
    phi: npt.NDArray[np.floating],
    anomalies: Counter[str],
) -> inputs.JetConstituents:
    """Read the constituents of the jets of pairs; nothing else of the candidates is kept.

    Args:
        events: the chunk.
        rows: its events that are wanted, rising.
        pair: places of their two jets in FatJet, shape (rows, 2).
        eta: pseudorapidities of these jets, shape (rows, 2).
        phi: azimuths of these jets, shape (rows, 2).
        anomalies: counts what was odd and dealt with (`oddjets.selection.input_anomalies`).

    Returns:
        Jets 1 and 2 of the first event, then of the next.

    Raises:
        InputFileError: the file has no PF candidates, or its index is no integer or points outside of them.
    """
    layout = _require_layout(events)
    candidates = CandidateColumns(events, layout, rows)
    find = _find_by_links if layout.source == "index" else _find_by_clustering
    index = find(events, rows, pair, candidates, anomalies)
    jets = inputs.JetConstituents(
        offsets=index.offsets,
        jet_eta=eta.ravel(),
        jet_phi=phi.ravel(),
        **{name: candidates[name][index.candidates] for name in inputs.CANDIDATE_BRANCHES},
    )
    _count_substitutes(layout, jets, anomalies)
    jets = drop_non_finite(jets, anomalies)
    if layout.weighted:
        _compare_with_jets(events, rows, pair, jets, anomalies)
    return jets


def _require_layout(events: Any) -> CandidateLayout:
    """Return the row of the table that fits the chunk's file, which must have candidates."""

    def has(name: str) -> bool:
        return nanoaod_schema.has(events, [name])

    layout = find_layout(has)
    if layout is None:
        raise InputFileError(
            f"{nanoaod_schema.location_of(events)}: no known layout of PF candidates: {describe_misfits(has)}",
            cause="missing branch",
        )
    if layout.source is None:
        raise InputFileError(
            f"{nanoaod_schema.location_of(events)}: no PF candidates (branch 'PFCands_pt'), so a score with a model card cannot"
            " be computed: this is NanoAOD or another PFNano than allPF; use a score from branches of FatJet, or make"
            " PFNano with allPF"
        )
    return layout


def _find_by_links(
    events: Any, rows: Integers, pair: Integers, candidates: CandidateColumns, anomalies: Counter[str]
) -> inputs.ConstituentIndex:
    """Find constituents by the links that the file stores."""
    layout = candidates.layout
    links = FlatBranches(events, layout.links, rows)
    jet_index, candidate_index = (
        nanoaod_schema.whole_numbers(events, f"{layout.links}_{inner}", links[inner][:]).astype(np.int64)
        for inner in (layout.jet_index, layout.candidate_index)
    )
    n_jets = np.asarray(ak.num(events.FatJet, axis=1), np.int64)[rows]
    outside = (jet_index >= np.repeat(n_jets, links.counts)) | (jet_index < -1)
    anomalies["links_to_no_jet"] += int(np.count_nonzero(outside))
    try:
        return inputs.gather_constituents(
            jet_index=np.where(outside, -1, jet_index),
            candidate_index=candidate_index,
            links_per_event=links.counts,
            candidates_per_event=candidates.stored.counts,
            event_rows=np.repeat(np.arange(len(rows)), 2),
            wanted_jets=pair.ravel(),
            link=f"{layout.links}_{layout.candidate_index}",
        )
    except OddjetsError as error:
        raise InputFileError(f"{nanoaod_schema.location_of(events)}: {error}") from None


def _find_by_clustering(
    events: Any, rows: Integers, pair: Integers, candidates: CandidateColumns, anomalies: Counter[str]
) -> inputs.ConstituentIndex:
    """Find constituents by clustering all candidates of the events."""
    everything = slice(None)
    all_eta, all_phi = (
        nanoaod_schema.flatten(nanoaod_schema.field(events, "FatJet", name)[rows]) for name in ("eta", "phi")
    )
    index, unmatched = reclustering.constituents_of(
        reclustering.FlatCandidates(
            **{name: candidates[name][everything] for name in _KINEMATICS}, offsets=candidates.stored.offsets
        ),
        all_eta,
        all_phi,
        offsets_from(np.asarray(ak.num(events.FatJet, axis=1), np.int64)[rows]),
        np.repeat(np.arange(len(rows)), 2),
        pair.ravel(),
    )
    anomalies["jets_not_reclustered"] += unmatched
    return index


def _count_substitutes(layout: CandidateLayout, jets: inputs.JetConstituents, anomalies: Counter[str]) -> None:
    """Count the constituents whose quantities no branch has."""
    if layout.missing:
        anomalies["impact_parameters_not_stored"] += len(jets.pt)
    if "charge" in layout.derived:
        anomalies["charges_not_stored"] += len(jets.pt)
        anomalies["charges_not_known"] += int(np.count_nonzero(~charges_of(jets.pdg_id)[1]))


def _compare_with_jets(
    events: Any, rows: Integers, pair: Integers, jets: inputs.JetConstituents, anomalies: Counter[str]
) -> None:
    """Count jets whose constituents add up to another pT than that of the jet before its corrections.

    NanoAODv15 that was made again of Run 2 and of 2022-23 stored, until October 2025, candidates with the PUPPI weights of the
    MiniAOD file beside jets with new ones (CMSSW, pull requests 49137 to 49139).
    """
    stored = nanoaod_schema.collection(events, "FatJet")
    if "rawFactor" not in stored.fields:
        anomalies["jets_not_compared"] += 2 * len(rows)
        return
    raw = objects.take_pair((stored["pt"] * (1 - stored["rawFactor"]))[rows], pair).ravel().astype(np.float64)
    owner = np.repeat(np.arange(jets.n_jets), np.diff(jets.offsets))
    pt, phi = (np.asarray(values, np.float64) for values in (jets.pt, jets.phi))
    x, y = (np.bincount(owner, part, minlength=jets.n_jets) for part in (pt * np.cos(phi), pt * np.sin(phi)))
    anomalies["jets_unlike_constituents"] += int(np.count_nonzero(~(np.abs(np.hypot(x, y) - raw) <= _AGREEMENT * raw)))


def drop_non_finite(jets: inputs.JetConstituents, anomalies: Counter[str]) -> inputs.JetConstituents:
    """Drop constituents without a finite momentum; impact parameters that are not finite count as not measured.

    Args:
        jets: with their constituents.
        anomalies: both are counted.
    """
    values = {name: getattr(jets, name) for name in inputs.CANDIDATE_BRANCHES}
    measured = np.all([np.isfinite(values[name]) for name in _IMPACT_PARAMETERS], axis=0)
    if not measured.all():
        anomalies["impact_parameters_not_finite"] += int(np.count_nonzero(~measured))
        values |= {name: np.where(measured, values[name], -1).astype(values[name].dtype) for name in _IMPACT_PARAMETERS}
    kept = np.all([np.isfinite(values[name]) for name in _KINEMATICS], axis=0)
    if kept.all():
        return replace(jets, **values)
    anomalies["constituents_not_finite"] += int(np.count_nonzero(~kept))
    offsets = offsets_from(kept)[jets.offsets]
    return replace(jets, offsets=offsets, **{name: value[kept] for name, value in values.items()})
