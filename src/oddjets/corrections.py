"""Corrections: correctionlib lookups configured per era, and the variations of jets.

``corrections/<era>.yaml`` names files (with sha256 and source) and, for each correction, the key in the file and what
its inputs are. Functions here take and return arrays; jets have shape (events, 2).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import correctionlib
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from oddjets import resources
from oddjets.config import ConfigError, CorrectionSpec, problems_of, read_yaml
from oddjets.errors import InputFileError, OddjetsError, nearest
from oddjets.expressions import evaluate

__all__ = [
    "CorrectionFile",
    "Era",
    "groomed_gen_mass",
    "load_era",
    "lookup",
    "mass_resolution",
    "mass_scale",
    "standard_normal",
    "weight",
]

Array = npt.NDArray[np.float64]


class CorrectionFile(BaseModel):
    """A correctionlib JSON and where it comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sha256: str
    source: str


class Era(BaseModel):
    """The corrections of one data-taking period."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    energy_TeV: float = 13.0
    description: str = ""
    files: dict[str, CorrectionFile] = {}
    corrections: dict[str, CorrectionSpec] = {}
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
        raise ConfigError(f"{file}:\n" + "\n".join(f"  {line}" for line in problems_of(error, Era))) from None


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@functools.lru_cache(maxsize=32)
def _open(path: str, sha256: str) -> correctionlib.CorrectionSet:
    """Open a correction file once per process; the sha256 is checked before anything is read from it."""
    file = Path(path)
    if not file.is_file():
        raise InputFileError(f"{file}: no such correction file; `oddjets fetch` downloads the official ones")
    found = sha256_of(file)
    if found != sha256:
        raise InputFileError(
            f"{file}: sha256 is {found}, the era's YAML says {sha256}: another version, or tampered with"
        )
    try:
        return correctionlib.CorrectionSet.from_file(str(file))
    except Exception as error:  # correctionlib raises bare RuntimeError and others
        raise InputFileError(f"{file}: no correctionlib file ({error})") from None


def lookup(
    era: Era, folder: Path, spec: CorrectionSpec, columns: Mapping[str, npt.NDArray[Any]], variation: str | None
) -> Array:
    """Evaluate one correction.

    Args:
        era: the era, whose files ``spec.file`` may name.
        folder: where the era's relative paths start.
        spec: key and inputs.
        columns: what the input expressions may use, all of one shape.
        variation: what an input given as ``variation`` gets.

    Returns:
        The correction, of the columns' shape.

    Raises:
        OddjetsError: an unknown file, key or input; the message has the nearest names.
    """
    if spec.file is None or spec.key is None:
        raise OddjetsError(f"era '{era.name}': this correction needs a correctionlib 'file' and 'key'")
    if spec.file not in era.files:
        raise OddjetsError(f"era '{era.name}': no correction file '{spec.file}'; {nearest(spec.file, era.files)}")
    file = era.files[spec.file]
    path = Path(file.path)
    corrections = _open(str(path if path.is_absolute() else folder / path), file.sha256)
    known: Mapping[str, Any] = {**corrections, **corrections.compound}
    if spec.key not in known:
        raise OddjetsError(f"{file.path}: no correction '{spec.key}'; {nearest(spec.key, known)}")
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
            shape = np.broadcast_shapes(shape, array.shape)
            arguments.append(array)
        else:
            arguments.append(value)
    flat = [
        np.broadcast_to(a, shape).ravel().astype(a.dtype if a.dtype.kind in "iu" else np.float64)
        if isinstance(a, np.ndarray)
        else a
        for a in arguments
    ]
    return np.asarray(correction.evaluate(*flat), dtype=np.float64).reshape(shape)


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


def mass_scale(mass: Array, sign: int, size: float) -> Array:
    """Return the soft-drop mass under JMS: m (1 +- size) (FACTS 5)."""
    return mass * (1.0 + sign * size)


def mass_resolution(mass: Array, gen_mass: Array, sign: int, size: float, noise: Array) -> Array:
    """Return the soft-drop mass under JMR (FACTS 5): m' = m + (s - 1)(m - m_gen) with s = 1 +- size.

    Args:
        mass: soft-drop mass, GeV.
        gen_mass: groomed mass of the matched generator jet, GeV; NaN where there is none.
        sign: +1 or -1.
        size: relative size of the resolution's uncertainty.
        noise: standard normal numbers, for jets without a match: those are smeared by an extra
            sqrt(s^2 - 1) x 10 % of the mass (up; a smearing can't undo resolution, so down leaves them).

    Returns:
        The varied mass, GeV, not below 0.
    """
    scale = 1.0 + sign * size
    matched = np.isfinite(gen_mass)
    shifted = mass + (scale - 1.0) * (mass - np.where(matched, gen_mass, 0.0))
    smeared = mass * (1.0 + 0.1 * np.sqrt(max(scale**2 - 1.0, 0.0)) * noise)
    return np.maximum(np.where(matched, shifted, smeared), 0.0)


def standard_normal(
    run: npt.NDArray[Any], block: npt.NDArray[Any], event: npt.NDArray[Any], jet: int, stream: str
) -> Array:
    """Return standard normal numbers that depend on (run, luminosityBlock, event, jet) and the stream alone.

    So a jet's smearing is the same for every chunking, executor and order of reading. Two rounds of the splitmix64 mixer
    (Steele, Lea & Flood 2014) over the identifiers, then Box-Muller.

    Args:
        run: shape (n,), integers, as are `block` and `event`.
        block: luminosity block.
        event: event number.
        jet: the jet's number, 1 or 2.
        stream: names the use, so that two uses are independent.
    """
    salt = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:8], "little")

    def mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))

    state = np.full(np.shape(event), np.uint64(salt))
    for part in (run, block, event, np.full(np.shape(event), jet)):
        state = mix(state ^ np.asarray(part).astype(np.uint64))
    first, second = mix(state), mix(mix(state) ^ np.uint64(0xD1B54A32D192ED03))
    # 53 bits, never exactly zero
    u = ((first >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    v = ((second >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    return np.asarray(np.sqrt(-2.0 * np.log(u)) * np.cos(2.0 * np.pi * v))


def groomed_gen_mass(
    jet_eta: Array,
    jet_phi: Array,
    subjets: Mapping[str, npt.NDArray[Any]],
    offsets: npt.NDArray[np.int64],
    radius: float = 0.8,
) -> Array:
    """Return the mass of the summed generator subjets near each jet: the groomed generator mass (FACTS 5).

    `GenJetAK8_mass` is not groomed, and `SubGenJetAK8` has no index of its jet: subjets within ``radius`` of the axis of
    the (generator) jet are its own.

    Args:
        jet_eta: shape (events, 2); NaN where there is no generator jet.
        jet_phi: likewise.
        subjets: flat pt, eta, phi, mass (GeV).
        offsets: where each event's subjets start, shape (events + 1,).
        radius: in (eta, phi).

    Returns:
        Shape (events, 2), GeV; NaN where fewer than two subjets are found.
    """
    counts = np.diff(offsets)
    owner = np.repeat(np.arange(len(counts)), counts)
    pt, eta, phi, mass = (np.asarray(subjets[k], dtype=np.float64) for k in ("pt", "eta", "phi", "mass"))
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + mass**2)
    vectors = (energy, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
    out = np.full(jet_eta.shape, np.nan)
    for j in range(jet_eta.shape[1]):
        d_phi = (phi - jet_phi[owner, j] + np.pi) % (2 * np.pi) - np.pi
        near = np.hypot(eta - jet_eta[owner, j], d_phi) < radius
        n_near = np.bincount(owner[near], minlength=len(counts))
        sums = [np.bincount(owner[near], weights=v[near], minlength=len(counts)) for v in vectors]
        square = sums[0] ** 2 - sums[1] ** 2 - sums[2] ** 2 - sums[3] ** 2
        out[:, j] = np.where(n_near >= 2, np.sqrt(np.maximum(square, 0.0)), np.nan)
    return out
