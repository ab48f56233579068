"""An analysis of event files whose data in A have counts and masses that are nowhere else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from helpers.analyses import content

#: data in A: region to the counts in three bins of the leading jet's mass
COUNTS = {"SR": (1013, 619, 277), "VR1": (1231, 733, 389)}
#: the masses of the leading jets of data in A, one a bin, GeV
MASSES = (77.7771, 141.4142, 203.3033)
#: data in every bin and region of B, C, D
ELSEWHERE = {"B": 2500, "C": 2500, "D": 8000}
THRESHOLD = 0.5
#: scores of the leading and the subleading jet
_SCORES = {"A": (0.9, 0.9), "B": (0.1, 0.9), "C": (0.9, 0.1), "D": (0.1, 0.1)}
#: larger than the cut of ``tau21_low``, or not
_TAU21 = {"SR": 0.3, "VR1": 0.6}


def numbers_in_a() -> set[str]:
    """Return how the data in A would be written: sums and bins as numbers, masses by their first digits."""
    bins = {n for counts in COUNTS.values() for n in counts}
    sums = {sum(counts) for counts in COUNTS.values()}
    return {str(n) for n in bins | sums | {sum(sums)}} | {str(int(100 * mass) / 100) for mass in MASSES}


def found_in(text: str) -> list[str]:
    """Return which numbers of the data in A a text has, with thin spaces and commas between thousands or without."""
    plain = re.sub(r"(?<=\d)[,\u2009\u202f](?=\d{3})", "", text)
    found = []
    for number in sorted(numbers_in_a()):
        # a mass has more digits than are looked for; a count may be a float, and is no part of a key
        ends = "" if "." in number else r"(?!\w|\.0*[1-9])"
        if re.search(rf"(?<![\w.]){re.escape(number)}{ends}", plain):
            found.append(number)
    return found


def _cond(masses: np.ndarray, region: str, weight: float, rng: np.random.Generator) -> np.ndarray:
    n = len(masses)
    cond = np.zeros((n, 2, 52))
    pt = np.sort(rng.uniform(500, 900, (n, 2)))[:, ::-1]
    cond[..., 0], cond[:, 0, 3], cond[:, 1, 3] = np.log(pt), np.log(masses), np.log(rng.uniform(70, 110, n))
    cond[..., 1], cond[..., 2] = rng.uniform(-2, 2, (n, 2)), rng.uniform(-3, 3, (n, 2))
    cond[..., 4], cond[..., 5] = rng.uniform(1100, 1500, (n, 1)), 40
    cond[..., 6], cond[..., 7] = 0.4, 0.4 * _TAU21[region]
    cond[..., 8:10], cond[..., 10:14] = 0.05, 0.5
    cond[..., 14] = 1.0
    for i in range(8):
        cond[..., 18 + 2 * i], cond[:, 0, 19 + 2 * i], cond[:, 1, 19 + 2 * i] = pt, masses, np.exp(cond[:, 1, 3])
    cond[..., 34:52] = weight
    return cond


def _write(folder: Path, name: str, cells: Mapping[tuple[str, str], np.ndarray], weight: float, *, data: bool) -> Path:
    rng = np.random.default_rng(len(name))
    conds, predictions = [], []
    for (region, letter), masses in cells.items():
        cond = _cond(masses, region, weight, rng)
        if data:
            cond[..., 18:] = 0
        prediction = np.zeros((len(masses), 2, 12))
        prediction[..., 10] = np.array(_SCORES[letter]) + rng.uniform(-0.09, 0.09, (len(masses), 2))
        prediction[..., 0] = 1 - prediction[..., 10]
        conds.append(cond)
        predictions.append(prediction)
    file = folder / f"outputs_pretrain_l_{name}_dijet.npz"
    cond, prediction = np.concatenate(conds), np.concatenate(predictions)
    np.savez(
        file,
        prediction=prediction.reshape(-1, 12).astype(np.float32),
        cond=cond.reshape(-1, 52).astype(np.float32),
    )
    return file


def write(folder: Path, *, blind: bool, **changes: Any) -> Path:
    """Write the event files and the analysis; return its YAML."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    regions, edges = tuple(COUNTS), np.linspace(60, 240, 4)

    def spread(counts: tuple[int, int, int]) -> np.ndarray:
        """Masses anywhere in the bins."""
        return np.concatenate(
            [rng.uniform(a + 0.01, b - 0.01, n) for a, b, n in zip(edges, edges[1:], counts, strict=False)]
        )

    data = {(r, "A"): np.repeat(MASSES, COUNTS[r]) for r in regions}
    data |= {(r, x): spread((n, n, n)) for r in regions for x, n in ELSEWHERE.items()}
    _write(folder, "jetht", data, 1.0, data=True)
    top = {(r, x): spread((60, 200, 60)) for r in regions for x in "ABCD"}
    _write(folder, "top", top, 0.5, data=False)
    qcd = {(r, x): spread((200, 200, 200)) for r in regions for x in "ABCD"}
    _write(folder, "qcd600", qcd, 3.0, data=False)
    fit = {
        "observable": "leading_mass",
        "regions": list(regions),
        "poi": {"process": "top"},
        "goodness_of_fit": {"toys": 3},
        "blind": blind,
    }
    plain = content(
        fileset=None,
        npz={"folder": str(folder)},
        luminosity=1000.0,
        processes={"qcd": {"label": "QCD", "data_driven": True}, "top": {"label": "top pairs"}},
        selection={"cuts": ["trigger", "jet_pt", "jet_mass", "lepton_veto"], "triggers": ["dijet"]},
        scores={"odd": {"column": "prediction"}, "b": {"column": "btag"}},
        threshold={"score": "odd", "value": THRESHOLD},
        observables={
            "leading_mass": {"expression": "mass_1", "label": "mass", "unit": "GeV", "bins": 3, "range": [60, 240]}
        },
        regions={"SR": {"all": "tau21_low"}, "VR1": {"any": "not tau21_low"}},
        systematics=["jes", "pu"],
        execution={"workers": 1},
        fit=fit,
    )
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump(plain | changes), encoding="utf-8")
    return file
