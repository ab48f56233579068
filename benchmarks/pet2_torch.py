"""PET2 rewritten in PyTorch for `torch.compile`, the peer of `benchmarks/scoring.py`: 16-bit products, fused elementwise work.

The function is that of `oddjets.training.export.pet2_gpu`, with the same arithmetic: products, attention and activations in
16 bits, residual streams, distances and pairs in float32. Inductor fuses what lies between products, which ONNX Runtime
computes one operator at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import gelu, scaled_dot_product_attention

from oddjets.training.export.checkpoint import Checkpoint
from oddjets.training.export.layers import Layers
from oddjets.training.export.pairs import pair_weights

__all__ = ["CompiledPet2"]

#: neighbourhoods that are one sequence of the fused attention
TOGETHER = 4
MASKED, FAR, LOG_4 = -30000.0, 1e6, float(np.log(4))


class CompiledPet2:
    """A network on the GPU; call it with x, pid and add of one shape, (jets, constituents, ...), as tensors there.

    Jets x constituents must be a multiple of four, constituents and class tokens together one of eight.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.layers = Layers(None, checkpoint)  # type: ignore[arg-type]  # for the weights alone
        self.config = checkpoint.config
        self._constants: dict[str, Any] = {}
        self.slopes = {
            n.removesuffix(".alpha"): float(a[0]) for n, a in checkpoint.weights.items() if n.endswith(".alpha")
        }
        self._prepare()
        self.run = torch.compile(self._forward, dynamic=False)

    def __call__(self, x: Any, pid: Any, add: Any) -> Any:
        with torch.no_grad():
            return self.run(x, pid, add)

    def _keep(self, name: str, array: Any, dtype: Any = torch.float16) -> None:
        self._constants[name] = torch.tensor(np.asarray(array), dtype=dtype, device="cuda")

    def _prepare(self) -> None:
        layers, config, wide = self.layers, self.config, torch.float32
        blocks = [f"body.local_physics.in_blocks.{i}" for i in range(config.local_depth)]
        blocks += [f"body.in_blocks.{i}" for i in range(config.depth)]
        for block in blocks:
            self._keep(f"{block}.qkv", np.concatenate(layers.projections(f"{block}.attn", f"{block}.norm1"), axis=1))
            self._keep(f"{block}.out", layers.linear(f"{block}.attn.out_proj"))
            self._keep(f"{block}.fc1", layers.linear(f"{block}.mlp.fc1", f"{block}.norm2"))
            self._keep(f"{block}.bias1", layers.weight(f"{block}.mlp.fc1.bias"), wide)
            self._keep(f"{block}.fc2", layers.linear(f"{block}.mlp.fc2", f"{block}.mlp.norm"))
            self._keep(f"{block}.bias2", layers.weight(f"{block}.mlp.fc2.bias"), wide)
        name = "body.local_physics.mlp"
        matrix, bias = layers.weight(f"{name}.fc1.weight"), layers.weight(f"{name}.fc1.bias")
        pairs = pair_weights(matrix[:, 4:], bias)
        self._keep("local.first", np.column_stack([matrix[:, :4], pairs[:, :3]]).T, wide)
        self._keep("local.bias", pairs[:, 3], wide)
        self._keep("local.fc2", layers.linear(f"{name}.fc2", f"{name}.norm"))
        self._keep("local.bias2", layers.weight(f"{name}.fc2.bias"), wide)
        name = "body.interaction.mlp"
        pairs = pair_weights(layers.weight(f"{name}.fc1.weight"), layers.weight(f"{name}.fc1.bias"))
        self._keep("pairs.first", pairs[:, :3].T, wide)
        self._keep("pairs.bias", pairs[:, 3], wide)
        self._keep("pairs.fc2", layers.linear(f"{name}.fc2"), wide)
        self._keep("pairs.bias2", layers.weight(f"{name}.fc2.bias"), wide)
        kinematics, tracks = "body.embed", "body.add_embed.0"
        self._keep("embed.fc1", layers.linear(f"{kinematics}.mlp.fc1", f"{kinematics}.norm"), wide)
        self._keep("embed.bias1", layers.weight(f"{kinematics}.mlp.fc1.bias"), wide)
        self._keep("embed.fc2", layers.linear(f"{kinematics}.mlp.fc2", f"{kinematics}.mlp.norm"))
        self._keep("tracks.fc1", layers.linear(f"{tracks}.fc1"), wide)
        self._keep("tracks.fc2", layers.linear(f"{tracks}.fc2", f"{tracks}.norm"))
        species = layers.weight("body.pid_embed.0.weight") + layers.weight(f"{kinematics}.mlp.fc2.bias")
        self._keep("species", species, wide)
        self._keep("token", layers.weight("body.token"), wide)
        self._keep("head.norm", layers.weight("body.norm.weight"), wide)
        for i in range(config.head_depth):
            block = f"classifier.in_blocks.{i}"
            self._keep(f"{block}.q", layers.projections(f"{block}.attn")[0], wide)
            self._keep(f"{block}.kv", np.concatenate(layers.projections(f"{block}.attn", "body.norm")[1:], axis=1))
            self._keep(f"{block}.out", layers.linear(f"{block}.attn.out_proj"), wide)
            self._keep(f"{block}.fc1", layers.linear(f"{block}.mlp.fc1", f"{block}.norm"), wide)
            self._keep(f"{block}.bias1", layers.weight(f"{block}.mlp.fc1.bias"), wide)
            self._keep(f"{block}.fc2", layers.linear(f"{block}.mlp.fc2", f"{block}.mlp.norm"), wide)
            self._keep(f"{block}.bias2", layers.weight(f"{block}.mlp.fc2.bias"), wide)
        last = layers.linear("classifier.out")
        self._keep("fc.fc1", layers.linear("classifier.fc.fc1"), wide)
        self._keep("fc.bias1", layers.weight("classifier.fc.fc1.bias"), wide)
        self._keep("fc.fc2", layers.linear("classifier.fc.fc2", "classifier.fc.norm") @ last, wide)
        rest = layers.weight("classifier.fc.fc2.bias") @ last + layers.weight("classifier.out.bias")
        self._keep("fc.bias2", rest, wide)

    def _attention(self, queries: Any, keys: Any, values: Any, bias: Any) -> Any:
        """Of rows (batch, sequence, width); queries have the factor on scores already."""
        heads = self.config.heads
        queries, keys, values = (a.unflatten(-1, (heads, -1)).transpose(1, 2) for a in (queries, keys, values))
        return scaled_dot_product_attention(queries, keys, values, bias, scale=1.0).transpose(1, 2).flatten(2)

    def _block(self, name: str, stream: Any, bias: Any, hidden_only: bool = False) -> Any:
        """Return the stream (batch, sequence, width) after a block, or before its second layer, with the hidden layer."""
        kept, slope = self._constants, self.slopes
        rows = torch.tanh(slope[f"{name}.norm1"] * stream).half()
        queries, keys, values = (rows @ kept[f"{name}.qkv"]).chunk(3, dim=-1)
        stream = stream + (self._attention(queries, keys, values, bias) @ kept[f"{name}.out"]).float()
        rows = torch.tanh(slope[f"{name}.norm2"] * stream).half()
        hidden = gelu((rows @ kept[f"{name}.fc1"]).float() + kept[f"{name}.bias1"])
        hidden = torch.tanh(slope[f"{name}.mlp.norm"] * hidden).half()
        if hidden_only:
            return stream, hidden
        return stream + (hidden @ kept[f"{name}.fc2"]).float() + kept[f"{name}.bias2"]

    def _local(self, planes: Any, distance2: Any, real: Any) -> Any:
        """Embed neighbourhoods; ``planes`` of shape (jets, constituents, constituents, 7)."""
        kept, k, width = self._constants, self.config.neighbours, self.config.base_dim
        jets, n = distance2.shape[:2]
        far = ~real[:, None, :] | torch.eye(n, dtype=torch.bool, device="cuda")
        nearest, index = torch.where(far, FAR, distance2).topk(k, dim=2, largest=False, sorted=False)
        is_near = nearest < FAR / 2
        chosen = planes.gather(2, index[..., None].expand(-1, -1, -1, planes.shape[-1]))
        hidden = gelu(chosen @ kept["local.first"] + kept["local.bias"])
        hidden = torch.tanh(self.slopes["body.local_physics.mlp.norm"] * hidden).half()
        stream = (hidden @ kept["local.fc2"]).float() + kept["local.bias2"]
        stream = stream.reshape(-1, TOGETHER * k, width)
        which = torch.arange(TOGETHER * k, device="cuda") // k
        seen = is_near.reshape(-1, 1, 1, TOGETHER * k) & (which[:, None] == which)
        bias = torch.where(seen, 0.0, MASKED).half()
        depth = self.config.local_depth
        for i in range(depth - 1):
            stream = self._block(f"body.local_physics.in_blocks.{i}", stream, bias)
        last = f"body.local_physics.in_blocks.{depth - 1}"
        stream, hidden = self._block(last, stream, bias, hidden_only=True)
        weight = is_near.reshape(-1, k, 1).float()
        found = weight.sum(dim=1)
        hidden = (hidden.reshape(-1, k, 2 * width).float() * weight).sum(dim=1).half()
        total = (hidden @ kept[f"{last}.fc2"]).float() + (stream.reshape(-1, k, width) * weight).sum(dim=1)
        mean = total / found.clamp(min=1) + found.clamp(max=1) * kept[f"{last}.bias2"]
        return mean.reshape(jets, n, width)

    def _forward(self, x: Any, pid: Any, add: Any) -> Any:
        kept, config, slope = self._constants, self.config, self.slopes
        tokens, real = config.tokens, x[..., 2] != 0
        difference = x[:, :, None] - x[:, None]
        distance2 = difference[..., 0] ** 2 + difference[..., 1] ** 2
        angle = torch.sinh(difference[..., 0] / 2) ** 2 + torch.sin(difference[..., 1] / 2) ** 2
        log_pt = x[..., 2]
        pts = log_pt[:, :, None] + log_pt[:, None] + LOG_4
        mass = torch.where(angle > 0, torch.log(angle) + pts, 0.0)
        log_distance = torch.where(distance2 > 0, torch.log(distance2), 0.0)
        softer = torch.where(distance2 > 0, torch.minimum(log_pt[:, :, None], log_pt[:, None]), 0.0)
        pairs = torch.stack([mass, log_distance, softer], dim=-1)
        local = self._local(torch.cat([difference, pairs], dim=-1), distance2, real)

        bias = gelu(pairs @ kept["pairs.first"] + kept["pairs.bias"]) @ kept["pairs.fc2"] + kept["pairs.bias2"]
        bias = torch.nn.functional.pad(bias.permute(0, 3, 1, 2), (tokens, 0, tokens, 0))
        mask = torch.nn.functional.pad(torch.where(real, 0.0, MASKED), (tokens, 0))
        bias = (bias + mask[:, None, None]).half()

        rows = gelu(torch.tanh(slope["body.embed.norm"] * x) @ kept["embed.fc1"] + kept["embed.bias1"])
        embedded = (torch.tanh(slope["body.embed.mlp.norm"] * rows).half() @ kept["embed.fc2"]).float()
        rows = torch.tanh(slope["body.add_embed.0.norm"] * gelu(add @ kept["tracks.fc1"])).half()
        embedded = embedded + (rows @ kept["tracks.fc2"]).float() + kept["species"][pid]
        token = kept["token"].reshape(1, tokens, -1).expand(len(x), -1, -1)
        stream = torch.cat([token, embedded + local], dim=1)
        for i in range(config.depth):
            stream = self._block(f"body.in_blocks.{i}", stream, bias)

        rows = torch.tanh(slope["body.norm"] * stream)
        token, rows = rows[:, :tokens] * kept["head.norm"], rows[:, tokens:].half()
        mask = torch.where(real, 0.0, MASKED)[:, None, None].expand(-1, -1, tokens, -1)
        for i in range(config.head_depth):
            block = f"classifier.in_blocks.{i}"
            keys, values = (rows @ kept[f"{block}.kv"]).float().chunk(2, dim=-1)
            token = token + self._attention(token @ kept[f"{block}.q"], keys, values, mask) @ kept[f"{block}.out"]
            hidden = torch.tanh(slope[f"{block}.norm"] * token) @ kept[f"{block}.fc1"] + kept[f"{block}.bias1"]
            hidden = torch.tanh(slope[f"{block}.mlp.norm"] * gelu(hidden))
            token = token + hidden @ kept[f"{block}.fc2"] + kept[f"{block}.bias2"]
        hidden = torch.tanh(slope["classifier.fc.norm"] * gelu(token.flatten(1) @ kept["fc.fc1"] + kept["fc.bias1"]))
        return hidden @ kept["fc.fc2"] + kept["fc.bias2"]
