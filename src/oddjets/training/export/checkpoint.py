"""OmniLearned checkpoints: their architecture, read off the shapes, and their weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError, nearest, nearest_file
from oddjets.core.optional_imports import require

__all__ = ["SIZES", "Checkpoint", "Pet2Config", "read_checkpoint", "read_tensors"]

#: keys of a checkpoint that classification does not use: the time embedding of the diffusion
_UNUSED = ("MPFourier.", "time_embed.")


class Pet2Config(NamedTuple):
    """The architecture of a PET2 in classifier mode, as the ``omnilearned`` 0.2.0 command line builds it.

    Attributes:
        base_dim: width of the network.
        heads: number of attention heads.
        depth: blocks of the body.
        local_depth: blocks of the local embedding.
        head_depth: blocks of the classifier.
        tokens: class tokens.
        n_classes: outputs.
        species: rows of the table of particle types.
        neighbours: K of the local embedding; no shape depends on it; 10 unless the command line is told otherwise.
    """

    base_dim: int
    heads: int
    depth: int
    local_depth: int
    head_depth: int
    tokens: int
    n_classes: int
    species: int
    neighbours: int = 10


#: base_dim, heads, depth, depth of local embedding and classifier; omnilearned.utils.get_model_parameters
SIZES: dict[str, tuple[int, int, int, int]] = {
    "small": (128, 8, 8, 2),
    "medium": (512, 16, 12, 2),
    "large": (1024, 32, 28, 4),
}


class Checkpoint(NamedTuple):
    """A network and its weights.

    Attributes:
        config: the architecture.
        weights: arrays by name, ``body.`` and ``classifier.`` before the checkpoint's own keys; float32.
        size: small, medium, large, or "" for another architecture.
    """

    config: Pet2Config
    weights: Mapping[str, NDArray[np.float32]]
    size: str


def read_checkpoint(path: Path, size: str | None = None) -> Checkpoint:
    """Read a checkpoint in OmniLearned's layout, running no code that it may contain.

    Args:
        path: the ``.pt`` file, with ``body`` and ``classifier_head``.
        size: what the user takes it for; None to take it as it is.

    Returns:
        The network.

    Raises:
        OddjetsError: no such file, no such layout, a network that is not what the ``omnilearned`` command line builds
            for the classification of jets, keys that are missing or unknown, or another size.
    """
    require("torch")
    if not path.is_file():
        beside = [p.name for p in path.parent.glob("*.pt")] if path.parent.is_dir() else []
        raise OddjetsError(f"no checkpoint {path}; {nearest_file(path.name, beside)}".rstrip("; "))
    content = read_tensors(path)
    if not isinstance(content, dict) or not {"body", "classifier_head"} <= set(content):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise OddjetsError(f"{path} has no body and classifier_head (found: {found}): it is not from OmniLearned")
    try:
        weights = _arrays("body", content["body"]) | _arrays("classifier", content["classifier_head"])
    except AttributeError as error:
        raise OddjetsError(
            f"{path}: body and classifier_head are no weights by name ({error}): it is not from OmniLearned"
        ) from error
    config = _configuration(path, weights)
    _check_shapes(path, config, weights)
    known = {parameters: name for name, parameters in SIZES.items()}
    found_size = known.get((config.base_dim, config.heads, config.depth, config.local_depth), "")
    if size is not None and size != found_size:
        if size not in SIZES:
            raise OddjetsError(f"no model size '{size}'; {nearest(size, SIZES)}")
        raise OddjetsError(f"{path} is {found_size or 'of no published size'}, not {size}: {config}")
    used = {name: array for name, array in weights.items() if name in _expected(config)}
    return Checkpoint(config, used, found_size)


def read_tensors(path: Path) -> Any:
    """Read a file that PyTorch saved, running no code that it may contain.

    Args:
        path: the file.

    Returns:
        Dictionaries, lists and numbers, with tensors on the CPU.

    Raises:
        OddjetsError: it is damaged, something else, or has code inside.
    """
    torch = require("torch")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle's, zipfile's and torch's errors have no common base
        # before and after its reason, PyTorch advises to run the code
        reason = str(error).rpartition("WeightsUnpickler error:")[2].strip()
        reason = reason.partition("\n")[0].partition(". Please")[0]
        raise OddjetsError(f"{path} cannot be read without running code that it may contain: {reason}") from error


def _arrays(prefix: str, state: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    return {f"{prefix}.{key}": tensor.detach().float().numpy() for key, tensor in state.items()}


def _count(names: Iterable[str], blocks: str) -> int:
    return len({match[1] for name in names if (match := re.match(rf"{re.escape(blocks)}\.(\d+)\.", name))})


def _configuration(path: Path, weights: Mapping[str, NDArray[np.float32]]) -> Pet2Config:
    """Read the architecture off the shapes, and refuse networks that were built with other options."""
    options = {
        "--interaction": "body.interaction.mlp.fc2.weight",
        "--use-pid": "body.pid_embed.0.weight",
        "--use-add": "body.add_embed.0.fc1.weight",
    }
    if absent := [option for option, key in options.items() if key not in weights]:
        raise OddjetsError(
            f"{path} was trained without {', '.join(absent)}: the published networks have them all, and no other is "
            "exported"
        )
    needed = ("body.token", "body.local_physics.mlp.fc1.weight", "body.embed.mlp.fc1.weight", "classifier.out.weight")
    if missing := [key for key in needed if key not in weights]:
        raise OddjetsError(f"{path} lacks {', '.join(missing)}")
    columns = weights["body.local_physics.mlp.fc1.weight"].shape[1]
    if columns != 7:
        raise OddjetsError(
            f"{path}: local_physics.mlp.fc1 has {columns} inputs, not 4 features and 3 of a pair: trained without "
            "--local-interaction"
        )
    if (features := weights["body.embed.mlp.fc1.weight"].shape[1]) != 4:
        raise OddjetsError(f"{path}: constituents have {features} features, not the 4 of FatJetPFCands")
    return Pet2Config(
        base_dim=weights["body.token"].shape[2],
        heads=weights["body.interaction.mlp.fc2.weight"].shape[0],
        depth=_count(weights, "body.in_blocks"),
        local_depth=_count(weights, "body.local_physics.in_blocks"),
        head_depth=_count(weights, "classifier.in_blocks"),
        tokens=weights["body.token"].shape[1],
        n_classes=weights["classifier.out.weight"].shape[0],
        species=weights["body.pid_embed.0.weight"].shape[0],
    )


def _expected(config: Pet2Config) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of all weights that the network has."""
    width, hidden = config.base_dim, 2 * config.base_dim
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, size: int) -> None:
        shapes[f"{name}.alpha"], shapes[f"{name}.weight"] = (1,), (size,)

    def mlp(name: str, sizes: tuple[int, int, int], bias: bool = True, normed: bool = True) -> None:
        for layer, (n_in, n_out) in {"fc1": sizes[:2], "fc2": sizes[1:]}.items():
            shapes[f"{name}.{layer}.weight"] = (n_out, n_in)
            if bias:
                shapes[f"{name}.{layer}.bias"] = (n_out,)
        if normed:
            norm(f"{name}.norm", sizes[1])

    def block(name: str, norms: tuple[str, ...]) -> None:
        for one in norms:
            norm(f"{name}.{one}", width)
        shapes[f"{name}.attn.in_proj_weight"] = (3 * width, width)
        shapes[f"{name}.attn.out_proj.weight"] = (width, width)
        mlp(f"{name}.mlp", (width, hidden, width))

    shapes["body.token"] = (1, config.tokens, width)
    norm("body.embed.norm", 4)
    mlp("body.embed.mlp", (4, hidden, width))
    mlp("body.interaction.mlp", (3, hidden, config.heads), normed=False)
    mlp("body.local_physics.mlp", (7, hidden, width))
    for i in range(config.local_depth):
        block(f"body.local_physics.in_blocks.{i}", ("norm1", "norm2"))
    mlp("body.add_embed.0", (4, hidden, width), bias=False)
    shapes["body.pid_embed.0.weight"] = (config.species, width)
    for i in range(config.depth):
        block(f"body.in_blocks.{i}", ("norm1", "norm2"))
    norm("body.norm", width)
    for i in range(config.head_depth):
        block(f"classifier.in_blocks.{i}", ("norm",))
    together = config.tokens * width
    mlp("classifier.fc", (together, 2 * together, together))
    shapes["classifier.out.weight"], shapes["classifier.out.bias"] = (config.n_classes, together), (config.n_classes,)
    return shapes


def _check_shapes(path: Path, config: Pet2Config, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Raise with all keys that are missing, unknown, or of another shape than the architecture says."""
    expected = _expected(config)
    wrong = [f"{name} is missing" for name in expected if name not in weights]
    wrong += [
        f"{name} is unknown"
        for name in weights
        if name not in expected and not name.removeprefix("body.").startswith(_UNUSED)
    ]
    wrong += [
        f"{name} has shape {weights[name].shape}, not {shape}"
        for name, shape in expected.items()
        if name in weights and weights[name].shape != shape
    ]
    if config.base_dim % config.heads:
        wrong.append(f"{config.base_dim} features do not divide into {config.heads} heads")
    # the graph keeps residual streams multiplied by the slope of the next normalisation
    wrong += [f"{name} is zero" for name in expected if name.endswith(".alpha") and not np.all(weights.get(name, 1))]
    if wrong:
        raise OddjetsError("\n  ".join([f"{path} does not fit the architecture of OmniLearned 0.2.0:", *wrong]))
