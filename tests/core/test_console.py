"""What a long piece of work says where nobody sees a bar."""

import io
import signal

import pytest
from rich.table import Table

from oddjets.core import console
from oddjets.core.interrupts import interruptible
from oddjets.core.tables import text_table


@pytest.mark.parametrize(
    ("seconds_a_step", "said"),
    [
        (0.1, ["work: 100 %, 2 s elapsed"]),
        (
            3.0,
            [
                *(f"work: {10 * i} %, {6 * i} s elapsed, about {60 - 6 * i} s left" for i in range(1, 10)),
                "work: 100 %, 60 s elapsed",
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


def test_two_threads_that_are_quiet_for_a_while_leave_the_console_as_it_was():
    """Each in turn: the first one ends before the second, which began in the silence of the first."""
    assert not console.console.quiet
    first, second = console.quiet(), console.quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert console.console.quiet
    second.__exit__(None, None, None)
    assert not console.console.quiet
    with console.quiet(), console.quiet(False):
        assert console.console.quiet


def test_a_cell_of_several_lines_is_one_line_of_a_table():
    assert text_table(("a", "b"), [("one\ntwo", "x"), ("1", "y")]).splitlines() == [
        "a        b",
        "one two  x",
        "1        y",
    ]


def test_a_signal_handler_that_is_not_pythons_is_left_alone(monkeypatch):
    """As ROOT has one: `getsignal` gives None, which nobody could put back."""
    real, put = signal.signal, []
    monkeypatch.setattr(
        signal, "getsignal", lambda number: None if number == signal.SIGTERM else signal.default_int_handler
    )
    monkeypatch.setattr(signal, "signal", lambda number, handler: put.append(number) or real(number, handler))
    with interruptible():
        pass
    assert put == [signal.SIGINT, signal.SIGINT]
