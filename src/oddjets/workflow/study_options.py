"""The options of a study of null experiments: which go together, the bank that they name, and how a study records them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oddjets.core import resources
from oddjets.core.errors import InputFileError, OddjetsError, nearest
from oddjets.study import null, single_jets

__all__ = ["Options", "find_bank", "recorded", "refuse_odd", "replaced", "require_luminosity"]


@dataclass(frozen=True)
class Options:
    """The options of a study.

    Attributes:
        source: what experiments are drawn from: of events, or of single jets (`oddjets.study.single_jets.SOURCES`).
        experiments: how many.
        tail: for importance sampling; None: as many; toys have none.
        seed: of all random numbers.
        workers: processes.
        bank: a file of `make_bank`; None: the events of the folder.
        luminosity: of an experiment, /pb; None: the analysis's.
        limit: whether limits are found.
        truths: whether other values of nuisance parameters and of c are tried.
        toys: of each experiment, for its p by toys; 0: none.
        bootstrap: whether each experiment has templates of its own.
    """

    source: null.Source | single_jets.Source = "independent"
    experiments: int = 1000
    tail: int | None = None
    seed: int = 1
    workers: int = 1
    bank: Path | None = None
    luminosity: float | None = None
    limit: bool = True
    truths: bool = True
    toys: int = 0
    bootstrap: bool = False


def require_luminosity(luminosity: float | None) -> None:
    """Refuse a luminosity of experiments that is none, /pb; None is that of the analysis.

    Raises:
        OddjetsError: it is not above 0 and finite.
    """
    if luminosity is not None and not (luminosity > 0 and np.isfinite(luminosity)):
        raise OddjetsError(f"--luminosity: must be above 0 and finite, in 1/pb (got {luminosity:g})")


def refuse_odd(options: Options) -> None:
    """Refuse options that mean nothing for a source, since they would be ignored, and impossible ones.

    Raises:
        OddjetsError: an unknown source, an option without a meaning, or a luminosity that is none.
    """
    known = (*null.SOURCES, *single_jets.SOURCES)
    if options.source not in known:
        raise OddjetsError(f"--source: no source '{options.source}'; {nearest(options.source, known)}")
    require_luminosity(options.luminosity)
    own = {
        "toys": "toys are of the fitted model, at the luminosity of its data",
        "control": "the experiments of 'control' are a tenth of the folder's data below the threshold",
    }.get(str(options.source))
    if of_jets := options.source in single_jets.SOURCES:
        own = "experiments of single jets are as large as the data, and fit no signal"
    if own is None:
        return
    given = {"--bank": options.bank, "--luminosity": options.luminosity}
    if options.source == "toys" or of_jets:
        # 0 asks for what toys do anyway
        given["--tail"] = options.tail or None
        given["--bootstrap"] = options.bootstrap or None
    if of_jets:
        given["--toys"] = options.toys or None
        given["--no-limit"] = None if options.limit else True
        given["--nominal-only"] = None if options.truths else True
    for name, value in given.items():
        if value is not None:
            raise OddjetsError(f"{name}: has no meaning with --source {options.source}: {own}; leave it out")


def find_bank(bank: Path) -> Path:
    """Return the file of a bank: a path, or the name of one that comes along.

    Raises:
        InputFileError: a folder, or no such file; the message has the banks that come along, and no other files.
    """
    if bank.is_dir():
        raise InputFileError(f"--bank: {bank} is a folder; give the file of a bank")
    try:
        return resources.find(str(bank), "datasets")
    except InputFileError:
        near = nearest(str(bank), (name for name in resources.available("datasets") if name.endswith(".parquet")))
    raise InputFileError(f"--bank: no file '{bank}' here or among the banks of the package; {near}")


def recorded(options: Options) -> dict[str, Any]:
    """Return what decides the result of a study, for its file; the number of workers does not."""
    found = asdict(options) | {"bank": None if options.bank is None else options.bank.name}
    return {name: value for name, value in found.items() if name != "workers"}


def replaced(before: Mapping[str, Any], options: Options) -> str | None:
    """Return what to say of a study that is about to be replaced by one with other options; None where there is nothing.

    Args:
        before: the content of its file; empty: there is none.
        options: of the new one.
    """
    old, new = before.get("options"), recorded(options)
    if not before or old == new:
        return None
    if not isinstance(old, dict):
        return f"the study of {before.get('experiments')} experiments that was there is replaced"
    differing = [f"{name} {old.get(name)}, now {value}" for name, value in new.items() if old.get(name) != value]
    return (
        f"the study that was there is replaced ({'; '.join(differing)}); its experiments are kept, so the same command has it"
        " again in little time"
    )
