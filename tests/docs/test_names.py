"""Modules and files of the repository that the pages and comments name are there."""

import re
from collections.abc import Iterator

import pytest
from helpers.pages import DOCS, REPOSITORY, pages, text_of

PACKAGE = REPOSITORY / "src" / "oddjets"
#: where names begin
ROOTS = (REPOSITORY, REPOSITORY / "src", PACKAGE, REPOSITORY / "tests", REPOSITORY / "processors")
#: files of others, and of the reader
FOREIGN = {"FILE.py", "mine.py", "haddnano.py", "text2workspace.py"}
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())


def named(text: str) -> Iterator[str]:
    """The modules that code spans name: `FILE.py`, or a path that begins with a room, as `stats/inference`."""
    for span in re.findall(r"`([^`\n]+)`", text):
        yield from re.findall(r"[\w/-]+\.py\b", span)
        if re.fullmatch(rf"(?:oddjets[./])?(?:{'|'.join(ROOMS)})(?:/\w+)+", span):
            yield span


def exists(name: str) -> bool:
    """Whether a file or a folder of this name is in the repository."""
    return any((root / name).exists() or (root / f"{name}.py").exists() for root in ROOTS)


@pytest.mark.parametrize("page", pages())
def test_the_modules_that_a_page_names_exist(page: str) -> None:
    text = text_of(page)
    made_there = set(re.findall(r"^# (\w+\.py)$", text, re.MULTILINE))
    assert not [name for name in named(text) if not exists(name) and name not in FOREIGN | made_there]


def defined(name: str) -> bool:
    """Whether a dotted name is a module, or stands in the module or the room before its last dot."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    homes = (path.parent.with_suffix(".py"), path.parent / "__init__.py", path.parent / "__init__.pyi")
    word = re.compile(rf"\b{path.name}\b")
    return any(home.is_file() and word.search(home.read_text(encoding="utf-8")) for home in homes)


def test_dotted_names_of_the_package_exist() -> None:
    files = [*DOCS.rglob("*.md"), REPOSITORY / "README.md", *PACKAGE.rglob("*.py"), *REPOSITORY.glob("benchmarks/*.py")]
    names = {
        (path.name, name)
        for path in files
        for name in re.findall(r"(?<![\w./-])oddjets(?:\.\w+)+", path.read_text(encoding="utf-8"))
    }
    assert len(names) > 100
    assert not [
        found for found in names if not defined(found[1]) and not found[1].endswith((".py", ".yaml", ".def", ".sif"))
    ]
