"""The demo keeps what its comments and pages say of it, without a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core import resources
from oddjets.stats.closure_parts import EFFICIENCIES
from oddjets.study.bank import Bank
from oddjets.workflow.banks import card_of
from oddjets.workflow.run import RunContext

PROCESSES = ("qcd", "top", "wjets", "zjets")
#: expected QCD events a bin in A of SR, on average
LEAST_IN_BIN = 5.0


@pytest.fixture(scope="module")
def demo() -> Analysis:
    return load_analysis(resources.find("demo.yaml", "processors"))


def test_the_title_asks_and_does_not_assert(demo: Analysis) -> None:
    assert demo.title.endswith("?")


def test_the_bank_of_the_closure_is_of_this_analysis_and_of_another_seed(demo: Analysis) -> None:
    assert demo.closure_bank is not None
    bank = Bank.open(demo.closure_bank)
    bank.require_fit(demo, card_of(RunContext(demo, Path("nowhere"))), processes=("qcd",))
    assert demo.simulate is not None
    assert bank.card["simulate"]["seed"] != demo.simulate.seed


def test_the_working_point_follows_from_expected_counts_of_other_events(demo: Analysis) -> None:
    """The tightest of the closure's efficiencies with five QCD events a bin in A of SR: by hand, from the bank."""
    assert demo.closure_bank is not None
    assert demo.simulate is not None
    bank = Bank.open(demo.closure_bank)
    tables = {process: next(bank.tables(process)) for process in PROCESSES}
    lower = {p: np.minimum(*(t[f"score_omnilearned_{j}"] for j in (1, 2))) for p, t in tables.items()}
    scores = np.concatenate([lower[p] for p in PROCESSES])
    weights = np.concatenate([tables[p]["weight"] for p in PROCESSES]).astype(float)
    order = np.argsort(-scores)
    above = np.cumsum(weights[order]) / weights.sum()
    edges = demo.binning("leading_mass", "SR")
    qcd = tables["qcd"]
    inside = (qcd["mass_1"] >= edges[0]) & (qcd["mass_1"] < edges[-1])
    inside &= (qcd["tau21_1"] < 0.45) & (qcd["tau21_2"] < 0.45)
    expected = {}
    for efficiency in EFFICIENCIES:
        threshold = scores[order][np.searchsorted(above, efficiency)]
        total = qcd["weight"][inside & (lower["qcd"] >= threshold)].astype(float).sum() * demo.simulate.luminosity
        expected[efficiency] = total / (len(edges) - 1)
    assert demo.threshold.efficiency == min(e for e, n in expected.items() if n >= LEAST_IN_BIN)
    # what the YAML and docs/validation.md say
    assert expected[0.02] == pytest.approx(2.9, abs=0.06)
    assert expected[0.05] == pytest.approx(8.4, abs=0.06)
