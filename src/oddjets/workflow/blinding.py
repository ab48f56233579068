"""Blinding of an output folder: its record, and the removal of what shows the data in A."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core import provenance
from oddjets.core.blinding_history import BLINDED, FILE, OPEN_BEFORE, UNBLINDED, BlindingEvent, read_history
from oddjets.core.console import console
from oddjets.core.errors import OddjetsError
from oddjets.core.files import write_json
from oddjets.io import inspections, paper_npz

__all__ = ["apply_blinding", "record_state", "stages_showing_data"]

#: what verbs make beside the stages' results, of the workspace or of everything
_OUTPUTS_WITH_DATA = (
    *("report.html", "datacard.txt", "shapes.root", "combine_report.json", "combine.sh"),
    *("combine_expected.md", "combine_expected.json"),
    *("study/trainings.json", "study/trainings.txt"),
    *("study/two_sample.json", "study/two_sample_picks.txt"),
)
#: of the folders of learnt scores
_LEARNT = "learnt*/learnt.json"
_EXPORTED = f"outputs_pretrain_s_{paper_npz.DATA_NAME}_dijet.npz"


def stages_showing_data(out: Path) -> list[str]:
    """Return the stages whose results in an output folder hold the data in A, in order."""
    shown = []
    index = _json(out / "histograms" / "index.json")
    if index and not index.get("blinded"):
        shown.append("histogram")
    workspace = _json(out / "manifests" / "workspace.json").get("extra") or {}
    if (out / "workspace.json").is_file() and "report" in workspace and not workspace["report"].get("blinded"):
        shown.append("workspace")
    results = _json(out / "results.json")
    if results and not results.get("blinded"):
        shown.append("fit")
    return shown


def _json(file: Path) -> dict[str, Any]:
    """Read a JSON object; an empty one where it is absent or broken, which whoever needs it will say."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def apply_blinding(analysis: Analysis, out: Path, *, unblinds: str) -> None:
    """Apply the blinding that the analysis asks for to an output folder, before a verb works there.

    Where the data in A are hidden that were not, whatever figures, cards, reports and exports may show them are removed;
    what the stages left stays until they run again, and nothing shows it. Where they are seen that were hidden, that is
    recorded.

    Args:
        analysis: as it runs.
        out: its output folder.
        unblinds: how the user shows the data in A against what its YAML says (`RunContext.unblinds`); "": they do not.

    Raises:
        InputFileError: the record cannot be read.
    """
    if analysis.blind:
        acts = read_history(out)
        if not acts or acts[-1]["state"] != BLINDED:
            # before it is recorded: what was interrupted is done again
            _remove_leftovers(analysis, out)
        record_state(analysis, out, unblinds=unblinds)
    elif stages_showing_data(out):
        record_state(analysis, out, unblinds=unblinds)


def _remove_leftovers(analysis: Analysis, out: Path) -> None:
    from oddjets.report.figure_files import figures_of  # heavy imports only where there is something to do

    found = [*figures_of(out / "figures")] if (out / "figures").is_dir() else []
    found += [out / name for name in _OUTPUTS_WITH_DATA if (out / name).is_file()]
    found += [*sorted(out.glob(_LEARNT)), *_exports(analysis, out)]
    found += _inspected(out)
    if not found:
        return
    for stage in ("plot", "report"):
        # theirs are not all there any more
        provenance.remove_manifest(out, stage)
    for file in found:
        file.unlink(missing_ok=True)
    # a figure has a JSON, a PNG and a PDF
    named = [file.relative_to(out) for file in found]
    names = sorted({_shown(name) for name in named})
    console.print(
        "[bold yellow]the data in A are blinded now[/bold yellow]: removed what may have shown them:"
        f" {escape(', '.join(names))}"
    )


def _exports(analysis: Analysis, out: Path) -> Iterator[Path]:
    """Yield exported event files of data below an output folder, except those that the analysis reads."""
    if not out.is_dir():
        return
    read = None if analysis.npz is None else (analysis.folder / analysis.npz.folder).resolve()
    for file in out.rglob(_EXPORTED):
        if file.is_file() and file.resolve().parent != read:
            yield file


def _shown(name: Path) -> str:
    """Return how a removed file is named: a figure without its ending, an inspected window by its folder."""
    if name.parts[0] == inspections.FOLDER:
        return str(name.parent)
    return str(name.with_suffix("") if name.parts[0] == "figures" else name)


def _inspected(out: Path) -> Iterator[Path]:
    """Yield the files of inspected windows that show data in A, or of which nobody can tell."""
    folder = out / inspections.FOLDER
    for window in sorted(folder.iterdir()) if folder.is_dir() else ():
        found = [_json(file) for file in window.glob("*.json")]
        # what figures show is in the parts, too
        parts = [content for content in found if "kind" not in content]
        if not parts or any(part.get("shows_data_in_A", True) for part in parts):
            yield from (file for file in sorted(window.iterdir()) if file.is_file())


def record_state(analysis: Analysis, out: Path, *, unblinds: str) -> BlindingEvent | None:
    """Record the state of the data in A, if it differs from the last record.

    Args:
        analysis: whose data are about to be seen, or hidden.
        out: its output folder.
        unblinds: how the user shows the data in A against what its YAML says (`RunContext.unblinds`); "": they do not.

    Returns:
        The last act; None where the data were never blind.

    Raises:
        InputFileError: the record cannot be read.
        OddjetsError: it cannot be written.
    """
    acts = read_history(out)
    known = len(acts)
    last = acts[-1]["state"] if acts else None
    where = analysis.path.name if analysis.path is not None else analysis.name
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if last is None and (analysis.blind or unblinds) and (shown := stages_showing_data(out)):
        finished = [(provenance.read_manifest(out, stage) or {}).get("finished") for stage in shown]
        first = min((on for on in finished if on), default=now)
        acts.append({"state": OPEN_BEFORE, "on": first, "by": f"what {', '.join(shown)} left"})
    opened = ""
    if analysis.blind and last != BLINDED:
        acts.append({"state": BLINDED, "on": now, "by": f"fit.blind: true in {where}"})
    elif not analysis.blind and (last == BLINDED or (last is None and unblinds)):
        opened = unblinds or f"fit.blind: false in {where}"
        acts.append({"state": UNBLINDED, "on": now, "by": opened})
    if not acts:
        return None
    if len(acts) > known:
        try:
            write_json(out / FILE, {"history": acts})
        except OSError as error:
            raise OddjetsError(
                f"{out / FILE}: cannot be written ({error.strerror}), and without this record nothing changes what is seen of"
                " the data in A: make the folder writable"
            ) from error
    if opened:
        console.print(
            f"[bold yellow]the data in A are unblinded[/bold yellow] by {escape(opened)}; {escape(FILE)} has it"
        )
    return acts[-1]
