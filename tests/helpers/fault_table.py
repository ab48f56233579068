"""The table of faults in docs/faults.md, from the tests: `python tests/helpers/fault_table.py` writes it.

A test that injects a fault has a mark: ``@pytest.mark.fault("name of the fault", "what oddjets does, in a sentence")``. The
marks are read from the text of the tests, so that the table is the same however few of them run.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["NAMES", "PAGE", "Fault", "faults", "table"]

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "faults.md"

#: faults that must have a test, in the order of the table; tests may add others
NAMES = (
    "Worker killed in the middle of a chunk",
    "Scheduler gone",
    "Client killed and restarted",
    "Disk full while writing Parquet",
    "Output directory read-only",
    "Output half written",
    "Manifest truncated",
    "Two runs on one directory",
    "File truncated at 10, 50, 99 %",
    "Corrupt basket",
    "Tree missing",
    "Branch missing in one of many files",
    "File replaced between two runs (same name)",
    "Empty file",
    "Zero passing events",
    "The same file listed twice",
    "Duplicate events across files",
    "Server refusing",
    "Server hanging",
    "Server dying mid-read",
    "Wrong checksum on a download",
    "Correction file missing",
    "Model file replaced",
    "NaN from the model",
    "GPU asked for and absent",
    "Processor raising on one event",
    "Processor changed between runs",
    "Clock skew",
    "Non-UTF-8 and space in paths",
    "Symlinked inputs",
    "A YAML bomb",
    "An npz with a pickle",
    "A model card with `../`",
)

_HEAD = """# Faults

This page lists, for users who must rely on a result, what can go wrong and what oddjets does then. In every row a test
causes the fault and checks the behaviour: no event is lost or counted twice, and the message is clear.

`python tests/helpers/fault_table.py` writes this page from the marks `fault` of the tests. A test checks that they agree.
"""


class Fault(NamedTuple):
    """A fault that a test injects.

    Attributes:
        name: of the fault, for people.
        promise: what oddjets does.
        test: ``FILE::FUNCTION``, from the folder of the tests.
    """

    name: str
    promise: str
    test: str


@functools.cache
def faults() -> tuple[Fault, ...]:
    """Return the faults that tests inject: those of `NAMES` first, then the others by name."""
    found = [fault for path in TESTS.rglob("test_*.py") for fault in _faults_of(path)]
    place = {name: i for i, name in enumerate(NAMES)}
    return tuple(sorted(found, key=lambda fault: (place.get(fault.name, len(NAMES)), fault.name, fault.test)))


def _faults_of(path: Path) -> Iterator[Fault]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef):
            continue
        for mark in node.decorator_list:
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                name, promise = (ast.literal_eval(argument) for argument in mark.args)
                yield Fault(name, promise, f"{path.relative_to(TESTS).as_posix()}::{node.name}")


def table() -> str:
    """Return the page."""
    found = faults()
    names = {fault.name for fault in found}
    rows = [f"| {fault.name} | {fault.promise} | `{fault.test}` |" for fault in found]
    lines = (
        _HEAD,
        f"{len(names)} faults, {len(found)} tests.\n",
        "| fault | what oddjets does | test |",
        "|---|---|---|",
    )
    return "\n".join((*lines, *rows)) + "\n"


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
