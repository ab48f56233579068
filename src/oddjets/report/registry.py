"""The registry of figure kinds: the results each needs, and the functions that make it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from oddjets.core.errors import OddjetsError, nearest
from oddjets.report import style
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import (
    acceptance,
    agreement,
    bump,
    choices,
    class_shares,
    closure,
    closure_scan,
    correlation,
    cutflow,
    display,
    distribution,
    efficiency,
    efficiency_map,
    gof,
    grid,
    injection,
    jet_bump,
    jet_null,
    jet_periods,
    kde,
    learning,
    likelihood_scan,
    limit,
    mixing,
    neighbours,
    nsubjettiness,
    null,
    observable,
    postfit,
    processes,
    pulls,
    regions,
    removal,
    residual,
    score,
    score_overlap,
    score_shapes,
    sculpting,
    sic,
    signal_limit,
    signal_score,
    signal_templates,
    systematics,
    threshold_scan,
    two_sample,
    yields,
)

__all__ = ["KINDS", "FigureKind", "draw", "find"]


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure.

    Attributes:
        name: what `oddjets plot` is asked for.
        title: what the figures show.
        needs: the artifacts they are drawn from; see `artifacts.ARTIFACTS` for the verbs that make them.
        data: artifacts to figure names and their data (plain numbers and text, JSON can hold them); no figure where the
            stage was not asked for these numbers.
        draw: the data of one figure to the figure.
        animate: writes the data of one figure as an animation, where there is one.
        in_a: of the single events in A, so that nothing is left of it where the data there are blinded.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    data: Callable[[Artifacts], dict[str, dict[str, Any]]]
    draw: Callable[[dict[str, Any]], Figure]
    animate: Callable[[dict[str, Any], Path], None] | None = None
    in_a: bool = False


#: from the event tables, with what normalises them and where the threshold is
_TABLES = ("events", "cutflow", "histograms")

#: name: kind, in the order of the report
KINDS: dict[str, FigureKind] = {
    kind.name: kind
    for kind in (
        FigureKind("postfit", "Fitted regions", ("results",), postfit.data, postfit.draw),
        FigureKind(
            "residual", "Data minus background, with the fitted signal", ("results",), residual.data, residual.draw
        ),
        FigureKind("grid", "All letters of every region", ("results",), grid.data, grid.draw),
        FigureKind("yields", "Yields of all regions and letters", ("results",), yields.data, yields.draw),
        FigureKind(
            "observable",
            "Observables of every region before the fit",
            ("histograms",),
            observable.data,
            observable.draw,
        ),
        FigureKind("regions", "Region map", ("histograms",), regions.data, regions.draw),
        FigureKind("score", "Score and threshold", _TABLES, score.data, distribution.draw),
        FigureKind("shapes", "Shapes of the scores", _TABLES, score_shapes.data, score_shapes.draw),
        FigureKind("tau21", "Subjettiness", _TABLES, nsubjettiness.data, distribution.draw),
        FigureKind("processes", "Simulated processes", ("simulation",), processes.data, processes.draw),
        FigureKind("efficiency", "Trigger efficiency", ("events", "cutflow"), efficiency.data, efficiency.draw),
        FigureKind("cutflow", "Cutflow", ("cutflow",), cutflow.data, cutflow.draw),
        FigureKind(
            "threshold_scan",
            "Mass at rising thresholds",
            _TABLES,
            threshold_scan.data,
            threshold_scan.draw,
            threshold_scan.animate,
            in_a=True,
        ),
        FigureKind("bump", "Mass of the oddest jets, sideband fit", _TABLES, bump.data, bump.draw, in_a=True),
        FigureKind("jet_bump", "Mass of the oddest single jets", ("jets",), jet_bump.data, jet_bump.draw, in_a=True),
        FigureKind("sic", "Significance improvement of the scores", _TABLES, sic.data, sic.draw),
        FigureKind("agreement", "Agreement of the scores", _TABLES, agreement.data, agreement.draw),
        FigureKind("overlap", "Overlap of two scores", _TABLES, score_overlap.data, score_overlap.draw, in_a=True),
        FigureKind("kde", "Density of the anomalous events", _TABLES, kde.data, kde.draw, in_a=True),
        FigureKind("why", "What the scores of the oddest events rest on", ("inspection",), removal.data, removal.draw),
        FigureKind(
            "class_shares",
            "Mean shares of the class groups",
            ("inspection",),
            class_shares.data,
            class_shares.draw,
        ),
        FigureKind("display", "Displays of the oddest events", ("inspection",), display.data, display.draw),
        FigureKind("neighbours", "Against neighbours", ("inspection",), neighbours.data, neighbours.draw),
        FigureKind(
            "jet_periods",
            "Single jets by period and place",
            ("inspection",),
            jet_periods.data,
            jet_periods.draw,
            in_a=True,
        ),
        FigureKind("closure", "ABCD closure on simulation", ("closure",), closure.data, closure.draw),
        FigureKind("closures", "ABCD closure at other thresholds", ("closure",), closure_scan.data, closure_scan.draw),
        FigureKind("mixing", "What ABCD assumes", ("closure",), mixing.data, mixing.draw),
        FigureKind("systematics", "Systematic variations", ("histograms",), systematics.data, systematics.draw),
        FigureKind("pulls", "Pulls", ("results",), pulls.data, pulls.draw),
        FigureKind("impacts", "Impacts", ("results",), pulls.impacts_data, pulls.draw),
        FigureKind("scan", "Likelihood scan", ("results",), likelihood_scan.data, likelihood_scan.draw),
        FigureKind("limit", "Upper limit", ("results",), limit.data, limit.draw),
        FigureKind("gof", "Goodness of fit", ("results",), gof.data, gof.draw),
        FigureKind("null", "Experiments without signal", ("study",), null.data, null.draw),
        FigureKind("jet_null", "Single jets without signal", ("study",), jet_null.data, jet_null.draw, in_a=True),
        FigureKind("choices", "Correlation of the choices", ("choices",), choices.data, choices.draw),
        FigureKind("injection", "Injected signals", ("injection",), injection.data, injection.draw),
        FigureKind("learning", "A score learnt from data, by signal", ("study",), learning.data, learning.draw),
        FigureKind("sculpting", "Spurious signal of QCD alone", ("sculpting",), sculpting.data, sculpting.draw),
        FigureKind(
            "two_sample", "Data against their own pairs, or others", ("two_sample",), two_sample.data, two_sample.draw
        ),
        FigureKind("correlation", "Correlations", ("results",), correlation.data, correlation.draw),
        FigureKind(
            "efficiency_map", "Efficiency of the score", ("efficiency_map",), efficiency_map.data, efficiency_map.draw
        ),
        FigureKind("acceptance", "What is left of a signal", ("rescoring",), acceptance.data, acceptance.draw),
        FigureKind("signal_limit", "Limit on a signal", ("rescoring",), signal_limit.data, signal_limit.draw),
        FigureKind("signal_score", "Score of a signal", ("rescoring",), signal_score.data, signal_score.draw),
        FigureKind(
            "signal_templates",
            "Templates of a signal",
            ("rescoring",),
            signal_templates.data,
            signal_templates.draw,
        ),
    )
}


def find(name: str) -> FigureKind:
    """Return the kind that a name belongs to: a kind's own name, or a figure's (``postfit_SR_A``).

    Raises:
        OddjetsError: there is none; the message has the nearest.
    """
    candidates = [kind for kind in KINDS if name == kind or str(name).startswith(f"{kind}_")]
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
