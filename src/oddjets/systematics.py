"""What varies: the one ordered list of variations, and what each does to jets or weights.

A *systematic* has a name (``jes``); its two *variations* are ``jesUp`` and ``jesDown``. Jet variations change the
pair's pT and soft-drop mass and so the selection and the regions; weight variations change weights alone. Data has
none, by construction: `variations_of` returns an empty tuple for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oddjets.config import Analysis, Systematic

__all__ = ["BUILT_IN", "NOMINAL", "Variation", "directions_of", "nuisance_name", "variations_of"]

NOMINAL = "nominal"
Kind = Literal["jets", "weight", "envelope"]

#: names known without further words in the YAML, and their kind (FACTS 5); the functions are in `corrections`
BUILT_IN: dict[str, Kind] = {
    "jes": "jets",
    "jer": "jets",
    "jms": "jets",
    "jmr": "jets",
    "pu": "weight",
    "pref": "weight",
    "scale": "envelope",
}


@dataclass(frozen=True)
class Variation:
    """One direction of one systematic.

    Attributes:
        systematic: the name without direction, for example ``jes``.
        direction: ``Up`` or ``Down``, or the number of an envelope's member.
        kind: ``jets`` (pT and soft-drop mass move), ``weight``, or ``envelope`` (one of several weights).
    """

    systematic: str
    direction: str
    kind: Kind

    @property
    def name(self) -> str:
        """The name in columns, histograms and templates, for example ``jesUp``."""
        return self.systematic + self.direction

    @property
    def sign(self) -> int:
        """+1 for Up, -1 for Down."""
        return 1 if self.direction == "Up" else -1


def variations_of(analysis: Analysis, process: str, *, is_data: bool) -> tuple[Variation, ...]:
    """Return the ordered variations of a process.

    Args:
        analysis: the analysis; the order is the one of its ``systematics``.
        process: the name of the process.
        is_data: data has no variations.

    Returns:
        Up then Down for every systematic that applies, the members of every envelope.
    """
    if is_data:
        return ()
    return tuple(
        Variation(systematic.name, direction, kind_of(systematic))
        for systematic in analysis.systematics
        if systematic.processes is None or process in systematic.processes
        for direction in directions_of(systematic)
    )


def directions_of(systematic: Systematic) -> tuple[str, ...]:
    """Return the directions of a systematic's columns: Up and Down, or an envelope's members 0, 1, ..."""
    if kind_of(systematic) == "envelope":
        return tuple(str(i) for i in range(systematic.members))
    return ("Up", "Down")


def kind_of(systematic: Systematic) -> Kind:
    """Return whether a systematic moves jets or weights; one with a correction of its own is a weight."""
    return systematic.kind or BUILT_IN.get(systematic.name, "weight")


def nuisance_name(analysis: Analysis, systematic: str, process: str) -> str:
    """Return the name of the nuisance parameter that a systematic of a process moves."""
    spec = next((s for s in analysis.systematics if s.name == systematic), None)
    return f"{systematic}_{process}" if spec is not None and spec.decorrelate else systematic
