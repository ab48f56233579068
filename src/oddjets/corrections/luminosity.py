"""Which luminosity sections of data are certified, and the luminosity of those that were read.

Sections are sorted int64 arrays, ``run * 2**32 + section``, so that masks, unions and intersections are NumPy's.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.config.execution import Access
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import sha256_of
from oddjets.corrections import lookups
from oddjets.corrections.lookups import Era, Period
from oddjets.io.fileset import Dataset, FileInfo
from oddjets.io.remote.access import open_file
from oddjets.io.remote.failures import cause_of, with_retries

__all__ = [
    "Luminosity",
    "certified_sections",
    "inputs_of",
    "is_in",
    "luminosities",
    "luminosity_of",
    "read_sections",
    "sections_of",
    "sections_of_file",
    "table_of",
]

Sections = npt.NDArray[np.int64]

_RUN = 1 << 32
#: units of brilcalc's tables, in /pb
_UNITS_PB = {"/ub": 1e-6, "/nb": 1e-3, "/pb": 1.0, "/fb": 1e3}


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


def sections_of(run: npt.ArrayLike, section: npt.ArrayLike) -> Sections:
    """Return the sections of pairs of numbers, each once, sorted."""
    return np.unique(np.asarray(run).astype(np.int64) * _RUN + np.asarray(section).astype(np.int64))


def is_in(sections: Sections, run: npt.ArrayLike, section: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Return which events lie in the sections.

    Args:
        sections: sorted.
        run: shape (events,).
        section: likewise.
    """
    keys = np.asarray(run).astype(np.int64) * _RUN + np.asarray(section).astype(np.int64)
    if not len(sections):
        return np.zeros(len(keys), dtype=bool)
    place = np.minimum(np.searchsorted(sections, keys), len(sections) - 1)
    return np.asarray(sections[place] == keys)


def read_sections(path: Path) -> Sections:
    """Read a list of sections in CMS's format, ``{"run": [[first, last], ...]}``: a golden JSON, processedLumis.json.

    Raises:
        InputFileError: missing, or of another format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ranges = [(int(run), int(first), int(last)) for run, spans in content.items() for first, last in spans]
    except FileNotFoundError:
        raise InputFileError(f"{path}: no such list of luminosity sections") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputFileError(f'{path}: no list of luminosity sections {{"run": [[first, last]]}} ({error})') from None
    if not ranges or any(last < first for _, first, last in ranges):
        raise InputFileError(f"{path}: an empty list of luminosity sections, or a range that ends before it begins")
    return np.unique(
        np.concatenate([run * _RUN + np.arange(first, last + 1, dtype=np.int64) for run, first, last in ranges])
    )


def sections_of_file(path: str, access: Access | None = None) -> Sections:
    """Return the sections that a file of data was made from.

    The tree LuminosityBlocks has them, also those without an event left; where it is absent, those of the events count.

    Args:
        path: a local path or a URL.
        access: how remote files are reached.

    Raises:
        InputFileError: the file can't be read.
    """

    def read() -> Sections:
        with open_file(path, access) as file:
            tree = file["LuminosityBlocks" if "LuminosityBlocks" in file else "Events"]
            arrays = tree.arrays(["run", "luminosityBlock"], library="np")
        return sections_of(arrays["run"], arrays["luminosityBlock"])

    try:
        return with_retries(read, path)
    except Exception as error:  # uproot raises many kinds for truncated and corrupt files
        raise InputFileError(
            f"{path}: its luminosity sections can't be read ({type(error).__name__}: {error})", cause=cause_of(error)
        ) from None


def certified_sections(analysis: Analysis, era: Era, era_folder: Path) -> tuple[Sections, Path]:
    """Return the certified sections that the analysis asks for, and the file that says so.

    Raises:
        InputFileError: the file is missing.
    """
    name = analysis.selection.golden_json
    assert name is not None
    if name == "era":
        assert era.golden_json is not None  # checked by `validation`
        path = lookups.checked(era, era_folder, era.golden_json)
    else:
        path = _beside(analysis, name)
    return read_sections(path), path


def table_of(path: Path) -> tuple[Sections, npt.NDArray[np.float64]]:
    """Read brilcalc's table of the recorded luminosity of every section (``--byls --output-style csv``).

    Returns:
        The sections, sorted, and the luminosity of each, /pb.

    Raises:
        InputFileError: missing, or without columns run, ls and recorded with a unit.
    """
    header: list[str] = []
    rows: list[tuple[int, int, float]] = []
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            for row in csv.reader(stream):
                if row and row[0].startswith("#"):
                    names = [cell.lstrip("#").strip() for cell in row]
                    if any(name.startswith("recorded") for name in names):
                        header = names
                elif header and len(row) == len(header):
                    cells = dict(zip(header, row, strict=True))
                    recorded = next(name for name in header if name.startswith("recorded"))
                    run, section = cells["run:fill"].split(":")[0], cells["ls"].split(":")[0]
                    rows.append((int(run), int(section), float(cells[recorded])))
    except FileNotFoundError:
        raise InputFileError(f"{path}: no such table of luminosities") from None
    except (OSError, ValueError, KeyError) as error:
        raise InputFileError(f"{path}: no table of brilcalc by luminosity section ({error})") from None
    unit = re.search(r"\((/\w+)\)", next((name for name in header if name.startswith("recorded")), ""))
    if not rows or unit is None or unit[1] not in _UNITS_PB:
        raise InputFileError(
            f"{path}: no table of brilcalc by luminosity section: needs a header with run:fill, ls and recorded(UNIT)"
        )
    keys = sections_of([r[0] for r in rows], [r[1] for r in rows])
    sums = np.zeros(len(keys))
    places = np.searchsorted(keys, [r[0] * _RUN + r[1] for r in rows])
    np.add.at(sums, places, [r[2] * _UNITS_PB[unit[1]] for r in rows])
    return keys, sums


def luminosity_of(
    read: Iterable[Sections],
    certified: Sections,
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
        table: from `table_of`.
        name: of the dataset, for messages.

    Raises:
        OddjetsError: none of the runs or of the sections read is in the golden JSON; a section is missing in the table;
            certified sections lie in no period.
    """
    parts = list(read)
    everything = np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int64)
    good = np.intersect1d(everything, certified, assume_unique=True)
    runs_read, runs_certified = everything // _RUN, certified // _RUN
    if len(everything) and not np.isin(runs_read, runs_certified).any():
        raise OddjetsError(
            f"dataset '{name}': none of its runs ({runs_read.min()} to {runs_read.max()}) is in the golden JSON, which has"
            f" runs {runs_certified.min()} to {runs_certified.max()}: is it that of another year?"
        )
    if not len(good):
        raise OddjetsError(f"dataset '{name}': no certified luminosity section was read; leave the dataset out")
    runs = good // _RUN
    if table is not None:
        absent = np.setdiff1d(good, table[0], assume_unique=True)
        if len(absent):
            raise OddjetsError(
                f"dataset '{name}': the table of luminosities has no section {absent[0] % _RUN} of run {absent[0] // _RUN}"
                f" ({len(absent)} certified sections are missing)"
            )
        total = float(table[1][np.searchsorted(table[0], good)].sum())
        of_runs = int(np.isin(runs_certified, np.unique(runs)).sum())
        return Luminosity(total, False, len(good), of_runs)
    total, of_periods, counted = 0.0, 0, 0
    for period in periods.values():
        first, last = period.runs
        here = int(((runs >= first) & (runs <= last)).sum())
        whole = int(((runs_certified >= first) & (runs_certified <= last)).sum())
        if here:
            total += period.luminosity_pb * here / whole
            of_periods += whole
            counted += here
    if counted != len(good):
        known = ", ".join(f"{k} ({p.runs[0]}-{p.runs[1]})" for k, p in periods.items()) or "none"
        raise OddjetsError(
            f"dataset '{name}': certified sections of runs {runs.min()} to {runs.max()} lie in no period of the era"
            f" ({known}); give a 'luminosity_table'"
        )
    return Luminosity(total, of_periods != counted, len(good), of_periods)


