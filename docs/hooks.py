"""What mkdocs needs beside the pages: formulas as MathML, executed notebooks, the reference of commands and of the YAML."""

from __future__ import annotations

import html
import importlib.util
import re
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import latex2mathml.converter
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from typer.main import get_command

from oddjets.cli.main import app
from oddjets.config import analysis as config

__all__ = ["commands_page", "on_files", "on_page_content", "on_page_markdown", "yaml_page"]

_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    """Turn formulas into MathML, which browsers draw by themselves."""

    def mathml(match: re.Match[str]) -> str:
        display = "block" if match[2] == "[" else "inline"
        return latex2mathml.converter.convert(html.unescape(match[3]).strip(), display=display)

    return _FORMULA.sub(mathml, content)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are generated."""
    files.append(File.generated(config, "reference/commands.md", content=commands_page()))
    files.append(File.generated(config, "reference/yaml.md", content=yaml_page()))
    notebooks = _notebook_pages()
    for name in notebooks.NOTEBOOKS:
        page = notebooks.page_of(name, notebooks.executed(name))
        files.append(File.generated(config, f"notebooks/{name}.md", content=page))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links to notebooks lead to their pages, but for a page's own, which is there to be taken along."""
    return re.sub(r"\[(?!\w+\.ipynb\])([^\]]*)\]\(([\w/.]+)\.ipynb\)", r"[\1](\2.md)", markdown)


def _notebook_pages() -> ModuleType:
    """The module beside this one; mkdocs loads hooks by their files."""
    spec = importlib.util.spec_from_file_location("notebook_pages", Path(__file__).with_name("notebook_pages.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    seen: list[type[BaseModel]] = [config.Analysis]
    for model in seen:
        place = "Top level" if model is config.Analysis else model.__name__
        lines += [f"## {place}", "", _text(model.__doc__), ""]
        rows = []
        for name, field in model.model_fields.items():
            if field.exclude:
                continue
            seen += [m for m in dict.fromkeys(_models(field.annotation)) if m not in seen]
            key = field.alias or name
            rows.append((f"`{key}`", _type(field.annotation), _default(field), _text(field.description)))
        lines += _table(("key", "type", "default", ""), rows)
    return "\n".join(lines)


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
