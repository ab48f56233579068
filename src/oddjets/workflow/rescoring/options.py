"""The options of `rescore`."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from oddjets.core.errors import OddjetsError, nearest
from oddjets.stats.few_events import Toys
from oddjets.stats.signal_exchange import OwnSignal

__all__ = ["RescoreOptions"]


@dataclass(frozen=True)
class RescoreOptions:
    """The options of a rescoring.

    Attributes:
        source: the events: ROOT file, folder of ROOT files, fileset, LHE or HepMC.
        name: of the signal's process.
        label: of the signal in figures and tables; None: its name.
        cross_section: pb, of all generated events; None: that of the file.
        process: of a fileset with several processes, which one; None: the only one.
        era: of a ROOT file that does not say it; None: what the file says.
        force: go on with a sample of another energy, era or detector.
        own_signal: what becomes of the analysis's own signal in the fit.
        pythia: lines for Pythia, of an LHE file.
        seed: of shower, detector and toys.
        workers: processes.
        toys: of the limit, beside the asymptotic one; None: as the analysis.
    """

    source: Path
    name: str = "signal"
    label: str | None = None
    cross_section: float | None = None
    process: str | None = None
    era: str | None = None
    force: bool = False
    own_signal: OwnSignal = "background"
    pythia: tuple[str, ...] = ()
    seed: int = 1
    workers: int | None = None
    toys: Toys | None = None

    def check(self) -> None:
        """Refuse what means nothing.

        Raises:
            OddjetsError: a cross section that is none, a name that is none, an unknown fate of the own signal.
        """
        if self.cross_section is not None and not (self.cross_section > 0 and math.isfinite(self.cross_section)):
            raise OddjetsError(f"--cross-section: must be above 0 and finite, in pb (got {self.cross_section:g})")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise OddjetsError(
                f"--name: '{self.name}' cannot name a process; use letters, digits and underscores, a letter first"
            )
        if self.own_signal not in get_args(OwnSignal):
            raise OddjetsError(
                f"--own-signal: '{self.own_signal}' is none of {', '.join(get_args(OwnSignal))};"
                f" {nearest(self.own_signal, get_args(OwnSignal))}"
            )

    def recorded(self) -> dict[str, Any]:
        """Return what decides the result, for its file; the number of workers does not."""
        told = asdict(self) | {"source": self.source.name, "pythia": list(self.pythia)}
        return {name: value for name, value in told.items() if name != "workers"}
