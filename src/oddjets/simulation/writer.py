"""The writer of PFNano ROOT files."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import awkward as ak
import numpy.typing as npt
import uproot

from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write

__all__ = ["explain_full_disk", "write_nano"]

#: uproot gives branches no titles of their own, so the tree says what people must know
_TITLE = (
    "oddjets simulation: Pythia 8 and a parametric detector; FatJet_btagDeepB and FatJet_particleNetMD_* are emulations,"
    " not CMS's algorithms; HLT paths are emulated"
)

#: a full disk, a spent quota, a limit on the size of files
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_nano(path: Path, pieces: Iterable[ak.Array], runs: dict[str, npt.NDArray[Any]]) -> None:
    """Write the trees ``Events`` and ``Runs``; only one piece of the events is held at a time.

    The file appears under its name only when it is complete.

    Args:
        path: the file; its folder exists.
        pieces: records of collections and branches, at least one; the first gives the branches their types, and any
            may be without events.
        runs: columns of ``Runs``.

    Raises:
        OddjetsError: where the disk is full.
    """
    with (
        explain_full_disk(path),
        atomic_write(path) as temporary,
        uproot.recreate(temporary, compression=uproot.ZSTD(5)) as file,
    ):
        tree = None
        for events in pieces:
            columns = {name: events[name] for name in events.fields}
            if tree is None:
                # mktree: assigning a dictionary would write an RNTuple
                tree = file.mktree(
                    "Events",
                    {name: _branch_type(column) for name, column in columns.items()},
                    title=_TITLE,
                    counter_name=lambda collection: f"n{collection}",
                )
            if len(events):
                tree.extend(columns)
        file.mktree("Runs", {name: column.dtype for name, column in runs.items()}).extend(runs)


@contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Explain a file that cannot be written for want of disk space.

    Args:
        path: the file.

    Raises:
        OddjetsError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise OddjetsError(
                f"simulate: {path} cannot be written: {error.strerror}; finished files are kept,"
                " free disk space and run the command again"
            ) from error
        raise


def _branch_type(column: ak.Array) -> object:
    """Return a NumPy dtype for flat branches and an awkward type for jagged ones, as uproot's mktree takes them."""
    return ak.to_numpy(column).dtype if column.ndim == 1 else ak.type(column).content
