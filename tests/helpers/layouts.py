"""The events of a PFNano file in the layouts of other files: changes for `helpers.chunks.copy`."""

from __future__ import annotations

from collections.abc import Callable

import awkward as ak
import numpy as np
from helpers.chunks import Columns

#: of a candidate without a track, as CMS stores it
IMPACT_PARAMETERS = ("d0", "d0Err", "dz", "dzErr")
#: pdgIds -> the fraction of a jet's energy that they make
_FRACTIONS = {"chHEF": (211,), "neHEF": (130,), "chEmEF": (11,), "neEmEF": (22,), "muEF": (13,)}


def without_index(columns: Columns) -> None:
    """PFNano as the portal has it: candidates, and no links from jets to them."""
    for name in [name for name in columns if "FatJetPFCands" in name]:
        del columns[name]


def without_candidates(columns: Columns) -> None:
    """NanoAODv9."""
    for name in [name for name in columns if "PFCands" in name]:
        del columns[name]


def without_impact_parameters(columns: Columns) -> None:
    """PFNano of candidates without any track."""
    for name in IMPACT_PARAMETERS:
        columns[f"PFCands_{name}"] = ak.full_like(columns[f"PFCands_{name}"], -1)


def small_integers(columns: Columns) -> None:
    """PFNano with the narrow integers of later versions of NanoAOD."""
    for name, kind in {
        "FatJetPFCands_jetIdx": "uint8",
        "FatJetPFCands_pFCandsIdx": "int16",
        "FatJet_jetId": "uint8",
        "FatJet_genJetAK8Idx": "int16",
        "FatJet_nConstituents": "uint8",
        "PFCands_pdgId": "int16",
        "PFCands_charge": "int8",
        "Electron_cutBased": "uint8",
        "GenPart_statusFlags": "uint16",
    }.items():
        if name in columns:
            columns[name] = ak.values_astype(columns[name], kind)


def nanoaod_v15(columns: Columns) -> None:
    """NanoAODv15: weighted momenta and pdgId alone, no jetId, other names of taggers and rho, narrow integers."""
    _store_composition(columns)
    weight = columns["PFCands_puppiWeight"]
    for name in ("pt", "mass"):
        columns[f"PFCand_{name}"] = ak.values_astype(columns[f"PFCands_{name}"] * weight, "float32")
    for name in ("eta", "phi", "pdgId"):
        columns[f"PFCand_{name}"] = columns[f"PFCands_{name}"]
    columns["FatJetPFCand_jetIdx"] = ak.values_astype(columns["FatJetPFCands_jetIdx"], "int16")
    columns["FatJetPFCand_pfCandIdx"] = columns["FatJetPFCands_pFCandsIdx"]
    for name in [name for name in columns if "PFCands" in name]:
        del columns[name]
    for name in ("Xbb", "Xcc", "Xqq", "QCD"):
        columns[f"FatJet_globalParT3_{name}"] = columns.pop(f"FatJet_particleNetMD_{name}")
    for name in ("FatJet_jetId", "FatJet_btagDeepB"):
        del columns[name]
    columns["FatJet_rawFactor"] = ak.zeros_like(columns["FatJet_pt"])
    columns["FatJet_nConstituents"] = ak.values_astype(columns["FatJet_nConstituents"], "uint8")
    columns["Rho_fixedGridRhoFastjetAll"] = columns.pop("fixedGridRhoFastjetAll")


def nanoaod_v15_without_index(columns: Columns) -> None:
    """NanoAODv15 without links from jets to candidates."""
    nanoaod_v15(columns)
    for name in [name for name in columns if "FatJetPFCand" in name]:
        del columns[name]


#: name in `oddjets.io.layouts` -> the change that makes it of PFNano with an index; none for that itself
CHANGES: dict[str, Callable[[Columns], None] | None] = {
    "pfnano": None,
    "nanoaod_v15": nanoaod_v15,
    "pfnano_without_index": without_index,
    "nanoaod_v15_without_index": nanoaod_v15_without_index,
    "nanoaod": without_candidates,
}


def stale(columns: Columns, part: float = 0.8) -> None:
    """NanoAODv15 whose candidates have the PUPPI weights of an older version: smaller by a part."""
    nanoaod_v15(columns)
    for name in ("pt", "mass"):
        columns[f"PFCand_{name}"] = ak.values_astype(columns[f"PFCand_{name}"] * part, "float32")


def _store_composition(columns: Columns) -> None:
    """Fractions of energy and numbers of constituents of AK8 jets, of which v15's tight ID is made."""
    names = (*_FRACTIONS, "chMultiplicity", "neMultiplicity")
    rows: dict[str, list[list[float]]] = {name: [] for name in names}
    candidates = {name: columns[f"PFCands_{name}"].to_list() for name in ("pt", "eta", "mass", "pdgId", "puppiWeight")}
    links = zip(columns["FatJetPFCands_jetIdx"].to_list(), columns["FatJetPFCands_pFCandsIdx"].to_list(), strict=True)
    for event, ((jet_index, place), number) in enumerate(zip(links, ak.num(columns["FatJet_pt"]), strict=True)):
        own = {name: np.array(values[event], float)[place] for name, values in candidates.items()}
        energy = own["puppiWeight"] * np.hypot(own["pt"] * np.cosh(own["eta"]), own["mass"])
        code = np.abs(own["pdgId"]).astype(int)
        charged = np.isin(code, (11, 13, 211))
        for name in names:
            rows[name].append([])
        for jet in range(number):
            mine = np.array(jet_index) == jet
            for name, codes in _FRACTIONS.items():
                rows[name][-1].append(energy[mine & np.isin(code, codes)].sum() / max(energy[mine].sum(), 1e-9))
            rows["chMultiplicity"][-1].append(np.count_nonzero(mine & charged))
            rows["neMultiplicity"][-1].append(np.count_nonzero(mine & ~charged))
    for name, values in rows.items():
        columns[f"FatJet_{name}"] = ak.values_astype(ak.Array(values), "int16" if "Mult" in name else "float32")
