"""Jets of Aspen Open Jets (`oddjets.io.aspen`): which are selected, their constituents and scores, and the pairs of an event.

A table of single jets has the columns of `JETS_HAVE` and the scores, one row a jet; the cuts ``jet_pt`` and ``jet_mass`` act on
each jet. A pair is made of the two jets of an event with the highest pT, within |eta|, as `DijetProcessor` makes it; all cuts
of the base selection act on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.core.kinematics import invariant_mass, offsets_from, pt_eta_phi
from oddjets.corrections.sections import SectionIntervals, in_intervals, sections_of
from oddjets.io import aspen
from oddjets.io.event_table import JETS, EventTable, dijet_mass
from oddjets.scoring.cache import ScoreCache
from oddjets.scoring.inputs import JetConstituents
from oddjets.scoring.scorer import Scorer
from oddjets.selection.chunk_counts import Inference
from oddjets.selection.constituents import drop_non_finite
from oddjets.selection.decorators import mask_of
from oddjets.selection.jet_scores import scores_of_columns, scores_of_models
from oddjets.selection.processor import NEGATIVE_MASS, DijetProcessor

__all__ = ["JETS_HAVE", "JET_CUTS", "AspenSelection", "ChunkOfJets", "constituents_of"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]
Mask = npt.NDArray[np.bool_]

#: what a jet has, besides scores; of a pair each with ``_1`` and ``_2``
JETS_HAVE = (*aspen.JET_COLUMNS, *aspen.TAG_COLUMNS, "tau21")
#: cuts of the base selection that act on single jets too
JET_CUTS = ("certified", "jet_pt", "jet_mass")
_MOMENTA = slice(0, 4)
#: GeV, squared the largest number of single precision: as good as infinite
_INFINITE = 1e19
#: of particles and charges; larger ones fit in no integer of 32 bits
_LARGEST_CODE = 1 << 31


class ChunkOfJets(NamedTuple):
    """The content of some rows of a file.

    Attributes:
        jets: columns of the selected jets, shape (jets,): those of `JETS_HAVE`, ``jet`` (the place in its event by pT, from 0),
            ``n_constituents`` that were scored, ``score_<score>`` and the other columns of models.
        events: columns of the event table; None where no pairs are asked for.
        counts: what is added up: ``entries`` (rows), ``events`` in them, ``jets_raw`` and ``raw`` (jets and events after each
            cut), ``n_minus_1``, ``input_anomalies``, ``inference`` and ``sections`` (their numbers).
    """

    jets: Columns
    events: Columns | None
    counts: dict[str, Any]


def constituents_of(candidates: Array, eta: Array, phi: Array, anomalies: Counter[str]) -> JetConstituents:
    """Return the constituents of jets, as those of PFNano.

    Args:
        candidates: rows of `PFCands`, shape (jets, 150, 11); a place without an energy is empty.
        eta: of the jets' axes, shape (jets,).
        phi: likewise.
        anomalies: constituents with numbers that are not finite are added.

    Returns:
        Momenta in double precision, computed from the stored components; the order is that of the file.
    """
    filled = candidates[:, :, 3] != 0
    found = candidates[filled]
    p = found[:, _MOMENTA].astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        pt, candidate_eta, candidate_phi = pt_eta_phi(p)
        mass = invariant_mass(p)
    rest: dict[str, Any] = dict(zip(aspen.CANDIDATE_COLUMNS[4:], found[:, 4:].T, strict=True))
    codes = [rest.pop(name) for name in ("pdg_id", "charge")]
    with np.errstate(invalid="ignore"):
        whole = np.all([np.abs(code) < _LARGEST_CODE for code in codes], axis=0)
    if not whole.all():
        # a code that is no number is no particle, and goes with those that have no momentum
        pt = np.where(whole, pt, np.nan)
        codes = [np.where(whole, code, 0) for code in codes]
    jets = JetConstituents(
        offsets=offsets_from(np.count_nonzero(filled, axis=1)),
        pt=pt,
        eta=candidate_eta,
        phi=candidate_phi,
        mass=mass,
        jet_eta=eta,
        jet_phi=phi,
        pdg_id=codes[0].astype(np.int32),
        charge=codes[1].astype(np.int32),
        **rest,
    )
    return drop_non_finite(jets, anomalies)


@dataclass(frozen=True)
class AspenSelection:
    """A selection of jets and pairs of jets, for rows of a file.

    Attributes:
        processor: has the cuts, the analysis and the scorers.
        pairs: whether events are made, too.
        certified: the golden JSON; None: the analysis has none.
    """

    processor: DijetProcessor
    pairs: bool
    certified: SectionIntervals | None

    @property
    def analysis(self) -> Analysis:
        """What was asked."""
        return self.processor.analysis

    def read(
        self,
        datasets: Mapping[str, Any],
        start: int,
        stop: int,
        left_out: Mapping[str, Array] | None = None,
        cache: ScoreCache | None = None,
    ) -> ChunkOfJets:
        """Read rows, select and score jets.

        Args:
            datasets: from `oddjets.io.aspen.open_datasets`.
            start: the first row; an event begins there.
            stop: one past the last.
            left_out: why to rows, numbers within the file, that are not selected for it; counted under this name.
            cache: where outputs of models are kept; None: nowhere.

        Raises:
            InputFileError: the rows cannot be read.
            OddjetsError: as `oddjets.selection.jet_scores.scores_of_models`.
        """
        anomalies: Counter[str] = Counter()
        columns = _columns(datasets, start, stop, anomalies)
        number = _numbers(columns)
        usable = self._usable(columns, number, anomalies)
        for name, rows in (left_out or {}).items():
            anomalies[name] += len(rows)
            usable[rows - start] = False
        selected, jets_raw = self._select(columns, usable)
        pairs, pair_columns, raw, n_minus_1 = self._pairs(columns, number, usable)
        scored = selected.copy()
        scored[pairs.ravel()] = True
        rows = np.flatnonzero(scored)
        inference: dict[str, Inference] = {}
        scores = self._scores(datasets, start, stop, rows, columns, cache, anomalies, inference)
        place = np.full(len(scored), -1)
        place[rows] = np.arange(len(rows))
        kept = np.flatnonzero(selected)
        jets = {name: values[kept] for name, values in columns.items()}
        jets |= {name: values[place[kept]] for name, values in scores.items()} | {"jet": _rank(columns, number)[kept]}
        if self.pairs:
            for j in JETS:
                pair_columns |= {f"{name}_{j}": values[place[pairs[:, j - 1]]] for name, values in scores.items()}
        counts = {
            "entries": stop - start,
            "events": int(number[-1]) + 1 if len(number) else 0,
            "jets_raw": jets_raw,
            "raw": raw,
            "n_minus_1": n_minus_1,
            "input_anomalies": {name: count for name, count in anomalies.items() if count},
            "inference": {
                name: {**{k: found[k] for k in ("computed", "from_cache")}, "providers": sorted(found["providers"])}
                for name, found in inference.items()
            },
            "sections": sections_of(columns["run"], columns["luminosityBlock"]).tolist(),
        }
        return ChunkOfJets(jets, pair_columns if self.pairs else None, counts)

    def _usable(self, columns: Columns, number: Array, anomalies: Counter[str]) -> Mask:
        """Return which jets can be selected at all, and count the others."""
        with np.errstate(invalid="ignore"):
            finite = np.all([np.abs(columns[name]) < _INFINITE for name in aspen.JET_COLUMNS], axis=0)
            positive = columns["pt"] > 0
            within = np.abs(columns["eta"]) < self.analysis.selection.jets.eta_max
        twice = _twice(columns, number)
        anomalies["jets_not_finite"] += int(np.count_nonzero(~finite))
        anomalies["jets_not_positive"] += int(np.count_nonzero(finite & ~positive))
        anomalies["jets_twice_in_an_event"] += int(np.count_nonzero(twice))
        return np.asarray(finite & positive & within & ~twice)

    def _certified(self, columns: Columns) -> Mask:
        if self.certified is None:
            return np.ones(len(columns["run"]), dtype=bool)
        return in_intervals(self.certified, columns["run"], columns["luminosityBlock"])

    def _select(self, columns: Columns, usable: Mask) -> tuple[Mask, list[int]]:
        """Return which jets go into the table of single jets, and how many are left after each cut (`JET_CUTS`)."""
        jets = self.analysis.selection.jets
        with np.errstate(invalid="ignore"):
            passed = {
                "certified": self._certified(columns),
                "jet_pt": columns["pt"] > jets.pt_min,
                "jet_mass": columns["mass"] > jets.mass_min,
            }
        selected, raw = usable.copy(), [len(usable), int(np.count_nonzero(usable))]
        for name in jet_cuts_of(self.analysis):
            selected &= passed[name]
            raw.append(int(np.count_nonzero(selected)))
        return selected, raw

    def _pairs(
        self, columns: Columns, number: Array, usable: Mask
    ) -> tuple[npt.NDArray[np.int64], Columns, list[int], list[list[float]]]:
        """Return the rows of the two jets of events that pass, their columns, the cutflow and the n-1 counts."""
        cuts = self.analysis.selection.cuts
        if not self.pairs:
            return np.empty((0, 2), np.int64), {}, [], []
        rows = np.flatnonzero(usable)
        rows = rows[np.lexsort((-columns["pt"][rows], number[rows]))]
        first = np.flatnonzero(np.diff(number[rows], prepend=-1) != 0)
        several = np.diff([*first, len(rows)]) > 1
        pairs = np.stack([rows[first[several]], rows[first[several] + 1]], axis=1)
        table = {name: columns[name][pairs[:, 0]] for name in aspen.EVENT_COLUMNS}
        table |= {f"{name}_{j}": columns[name][pairs[:, j - 1]] for j in JETS for name in JETS_HAVE}
        table["mjj"] = dijet_mass(table)
        table["weight"] = np.ones(len(pairs))
        if self.certified is not None:
            table["passes_certified"] = self._certified(columns)[pairs[:, 0]]
        view = EventTable(table)
        passed = [mask_of(name, getattr(self.processor, name)(view), view.size) for name in cuts]
        everything = np.ones(len(pairs), dtype=bool)
        kept = np.logical_and.reduce([everything, *passed])
        # events with one jet, or none within |eta|, are in the first number alone
        raw = [int(number[-1]) + 1 if len(number) else 0]
        raw += [int(np.logical_and.reduce([everything, *passed[: i + 1]]).sum()) for i in range(len(cuts))]
        without = [np.logical_and.reduce([everything, *passed[:i], *passed[i + 1 :]]).sum() for i in range(len(cuts))]
        table["passes_nominal"] = everything
        return (
            pairs[kept],
            {name: values[kept] for name, values in table.items()},
            raw,
            [[int(n), float(n)] for n in without],
        )

    def _scores(
        self,
        datasets: Mapping[str, Any],
        start: int,
        stop: int,
        rows: npt.NDArray[np.int64],
        columns: Columns,
        cache: ScoreCache | None,
        anomalies: Counter[str],
        inference: dict[str, Inference],
    ) -> Columns:
        """Return the scores of rows, and how many constituents each was scored with."""
        # the functions that score take pairs: every other row is a leading jet, and a last one without a partner gets an
        # empty jet
        odd = len(rows) % 2
        out: Columns = {}
        if self.processor.scorers:
            jets = None
            if len(rows):
                anomalies["jets_cut_in_the_file"] += int(
                    np.count_nonzero(columns["n_constituents_stored"][rows] > aspen.MOST_CONSTITUENTS)
                )
                candidates = datasets["PFCands"][start:stop]
                candidates = candidates if len(rows) == len(candidates) else candidates[rows]
                jets = constituents_of(candidates, columns["eta"][rows], columns["phi"][rows], anomalies)
                out["n_constituents"] = np.diff(jets.offsets)
                jets = replace(
                    jets,
                    offsets=np.pad(jets.offsets, (0, odd), mode="edge"),
                    jet_eta=np.pad(jets.jet_eta, (0, odd)),
                    jet_phi=np.pad(jets.jet_phi, (0, odd)),
                )
            else:
                out["n_constituents"] = np.empty(0, np.int64)
            scorers = {name: scorer for name, scorer in self.processor.scorers.items() if isinstance(scorer, Scorer)}
            out |= _singles(scores_of_models(self.analysis, scorers, jets, cache, anomalies, inference), len(rows))
            # a jet for each model that was not there
            anomalies["jets_without_constituents"] -= odd * len(inference)
        padded = np.append(rows, rows[-1:] if odd else rows[:0])
        known = {f"{name}_{j}": columns[name][padded[j - 1 :: 2]] for j in JETS for name in JETS_HAVE}
        return out | _singles(scores_of_columns(self.analysis, known, anomalies, last=True), len(rows))


def jet_cuts_of(analysis: Analysis) -> list[str]:
    """Return the cuts of the base selection that act on single jets, in its order."""
    return [name for name in dict.fromkeys(analysis.selection.cuts) if name in JET_CUTS]


def _columns(datasets: Mapping[str, Any], start: int, stop: int, anomalies: Counter[str]) -> Columns:
    """Read all of some rows but the constituents."""
    columns = _named(aspen.EVENT_COLUMNS, datasets["event_info"][start:stop])
    columns |= _named(aspen.JET_COLUMNS, datasets["jet_kinematics"][start:stop])
    tags = np.asarray(datasets["jet_tagging"][start:stop], np.float32)
    finite = np.isfinite(tags)
    anomalies["taggers_not_finite"] += int(np.count_nonzero(~finite.all(axis=1)))
    columns |= _named(aspen.TAG_COLUMNS, np.where(finite, tags, np.float32(np.nan)))
    for name in ("mass", "mass_ungroomed"):
        anomalies["negative_masses"] += int(np.count_nonzero(columns[name] < NEGATIVE_MASS))
        columns[name] = np.where(columns[name] < 0, 0, columns[name])
    tau1 = columns["tau1"]
    columns["tau21"] = np.divide(columns["tau2"], tau1, out=np.full_like(tau1, np.nan), where=tau1 > 0)
    return columns


def _named(names: Sequence[str], table: Any) -> Columns:
    return dict(zip(names, np.asarray(table).T, strict=True))


def _numbers(columns: Columns) -> npt.NDArray[np.int64]:
    """Return the number of each jet's event among those of the rows."""
    changes = np.any([np.diff(columns[name], prepend=columns[name][:1]) != 0 for name in aspen.EVENT_COLUMNS], axis=0)
    return np.cumsum(changes, dtype=np.int64)


