"""ONNX Runtime sessions: one per process, model and device."""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import threading
from typing import Any, Literal, NamedTuple

from oddjets.core.console import log
from oddjets.core.errors import OddjetsError
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard

__all__ = ["Provider", "check_provider", "cpu_fallback_reason", "get_session", "runtime_version"]

#: what a user can ask for: ``cuda`` means CUDA or an error, ``auto`` CUDA where there is one
Provider = Literal["cpu", "cuda", "auto"]

_CPU, _CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_ELEMENT_TYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64"}
#: severity of ONNX Runtime's own log: errors alone; what matters is raised
_LOG_ERRORS = 3


class _OpenedSession(NamedTuple):
    session: Any
    used: Literal["cpu", "cuda"]
    #: why ``auto`` means the CPU
    cpu_fallback_reason: str


# Sessions do not pickle, and one held by a processor would be built anew for every chunk: a cache per process, keyed by
# (process, sha256, provider, device). The process is part of the key because a fork copies the cache, and a CUDA
# session does not survive a fork.
_SESSIONS: dict[tuple[int, str, Provider, int], _OpenedSession] = {}
_LOCK = threading.Lock()


def runtime_version() -> str:
    """Say which ONNX Runtime is installed, for manifests.

    Returns:
        For example ``"onnxruntime 1.20.0"``.

    Raises:
        OddjetsError: none is installed, or both are: they own the same folder, and whichever came last wins.
    """
    found = {}
    for wheel in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found[wheel] = importlib.metadata.version(wheel)
        except importlib.metadata.PackageNotFoundError:
            continue
    if not found:
        raise OddjetsError(
            "scores need ONNX Runtime, and none is installed: pip install 'oddjets[cpu]', "
            "or 'oddjets[gpu]' on a machine with an NVIDIA GPU"
        )
    if len(found) > 1:
        raise OddjetsError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other: pip uninstall both, then "
            "pip install 'oddjets[cpu]' or 'oddjets[gpu]'"
        )
    return " ".join(next(iter(found.items())))


def check_provider(provider: Provider) -> None:
    """Refuse a provider that this installation does not have.

    Args:
        provider: what will be asked for.

    Raises:
        OddjetsError: no ONNX Runtime, two of them, or one without CUDA where that is asked for.
    """
    version = runtime_version()
    import onnxruntime

    if provider == "cuda" and _CUDA not in onnxruntime.get_available_providers():
        raise OddjetsError(f"provider 'cuda': {_without_cuda(version)}; or ask for 'auto' or 'cpu'")


def _without_cuda(version: str) -> str:
    return f"{version} has no CUDA: install 'oddjets[gpu]'"


def get_session(
    card: ModelCard | ColumnCard, provider: Provider, device: int = 0
) -> tuple[Any, Literal["cpu", "cuda"]]:
    """Return this process's session of a model, built at the first call.

    Sessions compute with one thread: with more, ONNX Runtime splits matrices by the number of threads, and the last
    bits of a score depend on it. Several threads may share a session.

    Args:
        card: the model card.
        provider: what was asked for.
        device: number of the GPU.

    Returns:
        The ``onnxruntime.InferenceSession``, and the provider really used.

    Raises:
        OddjetsError: no ONNX Runtime or two of them; CUDA was asked for and is not to be had; the model does not load
            or does not fit its card.
    """
    opened = _opened(card, provider, device)
    return opened.session, opened.used


def cpu_fallback_reason(card: ModelCard | ColumnCard, provider: Provider, device: int = 0) -> str:
    """Return why ``auto`` means the CPU here; "" where it does not, or another provider was asked for.

    Arguments and errors are those of `get_session`.
    """
    return _opened(card, provider, device).cpu_fallback_reason


def _opened(card: ModelCard | ColumnCard, provider: Provider, device: int) -> _OpenedSession:
    key = (os.getpid(), card.sha256, provider, device)
    with _LOCK:
        if key not in _SESSIONS:
            _SESSIONS[key] = _open(card, provider, device)
        opened = _SESSIONS[key]
    # several cards may be of one file
    _check_graph(opened.session, card)
    return opened


