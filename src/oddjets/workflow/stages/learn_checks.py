"""Checks before a score is learnt: names, ranges of masses and columns that lead nowhere are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from oddjets.config.selection import ScoreName
from oddjets.core.errors import OddjetsError
from oddjets.core.expressions import names_in
from oddjets.io import event_table
from oddjets.io.event_table import JETS
from oddjets.scoring.column_inputs import input_matrix
from oddjets.selection.decorators import JetColumns

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["refuse_empty_columns", "refuse_mass_options", "refuse_name", "refuse_unknown_columns"]

#: the method whose labels are made from masses
_BY_MASS = "mass-window"


def refuse_name(name: str) -> None:
    """Refuse a name that no score of an analysis can have.

    Raises:
        OddjetsError: it is none.
    """
    try:
        TypeAdapter(ScoreName).validate_python(name)
    except ValidationError:
        raise OddjetsError(
            f"--name '{name}': a score's name has letters, digits and _, at most 100, starts with a letter, and has no two _"
            " behind each other and none at the end"
        ) from None


def refuse_mass_options(
    method: str, window: tuple[float, float] | None, sidebands: Sequence[tuple[float, float]], *, own_mass: bool
) -> None:
    """Refuse ranges of masses without a method that reads them, and this method without them.

    Args:
        method: of the training.
        window: GeV; None: not given.
        sidebands: GeV.
        own_mass: whether the labels are to be of the jet's own mass.

    Raises:
        OddjetsError: they do not go together.
    """
    by_mass = method == _BY_MASS
    if by_mass != (window is not None) or by_mass != bool(sidebands) or (own_mass and not by_mass):
        raise OddjetsError(
            f"--window, --sideband and --own-mass belong to --method {_BY_MASS}, which needs both: a range of masses and side"
            " bands, GeV"
        )


def refuse_unknown_columns(run: RunContext, columns: Sequence[str]) -> None:
    """Refuse what is no expression of columns that the jets of the data have; the first events are enough to tell.

    Args:
        run: the analysis and its folder, with event tables.
        columns: columns or expressions of a jet.

    Raises:
        OddjetsError: one reads no column, or one that is not there.
    """
    for text in columns:
        if not names_in(text):
            raise OddjetsError(f"--column {text}: reads no column of a jet, so that all jets have the same value")
    for name, found in run.extra("process")["datasets"].items():
        if found["is_data"] and event_table.parts(run.event_tables, name):
            table = next(event_table.stream(run.event_tables, name))
            nominal = {column: values[:1] for column, values in table.items() if "__" not in column}
            input_matrix(columns, JetColumns(nominal, JETS[0]))
            return


def refuse_empty_columns(columns: Sequence[str], features: npt.NDArray[Any]) -> None:
    """Refuse columns of which nothing can be learnt in these events.

    Args:
        columns: their names.
        features: of both jets of each event, (n, 2, columns); NaN where there is no value.

    Raises:
        OddjetsError: a column has no value for any jet, or every jet has the same one.
    """
    for name, values in zip(columns, features.reshape(-1, len(columns)).T, strict=True):
        known = values[~np.isnan(values)]
        if not len(known):
            raise OddjetsError(f"'{name}' has no finite value in any of {len(values)} jets of data; leave it out")
        # a missing value tells something of a jet, too
        if len(known) == len(values) and not np.ptp(known) > 0:
            raise OddjetsError(
                f"'{name}' has the value {known[0]:.6g} for all {len(values)} jets of data: nothing can be learnt from it;"
                " leave it out"
            )
