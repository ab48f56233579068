"""The program `oddjets`: its verbs and how errors end it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any

# several processes share the cores: a library that starts a thread per core in each of them only gets in the way
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import typer
from rich.markup import escape
from rich.traceback import install as install_traceback

from oddjets import __version__
from oddjets.cli import aspen, completion, fit, npz, opendata, status
from oddjets.cli.inspect import inspect
from oddjets.cli.learn import learn
from oddjets.cli.mixing import mixing
from oddjets.cli.model import app as training_app
from oddjets.cli.options import (
    AnalysisFile,
    Force,
    Inject,
    Luminosity,
    NoFilter,
    Out,
    Seed,
    Unblind,
    load,
    make_run,
    rerun_blinded_stages,
    run_single_stage,
)
from oddjets.cli.paper import paper
from oddjets.cli.publish import publish, reproduce
from oddjets.cli.rescore import efficiency_map, rescore
from oddjets.cli.scores import scores
from oddjets.cli.simulate import simulate
from oddjets.cli.study import app as study_app
from oddjets.cli.yields import yields
from oddjets.config.analysis import find_analysis
from oddjets.core import resources
from oddjets.core.console import RedactingFormatter, console
from oddjets.core.errors import OddjetsError
from oddjets.core.interrupts import Interrupted, interruptible
from oddjets.workflow.overrides import Executor, Scheduler, SkipBadFiles, Workers

__all__ = ["app", "main"]

app = typer.Typer(
    name="oddjets",
    help="Search LHC data for anomalous jets with a foundation model: from PFNano files to the fit and the report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

app.add_typer(training_app, name="model")
app.add_typer(study_app, name="study")

#: what click calls UsageError, wherever this version of typer keeps it
_USAGE_ERROR: Any = typer.BadParameter.__bases__[0]
#: the embedded analysis of `demo`
DEMO = "demo.yaml"


def _version(value: bool) -> None:
    if value:
        typer.echo(f"oddjets {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show full tracebacks and debug messages.")] = False,
) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(RedactingFormatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, handlers=[handler])
    logging.getLogger("oddjets").setLevel(logging.DEBUG if debug else logging.INFO)
    if debug and console.is_terminal:  # its box breaks paths; a file gets Python's own
        install_traceback(console=console, show_locals=False)


@app.command()
def run(
    analysis: AnalysisFile,
    out: Out = None,
    executor: Executor = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    skip_bad_files: SkipBadFiles = False,
    seed: Seed = None,
    inject: Inject = None,
    luminosity: Luminosity = None,
    no_filter: NoFilter = False,
    unblind: Unblind = False,
) -> None:
    """Run all stages of an analysis in order, except those that are up to date."""
    from oddjets.workflow.pipeline import run_stages

    options: dict[str, Any] = {"seed": seed, "inject": inject, "luminosity": luminosity, "no_filter": no_filter}
    options |= {"executor": executor, "workers": workers, "scheduler": scheduler, "skip_bad_files": skip_bad_files}
    work = make_run(analysis, out, unblind=unblind, **options)
    run_stages(work)


@app.command()
def demo(
    out: Out = None,
    small: Annotated[
        bool,
        typer.Option(
            "--small", help="Run a smaller demo: two minutes instead of six, but too few events for a result."
        ),
    ] = False,
    seed: Seed = None,
    inject: Inject = None,
    luminosity: Luminosity = None,
    no_filter: NoFilter = False,
    workers: Workers = None,
) -> None:
    """Run the built-in demo analysis, which looks for top quarks among the anomalous jets of simulated collisions."""
    from oddjets.workflow.pipeline import run_stages

    file = resources.find("demo_small.yaml" if small else DEMO, "processors")
    work = make_run(file, out, workers=workers, seed=seed, inject=inject, luminosity=luminosity, no_filter=no_filter)
    run_stages(work)


@app.command()
def validate(analysis: AnalysisFile) -> None:
    """Check an analysis YAML and list all its errors; say which files could not be looked into."""
    from oddjets.workflow.aspen_validation import absent_aspen_files
    from oddjets.workflow.combination_validation import coupling_lines
    from oddjets.workflow.era_validation import absent_files, scheme_lines
    from oddjets.workflow.validation import validated

    resolved = validated(find_analysis(analysis))
    not_here = (*absent_files(resolved.analysis, resolved.eras), *absent_aspen_files(resolved.analysis))
    console.print(f"{escape(str(analysis))}: no errors ({len(resolved.analysis.regions)} regions)")
    for line in (*scheme_lines(resolved.analysis, resolved.eras), *not_here):
        console.print(escape(line))
    if reason := resolved.why_bank_unused():
        console.print(escape(f"closure.bank: {reason}"))
    warnings = coupling_lines(resolved.analysis, reason, resolved.columns_of_models)
    for line in warnings:
        console.print(f"[bold yellow]{escape(line)}[/bold yellow]")
    if warnings:
        console.print(f"{len(warnings)} warning{'s' if len(warnings) > 1 else ''}")


app.command()(simulate)


@app.command()
def process(
    analysis: AnalysisFile,
    out: Out = None,
    force: Force = False,
    executor: Executor = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    skip_bad_files: SkipBadFiles = False,
) -> None:
    """Select events in PFNano files, score their jets, and write event tables."""
    if workers is not None and load(analysis).npz is not None:
        raise OddjetsError("--workers: the authors' files are read by one process")
    who = {"executor": executor, "workers": workers, "scheduler": scheduler}
    run_single_stage("process", analysis, out, force, skip_bad_files=skip_bad_files, **who)


app.command()(npz.import_npz)
app.command()(npz.export_npz)
app.command()(aspen.fetch_aspen)
app.command()(aspen.import_aspen)


@app.command()
def histogram(analysis: AnalysisFile, out: Out = None, force: Force = False, unblind: Unblind = False) -> None:
    """Find the threshold and fill the region histograms from the event tables."""
    run_single_stage("histogram", analysis, out, force, unblind=unblind)


@app.command()
def closure(analysis: AnalysisFile, out: Out = None, force: Force = False, unblind: Unblind = False) -> None:
    """Test the ABCD method on simulated QCD: compare N_A with N_B N_C / N_D."""
    run_single_stage("closure", analysis, out, force, unblind=unblind)


app.command()(yields)
app.command()(scores)
app.command()(mixing)
app.command()(inspect)
app.command()(learn)
app.command()(fit.workspace)
app.command()(fit.fit)


@app.command()
def plot(
    analysis: AnalysisFile,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Names of figures to draw (default: all).", autocompletion=completion.figures
        ),
    ] = None,
    out: Out = None,
    unblind: Unblind = False,
) -> None:
    """Draw the figures for which there are results."""
    from oddjets.report.figure_files import make

    run = make_run(analysis, out, unblind=unblind)
    rerun_blinded_stages(run, "plot")
    with run.lock():
        for file in make(run.analysis, run.out, names or None):
            console.print(escape(str(file)))


@app.command()
def report(analysis: AnalysisFile, out: Out = None, force: Force = False, unblind: Unblind = False) -> None:
    """Write report.html, one self-contained page with the results, figures and checks of an analysis."""
    run_single_stage("report", analysis, out, force, unblind=unblind)


@app.command()
def skim(
    analysis: AnalysisFile,
    to: Annotated[Path, typer.Option("--out", help="Folder for the reduced files and their fileset.json.")],
    workers: Workers = None,
) -> None:
    """Reduce PFNano files to the events and branches that an analysis needs."""
    from oddjets.workflow.skim.run import skim as reduce

    fileset = reduce(make_run(analysis, None, workers=workers), to)
    console.print(f"fileset of the skim: {escape(str(fileset))}")


app.command()(publish)
app.command()(reproduce)
app.command()(rescore)
app.command()(efficiency_map)
app.command()(status.clean)
app.command()(paper)
app.command()(opendata.fetch)
app.command()(opendata.fileset)
app.command()(status.status)


def _of_the_system(error: OSError) -> str:
    """Return what the system refused: of which file, or, where it names none, which kind of error it is."""
    what = error.strerror or str(error) or "no reason given"
    if error.filename:
        return f"{error.filename}: {what}"
    return (
        f"the system refused what a run needs, and named no file: {what} ({type(error).__name__}); --debug behind 'oddjets'"
        " shows where"
    )


def main() -> None:
    """Run the command line; a user's mistake ends it with its message and exit code 2, without a traceback."""
    debug = "--debug" in sys.argv
    try:
        with interruptible():
            ended = app(prog_name="oddjets", standalone_mode=False)
    except Interrupted as stopped:
        console.print(f"stopped ({stopped}); finished work is kept, and the same command continues from there")
        sys.exit(stopped.exit_code)
    except _USAGE_ERROR as error:
        error.show()  # typer's own puts it into a box, and so breaks the paths in it
        sys.exit(error.exit_code)
    except typer.Abort:
        console.print("aborted")
        sys.exit(1)
    except OddjetsError as error:
        if debug:
            raise
        console.print(f"[bold red]error:[/bold red] {escape(str(error))}")
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        console.print(f"[bold red]error:[/bold red] {escape(_of_the_system(error))}")
        sys.exit(2)
    # what was asked to exit with, by `typer.Exit`
    sys.exit(ended if isinstance(ended, int) else 0)
