"""The user's processor file: found, shipped as source, and imported once per process.

``processors/dijet_anomaly.py:DijetAnomaly`` names a file and a class. A worker may not have the file, so its text travels,
with that of the files that it imports, beside it or among the processors of the package (``from dijet_anomaly import
DijetAnomaly``); it is imported as ``oddjets_user_<sha>``, and two versions can't mix.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.abc
import importlib.util
import sys
import threading
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import cloudpickle

from oddjets.core import resources
from oddjets.core.code_digests import syntax_sha256
from oddjets.core.errors import OddjetsError, nearest
from oddjets.selection.processor import DijetProcessor

__all__ = ["ProcessorSource", "find_processor"]

#: a dask worker has several threads: the second must not take the module while the first is still executing it
_IMPORTING = threading.RLock()


@dataclass(frozen=True)
class ProcessorSource:
    """The text of a processor file and of the files that it imports, beside it or of the package.

    Attributes:
        name: the main module's name.
        class_name: the processor class in it.
        modules: module name to source text, the main one included.
    """

    name: str
    class_name: str
    modules: tuple[tuple[str, str], ...]

    @property
    def sha256(self) -> str:
        """Of all texts; two versions of a file never share a module."""
        return hashlib.sha256(repr(self.modules).encode()).hexdigest()

    @property
    def code_sha256(self) -> str:
        """Of what the texts do, comments and docstrings left out; part of the content key."""
        return hashlib.sha256(repr([(name, syntax_sha256(text)) for name, text in self.modules]).encode()).hexdigest()

    def load(self) -> type[DijetProcessor]:
        """Import the file, once per process, and return the class.

        Raises:
            OddjetsError: the file can't be imported, or has no such class, or it is no `DijetProcessor`.
        """
        with _IMPORTING:
            module = self._module()
        classes = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, DijetProcessor)
        }
        if self.class_name not in classes:
            others = [name for name in classes if name != "DijetProcessor"]
            known = nearest(self.class_name, others) or "it has none, so write 'class NAME(DijetProcessor)'"
            raise OddjetsError(f"{self.name}.py has no DijetProcessor called '{self.class_name}'; {known}")
        return classes[self.class_name]

    def _module(self) -> types.ModuleType:
        unique = f"oddjets_user_{self.sha256[:16]}"
        module = sys.modules.get(unique)
        if module is None:
            texts = dict(self.modules)
            finder = _Siblings({k: v for k, v in texts.items() if k != self.name})
            module = types.ModuleType(unique)
            module.__file__ = f"<{self.name}.py>"
            sys.modules[unique] = module
            sys.meta_path.insert(0, finder)
            try:
                exec(compile(texts[self.name], f"{self.name}.py", "exec"), module.__dict__)
            except OddjetsError:
                del sys.modules[unique]
                raise
            except (Exception, SystemExit) as error:
                del sys.modules[unique]
                raise OddjetsError(f"{self.name}.py can't be imported: {type(error).__name__}: {error}") from error
            finally:
                sys.meta_path.remove(finder)
                for name in finder.texts:
                    sys.modules.pop(name, None)
            # a subclass in a notebook travels to coffea's workers with the base that it has here
            cloudpickle.register_pickle_by_value(module)
        return module

    def restored(self, state: Mapping[str, Any]) -> DijetProcessor:
        """Return a processor of the class, with the attributes that it had where it was pickled."""
        made = object.__new__(self.load())
        made.__dict__.update(state)
        return made


class _Siblings(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An importer of the files that the processor file imports, from their shipped text."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname in self.texts else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType | None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        exec(compile(self.texts[module.__name__], f"{module.__name__}.py", "exec"), module.__dict__)


def _source(file: Path) -> str:
    """Return the text of a Python file, in the encoding that it states.

    Raises:
        OddjetsError: it is in another one, or cannot be read.
    """
    try:
        return importlib.util.decode_source(file.read_bytes())
    except (UnicodeDecodeError, SyntaxError):
        raise OddjetsError(
            f"{file.name}: is not UTF-8, as Python files are; save it so, or state its encoding"
        ) from None
    except OSError as error:
        raise OddjetsError(f"{file}: cannot be read ({error.strerror or error})") from None


def _imports(text: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def find_processor(reference: str, beside: Path | None) -> ProcessorSource:
    """Find a processor by ``FILE.py:CLASS``.

    Args:
        reference: as in the YAML.
        beside: the folder of the YAML.

    Raises:
        OddjetsError: not of that form, no such file, or the file is no Python.
    """
    file_name, colon, class_name = reference.partition(":")
    if not colon or not file_name.endswith(".py") or not class_name.isidentifier():
        raise OddjetsError(f"'{reference}' is not of the form FILE.py:CLASS")
    file = resources.find(file_name, "processors", beside)
    modules: dict[str, str] = {}
    waiting = [file]
    while waiting:
        path = waiting.pop()
        text = _source(path)
        modules[path.stem] = text
        try:
            imported = _imports(text)
        except SyntaxError as error:
            raise OddjetsError(f"{path.name}, line {error.lineno}: {error.msg}") from None
        for name in sorted(imported - modules.keys()):
            beside_it = path.with_name(f"{name}.py")
            found = beside_it if beside_it.is_file() else resources.carried(f"{name}.py", "processors")
            if found is not None:
                waiting.append(found)
    return ProcessorSource(file.stem, class_name, tuple(sorted(modules.items())))
