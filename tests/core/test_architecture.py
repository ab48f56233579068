"""How the package is built: what is private stays so, names are unique, and rooms open without what they don't need.

Which room may import from which is import-linter's to say (pyproject.toml).
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import oddjets

PACKAGE = Path(oddjets.__file__).parent
MODULES = {
    ".".join(("oddjets", *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(file.read_text(encoding="utf-8")) for name, file in MODULES.items()}
#: packages with public names
ROOMS = [name for name, file in MODULES.items() if file.with_suffix(".pyi").is_file()]
#: packages that not every installation has
EXTRAS = ("h5py", "omnilearned", "onnx", "torch")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_names_of(tree: ast.AST) -> set[str]:
    """What a module defines with an underscore: at its top, in its classes, and on its objects."""
    defined = {n.name for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    defined |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    defined |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
    return {name for name in defined if is_private(name)}


def defined_names_of(tree: ast.Module) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def imports_of(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of every import from oddjets."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "oddjets":
            for alias in node.names:
                yield node.module or "", alias.name


def test_no_imports_go_in_circles_neither_at_run_time_nor_for_types() -> None:
    below = {
        name: {f"{module}.{what}" if f"{module}.{what}" in TREES else module for module, what in imports_of(tree)}
        - {name}
        for name, tree in TREES.items()
    }
    # modules that import nothing that is left are taken away; what remains goes in circles
    while free := [name for name, needed in below.items() if not needed & below.keys()]:
        for name in free:
            del below[name]
    assert not below


def test_no_module_uses_what_is_private_to_another() -> None:
    private = {name: private_names_of(tree) for name, tree in TREES.items()}
    found = [f"{name} imports {module}.{what}" for name, tree in TREES.items() for module, what in imports_of(tree)
             if is_private(what)]  # fmt: skip
    for name, tree in TREES.items():
        elsewhere = set().union(*(names for other, names in private.items() if other != name)) - private[name]
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and node.attr in elsewhere
                and ast.unparse(node.value) not in ("self", "cls")
            ):
                found.append(f"{name}, line {node.lineno}: {ast.unparse(node)}")
    assert found == []


def test_public_classes_have_names_of_their_own() -> None:
    homes = defaultdict(list)
    for name, tree in TREES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name)
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_the_package_itself_imports_from_where_a_name_is_defined() -> None:
    """Else a room's front door would be in the way of those who live there: circles, and keys of stages that miss code."""
    through_the_door = [
        f"{name} imports {what} from {module}"
        for name, tree in TREES.items()
        for module, what in imports_of(tree)
        if MODULES[module].name == "__init__.py" and f"{module}.{what}" not in MODULES and what != "__version__"
    ]
    assert through_the_door == []


def test_every_room_says_in_a_sentence_what_it_is_for() -> None:
    for name, file in MODULES.items():
        if file.name == "__init__.py":
            words = ast.get_docstring(TREES[name]) or ""
            assert len(words) > 20, name
            assert words.endswith((".", ")")), name
            assert "\n" not in words, name


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_is_there(room: str) -> None:
    stub = ast.parse(MODULES[room].with_suffix(".pyi").read_text(encoding="utf-8"))
    exported = {a.name: n.module for n in stub.body if isinstance(n, ast.ImportFrom) for a in n.names}
    said = next(ast.literal_eval(n.value) for n in stub.body if isinstance(n, ast.Assign))
    assert sorted(said) == sorted(exported)
    module = importlib.import_module(room)
    assert sorted(module.__all__) == sorted(exported)
    for name, home in exported.items():
        if home is None:
            assert getattr(module, name) is importlib.import_module(f"{room}.{name}")
            continue
        # a module of the same name would take the name's place as soon as it is imported
        assert f"{room}.{name}" not in MODULES, f"{room}.{name} is a module as well"
        try:
            there = getattr(importlib.import_module(f"{room}.{home}"), name)
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            # without the extra for training, the text has to do
            assert name in defined_names_of(TREES[f"{room}.{home}"])
        else:
            assert getattr(module, name) is there


def test_opening_rooms_imports_nothing_heavy() -> None:
    program = f"""
import importlib, sys
for name in {["oddjets", *ROOMS]}:
    importlib.import_module(name)
print(sorted({{"numpy", "awkward", "coffea", "matplotlib", "pydantic", "scipy"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