def _by_pt(columns: Columns, number: Array) -> npt.NDArray[np.int64]:
    return np.lexsort((columns["phi"], columns["eta"], -columns["pt"], number))


def _twice(columns: Columns, number: Array) -> Mask:
    """Return the jets that are equal to one before them in their event."""
    order = np.lexsort((np.arange(len(number)), *(columns[name] for name in reversed(aspen.JET_COLUMNS)), number))
    values = [array[order] for array in (number, *(columns[name] for name in aspen.JET_COLUMNS))]
    same = np.all([array[1:] == array[:-1] for array in values], axis=0)
    twice = np.zeros(len(number), dtype=bool)
    twice[order[1:]] = same
    return twice


def _rank(columns: Columns, number: Array) -> npt.NDArray[np.int64]:
    """Return the place of each jet in its event by pT, from 0."""
    order = _by_pt(columns, number)
    rank = np.empty(len(number), np.int64)
    rank[order] = np.arange(len(number)) - np.searchsorted(number[order], number[order])
    return rank


def _singles(columns: Mapping[str, Array], rows: int) -> Columns:
    """Return columns of single jets, given those of pairs: jets 1 and 2 of the first pair, then of the next."""
    return {
        name[:-2]: np.stack([columns[f"{name[:-2]}_{j}"] for j in JETS], axis=1).ravel()[:rows]
        for name in columns
        if name.endswith("_1")
    }
