"""Certified luminosity sections of data, and the luminosity of those that were read."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import by_era
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import sha256_of
from oddjets.corrections import lookups
from oddjets.corrections.lookups import Era, Period
from oddjets.corrections.sections import (
    LAST_RUN,
    LAST_SECTION,
    RUN,
    SectionIntervals,
    Sections,
    read_sections,
    sections_of_file,
)
from oddjets.io.fileset import Dataset, FileInfo

__all__ = [
    "Luminosity",
    "certified_sections",
    "input_digests",
    "luminosities",
    "luminosities_of_eras",
    "luminosity_of",
    "luminosity_of_sections",
    "read_luminosity_table",
]

#: units of brilcalc's tables, in /pb
_UNITS_PB = {"/ub": 1e-6, "/nb": 1e-3, "/pb": 1.0, "/fb": 1e3}
#: relative: one luminosity in two units differs by the rounding of the product
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Luminosity:
    """The luminosity of what was read.

    Attributes:
        luminosity_pb: /pb.
        approximate: by the fraction of certified sections, not section by section.
        sections: certified sections read.
        certified: certified sections of the periods that were touched.
    """

    luminosity_pb: float
    approximate: bool
    sections: int
    certified: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for a manifest."""
        return asdict(self)


def certified_sections(analysis: Analysis, era: Era, era_folder: Path) -> tuple[SectionIntervals, Path]:
    """Return the certified sections that the analysis asks for, and the file that says so.

    Raises:
        InputFileError: the file is missing.
    """
    name = analysis.selection.golden_json
    assert name is not None
    if name == "era":
        assert era.golden_json is not None  # checked by `validation`
        path = lookups.verified_path(era, era_folder, era.golden_json)
    else:
        path = _resolve(analysis, name)
    return read_sections(path), path


def read_luminosity_table(path: Path) -> tuple[Sections, npt.NDArray[np.float64]]:
    """Read brilcalc's table of the recorded luminosity of every section (``--byls --output-style csv``).

    Outputs of several calls may follow each other, each with its header and its unit. A section that appears twice with the
    same luminosity, as where two calls overlap, counts once, and that is said.

    Returns:
        The sections, sorted, and the luminosity of each, /pb.

    Raises:
        InputFileError: missing; without columns run, ls and recorded with a unit; numbers that can't be; a section twice with
            different luminosities (beyond the rounding of its units).
    """
    found: dict[int, float] = {}
    rows = 0
    try:
        for where, run, section, recorded in _rows(path):
            known = found.setdefault(run * RUN + section, recorded)
            if not math.isclose(known, recorded, rel_tol=_TOLERANCE):
                raise InputFileError(
                    f"{path}: section {section} of run {run} has {known:.12g} /pb in one row and {recorded:.12g} /pb in"
                    f" another ({where}): keep one"
                )
            rows += 1
    except FileNotFoundError:
        raise InputFileError(f"{path}: no such luminosity table") from None
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputFileError(f"{path}: not a table of brilcalc by luminosity section ({error})") from None
    if not found:
        raise InputFileError(
            f"{path}: not a table of brilcalc by luminosity section: needs a header with run:fill, ls and recorded(UNIT)"
        )
    if rows > len(found):
        console.print(
            f"{escape(str(path))}: {rows - len(found)} row(s) repeat a section with the same luminosity; each counts once"
        )
    keys = np.array(sorted(found), dtype=np.int64)
    return keys, np.array([found[key] for key in keys.tolist()])


def _rows(path: Path) -> Iterator[tuple[str, int, int, float]]:
    """Read where each row of a table is, its run, its section and its recorded luminosity, /pb."""
    header: list[str] = []
    column, unit = "", 1.0
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        for row in reader:
            where = f"line {reader.line_num}"
            if not row or row[0].startswith("#"):
                names = [cell.lstrip("#").strip() for cell in row]
                asked = next((name for name in names if name.startswith("recorded")), None)
                if asked is not None:
                    stated = re.search(r"\((/\w+)\)", asked)
                    if stated is None or stated[1] not in _UNITS_PB:
                        raise ValueError(f"{where}: '{asked}' has none of the units {', '.join(_UNITS_PB)}")
                    header, column, unit = names, asked, _UNITS_PB[stated[1]]
            elif header:
                if len(row) != len(header):
                    raise ValueError(f"{where}: {len(row)} columns instead of {len(header)}")
                cells = dict(zip(header, row, strict=True))
                run, section = (int(cells[name].split(":")[0]) for name in ("run:fill", "ls"))
                recorded = float(cells[column])
                if not (0 <= run <= LAST_RUN and 0 <= section <= LAST_SECTION):
                    raise ValueError(f"{where}: there is no section {section} of a run {run}")
                if not (math.isfinite(recorded) and recorded >= 0):
                    raise ValueError(f"{where}: section {section} of run {run} has the luminosity {cells[column]}")
                yield where, run, section, recorded * unit


