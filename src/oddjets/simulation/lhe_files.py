"""Les Houches event files: what stands in front of the events, and whether all events are there.

Pythia reads the events. It ends without a word where a file does, and knows the sums of weights at the end only: so the file is
read once before. The format: J. Alwall et al., hep-ph/0609017.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oddjets.core.errors import InputFileError
from oddjets.simulation.weight_sums import WeightSums, add_up

__all__ = ["EVENTS_PER_BLOCK", "LheFile", "read_lhe"]

#: events that are simulated together, on one core; some minutes
EVENTS_PER_BLOCK = 5000
_END = "</LesHouchesEvents>"
#: IDWTUP: events have weights of +1 or -1 (3), or weights whose mean is the cross section (4); the others ask the reader to
#: unweight events, so that some of them would be lost on the way
_STRATEGIES = (3, 4)
_PROTON = 2212
_NUMBERS_OF_BEAMS, _NUMBERS_OF_PROCESS, _NUMBERS_OF_EVENT = 10, 4, 6


@dataclass(frozen=True)
class LheFile:
    """The content of a Les Houches event file, as it says itself.

    Attributes:
        path: the file.
        beams: PDG codes of the two beams.
        energy_TeV: of both beams together.
        strategy: the file's IDWTUP, 3 or 4 with a sign: what weights mean.
        cross_section_pb: sum over its processes.
        cross_section_error_pb: statistical, of the generator.
        blocks: events and their weights, of `EVENTS_PER_BLOCK` events each; weights are +1 or -1 with strategy 3.
    """

    path: Path
    beams: tuple[int, int]
    energy_TeV: float
    strategy: int
    cross_section_pb: float
    cross_section_error_pb: float
    blocks: tuple[WeightSums, ...]


def read_lhe(path: Path) -> LheFile:
    """Read a Les Houches event file to its end, without keeping its events.

    Args:
        path: the file, ``.gz`` too.

    Raises:
        InputFileError: it is none, ends early, has other beams than protons, no events, no cross section, or weights that
            are none or that Pythia would unweight.
    """
    beams, processes = _init_of(path)
    if (int(beams[0]), int(beams[1])) != (_PROTON, _PROTON):
        raise InputFileError(
            f"{path}: its beams are {int(beams[0])} and {int(beams[1])} (IDBMUP), and the search is in collisions of protons"
            f" ({_PROTON}); give events of protons"
        )
    strategy = int(beams[8])
    if abs(strategy) not in _STRATEGIES:
        raise InputFileError(
            f"{path}: its weights are of strategy {strategy} (IDWTUP), which asks the reader to unweight events; write it with"
            " strategy 3 (unweighted) or 4 (weighted events), as MadGraph and POWHEG do"
        )
    given = _weights(path)
    blocks = add_up((math.copysign(1.0, w) for w in given) if abs(strategy) == 3 else given, EVENTS_PER_BLOCK, path)
    cross_section = sum(line[0] for line in processes)
    if not cross_section > 0:
        raise InputFileError(
            f"{path}: <init> states a cross section of {cross_section:g} pb (XSECUP), with which Pythia reads no events: write"
            " the generator's there, whatever --cross-section says"
        )
    return LheFile(
        path=path,
        beams=(int(beams[0]), int(beams[1])),
        energy_TeV=(beams[2] + beams[3]) / 1000,
        strategy=strategy,
        cross_section_pb=cross_section,
        cross_section_error_pb=math.hypot(*(line[1] for line in processes)),
        blocks=blocks,
    )


def _lines(path: Path) -> Iterator[str]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                yield line.decode("utf-8", errors="replace").strip()
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        raise InputFileError(f"{path}: cannot be read to its end ({error}); get it again", cause="truncated") from None


def _init_of(path: Path) -> tuple[list[float], list[list[float]]]:
    """Return the numbers of the beams, and of each process, from the block ``<init>``."""
    lines = _lines(path)
    if not next(lines, "").startswith("<LesHouchesEvents"):
        raise InputFileError(f"{path}: is no Les Houches event file: it does not begin with <LesHouchesEvents>")
    for line in lines:
        if line.startswith("<init"):
            break
        if line.startswith("<event"):
            raise InputFileError(f"{path}: has no block <init> before its events, so that nobody knows its beams")
    beams = _numbers(next(lines, ""), _NUMBERS_OF_BEAMS, path, "the beams in <init>")
    count = int(beams[9])
    return beams, [
        _numbers(next(lines, ""), _NUMBERS_OF_PROCESS, path, f"process {i + 1} in <init>") for i in range(count)
    ]


def _weights(path: Path) -> Iterator[float]:
    """Yield XWGTUP of each event, and refuse a file that ends before its end."""
    number, inside, ended = 0, False, False
    lines = _lines(path)
    for line in lines:
        if line.startswith("<event"):
            if inside:
                raise InputFileError(f"{path}: event {number} has no end; get the file again", cause="damaged")
            number, inside = number + 1, True
            weight = _numbers(next(lines, ""), _NUMBERS_OF_EVENT, path, f"event {number}")[2]
            if not math.isfinite(weight):
                raise InputFileError(f"{path}: event {number} has the weight {weight}")
            yield weight
        elif line.startswith("</event>"):
            inside = False
        elif line.startswith(_END):
            ended = True
    if inside or not ended:
        raise InputFileError(
            f"{path}: ends early, {'in' if inside else 'after'} event {number} and before {_END}: its cross section and sum of"
            " weights are those of more events; get the whole file",
            cause="truncated",
        )


def _numbers(line: str, count: int, path: Path, what: str) -> list[float]:
    """Return at least so many numbers of a line."""
    try:
        # Fortran writes 1.0D+00
        found = [float(word.replace("D", "e").replace("d", "e")) for word in line.split()[:count]]
    except ValueError:
        found = []
    if len(found) < count:
        raise InputFileError(
            f"{path}: {what} should have {count} numbers, and the line is '{line[:60]}': it is damaged or ends early; get the"
            " file again",
            cause="damaged",
        )
    return found
