"""Tight identification of AK8 jets where a file does not store it, as in NanoAODv15.

The criteria reject noise: fractions of the energy and numbers of constituents, of jets before corrections. They are those of
the POG's ``jetid.json.gz`` where an era has it as its correction ``jet_id``; else those of CMSSW for PUPPI jets
(``PFJetIDSelectionFunctor``: RUN2UL16PUPPI, RUN2ULPUPPI, RUN3WINTER22PUPPI), for abs(eta) up to 2.7.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.corrections import lookups
from oddjets.corrections.lookups import Era
from oddjets.io import nanoaod_schema

__all__ = ["CRITERIA", "JetIdCriteria", "passes_criteria", "with_tight_id"]

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

#: NanoAOD's bit of the tight ID
_TIGHT = 2
_FRACTIONS = ("chHEF", "neHEF", "chEmEF", "neEmEF", "muEF")
_COUNTS = ("chMultiplicity", "neMultiplicity")
#: abs(eta) up to which `CRITERIA` say something
_ETA_MAX = 2.7


class JetIdCriteria(NamedTuple):
    """Cuts of the tight ID.

    Attributes:
        eta_edge: where the central region ends and the next one, up to 2.7, begins.
        charged_min: hadronic fraction of charged constituents, central; at least one, of at least two constituents.
        neutral_max: hadronic fraction of neutral constituents, central.
        photon_max: electromagnetic fraction of neutral constituents, central.
        neutral_max_outside: the same as `neutral_max`, outside.
        photon_max_outside: the same as `photon_max`, outside.
    """

    eta_edge: float
    charged_min: float
    neutral_max: float
    photon_max: float
    neutral_max_outside: float
    photon_max_outside: float


#: name in an era's YAML (``jet_id``) -> cuts
CRITERIA: Mapping[str, JetIdCriteria] = {
    "2016UL": JetIdCriteria(2.4, 0.0, 0.9, 0.9, 0.98, 0.99),
    "2017UL": JetIdCriteria(2.6, 0.0, 0.9, 0.9, 0.9, 0.99),
    "2018UL": JetIdCriteria(2.6, 0.0, 0.9, 0.9, 0.9, 0.99),
    "Run3": JetIdCriteria(2.6, 0.01, 0.99, 0.9, 0.9, 0.99),
}


def passes_criteria(criteria: JetIdCriteria, jets: Mapping[str, Array]) -> Mask:
    """Return which jets have the tight ID.

    Args:
        criteria: the cuts.
        jets: eta, the fractions chHEF, neHEF, neEmEF and the numbers chMultiplicity, neMultiplicity, each of shape (jets,).

    Returns:
        Shape (jets,); False beyond abs(eta) = 2.7 and where a fraction is not finite.
    """
    size = np.abs(jets["eta"])
    # 8 and 16 bits have no room for sums
    charged, neutral = (np.asarray(jets[name]).astype(np.int64) for name in _COUNTS)
    central = (
        (jets["neHEF"] < criteria.neutral_max)
        & (jets["neEmEF"] < criteria.photon_max)
        & (jets["chHEF"] > criteria.charged_min)
        & (charged > 0)
        & (charged + neutral > 1)
    )
    outside = (jets["neHEF"] < criteria.neutral_max_outside) & (jets["neEmEF"] < criteria.photon_max_outside)
    return np.asarray(np.where(size <= criteria.eta_edge, central, outside & (size <= _ETA_MAX)))


def with_tight_id(events: Any, jets: Any, era: Era, folder: Path, eta_max: float) -> tuple[Any, int]:
    """Return AK8 jets with ``jetId``: as stored, else computed.

    Args:
        events: a chunk, for messages.
        jets: its FatJet collection.
        era: says by which criteria.
        folder: where the era's relative paths start.
        eta_max: of the selection, beyond which nobody needs the ID.

    Returns:
        The jets; and how many of them have an ID that was computed.

    Raises:
        InputFileError: neither ``FatJet_jetId`` is there nor all that it is computed from; or it has no bits.
        OddjetsError: the era has no criteria, or none for jets as far out as the selection goes.
    """
    if "jetId" in jets.fields:
        return ak.with_field(jets, nanoaod_schema.bits(events, "FatJet_jetId", jets["jetId"]), "jetId"), 0
    lacking = [f"FatJet_{name}" for name in (*_FRACTIONS, *_COUNTS) if name not in jets.fields]
    if lacking:
        raise InputFileError(
            f"{nanoaod_schema.location_of(events)}: no branch 'FatJet_jetId', and no {', '.join(lacking)} to compute the tight"
            " ID from; set 'selection.jets.tight_id: false' to do without it",
            cause="missing branch",
        )
    spec = era.corrections.get("jet_id")
    if spec is None and era.jet_id is None:
        raise OddjetsError(
            f"{nanoaod_schema.location_of(events)}: no branch 'FatJet_jetId', and era '{era.name}' has no criteria of the tight"
            f" ID; give its YAML 'jet_id' ({', '.join(CRITERIA)}), or a correction 'jet_id' with the POG's jetid.json.gz"
        )
    flat = {name: nanoaod_schema.flatten(jets[name]) for name in ("eta", *_FRACTIONS, *_COUNTS)}
    if spec is None:
        if eta_max > _ETA_MAX:
            raise OddjetsError(
                f"selection.jets.eta_max: {eta_max} is beyond {_ETA_MAX}, up to which the criteria '{era.jet_id}' of the tight"
                " ID are known, and the files have no FatJet_jetId; give the era a correction 'jet_id' (jetid.json.gz)"
            )
        passed = passes_criteria(CRITERIA[str(era.jet_id)], flat)
    else:
        passed = _look_up(era, folder, flat)
    numbers = ak.unflatten(np.where(passed, _TIGHT, 0).astype(np.int32), np.asarray(ak.num(jets["eta"], axis=1)))
    return ak.with_field(jets, numbers, "jetId"), len(passed)


def _look_up(era: Era, folder: Path, flat: Mapping[str, Array]) -> Mask:
    """Ask the POG's file; jets with inputs that are not finite fail."""
    columns = {name: np.asarray(values).astype(np.float64) for name, values in flat.items()}
    columns["multiplicity"] = columns["chMultiplicity"] + columns["neMultiplicity"]
    sound = np.all([np.isfinite(values) for values in columns.values()], axis=0)
    passed = np.zeros(len(sound), dtype=bool)
    spec = era.corrections["jet_id"]
    if sound.any():
        here = {name: values[sound] for name, values in columns.items()}
        passed[sound] = lookups.lookup(era, folder, spec, here, spec.nominal) > 0.5
    return passed
