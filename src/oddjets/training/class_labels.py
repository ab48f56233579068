"""The classes of simulated jets: their names, and their positions among OmniLearned's 210 outputs."""

from __future__ import annotations

__all__ = ["CLASSES", "KNOWN", "QCD", "SIGNAL"]

#: QCD, by the flavour of the parton that the jet is matched to
QCD: dict[str, int] = {"QCD_q": 199, "QCD_g": 2, "QCD_c": 196, "QCD_b": 190}

#: generic resonances with broad masses, by the partons that they decay to; indices within the ranges that the published
#: score sums (two-prong 12-26, three- and four-prong 27-172)
SIGNAL: dict[str, int] = {"X_qq": 15, "X_cc": 13, "X_bb": 12, "X_gg": 21, "X_3q": 27, "X_4q": 100}

#: known particles, in held-out jets alone: finding them must be a find
KNOWN: dict[str, int] = {"W": 9, "Z": 8, "H_bb": 3, "top": 10}

#: all of them
CLASSES: dict[str, int] = QCD | SIGNAL | KNOWN
