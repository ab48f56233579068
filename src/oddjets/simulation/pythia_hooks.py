"""Pythia user hooks: the early veto, and accept-reject on a mass. Pythia holds no reference to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.simulation.parton_veto import EARLY_VETO, leading_jets
from oddjets.simulation.processes import MassAcceptance

__all__ = ["early_veto_hook", "lacks_jets", "mass_acceptance_hook", "partons_hook", "visible_partons"]

#: Pythia's code for showers of resonance decays, see its page on user hooks
RESONANCE_SHOWER = 5
_NEUTRINOS = (12, 14, 16)
_RESONANCES = (6, 23, 24, 25, 35)


def partons_hook(drops: Callable[[npt.NDArray[np.float64], Any], bool], pythia8: Any) -> Any:
    """Return a hook that drops events by their partons, once the shower has come down to the early veto's scale.

    Args:
        drops: gets px, py, pz, E of the visible partons, GeV, shape (partons, 4), and the generator.
        pythia8: the module.

    Returns:
        A ``UserHooks``; its attribute ``pythia`` must be set to the generator that it is given to.
    """

    class Hook(pythia8.UserHooks):  # type: ignore[misc]
        pythia: Any = None

        def canVetoPT(self) -> bool:
            return True

        def scaleVetoPT(self) -> float:
            return EARLY_VETO.scale

        def doVetoPT(self, position: int, event: Any) -> bool:
            if position == RESONANCE_SHOWER:  # asked again in the shower of decayed tops and bosons
                return False
            partons = np.array(visible_partons(event, self.pythia, pythia8), np.float64).reshape(-1, 4)
            return drops(partons, self.pythia)

    return Hook()


def lacks_jets(partons: npt.NDArray[np.float64]) -> bool:
    """Return whether partons do not make two hard, massive jets; px, py, pz, E in GeV, shape (partons, 4)."""
    if len(partons) < 2:
        return True
    pt, mass = leading_jets(partons)
    return not (pt[1] > EARLY_VETO.min_pt and mass.min() > EARLY_VETO.min_mass)


def early_veto_hook(pythia8: Any) -> Any:
    """Return a hook that drops events whose partons do not make two hard, massive jets; as `partons_hook`."""
    return partons_hook(lambda partons, _: lacks_jets(partons), pythia8)


def mass_acceptance_hook(acceptance: MassAcceptance, seed: int, pythia8: Any) -> Any:
    """Return a hook that gives a particle of the hard process another mass spectrum, by dropping events.

    Args:
        acceptance: which particle, and with what probability events are kept.
        seed: of the random numbers.
        pythia8: the module.
    """
    rng = np.random.default_rng(seed)

    class Hook(pythia8.UserHooks):  # type: ignore[misc]
        def canVetoProcessLevel(self) -> bool:
            return True

        def doVetoProcessLevel(self, process: Any) -> bool:
            mass = next(p.m() for p in (process[i] for i in range(process.size())) if p.id() == acceptance.particle)
            return bool(rng.random() >= np.interp(mass, acceptance.mass, acceptance.acceptance))

    return Hook()


def visible_partons(event: Any, pythia: Any, pythia8: Any) -> list[tuple[float, float, float, float]]:
    """Return momenta of all final particles but neutrinos; resonances are replaced by their decay products.

    At the veto's scale resonances are not decayed yet, but how they will is known in the record of the hard process.

    Args:
        event: Pythia's record as it is now.
        pythia: the generator.
        pythia8: the module.

    Returns:
        px, py, pz, E in GeV of each.
    """
    partons = []
    for particle in (event[i] for i in range(event.size())):
        if not particle.isFinal():
            continue
        code = particle.idAbs()
        if code in _RESONANCES:
            # entries of the hard process have the same index in both records
            decayed = pythia.process[particle.iTopCopyId()]
            boost = pythia8.RotBstMatrix()
            boost.bstback(decayed.p())
            boost.bst(particle.p())
            for k in decayed.daughterListRecursive():
                product = pythia.process[k]
                if product.isFinal() and product.idAbs() not in _NEUTRINOS:
                    p = product.p()
                    p.rotbst(boost)
                    partons.append((p.px(), p.py(), p.pz(), p.e()))
        elif code not in _NEUTRINOS:
            partons.append((particle.px(), particle.py(), particle.pz(), particle.e()))
    return partons
