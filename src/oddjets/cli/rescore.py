"""The verbs `rescore` and `efficiency-map`: other signals in a finished analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oddjets.cli import completion
from oddjets.workflow.overrides import Workers, toys_option

__all__ = ["efficiency_map", "rescore"]


def rescore(
    signal: Annotated[
        Path,
        typer.Argument(
            metavar="SIGNAL",
            help="The signal's events: PFNano or NanoAODv15 (a file, a folder of files, or a fileset), LHE, or HepMC.",
            show_default=False,
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="ANALYSIS.yaml|FOLDER",
            help="A finished analysis, or its output folder.",
            show_default=False,
            autocompletion=completion.analyses,
        ),
    ],
    cross_section: Annotated[
        float | None,
        typer.Option(
            "--cross-section", metavar="PB", help="Cross section of all generated events in pb (default: the file's)."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the signal's process.")] = "signal",
    label: Annotated[
        str | None, typer.Option("--label", help="Name in figures and tables (default: that of the process).")
    ] = None,
    process: Annotated[
        str | None, typer.Option("--process", metavar="NAME", help="Of a fileset: the process that is the signal.")
    ] = None,
    era: Annotated[
        str | None, typer.Option("--era", help="Era of ROOT files, which do not state it, such as 2016postVFP.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Use a sample of another era, energy or detector all the same; every output says so."
        ),
    ] = False,
    own_signal: Annotated[
        str,
        typer.Option(
            "--own-signal",
            metavar="HOW",
            help="What becomes of the analysis's own signal in the fit: background (at its stated cross section), removed or"
            " free.",
            autocompletion=lambda: ["background", "removed", "free"],
        ),
    ] = "background",
    pythia: Annotated[
        list[str] | None,
        typer.Option(
            "--pythia", metavar="LINE", help="Setting of Pythia's for LHE files, such as 25:onMode = off; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=1, help="Random seed of shower, detector and toys.")] = 1,
    workers: Workers = None,
    toys: Annotated[
        str | None,
        typer.Option("--toys", metavar="N|auto", help="Number of toys for the limit (default: as the analysis)."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the results (default: rescored/NAME in the analysis's folder)."),
    ] = None,
) -> None:
    """Send a signal's events through a finished analysis: acceptance, templates, and the limit on its cross section."""
    from oddjets.cli.status import analysis_and_folder  # heavy imports only where it runs
    from oddjets.workflow.rescoring.options import RescoreOptions
    from oddjets.workflow.rescoring.run import rescore as work
    from oddjets.workflow.run import RunContext

    options = RescoreOptions(
        source=signal,
        name=name,
        label=label,
        cross_section=cross_section,
        process=process,
        era=era,
        force=force,
        own_signal=own_signal,  # type: ignore[arg-type]
        pythia=tuple(pythia or ()),
        seed=seed,
        workers=workers,
        toys=toys_option(toys),
    )
    options.check()
    work(RunContext(*analysis_and_folder(target, None)), options, out)


def efficiency_map(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="ANALYSIS.yaml|FOLDER",
            help="A finished analysis, or its output folder; or the folder of a rescored signal.",
            show_default=False,
            autocompletion=completion.analyses,
        ),
    ],
    process: Annotated[
        list[str] | None,
        typer.Option("--process", metavar="NAME", help="Simulated process to take (default: all); repeatable."),
    ] = None,
) -> None:
    """Map how likely single jets pass the threshold, by mass, pT and number of prongs, from simulated samples."""
    from oddjets.cli.status import analysis_and_folder  # heavy imports only where it runs
    from oddjets.io.combined_scores import COMBINED_SCORES
    from oddjets.workflow.efficiency_map import map_efficiency
    from oddjets.workflow.executors.records import EVENTS
    from oddjets.workflow.run import RunContext

    analysis, folder = analysis_and_folder(target, None)
    # a rescored signal has the tail probabilities of the analysis, and no data
    recorded = folder if (folder / EVENTS / COMBINED_SCORES).is_file() else None
    map_efficiency(RunContext(analysis, folder, combined_from=recorded), tuple(process or ()))
