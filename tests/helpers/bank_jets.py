"""Single jets of the shipped bank of simulated events, with scores of the shipped model."""

from __future__ import annotations

from functools import cache

import numpy as np

from oddjets.core.resources import find
from oddjets.study.bank import Bank

Columns = dict[str, np.ndarray]


@cache
def bank_of(process: str) -> Columns:
    """Return the events whose two jets have more than 450 GeV and 60 GeV, with ``weight``, those expected for 1 /pb."""
    tables = list(Bank.open(find("bank.parquet", "datasets")).tables(process))
    names = [f"{name}_{j}" for name in ("pt", "mass", "score_omnilearned") for j in (1, 2)]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in [*names, "weight"]}
    good = (columns["pt_2"] > 450) & (columns["mass_1"] > 60) & (columns["mass_2"] > 60)
    return {name: values[good] for name, values in columns.items()}


def drawn(processes: tuple[str, ...], luminosity: float, seed: int) -> Columns:
    """Return the jets of events that are there as often as a Poisson number of their weight says.

    Args:
        processes: of the bank.
        luminosity: /pb.
        seed: of the numbers.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {"pt": [], "mass": [], "score_omnilearned": []}
    for events in map(bank_of, processes):
        rows = np.repeat(np.arange(len(events["weight"])), rng.poisson(events["weight"] * luminosity))
        for name, values in parts.items():
            values += [events[f"{name}_{j}"][rows] for j in (1, 2)]
    return {name: np.concatenate(values) for name, values in parts.items()}
