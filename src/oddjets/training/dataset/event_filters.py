"""Pythia user hooks for training jets: events without a suitable jet, and most of the common ones, are dropped early.

Both are generator filters. They cost no jet that the matching would keep, but QCD jets of small mass, of which a part is
enough, for training and tests compare jets of the same mass.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.simulation.parton_veto import leading_jets
from oddjets.simulation.pythia_hooks import partons_hook

__all__ = ["contained_hook", "massive_hook"]

#: GeV, somewhat below the selection of jets
_MIN_PT = 380.0
_MAX_ETA = 2.6
#: of the decay products from the resonance; the axis of the jet may be elsewhere
_RADIUS = 0.9
#: soft-drop mass (GeV) of the heavier of the two leading jets of partons, and the share of events kept, linear between
_MASS, _KEPT = (0.0, 20.0, 60.0), (0.1, 0.25, 1.0)


def contained_hook(resonances: Collection[int], pythia8: Any) -> Any:
    """Return a hook that drops hard events where no resonance flies with all its decay products in one jet.

    Args:
        resonances: PDG codes without sign.
        pythia8: the module.

    Returns:
        A ``UserHooks``.
    """

    class Hook(pythia8.UserHooks):  # type: ignore[misc]
        def canVetoProcessLevel(self) -> bool:
            return True

        def doVetoProcessLevel(self, process: Any) -> bool:
            return not any(_is_contained(process, i, resonances) for i in range(process.size()))

    return Hook()


def _is_contained(process: Any, index: int, resonances: Collection[int]) -> bool:
    particle = process[index]
    if particle.idAbs() not in resonances or particle.pT() < _MIN_PT or abs(particle.eta()) > _MAX_ETA:
        return False
    eta, phi = particle.eta(), particle.phi()
    for k in particle.daughterListRecursive():
        product = process[k]
        if product.isFinal():
            # exact, where `oddjets.core.kinematics.delta_phi` rounds: another one would keep other events
            d_phi = math.remainder(product.phi() - phi, 2 * math.pi)
            if math.hypot(product.eta() - eta, d_phi) > _RADIUS:
                return False
    return True


def massive_hook(seed: int, pythia8: Any) -> Any:
    """Return a hook that keeps but a part of the events whose partons make only light jets.

    Args:
        seed: of the random numbers.
        pythia8: the module.

    Returns:
        A ``UserHooks``; its attribute ``pythia`` must be set to the generator that it is given to.
    """
    rng = np.random.default_rng(seed)

    def drops(partons: npt.NDArray[np.float64], _: Any) -> bool:
        pt, mass = leading_jets(partons)
        heaviest = float(np.max(mass, where=pt > _MIN_PT, initial=-1.0))
        return heaviest < 0 or bool(rng.random() >= np.interp(heaviest, _MASS, _KEPT))

    return partons_hook(drops, pythia8)
