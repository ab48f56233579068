"""Figures in an output directory: their data as JSON, the pictures as PNG and PDF."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.core.console import log, progress
from oddjets.core.errors import BlindedError, OddjetsError, nearest
from oddjets.core.worker_pool import pool_context, prepare_worker
from oddjets.report import style
from oddjets.report.artifacts import ARTIFACTS, Artifacts, MissingArtifactError
from oddjets.report.registry import KINDS, FigureKind, find

__all__ = [
    "collect",
    "collect_possible",
    "figures_of",
    "log_missing",
    "make",
    "remove_hidden",
    "write_figure",
    "write_figures",
]

#: smallest number of figures for which a second process saves time
WORTH_SHARING = 8


def collect(artifacts: Artifacts, names: Sequence[str] | None = None) -> list[tuple[FigureKind, dict[str, Any]]]:
    """Return the data of figures.

    Args:
        artifacts: artifacts of the output directory.
        names: kinds or single figures; None or ``all``: every figure whose artifacts exist.

    Raises:
        MissingArtifactError: the stage of a named figure has not run; the message has the command.
        BlindedError: a named figure shows the data in A, and these are blinded; of all figures, those are left out with a
            warning.
        OddjetsError: no such figure; the message has the nearest.
    """
    if names is None or "all" in names:
        log_missing(artifacts)
        found, problems = collect_possible(artifacts, BlindedError)
        for problem in problems:
            log.warning("%s", problem)
        return found
    made: dict[str, tuple[FigureKind, dict[str, Any]]] = {}
    for name in names:
        kind = find(name)
        for need in kind.needs:
            artifacts.require(need, name)
        figures = kind.data(artifacts)
        if not figures and kind.in_a and artifacts.blinded:
            raise BlindedError(f"the figure '{name}' shows data in A, which are blinded; use --unblind")
        if not figures:
            raise MissingArtifactError(
                f"the figure '{name}' has nothing to show: {', '.join(kind.needs)} in {artifacts.out} have no numbers for it; "
                "either the analysis does not compute them, or too few events are left"
            )
        if name != kind.name and name not in figures:
            raise OddjetsError(f"no figure is called '{name}'; {nearest(name, figures)}")
        for key in figures if name == kind.name else [name]:
            made[key] = (kind, figures[key])
    return list(made.values())


def log_missing(artifacts: Artifacts) -> None:
    """Log which stages of the analysis have not run, and the kinds of figures that wait for each.

    Args:
        artifacts: artifacts of the output directory.
    """
    waiting: dict[str, list[str]] = {verb: [] for _, verb in ARTIFACTS.values()}
    for kind in KINDS.values():
        absent = [need for need in kind.needs if not artifacts.has(need)]
        if absent and all(artifacts.expected(need) for need in absent):
            waiting[ARTIFACTS[absent[0]][1]].append(kind.name)
    for verb, names in waiting.items():
        if names:
            log.info("`oddjets %s` has not run: no figures yet of %s", verb, ", ".join(names))


def collect_possible(
    artifacts: Artifacts, reasons: type[OddjetsError] = OddjetsError
) -> tuple[list[tuple[FigureKind, dict[str, Any]]], list[str]]:
    """Return the data of every figure whose artifacts exist, and why those of some kinds cannot be drawn.

    Args:
        artifacts: artifacts of the output directory.
        reasons: errors for which a kind is left out; others are raised.
    """
    found: list[tuple[FigureKind, dict[str, Any]]] = []
    problems = []
    for kind in KINDS.values():
        if not all(artifacts.has(need) for need in kind.needs):
            continue
        try:
            found += [(kind, data) for data in kind.data(artifacts).values()]
        except reasons as error:
            problems.append(f"The figures '{kind.name}' could not be drawn: {error}")
    return found, problems


def make(analysis: Analysis, out: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Draw figures into ``out/figures``: NAME.json (its data), NAME.png and NAME.pdf.

    Args:
        analysis: the analysis.
        out: the output directory of the analysis.
        names: kinds (``postfit``) or single figures (``postfit_SR_A``); None or ``all``: every figure whose
            artifacts exist.

    Returns:
        The files written.

    Raises:
        MissingArtifactError: the stage of a named figure has not run; the message has the command.
        BlindedError: a named figure shows the data in A, and these are blinded; the others are drawn.
        OddjetsError: no such figure; the message has the nearest.
    """
    artifacts = Artifacts(analysis, out)
    hidden: list[str] = []
    if names is None or "all" in names:
        chosen = collect(artifacts, names)
        remove_hidden(artifacts, [data for _, data in chosen])
    else:
        chosen, hidden = _visible(artifacts, names)
        if artifacts.blinded:
            remove_hidden(artifacts, [data for _, data in collect_possible(artifacts)[0]])
    workers = analysis.execution.processes
    files = [file for made in write_figures(out / "figures", chosen, workers=workers) for file in made]
    if hidden:
        drawn = f"; drawn: {', '.join(data['name'] for _, data in chosen)}" if chosen else ""
        raise BlindedError("\n".join(hidden) + drawn)
    return files


