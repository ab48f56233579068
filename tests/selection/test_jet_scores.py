"""Several scores of one inference, and scores that are columns."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import analyses
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from oddjets.core import resources
from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import offsets_from
from oddjets.scoring import scorer as scorer_module
from oddjets.scoring.cache import ScoreCache
from oddjets.scoring.class_groups import formula_of, probability_columns, share_columns
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents, prepare
from oddjets.scoring.model_card import ModelCard, load_card
from oddjets.scoring.score import anomaly_score, class_shares, mean_score, score_spread
from oddjets.scoring.scorer import Scorer
from oddjets.selection.jet_scores import scores_of_columns, scores_of_models, values_of_columns
from oddjets.selection.score_checks import MIN_JETS, refuse_useless_columns

CARD = load_card(resources.find("omnilearned_small_simulation.yaml", "models"))
QCD = ("QCD_q", "QCD_g", "QCD_c", "QCD_b")
#: another card with the same ONNX file
OTHER = CARD.model_copy(update={"score": CARD.score.model_copy(update={"signal": ("X_3q", "X_4q")})})

FIVE: dict[str, Any] = {
    "omnilearned": {"card": "omnilearned_small_simulation.yaml", "keep_probabilities": True},
    "other": {"card": "other.yaml"},
    "xbb": {"of": "omnilearned", "signal": ["X_bb"]},
    "bottom": {"of": "omnilearned", "signal": ["X_bb"], "background": ["QCD_b", "QCD_c"]},
    "same": {"of": "other", "signal": ["X_qq", "X_cc", "X_bb", "X_gg", "X_3q", "X_4q"], "background": QCD},
}
SCORERS = {"omnilearned": Scorer(CARD, "cpu"), "other": Scorer(OTHER, "cpu")}


def some_jets(counts: list[int]) -> JetConstituents:
    rng = np.random.default_rng(3)
    n = sum(counts)
    columns: dict[str, Any] = {name: rng.uniform(0.01, 0.5, n).astype(np.float32) for name in CANDIDATE_BRANCHES}
    columns |= {"pt": rng.uniform(2, 50, n), "puppi_weight": np.ones(n, np.float32)}
    columns |= {"pdg_id": rng.choice([211, -211, 22, 130], n), "charge": rng.choice([-1, 0, 1], n)}
    axis = np.zeros(len(counts), np.float32)
    return JetConstituents(offsets=offsets_from(np.array(counts)), jet_eta=axis, jet_phi=axis, **columns)


def scored(jets: JetConstituents | None, cache: ScoreCache | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    asked = analyses.analysis(scores=FIVE)
    inference: dict[str, Any] = {}
    return scores_of_models(asked, SCORERS, jets, cache, Counter(), inference), inference


@pytest.fixture
def inferences(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Jets that a model is run on, one number an inference."""
    run, found = scorer_module.Scorer._on_cpu, []

    def counted(self: Scorer, session: Any, prepared: Any) -> Any:
        for rows, values in run(self, session, prepared):
            found.append(len(rows))
            yield rows, values

    monkeypatch.setattr(scorer_module.Scorer, "_on_cpu", counted)
    return found


def test_five_scores_of_one_model_are_one_inference_and_one_entry_of_the_cache(
    inferences: list[int], tmp_path: Path
) -> None:
    jets, cache = some_jets([5, 12, 30, 8]), ScoreCache(tmp_path / "scores", "4f1c", 0, 100)
    first, how = scored(jets, cache)
    assert inferences == [1] * 4
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    assert [*how] == ["omnilearned"]
    assert (how["omnilearned"]["computed"], how["omnilearned"]["from_cache"]) == (4, 0)
    assert how["omnilearned"]["scores"] == {*FIVE}
    again, how = scored(jets, cache)
    assert len(inferences) == 4
    assert (how["omnilearned"]["computed"], how["omnilearned"]["from_cache"]) == (0, 4)
    without, _ = scored(jets)
    of_first, *of_others = (
        {name: values.tobytes() for name, values in found.items()} for found in (first, again, without)
    )
    assert of_others == [of_first, of_first]


