"""The words about what scores rest on: nothing but what the numbers say, and always that they are no proof."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from helpers.additive_model import CARD, Additive, by_species, random_jets

from oddjets.inspection.constituent_groups import RemovalPlan
from oddjets.inspection.removal import removal_effects
from oddjets.inspection.removal_report import jet_content, removal_content, removal_lines, removal_text
from oddjets.inspection.share_profiles import ShareMeans
from oddjets.inspection.share_report import share_content, share_text
from oddjets.scoring.inputs import JetConstituents

PLAN = RemovalPlan(draws=10)


def content_of(jets: JetConstituents, scorer: Additive, plan: RemovalPlan = PLAN) -> dict[str, Any]:
    """Of one event with two jets."""
    pair = removal_effects(jets, scorer, [(1, 2, 3, 1), (1, 2, 3, 2)], plan)
    event = {"id": "1:2:3", "problem": "", "jets": [jet_content(j, found) for j, found in enumerate(pair, 1)]}
    return removal_content([event], CARD, "odd", plan)


def test_the_content_is_json_and_counts_inferences() -> None:
    scorer = Additive(by_species)
    content = content_of(random_jets([40, 50]), scorer)
    assert json.loads(json.dumps(content, allow_nan=False))["inferences"] == scorer.inferences
    assert content["axis"] == "the jet's axis is kept"


def test_lines_name_what_changes_the_score_more_than_any_random_set() -> None:
    content = content_of(random_jets([40, 50]), Additive(lambda jets: 0.3 * (jets.pdg_id == 22)))
    for line, jet in zip(removal_lines(content), content["events"][0]["jets"], strict=True):
        found = next(group for group in jet["groups"] if group["name"] == "photons")
        assert f"falls without photons (\N{MINUS SIGN}{-found['change']:.2f}; random " in line
        assert "rises" not in line or "charged" in line
    nothing = content_of(random_jets([40, 50]), Additive(lambda jets: np.zeros(len(jets.pt))))
    for line in removal_lines(nothing):
        assert line.endswith("score 0.5000: no group changes it more than random constituents do")


def test_tables_have_a_row_for_each_group_and_say_what_is_no_proof() -> None:
    content = content_of(random_jets([40, 50]), Additive(by_species))
    text = removal_text(content)
    assert "A description, not a proof" in text
    assert "by chance 18 % of the groups" in text  # 2 of 11
    assert text.count("leading jet: score") == 2
    for jet in content["events"][0]["jets"]:
        for group in jet["groups"]:
            if group["shown"]:
                assert group["name"] in text
    assert len(text.splitlines()) < 60


def test_steps_with_the_same_constituents_are_shown_once() -> None:
    content = content_of(random_jets([40, 50]), Additive(by_species), RemovalPlan(0, (1e8, 2e8, 3.0), (0.31, 1e5, 1e6)))
    for jet in content["events"][0]["jets"]:
        shown = [(group["name"], group["action"]) for group in jet["groups"] if group["shown"]]
        assert ("tracks above 3 sigma", "removed") in shown
        assert not any("1e+08" in name or "2e+08" in name for name, _ in shown)  # without members
        assert ("pT below 100000 GeV", "removed") in shown
        assert ("pT below 1e+06 GeV", "removed") not in shown


def test_events_and_jets_without_numbers_say_why() -> None:
    pair = removal_effects(random_jets([0, 30]), Additive(by_species), [(1,), (2,)], PLAN)
    events = [
        {"id": "1:1:1", "problem": "there.root: is not there any more", "jets": []},
        {"id": "1:1:2", "problem": "", "jets": [jet_content(j, found) for j, found in enumerate(pair, 1)]},
    ]
    content = removal_content(events, CARD, "odd", PLAN)
    for said in ("\n".join(removal_lines(content)), removal_text(content)):
        assert "1:1:1: there.root: is not there any more" in said
        assert "leading jet: no constituents, so no score" in said


def test_the_table_of_shares_has_percent_with_errors() -> None:
    means = [
        ShareMeans(
            "data", "A", 1, 20, {"QCD": (0.25, 0.0125), "X": (0.75, 0.0125)}, (20,), {"QCD": (None,), "X": (None,)}
        ),
        ShareMeans("top", "A", 2, 1, {"QCD": None, "X": None}, (1,), {"QCD": (None,), "X": (None,)}),
    ]
    content = share_content(means, sample="data", letter="A", score="odd", model="mine", edges=[0, 1], signal=["X"])
    text = share_text(json.loads(json.dumps(content)), "SR, letter A")
    assert "Mean shares of the class groups of mine in percent, SR, letter A\nA description, not a proof" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["data", "A", "leading", "20", "25.0", "+-", "1.2", "75.0", "+-", "1.2"] in rows
    assert ["top", "A", "subleading", "1", "-", "-"] in rows
    assert share_text({**content, "means": [], "classes": []}, "SR").endswith("SR: no events\n")
