"""Selection of jets, leptons and triggers: pure functions on the arrays of a chunk."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.config.selection import JetSelection, LeptonSelection
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.io import nanoaod_schema

__all__ = [
    "count_leptons",
    "finite_jets",
    "good_jets",
    "leading_pair",
    "out_of_range",
    "passes_filters",
    "score_of_branches",
    "take_pair",
    "trigger_decisions",
    "truth_columns",
]

#: column of the event table -> branch of FatJet: the heaviest quark of the jet's hadrons, 5, 4 or 0 (NanoAOD)
TRUTH_BRANCHES = {"flavour": "hadronFlavour"}

Mask = npt.NDArray[np.bool_]


def good_jets(jets: Any, selection: JetSelection) -> Any:
    """Return which AK8 jets may enter the pair: |eta| and tight ID. No cut on pT, which variations move.

    Args:
        jets: the FatJet collection, jagged.
        selection: the cuts.

    Returns:
        A jagged boolean array.
    """
    mask = abs(jets.eta) < selection.eta_max
    if selection.tight_id:
        # NanoAOD: bit 1 is the tight ID
        mask = mask & ((jets.jetId & 2) != 0)
    return mask


def out_of_range(index: npt.NDArray[np.int64], values: Any) -> Mask:
    """Return which positions in a jagged branch are none of their event's, nor the -1 of no match.

    Args:
        index: shape (events, n).
        values: the branch, jagged.

    Returns:
        Of the index's shape.
    """
    return np.asarray((index < -1) | (index >= np.asarray(ak.num(values, axis=1))[:, None]))


def finite_jets(jets: Any) -> Any:
    """Return which AK8 jets have a finite momentum and finite masses: others cannot be ranked.

    Args:
        jets: the FatJet collection, jagged.

    Returns:
        A jagged boolean array.
    """
    finite = np.isfinite(jets["pt"])
    for name in ("eta", "phi", "mass", "msoftdrop"):
        finite = finite & np.isfinite(jets[name])
    return finite


def leading_pair(pt: Any, good: Any) -> npt.NDArray[np.int64]:
    """Return the positions of the two good jets of highest pT.

    Args:
        pt: jagged, GeV.
        good: jagged booleans.

    Returns:
        Shape (events, 2): positions in the event's list, leading first; -1 where there is no such jet. Equal pT keep
        the order of the file.
    """
    # below any pT that a correction may leave, and no jet is taken beyond the good ones
    order = ak.argsort(ak.where(good, pt, -np.inf), axis=1, ascending=False, stable=True)
    enough = ak.sum(good, axis=1)
    first_two: npt.NDArray[np.int64] = ak.to_numpy(ak.fill_none(ak.pad_none(order, 2, axis=1, clip=True), -1)).astype(
        np.int64
    )
    first_two[np.asarray(enough)[:, None] <= np.arange(2)[None, :]] = -1
    return first_two


def take_pair(values: Any, pair: npt.NDArray[np.int64], missing: float = np.nan) -> npt.NDArray[Any]:
    """Take a jagged branch at the pair's positions, or at any others, which never reach into another event.

    Args:
        values: jagged, one value a jet.
        pair: shape (events, 2), from `leading_pair`, or an index that the file stores.
        missing: where there is no jet: a negative position, or one beyond the event's list.

    Returns:
        Shape (events, 2).
    """
    offsets = nanoaod_schema.offsets_of(values)
    flat = nanoaod_schema.flatten(values)
    out = np.full(pair.shape, missing, dtype=np.result_type(flat.dtype, np.float32))
    present = (pair >= 0) & (pair < np.diff(offsets)[:, None])
    out[present] = flat[(offsets[:-1, None] + pair)[present]]
    return out


def truth_columns(events: Any, jets: Any) -> dict[str, Any]:
    """Return the generator truth of simulated jets that a file has, jagged; none of data.

    Args:
        events: a chunk with its metadata.
        jets: the FatJet collection, jagged.
    """
    if events.metadata["is_data"]:
        return {}
    return {stem: jets[branch] for stem, branch in TRUTH_BRANCHES.items() if branch in jets.fields}


def score_of_branches(values: Mapping[str, npt.NDArray[np.float64]], signal: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the part of the signal's branches in the sum of all, such as Xbb / (Xbb + QCD).

    Args:
        values: branch to its values, all of one shape; those that are not in ``signal`` are the background's.
        signal: which branches are the numerator.

    Returns:
        The ratio; 0 where the sum is not positive (taggers that were not evaluated store -1), NaN where it is not finite.
    """
    numerator = np.sum([values[name] for name in signal], axis=0)
    total = np.sum(list(values.values()), axis=0)
    with np.errstate(invalid="ignore"):
        ratio = np.divide(numerator, total, out=np.zeros_like(total), where=total > 0)
    return np.where(np.isfinite(total), ratio, np.nan)