def luminosity_of(
    read: Iterable[Sections],
    certified: SectionIntervals,
    periods: Mapping[str, Period],
    table: tuple[Sections, npt.NDArray[np.float64]] | None = None,
    name: str = "the data",
) -> Luminosity:
    """Return the certified luminosity of sections that were read.

    With a table it is the sum over the sections. Without one it is, period by period, the fraction of the certified
    sections that was read times the period's luminosity: right for a whole period, approximate for a part of it.

    Args:
        read: the sections of each file; one that is in several files counts once.
        certified: by the golden JSON.
        periods: the era's, with their luminosities.
        table: from `read_luminosity_table`.
        name: of the dataset, for messages.

    Raises:
        OddjetsError: none of the runs or of the sections read is in the golden JSON; a section is missing in the table, or
            all have no luminosity there; certified sections lie in no period; without a table, a run that is certified to no
            end.
    """
    parts = list(read)
    everything = np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
    good = everything[certified.contains(everything)]
    runs_read, runs_certified = everything // RUN, certified.runs
    if len(everything) and not np.isin(runs_read, runs_certified).any():
        raise OddjetsError(
            f"dataset '{name}': none of its runs ({runs_read.min()} to {runs_read.max()}) is in the golden JSON, which has"
            f" runs {runs_certified.min()} to {runs_certified.max()}: is it for another year?"
        )
    if not len(good):
        raise OddjetsError(f"dataset '{name}': no certified luminosity section was read; leave the dataset out")
    runs = good // RUN
    if table is not None:
        absent = np.setdiff1d(good, table[0], assume_unique=True)
        if len(absent):
            raise OddjetsError(
                f"dataset '{name}': the luminosity table has no section {absent[0] % RUN} of run {absent[0] // RUN}"
                f" ({len(absent)} certified sections are missing)"
            )
        total = float(table[1][np.searchsorted(table[0], good)].sum())
        if not total > 0:
            raise OddjetsError(
                f"dataset '{name}': the luminosity table has 0 for all of the {len(good)} certified sections that were"
                " read, and the luminosity of data cannot be 0: is the column 'recorded' filled?"
            )
        of_runs = certified.count(np.isin(runs_certified, np.unique(runs)))
        return Luminosity(total, False, len(good), of_runs)
    total, of_periods, counted = 0.0, 0, 0
    for period in periods.values():
        here = int(period.has(runs).sum())
        of_period = period.has(runs_certified)
        if here:
            if (run := certified.open_ended_run(of_period)) is not None:
                raise OddjetsError(
                    f"dataset '{name}': run {run} has no last certified section, so the fraction of certified sections"
                    " that was read is unknown; give a 'luminosity_table', or a golden JSON with the runs' last sections"
                )
            whole = certified.count(of_period)
            total += period.luminosity_pb * here / whole
            of_periods += whole
            counted += here
    if counted != len(good):
        known = ", ".join(f"{k} ({p})" for k, p in periods.items()) or "none"
        raise OddjetsError(
            f"dataset '{name}': certified sections of runs {runs.min()} to {runs.max()} are in no period of the era"
            f" ({known}); give a 'luminosity_table'"
        )
    return Luminosity(total, of_periods != counted, len(good), of_periods)


