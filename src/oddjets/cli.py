"""The command line: one verb a stage, and a few that serve them."""

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

from oddjets import __version__, config, portal_cli, resources, status_cli
from oddjets.console import console
from oddjets.errors import OddjetsError
from oddjets.execution_options import Executor, Scheduler, SkipBadFiles, Workers, with_execution
from oddjets.paper.cli import paper
from oddjets.simulation.options import with_options
from oddjets.simulation.sets import SETS
from oddjets.simulation.spec import SimulationSpec
from oddjets.training.cli import app as training_app

__all__ = ["app", "main"]

app = typer.Typer(
    name="oddjets",
    help="Search LHC data for jets that a foundation model finds odd: from PFNano files to a fitted, plotted answer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

AnalysisFile = Annotated[Path, typer.Argument(metavar="ANALYSIS.yaml", help="The analysis.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder for the results.  [default: output/NAME]")]
Force = Annotated[bool, typer.Option("--force", help="Run the stage even if its results still stand.")]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Other pseudo-data and templates.")]
Inject = Annotated[
    list[str] | None,
    typer.Option("--inject", metavar="PROCESS=MU", help="Strength of a process in the pseudo-data; 0 leaves it out."),
]
Luminosity = Annotated[float | None, typer.Option("--luminosity", help="Of the pseudo-data, in 1/pb.")]
Unblind = Annotated[bool, typer.Option("--unblind", help="Look at the data in A although the YAML says blind.")]
NoFilter = Annotated[
    bool,
    typer.Option("--no-filter", help="Generate every event whole: no early veto. Slow; the normalisation is the same."),
]

app.add_typer(training_app, name="model")

#: the embedded analysis of `demo`
DEMO = "demo.yaml"


def _version(value: bool) -> None:
    if value:
        typer.echo(f"oddjets {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it, and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Full tracebacks and debug messages.")] = False,
) -> None:
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(name)s: %(message)s")
    logging.getLogger("oddjets").setLevel(logging.DEBUG if debug else logging.INFO)
    if debug:
        install_traceback(console=console, show_locals=False)


def _simulated(
    analysis: config.Analysis,
    seed: int | None,
    inject: list[str] | None,
    luminosity: float | None,
    no_filter: bool,
) -> config.Analysis:
    """Lay --seed, --inject, --luminosity and --no-filter over the analysis's 'simulate'."""
    if seed is None and not inject and luminosity is None and not no_filter:
        return analysis
    if analysis.simulate is None:
        raise OddjetsError(f"--seed, --inject, --luminosity, --no-filter: '{analysis.name}' has no 'simulate'")
    spec = with_options(analysis.simulate.model_dump(), seed, inject, luminosity, no_filter)
    return analysis.model_copy(update={"simulate": spec})


def _load(file: Path, **execution: Any) -> config.Analysis:
    return with_execution(config.load(file if file.exists() else _named(file)), **execution)


def _named(file: Path) -> Path:
    """An analysis that the package carries may be named without its folder."""
    try:
        return resources.find(str(file), "processors", suffixes=("", ".yaml"))
    except OddjetsError:
        if file.suffix in (".yaml", ".yml"):
            return file  # config.load says what is beside it
        raise


def _run(
    file: Path,
    out: Path | None,
    *,
    seed: int | None = None,
    inject: list[str] | None = None,
    luminosity: float | None = None,
    no_filter: bool = False,
    unblind: bool = False,
    **execution: Any,
) -> Any:
    from oddjets.pipeline import Run  # heavy imports only where a stage runs

    analysis = _simulated(_load(file, **execution), seed, inject, luminosity, no_filter)
    if unblind and analysis.fit is not None:
        analysis = analysis.model_copy(update={"fit": analysis.fit.model_copy(update={"blind": False})})
    return Run(analysis, out if out is not None else Path("output") / analysis.name)