def _visible(artifacts: Artifacts, names: Sequence[str]) -> tuple[list[tuple[FigureKind, dict[str, Any]]], list[str]]:
    """Return the data of the figures that are not hidden, and the reasons why the others are hidden."""
    visible: dict[str, tuple[FigureKind, dict[str, Any]]] = {}
    hidden = []
    for name in names:
        try:
            visible |= {data["name"]: (kind, data) for kind, data in collect(artifacts, [name])}
        except BlindedError as error:
            hidden.append(str(error))
    return list(visible.values()), hidden


def remove_hidden(artifacts: Artifacts, current: Sequence[dict[str, Any]]) -> None:
    """Remove figures of a blinded analysis that are not what would be drawn now: they may show the data in A.

    Args:
        artifacts: artifacts of the output directory.
        current: the data of every figure that can be drawn.
    """
    if not artifacts.blinded:
        return
    texts = {data["name"]: _text(data) for data in current}
    for file in figures_of(artifacts.out / "figures"):
        stored = file.with_suffix(".json")
        if file.stem not in texts or not stored.is_file() or stored.read_text(encoding="utf-8") != texts[file.stem]:
            for suffix in (".png", ".pdf", ".gif", ".json"):
                file.with_suffix(suffix).unlink(missing_ok=True)


def _text(data: dict[str, Any]) -> str:
    """Return what the JSON file of a figure holds."""
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def figures_of(folder: Path) -> list[Path]:
    """Return the files in a folder that are figures of a known kind, complete or not."""
    return [
        file
        for file in sorted(folder.iterdir() if folder.is_dir() else ())
        if file.suffix in (".json", ".png", ".pdf", ".gif")
        and any(file.stem == kind or file.stem.startswith(f"{kind}_") for kind in KINDS)
    ]


def write_figures(
    folder: Path, figures: Sequence[tuple[FigureKind, dict[str, Any]]], *, workers: int = 1, reuse: bool = False
) -> list[list[Path]]:
    """Write figures, in several processes if there are many.

    Args:
        folder: the folder to write into.
        figures: kind and data of each figure.
        workers: largest number of processes.
        reuse: do not rewrite figures whose data are unchanged.

    Returns:
        The files of each figure, see `write_figure`.
    """
    with progress("figures", len(figures)) as tracker:
        context = _forking() if workers >= 2 and len(figures) >= WORTH_SHARING else None
        if context is None:
            made = []
            for kind, data in figures:
                made.append(write_figure(folder, kind.name, data, reuse))
                tracker.advance()
            return made
        with ProcessPoolExecutor(workers, context, prepare_worker) as pool:
            futures = [pool.submit(write_figure, folder, kind.name, data, reuse) for kind, data in figures]
            for _ in as_completed(futures):
                tracker.advance()
            return [future.result() for future in futures]


def _forking() -> BaseContext | None:
    """Return what forks processes, which start quickly and need no importable main module; None where that cannot be."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return None
    try:
        return pool_context("fork")
    except OddjetsError:
        return None


def write_figure(folder: Path, name: str, data: dict[str, Any], reuse: bool = False) -> list[Path]:
    """Write one figure.

    Args:
        folder: the folder to write into; made if it does not exist.
        name: name of the figure's kind.
        data: the result of its ``data``.
        reuse: do not rewrite the files if the data are unchanged.

    Returns:
        The JSON, PNG and PDF file, and the animation if there is one.
    """
    kind = KINDS[name]
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{data['name']}.{suffix}" for suffix in ("json", "png", "pdf")]
    text = _text(data)
    if reuse and all(f.is_file() for f in files) and files[0].read_text(encoding="utf-8") == text:
        return files
    with style.context():
        drawn = kind.draw(data)
    for file in files[1:]:
        style.save(drawn, file)
    if kind.animate is not None:
        files.append(folder / f"{data['name']}.gif")
        kind.animate(data, files[-1])
    # last: an existing JSON file means that the pictures are complete
    files[0].write_text(text, encoding="utf-8")
    return files
