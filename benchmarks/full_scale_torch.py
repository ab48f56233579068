"""The shipped ONNX models on a GPU by PyTorch, where ONNX Runtime has no CUDA: for full_scale.py.

A graph is run node by node, with the operators that the models of this package have. All arithmetic is in 32 bits, without
TF32, and jets are padded to the longest one of their batch, as ONNX Runtime does on a GPU. A process of its own serves each
GPU: workers send jets, and get the model's output.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.errors import OddjetsError
from oddjets.scoring.inputs import PreparedJets
from oddjets.scoring.model_card import ModelCard
from oddjets.scoring.scorer import Scorer

#: jets x constituents of a batch
CELLS = 60_000
#: logits that differ by more are another model's
MOST_DIFFERENT = 1e-2


class TorchGraph:
    """An ONNX graph that PyTorch runs.

    Args:
        file: the ONNX file.
        device: where, such as ``cuda:0`` or ``cpu``.
    """

    def __init__(self, file: Path, device: str) -> None:
        import onnx
        import torch
        from onnx import numpy_helper

        torch.backends.cuda.matmul.allow_tf32 = False
        self.torch, self.device = torch, device
        model = onnx.load(str(file))
        self.inputs = [node.name for node in model.graph.input]
        self.output = model.graph.output[0].name
        self.known: dict[str, Any] = {}
        for stored in model.graph.initializer:
            array = np.array(numpy_helper.to_array(stored))
            # sizes and axes stay where Python reads them
            self.known[stored.name] = torch.from_numpy(array).to("cpu" if array.dtype.kind == "i" else device)
        operators = _operators(torch, device)
        self.nodes: list[tuple[Callable[..., Any], list[str], list[str], dict[str, Any]]] = []
        for node in model.graph.node:
            if node.op_type not in operators:
                raise OddjetsError(f"{file}: PyTorch is not told how to compute '{node.op_type}'; score on the CPU")
            given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            operator, names = operators[node.op_type], list(node.input)
            if all(name in self.known for name in names) and names:
                # weights that are stored in 16 bits
                self.known[node.output[0]] = operator(given, *(self.known[name] for name in names))
                continue
            self.nodes.append((operator, names, list(node.output), given))
        self.last = {name: i for i, (_, names, _, _) in enumerate(self.nodes) for name in names}

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Return the output for padded inputs, as `PreparedJets.tensors` makes them."""
        with self.torch.inference_mode():
            found = {name: self.torch.from_numpy(inputs[name]).to(self.device) for name in self.inputs}
            for i, (operator, names, outputs, given) in enumerate(self.nodes):
                values = [(found[n] if n in found else self.known[n]) if n else None for n in names]
                made = operator(given, *values)
                found.update(zip(outputs, made if isinstance(made, tuple) else (made,), strict=False))
                for name in names:
                    if self.last[name] == i:
                        found.pop(name, None)
            return np.asarray(found[self.output].float().cpu().numpy())


