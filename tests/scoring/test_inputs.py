"""Features against a slow implementation that goes jet by jet, and the laws they obey."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oddjets.core.errors import OddjetsError
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents, gather_constituents, prepare, take_constituents
from oddjets.scoring.model_card import ModelCard, load_card

CARD = load_card(Path(__file__).resolve().parents[2] / "models" / "omnilearned_small_simulation.yaml")


def card_with(**constituents: Any) -> ModelCard:
    """The shipped card with other rules for constituents."""
    return CARD.model_copy(update={"constituents": CARD.constituents.model_copy(update=constituents)})


def make_jets(jets: list[list[dict[str, float]]], axes: list[tuple[float, float]]) -> JetConstituents:
    """Flatten jets given as lists of constituents."""
    flat = [constituent for jet in jets for constituent in jet]
    integers = ("pdg_id", "charge")
    arrays = {
        name: np.array([c[name] for c in flat], np.int64 if name in integers else np.float32)
        for name in CANDIDATE_BRANCHES
    }
    offsets = np.concatenate([[0], np.cumsum([len(jet) for jet in jets], dtype=np.int64)])
    return JetConstituents(
        offsets=offsets,
        jet_eta=np.array([a[0] for a in axes], np.float32),
        jet_phi=np.array([a[1] for a in axes], np.float32),
        **arrays,
    )


def constituent(**values: float) -> dict[str, float]:
    """A charged pion of 10 GeV, changed as asked."""
    pion = {"pt": 10.0, "eta": 0.5, "phi": 0.25, "mass": 0.13957, "pdg_id": 211, "charge": 1, "d0": 0.01}
    return {**pion, "d0_error": 0.002, "dz": -0.02, "dz_error": 0.004, "puppi_weight": 1.0, **values}


def slow_species(pdg: int, charge: int) -> int:
    """OmniLearned's table: kaons and protons are pions, neutrons 130; then the place among nine sorted species."""
    if abs(pdg) in (321, 2212):
        pdg = int(math.copysign(211, pdg))
    elif pdg == 2112:
        pdg = 130
    species = [-211, -13, -11, 0, 11, 13, 22, 130, 211]
    if pdg not in species:
        pdg = 130 if charge == 0 else 211 if charge > 0 else -211
    return species.index(pdg)


