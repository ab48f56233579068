"""An analysis of two eras with correction files of their own, and its templates and model computed without oddjets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import uproot
import yaml
from helpers import toy_analysis, toy_search
from helpers.toy_nano import toy_nano

from oddjets.simulation.nanoaod_layout import jagged

#: they are years, which YAML reads as numbers
FIRST, SECOND = "2101", "2102"
#: of the data, /pb
LUMINOSITY = {FIRST: 10.0, SECOND: 25.0}
#: relative parts of the luminosity's uncertainty
PARTS = {FIRST: {"2101": 0.010, "both": 0.006}, SECOND: {"2102": 0.020, "both": 0.009}}
#: of soft-drop mass
MASS_SCALE = {FIRST: 0.02, SECOND: 0.05}
#: of the weight of pileup, up; down is the inverse
PILEUP = {FIRST: 1.10, SECOND: 1.25}
#: by source; a source with a year is of that year
SOURCES = {FIRST: {"Absolute": 0.02, "Absolute_2101": 0.01}, SECOND: {"Absolute": 0.04, "Absolute_2102": 0.03}}
#: events of data of each era that are like top quarks
SIGNAL_EVENTS = 30
#: of a fit with few bins
EDGES = [60.0, 120.0, 160.0, 200.0]
PROCESSES = {"qcd": {"label": "QCD", "data_driven": True}, "top": {"label": "top pairs"}}


def correction(name: str, inputs: Mapping[str, str], data: Any) -> dict[str, Any]:
    """Return a correction in correctionlib's JSON format; ``data`` a number, or a string input's value to a number."""
    if isinstance(data, Mapping):
        category = next(i for i, kind in inputs.items() if kind == "string")
        content = [{"key": key, "value": float(value)} for key, value in data.items()]
        data = {"nodetype": "category", "input": category, "content": content}
    listed = [{"name": i, "type": kind} for i, kind in inputs.items()]
    output = {"name": "factor", "type": "real"}
    return {"name": name, "version": 1, "inputs": listed, "output": output, "data": data}


def write_corrections(file: Path, *corrections: dict[str, Any]) -> str:
    """Write a correctionlib file and return its sha256."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"schema_version": 2, "corrections": list(corrections)}), encoding="utf-8")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def write_eras(folder: Path) -> None:
    """Write both eras into ``corrections``; the second extends the first."""
    corrections, jet = folder / "corrections", {"eta": "real", "pt": "real"}
    files = {}
    for era in (FIRST, SECOND):
        weights = {"nominal": 1.0, "up": PILEUP[era], "down": 1 / PILEUP[era]}
        content = [correction("pileup", {"n": "real", "weights": "string"}, weights)]
        content += [correction(f"{era}_Regrouped_{name}", jet, size) for name, size in SOURCES[era].items()]
        content.append(correction(f"{era}_Total", jet, 0.03))
        name = f"{era}.json"
        sha256 = write_corrections(corrections / name, *content)
        files[era] = {"path": name, "sha256": sha256, "source": "made by a test"}
    inputs = {"eta": "eta", "pt": "pt"}
    first = {
        "name": int(FIRST),
        "files": {"all": files[FIRST]},
        "corrections": {
            "pu": {
                "file": "all",
                "key": "pileup",
                "inputs": {"n": "Pileup_nTrueInt", "weights": "variation"},
            },
            "jes": {"file": "all", "key": f"{FIRST}_Total", "inputs": inputs},
            "pref": {"nominal": "L1PreFiringWeight_Nom", "up": "L1PreFiringWeight_Up", "down": "L1PreFiringWeight_Dn"},
        },
        "jes_sources": {
            "file": "all",
            "key": f"{FIRST}_Regrouped_{{source}}",
            "inputs": inputs,
            "names": list(SOURCES[FIRST]),
        },
        "jet_mass_scale": MASS_SCALE[FIRST],
        "correlations": {"jes": "all", "jms": int(FIRST), "pu": "all", "pref": int(FIRST)},
        "luminosity_uncertainties": {int(FIRST): 0.010, "both": 0.006},
    }
    second = {
        "extends": int(FIRST),
        "name": int(SECOND),
        "files": {"all": files[SECOND]},
        "corrections": {"jes": {"key": f"{SECOND}_Total"}, "pref": None},
        "jes_sources": {"key": f"{SECOND}_Regrouped_{{source}}", "names": list(SOURCES[SECOND])},
        "jet_mass_scale": MASS_SCALE[SECOND],
        "correlations": {"jms": int(SECOND), "pref": None},
        "luminosity_uncertainties": {int(FIRST): None, int(SECOND): 0.020, "both": 0.009},
    }
    for era, content in ((FIRST, first), (SECOND, second)):
        (corrections / f"{era}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def _positive(record: dict[str, Any], runs: dict[str, Any]) -> None:
    """Make jets of top quarks, and all generator weights 1, so that no template has a negative bin."""
    toy_search.heavy(record, runs)
    record["genWeight"] = np.ones(len(record["genWeight"]), np.float32)
    runs["genEventSumw"] = np.array([float(len(record["genWeight"]))])
    for name in ("PSSumw", "LHEScaleSumw"):
        runs.pop(name)


def _with_signal(record: dict[str, Any], runs: dict[str, Any]) -> None:
    """Make some events of data as odd and heavy as top quarks."""
    jets, number = record["FatJet"], 2 * SIGNAL_EVENTS
    columns = {name: np.array(ak.flatten(jets[name])) for name in jets.fields}
    rng = np.random.default_rng(8)
    columns["msoftdrop"][:number] = rng.normal(172.0, 12.0, number)
    columns["particleNetMD_Xbb"][:number] = rng.uniform(0.6, 1.0, number)
    columns["particleNetMD_QCD"][:number] = rng.uniform(0.0, 0.2, number)
    record["FatJet"] = jagged(np.full(len(jets), 2), **columns)


def write(folder: Path, **changes: Any) -> Path:
    """Write ``a.yaml`` for both eras, with its fileset, files and eras: some data and top pairs of each."""
    folder.mkdir(parents=True, exist_ok=True)
    write_eras(folder)
    found = {
        "data_1": [toy_nano(folder / "data1.root", 300, is_data=True, run=1, seed=1, change=_with_signal)],
        "data_2": [toy_nano(folder / "data2.root", 500, is_data=True, run=2, seed=2, change=_with_signal)],
        "top_1": [toy_nano(folder / "top1.root", 120, seed=3, change=_positive)],
        "top_2": [toy_nano(folder / "top2.root", 90, seed=4, change=_positive)],
    }
    eras = {name: FIRST if name.endswith("1") else SECOND for name in found}
    content: dict[str, Any] = {
        "era": [int(FIRST), int(SECOND)],
        "luminosity": {int(era): value for era, value in LUMINOSITY.items()},
        "processes": PROCESSES,
        "regions": {"SR": {"subleading": "mass_high"}},
        "observables": {"leading_mass": {"expression": "mass_1", "label": "mass", "edges": EDGES}},
        "systematics": ["jes", "jms", "pu", {"name": "pref", "eras": [int(FIRST)]}],
        "fit": {
            "observable": "leading_mass",
            "regions": ["SR"],
            "poi": {"process": "top", "bounds": [0, 10]},
            "goodness_of_fit": {"toys": 0},
        },
        "execution": {"executor": "iterative"},
    }
    return toy_analysis.write(folder, found, eras, **content | changes)


def templates(out: Path, dataset: str, variation: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return letter to sums of weights and of their squares in the bins of the region SR, not normalised.

    From the event table alone, cut by cut.

    Args:
        out: the analysis's output folder.
        dataset: which.
        variation: a column's suffix, or ``nominal``.
    """
    table: dict[str, list[np.ndarray]] = {}
    for part in sorted((out / "events" / dataset).glob("*.parquet")):
        read = pq.read_table(part)
        for name in read.column_names:
            table.setdefault(name, []).append(read[name].to_numpy())
    columns = {name: np.concatenate(parts) for name, parts in table.items()}

    def of(name: str) -> np.ndarray:
        return columns.get(f"{name}__{variation}", columns[name])

    pt, mass = (np.stack([of(f"{name}_{j}") for j in (1, 2)]) for name in ("pt", "mass"))
    score = np.stack([columns[f"score_xbb_{j}"] for j in (1, 2)])
    order = np.argsort(-pt, axis=0, kind="stable")
    pt, mass, score = (np.take_along_axis(values, order, axis=0) for values in (pt, mass, score))
    passed = (pt.min(axis=0) > 450) & (mass.min(axis=0) > 60) & columns["passes_filters"]
    passed &= columns["trigger_PFHT800"] | columns["trigger_PFJet450"]
    passed &= mass[1] > 100
    high = score >= 0.5
    letters = {"A": high[0] & high[1], "B": ~high[0] & high[1], "C": high[0] & ~high[1], "D": ~high[0] & ~high[1]}
    found = {}
    for letter, mask in letters.items():
        chosen = passed & mask
        weights = of("weight")[chosen].astype(np.float64)
        sums = [np.histogram(mass[0][chosen], EDGES, weights=weights**power)[0] for power in (1, 2)]
        found[letter] = (sums[0], sums[1])
    return found


def normalisation(folder: Path, number: int) -> float:
    """Return cross section (1 pb) times the era's luminosity over the sum of weights, which is the number of events."""
    with uproot.open(folder / f"top{number}.root") as file:
        events = file["Events"].num_entries
    return LUMINOSITY[(FIRST, SECOND)[number - 1]] / events
