"""Validation of what an analysis says about its eras, and the filling-in of what it leaves to their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from oddjets.config.analysis import Analysis
from oddjets.config.nuisances import luminosity_parts, nuisances_of
from oddjets.config.per_era import eras_of, of_era, selection_problem
from oddjets.config.systematics import Systematic
from oddjets.core.errors import OddjetsError, nearest
from oddjets.corrections.correlations import undecided, with_scheme
from oddjets.corrections.lookups import Era, load_era, locate
from oddjets.corrections.systematics import BUILT_IN

__all__ = [
    "Eras",
    "absent_files",
    "era_problems",
    "load_eras",
    "nuisance_names",
    "of_each",
    "scheme_lines",
    "with_eras",
]

Eras = Mapping[str, tuple[Era, Path]]


def load_eras(analysis: Analysis, problems: list[str]) -> dict[str, tuple[Era, Path]]:
    """Read the eras of an analysis; those that cannot be read become problems, and are left out."""
    found: dict[str, tuple[Era, Path]] = {}
    for name in eras_of(analysis):
        try:
            found[name] = load_era(name, analysis.folder)
        except OddjetsError as error:
            problems.append(f"era: {error}")
    return found


def era_problems(analysis: Analysis, eras: Eras) -> Iterator[str]:
    """List what does not fit between an analysis and its eras, as far as it is not about single corrections.

    Args:
        analysis: as its YAML has it.
        eras: all of its eras.
    """
    asked = eras_of(analysis)
    if len(asked) > 1:
        yield from _problems_of_several(analysis, {name: era for name, (era, _) in eras.items()})
    else:
        if isinstance(analysis.luminosity, dict):
            yield f"luminosity: the analysis has one era, '{asked[0]}': give one number"
        if analysis.selection_by_era:
            yield f"selection_by_era: the analysis has one era, '{asked[0]}': what it asks belongs into 'selection'"
    for i, systematic in enumerate(analysis.systematics):
        yield from _unknown(f"systematics.{i}.eras", systematic.eras or (), asked)
        if isinstance(systematic.correlation, dict):
            yield from _unknown(f"systematics.{i}.correlation", systematic.correlation, asked)
    fit = analysis.fit
    given = None if fit is None else fit.luminosity_uncertainty
    if isinstance(given, dict):
        yield from _unknown("fit.luminosity_uncertainty", given, asked)
        for name in asked:
            if name not in given:
                yield f"fit.luminosity_uncertainty: says nothing of era '{name}'"
    elif given == "eras" or (
        len(asked) > 1 and fit is not None and "luminosity_uncertainty" not in fit.model_fields_set
    ):
        for name, (era, _) in eras.items():
            if not era.luminosity_uncertainties:
                yield (
                    f"fit.luminosity_uncertainty: era '{name}' has no 'luminosity_uncertainties' in its file; add them there,"
                    " or give a number for all eras, or those of each"
                )
    if analysis.jes == "sources":
        if "jes" not in [s.name for s in analysis.systematics]:
            yield "jes: 'sources' says what the systematic 'jes' is, which is not in 'systematics'"
        for name, (era, _) in eras.items():
            if era.jes_sources is None:
                yield f"jes: 'sources' needs 'jes_sources', which era '{name}' does not have; 'total' needs none"


def _problems_of_several(analysis: Analysis, eras: Mapping[str, Era]) -> Iterator[str]:
    names = Counter(era.name for era in eras.values())
    for name, era in eras.items():
        if names[era.name] > 1:
            others = [other for other in eras if other != name and eras[other].name == era.name]
            yield f"era: '{name}' and '{others[0]}' are the same era, '{era.name}': its events would count twice"
    yield from _shared_runs(eras)
    if len(energies := {era.energy_TeV for era in eras.values()}) > 1:
        yield f"era: eras of different energies ({', '.join(f'{e:g} TeV' for e in sorted(energies))}) have other cross sections"
    given = {"simulate": analysis.simulate, "npz": analysis.npz, "aspen": analysis.aspen}
    if source := next((name for name, section in given.items() if section is not None), ""):
        yield f"era: several eras need a 'fileset' that says of each dataset which it is of; '{source}' has one era"
    if isinstance(analysis.luminosity, float):
        yield f"luminosity: one number does not say which part is of which era; give {_one_each(eras, '1000.0')}, or none"
    elif isinstance(analysis.luminosity, dict):
        yield from _unknown("luminosity", analysis.luminosity, tuple(eras))
        for name in eras:
            if name not in analysis.luminosity:
                yield f"luminosity: says nothing of era '{name}'"
    yield from _unknown("selection_by_era", analysis.selection_by_era, tuple(eras))
    for name, stated in analysis.selection_by_era.items():
        if problem := selection_problem(analysis, name) if name in eras else None:
            yield problem
        if "cuts" in stated:
            yield f"selection_by_era.{name}.cuts: the cuts are those of all eras, in the order of the cutflow"
    for i, systematic in enumerate(analysis.systematics):
        if (systematic.name != "jes" or analysis.jes == "total") and (without := undecided(systematic, eras)):
            yield (
                f"systematics.{i}: nothing says whether '{systematic.name}' of {' and '.join(without)} is the same nuisance"
                " parameter as that of the other eras: give it 'correlation: all' or 'correlation: era', or era to label,"
                " or add it to 'correlations' of the era's file"
            )


def _shared_runs(eras: Mapping[str, Era]) -> Iterator[str]:
    """Check that no run is of two eras, which would have its events and its luminosity twice."""
    for (name, era), (other, theirs) in combinations(eras.items(), 2):
        shared = sorted(
            {
                (max(first, begin), min(last, end))
                for period in era.periods.values()
                for first, last in period.ranges
                for another in theirs.periods.values()
                for begin, end in another.ranges
                if max(first, begin) <= min(last, end)
            }
        )
        if shared and era.name != theirs.name:
            runs = " and ".join(f"{first}-{last}" if last > first else f"{first}" for first, last in shared)
            yield (
                f"era: '{name}' and '{other}' both have runs {runs} in their periods, whose events and luminosity would count"
                f" twice: restrict 'periods' in the file of '{name}' or of '{other}' (a period that it inherits and does not"
                " have is 'NAME: null')"
            )


def _one_each(eras: Mapping[str, Era], value: str) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name in eras) + "}"


def _unknown(place: str, given: object, eras: tuple[str, ...]) -> Iterator[str]:
    for name in given:  # type: ignore[attr-defined]
        if name not in eras:
            yield f"{place}: '{name}' is no era of the analysis; {nearest(name, eras)}"


def with_eras(analysis: Analysis, eras: Eras) -> Analysis:
    """Fill in what the eras' files say: the sources of the jet energy scale, and the scheme of nuisance parameters.

    Args:
        analysis: without problems.
        eras: all of its eras.
    """
    known = {name: era for name, (era, _) in eras.items()}
    if analysis.jes == "sources":
        systematics = [
            s for given in analysis.systematics for s in (_sources(given, known) if given.name == "jes" else [given])
        ]
        analysis = analysis.model_copy(update={"systematics": tuple(systematics)})
    return with_scheme(analysis, known)


def _sources(given: Systematic, eras: Mapping[str, Era]) -> Iterator[Systematic]:
    """Yield a systematic for each source that an era has, in the order of the eras' lists."""
    having: dict[str, list[str]] = {}
    for name, era in eras.items():
        for source in era.jes_sources.systematics if era.jes_sources and name in (given.eras or eras) else ():
            having.setdefault(source, []).append(name)
    for source, names in having.items():
        update: dict[str, object] = {"name": source, "kind": "jets"}
        if len(eras) > 1:
            # a source's name says which years it is of: one of the same name is the same
            update |= {
                "eras": None if len(names) == len(eras) else tuple(names),
                "correlation": given.correlation or "all",
            }
        yield given.model_copy(update=update)


