"""A joined sample of full_scale.py as the studies of the package read it: analyses of the paper's set-ups, and their events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from full_scale_parts import GROUPS
from full_scale_units import DATA

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core.errors import OddjetsError
from oddjets.core.resources import find
from oddjets.core.worker_pool import pool_context
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.event_table import JETS
from oddjets.study.bank import Bank, factors_of
from oddjets.study.events import EventArrays, JetClasses, read_events
from oddjets.study.mixed import mixed_events
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.validation import resolve

Columns = dict[str, npt.NDArray[Any]]

#: set-up -> the paper's, with simulated collisions
SET_UPS = {
    "top": "paper_top.yaml",
    "SR + VR1": "paper_hh.yaml",
    "split": "paper_hh_split.yaml",
    "split, b tag": "paper_hh_btag.yaml",
    "dijet mass": "paper_dijet_mass.yaml",
}
SCORES = {
    "omnilearned": "OmniLearned, long training",
    "team": "mean of four trainings",
    "team_member1": "training 2",
    "team_member2": "training 3",
    "team_member3": "training 4",
    "team_member4": "training 5",
    "labelled": "labelled baseline",
    "xbb": "X(bb)",
}
#: what the paper tried: set-up and score
PAPER = (
    ("top", "omnilearned"),
    ("SR + VR1", "omnilearned"),
    ("split", "omnilearned"),
    ("split, b tag", "omnilearned"),
    ("split", "xbb"),
    ("dijet mass", "omnilearned"),
)
TREATMENTS = ("as-published", "structural", "cells")
EFFICIENCY = 0.002
#: pairs of jets of different events, for each event
PAIRINGS = 10
_SIMULATED = [group for group in GROUPS if group != "qcd"]
_LABELS = {"stop": "single top", "vv": "WW, WZ, ZZ", "higgs": "WH, ZH, H + jet, ttH"}


def analysis_of(set_up: str, score: str, treatment: str, luminosity: float, efficiency: float = EFFICIENCY) -> Analysis:
    """Return the analysis of a set-up of the paper with another score and ABCD treatment.

    Args:
        set_up: of `SET_UPS`.
        score: of `SCORES`.
        treatment: of `TREATMENTS`.
        luminosity: /pb.
        efficiency: of the threshold.
    """
    floating = ["wjets", "zjets", "stop", "vv", *(["top"] if set_up != "top" else [])]
    changes: dict[str, Any] = {
        "luminosity": luminosity,
        "processes": {g: {"label": label} for g, label in _LABELS.items()},
        # no model is run: events have the columns of scores, whatever they are said to be made of
        "scores": {name: {"column": "btag", "label": label} for name, label in SCORES.items()},
        "threshold": {"score": score, "efficiency": efficiency},
        "closure": None,
        "systematics": [
            *(
                {"name": n, "processes": _SIMULATED}
                for n in ("jes", "jer", "jms", "jmr", "pu", "pref", "isr", "fsr", "scale")
            ),
            {"name": "toppt", "processes": ["top"]},
        ],
        "fit": {
            "abcd": treatment,
            "scale_factor": {"processes": floating},
            "normalisations": {
                "sf_vv": {"processes": ["vv"], "size": 0.5, "letters": ["A"]},
                "sf_stop": {"processes": ["stop"], "size": 0.5, "letters": ["A"]},
            },
        },
    }
    for name in ("omnilearned", "xbb"):
        changes["scores"][name] |= {"card": None, "signal": None, "background": None}
    return load_analysis(find(SET_UPS[set_up], "processors"), changes)


@dataclass
class Sample:
    """A joined sample.

    Attributes:
        file: the bank that `join` writes.
        luminosity: of its pseudo-data, /pb.
        card: what the bank says of itself.
        tables: process -> columns of its events.
        scores: that are studied.
    """

    file: Path
    luminosity: float = 0.0
    card: Mapping[str, Any] = field(default_factory=dict)
    tables: dict[str, Columns] = field(default_factory=dict)
    scores: list[str] = field(default_factory=list)
    _processors: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, file: Path, scores: Sequence[str] = ()) -> Sample:
        """Read a sample, to be studied with some of its scores; none: with all.

        Raises:
            OddjetsError: it has no luminosity, or a process is missing.
        """
        bank = Bank.open(file)
        if "luminosity_pb" not in bank.card:
            raise OddjetsError(f"{file}: is a bank and no joined sample; make one with `full_scale.py join`")
        tables = {process: next(bank.tables(process)) for process in bank.processes}
        if missing := [group for group in GROUPS if group not in tables]:
            raise OddjetsError(f"{file}: has no events of {', '.join(missing)}; simulate more and join again")
        known = [name for name in SCORES if f"score_{name}_1" in tables["qcd"]]
        if missing := [name for name in scores if name not in known]:
            raise OddjetsError(f"{file}: has no score '{missing[0]}'; it has {', '.join(known)}")
        chosen = [name for name in known if not scores or name in scores]
        return cls(file, float(bank.card["luminosity_pb"]), bank.card, tables, chosen)

    def analysis(
        self, set_up: str, score: str, treatment: str = "as-published", efficiency: float = EFFICIENCY
    ) -> Analysis:
        """Return an analysis at the luminosity of the sample, names checked."""
        return resolve(analysis_of(set_up, score, treatment, self.luminosity, efficiency)).analysis

    def processor(self, analysis: Analysis) -> Any:
        """Return what defines the cuts."""
        key = str(analysis.path)
        if key not in self._processors:
            source = resolve(analysis).source
            self._processors[key] = ChunkWorker(source, analysis, (), None, 1).build()
        return self._processors[key]

    def templates(self, analysis: Analysis) -> list[EventArrays]:
        """Return the simulated events of all processes but QCD, with all variations."""
        processor = self.processor(analysis)
        found: list[EventArrays] = []
        for process in analysis.processes:
            if process != analysis.data_driven:
                factors = factors_of(analysis, process, self.luminosity)
                found += read_events(analysis, processor, [self.tables[process]], process, factors)
        return found

    def qcd(self, analysis: Analysis, classes: JetClasses | None = None) -> list[EventArrays]:
        """Return the QCD events at the luminosity of the sample."""
        factors = factors_of(analysis, "qcd", self.luminosity)
        return read_events(analysis, self.processor(analysis), [self.tables["qcd"]], "qcd", factors, classes=classes)

    def mixed(self, analysis: Analysis, seed: int) -> list[EventArrays]:
        """Return pairs of QCD jets of different events, several for each event.

        One for each would be one experiment, whose own fluctuation all experiments that are drawn from it would share.
        """
        columns = self.tables["qcd"]
        own = columns | {"weight": columns["weight"].astype(np.float64) * self.luminosity}
        pairs = PAIRINGS * len(columns["weight"])
        return [mixed_events(analysis, self.processor(analysis), [own], "qcd", seed=seed, pairs=pairs)]

    def data(self, analysis: Analysis) -> list[EventArrays]:
        """Return the pseudo-data, with weight 1; those of QCD and of other processes are one process."""
        return read_events(analysis, self.processor(analysis), [self.pseudo_data()], "qcd", {NOMINAL: 1.0})

    def pseudo_data(self) -> Columns:
        """Return the columns of the pseudo-data of all processes, and ``process``."""
        parts = []
        for name, columns in self.tables.items():
            if name == "qcd" or name.startswith(DATA):
                kept = columns["in_data"].astype(bool)
                part = {n: a[kept] for n, a in columns.items()}
                parts.append(part | {"process": np.repeat(name.removeprefix(DATA), int(kept.sum()))})
        common = set(parts[0]).intersection(*parts)
        joined = {name: np.concatenate([part[name] for part in parts]) for name in sorted(common)}
        size = len(joined["weight"])
        return joined | {"weight": np.ones(size), "event": np.arange(size)}

    def smaller(self, columns: Columns, score: str) -> npt.NDArray[np.float64]:
        """Return the smaller score of each event, shape (n,)."""
        return np.minimum(*(np.asarray(columns[f"score_{score}_{j}"], np.float64) for j in JETS))


@dataclass(frozen=True)
class Settings:
    """What is asked of a study.

    Attributes:
        experiments: of each null and of the choices.
        strengths: injected, in units of HH's cross section.
        toys: of a goodness of fit.
        replicas: of a bootstrap.
        workers: processes.
        seed: of all random numbers.
        only: sections; empty: all that are not there.
        scores: those that are studied; empty: all.
    """

    experiments: int = 300
    strengths: tuple[float, ...] = (1000.0, 1500.0, 2500.0, 7500.0)
    toys: int = 100
    replicas: int = 40
    workers: int = 2
    seed: int = 1
    only: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()


# ---- several at once --------------------------------------------------------------------------------------------------

#: what processes of a pool have in common: sample, settings, results so far
_SHARED: list[Any] = []


def _one(task: tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]) -> dict[str, Any]:
    """Return what is made, or why it is not."""
    make, of = task
    try:
        return make(*_SHARED, *of)
    except OddjetsError as error:
        return {"failed": str(error)}


def each(
    make: Callable[..., dict[str, Any]],
    tasks: Sequence[tuple[Any, ...]],
    sample: Sample,
    settings: Settings,
    result: Any,
) -> list[dict[str, Any]]:
    """Return what is made of each task, several at once; the events are not copied."""
    _SHARED[:] = [sample, settings, result]
    work = [(make, task) for task in tasks]
    if settings.workers <= 1 or len(work) < 2:
        return [_one(task) for task in work]
    with ProcessPoolExecutor(settings.workers, pool_context("fork")) as pool:
        return list(pool.map(_one, work))
