"""Docstrings say what a thing is, or what a function does, in the form that Python programmers expect.

Ruff checks the layout, and D401 the mood of verbs that it knows. It knows neither nouns nor questions.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import oddjets

PACKAGE = Path(oddjets.__file__).parent
#: first words of a riddle in place of a name
QUESTIONS = {"How", "What", "When", "Where", "Whether", "Which", "Who", "Why"}
#: first words of a noun phrase, or of a sentence about something else
NOT_VERBS = QUESTIONS | {
    *(
        "A",
        "All",
        "An",
        "As",
        "Both",
        "Each",
        "Every",
        "From",
        "In",
        "It",
        "No",
        "Nothing",
        "Of",
        "On",
        "One",
        "Our",
        "Some",
    ),
    *("That", "The", "Their", "These", "This", "Two"),
}

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def is_property(node: ast.AST) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ()))


def first_words(kinds: tuple[type[Documented], ...]) -> Iterator[tuple[str, str]]:
    """Place and first word of the docstrings of some kinds of things; properties are none of them."""
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, kinds) and not is_property(node) and (text := ast.get_docstring(node)):
                yield f"{name}:{getattr(node, 'name', '')}", text.split()[0].rstrip(":,;.")


def test_docstrings_of_modules_and_classes_name_them_and_ask_no_riddle() -> None:
    riddles = {place: word for place, word in first_words((ast.Module, ast.ClassDef)) if word in QUESTIONS}
    assert not riddles


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    nouns = {
        place: word
        for place, word in first_words((ast.FunctionDef, ast.AsyncFunctionDef))
        if word in NOT_VERBS or not word.isalpha() or not word[0].isupper() or word.endswith("ing")
    }
    assert not nouns
