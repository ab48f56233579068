"""Numerical precision of scores: the tables and the figure of docs/numerics.md.

    python benchmarks/numerics.py CARD[,CARD...] CHECKPOINT JETS [--n-jets N] [--provider cpu|cuda] [--picture FILE]

Prints a Markdown table of kinds of arithmetic against float64 (`oddjets model check --numerics` prints the same), and
draws the noise of the pair mass and of the class probabilities. Needs `pip install 'oddjets[train]'`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from oddjets.report import style
from oddjets.scoring import load_card
from oddjets.training import Reference, read_checkpoint
from oddjets.training.export import load_jets
from oddjets.training.validate import PaddedJets
from oddjets.training.validate.numerics import WORKING_POINTS, ArithmeticResult, compare_arithmetic, run_arithmetics

#: of float32: the largest relative error of one rounding
ROUNDING = 2.0**-24
#: pairs drawn of each form
DRAWN = 20_000
#: kinds of arithmetic that are drawn, and their colours
CURVES = {"TF32": 2, "bfloat16, islands": 3, "float32, published form": 1, "float16, islands": 4, "float32": 0}
#: the jets with the highest scores, over which crossings are estimated
TAIL = 0.25
#: the working point at which they are
POINT = 0.05


class Pairs(NamedTuple):
    """Pairs of constituents.

    Attributes:
        distance: in (eta, phi), shape (n_pairs,).
        published: error of ln m^2 in float32 in the published form, shape (n_pairs,).
        stable: the same in the stable form.
    """

    distance: NDArray[np.float64]
    published: NDArray[np.float64]
    stable: NDArray[np.float64]


def pairs_of(jets: PaddedJets) -> Pairs:
    """Compute the pair mass of all pairs of each jet in float32, in both forms, and in float64."""
    rows = []
    for x, count in zip(jets.x, jets.counts, strict=True):
        first, second = np.triu_indices(int(count), 1)
        one, two = x[first], x[second]
        d_eta, d_phi = (one[:, i] - two[:, i] for i in (0, 1))
        published = 2 * np.exp(one[:, 2]) * np.exp(two[:, 2]) * (np.cosh(d_eta) - np.cos(d_phi))
        stable = _stable_mass2(one, two)
        exact = _stable_mass2(one.astype(np.float64), two.astype(np.float64))
        apart = exact > 0
        distance = np.hypot(d_eta, d_phi)
        rows.append([v[apart] for v in (distance, _off(published, exact), _off(stable, exact))])
    return Pairs(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def _stable_mass2(one: NDArray[Any], two: NDArray[Any]) -> NDArray[Any]:
    half = (one[:, :2] - two[:, :2]) / 2
    mass2: NDArray[Any] = 4 * np.exp(one[:, 2] + two[:, 2]) * (np.sinh(half[:, 0]) ** 2 + np.sin(half[:, 1]) ** 2)
    return mass2


def _off(mass2: NDArray[np.float32], exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Error of the logarithm; PET2 takes that of 1 where nothing is left."""
    found = np.where(mass2 > 0, mass2, 1).astype(np.float64)
    return np.abs(np.log(found) - np.log(np.where(exact > 0, exact, 1)))


def table(found: Sequence[ArithmeticResult]) -> str:
    """The Markdown table; the first outcome is float64."""
    exact, *others = found
    points = " | ".join(f"{point:.1%}" for point in WORKING_POINTS)
    lines = [
        f"| arithmetic | probability: median | 99 % | max | score: median | 99 % | max | {points} |",
        "|---|" + "---|" * (6 + len(WORKING_POINTS)),
    ]
    for other in others:
        row = compare_arithmetic(exact, other)
        differences = [f"{value:.1e}" for value in (*row.probability, *row.score)]
        crossed = [f"{moved} of {passing}" for moved, passing in zip(row.crossed, row.passing, strict=True)]
        lines.append(f"| {' | '.join([row.name, *differences, *crossed])} |")
    return "\n".join(lines)


