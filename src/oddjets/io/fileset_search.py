"""The search for the fileset that an analysis names, which offers filesets alone where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from oddjets.config.yaml import read_yaml
from oddjets.core import resources
from oddjets.core.errors import InputFileError, OddjetsError, nearest_file

__all__ = ["find_fileset"]

_FORMS = (".json", ".yaml", ".yml", ".json.gz", ".yaml.gz", ".yml.gz")
#: bytes; larger files are not opened only to offer their names
_LARGEST_OFFERED = 1_000_000


def find_fileset(name: str, beside: Path | None = None) -> Path:
    """Return the file of the fileset that an analysis names.

    Args:
        name: a path, or a file name inside ``datasets/``.
        beside: the folder of the analysis, searched first.

    Raises:
        InputFileError: there is none; the message has the nearest filesets, and no other files.
    """
    try:
        return resources.find(name, "datasets", beside)
    except InputFileError:
        near = nearest_file(Path(name).name, _filesets(beside)) or "there are no filesets there"
    raise InputFileError(f"no file '{name}' in datasets/ or beside the analysis; {near}")


def _filesets(beside: Path | None) -> Iterator[str]:
    """Yield the names of the filesets beside an analysis and of those that come along, by their content."""
    folders = [] if beside is None else [beside, beside / "datasets", beside.parent / "datasets"]
    near = [path for folder in folders for path in folder.glob("*")]
    for file in [*near, *(resources.find(shipped, "datasets") for shipped in resources.available("datasets"))]:
        if file.name.endswith(_FORMS) and file.is_file() and file.stat().st_size <= _LARGEST_OFFERED:
            try:
                content = read_yaml(file)
            except OddjetsError:
                continue
            if isinstance(content, Mapping) and content and all(map(_is_dataset, content.values())):
                yield file.name


def _is_dataset(content: object) -> bool:
    return isinstance(content, Mapping) and {"files", "metadata"} <= content.keys()
