"""What fits of large models take of memory: nothing of the size of all bins times pairs of parameters."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from oddjets.stats import Model, best_fits, upper_limit

CHANNELS, BINS, NUISANCES = 15, 60, 60


@pytest.fixture(scope="module")
def model() -> Model:
    """900 bins, of which each has a gamma, and 61 global parameters, half of them shapes."""
    rng = np.random.default_rng(1)
    channels, observations = [], []
    for c in range(CHANNELS):
        samples: list[dict[str, Any]] = []
        for name in ("signal", "background"):
            y = rng.uniform(20, 200, BINS) * (0.1 if name == "signal" else 1)
            modifiers: list[dict[str, Any]] = [
                {"name": "mu", "type": "normfactor", "data": None}
                if name == "signal"
                else {"name": f"stat{c}", "type": "staterror", "data": (0.05 * y).tolist()}
            ]
            for k in range(NUISANCES):
                shift = rng.normal(0, 0.02, BINS)
                shape = {"hi_data": (y * (1 + shift)).tolist(), "lo_data": (y * (1 - shift)).tolist()}
                if k % 2:
                    modifiers.append({"name": f"n{k}", "type": "histosys", "data": shape})
                else:
                    modifiers.append({"name": f"n{k}", "type": "normsys", "data": {"hi": 1.03, "lo": 0.97}})
            samples.append({"name": name, "data": y.tolist(), "modifiers": modifiers})
        total = np.sum([s["data"] for s in samples], axis=0)
        channels.append({"name": f"c{c}", "samples": samples})
        observations.append({"name": f"c{c}", "data": rng.poisson(total).astype(float).tolist()})
    measurement = {"name": "m", "config": {"poi": "mu", "parameters": []}}
    return Model(
        {"channels": channels, "observations": observations, "measurements": [measurement], "version": "1.0.0"}
    )


@pytest.mark.parametrize("question", [Model.fit, lambda model: upper_limit(model, best_fits(model))])
def test_no_array_has_an_entry_for_each_bin_and_pair_of_parameters(
    model: Model, question: Callable[[Model], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # of such arrays even one would be larger; so would the covariance of all gammas be
    largest = min(CHANNELS * BINS * NUISANCES**2, len(model.parameters) ** 2) * 8
    monkeypatch.setattr("oddjets.stats.histfactory.newton.MOST_DERIVATIVES", 0)
    tracemalloc.start()
    try:
        question(model)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.8 * largest
