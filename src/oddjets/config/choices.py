"""A list of choices of an analysis: scores, efficiencies, regions, observables, signals, or whole analyses."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from oddjets.config.analysis import Analysis, find_analysis, load_analysis
from oddjets.config.yaml import ConfigError, Name, StrictModel, describe_errors, merge_mappings, read_extended
from oddjets.core.errors import InputFileError, OddjetsError

__all__ = ["Choice", "ChoiceGrid", "Choices", "load_choices"]

#: more are no list that somebody made, and hours of fits
MOST = 200


class ChoiceGrid(StrictModel):
    """Lists whose combinations are choices; what is not given is as in the analysis."""

    scores: tuple[Name, ...] = Field(default=(), description="scores that the threshold is on, from 'scores'")
    efficiencies: tuple[float, ...] = Field(default=(), description="efficiencies of the threshold; 0.01 is 1 %")
    regions: dict[str, tuple[Name, ...]] = Field(
        default={}, description="sets of regions that are fitted together: a name for each set, and its regions"
    )
    observables: tuple[Name, ...] = Field(default=(), description="observables that are fitted, from 'observables'")
    signals: tuple[Name, ...] = Field(default=(), description="processes whose strength is tested")

    @field_validator("efficiencies")
    @classmethod
    def _fractions(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < efficiency < 1 for efficiency in value):
            raise ValueError("an efficiency is above 0 and below 1; 0.01 is 1 %")
        return value

    @model_validator(mode="after")
    def _different(self) -> ChoiceGrid:
        for name in ("scores", "efficiencies", "observables", "signals"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise ValueError(f"{name}: something is there twice")
        if empty := [name for name, of in self.regions.items() if not of]:
            raise ValueError(f"regions: the set '{empty[0]}' is empty; name the regions that are fitted together")
        parts = (self.scores, self.efficiencies, self.regions, self.observables, self.signals)
        asked = prod(len(part) for part in parts if part)
        # a combination that took another one's name would be lost in silence
        if any(parts) and len(self.combinations()) < asked:
            raise ValueError(
                "two combinations have the same name: efficiencies that agree in six digits, or names of sets, scores or"
                " observables with a comma in them"
            )
        return self

    def combinations(self) -> dict[str, dict[str, Any]]:
        """Return a name for each combination, and what it changes in the analysis; nothing for an empty grid."""
        parts: list[list[tuple[str, dict[str, Any]]]] = [
            [(score, {"threshold": {"score": score}}) for score in self.scores],
            [(f"{100 * e:g} %", {"threshold": {"efficiency": e, "value": None}}) for e in self.efficiencies],
            [(name, {"fit": {"regions": list(of)}}) for name, of in self.regions.items()],
            [(name, {"fit": {"observable": name}}) for name in self.observables],
            [(name, {"fit": {"poi": {"process": name}}}) for name in self.signals],
        ]
        parts = [part for part in parts if part]
        found: dict[str, dict[str, Any]] = {}
        for combination in product(*parts) if parts else ():
            changes: dict[str, Any] = {}
            for _, own in combination:
                changes = merge_mappings(changes, own)
            found[", ".join(word for word, _ in combination)] = changes
        return found


class Choice(StrictModel):
    """One choice: another analysis, or changes."""

    analysis: str | None = Field(
        default=None, description="an analysis, next to this file or in the package; not given: that of 'of'"
    )
    changes: dict[str, Any] = Field(default={}, description="keys that are laid over the analysis's")


class Choices(StrictModel):
    """Several ways to look at the same events, for `oddjets study choices`."""

    name: Name = Field(description="the name of the output folder")
    title: str = Field(default="", description="what was chosen, for the report")
    of: str = Field(
        description="the analysis whose events are used, next to this file or in the package; the grid changes it"
    )
    choices: dict[str, Choice] = Field(default={}, description="choices one by one, by name")
    grid: ChoiceGrid = Field(default=ChoiceGrid(), description="lists whose combinations are choices")

    @model_validator(mode="after")
    def _several(self) -> Choices:
        names = [*self.choices, *self.grid.combinations()]
        if len(set(names)) < len(names):
            raise ValueError("a choice and a combination of the grid have the same name")
        if len(names) < 2:
            number = "is one choice" if names else "are no choices"
            raise ValueError(f"there {number}, and a study of choices compares at least two")
        if len(names) > MOST:
            raise ValueError(f"there are {len(names)} choices, more than {MOST}; leave some out of the grid")
        return self


def load_choices(path: Path) -> tuple[Choices, Analysis, dict[str, Analysis]]:
    """Read a list of choices.

    Args:
        path: the YAML file.

    Returns:
        The list, the analysis whose events are used, and each choice's analysis by its name.

    Raises:
        ConfigError: the file, or an analysis with a choice's changes, is not valid; all errors are listed.
        InputFileError: an analysis is not there.
    """
    data = read_extended(path)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a list of choices is a mapping with keys such as name, of, choices, grid")
    if "of" not in data and ("fit" in data or "regions" in data):
        raise ConfigError(f"{path}: this is an analysis; a list of choices names one in 'of' (docs/scrutiny.md)")
    try:
        found = Choices.model_validate(data)
    except ValidationError as error:
        raise ConfigError.of_problems(str(path), describe_errors(error, Choices)) from None

    def find(name: str) -> Path:
        beside = path.parent / name
        return beside if beside.is_file() else find_analysis(name)

    def load(place: str, name: str, changes: Mapping[str, Any]) -> Analysis:
        try:
            return load_analysis(find(name), changes or None)
        except InputFileError as error:
            raise InputFileError(f"{path}: {place}: {error}") from None
        except OddjetsError as error:
            raise ConfigError(f"{path}: {place}: {error}") from None

    made = {
        name: load(f"choices.{name}", choice.analysis or found.of, choice.changes)
        for name, choice in found.choices.items()
    }
    for name, changes in found.grid.combinations().items():
        made[name] = load(f"grid, {name}", found.of, changes)
    return found, load("of", found.of, {}), made
