"""What a long piece of work says where nobody sees a bar."""

import io

import pytest
from rich.table import Table

from oddjets.core import console


@pytest.mark.parametrize(
    ("seconds_a_step", "said"),
    [
        (0.1, ["work: 100 %, 2 s gone"]),
        (
            3.0,
            [
                *(f"work: {10 * i} %, {6 * i} s gone, about {60 - 6 * i} s left" for i in range(1, 10)),
                "work: 100 %, 60 s gone",
            ],
        ),
        (400.0, [5 * i for i in range(1, 21)]),
    ],
    ids=["no flood", "a line a tenth", "no silence"],
)
def test_plain_lines_are_neither_a_flood_nor_a_silence(monkeypatch, capfd, seconds_a_step, said):
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    tracker = console.ProgressReporter("work", 2.0, None)
    for _ in range(20):
        clock[0] += seconds_a_step
        tracker.advance(0.1)
    lines = capfd.readouterr().err.splitlines()
    if isinstance(said[0], int):
        lines = [int(line.split()[1]) for line in lines]
    assert lines == said


LONG = "/a folder/" + "deep/" * 60 + "a file.root"


@pytest.mark.parametrize("columns", ["20", "80", None])
def test_what_is_no_terminal_has_no_width(monkeypatch, capfd, columns):
    """A path that is broken over two lines cannot be copied, nor found by a program that reads the log."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    console.console.print(f"error: {LONG}: no such file")
    console.console.print(f"[bold]{LONG}[/bold]", "and more")
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("process", LONG)
    console.console.print(table)
    said = capfd.readouterr().err.splitlines()
    assert said == [f"error: {LONG}: no such file", f"{LONG} and more", f"process  {LONG}"]


def test_a_terminal_breaks_the_lines_itself(monkeypatch):
    """Its own breaks are not copied with a path."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "40")
    shown = type(console.console)(file=Terminal(), force_terminal=True, color_system=None)
    shown.print(f"error: {LONG}: no such file")
    assert shown.file.getvalue() == f"error: {LONG}: no such file\n"
    assert shown.width == 40
