"""Samples of the CERN Open Data portal, and filesets from the portal's file indices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from oddjets.config.yaml import ConfigError, describe_errors, read_yaml
from oddjets.core import resources
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.io.fileset import DatasetMetadata

__all__ = ["Catalogue", "OwnSamples", "Sample", "describe_sample", "find_sample", "load_catalogue", "make_fileset"]

Tier = Literal["pfnano", "miniaod", "nanoaod"]

RECORD_URL = "https://opendata.cern.ch/record/{}"

#: what can be done with a record of each kind
_TIER_TEXT: Mapping[str, str] = {
    "pfnano": "ready to be processed",
    "miniaod": "PFNano has to be made from it (docs/pfnano.md)",
    "nanoaod": "no PF candidates: scores from branches only, trigger efficiency",
}


class Sample(BaseModel):
    """One sample of the portal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    process: str
    is_data: bool = False
    records: dict[Tier, int]
    doi: str = ""
    cross_section_pb: float | None = Field(default=None, gt=0)
    cross_section_source: str = ""
    weights: tuple[str, ...] = ()
    overlap_group: str | None = None
    events: int | None = Field(default=None, gt=0)
    note: str = ""


class Catalogue(BaseModel):
    """The samples of an era."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    era: str
    samples: dict[str, Sample]


def load_catalogue(name: str, beside: Path | None = None) -> Catalogue:
    """Read ``datasets/<name>.yaml``.

    Raises:
        OddjetsError: no such catalogue, or an error in it.
    """
    file = resources.find(name, "datasets", beside, suffixes=(".yaml",))
    try:
        return Catalogue.model_validate(read_yaml(file))
    except ValidationError as error:
        raise ConfigError(f"{file}:\n" + "\n".join(f"  {line}" for line in describe_errors(error, Catalogue))) from None


def find_sample(catalogue: Catalogue, name: str) -> str:
    """Return the name of the sample that a name, a record's number or a dataset's name means.

    Raises:
        OddjetsError: there is none; the message has the nearest.
    """
    for known, sample in catalogue.samples.items():
        if name in (known, sample.dataset, *(str(record) for record in sample.records.values())):
            return known
    records = [str(r) for sample in catalogue.samples.values() for r in sample.records.values()]
    raise OddjetsError(
        f"catalogue '{catalogue.era}' has no sample or record '{name}'; {nearest(name, [*catalogue.samples, *records])}"
    )


def describe_sample(catalogue: Catalogue, name: str) -> list[str]:
    """Say in lines what a sample is, where its records are, and what has to be done with each.

    Args:
        catalogue: has the sample.
        name: from `find_sample`.
    """
    sample = catalogue.samples[name]
    lines = [f"{name}: {sample.dataset} (process {sample.process})"]
    if sample.cross_section_pb is not None:
        lines.append(f"  cross section {sample.cross_section_pb:g} pb: {sample.cross_section_source}")
    if sample.weights:
        lines.append(f"  weights: {', '.join(sample.weights)}")
    if sample.overlap_group is not None:
        group, _, own = sample.overlap_group.partition(":")
        others = [
            other
            for other, s in catalogue.samples.items()
            if s.overlap_group is not None
            and s.overlap_group.partition(":")[0] == group
            and s.overlap_group.partition(":")[2] != own
        ]
        lines.append(f"  same events as in: {', '.join(others)}")
    if sample.events is not None:
        lines.append(f"  events: {sample.events:,}".replace(",", " "))
    for tier, record in sample.records.items():
        lines.append(f"  {tier}: {RECORD_URL.format(record)} - {_TIER_TEXT[tier]}")
    if sample.note:
        lines.append(f"  {sample.note}")
    best = next(tier for tier in _TIER_TEXT if tier in sample.records)
    lines.append(
        f"  then: save the file index (JSON) of record {sample.records[best]}, or list your own files, and run"
        f" `oddjets fileset {name}=INDEX.json`"
    )
    return lines


def read_index(path: Path) -> list[str]:
    """Return the files that an index of the portal lists, in its order.

    Args:
        path: JSON, a list of entries with ``uri``, as the portal's ``*_file_index.json``; or a text with one a line, and
            comments in lines that begin with #.

    Raises:
        InputFileError: missing, of another format, or a file twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputFileError(f"{path}: no such file index ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputFileError(
            f"{path}: is no text; give a file index of the portal, or a text with a file a line"
        ) from None
    if path.suffix == ".json":
        try:
            files = [str(entry["uri"]) for entry in json.loads(text)]
        except (ValueError, TypeError, KeyError):
            raise InputFileError(f"{path}: no file index of the portal: a JSON list of entries with 'uri'") from None
    else:
        files = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    twice = sorted({file for file in files if files.count(file) > 1}) if len(set(files)) < len(files) else []
    if not files or twice:
        raise InputFileError(f"{path}: {f'{twice[0]} is listed twice' if twice else 'lists no file'}")
    return files


