"""Content keys and manifests: what a result came from, and whether it still stands.

A stage's key is the sha256 of everything it depends on: the part of the configuration it uses, the texts of the
code that runs, the files it reads, the versions of the packages that compute. Equal keys mean equal results.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from oddjets import __version__
from oddjets.core.files import sha256_of, write_json
from oddjets.core.redaction import redacted

__all__ = ["Manifest", "code_of", "content_key", "digests", "files_key", "texts_of", "versions"]

#: the packages whose versions can change a number
PACKAGES = (
    "awkward",
    "coffea",
    "correctionlib",
    "fastjet",
    "hist",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "pyarrow",
    "pyhf",
    "pythia8mc",
    "scipy",
    "uproot",
)

Manifest = dict[str, Any]


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of oddjets, Python and the packages that compute; absent ones are left out."""
    found = {"oddjets": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@functools.cache
def code_of(module: str, root: Path = Path(__file__).parent.parent) -> str:
    """Return the sha256 of an oddjets module, of every oddjets module that it imports, directly or not, and of their data.

    Args:
        module: dotted, for example ``oddjets.selection.histogramming``.
        root: the folder of the package ``oddjets``.
    """
    return content_key(texts_of(module, root))


def texts_of(module: str, root: Path = Path(__file__).parent.parent) -> dict[str, str]:
    """Return what `code_of` is about: module to text, and file of data to sha256."""
    texts: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        base = root.joinpath(*name.split(".")[1:])
        file = base.with_suffix(".py") if base.with_suffix(".py").is_file() else base / "__init__.py"
        if name in texts or not file.is_file():
            continue
        texts[name], imported = _read(file, file.stat().st_mtime_ns)
        waiting += imported
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        if file.name == "__init__.py" and name != "oddjets":
            # data files of a package (cross sections, taggers, templates of the report) count as its code; what lies in
            # the top one are resources, which count where an analysis names them
            for data in sorted(file.parent.rglob("*")):
                if data.is_file() and data.suffix != ".py" and _package_of(data) == file.parent:
                    texts[f"{name}/{data.relative_to(file.parent)}"] = sha256_of(data)
    return texts


@functools.cache
def _read(file: Path, changed_ns: int) -> tuple[str, tuple[str, ...]]:
    """Return a module's text and what it imports of oddjets; many stages ask for the same."""
    text, imported = file.read_text(encoding="utf-8"), []
    for node in _executed(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "oddjets":
            imported.append(node.module)
            imported += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            imported += [a.name for a in node.names if a.name.startswith("oddjets.")]
    return text, tuple(imported)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk over all statements that can run: what stands under ``if TYPE_CHECKING`` decides no result."""
    for block in ("body", "handlers", "orelse", "finalbody", "cases"):
        for node in getattr(tree, block, ()):
            if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                yield node
                yield from _executed(node)


def _package_of(file: Path) -> Path | None:
    """Return the nearest folder above a file that is a package; None for what Python wrote itself."""
    if "__pycache__" in file.parts:
        return None
    return next((folder for folder in file.parents if (folder / "__init__.py").is_file()), None)


def content_key(parts: Any) -> str:
    """Return the sha256 of a JSON-able structure, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def digests(content: Any, depth: int = 2) -> dict[str, str]:
    """Return place to a short digest of what stands there, to say later what has changed.

    Args:
        content: JSON-able; mappings are entered.
        depth: how deep.
    """
    if not isinstance(content, Mapping) or depth == 0:
        return {"": content_key(content)[:8]}
    found: dict[str, str] = {}
    for name, inner in content.items():
        found |= {f"{name}.{place}".rstrip("."): short for place, short in digests(inner, depth - 1).items()}
    return found


def files_key(files: Iterable[Path], base: Path) -> dict[str, str]:
    """Return path (relative to ``base`` where it is inside) to sha256."""
    return {
        str(file.relative_to(base)) if file.is_relative_to(base) else str(file): sha256_of(file)
        for file in sorted(files)
    }


def read_manifest(out: Path, stage: str) -> Manifest | None:
    """Return a stage's manifest, None where there is none or it is broken (the stage then runs again)."""
    try:
        content = json.loads((out / "manifests" / f"{stage}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def remove_manifest(out: Path, stage: str) -> None:
    """Remove a stage's manifest, and what it said when it failed."""
    for suffix in ("json", "failed"):
        (out / "manifests" / f"{stage}.{suffix}").unlink(missing_ok=True)


def write_failure(out: Path, stage: str, message: str) -> None:
    """Say why a stage has no manifest, where that can be written."""
    with suppress(OSError):
        (out / "manifests").mkdir(parents=True, exist_ok=True)
        (out / "manifests" / f"{stage}.failed").write_text(message, encoding="utf-8")


def read_failure(out: Path, stage: str) -> str | None:
    """Return why a stage failed when it last ran; None where it did not."""
    try:
        return (out / "manifests" / f"{stage}.failed").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def write_manifest(out: Path, stage: str, content: Mapping[str, Any]) -> None:
    """Write a stage's manifest, last of all that the stage writes: it says that the rest is whole.

    Secrets in URLs are hidden.
    """
    (out / "manifests").mkdir(parents=True, exist_ok=True)
    write_json(out / "manifests" / f"{stage}.json", json.loads(redacted(json.dumps(content))))
