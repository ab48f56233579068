"""One simulated sample for several analyses: made in the folder of one, linked into those of the others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from oddjets.core import provenance
from oddjets.core.locks import locked

__all__ = ["share"]

#: what `simulate` and `process` leave that later stages read, manifests last: they say that the rest is whole
SHARED = ("simulation", "events", "cutflow.json", "lost.json", "manifests/simulate.json", "manifests/process.json")


def share(source: Path, target: Path) -> None:
    """Give an analysis the simulated files and event tables of another one, unless it has these already.

    Files are linked, not copied: a link costs no space, and a file that is replaced in one folder stays as it is in the
    other. Whether they are what the other analysis needs is not decided here: their manifests carry content keys, and a
    stage whose key differs runs again.

    Args:
        source: the output folder with the sample.
        target: the output folder that gets it.
    """
    wanted = provenance.read_manifest(source, "process")
    if wanted is None or provenance.read_manifest(target, "process") == wanted:
        return
    with locked(target):
        for name in ("simulate", "process"):
            provenance.remove_manifest(target, name)
        for name in SHARED:
            old, new = source / name, target / name
            if new.is_dir():
                shutil.rmtree(new)
            new.unlink(missing_ok=True)
            if old.is_dir():
                shutil.copytree(old, new, copy_function=os.link)
            elif old.exists():
                new.parent.mkdir(parents=True, exist_ok=True)
                os.link(old, new)
