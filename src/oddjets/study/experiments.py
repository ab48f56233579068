"""Pseudo-experiments: drawn, given their threshold and letters, fitted, in chunks that are recorded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from oddjets.core import provenance
from oddjets.core.code_digests import code_sha256
from oddjets.core.console import progress
from oddjets.core.errors import OddjetsError
from oddjets.core.worker_pool import run_tasks
from oddjets.stats.histfactory.results import Data
from oddjets.study.bootstrap import TemplateBootstrap
from oddjets.study.events import Patterns
from oddjets.study.experiment_chunk import ExperimentChunk
from oddjets.study.procedure import Answers, Procedure, Questions, bins_of_cells
from oddjets.study.rates import Rates, closure_counts
from oddjets.study.shared_events import SharedEvents
from oddjets.study.thresholds import ThresholdGrid

__all__ = ["CHUNK", "Experiments", "run_chunks"]

Floats = npt.NDArray[np.float64]

#: experiments with one seed, fitted together; the same whatever the number of workers is
CHUNK = 256
#: a covariance with z below this many of its errors may be noise
NOISE = 3.0
#: how far rates are tilted at most
LEAST_TILT, MOST_TILT = 0.1, 30.0
#: the workers' procedures of the experiments that they work on: (key, threshold) -> procedure
_PROCEDURES: dict[tuple[str, int], Procedure] = {}


@dataclass(frozen=True)
class Experiments:
    """Experiments of one truth; can be pickled.

    Attributes:
        seed: of all random numbers.
        number: of the truth in its study, so that no two have the same random numbers.
        grid: the thresholds; one for toys.
        patterns: regions and bins.
        workspaces: one for each threshold.
        questions: what is asked.
        rates: what they are drawn from; None: from the model itself (toys).
        truth: parameters by name that differ from their suggested values.
        tilts: what multiplies the rates by letter at the expected threshold and pattern, of experiments in turn, (k, 4,
            patterns); experiments are weighted back. Empty: none.
        merged: for each threshold, region -> groups of its bins that are one bin of the workspace; empty: none.
        bootstrap: draws templates of each experiment's own; None: auxiliary measurements of the templates' statistical errors
            are thrown instead.
        shared: the events of experiments that other choices have too; None: counts are drawn from the rates.
    """

    seed: int
    number: int
    grid: ThresholdGrid
    patterns: Patterns
    workspaces: Sequence[Mapping[str, Any]]
    questions: Questions
    rates: Rates | None
    truth: Mapping[str, float]
    tilts: Floats
    merged: Sequence[Mapping[str, Sequence[Sequence[int]]]] = ()
    bootstrap: TemplateBootstrap | None = None
    shared: SharedEvents | None = None

    @cached_property
    def key(self) -> str:
        """A hash of everything that the results depend on."""
        digest = hashlib.sha256()
        arrays = [] if self.rates is None else [self.rates.codes, self.rates.qcd, self.rates.others, self.rates.signal]
        arrays += [] if self.shared is None else [self.shared.rates, self.shared.qcd.astype(float), self.shared.places]
        for array in (self.grid.values, self.tilts, *arrays, *self.patterns.edges.values()):
            digest.update(np.ascontiguousarray(array).tobytes())
        plain: list[Any] = [self.seed, self.number, CHUNK, self.grid.strict, self.grid.efficiency]
        plain += [list(self.patterns.edges)]
        plain += [None if self.bootstrap is None else self.bootstrap.digest]
        plain += [self.questions.__dict__, dict(self.truth), list(self.workspaces), list(self.merged)]
        digest.update(json.dumps(plain, sort_keys=True).encode())
        code = code_sha256(__name__)
        return provenance.content_key({"study": digest.hexdigest(), "code": code, "versions": provenance.versions()})

    def procedure(self, place: int) -> Procedure:
        """Return the fits at a threshold; made once in a process."""
        key = (self.key, place)
        if key not in _PROCEDURES:
            for other in [known for known in _PROCEDURES if known[0] != self.key]:
                del _PROCEDURES[other]
            _PROCEDURES[key] = Procedure(self.workspaces[place], self.questions, self.truth)
        return _PROCEDURES[key]

    def chunk(self, number: int, size: int = CHUNK) -> ExperimentChunk:
        """Draw and fit one chunk.

        Args:
            number: of the chunk; the random numbers depend on it.
            size: experiments, all of `CHUNK` but for the last one.
        """
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.number, number)))
        if self.rates is None:
            return self._toys(number, size, rng)
        drawn = self._drawn(size, rng)
        found = self._empty(size)
        found["threshold"], found["above"], found["total"] = drawn.threshold, drawn.above, drawn.total
        found["log_weight"] = drawn.log_weight
        names = [f.name for f in fields(Answers) if f.name != "nuisances"]
        sums: Floats | None = None
        for place in np.unique(drawn.threshold).tolist():
            rows = np.flatnonzero(drawn.threshold == place)
            by_letter = self._by_letter[place]
            thrown = rng if self.shared is None else partial(self._rng_of_parameter, number)
            answers = self._answers(place, drawn.data[rows] @ by_letter, self._own_rngs(number, rows), thrown, rows)
            for name in names:
                found[name][rows] = getattr(answers, name)
            found["in_a"][rows], found["predicted"][rows] = closure_counts(drawn.qcd[rows] @ by_letter, self.patterns)
            sums = _added(sums, answers.nuisances)
        return ExperimentChunk(**found, nuisances=np.zeros((3, 0)) if sums is None else sums)

    def _own_rngs(self, number: int, rows: npt.NDArray[np.intp]) -> list[np.random.Generator]:
        """Return a generator for each of some experiments of a chunk, whatever the others do."""
        seeds = [np.random.SeedSequence(self.seed, spawn_key=(self.number, number, row)) for row in rows.tolist()]
        return [np.random.default_rng(seed) for seed in seeds]

    def _rng_of_parameter(self, number: int, parameter: str) -> np.random.Generator:
        """Return what throws a parameter's auxiliary measurement: alike for choices that have this parameter in common."""
        word = int.from_bytes(hashlib.sha256(parameter.encode()).digest()[:4], "big")
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.number, number, CHUNK, word)))

    def _answers(
        self,
        place: int,
        data: Floats,
        rngs: Sequence[np.random.Generator],
        thrown: np.random.Generator | Callable[[str], np.random.Generator],
        rows: npt.NDArray[np.intp],
    ) -> Answers:
        """Fit experiments with the same threshold.

        Args:
            place: of the threshold.
            data: their events by letter and cell, (E, letters x cells).
            rngs: of each, for its templates and toys.
            thrown: throws auxiliary measurements of all; or, by parameter, of a whole chunk of experiments that are shared.
            rows: the places of these experiments in the chunk.
        """
        sizes = {region: len(edges) - 1 for region, edges in self.patterns.edges.items()}
        if self.bootstrap is None:
            procedure = self.procedure(place)
            bins = bins_of_cells(procedure.model, sizes, self.merged[place] if self.merged else {})
            if isinstance(thrown, np.random.Generator):
                auxiliary = procedure.auxiliary(len(data), thrown)
            else:
                auxiliary = procedure.shared_auxiliary(CHUNK, thrown)[rows]
            return procedure.answer(Data(data @ bins, auxiliary), rngs)
        names = self.procedure(self.central).names
        found = [Answers.failed(len(names)) for _ in rngs]
        for i, own in enumerate(rngs):
            try:
                built, merged = self.bootstrap.workspace(place, own)
                procedure = Procedure(built, self.questions, self.truth)
                bins = bins_of_cells(procedure.model, sizes, merged)
                auxiliary = procedure.auxiliary(1, own, of_templates=False)
                found[i] = procedure.answer(Data(data[i : i + 1] @ bins, auxiliary), [own]).named(
                    procedure.names, names
                )
            except OddjetsError:
                # templates that no fit can be made with, such as none of the signal: counted with the fits that fail
                continue
        return Answers.joined(found)

    def _empty(self, size: int) -> dict[str, Any]:
        regions = len(self.patterns.edges)
        shapes: dict[str, tuple[int, ...]] = {f.name: (size,) for f in fields(ExperimentChunk) if f.name != "nuisances"}
        shapes |= {"in_a": (size, regions), "predicted": (size, regions)}
        return {name: np.zeros(shape, np.int64 if name == "threshold" else float) for name, shape in shapes.items()}

    def _toys(self, number: int, size: int, rng: np.random.Generator) -> ExperimentChunk:
        """Draw from the model at its truth; its threshold is given."""
        procedure = self.procedure(0)
        data = procedure.model.sample(procedure.truth, size, rng)
        found = self._empty(size)
        answers = procedure.answer(data, self._own_rngs(number, np.arange(size)))
        found |= {f.name: getattr(answers, f.name) for f in fields(Answers) if f.name != "nuisances"}
        found["in_a"][:], found["predicted"][:] = np.nan, np.nan
        sums = _added(None, answers.nuisances)
        return ExperimentChunk(**found, nuisances=sums)

    @property
    def entries(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Pattern, and ranks of the leading and the subleading score, of the cells in which something is expected."""
        return self._entries[:3]

    @cached_property
    def _entries(self) -> _Entries:
        """The cells in which something is expected."""
        assert self.rates is not None
        signal = self.questions.strength * self.rates.signal
        others = self.rates.others + signal
        code, leading, subleading = where = np.nonzero(self.rates.qcd + others > 0)
        return _Entries(code, leading, subleading, self.rates.qcd[where], others[where])

    @cached_property
    def _by_letter(self) -> list[csr_array]:
        """The letters and cells that entries are in at each threshold, (entries, letters x cells)."""
        assert self.rates is not None
        entries, cells = self._entries, self.patterns.cells_of(self.rates.codes)
        number = self.patterns.cells
        made = []
        for place in range(len(self.grid)):
            letter = (entries.leading <= place) + 2 * (entries.subleading <= place)
            entry, cell = np.nonzero(cells.T[entries.code])
            shape = (len(entries.code), 4 * number)
            made.append(csr_array((np.ones(len(entry)), (entry, letter[entry] * number + cell)), shape=shape))
        return made

    def _drawn(self, size: int, rng: np.random.Generator) -> _Drawn:
        entries = self._entries
        if self.shared is not None:
            return self._at_thresholds(*self.shared.counts(size, len(entries.code), rng))
        factor = np.ones((1, len(entries.code)))
        if len(self.tilts):
            factor = self.tilts[:, self._central_letters, entries.code][np.arange(size) % len(self.tilts)]
        shape = (size, len(entries.code))
        qcd: Floats = rng.poisson(entries.qcd * factor, shape).astype(float)
        data: Floats = qcd + rng.poisson(entries.others * factor, shape).astype(float)
        return self._at_thresholds(qcd, data)

    def _at_thresholds(self, qcd: Floats, data: Floats) -> _Drawn:
        """Let experiments choose their thresholds, from counts by entry of the data-driven process and of all."""
        size, entries = len(data), self._entries
        passed = np.minimum(entries.leading, entries.subleading)[:, None] > np.arange(len(self.grid))
        above, total = data @ passed.astype(float), data.sum(axis=1)
        threshold = self.grid.chosen(above, total)
        log_weight = self._log_weight(data) if len(self.tilts) else np.zeros(size)
        return _Drawn(qcd, data, threshold, above[np.arange(size), threshold], total, log_weight)

    @property
    def central(self) -> int:
        """The threshold that is expected."""
        return len(self.grid) // 2

    @cached_property
    def _central_letters(self) -> npt.NDArray[np.int64]:
        entries = self._entries
        return np.asarray((entries.leading <= self.central) + 2 * (entries.subleading <= self.central))

    def _log_weight(self, data: Floats) -> Floats:
        """Return the logarithm of the true density over that of the mixture of all tilts, (E,)."""
        entries = self._entries
        factors = self.tilts[:, self._central_letters, entries.code]
        rate = entries.qcd + entries.others
        log_ratio = data @ np.log(factors).T - (rate * (factors - 1)).sum(axis=1)
        return -np.asarray(np.logaddexp.reduce(log_ratio, axis=1) - np.log(len(self.tilts)))

    def tilted(self, files: Sequence[Path], sizes: Sequence[float], number: int) -> Experiments:
        """Return experiments with a signal injected, so that large z are frequent, to be weighted back.

        The injected signal is what z responds to: a rate moves by its covariance with z, found in recorded experiments, times
        the size. Covariances that may be noise are left out. Any choice gives the same expectation; a good one, small errors.

        Args:
            files: chunks of these experiments, from `run_chunks`; their counts are drawn again.
            sizes: how far z is moved; 0 keeps the truth, so that no weight is larger than the number of sizes.
            number: of the truth in the study.
        """
        assert self.rates is not None
        entries, shape = self._entries, (4, len(self.rates.codes))
        place = np.ravel_multi_index((self._central_letters, entries.code), shape)
        group = csr_array(
            (np.ones(len(place)), (np.arange(len(place)), place)), shape=(len(place), shape[0] * shape[1])
        )
        rate = (entries.qcd + entries.others) @ group
        used = rate > 0
        product, done = np.zeros(len(rate)), 0
        for i, file in enumerate(files):
            z = ExperimentChunk.load(file).z
            rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.number, i)))
            counts = self._drawn(len(z), rng).data @ group
            good = np.isfinite(z)
            product += ((counts[good] - rate) * (z[good] - z[good].mean())[:, None]).sum(axis=0)
            done += int(good.sum())
        covariance = product / max(done, 1) / np.sqrt(np.where(used, rate, 1.0))
        covariance = np.where(used & (np.abs(covariance) > NOISE / np.sqrt(max(done, 1))), covariance, 0.0)
        shift = np.asarray(sizes)[:, None] * covariance / np.sqrt(np.where(used, rate, 1.0))
        tilts = np.clip(1 + shift, LEAST_TILT, MOST_TILT).reshape(len(sizes), *shape)
        return replace(self, number=number, tilts=tilts, questions=replace(self.questions, limit=False, toys=0))


class _Entries(NamedTuple):
    code: npt.NDArray[np.int64]
    leading: npt.NDArray[np.int64]
    subleading: npt.NDArray[np.int64]
    qcd: Floats
    others: Floats


@dataclass(frozen=True)
class _Drawn:
    qcd: Floats
    data: Floats
    threshold: npt.NDArray[np.int64]
    above: Floats
    total: Floats
    log_weight: Floats


def _added(sums: Floats | None, pulls: Floats) -> Floats:
    # an experiment with templates of its own may lack one of the parameters
    good = np.isfinite(pulls)
    known = np.where(good, pulls, 0.0)
    found = np.stack([good.sum(axis=0).astype(float), known.sum(axis=0), (known**2).sum(axis=0)])
    return found if sums is None else sums + found


def _do_chunk(experiments: Experiments, folder: Path, task: tuple[int, int]) -> None:
    number, size = task
    experiments.chunk(number, size).save(_file(folder, number, size))


def _file(folder: Path, number: int, size: int) -> Path:
    return folder / f"chunk-{number:05d}-{size}.npz"


def run_chunks(experiments: Experiments, number: int, folder: Path, *, workers: int = 1, label: str = "") -> list[Path]:
    """Make experiments that are not recorded yet, and return the files of all chunks, in order.

    What was recorded by a study that was stopped is taken from there. The answers do not depend on the number of workers.

    Args:
        experiments: what they are.
        number: how many.
        folder: where chunks are recorded, in a folder of their own key.
        workers: processes.
        label: for the progress bar.

    Returns:
        Files that `ExperimentChunk.load` reads.
    """
    own = folder / experiments.key[:16]
    own.mkdir(parents=True, exist_ok=True)
    sizes = [min(CHUNK, number - first) for first in range(0, number, CHUNK)]
    tasks = [task for task in enumerate(sizes) if not _file(own, *task).is_file()]
    with progress(label or "experiments", number) as bar:
        bar.advance(number - sum(size for _, size in tasks))
        for _, size in run_tasks(tasks, partial(_do_chunk, experiments, own), workers, "study"):
            bar.advance(size)
    return [_file(own, *task) for task in enumerate(sizes)]
