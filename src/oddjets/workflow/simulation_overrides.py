"""What the command line says of a simulation, laid over what the YAML says."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from oddjets.config.simulation import SimulationSpec
from oddjets.config.yaml import problems_of
from oddjets.core.errors import OddjetsError

__all__ = ["with_options"]


def with_options(
    content: dict[str, Any], seed: int | None, inject: list[str] | None, luminosity: float | None, no_filter: bool
) -> SimulationSpec:
    """Lay the options of the command line over what is asked of a simulation.

    Args:
        content: fields of a `SimulationSpec`.
        seed: of pseudo-data and templates; None leaves it, here and below.
        inject: words PROCESS=MU, strengths of processes in the pseudo-data.
        luminosity: of the pseudo-data, 1/pb.
        no_filter: no early veto.

    Raises:
        OddjetsError: a word of another form, an unknown process, a number out of range.
    """
    strengths: dict[str, Any] = {}
    for word in inject or []:
        process, equals, strength = word.partition("=")
        try:
            strengths[process] = float(strength)
        except ValueError:
            equals = ""
        if not equals:
            raise OddjetsError(f"--inject: '{word}' is not of the form PROCESS=MU, such as top=2")
    changes = {**content, "inject": {**content.get("inject", {}), **strengths}}
    if seed is not None:
        changes["seed"] = seed
    if luminosity is not None:
        changes["luminosity"] = luminosity
    if no_filter:
        changes["early_veto"] = False
    try:
        return SimulationSpec.model_validate(changes)
    except ValidationError as error:
        lines = problems_of(error, SimulationSpec)
        raise OddjetsError("simulate: " + "; ".join(line.removeprefix("(top level): ") for line in lines)) from None
