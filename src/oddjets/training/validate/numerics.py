"""Numerical precision of a score: other kinds of arithmetic compared with float64.

Arithmetic with fewer bits is emulated: tensor cores round both factors, multiply exactly and add in float32, and so does
this, for every product of matrices that PyTorch computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oddjets.core.optional_imports import require
from oddjets.scoring.model_card import ModelCard
from oddjets.scoring.score import anomaly_score, class_probabilities
from oddjets.training.validate.parity import reference_card, run_model
from oddjets.training.validate.reference import PaddedJets, Reference

__all__ = [
    "PASSES",
    "WORKING_POINTS",
    "ArithmeticComparison",
    "ArithmeticResult",
    "Precision",
    "compare_arithmetic",
    "rounded_products",
    "run_arithmetics",
]

Precision = Literal["tf32", "float16", "bfloat16"]

#: how often `run_arithmetics` runs the network on every jet
PASSES = 7
#: efficiencies at which an analysis may cut
WORKING_POINTS = (0.002, 0.01, 0.05)
#: products over no more columns than this read the inputs: distances, masks, first layers
_INPUT_COLUMNS = 8
#: mantissa bits that TF32 drops of float32's 23
_TF32_DROPPED = 13


class ArithmeticResult(NamedTuple):
    """The result of one kind of arithmetic.

    Attributes:
        name: the arithmetic.
        probabilities: shape (n_jets, n_softmax).
        scores: shape (n_jets,).
    """

    name: str
    probabilities: NDArray[np.float64]
    scores: NDArray[np.float64]


class ArithmeticComparison(NamedTuple):
    """The differences of one kind of arithmetic from float64.

    Attributes:
        name: the arithmetic.
        probability: median, 99 % quantile and maximum of the jets' largest differences of a class probability.
        score: the same of the differences of the score.
        crossed: for each of `WORKING_POINTS`, how many jets are on the other side of the threshold than in float64.
        passing: for each, how many jets pass it in float64.
    """

    name: str
    probability: tuple[float, float, float]
    score: tuple[float, float, float]
    crossed: tuple[int, ...]
    passing: tuple[int, ...]


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


def run_arithmetics(
    cards: Sequence[ModelCard],
    reference: Reference,
    jets: PaddedJets,
    progress: Callable[[int], None] | None = None,
    provider: Literal["cpu", "cuda"] = "cpu",
) -> Iterator[ArithmeticResult]:
    """Run the network in several kinds of arithmetic.

    Args:
        cards: cards of exports of the network.
        reference: the network.
        jets: the jets.
        progress: called with the number of jets done since the last call.
        provider: where the exports run; the reference knows where it is.

    Yields:
        The authors' PET2 in float64, and in float32 in the published form; all others in the stable form: float32, the
        exports, TF32 everywhere, and TF32, float16 and bfloat16 with islands of float32 where products read the inputs.
    """
    for_logits = reference_card(cards[0])

    def outcome(name: str, output: NDArray[Any], of: ModelCard = for_logits) -> ArithmeticResult:
        return ArithmeticResult(name, class_probabilities(output, of), anomaly_score(output, of))

    def network(stable: bool, arithmetic: Callable[[], Any] | None = None) -> NDArray[np.float64]:
        return reference.logits(jets, double=False, stable=stable, arithmetic=arithmetic, progress=progress)

    yield outcome("float64", reference.logits(jets, progress=progress))
    yield outcome("float32, published form", network(False))
    yield outcome("float32", network(True))
    for card in cards:
        yield outcome(f"ONNX, {card.name}", run_model(card, jets, provider=provider), card)
    yield outcome("TF32", network(True, lambda: rounded_products("tf32", islands=False)))
    named: dict[str, Precision] = {"TF32": "tf32", "float16": "float16", "bfloat16": "bfloat16"}
    for name, precision in named.items():
        yield outcome(f"{name}, islands", network(True, _islands(precision)))


def compare_arithmetic(exact: ArithmeticResult, found: ArithmeticResult) -> ArithmeticComparison:
    """Compare one kind of arithmetic with float64, on the same jets.

    Args:
        exact: in float64.
        found: in the other arithmetic.
    """
    crossed, passing = [], []
    for efficiency in WORKING_POINTS:
        threshold = np.quantile(exact.scores, 1 - efficiency)
        passes = exact.scores > threshold
        crossed.append(int(np.sum(passes != (found.scores > threshold))))
        passing.append(int(np.sum(passes)))
    return ArithmeticComparison(
        found.name,
        _quantiles(np.abs(found.probabilities - exact.probabilities).max(axis=1)),
        _quantiles(np.abs(found.scores - exact.scores)),
        tuple(crossed),
        tuple(passing),
    )


def _quantiles(differences: NDArray[np.float64]) -> tuple[float, float, float]:
    median, high, maximum = np.quantile(differences, (0.5, 0.99, 1.0))
    return float(median), float(high), float(maximum)


def _islands(precision: Precision) -> Callable[[], Any]:
    return lambda: rounded_products(precision, islands=True)
