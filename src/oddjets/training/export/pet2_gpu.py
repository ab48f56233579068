"""PET2 in classifier mode as an ONNX graph for GPUs: the same function as `oddjets.training.export.pet2`.

What is arranged differently from the graph for CPUs:

- jets come first in every array, as ONNX Runtime's fused attention (`MultiHeadAttention`) wants them, and constituents are
  padded inside the graph until its rows are multiples of eight;
- neighbourhoods are too short a sequence for the fused attention, whose blocks are 64 rows high: the neighbourhoods of
  `_TOGETHER` constituents are one sequence, and a mask lets each see its own (one by one they took half of the time);
- pairs are computed densely, since elementwise operators are cheap, but their hidden layer, the largest array of all, once
  for each i < j;
- biases are added by the operator that applies Gelu.

With ``half``, matrix products, attention and activations of the two bodies work on 16-bit numbers, and so do the residual
stream of the neighbourhoods, the second layer of the embedding, and the classifier's keys and values. The rest stays in
float32: distances, neighbours and features of pairs, which are logarithms of up to 10; the first layers of neighbours and of
the embedding; the residual stream of the body, whose rounding would add up over its blocks (with it in 16 bits, the median
difference from float64 grows from 0.9e-4 to 1.2e-4); the way of the class tokens through the classifier.
The first layer of pairs gets its inputs, and has its weights, as sums of two 16-bit numbers, a product as exact as float32's
at the speed of 16 bits. Numbers that meet every jet, the slopes of norms and one over the number of neighbours, are kept more
exact than 16 bits: what they are off does not average out.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.training.export.checkpoint import Checkpoint
from oddjets.training.export.gpu_layers import FLOAT, INT32, GpuLayers
from oddjets.training.export.layers import ResidualStream
from oddjets.training.export.onnx_graph import GraphBuilder
from oddjets.training.export.pairs import MAX_CONSTITUENTS, pair_weights
from oddjets.training.export.pet2 import as_model

__all__ = ["build_for_gpu"]

#: added to scores of keys that must not count: exp(-30000) is 0, and float16 ends at 65504
_MASKED = -30000.0
#: a squared distance larger than any real one
_FAR = 1e6
#: rows of the attention are padded to a multiple of this many, which its kernel needs for a bias
_ALIGNMENT = 8
#: constituents whose neighbourhoods are one sequence
_TOGETHER = 4
#: constituents that tables of pairs have: the most there are, and padding
_TABLE = MAX_CONSTITUENTS + _ALIGNMENT


def build_for_gpu(
    checkpoint: Checkpoint,
    *,
    stable: bool = True,
    half: bool = False,
    output: Literal["logits", "probabilities"] = "logits",
) -> Any:
    """Write a network as an ONNX graph for GPUs.

    Args:
        checkpoint: the network.
        stable: the pair mass without cancellation; False for the form of the published code.
        half: 16-bit numbers where they are safe.
        output: as of `oddjets.training.export.pet2.build`.

    Returns:
        The ``onnx.ModelProto``, with the inputs and the output of `oddjets.training.export.pet2.build`.
    """
    graph = GraphBuilder()
    layers = GpuLayers(graph, checkpoint, half)
    jets = _inputs(graph, layers.config.tokens, layers.config.neighbours)
    planes, distance2 = _planes(graph, jets, stable)
    scale = layers.slope("body.in_blocks.0.norm1")
    # neighbourhoods have few blocks and many rows: their stream may be narrow
    local = _local_embedding(GpuLayers(graph, checkpoint, half, wide_stream=False), jets, planes, distance2, scale)
    stream = ResidualStream(graph.add("Add", _embedding(layers, jets, scale), local), scale)
    result = _classifier(layers, jets, _body(layers, jets, stream, _interaction(layers, jets, planes[4:])))
    return as_model(graph, result, checkpoint.config.n_classes, output)


class _JetTensors(NamedTuple):
    """The padded inputs.

    Attributes:
        batch: size of the batch, as an array of one.
        n: constituents with padding, likewise.
        x: shape (batch, n, 4).
        tracks: shape (batch, n, 4).
        species: int32, shape (batch, n).
        columns: the columns of ``x``, each of shape (batch, n, 1).
        rows: likewise, of shape (batch, 1, n).
        padded: whether a key is padding, shape (batch, 1, n).
    """

    batch: str
    n: str
    x: str
    tracks: str
    species: str
    columns: list[str]
    rows: list[str]
    padded: str


def _inputs(graph: GraphBuilder, tokens: int, neighbours: int) -> _JetTensors:
    """Pad the inputs to lengths that the attention wants, and split them."""
    shape = graph.add("Shape", "x")
    batch, given = (graph.add("Gather", shape, graph.integers(axis)) for axis in (0, 1))
    wanted = np.maximum(np.arange(MAX_CONSTITUENTS + 1), neighbours + 1) + tokens
    n = graph.add("Gather", graph.constant(-(-wanted // _ALIGNMENT) * _ALIGNMENT - tokens, np.int64), given)
    # species travel as float32: CUDA pads no integers
    pid = graph.add("Unsqueeze", graph.add("Cast", "pid", to=FLOAT), graph.integers(2))
    every = graph.add("Concat", "x", "add", pid, axis=2)
    missing = graph.add("Sub", n, given)
    every = graph.add("Pad", every, graph.add("Concat", graph.integers(0, 0, 0, 0), missing, graph.integers(0), axis=0))
    x, tracks, pid = graph.many("Split", [every, graph.integers(4, 4, 1)], 3, axis=2)
    species = graph.add("Cast", graph.add("Squeeze", pid, graph.integers(2)), to=INT32)
    columns = graph.many("Split", [x], 4, axis=2, num_outputs=4)
    rows = [graph.add("Transpose", column, perm=[0, 2, 1]) for column in columns]
    return _JetTensors(batch, n, x, tracks, species, columns, rows, graph.add("Equal", rows[2], graph.constant(0.0)))


def _planes(graph: GraphBuilder, jets: _JetTensors, stable: bool) -> tuple[list[str], str]:
    """Return four differences and ln m2, ln dR2, ln min pT of all pairs, and dR2; float32, each of shape (batch, n, n)."""
    differences = [graph.add("Sub", column, row) for column, row in zip(jets.columns, jets.rows, strict=True)]
    d_eta, d_phi = differences[:2]
    distance2 = graph.add("Add", graph.add("Mul", d_eta, d_eta), graph.add("Mul", d_phi, d_phi))
    if stable:
        half = graph.constant(0.5)
        x = graph.add("Mul", d_eta, half)
        # CUDA has no kernel of Sinh; for small x, where e^x - e^-x cancels, its series: x + x^3 / 6 (x^5 / 120 < 1e-7 x)
        by_exp = graph.add("Mul", graph.add("Sub", graph.add("Exp", x), graph.add("Exp", graph.add("Neg", x))), half)
        cube = graph.add("Mul", graph.add("Mul", x, graph.add("Mul", x, x)), graph.constant(1 / 6))
        small = graph.add("Less", graph.add("Abs", x), graph.constant(0.05))
        sinh = graph.add("Where", small, graph.add("Add", x, cube), by_exp)
        sin = graph.add("Sin", graph.add("Mul", d_phi, half))
        angle, factor = graph.add("Add", graph.add("Mul", sinh, sinh), graph.add("Mul", sin, sin)), 4.0
    else:
        angle, factor = graph.add("Sub", graph.add("Cosh", d_eta), graph.add("Cos", d_phi)), 2.0
    zero, (log_pt, other_log_pt) = graph.constant(0.0), (jets.columns[2], jets.rows[2])
    pts = graph.add("Add", graph.add("Add", log_pt, graph.constant(np.log(factor))), other_log_pt)
    apart, massive = graph.add("Greater", distance2, zero), graph.add("Greater", angle, zero)
    log_mass2 = graph.add("Where", massive, graph.add("Add", graph.add("Log", angle), pts), zero)
    log_distance2 = graph.add("Where", apart, graph.add("Log", distance2), zero)
    log_min_pt = graph.add("Where", apart, graph.add("Min", log_pt, other_log_pt), zero)
    return [*differences, log_mass2, log_distance2, log_min_pt], distance2


def _upper_left(graph: GraphBuilder, jets: _JetTensors, table: NDArray[Any], dtype: type[np.generic]) -> str:
    """Return the part (n, n) of a table of pairs."""
    both = graph.add("Concat", jets.n, jets.n, axis=0)
    return graph.add("Slice", graph.constant(table, dtype), graph.integers(0, 0), both)


def _interaction(layers: GpuLayers, jets: _JetTensors, planes: list[str]) -> str:
    """Return what pairs add to scores of the body (batch, heads, tokens + n, tokens + n), with the mask of padding."""
    graph, name, tokens = layers.graph, "body.interaction.mlp", layers.config.tokens
    # pairs j > i in rows, behind that of a constituent with itself, as in `pairs.Pairs`
    later, earlier = np.tril_indices(_TABLE, -1)
    counts = graph.constant([k * (k - 1) // 2 + 1 for k in range(_TABLE + 1)], np.int64)
    count = graph.add("Gather", counts, jets.n)
    first, second = (
        graph.add("Slice", graph.constant(np.concatenate([[0], which]), np.int32), graph.integers(0), count)
        for which in (earlier, later)
    )
    places = graph.add("Add", graph.add("Mul", first, graph.add("Cast", jets.n, to=INT32)), second)
    flat = graph.add("Concat", jets.batch, graph.integers(-1), axis=0)
    chosen = [graph.add("Gather", graph.add("Reshape", plane, flat), places, axis=1) for plane in planes]
    chosen = [graph.add("Reshape", plane, graph.integers(-1)) for plane in chosen]
    matrix = pair_weights(layers.weight(f"{name}.fc1.weight"), layers.weight(f"{name}.fc1.bias"))
    hidden = graph.add("BiasGelu", layers.precise_product(chosen, matrix[:, :3]), layers.number(matrix[:, 3]))
    out = layers.narrow_product(hidden, layers.linear(f"{name}.fc2"))
    out = graph.add("Add", out, layers.number(layers.weight(f"{name}.fc2.bias")))
    by_jet = graph.add("Concat", jets.batch, graph.integers(-1, layers.config.heads), axis=0)
    out = graph.add("Transpose", graph.add("Reshape", out, by_jet), perm=[0, 2, 1])
    index = np.arange(_TABLE)
    low, high = np.minimum.outer(index, index), np.maximum.outer(index, index)
    numbers = np.where(low == high, 0, 1 + high * (high - 1) // 2 + low)
    out = graph.add("Gather", out, _upper_left(graph, jets, numbers, np.int32), axis=2)
    out = graph.add("Pad", out, graph.integers(0, 0, tokens, tokens, 0, 0, 0, 0))
    mask = graph.add("Unsqueeze", _mask(layers, jets), graph.integers(1))
    return graph.add("Add", out, graph.add("Pad", mask, graph.integers(0, 0, 0, tokens, 0, 0, 0, 0)))


def _mask(layers: GpuLayers, jets: _JetTensors) -> str:
    """Return what padding adds to scores, shape (batch, 1, n)."""
    return layers.graph.add("Where", jets.padded, layers.number(_MASKED), layers.number(0.0))


class _GpuNeighbours(NamedTuple):
    """The nearest constituents of each.

    Attributes:
        places: of the pairs in flat planes, shape (rows x neighbours,); rows are padded to a multiple of `_TOGETHER`.
        bias: what is added to the scores of `_TOGETHER` neighbourhoods.
        members: 1 for the real neighbours of each of `_TOGETHER` constituents, 0 for others; shape (sequences, `_TOGETHER`,
            `_TOGETHER` x neighbours).
        found: how many are real, shape (constituents x batch, 1).
        rows: constituents x batch, as an array of one.
    """

    places: str
    bias: str
    members: str
    found: str
    rows: str


def _neighbours(layers: GpuLayers, jets: _JetTensors, distance2: str) -> _GpuNeighbours:
    graph, k = layers.graph, layers.config.neighbours
    itself_far = _upper_left(graph, jets, np.diag(np.full(_TABLE, _FAR)), np.float32)
    distance2 = graph.add("Add", graph.add("Where", jets.padded, graph.constant(_FAR), distance2), itself_far)
    nearest, index = graph.many("TopK", [distance2, graph.integers(k)], 2, axis=2, largest=0, sorted=0)
    real = graph.add("Cast", graph.add("Less", nearest, graph.constant(_FAR / 2)), to=FLOAT)
    real = graph.add("Reshape", real, graph.integers(-1, k))
    found = graph.add("ReduceSum", real, graph.integers(1))

    rows = graph.add("Mul", jets.batch, jets.n)
    end = graph.add("Squeeze", rows, graph.integers(0))
    row = graph.add("Range", graph.constant(0, np.int64), end, graph.constant(1, np.int64))
    row = graph.add("Unsqueeze", graph.add("Mul", row, jets.n), graph.integers(1))
    places = graph.add("Add", graph.add("Reshape", index, graph.integers(-1, k)), row)
    places = graph.add("Cast", graph.add("Reshape", places, graph.integers(-1)), to=INT32)
    # the last sequence is filled up with neighbourhoods that nobody looks at
    missing = graph.add("Mod", graph.add("Neg", rows), graph.integers(_TOGETHER))
    missing = graph.add("Mul", missing, graph.integers(k))
    places = graph.add("Concat", places, graph.add("Expand", graph.constant([0], np.int32), missing), axis=0)
    is_key = graph.add("Reshape", real, graph.integers(-1))
    is_key = graph.add("Concat", is_key, graph.add("Expand", graph.constant([0.0]), missing), axis=0)
    is_key = graph.add("Reshape", layers.narrow(is_key), graph.integers(-1, 1, _TOGETHER * k))
    sequence = np.arange(_TOGETHER * k) // k
    members = graph.add("Mul", is_key, layers.number(np.equal.outer(np.arange(_TOGETHER), sequence)))
    absent = graph.add("Mul", graph.add("Sub", is_key, layers.number(1.0)), layers.number(-_MASKED))
    others = np.where(np.equal.outer(sequence, sequence), 0.0, _MASKED)
    absent = graph.add("Add", graph.add("Unsqueeze", absent, graph.integers(1)), layers.number(others))
    return _GpuNeighbours(places, graph.add("Max", absent, layers.number(_MASKED)), members, found, rows)


def _local_embedding(layers: GpuLayers, jets: _JetTensors, planes: list[str], distance2: str, scale: float) -> str:
    """Embed each constituent's neighbourhood, float32, shape (batch x constituents, width), times ``scale``."""
    graph, config, name = layers.graph, layers.config, "body.local_physics"
    k, width = config.neighbours, config.base_dim
    near = _neighbours(layers, jets, distance2)
    flat = (graph.add("Reshape", plane, graph.integers(-1)) for plane in planes)
    chosen = [graph.add("Gather", plane, near.places, axis=0) for plane in flat]
    matrix, bias = (layers.weight(f"{name}.mlp.fc1.{which}") for which in ("weight", "bias"))
    pairs = pair_weights(matrix[:, 4:], bias)
    first = graph.constant(np.column_stack([matrix[:, :4], pairs[:, :3]]).T)
    first = graph.add("Gemm", layers.stacked(chosen), first, transA=1)
    hidden = graph.add("BiasGelu", first, graph.constant(pairs[:, 3]))
    hidden = graph.add("Mul", hidden, graph.constant(layers.slope(f"{name}.mlp.norm")))
    hidden = graph.add("Tanh", layers.narrow(hidden))
    slopes = [layers.slope(f"{name}.in_blocks.{i}.norm1") for i in range(config.local_depth)]
    rows = layers.on_stream(layers.product(hidden, slopes[0] * layers.linear(f"{name}.mlp.fc2", f"{name}.mlp.norm")))
    rows = graph.add("Add", rows, layers.stream_number(slopes[0] * layers.weight(f"{name}.mlp.fc2.bias")))
    stream, shape = ResidualStream(rows, slopes[0]), graph.integers(-1, _TOGETHER * k, width)
    for i in range(config.local_depth):
        if i:
            stream = layers.perceptron(f"{name}.in_blocks.{i - 1}", stream, slopes[i])
        stream = layers.attend(f"{name}.in_blocks.{i}", stream, shape, near.bias)

    # The mean over real neighbours, of the last block's hidden layer and of the stream beside it; 0 where there are none.
    # They are added up first: a tenth, rounded to 16 bits, would be off for all jets alike
    block = f"{name}.in_blocks.{config.local_depth - 1}"

    def total(value: str, columns: int) -> str:
        stacked = graph.add("Reshape", value, graph.integers(-1, _TOGETHER * k, columns))
        added = graph.add("Reshape", graph.add("MatMul", near.members, stacked), graph.integers(-1, columns))
        return graph.add("Slice", added, graph.integers(0), near.rows, graph.integers(0))

    hidden = total(layers.block_hidden(block, stream), 2 * width)
    change = layers.wide(layers.product(hidden, scale * layers.linear(f"{block}.mlp.fc2", f"{block}.mlp.norm")))
    kept = layers.wide(total(layers.off_stream(stream.value), width))
    kept = graph.add("Mul", kept, graph.constant(scale / stream.scale))
    one = graph.constant(1.0)
    mean = graph.add("Div", graph.add("Add", change, kept), graph.add("Max", near.found, one))
    rest = graph.constant(scale * layers.weight(f"{block}.mlp.fc2.bias")[np.newaxis])
    return graph.add("Add", mean, graph.add("Mul", graph.add("Min", near.found, one), rest))


