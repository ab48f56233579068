"""PET2 for fast training: OmniLearned's module and parameters, with a forward pass arranged for GPUs.

The geometry (neighbours, features of pairs) is computed once, in float32 outside autocast, with the pair mass in its
stable form (docs/numerics.md); the layers run in bfloat16 where the device has it; the last layers in float32.
Everything is OmniLearned's function in exact arithmetic: a test compares logits with its forward pass in float64.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from oddjets.core.optional_imports import require

__all__ = ["FastPet2", "build_pet2"]

#: what is added to the scores of padded keys; as OmniLearned does
_MASKED = -1e9
#: farther than any real neighbour
_FAR = 1e6


def build_pet2(n_classes: int, dropout: float, **sizes: int) -> Any:
    """Build PET2 small in classifier mode, exactly as the ``omnilearned`` 0.2.0 command line does.

    Args:
        n_classes: outputs.
        dropout: in its perceptrons (``--mlp-drop``).
        sizes: instead of those of the small model.

    Returns:
        The ``omnilearned.network.PET2``, with its own random weights.
    """
    # omnilearned.utils.get_model_parameters, whose module needs more packages
    small = {"num_transformers": 8, "num_transformers_head": 2, "num_tokens": 4, "num_heads": 8, "base_dim": 128}
    small["mlp_ratio"] = 2
    return require("omnilearned.network").PET2(
        input_dim=4,
        use_int=True,
        local_int=True,
        int_type="lhc",
        conditional=False,
        pid=True,
        pid_dim=9,
        add_info=True,
        add_dim=4,
        mode="classifier",
        num_classes=n_classes,
        mlp_drop=dropout,
        num_coord=2,
        K=10,
        **(small | sizes),
    )


class FastPet2:
    """The logits of a PET2, differentiable by its parameters.

    Attributes:
        model: the ``omnilearned.network.PET2``; its weights are used, its forward pass is not.
    """

    def __init__(self, model: Any, *, half: bool) -> None:
        """Take a model; `half` says whether its layers run in bfloat16."""
        self.model = model
        self._half = half
        self._neighbours = model.body.local_physics.K

    def __call__(self, x: Any, pid: Any, add: Any) -> Any:
        """Compute logits.

        Args:
            x: shape (B, M, 4), with M above the number of neighbours.
            pid: shape (B, M), integers.
            add: shape (B, M, 4).

        Returns:
            Shape (B, number of classes), in the precision of `x`.
        """
        with torch.no_grad():
            geometry = self._geometry(x)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self._half):
            token = self._body(x, pid, add, *geometry)
        classifier = self.model.classifier
        return classifier.out(classifier.fc(token.to(x.dtype).reshape(len(x), -1)))

    def _geometry(self, x: Any) -> tuple[Any, ...]:
        """Return the mask, the features of pairs (B, M, M, 3), those of neighbours (B M, K, 7), and their mask."""
        mask = (x[..., 2:3] != 0).to(x.dtype)
        both = mask * mask.transpose(1, 2)
        d_eta, d_phi = ((x[..., i].unsqueeze(2) - x[..., i].unsqueeze(1)) for i in (0, 1))
        ln_pt = x[..., 2]
        ln_min = torch.minimum(ln_pt.unsqueeze(2), ln_pt.unsqueeze(1))
        distance2 = d_eta.square() + d_phi.square()
        ln_distance = 0.5 * torch.log(torch.where(distance2 > 0, distance2, 1.0))
        # cosh(d_eta) - cos(d_phi) without its cancellation
        angle = torch.sinh(d_eta / 2).square() + torch.sin(d_phi / 2).square()
        ln_mass2 = math.log(4) + ln_pt.unsqueeze(2) + ln_pt.unsqueeze(1) + torch.log(torch.where(angle > 0, angle, 1.0))
        apart = (distance2 > 0).to(x.dtype)
        pairs = torch.stack([ln_mass2 * apart, ln_distance, (ln_min + ln_distance) * apart], -1) * both.unsqueeze(-1)

        count = self._neighbours
        own = torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
        ranking = distance2 + _FAR * (1 - mask.transpose(1, 2)) - own  # a constituent is no neighbour of its own
        index = torch.topk(ranking, count + 1, dim=-1, largest=False, sorted=True)[1][..., 1:]
        flat = index.reshape(len(x), -1, 1)
        near = torch.gather(x, 1, flat.expand(-1, -1, 4)).reshape(len(x), -1, count, 4)
        near_mask = torch.gather(mask, 1, flat).reshape(-1, count, 1)
        near_pairs = torch.gather(pairs, 2, index.unsqueeze(-1).expand(-1, -1, -1, 3))
        local = torch.cat([x.unsqueeze(2) - near, near_pairs], -1).reshape(-1, count, 7) * near_mask
        return mask, both, pairs, local, near_mask

    def _body(self, x: Any, pid: Any, add: Any, mask: Any, both: Any, pairs: Any, local: Any, near_mask: Any) -> Any:
        """Return the class tokens after the classifier's blocks, shape (B, tokens, width)."""
        body = self.model.body
        n_jets, n_tokens = len(x), body.num_tokens
        # neighbourhoods
        physics = body.local_physics
        hidden = physics.mlp(local) * near_mask
        bias = (_MASKED * (1 - near_mask)).transpose(1, 2).unsqueeze(1)
        for block in physics.in_blocks:
            hidden = _block(block, hidden, near_mask, bias)
        hidden = hidden.sum(1) / near_mask.sum(1).clamp(min=1)
        rows = body.embed.mlp(body.embed.norm(x), mask) + hidden.reshape(n_jets, -1, hidden.shape[-1]) * mask
        rows = rows + (body.pid_embed(pid) + body.add_embed(add)) * mask
        # tokens and constituents
        rows = torch.cat([body.token.expand(n_jets, -1, -1).to(rows.dtype), rows], 1)
        everyone = functional.pad(mask, (0, 0, n_tokens, 0), value=1.0)
        interaction = (body.interaction.mlp(pairs) * both.unsqueeze(-1)).permute(0, 3, 1, 2)
        keys = (_MASKED * (1 - everyone)).transpose(1, 2).unsqueeze(1)
        bias = functional.pad(interaction, (n_tokens, 0, n_tokens, 0)) + keys
        for block in body.in_blocks:
            rows = _block(block, rows, everyone, bias)
        rows = body.norm(rows) * everyone
        # the classifier's tokens look at the constituents
        token, rows = rows[:, :n_tokens], rows[:, n_tokens:]
        bias = (_MASKED * (1 - mask)).transpose(1, 2).unsqueeze(1)
        for block in self.model.classifier.in_blocks:
            token = token + _attention(block.attn, token, rows, bias)
            token = token + block.mlp(block.norm(token))
        return token


def _block(block: Any, rows: Any, mask: Any, bias: Any) -> Any:
    normed = block.norm1(rows)
    rows = rows + _attention(block.attn, normed, normed, bias) * mask
    return rows + block.mlp(block.norm2(rows), mask)


def _attention(attention: Any, queries: Any, others: Any, bias: Any) -> Any:
    """Apply ``nn.MultiheadAttention`` with a bias that broadcasts to (B, heads, queries, keys)."""
    heads, width = attention.num_heads, attention.embed_dim
    weights = attention.in_proj_weight
    query = functional.linear(queries, weights[:width])
    key, value = functional.linear(others, weights[width:]).chunk(2, -1)
    query, key, value = (t.reshape(len(t), -1, heads, width // heads).transpose(1, 2) for t in (query, key, value))
    scores = torch.matmul(query * (width // heads) ** -0.5, key.transpose(-2, -1)) + bias
    mixed = torch.matmul(scores.softmax(-1), value).transpose(1, 2).reshape(len(queries), -1, width)
    return functional.linear(mixed, attention.out_proj.weight)
