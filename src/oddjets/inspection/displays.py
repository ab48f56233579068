"""The content of an event display, as plain numbers: the constituents of both jets about their axes, and the whole event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.core.kinematics import delta_phi, momenta, pt_eta_phi
from oddjets.inspection.prongs import find_prongs
from oddjets.inspection.source_files import SourceEvent
from oddjets.scoring.inputs import JetConstituents

__all__ = ["DISPLACED", "SPECIES", "displacement", "event_display", "species_of"]

Floats = npt.NDArray[np.float64]

#: species -> codes of CMS's candidates (1 and 2 are hadrons and photons of the forward calorimeter); other charged codes are
#: charged hadrons, other neutral ones neutral hadrons
SPECIES: dict[str, tuple[int, ...]] = {
    "charged hadron": (211, 321, 2212),
    "neutral hadron": (130, 1),
    "photon": (22, 2),
    "electron": (11,),
    "muon": (13,),
}
#: a track with a larger significance is marked. Of prompt tracks with normal errors, one in 3000 has: exp(-4^2 / 2)
DISPLACED = 4.0
#: part of a prong's pT within its circle
_WITHIN = 0.9
#: radius of the smallest circle that is drawn of a prong
_LEAST_RADIUS = 0.03


def species_of(pdg_id: npt.NDArray[Any], charge: npt.NDArray[Any] | None = None) -> npt.NDArray[np.str_]:
    """Return the species of candidates, (n,).

    Args:
        pdg_id: their codes, (n,).
        charge: their charges, (n,); None: not known, and an unknown code is a neutral hadron.
    """
    size = np.abs(np.asarray(pdg_id).astype(np.int64))
    found = np.full(size.shape, "neutral hadron", dtype="U16")
    if charge is not None:
        found[np.asarray(charge) != 0] = "charged hadron"
    for name, codes in SPECIES.items():
        found[np.isin(size, codes)] = name
    return found


def displacement(jets: JetConstituents) -> Floats:
    """Return how significantly the tracks of constituents miss the primary vertex, (constituents,).

    The significances of d0 and dz in quadrature: of prompt tracks with normal errors, larger than x with the probability
    exp(-x^2 / 2).

    Returns:
        NaN for neutral candidates, and for charged ones without track details or errors.
    """
    d0, d0_error, dz, dz_error = (
        np.asarray(getattr(jets, name), np.float64) for name in ("d0", "d0_error", "dz", "dz_error")
    )
    measured = (np.asarray(jets.charge) != 0) & (d0_error > 0) & (dz_error > 0)
    found = np.full(len(d0), np.nan)
    found[measured] = np.hypot(d0[measured] / d0_error[measured], dz[measured] / dz_error[measured])
    return found


def event_display(row: Mapping[str, Any], event: SourceEvent) -> dict[str, Any]:
    """Return what the display of an event shows, as JSON can hold it; momenta in GeV, weighted by PUPPI.

    Args:
        row: its row of the table (`oddjets.inspection.table.event_rows`).
        event: as it was read again; one without jets shows the AK8 jets alone.
    """
    jets = [
        {
            **{name: jet[name] for name in ("pt", "eta", "phi", "mass", "tau21", "tau32", "btag", "scores", "shares")},
            **(_jet(event.jets, number) if event.jets is not None else {"constituents": None, "prongs": []}),
        }
        for number, jet in enumerate(row["jets"])
    ]
    return {
        **{name: row[name] for name in ("rank", "id", "dataset", "process", "truth", "file", "entry", "value", "mjj")},
        "layout": event.layout,
        "jets": jets,
        "event": _whole(event),
    }


def _jet(jets: JetConstituents, number: int) -> dict[str, Any]:
    """Return the constituents of a jet about its axis, by falling pT, and its prongs."""
    own = slice(jets.offsets[number], jets.offsets[number + 1])
    weight = np.asarray(jets.puppi_weight[own], np.float64)
    pt = np.asarray(jets.pt[own], np.float64) * weight
    order = np.argsort(-pt, kind="stable")
    kept = order[pt[order] > 0]
    eta, phi, mass = (np.asarray(getattr(jets, name)[own], np.float64)[kept] for name in ("eta", "phi", "mass"))
    axis_eta, axis_phi = float(jets.jet_eta[number]), float(jets.jet_phi[number])
    p = momenta(pt[kept], eta, phi, mass * weight[kept])
    prongs = find_prongs(p)
    d_eta, d_phi = eta - axis_eta, np.asarray(delta_phi(phi, axis_phi))
    significance = displacement(jets)[own][kept]
    prong_pt, prong_eta, prong_phi = pt_eta_phi(prongs.momenta)
    circles = []
    for place in range(len(prong_pt)):
        x, y = float(prong_eta[place]) - axis_eta, float(delta_phi(prong_phi[place], axis_phi))
        mine = prongs.members == place
        radius = _radius(np.hypot(d_eta[mine] - x, d_phi[mine] - y), pt[kept][mine])
        circles.append(
            {"d_eta": _plain(x), "d_phi": _plain(y), "pt": _plain(prong_pt[place]), "radius": _plain(radius)}
        )
    return {
        "constituents": {
            "d_eta": _list(d_eta),
            "d_phi": _list(d_phi),
            "pt": _list(pt[kept]),
            "species": species_of(jets.pdg_id[own][kept], jets.charge[own][kept]).tolist(),
            "displacement": [None if not np.isfinite(one) else _plain(one) for one in significance],
            "prong": prongs.members.tolist(),
        },
        "prongs": circles,
    }


def _radius(distances: Floats, pt: Floats) -> float:
    """Return the radius within which most of a prong's pT is."""
    order = np.argsort(distances, kind="stable")
    reached = np.cumsum(pt[order]) >= _WITHIN * pt.sum()
    return max(float(distances[order][np.argmax(reached)]), _LEAST_RADIUS)


def _whole(event: SourceEvent) -> dict[str, Any]:
    """Return all candidates and all AK8 jets of an event."""
    found: dict[str, Any] = {"candidates": None, "all_stored": event.all_stored, "fat_jets": []}
    if event.candidates is not None:
        # pileup has a weight of 0, and damaged candidates have no place
        values = np.stack([np.asarray(event.candidates[name], np.float64) for name in ("pt", "eta", "phi")])
        kept = np.flatnonzero((values[0] > 0) & np.isfinite(values).all(axis=0))
        found["candidates"] = {
            "pt": _list(values[0][kept]),
            "eta": _list(values[1][kept]),
            "phi": _list(values[2][kept]),
            "species": species_of(event.candidates["pdg_id"][kept]).tolist(),
        }
    if event.fat_jets is not None:
        pair = event.pair or ()
        found["fat_jets"] = [
            {
                **{name: _plain(event.fat_jets[name][k]) for name in ("pt", "eta", "phi", "msoftdrop")},
                "jet": pair.index(k) + 1 if k in pair else None,
            }
            for k in range(len(event.fat_jets["pt"]))
        ]
    return found


def _list(values: Floats) -> list[float | None]:
    return [_plain(value) for value in values]


def _plain(value: Any) -> float | None:
    """Return a number with the digits that a picture needs; None of what is none."""
    return float(f"{float(value):.5g}") if np.isfinite(value) else None