def test_scores_of_class_groups_are_ratios_of_probabilities() -> None:
    jets = some_jets([5, 12, 30, 8])
    found, _ = scored(jets)
    logits = SCORERS["omnilearned"].run(prepare(jets, CARD)).astype(float)
    # the shipped card has one output a class
    p = dict(zip(CARD.classes, softmax(logits[:, [i for (i,) in CARD.classes.values()]], axis=1).T, strict=True))
    qcd = sum(p[name] for name in QCD)
    of_jets = {
        "xbb": p["X_bb"] / (p["X_bb"] + qcd),
        "bottom": p["X_bb"] / (p["X_bb"] + p["QCD_b"] + p["QCD_c"]),
        "other": (p["X_3q"] + p["X_4q"]) / (p["X_3q"] + p["X_4q"] + qcd),
    }
    for name, expected in of_jets.items():
        np.testing.assert_allclose(found[f"score_{name}_1"], expected[::2], rtol=1e-12)
        np.testing.assert_allclose(found[f"score_{name}_2"], expected[1::2], rtol=1e-12)
    for name, expected in p.items():
        np.testing.assert_allclose(found[f"share_{name}_omnilearned_2"], expected[1::2], rtol=1e-12)
        assert found[f"share_{name}_other_1"].tobytes() == found[f"share_{name}_omnilearned_1"].tobytes()
        assert found[f"prob_{name}_omnilearned_1"].tobytes() == found[f"share_{name}_omnilearned_1"].tobytes()
        assert f"prob_{name}_other_1" not in found
    # the same formula has the same bits, whoever's it is; they are those of the scorer alone
    assert found["score_same_1"].tobytes() == found["score_omnilearned_1"].tobytes()
    assert found["score_omnilearned_1"].tobytes() == SCORERS["omnilearned"].score(jets)[::2].tobytes()


def test_without_events_there_are_the_same_columns() -> None:
    some, _ = scored(some_jets([3, 4]))
    none, how = scored(None)
    assert [*none] == [*some]
    assert {values.shape for values in none.values()} == {(0,)}
    assert how == {}


def test_a_jet_without_constituents_has_the_score_0_and_no_shares() -> None:
    found, how = scored(some_jets([0, 4]))
    assert how["omnilearned"]["computed"] == 1
    assert [found[f"score_{name}_1"].tolist() for name in FIVE] == [[0.0]] * len(FIVE)
    assert np.isnan(found["share_X_bb_omnilearned_1"]).all()
    assert np.isfinite(found["share_X_bb_omnilearned_2"]).all()


@given(st.data())
def test_shares_are_sums_and_a_score_is_a_share_of_two_of_them(data: st.DataObject) -> None:
    """Any partition of a model's outputs into groups."""
    n = data.draw(st.integers(2, 8))
    groups = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(lambda g: len({*g}) > 1))
    logits = np.array(data.draw(st.lists(st.floats(-30, 30, width=32), min_size=n, max_size=n)), np.float32)[None]
    classes = {f"c{g}": tuple(i for i in range(n) if groups[i] == g) for g in sorted({*groups})}
    first, second = list(classes)[:2]
    card = with_classes(classes, n, {"formula": "paper", "signal": (first,), "qcd": (second,)})
    p = softmax(logits.astype(float), 1)[0]
    shares = dict(zip(classes, class_shares(logits, card)[0], strict=True))
    assert sum(shares.values()) == pytest.approx(1, rel=1e-12)
    for name, indices in classes.items():
        assert shares[name] == pytest.approx(p[list(indices)].sum(), rel=1e-12)
    expected = shares[first] / (shares[first] + shares[second])
    assert anomaly_score(logits, card)[0] == pytest.approx(expected, rel=1e-9)


def with_classes(classes: dict[str, Any], n: int, score: dict[str, Any] | None = None) -> ModelCard:
    first, second = list(classes)[:2]
    content = CARD.model_dump(mode="json") | {
        "output": {"name": "logits", "kind": "logits", "n_classes": n, "softmax": list(range(n))},
        "classes": {name: list(indices) for name, indices in classes.items()},
        "score": score or {"formula": "paper", "signal": [first], "qcd": [second]},
    }
    return ModelCard.model_validate(content)


