"""How sure a score is: the same network in other arithmetic, against float64.

Arithmetic with fewer bits is emulated: tensor cores round both factors, multiply exactly and add in float32, and so does
this, for every product of matrices that PyTorch computes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.cards import ModelCard
from oddjets.scoring import formulas
from oddjets.training.check import Parity, compare, reference_card, run_model
from oddjets.training.reference import Jets, Reference
from oddjets.training.requirements import require

__all__ = ["PASSES", "WORKING_POINTS", "Numerics", "Precision", "numerics", "rounded_products"]

Precision = Literal["tf32", "float16", "bfloat16"]

#: how often `numerics` runs the network on every jet
PASSES = 7
#: efficiencies at which an analysis may cut
WORKING_POINTS = (0.002, 0.01, 0.05)
#: products over no more columns than this read the inputs: distances, masks, first layers
_INPUT_COLUMNS = 8
#: mantissa bits that TF32 drops of float32's 23
_TF32_DROPPED = 13


class Numerics(NamedTuple):
    """One kind of arithmetic.

    Attributes:
        parity: differences from float64.
        crossed: for each of `WORKING_POINTS`, the share of jets on the other side of the threshold than in float64,
            relative to the jets that pass it.
    """

    parity: Parity
    crossed: tuple[float, ...]


@contextmanager
def rounded_products(precision: Precision, islands: bool) -> Any:
    """Multiply matrices with rounded factors.

    Args:
        precision: what factors are rounded to.
        islands: leave products that read the inputs (distances between constituents among them) in float32.

    Yields:
        Nothing; the context in which products are rounded.
    """
    torch = require("torch")
    mode = require("torch.utils._python_dispatch").TorchDispatchMode
    attention = require("torch.nn.attention")
    aten = torch.ops.aten
    factors = {
        aten.mm.default: (0, 1),
        aten.bmm.default: (0, 1),
        aten.addmm.default: (1, 2),
        aten.baddbmm.default: (1, 2),
    }

    def rounded(values: Any) -> Any:
        if precision == "tf32":
            half, keep = 1 << (_TF32_DROPPED - 1), -(1 << _TF32_DROPPED)
            return ((values.contiguous().view(torch.int32) + half) & keep).view(torch.float32)
        return values.to(getattr(torch, precision)).to(torch.float32)

    class Rounding(mode):  # type: ignore[misc, valid-type]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            places = factors.get(func, ())
            if places and not (islands and args[places[0]].shape[-1] <= _INPUT_COLUMNS):
                args = tuple(rounded(a) if i in places else a for i, a in enumerate(args))
            return func(*args, **(kwargs or {}))

    with ExitStack() as stack:
        # attention as products of matrices, not as one operator whose inside cannot be seen
        stack.enter_context(attention.sdpa_kernel(attention.SDPBackend.MATH))
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        torch.backends.mha.set_fastpath_enabled(False)
        stack.enter_context(Rounding())
        yield


def numerics(
    card: ModelCard, reference: Reference, jets: Jets, progress: Callable[[int], None] | None = None
) -> list[Numerics]:
    """Compare kinds of arithmetic with the authors' PET2 in float64.

    Args:
        card: the model's card.
        reference: the network that it was exported from.
        jets: the jets.
        progress: called with the number of jets done since the last call.

    Returns:
        float32 in the published form; all others in the stable form: float32, this model, TF32 everywhere, and TF32,
        float16 and bfloat16 with islands of float32 where products read the inputs.
    """
    exact, for_logits = reference.logits(jets, progress=progress), reference_card(card)

    def row(name: str, output: NDArray[Any], of: ModelCard) -> Numerics:
        scores = formulas.score(output, of)
        found = compare(name, formulas.class_probabilities(output, of), scores, exact, card)
        true = formulas.score(exact, for_logits)
        crossed = []
        for efficiency in WORKING_POINTS:
            threshold = np.quantile(true, 1 - efficiency)
            passing = true > threshold
            moved = int(np.sum(passing != (scores > threshold)))
            crossed.append(moved / max(1, int(np.sum(passing))))
        return Numerics(found, tuple(crossed))

    def network(stable: bool, arithmetic: Callable[[], Any] | None = None) -> NDArray[np.float64]:
        return reference.logits(jets, double=False, stable=stable, arithmetic=arithmetic, progress=progress)

    rows = [
        row("float32, published form", network(False), for_logits),
        row("float32", network(True), for_logits),
        row("this model", run_model(card, jets), card),
        row("TF32", network(True, lambda: rounded_products("tf32", islands=False)), for_logits),
    ]
    named: dict[str, Precision] = {"TF32": "tf32", "float16": "float16", "bfloat16": "bfloat16"}
    rows += [
        row(f"{name}, islands", network(True, _islands(precision)), for_logits) for name, precision in named.items()
    ]
    return rows


def _islands(precision: Precision) -> Callable[[], Any]:
    return lambda: rounded_products(precision, islands=True)
