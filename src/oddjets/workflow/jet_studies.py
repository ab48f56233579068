"""Studies of single jets without signal: their tables, from the output folder, and where the results are written."""

from __future__ import annotations

from typing import Any

from rich.markup import escape

from oddjets.core.console import console, progress
from oddjets.core.errors import BlindedError, OddjetsError
from oddjets.core.files import write_json
from oddjets.io import event_table
from oddjets.io.studies import FOLDER, jets_made_of, jets_study
from oddjets.selection.oddest_jets import bins_of, find_oddest
from oddjets.study.jet_null import lines_of, null_of_jets
from oddjets.study.single_jets import JetCells, JetChoice, count_cells
from oddjets.workflow.executors.aspen_worker import DATASET, JETS
from oddjets.workflow.run import RunContext
from oddjets.workflow.study_events import require_current_tables
from oddjets.workflow.study_options import Options, recorded

__all__ = ["cells_of", "refuse_blinded_jets", "study_jets"]


def study_jets(run: RunContext, options: Options) -> dict[str, Any]:
    """Study the searches of ``jet_bump`` without signal, and write ``study/jets_SOURCE.json``.

    Args:
        run: of an analysis with the sections ``aspen`` and ``jet_bump``.
        options: source, number of experiments, and seed.

    Returns:
        What was written.

    Raises:
        BlindedError: the data are blinded.
        OddjetsError: the analysis has no single jets, or they are those of another state of it.
    """
    analysis = run.analysis
    bump = analysis.jet_bump
    if bump is None or analysis.aspen is None:
        raise OddjetsError(
            f"--source {options.source}: is of single jets, and '{analysis.name}' has no section 'jet_bump' of files of Aspen"
            " Open Jets"
        )
    refuse_blinded_jets(run)
    # before the folder's analysis is replaced by this one
    require_current_tables(run)
    with run.lock():
        cells = cells_of(run)
        with progress(f"study: {options.source}", options.experiments) as bar:
            found = null_of_jets(
                cells,
                options.source,  # type: ignore[arg-type]
                options.experiments,
                options.seed,
                progress=bar.advance,
            )
        content = {
            "analysis": analysis.name,
            "of": jets_made_of(run.out, bump),
            "options": recorded(options),
            **found,
        }
        file = run.out / FOLDER / jets_study(options.source)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, content)
        for line in lines_of(content):
            console.print(escape(line))
        console.print(escape(f"study: {file}"))
    return content


def refuse_blinded_jets(run: RunContext) -> None:
    """Refuse to look at the oddest single jets where the data in A are hidden: jets of events in A are among them.

    Raises:
        BlindedError: they are.
    """
    if run.analysis.blind:
        raise BlindedError(
            f"{run.analysis.name}: the data are blinded, and jets of events in A are among the oddest single jets; set"
            " 'fit.blind: false' to look at them"
        )


def cells_of(run: RunContext) -> JetCells:
    """Return the jets that the choices of ``jet_bump`` select, counted.

    Raises:
        OddjetsError: no jet was imported.
    """
    bump = run.analysis.jet_bump
    assert bump is not None
    total = (run.extra("process")["jets"]["raw"] or [0])[-1]
    if not total:
        raise OddjetsError(f"{run.out / JETS}: no jet passes the selection, so there is nothing to study")
    names = bump.scores or (run.analysis.threshold.score,)
    scores = [f"score_{name}" for name in names]
    oddest = find_oddest(
        event_table.stream(run.out / JETS, DATASET, ["mass", *scores]), names, total, max(bump.efficiencies)
    )
    choices = [JetChoice(name, e, oddest[name].above(e)[0]) for name in names for e in sorted(bump.efficiencies)]
    tables = event_table.stream(run.out / JETS, DATASET, ["pt", "mass", *scores])
    return count_cells(tables, choices, *bins_of(bump), run.analysis.selection.jets.pt_min)
