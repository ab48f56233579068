"""The ``fit:`` section of an analysis YAML: the statistical model and the results to compute."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from oddjets.config.yaml import Name, StrictModel

__all__ = ["LETTERS", "POI", "RESULT_FIELDS", "Fit", "GoodnessOfFit", "LogNormal", "ScaleFactor", "Variations"]

Letter = Literal["A", "B", "C", "D"]
LETTERS: tuple[Letter, ...] = ("A", "B", "C", "D")


def _check_bounds(bounds: tuple[float, float]) -> tuple[float, float]:
    if not (math.isfinite(bounds[0]) and math.isfinite(bounds[1]) and bounds[0] < bounds[1]):
        raise ValueError(
            "must be two increasing, finite numbers: a parameter with one value only is not fitted and has no error"
        )
    return bounds


#: a range that a parameter can move in
Bounds = Annotated[tuple[float, float], AfterValidator(_check_bounds)]


#: fields of `Fit` that say what is asked of a workspace, and change nothing in it
RESULT_FIELDS = ("tested", "limit", "impacts", "scan", "toys", "goodness_of_fit", "seed")


class POI(StrictModel):
    """A parameter of interest: the strength of one process, in units of its stated cross section."""

    name: Name = "mu"
    process: str
    bounds: Bounds = (0.0, 20.0)
    init: float = 1.0


class ScaleFactor(StrictModel):
    """A free factor common to several processes in region A, the authors' 'sf'; never on the POI's process by default."""

    processes: tuple[str, ...]
    init: float = 1.0
    bounds: Bounds = (0.0, 5.0)
    letters: tuple[Letter, ...] = ("A",)


class LogNormal(StrictModel):
    """A log-normal uncertainty of a normalisation."""

    processes: tuple[str, ...]
    size: float = Field(gt=0, description="0.5 is 50 %")
    letters: tuple[Letter, ...] = LETTERS


class Variations(StrictModel):
    """The treatment of the templates' shape variations before the fit; all of it is reported."""

    smooth: bool = Field(
        default=False, description="smooth variations that are one-sided, or change some bin by more than half"
    )
    cap: float | None = Field(default=None, gt=0, le=1, description="largest relative change of a bin; 0.5 is 50 %")


class GoodnessOfFit(StrictModel):
    """The saturated goodness of fit with toys."""

    toys: int = Field(default=200, ge=0)
    letters: tuple[Letter, ...] = Field(default=("A",), description="where the statistic is evaluated")
    model: Literal["background", "signal"] = "signal"


class Fit(StrictModel):
    """The statistical model and the results to compute."""

    observable: Name
    regions: tuple[Name, ...]
    poi: POI | tuple[POI, ...]
    luminosity_uncertainty: float = Field(
        default=0.025, ge=0, lt=1, description="2.5 % in the paper (arXiv:2603.23593)"
    )
    scale_factor: ScaleFactor | None = None
    normalisations: dict[Name, LogNormal] = Field(default={})
    variations: Variations = Variations()
    closure_uncertainty: bool = Field(
        default=False, description="how far ABCD closes on QCD simulation, as a log-normal on QCD in A of each region"
    )
    mode: Literal["exact", "authors-code"] = "exact"
    blind: bool = Field(default=False, description="data in A are seen nowhere until --unblind")
    tested: str | None = Field(
        default=None,
        description="the parameter that significance, limit, scan and impacts are about; None: the first poi",
    )
    limit: bool = True
    impacts: bool = True
    scan: bool | str = Field(default=True, description="the profile likelihood; a name: of that parameter")
    toys: int = Field(default=0, ge=0, description="toys for significance and limit, beside the asymptotic formulas")
    goodness_of_fit: GoodnessOfFit = GoodnessOfFit()
    seed: int = Field(default=1, ge=0)

    @property
    def model(self) -> dict[str, object]:
        """The fields that decide the workspace."""
        return self.model_dump(mode="json", exclude=set(RESULT_FIELDS))

    @property
    def pois(self) -> tuple[POI, ...]:
        """The parameters of interest; the first is the one that significance and limit are about."""
        return self.poi if isinstance(self.poi, tuple) else (self.poi,)
