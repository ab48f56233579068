"""The verbs `workspace` and `fit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from oddjets.cli import completion
from oddjets.cli.options import AnalysisFile, Force, Out, Unblind, make_run, rerun_blinded_stages, run_single_stage
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.workflow.overrides import check_fit_options, toys_option

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["fit", "workspace"]

#: changes of a card that are printed; its report has all of them
MAX_LINES = 20


def workspace(
    analysis: AnalysisFile,
    out: Out = None,
    force: Force = False,
    combine: Annotated[
        bool,
        typer.Option(
            "--combine",
            help="Also write a Combine card: datacard.txt and shapes.root, a script to run Combine, and what it should give.",
        ),
    ] = False,
    unblind: Unblind = False,
) -> None:
    """Make a pyhf workspace from the region histograms."""
    from oddjets.workflow.pipeline import run_stage, stage_of, warn_of_skipped_files

    run = make_run(analysis, out, unblind=unblind)
    rerun_blinded_stages(run, "workspace")
    run_stage(run, stage_of(run, "workspace"), force=force)
    if combine:
        _write_combine_card(run)
        _write_combine_check(run)
    warn_of_skipped_files(run)


def _write_combine_card(run: RunContext) -> None:
    """Write the Combine card beside the workspace, and print how it differs from the workspace."""
    from oddjets.io.histograms import HistogramSet
    from oddjets.stats.combine import card_changes, write_card
    from oddjets.stats.histfactory.workspace_sources import load_workspace
    from oddjets.stats.workspace import varied_variances

    report = run.extra("workspace")["report"]
    variances = varied_variances(run.analysis, HistogramSet.load(run.out / "histograms"))
    files = write_card(
        load_workspace(run.out / "workspace.json"), run.out, report["edges"], variances, report.get("cells")
    )
    for file in files:
        console.print(escape(str(file)))
    changes = card_changes(json.loads(files[-1].read_text(encoding="utf-8"))["changes"])
    for line in changes[:MAX_LINES]:
        console.print(f"card: {escape(line)}")
    if len(changes) > MAX_LINES:
        console.print(f"card: and {len(changes) - MAX_LINES} more, see {escape(str(files[-1]))}")


def _write_combine_check(run: RunContext) -> None:
    """Write beside the card a script to run Combine, and what it should give."""
    from oddjets.stats.combine_check import write_check
    from oddjets.stats.histfactory.workspace_sources import load_workspace

    fit = run.analysis.fit
    assert fit is not None
    gof = fit.goodness_of_fit
    workspace = load_workspace(run.out / "workspace.json")
    for file in write_check(workspace, run.out, gof_model=gof.model, gof_toys=gof.toys, seed=fit.seed):
        console.print(escape(str(file)))
    console.print("Combine was not run: the script runs it, in its container, and the table says what it should give")


def fit(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="ANALYSIS.yaml|WORKSPACE.json",
            help="An analysis, or a pyhf workspace.",
            autocompletion=completion.analyses_and_workspaces,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the results (default: output/NAME; for a workspace, its own folder)."),
    ] = None,
    force: Force = False,
    unblind: Unblind = False,
    patch: Annotated[
        list[str] | None,
        typer.Option(
            "--patch",
            metavar="FILE[:NAME]",
            help="Apply a JSON patch to the workspace, or one of a patch set by name or values; repeatable.",
        ),
    ] = None,
    measurement: Annotated[
        str | None,
        typer.Option(
            "--measurement", metavar="NAME", help="Measurement of a workspace that has several (default: the first)."
        ),
    ] = None,
    poi: Annotated[
        str | None, typer.Option("--poi", help="Parameter of interest (default: the YAML's or the workspace's).")
    ] = None,
    limit: Annotated[bool, typer.Option("--limit", help="Compute the CLs upper limit.")] = False,
    impacts: Annotated[bool, typer.Option("--impacts", help="Compute the impacts of all nuisance parameters.")] = False,
    scan: Annotated[
        str | None, typer.Option("--scan", metavar="NAME", help="Scan the profile likelihood of this parameter.")
    ] = None,
    toys: Annotated[
        str | None,
        typer.Option(
            "--toys",
            metavar="N|auto",
            help="Number of toys for significance and limit; auto: 2000 where few events decide (default: the YAML's, or 0).",
        ),
    ] = None,
    gof: Annotated[
        int | None,
        typer.Option(
            "--gof", min=0, metavar="N", help="Number of toys for the goodness of fit (default: the YAML's, or 0)."
        ),
    ] = None,
    gof_channels: Annotated[
        str | None,
        typer.Option(
            "--gof-channels",
            help="Letters in the goodness of fit, such as A,B (default: the YAML's; for a workspace, all).",
        ),
    ] = None,
    gof_model: Annotated[
        str | None,
        typer.Option(
            "--gof-model", help="Model of the goodness of fit: background or signal (default: the YAML's, or signal)."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Random seed of all toys (default: the YAML's, or 1).")
    ] = None,
) -> None:
    """Fit an analysis or any pyhf workspace. For an analysis, options override the YAML."""
    made = toys_option(toys)
    if source.is_dir():
        raise OddjetsError(f"{source}: is a folder; give ANALYSIS.yaml, or the WORKSPACE.json in it")
    if ".json" not in source.suffixes:
        if patch:
            raise OddjetsError(f"--patch: applies to a workspace (JSON), and {source} is not one")
        if measurement is not None:
            raise OddjetsError(f"--measurement: applies to a workspace (JSON), and {source} is not one")
        fit_options = {"poi": poi, "limit": limit, "impacts": impacts, "scan": scan, "toys": made, "gof": gof}
        fit_options |= {"gof_channels": gof_channels, "gof_model": gof_model, "seed": seed}
        run_single_stage("fit", source, out, force, unblind=unblind, fit_options=fit_options)
        return
    from oddjets.core.files import write_json
    from oddjets.stats.histfactory.workspace_sources import load_workspace, patch_of
    from oddjets.stats.summary import fit_workspace
    from oddjets.stats.summary_lines import summary

    if unblind:
        raise OddjetsError("--unblind: applies to an analysis only; the data of a workspace are never blinded")
    if force:
        raise OddjetsError("--force: applies to an analysis only; a workspace is always fitted again")
    if gof_model not in ("background", "signal", None):
        raise OddjetsError(f"--gof-model: '{gof_model}' is neither 'background' nor 'signal'")
    check_fit_options(made or 0, gof or 0, gof_channels=gof_channels, gof_model=gof_model, seed=seed)
    folder = out if out is not None else source.parent
    if folder.is_file():
        # before the fit, which may take long
        raise OddjetsError(f"{folder}: is a file, and results need a folder; give another folder with --out")
    if (folder / "manifests").is_dir():
        raise OddjetsError(
            f"{folder} holds an analysis, whose results.json this fit would replace: give another folder with --out"
        )
    results = fit_workspace(
        load_workspace(source, [patch_of(text) for text in patch or ()]),
        poi=poi,
        measurement=measurement,
        limit=limit,
        impacts=impacts,
        scan=scan is not None,
        scan_parameter=scan,
        toys=made or 0,
        gof_toys=gof or 0,
        gof_letters=None if gof_channels is None else tuple(word.strip() for word in gof_channels.split(",")),
        gof_model="background" if gof_model == "background" else "signal",
        seed=1 if seed is None else seed,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "results.json", results)
    for line in summary(results):
        console.print(escape(line))
    console.print(f"results: {escape(str(folder / 'results.json'))}")
