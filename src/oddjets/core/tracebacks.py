"""The place in the user's own code where an exception was raised."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

__all__ = ["user_line"]

#: folders of code that is not the user's: this package, Python's own library, installed packages
_NOT_THE_USERS = (
    Path(__file__).resolve().parent.parent,
    *(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")),
)


def user_line(error: BaseException) -> str:
    """Return ``mine.py, line 12``: the last line of the user's code on the way to an exception; "" if there is none.

    Args:
        error: as caught by the code that called the user's; what called that is not looked at.
    """
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename)
        if file.name.startswith("<"):
            continue
        # a processor's file is compiled from its text, under its bare name
        if not file.is_absolute() or not any(file.resolve().is_relative_to(folder) for folder in _NOT_THE_USERS):
            return f"{file.name}, line {line}"
    return ""
