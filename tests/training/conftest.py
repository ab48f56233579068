"""A small network of OmniLearned's own making, and its export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

#: arguments of PET2: as the command line sets them, but for the size
SMALL = {"base_dim": 32, "num_heads": 4, "num_transformers": 2, "num_transformers_head": 2, "num_tokens": 3}


@pytest.fixture(scope="session")
def torch() -> Any:
    for module in ("omnilearned", "onnx"):
        pytest.importorskip(module, reason=f"needs {module}: pip install 'oddjets[train]'")
    module = pytest.importorskip("torch", reason="needs torch: pip install 'oddjets[train]'")
    module.set_num_threads(1)
    return module


@pytest.fixture(scope="session")
def content(torch: Any) -> dict[str, Any]:
    """What a checkpoint of a network with random weights holds: all biases and slopes differ, so that a mistake shows."""
    from omnilearned.network import PET2

    torch.manual_seed(5)
    model = PET2(
        input_dim=4,
        pid=True,
        add_info=True,
        mode="pretrain",
        num_classes=210,
        K=10,
        num_coord=2,
        num_gen_classes=1,
        **SMALL,
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 or name.endswith("token"):
                parameter.add_(0.2 * torch.randn(parameter.shape))
        model.classifier.out.weight.mul_(4)  # probabilities far from equal, and from 0 and 1
    return {
        "body": model.body.state_dict(),
        "classifier_head": model.classifier.state_dict(),
        "generator_head": model.generator.state_dict(),
        "epoch": 1,
    }


@pytest.fixture(scope="session")
def checkpoint(torch: Any, content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("checkpoint") / "best_model_random.pt"
    torch.save(content, path)
    return path


@pytest.fixture(scope="session")
def card(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of the exported network."""
    from oddjets.training.export.onnx import export

    return export(checkpoint, tmp_path_factory.mktemp("export") / "random.onnx").card
