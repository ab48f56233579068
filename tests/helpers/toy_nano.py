"""A small PFNano file of random jets, with every weight that CMS stores: for tests that need no physics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot

from oddjets.simulation.nanoaod_layout import jagged

LAST_COPY = 1 << 13


def toy_nano(
    path: Path,
    number: int,
    *,
    is_data: bool = False,
    run: int = 1,
    weights: bool = True,
    seed: int = 1,
    change: Callable[[dict[str, Any], dict[str, Any]], None] | None = None,
    titles: Mapping[str, str] | None = None,
    rntuple: bool = False,
) -> Path:
    """Write ``number`` events with two AK8 jets above 450 GeV, one muon branch without muons, and a pair of top quarks.

    Args:
        path: the file.
        number: events.
        is_data: no generator branches.
        run: the run's number; sections are 1 to 10 in turn.
        weights: whether there are weights of shower and scales; a single 1 where not.
        seed: of the numbers.
        change: is given what goes into Events and into Runs, by branch or collection, and changes it.
        titles: of branches of Events.
        rntuple: write RNTuples, one field a branch, instead of TTrees.
    """
    rng = np.random.default_rng(seed)
    two, n_jets = np.full(number, 2), 2 * number
    pt = np.sort(rng.uniform(460, 900, (number, 2)), axis=1)[:, ::-1].ravel()
    jets = {
        "pt": pt,
        "eta": rng.uniform(-2, 2, n_jets),
        "phi": rng.uniform(-3, 3, n_jets),
        "mass": rng.uniform(70, 200, n_jets),
        "msoftdrop": rng.uniform(65, 190, n_jets),
        "particleNetMD_Xbb": rng.uniform(0, 1, n_jets),
        "particleNetMD_QCD": rng.uniform(0, 1, n_jets),
        "btagDeepB": rng.uniform(0, 1, n_jets),
        **{f"tau{k}": rng.uniform(0.1, 0.2, n_jets) for k in (1, 2, 3, 4)},
    }
    lepton = dict.fromkeys(("pt", "eta", "phi", "mass"), np.empty(0)) | {"charge": np.empty(0, int)}
    zero = np.zeros(number, int)
    record: dict[str, Any] = {
        "run": np.full(number, run, np.uint32),
        "luminosityBlock": (1 + np.arange(number) % 10).astype(np.uint32),
        "event": np.arange(number, dtype=np.uint64),
        "fixedGridRhoFastjetAll": np.full(number, 20.0, np.float32),
        "Muon": jagged(zero, **lepton, tightId=np.empty(0, bool), pfRelIso04_all=np.empty(0)),
        "Electron": jagged(zero, **lepton, cutBased=np.empty(0, int)),
        "HLT_PFHT800": rng.random(number) < 0.9,
        "HLT_PFJet450": rng.random(number) < 0.5,
        "Flag_goodVertices": np.ones(number, bool),
    }
    runs: dict[str, Any] = {"run": np.array([run], np.uint32)}
    if not is_data:
        generator = np.where(rng.random(number) < 0.1, -1.0, 1.0)
        shower = rng.uniform(0.8, 1.2, (number, 4)) if weights else np.ones((number, 1))
        scales = rng.uniform(0.7, 1.3, (number, 9)) if weights else np.ones((number, 1))
        if weights:
            scales[:, 4] = 1.0
        tops = dict.fromkeys(("eta", "phi", "mass"), np.zeros(n_jets)) | {
            "pt": rng.uniform(100, 900, n_jets),
            "pdgId": np.tile([6, -6], number),
            "statusFlags": np.full(n_jets, LAST_COPY),
        }
        prefiring = {"Nom": 0.97, "Up": 0.95, "Dn": 0.99}
        record |= {
            "genWeight": generator.astype(np.float32),
            "PSWeight": ak.unflatten(shower.astype(np.float32).ravel(), np.full(number, shower.shape[1])),
            "LHEScaleWeight": ak.unflatten(scales.astype(np.float32).ravel(), np.full(number, scales.shape[1])),
            "GenPart": jagged(two, **tops),
            "Pileup_nTrueInt": np.float32(rng.uniform(10, 40, number)),
            **{f"L1PreFiringWeight_{d}": np.full(number, w, np.float32) for d, w in prefiring.items()},
            "LHE_HT": np.float32(rng.uniform(0, 1000, number)),
        }
        total = generator.sum()
        runs |= {"genEventSumw": np.array([total])}
        if weights:
            runs |= {
                "PSSumw": ak.Array([(generator[:, None] * shower).sum(axis=0) / total]),
                "LHEScaleSumw": ak.Array([(generator[:, None] * scales).sum(axis=0) / total]),
            }
    record["FatJet"] = jagged(two, **jets, jetId=np.full(n_jets, 6))
    if change is not None:
        change(record, runs)
    with uproot.recreate(path) as file:
        for name, columns in (("Events", record), ("Runs", runs)):
            arrays = {k: v if isinstance(v, ak.Array) else ak.Array(v) for k, v in columns.items()}
            if rntuple:
                file[name] = _fields(arrays)
                continue
            types = {k: ak.to_numpy(v).dtype if v.ndim == 1 else ak.type(v).content for k, v in arrays.items()}
            stated = titles or {} if name == "Events" else {}
            capacity = 1 if stated else 10
            tree = file.mktree(
                name, types, counter_name=lambda collection: f"n{collection}", initial_basket_capacity=capacity
            )
            # uproot has no argument for titles; they are written with the second basket, for which there is no room
            for branch in tree._cascading._branch_data if stated else ():
                branch["fTitle"] = stated.get(branch.get("fName", ""), branch.get("fTitle", ""))
            for part in (slice(None, 1), slice(1, None)) if stated else (slice(None),):
                tree.extend({k: array[part] for k, array in arrays.items()})
    return path


def _fields(arrays: Mapping[str, ak.Array]) -> dict[str, ak.Array]:
    """Collections taken apart, with their counters."""
    out = {}
    for name, array in arrays.items():
        if array.fields:
            out |= {f"{name}_{field}": array[field] for field in array.fields}
        else:
            out[name] = array
        if array.ndim > 1:
            out[f"n{name}"] = ak.values_astype(ak.num(array), "int32")
    return out
