"""The change of a jet's score when constituents are removed, with the model alone: it tells what the score rests on.

This is a description of the model's response, and no proof of what a jet is: see `CAVEAT`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import offsets_from
from oddjets.inspection.constituent_groups import (
    OUTSIDE,
    Action,
    Group,
    Kind,
    RemovalPlan,
    find_groups,
    seen_constituents,
    weighted_pt,
)
from oddjets.inspection.random_sets import random_sets
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents
from oddjets.scoring.model_card import ModelCard

__all__ = ["CAVEAT", "GroupEffect", "JetEffects", "RandomEffect", "axis_rule", "removal_effects"]

CAVEAT = (
    "A description, not a proof: these numbers say how the model's score responds, not what the jet is. A jet without a "
    "part is like no jet that the model was trained on, the effects of several groups do not add up, and groups share "
    "constituents."
)
#: constituents of variants that are scored in one call, at most, several batches of a GPU; a jet's variants stay together
_ROWS = 500_000


class _Scores(Protocol):
    """The source of scores: `oddjets.Scorer`, or anything like it."""

    card: ModelCard

    def score(self, jets: JetConstituents) -> npt.NDArray[np.float64]:
        """Return the scores of jets, (n_jets,)."""


@dataclass(frozen=True)
class RandomEffect:
    """The same done to random constituents: as many, with about the same pT.

    Attributes:
        draws: how many random sets.
        mean, spread: of the change of the logit; the spread is the standard deviation of one set.
        lowest, highest: of the changes.
        pt_fraction: the mean share of the jet's pT.
        shared: the mean share of a set that belongs to the group too; where it is near 1, the comparison says little.
    """

    draws: int
    mean: float
    spread: float
    lowest: float
    highest: float
    pt_fraction: float
    shared: float


@dataclass(frozen=True)
class GroupEffect:
    """The change of a jet's score when something is done to a group of constituents.

    Attributes:
        kind, name: the group.
        action: ``removed``, or ``reset``: d0 and dz set to 0.
        constituents: how many it has.
        pt_fraction: its share of the jet's pT (the sum over constituents that the model sees).
        score: after it; None if there is none.
        change: logit of the score after, minus that before; negative: the score rests on the group. None without a number.
        random: the same for random constituents; None if there are not two other sets.
        note: why there is no number, else "".
    """

    kind: Kind
    name: str
    action: Action
    constituents: int
    pt_fraction: float
    score: float | None
    change: float | None
    random: RandomEffect | None
    note: str

    @property
    def stands_out(self) -> Literal["below", "above", ""]:
        """Whether the change is below or above those of all random sets.

        Of groups that are like random ones, one in ``draws + 1`` is below and as many are above.
        """
        if self.change is None or self.random is None:
            return ""
        if self.change < self.random.lowest:
            return "below"
        return "above" if self.change > self.random.highest else ""


@dataclass(frozen=True)
class JetEffects:
    """The effects of all groups of one jet.

    Attributes:
        score: before; None for a jet without constituents.
        logit: of the score.
        constituents: how many the model sees.
        pt: GeV, the scalar sum of their pT.
        prongs: how many prongs it has.
        inferences: how often the model was run.
        groups: the effects.
        note: why there is no number, else "".
    """

    score: float | None
    logit: float | None
    constituents: int
    pt: float
    prongs: int
    inferences: int
    groups: tuple[GroupEffect, ...]
    note: str


@dataclass(eq=False)
class _Jet:
    """One jet, its groups, the random sets of each, and all variants that are scored; the first is the jet as it is."""

    seen: JetConstituents
    pt: npt.NDArray[np.float64]
    groups: list[Group]
    sets: list[npt.NDArray[np.bool_]]
    variants: dict[tuple[Action, bytes], int]
    masks: list[tuple[Action, npt.NDArray[np.bool_]]]


def axis_rule(card: ModelCard) -> str:
    """Say which axis a jet has after a removal: what the model card says of any jet."""
    if card.constituents.puppi == "weighted":
        return "the jet's axis is kept"
    return "the axis is that of the constituents that are left"


def removal_effects(
    jets: JetConstituents,
    scorer: _Scores,
    identities: Sequence[Sequence[int]],
    plan: RemovalPlan | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[JetEffects]:
    """Compute how the scores of jets change when groups of constituents are removed, or their d0 and dz reset.

    The model is given what is left of a jet as any other jet, by the rules of its card (`axis_rule`): pT and energy are not
    scaled up, so that a jet without half its pT is one of half the pT.

    Args:
        jets: the jets.
        scorer: with ``card`` and ``score``, as `oddjets.Scorer`.
        identities: for each jet numbers that identify it, such as run, section, event and number of the jet: they are the seed
            of the random sets, so that a jet has the same ones wherever it is asked for.
        plan: the groups and the number of random sets.
        progress: called with the number of jets done since the last call.

    Returns:
        The effects, jet by jet.

    Raises:
        OddjetsError: identities that do not fit the jets, or as `Scorer.score`.
    """
    plan = plan or RemovalPlan()
    if len(identities) != jets.n_jets:
        raise OddjetsError(f"{jets.n_jets} jets and {len(identities)} identities: each jet needs its own")
    effects: list[JetEffects] = []
    waiting: list[_Jet] = []

    def finish() -> None:
        scores = np.split(_score(waiting, scorer), offsets_from([len(jet.masks) for jet in waiting])[1:-1])
        effects.extend(_effects(jet, of) for jet, of in zip(waiting, scores, strict=True))
        if progress is not None:
            progress(len(waiting))
        waiting.clear()

    rows = 0
    for number, identity in enumerate(identities):
        jet = _variants(seen_constituents(jets, number, scorer.card), scorer.card, identity, plan)
        size = len(jet.pt) * len(jet.masks)
        if waiting and rows + size > _ROWS:
            finish()
            rows = 0
        waiting.append(jet)
        rows += size
    if waiting:
        finish()
    return effects


def _variants(seen: JetConstituents, card: ModelCard, identity: Sequence[int], plan: RemovalPlan) -> _Jet:
    """Find a jet's groups and draw its random sets; a set that occurs twice is scored once."""
    pt = weighted_pt(seen, card)
    nothing = np.zeros(len(pt), np.bool_)
    jet = _Jet(seen, pt, [], [], {}, [])
    _add(jet, "removed", nothing)
    if not len(pt):
        return jet
    jet.groups = find_groups(seen, card, plan)
    for group in jet.groups:
        # a seed of its own, so that another step changes no other group's random sets
        name = zlib.crc32(f"{group.kind} {group.name} {group.action}".encode())
        generator = np.random.default_rng([*(int(part) for part in identity), name])
        sets = random_sets(pt, group.members, group.pool, plan.draws, generator)
        jet.sets.append(sets)
        for mask in (group.members, *sets):
            _add(jet, group.action, mask)
    return jet


