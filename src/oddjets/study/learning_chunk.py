"""The numbers of some experiments in which a score is learnt, and their file."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError
from oddjets.core.files import atomic_write

__all__ = ["LearningChunk"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LearningChunk:
    """The numbers of some experiments.

    Attributes:
        values: entry of `LearningExperiments.experiment` -> over experiments, (E,).
    """

    values: Mapping[str, Floats]

    def save(self, file: Path) -> None:
        """Write it; a reader sees the whole file or none."""
        with atomic_write(file) as temporary, temporary.open("wb") as out:
            np.savez(out, allow_pickle=False, **self.values)

    @classmethod
    def load(cls, file: Path) -> LearningChunk:
        """Read what `save` wrote.

        Raises:
            InputFileError: the file is damaged.
        """
        try:
            with np.load(file, allow_pickle=False) as stored:
                return cls({name: np.asarray(stored[name], np.float64) for name in stored.files})
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise InputFileError(
                f"{file}: is damaged ({type(error).__name__}); remove it, and the study makes these experiments again"
            ) from None