def test_columns_have_the_names_of_classes() -> None:
    card = with_classes({"QCD": [0], "top": [1, 3], "X->bb": [2], "X bb": [4], "3 quarks": [5], "τ": [6], "B'": [7]}, 9)
    assert share_columns(card, "mine") == {
        "QCD": "share_QCD_mine",
        "top": "share_top_mine",
        # two that would have one name
        "X->bb": "share_X_bb_2_mine",
        "X bb": "share_X_bb_4_mine",
        "3 quarks": "share_class_3_quarks_mine",
        "τ": "share_class_mine",
        "B'": "share_B_mine",
    }
    assert list(probability_columns(card, "mine").values()) == [
        *("prob_QCD_mine", "prob_top_1_mine", "prob_X_bb_2_mine", "prob_top_3_mine", "prob_X_bb_4_mine"),
        *("prob_class_3_quarks_mine", "prob_class_mine", "prob_B_mine", "prob_8_mine"),
    ]


def of(**keys: Any) -> Any:
    return analyses.analysis(scores={**analyses.CONTENT["scores"], "x": {"of": "omnilearned", **keys}}).scores["x"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"signal": ["X_bbb"]}, r"^signal: the card .* has no class group 'X_bbb'; did you mean 'X_bb'"),
        ({"signal": ["X_bb"], "background": ["QCD"]}, r"^background: the card .* has no class group 'QCD'; did you"),
        ({"signal": ["X_bb", "QCD_b"]}, r"^signal: 'QCD_b' is a QCD class of the card .*list the 'background' without"),
    ],
)
def test_class_groups_that_do_not_fit_are_named(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(OddjetsError, match=message):
        formula_of(of(**keys), CARD)


def test_another_formula_than_the_papers_has_no_background_by_itself() -> None:
    card = with_classes({"a": [0], "b": [10]}, 12, {"formula": "authors-code", "class_offset": 0})
    with pytest.raises(OddjetsError, match=r"^background: needed, .* its class groups are a, b$"):
        formula_of(of(signal=["a"]), card)
    assert formula_of(of(signal=["a"], background=["b"]), card).signal == ("a",)


# ---- scores that are columns ------------------------------------------------------------------------------------------


def column_of(name: str) -> Any:
    return analyses.analysis(scores={"mine": {"column": name}}, threshold={"score": "mine", "value": 0.5})


def test_a_column_is_a_score_and_jets_without_a_number_are_counted() -> None:
    odd = np.array([0.5, np.nan, np.inf, np.nan], np.float32)
    table = {"pt_1": np.ones(4), "pt_2": np.array([1.0, 1.0, 1.0, np.nan]), "odd_1": np.arange(4.0), "odd_2": odd}
    anomalies: Counter[str] = Counter()
    found = scores_of_columns(column_of("odd"), table, anomalies)
    assert found["score_mine_1"].tolist() == [0, 1, 2, 3]
    assert found["score_mine_2"].tolist() == [0.5, 0, 0, 0]
    assert {values.dtype for values in found.values()} == {np.dtype(np.float64)}
    # where there is no second jet, nothing is missing
    assert anomalies["scores_not_finite"] == 2
    # a score that is there is not made again
    assert scores_of_columns(column_of("odd"), table | found, anomalies, last=True) == {}


def test_a_column_that_is_not_there_yet_may_come() -> None:
    table = {f"{name}_{j}": np.ones(2) for name in ("pt", "old", "score_x") for j in (1, 2)}
    assert scores_of_columns(column_of("odl"), table, Counter()) == {}
    message = "scores.mine.column: these events have no column 'odl_1'; did you mean 'old'"
    with pytest.raises(OddjetsError, match=message):
        scores_of_columns(column_of("odl"), table, Counter(), last=True)
    table |= {f"old_{j}": np.array(["a", "b"]) for j in (1, 2)}
    with pytest.raises(OddjetsError, match="'old_1' holds no numbers"):
        scores_of_columns(column_of("old"), table, Counter())


def useless(of_process: dict[str, Any]) -> str:
    """What is said of the values of 'odd' in the jets of some processes; "" if nothing."""
    asked = column_of("odd")
    found = {}
    for process, values in of_process.items():
        halves = np.array_split(np.asarray(values, float), 2)
        found[process] = process, values_of_columns(asked, dict(zip(("odd_1", "odd_2"), halves, strict=True)))
    try:
        refuse_useless_columns(asked, found)
    except OddjetsError as error:
        return str(error)
    return ""


SOME = np.linspace(0.1, 0.9, MIN_JETS)
NONE = np.full(MIN_JETS, np.nan)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data": SOME, "top": SOME}, ""),
        ({"data": np.full(MIN_JETS, 0.5), "top": SOME}, "is 0.5 for all 10 jets of 'data': a constant is no score"),
        ({"data": SOME, "top": np.full(MIN_JETS, 0.5)}, ""),
        ({"top": np.full(6, 0.5), "qcd": np.full(6, 0.5)}, "is 0.5 for all 12 jets: a constant is no score"),
        ({"data": np.full(MIN_JETS - 1, 0.5)}, ""),
        ({"data": SOME, "top": NONE}, "is NaN or infinite for all 10 jets of 'top'"),
        ({"data": np.concatenate([SOME, NONE])}, ""),
        ({"data": np.concatenate([SOME - 1, NONE])}, "is NaN or infinite for 10 jets and goes down to -0.9"),
        ({"data": SOME - 1}, ""),
        ({"data": []}, ""),
    ],
)
def test_columns_that_are_no_scores_are_refused(values: dict[str, Any], said: str) -> None:
    found = useless(values)
    assert found.startswith("scores.mine.column: 'odd' ") if said else found == ""
    assert said in found


