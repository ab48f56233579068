"""The layouts of PF candidates of AK8 jets in files: one table, `LAYOUTS`, with a row for each layout.

A row names the branches that must be there, what is derived from others, and what no branch has. The first row whose
branches are all there is the file's.

Sources: the branch documentation of PFNano (cms-opendata-analyses/PFNanoProducerTool), and of NanoAODv15 (CMSSW,
``jetConstituents_cff``, pull request 46012).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from oddjets.io.branches import FlatBranches

__all__ = [
    "LAYOUTS",
    "NOT_MEASURED",
    "WITHOUT_CANDIDATES",
    "CandidateColumns",
    "CandidateLayout",
    "ConstituentSource",
    "FlatColumn",
    "charges_of",
    "describe_misfits",
    "find_layout",
]

Integers = npt.NDArray[np.int64]

#: how constituents are found: ``index``: by the links that the file stores; ``reclustered``: jets are clustered again
ConstituentSource = Literal["index", "reclustered"]

_MOMENTUM = {"pt": "pt", "eta": "eta", "phi": "phi", "mass": "mass", "pdg_id": "pdgId"}
_IMPACT_PARAMETERS = {"d0": "d0", "d0_error": "d0Err", "dz": "dz", "dz_error": "dzErr"}
#: what CMS stores for the four impact parameters of a candidate without a track
NOT_MEASURED = -1.0

#: codes of CMS's candidates whose charge has the sign of the code, and those where it is the opposite (leptons)
_AS_CODE, _AGAINST_CODE = (211, 321, 2212), (11, 13, 15)
#: photons, neutral hadrons, and hadrons and photons of the forward calorimeter, which CMS calls 1 and 2; 0: unknown
_NEUTRAL = (0, 1, 2, 22, 111, 130, 310, 2112)


@dataclass(frozen=True)
class CandidateLayout:
    """One row: what a file of this layout has, and what becomes of the rest.

    Attributes:
        name: in the manifest and in messages.
        label: what people call such files.
        candidates: the collection of PF candidates; "": there is none.
        branches: quantity (as `oddjets.scoring.inputs.JetConstituents` has it) to its branch in that collection.
        links: the collection of links from AK8 jets to candidates; "": there is none.
        jet_index: branch of the links with the jet's place in its event.
        candidate_index: branch of the links with the candidate's place.
        derived: quantity without a branch to how it is found, for people.
        missing: quantities that nothing tells: each counts as not measured.
        weighted: whether pT and mass are multiplied by the PUPPI weight already.
    """

    name: str
    label: str
    candidates: str = ""
    branches: Mapping[str, str] = field(default_factory=dict, hash=False)
    links: str = ""
    jet_index: str = "jetIdx"
    candidate_index: str = ""
    derived: Mapping[str, str] = field(default_factory=dict, hash=False)
    missing: tuple[str, ...] = ()
    weighted: bool = False

    @property
    def source(self) -> ConstituentSource | None:
        """How the constituents of a jet are found; None: not at all."""
        if not self.candidates:
            return None
        return "index" if self.links else "reclustered"

    @property
    def required(self) -> tuple[str, ...]:
        """All branches that a file of this layout has, as in the file: ``PFCands_pt``."""
        links = (self.jet_index, self.candidate_index) if self.links else ()
        return (
            *(f"{self.candidates}_{name}" for name in self.branches.values()),
            *(f"{self.links}_{name}" for name in links),
        )

    def lacking(self, has: Callable[[str], bool]) -> list[str]:
        """Return which of its branches a file does not have.

        Args:
            has: whether the file has a branch of a name.
        """
        return [name for name in self.required if not has(name)]


_PFNANO: Mapping[str, Any] = {
    "candidates": "PFCands",
    "branches": {**_MOMENTUM, "charge": "charge", **_IMPACT_PARAMETERS, "puppi_weight": "puppiWeight"},
}
_V15: Mapping[str, Any] = {
    "candidates": "PFCand",
    "branches": _MOMENTUM,
    "derived": {
        "charge": "from pdgId",
        "puppi_weight": "1, since pT and mass are stored with the weight",
    },
    "missing": tuple(_IMPACT_PARAMETERS),
    "weighted": True,
}

#: of no candidates; no branch tells it from others, but that all branches of candidates are absent
WITHOUT_CANDIDATES = CandidateLayout("nanoaod", "NanoAOD without PF candidates")
#: tried in this order
LAYOUTS: tuple[CandidateLayout, ...] = (
    CandidateLayout("pfnano", "PFNano with allPF", links="FatJetPFCands", candidate_index="pFCandsIdx", **_PFNANO),
    CandidateLayout("nanoaod_v15", "NanoAODv15", links="FatJetPFCand", candidate_index="pfCandIdx", **_V15),
    CandidateLayout("pfnano_without_index", "PFNano without an index of constituents", **_PFNANO),
    CandidateLayout("nanoaod_v15_without_index", "NanoAODv15 without an index of constituents", **_V15),
    WITHOUT_CANDIDATES,
)


def find_layout(has: Callable[[str], bool]) -> CandidateLayout | None:
    """Return the row that fits a file.

    Args:
        has: whether the file has a branch of a name.

    Returns:
        The first row that lacks nothing; `WITHOUT_CANDIDATES` where there is no branch of candidates at all; None where
        there are some, and for no row enough: `describe_misfits` says what is lacking.
    """
    for row in LAYOUTS:
        if row.candidates and not row.lacking(has):
            return row
    some = any(has(f"{row.candidates}_{name}") for row in LAYOUTS for name in row.branches.values())
    return None if some else WITHOUT_CANDIDATES


def describe_misfits(has: Callable[[str], bool]) -> str:
    """Say which rows were tried for a file, and what it lacks for each.

    Args:
        has: whether the file has a branch of a name.
    """
    return "; ".join(
        f"{row.name} ({row.label}) lacks {', '.join(row.lacking(has)) or 'nothing'}"
        for row in LAYOUTS
        if row.candidates
    )


def charges_of(pdg_id: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Return the charges of CMS's PF candidates, in units of the proton's.

    Args:
        pdg_id: codes of CMS's candidates, any shape; 1 and 2 are hadrons and photons of the forward calorimeter there.

    Returns:
        The charges, 0 for a code that is not known; and where it is known. Both of the shape of the codes.
    """
    # 8 bits have no room for the codes of hadrons that this compares with
    codes = np.asarray(pdg_id).astype(np.int64)
    size = np.abs(codes)
    with_code, against = np.isin(size, _AS_CODE), np.isin(size, _AGAINST_CODE)
    charges = np.sign(codes) * (with_code.astype(np.int64) - against)
    return charges.astype(np.int32), with_code | against | np.isin(size, _NEUTRAL)