def slow_inputs(
    jets: list[list[dict[str, float]]], axes: list[tuple[float, float]], maximum: int, weighted: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One jet and one constituent at a time, with the scalar functions of the standard library."""
    x = np.zeros((len(jets), maximum, 4))
    pid = np.zeros((len(jets), maximum), np.int64)
    add = np.zeros((len(jets), maximum, 4))
    for j, (jet, axis) in enumerate(zip(jets, axes, strict=True)):
        jet = [{k: float(np.float32(v)) for k, v in c.items()} for c in jet]
        eta, phi = (float(np.float32(a)) for a in axis)
        if not weighted:
            for c in jet:
                c["puppi_weight"] = 1.0
            px = math.fsum(c["pt"] * math.cos(c["phi"]) for c in jet)
            py = math.fsum(c["pt"] * math.sin(c["phi"]) for c in jet)
            pz = math.fsum(c["pt"] * math.sinh(c["eta"]) for c in jet)
            if jet:
                eta, phi = math.asinh(pz / math.hypot(px, py)), math.atan2(py, px)
        jet = [c for c in jet if c["pt"] * c["puppi_weight"] > 0]
        jet.sort(key=lambda c: -c["pt"] * c["puppi_weight"])
        for i, c in enumerate(jet[:maximum]):
            w = c["puppi_weight"]
            energy = math.sqrt((c["pt"] * math.cosh(c["eta"])) ** 2 + c["mass"] ** 2)
            d_phi = c["phi"] - phi
            while d_phi >= math.pi:
                d_phi -= 2 * math.pi
            while d_phi < -math.pi:
                d_phi += 2 * math.pi
            x[j, i] = c["eta"] - eta, d_phi, math.log(c["pt"] * w), math.log(energy * w)
            pid[j, i] = slow_species(int(c["pdg_id"]), int(c["charge"]))
            if c["charge"] != 0 and c["d0_error"] >= 0:
                add[j, i] = math.tanh(c["d0"]), c["d0_error"], math.tanh(c["dz"]), c["dz_error"]
    return x, pid, add


def float32(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(np.float32(low).item(), np.float32(high).item(), width=32, allow_subnormal=False)


charged = st.tuples(
    st.sampled_from([211, -211, 11, -11, 13, -13, 321, -321, 2212, -2212, 3112]), st.sampled_from([-1, 1])
)
neutral = st.tuples(st.sampled_from([22, 130, 1, 2, 2112, -2112, 0]), st.just(0))
kinds = st.one_of(charged, neutral)


@st.composite
def constituents(draw: st.DrawFn) -> dict[str, float]:
    pdg, charge = draw(kinds)
    tracked = draw(st.booleans())
    track = {"d0": draw(float32(-3, 3)), "d0_error": draw(float32(0, 1))}
    track |= {"dz": draw(float32(-3, 3)), "dz_error": draw(float32(0, 1))}
    return {
        # few values, so that ties and exactly 1 GeV happen
        "pt": draw(st.one_of(float32(0.125, 900), st.sampled_from([0.0, 1.0, 2.0]))),
        "eta": draw(float32(-3, 3)),
        "phi": draw(float32(-3.1415, 3.1415)),
        "mass": draw(st.sampled_from([0.0, 0.13957, 0.4976, -1e-5])),
        "pdg_id": pdg,
        "charge": charge,
        "puppi_weight": draw(st.sampled_from([0.0, 0.25, 1.0, 1.0])),
        **(track if tracked else dict.fromkeys(track, -1.0)),
    }


axes_strategy = st.tuples(float32(-2.5, 2.5), float32(-3.1415, 3.1415))
jets_strategy = st.lists(st.tuples(st.lists(constituents(), max_size=9), axes_strategy), max_size=5)


@pytest.mark.slow
@settings(max_examples=150)
@given(pairs=jets_strategy, maximum=st.integers(1, 9))
def test_weighted_features_agree_with_a_jet_by_jet_implementation(pairs: list[Any], maximum: int) -> None:
    jets, axes = [p[0] for p in pairs], [p[1] for p in pairs]
    tensors = prepare(make_jets(jets, axes), card_with(maximum=maximum)).tensors(np.arange(len(jets)), maximum)
    x, pid, add = slow_inputs(jets, axes, maximum, weighted=True)
    np.testing.assert_allclose(tensors["x"], x, rtol=2e-6, atol=2e-7)
    np.testing.assert_array_equal(tensors["pid"], pid)
    np.testing.assert_allclose(tensors["add"], add, rtol=2e-7, atol=1e-30)


@settings(max_examples=50)
@given(jets=st.lists(st.lists(constituents().filter(lambda c: c["pt"] > 0), max_size=9), max_size=5))
def test_raw_features_ignore_weights_and_use_the_axis_of_all_candidates(jets: list[Any]) -> None:
    axes = [(1.0, 1.0)] * len(jets)
    # an axis whose momenta cancel is defined by rounding alone
    for jet in jets:
        for c in jet:
            c["phi"] *= 0.3
    tensors = prepare(make_jets(jets, axes), card_with(puppi="raw")).tensors(np.arange(len(jets)), 9)
    x, pid, _ = slow_inputs(jets, axes, 9, weighted=False)
    np.testing.assert_allclose(tensors["x"], x, rtol=2e-6, atol=2e-6)
    np.testing.assert_array_equal(tensors["pid"], pid)


def test_a_known_jet() -> None:
    soft_photon = constituent(pt=math.e, pdg_id=22, charge=0, mass=0.0, eta=0.0, phi=3.0, puppi_weight=0.5)
    jet = [soft_photon, constituent(pt=20.0, phi=-3.0), constituent(pdg_id=-211, charge=-1, puppi_weight=0.0)]
    tensors = prepare(make_jets([jet], [(0.5, 3.0)]), CARD).tensors(np.array([0]), 3)
    pion, photon, padding = tensors["x"][0]
    energy = math.sqrt((20 * math.cosh(0.5)) ** 2 + 0.13957**2)
    np.testing.assert_allclose(pion, [0, 2 * math.pi - 6, math.log(20), math.log(energy)], rtol=1e-6)
    np.testing.assert_allclose(photon, [-0.5, 0, 1 - math.log(2), 1 - math.log(2)], rtol=1e-6)
    assert not padding.any()
    assert tensors["pid"].tolist() == [[8, 6, 0]]
    np.testing.assert_allclose(tensors["add"][0, 0], [math.tanh(0.01), 0.002, math.tanh(-0.02), 0.004], rtol=1e-6)
    assert not tensors["add"][0, 1:].any()
    assert tensors["x"].dtype == tensors["add"].dtype == np.float32
    assert tensors["pid"].dtype == np.int64


def test_ties_keep_the_order_of_the_file() -> None:
    jet = [constituent(eta=e, pt=5.0) for e in (0.1, 0.2, 0.3)] + [constituent(eta=0.4, pt=6.0)]
    x = prepare(make_jets([jet], [(0.0, 0.0)]), CARD).tensors(np.array([0]), 4)["x"]
    np.testing.assert_allclose(x[0, :, 0], [0.4, 0.1, 0.2, 0.3], rtol=1e-6)


def test_what_is_unusual_is_counted() -> None:
    maximum = CARD.constituents.maximum
    jets = [
        [],
        [constituent(puppi_weight=0.0)],
        [constituent(pt=1.0), constituent(pt=2.0, puppi_weight=0.5), constituent(pt=1.5)],
        [constituent(pt=2.0 + i) for i in range(maximum + 1)],
        [constituent(pt=2.0 + i) for i in range(maximum)],
    ]
    prepared = prepare(make_jets(jets, [(0.0, 0.0)] * 5), CARD)
    assert prepared.unusual._asdict() == {
        "jets": 5,
        "without_constituents": 2,
        "truncated": 1,
        "ignored_constituents": 2,
    }
    assert prepared.counts.tolist() == [0, 0, 3, maximum, maximum]
    # what is cut off is the softest
    assert prepared.tensors(np.array([3]), maximum)["x"][0, -1, 2] == pytest.approx(math.log(3.0))


@settings(max_examples=50)
@given(pairs=jets_strategy.filter(len), data=st.data())
def test_a_jet_has_the_same_bits_alone_and_among_others(pairs: list[Any], data: st.DataObject) -> None:
    jets, axes = [p[0] for p in pairs], [p[1] for p in pairs]
    j = data.draw(st.integers(0, len(jets) - 1))
    among = prepare(make_jets(jets, axes), CARD).tensors(np.array([j]), 9)
    alone = prepare(make_jets([jets[j]], [axes[j]]), CARD).tensors(np.array([0]), 9)
    for name in among:
        assert among[name].tobytes() == alone[name].tobytes()


@pytest.mark.parametrize(("name", "value"), [("pt", np.nan), ("pt", np.inf), ("eta", np.nan), ("dz", np.nan)])
def test_inputs_that_are_not_finite_are_refused(name: str, value: float) -> None:
    with pytest.raises(OddjetsError, match="not finite"):
        prepare(make_jets([[constituent(**{name: value})]], [(0.0, 0.0)]), CARD)


def test_arrays_that_do_not_fit_the_offsets_are_refused() -> None:
    jets = make_jets([[constituent()]], [(0.0, 0.0)])
    arrays = {**vars(jets), "eta": jets.eta[:0]}
    with pytest.raises(ValueError, match="eta has shape"):
        JetConstituents(**arrays)


@settings(max_examples=150)
@given(
    events=st.lists(
        st.integers(1, 5).flatmap(
            lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(-1, 3), st.integers(0, n - 1)), max_size=8))
        ),
        min_size=1,
        max_size=5,
    ),
    data=st.data(),
)
def test_gathering_agrees_with_a_loop_over_links(events: list[Any], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.tuples(st.integers(0, len(events) - 1), st.integers(0, 4)), max_size=6))
    links = [link for _, event in events for link in event]
    index = gather_constituents(
        jet_index=np.array([link[0] for link in links], np.int32),
        candidate_index=np.array([link[1] for link in links], np.int32),
        links_per_event=np.array([len(event) for _, event in events]),
        candidates_per_event=np.array([n for n, _ in events]),
        event_rows=np.array([w[0] for w in wanted], np.int64),
        wanted_jets=np.array([w[1] for w in wanted], np.int64),
    )
    assert len(index.offsets) == len(wanted) + 1
    for (row, jet), start, stop in zip(wanted, index.offsets[:-1], index.offsets[1:], strict=True):
        before = sum(n for n, _ in events[:row])
        expected = [before + candidate for link_jet, candidate in events[row][1] if link_jet == jet]
        assert index.candidates[start:stop].tolist() == expected


def gather_two_events(candidate_index: list[int], links: list[int], wanted: int = 0) -> Any:
    return gather_constituents(
        jet_index=np.array([0, 1, 0]),
        candidate_index=np.array(candidate_index),
        links_per_event=np.array(links),
        candidates_per_event=np.array([2, 1]),
        event_rows=np.array([1]),
        wanted_jets=np.array([wanted]),
    )


@pytest.mark.parametrize("bad", [1, -1])
def test_a_link_outside_its_event_is_refused(bad: int) -> None:
    # 1 would be a candidate of the file, but not of this event
    with pytest.raises(OddjetsError, match=f"an event that has 1 candidates and a link to number {bad}"):
        gather_two_events([0, 1, bad], [2, 1])


def test_a_bad_link_of_a_jet_that_nobody_wants_does_not_matter() -> None:
    assert gather_two_events([99, 1, 0], [2, 1]).candidates.tolist() == [2]


def test_counts_of_other_events_are_refused() -> None:
    with pytest.raises(OddjetsError, match="not of the same events"):
        gather_two_events([0, 1, 0], [2, 2])


def test_real_cms_jets(cms_file: Path) -> None:
    """Weighted constituents of simulated CMS jets add up to the jet, and lie inside it."""
    uproot = pytest.importorskip("uproot")
    tree = uproot.open(cms_file)["Events"]
    branches = [f"PFCands_{name}" for name in CANDIDATE_BRANCHES.values()]
    links = ["FatJetPFCands_jetIdx", "FatJetPFCands_pFCandsIdx"]
    fat_jets = ["FatJet_pt", "FatJet_eta", "FatJet_phi", "FatJet_mass", "FatJet_rawFactor"]
    arrays = tree.arrays([*branches, *links, *fat_jets, "nFatJetPFCands", "nPFCands"], library="np")
    rows = np.repeat(np.arange(tree.num_entries), 2)
    places = np.tile([0, 1], tree.num_entries)
    jet = {name: np.array([values[i] for values in arrays[name] for i in (0, 1)]) for name in fat_jets}
    index = gather_constituents(
        jet_index=np.concatenate(arrays[links[0]]),
        candidate_index=np.concatenate(arrays[links[1]]),
        links_per_event=arrays["nFatJetPFCands"],
        candidates_per_event=arrays["nPFCands"],
        event_rows=rows,
        wanted_jets=places,
    )
    flat = {name.removeprefix("PFCands_"): np.concatenate(arrays[name]) for name in branches}
    jets = take_constituents(index, flat, jet["FatJet_eta"], jet["FatJet_phi"])
    card = card_with(maximum=500)
    prepared = prepare(jets, card)
    length = int(prepared.counts.max())
    x = prepared.tensors(np.arange(jets.n_jets), length)["x"].astype(float)
    real = np.arange(length) < prepared.counts[:, np.newaxis]
    assert not x[~real].any()
    pt, energy = np.where(real, np.exp(x[..., 2]), 0), np.where(real, np.exp(x[..., 3]), 0)
    px, py = (pt * np.cos(x[..., 1])).sum(1), (pt * np.sin(x[..., 1])).sum(1)
    pz = (pt * np.sinh(x[..., 0] + jet["FatJet_eta"][:, np.newaxis])).sum(1)
    raw = 1 - jet["FatJet_rawFactor"]
    # 10-bit mantissas of momenta and weights
    np.testing.assert_allclose(np.hypot(px, py), jet["FatJet_pt"] * raw, rtol=5e-3)
    mass = np.sqrt(energy.sum(1) ** 2 - px**2 - py**2 - pz**2)
    np.testing.assert_allclose(mass, jet["FatJet_mass"] * raw, rtol=2e-2)
    # anti-kT 0.8 measures distance in rapidity, a little smaller than in pseudorapidity
    assert np.hypot(x[..., 0], x[..., 1])[real].max() < 0.9
    assert np.all(np.diff(np.where(real, x[..., 2], -99), axis=1) <= 0)
