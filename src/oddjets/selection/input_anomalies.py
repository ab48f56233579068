"""Anomalies of the input that do not stop the processing, with what is done about each."""

from __future__ import annotations

import re
from collections.abc import Mapping

from rich.markup import escape

from oddjets.core.console import console

__all__ = ["DESCRIPTIONS", "STALE_SHARE", "describe", "report"]

#: a larger share of jets that are unlike their constituents comes from PUPPI weights of another version
STALE_SHARE = 0.1

#: name in the counts, the manifest and the tests -> what is counted and what was done
DESCRIPTIONS = {
    "jets_not_finite": "AK8 jets with a pT, eta, phi or mass that is not finite: kept out of the pair",
    "jets_not_positive": "AK8 jets with a pT of 0 or below, as an energy correction may leave them: kept out of the pair",
    "jet_ids_not_stored": "AK8 jets without jetId in the file: tight ID computed from fractions of energy and multiplicities",
    "links_to_no_generator_jet": "links of the pair's jets to a generator jet that their event lacks: taken as no match",
    "negative_masses": "masses below -0.1 GeV of the pair's jets: set to 0, as rounding below 0 is",
    "scores_not_finite": "jets of the pair with score branches that are not finite: score set to 0",
    "links_to_no_jet": "links of candidates to an AK8 jet that their event does not have: ignored",
    "constituents_not_finite": "constituents without a finite momentum or PUPPI weight: left out",
    "impact_parameters_not_finite": "constituents with impact parameters that are not finite: taken as not measured",
    "impact_parameters_not_stored": "constituents without impact parameters in the file: taken as not measured",
    "charges_not_stored": "constituents without a charge in the file: taken from pdgId",
    "charges_not_known": "constituents without a charge in the file, and of an unknown pdgId: taken as neutral",
    "jets_unlike_constituents": "jets whose constituents add up to another pT, by more than 2 %: scored as they are",
    "jets_not_compared": "jets without rawFactor in the file: not compared with the sum of their constituents",
    "jets_not_reclustered": "jets without a clustered partner: constituents are the candidates within 0.8 of the axis",
    "jets_without_constituents": "jets without constituents, which a model cannot score: score set to 0",
    "jets_cut_short": "jets with more constituents than the model takes: scored by the hardest",
    "constituents_of_1_GeV": "constituents of exactly 1 GeV, which the model takes for padding: scored without them",
    "without_isr": "events without usable parton-shower weights: as nominal under variations of initial-state radiation",
    "without_fsr": "events without usable parton-shower weights: as nominal under variations of final-state radiation",
    "without_scale": "events without usable weights of the matrix element's scales: as nominal under their variations",
    "without_toppt": "events without a pair of top quarks: as nominal under variations of their pT",
    "…_of_N_weights": "events with N weights, whose entries neither the branch's title nor a usual order tells: not used",
    "…_in_another_order": "events whose weights are in another order than CMS's usual one: taken as the branch's title says",
}


def describe(name: str) -> str:
    """Return the description of an anomaly; some names have a systematic and a number in them."""
    if name in DESCRIPTIONS:
        return DESCRIPTIONS[name]
    if match := re.fullmatch(r"\w+_of_(\d+)_weights", name):
        return DESCRIPTIONS["…_of_N_weights"].replace("N", match[1])
    return DESCRIPTIONS["…_in_another_order"]


def report(dataset: str, anomalies: Mapping[str, int]) -> None:
    """Print the input anomalies of a dataset, if there are any."""
    for name, count in sorted(anomalies.items()):
        if count:
            console.print(f"dataset '{escape(dataset)}': {count} {describe(name)} ({name})")