def crossings(found: Sequence[ArithmeticResult]) -> str:
    """Estimate the share of jets that cross the threshold of `POINT`, as a Markdown table.

    Few jets cross in a sample of hundreds. Where N jets lie beyond the log-odds t, and noise moves t by d, |N'| |d| cross;
    the slope N'/N is taken between half and twice the working point, and the mean of |d| over the upper tail.
    """
    exact, *others = found
    log_odds = logit(exact.scores)
    tail = log_odds > np.quantile(log_odds, 1 - TAIL)
    low, high = np.quantile(log_odds, [1 - 2 * POINT, 1 - POINT / 2])
    lines = ["| arithmetic | change of the log-odds: mean | of the highest quarter | crossing |", "|---|---|---|---|"]
    for other in others:
        moved = np.abs(logit(other.scores) - log_odds)
        means = float(moved.mean()), float(moved[tail].mean())
        share = np.log(4) / (high - low) * means[1]
        lines.append(f"| {other.name} | {means[0]:.1e} | {means[1]:.1e} | {share:.2%} |")
    return "\n".join(lines)


def draw(pairs: Pairs, found: Sequence[ArithmeticResult], file: Path) -> None:
    """Draw the error of the pair mass against distance, and the jets whose probabilities are off by more than x."""
    exact, *others = found
    with style.context(0.8):
        figure = style.figure(15.0, 6.4)
        left, right = figure.subplots(1, 2)
        some = np.random.default_rng(1).permutation(len(pairs.distance))[:DRAWN]
        options: dict[str, Any] = {"s": 3, "alpha": 0.35, "linewidths": 0, "rasterized": True}
        left.scatter(pairs.distance[some], pairs.published[some], color=style.PALETTE[1], **options)
        left.scatter(pairs.distance[some], pairs.stable[some], color=style.PALETTE[0], **options)
        distance = np.geomspace(1e-3, 1.5, 50)
        left.plot(distance, 3 * ROUNDING / distance**2, color="black", label=r"$3\cdot2^{-24}/\Delta R^2$")
        left.scatter([], [], color=style.PALETTE[1], label="published form")
        left.scatter([], [], color=style.PALETTE[0], label="stable form")
        left.set(xscale="log", yscale="log", xlim=(1e-3, 1.5), ylim=(1e-10, 1))
        left.set(xlabel=r"$\Delta R$ of two constituents", ylabel=r"error of $\ln m^2$ in float32")
        left.legend(loc="lower left")
        by_name = {other.name: other for other in others}
        for name, colour in CURVES.items():
            off = np.sort(np.abs(by_name[name].probabilities - exact.probabilities).max(axis=1))
            right.step(off, 1 - np.arange(len(off)) / len(off), where="pre", label=name, color=style.PALETTE[colour])
        right.set(xscale="log", yscale="log", xlim=(1e-10, 1), ylim=(1 / len(exact.scores), 1.5))
        right.set(xlabel="largest error of a class probability", ylabel="share of jets with more")
        right.legend(loc="lower left")
        style.save(figure, file)


def main() -> None:
    """Read the options, run, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cards", type=lambda names: [Path(name) for name in names.split(",")])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("jets", type=Path, help="npz with x, pid and add")
    parser.add_argument("--n-jets", type=int, default=600)
    parser.add_argument("--provider", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--picture", type=Path, help="file to draw")
    options = parser.parse_args()
    jets = load_jets(options.jets, options.n_jets)
    reference = Reference(read_checkpoint(options.checkpoint), options.provider)
    cards = [load_card(card) for card in options.cards]
    found = list(run_arithmetics(cards, reference, jets, provider=options.provider))
    print(table(found), crossings(found), sep="\n\n")
    if options.picture is not None:
        draw(pairs_of(jets), found, options.picture)


if __name__ == "__main__":
    main()
