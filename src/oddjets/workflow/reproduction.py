"""A publication run again: the fit from its workspace, compared with what was published, number by number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from oddjets import __version__
from oddjets.config.analysis import Analysis
from oddjets.config.yaml import parse_yaml
from oddjets.core import provenance
from oddjets.core.archives import read_archive
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import write_json
from oddjets.core.paths import is_file_name
from oddjets.stats.histfactory.workspace_sources import load_workspace
from oddjets.workflow.publication import FORMAT
from oddjets.workflow.published_files import NOT_PUBLISHED, RECORD
from oddjets.workflow.stages.fit import fitted

__all__ = ["Difference", "Reproduction", "compare", "read_publication", "reproduce"]

#: of results.json: what is known before the fit, and what is of a machine
_NOT_OF_THE_FIT = ("analysis", "title", "blinded", "unblinded", "was_open", "closure", *NOT_PUBLISHED)
#: a difference of texts, or of what only one side has
_NO_NUMBER = float("inf")


@dataclass(frozen=True)
class Difference:
    """A place where what was published and what was found again differ.

    Attributes:
        place: in the file, with dots.
        published: the value; None also where there is none.
        found: the value now.
    """

    place: str
    published: Any
    found: Any

    @property
    def relative(self) -> float:
        """The difference over the larger of the two in size; infinite where one is no number."""
        if not (_is_number(self.published) and _is_number(self.found)):
            return _NO_NUMBER
        return float(abs(self.found - self.published) / max(abs(self.found), abs(self.published)))


@dataclass(frozen=True)
class Reproduction:
    """The outcome of running a publication again.

    Attributes:
        name: of the analysis.
        program: the version that published it.
        versions: package -> (published with, here), of those that differ.
        compared: part of the results -> how many numbers were compared.
        differences: largest first.
        results: what the fit gives here.
    """

    name: str
    program: str
    versions: Mapping[str, tuple[str, str]]
    compared: Mapping[str, int]
    differences: tuple[Difference, ...]
    results: Mapping[str, Any]


def reproduce(source: Path, out: Path | None = None) -> Reproduction:
    """Fit a published workspace again, with its recorded seeds, and compare every number of the results.

    The patch set is compared too: it must give the workspace.

    Args:
        source: the archive of a publication, or its unpacked folder.
        out: gets ``results.json`` and ``differences.json``; None: nothing is written.

    Raises:
        InputFileError: it is no publication, it is damaged or was changed, or it is of a version that cannot be read here.
    """
    files = read_publication(source)
    if out is not None and out.is_file():
        raise OddjetsError(f"{out}: is a file, and results need a folder; give another folder with --out")
    record = json.loads(files[RECORD])
    analysis = _analysis(source, files["analysis.yaml"], record)
    workspace, report, published = (
        _content(source, f"{name}.json", files) for name in ("workspace", "workspace_report", "results")
    )
    found = json.loads(json.dumps(fitted(analysis, workspace, report, published.get("closure"))))
    parts = {
        "workspace": (workspace, _patched(source, files["likelihood.tar.gz"])),
        **{
            name: (published.get(name), found.get(name))
            for name in dict.fromkeys((*published, *found))
            if name not in _NOT_OF_THE_FIT
        },
    }
    compared, differences = {}, []
    for name, (before, after) in parts.items():
        compared[name] = sum(_is_number(value) for _, value in _leaves(before, name))
        differences += compare(before, after, name)
    differences.sort(key=lambda one: -one.relative)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "results.json", found)
        write_json(out / "differences.json", [vars(one) for one in differences])
    known, here = ((record.get("versions") or {}).get("fit") or {}), provenance.versions()
    other = {
        package: (known.get(package, "absent"), here.get(package, "absent"))
        for package in sorted({*known, *here})
        if known.get(package) != here.get(package)
    }
    return Reproduction(analysis.name, str(record["oddjets"]), other, compared, tuple(differences), found)


def read_publication(source: Path) -> dict[str, bytes]:
    """Return the files of a publication, each with the sha256 that its record states.

    Args:
        source: the archive, or a folder with its files.

    Raises:
        InputFileError: it is no publication, or was changed; the message lists the files.
    """
    files = _of_folder(source) if source.is_dir() else read_archive(source)
    if RECORD not in files:
        known = ", ".join(sorted(files)[:4]) or "nothing"
        raise InputFileError(f"{source}: is no publication of `oddjets publish`: it has no {RECORD} (it holds {known})")
    try:
        record = json.loads(files[RECORD])
        version, program, stated = record["format"], str(record["oddjets"]), dict(record["files"])
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{source}: {RECORD} cannot be read ({type(error).__name__}: {error}); get the archive again"
        ) from None
    if version != FORMAT:
        raise InputFileError(
            f"{source}: is a publication of format {version}, by oddjets {program}; oddjets {__version__} reads format"
            f" {FORMAT}: pip install 'oddjets=={program}'"
        )
    wrong = [f"{name} is missing" for name in sorted({*stated, *_NEEDED} - {*files})]
    wrong += [f"{name} is not in {RECORD}" for name in sorted({*files} - {*stated, RECORD})]
    wrong += [
        f"{name} was changed"
        for name, digest in sorted(stated.items())
        if name in files and hashlib.sha256(files[name]).hexdigest() != digest
    ]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise InputFileError(
            f"{source}: is not as it was published: {', '.join(wrong[:5])}{more}; get the archive again"
        )
    return files


#: files without which nothing can be run again
_NEEDED = ("analysis.yaml", "workspace.json", "workspace_report.json", "results.json", "likelihood.tar.gz")


def _of_folder(folder: Path) -> dict[str, bytes]:
    if not (folder / RECORD).is_file():
        inside = folder / "submission"
        near = f"; did you mean {inside}?" if (inside / RECORD).is_file() else ""
        raise InputFileError(f"{folder}: is no publication of `oddjets publish`: it has no {RECORD}{near}")
    return {
        file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file() and is_file_name(file.name)
    }


def _content(source: Path, name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return what a JSON file of a publication holds."""
    try:
        content = json.loads(files[name])
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{source}: its {name} is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputFileError(f"{source}: its {name} holds no JSON object")
    return content