def _embedding(layers: GpuLayers, jets: _JetTensors, scale: float) -> str:
    """Embed each constituent, float32, shape (batch x constituents, width), times ``scale``."""
    graph, width = layers.graph, layers.config.base_dim
    kinematics, tracks = "body.embed", "body.add_embed.0"
    x = graph.add("Tanh", graph.add("Mul", jets.x, graph.constant(layers.slope(f"{kinematics}.norm"))))
    rows = graph.add("Reshape", graph.add("Concat", x, jets.tracks, axis=2), graph.integers(-1, 8))
    one, two = layers.linear(f"{kinematics}.mlp.fc1", f"{kinematics}.norm"), layers.linear(f"{tracks}.fc1")
    first = np.block([[one, np.zeros_like(two)], [np.zeros_like(one), two]])
    bias = np.concatenate([layers.weight(f"{kinematics}.mlp.fc1.bias"), np.zeros(two.shape[1])])
    rows = graph.add("BiasGelu", graph.add("Gemm", rows, graph.constant(first)), graph.constant(bias))
    slopes = [layers.slope(f"{kinematics}.mlp.norm"), layers.slope(f"{tracks}.norm")]
    by_column = graph.constant(np.repeat(slopes, [one.shape[1], two.shape[1]]))
    second = [layers.linear(f"{kinematics}.mlp.fc2", f"{kinematics}.mlp.norm")]
    second.append(layers.linear(f"{tracks}.fc2", f"{tracks}.norm"))
    species = layers.weight("body.pid_embed.0.weight") + layers.weight(f"{kinematics}.mlp.fc2.bias")
    rest = graph.add("Gather", graph.constant(scale * species), jets.species)
    rest = graph.add("Reshape", rest, graph.integers(-1, width))
    hidden = graph.add("Tanh", layers.narrow(graph.add("Mul", rows, by_column)))
    return graph.add("Add", layers.wide(layers.product(hidden, scale * np.concatenate(second))), rest)


