"""Corrections: correctionlib lookups configured per era.

``corrections/<era>.yaml`` names files (with sha256 and source) and, for each correction, the key in the file and what
its inputs are; it may extend another era. A file whose source is a URL is official: it is not ours to hand on, so it is
looked for in a cache that `oddjets fetch` fills.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import correctionlib
import numpy as np
import numpy.typing as npt
import platformdirs
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from oddjets.config.eras import Label
from oddjets.config.systematics import CorrectionSpec
from oddjets.config.yaml import ConfigError, describe_errors, read_extended
from oddjets.core import resources
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.core.expressions import ExpressionError, evaluate
from oddjets.core.files import sha256_of
from oddjets.core.paths import inside_folder

__all__ = [
    "CorrectionFile",
    "Era",
    "JesSources",
    "NotFiniteError",
    "Period",
    "cache_folder",
    "era_yamls",
    "load_era",
    "locate",
    "lookup",
    "unchecked_files",
    "verified_path",
    "weight",
]

Array = npt.NDArray[np.float64]

#: in place of a sha256: the file could not be had when the era was written
UNCHECKED = "unchecked"


class NotFiniteError(OddjetsError):
    """An input of a correction that is NaN or infinite, for which correctionlib would take a value at an edge."""


class CorrectionFile(BaseModel):
    """A file that corrections are read from, and where it comes from.

    Attributes:
        path: relative to the era's YAML; of an official file, relative to the era's folder in the cache.
        sha256: of its content; ``unchecked``: nobody could look at the publisher's file yet, so that any version is taken,
            which `oddjets fetch`, the manifest and the report say.
        source: the URL of an official file, or how ours was made.
        folder: of the YAML that states it, where that is another than the era's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str = Field(pattern=f"^([0-9a-f]{{64}}|{UNCHECKED})$")
    source: str
    folder: Path | None = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="after")
    def _check_path(self) -> CorrectionFile:
        if self.official:
            inside_folder(self.path, "the cache")
        return self

    @property
    def official(self) -> bool:
        """Whether it is downloaded into the cache."""
        return "://" in self.source

    @property
    def checked(self) -> bool:
        """Whether its content is compared with a sha256."""
        return self.sha256 != UNCHECKED


class Period(BaseModel):
    """A part of data taking: its runs, first and last (several such ranges if it has gaps), and its certified luminosity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: tuple[int, int] | tuple[tuple[int, int], ...]
    luminosity_pb: float = Field(gt=0)

    @property
    def ranges(self) -> Any:
        """Its ranges of runs, each the first and the last one."""
        return (self.runs,) if isinstance(self.runs[0], int) else self.runs

    def has(self, runs: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return which runs belong to it, in the shape of ``runs``."""
        return np.asarray(np.any([(runs >= first) & (runs <= last) for first, last in self.ranges], axis=0))

    def __str__(self) -> str:
        return " and ".join(f"{first}-{last}" for first, last in self.ranges)


class JesSources(BaseModel):
    """The sources of the jet energy scale's uncertainty, each a correction of one file.

    Attributes:
        file: a correctionlib JSON, by its name in the era's YAML.
        key: of a source's correction in the file; ``{source}`` stands for its name.
        inputs: as for other corrections.
        names: the sources; one of the same name in another era is the same nuisance parameter.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    key: str = Field(pattern=r"\{source\}")
    inputs: dict[str, str | float | int]
    names: tuple[str, ...] = Field(min_length=1)

    @property
    def systematics(self) -> dict[str, CorrectionSpec]:
        """Systematic, ``jes`` and the source's name, to its correction."""
        return {
            f"jes{name}": CorrectionSpec(file=self.file, key=self.key.replace("{source}", name), inputs=self.inputs)
            for name in self.names
        }


