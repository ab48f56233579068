"""What a long piece of work says where nobody sees a bar."""

import pytest

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
    tracker = console.Tracker("work", 2.0, None)
    for _ in range(20):
        clock[0] += seconds_a_step
        tracker.advance(0.1)
    lines = capfd.readouterr().err.splitlines()
    if isinstance(said[0], int):
        lines = [int(line.split()[1]) for line in lines]
    assert lines == said
