"""The ``fit:`` section of an analysis YAML: the statistical model and the results to compute."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from oddjets.config.eras import LuminosityUncertainties
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


def _number_or_auto(value: Any) -> Any:
    """Accept a number of toys, or ``auto``; a mistake is said once, and not of both."""
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if number != "auto" and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
        raise ValueError("must be a number of toys, at least 0, or auto")
    return number


#: fields of `Fit` that say what is asked of a workspace, and change nothing in it
RESULT_FIELDS = ("tested", "limit", "impacts", "scan", "toys", "goodness_of_fit", "seed")


class POI(StrictModel):
    """A parameter of interest: the strength of one process, in units of its stated cross section."""

    name: Name = Field(default="mu", description="the name of the parameter in the workspace")
    process: str = Field(description="the simulated process that it scales")
    bounds: Bounds = Field(
        default=(0.0, 20.0),
        description="lower and upper bound in the fit; a negative lower bound allows negative strengths",
    )
    init: float = Field(default=1.0, description="start of the fit, within the bounds")


class ScaleFactor(StrictModel):
    """A free normalisation factor of several processes together, 'sf' in the workspace."""

    processes: tuple[str, ...] = Field(
        description="the simulated processes that it scales; not that of the parameter of interest"
    )
    init: float = Field(default=1.0, description="start of the fit, within the bounds")
    bounds: Bounds = Field(default=(0.0, 5.0), description="lower and upper bound in the fit")
    letters: tuple[Letter, ...] = Field(default=("A",), description="the letters (channels of a region) where it acts")


class LogNormal(StrictModel):
    """A log-normal uncertainty of a normalisation."""

    processes: tuple[str, ...] = Field(
        description="the simulated processes that it scales, with one nuisance parameter"
    )
    size: float = Field(gt=0, description="relative size of one standard deviation; 0.5 is 50 %")
    letters: tuple[Letter, ...] = Field(default=LETTERS, description="the letters (channels of a region) where it acts")


class Variations(StrictModel):
    """The treatment of the templates' shape variations before the fit; all of it is reported."""

    smooth: bool = Field(
        default=False,
        description="true: smooth variations that are one-sided, or that change a bin by more than half; false: keep them",
    )
    cap: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="limit of a variation's relative change of each bin; 0.3 is 30 %; not given: no limit",
    )


class GoodnessOfFit(StrictModel):
    """The saturated goodness of fit with toys."""

    toys: int = Field(default=200, ge=0, description="number of toys; 0: no goodness of fit")
    letters: tuple[Letter, ...] = Field(
        default=("A",),
        description="the letters whose bins are summed in the test statistic; the fit is of all channels",
    )
    model: Literal["background", "signal"] = Field(
        default="signal", description="the model that is tested: background only, or signal + background"
    )


class Fit(StrictModel):
    """The statistical model and the results to compute."""

    observable: Name = Field(description="the observable that is fitted, from 'observables'")
    regions: tuple[Name, ...] = Field(description="the regions that are fitted together; they must not share events")
    poi: POI | tuple[POI, ...] = Field(
        description="the parameter of interest, or several; significance and limit are for the first, see 'tested'"
    )
    luminosity_uncertainty: LuminosityUncertainties = Field(
        default=0.025,
        description="relative; the default, 2.5 %, is the paper's (arXiv:2603.23593). eras: the parts given by the eras' files,"
        " the default of several eras; or era to its parts, where the same label is one nuisance parameter",
    )
    scale_factor: ScaleFactor | None = Field(
        default=None,
        description="a free normalisation factor of some processes, 'sf' in the workspace; not given: none",
    )
    normalisations: dict[Name, LogNormal] = Field(
        default={},
        description="log-normal uncertainties of normalisations: name of the nuisance parameter to its settings",
    )
    variations: Variations = Field(
        default=Variations(), description="smoothing and capping of shape variations; by default they are not changed"
    )
    closure_uncertainty: bool | Literal["by-bin"] = Field(
        default=False,
        description="true: a log-normal uncertainty of the ABCD estimate in A of each region, as large as the non-closure;"
        " by-bin: with the correlations between bins that `oddjets study sculpting` finds",
    )
    mode: Literal["exact", "authors-code"] = Field(
        default="exact",
        description="exact: QCD in A is B C / D; authors-code: with the floors, clips and bounds of the authors' code",
    )
    blind: bool = Field(
        default=False,
        description="true: the data in A are shown nowhere and are replaced by the expected background in the fit,"
        " until --unblind",
    )
    abcd: Literal["as-published", "structural", "cells"] = Field(
        default="as-published",
        description="as-published: A = B C / D in each region; structural: in unions of products of cuts on each jet, times the"
        " closure's structural constant, with its error; cells: in each of their product cells",
    )
    tested: str | None = Field(
        default=None,
        description="the parameter of significance, limit, scan and impacts; not given: the first of 'poi'",
    )
    limit: bool = Field(default=True, description="compute the CLs upper limits")
    impacts: bool = Field(default=True, description="compute the impacts of all nuisance parameters")
    scan: bool | str = Field(
        default=True, description="scan the profile likelihood of 'tested', or of the parameter with this name"
    )
    toys: Annotated[Annotated[int, Field(ge=0)] | Literal["auto"], BeforeValidator(_number_or_auto)] = Field(
        default=0,
        description="number of toys for significance and limit, in addition to the asymptotic formulas; 0: none; auto: 2000"
        " where fewer than ten events decide, or estimate the background where they do, else none",
    )
    goodness_of_fit: GoodnessOfFit = Field(
        default=GoodnessOfFit(), description="the saturated goodness of fit, with a p value from toys"
    )
    seed: int = Field(default=1, ge=0, description="random seed of all toys")

    @property
    def model(self) -> dict[str, object]:
        """The fields that decide the workspace."""
        return self.model_dump(mode="json", exclude=set(RESULT_FIELDS))

    @property
    def pois(self) -> tuple[POI, ...]:
        """The parameters of interest; the first is the one that significance and limit are about."""
        return self.poi if isinstance(self.poi, tuple) else (self.poi,)
