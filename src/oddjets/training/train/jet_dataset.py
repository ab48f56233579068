"""Jets in memory without padding, read from OmniLearned's padded HDF5 files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import atomic_write
from oddjets.core.kinematics import offsets_from, positions
from oddjets.core.optional_imports import require
from oddjets.core.worker_pool import run_tasks
from oddjets.training.validate.reference import PaddedJets

__all__ = ["INFO", "JetSet", "read_jets", "shards"]

#: what must be known of each jet beside its constituents (GeV); `event` is that of the file
INFO = ("pt", "eta", "msoftdrop", "tau1", "tau2", "tau3", "event")
#: rows of a file that are unpacked at a time: a gigabyte of them, padded
_ROWS = 200_000


@dataclass(frozen=True)
class JetSet:
    """Jets, one after the other.

    Attributes:
        offsets: of each jet's constituents, shape (n_jets + 1,).
        x: d_eta, d_phi, ln pT, ln E (GeV), in descending pT, shape (n_constituents, 4).
        pid: species, shape (n_constituents,).
        add: tanh d0, d0 error, tanh dz, dz error (cm), shape (n_constituents, 4).
        label: output index of the jet's class, see `oddjets.training.class_labels`, shape (n_jets,).
        info: columns of `INFO` except the event, float32, shape (n_jets, len(INFO) - 1).
        event: a number for each event, equal for its jets alone, shape (n_jets,).
    """

    offsets: NDArray[np.int64]
    x: NDArray[np.float32]
    pid: NDArray[np.uint8]
    add: NDArray[np.float32]
    label: NDArray[np.int64]
    info: NDArray[np.float32]
    event: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Constituents of each jet, shape (n_jets,)."""
        return np.diff(self.offsets)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column of `INFO` by its name, shape (n_jets,)."""
        return self.info[:, INFO.index(name)].astype(np.float64)

    def take(self, rows: NDArray[Any]) -> JetSet:
        """Return some of the jets.

        Args:
            rows: their numbers, or a mask.

        Returns:
            A copy of them.
        """
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        counts = self.counts[rows]
        source = positions(self.offsets[rows], counts)
        return JetSet(
            offsets_from(counts),
            self.x[source],
            self.pid[source],
            self.add[source],
            self.label[rows],
            self.info[rows],
            self.event[rows],
        )

    def padded(self, rows: NDArray[np.int64]) -> PaddedJets:
        """Return some of the jets, by their numbers, as the network takes them."""
        some = self.take(rows)
        real = np.arange(int(some.counts.max())) < some.counts[:, np.newaxis]
        shape = real.shape
        arrays = [np.zeros((*shape, 4), np.float32), np.zeros(shape, np.int64), np.zeros((*shape, 4), np.float32)]
        for padded, flat in zip(arrays, (some.x, some.pid, some.add), strict=True):
            padded[real] = flat
        return PaddedJets(*arrays)


def shards(folder: Path) -> list[Path]:
    """Return the finished files of jets in a folder.

    Raises:
        OddjetsError: there are none.
    """
    files = sorted(path for path in folder.rglob("*.h5") if not path.name.startswith("."))
    if not files:
        raise OddjetsError(f"{folder} holds no files of jets (*.h5): generate them first (--only generate)")
    return files


def read_jets(files: Sequence[Path], cache: Path, workers: int) -> JetSet:
    """Read files of jets; the first time, unpack them on many processes into a cache.

    Args:
        files: in OmniLearned's layout, with ``data``, ``pid`` and ``info``.
        cache: folder of what was unpacked; files there that are older than theirs are made anew.
        workers: processes.

    Returns:
        All jets whose inputs are finite and that have a constituent.

    Raises:
        OddjetsError: a file that is no such file.
    """
    require("h5py")
    cache.mkdir(parents=True, exist_ok=True)
    stale = [file for file in files if not _is_fresh(_cached(cache, file), file)]
    for _ in run_tasks(stale, partial(_unpack, cache), workers, "reading jets"):
        pass
    parts = []
    for number, file in enumerate(files):
        with np.load(_cached(cache, file), allow_pickle=False) as content:
            part = {name: content[name] for name in content.files}
        part["event"] = part["event"] + (number << 40)  # events are numbered anew in each file
        parts.append(part)
    counts = np.concatenate([np.diff(part["offsets"]) for part in parts])
    offsets = offsets_from(counts)
    rest = {f.name: np.concatenate([part[f.name] for part in parts]) for f in fields(JetSet) if f.name != "offsets"}
    return JetSet(offsets=offsets, **rest)


def _cached(cache: Path, file: Path) -> Path:
    return cache / f"{file.stem}.npz"


def _is_fresh(cached: Path, file: Path) -> bool:
    return cached.is_file() and cached.stat().st_mtime_ns >= file.stat().st_mtime_ns


def _unpack(cache: Path, file: Path) -> None:
    """Write the jets of one file without their padding."""
    h5py = require("h5py")
    parts: list[dict[str, NDArray[Any]]] = []
    try:
        with h5py.File(file) as content:
            names = list(content["info"].attrs["columns"])
            columns = [names.index(name) for name in INFO]
            for start in range(0, len(content["data"]), _ROWS):
                rows = slice(start, start + _ROWS)
                parts.append(_ragged(content["data"][rows], content["pid"][rows], content["info"][rows][:, columns]))
    except (OSError, KeyError, ValueError) as error:
        raise InputFileError(
            f"{file} is not a file of jets with data, pid and info (with columns {', '.join(INFO)}): {error}; remove it, "
            "and it is made again"
        ) from error
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    counts = arrays.pop("counts")
    arrays["offsets"] = offsets_from(counts)
    with atomic_write(_cached(cache, file)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _ragged(data: NDArray[np.float32], pid: NDArray[Any], info: NDArray[Any]) -> dict[str, NDArray[Any]]:
    # a constituent of exactly 1 GeV has ln pT = 0 and counts as padding, to the network too
    seen = data[..., 2] != 0
    good = seen.any(axis=1) & np.isfinite(data).all(axis=(1, 2))
    data, seen, pid, info = data[good], seen[good], pid[good], info[good]
    flat = data[seen]
    return {
        "counts": seen.sum(axis=1),
        "x": np.ascontiguousarray(flat[:, :4], np.float32),
        "pid": flat[:, 4].astype(np.uint8),
        "add": np.ascontiguousarray(flat[:, 5:9], np.float32),
        "label": pid.astype(np.int64),
        "info": info[:, :-1].astype(np.float32),
        "event": info[:, -1].astype(np.int64),
    }