def _add(jet: _Jet, action: Action, mask: npt.NDArray[np.bool_]) -> None:
    """Note a variant of a jet, unless it is there or nothing is left of it."""
    if (action == "removed" and mask.all() and len(mask)) or (jet.masks and not mask.any()):
        return
    key = _key(action, mask)
    if key not in jet.variants:
        jet.variants[key] = len(jet.masks)
        jet.masks.append((action, mask))


def _score(waiting: list[_Jet], scorer: _Scores) -> npt.NDArray[np.float64]:
    """Score all variants of some jets in one call, so that a GPU has full batches."""
    columns: dict[str, list[Any]] = {name: [] for name in CANDIDATE_BRANCHES}
    counts: list[int] = []
    axes: list[tuple[Any, Any]] = []
    for jet in waiting:
        for action, mask in jet.masks:
            kept = ~mask if action == "removed" else np.ones(len(mask), np.bool_)
            for name, values in columns.items():
                column = getattr(jet.seen, name)
                if action == "reset" and name in ("d0", "dz"):
                    column = np.where(mask, np.zeros((), column.dtype), column)
                values.append(column[kept])
            counts.append(int(kept.sum()))
            axes.append((jet.seen.jet_eta[0], jet.seen.jet_phi[0]))
    eta, phi = np.array(axes).T
    joined: dict[str, Any] = {name: np.concatenate(values) for name, values in columns.items()}
    return scorer.score(JetConstituents(offsets=offsets_from(counts), jet_eta=eta, jet_phi=phi, **joined))


def _effects(jet: _Jet, scores: npt.NDArray[np.float64]) -> JetEffects:
    """Turn the scores of a jet's variants into effects."""
    if not len(jet.pt):
        return JetEffects(None, None, 0, 0.0, 0, 0, (), "no constituents, so no score")
    with np.errstate(divide="ignore"):
        logits = logit(scores)
    with np.errstate(invalid="ignore"):
        changes = logits - logits[0]
    prongs = sum(group.kind == "prong" and group.name != OUTSIDE for group in jet.groups)
    total = jet.pt.sum()
    note = "" if np.isfinite(logits[0]) else f"the score is {scores[0]:g} in double precision: its logit is infinite"
    found: list[GroupEffect] = []
    for group, sets in zip(jet.groups, jet.sets, strict=True):
        after, change, why = _change(jet, group, scores, changes)
        drawn = changes[[jet.variants[_key(group.action, mask)] for mask in sets]]
        random = None
        if change is not None and len(drawn) >= 2 and np.isfinite(drawn).all():
            random = RandomEffect(
                len(drawn),
                float(drawn.mean()),
                float(drawn.std(ddof=1)),
                float(drawn.min()),
                float(drawn.max()),
                float((sets @ jet.pt / total).mean()),
                float((sets & group.members).sum() / sets.sum()),
            )
        share = float(jet.pt[group.members].sum() / total)
        found.append(
            GroupEffect(
                group.kind, group.name, group.action, int(group.members.sum()), share, after, change, random, why
            )
        )
    first = float(logits[0]) if np.isfinite(logits[0]) else None
    return JetEffects(float(scores[0]), first, len(jet.pt), float(total), prongs, len(jet.masks), tuple(found), note)


def _change(
    jet: _Jet, group: Group, scores: npt.NDArray[np.float64], changes: npt.NDArray[np.float64]
) -> tuple[float | None, float | None, str]:
    """Return the score after a group's removal, the change of its logit, and why there is none."""
    if not group.members.any():
        return None, None, "no such constituents"
    if group.action == "removed" and group.members.all():
        return None, None, "nothing is left of the jet"
    row = jet.variants[_key(group.action, group.members)]
    after = float(scores[row])
    if not np.isfinite(changes[row]):
        return after, None, "a score of 0 or 1 in double precision has no finite logit"
    return after, float(changes[row]), ""


def _key(action: Action, mask: npt.NDArray[np.bool_]) -> tuple[Action, bytes]:
    """Return what is the same for the same variant of one jet."""
    return action, np.packbits(mask).tobytes()
