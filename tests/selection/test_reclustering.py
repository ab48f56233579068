"""Jets clustered again from all PF candidates are the stored ones, and their constituents those of the stored index."""

from collections import Counter

import awkward as ak
import numpy as np
import pytest
from helpers.chunks import chunk_of, copy

from oddjets.core.kinematics import invariant_mass, momenta, pt_eta_phi
from oddjets.core.substructure import n_subjettiness, soft_drop
from oddjets.selection import constituents, reclustering
from oddjets.selection.reclustering import FlatCandidates, constituents_of, match, recluster

BRANCHES = ("pt", "eta", "phi", "mass", "puppiWeight")


@pytest.fixture(scope="module")
def simulated_file(sample, tmp_path_factory):
    return copy(sample.files("top")[0], tmp_path_factory.mktemp("top") / "top.root", stop=100)


def candidates_of(chunk):
    flat = {name: np.asarray(ak.flatten(chunk.PFCands[name])) for name in BRANCHES}
    flat["puppi_weight"] = flat.pop("puppiWeight")
    return FlatCandidates(**flat, offsets=offsets_of(chunk.PFCands))


def offsets_of(collection):
    return np.concatenate([[0], np.cumsum(np.asarray(ak.num(collection)))])


def clustered(chunk):
    """Stored jets that have a match, and of the matched: pT, groomed mass, tau (N - 1), numbers of constituents.

    Last the part of the stored jets that have a match.
    """
    candidates = candidates_of(chunk)
    jets = recluster(candidates)
    stored = ak.flatten(chunk.FatJet)
    eta, phi = np.asarray(stored.eta, float), np.asarray(stored.phi, float)
    matched = match(jets, eta, phi, offsets_of(chunk.FatJet))
    found = matched >= 0
    stored, matched = stored[found], matched[found]
    assert len(np.unique(matched)) == len(matched)
    weight = np.asarray(candidates.puppi_weight, float)[jets.constituents, None]
    p = weight * momenta(*(column[jets.constituents] for column in candidates[:4]))
    groomed = soft_drop(p, jets.constituent_offsets).mass
    tau = n_subjettiness(p, jets.constituent_offsets)
    counts = np.diff(jets.constituent_offsets)
    return stored, np.hypot(*jets.momenta[matched, :2].T), groomed[matched], tau[matched], counts[matched], found.mean()


def spread(values):
    """The median, and half the width of the central 68 %."""
    low, middle, high = np.quantile(values, [0.16, 0.5, 0.84])
    return middle, (high - low) / 2


@pytest.mark.slow
def test_real_jets_come_out_again(cms_file):
    """24 AK8 jets of CMS. The stored soft-drop mass carries its subjets' corrections, here it gets the jet's."""
    stored, pt, groomed, tau, _, found = clustered(chunk_of(cms_file))
    assert found == 1
    raw = 1 - np.asarray(stored.rawFactor)
    middle, width = spread(pt / (np.asarray(stored.pt) * raw))
    assert middle == pytest.approx(1, abs=5e-4)
    assert width < 1e-3
    heavy = groomed > 10
    middle, width = spread(groomed[heavy] / raw[heavy] / np.asarray(stored.msoftdrop)[heavy])
    assert middle == pytest.approx(1, abs=0.02)
    assert width < 0.01
    difference = tau[:, 1] / tau[:, 0] - np.asarray(stored["tau2"] / stored["tau1"])
    middle, width = spread(difference)
    assert abs(middle) < 5e-4
    assert width < 2e-3
    assert np.abs(difference).max() < 0.015
    np.testing.assert_allclose(tau[:, 0], np.asarray(stored["tau1"]), rtol=0.02)


def test_constituents_of_real_jets_are_those_of_the_index(cms_file, tmp_path):
    assert same_constituents(
        cms_file, tmp_path, {"branches": ["run", "luminosityBlock", "event", "*PFCands*", "*FatJet*"]}
    )


def test_simulated_jets_come_out_again(simulated_file):
    """No corrections here; momenta were rounded to 10 bits of mantissa when they were stored."""
    stored, pt, groomed, tau, counts, found = clustered(chunk_of(simulated_file))
    assert found > 0.98
    same = counts == np.asarray(stored.nConstituents)
    assert same.mean() > 0.95
    np.testing.assert_allclose(pt[same], np.asarray(stored.pt)[same], rtol=1e-3)
    mass = np.asarray(stored.msoftdrop)
    heavy = same & (mass > 10)
    middle, width = spread(groomed[heavy] / mass[heavy])
    assert middle == pytest.approx(1, abs=1e-3)
    assert width < 5e-3
    middle, width = spread(tau[same, 1] / tau[same, 0] - np.asarray(stored["tau2"] / stored["tau1"])[same])
    assert abs(middle) < 1e-3
    assert width < 5e-3