def trigger_decisions(events: Any, paths: Sequence[str], *, required: bool = True) -> dict[str, Mask]:
    """Return the decisions of those HLT paths that the file has.

    Args:
        events: a chunk.
        paths: names without ``HLT_``.
        required: whether a file may have none of them.

    Returns:
        Path to decisions; an absent path is not in it (its decision is False).

    Raises:
        InputFileError: the file has none of the required paths, so that their OR means nothing; or one is no decision.
    """
    menu = events["HLT"].fields if "HLT" in events.fields else []
    present = [path for path in paths if path in menu]
    if required and paths and not present:
        hint = (
            f"its menu has {len(menu)} paths; for 'HLT_{paths[0]}': {nearest(paths[0], menu)}"
            if menu
            else "it has none, or it was read with a schema that does not group branches by name"
        )
        place = nanoaod_schema.location_of(events)
        raise InputFileError(f"{place}: none of the {len(paths)} trigger paths is in this file; {hint}")
    return {path: nanoaod_schema.flags(events, "HLT", path) for path in present}


def passes_filters(events: Any, filters: Iterable[str]) -> Mask:
    """Return the AND of event filters.

    Raises:
        InputFileError: a filter is absent from the file, or no decision.
    """
    passed = np.ones(len(events), dtype=bool)
    for name in filters:
        passed &= nanoaod_schema.flags(events, "Flag", name)
    return passed


_COMPARISON = re.compile(r"^(\w+)\s*(>=|>|==)\s*(\d+)$")


def count_leptons(events: Any, name: str, selection: LeptonSelection) -> npt.NDArray[np.int64]:
    """Count the muons or electrons that veto an event.

    Args:
        events: a chunk.
        name: ``Muon`` or ``Electron``.
        selection: pT, eta, ID and isolation.

    Returns:
        Shape (events,).

    Raises:
        InputFileError: the file lacks a branch that the selection needs.
        OddjetsError: the identification is neither a branch nor a comparison such as ``cutBased>=3``.
    """
    pt, eta = nanoaod_schema.field(events, name, "pt"), nanoaod_schema.field(events, name, "eta")
    mask = (pt > selection.pt_min) & (abs(eta) < selection.eta_max)
    if selection.identification is not None:
        comparison = _COMPARISON.match(selection.identification)
        if comparison:
            values, level = nanoaod_schema.field(events, name, comparison[1]), int(comparison[3])
            mask = mask & {">=": values >= level, ">": values > level, "==": values == level}[comparison[2]]
        elif selection.identification.isidentifier():
            mask = mask & (nanoaod_schema.field(events, name, selection.identification) != 0)
        else:
            raise OddjetsError(
                f"selection: identification '{selection.identification}' is neither a branch nor a comparison"
                " such as 'cutBased>=3'"
            )
    if selection.isolation is not None:
        mask = mask & (nanoaod_schema.field(events, name, selection.isolation) < selection.isolation_max)
    return np.asarray(ak.sum(mask, axis=1)).astype(np.int64)
