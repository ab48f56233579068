"""Filesets: datasets, their files, metadata and sums of weights.

A fileset is coffea's: ``{dataset: {"files": {path: "Events"}, "metadata": {...}}}`` as JSON or YAML. Relative paths start
at the fileset's folder.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from oddjets.config.eras import EraName
from oddjets.config.execution import RemoteAccess
from oddjets.config.yaml import ConfigError, StrictModel, describe_errors, read_yaml
from oddjets.core.errors import InputFileError, nearest_file
from oddjets.core.paths import is_file_name
from oddjets.io import nanoaod_schema
from oddjets.io.layouts import WITHOUT_CANDIDATES, CandidateLayout, find_layout
from oddjets.io.remote.access import is_remote, open_file
from oddjets.io.remote.failures import advice_on, cause_of, with_retries
from oddjets.io.rntuple import find_fields_at_once
from oddjets.io.sums_of_weights import LISTS, RunsRow, read_sums, stored_name

__all__ = [
    "Dataset",
    "DatasetMetadata",
    "FileInfo",
    "fileset_of",
    "inspect",
    "inspect_open",
    "load_fileset",
    "sum_of_weights",
    "sums_of_variations",
]

TREE = "Events"
#: what coffea's preprocessing adds to a dataset
_PREPROCESSED = {"compressed_form", "did", "form", "format"}

# whoever opens a file, coffea's Runner too, has imported this module
find_fields_at_once()


class DatasetMetadata(StrictModel):
    """The properties of a dataset that its files do not state."""

    process: str = Field(description="name of the process in the analysis")
    is_data: bool = Field(description="true for data, false for simulation")
    era: EraName = Field(description="data-taking period")
    cross_section_pb: float | None = Field(default=None, gt=0, description="cross section, pb; simulation only")
    k_factor: float = Field(default=1.0, gt=0, description="multiplies the cross section")
    cross_section_source: str = Field(default="", description="where the cross section comes from")
    luminosity_pb: float | None = Field(default=None, gt=0, description="integrated luminosity, /pb; data only")
    events_tried: int | None = Field(
        default=None, ge=0, description="number of hard events generated, before the generator filter"
    )
    sum_of_weights: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="sum of the generator weights of all generated events, for files without the tree Runs (skims of other"
        " programs)",
    )
    filter_efficiency: float | None = Field(
        default=None, description="efficiency of the generator filter; information only"
    )
    filter_efficiency_error: float | None = Field(default=None, description="its statistical error; information only")
    generator: str = Field(default="", description="the generator and its version; information only")
    weights: tuple[str, ...] = Field(
        default=(),
        description="names of corrections of the era that are weights of this dataset only, such as w_k_factor",
    )
    processed_lumis: str | None = Field(
        default=None, description="data only: JSON with the luminosity sections in its files (processedLumis.json)"
    )
    overlap_group: str | None = Field(
        default=None, description="GROUP or GROUP:ALTERNATIVE; alternatives of a group describe the same events"
    )
    generator_cut: str | None = Field(
        default=None,
        description="expression over branches that selects the events that count, to combine samples of an overlap_group",
    )
    note: str = Field(default="", description="a remark")


@dataclass(frozen=True)
class FileInfo:
    """The content of one file.

    Attributes:
        path: as opened; local paths are absolute.
        uuid: the ROOT file's own.
        entries: events in its tree.
        sum_of_weights: of all generated events, from the tree Runs; None in data, and without that tree.
        sums_of_variations: variation to its sum, for those that the tree Runs has.
        without: branches of weights that none of its events has, so that their variations add up as nominal does.
        branches: of its events.
        layout: where its PF candidates are; None: it has some branches of them, and for no layout enough.
        unusable_sums: lists of sums in the tree Runs of which nothing can be made, and why.
        runs: rows of the tree Runs; none in data.
    """

    path: str
    uuid: str
    entries: int
    sum_of_weights: float | None
    sums_of_variations: Mapping[str, float] = field(default_factory=dict, hash=False)
    without: frozenset[str] = frozenset()
    branches: frozenset[str] = field(default=frozenset(), hash=False, repr=False)
    layout: CandidateLayout | None = WITHOUT_CANDIDATES
    unusable_sums: Mapping[str, str] = field(default_factory=dict, hash=False)
    runs: tuple[RunsRow, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A dataset: its name, its files and what is known of them."""

    name: str
    files: tuple[str, ...]
    metadata: DatasetMetadata


def _paths(files: Any) -> Iterator[str]:
    if isinstance(files, Mapping):
        for path, about in files.items():
            # coffea's preprocessing puts more than the tree's name there
            tree = about.get("object_path") if isinstance(about, Mapping) else about
            if tree not in (None, TREE):
                raise ConfigError(f"file {path}: the tree must be '{TREE}', not '{tree}'")
            if isinstance(about, Mapping) and (left_out := _left_out(about)):
                raise ConfigError(f"file {path}: its 'steps' leave out {left_out} of its {about['num_entries']} events")
            yield str(path)
    elif isinstance(files, (list, tuple)):
        yield from (str(path) for path in files)
    else:
        raise ConfigError("'files' must be a list of paths or a mapping of path to tree")


