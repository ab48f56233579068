"""PET2 in classifier mode as an ONNX graph for CPUs.

Exact in exact arithmetic; what is arranged differently from OmniLearned's own code:

- padded rows are not set to zero after every layer: nothing real looks at them, as keys, as neighbours or as tokens;
- weights and slopes of normalisations are folded into the layers beside them (see `oddjets.training.export.layers`);
- the mean over neighbours is taken before the last linear layer of the local embedding, and the last two linear layers of
  the classifier, with nothing between them, are one;
- features of pairs are computed once (see `oddjets.training.export.pairs`), and neighbours sought in the distances found there;
- the embeddings of kinematics and tracks are one perceptron with a block-diagonal first layer.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from oddjets.training.export.checkpoint import Checkpoint
from oddjets.training.export.layers import Layers, ResidualStream
from oddjets.training.export.onnx_graph import GraphBuilder
from oddjets.training.export.pairs import MAX_CONSTITUENTS, Pairs, pair_weights

__all__ = ["MAX_CONSTITUENTS", "N_SOFTMAX", "as_model", "build"]

#: classes that OmniLearned's softmax covers; the others are its event classes
N_SOFTMAX = 200


def build(
    checkpoint: Checkpoint,
    *,
    stable: bool = True,
    output: Literal["logits", "probabilities"] = "logits",
    half_weights: bool = False,
) -> Any:
    """Write a network as an ONNX graph.

    Args:
        checkpoint: the network.
        stable: the pair mass without cancellation; False for the form of the published code, whose float32 scores carry
            rounding noise.
        output: logits of all classes, or probabilities of the first `N_SOFTMAX`.
        half_weights: store weights in 16 bits; the arithmetic stays in float32.

    Returns:
        The ``onnx.ModelProto``, with inputs ``x`` (batch, constituents, 4), ``pid`` (batch, constituents) and ``add``
        (batch, constituents, 4), at most `MAX_CONSTITUENTS` of them, and the output of the name and kind asked for.
    """
    graph = GraphBuilder(half_weights=half_weights)
    layers, pairs = Layers(graph, checkpoint), Pairs(graph, stable)
    config = checkpoint.config
    scale = layers.slope("body.in_blocks.0.norm1")
    local = _local_embedding(layers, pairs, scale)
    rows = graph.add("Add", _embedding(layers, scale), local)
    stream = _body(layers, pairs, ResidualStream(rows, scale))
    return as_model(graph, _classifier(layers, pairs, stream), config.n_classes, output)


def as_model(graph: GraphBuilder, result: str, n_outputs: int, output: Literal["logits", "probabilities"]) -> Any:
    """Close a graph of PET2.

    Args:
        graph: with all nodes.
        result: the logits, shape (batch, n_outputs).
        n_outputs: the network's outputs.
        output: as of `build`.

    Returns:
        The ``onnx.ModelProto``.
    """
    if output == "probabilities":
        n_outputs = min(N_SOFTMAX, n_outputs)
        first = graph.add("Slice", result, graph.integers(0), graph.integers(n_outputs), graph.integers(1))
        result = graph.add("Softmax", first, axis=-1)
    constituents = ["batch", "constituents"]
    return graph.model(
        {
            "x": (np.float32, [*constituents, 4]),
            "pid": (np.int64, constituents),
            "add": (np.float32, [*constituents, 4]),
        },
        {output: (result, ["batch", n_outputs])},
        producer="oddjets",
    )


def _local_embedding(layers: Layers, pairs: Pairs, scale: float) -> str:
    """Embed each constituent's neighbourhood, shape (constituents x batch, width), times ``scale``."""
    graph, config, name = layers.graph, layers.config, "body.local_physics"
    count, width = config.neighbours, config.base_dim
    neighbours = pairs.neighbours(count)
    matrix = layers.weight(f"{name}.mlp.fc1.weight")
    bias = layers.weight(f"{name}.mlp.fc1.bias")
    first = np.column_stack([matrix[:, :4], pair_weights(matrix[:, 4:], bias)])
    hidden = graph.add("FusedMatMul", neighbours.features, graph.constant(first.T), transA=1)
    slopes = [layers.slope(f"{name}.in_blocks.{i}.norm1") for i in range(config.local_depth)]
    second = graph.constant(slopes[0] * layers.linear(f"{name}.mlp.fc2", f"{name}.mlp.norm"))
    second_bias = graph.constant(slopes[0] * layers.weight(f"{name}.mlp.fc2.bias"))
    rows = graph.add("Gemm", layers.activated(f"{name}.mlp", hidden), second, second_bias)
    stream = ResidualStream(rows, slopes[0])
    shape = layers.head_shape(graph.integers(count, -1))
    for i in range(config.local_depth):
        if i:
            stream = layers.perceptron(f"{name}.in_blocks.{i - 1}", stream, slopes[i])
        stream = layers.attention(f"{name}.in_blocks.{i}", stream, shape, neighbours.mask)

    # the mean over real neighbours, of the last block's hidden layer and of the stream beside it; 0 where there are none
    mlp = f"{name}.in_blocks.{config.local_depth - 1}.mlp"
    hidden = layers.block_hidden(mlp.removesuffix(".mlp"), stream)
    found = graph.add("ReduceSum", neighbours.real, graph.integers(1))
    shares = graph.add("Div", neighbours.real, graph.add("Max", found, graph.constant(1.0)))
    shares = graph.add("Unsqueeze", shares, graph.integers(1))

    def mean(value: str, columns: int) -> str:
        stacked = graph.add("Reshape", value, graph.integers(count, -1, columns))
        averaged = graph.add("FusedMatMul", shares, stacked, transBatchB=1)
        return graph.add("Reshape", averaged, graph.integers(-1, columns))

    last = graph.constant(scale * layers.linear(f"{mlp}.fc2", f"{mlp}.norm"))
    total = graph.add("Gemm", mean(hidden, 2 * width), last, mean(stream.value, width), beta=scale / stream.scale)
    any_found = graph.add("Min", found, graph.constant(1.0))
    return graph.add("Gemm", any_found, graph.constant(scale * layers.weight(f"{mlp}.fc2.bias")[np.newaxis]), total)