def _stage(name: str, file: Path, out: Path | None, force: bool, **changes: Any) -> None:
    from oddjets.pipeline import run_stage, warn_of_losses, warn_of_stale_inputs

    run = _run(file, out, **changes)
    stage = run.stage(name)
    warn_of_stale_inputs(run, stage)
    run_stage(run, stage, force=force)
    warn_of_losses(run)


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
) -> None:
    """Run all stages of an analysis, in order; what is up to date is skipped."""
    from oddjets.pipeline import run_stages

    options: dict[str, Any] = {"seed": seed, "inject": inject, "luminosity": luminosity, "no_filter": no_filter}
    options |= {"executor": executor, "workers": workers, "scheduler": scheduler, "skip_bad_files": skip_bad_files}
    work = _run(analysis, out, **options)
    run_stages(work, work.stages)


@app.command()
def demo(
    out: Out = None,
    small: Annotated[
        bool, typer.Option("--small", help="Two minutes instead of eight; too few events to learn from.")
    ] = False,
    seed: Seed = None,
    inject: Inject = None,
    luminosity: Luminosity = None,
    no_filter: NoFilter = False,
    workers: Workers = None,
) -> None:
    """Run the embedded analysis: simulated collisions in, top quarks found as odd jets."""
    from oddjets.pipeline import run_stages

    file = resources.find("demo_small.yaml" if small else DEMO, "processors")
    work = _run(file, out, workers=workers, seed=seed, inject=inject, luminosity=luminosity, no_filter=no_filter)
    run_stages(work, work.stages)


@app.command()
def validate(analysis: AnalysisFile) -> None:
    """Check an analysis YAML; say all that is wrong with it, at once."""
    from oddjets.validation import resolve

    resolved = resolve(_load(analysis))
    console.print(f"{escape(str(analysis))}: no errors ({len(resolved.analysis.regions)} regions)")


@app.command()
def simulate(
    analysis: Annotated[
        Path | None, typer.Argument(metavar="[ANALYSIS.yaml]", help="The analysis; or give --set.", show_default=False)
    ] = None,
    ready_made: Annotated[
        str | None, typer.Option("--set", metavar="NAME", help=f"A ready-made simulation: {', '.join(SETS)}.")
    ] = None,
    out: Out = None,
    force: Force = False,
    workers: Workers = None,
    seed: Seed = None,
    inject: Inject = None,
    luminosity: Luminosity = None,
    no_filter: NoFilter = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only predict time and size.")] = False,
) -> None:
    """Make simulated PFNano files: pseudo-data and templates, as the YAML's 'simulate' says, or a ready-made set."""
    options: dict[str, Any] = {"seed": seed, "inject": inject, "luminosity": luminosity, "no_filter": no_filter}
    if analysis is not None and ready_made is None:
        from oddjets.pipeline import run_stage

        work = _run(analysis, out, workers=workers, **options)
        stage = work.stage("simulate")
        if dry_run and work.analysis.simulate is not None:
            _predict(work.analysis.simulate, work.analysis.execution.processes)
        else:
            run_stage(work, stage, force=force)
    elif analysis is None and ready_made is not None:
        if force:
            raise OddjetsError("simulate: --force is for analyses; to make a set again, remove its folder")
        spec = with_options({"set": ready_made}, **options)
        if dry_run:
            _predict(spec, workers or 2)
        else:
            from oddjets.simulation.run import simulate as make

            console.print(str(make(spec, out or Path("output") / ready_made, workers or 2)))
    else:
        raise OddjetsError(f"simulate: give an ANALYSIS.yaml, or --set NAME with one of {', '.join(SETS)}")


def _predict(spec: SimulationSpec, workers: int) -> None:
    """Say what a simulation would cost."""
    from oddjets.simulation.plan import make_plan
    from oddjets.simulation.prediction import predict

    console.print(f"simulate: {predict(make_plan(spec)).text(workers)}")


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
    """Select events in PFNano files and score their jets; write event tables."""
    who = {"executor": executor, "workers": workers, "scheduler": scheduler}
    _stage("process", analysis, out, force, skip_bad_files=skip_bad_files, **who)


