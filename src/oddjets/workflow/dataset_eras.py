"""The eras of datasets: each must be one of the analysis's, and none of these may lack what the others have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import eras_of
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import OddjetsError
from oddjets.corrections.lookups import load_era
from oddjets.io.fileset import Dataset

__all__ = ["dataset_problems", "match_eras"]


def match_eras(analysis: Analysis, datasets: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Check the eras of datasets; of an analysis of several eras, return datasets that name them as the analysis does.

    Args:
        analysis: its eras can be read.
        datasets: of its fileset.

    Raises:
        ConfigError: see `dataset_problems`; all at once.
    """
    if problems := list(dataset_problems(analysis, datasets)):
        where = analysis.path or analysis.name
        raise ConfigError(f"{where}: {len(problems)} error(s)\n" + "\n".join(f"  {line}" for line in problems))
    if isinstance(analysis.era, str):
        return dict(datasets)
    of_name = {_name_of(era, analysis.folder): era for era in eras_of(analysis)}
    return {
        name: replace(
            dataset,
            metadata=dataset.metadata.model_copy(
                update={"era": of_name[_name_of(dataset.metadata.era, analysis.folder)]}
            ),
        )
        for name, dataset in datasets.items()
    }


def dataset_problems(analysis: Analysis, datasets: Mapping[str, Dataset]) -> Iterator[str]:
    """List datasets of another era than the analysis's, and what one of several eras lacks that another has.

    Args:
        analysis: its eras can be read.
        datasets: of its fileset.
    """
    asked = eras_of(analysis)
    known = {_name_of(era, analysis.folder) for era in asked}
    words = f"era '{asked[0]}'" if len(asked) == 1 else f"eras {', '.join(asked)}"
    found: dict[str, set[str]] = {name: set() for name in known}
    for name, dataset in datasets.items():
        era = _name_of(dataset.metadata.era, analysis.folder)
        if era not in known:
            yield (
                f"fileset.{name}: is of era '{dataset.metadata.era}', and the analysis of {words}: its corrections and its"
                " luminosity would be those of other collisions; correct 'era' in the dataset's metadata or in the analysis, or"
                " leave the dataset out"
            )
        else:
            found[era].add("data" if dataset.metadata.is_data else f"process '{dataset.metadata.process}'")
    everything = set().union(*found.values())
    for era in asked if len(asked) > 1 else ():
        of_era = found[_name_of(era, analysis.folder)]
        for what in sorted(everything - of_era):
            other = next(other for other in asked if what in found[_name_of(other, analysis.folder)])
            yield (
                f"fileset: era '{era}' has no dataset of {what}, and {other} has one: the sum of eras would lack it;"
                " add the dataset, or leave the era out of 'era'"
            )


def _name_of(era: str, beside: Path) -> str:
    """Return the name that an era gives itself: that of an era under several file names."""
    try:
        return load_era(era, beside)[0].name
    except OddjetsError:
        return era