def nuisance_names(analysis: Analysis) -> Iterator[str]:
    """Yield the names of the nuisance parameters of systematics and luminosity, without the processes' parts of names.

    Args:
        analysis: with its scheme filled in (`with_eras`).
    """
    yield from luminosity_parts(analysis) or ["lumi"]
    for systematic in analysis.systematics:
        yield from nuisances_of(analysis, systematic)


def scheme_lines(analysis: Analysis, eras: Eras) -> Iterator[str]:
    """Say which eras share which nuisance parameters: much of it is inherited from files that an era extends.

    Args:
        analysis: with its scheme filled in (`with_eras`); of one era there is nothing to say.
        eras: all of its eras.
    """
    if len(eras) < 2:
        return
    sharing: dict[tuple[str, ...], list[str]] = {}
    for systematic in analysis.systematics:
        for name, having in nuisances_of(analysis, systematic).items():
            sharing.setdefault(tuple(having), []).append(name)
    for name, sizes in luminosity_parts(analysis).items():
        sizes_said = ", ".join(f"{size:.2g}" for size in dict.fromkeys(sizes.values()))
        sharing.setdefault(tuple(sizes), []).append(f"{name} ({sizes_said})")
    if analysis.fit is not None and isinstance(size := analysis.fit.luminosity_uncertainty, float):
        sharing.setdefault(tuple(eras), []).append(f"lumi ({size:.2g}, in place of the parts in the eras' files)")
    for sharers, names in sorted(sharing.items(), key=lambda item: -len(item[0])):
        yield f"nuisance parameters of {', '.join(sharers)}: {', '.join(names)}"
    known = {*BUILT_IN, *(s.name for s in analysis.systematics)}
    for asked, (era, _) in eras.items():
        for name in era.correlations:
            if name not in known:
                yield f"era '{asked}': its 'correlations' name '{name}', which is no systematic here; {nearest(name, known)}"


def of_each(analysis: Analysis, eras: Eras) -> Iterator[tuple[Analysis, Era]]:
    """Yield what is asked of each era whose selection can be read, and the era."""
    for name, (era, _) in eras.items():
        if name not in analysis.selection_by_era or selection_problem(analysis, name) is None:
            yield of_era(analysis, name), era


def absent_files(analysis: Analysis, eras: Eras) -> Iterator[str]:
    """Say which official files are not in the cache, so that what the eras ask of them could not be checked.

    Args:
        analysis: imported event files need none.
        eras: all of its eras.
    """
    for asked, (era, folder) in eras.items() if analysis.reads_root else ():
        absent = [name for name, file in era.files.items() if file.official and not locate(era, folder, name).is_file()]
        if absent:
            yield f"not checked: the files {', '.join(absent)} of era '{era.name}' are not here: run `oddjets fetch {asked}`"
