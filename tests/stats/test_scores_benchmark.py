"""The benchmark of scores: its numbers of single jets are the product's, and their errors know of the two jets of an event."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from oddjets.stats.score_comparison import area_under_curve, find_cuts, rejection
from oddjets.stats.score_tables import TARGETS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """Load benchmarks/scores.py, which is in no package."""
    spec = importlib.util.spec_from_file_location("benchmark_scores", REPOSITORY / "benchmarks" / "scores.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # named tuples and dataclasses look their module up
    sys.modules["benchmark_scores"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_jets_are_separated_as_the_product_separates(benchmark: ModuleType, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # rounded, so that many are equal
    signal, background = (np.round(rng.normal(mean, 1, (number, 2)), 1) for mean, number in ((1, 60), (0, 300)))
    signal[0, 0] = background[0, 1] = -np.inf
    weights = rng.uniform(0.1, 2, 60), rng.uniform(0.1, 2, 300)
    found = benchmark.separation(signal, background, [weights])[0]
    one, other = (np.repeat(w, 2) for w in weights)
    jets = signal.ravel(), background.ravel()
    expected = [area_under_curve(jets[0], one, jets[1], other).value]
    expected += [rejection(jets[1], other, cut).value for cut in find_cuts(jets[0], one, TARGETS)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_errors_of_independent_jets_and_of_equal_ones(benchmark: ModuleType) -> None:
    """Two equal jets are no more than one: DeLong's error of one jet an event, and of two independent ones."""
    rng = np.random.default_rng(4)
    signal, background = rng.normal(1, 1, (300, 2)), rng.normal(0, 1, (1500, 2))
    for twice in (False, True):
        events = [np.repeat(x[:, :1], 2, axis=1) if twice else x for x in (signal, background)]
        jets = [x[:, 0] if twice else x.ravel() for x in events]
        ones = [np.ones(len(x)) for x in jets]
        expected = [area_under_curve(jets[0], ones[0], jets[1], ones[1])]
        expected += [rejection(jets[1], ones[1], cut) for cut in find_cuts(jets[0], ones[0], TARGETS)]
        found = benchmark.of_jets(events[0], np.ones(300), events[1])
        assert [one.value for one in found] == pytest.approx([one.value for one in expected], rel=1e-12)
        # 200 replicas know a standard deviation to 5 %, and slopes are measured; the two cases differ by 1.41
        errors = [one.value * np.hypot(one.signal, one.background) for one in found]
        assert errors == pytest.approx([(one.down + one.up) / 2 for one in expected], rel=0.15)


def test_a_pull_has_the_errors_of_both_samples_and_the_rounding(benchmark: ModuleType) -> None:
    found = benchmark.Measured(5.0, 0.03, 0.04, few=False)
    assert benchmark.pull(found, "4.5", (1.0, 1.0), logarithm=False) == pytest.approx(
        0.5 / np.sqrt(2 * 0.25**2 + 0.1**2 / 12)
    )
    # an earlier sample of signal without end
    assert benchmark.pull(found, "4.5", (0.0, 1.0), logarithm=True) == pytest.approx(
        np.log(5 / 4.5) / np.sqrt(0.03**2 + 2 * 0.04**2 + (0.1 / 4.5) ** 2 / 12)
    )
    assert benchmark.against(found, None, (1.0, 1.0), logarithm=False) == ("5.00 ± 0.25", None)
    few = benchmark.Measured(5.0, 0.03, 0.04, few=True)
    assert benchmark.against(few, "4.5", (1.0, 1.0), logarithm=False) == ("(5.00 ± 0.25) [4.5]", None)
