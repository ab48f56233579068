"""The answers of some pseudo-experiments, and their file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError
from oddjets.core.files import atomic_write

__all__ = ["ExperimentChunk"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ExperimentChunk:
    """The answers of some experiments; arrays over experiments, E.

    Attributes:
        threshold: the place of each one's threshold in the grid, (E,).
        above: events with both scores above it, (E,).
        total: all events after the base selection, (E,).
        log_weight: logarithm of what an experiment counts for, zero unless signal is injected and weighted back, (E,).
        strength: fitted strength, (E,), see `procedure.Answers`, also for the next ones.
        z: signed, (E,).
        pull: of the true strength, (E,).
        limit: observed limit, (E,).
        gof: goodness of fit, (E,).
        toy_p: p of z by toys, (E,); NaN where nobody asked.
        in_a: events of the data-driven process in A, (E, regions).
        predicted: its B C / (D + 1), summed over bins (see `closure_counts`), (E, regions).
        nuisances: sums over experiments whose fits converged of 1, pulls and their squares, (3, nuisance parameters).
    """

    threshold: npt.NDArray[np.int64]
    above: Floats
    total: Floats
    log_weight: Floats
    strength: Floats
    z: Floats
    pull: Floats
    limit: Floats
    gof: Floats
    toy_p: Floats
    in_a: Floats
    predicted: Floats
    nuisances: Floats

    def save(self, file: Path) -> None:
        """Write it; a reader sees the whole file or none."""
        with atomic_write(file) as temporary, temporary.open("wb") as out:
            np.savez_compressed(out, **{f.name: getattr(self, f.name) for f in fields(self)})

    @classmethod
    def load(cls, file: Path) -> ExperimentChunk:
        """Read what `save` wrote.

        Raises:
            InputFileError: the file is damaged.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                return cls(**{f.name: stored[f.name] for f in fields(cls)})
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputFileError(
                f"{file}: is damaged ({type(error).__name__}); remove it, and the study makes these experiments again"
            ) from None
