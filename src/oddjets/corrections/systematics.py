"""The ordered list of systematic variations, and what each changes in jets or weights.

A *systematic* has a name (``jes``); its two *variations* are ``jesUp`` and ``jesDown``. Jet variations change the
pair's pT and soft-drop mass and so the selection and the regions; weight variations change weights alone; variations of
the constituents (`with_score_systematics`) change scores and N-subjettiness. Data has none, by construction:
`variations_of` returns an empty tuple for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from oddjets.config.analysis import Analysis
from oddjets.config.score_variations import DEFAULTS
from oddjets.config.systematics import Systematic

__all__ = [
    "BUILT_IN",
    "NOMINAL",
    "BuiltInSystematic",
    "Variation",
    "directions_of",
    "kind_of",
    "variations_of",
    "with_defaults",
    "with_score_systematics",
]

NOMINAL = "nominal"
SystematicKind = Literal["jets", "weight", "envelope", "scores"]


@dataclass(frozen=True)
class BuiltInSystematic:
    """The properties of a systematic with a built-in name.

    Attributes:
        kind: what it moves.
        decorrelate: whether every process has its own nuisance parameter.
        processes: what it acts on; None: all simulated processes.
    """

    kind: SystematicKind
    decorrelate: bool = False
    processes: tuple[str, ...] | None = None


#: names known without further words in the YAML; jets: `jet_energy`, weights: `lookups` and `generator_weights`
BUILT_IN: Mapping[str, BuiltInSystematic] = MappingProxyType(
    {
        "jes": BuiltInSystematic("jets"),
        "jer": BuiltInSystematic("jets"),
        "jms": BuiltInSystematic("jets"),
        "jmr": BuiltInSystematic("jets"),
        "pu": BuiltInSystematic("weight"),
        "pref": BuiltInSystematic("weight"),
        "isr": BuiltInSystematic("weight", decorrelate=True),
        "fsr": BuiltInSystematic("weight", decorrelate=True),
        "scale": BuiltInSystematic("envelope", decorrelate=True),
        "toppt": BuiltInSystematic("weight", processes=("top",)),
    }
)


@dataclass(frozen=True)
class Variation:
    """One direction of one systematic.

    Attributes:
        systematic: the name without direction, for example ``jes``.
        direction: ``Up`` or ``Down``, or the number of an envelope's member.
        kind: ``jets`` (pT and soft-drop mass move), ``weight``, ``envelope`` (one of several weights), or ``scores`` (scores
            and N-subjettiness move, with the constituents).
    """

    systematic: str
    direction: str
    kind: SystematicKind

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
    """Return the directions of a systematic's columns: Up and Down, an envelope's members 0, 1, ..., or the side computed."""
    if kind_of(systematic) == "envelope":
        return tuple(str(i) for i in range(systematic.members))
    if kind_of(systematic) == "scores":
        return DEFAULTS[systematic.name].directions
    return ("Up", "Down")


def kind_of(systematic: Systematic) -> SystematicKind:
    """Return whether a systematic moves jets or weights; one with a correction of its own is a weight."""
    known = BUILT_IN.get(systematic.name)
    return systematic.kind or (known.kind if known else "weight")


def with_score_systematics(analysis: Analysis) -> Analysis:
    """Return an analysis with the variations of its constituents among its systematics, at their end.

    Args:
        analysis: one that has them already, or lists none, is returned as it is.
    """
    section = analysis.score_variations
    if section is None or any(systematic.kind == "scores" for systematic in analysis.systematics):
        return analysis
    usual = tuple(name for name in analysis.processes if name != analysis.data_driven)
    made = (
        Systematic(
            name=name,
            kind="scores",
            processes=usual if found.processes is None else found.processes,
            decorrelate=False,
            correlation=found.correlation,
        )
        for name, found in section.listed.items()
    )
    return analysis.model_copy(update={"systematics": (*analysis.systematics, *made)})


def with_defaults(systematic: Systematic, *, moves_jets: bool) -> Systematic:
    """Return a systematic with everything filled in that its name alone says; what the YAML says stays.

    Args:
        systematic: as in the YAML.
        moves_jets: whether the processor has a jet systematic of this name.
    """
    known = BUILT_IN.get(systematic.name, BuiltInSystematic("weight"))
    return systematic.model_copy(
        update={
            "kind": "jets" if moves_jets else kind_of(systematic),
            "decorrelate": known.decorrelate if systematic.decorrelate is None else systematic.decorrelate,
            "processes": known.processes if systematic.processes is None else systematic.processes,
        }
    )
