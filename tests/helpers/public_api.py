"""What the package promises: every exported name, with its signature, as text.

`python tests/helpers/public_api.py` writes it into `tests/data/public_api.txt`, which a test compares with the package: a name
that is gone, or a signature that has changed, is somebody's broken notebook, and is to be seen in a review.

It is read from the sources, so that neither the version of Python nor a package that is not installed changes it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "src"
STORED = ROOT / "tests" / "data" / "public_api.txt"


@functools.cache
def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module."""
    base = SOURCES.joinpath(*module.split("."))
    file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return ast.parse(file.read_text(encoding="utf-8"))


def definition(module: str, name: str) -> ast.stmt | None:
    """Where a module defines a name; None where it is no function, class or value."""
    for node in tree_of(module).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return node
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node
    return None


def signature(function: ast.FunctionDef, *, method: bool = False) -> str:
    """Arguments with their types and defaults, and what is returned."""
    words = ast.unparse(function.args)
    if method:
        words = words.partition(",")[2].strip() if "," in words else ""
    return f"({words})" + (f" -> {ast.unparse(function.returns)}" if function.returns else "")


def imported(module: str) -> dict[str, str]:
    """Name to the module of the package that it is imported from."""
    return {
        alias.name: node.module
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("oddjets.")
        for alias in node.names
    }


def bases(module: str, owner: ast.ClassDef) -> Iterator[tuple[str, ast.ClassDef]]:
    """A class and those of the package that it is made of, the class itself first."""
    yield module, owner
    for base in owner.bases:
        name = ast.unparse(base)
        home = imported(module).get(name, module)
        if isinstance(found := definition(home, name), ast.ClassDef):
            yield from bases(home, found)


def members(module: str, owner: ast.ClassDef) -> dict[str, str]:
    """Public members by name, in the order of the text; what a class replaces counts once."""
    found: dict[str, str] = {}
    for _, base in bases(module, owner):
        for node in base.body:
            if isinstance(node, ast.FunctionDef):
                if node.name.startswith("_") and node.name not in ("__init__", "__getitem__", "__call__", "__iter__"):
                    continue
                marks = {ast.unparse(mark) for mark in node.decorator_list}
                if marks & {"property", "cached_property", "functools.cached_property"}:
                    text = f"{node.name}: {ast.unparse(node.returns) if node.returns else 'Any'}"
                else:
                    text = node.name + signature(node, method="staticmethod" not in marks)
                found.setdefault(node.name, text)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                name, default = node.target.id, f" = {ast.unparse(node.value)}" if node.value is not None else ""
                # what a field of a configuration is for is described in the reference of the YAML
                shown = "" if default.startswith(" = Field(") else default
                if not name.startswith("_"):
                    found.setdefault(name, f"{name}: {ast.unparse(node.annotation)}{shown}")
    return found


def exported(stub: Path) -> list[tuple[str, str | None]]:
    """The names of a package's front door and the modules, relative to it, that define them; None for its own modules."""
    parsed = ast.parse(stub.read_text(encoding="utf-8"))
    return sorted((a.name, n.module) for n in parsed.body if isinstance(n, ast.ImportFrom) for a in n.names)


def lines() -> Iterator[str]:
    """The whole text; what a class has is told where its name comes first."""
    told: set[tuple[str, str]] = set()
    for stub in sorted((SOURCES / "oddjets").rglob("__init__.pyi")):
        package = ".".join(stub.parent.relative_to(SOURCES).parts)
        for name, home in exported(stub):
            if home is None:
                yield f"{package}.{name}"
                continue
            module = f"{package}.{home}"
            node = definition(module, name)
            if isinstance(node, ast.FunctionDef):
                yield f"{package}.{name}{signature(node)}"
            elif isinstance(node, ast.ClassDef):
                made_of = ", ".join(ast.unparse(base) for base in node.bases)
                yield f"{package}.{name}" + (f"({made_of})" if made_of else "")
                if (module, name) not in told:
                    yield from (f"    {member}" for member in members(module, node).values())
                    told.add((module, name))
            else:
                yield f"{package}.{name}: a value"


def text() -> str:
    """What the stored file should hold."""
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    STORED.write_text(text(), encoding="utf-8")
