"""Kept scores are found by `ARITHMETIC_VERSION`: the bits that it stands for.

``python tests/scoring/test_arithmetic.py`` stores them anew, after the version was raised.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents, prepare
from oddjets.scoring.model_card import load_card
from oddjets.scoring.onnx_session import runtime_version
from oddjets.scoring.scorer import ARITHMETIC_VERSION, Scorer

ROOT = Path(__file__).resolve().parents[2]
STORED = ROOT / "tests" / "data" / "score_bits.npz"
CARD = load_card(ROOT / "models" / "omnilearned_small_simulation.yaml")
#: NumPy and ONNX Runtime choose their kernels by these; others round the last bit otherwise
INSTRUCTIONS = ("AVX2", "AVX512F", "AVX512_SKX", "FMA3", "ASIMD")


def machine() -> str:
    """What the last bits depend on besides our code."""
    from numpy._core._multiarray_umath import __cpu_features__ as features

    found = [name for name in INSTRUCTIONS if features.get(name)]
    packages = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy")]
    return ", ".join([*found, *packages, runtime_version()])


def results(jets: JetConstituents) -> dict[str, np.ndarray]:
    """The model's inputs, scores and probabilities."""
    prepared = prepare(jets, CARD)
    scores, probabilities = Scorer(CARD, "cpu").score_and_probabilities(jets)
    inputs = {f"input_{name}": values for name, values in prepared.columns.items()}
    return {**inputs, "scores": scores, "probabilities": probabilities}


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    with np.load(STORED, allow_pickle=False) as content:
        return {name: content[name] for name in content.files}


def jets_of(stored: dict[str, Any]) -> JetConstituents:
    names = ("offsets", "jet_eta", "jet_phi", *CANDIDATE_BRANCHES)
    return JetConstituents(**{name: stored[f"jet_{name}"] for name in names})


def test_the_bits_of_inputs_and_scores_are_those_of_the_version(stored: dict[str, Any]) -> None:
    advice = "scores differ from those that users have kept: raise ARITHMETIC_VERSION and store the bits anew"
    assert int(stored["version"]) == ARITHMETIC_VERSION, "the version was raised: store the bits anew"
    exact = str(stored["machine"]) == machine()
    for name, values in results(jets_of(stored)).items():
        kept = stored[name]
        assert (values.dtype, values.shape) == (kept.dtype, kept.shape), f"{name}: {advice}"
        if exact or values.dtype.kind in "iu":
            assert values.tobytes() == kept.tobytes(), f"{name}: {advice}"
        else:
            # other kernels: the rounding of logarithms, and of sums in the network
            np.testing.assert_allclose(values, kept, rtol=2e-4, atol=1e-6, err_msg=f"{name}: {advice}")


def test_one_changed_bit_of_a_jet_changes_scores(stored: dict[str, Any]) -> None:
    jets = jets_of(stored)
    changed = dict(stored)
    changed["jet_pt"] = np.nextafter(jets.pt, np.float32(np.inf))
    assert results(jets_of(changed))["scores"].tobytes() != results(jets)["scores"].tobytes()


def cache() -> None:
    """Write the file that the test compares with."""
    import sys

    sys.path.insert(0, str(ROOT / "tests"))
    from scoring.test_scorer import random_jets

    jets = random_jets([1, 3, 12, 17, 40, 64])
    inputs = {f"jet_{name}": getattr(jets, name) for name in ("offsets", "jet_eta", "jet_phi", *CANDIDATE_BRANCHES)}
    np.savez_compressed(STORED, version=ARITHMETIC_VERSION, machine=machine(), **inputs, **results(jets))


if __name__ == "__main__":
    cache()
