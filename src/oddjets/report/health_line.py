"""One line of the report's table of health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["HealthCheck", "Status"]

Status = Literal["good", "watch", "bad", "absent"]


@dataclass(frozen=True)
class HealthCheck:
    """One line of the health table.

    Attributes:
        name: what is checked.
        status: ``good``, ``watch``, ``bad``, or ``absent`` where its stage has not run.
        value: the number or verdict.
        note: what it means.
        file: where the number is, relative to the output directory.
        key: and under which key.
        table: anchor of the report's table that has all of it.
    """

    name: str
    status: Status
    value: str
    note: str = ""
    file: str = ""
    key: str = ""
    table: str = ""