def input_digests(analysis: Analysis, era: Era, era_folder: Path, datasets: Iterable[Dataset]) -> dict[str, str]:
    """Return the sha256 of every file that the luminosity depends on, for content keys.

    Raises:
        InputFileError: one is missing.
    """
    if analysis.selection.golden_json is None:
        return {}
    files = {"golden_json": certified_sections(analysis, era, era_folder)[1]}
    if analysis.selection.luminosity_table is not None:
        files["luminosity_table"] = _resolve(analysis, analysis.selection.luminosity_table)
    for dataset in datasets:
        if dataset.metadata.processed_lumis is not None:
            files[f"processed_lumis.{dataset.name}"] = Path(dataset.metadata.processed_lumis)
    for path in files.values():
        if not path.is_file():
            raise InputFileError(f"{path}: no such file, and the luminosity depends on it")
    return {name: sha256_of(path) for name, path in files.items()}


def luminosities(
    analysis: Analysis,
    era: Era,
    era_folder: Path,
    read: Mapping[str, tuple[Dataset, Iterable[FileInfo]]],
    known: Mapping[str, Sections] | None = None,
) -> dict[str, Luminosity]:
    """Return the certified luminosity of every dataset of data; nothing where the analysis has no golden JSON.

    Args:
        analysis: has the golden JSON, and the table if there is one.
        era: has the periods.
        era_folder: where its relative paths start.
        read: the datasets, and those of their files that were read to the end: a file of which a chunk was lost does
            not count at all.
        known: dataset to the sections of its files, where somebody has read them; None: they are read now.

    Raises:
        OddjetsError: see `luminosity_of`; or two datasets share sections, which would count twice.
    """
    if analysis.selection.golden_json is None:
        return {}
    certified, _ = certified_sections(analysis, era, era_folder)
    table = analysis.selection.luminosity_table
    luminosity_table = read_luminosity_table(_resolve(analysis, table)) if table is not None else None
    access = analysis.execution.access(analysis.folder)
    found: dict[str, Luminosity] = {}
    counted: dict[str, Sections] = {}
    for name, (dataset, files) in read.items():
        if not dataset.metadata.is_data:
            continue
        sections = [sections_of_file(info.path, access) for info in files] if known is None else [known[name]]
        if dataset.metadata.processed_lumis is not None:
            made_from = read_sections(Path(dataset.metadata.processed_lumis))
            sections = [s[made_from.contains(s)] for s in sections]
        found[name] = luminosity_of(sections, certified, era.periods, luminosity_table, name)
        mine = np.unique(np.concatenate(sections))
        mine = mine[certified.contains(mine)]
        for other, theirs in counted.items():
            shared = np.intersect1d(mine, theirs, assume_unique=True)
            if len(shared):
                raise OddjetsError(
                    f"datasets '{other}' and '{name}' share {len(shared)} certified luminosity sections, the first being"
                    f" {shared[0] % RUN} of run {shared[0] // RUN}: their luminosity would count twice"
                )
        counted[name] = mine
    return found


def luminosity_of_sections(analysis: Analysis, era: Era, era_folder: Path, sections: Sections, name: str) -> Luminosity:
    """Return the certified luminosity of sections of data that are in no ROOT file.

    Args:
        analysis: has the golden JSON, and the table if there is one.
        era: has the periods.
        era_folder: where its relative paths start.
        sections: that were read.
        name: of the dataset, for messages.

    Raises:
        OddjetsError: see `luminosity_of`.
    """
    certified, _ = certified_sections(analysis, era, era_folder)
    table = analysis.selection.luminosity_table
    luminosity_table = read_luminosity_table(_resolve(analysis, table)) if table is not None else None
    return luminosity_of([sections], certified, era.periods, luminosity_table, name)


def luminosities_of_eras(
    analysis: Analysis,
    eras: Mapping[str, tuple[Era, Path]],
    read: Mapping[str, tuple[Dataset, Iterable[FileInfo]]],
    known: Mapping[str, Sections] | None = None,
) -> dict[str, Luminosity]:
    """Return the certified luminosity of every dataset of data, by the golden JSON and the periods of its era.

    Args:
        analysis: of one era or several.
        eras: name to era, and the folder where its relative paths start.
        read: as for `luminosities`.
        known: likewise.

    Raises:
        OddjetsError: see `luminosities`.
    """
    found: dict[str, Luminosity] = {}
    for asked, part in by_era(analysis, read):
        assert isinstance(asked.era, str)
        found |= luminosities(asked, *eras[asked.era], part, known)
    return found


def _resolve(analysis: Analysis, name: str) -> Path:
    path = Path(name)
    return path if path.is_absolute() else analysis.folder / path
