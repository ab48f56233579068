"""Every kind of figure: what it is drawn from, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from oddjets.errors import OddjetsError, nearest
from oddjets.plots import closure, correlation, cutflow, gof, limit, postfit, pulls, scan, score, style, yields
from oddjets.plots.artifacts import Artifacts

__all__ = ["KINDS", "Kind", "draw", "find"]


@dataclass(frozen=True)
class Kind:
    """One kind of figure.

    Attributes:
        name: what `oddjets plot` is asked for.
        title: what the figures show.
        needs: the artifacts they are drawn from; see `artifacts.ARTIFACTS` for the verbs that make them.
        data: artifacts to figure names and their data (plain numbers and text, JSON can hold them); no figure where the
            stage was not asked for these numbers.
        draw: the data of one figure to the figure.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    data: Callable[[Artifacts], dict[str, dict[str, Any]]]
    draw: Callable[[dict[str, Any]], Figure]


#: name: kind, in the order of the report
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("postfit", "Fitted regions", ("results",), postfit.data, postfit.draw),
        Kind("yields", "Yields of all regions and letters", ("results",), yields.data, yields.draw),
        Kind("score", "Score and threshold", ("events", "cutflow", "histograms"), score.data, score.draw),
        Kind("cutflow", "Cutflow", ("cutflow",), cutflow.data, cutflow.draw),
        Kind("closure", "ABCD closure on simulation", ("closure",), closure.data, closure.draw),
        Kind("pulls", "Pulls", ("results",), pulls.data, pulls.draw),
        Kind("impacts", "Impacts", ("results",), pulls.impacts_data, pulls.draw),
        Kind("scan", "Likelihood scan", ("results",), scan.data, scan.draw),
        Kind("limit", "Upper limit", ("results",), limit.data, limit.draw),
        Kind("gof", "Goodness of fit", ("results",), gof.data, gof.draw),
        Kind("correlation", "Correlations", ("results",), correlation.data, correlation.draw),
    )
}


def find(name: str) -> Kind:
    """Return the kind that a name belongs to: a kind's own name, or a figure's (``postfit_SR_A``).

    Raises:
        OddjetsError: there is none; the message has the nearest.
    """
    candidates = [kind for kind in KINDS if name == kind or name.startswith(f"{kind}_")]
    if not candidates:
        raise OddjetsError(f"no figure is called '{name}'; {nearest(name, KINDS)}")
    return KINDS[max(candidates, key=len)]


def draw(data: dict[str, Any]) -> Figure:
    """Draw a figure again from its data, as in the JSON beside it.

    Args:
        data: what the kind's ``data`` returned.
    """
    with style.context():
        return find(data["kind"]).draw(data)
