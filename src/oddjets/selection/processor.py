"""The class `DijetProcessor`, the base class of analyses.

It reads a chunk of PFNano in stages (cheap branches first, PF candidates only of events that survive), applies the base
selection under the nominal and every varied jets, scores the pair and returns the event table. An analysis overrides one
of four hooks, or adds methods decorated as `cut` or `jet_variation`:

* `select_jets`: which AK8 jets may enter the pair;
* `count_leptons`: what vetoes an event;
* `event_columns`: further columns of the event table;
* `jet_columns`: further columns of each jet of the pair.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from coffea.analysis_tools import PackedSelection

from oddjets.config.analysis import Analysis
from oddjets.core.errors import Cause, InputFileError, OddjetsError
from oddjets.core.expressions import ExpressionError, MissingColumnError
from oddjets.corrections import jet_identification, lookups
from oddjets.corrections.systematics import variations_of
from oddjets.corrections.weights import ChunkColumns, event_weights, generator_weights_of
from oddjets.io import nanoaod_schema
from oddjets.io.event_table import JETS, EventTable, dijet_mass
from oddjets.io.fileset import DatasetMetadata
from oddjets.scoring.cache import ScoreCache
from oddjets.scoring.column_scorer import AnyScorer, MissingValueError
from oddjets.scoring.inputs import JetConstituents
from oddjets.scoring.scorer import Scorer
from oddjets.selection import constituents, jet_scores, objects
from oddjets.selection.certification import DataQuality
from oddjets.selection.chunk_counts import ChunkCounts, Inference, VariedScores
from oddjets.selection.coffea_interface import CoffeaInterface
from oddjets.selection.column_scores import column_scores, columns_of_models
from oddjets.selection.decorators import cut, mask_of
from oddjets.selection.jet_systematics import JetVariations
from oddjets.selection.needed_columns import columns_needed
from oddjets.selection.per_era import PerEra
from oddjets.selection.score_variations import ChunkPairs, varied_score_columns

__all__ = ["DijetProcessor"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: FatJet branches that become columns and that every file has: column stem -> branch
JET_BRANCHES = {
    "pt": "pt",
    "eta": "eta",
    "phi": "phi",
    "mass": "msoftdrop",
    "mass_ungroomed": "mass",
    "tau1": "tau1",
    "tau2": "tau2",
    "tau3": "tau3",
    "tau4": "tau4",
}
#: columns of taggers, whose branches `selection.taggers` names: NaN where another file has one and this has none, and an error
#: where a cut or an observable reads them
TAGGER_COLUMNS = ("btag", "xbb", "xqq", "xcc")
#: GeV; a mass between this and 0 is the rounding of a massless jet and not worth a word
NEGATIVE_MASS = -0.1


class DijetProcessor(PerEra, JetVariations, DataQuality, CoffeaInterface):
    """A processor that turns a chunk of PFNano into rows of the event table; in coffea's `Runner`, into histograms (`process`).

    Args:
        analysis: what was asked.
        era: its corrections; of several eras, those of the first, and `at_era` has the others.
        era_folder: where the era's relative paths start.
        scorers: score name to scorer, for the scores that have a model card.
        score_cache: the folder ``scores``; None: scores are not kept.
    """

    def __init__(
        self,
        analysis: Analysis,
        era: lookups.Era,
        era_folder: Path,
        scorers: Mapping[str, AnyScorer],
        score_cache: Path | None = None,
    ) -> None:
        self.analysis = analysis
        self.selection = analysis.selection
        self.parameters = analysis.selection.parameters
        self.era = era
        self.era_folder = era_folder
        self.scorers = dict(scorers)
        self.score_cache = score_cache

    # ---- the four hooks ------------------------------------------------------------------------------------------

    def select_jets(self, jets: Any) -> Any:
        """Return which AK8 jets may enter the pair, a jagged mask; pT is cut on later, since variations move it."""
        return objects.good_jets(jets, self.selection.jets)

    def count_leptons(self, events: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the numbers of muons and of electrons that veto an event, each of shape (events,)."""
        return (
            objects.count_leptons(events, "Muon", self.selection.muons),
            objects.count_leptons(events, "Electron", self.selection.electrons),
        )

    def event_columns(self, events: Any) -> dict[str, Array]:
        """Return further columns of the event table, each of shape (events,)."""
        return {}

    def jet_columns(self, jets: Any) -> dict[str, Any]:
        """Return further jagged quantities of the AK8 jets; those of the pair become columns ``name_1``, ``name_2``."""
        return {}

    # ---- the base selection's cuts -------------------------------------------------------------------------------

    @cut
    def trigger(self, table: EventTable) -> Mask:
        """Require that at least one of the trigger paths fired."""
        return np.asarray(np.any([table[f"trigger_{path}"] for path in self.selection.triggers], axis=0))

    @cut
    def event_filters(self, table: EventTable) -> Mask:
        """Require that all event filters passed."""
        return np.asarray(table["passes_filters"])

    @cut
    def two_jets(self, table: EventTable) -> Mask:
        """Require two AK8 jets within |eta|, with tight ID."""
        return np.asarray(np.isfinite(table["pt_2"]))

    @cut
    def jet_pt(self, table: EventTable) -> Mask:
        """Require both jets above the minimum pT."""
        return np.asarray(np.minimum(table["pt_1"], table["pt_2"]) > self.selection.jets.pt_min)

    @cut
    def jet_mass(self, table: EventTable) -> Mask:
        """Require both jets above the minimum soft-drop mass."""
        return np.asarray(np.minimum(table["mass_1"], table["mass_2"]) > self.selection.jets.mass_min)

    @cut
    def lepton_veto(self, table: EventTable) -> Mask:
        """Require no isolated muon and no electron."""
        return np.asarray((table["n_muons"] == 0) & (table["n_electrons"] == 0))

    # ---- the stages of a chunk -----------------------------------------------------------------------------------

    def table(self, events: Any) -> tuple[dict[str, Array], ChunkCounts]:
        """Turn a chunk into rows of the event table.

        Args:
            events: a chunk, as coffea's PFNano schema gives it; its metadata are a `DatasetMetadata`.

        Returns:
            Columns of the events that pass under the nominal or any varied jets, and the counts.

        Raises:
            InputFileError: a needed branch is missing, or a weight, or what a correction needs, is not finite.
        """
        try:
            return self._table(events)
        except (ExpressionError, lookups.NotFiniteError, MissingValueError) as error:
            # an expression and a correction know columns, and not the file that they are of
            cause: Cause | None = "missing branch" if isinstance(error, MissingColumnError) else None
            raise InputFileError(f"{nanoaod_schema.location_of(events)}: {error}", cause=cause) from error

    def _table(self, events: Any) -> tuple[dict[str, Array], ChunkCounts]:
        metadata = DatasetMetadata.model_validate(
            {k: v for k, v in events.metadata.items() if k in DatasetMetadata.model_fields}
        )
        variations = variations_of(self.analysis, metadata.process, is_data=metadata.is_data)
        anomalies: Counter[str] = Counter()
        columns, pair = self._event_columns(events, anomalies)
        generator = np.ones(len(events)) if metadata.is_data else generator_weights_of(events)
        _require_finite(events, columns, {"genWeight": generator})

        # varied jets only where there is a pair at all
        rows = np.flatnonzero(np.isfinite(columns["pt_2"]))
        candidates = {name: array[rows] for name, array in columns.items()}
        jet_kinds = [v for v in variations if v.kind == "jets"]
        if jet_kinds or ("jer" in self.analysis.jet_corrections and not metadata.is_data):
            anomalies["links_to_no_generator_jet"] += self._links_to_no_generator_jet(events, rows, pair[rows])
        varied = self._varied_jets(candidates, events, rows, pair[rows], jet_kinds)
        _require_finite(events, candidates, varied)
        candidates.update(varied)
        kept = self.passing(EventTable(candidates))
        candidates["passes_nominal"] = kept
        for variation in jet_kinds:
            kept = kept | self.passing(EventTable(candidates, variation.name))
        rows = rows[kept]
        columns_kept = {name: array[kept] for name, array in candidates.items()}

        inference: dict[str, Inference] = {}
        jets, cache = self._constituents(events, rows, pair[rows], columns_kept, anomalies)
        columns_kept.update(self._scores(jets, cache, columns_kept, anomalies, inference, metadata.is_data))
        columns_kept |= jet_scores.scores_of_columns(self.analysis, columns_kept, anomalies, last=True)
        varied_scores: dict[str, VariedScores] = {}
        pairs = ChunkPairs(events, rows, pair[rows])
        columns_kept |= varied_score_columns(
            self, pairs, jets, columns_kept, variations, cache, self._needed.keys(), varied_scores
        )
        chunk = ChunkColumns(columns_kept, events, rows)
        weights = event_weights(self.analysis, self.era, self.era_folder, chunk, generator[rows], variations, anomalies)
        _require_finite(events, columns_kept, weights)
        counts = self._count(columns, generator, anomalies)
        counts.inference, counts.varied_scores = inference, varied_scores
        counts.score_columns = jet_scores.values_of_columns(self.analysis, columns_kept)
        return columns_kept | weights, counts

    def _event_columns(self, events: Any, anomalies: Counter[str]) -> tuple[dict[str, Array], npt.NDArray[np.int64]]:
        """Read everything but PF candidates, for all events of the chunk; also the pair's positions in FatJet."""
        columns: dict[str, Array] = nanoaod_schema.identifiers(events)
        asked = self.analysis.named_cuts
        decisions = objects.trigger_decisions(
            events, self.selection.triggers, required="trigger" in asked or self._needs_trigger
        )
        absent = np.zeros(len(events), dtype=bool)
        if decisions:
            columns |= {f"trigger_{path}": decisions.get(path, absent) for path in self.selection.triggers}
        # also where an observable or another cut reads the column
        if {"event_filters", "passes_filters"} & {*asked, *self._needed} or nanoaod_schema.has(
            events, [f"Flag_{name}" for name in self.selection.filters]
        ):
            columns["passes_filters"] = objects.passes_filters(events, self.selection.filters)
        columns |= self.certified_events(events)
        jets = self.calibrated_jets(events)
        for branch in JET_BRANCHES.values():
            # a missing one is named here, before anything is computed
            nanoaod_schema.field(events, "FatJet", branch)
        if self.selection.jets.tight_id:
            eta_max = self.selection.jets.eta_max
            jets, computed = jet_identification.with_tight_id(events, jets, self.era, self.era_folder, eta_max)
            if computed:
                anomalies["jet_ids_not_stored"] += computed
        finite = objects.finite_jets(jets)
        anomalies["jets_not_finite"] += int(ak.sum(~finite))
        positive = jets.pt > 0
        anomalies["jets_not_positive"] += int(ak.sum(finite & ~positive))
        pair = objects.leading_pair(jets.pt, self.select_jets(jets) & finite & positive)
        further = self.jet_columns(jets)
        further |= {stem: jets[branch] for stem, branch in JET_BRANCHES.items()}
        further |= self._tagger_columns(events, jets, known=further) | objects.truth_columns(events, jets)
        for stem, values in further.items():
            taken = objects.take_pair(values, pair)
            if stem in ("mass", "mass_ungroomed"):
                anomalies["negative_masses"] += int(np.count_nonzero(taken < NEGATIVE_MASS))
            if stem in ("mass", "mass_ungroomed", "btag"):
                taken = np.where(taken < 0, 0.0, taken)  # b tag: negative values set to 0
            columns |= {f"{stem}_{j}": taken[:, j - 1] for j in JETS}
        columns["mjj"] = dijet_mass(columns)
        columns["n_muons"], columns["n_electrons"] = self.count_leptons(events)
        columns |= self.event_columns(events)
        for name, score in self.analysis.scores.items():
            if score.sources == ["branches"]:
                signal, background = (self._branches_of(names) for names in (score.signal, score.background))
                branches = {b: nanoaod_schema.field(events, "FatJet", b) for b in (*signal, *background)}
                values = {b: objects.take_pair(branch, pair).astype(np.float64) for b, branch in branches.items()}
                ratio = objects.score_of_branches(values, signal)
                anomalies["scores_not_finite"] += int(np.count_nonzero(np.isnan(ratio) & (pair >= 0)))
                columns |= {f"score_{name}_{j}": np.nan_to_num(ratio[:, j - 1]) for j in JETS}
        # a column that comes with the models' output is one later
        columns |= jet_scores.scores_of_columns(self.analysis, columns, anomalies)
        return columns, pair

    def _tagger_columns(self, events: Any, jets: Any, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return the taggers' branches of all AK8 jets; those that a subclass computes itself may be absent."""
        found: dict[str, Any] = {}
        for stem in TAGGER_COLUMNS:
            branch = self.selection.taggers.branch(stem)
            if branch in jets.fields:
                found[stem] = jets[branch]
            elif stem not in known and (reader := self._needed.get(f"{stem}_1", self._needed.get(f"{stem}_2"))):
                if branch is None:
                    names = self.selection.taggers.names
                    raise OddjetsError(
                        f"selection.taggers.{stem}: NanoAOD{names} has no such branch of AK8 jets, and the {reader} needs it;"
                        " name a branch of FatJet, with a working point of its own, or do without it"
                    )
                raise InputFileError(
                    f"{nanoaod_schema.location_of(events)}: no branch 'FatJet_{branch}', which the {reader} needs; leave the"
                    " file out, or do without it",
                    cause="missing branch",
                )
        return found

    def _branches_of(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the branches of FatJet that a score names, by a tagger's name (``xbb``) or their own."""
        return tuple(branch for name in names if (branch := self.selection.taggers.branch(name)) is not None)

    @cached_property
    def _needs_trigger(self) -> bool:
        return any(f"trigger_{path}" in self._needed for path in self.selection.triggers)

    @cached_property
    def _needed(self) -> dict[str, str]:
        of_scores = columns_of_models(self.scorers) | {
            f"{score.column}_{j}": f"score '{name}'"
            for name, score in self.analysis.scores.items()
            for j in JETS
            if score.column is not None
        }
        return of_scores | columns_needed(self.analysis, self)

    def passing(self, table: EventTable) -> Mask:
        """Return which events pass the base selection, as the table's variation sees them."""
        mask = np.ones(table.size, dtype=bool)
        for name in dict.fromkeys(self.selection.cuts):
            mask &= mask_of(name, getattr(self, name)(table), table.size)
        return mask

    def _failures(self, table: EventTable) -> PackedSelection:
        """Return which cuts of the base selection each event fails.

        Failures rather than passes: `PackedSelection.any` takes no names for no cuts, where `all` takes them for all (the n-1
        row of a single cut would be wrong), and it keeps nothing, where `all` keeps its last 128 answers with their selections
        for as long as the process lives: 150 MB for tables of 130 000 rows. All cuts are evaluated, in their order, as counts
        and n-1 need them: what they read was read before.
        """
        failed = PackedSelection("uint64")
        # without it, a selection of no cuts would not know how many events there are; it leaves room for 63 cuts
        failed.add("", np.zeros(table.size, dtype=bool))
        for name in dict.fromkeys(self.selection.cuts):
            failed.add(name, ~mask_of(name, getattr(self, name)(table), table.size))
        return failed

    @cached_property
    def _reads_constituents(self) -> bool:
        return any(scorer.card.reads_constituents for scorer in self.scorers.values())

    def _constituents(
        self,
        events: Any,
        rows: npt.NDArray[np.int64],
        pair: npt.NDArray[np.int64],
        columns: Mapping[str, Array],
        anomalies: Counter[str],
    ) -> tuple[JetConstituents | None, ScoreCache | None]:
        """Read the PF candidates of the pair; nothing is read where no event survives. Also where scores are kept."""
        cache = ScoreCache.of_chunk(self.score_cache, events.metadata)
        if not len(rows) or not self._reads_constituents:
            return None, cache
        eta, phi = (np.stack([columns[f"{axis}_{j}"] for j in JETS], axis=1) for axis in ("eta", "phi"))
        return constituents.read_pair_constituents(events, rows, pair, eta, phi, anomalies), cache

    def _scores(
        self,
        jets: JetConstituents | None,
        cache: ScoreCache | None,
        columns: Mapping[str, Array],
        anomalies: Counter[str],
        inference: dict[str, Inference],
        is_data: bool,
    ) -> dict[str, Array]:
        """Return the scores of models, and how many constituents the jets have."""
        out: dict[str, Array] = {}
        if self._reads_constituents:
            n_constituents = np.diff(jets.offsets if jets is not None else [0]).reshape(-1, 2)
            of_constituents = {name: scorer for name, scorer in self.scorers.items() if isinstance(scorer, Scorer)}
            out = jet_scores.scores_of_models(self.analysis, of_constituents, jets, cache, anomalies, inference)
            out |= {f"n_constituents_{j}": n_constituents[:, j - 1] for j in JETS}
        return out | column_scores(self.scorers, {**columns, **out}, anomalies, inference, is_data=is_data)

    def _count(self, columns: Mapping[str, Array], generator: Array, anomalies: Counter[str]) -> ChunkCounts:
        table = EventTable(columns)
        failed = self._failures(table)
        cuts = self.selection.cuts

        def count(*names: str) -> tuple[int, float]:
            passed = _pass(failed, *names)
            return int(passed.sum()), float(generator[passed].sum())

        flow = [count(*cuts[:i]) for i in range(len(cuts) + 1)]
        n_minus_1 = [count(*cuts[:i], *cuts[i + 1 :]) for i in range(len(cuts))]
        return ChunkCounts(table.size, [raw for raw, _ in flow], [sums for _, sums in flow], n_minus_1, anomalies)


def _pass(failed: PackedSelection, *cuts: str) -> Mask:
    """Return which events pass all of these cuts; all events, if there are none."""
    return ~np.asarray(failed.any(*cuts), dtype=bool)


def _require_finite(events: Any, columns: Mapping[str, Array], weights: Mapping[str, Array]) -> None:
    """Refuse what is not finite: no sum of weights survives such a weight, and no cut such a varied jet."""
    for name, values in weights.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            where = ":".join(str(columns[key][bad[0]]) for key in ("run", "luminosityBlock", "event"))
            raise InputFileError(
                f"{nanoaod_schema.location_of(events)}: {name} is not finite in {len(bad)} event(s), the first being {where}"
                " (run:luminosityBlock:event); leave the file out or correct it"
            )