@dataclass(frozen=True)
class OwnSamples:
    """Process, cross section and so on of samples that no catalogue has, as the user gives them.

    Attributes:
        era: of them; None: the catalogue's.
        processes: sample to its process; data may be without.
        cross_sections_pb: simulated sample to its cross section, pb.
        luminosities_pb: sample of data to its integrated luminosity, /pb, where that is known.
        data: the samples of data.
    """

    era: str | None = None
    processes: Mapping[str, str] = field(default_factory=dict)
    cross_sections_pb: Mapping[str, float] = field(default_factory=dict)
    luminosities_pb: Mapping[str, float] = field(default_factory=dict)
    data: tuple[str, ...] = ()

    @property
    def named(self) -> dict[str, str]:
        """Sample to the first option that names it."""
        by_option = {
            "--process": self.processes,
            "--cross-section": self.cross_sections_pb,
            "--luminosity": self.luminosities_pb,
            "--data": self.data,
        }
        return {name: option for option, names in reversed(by_option.items()) for name in names}

    def metadata(self, name: str, catalogue: Catalogue) -> dict[str, Any]:
        """Return the metadata of a sample.

        Raises:
            OddjetsError: nothing is said of it, or not enough, or what contradicts itself.
        """
        era = self.era or catalogue.era
        if name not in self.named:
            try:
                find_sample(catalogue, name)
            except OddjetsError as error:
                raise OddjetsError(
                    f"{error}; of a sample of your own say --process {name}=PROCESS and --cross-section {name}=PB, or --data"
                    f" {name}"
                ) from None
        if name in self.data:
            wrong = "--cross-section" if name in self.cross_sections_pb else ""
            wrong = wrong or ("--process" if self.processes.get(name, "data") != "data" else "")
            if wrong:
                raise OddjetsError(f"{wrong}: '{name}' is data (--data), which has none")
            found: dict[str, Any] = {"process": "data", "is_data": True, "era": era}
            return found | ({"luminosity_pb": self.luminosities_pb[name]} if name in self.luminosities_pb else {})
        if name in self.luminosities_pb:
            raise OddjetsError(f"--luminosity: '{name}' is simulation; of data say --data {name}")
        lacking = [f"--process {name}=PROCESS"] if name not in self.processes else []
        lacking += [f"--cross-section {name}=PB"] if name not in self.cross_sections_pb else []
        if self.processes.get(name) == "data":
            raise OddjetsError(f"--process: '{name}' would be simulation of 'data'; of data say --data {name} alone")
        if lacking:
            raise OddjetsError(f"'{name}': no catalogue has it, so say {' and '.join(lacking)} too, or --data {name}")
        found = {"process": self.processes[name], "is_data": False, "era": era}
        source = "given to oddjets fileset"
        return found | {"cross_section_pb": self.cross_sections_pb[name], "cross_section_source": source}


def make_fileset(
    catalogue: Catalogue, indices: Mapping[str, list[Path]], own: OwnSamples | None = None
) -> dict[str, Any]:
    """Return a fileset, with the metadata that the catalogue has.

    Args:
        catalogue: knows the samples.
        indices: sample, record or dataset to the indices of its files; of one's own samples, any name.
        own: what is said of samples that the catalogue does not have.

    Raises:
        OddjetsError: an unknown sample of which nothing is said, one of which two things are said, or a broken index.
    """
    own = own or OwnSamples()
    known = {word for name, s in catalogue.samples.items() for word in (name, s.dataset, *map(str, s.records.values()))}
    for name, option in own.named.items():
        if name not in indices:
            raise OddjetsError(f"{option}: no sample '{name}' is given; {nearest(name, indices)}")
        if name in known:
            raise OddjetsError(f"{option}: catalogue '{catalogue.era}' has '{name}' and says this; give another name")
    fileset: dict[str, Any] = {}
    for given, paths in indices.items():
        if given not in known:
            metadata_of_own = own.metadata(given, catalogue)
            fileset[given] = {
                "files": [file for path in paths for file in read_index(path)],
                "metadata": metadata_of_own,
            }
            continue
        name = find_sample(catalogue, given)
        sample = catalogue.samples[name]
        metadata = DatasetMetadata(
            process=sample.process,
            is_data=sample.is_data,
            era=catalogue.era,
            cross_section_pb=sample.cross_section_pb,
            cross_section_source=sample.cross_section_source,
            weights=sample.weights,
            overlap_group=sample.overlap_group,
            note=f"{sample.dataset} {sample.doi}".strip(),
        )
        fileset[name] = {
            "files": [file for path in paths for file in read_index(path)],
            "metadata": metadata.model_dump(mode="json", exclude_defaults=True),
        }
    return fileset
