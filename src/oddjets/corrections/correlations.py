"""The scheme of nuisance parameters over several eras, and what each era adds to a variation of the sum.

An analysis of several eras adds up their histograms. Each era gives each systematic a *label*; eras with the same label
share a nuisance parameter. A variation of the sum is the varied histogram of the eras that share it, plus the nominal one of
the others: a template is linear in its eras, and so is what an additive shape uncertainty does with it. The parts of the
luminosity's uncertainty are variations of the same kind, which scale the eras that have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from oddjets.config.analysis import Analysis
from oddjets.config.eras import ALL, EACH
from oddjets.config.nuisances import luminosity_parts, nuisances_of
from oddjets.config.per_era import eras_of
from oddjets.config.systematics import Systematic
from oddjets.corrections.generator_weights import GENERATOR_SYSTEMATICS
from oddjets.corrections.lookups import Era
from oddjets.corrections.systematics import NOMINAL, directions_of, kind_of, variations_of

__all__ = [
    "Contribution",
    "combined_luminosity_uncertainty",
    "contributions_of",
    "undecided",
    "with_scheme",
]


class Contribution(NamedTuple):
    """The contribution of a dataset to one variation of its process's histograms.

    Attributes:
        source: which variation of the dataset: a column of its event table, or ``nominal``.
        scale: multiplies its weights.
        member: whether the variation is one of an envelope's, of which the envelope is made later.
    """

    source: str
    scale: float = 1.0
    member: bool = False


def contributions_of(analysis: Analysis, process: str, era: str, *, is_data: bool) -> dict[str, Contribution]:
    """Return variation of a process's histograms to what a dataset of an era adds to it.

    Args:
        analysis: of one era or several, with its scheme filled in; the order is that of its systematics.
        process: the name of the process.
        era: of the dataset.
        is_data: data has no variations.

    Returns:
        ``nominal`` first; of one era, every variation of the dataset under its own name.
    """
    found = {NOMINAL: Contribution(NOMINAL)}
    if is_data:
        return found
    if len(eras_of(analysis)) == 1:
        of_dataset = variations_of(analysis, process, is_data=False)
        found |= {v.name: Contribution(v.name, member=v.kind == "envelope") for v in of_dataset}
    else:
        for systematic in analysis.systematics:
            if systematic.processes is not None and process not in systematic.processes:
                continue
            member = kind_of(systematic) == "envelope"
            for name, sharing in nuisances_of(analysis, systematic).items():
                for direction in directions_of(systematic):
                    source = systematic.name + direction if era in sharing else NOMINAL
                    found[name + direction] = Contribution(source, member=member)
    for name, sizes in luminosity_parts(analysis).items():
        factor = 1 + sizes.get(era, 0.0)
        found |= {f"{name}Up": Contribution(NOMINAL, factor), f"{name}Down": Contribution(NOMINAL, 1 / factor)}
    return found


def with_scheme(analysis: Analysis, eras: Mapping[str, Era]) -> Analysis:
    """Return an analysis with the scheme of its nuisance parameters filled in; what its YAML says stays.

    Args:
        analysis: of one era, whose systematics have no scheme, or of several.
        eras: its eras.
    """
    several = len(eras) > 1
    systematics = tuple(_with_labels(s, eras) for s in analysis.systematics) if several else analysis.systematics
    changed: dict[str, object] = {"systematics": systematics}
    fit = analysis.fit
    if fit is not None:
        given = fit.luminosity_uncertainty
        if given == "eras" or (several and "luminosity_uncertainty" not in fit.model_fields_set):
            parts = {name: dict(era.luminosity_uncertainties) for name, era in eras.items()}
            changed["fit"] = fit.model_copy(update={"luminosity_uncertainty": parts})
    return analysis.model_copy(update=changed)


def undecided(systematic: Systematic, eras: Mapping[str, Era]) -> list[str]:
    """Return the eras for which neither the analysis nor the era's file gives a label, of those where a systematic acts."""
    return [name for name, label in _labels(systematic, eras).items() if label is None]


def combined_luminosity_uncertainty(
    luminosities: Mapping[str, float], parts: Mapping[str, Mapping[str, float]]
) -> float:
    """Return the relative uncertainty of a sum of luminosities: parts with a label add linearly, labels in quadrature.

    Args:
        luminosities: era to its luminosity, in any unit.
        parts: era to label to relative size.
    """
    total = sum(luminosities.values())
    labels = {label for of_era in parts.values() for label in of_era}
    shares = [sum(luminosities[era] * parts[era].get(label, 0.0) for era in luminosities) / total for label in labels]
    return float(sum(share**2 for share in shares) ** 0.5)


def _with_labels(systematic: Systematic, eras: Mapping[str, Era]) -> Systematic:
    labels = {era: label if label is not None else ALL for era, label in _labels(systematic, eras).items()}
    return systematic.model_copy(update={"correlation": labels})


def _labels(systematic: Systematic, eras: Mapping[str, Era]) -> dict[str, str | None]:
    given = systematic.correlation
    acting = {name: era for name, era in eras.items() if systematic.eras is None or name in systematic.eras}
    if given == ALL:
        return dict.fromkeys(acting, ALL)
    if given == EACH:
        return {name: name for name in acting}
    own = given if isinstance(given, dict) else {}
    # the theory of a process is the same in every year, and sizes of variations of constituents are not by year
    usual = ALL if systematic.name in GENERATOR_SYSTEMATICS or kind_of(systematic) == "scores" else None
    found = {name: own.get(name, era.correlations.get(systematic.name, usual)) for name, era in acting.items()}
    return {name: name if label == EACH else label for name, label in found.items()}
