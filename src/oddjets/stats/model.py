"""The class `Model`: the fast fit of a workspace, with limits, significance, toys, scans and impacts as methods."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any, TypedDict

import numpy as np

from oddjets.core.errors import OddjetsError, nearest
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.stats.histfactory.results import Data, FitError, FitResult
from oddjets.stats.histfactory.workspace_reader import Parameters
from oddjets.stats.inference import estimates, limits, toy_limits
from oddjets.stats.inference import toys as _toys
from oddjets.stats.inference.estimates import Fits, Impacts, LowerMinimumError, Significance, TwoSidedError
from oddjets.stats.inference.expectation import expected_significance
from oddjets.stats.inference.limits import Limit
from oddjets.stats.inference.scans import Scan, scan
from oddjets.stats.inference.toys import GoodnessOfFitTest, ToySignificance
from oddjets.stats.strengths import MOST_LOWER_MINIMA

__all__ = ["Model"]

log = logging.getLogger(__name__)


class _Thrown(TypedDict):
    toys: int
    seed: int


class Model(HistFactoryModel):
    """The statistical model of any pyhf workspace, with its fits and statistical tests.

    The fits without and with the signal, which most methods need, are made when they are first needed and kept.

    Args:
        workspace: a workspace (a dictionary, a `pyhf.Workspace`), its file, or a `pyhf.Model` and its data, as a pair.
        poi: the parameter of interest; None: the measurement's.
        measurement: name of the measurement; None: the first.
        patches: changes made to the workspace first: JSON patches, their files, or a patch set and the patch's name or
            values, as a pair.

    Raises:
        WorkspaceError: the workspace describes no model, or a patch does not apply.
        InputFileError: a file cannot be read.
        OddjetsError: the parameter of interest doesn't exist, is no scalar, or nothing depends on it.

    Examples:
        >>> import pyhf
        >>> from oddjets.stats import Model
        >>> theirs = pyhf.simplemodels.uncorrelated_background([12.0, 11.0], [50.0, 52.0], [3.0, 7.0])
        >>> model = Model((theirs, [51.0, 48.0, *theirs.config.auxdata]))
        >>> model
        Model: 1 channel, 2 bins, 3 parameters, parameter of interest mu
        >>> round(model.limit().observed, 2)
        1.01
        >>> model.significance().z
        0.0
    """

    _fits: tuple[Data, Parameters, Fits] | None = None

    def __repr__(self) -> str:
        sizes = {"channel": len(self.spec.slices), "bin": self.spec.n_bins, "parameter": len(self.parameters)}
        counted = ", ".join(f"{number} {what}{'s' * (number != 1)}" for what, number in sizes.items())
        return (
            f"Model: {counted}, {'no ' * (self.poi is None)}parameter of interest{f' {self.poi}' if self.poi else ''}"
        )

    @property
    def fits(self) -> Fits:
        """The fit without signal and the one with a free signal, as `oddjets.stats.best_fits` makes them.

        Raises:
            FitError: one did not converge.
            OddjetsError: there is no parameter of interest.
        """
        self._need_poi()
        known = self._fits
        if known is None or known[0] is not self.data or known[1] is not self.parameters:
            self._fits = known = (self.data, self.parameters, estimates.best_fits(self))
        return known[2]

    def limit(self, level: float = 0.95) -> Limit:
        """Return the CLs upper limits on the parameter of interest, observed and expected, by asymptotic formulas.

        Args:
            level: the confidence level.

        Raises:
            FitError: none of the limits exists; ``notes`` of the result gives the reason if only some do not.
        """
        return limits.upper_limit(self, self.fits, level)

    def toy_limit(self, toys: int, *, level: float = 0.95, seed: int = 1, progress: bool = True) -> Limit:
        """Return the same limits from toys, without asymptotic formulas.

        Args:
            toys: number of toys per hypothesis, at each of nine strengths.
            level: the confidence level.
            seed: seed of the random numbers.
            progress: show a progress bar.

        Raises:
            FitError: none of the limits was found; ``notes`` of the result gives the reason if only some were not.
        """
        return toy_limits.toy_limit(self, self.fits, **_thrown(toys, seed), level=level, progress=progress)

    def significance(self) -> Significance:
        """Return the discovery significance, asymptotic: its z, q0 and one-sided p value.

        Raises:
            FitError: there is no background-only fit to compare with.
        """
        return estimates.significance(self, self.fits)

    def expected_significance(self, strength: float = 1.0) -> Significance:
        """Return the median significance of a signal of a given strength, asymptotic: that of its Asimov data.

        The other parameters of these data are those fitted to the data with the strength held there.

        Args:
            strength: of the signal, above 0 and within the bounds of the parameter of interest.

        Raises:
            FitError: there is no background-only fit, or the strength is out of bounds.
        """
        return expected_significance(self, self.fits, strength)

    def toy_significance(self, toys: int, *, seed: int = 1, progress: bool = True) -> ToySignificance:
        """Return the p value of the observed q0 among toys of the background.

        Args:
            toys: number of toys.
            seed: seed of the random numbers.
            progress: show a progress bar.

        Raises:
            FitError: there is no background-only fit, or no toy could be fitted.
        """
        return _toys.toy_significance(self, self.fits, **_thrown(toys, seed), progress=progress)

    def goodness_of_fit(
        self,
        toys: int = 500,
        *,
        channels: Sequence[str] | None = None,
        signal: bool = True,
        seed: int = 1,
        progress: bool = True,
    ) -> GoodnessOfFitTest:
        """Compare the saturated likelihood ratio of the fit with that of toys.

        Args:
            toys: number of toys.
            channels: channels to evaluate it in: their names, or the part after the last underscore; None: all.
            signal: the parameter of interest is free; False: it is held at 0.
            seed: seed of the random numbers.
            progress: show a progress bar.

        Raises:
            FitError: no toy could be fitted, or there is no background-only fit (``signal=False``).
        """
        thrown, letters = _thrown(toys, seed), _names(channels, "channels")
        if letters == []:
            raise OddjetsError("channels: at least one is needed; without 'channels', all are used")
        fit = self._best() if signal else self._background()
        return _toys.goodness_of_fit(self, fit, **thrown, letters=letters, signal=signal, progress=progress)

    def scan(self, name: str | None = None, points: int = 41, sigmas: float = 3.0) -> Scan:
        """Return the profile likelihood of a parameter about its best value: values and -2 Delta log L.

        Args:
            name: name of the parameter; None: the parameter of interest.
            points: number of points, 3 at least; those whose fits fail are omitted.
            sigmas: range to each side, in units of the error of that side, within the bounds. Where -2 log L rises more slowly
                than a parabola, the range goes on until it has risen by 4, or by the square of `sigmas` if that is less.

        Raises:
            OddjetsError: no such parameter, or it is constant.
            FitError: no error was found on either side.
        """
        points = _whole(points, "points", 3)
        given: Any = sigmas
        if not isinstance(given, Real) or not 0 < float(given) < np.inf:
            raise OddjetsError(f"sigmas: the range of the scan in units of the error, a number above 0; got {sigmas!r}")
        return scan(self, self._known(name), self._best(), points, sigmas)

    def two_sided_error(self, name: str | None = None) -> TwoSidedError:
        """Return how far a parameter moves up and down until -2 log L rises by one, all others refitted (MINOS).

        Args:
            name: name of the parameter; None: the parameter of interest.

        If the profile finds a lower minimum than the best fit, the fits are made again from there, with a warning: `fits` and
        all that follows from them are of that minimum from then on.

        Raises:
            FitError: the fits of one side do not converge, or lower minima are found again and again.
        """
        name = self._known(name)
        for _ in range(MOST_LOWER_MINIMA):
            try:
                return estimates.two_sided_error(self, name, self._best())
            except LowerMinimumError as error:
                if self.poi is None:
                    raise
                log.warning("%s; the best fit is made again from there", error)
                best = self.fit(start=error.parameters)
                self._fits = (self.data, self.parameters, self.fits._replace(best=best))
        raise FitError("the profiles find lower minima repeatedly; add constraints to the model")

    def impacts(self, names: Sequence[str] | None = None) -> Impacts:
        """Return the shifts of the parameter of interest when each nuisance parameter is moved by its error, others refitted.

        Args:
            names: names of the parameters; None: all except the parameter of interest and the shapefactors.

        Returns:
            The ranking, the largest first, and the parameters of which a refit did not converge.

        Raises:
            OddjetsError: no such parameter; or a name that stands for one parameter in each bin.
        """
        chosen = _names(names, "names")
        for name in chosen or ():
            part = self.parameters.sets.get(name)
            if part is not None and part.stop - part.start > 1:
                raise OddjetsError(
                    f"names: '{name}' stands for {part.stop - part.start} parameters, one for each bin, and each has an impact"
                    f" of its own: list those that you want, as ['{name}[0]', '{name}[1]']"
                )
        return estimates.impacts(self, self.fits.best, chosen)

    def _known(self, name: str | None) -> str:
        return self._need_poi() if name is None else str(name)

    def _need_poi(self) -> str:
        if self.poi is None:
            known = nearest("mu", [n for n, kind in self.spec.types.items() if kind == "normfactor"])
            raise OddjetsError(
                f"the workspace names no parameter of interest: give one, as Model(workspace, poi='mu'); {known}".rstrip(
                    "; "
                )
            )
        return self.poi

    def _best(self) -> FitResult:
        """Return the best fit, also for a model without a parameter of interest."""
        return self.fits.best if self.poi is not None else self.fit()

    def _background(self) -> FitResult:
        fits = self.fits
        if fits.background is None:
            raise FitError(f"no goodness of fit of the background alone: {fits.no_background}")
        return fits.background


def _whole(number: Any, what: str, least: int) -> int:
    if not isinstance(number, Integral) or int(number) < least:
        raise OddjetsError(f"{what}: a whole number, {least} or more; got {number!r}")
    return int(number)


def _thrown(toys: int, seed: int) -> _Thrown:
    """Return the number of toys and their seed, checked."""
    return {"toys": _whole(toys, "toys", 1), "seed": _whole(seed, "seed", 0)}


def _names(names: Any, what: str) -> list[str] | None:
    if isinstance(names, str) or not isinstance(names, Iterable | None):
        example = f", such as [{names!r}]" if isinstance(names, str) else ""
        raise OddjetsError(f"{what}: a list of names{example}; got {names!r}")
    return None if names is None else [str(name) for name in names]
