"""Every message that the FAQ quotes is still one of the program's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from helpers.pages import DOCS, REPOSITORY

#: stands for what a message fills in
FILLED = "…"


def texts(tree: ast.Module) -> Iterator[str]:
    """The strings of a module but its docstrings; what f-strings fill in is left open."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(v.value) if isinstance(v, ast.Constant) else FILLED for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.fixture(scope="module")
def messages() -> list[str]:
    """All that the program may say."""
    sources = sorted((REPOSITORY / "src").rglob("*.py"))
    return [text for path in sources for text in texts(ast.parse(path.read_text(encoding="utf-8"))) if " " in text]


def quoted() -> list[str]:
    """The first cells of the FAQ's tables."""
    text = (DOCS / "faq.md").read_text(encoding="utf-8")
    # a message that has backticks of its own stands between two of them
    cells = re.findall(r"^\| (``? ?)(.*?)(?: ``|`) \|", text, re.MULTILINE)
    return [message for _, message in cells]


def test_the_faq_has_messages():
    assert len(quoted()) > 60
    assert len(set(quoted())) == len(quoted())


@pytest.mark.parametrize("message", quoted())
def test_a_quoted_message_is_the_programs(message, messages):
    pattern = re.compile(".*".join(re.escape(part) for part in message.split(FILLED)), re.DOTALL)
    assert sum(len(part) for part in message.split(FILLED)) > 8
    assert any(pattern.search(text) for text in messages)