class Era(BaseModel):
    """The corrections of one data-taking period."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, BeforeValidator(str)] = Field(
        pattern=r"^\w[\w.-]*$", description="also of its folder in the cache; datasets state it"
    )
    energy_TeV: float = 13.0
    description: str = ""
    files: dict[str, CorrectionFile] = {}
    corrections: dict[str, CorrectionSpec] = {}
    golden_json: str | None = Field(default=None, description="which of the files says what is certified")
    periods: dict[str, Period] = {}
    jet_id: Literal["2016UL", "2017UL", "2018UL", "Run3"] | None = Field(
        default=None,
        description="criteria of the tight ID, for files without FatJet_jetId; a correction 'jet_id' takes precedence",
    )
    jet_mass_scale: float = Field(default=0.02, ge=0, lt=1, description="relative uncertainty of a jet's mass")
    jet_mass_resolution: float = Field(default=0.02, ge=0, lt=1, description="of its resolution, relative to the mass")
    jes_sources: JesSources | None = Field(default=None, description="for analyses with 'jes: sources'")
    correlations: dict[str, Label] = Field(
        default={},
        description="systematic to label, for analyses of several eras: one nuisance parameter for eras with the same label,"
        " SYSTEMATIC_LABEL, or SYSTEMATIC where the label is 'all'; 'era' is the era's own name, also of one that extends this",
    )
    luminosity_uncertainties: dict[Label, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default={}, description="label to a part of the luminosity's relative uncertainty: the parameter lumi_LABEL"
    )

    @model_validator(mode="after")
    def _check_periods(self) -> Era:
        of_runs = sorted((*range_, name) for name, period in self.periods.items() for range_ in period.ranges)
        for first, last, name in of_runs:
            if last < first:
                raise ValueError(f"periods.{name}.runs: {first} to {last}: the first run is behind the last one")
        for (_, last, name), (first, _, other) in itertools.pairwise(of_runs):
            if first <= last:
                raise ValueError(f"periods: '{name}' and '{other}' both have run {first}: it would count twice")
        for name, spec in self.corrections.items():
            if isinstance(spec.key, dict) and spec.key.keys() != self.periods.keys():
                given, known = (", ".join(keys) or "none" for keys in (spec.key, self.periods))
                raise ValueError(f"corrections.{name}.key: is given for {given}, and the era's periods are {known}")
        return self


def load_era(name: str, beside: Path | None = None) -> tuple[Era, Path]:
    """Read ``corrections/<name>.yaml``, and the eras that it extends.

    Returns:
        The era and the folder of its file, from which relative paths in it start.

    Raises:
        OddjetsError: no such era, an error in its file, or one that extends itself or what is not there.
    """
    (file, *_), content = _era_content(name, beside)
    if not isinstance(content, dict):
        what = "is empty; " if content is None else ""
        raise ConfigError(f"{file}: {what}an era is a mapping with keys such as name, files, corrections")
    try:
        return Era.model_validate(content), file.parent
    except ValidationError as error:
        raise ConfigError(f"{file}:\n" + "\n".join(f"  {line}" for line in describe_errors(error, Era))) from None


def era_yamls(name: str, beside: Path | None = None) -> list[Path]:
    """Return the YAML of an era and those that it extends; see `load_era`."""
    return _era_content(name, beside)[0]


def _era_content(name: str, beside: Path | None) -> tuple[list[Path], Any]:
    file = resources.find(name, "corrections", beside, suffixes=(".yaml",))
    found: list[Path] = []

    def note(own: dict[Any, Any], opened: Path) -> None:
        found.append(opened)
        files = own.get("files")
        for entry in files.values() if isinstance(files, dict) else ():
            # what a file states starts in its folder, whoever extends it
            if isinstance(entry, dict) and "path" in entry and opened.parent != file.parent:
                entry["folder"] = opened.parent

    content = read_extended(file, kind="corrections", opened=note)
    return found or [file], content


def cache_folder() -> Path:
    """Return where downloads are kept: ``$ODDJETS_CACHE``, else the platform's folder for caches."""
    if chosen := os.environ.get("ODDJETS_CACHE"):
        return Path(chosen)
    return platformdirs.user_cache_path("oddjets", appauthor=False)