def _body(layers: GpuLayers, jets: _JetTensors, stream: ResidualStream, bias: str) -> ResidualStream:
    """Apply the blocks to class tokens and constituents; shape (batch, tokens + n, width), slope of the last norm."""
    graph, config = layers.graph, layers.config
    by_jet = graph.add("Concat", jets.batch, graph.integers(-1, config.base_dim), axis=0)
    token = graph.constant(stream.scale * layers.weight("body.token"))
    token = graph.add("Expand", token, graph.add("Concat", jets.batch, graph.integers(1, 1), axis=0))
    rows = graph.add("Concat", token, graph.add("Reshape", stream.value, by_jet), axis=1)
    stream = ResidualStream(graph.add("Reshape", rows, graph.integers(-1, config.base_dim)), stream.scale)
    slopes = [layers.slope(f"body.in_blocks.{i}.norm1") for i in range(1, config.depth)]
    for i, scale in enumerate([*slopes, layers.slope("body.norm")]):
        stream = layers.attend(f"body.in_blocks.{i}", stream, by_jet, bias)
        stream = layers.perceptron(f"body.in_blocks.{i}", stream, scale)
    return ResidualStream(graph.add("Reshape", stream.value, by_jet), stream.scale)


def _classifier(layers: GpuLayers, jets: _JetTensors, stream: ResidualStream) -> str:
    """Apply the attention of class tokens to the constituents and the last layers, in float32; logits, (batch, classes)."""
    graph, config, norm = layers.graph, layers.config, "body.norm"
    by_jet = graph.add("Concat", jets.batch, graph.integers(-1, config.base_dim), axis=0)
    first, last, axis = graph.integers(config.tokens), graph.integers(1 << 40), graph.integers(1)
    token = graph.add("Tanh", graph.add("Slice", stream.value, graph.integers(0), first, axis))
    token = graph.add("Mul", token, graph.constant(layers.weight(f"{norm}.weight")))
    token = graph.add("Reshape", token, graph.integers(-1, config.base_dim))
    rows = graph.add("Slice", stream.value, first, last, axis)
    rows = graph.add("Tanh", layers.narrow(graph.add("Reshape", rows, graph.integers(-1, config.base_dim))))
    mask = graph.add("Where", jets.padded, graph.constant(_MASKED), graph.constant(0.0))
    mask = graph.add("Expand", graph.add("Unsqueeze", mask, graph.integers(1)), graph.integers(1, 1, config.tokens, 1))
    for i in range(config.head_depth):
        block = f"classifier.in_blocks.{i}"
        # tokens enter the attention without a norm; constituents with the body's last, once for all blocks
        query = graph.add("Gemm", token, graph.constant(layers.projections(f"{block}.attn")[0]))
        keys, values = (layers.wide(layers.product(rows, m)) for m in layers.projections(f"{block}.attn", norm)[1:])
        query, keys, values = (graph.add("Reshape", value, by_jet) for value in (query, keys, values))
        mixed = layers.fused(query, keys, values, mask)
        token = graph.add("Gemm", mixed, graph.constant(layers.linear(f"{block}.attn.out_proj")), token)
        token = layers.token_perceptron(block, token)
    together = graph.add("Reshape", token, graph.integers(-1, config.tokens * config.base_dim))
    return layers.logits(together)