def run_in_batches(graph: Callable[..., npt.NDArray[np.float32]], prepared: PreparedJets, classes: int) -> Any:
    """Return the output for all jets, NaN for those without constituents, shape (jets, classes)."""
    counts = prepared.counts
    output = np.full((len(counts), classes), np.nan, np.float32)
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    while len(order):
        length = int(counts[order[-1]])
        # jets of like lengths share a batch; a graph that looks for ten neighbours gets as many places
        size = max(1, CELLS // max(length, 12))
        rows, order = order[-size:], order[:-size]
        alike = counts[rows] > 0.75 * length
        order = np.concatenate([order, rows[~alike]]) if len(rows[alike]) > 100 else order
        rows = rows[alike] if len(rows[alike]) > 100 else rows
        output[rows] = graph(prepared.tensors(rows, max(length, 12)))
    return output


def _ints(values: Any) -> list[int]:
    return [int(v) for v in values.tolist()] if values.ndim else [int(values)]


def _operators(torch: Any, device: str) -> dict[str, Callable[..., Any]]:
    types = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}

    def beside(*values: Any) -> list[Any]:
        """Move small constants to where the others are."""
        at = next((v.device for v in values if v is not None and v.device.type != "cpu"), None)
        return [v if at is None or v is None else v.to(at) for v in values]

    def two(operation: Callable[..., Any]) -> Callable[..., Any]:
        return lambda given, *values: operation(*beside(*values))

    def reshape(given: Any, x: Any, shape: Any) -> Any:
        sizes = _ints(shape)
        if not given.get("allowzero"):
            sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
        return x.reshape(sizes)

    def gemm(given: Any, a: Any, b: Any, c: Any = None) -> Any:
        a, b, c = beside(a.T if given.get("transA") else a, b.T if given.get("transB") else b, c)
        alpha, beta = given.get("alpha", 1.0), given.get("beta", 1.0)
        return alpha * (a @ b) if c is None else torch.addmm(c, a, b, beta=beta, alpha=alpha)

    def batch_last(x: Any) -> Any:
        # Microsoft's transBatch: the first axis moves in front of the last one
        return x.permute(*range(1, x.ndim - 1), 0, x.ndim - 1)

    def fused(given: Any, a: Any, b: Any) -> Any:
        a = batch_last(a) if given.get("transBatchA") else a
        b = batch_last(b) if given.get("transBatchB") else b
        a = a.transpose(-1, -2) if given.get("transA") else a
        b = b.transpose(-1, -2) if given.get("transB") else b
        return given.get("alpha", 1.0) * (a @ b) if given.get("alpha", 1.0) != 1.0 else a @ b

    def gather(given: Any, x: Any, index: Any) -> Any:
        axis = given.get("axis", 0) % x.ndim
        index = index.to(x.device)
        flat = torch.where(index < 0, index + x.shape[axis], index).reshape(-1).to(torch.int64)
        taken = x.index_select(axis, flat)
        return taken.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])

    def cut(given: Any, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
        places = list(range(x.ndim)) if axes is None else _ints(axes)
        by = [1] * len(places) if steps is None else _ints(steps)
        part = [slice(None)] * x.ndim
        for axis, start, end, step in zip(places, _ints(starts), _ints(ends), by, strict=False):
            if step < 0:
                raise OddjetsError("a slice with a negative step: score on the CPU")
            part[axis] = slice(start, end, step)
        return x[tuple(part)]

    def pad(given: Any, x: Any, sizes: Any, value: Any = None) -> Any:
        n, around = x.ndim, _ints(sizes)
        pairs = [(around[i], around[i + n]) for i in range(n)][::-1]
        return torch.nn.functional.pad(
            x, [s for pair in pairs for s in pair], value=0.0 if value is None else float(value)
        )

    def unsqueeze(given: Any, x: Any, axes: Any) -> Any:
        rank = x.ndim + len(_ints(axes))
        for axis in sorted(a % rank for a in _ints(axes)):
            x = x.unsqueeze(axis)
        return x

    def squeeze(given: Any, x: Any, axes: Any = None) -> Any:
        for axis in sorted((a % x.ndim for a in _ints(axes)), reverse=True) if axes is not None else ():
            x = x.squeeze(axis)
        return x if axes is not None else x.squeeze()

    def split(given: Any, x: Any, sizes: Any = None) -> Any:
        axis = given.get("axis", 0)
        parts = -(-x.shape[axis] // given["num_outputs"]) if sizes is None else _ints(sizes)
        return torch.split(x, parts, dim=axis)

    def topk(given: Any, x: Any, k: Any) -> Any:
        found = torch.topk(
            x,
            _ints(k)[0],
            dim=given.get("axis", -1),
            largest=bool(given.get("largest", 1)),
            sorted=bool(given.get("sorted", 1)),
        )
        return found.values, found.indices

    def reduced(operation: Callable[..., Any]) -> Callable[..., Any]:
        def reduce(given: Any, x: Any, axes: Any = None) -> Any:
            places = list(range(x.ndim)) if axes is None else _ints(axes)
            return operation(x, dim=places, keepdim=bool(given.get("keepdims", 1)))

        return reduce

    def shape(given: Any, x: Any) -> Any:
        return torch.tensor(list(x.shape[given.get("start", 0) : given.get("end", x.ndim)]))

    def clip(given: Any, x: Any, least: Any = None, most: Any = None) -> Any:
        x = x if least is None else torch.maximum(*beside(x, least))
        return x if most is None else torch.minimum(*beside(x, most))

    def gelu(given: Any, x: Any) -> Any:
        how = given.get("approximate", b"none")
        return torch.nn.functional.gelu(x, approximate=how.decode() if isinstance(how, bytes) else how)

    def expand(given: Any, x: Any, sizes: Any) -> Any:
        wanted = _ints(sizes)
        return x.expand(torch.broadcast_shapes(tuple(x.shape), tuple(wanted)))

    return {
        "Add": two(torch.add), "Sub": two(torch.sub), "Mul": two(torch.mul), "Div": two(_divide(torch)), "Pow": two(torch.pow),
        "MatMul": two(torch.matmul), "Min": two(torch.minimum), "Max": two(torch.maximum), "Where": two(torch.where),
        "Greater": two(torch.gt), "Less": two(torch.lt), "Equal": two(torch.eq),
        "Tanh": two(torch.tanh), "Sin": two(torch.sin), "Sinh": two(torch.sinh), "Log": two(torch.log), "Exp": two(torch.exp),
        "Sqrt": two(torch.sqrt), "Not": two(torch.logical_not), "Identity": two(lambda x: x), "Gelu": gelu,
        "Reshape": reshape, "Gemm": gemm, "FusedMatMul": fused, "Gather": gather, "Slice": cut, "Pad": pad,
        "Unsqueeze": unsqueeze, "Squeeze": squeeze, "Split": split, "TopK": topk, "ReduceSum": reduced(torch.sum),
        "ReduceMin": reduced(torch.amin), "Shape": shape, "Clip": clip, "Expand": expand,
        "Transpose": lambda given, x: x.permute(*given["perm"]),
        "Concat": lambda given, *values: torch.cat(beside(*values), dim=given["axis"]),
        "Softmax": lambda given, x: torch.softmax(x, dim=given.get("axis", -1)),
        "Cast": lambda given, x: x.to(types[given["to"]]),
        "GatherElements": lambda given, x, index: torch.gather(x, given.get("axis", 0), index.to(x.device)),
        "Range": lambda given, first, end, step: torch.arange(int(first), int(end), int(step)).to(device),
    }  # fmt: skip


def _divide(torch: Any) -> Callable[..., Any]:
    def divide(x: Any, y: Any) -> Any:
        whole = not (x.is_floating_point() or y.is_floating_point())
        return torch.div(x, y, rounding_mode="trunc") if whole else torch.div(x, y)

    return divide


class RemoteScorer(Scorer):
    """A scorer whose model runs in the process of `serve`; the rest is that of the package."""

    def __init__(self, card: ModelCard, address: str) -> None:
        super().__init__(card, "cpu")
        self.address = address

    @property
    def provider_used(self) -> Any:
        """The provider, for the record."""
        return "cuda"

    @property
    def fallback(self) -> str:
        """There is none."""
        return ""

    def run(self, prepared: PreparedJets, progress: Callable[[int], None] | None = None) -> Any:
        """Run the model; see `Scorer.run`."""
        connection = _connection(self.address)
        connection.send((str(self.card.path), self.card.output.n_classes, prepared))
        output = connection.recv()
        if isinstance(output, str):
            raise OddjetsError(f"the model {self.card.name} failed on the GPU: {output}")
        filled = prepared.counts > 0
        if bad := int((~np.isfinite(output[filled]).all(axis=1)).sum()):
            raise OddjetsError(
                f"the model {self.card.name} gives values that are not finite for {bad} of {filled.sum()} jets"
            )
        return output


_CONNECTIONS: dict[tuple[int, str], Connection] = {}


def _connection(address: str) -> Connection:
    key = (os.getpid(), address)
    if key not in _CONNECTIONS:
        _CONNECTIONS[key] = Client(address, "AF_UNIX", authkey=b"oddjets")
    return _CONNECTIONS[key]


def largest_difference(file: Path, graph: TorchGraph, jets: int = 24) -> float:
    """Return by how much logits of random jets in one padded batch differ from those of ONNX Runtime, one by one.

    Args:
        file: the model.
        graph: the same.
        jets: how many.
    """
    import onnxruntime

    rng = np.random.default_rng(1)
    counts = rng.integers(3, 90, jets)
    counts[0] = 90
    batch: dict[str, npt.NDArray[Any]] = {
        "x": np.zeros((jets, 90, 4), np.float32),
        "pid": np.zeros((jets, 90), np.int64),
    }
    batch["add"] = np.zeros((jets, 90, 4), np.float32)
    for row, count in enumerate(counts):
        log_pt = -np.sort(-rng.normal(2, 1.5, count))
        batch["x"][row, :count] = np.stack([*rng.normal(0, 0.2, (2, count)), log_pt, log_pt + 0.3], axis=1)
        batch["pid"][row, :count] = rng.integers(0, 9, count)
        batch["add"][row, :count] = rng.normal(0, 0.01, (count, 4))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    alone = [
        session.run(None, {name: values[row : row + 1, :count] for name, values in batch.items()})[0][0]
        for row, count in enumerate(counts)
    ]
    return float(np.abs(graph(batch) - np.stack(alone)).max())


def serve(address: str, device: str, models: list[str]) -> None:
    """Answer workers until the process is ended.

    Args:
        address: path of the socket.
        device: of PyTorch.
        models: ONNX files that are read before the first answer.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    graphs = {file: TorchGraph(Path(file), device) for file in models}
    for file, graph in graphs.items():
        difference = largest_difference(Path(file), graph)
        print(f"{device}: {Path(file).name}: logits differ from ONNX Runtime's by up to {difference:.2g}", flush=True)
        if not difference < MOST_DIFFERENT:
            raise OddjetsError(
                f"{file} gives other numbers on {device} than on the CPU ({difference:.3g}); leave out --devices"
            )
    lock = threading.Lock()

    def answer(connection: Connection) -> None:
        while True:
            try:
                file, classes, prepared = connection.recv()
            except (EOFError, OSError):
                return
            try:
                with lock:
                    output: Any = run_in_batches(graphs[file], prepared, classes)
            except Exception:
                output = traceback.format_exc()[-1500:]
            connection.send(output)

    with Listener(address, "AF_UNIX", backlog=256, authkey=b"oddjets") as listener:
        while True:
            threading.Thread(target=answer, args=(listener.accept(),), daemon=True).start()


def start_servers(folder: Path, devices: list[str], models: list[str]) -> tuple[list[str], list[Any]]:
    """Start a process for each device; return their addresses and the processes, which end with the caller."""
    context = multiprocessing.get_context("spawn")
    addresses, processes = [], []
    for number, device in enumerate(devices):
        address = str(folder / f"gpu{number}-{os.getpid()}.socket")
        process = context.Process(target=serve, args=(address, device, models), daemon=True)
        process.start()
        addresses.append(address)
        processes.append(process)
    return addresses, processes
