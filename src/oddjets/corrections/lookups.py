"""Corrections: correctionlib lookups configured per era.

``corrections/<era>.yaml`` names files (with sha256 and source) and, for each correction, the key in the file and what
its inputs are. A file whose source is a URL is official: it is not ours to hand on, so it is looked for in a cache that
`oddjets fetch` fills.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import correctionlib
import numpy as np
import numpy.typing as npt
import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from oddjets.config.analysis import Analysis, CorrectionSpec
from oddjets.config.taggers import DEEP_CSV
from oddjets.config.yaml import ConfigError, describe_errors, read_yaml
from oddjets.core import resources
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.core.expressions import evaluate
from oddjets.core.files import sha256_of
from oddjets.core.paths import inside_folder

__all__ = [
    "CorrectionFile",
    "Era",
    "NotFiniteError",
    "Period",
    "cache_folder",
    "check_working_point",
    "load_era",
    "locate",
    "lookup",
    "verified_path",
    "weight",
    "working_point",
]

Array = npt.NDArray[np.float64]


class NotFiniteError(OddjetsError):
    """An input of a correction that is NaN or infinite, for which correctionlib would take a value at an edge."""


class CorrectionFile(BaseModel):
    """A file that corrections are read from, and where it comes from.

    Attributes:
        path: relative to the era's YAML; of an official file, relative to the era's folder in the cache.
        sha256: of its content.
        source: the URL of an official file, or how ours was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    source: str

    @model_validator(mode="after")
    def _check_path(self) -> CorrectionFile:
        if self.official:
            inside_folder(self.path, "the cache")
        return self

    @property
    def official(self) -> bool:
        """Whether it is downloaded into the cache."""
        return "://" in self.source


class Period(BaseModel):
    """A part of data taking: its runs, first and last, and its certified luminosity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: tuple[int, int]
    luminosity_pb: float = Field(gt=0)


class Era(BaseModel):
    """The corrections of one data-taking period."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^\w[\w.-]*$", description="also of its folder in the cache")
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
    jet_mass_scale: float = 0.02
    jet_mass_resolution: float = 0.02


def load_era(name: str, beside: Path | None = None) -> tuple[Era, Path]:
    """Read ``corrections/<name>.yaml``.

    Returns:
        The era and the folder of its file, from which relative paths in it start.

    Raises:
        OddjetsError: no such era, or an error in its file.
    """
    file = resources.find(name, "corrections", beside, suffixes=(".yaml",))
    try:
        return Era.model_validate(read_yaml(file)), file.parent
    except ValidationError as error:
        raise ConfigError(f"{file}:\n" + "\n".join(f"  {line}" for line in describe_errors(error, Era))) from None


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
    return cache_folder() / era.name / file.path if file.official else folder / file.path


def verified_path(era: Era, folder: Path, name: str) -> Path:
    """Return where a file of an era is, after checking that it is there and has the sha256 that the era says.

    Raises:
        InputFileError: it is absent or another version; the message says how to get it.
    """
    path = locate(era, folder, name)
    _check(str(path), era.files[name].sha256, f"`oddjets fetch {era.name}` downloads it")
    return path


@functools.lru_cache(maxsize=64)
def _check(path: str, sha256: str, advice: str) -> None:
    """Compare a file with its sha256, once per process."""
    file = Path(path)
    if not file.is_file():
        raise InputFileError(f"{file}: no such correction file; {advice}")
    found = sha256_of(file)
    if found != sha256:
        raise InputFileError(
            f"{file}: sha256 is {found}, the era's YAML says {sha256}: the file is another version, or damaged"
        )


@functools.lru_cache(maxsize=32)
def _open(path: str, sha256: str) -> correctionlib.CorrectionSet:
    """Open a correction file once per process; the sha256 stands in the key, so that two versions don't mix."""
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
        OddjetsError: an unknown file, key or input; the message has the nearest names.
    """
    if spec.file is None or spec.key is None:
        raise OddjetsError(f"era '{era.name}': this correction needs a correctionlib 'file' and 'key'")
    path = verified_path(era, folder, spec.file)
    corrections = _open(str(path), era.files[spec.file].sha256)
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
            array = evaluate(value, columns)
            _require_finite(array, f"{value} (input '{name}' of the correction '{spec.key}')", columns)
            shape = np.broadcast_shapes(shape, array.shape)
            arguments.append(array)
        else:
            _require_finite(np.asarray(value), f"input '{name}' of the correction '{spec.key}'", {})
            arguments.append(value)
    flat = [
        np.broadcast_to(a, shape).ravel().astype(a.dtype if a.dtype.kind in "iu" else np.float64)
        if isinstance(a, np.ndarray)
        else a
        for a in arguments
    ]
    return np.asarray(correction.evaluate(*flat), dtype=np.float64).reshape(shape)


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


def working_point(era: Era, folder: Path) -> float | None:
    """Return the b tag's working point that the era's correction ``btag`` names; None where it has none."""
    spec = era.corrections.get("btag")
    return None if spec is None else float(lookup(era, folder, spec, {}, spec.nominal))


def check_working_point(analysis: Analysis, era: Era, folder: Path) -> None:
    """Refuse a b tag that is not the working point which the era's file names.

    Raises:
        OddjetsError: ``selection.btag_min`` is another number.
    """
    if analysis.selection.taggers.branch("btag") != DEEP_CSV:
        # the era's file is about DeepCSV, and the working point of another tagger is the user's own
        return
    stated = working_point(era, folder)
    if stated is not None and abs(stated - analysis.selection.btag_min) > 1e-6:
        assert era.corrections["btag"].nominal is not None
        raise OddjetsError(
            f"selection.btag_min: {analysis.selection.btag_min} is not working point '{era.corrections['btag'].nominal}' of era"
            f" '{era.name}', which is {stated:.4f}"
        )
