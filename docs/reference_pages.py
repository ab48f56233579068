"""The pages of the reference, as files that can be read without a build: on a code-hosting page, too.

`python docs/reference_pages.py` writes them: the commands from their help, the analysis YAML from the models that check it, and
on all other pages of `docs/reference` a line for each module, from its docstring and its public names. The site has the
docstrings themselves in the place of these lines (`with_docstrings`). A test compares the files with the package.
"""

from __future__ import annotations

import ast
import html
import inspect
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

from oddjets.cli.main import app
from oddjets.config import analysis as config
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard

__all__ = ["texts", "with_docstrings"]

DOCS = Path(__file__).resolve().parent
SOURCES = DOCS.parent / "src"
#: between these lines of a page are its modules
BEGIN, END = "<!-- modules: begin -->", "<!-- modules: end -->"
#: in front of the lists
_LEAD = (
    "The modules of this part, with their public names. Each link leads to the source, where docstrings describe arguments,\n"
    "results and errors; `make docs` builds a page of all these docstrings."
)
_BLOCK = re.compile(rf"{BEGIN}\n.*?{END}\n?", re.DOTALL)
_MODULE = re.compile(r"^- (?:\[`)?(oddjets[\w.]+)", re.MULTILINE)


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every page of the reference: its file, and the text that it should have."""
    yield DOCS / "reference" / "commands.md", commands_page()
    yield DOCS / "reference" / "yaml.md", yaml_page()
    yield DOCS / "reference" / "cards.md", cards_page()
    for page in sorted((DOCS / "reference").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if BEGIN in text:
            yield page, _BLOCK.sub(lambda found: _list(_MODULE.findall(found[0])), text)


def with_docstrings(markdown: str) -> str:
    """Return a page with mkdocstrings' marks, which it replaces by docstrings, in the place of the list of modules."""
    return _BLOCK.sub(lambda found: "\n".join(f"::: {name}\n" for name in _MODULE.findall(found[0])), markdown)


# ---- modules ---------------------------------------------------------------------------------------------------------


def _list(modules: list[str]) -> str:
    return "\n".join([BEGIN, _LEAD, "", *map(_line, modules), END, ""])


def _line(module: str) -> str:
    """Return a module's line: a link to its source, the first sentence of its docstring, its public names."""
    file = SOURCES.joinpath(*module.split("."))
    file = file / "__init__.pyi" if file.is_dir() else file.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documented = tree if file.suffix == ".py" else ast.parse(file.with_suffix(".py").read_text(encoding="utf-8"))
    subject = (ast.get_docstring(documented) or "").partition("\n")[0].replace("``", "`")
    names = ", ".join(f"`{name}`" for name in _public(tree))
    return f"- [`{module}`](../../{file.relative_to(DOCS.parent).with_suffix('.py')}): {subject} {names}".rstrip()


