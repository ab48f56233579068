"""The layout of Aspen Open Jets: HDF5 files of single AK8 jets of CMS's data of 2016 (arXiv:2412.10504).

A row is a jet. `event_info` says of which event it is: an event has up to five rows, which follow each other. `PFCands` holds
the first 150 constituents in the order in which the jet links to them, which is not that of pT, with momenta that are not
multiplied by PUPPI weights; places beyond a jet's last constituent are zero.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import Cause, InputFileError, OddjetsError, nearest
from oddjets.core.files import atomic_write

__all__ = [
    "CANDIDATE_COLUMNS",
    "JETS_PER_EVENT",
    "JET_COLUMNS",
    "LACKING",
    "LOWEST_PT",
    "MOST_CONSTITUENTS",
    "SHAPES",
    "SIGNATURE",
    "TAG_COLUMNS",
    "AspenFile",
    "find_files",
    "inspect",
    "open_datasets",
    "require_h5py",
    "write_file",
]

Array = npt.NDArray[Any]

#: places for constituents of a jet
MOST_CONSTITUENTS = 150
#: GeV, |eta| and jets of an event: what the makers of the files kept
LOWEST_PT, HIGHEST_ETA, JETS_PER_EVENT = 300.0, 2.5, 5
#: columns of the four keys
EVENT_COLUMNS = ("run", "luminosityBlock", "event")
JET_COLUMNS = ("pt", "eta", "phi", "mass")
CANDIDATE_COLUMNS = (
    "px", "py", "pz", "energy", "d0", "d0_error", "dz", "dz_error", "charge", "pdg_id", "puppi_weight",
)  # fmt: skip
TAG_COLUMNS = (
    "n_constituents_stored", "tau1", "tau2", "tau3", "tau4", "h4q_vs_qcd", "hbb_vs_qcd", "hcc_vs_qcd", "particlenet_qcd",
    "t_vs_qcd", "w_vs_qcd", "z_vs_qcd", "mass_ungroomed",
)  # fmt: skip
#: key -> shape of a row
SHAPES: dict[str, tuple[int, ...]] = {
    "event_info": (len(EVENT_COLUMNS),),
    "jet_kinematics": (len(JET_COLUMNS),),
    "PFCands": (MOST_CONSTITUENTS, len(CANDIDATE_COLUMNS)),
    "jet_tagging": (len(TAG_COLUMNS),),
}
#: what no file has, for tables, manifests and reports
LACKING = (
    "leptons: there is no lepton veto",
    "decisions of single triggers: one of some 75 paths fired, prescaled ones too, so that rates follow no cross section",
    "decisions of single event filters: the eight of the makers were applied",
    f"jets below {LOWEST_PT:g} GeV, and those beyond the first {JETS_PER_EVENT} of an event",
    f"constituents beyond the first {MOST_CONSTITUENTS} in the order of the file, which is not that of pT",
    "b tags of DeepCSV, and taggers that do not follow the mass",
    "simulation: the files model no process",
)
#: the first bytes of every file
SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: of a number that is not an integer
_LEAST_BYTES = 4
#: rows that are compressed together by `write_file`
_ROWS = 200
#: attribute of `event_info` in files that were made from simulation; published files have none
_SIMULATED = "oddjets_simulation"
#: likewise, of those with processes at another rate than theirs: JSON of process to its strength
_INJECTED = "oddjets_inject"
#: errors of writing, which reading never has
_NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
#: bytes at the ends of a file by which it is known
_ENDS = 1 << 20


@dataclass(frozen=True)
class AspenFile:
    """A file of the layout.

    Attributes:
        path: of it.
        rows: jets.
        simulated: whether `write_file` says so in it.
        identity: a digest of its size and of its first and last MiB; reading all of it would take as long as importing it.
    """

    path: Path
    rows: int
    identity: str
    simulated: bool = False
    inject: Mapping[str, float] = field(default_factory=dict)


def require_h5py() -> ModuleType:
    """Return h5py.

    Raises:
        OddjetsError: it is not installed.
    """
    try:
        return importlib.import_module("h5py")
    except ImportError:
        raise OddjetsError("HDF5 files need h5py: pip install 'oddjets[hdf5]'") from None


def find_files(names: Iterable[str], folder: Path) -> list[Path]:
    """Return the HDF5 files that names mean, each once, in the order given and sorted within a folder or pattern.

    Args:
        names: files, folders (their ``*.h5``) or patterns with ``*``.
        folder: where relative names start; one that means nothing there starts in the current folder.

    Raises:
        InputFileError: a name means no file.
    """
    #: a link keeps its own name, by which published files are known, and a file that is meant twice is read once
    found: dict[Path, Path] = {}
    for name in names:
        path = folder / Path(name).expanduser()
        files = _meant(path) or _meant(Path(name).expanduser())
        if not files:
            there = sorted(p.name for p in path.parent.glob("*.h5")) if path.parent.is_dir() else []
            others = sorted(p.name for p in path.glob("*.h*5*")) if path.is_dir() else []
            hint = f"{others[0]} has another ending: rename it, or name the file itself" if others else ""
            looked = f", neither in {folder.absolute()} nor here" if path != Path(name).expanduser() else ""
            raise InputFileError(
                f"{name}: {'no HDF5 files (*.h5) in it' if path.is_dir() else f'no such file{looked}'};"
                f" {hint or nearest(path.name, there) or 'docs/aspen.md says how to get them'}"
            )
        for file in files:
            found.setdefault(file.resolve(), file.absolute())
    return list(found.values())


def _meant(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.h5"))
    if any(sign in path.name for sign in "*?["):
        return sorted(path.parent.glob(path.name))
    return [path] if path.is_file() else []


@contextmanager
def open_datasets(path: Path) -> Iterator[dict[str, Any]]:
    """Open a file and check its form.

    Args:
        path: of it.

    Yields:
        Key to h5py's dataset, of `SHAPES`; slices of it are arrays.

    Raises:
        InputFileError: no HDF5, truncated, a key missing, of another shape or type, or one that has another number of rows;
            also where something cannot be read later, inside the ``with``.
    """
    h5py = require_h5py()
    try:
        with h5py.File(path, "r") as file:
            lacking = [key for key in SHAPES if key not in file]
            if lacking:
                raise InputFileError(
                    f"{path}: no key '{lacking[0]}'; {nearest(lacking[0], list(file)) or 'it has none at all'}. A file of Aspen"
                    f" Open Jets has {', '.join(SHAPES)}"
                )
            datasets = {key: _dataset(path, file, key) for key in SHAPES}
            if len({len(dataset) for dataset in datasets.values()}) > 1:
                sizes = ", ".join(f"{key} {len(dataset)}" for key, dataset in datasets.items())
                raise InputFileError(f"{path}: the keys have different numbers of jets: {sizes}; get the file again")
            yield datasets
    except (OSError, RuntimeError) as error:  # h5py knows no other kinds for damaged files
        # what is written inside the ``with``, such as scores, may find a full disk: that says nothing about this file
        if isinstance(error, OddjetsError) or getattr(error, "errno", None) in _NO_OUTPUT:
            raise
        why = _no_hdf5(path) or " ".join(str(error).split())
        cause: Cause = "truncated" if "truncated" in why else "damaged" if path.is_file() else "missing file"
        raise InputFileError(
            f"{path}: cannot be read as HDF5 ({cause}; {why[:200]}); get the file again, or leave it out", cause=cause
        ) from None


def _dataset(path: Path, file: Any, key: str) -> Any:
    """Return a dataset of the layout.

    Raises:
        InputFileError: it is of another form, or kept in another file: who sends a file shall not choose what else is read.
    """
    if not isinstance(file.get(key, getlink=True), require_h5py().HardLink):
        raise InputFileError(f"{path}: '{key}' is a link and no dataset; get the file again")
    dataset = file[key]
    row, integers = SHAPES[key], key == "event_info"
    shape, kind = getattr(dataset, "shape", None), getattr(dataset, "dtype", None)
    if shape is not None and (dataset.is_virtual or dataset.external):
        raise InputFileError(f"{path}: '{key}' is kept in another file; give that one, or get the file again")
    # half precision has not the digits of what was measured
    fits = kind is not None and (
        kind.kind in "iu" or (not integers and kind.kind == "f" and kind.itemsize >= _LEAST_BYTES)
    )
    if shape is None or tuple(shape[1:]) != row or not fits:
        rows = ", ".join(str(n) for n in ("jets", *row))
        what = f"has shape {shape} and type {kind}" if shape is not None else "is a group, or empty"
        raise InputFileError(
            f"{path}: '{key}' {what}, not ({rows}) of {'integers' if integers else 'numbers of 32 bits or more'}"
        )
    return dataset


def _no_hdf5(path: Path) -> str:
    """Return why a file cannot be HDF5 at all; "" where it begins as one."""
    if path.is_dir():
        return "it is a folder"
    try:
        with path.open("rb") as stream:
            begin = stream.read(len(SIGNATURE))
    except OSError:
        return ""
    if begin == SIGNATURE:
        return ""
    if begin.lstrip()[:1] == b"<":
        return "it is a page of a website in the place of the file"
    return f"it begins with {begin!r}, which no HDF5 file does" if begin else "it has no bytes"


def inspect(path: Path) -> AspenFile:
    """Open a file, check its form and return what it is; no jets are read.

    Raises:
        InputFileError: see `open_datasets`.
    """
    with open_datasets(path) as datasets:
        rows = len(datasets["event_info"])
        simulated = bool(datasets["event_info"].attrs.get(_SIMULATED, False))
        stated = datasets["event_info"].attrs.get(_INJECTED, "{}")
    try:
        inject = {str(process): float(strength) for process, strength in json.loads(stated).items()}
    except (ValueError, TypeError, AttributeError):
        raise InputFileError(
            f"{path}: the attribute '{_INJECTED}' is no JSON of process: strength; write it again"
        ) from None
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        digest.update(stream.read(_ENDS))
        stream.seek(max(0, size - _ENDS))
        digest.update(stream.read(_ENDS))
    return AspenFile(path, rows, digest.hexdigest()[:32], simulated, inject)


def write_file(
    path: Path,
    pieces: Iterable[Mapping[str, Array]],
    *,
    simulated: bool,
    inject: Mapping[str, float] | None = None,
) -> int:
    """Write a file of the layout; it appears under its name when it is complete.

    Args:
        path: its folder is made.
        pieces: key to rows, of `SHAPES`; any may have none.
        simulated: whether an attribute says that the jets are simulated; it is all that a published file has not.
        inject: process -> its strength in units of its cross section, of simulated processes with another rate than theirs;
            another attribute says it.

    Returns:
        The number of jets.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with atomic_write(path) as temporary, require_h5py().File(temporary, "w") as file:
        for key, row in SHAPES.items():
            kind = np.int64 if key == "event_info" else np.float32
            file.create_dataset(
                key,
                (0, *row),
                kind,
                maxshape=(None, *row),
                chunks=(_ROWS, *row),
                compression="gzip",
                compression_opts=4,
            )
        if simulated:
            file["event_info"].attrs[_SIMULATED] = True
        if inject:
            file["event_info"].attrs[_INJECTED] = json.dumps(dict(inject))
        for piece in pieces:
            more = len(piece["event_info"])
            for key in SHAPES:
                file[key].resize(rows + more, axis=0)
                file[key][rows:] = piece[key]
            rows += more
    return rows
