"""The verb `clean`: the search for files that nothing refers to, and their removal.

A file goes if its name is one that a stage gives, and the manifest of that stage, finished, does not count it among its
results. Where a stage is not finished, its files stay: it goes on from them. Files of other names are never touched.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from oddjets.core import provenance
from oddjets.core.errors import OddjetsError
from oddjets.workflow.executors.records import CHUNKS, EVENTS

__all__ = ["OrphanedFile", "orphans", "remove"]

#: seconds; what was written to more recently may be somebody's work in progress
IN_USE_S = 3600

#: the names of files before they are whole, by the folder that they are in
_TEMPORARY = re.compile(r"\..+\.(parquet|json|root|npz|dat)\.\d+\.[0-9a-f]{8}")
_PART = re.compile(r"part-.+\.parquet")
_CHUNK = re.compile(r"part-.+\.(parquet|json)")
_FIGURE = re.compile(r".+\.(json|png|pdf|gif)")
_HISTOGRAM = re.compile(r".+\..+\.json")
_SIMULATED = re.compile(r"(.+-\d{4})\.(root|json|npz)")
_SCORES = re.compile(r"part-.+\.npz")
_SKIM = re.compile(r".+-[0-9a-f]{8}\.root")


class OrphanedFile(NamedTuple):
    """A file that nothing refers to.

    Attributes:
        path: the file.
        size: bytes.
        why: what it is.
    """

    path: Path
    size: int
    why: str


def orphans(out: Path) -> list[OrphanedFile]:
    """Find what nothing in an output folder refers to.

    Args:
        out: a folder with manifests: an analysis's results, or a skim.

    Returns:
        The files, sorted by path.

    Raises:
        OddjetsError: there is no such folder, or it has no manifests, so nothing tells what is referred to.
    """
    manifests = {path.stem: provenance.read_manifest(out, path.stem) for path in (out / "manifests").glob("*.json")}
    finished = {stage: manifest["extra"] for stage, manifest in manifests.items() if manifest and "extra" in manifest}
    if not out.is_dir():
        raise OddjetsError(f"{out}: no such folder")
    if not finished:
        raise OddjetsError(f"{out}: no manifests of finished stages here, so nothing tells what is in use; not touched")
    found = [*_temporary(out)]
    for stage, find in _FINDERS.items():
        if stage in finished:
            found += [(path, f"no result of `{stage}`") for path in find(out, finished[stage])]
    return sorted(OrphanedFile(path, path.lstat().st_size, why) for path, why in found)


def remove(found: list[OrphanedFile]) -> None:
    """Remove files, and the folders of datasets that are empty then."""
    for orphan in found:
        orphan.path.unlink(missing_ok=True)
    for folder in {orphan.path.parent for orphan in found}:
        # the others are what a stage says it wrote
        if folder.parent.name in (EVENTS, CHUNKS) and not any(folder.iterdir()):
            folder.rmdir()
        if folder.parent.parent.name == "scores" and not any(folder.iterdir()):
            folder.rmdir()
            if not any(folder.parent.iterdir()):
                folder.parent.rmdir()


def _files(folder: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    """Yield the files of a folder whose whole name matches; none of a folder that is a symbolic link."""
    if folder.is_dir() and not folder.is_symlink():
        yield from (path for path in folder.iterdir() if path.is_file() and pattern.fullmatch(path.name))


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir() and not folder.is_symlink():
        yield from (path for path in folder.iterdir() if path.is_dir())


def _temporary(out: Path) -> Iterator[tuple[Path, str]]:
    ours = ("manifests", "events", "chunks", "histograms", "simulation", "scores")
    folders = [out, *(p for name in ours for p in (out / name, *_folders(out / name)))]
    folders += [p for outer in _folders(out / "scores") for p in _folders(outer)]
    if (skim := provenance.read_manifest(out, "skim")) is not None:
        folders += [folder for folder in _folders(out) if folder.name in skim["extra"]["datasets"]]
    for folder in folders:
        for path in _files(folder, _TEMPORARY):
            if time.time() - path.stat().st_mtime > IN_USE_S:
                yield path, "half-written"


def _of_process(out: Path, extra: dict[str, Any]) -> Iterator[Path]:
    for folder in _folders(out / EVENTS):
        dataset = extra["datasets"].get(folder.name, {"parts": []})
        if "parts" in dataset:
            yield from (path for path in _files(folder, _PART) if path.name not in dataset["parts"])
    if provenance.lost_files(extra):
        return  # what could be read of them is kept for the next time
    for folder in _folders(out / CHUNKS):
        known = {Path(part).stem for part in extra["datasets"].get(folder.name, {"parts": []}).get("parts", ())}
        yield from (path for path in _files(folder, _CHUNK) if path.stem not in known)

    # kept scores of other models, cards or versions
    inference = [how for dataset in extra["datasets"].values() for how in dataset.get("inference", {}).values()]
    used = {key for how in inference for key in how.get("kept_as", ())}
    for folder in _folders(out / "scores"):
        if folder.name not in used:
            for file in _folders(folder):
                yield from _files(file, _SCORES)


def _of_histogram(out: Path, _: dict[str, Any]) -> Iterator[Path]:
    content = _json(out / "histograms" / "index.json")
    if content is not None:
        known = {"index.json", *(f"{region}.{observable}.json" for region, observable in content["histograms"])}
        yield from (path for path in _files(out / "histograms", _HISTOGRAM) if path.name not in known)


def _of_plot(out: Path, extra: dict[str, Any]) -> Iterator[Path]:
    known = set(extra["figures"])
    yield from (p for p in _files(out / "figures", _FIGURE) if str(p.relative_to(out)) not in known)


def _of_simulate(out: Path, _: dict[str, Any]) -> Iterator[Path]:
    content = _json(out / "simulation" / "fileset.json")
    if content is None:
        return
    known = {Path(file).stem for entry in content.values() for file in entry["files"]}
    for folder in _folders(out / "simulation"):
        for path in _files(folder, _SIMULATED):
            if path.stem not in known:
                yield path


def _of_skim(out: Path, extra: dict[str, Any]) -> Iterator[Path]:
    for folder in _folders(out):
        if folder.name in extra["datasets"]:
            known = extra["datasets"][folder.name]["files"]
            yield from (path for path in _files(folder, _SKIM) if str(path.relative_to(out)) not in known)


def _json(file: Path) -> Any:
    """Read JSON; None where it is absent or broken: then nothing tells what is in use."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


_FINDERS = {
    "simulate": _of_simulate,
    "process": _of_process,
    "histogram": _of_histogram,
    "plot": _of_plot,
    "skim": _of_skim,
}
