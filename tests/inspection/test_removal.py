"""What a score rests on: exact for models whose logit is a sum over constituents, reproducible, and silent about nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_model
from helpers.additive_model import CARD, WEIGHTS, Additive, by_species, random_jets
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit

from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import momenta
from oddjets.inspection.constituent_groups import (
    SPECIES,
    RemovalPlan,
    find_groups,
    seen_constituents,
    weighted_pt,
)
from oddjets.inspection.displays import displacement, species_of
from oddjets.inspection.random_sets import random_sets
from oddjets.inspection.removal import GroupEffect, axis_rule, removal_effects
from oddjets.scoring.inputs import JetConstituents, prepare
from oddjets.scoring.model_card import load_card
from oddjets.scoring.scorer import Scorer


def by_displacement(jets: JetConstituents) -> NDArray[np.float64]:
    """Tracks with an impact parameter above 3 sigma add 0.2."""
    return 0.2 * (np.nan_to_num(displacement(jets)) > 3)


def effect(groups: tuple[GroupEffect, ...], name: str, action: str = "removed") -> GroupEffect:
    (found,) = [group for group in groups if (group.name, group.action) == (name, action)]
    return found


def test_effects_of_a_sum_over_species_are_its_terms() -> None:
    jets = random_jets([40, 60])
    for number, jet in enumerate(removal_effects(jets, Additive(by_species), [(1, 2, 3, 0), (1, 2, 3, 1)])):
        seen = seen_constituents(jets, number, CARD)
        species = species_of(seen.pdg_id, seen.charge)
        assert jet.constituents == len(species)
        assert jet.logit == pytest.approx(by_species(seen).sum())
        changes = 0.0
        for place, name in enumerate(SPECIES):
            members = species == name
            found = effect(jet.groups, f"{name}s")
            assert found.constituents == members.sum()
            assert found.change == pytest.approx(-WEIGHTS[place] * members.sum(), abs=1e-9)
            assert found.score == pytest.approx(expit(jet.logit + found.change))
            assert found.pt_fraction == pytest.approx(
                weighted_pt(seen, CARD)[members].sum() / weighted_pt(seen, CARD).sum()
            )
            changes += found.change
        assert changes == pytest.approx(-jet.logit)  # species divide the jet


def test_effects_of_prongs_and_of_the_softest_are_sums_over_their_members() -> None:
    jets = random_jets([70], seed=4)
    plan = RemovalPlan(softest=(2.0, 0.7))
    jet = removal_effects(jets, Additive(by_species), [(1,)], plan)[0]
    seen = seen_constituents(jets, 0, CARD)
    groups = [group for group in find_groups(seen, CARD, plan) if group.kind in ("prong", "softest")]
    assert jet.prongs >= 2
    divided = np.sum([group.members for group in groups if group.kind == "prong"], axis=0)
    np.testing.assert_array_equal(divided, 1)
    for group in groups:
        expected = -by_species(seen)[group.members].sum()
        found = effect(jet.groups, group.name)
        assert found.change == (pytest.approx(expected, abs=1e-9) if group.members.any() else None)
    assert [group.name for group in groups if group.kind == "softest"] == ["pT below 0.7 GeV", "pT below 2 GeV"]
    assert effect(jet.groups, "pT below 2 GeV").constituents == (weighted_pt(seen, CARD) < 2).sum()


def test_removed_and_reset_tracks_answer_different_questions() -> None:
    jets = random_jets([60], seed=2)
    seen = seen_constituents(jets, 0, CARD)
    far = np.nan_to_num(displacement(seen)) > 3
    assert far.sum() > 2
    read = removal_effects(jets, Additive(by_displacement), [(1,)])[0].groups
    counted = removal_effects(jets, Additive(lambda jets: np.full(len(jets.pt), 0.2)), [(1,)])[0].groups
    name = "tracks above 3 sigma"
    for groups, action, expected in (
        (read, "removed", -0.2 * far.sum()),
        (read, "reset", -0.2 * far.sum()),
        (counted, "removed", -0.2 * far.sum()),
        (counted, "reset", 0.0),
    ):
        assert effect(groups, name, action).change == pytest.approx(expected, abs=1e-9)
    assert effect(read, "all tracks", "reset").constituents == np.isfinite(displacement(seen)).sum()
    # there is no other choice of all tracks
    assert effect(read, "all tracks", "reset").random is None


def test_a_model_without_impact_parameters_has_nothing_to_reset(tmp_path: Path) -> None:
    scorer = Scorer(load_card(tiny_model.write(tmp_path)), provider="cpu")
    jets = random_jets([25], seed=3)
    plan = RemovalPlan(draws=3)
    groups = removal_effects(jets, scorer, [(1,)], plan)[0].groups
    assert {group.action for group in groups} == {"removed"}
    # logit = x @ matrix of classes 1 and 0, with the axis at 0; the same for the variants
    seen = seen_constituents(jets, 0, scorer.card)
    points = np.stack([seen.eta, np.log(weighted_pt(seen, scorer.card))], axis=-1)
    terms = points @ (tiny_model.MATRIX[:, 1] - tiny_model.MATRIX[:, 0])
    for group in find_groups(seen, scorer.card, plan):
        found = effect(groups, group.name)
        expected = -terms[group.members].sum()
        assert found.change == (pytest.approx(expected, abs=1e-5) if group.members.any() else None)


def test_random_removals_have_the_mean_and_spread_of_the_sets() -> None:
    """Charged hadrons add 1, the rest nothing: the mean of random sets is known from a hypergeometric distribution."""
    jets = random_jets([60], seed=5)
    jets = replace(jets, pt=np.full(60, 3.0, np.float32), puppi_weight=np.ones(60, np.float32))
    charged = jets.pdg_id == 211
    scorer = Additive(lambda jets: 1.0 * (jets.pdg_id == 211))
    plan = RemovalPlan(draws=400)
    found = effect(removal_effects(jets, scorer, [(7, 8)], plan)[0].groups, "photons")
    n, successes, drawn = 60, int(charged.sum()), found.constituents
    share = successes / n
    spread = np.sqrt(drawn * share * (1 - share) * (n - drawn) / (n - 1))
    assert found.random is not None
    assert found.random.draws == 400
    assert found.random.mean == pytest.approx(-drawn * share, abs=5 * spread / 20)
    assert found.random.spread == pytest.approx(spread, rel=5 / np.sqrt(2 * 400))
    assert found.random.pt_fraction == pytest.approx(found.pt_fraction)
    assert found.random.shared == pytest.approx(drawn / n, abs=0.05)
    assert -drawn <= found.random.lowest < found.random.mean < found.random.highest <= 0
    assert found.change == 0
    assert found.stands_out == ("above" if found.random.highest < 0 else "")


def test_a_group_stands_out_where_no_random_set_changes_the_score_as_much() -> None:
    jets = random_jets([60], seed=5)
    (jet,) = removal_effects(jets, Additive(lambda jets: 1.0 * (jets.pdg_id == 22)), [(1,)])
    assert effect(jet.groups, "photons").stands_out == "below"
    (jet,) = removal_effects(jets, Additive(lambda jets: -1.0 * (jets.pdg_id == 22)), [(1,)])
    assert effect(jet.groups, "photons").stands_out == "above"
    (jet,) = removal_effects(jets, Additive(lambda jets: np.full(len(jets.pt), 0.1)), [(1,)])
    for group in jet.groups:  # all sets of a size have the same effect: what differs is rounding
        assert group.random is None or group.random.spread == pytest.approx(0, abs=1e-9)


def test_random_sets_depend_on_the_identity_alone() -> None:
    jets = random_jets([30, 40, 50], seed=6)
    identities = [(1, 5, 10, 0), (1, 5, 10, 1), (2, 5, 2**63 + 5, 0)]
    together = removal_effects(jets, Additive(by_species), identities)
    for number in (2, 0):
        alone = removal_effects(seen_constituents(jets, number, CARD), Additive(by_species), [identities[number]])
        assert alone == [together[number]]
    # another step leaves the others alone
    more = removal_effects(jets, Additive(by_species), identities, RemovalPlan(softest=(1.0, 1.5, 2.0, 5.0)))
    assert set(together[0].groups) < set(more[0].groups)
    other = removal_effects(jets, Additive(by_species), [(1, 5, 11, 0), *identities[1:]])
    assert other[0] != together[0]
    assert other[1:] == together[1:]


def test_inferences_are_counted_and_none_is_done_twice() -> None:
    scorer = Additive(by_species)
    done: list[int] = []
    jets = removal_effects(random_jets([50, 0, 20]), scorer, [(0,), (1,), (2,)], progress=done.append)
    assert sum(jet.inferences for jet in jets) == scorer.inferences - 1  # the empty jet, which costs nothing
    assert sum(done) == 3
    assert all(jet.inferences <= 21 * (len(jet.groups) + 1) for jet in jets)
    without = removal_effects(random_jets([50]), Additive(by_species), [(0,)], RemovalPlan(draws=0))[0]
    assert without.inferences <= len(without.groups) + 1
    assert all(group.random is None and not group.stands_out for group in without.groups)


def test_jets_that_are_empty_or_become_so_have_no_number() -> None:
    jets = random_jets([30], seed=1)
    photons = replace(jets, pdg_id=np.full(30, 22), charge=np.zeros(30, np.int64))
    nothing = replace(jets, puppi_weight=np.zeros(30, np.float32))
    (only,) = removal_effects(photons, Additive(by_species), [(1,)])
    found = effect(only.groups, "photons")
    assert (found.change, found.score, found.random, found.note) == (None, None, None, "nothing is left of the jet")
    assert effect(only.groups, "muons").note == "no such constituents"
    (empty,) = removal_effects(nothing, Additive(by_species), [(1,)])
    assert (empty.score, empty.groups, empty.note) == (None, (), "no constituents, so no score")
    assert empty.inferences == 0
    (single,) = removal_effects(random_jets([1], seed=3), Additive(by_species), [(1,)])
    assert single.prongs == 1
    assert effect(single.groups, "prong 1").note == "nothing is left of the jet"


def test_a_score_of_one_has_no_logit_and_says_so() -> None:
    (jet,) = removal_effects(random_jets([30]), Additive(lambda jets: np.full(len(jets.pt), 10.0)), [(1,)])
    assert (jet.score, jet.logit) == (1.0, None)
    assert "infinite" in jet.note
    assert all(group.change is None and group.note for group in jet.groups)


def test_no_softer_constituent_takes_the_place_of_a_removed_one(tmp_path: Path) -> None:
    scorer = Scorer(load_card(tiny_model.write(tmp_path)), provider="cpu")
    jets = random_jets([tiny_model.MAXIMUM + 20], seed=8)
    (jet,) = removal_effects(jets, scorer, [(1,)], RemovalPlan(draws=0))
    assert jet.constituents == tiny_model.MAXIMUM
    assert jet.score == scorer.score(jets)[0]
    seen = seen_constituents(jets, 0, scorer.card)
    softest = np.sort(weighted_pt(jets, scorer.card))[-tiny_model.MAXIMUM]
    assert weighted_pt(seen, scorer.card).min() == softest


def test_the_axis_is_kept_or_recomputed_as_the_card_says() -> None:
    jets = random_jets([20], seed=4)
    jets = replace(jets, puppi_weight=np.ones(20, np.float32), jet_eta=np.array([0.25]), jet_phi=np.array([-0.5]))
    raw = CARD.model_copy(update={"constituents": CARD.constituents.model_copy(update={"puppi": "raw"})})
    seen: dict[str, list[JetConstituents]] = {"weighted": [], "raw": []}

    class Looking(Additive):
        def score(self, jets: JetConstituents) -> NDArray[np.float64]:
            seen[self.card.constituents.puppi].append(jets)
            return super().score(jets)

    for card in (CARD, raw):
        removal_effects(jets, Looking(by_species, card), [(1,)], RemovalPlan(draws=0))
    (kept,), (recomputed,) = seen["weighted"], seen["raw"]
    axis = CARD.inputs[0].columns.index(next(c for c in CARD.inputs[0].columns if c.quantity == "d_eta"))
    for variants, card in ((kept, CARD), (recomputed, raw)):
        prepared = prepare(variants, card)
        for jet in range(variants.n_jets):
            rows = slice(variants.offsets[jet], variants.offsets[jet + 1])
            order = np.argsort(-variants.pt[rows].astype(np.float64), kind="stable")
            p = momenta(
                variants.pt[rows], variants.eta[rows], variants.phi[rows], np.zeros(rows.stop - rows.start)
            ).sum(axis=0)
            eta = 0.25 if card is CARD else np.arctanh(p[2] / np.linalg.norm(p[:3]))
            found = prepared.columns["x"][prepared.offsets[jet] : prepared.offsets[jet + 1], axis]
            np.testing.assert_allclose(found, variants.eta[rows][order] - eta, atol=1e-5)
    assert axis_rule(CARD) == "the jet's axis is kept"
    assert axis_rule(raw) == "the axis is that of the constituents that are left"


def test_the_score_before_is_that_of_the_scorer() -> None:
    scorer = Scorer(CARD, provider="cpu")
    jets = random_jets([20, 35], seed=9)
    found = removal_effects(jets, scorer, [(1,), (2,)], RemovalPlan(draws=0, softest=(), displacement=()))
    np.testing.assert_array_equal([jet.score for jet in found], scorer.score(jets))
    for jet in found:
        assert jet.logit == pytest.approx(logit(jet.score))


@given(seed=st.integers(0, 10**6), size=st.integers(2, 40), draws=st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_random_sets_are_as_large_as_the_group_other_sets_and_in_the_pool(seed: int, size: int, draws: int) -> None:
    rng = np.random.default_rng(seed)
    pt = 0.1 + rng.pareto(1.0, size)
    pool = rng.random(size) < 0.8
    group = pool & (rng.random(size) < rng.random())
    sets = random_sets(pt, group, pool, draws, np.random.default_rng(seed))
    assert len(sets) <= draws
    assert (sets.sum(axis=1) == group.sum()).all()
    assert not (sets & ~pool).any()
    assert not (sets == group).all(axis=1).any()
    assert len(np.unique(sets, axis=0)) == len(sets)
    if group.all() or not group.any():
        assert not len(sets)


def test_random_sets_have_about_the_pt_of_the_group() -> None:
    rng = np.random.default_rng(1)
    pt = np.sort(0.5 + 10 * rng.pareto(1.5, 60))[::-1]
    every = np.ones(60, np.bool_)
    for group in (np.arange(60) % 4 == 0, np.arange(60) >= 40, np.arange(60) % 7 == 1):
        sets = random_sets(pt, group, every, 20, np.random.default_rng(2))
        share = pt[group].sum() / pt.sum()
        assert len(sets) == 20
        np.testing.assert_allclose(sets @ pt / pt.sum(), share, atol=max(0.02, 0.15 * share))
    # the five hardest: no other set has their pT; those that come nearest are taken
    sets = random_sets(pt, np.arange(60) < 5, every, 20, np.random.default_rng(2))
    assert (sets @ pt).mean() > 2 * 5 * pt.mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"draws": 1}, "no spread"),
        ({"displacement": (3.0, 3.0)}, "steps of displacement"),
        ({"softest": (0.0,)}, "steps of softest"),
        ({"z_cut": 0.6}, "z_cut"),
        ({"most_prongs": 0}, "at least one"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OddjetsError, match=message):
        RemovalPlan(**options)


def test_identities_must_fit_the_jets() -> None:
    with pytest.raises(OddjetsError, match="2 jets and 1 identities"):
        removal_effects(random_jets([3, 4]), Additive(by_species), [(1,)])