def _analysis(source: Path, text: bytes, record: Mapping[str, Any]) -> Analysis:
    try:
        return Analysis.model_validate(parse_yaml(text.decode("utf-8"), f"{source}: analysis.yaml"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputFileError(
            f"{source}: its analysis.yaml is of oddjets {record['oddjets']}, and oddjets {__version__} does not understand it"
            f" ({str(error).splitlines()[0]}): pip install 'oddjets=={record['oddjets']}'"
        ) from None


def _patched(source: Path, packed: bytes) -> Any:
    """Return the workspace that the background and the patch set give."""
    parts = read_archive(source / "likelihood.tar.gz", packed)
    try:
        background, patches = (_content(source, name, parts) for name in ("background_only.json", "patchset.json"))
        name = patches["patches"][0]["metadata"]["name"]
    except (KeyError, IndexError, TypeError) as error:
        raise InputFileError(f"{source}: its likelihood.tar.gz has no background and patch set ({error!r})") from None
    return load_workspace(background, [(patches, name)])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _leaves(content: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _leaves(value, f"{place}.{key}")
    elif isinstance(content, list):
        for i, value in enumerate(content):
            yield from _leaves(value, f"{place}[{i}]")
    else:
        yield place, content


def compare(published: Any, found: Any, place: str) -> list[Difference]:
    """Return all places in which two contents of JSON differ: numbers in any digit, texts, and what only one has.

    Args:
        published: before.
        found: now.
        place: a name of the whole.
    """
    before, after = dict(_leaves(published, place)), dict(_leaves(found, place))
    return [
        Difference(name, before.get(name), after.get(name))
        for name in dict.fromkeys((*before, *after))
        if name not in before or name not in after or before[name] != after[name]
    ]
