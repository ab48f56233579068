"""Messages for the command line, reworded for Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from oddjets.core.errors import OddjetsError
from oddjets.workflow.pipeline import STAGES

__all__ = ["in_words_of_python", "worded_for_python"]

_COMMAND = re.compile(rf"(run )?`oddjets (run|inspect|{'|'.join(STAGES)})(?: ANALYSIS\.yaml)?( --unblind| --force)?`")
_PHRASES = (
    ("with --out", "as 'output'"),
    ("--unblind", "unblind=True"),
    ("--debug shows where", "the traceback shows where"),
    ("he same command", "he same call"),
)


def in_words_of_python(message: str) -> str:
    """Return a message with the calls of `Run` in place of commands and options.

    Commands that no method stands for, as ``oddjets fetch``, stay.

    Examples:
        >>> in_words_of_python("out: no histograms here; run `oddjets histogram` first")
        "out: no histograms here; call run.up_to('histogram') first"
    """
    message = _COMMAND.sub(_call, message)
    for words, replacement in _PHRASES:
        message = message.replace(words, replacement)
    return message


def _call(found: re.Match[str]) -> str:
    verb, stage, option = found.groups()
    force = ", force=True" if option == " --force" else ""
    call = f"run.{stage}()" if stage in ("run", "inspect") else f"run.up_to('{stage}'{force})"
    return f"{'call ' if verb else ''}{call}{' with unblind=True' if option == ' --unblind' else ''}"


@contextmanager
def worded_for_python() -> Iterator[None]:
    """Let errors leave the block in the words of Python."""
    try:
        yield
    except OddjetsError as error:
        error.args = (in_words_of_python(str(error)), *error.args[1:])
        raise