class FlatColumn(Protocol):
    """Values of candidates, which are read when they are asked for."""

    def __getitem__(self, positions: Integers | slice) -> npt.NDArray[Any]:
        """Return the values at flat positions over the events."""


class CandidateColumns(Mapping[str, FlatColumn]):
    """The quantities of the candidates of some events, whatever the layout: stored, derived or set as not measured.

    Args:
        events: a chunk.
        layout: the row of its file.
        rows: the events, rising rows of the chunk.

    Attributes:
        layout: the row.
        stored: the collection's own branches.
    """

    def __init__(self, events: Any, layout: CandidateLayout, rows: Integers) -> None:
        self.layout = layout
        self.stored = FlatBranches(events, layout.candidates, rows)
        self._codes: tuple[Any, npt.NDArray[Any]] = (None, np.empty(0, np.int32))

    def __getitem__(self, quantity: str) -> FlatColumn:
        if quantity == "pdg_id":
            return _Computed(self._pdg_id)
        if quantity in self.layout.branches:
            return self.stored[self.layout.branches[quantity]]
        if quantity == "charge":
            return _Computed(lambda positions: charges_of(self._pdg_id(positions))[0])
        if quantity == "puppi_weight":
            return _Computed(lambda positions: np.ones(self._size(positions), np.float32))
        return _Computed(lambda positions: np.full(self._size(positions), NOT_MEASURED, np.float32))

    def __iter__(self) -> Iterator[str]:
        return iter((*self.layout.branches, *self.layout.derived, *self.layout.missing))

    def __len__(self) -> int:
        return len(self.layout.branches) + len(self.layout.derived) + len(self.layout.missing)

    def _pdg_id(self, positions: Integers | slice) -> npt.NDArray[Any]:
        """Read the codes once, of which the charges may be made too."""
        if self._codes[0] is not positions:
            self._codes = (positions, self.stored[self.layout.branches["pdg_id"]][positions])
        return self._codes[1]

    def _size(self, positions: Integers | slice) -> int:
        if isinstance(positions, slice):
            return len(range(*positions.indices(int(self.stored.offsets[-1]))))
        return len(positions)


class _Computed:
    """A column that a function of positions gives."""

    def __init__(self, function: Callable[[Integers | slice], npt.NDArray[Any]]) -> None:
        self._function = function

    def __getitem__(self, positions: Integers | slice) -> npt.NDArray[Any]:
        return self._function(positions)