def _left_out(about: Mapping[str, Any]) -> int:
    """Return how many events of a file are in none of the steps that coffea's preprocessing cut it into."""
    steps, entries = about.get("steps"), about.get("num_entries")
    if steps is None or entries is None:
        return 0
    try:
        return int(entries) - sum(int(stop) - int(start) for start, stop in steps)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            "'steps' must be pairs of entries, and 'num_entries' a number, as coffea's preprocessing writes"
        ) from None


def load_fileset(path: Path) -> dict[str, Dataset]:
    """Read a fileset.

    Args:
        path: JSON or YAML, of either ``.gz`` too; what coffea's preprocessing made of a fileset is one.

    Returns:
        Name to dataset, in the file's order; local paths are absolute.

    Raises:
        ConfigError: with all errors of all datasets at once.
    """
    return fileset_of(read_yaml(path), path)


def fileset_of(content: Any, path: Path) -> dict[str, Dataset]:
    """Return the datasets of a fileset's content.

    Args:
        content: dataset to its ``files`` and ``metadata``.
        path: of the file that it stands in; local paths start in its folder.

    Raises:
        ConfigError: with all errors of all datasets at once.
    """
    if not isinstance(content, Mapping) or not content:
        raise ConfigError(f"{path}: a fileset is a mapping of dataset to files and metadata")
    datasets: dict[str, Dataset] = {}
    problems: list[str] = []
    seen: dict[str, str] = {}
    for name, entry in content.items():
        if not is_file_name(str(name)):
            problems.append(f"{name!r}: a dataset's name is a folder's: no '/', '\\' or ':', no '.' at its beginning")
            continue
        if not isinstance(entry, Mapping) or set(entry) - _PREPROCESSED != {"files", "metadata"}:
            problems.append(f"{name}: needs exactly the keys 'files' and 'metadata'")
            continue
        try:
            metadata = DatasetMetadata.model_validate(entry["metadata"])
        except ValidationError as error:
            problems += [f"{name}.metadata.{line}" for line in describe_errors(error, DatasetMetadata)]
            continue
        if not metadata.is_data and metadata.cross_section_pb is None:
            problems.append(f"{name}.metadata: simulation needs 'cross_section_pb'")
        try:
            files = tuple(
                p if is_remote(p) or Path(p).is_absolute() else str((path.parent / p).resolve())
                for p in _paths(entry["files"])
            )
        except ConfigError as error:
            problems.append(f"{name}: {error}")
            continue
        if not files:
            problems.append(f"{name}.files: empty")
        for file in files:
            if file in seen:
                problems.append(f"{name}.files: {file} is listed twice (also in '{seen[file]}')")
            seen[file] = name
        if metadata.processed_lumis is not None:
            lumis = str((path.parent / metadata.processed_lumis).resolve())
            metadata = metadata.model_copy(update={"processed_lumis": lumis})
        datasets[str(name)] = Dataset(str(name), files, metadata)
    problems += _overlaps(datasets.values())
    if problems:
        raise ConfigError(f"{path}: {len(problems)} error(s)\n" + "\n".join(f"  {p}" for p in problems))
    return datasets


def _overlaps(datasets: Iterable[Dataset]) -> Iterator[str]:
    """List the overlap groups whose alternatives do not all have a ``generator_cut``."""
    groups: dict[tuple[str, str], list[Dataset]] = {}
    for dataset in datasets:
        # the samples of two eras have no event in common
        if dataset.metadata.overlap_group is not None:
            group = dataset.metadata.overlap_group.partition(":")[0]
            groups.setdefault((dataset.metadata.era, group), []).append(dataset)
    for (_, group), members in groups.items():
        for dataset in members:
            alternative = str(dataset.metadata.overlap_group).partition(":")[2]
            others = [
                other.name
                for other in members
                if other is not dataset
                and (not alternative or str(other.metadata.overlap_group).partition(":")[2] != alternative)
            ]
            if others and dataset.metadata.generator_cut is None:
                yield (
                    f"{dataset.name}: overlaps with {', '.join(others)} (overlap_group '{group}'); keep one, or give each"
                    " a 'generator_cut' that says which of its events count"
                )
                break


