"""The sections ``aspen`` and ``jet_bump`` of an analysis YAML: HDF5 files of single jets, and fits of the oddest of them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from oddjets.config.yaml import Name, StrictModel

__all__ = ["AspenFiles", "JetBump"]


def _path(value: str) -> str:
    """Accept the path of a file or folder, of which ``~`` and ``~NAME`` at the beginning are somebody's own."""
    if not value.strip() or "\0" in value:
        raise ValueError("must be the name of a file or folder")
    try:
        Path(value).expanduser()
    except RuntimeError:
        raise ValueError(f"there is nobody whose own folder is '{Path(value).parts[0]}'") from None
    return value


class AspenFiles(StrictModel):
    """Files of Aspen Open Jets (arXiv:2412.10504) as input: `oddjets import-aspen`."""

    files: tuple[Annotated[str, AfterValidator(_path)], ...] = Field(
        default=(),
        description="HDF5 files, folders of them or patterns with *; beside the YAML or, if not there, in the current folder",
    )
    events: bool = Field(
        default=False,
        description="true: also make event tables, of the two jets with the highest pT of each (run, section, event)",
    )
    chunk_size: int = Field(default=10_000, ge=1, description="jets that are read at a time; 10,000 take some 0.2 GB")
    simulation: Annotated[str, AfterValidator(_path)] | None = Field(
        default=None,
        description="the output folder of another analysis: the event tables of its simulated processes are used beside the"
        " data; it must have the same scores and a selection that fits. Not given: nothing is simulated",
    )


class JetBump(StrictModel):
    """Fits of the mass of the oddest single jets outside a window, as in the paper's figure 1."""

    scores: tuple[Name, ...] = Field(
        default=(), max_length=3, description="scores, side by side in the figure; not given: the one of 'threshold'"
    )
    efficiencies: tuple[float, ...] = Field(
        default=(0.01,), min_length=1, description="fractions of the jets with the highest scores; one figure each"
    )
    range: tuple[float, float] = Field(default=(60.0, 240.0), description="ends of the soft-drop mass, GeV")
    bins: int = Field(default=24, ge=8, description="bins of equal width in the range")
    window: tuple[float, float] = Field(
        default=(142.5, 202.5), description="GeV: the window that is left out of the fit; moved to the edges of bins"
    )
    toys: int = Field(default=1000, ge=10, description="toys of the global p-value")

    @field_validator("efficiencies")
    @classmethod
    def _fractions(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < efficiency < 1 for efficiency in value):
            raise ValueError("efficiencies are fractions of all jets, above 0 and below 1")
        if len(set(value)) < len(value):
            raise ValueError("an efficiency is listed twice")
        return value

    @field_validator("range", "window")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if any(not low < high for low, high in itertools.pairwise(value)):
            raise ValueError("the first end must be below the second")
        return value
