"""Checkpoints: the architecture is read off the shapes, and nothing that does not fit passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oddjets.core.errors import OddjetsError


def read(path: Path, size: str | None = None) -> Any:
    from oddjets.training.export.checkpoint import read_checkpoint

    return read_checkpoint(path, size)


def test_the_architecture_is_read_off_the_shapes(checkpoint: Path) -> None:
    network = read(checkpoint)
    assert network.config._asdict() == {
        "base_dim": 32,
        "heads": 4,
        "depth": 2,
        "local_depth": 2,
        "head_depth": 2,
        "tokens": 3,
        "n_classes": 210,
        "species": 9,
        "neighbours": 10,
    }
    assert network.size == ""
    assert not any("MPFourier" in name or "time_embed" in name for name in network.weights)


def test_the_published_small_size_is_recognised(torch: Any, shared_dir: Path) -> None:
    path = shared_dir / "models" / "best_model_simulation_s.pt"
    assert read(path, "small").size == "small"
    with pytest.raises(OddjetsError, match="is small, not large"):
        read(path, "large")
    with pytest.raises(OddjetsError, match="no model size 'smal'; did you mean 'small'"):
        read(path, "smal")


def test_sizes_are_those_of_the_command_line(torch: Any) -> None:
    from omnilearned.utils import get_model_parameters

    from oddjets.training.export.checkpoint import SIZES

    keys = ("base_dim", "num_heads", "num_transformers", "num_transformers_head")
    for size, ours in SIZES.items():
        theirs = get_model_parameters(size)
        assert ours == tuple(theirs[key] for key in keys)
        assert (theirs["num_tokens"], theirs["mlp_ratio"]) == (4, 2)


def without(*prefixes: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: {k: v for k, v in body.items() if not k.startswith(prefixes)}


def test_all_that_is_wrong_is_said_at_once(torch: Any, content: dict[str, Any], tmp_path: Path) -> None:
    body = without("norm.alpha", "in_blocks.0.mlp.fc1.bias")(content["body"]) | {"extra": content["body"]["token"]}
    torch.save(content | {"body": body}, tmp_path / "changed.pt")
    with pytest.raises(OddjetsError) as error:
        read(tmp_path / "changed.pt")
    for what in ("norm.alpha is missing", "in_blocks.0.mlp.fc1.bias is missing", "extra is unknown"):
        assert f"body.{what}" in str(error.value)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("body", without("interaction."), "trained without --interaction:"),
        ("body", without("pid_embed.", "add_embed."), "trained without --use-pid, --use-add:"),
        ("body", without("in_blocks.1.norm2.alpha"), "body.in_blocks.1.norm2.alpha is missing"),
        ("body", without("token"), "lacks body.token"),
        ("body", lambda b: b | {"cond_embed.0.fc1.weight": b["token"]}, "body.cond_embed.0.fc1.weight is unknown"),
        (
            "body",
            lambda b: b | {"norm.weight": b["norm.weight"][:5]},
            r"body.norm.weight has shape \(5,\), not \(32,\)",
        ),
        ("body", lambda b: b | {"norm.alpha": 0 * b["norm.alpha"]}, "body.norm.alpha is zero"),
        (
            "body",
            lambda b: b | {"local_physics.mlp.fc1.weight": b["local_physics.mlp.fc1.weight"][:, :4]},
            "trained without --local-interaction",
        ),
        ("classifier_head", without("out.bias"), "classifier.out.bias is missing"),
        ("classifier_head", without("out."), "lacks classifier.out.weight"),
        # what only the body may have too much
        ("classifier_head", lambda c: c | {"time_embed.0": c["out.bias"]}, "classifier.time_embed.0 is unknown"),
    ],
)
def test_another_network_is_refused(
    torch: Any, content: dict[str, Any], part: str, change: Callable[[Any], Any], message: str, tmp_path: Path
) -> None:
    torch.save(content | {part: change(content[part])}, tmp_path / "changed.pt")
    with pytest.raises(OddjetsError, match=message):
        read(tmp_path / "changed.pt")


def test_what_is_no_checkpoint_is_refused(torch: Any, tmp_path: Path, checkpoint: Path) -> None:
    torch.save({"model": 1}, tmp_path / "other.pt")
    with pytest.raises(OddjetsError, match=r"no body and classifier_head \(found: model\)"):
        read(tmp_path / "other.pt")
    torch.save({"body": {"token": 1}, "classifier_head": {}}, tmp_path / "numbers.pt")
    with pytest.raises(OddjetsError, match="are no weights by name"):
        read(tmp_path / "numbers.pt")
    with pytest.raises(OddjetsError, match=r"did you mean 'other\.pt'"):
        read(tmp_path / "othe.pt")
    (tmp_path / "broken.pt").write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(OddjetsError, match=r"broken\.pt cannot be read without running code .*: PytorchStreamReader"):
        read(tmp_path / "broken.pt")
    (tmp_path / "text.pt").write_text("weights", encoding="utf-8")
    with pytest.raises(OddjetsError, match=r"text\.pt cannot be read .*: Unsupported operand \d+$"):
        read(tmp_path / "text.pt")


class Harmful:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.fault("A checkpoint that contains code", "Refuses it without running the code.")
def test_code_inside_a_checkpoint_does_not_run(torch: Any, content: dict[str, Any], tmp_path: Path) -> None:
    torch.save(content | {"extra": Harmful(tmp_path / "ran")}, tmp_path / "harmful.pt")
    with pytest.raises(OddjetsError, match=r"without running code that it may contain: .*GLOBAL") as error:
        read(tmp_path / "harmful.pt")
    assert "weights_only" not in str(error.value)  # PyTorch's advice to run it
    assert not (tmp_path / "ran").exists()
