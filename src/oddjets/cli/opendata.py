"""The verbs `fetch` and `fileset`: official correction files and samples of the CERN Open Data portal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from oddjets.cli import completion
from oddjets.core import resources
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError, nearest

__all__ = ["fetch", "fileset"]

#: the catalogue of samples, and the era that it is of: 2016postVFP under its earlier name
OFFICIAL_ERA = "2016UL"


def fetch(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="An era, files of it, or both (default: all files of the 2016 era); with --list also samples and records.",
            autocompletion=completion.official_names,
        ),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List the files and samples, and what a sample needs; download nothing.")
    ] = False,
) -> None:
    """Download the official correction files into the cache (folder $ODDJETS_CACHE) and check them."""
    from oddjets.core.files import sha256_of
    from oddjets.corrections import lookups
    from oddjets.corrections.official_files import fetch as download

    era_name, *files = names or [OFFICIAL_ERA]
    if listing:
        _list_available(names or [])
        return
    try:
        era, folder = lookups.load_era(era_name, Path.cwd())
    except InputFileError:
        # no era of this name: files of the official one
        files = list(names or [])
        era, folder = lookups.load_era(OFFICIAL_ERA)
        if era_name not in era.files:
            official = [name for name, file in era.files.items() if file.official]
            raise OddjetsError(
                f"{_no_era(era_name)}; and era '{era.name}' has no official file '{era_name}'; {nearest(era_name, official)}"
            ) from None
    for name, path, new in download(era, folder, files):
        console.print(f"{name}: {'downloaded to' if new else 'already in'} {escape(str(path))}")
        if not era.files[name].checked:
            console.print(
                f"{name}: [bold yellow]not checked[/bold yellow]: era '{era.name}' knows no sha256 of this file; it has"
                f" {sha256_of(path)}: compare it with the publisher's, and put it into the era's YAML"
            )


def _no_era(name: str) -> str:
    return f"no era '{name}'; eras: {', '.join(resources.available_yamls('corrections'))}"


def _list_available(names: list[str]) -> None:
    """Print the official files of an era, with the samples where there is a catalogue, or what single samples need."""
    from rich.table import Column, Table

    from oddjets.corrections import lookups
    from oddjets.io.opendata import describe_sample, find_sample, load_catalogue

    samples = load_catalogue(OFFICIAL_ERA)
    asked = names[0] if len(names) == 1 else OFFICIAL_ERA
    try:
        era, folder = lookups.load_era(asked, Path.cwd())
    except InputFileError:
        era = None
    if era is None or len(names) > 1:
        for name in names:
            try:
                found = find_sample(samples, name)
            except OddjetsError as error:
                raise OddjetsError(f"{_no_era(name)}; and {error}") from None
            for line in describe_sample(samples, found):
                console.print(escape(line), highlight=False)
        return
    files = Table(
        "file", "in the cache", "checked", Column("source", overflow="fold"), title=f"official files of {era.name}"
    )
    for name, file in era.files.items():
        there = lookups.locate(era, folder, name).is_file()
        files.add_row(name, "yes" if there else "no", "by sha256" if file.checked else "not checked", file.source)
    if era.name != lookups.load_era(OFFICIAL_ERA)[0].name:
        console.print(files)
        return
    table = Table("sample", "process", "cross section [pb]", "records", title=f"samples of {samples.era} on the portal")
    for name, sample in samples.samples.items():
        records = ", ".join(f"{tier} {record}" for tier, record in sample.records.items())
        section = "data" if sample.is_data else f"{sample.cross_section_pb:g}"
        table.add_row(name, sample.process, section, records)
    console.print(files)
    console.print(table)
    console.print("`oddjets fetch --list NAME` shows what a sample needs; NAME can also be a record's number")


def fileset(
    indices: Annotated[
        list[str], typer.Argument(metavar="SAMPLE=INDEX.json...", help="Samples, each with a file index of the portal.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Fileset to write.")] = Path("fileset.json"),
    catalogue: Annotated[
        str, typer.Option("--catalogue", help="Catalogue of samples, datasets/NAME.yaml.")
    ] = OFFICIAL_ERA,
    process: Annotated[
        list[str] | None,
        typer.Option(
            "--process", metavar="SAMPLE=PROCESS", help="Process of a sample that no catalogue has; repeatable."
        ),
    ] = None,
    cross_section: Annotated[
        list[str] | None,
        typer.Option("--cross-section", metavar="SAMPLE=PB", help="Cross section of such a sample in pb; repeatable."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="SAMPLE", help="Sample of data that no catalogue has; repeatable."),
    ] = None,
    luminosity: Annotated[
        list[str] | None,
        typer.Option("--luminosity", metavar="SAMPLE=1/PB", help="Luminosity of such data in 1/pb; repeatable."),
    ] = None,
    era: Annotated[
        str | None, typer.Option("--era", help="Era of samples that no catalogue has (default: the catalogue's).")
    ] = None,
) -> None:
    """Make a fileset from lists of files, with the catalogue's cross sections, or those that are given."""
    from oddjets.core.files import write_json
    from oddjets.io.fileset import load_fileset
    from oddjets.io.opendata import OwnSamples, load_catalogue, make_fileset

    if out.is_dir():
        raise OddjetsError(f"--out: {out} is a folder; give a file, such as {out / 'fileset.json'}")
    if not out.parent.is_dir():
        raise OddjetsError(f"--out: {out.parent}: no such folder; make it first")
    given: dict[str, list[Path]] = {}
    for word in indices:
        name, equals, path = word.partition("=")
        if not (name.strip() and equals and path):
            raise OddjetsError(f"'{word}' is not of the form SAMPLE=INDEX.json")
        given.setdefault(name, []).append(Path(path))
    own = OwnSamples(
        era,
        _by_sample("--process", process),
        {
            name: _positive("--cross-section", name, number)
            for name, number in _by_sample("--cross-section", cross_section).items()
        },
        {
            name: _positive("--luminosity", name, number)
            for name, number in _by_sample("--luminosity", luminosity).items()
        },
        tuple(data or ()),
    )
    content = make_fileset(load_catalogue(catalogue, Path.cwd()), given, own)
    # written also where samples overlap: the file is where a 'generator_cut' can be added
    write_json(out, content)
    datasets = load_fileset(out)
    console.print(
        f"{escape(str(out))}: {sum(len(d.files) for d in datasets.values())} files of {len(datasets)} samples"
    )


def _by_sample(option: str, words: list[str] | None) -> dict[str, str]:
    """Return what an option says of each sample."""
    found: dict[str, str] = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise OddjetsError(f"{option}: '{word}' is not of the form SAMPLE=VALUE")
        if name in found:
            raise OddjetsError(f"{option}: '{name}' is given twice")
        found[name] = value
    return found


def _positive(option: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise OddjetsError(f"{option}: {name}={text}: must be a number above zero")
    return value
