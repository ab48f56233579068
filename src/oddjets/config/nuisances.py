"""The nuisance parameters of an analysis: their names, and the eras that share each.

Of several eras, each systematic has a *label* in each; eras with the same label share a nuisance parameter. Where the labels
come from is in `oddjets.corrections.correlations`.
"""

from __future__ import annotations

from oddjets.config.analysis import Analysis
from oddjets.config.eras import ALL, EACH
from oddjets.config.per_era import eras_of
from oddjets.config.systematics import Systematic

__all__ = ["labels_of", "luminosity_parts", "nuisances_of"]

#: what the parts of the luminosity's uncertainty are called, before their labels
_LUMINOSITY = "lumi"


def labels_of(systematic: Systematic, eras: tuple[str, ...]) -> dict[str, str]:
    """Return era to label of a systematic, where it acts.

    Args:
        systematic: its scheme is filled in (`oddjets.corrections.correlations.with_scheme`).
        eras: of its analysis.
    """
    given = systematic.correlation
    acting = [era for era in eras if systematic.eras is None or era in systematic.eras]
    if isinstance(given, dict):
        return {era: given[era] for era in acting}
    return {era: era if given == EACH else ALL for era in acting}


def nuisances_of(analysis: Analysis, systematic: Systematic) -> dict[str, list[str]]:
    """Return nuisance parameter, without the process's name, to the eras that share it.

    Args:
        analysis: of one era or several, with its scheme filled in.
        systematic: one of its own.
    """
    eras = eras_of(analysis)
    found: dict[str, list[str]] = {}
    for era, label in labels_of(systematic, eras).items() if len(eras) > 1 else [(eras[0], ALL)]:
        found.setdefault(_named(systematic.name, label), []).append(era)
    return found


def luminosity_parts(analysis: Analysis) -> dict[str, dict[str, float]]:
    """Return nuisance parameter of the luminosity to era to relative size; nothing where there is one number for all."""
    given = analysis.fit.luminosity_uncertainty if analysis.fit is not None else 0.0
    found: dict[str, dict[str, float]] = {}
    for era, parts in given.items() if isinstance(given, dict) else ():
        for label, size in parts.items():
            found.setdefault(_named(_LUMINOSITY, label), {})[era] = size
    return found


def _named(name: str, label: str) -> str:
    return name if label == ALL else f"{name}_{label}"