def _open(card: ModelCard | ColumnCard, provider: Provider, device: int) -> _OpenedSession:
    version = runtime_version()
    import onnxruntime  # not at the top: this module must be importable without it

    def build(providers: list[Any]) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = _LOG_ERRORS
        try:
            return onnxruntime.InferenceSession(card.path, options, providers=providers)
        except Exception as error:  # ONNX Runtime's exceptions have no common base
            raise OddjetsError(f"{card.path} of the model {card.name} does not load in {version}: {error}") from error

    session, used, reason = None, _CPU, ""
    if provider != "cpu":
        reason = _without_cuda(version)
        if _CUDA in onnxruntime.get_available_providers():
            onnxruntime.preload_dlls()
            # use_tf32: TF32 in the distance product alone costs 9e-3 in the probabilities
            # kSameAsRequested: workers may share a GPU, and the default takes memory by powers of two
            # sdpa_kernel: the fused attention of CUTLASS. cuDNN's, the default, is 2 to 5 % faster, and takes 0.1 s to plan for
            # each new shape: ten chunks of 1500 jets at 560 to 3500 jets/s on an H100, in place of 24 000
            options = {
                "device_id": device,
                "use_tf32": 0,
                "arena_extend_strategy": "kSameAsRequested",
                "sdpa_kernel": 2,
            }
            session = build([(_CUDA, options), _CPU])
            used = session.get_providers()[0]
            reason = "ONNX Runtime could not start CUDA (driver, CUDA or cuDNN libraries?) and fell back to the CPU"
        if used != _CUDA:
            if provider == "cuda":
                raise OddjetsError(f"provider 'cuda' of the model {card.name}: {reason}; or ask for 'auto' or 'cpu'")
            # of many workers, whoever gave them the work says it once
            if multiprocessing.parent_process() is None:
                log.warning("scores of %s are computed on the CPU: %s", card.name, reason)
    if session is None:
        session = build([_CPU])
    return _OpenedSession(session, "cuda", "") if used == _CUDA else _OpenedSession(session, "cpu", reason)


def _check_graph(session: Any, card: ModelCard | ColumnCard) -> None:
    """Raise with all differences between the graph's inputs and outputs and those that the card states."""
    wrong = []
    inputs = {node.name: node for node in session.get_inputs()}
    stated = {tensor.name for tensor in card.inputs}
    if set(inputs) != stated:
        wrong.append(f"the graph's inputs are {', '.join(inputs)}, the card's {', '.join(sorted(stated))}")
    for tensor in card.inputs:
        if (node := inputs.get(tensor.name)) is None:
            continue
        if _ELEMENT_TYPES.get(node.type, node.type) != tensor.dtype:
            wrong.append(f"input {tensor.name} is {node.type} in the graph, {tensor.dtype} in the card")
        # dimensions that the graph leaves open have a name or none
        fits = len(node.shape) == len(tensor.shape) and all(
            not isinstance(size, int) or size == expected
            for size, expected in zip(node.shape, tensor.shape, strict=True)
        )
        if not fits:
            wrong.append(f"input {tensor.name} has shape {node.shape} in the graph, {list(tensor.shape)} in the card")
    outputs = {node.name: node for node in session.get_outputs()}
    output = outputs.get(card.output.name)
    if output is None:
        wrong.append(f"the graph's outputs are {', '.join(outputs)}, the card's {card.output.name}")
    elif isinstance(card, ColumnCard):
        wrong += _misfit_of_columns(output, card)
    elif len(output.shape) != 2 or output.shape[1] != card.output.n_classes:
        wrong.append(
            f"output {output.name} has shape {output.shape} in the graph, {card.output.n_classes} classes in the card"
        )
    if wrong:
        raise OddjetsError("\n  ".join([f"{card.path} does not fit the card of {card.name}:", *wrong]))


def _misfit_of_columns(output: Any, card: ColumnCard) -> list[str]:
    """Return what is wrong with the output of a model of jet columns; sizes that the graph leaves open are seen later."""
    expected = card.output.n_columns
    if _ELEMENT_TYPES.get(output.type) not in ("float32", "float64"):
        of_maps = (
            ": export the classifier without ZipMap (skl2onnx: options={'zipmap': False})"
            if "map" in output.type
            else ""
        )
        return [
            f"output {output.name} is {output.type} in the graph, and a score is computed from real numbers{of_maps}"
        ]
    flat = len(output.shape) == 1 and expected == 1
    if not flat and (len(output.shape) != 2 or (isinstance(output.shape[1], int) and output.shape[1] != expected)):
        return [f"output {output.name} has shape {output.shape} in the graph, {expected} columns in the card"]
    return []
