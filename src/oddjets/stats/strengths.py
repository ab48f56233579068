"""The signal strengths: their values and errors, and the hypotheses tested."""

from __future__ import annotations

from typing import Any

from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import FitError, FitResult
from oddjets.stats.inference.estimates import Fits, LowerMinimumError, TwoSidedError, error_of, two_sided_errors

__all__ = ["strengths", "tested"]

#: the most times that a profile may find a lower minimum than the best fit
MOST_LOWER_MINIMA = 4


def tested(model: HistFactoryModel) -> dict[str, Any]:
    """Describe the hypotheses of significance and limit.

    Args:
        model: with a parameter of interest.

    Returns:
        The parameter; its kind: "strength" of a normfactor, "nuisance" with an auxiliary measurement, or "factor"; the
        hypotheses; for a nuisance parameter, a note on their meaning.
    """
    p, name = model.parameters, str(model.poi)
    constrained = p.constrained[p.index(name)]
    kind = "nuisance" if constrained else "strength" if model.spec.types.get(name) == "normfactor" else "factor"
    note = (
        f"{name} has an auxiliary measurement: the significance tests {name} = 0 against {name} > 0 and the limit is how large "
        f"{name} may be, with that measurement as part of the data; neither tests a signal, and the background-only fit is the "
        f"one with {name} = 0"
    )
    return {
        "parameter": name,
        "kind": kind,
        "null": f"{name} = 0",
        "tests": f"{name} = 0 against {name} > 0",
        "note": note if constrained else "",
    }


def _names(model: HistFactoryModel, *, common: str | None) -> list[str]:
    """Return the POI, then all other normfactors."""
    others = [n for n, kind in model.spec.types.items() if kind == "normfactor" and n not in (common, model.poi)]
    return [str(model.poi), *others]


def strengths(
    model: HistFactoryModel, fits: Fits, failed: list[dict[str, str]], scanned: str, *, common: str | None = None
) -> tuple[Fits, list[dict[str, Any]]]:
    """Find the strengths with their errors; if a profile finds a lower minimum, that becomes the best fit.

    Args:
        model: with a parameter of interest.
        fits: the fits without and with the signal.
        failed: results that could not be computed are added here, with the reason.
        scanned: the parameter whose profile will be scanned; its profile is checked for a lower minimum, too.
        common: a normfactor that is no strength of a signal: the common factor of the simulation in our workspaces.

    Returns:
        The fits, and for each strength, the parameter of interest first, its value and errors.

    Raises:
        FitError: lower minima are found repeatedly.
    """
    names = _names(model, common=common)
    moving = [name for name in dict.fromkeys([*names, scanned]) if not _held(model, name)]
    for _ in range(MOST_LOWER_MINIMA):
        try:
            sides = two_sided_errors(model, moving, fits.best)
        except LowerMinimumError as error:
            fits = fits._replace(best=model.fit(start=error.parameters))
            continue
        failed += [
            {"question": f"error of {name}", "reason": str(found)}
            for name in names
            if isinstance(found := sides.get(name), FitError)
        ]
        return fits, [_strength(model, name, fits.best, sides.get(name)) for name in names]
    raise FitError("the profiles of the strengths find lower minima repeatedly; add constraints to the model")


def _held(model: HistFactoryModel, name: str) -> bool:
    p, index = model.parameters, model.parameters.index(name)
    return bool(p.fixed[index] or p.low[index] == p.high[index])


def _strength(
    model: HistFactoryModel, name: str, fit: FitResult, sides: TwoSidedError | FitError | None
) -> dict[str, Any]:
    """Return a strength with its error, the error's kind (see `error_of`) and its two-sided errors; none if it is fixed."""
    result: dict[str, Any] = {"name": name, "value": fit[name], "error": None, "error_kind": ""}
    if _held(model, name):
        return result | {"at_boundary": False, "error_kind": "fixed"}
    result["at_boundary"] = name in fit.at_bounds
    if not isinstance(sides, TwoSidedError):
        return result | {"error_up": None, "error_down": None, "up_at_bound": False, "down_at_bound": False}
    result["error"], result["error_kind"] = error_of(fit, name, sides)
    return result | {
        "error_up": sides.up,
        "error_down": sides.down,
        "up_at_bound": sides.up_at_bound,
        "down_at_bound": sides.down_at_bound,
    }
