"""Digests of the code that decides a result, for content keys.

What decides a result is the code of the module that computes it and of all modules that it imports, directly or not, with
their data files. Left out is what decides no number: code that reads configurations (its values stand in the key instead),
opens files, runs the work or talks to people; and ``__init__`` modules, which only export names. Of a module, its syntax
tree counts: comments, docstrings, layout and what is imported for types alone change no result.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["code_parts", "code_sha256", "syntax_sha256"]

_PACKAGE = Path(__file__).resolve().parent.parent

#: modules that decide no number, with all below them; of `_WITH_EFFECT`, some do
_WITHOUT_EFFECT = (
    "oddjets.cli",
    "oddjets.config",
    "oddjets.core.code_digests",
    "oddjets.core.console",
    "oddjets.core.errors",
    "oddjets.core.files",
    "oddjets.core.interrupts",
    "oddjets.core.locks",
    "oddjets.core.paths",
    "oddjets.core.provenance",
    "oddjets.core.redaction",
    "oddjets.core.resources",
    "oddjets.core.tables",
    "oddjets.core.tracebacks",
    "oddjets.core.worker_pool",
    "oddjets.io.aspen_catalogue",
    "oddjets.io.download",
    "oddjets.io.inspections",
    "oddjets.io.opendata",
    "oddjets.io.remote",
    "oddjets.io.rntuple",
    "oddjets.io.studies",
    "oddjets.selection.coffea_interface",
    "oddjets.simulation.cost_estimate",
    "oddjets.workflow",
)
_WITH_EFFECT = ("oddjets.workflow.stages",)
#: they read no data files of the package
_CODE_SUFFIXES = (".py", ".pyi", ".pyc", ".typed")


def code_sha256(*modules: str, root: Path = _PACKAGE) -> str:
    """Return the sha256 of all code that decides what modules compute.

    Args:
        modules: dotted, for example ``oddjets.selection.histogramming``; they count whatever they are.
        root: the folder of the package ``oddjets``.
    """
    parts = code_parts(*modules, root=root)
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()


def code_parts(*modules: str, root: Path = _PACKAGE) -> dict[str, str]:
    """Return what `code_sha256` is about: module, or data file of the package, to the sha256 of its content.

    Args:
        modules: as for `code_sha256`.
        root: as for `code_sha256`.

    Raises:
        ValueError: there is no such module, or one imports a name through a package, where its code would be missed.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        file = _file_of(name, root)
        if name in modules and file is None:
            raise ValueError(f"no module {name} in {root}")
        if file is None or name in found or (name not in modules and _is_neutral(name)):
            continue
        if file.name == "__init__.py":
            continue
        digest, imported, strings = _read(file, file.stat().st_mtime_ns)
        found[name] = digest
        waiting += [_defining_module(module, imports, name, root) for module, imports in imported]
        for data in _data_named(file, strings, root):
            found[str(data.relative_to(root.parent))] = hashlib.sha256(data.read_bytes()).hexdigest()
    return found


def syntax_sha256(text: str) -> str:
    """Return the sha256 of a Python text's syntax tree, without docstrings, comments and what is imported for types alone.

    Args:
        text: of a module.

    Raises:
        SyntaxError: it is no Python.
    """
    return _of_tree(_strip_unexecuted(ast.parse(text)))


def _of_tree(tree: ast.Module) -> str:
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_neutral(name: str) -> bool:
    def below(packages: Iterable[str]) -> bool:
        return any(name == package or name.startswith(f"{package}.") for package in packages)

    return below(_WITHOUT_EFFECT) and not below(_WITH_EFFECT)


def _file_of(name: str, root: Path) -> Path | None:
    base = root.joinpath(*name.split(".")[1:])
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _defining_module(module: str, name: str, importer: str, root: Path) -> str:
    """Return the module that ``from MODULE import NAME`` reads: a package's ``__init__`` only exports, and counts in no key."""
    inner = f"{module}.{name}"
    if _file_of(inner, root) is not None:
        return inner
    file = _file_of(module, root)
    if file is not None and file.name == "__init__.py" and not (_is_neutral(module) or name.startswith("__")):
        raise ValueError(f"{importer} imports '{name}' through {module}: import it from the module that defines it")
    return module


@functools.cache
def _read(file: Path, changed_ns: int) -> tuple[str, tuple[tuple[str, str], ...], frozenset[str]]:
    """Return a module's digest, what it imports of oddjets, and the strings in it; many stages ask for the same."""
    tree = _strip_unexecuted(ast.parse(file.read_text(encoding="utf-8")))
    imported: list[tuple[str, str]] = []
    strings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "oddjets":
            imported += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            imported += [
                (alias.name.rpartition(".")[0], alias.name.rpartition(".")[2])
                for alias in node.names
                if alias.name.startswith("oddjets.")
            ]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            strings.add(node.value)
    return _of_tree(tree), tuple(imported), frozenset(strings)


def _strip_unexecuted(tree: ast.Module) -> ast.Module:
    """Take out of a tree what decides no result: docstrings, and blocks under ``if TYPE_CHECKING``; changes the tree."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        node.body = [statement for statement in node.body if not _is_for_types(statement)]
    return tree


def _is_for_types(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.If) and isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"
    )


def _data_named(file: Path, strings: frozenset[str], root: Path) -> Iterator[Path]:
    """Yield the data files that a module names, and those that such files name in turn (templates include one another).

    They lie in the module's own package, or in one whose dotted name is among the strings.
    """
    packages = {file.parent} | {
        root.joinpath(*text.split(".")[1:]) for text in strings if re.fullmatch(r"oddjets(\.\w+)+", text)
    }
    known = {data.name: data for package in packages if package.is_dir() for data in _data_of(package)}
    named = {name for name in known if name in strings}
    waiting = list(named)
    while waiting:
        text = known[waiting.pop()].read_text(encoding="utf-8", errors="replace")
        more = {name for name in known if name not in named and f'"{name}"' in text}
        named |= more
        waiting += more
    for name in sorted(named):
        yield known[name]


def _data_of(package: Path) -> Iterator[Path]:
    """Yield the data files of a package: in its folder, and in folders below that are no packages."""
    for path in sorted(package.iterdir()):
        if path.is_file() and path.suffix not in _CODE_SUFFIXES:
            yield path
        elif path.is_dir() and path.name != "__pycache__" and not (path / "__init__.py").is_file():
            yield from _data_of(path)
