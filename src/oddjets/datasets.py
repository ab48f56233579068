"""Filesets: which files there are, what they are, and what they add up to.

A fileset is coffea's: ``{dataset: {"files": {path: "Events"}, "metadata": {...}}}`` as JSON or YAML. Relative paths start
at the fileset's folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from oddjets.config import ConfigError, problems_of, read_yaml
from oddjets.errors import InputFileError, nearest

__all__ = ["Dataset", "DatasetMetadata", "FileInfo", "inspect", "load_fileset"]

TREE = "Events"


class DatasetMetadata(BaseModel):
    """What is known of a dataset that its files don't say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    process: str
    is_data: bool
    era: str
    cross_section_pb: float | None = Field(default=None, gt=0)
    k_factor: float = Field(default=1.0, gt=0)
    cross_section_source: str = ""
    luminosity_pb: float | None = Field(default=None, gt=0, description="data only")
    events_tried: int | None = Field(default=None, ge=0, description="hard events, before the generator filter")
    filter_efficiency: float | None = None
    filter_efficiency_error: float | None = None
    generator: str = ""
    overlap_group: str | None = None
    note: str = ""


@dataclass(frozen=True)
class FileInfo:
    """What one file holds.

    Attributes:
        path: as opened; local paths are absolute.
        uuid: the ROOT file's own.
        entries: events in its tree.
        sum_of_weights: of all generated events, from the tree Runs; None in data.
    """

    path: str
    uuid: str
    entries: int
    sum_of_weights: float | None


@dataclass(frozen=True)
class Dataset:
    """A dataset: its name, its files and what is known of them."""

    name: str
    files: tuple[str, ...]
    metadata: DatasetMetadata


def _paths(files: Any) -> Iterator[str]:
    if isinstance(files, Mapping):
        for path, tree in files.items():
            if tree not in (None, TREE):
                raise ConfigError(f"file {path}: the tree must be '{TREE}', not '{tree}'")
            yield str(path)
    elif isinstance(files, (list, tuple)):
        yield from (str(path) for path in files)
    else:
        raise ConfigError("'files' must be a list of paths or a mapping of path to tree")


def load_fileset(path: Path) -> dict[str, Dataset]:
    """Read a fileset.

    Args:
        path: JSON or YAML.

    Returns:
        Name to dataset, in the file's order; local paths are absolute.

    Raises:
        ConfigError: with all errors of all datasets at once.
    """
    content = read_yaml(path)
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{path}: a fileset is a mapping of dataset to files and metadata")
    datasets: dict[str, Dataset] = {}
    problems: list[str] = []
    seen: dict[str, str] = {}
    for name, entry in content.items():
        if not isinstance(entry, dict) or set(entry) != {"files", "metadata"}:
            problems.append(f"{name}: needs exactly the keys 'files' and 'metadata'")
            continue
        try:
            metadata = DatasetMetadata.model_validate(entry["metadata"])
        except ValidationError as error:
            problems += [f"{name}.metadata.{line}" for line in problems_of(error, DatasetMetadata)]
            continue
        if not metadata.is_data and metadata.cross_section_pb is None:
            problems.append(f"{name}.metadata: simulation needs 'cross_section_pb'")
        try:
            files = tuple(
                p if "://" in p or Path(p).is_absolute() else str((path.parent / p).resolve())
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
        datasets[str(name)] = Dataset(str(name), files, metadata)
    groups: dict[str, str] = {}
    for dataset in datasets.values():
        group = dataset.metadata.overlap_group
        if group is not None and group in groups:
            problems.append(
                f"{dataset.name}: overlaps with '{groups[group]}' (overlap_group '{group}'); keep one of them"
            )
        elif group is not None:
            groups[group] = dataset.name
    if problems:
        raise ConfigError(f"{path}: {len(problems)} error(s)\n" + "\n".join(f"  {p}" for p in problems))
    return datasets


def inspect(path: str, *, is_data: bool) -> FileInfo:
    """Open a file and read what it holds, without reading events.

    Args:
        path: a local path or a URL.
        is_data: data has no sum of weights.

    Raises:
        InputFileError: missing, unreadable, without the tree Events, or (simulation) without sums of weights; data
            labelled simulation, or the reverse.
    """
    if "://" not in path and not Path(path).is_file():
        folder = Path(path).parent
        names = [p.name for p in folder.glob("*.root")] if folder.is_dir() else []
        raise InputFileError(f"{path}: no such file; {nearest(Path(path).name, names)}".rstrip("; "))
    try:
        with uproot.open(path) as file:
            if TREE not in file:
                raise InputFileError(
                    f"{path}: no tree '{TREE}'; it has {', '.join(file.keys(cycle=False)) or 'nothing'}"
                )
            tree = file[TREE]
            entries = int(tree.num_entries)
            branches = set(tree.keys())
            simulated = bool(branches & {"genWeight", "Pileup_nTrueInt", "nGenPart", "GenPart_pt"})
            if entries and is_data and simulated:
                raise InputFileError(f"{path}: listed as data, but it has generator branches (genWeight or GenPart)")
            if entries and not is_data and "genWeight" not in branches:
                raise InputFileError(f"{path}: listed as simulation, but it has no branch 'genWeight'")
            sum_of_weights = None
            if not is_data:
                if "Runs" not in file or "genEventSumw" not in file["Runs"]:
                    raise InputFileError(f"{path}: simulation without 'genEventSumw' in the tree 'Runs'")
                sum_of_weights = float(np.sum(file["Runs"]["genEventSumw"].array(library="np")))
            return FileInfo(path, str(file.file.uuid), entries, sum_of_weights)
    except InputFileError:
        raise
    except Exception as error:  # uproot raises many kinds for truncated and corrupt files
        raise InputFileError(f"{path}: cannot be read as ROOT ({type(error).__name__}: {str(error)[:200]})") from None


def save_json(path: Path, content: Any) -> None:
    """Write JSON under a temporary name first, then move it in place."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    temporary.replace(path)