def locate(era: Era, folder: Path, name: str) -> Path:
    """Return where a file of an era is, or would be after `oddjets fetch`.

    Args:
        era: the era.
        folder: where its relative paths start.
        name: the file's name in the era's YAML.

    Raises:
        OddjetsError: the era has no file of this name.
    """
    if name not in era.files:
        raise OddjetsError(f"era '{era.name}': no correction file '{name}'; {nearest(name, era.files)}")
    file = era.files[name]
    return cache_folder() / era.name / file.path if file.official else (file.folder or folder) / file.path


def unchecked_files(era: Era, folder: Path) -> dict[str, str]:
    """Return the files of an era that are there and whose version nobody checked: name to the sha256 that they have."""
    paths = {name: locate(era, folder, name) for name, file in era.files.items() if not file.checked}
    return {name: sha256_of(path) for name, path in paths.items() if path.is_file()}


def verified_path(era: Era, folder: Path, name: str) -> Path:
    """Return where a file of an era is, after checking that it is there and has the sha256 that the era says.

    Raises:
        InputFileError: it is absent or another version; the message says how to get it.
    """
    path, file = locate(era, folder, name), era.files[name]
    advice = f"`oddjets fetch {era.name}` downloads it" if file.official else f"see 'files.{name}' in the era's YAML"
    _check(str(path), file.sha256, advice)
    return path


@functools.lru_cache(maxsize=64)
def _check(path: str, sha256: str, advice: str) -> None:
    """Compare a file with its sha256, once per process."""
    file = Path(path)
    if not file.is_file():
        raise InputFileError(f"{file}: no such correction file; {advice}")
    if sha256 != UNCHECKED and (found := sha256_of(file)) != sha256:
        raise InputFileError(
            f"{file}: sha256 is {found}, the era's YAML says {sha256}: the file is another version, or damaged"
        )


@functools.lru_cache(maxsize=32)
def _open(path: str, version: str) -> correctionlib.CorrectionSet:
    """Open a correction file once per process; its version stands in the key, so that two versions don't mix."""
    try:
        return correctionlib.CorrectionSet.from_file(path)
    except Exception as error:  # correctionlib raises bare RuntimeError and others
        raise InputFileError(f"{path}: not a correctionlib file ({error})") from None


