"""Constituents of jets as a model's input tensors: pure functions on flat NumPy arrays.

A jet's constituents are rows ``offsets[j]`` to ``offsets[j + 1]`` of flat arrays. What the columns of the tensors hold
is said by the model card, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import delta_phi, offsets_from, positions, pt_eta_phi
from oddjets.scoring.model_card import Column, ModelCard, Species

__all__ = [
    "CANDIDATE_BRANCHES",
    "ConstituentIndex",
    "JetConstituents",
    "PreparedJets",
    "UnusualCounts",
    "count_unusual",
    "gather_constituents",
    "prepare",
    "take_constituents",
]

#: array of `JetConstituents` -> what PFNano calls it behind ``PFCands_``
CANDIDATE_BRANCHES = {
    "pt": "pt",
    "eta": "eta",
    "phi": "phi",
    "mass": "mass",
    "pdg_id": "pdgId",
    "charge": "charge",
    "d0": "d0",
    "d0_error": "d0Err",
    "dz": "dz",
    "dz_error": "dzErr",
    "puppi_weight": "puppiWeight",
}

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


class ConstituentIndex(NamedTuple):
    """The positions of the constituents of the wanted jets.

    Attributes:
        candidates: positions in the flat arrays of all candidates, grouped by wanted jet, shape (n_constituents,).
        offsets: shape (n_jets + 1,).
    """

    candidates: NDArray[np.int64]
    offsets: NDArray[np.int64]


class UnusualCounts(NamedTuple):
    """Counts of jets and constituents that a model treats in a special way.

    Attributes:
        jets: how many jets there were.
        without_constituents: jets with none (or none of positive weight): they have no score.
        truncated: jets with more constituents than the card's maximum: the softest are left out.
        ignored_constituents: constituents of exactly 1 GeV: their ln pT is 0, which the graph takes for padding.
    """

    jets: int
    without_constituents: int
    truncated: int
    ignored_constituents: int


@dataclass(frozen=True, eq=False)
class JetConstituents:
    """Jets and their constituents, as PFNano stores them.

    Attributes:
        offsets: shape (n_jets + 1,); the others with one value per constituent have shape (offsets[-1],).
        pt, mass: GeV, before PUPPI weights.
        eta, phi: pseudorapidity and azimuth (rad).
        pdg_id, charge: of the candidate; charge in units of the proton's.
        d0, d0_error, dz, dz_error: impact parameters and their errors, cm; a negative error means no track.
        puppi_weight: between 0 and 1.
        jet_eta, jet_phi: the jets' axes, shape (n_jets,).
    """

    offsets: NDArray[np.int64]
    pt: Floats
    eta: Floats
    phi: Floats
    mass: Floats
    pdg_id: Integers
    charge: Integers
    d0: Floats
    d0_error: Floats
    dz: Floats
    dz_error: Floats
    puppi_weight: Floats
    jet_eta: Floats
    jet_phi: Floats

    def __post_init__(self) -> None:
        n_jets = len(self.offsets) - 1
        if n_jets < 0 or self.offsets[0] != 0 or np.any(np.diff(self.offsets) < 0):
            raise ValueError("offsets must start at 0 and never decrease")
        for name in CANDIDATE_BRANCHES:
            if (shape := getattr(self, name).shape) != (self.offsets[-1],):
                raise ValueError(f"{name} has shape {shape}, and the offsets end at {self.offsets[-1]}")
        for name in ("jet_eta", "jet_phi"):
            if (shape := getattr(self, name).shape) != (n_jets,):
                raise ValueError(f"{name} has shape {shape} for {n_jets} jets")

    @property
    def n_jets(self) -> int:
        """How many jets there are."""
        return len(self.offsets) - 1


def gather_constituents(
    *,
    jet_index: Integers,
    candidate_index: Integers,
    links_per_event: Integers,
    candidates_per_event: Integers,
    event_rows: Integers,
    wanted_jets: Integers,
    link: str = "FatJetPFCands_pFCandsIdx",
) -> ConstituentIndex:
    """Find the constituents of some jets through the links that PFNano stores.

    Links to other jets, or to none (a negative index), do not matter.

    Args:
        jet_index: ``FatJetPFCands_jetIdx``, the jet's place in its event, flat over the events.
        candidate_index: ``FatJetPFCands_pFCandsIdx``, the candidate's place in its event, flat likewise.
        links_per_event: ``nFatJetPFCands``, shape (n_events,).
        candidates_per_event: ``nPFCands``, shape (n_events,).
        event_rows: the events of the wanted jets, shape (n_jets,).
        wanted_jets: their places in the event's unselected jets, shape (n_jets,).
        link: what the file calls the candidate's place, for messages.

    Returns:
        Positions in the flat arrays of all candidates, in the order of the links.

    Raises:
        OddjetsError: the counts don't fit the arrays, or a wanted jet links to a candidate that its event lacks.
    """
    link_offsets, candidate_offsets = offsets_from(links_per_event), offsets_from(candidates_per_event)
    n_events = len(links_per_event)
    if not len(jet_index) == len(candidate_index) == link_offsets[-1] or len(candidates_per_event) != n_events:
        raise OddjetsError(
            f"{link}: {len(jet_index)} places of jets and {len(candidate_index)} of candidates, where the counts of "
            f"{n_events} events add up to {link_offsets[-1]}: these arrays are not of the same events"
        )
    rows, places = np.asarray(event_rows, np.int64), np.asarray(wanted_jets, np.int64)
    if len(rows) and (rows.min() < 0 or rows.max() >= n_events or places.min() < 0):
        raise ValueError("event_rows and wanted_jets must point into the events")

    # one number per (event, jet): links of a jet become neighbours by a stable sort, and wanted jets are looked up
    linked = np.asarray(jet_index, np.int64)
    stride = 1 + max(int(linked.max(initial=0)), int(places.max(initial=0)))
    key = np.repeat(np.arange(n_events), links_per_event) * stride + linked
    key[linked < 0] = -1
    order = np.argsort(key, kind="stable")
    wanted = rows * stride + places
    first, last = (np.searchsorted(key[order], wanted, side=side) for side in ("left", "right"))
    counts = last - first
    within = np.asarray(candidate_index, np.int64)[order[positions(first, counts)]]
    event = np.repeat(rows, counts)
    wrong = np.flatnonzero((within < 0) | (within >= np.asarray(candidates_per_event)[event]))
    if len(wrong):
        i = wrong[0]
        raise OddjetsError(
            f"{link}: {len(wrong)} links of selected jets point outside their event; the first in an "
            f"event that has {candidates_per_event[event[i]]} candidates and a link to number {within[i]}: the file is "
            "damaged or its candidates were filtered"
        )
    return ConstituentIndex(candidate_offsets[event] + within, offsets_from(counts))


def take_constituents(
    index: ConstituentIndex, branches: Mapping[str, Any], jet_eta: Floats, jet_phi: Floats
) -> JetConstituents:
    """Pick the constituents of the wanted jets out of the arrays of all candidates.

    Args:
        index: from `gather_constituents`.
        branches: flat arrays of all candidates, or what gives their values when indexed by positions, by the names in
            `CANDIDATE_BRANCHES` (``pt``, ``pdgId``, ...).
        jet_eta: the wanted jets' pseudorapidity, shape (n_jets,).
        jet_phi: the wanted jets' azimuth in rad, shape (n_jets,).

    Returns:
        The jets with their constituents.
    """
    columns = {name: branches[branch][index.candidates] for name, branch in CANDIDATE_BRANCHES.items()}
    return JetConstituents(offsets=index.offsets, jet_eta=np.asarray(jet_eta), jet_phi=np.asarray(jet_phi), **columns)


@dataclass(frozen=True, eq=False)
class PreparedJets:
    """Jets whose constituents are chosen, sorted and transformed; `tensors` pads them.

    Attributes:
        offsets: shape (n_jets + 1,).
        columns: input name -> shape (n_constituents, n_columns), or (n_constituents,) for an input without columns.
        unusual: what happened on the way.
    """

    offsets: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    unusual: UnusualCounts

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many constituents the model sees of each jet, shape (n_jets,)."""
        return np.diff(self.offsets)

    def tensors(self, jets: NDArray[np.int64], length: int) -> dict[str, NDArray[Any]]:
        """Build the model's inputs for some of the jets.

        Args:
            jets: which, shape (B,).
            length: M, at least the largest number of constituents among them.

        Returns:
            Input name -> shape (B, M, n_columns) or (B, M), zero beyond a jet's last constituent.
        """
        place = np.arange(length)
        padding = place >= self.counts[jets][:, np.newaxis]
        # taking whole rows, and padding too, costs a quarter of what finding the places of constituents does
        source = np.where(padding, 0, self.offsets[jets][:, np.newaxis] + place)
        result = {}
        for name, values in self.columns.items():
            taken = (
                values.take(source, axis=0)
                if len(values)
                else np.zeros((*source.shape, *values.shape[1:]), values.dtype)
            )
            taken[padding] = 0
            result[name] = taken
        return result


