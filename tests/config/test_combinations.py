"""Combinations of scores in a YAML: their form, their names, and what is made of what."""

from __future__ import annotations

import pytest
from helpers.analyses import analysis, content
from pydantic import ValidationError

from oddjets.config.analysis import Analysis
from oddjets.config.combinations import (
    b_tags_in,
    columns_behind,
    combination_problems,
    combinations_of,
    combined_columns,
    components_of,
    scores_with_b_tags,
    without_combinations,
)
from oddjets.config.selection import Score

OWN = {"a": {"card": "omnilearned_small_simulation.yaml"}, "b": {"signal": ["xqq"], "background": ["qcd"]}}
#: the nested one comes first
SCORES = {
    "nested": {"max": ["both", "c"]},
    "both": {"product": ["a", "b"], "flat_in": {"mass": [60, 100, 240]}},
    **OWN,
    "c": {"signal": ["xcc"], "background": ["qcd"]},
}


def with_scores(**scores: object) -> Analysis:
    return analysis(scores={**OWN, **scores}, threshold={"score": "a", "efficiency": 0.1})


@pytest.mark.parametrize("how", ["product", "max", "min", "mean"])
def test_a_combination_is_one_way_and_its_scores(how):
    assert Score.model_validate({how: ["a", "b"]}).combined == (how, ("a", "b"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give one of 'card'"),
        (
            {"product": ["a", "b"], "max": ["a", "b"]},
            "or a combination of other scores: 'product', 'max', 'min', 'mean'",
        ),
        ({"product": ["a", "b"], "card": "x.yaml"}, "give one of 'card'"),
        ({"product": []}, "'product' combines two scores or more \\(one with 'flat_in'\\); 0 given"),
        ({"product": ["a"]}, "'product' combines two scores or more \\(one with 'flat_in'\\); 1 given"),
        ({"mean": [], "flat_in": {"pt": [450, 900]}}, "'mean' combines one score or more; 0 given"),
        ({"product": ["a", "b", "a"]}, "'product' names 'a' twice"),
        ({"product": ["a", ""]}, "String should match pattern"),
        ({"product": ["a", None]}, "should be a valid string"),
        (
            {"product": ["a", "b"], "keep_probabilities": True},
            "'keep_probabilities' belongs to the score with the 'card'",
        ),
        ({"card": "x.yaml", "flat_in": {"mass": [60, 240]}}, "for one score write 'product: \\[NAME\\]'"),
        ({"product": ["a"], "flat_in": {}}, "give edges of 'mass' or of 'pt', or of both"),
        ({"product": ["a"], "flat_in": {"mass": [60]}}, "'mass' needs two edges or more, each above the one before"),
        ({"product": ["a"], "flat_in": {"pt": [450, 450, 600]}}, "'pt' needs two edges or more, each above"),
        ({"product": ["a"], "flat_in": {"eta": [0, 1]}}, "Extra inputs are not permitted"),
        ({"product": [f"s{i}" for i in range(17)]}, "at most 16"),
        ({"card": "x.yaml", "weights": [1]}, "'weights' belong to a 'product' of other scores"),
        ({"mean": ["a", "b"], "weights": [1, 1]}, "'weights' belong to 'product', and not to 'mean'"),
        ({"product": ["a", "b"], "weights": [1]}, "'weights' has 1 numbers for the 2 scores of 'product'"),
        ({"product": ["a", "b"], "weights": [1, -0.5]}, "'weights': -0.5 is below 0"),
        ({"product": ["a", "b"], "weights": [1, float("nan")]}, "weights.1\n  Input should be a finite number"),
        ({"product": ["a", "b"], "weights": [float("inf"), 1]}, "weights.0\n  Input should be a finite number"),
        ({"product": ["a", "b"], "weights": [0, 0]}, "'weights' are all 0, so that no score has a say"),
        ({"product": ["a", "b"], "weights": [1, 16]}, "'weights' add up to 17, and at most to 16"),
    ],
)
def test_what_is_no_combination_is_refused(given, said):
    with pytest.raises(ValidationError, match=said):
        Score.model_validate(given)


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"both": {"product": ["a", "bb"]}}, ["scores.both.product.1: no score 'bb'; did you mean 'b'?"]),
        ({"both": {"product": ["a", "both"]}}, ["scores.both.product.1: is the score itself; name other scores"]),
        (
            {"one": {"product": ["a", "other"]}, "other": {"max": ["b", "one"]}},
            ["scores.other.max.1: goes in a circle: other <- one <- other"],
        ),
        ({"one": {"product": ["a", "other"]}, "other": {"max": ["b", "a"]}}, []),
    ],
)
def test_components_are_other_scores_and_go_in_no_circle(scores, said):
    assert [*combination_problems(with_scores(**scores))] == said