def _embedding(layers: Layers, scale: float) -> str:
    """Embed each constituent, shape (constituents x batch, width), times ``scale``."""
    graph, width = layers.graph, layers.config.base_dim
    kinematics, tracks = "body.embed", "body.add_embed.0"
    x, add = (graph.add("Transpose", name, perm=[1, 0, 2]) for name in ("x", "add"))
    x = graph.add("Tanh", graph.add("Mul", x, graph.constant(layers.slope(f"{kinematics}.norm"))))
    rows = graph.add("Reshape", graph.add("Concat", x, add, axis=2), graph.integers(-1, 8))
    one, two = layers.linear(f"{kinematics}.mlp.fc1", f"{kinematics}.norm"), layers.linear(f"{tracks}.fc1")
    first = np.block([[one, np.zeros_like(two)], [np.zeros_like(one), two]])
    bias = np.concatenate([layers.weight(f"{kinematics}.mlp.fc1.bias"), np.zeros(two.shape[1])])
    hidden = graph.add("Gelu", graph.add("Gemm", rows, graph.constant(first), graph.constant(bias)))
    slopes = [layers.slope(f"{kinematics}.mlp.norm"), layers.slope(f"{tracks}.norm")]
    slopes_by_column = graph.constant(np.repeat(slopes, [one.shape[1], two.shape[1]]))
    hidden = graph.add("Tanh", graph.add("Mul", hidden, slopes_by_column))
    second = [layers.linear(f"{kinematics}.mlp.fc2", f"{kinematics}.mlp.norm")]
    second.append(layers.linear(f"{tracks}.fc2", f"{tracks}.norm"))
    species = layers.weight("body.pid_embed.0.weight") + layers.weight(f"{kinematics}.mlp.fc2.bias")
    rest = graph.add("Gather", graph.constant(scale * species), graph.add("Transpose", "pid", perm=[1, 0]))
    rest = graph.add("Reshape", rest, graph.integers(-1, width))
    return graph.add("Gemm", hidden, graph.constant(scale * np.concatenate(second)), rest)


def _body(layers: Layers, pairs: Pairs, stream: ResidualStream) -> ResidualStream:
    """Apply the blocks to class tokens and constituents; rows (tokens + constituents) x batch, slope of the last norm."""
    graph, config, name = layers.graph, layers.config, "body.interaction.mlp"
    bias = pairs.bias(
        pair_weights(layers.weight(f"{name}.fc1.weight"), layers.weight(f"{name}.fc1.bias")),
        layers.linear(f"{name}.fc2"),
        layers.weight(f"{name}.fc2.bias"),
        config.tokens,
    )
    token = graph.constant(stream.scale * layers.weight("body.token")[0][:, np.newaxis])
    token = graph.add("Expand", token, graph.add("Concat", graph.integers(1), pairs.batch, graph.integers(1), axis=0))
    token = graph.add("Reshape", token, graph.integers(-1, config.base_dim))
    stream = ResidualStream(graph.add("Concat", token, stream.value, axis=0), stream.scale)
    shape = layers.head_shape(graph.integers(-1), pairs.batch)
    slopes = [layers.slope(f"body.in_blocks.{i}.norm1") for i in range(1, config.depth)]
    for i, scale in enumerate([*slopes, layers.slope("body.norm")]):
        stream = layers.attention(f"body.in_blocks.{i}", stream, shape, bias)
        stream = layers.perceptron(f"body.in_blocks.{i}", stream, scale)
    return stream


def _classifier(layers: Layers, pairs: Pairs, stream: ResidualStream) -> str:
    """Apply the attention of class tokens to the constituents and the last layers; logits, shape (batch, classes)."""
    graph, config = layers.graph, layers.config
    rows, norm = graph.add("Tanh", stream.value), "body.norm"
    n_tokens = graph.add("Mul", pairs.batch, graph.integers(config.tokens))
    start, end, axis = graph.integers(0), graph.integers(1 << 40), graph.integers(0)
    token = graph.add("Slice", rows, start, n_tokens, axis)
    token = graph.add("Mul", token, graph.constant(layers.weight(f"{norm}.weight")))
    rows = graph.add("Slice", rows, n_tokens, end, axis)
    shape = layers.head_shape(graph.integers(-1), pairs.batch)
    for i in range(config.head_depth):
        block = f"classifier.in_blocks.{i}"
        # tokens enter the attention without a norm; constituents with the body's last, once for all blocks
        projections = layers.projections(f"{block}.attn")[:1] + layers.projections(f"{block}.attn", norm)[1:]
        queries, keys, values = (
            graph.add("Reshape", graph.add("MatMul", what, graph.constant(matrix)), shape)
            for what, matrix in zip((token, rows, rows), projections, strict=True)
        )
        mixed = layers.mixed(queries, keys, values, pairs.key_mask)
        token = graph.add("Gemm", mixed, graph.constant(layers.linear(f"{block}.attn.out_proj")), token)
        token = layers.token_perceptron(block, token)
    by_token = graph.add("Concat", graph.integers(config.tokens), pairs.batch, graph.integers(config.base_dim), axis=0)
    together = graph.add("Transpose", graph.add("Reshape", token, by_token), perm=[1, 0, 2])
    together = graph.add("Reshape", together, graph.integers(-1, config.tokens * config.base_dim))
    return layers.logits(together)