def prepare(jets: JetConstituents, card: ModelCard) -> PreparedJets:
    """Choose, sort and transform the constituents of jets as a model card says.

    Constituents without positive (weighted) pT are dropped. The rest are sorted by descending pT, ties in the order
    given, and cut at the card's maximum. Arithmetic is in float64; only the results are rounded.

    Args:
        jets: the jets.
        card: the model card.

    Returns:
        The model's input values, not yet padded.

    Raises:
        OddjetsError: an input is not finite.
    """
    weighted = card.constituents.puppi == "weighted"
    weight = _weight(jets, card)
    pt = np.asarray(jets.pt, np.float64) * weight
    if not np.isfinite(pt).all():
        raise OddjetsError(f"PFCands: {np.count_nonzero(~np.isfinite(pt))} constituents have a pT that is not finite")
    row = np.repeat(np.arange(jets.n_jets), np.diff(jets.offsets))

    kept = np.flatnonzero(pt > 0)
    kept = kept[np.lexsort((-pt[kept], row[kept]))]
    counts = np.bincount(row[kept], minlength=jets.n_jets)
    axis = (jets.jet_eta, jets.jet_phi) if weighted else _axis(jets, kept, row)
    place = positions(0, counts)
    kept = kept[place < card.constituents.maximum]
    counts = np.minimum(counts, card.constituents.maximum)

    quantities = _Quantities(jets, kept, row[kept], weight[kept], axis, card.species)
    columns: dict[str, NDArray[Any]] = {}
    for tensor in card.inputs:
        values = np.stack([quantities.column(column) for column in tensor.columns], axis=-1).astype(tensor.dtype)
        if not np.isfinite(values).all():
            bad = {c.quantity: int(np.count_nonzero(~np.isfinite(values[:, i]))) for i, c in enumerate(tensor.columns)}
            listed = ", ".join(f"{quantity} ({count})" for quantity, count in bad.items() if count)
            raise OddjetsError(f"constituents of jets have values that are not finite: {listed}")
        columns[tensor.name] = values if len(tensor.shape) == 3 else values[:, 0]
    return PreparedJets(offsets_from(counts), columns, count_unusual(jets, card))