def test_every_circle_is_said_once():
    found = [
        *combination_problems(
            with_scores(
                one={"product": ["a", "two"]},
                two={"product": ["a", "three"]},
                three={"product": ["a", "one"]},
                other={"product": ["b", "one"]},
            )
        )
    ]
    assert len(found) == 1
    assert "goes in a circle" in found[0]


def test_what_others_are_made_of_comes_first():
    scores = Analysis.model_validate(content(scores=SCORES, threshold={"score": "a", "value": 1.0})).scores
    assert [*combinations_of(scores)] == ["both", "nested"]
    assert [*without_combinations(scores)] == ["a", "b", "c"]
    assert components_of(scores, "nested") == ("c", "a", "b")
    assert components_of(scores, "b") == ("b",)
    assert combined_columns(scores) == {
        "score_both_1": "both", "score_both_2": "both", "score_nested_1": "nested", "score_nested_2": "nested",
    }  # fmt: skip
    assert columns_behind(scores, ["pt_1", "score_nested_2", "score_a_1"]) == [
        "pt_1", "score_c_2", "score_a_2", "score_b_2", "mass_2", "score_a_1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("score", "tags"),
    [
        ({"column": "btag"}, True),
        ({"column": "xbb"}, True),
        ({"column": "tau32"}, False),
        ({"signal": ["xbb"], "background": ["qcd"]}, True),
        ({"signal": ["btagDeepB"], "background": ["qcd"]}, True),
        ({"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}, True),
        ({"signal": ["btagDDBvLV2"], "background": ["qcd"]}, True),
        ({"signal": ["xqq"], "background": ["xbb"]}, False),
        ({"card": "omnilearned_small_simulation.yaml"}, False),
    ],
)
def test_a_b_tag_is_found_by_its_column_or_branch(score, tags):
    asked = with_scores(c=score, both={"product": ["a", "c"]}, nested={"max": ["both", "b"]})
    assert b_tags_in(asked, "both") == (("c",) if tags else ())
    # through other combinations, too
    assert scores_with_b_tags(asked) == ({"both": ("c",), "nested": ("c",)} if tags else {})


def test_a_b_tag_of_another_name_is_found_by_its_branch():
    asked = with_scores(c={"signal": ["mine"], "background": ["qcd"]}, both={"product": ["a", "c"]})
    assert b_tags_in(asked, "both") == ()
    selection = asked.selection.model_copy(
        update={"taggers": asked.selection.taggers.model_copy(update={"xbb": "mine"})}
    )
    assert b_tags_in(asked.model_copy(update={"selection": selection}), "both") == ("c",)


def test_a_b_tag_that_a_model_reads_is_found_through_the_scores_of_other_models():
    asked = with_scores(c={"card": "mine.yaml"}, d={"card": "other.yaml"}, both={"product": ["a", "d"]})
    read = {"c": ["tau2 / tau1", "btag"], "d": ["tau3", "2 * score_c"]}
    assert b_tags_in(asked, "both", read) == ("d",)
    assert b_tags_in(asked, "both", {**read, "c": ["tau1"]}) == ()


def test_what_a_score_states_has_no_fields_that_it_does_not_use():
    # keys and banks of analyses without combinations stay what they were
    assert Score.model_validate(OWN["a"]).stated() == {
        "card": "omnilearned_small_simulation.yaml", "column": None, "signal": [], "background": [],
        "keep_probabilities": False,
    }  # fmt: skip
    stated = Score.model_validate({"product": ["a"], "flat_in": {"mass": [60, 240]}, "label": "flat"}).stated()
    assert stated["product"] == ["a"]
    assert stated["flat_in"] == {"mass": [60.0, 240.0], "pt": None}
    assert "label" not in stated
    assert "weights" not in stated
    weighted = Score.model_validate({"product": ["a", "b"], "weights": [1, 0.5]}).stated()
    assert weighted["weights"] == [1.0, 0.5]


@pytest.mark.parametrize("name", ["x__y", "x_"])
def test_a_score_makes_no_column_that_looks_like_a_variation(name):
    """Such a column was left out where the columns of the nominal jets are taken."""
    with pytest.raises(ValueError, match=f"'{name}' makes columns with two underscores"):
        analysis(scores={name: {"column": "btag"}}, threshold={"score": name, "efficiency": 0.1})
