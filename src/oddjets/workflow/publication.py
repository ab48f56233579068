"""Publication of a finished analysis: a HEPData submission, and the same as an archive that can be run again."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oddjets import __version__
from oddjets.core import provenance
from oddjets.core.archives import write_archive
from oddjets.core.errors import BlindedError, OddjetsError
from oddjets.core.files import sha256_of, write_json
from oddjets.core.optional_imports import require
from oddjets.core.redaction import without_folders
from oddjets.io.publications import FILE
from oddjets.report.artifacts import Artifacts
from oddjets.report.html import notes_of
from oddjets.report.record.figure_tables import tables_of_figure
from oddjets.report.record.result_tables import tables_of_results
from oddjets.report.record.submission import NOTHING, Submission, write_submission
from oddjets.report.record.tables import with_short_names
from oddjets.workflow.pipeline import stages_of
from oddjets.workflow.published_files import RECORD, Cleaner, drawn_figures, write_resources
from oddjets.workflow.run import RunContext
from oddjets.workflow.stage_states import stage_states

__all__ = ["FORMAT", "SUBMISSION", "Publication", "publish"]

#: the version of the files' layout: `oddjets reproduce` reads this one
FORMAT = 1
#: the folder of the submission, in the folder that was asked for
SUBMISSION = "submission"
#: where a publication is made, until it is whole
_BESIDE = ".publishing_"


@dataclass(frozen=True)
class Publication:
    """A finished publication.

    Attributes:
        submission: the folder of the HEPData submission.
        archive: the same files as an archive.
        sha256: of the archive.
        tables: how many.
        shortened: name of a table -> the name that HEPData does not take.
        no_numbers: name of a table -> how many of its values are no numbers and stand as ``-``.
        paths_removed: how many texts have lost folders of this machine.
    """

    submission: Path
    archive: Path
    sha256: str
    tables: int
    shortened: Mapping[str, str]
    no_numbers: Mapping[str, int]
    paths_removed: int


def publish(run: RunContext, folder: Path) -> Publication:
    """Write the submission and the archive of a finished analysis, and record them in its output folder.

    Args:
        run: the analysis and its output folder.
        folder: gets ``submission`` and ``NAME.tar.gz``, which replace those of an earlier publication; whatever goes wrong,
            these stay as they are.

    Raises:
        BlindedError: the analysis is blind.
        OddjetsError: it has no fit, it has not run, a stage of it is out of date, or the folder holds something else.
        InputFileError: a file of the output folder is missing or damaged.
    """
    require("hepdata_lib", "hepdata")
    _check(run)
    _check_folder(folder, run.analysis.name)
    with run.lock():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_BESIDE, dir=folder) as beside:
            made = Path(beside) / SUBMISSION
            made.mkdir()
            content = _write(run, made, Path(beside))
            target, archive = folder / SUBMISSION, folder / f"{run.analysis.name}.tar.gz"
            packed = Path(beside) / archive.name
            write_archive(packed, {file.name: file.read_bytes() for file in made.iterdir()})
            _swap_in(target, made, Path(beside) / "earlier")
            packed.replace(archive)
        digest = sha256_of(archive)
        manifest = provenance.read_manifest(run.out, "fit") or {}
        place = os.path.relpath(archive.resolve(), run.out.resolve())
        write_json(run.out / FILE, {"archive": place, "sha256": digest, "fit": manifest.get("key")})
    return Publication(
        target,
        archive,
        digest,
        len(content["tables"]),
        content["shortened"],
        content["no_numbers"],
        content["paths_removed"],
    )


def _swap_in(target: Path, made: Path, aside: Path) -> None:
    """Put a finished folder in the place of an earlier one, which comes back if that fails."""
    if target.is_dir():
        target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        if aside.is_dir():
            aside.rename(target)
        raise


def _check(run: RunContext) -> None:
    """Refuse what cannot be published."""
    analysis = run.analysis
    if analysis.blind or run.unblinds:
        raise BlindedError(
            f"{analysis.name}: is blind, so nothing is published: a record has the numbers of letter A, and a blind analysis"
            " has none. Write 'blind: false' in its YAML and run it again"
        )
    if analysis.fit is None or not run.has_stage("fit"):
        raise OddjetsError(f"{analysis.name}: the analysis has no 'fit', so there is no likelihood to publish")
    wanted = [stage for stage in stages_of(run) if stage.name != "report"]
    wrong = [
        f"{name} ({state}{f': {why}' if why else ''})"
        for name, (state, why) in stage_states(run, wanted).items()
        if state != "done"
    ]
    if wrong:
        raise OddjetsError(
            f"{run.out}: not every stage is done, so nothing is published: {'; '.join(wrong)}; `oddjets run` does what is left"
        )


def _check_folder(folder: Path, name: str) -> None:
    """Refuse a folder that holds something else than a publication of this analysis."""
    if folder.is_file():
        raise OddjetsError(f"{folder}: is a file, and a publication needs a folder; give another one with --out")
    if not folder.is_dir() or not (
        found := {file.name for file in folder.iterdir() if not file.name.startswith(_BESIDE)}
    ):
        return
    record = folder / SUBMISSION / RECORD
    try:
        known = json.loads(record.read_text(encoding="utf-8"))["analysis"]
    except (OSError, ValueError, KeyError, TypeError):
        known = None
    if known != name:
        what = f"the publication of '{known}'" if known else f"other files ({', '.join(sorted(found)[:4])})"
        raise OddjetsError(
            f"{folder}: holds {what}, so nothing is written there; give an empty or new folder with --out"
        )


def _write(run: RunContext, folder: Path, beside: Path) -> dict[str, Any]:
    """Write the submission into an empty folder; return the content of its `RECORD`."""
    clean = Cleaner(run.out.resolve(), Path.cwd(), Path.home())
    artifacts = Artifacts(run.analysis, run.out)
    figures = {data["name"]: data for data in clean.content(drawn_figures(run.out))}
    tables = [*tables_of_results(artifacts), *(t for data in figures.values() for t in tables_of_figure(data))]
    tables, shortened = with_short_names(tables)
    analysis = clean.content(run.analysis.model_dump(mode="json", exclude={"execution"}))
    files, models = write_resources(run, analysis, clean, beside)
    comment = _comment(artifacts, analysis)
    energy = 1000.0 * artifacts.histograms.energy_TeV
    write_submission(
        folder,
        Submission(
            comment,
            tables,
            files,
            {name: run.out / "figures" / f"{name}.png" for name in figures},
            _qualifiers(artifacts, energy),
            {
                "cmenergies": [energy],
                "reactions": ["P P --> JET JET X"],
                "phrases": ["Anomaly Detection", "Jet Substructure"],
            },
        ),
    )
    content = {
        "format": FORMAT,
        "analysis": run.analysis.name,
        "title": analysis["title"],
        "oddjets": __version__,
        "versions": {
            stage: (provenance.read_manifest(run.out, stage) or {}).get("versions") for stage in ("process", "fit")
        },
        "keys": {
            stage.name: (provenance.read_manifest(run.out, stage.name) or {}).get("key")
            for stage in stages_of(run)[:-1]
        },
        "seed": artifacts.results.get("seed"),
        "models": models,
        "tables": [table.name for table in tables],
        "shortened": shortened,
        "no_numbers": {table.name: table.missing for table in tables if table.missing},
        "written_for_no_number": NOTHING,
        "paths_removed": clean.changed,
        "files": {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != RECORD},
    }
    (folder / RECORD).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def _comment(artifacts: Artifacts, analysis: Mapping[str, Any]) -> str:
    """Return what is said of the whole record."""
    parts = [analysis["title"], analysis["question"], *notes_of(artifacts.analysis)]
    parts.append(
        "All events are simulated, those that are called pseudo-data too."
        if artifacts.simulated
        else "Data: CMS Open Data. This is no result of the CMS Collaboration."
    )
    if artifacts.unblinded is not None:
        parts.append(f"The data in A were blinded, and opened on {artifacts.unblinded['on']}.")
    parts.append(f"Written by oddjets {__version__}; `oddjets reproduce` runs the fit of this record again.")
    parts.append(f"'{NOTHING}' stands for what is no number.")
    ended = [part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part]
    return without_folders(" ".join(ended))


def _qualifiers(artifacts: Artifacts, energy: float) -> dict[str, tuple[float | str, str]]:
    """Return what is true of every table: energy and luminosity."""
    made: dict[str, tuple[float | str, str]] = {"SQRT(S)": (energy, "GeV")}
    if artifacts.luminosity_pb:
        made["LUMINOSITY"] = (artifacts.luminosity_pb, "pb$^{-1}$")
    return made