def inspect(path: str, *, is_data: bool, access: RemoteAccess | None = None, sum_is_given: bool = False) -> FileInfo:
    """Open a file and read what it holds, without reading events.

    Args:
        path: a local path or a URL.
        is_data: data has no sum of weights.
        access: how remote files are reached.
        sum_is_given: whether the fileset's metadata have the sum of weights, so that the file may have none.

    Raises:
        InputFileError: missing, unreadable, cut short, without the tree Events, or (simulation) without sums of weights or
            with some that cannot be right (`oddjets.io.sums_of_weights.read_sums`); data labelled simulation, or the
            reverse. `oddjets.io.remote.failures.cause_of` says why in a word.
    """
    if not is_remote(path) and not Path(path).is_file():
        folder = Path(path).parent
        names = [p.name for p in folder.glob("*.root")] if folder.is_dir() else []
        raise InputFileError(
            f"{path}: no such file; {nearest_file(Path(path).name, names)}".rstrip("; "), cause="missing file"
        )
    try:
        return with_retries(lambda: _inspected(path, is_data, access, sum_is_given), path)
    except InputFileError:
        raise
    except Exception as error:  # uproot raises many kinds for truncated and corrupt files
        cause = cause_of(error)
        raise InputFileError(
            f"{path}: cannot be read as ROOT ({cause}; {type(error).__name__}: {' '.join(str(error).split())[:200]});"
            f" {advice_on(cause)}",
            cause=cause,
        ) from None


def _inspected(path: str, is_data: bool, access: RemoteAccess | None, sum_is_given: bool) -> FileInfo:
    with open_file(path, access) as file:
        return inspect_open(file, path, is_data=is_data, sum_is_given=sum_is_given)


def inspect_open(file: Any, path: str, *, is_data: bool, sum_is_given: bool = False) -> FileInfo:
    """Return what `inspect` does, of a file that is open.

    Args:
        file: as uproot opened it.
        path: of it.
        is_data: data has no sum of weights.
        sum_is_given: as for `inspect`.

    Raises:
        InputFileError: see `inspect`.
    """
    end, size = file.file.fEND, file.file.source.num_bytes
    if size is not None and size < end:
        raise InputFileError(
            f"{path}: truncated: {size} bytes of {end}; get it again or leave it out", cause="truncated"
        )
    if TREE not in file:
        raise InputFileError(
            f"{path}: no tree '{TREE}'; it has {', '.join(file.keys(cycle=False)) or 'nothing'}",
            cause="missing tree",
        )
    tree = file[TREE]
    entries = int(tree.num_entries)
    branches = set(tree.keys())
    simulated = bool(branches & {"genWeight", "Pileup_nTrueInt", "nGenPart", "GenPart_pt"})
    if entries and is_data and simulated:
        raise InputFileError(f"{path}: listed as data, but it has generator branches (genWeight or GenPart)")
    if entries and not is_data and "genWeight" not in branches:
        raise InputFileError(f"{path}: listed as simulation, but it has no branch 'genWeight'")
    layout = find_layout(branches.__contains__)
    names = _shared(frozenset(branches))
    known = FileInfo(path, str(file.file.uuid), entries, None, branches=names, layout=layout)
    if is_data:
        return known
    if "Runs" not in file or stored_name(file["Runs"], "genEventSumw") is None:
        if sum_is_given:
            return known
        raise InputFileError(
            f"{path}: simulation without 'genEventSumw' in the tree 'Runs'; if it is a skim, give the dataset's sum"
            " over all generated events as 'sum_of_weights' in the metadata of the fileset",
            cause="missing branch",
        )
    titles = {name: nanoaod_schema.title_in(file, name) for name in LISTS if name in branches}
    sums = read_sums(file["Runs"], path, entries, titles)
    return replace(
        known,
        sum_of_weights=sums.total,
        sums_of_variations=sums.variations,
        without=sums.without,
        unusable_sums=sums.unusable,
        runs=sums.rows,
    )


@functools.lru_cache(maxsize=256)
def _shared(names: frozenset[str]) -> frozenset[str]:
    """Return one object for equal sets: thousands of files have the same two thousand names."""
    return names


def sum_of_weights(dataset: Dataset, files: Sequence[FileInfo]) -> float | None:
    """Return the sum of weights of a dataset's generated events: that of its files, else that of its metadata; None of data.

    Args:
        dataset: its metadata may say the sum.
        files: its files.
    """
    if dataset.metadata.is_data:
        return None
    stored = [info.sum_of_weights for info in files if info.sum_of_weights is not None]
    return math.fsum(stored) if stored or dataset.metadata.sum_of_weights is None else dataset.metadata.sum_of_weights


def sums_of_variations(files: Iterable[FileInfo]) -> dict[str, float]:
    """Return variation to its sum of weights over files with weights; only those that all know, or have no weights of."""
    known = [file for file in files if file.sum_of_weights]
    sums: dict[str, float] = {}
    for branch in LISTS:
        having = [file for file in known if branch not in file.without]
        names = [n for n in having[0].sums_of_variations if _branch_of(n) == branch] if having else []
        for name in names:
            if all(name in file.sums_of_variations for file in having):
                sums[name] = math.fsum(
                    (file.sum_of_weights or 0.0) if branch in file.without else file.sums_of_variations[name]
                    for file in known
                )
    return sums


def _branch_of(variation: str) -> str:
    return "LHEScaleWeight" if variation.startswith("scale") else "PSWeight"
