"""Events of independent or correlated jets whose ABCD constants are known in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from helpers.analyses import analysis

from oddjets.config.analysis import Analysis
from oddjets.selection import DijetProcessor, jet_cut

#: probability of a tag, and of a score above the threshold, of jets with and without a tag
TAG, PASS_TAGGED, PASS_PLAIN = 0.1, 0.4, 0.05


class Tagged(DijetProcessor):
    """Cuts of a toy: no base selection, a tag of each jet."""

    def __init__(self) -> None:
        pass

    def passing(self, table: Any) -> npt.NDArray[np.bool_]:
        """All events pass."""
        return np.ones(table.size, bool)

    @jet_cut
    def tagged(self, jets: Any) -> npt.NDArray[np.bool_]:
        """Require a tag."""
        return jets["tag"] > 0.5


def toy(**changes: Any) -> Analysis:
    """An analysis of tagged jets: everything, one tag at least, two tags, one jet without."""
    plain = {
        "regions": {
            "ALL": {},
            "ANY": {"any": "tagged"},
            "BOTH": {"all": "tagged"},
            "LOOSE": {"any": "not tagged"},
        },
        "scores": {"s": {"signal": ["a"], "background": ["b"]}},
        "threshold": {"score": "s", "value": 0.5},
        "observables": {"mass": {"expression": "mass_1", "label": "mass", "bins": 1, "range": [0, 1000]}},
        "systematics": [],
        "fit": None,
    }
    return analysis(**plain | changes)


def columns(n: int, rng: np.random.Generator, *, both: float = 0.0) -> dict[str, npt.NDArray[Any]]:
    """Events with tags and scores; a fraction ``both`` has two tags whatever chance says, like two b jets of one gluon."""
    tags = rng.uniform(size=(2, n)) < TAG
    tags |= rng.uniform(size=n) < both
    passing = rng.uniform(size=(2, n)) < np.where(tags, PASS_TAGGED, PASS_PLAIN)
    # pT knows nothing of the rest, so that its order changes nothing
    pt = np.sort(rng.uniform(450, 900, (2, n)), axis=0)[::-1]
    made: dict[str, npt.NDArray[Any]] = {"event": np.arange(n), "weight": np.ones(n)}
    for j in (1, 2):
        made |= {
            f"tag_{j}": tags[j - 1].astype(float),
            f"score_s_{j}": np.where(passing[j - 1], 0.8, 0.2),
            f"pt_{j}": pt[j - 1],
            f"eta_{j}": rng.uniform(-2, 2, n),
            f"phi_{j}": rng.uniform(-np.pi, np.pi, n),
            f"mass_{j}": rng.uniform(60, 200, n),
        }
        made[f"mass_ungroomed_{j}"] = made[f"mass_{j}"] * 1.1
        made[f"flavour_{j}"] = np.where(tags[j - 1], 5.0, 0.0)
    return made


def constant_of_union(tag: float, tagged: float, plain: float) -> float:
    """Return A D / (B C) of independent jets in the region with at least one tag.

    Each jet is tagged with probability ``tag``; a tagged one passes with probability ``tagged``, another with ``plain``. A sum
    over the three kinds of pairs: (t, t), (t, u) and (u, t), each a product.
    """
    pairs = [(tag * tag, tagged, tagged), (tag * (1 - tag), tagged, plain), ((1 - tag) * tag, plain, tagged)]
    a = sum(p * x * y for p, x, y in pairs)
    b = sum(p * (1 - x) * y for p, x, y in pairs)
    c = sum(p * x * (1 - y) for p, x, y in pairs)
    d = sum(p * (1 - x) * (1 - y) for p, x, y in pairs)
    return a * d / (b * c)
