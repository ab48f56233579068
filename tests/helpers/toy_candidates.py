"""Small PFNano files with PF candidates, and an analysis of them that scores jets with a tiny model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from helpers import layouts, tiny_model, toy_analysis
from helpers.chunks import copy
from helpers.toy_nano import toy_nano

from oddjets.core.kinematics import invariant_mass, momenta, pt_eta_phi
from oddjets.simulation.nanoaod_layout import jagged

#: constituents of a jet, and candidates of an event that are in none; every tenth of these is pileup, of weight 0
IN_JET, BESIDE = 15, 30
#: codes of constituents in turn, with their charges
_CODES = ((211, 1), (22, 0), (-211, -1), (130, 0), (13, -1))


def with_candidates(seed: int = 5) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    """Return a change for `toy_nano`: jets of constituents in two prongs, and candidates beside them."""

    def change(record: dict[str, Any], runs: dict[str, Any]) -> None:
        rng = np.random.default_rng(seed)
        stored = record["FatJet"]
        number = len(stored)
        columns = {name: np.asarray(stored[name], np.float64).ravel() for name in stored.fields}
        # back to back, so that no two jets share constituents
        eta = rng.uniform(-1.5, 1.5, (number, 2))
        phi = rng.uniform(-3, 0, (number, 1)) + np.array([0.0, np.pi])
        p = np.empty((number, 2, IN_JET, 4))
        for event in range(number):
            for jet in range(2):
                share = rng.dirichlet(np.ones(IN_JET)) * columns["pt"].reshape(-1, 2)[event, jet]
                # a third of the constituents are 0.4 away
                away = np.where(np.arange(IN_JET) % 3 == 0, 0.4, 0.0)
                p[event, jet] = momenta(
                    share, eta[event, jet] + away + rng.normal(0, 0.02, IN_JET),
                    phi[event, jet] + rng.normal(0, 0.02, IN_JET), np.zeros(IN_JET),
                )  # fmt: skip
        sums = p.sum(axis=2).reshape(-1, 4)
        columns["pt"], columns["eta"], columns["phi"] = pt_eta_phi(sums)
        columns["mass"] = invariant_mass(sums)
        columns |= {f"particleNetMD_{name}": rng.uniform(0, 1, 2 * number) for name in ("Xcc", "Xqq")}
        columns["jetId"] = np.full(2 * number, 6)
        columns["nConstituents"] = np.full(2 * number, IN_JET)
        record["FatJet"] = jagged(np.full(number, 2), **columns)
        _add_candidates(record, p, rng)

    return change


def _add_candidates(record: dict[str, Any], p: np.ndarray, rng: np.random.Generator) -> None:
    number, each = len(p), 2 * IN_JET + BESIDE
    inside = [part.reshape(number, 2 * IN_JET) for part in pt_eta_phi(p.reshape(-1, 4))]
    size = (number, BESIDE)
    soft = [rng.exponential(1.0, size) + 0.2, rng.uniform(-4, 4, size), rng.uniform(-3, 3, size)]
    pt, eta, phi = (np.concatenate([a, b], axis=1).ravel() for a, b in zip(inside, soft, strict=True))
    code, charge = (np.resize([kind[k] for kind in _CODES], each) for k in (0, 1))
    codes, charges = np.tile(code, number), np.tile(charge, number)
    weight = np.ones((number, each))
    weight[:, 2 * IN_JET :: 10] = 0.0
    # errors of tracks, cm
    impact = {"d0": 0.002, "dz": 0.003}
    columns = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "mass": np.zeros(len(pt)),
        "pdgId": codes,
        "charge": charges,
        **{name: np.where(charges != 0, rng.normal(0, error, len(pt)), -1.0) for name, error in impact.items()},
        **{f"{name}Err": np.where(charges != 0, error, -1.0) for name, error in impact.items()},
        "puppiWeight": weight.ravel(),
    }
    record["PFCands"] = jagged(np.full(number, each), **columns)
    record["FatJetPFCands"] = jagged(
        np.full(number, 2 * IN_JET),
        jetIdx=np.tile(np.repeat([0, 1], IN_JET), number),
        pFCandsIdx=np.tile(np.arange(2 * IN_JET), number),
    )


def write(folder: Path, layout: str = "pfnano", **changes: Any) -> Path:
    """Write ``analysis.yaml``, its fileset, its files (60 events of data in two, 30 of simulated top pairs) and its model.

    Args:
        folder: where to.
        layout: of the files, as in `helpers.layouts.CHANGES`.
        changes: of the analysis.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "data": [
            _file(folder, "data1", layout, 30, is_data=True, run=1, seed=1),
            _file(folder, "data2", layout, 30, is_data=True, run=2, seed=2),
        ],
        "top": [_file(folder, "top", layout, 30, seed=3)],
    }
    own: Mapping[str, Any] = {
        "scores": {"mine": {"card": tiny_model.write(folder).name}},
        "threshold": {"score": "mine", "efficiency": 0.4},
        "regions": {"SR": {"cuts": ["mass_1 > 0"]}},
        "observables": {
            "leading_mass": {"expression": "mass_1", "label": "mass", "unit": "GeV", "bins": 6, "range": [60, 210]}
        },
        "selection": {
            "cuts": ["two_jets", "jet_pt"],
            "triggers": ["PFHT800", "PFJet450"],
            **({"taggers": {"names": "v15"}} if "v15" in layout else {}),
        },
        "systematics": [],
        "execution": {"executor": "iterative", "provider": "cpu"},
    }
    return toy_analysis.write(folder, found, **{**own, **changes}).rename(folder / "analysis.yaml")


def _file(folder: Path, name: str, layout: str, number: int, *, seed: int, **options: Any) -> Path:
    made = toy_nano(folder / f"{name}.root", number, seed=seed, change=with_candidates(seed), **options)
    change = layouts.CHANGES[layout]
    if change is None:
        return made
    other = copy(made, folder / f"{name}_{layout}.root", change)
    made.unlink()
    return other
