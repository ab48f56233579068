"""Draw figures into an output directory: the data as JSON, the picture as PNG and PDF."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oddjets.config import Analysis
from oddjets.console import log
from oddjets.errors import OddjetsError, nearest
from oddjets.plots import style
from oddjets.plots.artifacts import Artifacts, MissingArtifactError
from oddjets.plots.registry import KINDS, Kind, find

__all__ = ["collect", "make", "write_figure"]


def collect(artifacts: Artifacts, names: Sequence[str] | None = None) -> list[tuple[Kind, dict[str, Any]]]:
    """Return the data of figures.

    Args:
        artifacts: of the output directory.
        names: kinds or single figures; None or ``all``: every figure whose artifacts exist.

    Raises:
        MissingArtifactError: a figure was named whose stage has not run; the message has the verb.
        OddjetsError: no such figure; the message has the nearest.
    """
    if names is None or "all" in names:
        chosen = [kind for kind in KINDS.values() if all(artifacts.has(need) for need in kind.needs)]
        for kind in KINDS.values():
            if kind not in chosen:
                absent = next(need for need in kind.needs if not artifacts.has(need))
                log.info("no figures of kind '%s': %s is absent", kind.name, artifacts.path(absent).name)
        return [(kind, data) for kind in chosen for data in kind.data(artifacts).values()]
    made: dict[str, tuple[Kind, dict[str, Any]]] = {}
    for name in names:
        kind = find(name)
        for need in kind.needs:
            artifacts.need(need, name)
        figures = kind.data(artifacts)
        if not figures:
            raise MissingArtifactError(
                f"the figure '{name}' has nothing to show: {', '.join(kind.needs)} in {artifacts.out} hold no numbers for it; "
                "either the analysis does not ask for them, or too few events are left"
            )
        if name != kind.name and name not in figures:
            raise OddjetsError(f"no figure is called '{name}'; {nearest(name, figures)}")
        for key in figures if name == kind.name else [name]:
            made[key] = (kind, figures[key])
    return list(made.values())


def make(analysis: Analysis, out: Path, names: Sequence[str] | None = None) -> list[Path]:
    """Draw figures into ``out/figures``: NAME.json (what is drawn), NAME.png and NAME.pdf.

    Args:
        analysis: what was asked.
        out: the output directory of the analysis.
        names: kinds (``postfit``) or single figures (``postfit_SR_A``); None or ``all``: every figure whose
            artifacts exist.

    Returns:
        The files written.

    Raises:
        MissingArtifactError: a figure was named whose stage has not run; the message has the verb.
        OddjetsError: no such figure; the message has the nearest.
    """
    chosen = collect(Artifacts(analysis, out), names)
    return [file for kind, data in chosen for file in write_figure(out / "figures", kind, data)]


def write_figure(folder: Path, kind: Kind, data: dict[str, Any], *, reuse: bool = False) -> list[Path]:
    """Write one figure.

    Args:
        folder: where to; made if it is not there.
        kind: of the figure.
        data: what its ``data`` returned.
        reuse: leave the files as they are if the same data are there already.

    Returns:
        The JSON, PNG and PDF file, and the animation where there is one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{data['name']}.{suffix}" for suffix in ("json", "png", "pdf")]
    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    if reuse and all(f.is_file() for f in files) and files[0].read_text(encoding="utf-8") == text:
        return files
    with style.context():
        drawn = kind.draw(data)
    for file in files[1:]:
        style.save(drawn, file)
    if kind.animate is not None:
        files.append(folder / f"{data['name']}.gif")
        kind.animate(data, files[-1])
    # last: a JSON says that the pictures beside it are complete
    files[0].write_text(text, encoding="utf-8")
    return files
