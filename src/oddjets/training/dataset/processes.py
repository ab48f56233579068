"""Pythia settings of the training jets: QCD, generic resonances, and known particles to validate with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from oddjets.training.class_labels import KNOWN, SIGNAL

__all__ = ["HELD_OUT", "RECIPES", "TRAINING", "Recipe", "recipe_names"]


class Recipe(NamedTuple):
    """One configuration of Pythia, and how its jets are labelled."""

    pythia: tuple[str, ...]
    #: hard events that one shard tries
    tries: int
    #: jets that they give, roughly: what a plan begins with
    jets: int
    #: (PDG code of a resonance, flavour of its first decay product; 0: any) -> class; of QCD empty
    labels: Mapping[tuple[int, int], int]

    @property
    def resonances(self) -> frozenset[int]:
        """PDG codes of the resonances that a jet must hold."""
        return frozenset(code for code, _ in self.labels)


def _broad_resonance(code: int, peak: float, width: float, lowest: float, highest: float) -> tuple[str, ...]:
    """Return settings of a Breit-Wigner so wide that masses (GeV) are about flat in their logarithm."""
    return (
        f"{code}:m0 = {peak}",
        f"{code}:mWidth = {width}",
        f"{code}:doForceWidth = on",
        f"{code}:mMin = {lowest}",
        f"{code}:mMax = {highest}",
    )


def _decays(code: int, channels: Mapping[str, float]) -> tuple[str, ...]:
    """Return settings of isotropic decays with the given shares (meMode 100) in place of the particle's own."""
    return (f"{code}:onMode = off", *(f"{code}:addChannel = 1 {share} 100 {to}" for to, share in channels.items()))


def _scalar_to_pair(code: int, anti: int) -> tuple[str, ...]:
    """Return settings of a heavy scalar from gluons that decays to two of these: its pT falls slowly from 400 to 1200 GeV."""
    heavy = ("Higgs:useBSM = on", "HiggsBSM:gg2H2 = on", *_broad_resonance(35, 1800, 1500, 870, 3200))
    return (*heavy, *_decays(35, {f"{code} {anti}": 1.0}))


def _hard_qcd(*switches: str, power: float) -> tuple[str, ...]:
    """Return settings of two-to-two scattering, with the falling spectrum of pT raised by a power of it."""
    bias = ("PhaseSpace:bias2Selection = on", f"PhaseSpace:bias2SelectionPow = {power}")
    return (*switches, "PhaseSpace:pTHatMin = 390.", *bias, "PhaseSpace:bias2SelectionRef = 400.")


_X, _Y, _T, _W, _Z = 25, 36, 8, 34, 32  # Pythia's h, A, t', W', Z': here only names for what has their spin and colour
_FLAVOURS = {f"{q} -{q}": 0.2 for q in range(1, 6)}
_HADRONIC_W_Z = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5", "23:onMode = off", "23:onIfAny = 1 2 3 4 5")

RECIPES: dict[str, Recipe] = {
    "qcd": Recipe(_hard_qcd("HardQCD:all = on", power=4.0), 2400, 2060, {}),
    "qcd_c": Recipe(_hard_qcd("HardQCD:gg2ccbar = on", "HardQCD:qqbar2ccbar = on", power=4.0), 2800, 1860, {}),
    "qcd_b": Recipe(_hard_qcd("HardQCD:gg2bbbar = on", "HardQCD:qqbar2bbbar = on", power=4.0), 2800, 1770, {}),
    # a neutral scalar to two partons
    "two_prong": Recipe(
        (
            *_scalar_to_pair(_X, _X),
            *_broad_resonance(_X, 60, 250, 25, 420),
            *_decays(_X, {"1 -1": 0.08, "2 -2": 0.08, "3 -3": 0.09, "4 -4": 0.25, "5 -5": 0.25, "21 21": 0.25}),
        ),
        2400,
        2000,
        {
            **{(_X, q): SIGNAL["X_qq"] for q in (1, 2, 3)},
            (_X, 4): SIGNAL["X_cc"],
            (_X, 5): SIGNAL["X_bb"],
            (_X, 21): SIGNAL["X_gg"],
        },
    ),
    # a colour triplet to a quark and a boson, the boson to two quarks; both masses are broad, the flavours mixed
    "three_prong": Recipe(
        (
            *_scalar_to_pair(_T, -_T),
            *_broad_resonance(_T, 100, 300, 50, 420),
            *_decays(_T, {f"{_W} 1": 0.2, f"{_W} 3": 0.2, f"{_W} 5": 0.2, f"{_Z} 2": 0.2, f"{_Z} 4": 0.2}),
            *_broad_resonance(_W, 45, 200, 15, 300),
            *_decays(_W, {"2 -1": 0.25, "4 -3": 0.25, "2 -5": 0.25, "4 -5": 0.25}),
            *_broad_resonance(_Z, 45, 200, 15, 300),
            *_decays(_Z, _FLAVOURS),
        ),
        2600,
        1700,
        {(_T, 0): SIGNAL["X_3q"]},
    ),
    # a neutral scalar to two others of different masses, each to two quarks
    "four_prong": Recipe(
        (
            *_scalar_to_pair(_X, _X),
            *_broad_resonance(_X, 100, 300, 50, 420),
            *_decays(_X, {f"{_Y} {_Y}": 1.0}),
            *_broad_resonance(_Y, 25, 250, 12, 250),
            *_decays(_Y, _FLAVOURS),
        ),
        2600,
        1780,
        {(_X, 0): SIGNAL["X_4q"]},
    ),
    "wz": Recipe(
        (*_hard_qcd("WeakDoubleBoson:ffbar2ZW = on", "WeakZ0:gmZmode = 2", power=1.5), *_HADRONIC_W_Z),
        2400,
        3400,
        {(24, 0): KNOWN["W"], (23, 0): KNOWN["Z"]},
    ),
    "higgs": Recipe(
        (*_scalar_to_pair(25, 25), "25:onMode = off", "25:onIfMatch = 5 -5"),
        2400,
        2200,
        {(25, 0): KNOWN["H_bb"]},
    ),
    "top": Recipe(
        (*_hard_qcd("Top:gg2ttbar = on", "Top:qqbar2ttbar = on", power=2.0), *_HADRONIC_W_Z),
        2400,
        1950,
        {(6, 0): KNOWN["top"]},
    ),
}

#: recipe -> share of the shards; no known particle
TRAINING = {"qcd": 0.4, "qcd_c": 0.07, "qcd_b": 0.07, "two_prong": 0.3, "three_prong": 0.08, "four_prong": 0.08}
#: QCD of one recipe only, whose flavours are as Pythia makes them
HELD_OUT = {
    "qcd": 0.5,
    "two_prong": 0.14,
    "three_prong": 0.06,
    "four_prong": 0.06,
    "wz": 0.08,
    "higgs": 0.06,
    "top": 0.1,
}


def recipe_names(shares: Mapping[str, float]) -> Iterator[str]:
    """Yield the recipes of shard after shard, without end, so that every beginning has the shares as well as it can.

    Args:
        shares: recipe -> share.
    """
    total = sum(shares.values())
    made = dict.fromkeys(shares, 0)
    for number in range(1, 1 << 31):
        late = max(shares, key=lambda name: number * shares[name] / total - made[name])
        made[late] += 1
        yield late