TEAM = ("omnilearned_small_reduced_2.yaml", "omnilearned_small_reduced_3.yaml", "omnilearned_small_reduced_4.yaml")


def test_a_family_is_the_mean_of_its_members_log_odds() -> None:
    """Each member is scored by itself with scipy; the family's score is the mean, and its spread the standard deviation."""
    asked = analyses.analysis(scores={"team": {"family": TEAM}}, threshold={"score": "team", "efficiency": 0.1})
    cards = {f"team_member{i}": load_card(card) for i, card in enumerate(TEAM, 1)}
    jets = some_jets([12, 20, 0, 7, 0, 0])
    inference: dict[str, Any] = {}
    scorers = {name: Scorer(card, "cpu") for name, card in cards.items()}
    found = scores_of_models(asked, scorers, jets, None, Counter(), inference)
    expected = np.stack([scorer.score(jets) for scorer in scorers.values()])
    odds = np.log(expected / (1 - expected))
    for j in (1, 2):
        here = odds[:, j - 1 :: 2]
        full = np.isfinite(here).all(axis=0)
        np.testing.assert_allclose(
            found[f"score_team_{j}"][full], 1 / (1 + np.exp(-here.mean(axis=0)[full])), rtol=1e-12
        )
        np.testing.assert_allclose(found[f"spread_team_{j}"][full], here.std(axis=0, ddof=1)[full], rtol=1e-12)
        # a jet without constituents has no score
        assert not found[f"score_team_{j}"][~full].any()
        assert not found[f"spread_team_{j}"][~full].any()
        for i, name in enumerate(cards):
            np.testing.assert_array_equal(found[f"score_{name}_{j}"], np.nan_to_num(expected[i, j - 1 :: 2]))
    assert np.isnan(expected).any()
    assert found["spread_team_1"].max() > 0.01
    # members have no shares of classes of their own
    assert {*found} == {
        f"{stem}_{j}" for stem in ("score_team", "spread_team", *(f"score_{n}" for n in cards)) for j in (1, 2)
    }
    assert set(inference) == set(cards)


def test_no_events_have_the_columns_of_a_family() -> None:
    asked = analyses.analysis(scores={"team": {"family": TEAM}}, threshold={"score": "team", "efficiency": 0.1})
    scorers = {f"team_member{i}": Scorer(load_card(card), "cpu") for i, card in enumerate(TEAM, 1)}
    found = scores_of_models(asked, scorers, None, None, Counter(), {})
    assert found["spread_team_1"].shape == found["score_team_2"].shape == (0,)


def test_equal_members_have_no_spread_and_certain_scores_stay_in_order() -> None:
    certain = np.array([0.0, 1e-300, 0.5, 1 - 1e-12, 1.0])
    np.testing.assert_allclose(mean_score([certain, certain]), certain, atol=2e-16)
    assert not score_spread([certain, certain]).any()
    # the mean of scores would follow the least sure member
    low, sure, surest = (mean_score([np.array([s]), np.array([0.9])])[0] for s in (0.99, 0.999, 0.9999))
    assert low < sure < surest
    assert sure - 0.9495 > 0.03