def lookup(
    era: Era, folder: Path, spec: CorrectionSpec, columns: Mapping[str, npt.NDArray[Any]], variation: str | None
) -> Array:
    """Evaluate one correction.

    Args:
        era: the era, whose files ``spec.file`` may name.
        folder: where the era's relative paths start.
        spec: key and inputs.
        columns: what the input expressions may use, all of one shape; with run, luminosityBlock and event among them, an
            error can name an event.
        variation: what an input given as ``variation`` gets.

    Returns:
        The correction, of the columns' shape.

    Raises:
        NotFiniteError: an input is NaN or infinite; the message has no file, which the caller knows.
        OddjetsError: an unknown file, key or input; the message has the nearest names; values that the correction refuses; or a
            key that depends on the period, and a run that is in none.
    """
    if spec.file is None or spec.key is None:
        raise OddjetsError(f"era '{era.name}': this correction needs a correctionlib 'file' and 'key'")
    if isinstance(spec.key, dict):
        return _lookup_by_period(era, folder, spec, columns, variation)
    path = verified_path(era, folder, spec.file)
    file = era.files[spec.file]
    corrections = _open(str(path), file.sha256 if file.checked else str(path.stat().st_mtime_ns))
    known: Mapping[str, Any] = {**corrections, **corrections.compound}
    if spec.key not in known:
        raise OddjetsError(f"{path.name}: no correction '{spec.key}'; {nearest(spec.key, known)}")
    correction = known[spec.key]
    names = [i.name for i in correction.inputs]
    wrong = [n for n in names if n not in spec.inputs] + [n for n in spec.inputs if n not in names]
    if wrong:
        raise OddjetsError(
            f"correction '{spec.key}': inputs are {', '.join(names)}; '{wrong[0]}' is missing or unknown"
        )
    arguments: list[Any] = []
    shape: tuple[int, ...] = ()
    for name in names:
        value = spec.inputs[name]
        if value == "variation":
            arguments.append(variation)
        elif isinstance(value, str):
            try:
                array = evaluate(value, columns)
            except ExpressionError as error:
                raise type(error)(f"input '{name}' of the correction '{spec.key}': {error}") from None
            _require_finite(array, f"{value} (input '{name}' of the correction '{spec.key}')", columns)
            shape = np.broadcast_shapes(shape, array.shape)
            arguments.append(array if array.dtype.kind in "iu" else array.astype(np.float64))
        else:
            _require_finite(np.asarray(value), f"input '{name}' of the correction '{spec.key}'", {})
            arguments.append(value)
    flat = [np.broadcast_to(a, shape).ravel() if isinstance(a, np.ndarray) else a for a in arguments]
    try:
        found = correction.evaluate(*flat)
    # a category that it does not have, numbers for a string, a value beyond bins that end in an error
    except (IndexError, RuntimeError, TypeError, ValueError) as error:
        raise OddjetsError(f"correction '{spec.key}' of {path.name} cannot be evaluated: {error}") from None
    return np.asarray(found, dtype=np.float64).reshape(shape)


def _lookup_by_period(
    era: Era, folder: Path, spec: CorrectionSpec, columns: Mapping[str, npt.NDArray[Any]], variation: str | None
) -> Array:
    """Evaluate a correction whose key is that of the era's period which a run belongs to."""
    assert isinstance(spec.key, dict)
    runs = np.asarray(columns["run"])
    found, known = np.empty(runs.shape), np.zeros(runs.shape, dtype=bool)
    for period, key in spec.key.items():
        here = era.periods[period].has(runs) & ~known
        if here.any():
            of_period = {name: np.asarray(values)[here] for name, values in columns.items()}
            found[here] = lookup(era, folder, spec.model_copy(update={"key": key}), of_period, variation)
        known |= here
    if not known.all():
        raise OddjetsError(
            f"era '{era.name}': run {runs[~known][0]} is in none of its periods ({', '.join(era.periods)}), and its"
            f" correction '{next(iter(spec.key.values()))}' and others depend on them: are these data of another era?"
        )
    return found


def _require_finite(values: npt.NDArray[Any], what: str, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Refuse what is not finite, naming the first event that it is in."""
    if values.dtype.kind != "f" or (bad := ~np.isfinite(values)).sum() == 0:
        return
    keys = ("run", "luminosityBlock", "event")
    if values.ndim == 0 or not all(key in columns for key in keys):
        raise NotFiniteError(f"{what} is not finite")
    identities = np.stack([np.broadcast_to(columns[key], values.shape)[bad].astype(np.uint64) for key in keys], axis=1)
    first, number = ":".join(str(part) for part in identities[0]), len(np.unique(identities, axis=0))
    raise NotFiniteError(
        f"{what} is not finite in {number} event(s), the first being {first} (run:luminosityBlock:event); leave the file"
        " out or correct it"
    )


def weight(
    era: Era, folder: Path, spec: CorrectionSpec, columns: Mapping[str, npt.NDArray[Any]], direction: str | None
) -> Array | None:
    """Return a weight correction, nominal (``direction`` None), Up or Down; None where there is no nominal weight."""
    name = {None: spec.nominal, "Up": spec.up, "Down": spec.down}[direction]
    if name is None:
        return None
    if spec.file is None:
        return np.asarray(evaluate(name, columns), dtype=np.float64)
    return lookup(era, folder, spec, columns, name)