def same_constituents(file, folder, keep):
    """The part of the pairs' jets that get the same constituents with the index and without it."""

    def without_index(events):
        for name in [name for name in events if "FatJetPFCands" in name]:
            del events[name]

    found = []
    for path in (file, copy(file, folder / "without.root", without_index, **keep)):
        chunk = chunk_of(path)
        rows = np.flatnonzero(np.asarray(ak.num(chunk.FatJet)) >= 2)
        eta, phi = (np.asarray(chunk.FatJet[name][rows, :2]) for name in ("eta", "phi"))
        anomalies = Counter()
        jets = constituents.read_pair_constituents(chunk, rows, np.tile([0, 1], (len(rows), 1)), eta, phi, anomalies)
        found.append([sorted(jets.pt[a:b]) for a, b in zip(jets.offsets, jets.offsets[1:], strict=False)])
    return np.mean([a == b for a, b in zip(*found, strict=True)])


def test_constituents_of_simulated_jets_are_those_of_the_index(simulated_file, tmp_path):
    assert same_constituents(simulated_file, tmp_path, {}) > 0.95


def two_jets_of_three(**changes):
    """One event: jets of two hard candidates each at phi = 0 and 2, and one soft candidate far away."""
    values = {
        "pt": [200.0, 100.0, 150.0, 150.0, 1.0],
        "eta": [0.0, 0.1, 1.0, 1.1, -2.0],
        "phi": [0.0, 0.1, 2.0, 2.1, -2.0],
        "mass": [0.1] * 5,
        "puppi_weight": [1.0, 1.0, 1.0, 0.5, 1.0],
    }
    columns = {name: np.array(column) for name, column in (values | changes).items()}
    return FlatCandidates(**columns, offsets=np.array([0, 5]))


def test_momenta_are_weighted_and_candidates_without_weight_or_momentum_are_left_out():
    candidates = two_jets_of_three(puppi_weight=[1.0, 0.0, 1.0, 0.5, 1.0])
    jets = recluster(candidates)
    assert [sorted(c) for c in np.split(jets.constituents, jets.constituent_offsets[1:-1])] == [[2, 3], [0]]
    expected = momenta([150, 75], [1, 1.1], [2, 2.1], [0.1, 0.05]).sum(axis=0)
    np.testing.assert_allclose(jets.momenta[0], expected)
    broken = two_jets_of_three(pt=[200.0, np.nan, 150.0, np.inf, 1.0])
    assert sorted(recluster(broken).constituents) == [0, 2]
    # as pileup in NanoAODv15, whose momenta are stored with the weight
    assert two_jets_of_three(pt=[200.0, 0.0, 150.0, 0.0, 1.0]).usable().tolist() == [0, 2, 4]


def test_matching_is_one_to_one_and_the_closest_go_first():
    jets = recluster(two_jets_of_three())
    _, eta, phi = pt_eta_phi(jets.momenta)
    # jet 0 is closer to the second stored jet than to the first, which has no other
    stored_eta, stored_phi = np.array([eta[0] + 0.2, eta[0] + 0.1, eta[1]]), np.array([phi[0], phi[0], phi[1]])
    assert match(jets, stored_eta, stored_phi, np.array([0, 3])).tolist() == [-1, 0, 1]


def test_a_jet_without_a_match_gets_the_candidates_around_its_axis():
    candidates = two_jets_of_three()
    eta, phi = np.array([0.5, 1.05]), np.array([0.5, 2.05])  # the first is 0.6 from the clustered jet
    index, unmatched = constituents_of(candidates, eta, phi, np.array([0, 2]), np.array([0, 0]), np.array([0, 1]))
    assert unmatched == 1
    found = [sorted(c) for c in np.split(index.candidates, index.offsets[1:-1])]
    assert found == [[0, 1], [2, 3]]


def test_thousands_of_candidates_and_events_without_any():
    rng = np.random.default_rng(1)
    n = 5000
    columns = (rng.exponential(5, n), rng.uniform(-2.5, 2.5, n), rng.uniform(-3, 3, n), np.full(n, 0.1), np.ones(n))
    jets = recluster(FlatCandidates(*columns, offsets=np.array([0, 0, n, n])))
    assert np.diff(jets.event_offsets).tolist() == [0, len(jets.momenta), 0]
    assert (np.hypot(*jets.momenta[:, :2].T) > reclustering.MIN_PT).all()
    assert (invariant_mass(jets.momenta) >= 0).all()
    none = recluster(FlatCandidates(*(column[:0] for column in columns), offsets=np.array([0, 0])))
    assert len(none.momenta) == 0
