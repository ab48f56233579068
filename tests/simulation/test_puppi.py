"""PUPPI against a slow reference written from its formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from oddjets.simulation.detector import DetectedCandidates
from oddjets.simulation.puppi import puppi_weights


def events(n_events: int, seed: int, n_pileup: int = 90) -> tuple[DetectedCandidates, np.ndarray]:
    """A hard jet of charged and neutral candidates in a sea of soft ones; and which are charged and primary."""
    rng = np.random.default_rng(seed)
    counts, columns, charge, primary = [], [], [], []
    for _ in range(n_events):
        n_jet, n_sea, eta, phi = 30, 2 * n_pileup, rng.uniform(-2.2, 2.2), rng.uniform(-np.pi, np.pi)
        jet_eta = eta + rng.normal(0, 0.15, n_jet)
        jet_phi = (phi + rng.normal(0, 0.15, n_jet) + np.pi) % (2 * np.pi) - np.pi
        sea_eta, sea_phi = rng.uniform(-4, 4, n_sea), rng.uniform(-np.pi, np.pi, n_sea)
        pt = np.concatenate([rng.exponential(12, n_jet), rng.exponential(0.8, n_sea) + 0.2])
        q = np.concatenate([np.arange(n_jet) % 3 > 0, np.arange(n_sea) < n_pileup])
        all_eta = np.concatenate([jet_eta, sea_eta])
        q &= np.abs(all_eta) < 2.5
        columns.append(np.stack([pt, all_eta, np.concatenate([jet_phi, sea_phi])]))
        charge.append(q.astype(np.int32))
        primary.append(q & (np.arange(n_jet + n_sea) < n_jet))
        counts.append(n_jet + n_sea)
    pt, eta, phi = np.concatenate(columns, axis=1).astype(np.float32)
    charges = np.concatenate(charge)
    candidates = DetectedCandidates(
        np.concatenate([[0], np.cumsum(counts)]),
        {"pt": pt, "eta": eta, "phi": phi},
        np.where(charges != 0, 211, 22).astype(np.int32),
        charges,
        np.ones(len(pt), np.float32),
    )
    return candidates, np.concatenate(primary)


def reference(candidates: DetectedCandidates, primary: np.ndarray, vertices: int) -> np.ndarray:
    """One event, candidate by candidate; cmssw's numbers for abs(eta) below 2.5, below 3 and above."""
    pt, eta, phi = (candidates.floats[name].astype(float) for name in ("pt", "eta", "phi"))
    charged = candidates.charge != 0

    def alpha(i: int, forward: bool) -> float:
        dphi = np.abs(phi - phi[i])
        distance = np.hypot(eta - eta[i], np.minimum(dphi, 2 * np.pi - dphi))
        near = (distance > 0.02) & (distance < 0.4) & (np.ones_like(primary) if forward else primary)
        total = ((pt[near] / distance[near]) ** 2).sum()
        return float(np.log(total)) if total > 0 else -np.inf

    weights = np.where(charged, primary, 0.0).astype(float)
    for forward, smallest in ((False, 0.1), (True, 0.5)):
        pileup = charged & ~primary & (np.abs(eta) < 2.0) & (pt > smallest)
        values = np.array([alpha(i, forward) for i in np.flatnonzero(pileup).tolist()])
        values = values[np.isfinite(values)]
        median = np.median(values) if len(values) else 0.0
        rms = np.sqrt(np.mean((values[values <= median] - median) ** 2)) if len(values) else 1e-5
        for i in np.flatnonzero(~charged & ((np.abs(eta) >= 2.5) == forward)).tolist():
            if not forward:
                m, s, cut = median, rms, 0.2 + 0.015 * vertices
            elif abs(eta[i]) < 3:
                m, s, cut = 0.90 * median, 1.20 * rms, 1.7 + 0.08 * vertices
            else:
                m, s, cut = 0.75 * median, 0.95 * rms, 2.0 + 0.08 * vertices
            a = alpha(i, forward)
            weight = float(chi2.cdf(((a - m) / s) ** 2, 1)) if a > m else 0.0
            weight = 0.0 if weight < 0.01 or weight * pt[i] < cut else weight
            weights[i] = max(weight, min((pt[i] - 20) / 180, 1.0))
    return weights


def one(candidates: DetectedCandidates, event: int) -> DetectedCandidates:
    rows = slice(*candidates.offsets[event : event + 2])
    floats = {name: column[rows] for name, column in candidates.floats.items()}
    n = len(floats["pt"])
    return DetectedCandidates(
        np.array([0, n]), floats, candidates.pdg_id[rows], candidates.charge[rows], np.ones(n, np.float32)
    )


def test_weights_are_those_of_the_formula() -> None:
    candidates, primary = events(12, seed=1)
    vertices = np.arange(3, 15)
    weights = puppi_weights(candidates, primary, vertices)
    between = 0
    for event, n_vertices in enumerate(vertices):
        rows = slice(*candidates.offsets[event : event + 2])
        expected = reference(one(candidates, event), primary[rows], int(n_vertices))
        np.testing.assert_allclose(weights[rows], expected, atol=2e-6)
        between += ((expected > 0) & (expected < 1)).sum()
    assert between > 50


def test_charged_candidates_are_kept_or_dropped_whole() -> None:
    candidates, primary = events(5, seed=2)
    weights = puppi_weights(candidates, primary, np.full(5, 20))
    charged = candidates.charge != 0
    np.testing.assert_array_equal(weights[charged], primary[charged])


def test_without_charged_pileup_everything_is_kept() -> None:
    candidates, primary = events(3, seed=3, n_pileup=0)
    np.testing.assert_array_equal(puppi_weights(candidates, primary, np.full(3, 1)), 1)


@pytest.mark.parametrize("angle", [0.5, 3.0])
def test_weights_do_not_depend_on_where_the_event_looks(angle: float) -> None:
    candidates, primary = events(4, seed=4)
    phi = candidates.floats["phi"]
    turned = {**candidates.floats, "phi": ((phi + angle + np.pi) % (2 * np.pi) - np.pi).astype(np.float32)}
    mirrored = {**candidates.floats, "eta": -candidates.floats["eta"]}
    weights = puppi_weights(candidates, primary, np.full(4, 20))
    for floats in (turned, mirrored):
        again = puppi_weights(candidates._replace(floats=floats), primary, np.full(4, 20))
        np.testing.assert_allclose(again, weights, atol=1e-4)
