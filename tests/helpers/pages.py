"""The pages of the documentation and their code blocks: sybil finds the blocks, this runs them.

* ``python``: run, all of a page in one namespace;
* ``yaml``: an analysis, or keys laid over ``demo.yaml``; checked as `oddjets validate` does;
* ``console``: commands, one a line, each of which must succeed;
* ``json``: parsed. ``text`` is no code.

A python, yaml or json block whose first line is a comment with a file's name becomes that file. All of a page run in
order in one folder. A comment before a block says why it cannot run: ``<!-- skip: next "needs a GPU" -->``.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest import SkipTest

import yaml
from sybil import Document, Example
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.workflow import validation

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"

#: the first line of a block that is a file
_FILE = re.compile(r"^(?:#|//) ([\w./]+\.(?:py|yaml|json|txt))\n")


#: pages that lie where people and GitHub look for them, not in docs/
AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def pages() -> list[str]:
    """All pages, and those at the repository's top."""
    return [*sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")), *(f"../{name}" for name in AT_THE_TOP)]


def text_of(page: str) -> str:
    """The Markdown of a page."""
    return (DOCS / page).read_text(encoding="utf-8")


def examples(page: str, folder: Path) -> list[Example]:
    """The code blocks of a page, to be run in a folder."""
    evaluators: dict[str, Callable[[Example], None]] = {
        "python": lambda example: _python(example, folder),
        "yaml": lambda example: _yaml(example, folder),
        "json": lambda example: _json(example, folder),
        "console": lambda example: _console(example, folder),
    }
    parsers = [SkipParser(), *(CodeBlockParser(language, run) for language, run in evaluators.items())]
    return list(Document.parse(str(DOCS / page), *parsers).examples())


def run_page(page: str, folder: Path) -> None:
    """Run the blocks of a page in order, but for those that are marked as not to be run."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        for example in examples(page, folder):
            with suppress(SkipTest):
                example.evaluate()
    finally:
        os.chdir(here)


def _written(example: Example, folder: Path) -> Path | None:
    """Write a block that names its file; return where."""
    name = _FILE.match(example.parsed)
    if name is None:
        return None
    file = folder / name[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    # a comment is no JSON
    file.write_text(example.parsed[name.end() :] if file.suffix in (".json", ".txt") else example.parsed)
    return file


def _python(example: Example, folder: Path) -> None:
    if _written(example, folder) is None:
        PythonEvaluator()(example)


def _json(example: Example, folder: Path) -> None:
    file = _written(example, folder)
    json.loads(file.read_text() if file is not None else example.parsed)


def _yaml(example: Example, folder: Path) -> None:
    file = _written(example, folder)
    content = yaml.safe_load(example.parsed)
    # no analysis, or an era: what refers to it checks it
    if file is not None and (not {"extends", "regions"} & set(content) or {"corrections", "files"} & set(content)):
        return
    if file is None:
        file = folder / "fragment.yaml"
        file.write_text(yaml.safe_dump({"extends": "demo.yaml", **content}))
    validation.resolve(load_analysis(file))


def _console(example: Example, folder: Path) -> None:
    """Run lines of `oddjets` alone in this process, which has imported it already, and all else by bash."""
    lines = example.parsed.replace("\\\n", " ").splitlines()
    if all(line.startswith("oddjets ") and not set(line) & set('|>&;$`"') for line in lines):
        for line in lines:
            words = shlex.split(line, comments=True)[1:]
            done = CliRunner().invoke(app, words)
            # `status` says by its code 1 that not all is done
            assert done.exit_code <= (words[0] == "status"), (
                f"{example.path}, line {example.line}: {line}\n{done.output}\n{done.exception!r}"
            )
        return
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    bash = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.parsed],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert bash.returncode == 0, f"{example.path}, line {example.line}: {bash.stdout}\n{bash.stderr}"