@app.command(name="import-npz")
def import_npz(
    folder: Annotated[Path, typer.Argument(help="With the files outputs_pretrain_*.npz.")],
    out: Out = None,
    analysis: Annotated[Path, typer.Option("--analysis", help="An analysis with 'npz'.")] = Path("paper_zenodo.yaml"),
    model: Annotated[str | None, typer.Option("--model", help="s or l: whose files.  [default: the YAML's]")] = None,
) -> None:
    """Turn the authors' published event files into event tables; then histogram, workspace and fit go on as ever."""
    from oddjets.pipeline import Run, run_stage

    loaded = _load(analysis)
    if loaded.npz is None:
        raise OddjetsError(f"{analysis}: no 'npz' section, so it reads no event files of the authors")
    changes: dict[str, Any] = {"folder": str(folder.resolve())} | ({"model": model} if model is not None else {})
    spec = config.AuthorsFiles.model_validate(loaded.npz.model_dump() | changes)
    run = Run(loaded.model_copy(update={"npz": spec}), out if out is not None else Path("output") / loaded.name)
    run_stage(run, run.stage("process"))


@app.command(name="export-npz")
def export_npz(
    analysis: AnalysisFile,
    to: Annotated[Path, typer.Option("--to", help="Folder for the files.")],
    out: Out = None,
) -> None:
    """Write event tables in the layout of the authors' event files (the score needs 'keep_probabilities: true')."""
    from oddjets.stages.npz_files import export_npz as export

    for file in export(_run(analysis, out), to):
        console.print(str(file))


@app.command()
def histogram(analysis: AnalysisFile, out: Out = None, force: Force = False) -> None:
    """Find the threshold and fill the region histograms from the event tables."""
    _stage("histogram", analysis, out, force)


@app.command()
def closure(analysis: AnalysisFile, out: Out = None, force: Force = False) -> None:
    """Compare N_A with N_B N_C / N_D on simulated QCD."""
    _stage("closure", analysis, out, force)


@app.command()
def workspace(
    analysis: AnalysisFile,
    out: Out = None,
    force: Force = False,
    combine: Annotated[bool, typer.Option("--combine", help="Also write datacard.txt and shapes.root.")] = False,
    unblind: Unblind = False,
) -> None:
    """Turn region histograms into a pyhf workspace."""
    from oddjets.pipeline import run_stage, warn_of_losses

    run = _run(analysis, out, unblind=unblind)
    run_stage(run, run.stage("workspace"), force=force)
    if combine:
        from oddjets.stats.combine import write_card
        from oddjets.stats.spec import load_workspace

        edges = run.extra("workspace")["report"]["edges"]
        for file in write_card(load_workspace(run.out / "workspace.json"), run.out, edges):
            console.print(str(file))
    warn_of_losses(run)


