"""A HEPData submission: tables, pictures and files as hepdata_lib writes them, checked by hepdata-validator."""

from __future__ import annotations

import contextlib
import math
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from PIL import Image

from oddjets.core.errors import OddjetsError
from oddjets.core.optional_imports import require
from oddjets.report.record.tables import Error, RecordTable, Variable

__all__ = ["DIGITS", "NOTHING", "Resource", "Submission", "validation_errors", "write_submission"]

#: significant digits of the numbers in tables
DIGITS = 7
#: stands for what is no number, as HEPData's own tables have it: YAML could hold NaN and infinity, HEPData's JSON could not
NOTHING = "-"
#: pixels of a thumbnail, at most
_THUMBNAIL = (240, 180)
#: characters that HEPData allows where a table says what it is of
_LONGEST_LOCATION = 256
#: bytes of a file that HEPData takes
_LARGEST_FILE = 100_000_000


@dataclass(frozen=True)
class Resource:
    """A file that belongs to the whole record.

    Attributes:
        file: where it is; its name is the one in the record.
        description: a sentence.
        kind: HEPData's word for files that it shows as analyses, such as ``HistFactory``; "": none.
    """

    file: Path
    description: str
    kind: str = ""


@dataclass(frozen=True)
class Submission:
    """All that a submission has.

    Attributes:
        comment: of the whole record.
        tables: in order; names as HEPData takes them.
        resources: files of the whole record.
        pictures: figure -> its PNG.
        qualifiers: of every dependent variable: name -> value, unit.
        keywords: of every table, by the kinds that HEPData knows.
    """

    comment: str
    tables: Sequence[RecordTable]
    resources: Sequence[Resource]
    pictures: Mapping[str, Path] = field(default_factory=dict)
    qualifiers: Mapping[str, tuple[float | str, str]] = field(default_factory=dict)
    keywords: Mapping[str, Sequence[str | float]] = field(default_factory=dict)


def write_submission(folder: Path, submission: Submission) -> None:
    """Write a submission into an empty folder, and check it.

    The same submission has the same bytes: nothing in it is of this moment or this machine.

    Raises:
        OddjetsError: the extra ``hepdata`` is not installed, a file is larger than HEPData takes, or hepdata-validator refuses
            what was written.
    """
    library = require("hepdata_lib", "hepdata")
    made = library.Submission()
    made.comment = submission.comment
    for resource in submission.resources:
        if (size := resource.file.stat().st_size) > _LARGEST_FILE:
            raise OddjetsError(
                f"{resource.file.name}: has {size / 1e6:.0f} MB, and HEPData takes files up to {_LARGEST_FILE / 1e6:.0f} MB"
            )
        made.add_additional_resource(
            resource.description, str(resource.file.resolve()), copy_file=True, file_type=resource.kind or None
        )
    shown: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="oddjets_") as beside:
        for table in submission.tables:
            one = _table(library, table, submission)
            # the first table of a figure has its picture
            if table.figure in submission.pictures and table.figure not in shown:
                shown.add(table.figure)
                _add_picture(one, submission.pictures[table.figure].resolve(), table.figure, Path(beside))
            made.add_table(one)
        # the library leaves an archive with the time of day in the working directory; in another one, paths must be absolute
        to = str(folder.resolve())
        with contextlib.chdir(beside):
            made.create_files(to, validate=False)
    if problems := validation_errors(folder):
        raise OddjetsError(
            f"hepdata-validator refuses what was written, so nothing is published: {'; '.join(problems[:5])}"
            + (f" ({len(problems)} in all)" if len(problems) > 5 else "")
        )


def validation_errors(folder: Path) -> list[str]:
    """Return what hepdata-validator, without a network, has against a submission; nothing if it is valid."""
    validator = require("hepdata_validator.full_submission_validator", "hepdata").FullSubmissionValidator(
        autoload_remote_schemas=False
    )
    with warnings.catch_warnings():
        # hepdata-validator 0.3.6 closes no file
        warnings.simplefilter("ignore", ResourceWarning)
        validator.validate(directory=str(folder))
    return [
        f"{Path(file).name}: {message.message}"
        for file, messages in validator.get_messages().items()
        for message in messages
    ]


def _add_picture(table: Any, picture: Path, name: str, folder: Path) -> None:
    """Add a picture and its thumbnail to a table; the library itself needs ImageMagick for that."""
    thumbnail = folder / f"thumb_{name}.png"
    with Image.open(picture) as image:
        small = image.convert("RGB")
        small.thumbnail(_THUMBNAIL)
        small.save(thumbnail, "png", optimize=True)
    table.add_additional_resource("Image file", str(picture), copy_file=True)
    table.add_additional_resource("Thumbnail image file", str(thumbnail), copy_file=True)


def _table(library: ModuleType, table: RecordTable, submission: Submission) -> Any:
    made = library.Table(table.name)
    made.description = table.description
    made.location = f"Figure {table.figure}"[:_LONGEST_LOCATION] if table.figure else "Results of the analysis"
    made.keywords = {name: list(values) for name, values in submission.keywords.items()}
    for variable in table.axes:
        made.add_variable(_variable(library, variable, independent=True))
    for variable in table.variables:
        one = _variable(library, variable, independent=False)
        for name, (value, unit) in submission.qualifiers.items():
            one.add_qualifier(name, value, unit)
        for name, value in variable.qualifiers.items():
            one.add_qualifier(name, value)
        made.add_variable(one)
    return made


def _variable(library: ModuleType, variable: Variable, *, independent: bool) -> Any:
    values = list(variable.values)
    bins = bool(values) and all(isinstance(value, tuple) and all(map(math.isfinite, value)) for value in values)
    made = library.Variable(
        variable.name,
        is_independent=independent,
        is_binned=bins,
        units=variable.unit,
        values=values if bins else [_plain(value) for value in values],
        zero_uncertainties_warning=False,
    )
    made.digits = DIGITS
    for name, errors in variable.errors.items():
        known = [error if made.values[i] != NOTHING else None for i, error in enumerate(errors)]
        # of an error that no value has, nothing is written
        if any(part for error in known for part in _parts(error)):
            made.add_uncertainty(_uncertainty(library, name, known))
    return made


def _plain(value: float | str | tuple[float, float] | None) -> float | str:
    """Return a value as a table holds it."""
    if isinstance(value, tuple):
        # a bin without an end; HEPData takes no 'low-high' in words
        return f"[{value[0]:g}, {value[1]:g})"
    if isinstance(value, str):
        return value
    return value if value is not None and math.isfinite(value) else NOTHING


def _uncertainty(library: ModuleType, name: str, errors: Sequence[Error]) -> Any:
    symmetric = not any(isinstance(error, tuple) for error in errors)
    made = library.Uncertainty(name, is_symmetric=symmetric)
    if symmetric:
        made.values = [next(iter(_parts(error)), 0.0) for error in errors]
    else:
        made.values = [(0.0 - down, up) for down, up in (_both(error) for error in errors)]
    return made


def _parts(error: Error) -> Iterator[float]:
    for part in error if isinstance(error, tuple) else (error,):
        yield part if part is not None and math.isfinite(part) else 0.0


def _both(error: Error) -> tuple[float, float]:
    down, *up = _parts(error)
    return down, (up[0] if up else down)
