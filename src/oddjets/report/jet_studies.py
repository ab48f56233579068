"""The report's tables of studies of single jets without signal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oddjets.io.studies import read_jet_studies
from oddjets.report.artifacts import Artifacts
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, p_value

__all__ = ["global_text", "jet_null_tables", "studies_of"]


def studies_of(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the studies of single jets without signal, by source; none where the data are blinded.

    Raises:
        InputFileError: a file is no such study.
    """
    return {} if artifacts.blinded else read_jet_studies(artifacts.out, artifacts.analysis.jet_bump)


def global_text(one: Mapping[str, Any]) -> str:
    """Return a p of experiments as text: ``p = 0.012``, or a bound where no experiment is as extreme."""
    if bound := one["bound"]:
        return f"p < {p_value(bound['p_below'])} at {100 * bound['level']:g} %"
    return f"p = {p_value(one['p_value'])}"


def _counted(one: Mapping[str, Any]) -> Cell:
    if bound := one["bound"]:
        return Cell(f"< {p_value(bound['p_below'])}", None, f"none of {bound['experiments']} experiments is as extreme")
    return Cell(p_value(one["p_value"]), one["p_value"], f"{one['low']:.3g} to {one['high']:.3g} at 68 %")


def _small(p: float) -> Cell:
    return Cell(p_value(p), p)


def jet_null_tables(artifacts: Artifacts) -> list[Table]:
    """Return what experiments without signal say of each choice of ``jet_bump``, and of all together: a table a source."""
    return [_table(artifacts, source, found) for source, found in studies_of(artifacts).items()]


def _table(artifacts: Artifacts, source: str, found: Mapping[str, Any]) -> Table:
    low, high = found["window"]
    rows = [
        [
            Cell(f"{artifacts.analysis.score_label(one['score'])}, {100 * one['efficiency']:.3g} %"),
            Cell(count(one["jets"]), one["jets"]),
            _small(one["local"]["seen"]),
            _counted(one["local"]),
            _small(one["anywhere"]["seen"]),
            Cell(f"{one['at'][0]:g}–{one['at'][1]:g}"),
            _counted(one["anywhere"]),
            _small(one["uniform"]["kolmogorov_smirnov"]),
            _small(one["sidebands_p"]),
        ]
        for one in found["choices"]
    ]
    window, anywhere = found["together"]["window"], found["together"]["anywhere"]
    foot = [
        [
            Cell("All together"),
            Cell(""),
            _small(window["seen"]),
            _counted(window),
            _small(anywhere["seen"]),
            Cell(""),
            _counted(anywhere),
            Cell(""),
            Cell(""),
        ]
    ]
    left_out = "".join(
        f" Too few jets for a fit: {one['score']}, {100 * one['efficiency']:g} %." for one in found["left_out"]
    )
    return Table(
        caption=f"The oddest single jets without signal ({source})",
        columns=[
            "Score, efficiency",
            "jets",
            "local p",
            "of experiments",
            "smallest local p",
            "at [GeV]",
            "of experiments",
            "KS p",
            "p of the sidebands",
        ],
        rows=rows,
        file=f"study/jets_{source.replace('-', '_')}.json",
        key="choices",
        foot=foot,
        anchor=f"table-jets-{source}",
        note=(
            f"{found['name'][0].upper()}{found['name'][1:]}: {count(found['experiments'])} experiments. Local p: in the window"
            f" of {low:g} to {high:g} GeV, and the smallest of windows of this width at {found['positions']} masses; beside"
            " each, the fraction of experiments with one as small. All together: the smallest of all scores and"
            " efficiencies, which see the same jets in an experiment; this is the global p. < : none is as extreme, and the"
            " bound is at 95 %. KS p: whether the local p of the experiments are uniform (Kolmogorov-Smirnov), as they"
            " should. P of the sidebands: of the chi2 of the fit outside the window; where it is small, an excess may be of"
            " the function."
            f"{left_out}"
        ),
    )
