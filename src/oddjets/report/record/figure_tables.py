"""The tables of a figure, from the JSON beside it: which function reads which kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from oddjets.core.errors import InputFileError
from oddjets.report.record import curves, lists, signals, stacks
from oddjets.report.record.stacks import FIT, STATISTICAL, Parts
from oddjets.report.record.tables import RecordTable

__all__ = ["READERS", "tables_of_figure"]

#: kind of figure -> its tables: suffix of the name, axes, variables
READERS: dict[str, Callable[[Mapping[str, Any]], Parts]] = {
    "postfit": partial(stacks.single, error=FIT),
    "grid": stacks.grid,
    "yields": stacks.yields,
    "observable": stacks.observable,
    "score": partial(stacks.single, error=STATISTICAL),
    "tau21": partial(stacks.single, error=STATISTICAL),
    "threshold_scan": stacks.threshold_scan,
    "residual": curves.residual,
    "shapes": curves.shapes,
    "closure": curves.closure,
    "efficiency": curves.efficiency,
    "gof": curves.goodness_of_fit,
    "null": partial(curves.counts, axis="z of an experiment without signal", head="Experiments"),
    "bump": curves.bump,
    "jet_bump": curves.jet_bump,
    "jet_null": lists.jet_null,
    "jet_periods": lists.jet_periods,
    "overlap": curves.overlap,
    "processes": curves.processes,
    "systematics": curves.systematics,
    "class_shares": curves.class_shares,
    "neighbours": curves.neighbours,
    "cutflow": lists.cutflow,
    "regions": lists.regions,
    "pulls": lists.pulls,
    "impacts": lists.impacts,
    "scan": lists.scan,
    "limit": lists.limit,
    "acceptance": signals.acceptance,
    "efficiency_map": signals.efficiency_map,
    "signal_limit": signals.signal_limit,
    "signal_score": signals.signal_score,
    "signal_templates": signals.signal_templates,
    "two_sample": curves.two_sample,
    "correlation": partial(lists.matrix, axis="Parameter", head="Correlation"),
    "choices": partial(lists.matrix, axis="Choice", head="Correlation of z"),
    "kde": lists.density,
    "closures": lists.closures,
    "mixing": lists.mixing,
    "sic": lists.improvement,
    "agreement": lists.agreement,
    "injection": lists.injection,
    "learning": lists.learning,
    "sculpting": lists.sculpting,
    "why": lists.removal,
    "display": lists.display,
}


def tables_of_figure(data: Mapping[str, Any]) -> list[RecordTable]:
    """Return the tables of a figure; those without a row are left out.

    Args:
        data: the content of the JSON beside it.

    Raises:
        InputFileError: it has no known kind, or not what figures of this kind have.
    """
    name, kind = str(data.get("name", "?")), data.get("kind")
    if kind not in READERS:
        raise InputFileError(
            f"figures/{name}.json: no figure of the kind '{kind}' is known; draw it again: `oddjets plot`"
        )
    try:
        parts = READERS[kind](data)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputFileError(
            f"figures/{name}.json: has not what a figure of the kind '{kind}' has ({type(error).__name__}: {error}); draw it"
            " again: `oddjets plot`"
        ) from error
    said = " ".join(f"{text}." for text in (data.get("title"), (data.get("caption") or "").rstrip(". ")) if text)
    return [
        RecordTable("_".join(word for word in (name, suffix) if word), said, axes, variables, name)
        for suffix, axes, variables in parts
        if variables and len(variables[0].values)
    ]
