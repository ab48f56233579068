"""Checks of the systematics of an analysis: their names, their kinds, and the form of their corrections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from oddjets.config.analysis import Analysis
from oddjets.config.systematics import CorrectionSpec
from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.expressions import names_in
from oddjets.corrections import generator_weights, lookups
from oddjets.corrections.systematics import BUILT_IN, directions_of, kind_of
from oddjets.io import paper_npz

__all__ = ["stored_systematic_problems", "systematic_problems"]


def stored_systematic_problems(analysis: Analysis) -> Iterator[str]:
    """Check the systematics of the authors' files, which hold their own variations: nothing is computed."""
    stored = [*paper_npz.JET_VARIATIONS, *paper_npz.WEIGHT_VARIATIONS]
    for i, systematic in enumerate(analysis.systematics):
        for direction in directions_of(systematic):
            if systematic.name + direction not in stored:
                known = sorted({re.sub(r"(Up|Down|\d)$", "", s) for s in stored})
                yield f"systematics.{i}: the files have no '{systematic.name}{direction}'; {nearest(systematic.name, known)}"
                break


def _expression_problems(place: str, correction: CorrectionSpec | None) -> Iterator[str]:
    """Check the form of a correction's expressions; the branches that they may name are known when a file is read."""
    if correction is None:
        return
    expressions: dict[str, object] = {f"inputs.{name}": value for name, value in correction.inputs.items()}
    if correction.file is None:
        expressions |= {"nominal": correction.nominal, "up": correction.up, "down": correction.down}
    for name, expression in expressions.items():
        try:
            if isinstance(expression, str):
                names_in(expression)
        except OddjetsError as error:
            yield f"{place}.{name}: {error}"


def systematic_problems(
    analysis: Analysis, jet_variations: Mapping[str, str], eras: Mapping[str, tuple[lookups.Era, Path]]
) -> Iterator[str]:
    """List what is wrong with the systematics of an analysis of ROOT files.

    Args:
        analysis: what was asked.
        jet_variations: the jet systematics of the processor, by name.
        eras: the corrections, by the era's name.
    """
    names = [s.name for s in analysis.systematics]
    for i, systematic in enumerate(analysis.systematics):
        if systematic.kind == "scores":
            continue  # of a section of its own
        place = f"systematics.{i}"
        yield from _expression_problems(f"{place}.correction", systematic.correction)
        if names.count(systematic.name) > 1 and names.index(systematic.name) != i:
            yield f"{place}: '{systematic.name}' is listed twice"
        acting = [era for name, (era, _) in eras.items() if systematic.eras is None or name in systematic.eras]
        lacking = [era for era in acting if systematic.name not in era.corrections]
        known = {*BUILT_IN, *jet_variations, *(name for era in acting for name in era.corrections)}
        if systematic.name in jet_variations:
            if kind_of(systematic) == "weight" and systematic.kind is not None:
                yield f"{place}.kind: '{systematic.name}' moves jets"
        elif systematic.kind == "jets":
            near = nearest(systematic.name, jet_variations)
            yield f"{place}: the processor has no jet systematic '{systematic.name}'; {near}"
        elif systematic.correction is None and systematic.name in generator_weights.GENERATOR_SYSTEMATICS:
            pass  # from branches, whatever the era
        elif systematic.kind == "envelope":
            yield f"{place}: only 'scale' is an envelope; the file would have to say what the members are"
        elif systematic.correction is None and lacking:
            near = nearest(systematic.name, known)
            if len(lacking) < len(acting):
                having = ", ".join(name for name, (era, _) in eras.items() if era in acting and era not in lacking)
                near = f"'eras: [{having}]' of the systematic has it act in the others alone"
            yield f"{place}: no systematic '{systematic.name}' in era '{lacking[0].name}'; {near}"