@app.command()
def fit(
    source: Annotated[Path, typer.Argument(metavar="ANALYSIS.yaml|WORKSPACE.json")],
    out: Out = None,
    force: Force = False,
    unblind: Unblind = False,
    poi: Annotated[str | None, typer.Option("--poi", help="Parameter of interest.")] = None,
    limit: Annotated[bool, typer.Option("--limit", help="CLs upper limits.")] = False,
    impacts: Annotated[bool, typer.Option("--impacts", help="Impacts of all nuisance parameters.")] = False,
    scan: Annotated[str | None, typer.Option("--scan", metavar="NAME", help="Profile scan of a parameter.")] = None,
    toys: Annotated[int, typer.Option("--toys", min=0, help="Toys for significance and limit.")] = 0,
    gof: Annotated[int, typer.Option("--gof", min=0, metavar="N", help="Toys for the goodness of fit.")] = 0,
    gof_channels: Annotated[str, typer.Option("--gof-channels", help="Letters, as A,B.  [default: all]")] = "",
    gof_model: Annotated[str, typer.Option("--gof-model", help="background or signal.")] = "signal",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all toys.")] = 1,
) -> None:
    """Fit an analysis (its YAML says what is asked), or any pyhf workspace (the options say it)."""
    if source.suffix != ".json":
        _stage("fit", source, out, force, unblind=unblind)
        return
    from oddjets.datasets import save_json
    from oddjets.stats.fit import fit_workspace, summary
    from oddjets.stats.spec import load_workspace

    if gof_model not in ("background", "signal"):
        raise OddjetsError(f"--gof-model: '{gof_model}' is neither 'background' nor 'signal'")
    results = fit_workspace(
        load_workspace(source),
        poi=poi,
        limit=limit,
        impacts=impacts,
        scan=scan is not None,
        scan_parameter=scan,
        toys=toys,
        gof_toys=gof,
        gof_letters=tuple(word.strip() for word in gof_channels.split(",")) if gof_channels else None,
        gof_model="background" if gof_model == "background" else "signal",
        seed=seed,
    )
    folder = out if out is not None else source.parent
    folder.mkdir(parents=True, exist_ok=True)
    save_json(folder / "results.json", results)
    for line in summary(results):
        console.print(escape(line), soft_wrap=True)
    console.print(f"results: {folder / 'results.json'}")


@app.command()
def plot(
    analysis: AnalysisFile,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Which figures.  [default: all]")
    ] = None,
    out: Out = None,
) -> None:
    """Draw the figures that the stages so far allow."""
    from oddjets import plots

    run = _run(analysis, out)
    with run.lock():
        for file in plots.make(run.analysis, run.out, names or None):
            console.print(str(file))


@app.command()
def report(analysis: AnalysisFile, out: Out = None, force: Force = False) -> None:
    """Write report.html: one self-contained page with the question, the answer and where every number comes from."""
    _stage("report", analysis, out, force)


@app.command()
def skim(
    analysis: AnalysisFile,
    to: Annotated[Path, typer.Option("--out", help="Folder for the files and their fileset.json.")],
    workers: Workers = None,
) -> None:
    """Reduce PFNano files to the events and branches that an analysis needs; finished files are kept."""
    from oddjets.skimming import skim as reduce

    fileset = reduce(_run(analysis, None, workers=workers), to)
    console.print(f"fileset of the skim: {escape(str(fileset))}", soft_wrap=True)


@app.command()
def clean(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An output folder, or a skim.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the files.")] = False,
) -> None:
    """Remove from an output folder what nothing there refers to; what it does not know stays."""
    from oddjets import cleaning
    from oddjets.locking import locked

    found = cleaning.orphans(folder)
    if not dry_run:
        with locked(folder):
            # again, since a run may just have ended
            found = cleaning.orphans(folder)
            cleaning.remove(found)
    for path, size, why in found:
        console.print(f"{escape(str(path))}: {size / 1e6:.3f} MB, {why}", soft_wrap=True)
    total = f"{len(found)} files, {sum(orphan.size for orphan in found) / 1e6:.3f} MB"
    console.print(f"{total} {'to remove' if dry_run else 'removed'}")


app.command()(paper)
app.command()(portal_cli.fetch)
app.command()(portal_cli.fileset)
app.command()(status_cli.status)


def main() -> None:
    """Run the command line; a user's mistake ends it with its message and exit code 2, without a traceback."""
    debug = "--debug" in sys.argv
    try:
        app(prog_name="oddjets")
    except OddjetsError as error:
        if debug:
            raise
        console.print(f"[bold red]error:[/bold red] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        console.print(f"[bold red]error:[/bold red] {escape(where)}{escape(error.strerror or str(error))}")
        sys.exit(2)
    except KeyboardInterrupt:
        console.print("stopped; what is finished stays, and the same command goes on from there")
        sys.exit(130)
