"""Scale weights: the ratios of cross sections that Pythia itself finds at other scales."""

from __future__ import annotations

import math
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from oddjets.corrections.generator_weights import scale_weight
from oddjets.simulation.generator import GeneratedBatch, initialise
from oddjets.simulation.processes import load_processes
from oddjets.simulation.reconstruction import reconstruct
from oddjets.simulation.scales import SCALE_FACTORS, scale_weights

HARD_ONLY = ("PartonLevel:all = off", "HadronLevel:all = off")


def test_the_order_is_nanoaods() -> None:
    # documentation of NanoAOD's LHEScaleWeight: [0] mu_R 0.5, mu_F 0.5; [1] 0.5, 1; [2] 0.5, 2; [3] 1, 0.5; ...
    assert SCALE_FACTORS[0] == (0.5, 0.5)
    assert SCALE_FACTORS[1] == (0.5, 1.0)
    assert SCALE_FACTORS[3] == (1.0, 0.5)
    assert SCALE_FACTORS[4] == (1.0, 1.0)
    assert SCALE_FACTORS[8] == (2.0, 2.0)


def test_weights_follow_coupling_and_densities() -> None:
    hard = ak.Array([{"id1": 1, "x1": 0.1, "id2": 21, "x2": 0.2, "Q2Ren": 1e5, "Q2Fac": 4e5}])
    weights = scale_weights(hard, 2, lambda q2: 1 / math.log(q2), lambda pdg, x, q2: x * pdg * q2**0.1)
    for (r, f), weight in zip(SCALE_FACTORS, weights[0], strict=True):
        coupling = (math.log(1e5) / math.log(1e5 * r * r)) ** 2
        assert weight == pytest.approx(coupling * f**0.4)


# Pythia's settings multiply the squared scale; the statistical errors of both runs are below 2 %
@pytest.mark.parametrize(("process", "scales"), [("qcd", (2.0, 2.0)), ("wjets", (0.5, 1.0)), ("zz_4q", (1.0, 2.0))])
def test_the_mean_weight_is_the_ratio_of_cross_sections(
    process: str, scales: tuple[float, float], tables: Path
) -> None:
    entry = load_processes()[process]
    lines = [*entry.pythia, f"PhaseSpace:pTHatMin = {entry.pt_hat_min}", *HARD_ONLY]
    events = 4000

    def run(seed: int, *more: str) -> tuple[float, float, np.ndarray]:
        pythia = initialise([*lines, *more], seed, tables)
        batch = pythia.nextBatch(events, "skip")
        info = pythia.infoPython()
        weights = scale_weights(batch.info, entry.alpha_s_order, pythia.coupSM.alphaS, pythia.getPDFPtr(2212).xf)
        return info.sigmaGen(), info.sigmaErr(), weights[:, SCALE_FACTORS.index(scales)]

    nominal, nominal_error, weights = run(1)
    settings = zip(("renormMultFac", "factorMultFac"), scales, strict=True)
    varied, varied_error, _ = run(2, *(f"SigmaProcess:{name} = {factor**2}" for name, factor in settings))
    error = math.hypot(nominal_error / nominal, varied_error / varied)
    assert error < 0.02
    assert abs(varied / nominal - 1) > 2 * error  # else nothing is tested
    assert weights.mean() == pytest.approx(varied / nominal, rel=4 * error)
    assert weights.std() < 0.5


def test_processing_reads_back_the_six_weights_of_the_envelope(boosted_w: GeneratedBatch) -> None:
    events = reconstruct(boosted_w, np.random.default_rng(1), is_data=False)
    pairs = [(0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (1.0, 2.0), (2.0, 1.0), (2.0, 2.0)]
    for member, pair in enumerate(pairs):
        weight = scale_weight(events.LHEScaleWeight, member).values
        expected = boosted_w.scale_weights[:, SCALE_FACTORS.index(pair)]
        np.testing.assert_allclose(weight.mean(), expected.mean(), rtol=0.02)  # an event or two may not be written
        assert abs(weight.mean() - 1) > 0.02
