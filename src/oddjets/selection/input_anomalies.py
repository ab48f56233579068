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
    "jets_not_finite": "AK8 jets with a pT, eta, phi or mass that is NaN, infinite or above 1e19: not selected",
    "jets_not_positive": "AK8 jets with a pT of 0 or below, for example after an energy correction: not selected",
    "jet_ids_not_stored": "AK8 jets without jetId in the file: tight ID computed from fractions of energy and multiplicities",
    "links_to_no_generator_jet": "links of selected jets to a generator jet that the event does not have: treated as no match",
    "negative_masses": "masses of selected jets below -0.1 GeV, more than rounding: set to 0",
    "scores_not_finite": "selected jets whose score's branches or column are NaN or infinite: score set to 0",
    "links_to_no_jet": "links of candidates to an AK8 jet that the event does not have: ignored",
    "constituents_not_finite": "constituents without a finite momentum or PUPPI weight: left out",
    "impact_parameters_not_finite": "constituents with impact parameters that are NaN or infinite: treated as not measured",
    "impact_parameters_not_stored": "constituents without impact parameters in the file: treated as not measured",
    "charges_not_stored": "constituents without a charge in the file: derived from pdgId",
    "charges_not_known": "constituents without a charge in the file, and with an unknown pdgId: treated as neutral",
    "jets_unlike_constituents": "jets whose constituents add up to a pT that differs by more than 2 %: scored nevertheless",
    "jets_not_compared": "jets without rawFactor in the file: not compared with the sum of their constituents",
    "jets_not_reclustered": "jets without a matching clustered jet: constituents are the candidates within 0.8 of the axis",
    "jets_without_constituents": "jets without constituents, which a model cannot score: score set to 0",
    "jets_cut_short": "jets with more constituents than the model takes: scored with the hardest ones",
    "constituents_of_1_GeV": "constituents of exactly 1 GeV, which the model treats as padding: scored without them",
    "jets_cut_in_the_file": "jets of which the file holds only the first 150 constituents, in its order: scored with these",
    "taggers_not_finite": "jets with a subjettiness, tagger or ungroomed mass in the file that is NaN or infinite: that is NaN",
    "jets_of_events_before": "jets of an event that was in the file before: not selected",
    "jets_of_events_in_other_files": "jets of an event that is in a file read before: not selected",
    "jets_twice_in_an_event": "jets that are in their event twice: not selected the second time",
    "jet_columns_missing": "values of jet columns for a model that are NaN or infinite: treated as its card says (missing)",
    "without_isr": "events without usable parton-shower weights: nominal weight used for variations of initial-state radiation",
    "without_fsr": "events without usable parton-shower weights: nominal weight used for variations of final-state radiation",
    "without_scale": "events without usable weights of the matrix-element scales: nominal weight used for their variations",
    "without_toppt": "events without a pair of top quarks: nominal weight used for variations of the top pT",
    "…_of_N_weights": "events with N weights, whose order is neither in the branch title nor a usual one: not used",
    "…_in_another_order": "events whose weights are not in CMS's usual order: the order of the branch title is used",
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