def inputs_of(analysis: Analysis, era: Era, era_folder: Path, datasets: Iterable[Dataset]) -> dict[str, str]:
    """Return the sha256 of every file that the luminosity depends on, for content keys.

    Raises:
        InputFileError: one is missing.
    """
    if analysis.selection.golden_json is None:
        return {}
    files = {"golden_json": certified_sections(analysis, era, era_folder)[1]}
    if analysis.selection.luminosity_table is not None:
        files["luminosity_table"] = _beside(analysis, analysis.selection.luminosity_table)
    for dataset in datasets:
        if dataset.metadata.processed_lumis is not None:
            files[f"processed_lumis.{dataset.name}"] = Path(dataset.metadata.processed_lumis)
    for path in files.values():
        if not path.is_file():
            raise InputFileError(f"{path}: no such file, and the luminosity depends on it")
    return {name: sha256_of(path) for name, path in files.items()}


def luminosities(
    analysis: Analysis, era: Era, era_folder: Path, read: Mapping[str, tuple[Dataset, Iterable[FileInfo]]]
) -> dict[str, Luminosity]:
    """Return the certified luminosity of every dataset of data; nothing where the analysis has no golden JSON.

    Args:
        analysis: has the golden JSON, and the table if there is one.
        era: has the periods.
        era_folder: where its relative paths start.
        read: the datasets, and those of their files that were read to the end: a file of which a chunk was lost does
            not count at all.

    Raises:
        OddjetsError: see `luminosity_of`; or two datasets share sections, which would count twice.
    """
    if analysis.selection.golden_json is None:
        return {}
    certified, _ = certified_sections(analysis, era, era_folder)
    table = analysis.selection.luminosity_table
    luminosity_table = table_of(_beside(analysis, table)) if table is not None else None
    access = analysis.execution.access(analysis.folder)
    found: dict[str, Luminosity] = {}
    counted: dict[str, Sections] = {}
    for name, (dataset, files) in read.items():
        if not dataset.metadata.is_data:
            continue
        sections = [sections_of_file(info.path, access) for info in files]
        if dataset.metadata.processed_lumis is not None:
            made_from = read_sections(Path(dataset.metadata.processed_lumis))
            sections = [np.intersect1d(s, made_from, assume_unique=True) for s in sections]
        found[name] = luminosity_of(sections, certified, era.periods, luminosity_table, name)
        mine = np.intersect1d(np.unique(np.concatenate(sections)), certified, assume_unique=True)
        for other, theirs in counted.items():
            shared = np.intersect1d(mine, theirs, assume_unique=True)
            if len(shared):
                raise OddjetsError(
                    f"datasets '{other}' and '{name}' share {len(shared)} certified luminosity sections, the first being"
                    f" {shared[0] % _RUN} of run {shared[0] // _RUN}: their luminosity would count twice"
                )
        counted[name] = mine
    return found


def _beside(analysis: Analysis, name: str) -> Path:
    path = Path(name)
    return path if path.is_absolute() else analysis.folder / path
