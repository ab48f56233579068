"""Build simulation.json, the correctionlib file of the simulated era, and print its sha256.

The simulated detector has no calibration errors. These uncertainties are OURS, of the size that CMS quotes for AK8 PUPPI
jets in 2016, so that all systematics use the same code as with official files:

* jes_uncertainty(JetEta, JetPt): 0.8 % at pT below 400 GeV to 0.7 % above, 1 % beyond |eta| 1.3, 1.5 % beyond 2.0 (the
  official Total at eta 0.5 is 0.69 to 0.83 % between 200 and 2000 GeV);
* jer_resolution(JetEta, JetPt): 6 %; it only limits the pT difference to a generator jet, because the scale factor is 1;
* jer_scale_factor(JetEta, variation) is 1, since templates and pseudo-data have the same resolution; up and down
  differ by 1.2 %, the uncertainty of the official 1.099;
* pileup_weight(nTrueInt, variation): the profile of pseudo-data over that of simulation in bins of one interaction; up
  and down shift the mean of pseudo-data by 4.6 %, the uncertainty of CMS's minimum-bias cross section.

    python corrections/build_simulation.py
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import correctionlib.schemav2 as cs

from oddjets.simulation.pileup_profile import PILEUP_DATA, PILEUP_SIMULATION

MINIMUM_BIAS_UNCERTAINTY = 0.046


def jes_uncertainty() -> cs.Correction:
    """Relative uncertainty of the jet energy scale."""
    return cs.Correction(
        name="jes_uncertainty",
        version=1,
        description="relative uncertainty of pT; ours, of the size of the official AK8 PUPPI Total in 2016",
        inputs=[
            cs.Variable(name="JetEta", type="real"),
            cs.Variable(name="JetPt", type="real", description="GeV"),
        ],
        output=cs.Variable(name="uncertainty", type="real"),
        data=cs.MultiBinning(
            nodetype="multibinning",
            inputs=["JetEta", "JetPt"],
            edges=[[-2.5, -2.0, -1.3, 0.0, 1.3, 2.0, 2.5], [170.0, 400.0, 1000.0, 8000.0]],
            content=[0.015, 0.015, 0.015, 0.01, 0.01, 0.01] + [0.008, 0.007, 0.0075] * 2 + [0.01] * 3 + [0.015] * 3,
            flow="clamp",
        ),
    )


def jer_resolution() -> cs.Correction:
    """Relative resolution of pT."""
    return cs.Correction(
        name="jer_resolution",
        version=1,
        description="relative resolution of pT; ours, near the official 6.3 % at eta 0.5 and 450 GeV",
        inputs=[
            cs.Variable(name="JetEta", type="real"),
            cs.Variable(name="JetPt", type="real", description="GeV"),
        ],
        output=cs.Variable(name="resolution", type="real"),
        data=0.06,
    )


def jer_scale_factor() -> cs.Correction:
    """Resolution in pseudo-data over that in templates."""
    return cs.Correction(
        name="jer_scale_factor",
        version=1,
        description="1 by construction; the uncertainty is ours, of the size of the official one",
        inputs=[
            cs.Variable(name="JetEta", type="real"),
            cs.Variable(name="variation", type="string"),
        ],
        output=cs.Variable(name="factor", type="real"),
        data=cs.Category(
            nodetype="category",
            input="variation",
            content=[cs.CategoryItem(key=k, value=v) for k, v in (("nom", 1.0), ("up", 1.012), ("down", 0.988))],
        ),
    )


def pileup_weight() -> cs.Correction:
    """Ratio of the profiles of pseudo-data and of simulation."""

    def profile(mean: float, sigma: float) -> list[float]:
        # probabilities of the bins n - 0.5 to n + 0.5, n = 0 to 75, of a Gaussian; values below 1 count as 1
        def below(x: float) -> float:
            return 0.5 * math.erfc((mean - x) / (math.sqrt(2) * sigma))

        return [0.0, below(1.5), *(below(n + 0.5) - below(n - 0.5) for n in range(2, 76))]

    simulated = profile(*PILEUP_SIMULATION)

    def ratio(scale: float) -> list[float]:
        mean, sigma = PILEUP_DATA
        return [d / s if s > 0 else 1.0 for d, s in zip(profile(scale * mean, sigma), simulated, strict=True)]

    def binning(weights: list[float]) -> cs.Binning:
        return cs.Binning(
            nodetype="binning",
            input="nTrueInt",
            edges=[n - 0.5 for n in range(77)],
            content=list(weights),
            flow="clamp",
        )

    shifted = {
        "nominal": ratio(1.0),
        "up": ratio(1 + MINIMUM_BIAS_UNCERTAINTY),
        "down": ratio(1 - MINIMUM_BIAS_UNCERTAINTY),
    }
    return cs.Correction(
        name="pileup_weight",
        version=1,
        description="weight of simulated events for the pileup of pseudo-data",
        inputs=[
            cs.Variable(name="nTrueInt", type="real"),
            cs.Variable(name="variation", type="string"),
        ],
        output=cs.Variable(name="weight", type="real"),
        data=cs.Category(
            nodetype="category",
            input="variation",
            content=[cs.CategoryItem(key=key, value=binning(weights)) for key, weights in shifted.items()],
        ),
    )


if __name__ == "__main__":
    target = Path(__file__).with_name("simulation.json")
    built = [jes_uncertainty(), jer_resolution(), jer_scale_factor(), pileup_weight()]
    content = cs.CorrectionSet(schema_version=2, corrections=built)
    target.write_text(content.model_dump_json(exclude_unset=True, indent=1) + "\n", encoding="utf-8")
    print(hashlib.sha256(target.read_bytes()).hexdigest(), target.name)  # noqa: T201
