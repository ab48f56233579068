"""The set-ups of the paper, run one after the other on one simulated sample."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from rich.markup import escape

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core import provenance, resources
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.locks import locked
from oddjets.report.paper.page import write
from oddjets.workflow.overrides import with_execution, with_simulation

__all__ = ["SETUPS", "analyses", "make_all", "share_events"]

#: analyses of ``processors/``, in the order of the paper; the first makes the sample
SETUPS = ("paper_top", "paper_hh", "paper_hh_split", "paper_hh_btag", "paper_xbb", "paper_dijet_mass")
#: what `simulate` and `process` leave that later stages read, manifests last: they say that the rest is whole
SHARED = ("simulation", "events", "cutflow.json", "lost.json", "manifests/simulate.json", "manifests/process.json")


def analyses(scale: float, inject: list[str], seed: int | None = None, workers: int | None = None) -> list[Analysis]:
    """Return the set-ups with what is asked of their sample.

    Args:
        scale: factor on the sample: luminosity and templates.
        inject: words PROCESS=MU, strengths of processes in the pseudo-data.
        seed: of the simulation; None: the YAML's.
        workers: processes; None: the YAML's.

    Returns:
        One an entry of `SETUPS`; all ask for the same simulation.
    """
    made = []
    for name in SETUPS:
        analysis = with_execution(load_analysis(resources.find(f"{name}.yaml", "processors")), workers=workers)
        assert analysis.simulate is not None
        spec = with_simulation(analysis.simulate.model_dump(), seed, inject, None, False)
        assert spec.luminosity is not None
        templates = {process: max(1, round(scale * tries)) for process, tries in spec.templates.items()}
        spec = spec.model_copy(update={"luminosity": scale * spec.luminosity, "templates": templates})
        made.append(analysis.model_copy(update={"simulate": spec}))
    return made


def make_all(asked: list[Analysis], out: Path) -> Path:
    """Simulate and process once, then run every set-up on that, and write the index.

    What is up to date is skipped, so that a call that was interrupted goes on. A set-up that fails leaves the others alone.

    Args:
        asked: from `analyses`.
        out: gets a folder for every set-up, and ``index.html``.

    Returns:
        The index.

    Raises:
        OddjetsError: the sample could not be made, or set-ups failed; the message says which and why.
    """
    from oddjets.workflow.pipeline import run_stages, stages_up_to  # heavy imports only where a stage runs
    from oddjets.workflow.run import RunContext

    runs = [RunContext(analysis, out / analysis.name) for analysis in asked]
    sample = runs[0]
    console.print(f"[bold]sample[/bold], in {escape(str(sample.out))}")
    run_stages(sample, stages_up_to(sample, "process"))
    failed = []
    for run in runs:
        console.print(f"[bold]{run.analysis.name}[/bold]: {escape(run.analysis.title)}")
        try:
            if run is not sample:
                share_events(sample.out, run.out)
            run_stages(run)
        except OddjetsError as error:
            failed.append(f"{run.analysis.name}: {error}")
            console.print(f"[bold red]{run.analysis.name} failed[/bold red]: {escape(str(error))}")
    page = write(asked, out)
    console.print(f"index: {escape(str(page))}")
    if failed:
        raise OddjetsError(
            "; ".join(failed) + "; the index shows the others, and the same command continues from there"
        )
    return page


def share_events(source: Path, target: Path) -> None:
    """Give an analysis the simulated files and event tables of another one, unless it has these already.

    Files are linked, not copied: a link costs no space, and a file that is replaced in one folder stays as it is in the
    other. Whether they are what the other analysis needs is not decided here: their manifests carry content keys, and a
    stage whose key differs runs again.

    Args:
        source: the output folder with the sample.
        target: the output folder that gets it.
    """
    wanted = provenance.read_manifest(source, "process")
    if wanted is None or provenance.read_manifest(target, "process") == wanted:
        return
    with locked(target):
        for name in ("simulate", "process"):
            provenance.remove_manifest(target, name)
        for name in SHARED:
            old, new = source / name, target / name
            if new.is_dir():
                shutil.rmtree(new)
            new.unlink(missing_ok=True)
            if old.is_dir():
                shutil.copytree(old, new, copy_function=os.link)
            elif old.exists():
                new.parent.mkdir(parents=True, exist_ok=True)
                os.link(old, new)