def _public(tree: ast.Module) -> list[str]:
    """Return what a module exports: its `__all__`, or what a stub imports."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return sorted(alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names)


# ---- commands --------------------------------------------------------------------------------------------------------


def commands_page() -> str:
    """Return the reference of the commands, from their own help."""
    lines = ["# Commands", "", "All commands, generated from their help: `oddjets COMMAND --help` prints the same.", ""]
    lines += _commands(get_command(app), "oddjets")
    return "\n".join(lines)


def _commands(group: Any, name: str) -> list[str]:
    lines: list[str] = []
    for verb, command in group.commands.items():
        path = f"{name} {verb}"
        if hasattr(command, "commands"):
            lines += _commands(command, path)
            continue
        lines += [f"## {path}", "", _text(command.help), ""]
        rows = [_option(parameter) for parameter in command.params if parameter.name != "help"]
        lines += _table(("argument or option", "", "default"), rows)
    return lines


def _option(parameter: Any) -> tuple[str, str, str]:
    metavar = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "argument":
        name = metavar
    else:
        name = parameter.opts[0] if parameter.is_flag else f"{parameter.opts[0]} {metavar}"
    default = "" if parameter.default in (None, False) else f"`{parameter.default}`"
    return f"`{name}`", _text(parameter.help), default


# ---- the analysis YAML -----------------------------------------------------------------------------------------------


def yaml_page() -> str:
    """Return the reference of the analysis YAML, from the models that check it."""
    lines = [
        "# The analysis YAML",
        "",
        "All keys, generated from the models that check the YAML. With `extends: FILE` an analysis starts from another one, in",
        "the same folder or in the package: its mappings are merged with the other's, `null` removes a key, and every other",
        'value replaces the other\'s. Where the text says "not given", `null` means the same.',
        "",
    ]
    return "\n".join(lines + _sections({config.Analysis: "Top level"}))


def cards_page() -> str:
    """Return the reference of model cards, from the models that check them."""
    lines = [
        "# Model cards",
        "",
        "All keys of the YAML beside an ONNX model, generated from the models that check it. `kind` says what the model reads;",
        "without it, `constituents`. [Scores](../scoring.md#other-models) explains both kinds.",
        "",
    ]
    roots = {ModelCard: "A model of constituents", ColumnCard: "A model of columns of the jet"}
    return "\n".join(lines + _sections(roots))


def _sections(roots: dict[Any, str]) -> list[str]:
    """Return a section for each model and for all models inside of it, under the titles of the first."""
    lines: list[str] = []
    seen: list[type[BaseModel]] = list(roots)
    for model in seen:
        summary, attributes = _of_docstring(model)
        lines += [f"## {roots.get(model, model.__name__)}", "", summary, ""]
        rows = []
        for name, field in model.model_fields.items():
            if field.exclude:
                continue
            seen += [m for m in dict.fromkeys(_models(field.annotation)) if m not in seen]
            key = field.alias or name
            text = _text(field.description) or attributes.get(name, "")
            rows.append((f"`{key}`", _type(field.annotation), _default(field), text))
        lines += _table(("key", "type", "default", ""), rows)
    return lines


def _of_docstring(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """Return the text of a model's docstring, and what it says of its attributes, with those of its bases."""
    inherited: dict[str, str] = {}
    for base in model.__mro__[1:]:
        if base is not BaseModel and isinstance(base, type) and issubclass(base, BaseModel):
            inherited = _of_docstring(base)[1] | inherited
    text, _, attributes = inspect.cleandoc(model.__doc__ or "").partition("\nAttributes:\n")
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE)
    return _marked(text), inherited | {name: _marked(words) for name, words in found}


def _marked(words: str) -> str:
    """Return a docstring's text as Markdown."""
    return _text(words).replace("``", "`")


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models(part)]


def _type(annotation: Any) -> str:
    """Return a type as a user of YAML thinks of it."""
    if annotation is type(None):
        return ""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(parts[0])
    if origin is typing.Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (tuple, list):
        inner = [_type(part) for part in parts if part is not Ellipsis]
        return f"list of {inner[0]}" if Ellipsis in parts or len(inner) == 1 else f"[{', '.join(inner)}]"
    if origin in (dict, typing.Mapping):
        return f"{_type(parts[0])}: {_type(parts[1])}"
    if parts:
        return " or ".join(word for word in map(_type, parts) if word)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return {str: "text", float: "number", int: "whole number", bool: "true, false", typing.Any: "anything"}.get(
        annotation, getattr(annotation, "__name__", str(annotation))
    )


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "needed"
    if value is None or isinstance(value, BaseModel) or value in ((), {}, ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{', '.join(map(str, value)) if isinstance(value, tuple) else value}`"


# ---- Markdown --------------------------------------------------------------------------------------------------------


def _text(words: str | None) -> str:
    return html.escape(" ".join((words or "").split()), quote=False)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    lines = [head, tuple("---" for _ in head), *rows]
    return [*("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines), ""]


if __name__ == "__main__":
    for file, text in list(texts()):
        file.write_text(text, encoding="utf-8")
