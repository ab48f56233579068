"""Groups of a jet's constituents: by prong, by species, by displacement, and the softest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import momenta
from oddjets.inspection.displays import displacement, species_of
from oddjets.inspection.prongs import MOST_PRONGS, NO_PRONG, Z_CUT, find_prongs
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents
from oddjets.scoring.model_card import ModelCard

__all__ = [
    "ALL_TRACKS",
    "KINDS",
    "OUTSIDE",
    "SPECIES",
    "Action",
    "Group",
    "Kind",
    "RemovalPlan",
    "find_groups",
    "seen_constituents",
    "weighted_pt",
]

Kind = Literal["prong", "species", "displacement", "softest"]
Action = Literal["removed", "reset"]
KINDS: tuple[Kind, ...] = ("prong", "species", "displacement", "softest")
#: what particle flow tells apart, as in displays
SPECIES = ("charged hadron", "neutral hadron", "photon", "electron", "muon")
#: what soft drop dropped
OUTSIDE = "outside the prongs"
ALL_TRACKS = "all tracks"


@dataclass(frozen=True)
class RemovalPlan:
    """The groups that are removed from a jet, and the number of random removals that each is compared with.

    Attributes:
        draws: random sets for each group, 0 for none.
        displacement: significances of d0 and dz in quadrature above which tracks are a group; they are removed, and their d0
            and dz reset.
        softest: GeV; constituents with less pT are a group.
        z_cut, most_prongs: of the prongs, as `oddjets.inspection.prongs.find_prongs` takes them.
    """

    draws: int = 20
    displacement: tuple[float, ...] = (3.0, 5.0, 10.0)
    softest: tuple[float, ...] = (1.0, 2.0, 5.0)
    z_cut: float = Z_CUT
    most_prongs: int = MOST_PRONGS

    def __post_init__(self) -> None:
        if self.draws != 0 and self.draws < 2:
            raise OddjetsError(f"{self.draws} random removals have no spread: take 0 or at least 2 draws")
        for name, values in (("displacement", self.displacement), ("softest", self.softest)):
            if any(not np.isfinite(value) or value <= 0 for value in values) or len(set(values)) != len(values):
                raise OddjetsError(f"the steps of {name} are different numbers above 0, not {list(values)}")
        if not 0 < self.z_cut < 0.5 or self.most_prongs < 1:
            raise OddjetsError(
                f"prongs need a z_cut between 0 and 0.5 and a number of at least one; got z_cut {self.z_cut} and"
                f" {self.most_prongs} prongs"
            )


@dataclass(frozen=True, eq=False)
class Group:
    """Some constituents of a jet, and what is done with them.

    Attributes:
        kind: how they were found.
        name: which of this kind, in words.
        action: ``removed``, or ``reset``: d0 and dz are set to 0, and the constituents stay.
        members: which constituents, (n,).
        pool: what random constituents to compare with are taken from, (n,).
    """

    kind: Kind
    name: str
    action: Action
    members: npt.NDArray[np.bool_]
    pool: npt.NDArray[np.bool_]


def weighted_pt(jets: JetConstituents, card: ModelCard) -> npt.NDArray[np.float64]:
    """Return the pT that the model is given of each constituent, GeV, (n_constituents,)."""
    pt = np.asarray(jets.pt, np.float64)
    return pt * np.asarray(jets.puppi_weight, np.float64) if card.constituents.puppi == "weighted" else pt


def seen_constituents(jets: JetConstituents, jet: int, card: ModelCard) -> JetConstituents:
    """Return one jet with the constituents that the model sees: of positive pT, and the hardest if there are too many.

    So a removal makes room for no other constituent.

    Args:
        jets: the jets.
        jet: which.
        card: the model card.
    """
    rows = np.arange(jets.offsets[jet], jets.offsets[jet + 1])
    pt = weighted_pt(jets, card)[rows]
    # the hardest, ties in the order given, as `prepare` chooses; then in the order that they had
    chosen = np.sort(np.argsort(-pt, kind="stable")[: card.constituents.maximum])
    rows = rows[chosen[pt[chosen] > 0]]
    columns: dict[str, Any] = {name: getattr(jets, name)[rows] for name in CANDIDATE_BRANCHES}
    return JetConstituents(
        offsets=np.array([0, len(rows)]), jet_eta=jets.jet_eta[[jet]], jet_phi=jets.jet_phi[[jet]], **columns
    )


def find_groups(jet: JetConstituents, card: ModelCard, plan: RemovalPlan) -> list[Group]:
    """Divide the constituents of one jet into groups; those of one kind may share constituents.

    Args:
        jet: one jet, as `seen_constituents` gives it.
        card: the model card, for its PUPPI rule and for whether the model reads impact parameters.
        plan: the steps.

    Returns:
        The groups, also those without members.
    """
    return list(_groups(jet, card, plan))


def _groups(jet: JetConstituents, card: ModelCard, plan: RemovalPlan) -> Iterator[Group]:
    pt = weighted_pt(jet, card)
    every = np.ones(len(pt), np.bool_)
    scale = np.divide(pt, jet.pt, out=np.ones(len(pt)), where=jet.pt > 0)
    p = momenta(pt, jet.eta, jet.phi, np.asarray(jet.mass, np.float64) * scale)
    prongs = find_prongs(p, z_cut=plan.z_cut, most=plan.most_prongs).members
    for number in range(prongs.max(initial=NO_PRONG) + 1):
        yield Group("prong", f"prong {number + 1}", "removed", prongs == number, every)
    yield Group("prong", OUTSIDE, "removed", prongs == NO_PRONG, every)

    species = species_of(jet.pdg_id, jet.charge)
    for name in SPECIES:
        yield Group("species", f"{name}s", "removed", species == name, every)

    size = displacement(jet)
    tracks = ~np.isnan(size)
    steps = sorted(plan.displacement)
    for step in steps:
        yield Group("displacement", f"tracks above {step:g} sigma", "removed", size > step, every)
    # a model that does not read them gives the same score
    if card.quantities & {"d0", "dz"}:
        yield Group("displacement", ALL_TRACKS, "reset", tracks, tracks)
        for step in steps:
            yield Group("displacement", f"tracks above {step:g} sigma", "reset", size > step, tracks)

    for limit in sorted(plan.softest):
        yield Group("softest", f"pT below {limit:g} GeV", "removed", pt < limit, every)