def count_unusual(jets: JetConstituents, card: ModelCard) -> UnusualCounts:
    """Count jets and constituents that a model treats in a special way; fast compared with `prepare`.

    Args:
        jets: the jets.
        card: the model card.
    """
    pt = np.asarray(jets.pt, np.float64) * _weight(jets, card)
    # how many have a pT, up to each
    seen = offsets_from(pt > 0)[jets.offsets]
    counts = np.diff(seen)
    logarithm = any((c.quantity, c.transform) == ("pt", "log") for tensor in card.inputs for c in tensor.columns)
    return UnusualCounts(
        jets.n_jets,
        int(np.count_nonzero(counts == 0)),
        int(np.count_nonzero(counts > card.constituents.maximum)),
        int(np.count_nonzero(pt == 1)) if logarithm else 0,
    )


def _weight(jets: JetConstituents, card: ModelCard) -> NDArray[np.float64]:
    """Return the factor on the momentum of each constituent, as the card says."""
    weighted = card.constituents.puppi == "weighted"
    return np.asarray(jets.puppi_weight, np.float64) if weighted else np.ones(len(jets.pt))


def _axis(jets: JetConstituents, kept: NDArray[np.int64], row: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return pseudorapidity and azimuth of each jet's summed candidates, without PUPPI weights."""
    pt, eta, phi = (np.asarray(a, np.float64)[kept] for a in (jets.pt, jets.eta, jets.phi))
    sums = [
        np.bincount(row[kept], component, minlength=jets.n_jets).astype(np.float64)  # integers where there is no jet
        for component in (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
    ]
    _, eta_axis, phi_axis = pt_eta_phi(np.stack(sums, axis=-1))
    return eta_axis, phi_axis


class _Quantities:
    """The quantities that a card can name, for constituents already chosen and sorted."""

    def __init__(
        self,
        jets: JetConstituents,
        kept: NDArray[np.int64],
        row: NDArray[np.int64],
        weight: NDArray[np.float64],
        axis: tuple[Floats, Floats],
        species: Species | None,
    ) -> None:
        self._values = {name: np.asarray(getattr(jets, name), np.float64)[kept] for name in CANDIDATE_BRANCHES}
        self._axis = [np.asarray(a, np.float64)[row] for a in axis]
        self._weight = weight
        self._species = species

    def column(self, column: Column) -> NDArray[Any]:
        """Compute one column, in float64 before any rounding, shape (n_constituents,)."""
        transforms: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {"log": np.log, "tanh": np.tanh}
        values = self._quantity(column.quantity)
        return transforms[column.transform](values) if column.transform in transforms else values

    def _quantity(self, name: str) -> NDArray[Any]:
        v = self._values
        match name:
            case "d_eta":
                return v["eta"] - self._axis[0]
            case "d_phi":
                return np.asarray(delta_phi(v["phi"], self._axis[1]))
            case "pt":
                return v["pt"] * self._weight
            case "energy":
                # not that of `momenta`, which rounds otherwise
                return np.hypot(v["pt"] * np.cosh(v["eta"]), v["mass"]) * self._weight
            case "species":
                assert self._species is not None  # the card's validation
                return species_index(v["pdg_id"], v["charge"], self._species)
            case _:
                # d0, dz and their errors: meaningless for neutral candidates and for charged ones without track
                # details; CMS writes -1 for all four, models are trained with zeros
                measured = (v["charge"] != 0) & (v["d0_error"] >= 0) & (v["dz_error"] >= 0)
                return np.where(measured, v[name], 0.0)


def species_index(pdg_id: NDArray[Any], charge: NDArray[Any], species: Species) -> NDArray[np.int64]:
    """Look up the index that a model embeds for each particle.

    Args:
        pdg_id: PDG codes, shape (n,).
        charge: charges, shape (n,); only the sign matters.
        species: the card's table.

    Returns:
        Indices into ``species.codes``, shape (n,).
    """
    place = {code: i for i, code in enumerate(species.codes)}
    charged = np.where(charge > 0, place[species.other_charged], place[-species.other_charged])
    index = np.where(charge == 0, place[species.other_neutral], charged)
    known = {code: code for code in species.codes} | species.substitutes
    for code, counts_as in known.items():
        index[pdg_id == code] = place[counts_as]
    return index
