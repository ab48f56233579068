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
from oddjets.scoring import inputs
from oddjets.selection import reclustering

__all__ = ["read_pair_constituents"]

Integers = npt.NDArray[np.int64]

_KINEMATICS = ("pt", "eta", "phi", "mass", "puppi_weight")
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
    source = nanoaod_schema.constituent_source(lambda name: nanoaod_schema.has(events, [name]))
    if source is None:
        raise InputFileError(
            f"{nanoaod_schema.location_of(events)}: no PF candidates (branch 'PFCands_pt'), so a score with a model card cannot"
            " be computed: this is NanoAOD or another PFNano than allPF; use a score from branches of FatJet, or make"
            " PFNano with allPF"
        )
    candidates = FlatBranches(events, "PFCands", rows)
    numbers = np.repeat(np.arange(len(rows)), 2)
    n_jets = np.asarray(ak.num(events.FatJet, axis=1), np.int64)[rows]
    if source == "index":
        links = FlatBranches(events, "FatJetPFCands", rows)
        jet_index, candidate_index = (
            nanoaod_schema.whole_numbers(events, f"FatJetPFCands_{inner}", links[inner][:]).astype(np.int64)
            for inner in ("jetIdx", "pFCandsIdx")
        )
        outside = (jet_index >= np.repeat(n_jets, links.counts)) | (jet_index < -1)
        anomalies["links_to_no_jet"] += int(np.count_nonzero(outside))
        try:
            index = inputs.gather_constituents(
                jet_index=np.where(outside, -1, jet_index),
                candidate_index=candidate_index,
                links_per_event=links.counts,
                candidates_per_event=candidates.counts,
                event_rows=numbers,
                wanted_jets=pair.ravel(),
            )
        except OddjetsError as error:
            raise InputFileError(f"{nanoaod_schema.location_of(events)}: {error}") from None
    else:
        momenta = {name: candidates[inputs.CANDIDATE_BRANCHES[name]][:] for name in _KINEMATICS}
        all_eta, all_phi = (
            nanoaod_schema.flatten(nanoaod_schema.field(events, "FatJet", name)[rows]) for name in ("eta", "phi")
        )
        offsets = offsets_from(n_jets)
        index, unmatched = reclustering.constituents_of(
            reclustering.FlatCandidates(**momenta, offsets=candidates.offsets),
            all_eta,
            all_phi,
            offsets,
            numbers,
            pair.ravel(),
        )
        anomalies["jets_not_reclustered"] += unmatched
    return _drop_non_finite(inputs.take_constituents(index, candidates, eta.ravel(), phi.ravel()), anomalies)


def _drop_non_finite(jets: inputs.JetConstituents, anomalies: Counter[str]) -> inputs.JetConstituents:
    """Drop constituents without a finite momentum; impact parameters that are not finite count as not measured."""
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
