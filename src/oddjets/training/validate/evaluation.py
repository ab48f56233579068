"""Evaluation of a model on held-out jets: its signals, and its effect on the mass of QCD."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import offsets_from, positions
from oddjets.core.worker_pool import available_cores
from oddjets.scoring import score
from oddjets.scoring.inputs import PreparedJets, UnusualCounts
from oddjets.scoring.model_card import ModelCard
from oddjets.scoring.onnx_session import Provider
from oddjets.scoring.scorer import Scorer
from oddjets.stats.agreement import overlap, rank_correlation
from oddjets.training.class_labels import KNOWN, QCD, SIGNAL
from oddjets.training.train.jet_dataset import JetSet
from oddjets.training.train.reweighting import PT_EDGES
from oddjets.training.validate.metrics import auc, matched_weights, rejection, sculpting

__all__ = [
    "EFFICIENCIES",
    "MASS_WINDOW",
    "SIGNALS",
    "WORKING_POINTS",
    "agreements",
    "measure",
    "scores_of",
    "substructure",
]

#: what is told from inclusive QCD: a name, and the classes
SIGNALS: dict[str, tuple[str, ...]] = {
    "top": ("top",),
    "W": ("W",),
    "Z": ("Z",),
    "WZ": ("W", "Z"),
    "H_bb": ("H_bb",),
    **{name: (name,) for name in SIGNAL},
}
#: of soft-drop masses, GeV
MASS_WINDOW = (60.0, 240.0)
#: of signal, at which rejection is stated
EFFICIENCIES = (0.5, 0.3)
#: shares of QCD that pass a cut whose effect on the mass is stated; 1: no cut
WORKING_POINTS = (1.0, 0.05, 0.01, 0.002)
#: QCD is generated with its spectrum of the partons' pT raised by this power, and weighted back by the jets' pT
_RAISED = 4

Scores = NDArray[np.float64]


def scores_of(
    card: ModelCard, jets: JetSet, provider: Provider = "auto", progress: Callable[[int], None] | None = None
) -> Scores:
    """Score jets that are prepared already.

    Args:
        card: of a model with OmniLearned's inputs.
        jets: the jets.
        provider: where; see `oddjets.scoring`.
        progress: called with the number of jets done since the last call.

    Returns:
        Scores, shape (n_jets,).

    Raises:
        OddjetsError: another model.
    """
    if sorted(tensor.name for tensor in card.inputs) != ["add", "pid", "x"]:
        raise OddjetsError(
            f"the model {card.name} has not the inputs x, pid and add of OmniLearned: it is not compared"
        )
    counts = np.minimum(jets.counts, card.constituents.maximum)
    chosen = positions(jets.offsets[:-1], counts)
    columns: dict[str, NDArray[Any]] = {
        "x": jets.x[chosen],
        "pid": jets.pid[chosen].astype(np.int64),
        "add": jets.add[chosen],
    }
    prepared = PreparedJets(offsets_from(counts), columns, UnusualCounts(len(jets), 0, 0, 0))
    scorer = Scorer(card, provider, threads=available_cores())
    return score.anomaly_score(scorer.run(prepared, progress), card)


def measure(jets: JetSet, scores: Scores) -> dict[str, Any]:
    """Measure a score on held-out jets.

    All jets have soft-drop masses in `MASS_WINDOW`. QCD is inclusive: flavours as they are in the jets. For each signal,
    QCD is weighted to the signal's pT spectrum. The mass of QCD is looked at with the falling spectrum of QCD.

    Args:
        jets: held-out jets.
        scores: shape (n_jets,).

    Returns:
        ``signals``: for each of `SIGNALS` that there are: ``n``, ``auc``, ``rejection`` at `EFFICIENCIES`;
        ``n_qcd``; ``qcd_mass``: for each of `WORKING_POINTS` the mass of QCD; numbers with their errors.
    """
    mass, pt = jets.column("msoftdrop"), jets.column("pt")
    window = (mass > MASS_WINDOW[0]) & (mass < MASS_WINDOW[1])
    qcd = window & np.isin(jets.label, list(QCD.values()))
    if not qcd.any():
        raise OddjetsError(
            f"no held-out jets of QCD with soft-drop masses of {MASS_WINDOW[0]:g}-{MASS_WINDOW[1]:g} GeV"
        )
    ones = np.ones(len(jets))
    index = SIGNAL | KNOWN
    signals = {}
    for name, classes in SIGNALS.items():
        rows = window & np.isin(jets.label, [index[one] for one in classes])
        matched = matched_weights(pt[qcd], ones[qcd], pt[rows], ones[rows], PT_EDGES.astype(float))
        if not matched.any():
            continue
        arguments = (scores[rows], scores[qcd], ones[rows], matched)
        signals[name] = {
            "n": int(rows.sum()),
            "auc": auc(*arguments),
            "rejection": {_percent(e): rejection(*arguments, e)._asdict() for e in EFFICIENCIES},
        }
    falling = (pt[qcd] / pt[qcd].min()) ** -_RAISED
    return {
        "n_qcd": int(qcd.sum()),
        "signals": signals,
        "qcd_mass": {_percent(e): sculpting(mass[qcd], scores[qcd], falling, e)._asdict() for e in WORKING_POINTS},
    }


def agreements(jets: JetSet, scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Measure how far scores agree, two at a time, on held-out jets with soft-drop masses in `MASS_WINDOW`.

    Args:
        jets: held-out jets.
        scores: of each model, shape (n_jets,).

    Returns:
        By ``QCD`` and the classes of signals, by ``"first, second"``: ``rank_correlation``, and ``overlap`` by the share
        that each selects (`WORKING_POINTS` but all).
    """
    mass = jets.column("msoftdrop")
    window = (mass > MASS_WINDOW[0]) & (mass < MASS_WINDOW[1])
    kinds = {"QCD": list(QCD.values())} | {name: [index] for name, index in (SIGNAL | KNOWN).items()}
    found: dict[str, Any] = {}
    for kind, indices in kinds.items():
        rows = window & np.isin(jets.label, indices)
        if not rows.any():
            continue
        found[kind] = {
            f"{first}, {second}": {
                "rank_correlation": rank_correlation(scores[first][rows], scores[second][rows])._asdict(),
                "overlap": {
                    _percent(e): overlap(scores[first][rows], scores[second][rows], e)._asdict()
                    for e in WORKING_POINTS
                    if e < 1
                },
            }
            for first, second in combinations(scores, 2)
        }
    return found


def substructure(jets: JetSet) -> Mapping[str, Scores]:
    """Return N-subjettiness as scores, for scale: minus tau21 and minus tau32; shape (n_jets,)."""
    tau = [jets.column(f"tau{n}") for n in (1, 2, 3)]
    return {f"tau{n + 2}{n + 1}": -tau[n + 1] / np.maximum(tau[n], 1e-6) for n in (0, 1)}


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
