"""A checkpoint that `omnilearned train` made scores here as `omnilearned evaluate` scores it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oddjets.scoring.model_card import load_card

FLAGS = [
    "--dataset",
    "custom",
    "--path",
    "data",
    "--interaction",
    "--local-interaction",
    "--use-pid",
    "--use-add",
    "--num-classes",
    "210",
    "--use-event-loss",
    "--save-tag",
    "tiny",
    "--num-workers",
    "0",
    "--batch",
    "8",
]


def omnilearned(folder: Path, *arguments: str) -> None:
    """Run OmniLearned's command line in a folder, as a group of one process."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    program = "from omnilearned.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, *FLAGS],
        cwd=folder,
        env=os.environ | group | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_scores_are_those_of_omnilearned_evaluate(torch: Any, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py: pip install 'oddjets[train]'")
    pytest.importorskip("omnilearned.cli", reason="needs all that omnilearned needs: pip install 'oddjets[train]'")
    from oddjets.training.export.checkpoint import read_checkpoint
    from oddjets.training.export.onnx import export
    from oddjets.training.export.random_jets import random_jets
    from oddjets.training.validate.parity import groups, parity, run_model
    from oddjets.training.validate.reference import Reference

    rng = np.random.default_rng(1)
    for part in ("train", "val", "test"):
        jets = random_jets(list(range(20, 44)), rng)  # the last, the test's, are compared below
        folder = tmp_path / "data" / "custom" / part
        folder.mkdir(parents=True)
        with h5py.File(folder / "jets.h5", "w") as file:
            file["data"] = np.concatenate([jets.x, jets.pid[..., np.newaxis], jets.add], axis=-1).astype(np.float32)
            file["pid"] = rng.integers(0, 200, len(jets.x))
    omnilearned(tmp_path, "train", "-o", "checkpoints", "--mode", "pretrain", "--epoch", "1")
    omnilearned(tmp_path, "evaluate", "-i", "checkpoints", "-o", str(tmp_path), "--mode", "classifier")
    evaluated = np.load(tmp_path / "outputs_tiny_custom_0.npz")["prediction"]

    checkpoint = tmp_path / "checkpoints" / "best_model_tiny.pt"
    card = load_card(export(checkpoint, tmp_path / "tiny.onnx", size="small", output="probabilities").card)
    found = run_model(card, jets)
    # a network that was hardly trained: probabilities near 1/200, which differ between jets by 1e-4 and more
    assert np.ptp(evaluated, axis=0).max() > 1e-4
    np.testing.assert_allclose(found, evaluated, rtol=0, atol=1e-5)
    for row in parity(card, Reference(read_checkpoint(checkpoint)), groups(8, seed=2)):
        assert row.maximum < card.numerics.tolerance or not row.judged, row
