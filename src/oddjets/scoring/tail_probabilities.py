"""Tail probabilities of scores in data: the maps that combinations of scores are made with.

They are found from the jets of all events of data, of all eras together, that pass the base selection with nominal jets: both
jets of an event, each for itself. Weights of simulation are not used, since no simulated event takes part. One score is read
at a time, so that memory grows with the jets of data alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.combinations import combinations_of
from oddjets.config.selection import Score
from oddjets.core.errors import OddjetsError
from oddjets.io import event_table
from oddjets.io.combined_scores import FEW_JETS, Combination, CombinedScores, TailProbability, bin_numbers
from oddjets.io.event_table import JETS, Columns

__all__ = ["combine_scores", "missing_scores"]


def combine_scores(
    scores: Mapping[str, Score], folder: Path, data: Mapping[str, int]
) -> tuple[CombinedScores, dict[str, dict[str, Any]]]:
    """Find the tail probabilities in data that the combinations of an analysis need.

    Args:
        scores: of the analysis, by name; at least one is a combination.
        folder: ``out/events``, without the file of combinations or with an old one.
        data: dataset of data -> rows of its event table.

    Returns:
        The maps, and combination -> what the manifest says of it: ``how``, ``of``, ``weights`` if it has any, ``jets`` (of
        data), and of a flat one ``bins``, how many, and ``few_jets``, those with fewer than `FEW_JETS` jets of data.

    Raises:
        OddjetsError: no jets of data, a component with the same value for all of them, or a bin without any.
        InputFileError: an event table is damaged, or has no column of a component.
    """
    combinations = {
        name: Combination(
            name,
            how,
            members,
            {} if (flat_in := scores[name].flat_in) is None else flat_in.edges,
            scores[name].weights or (),
        )
        for name, (how, members) in combinations_of(scores).items()
    }
    tails: dict[str, TailProbability] = {}
    flat: dict[str, tuple[TailProbability, ...]] = {}
    made: dict[str, dict[str, Any]] = {}
    for name, combination in combinations.items():
        for component in combination.components:
            if component not in tails:
                known = CombinedScores({n: c for n, c in combinations.items() if n in made}, tails, flat)
                tails[component] = _tail(name, component, _scores_of_data(known, component, folder, data))
        known = CombinedScores({n: c for n, c in combinations.items() if n in made or n == name}, tails, flat)
        made[name] = {
            "how": combination.how,
            "of": list(combination.components),
            **({"weights": list(combination.weights)} if combination.weights else {}),
            "jets": tails[combination.components[0]].n,
        }
        if combination.edges:
            values, bins = _joined_of_data(known, name, folder, data)
            flat[name] = _flat(combination, values, bins)
            # no counts: those of data in bins of mass, less what is shown of B, C and D, would be those in A
            made[name]["bins"] = len(flat[name])
            made[name]["few_jets"] = [
                combination.bin_name(number) for number, found in enumerate(flat[name]) if found.n < FEW_JETS
            ]
    return CombinedScores(combinations, tails, flat), made


def _scores_of_data(
    known: CombinedScores, score: str, folder: Path, data: Mapping[str, int]
) -> npt.NDArray[np.float64]:
    """Return a score of all jets of data, of a combination its negative combined probability, in any order, shape (n,)."""
    found = np.empty(2 * sum(data.values()))
    n = 0
    columns = [f"score_{score}_{j}" for j in JETS]
    wanted = known.inputs(columns) if score in known.combinations else columns
    for table in _tables(folder, data, wanted):
        for j in JETS:
            # the maps of a combination are of its probability, which is the same on every machine
            values = -known.probability(table, score, j) if score in known.combinations else table[f"score_{score}_{j}"]
            found[n : n + len(values)] = values
            n += len(values)
    return found[:n]


def _joined_of_data(
    known: CombinedScores, name: str, folder: Path, data: Mapping[str, int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int32]]:
    """Return the negative combined probability of all jets of data before it is made flat, and the bins of these jets."""
    rows = 2 * sum(data.values())
    found, bins = np.empty(rows), np.empty(rows, np.int32)
    n = 0
    edges = known.combinations[name].edges
    for table in _tables(folder, data, known.inputs(f"score_{name}_{j}" for j in JETS)):
        for j in JETS:
            values = known.before_flat(table, name, j)
            here = slice(n, n + len(values))
            found[here] = -values
            bins[here] = bin_numbers(edges, {quantity: table[f"{quantity}_{j}"] for quantity in edges})
            n += len(values)
    return found[:n], bins[:n]


def _tables(folder: Path, data: Mapping[str, int], columns: Sequence[str]) -> Iterator[Columns]:
    """Yield columns of the nominal events of data."""
    for dataset in data:
        if event_table.parts(folder, dataset):
            for table in event_table.stream(folder, dataset, [*columns, "passes_nominal"]):
                passed = table["passes_nominal"].astype(bool)
                yield {name: values[passed] for name, values in table.items()}


def _tail(name: str, component: str, values: npt.NDArray[np.float64]) -> TailProbability:
    if not len(values):
        raise OddjetsError(
            f"scores.{name}: is made of tail probabilities in data, and no event of data passes the base selection; add data,"
            " or take the score out of the analysis"
        )
    found = TailProbability.from_scores(values)
    if len(found.values) == 1:
        value = found.values[0]
        what = f"the value {value:g}" if np.isfinite(value) else "no number as its value"
        raise OddjetsError(
            f"scores.{name}: its component '{component}' has {what} for all {found.n} jets of data, and so ranks none of them;"
            f" take it out of '{name}', or look at what it is made of"
        )
    return found


def _flat(
    combination: Combination, values: npt.NDArray[np.float64], bins: npt.NDArray[np.int32]
) -> tuple[TailProbability, ...]:
    counts = np.bincount(bins, minlength=combination.n_bins)
    if empty := [combination.bin_name(int(number)) for number in np.flatnonzero(counts == 0)]:
        more = f", and in {len(empty) - 1} more bins" if len(empty) > 1 else ""
        raise OddjetsError(
            f"scores.{combination.name}.flat_in: no jet of data in the bin of {empty[0]}{more}; join it with another one, by"
            " leaving an edge out"
        )
    return tuple(TailProbability.from_scores(values[bins == number]) for number in range(combination.n_bins))


def missing_scores(scores: Mapping[str, Score], folder: Path, datasets: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return dataset -> component of combinations -> how many jets have no number as its value, where there are any.

    Args:
        scores: of the analysis, by name.
        folder: ``out/events``.
        datasets: which.

    Raises:
        InputFileError: as `oddjets.io.event_table.stream`.
    """
    combined = combinations_of(scores)
    of_their_own = dict.fromkeys(c for _, members in combined.values() for c in members if c not in combined)
    columns = {f"score_{component}_{j}": component for component in of_their_own for j in JETS}
    found: dict[str, dict[str, int]] = {}
    for dataset in datasets:
        if not event_table.parts(folder, dataset):
            continue
        for table in event_table.stream(folder, dataset, list(columns)):
            for column, component in columns.items():
                if missing := int(np.count_nonzero(np.isnan(table[column]))):
                    counts = found.setdefault(dataset, {})
                    counts[component] = counts.get(component, 0) + missing
    return found
