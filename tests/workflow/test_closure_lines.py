"""What the stage `closure` says of each region, on a terminal and in a notebook."""

from __future__ import annotations

from typing import Any

import pytest

from oddjets.workflow.stages import closure


def part(value: float | None, used: tuple[bool, ...]) -> dict[str, Any]:
    """A constant at two efficiencies and at the working point."""
    numbers = [value if value is not None and use else None for use in used]
    return {"values": numbers, "errors": [0.1, 0.1], "used": used, "value": value, "error": 0.05}


FOUND = {
    "efficiencies": [0.002, 0.1],
    "working_point": 0.01,
    "notes": ["there is no simulation of 'qcd'"],
    "sources": {"structural": "simulation", "correlation": "simulation"},
    "regions": {
        "SR": {
            "kind": "product",
            "verdict": "closes",
            "structural": part(1.25, (False, True)),
            "correlation": part(0.5, (False, True)),
            "advice": {"treatment": None},
        },
        "VR": {
            "kind": "union",
            "cells": ["both", "leading"],
            "structural": part(None, (False, False)),
            "advice": {"treatment": "structural", "why": "it is a union"},
        },
    },
}


def test_a_notebook_gets_a_line_a_region() -> None:
    assert closure.region_lines(FOUND) == [
        "there is no simulation of 'qcd'",
        "SR (product): closes; at 1 %: c structural 1.250 ± 0.050, c correlation 0.500 ± 0.050",
        "VR (union of both, leading): inconclusive; too few events; abcd: structural is advised",
    ]


@pytest.mark.parametrize(("notebook", "lines"), [(True, 3), (False, 9)])
def test_the_closure_is_printed_at_once(notebook: bool, lines: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a notebook each print is an output of its own."""
    said: list[str] = []
    monkeypatch.setattr(closure.console, "is_jupyter", notebook)
    monkeypatch.setattr(closure.console, "print", said.append)
    closure._show(FOUND)
    (text,) = said
    assert len(text.splitlines()) == lines
    assert ("0.2 % -" in text) != notebook
