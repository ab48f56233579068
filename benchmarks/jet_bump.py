"""What the search in the mass of the oddest single jets finds in simulation, with top quarks and without.

    python benchmarks/jet_bump.py --luminosity 300 --draws 12

Both jets of the events of the shipped bank, with scores of the shipped model, are drawn as data of some luminosity. The table
has the mean z in the window, its standard deviation over the draws, and how often the strongest window of its width holds
173 GeV. All draws are of one sample, whose own fluctuation is in all of them. Then the whole bank of QCD, weighted: jets in
the window at 1000 /pb, what the fit outside expects, and the errors of the fit and of the simulation.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests")]

from helpers import bank_jets  # noqa: E402

from oddjets.config.aspen import JetBump  # noqa: E402
from oddjets.selection.oddest_jets import bins_of, find_oddest  # noqa: E402
from oddjets.stats import dijet_function  # noqa: E402
from oddjets.study.single_jets import JetChoice, count_cells, search_all  # noqa: E402

EFFICIENCIES = (0.005, 0.01, 0.05)
EDGES, WINDOW = bins_of(JetBump())
SCORE = "omnilearned"


def searched(processes: tuple[str, ...], luminosity: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return z in the window, and whether the strongest window holds the top quark's mass, of each efficiency."""
    table = bank_jets.drawn(processes, luminosity, seed)
    oddest = find_oddest([table], [SCORE], len(table["mass"]), max(EFFICIENCIES))[SCORE]
    choices = [JetChoice(SCORE, efficiency, oddest.above(efficiency)[0]) for efficiency in EFFICIENCIES]
    cells = count_cells([table], choices, EDGES, WINDOW, 450.0)
    found = search_all(cells.spectra[None], cells)
    low = EDGES[found.place[0]]
    return norm.isf(np.maximum(found.local[0], 1e-300)), (low < 173) & (low + 60 > 173)


def whole(efficiency: float) -> str:
    """Return what the weighted QCD of the whole bank has in the window, and what the fit outside expects."""
    events = bank_jets.bank_of("qcd")
    weight = np.tile(events["weight"] * 1000, 2)
    mass, score = (np.concatenate([events[f"{name}_{j}"] for j in (1, 2)]) for name in ("mass", f"score_{SCORE}"))
    order = np.argsort(-score)
    chosen = order[np.cumsum(weight[order]) <= efficiency * weight.sum()]
    counts, squares = (np.histogram(mass[chosen], EDGES, weights=weight[chosen] ** k)[0] for k in (1, 2))
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    terms = dijet_function.design(centres, dijet_function.choose_order(counts, centres, ~WINDOW)[0])
    expected, error = dijet_function.window_background(dijet_function.fit(counts, terms, ~WINDOW), terms, WINDOW)
    return (
        f"{100 * efficiency:g} %: {counts[WINDOW].sum():.0f} jets, {expected[0]:.0f} +- {error[0]:.0f} expected, simulation"
        f" +- {np.sqrt(squares[WINDOW].sum()):.0f}"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Searches of single jets in simulation.")
    parser.add_argument("--luminosity", type=float, default=300.0, help="/pb")
    parser.add_argument("--draws", type=int, default=12)
    asked = parser.parse_args()
    for processes in (("qcd",), ("qcd", "top"), ("qcd", "wjets", "zjets"), ("qcd", "wjets", "zjets", "top")):
        z, held = (
            np.array(x)
            for x in zip(*(searched(processes, asked.luminosity, k) for k in range(asked.draws)), strict=True)
        )
        cells = [
            f"{100 * e:g} %: {mean:.1f} ({sd:.1f}), {100 * part:.0f} %"
            for e, mean, sd, part in zip(EFFICIENCIES, z.mean(axis=0), z.std(axis=0), held.mean(axis=0), strict=True)
        ]
        print(f"{' + '.join(processes)}: mean z (sd), strongest at 173 GeV: {'; '.join(cells)}")
    for efficiency in EFFICIENCIES:
        print(f"QCD of the whole bank at 1000 /pb, oddest {whole(efficiency)}")


if __name__ == "__main__":
    main()
