"""Files of the layout of Aspen Open Jets (`oddjets.io.aspen`) from PFNano, as their makers made them from CMS's data.

The traps of the published files are made too: at most 150 constituents in the order of the links, momenta without PUPPI
weights, one row a jet with up to five jets an event, and numbers that are not finite. In which columns the published files have
these is not stated anywhere; here they are in ``d0Err`` and ``dzErr`` of charged constituents, and in taggers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from oddjets.core.errors import InputFileError, nearest
from oddjets.core.kinematics import momenta, positions
from oddjets.io import aspen
from oddjets.scoring.inputs import gather_constituents

__all__ = ["jets_of_pfnano", "write_aspen"]

Array = npt.NDArray[Any]

#: of charged constituents and of jets, how many get a number that is not finite
NOT_FINITE = 1e-3
#: bits of jetId: tight, and tight with lepton veto
_TIGHT = 6
_EVENTS = 5000
#: branches of FatJet in the order of `aspen.TAG_COLUMNS`; one that a file does not have is 0
_TAGS = (
    "nConstituents", "tau1", "tau2", "tau3", "tau4", "particleNet_H4qvsQCD", "particleNet_HbbvsQCD", "particleNet_HccvsQCD",
    "particleNet_QCD", "particleNet_TvsQCD", "particleNet_WvsQCD", "particleNet_ZvsQCD", "mass",
)  # fmt: skip
_CANDIDATES = ("pt", "eta", "phi", "mass", "d0", "d0Err", "dz", "dzErr", "charge", "pdgId", "puppiWeight")
_NEEDED = (
    "run", "luminosityBlock", "event",
    *(f"FatJet_{name}" for name in ("pt", "eta", "phi", "msoftdrop", "jetId")),
    *(f"FatJetPFCands_{name}" for name in ("jetIdx", "pFCandsIdx")),
    *(f"PFCands_{name}" for name in _CANDIDATES),
)  # fmt: skip


def write_aspen(
    files: Sequence[Path], path: Path, *, simulated: bool, seed: int = 1, inject: Mapping[str, float] | None = None
) -> int:
    """Write the jets of PFNano files as one file of the layout.

    Args:
        files: with `FatJetPFCands`; where they have trigger paths, one of them must have fired, and all event filters passed.
        path: the HDF5 file.
        simulated: said in the file.
        seed: of the choice of the numbers that are not finite.
        inject: strengths of simulated processes, likewise.

    Returns:
        The number of jets.

    Raises:
        InputFileError: a file lacks a branch.
    """
    rng = np.random.default_rng(seed)
    pieces = (piece for file in files for piece in _pieces(file, rng))
    return aspen.write_file(path, pieces, simulated=simulated, inject=inject)


def _pieces(file: Path, rng: np.random.Generator) -> Iterator[dict[str, Array]]:
    with uproot.open(file) as opened:
        tree = opened["Events"]
        branches = set(tree.keys())
        lacking = [name for name in _NEEDED if name not in branches]
        if lacking:
            raise InputFileError(
                f"{file}: no branch '{lacking[0]}', which files of Aspen Open Jets are made from;"
                f" {nearest(lacking[0], branches)}",
                cause="missing branch",
            )
        decisions = [name for name in branches if name.startswith(("HLT_", "Flag_"))]
        tags = [f"FatJet_{name}" for name in _TAGS if f"FatJet_{name}" in branches]
        for events in tree.iterate([*_NEEDED, *decisions, *tags], step_size=_EVENTS):
            yield _spoiled(jets_of_pfnano(events), rng)


def jets_of_pfnano(events: Any) -> dict[str, Array]:
    """Return the rows that some events make, without numbers that are not finite.

    Args:
        events: flat and jagged branches of PFNano, by their names.

    Returns:
        Key to rows, as in `aspen.SHAPES`.
    """
    n = len(events)
    passed = _any(events, "HLT_", np.ones(n, dtype=bool))
    for name in (name for name in events.fields if name.startswith("Flag_")):
        passed &= ak.to_numpy(events[name])
    jets = {name: events[f"FatJet_{name}"] for name in ("pt", "eta", "phi", "msoftdrop", "jetId")}
    good = (jets["pt"] > aspen.LOWEST_PT) & (abs(jets["eta"]) < aspen.HIGHEST_ETA) & (jets["jetId"] == _TIGHT) & passed
    place = ak.local_index(good)[good][:, : aspen.JETS_PER_EVENT]
    counts = ak.to_numpy(ak.num(place))
    rows, places = np.repeat(np.arange(n), counts), ak.to_numpy(ak.flatten(place)).astype(np.int64)

    def of_jets(name: str) -> Array:
        if f"FatJet_{name}" not in events.fields:
            return np.zeros(len(places), np.float32)
        return np.asarray(ak.to_numpy(ak.flatten(events[f"FatJet_{name}"][place])), np.float32)

    identity = np.stack([ak.to_numpy(events[name]).astype(np.int64)[rows] for name in aspen.EVENT_COLUMNS], axis=1)
    return {
        "event_info": identity,
        "jet_kinematics": np.stack([of_jets(name) for name in ("pt", "eta", "phi", "msoftdrop")], axis=1),
        "PFCands": _candidates(events, rows, places),
        "jet_tagging": np.stack([of_jets(name) for name in _TAGS], axis=1),
    }


def _any(events: Any, prefix: str, default: Array) -> Array:
    paths = [name for name in events.fields if name.startswith(prefix)]
    return np.any([ak.to_numpy(events[name]) for name in paths], axis=0) if paths else default


def _candidates(events: Any, rows: Array, places: Array) -> Array:
    """Return the constituents of jets in the order of the links, cut at the places that there are."""
    links = {name: events[f"FatJetPFCands_{name}"] for name in ("jetIdx", "pFCandsIdx")}
    index = gather_constituents(
        jet_index=ak.to_numpy(ak.flatten(links["jetIdx"])).astype(np.int64),
        candidate_index=ak.to_numpy(ak.flatten(links["pFCandsIdx"])).astype(np.int64),
        links_per_event=ak.to_numpy(ak.num(links["jetIdx"])),
        candidates_per_event=ak.to_numpy(ak.num(events["PFCands_pt"])),
        event_rows=rows,
        wanted_jets=places,
    )
    counts = np.diff(index.offsets)
    within = positions(0, counts)
    kept = within < aspen.MOST_CONSTITUENTS
    chosen, row, column = index.candidates[kept], np.repeat(np.arange(len(places)), counts)[kept], within[kept]
    flat = {name: ak.to_numpy(ak.flatten(events[f"PFCands_{name}"]))[chosen] for name in _CANDIDATES}
    found = np.zeros((len(places), *aspen.SHAPES["PFCands"]), np.float32)
    found[row, column, :4] = momenta(*(flat[name] for name in _CANDIDATES[:4]))
    found[row, column, 4:] = np.stack([flat[name] for name in _CANDIDATES[4:]], axis=1)
    return found


def _spoiled(piece: dict[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Put numbers that are not finite into a piece, in place."""
    candidates, tags = piece["PFCands"], piece["jet_tagging"]
    charged = np.argwhere(candidates[:, :, 8] != 0)
    hit = charged[rng.random(len(charged)) < NOT_FINITE]
    candidates[hit[:, 0], hit[:, 1], 5], candidates[hit[:, 0], hit[:, 1], 7] = np.inf, np.inf
    tags[rng.random(len(tags)) < NOT_FINITE, 5] = np.inf
    tags[rng.random(len(tags)) < NOT_FINITE, 6] = np.nan
    return piece
