"""The files of a learnt score: the graph gives the scores of the training, and its own events are known again."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import yaml
from helpers.made_pairs import MadePairs, made_pairs

from oddjets.core.errors import OddjetsError
from oddjets.learning.boosted import BoostedTrainer
from oddjets.learning.card import LearntFiles, LearntFrom, write_learnt
from oddjets.learning.cdf import ScoreCdf
from oddjets.learning.closure import pair_closure
from oddjets.learning.folded import FoldedScore
from oddjets.learning.labels import tag_n_train
from oddjets.learning.trees import model_of
from oddjets.scoring.column_scorer import ColumnScorer
from oddjets.scoring.model_card import load_card
from oddjets.selection.column_scores import column_scores

pytest.importorskip("onnx", reason="needs onnx: pip install 'oddjets[learn]'")

COLUMNS = ["tau1", "tau2", "tau3", "tau4"]


@pytest.fixture(scope="module")
def pairs() -> MadePairs:
    return made_pairs(4000)


@pytest.fixture(scope="module")
def score(pairs) -> FoldedScore:
    labels = tag_n_train(pairs.seed, pairs.pt)
    return FoldedScore.train(pairs.features, pairs.folds, BoostedTrainer(members=2, most_trees=50), labels, workers=2)


@pytest.fixture
def about(pairs, score) -> LearntFrom:
    agreement = score.agreement(pairs.features, pairs.folds)
    return LearntFrom("toy", "toys", "tag-n-train", "made pairs", COLUMNS, 2, pairs.hashes, agreement, "seed")


@pytest.fixture
def files(tmp_path, pairs, score, about) -> LearntFiles:
    return write_learnt(tmp_path / "learnt", score, pairs.features.reshape(-1, 4), about)


def jets_of(pairs: MadePairs, jet: int) -> dict:
    return {column: pairs.features[:, jet, i] for i, column in enumerate(COLUMNS)}


def test_the_graph_gives_each_jet_the_score_of_the_model_that_did_not_see_it(pairs, score, files):
    scorer = ColumnScorer(load_card(files.card))
    expected = score.scores(pairs.features, pairs.folds)
    for jet in (0, 1):
        found = scorer.score(jets_of(pairs, jet), pairs.hashes)
        assert found == pytest.approx(expected[:, jet], abs=1e-5)
        assert np.median(np.abs(found - expected[:, jet])) < 1e-7
    other = made_pairs(300, seed=5)
    mean = scorer.score(jets_of(other, 0), unseen=True)
    assert mean == pytest.approx(score.mean_scores(other.features)[:, 0], abs=1e-5)
    # one by one and in batches, to the bit
    alone = [scorer.score({k: v[i : i + 1] for k, v in jets_of(other, 0).items()}, unseen=True)[0] for i in range(20)]
    assert np.array_equal(mean[:20], alone)


def test_raw_scores_of_the_graph_differ_by_rounding(pairs, score):
    import onnxruntime
    from onnx import TensorProto, helper

    part = score.models[0].graph("columns", "raw", "m_")
    graph = helper.make_graph(
        part.nodes,
        "raw",
        [helper.make_tensor_value_info("columns", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("raw", TensorProto.FLOAT, ["batch", 1])],
        part.constants,
    )
    session = onnxruntime.InferenceSession(model_of(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    x = pairs.features.reshape(-1, 4)
    assert np.abs(session.run(None, {"columns": x})[0][:, 0] - score.models[0].logit(x)).max() < 4e-7


def test_the_processor_gives_data_their_fold_and_simulation_the_mean(pairs, score, files):
    columns = {f"{c}_{j}": pairs.features[:, j - 1, i] for j in (1, 2) for i, c in enumerate(COLUMNS)}
    number = np.arange(4000)
    columns |= {"run": np.ones(4000, int), "luminosityBlock": number // 100, "event": number}
    scorers = {"learnt": ColumnScorer(load_card(files.card))}
    data = column_scores(scorers, columns, Counter(), {}, is_data=True)
    simulation = column_scores(scorers, columns, Counter(), {}, is_data=False)
    for j in (1, 2):
        assert data[f"score_learnt_{j}"] == pytest.approx(score.scores(pairs.features, pairs.folds)[:, j - 1], abs=1e-5)
        assert simulation[f"score_learnt_{j}"] == pytest.approx(score.mean_scores(pairs.features)[:, j - 1], abs=1e-5)


@pytest.mark.fault("a learnt score is asked for its own training events", "is refused, with the number of jets.")
def test_events_of_the_training_get_no_mean_over_the_folds(pairs, files):
    scorer = ColumnScorer(load_card(files.card))
    with pytest.raises(OddjetsError, match="was learnt from data, fold by fold: give the hashes"):
        scorer.score(jets_of(pairs, 0))
    half = np.where(np.arange(4000) < 1500, pairs.hashes, np.uint64(7))
    with pytest.raises(OddjetsError, match="1500 of 4000 jets are of events that the model toy was trained on"):
        scorer.score(jets_of(pairs, 0), half, unseen=True)
    assert len(scorer.score(jets_of(pairs, 0), np.full(4000, 7, np.uint64), unseen=True)) == 4000


@pytest.mark.fault("the members of a learnt ensemble disagree", "is refused, no card is written.")
def test_members_that_disagree_make_no_card(tmp_path, pairs, score, about):
    with pytest.raises(OddjetsError, match=r"the rank correlation of two is 0.11, and has to be 0.20"):
        write_learnt(tmp_path, score, pairs.features.reshape(-1, 4), replace(about, agreement=0.11))
    assert list(tmp_path.iterdir()) == []
    # nor is one of an earlier training lost
    (tmp_path / "card.yaml").touch()
    with pytest.raises(OddjetsError, match="disagree"):
        write_learnt(tmp_path, score, pairs.features.reshape(-1, 4), replace(about, agreement=0.11))
    assert (tmp_path / "card.yaml").exists()


def test_a_card_that_lies_about_its_folds_or_events_is_refused(files):
    content = yaml.safe_load(files.card.read_text())
    for change, said in (
        ({"learnt": content["learnt"] | {"folds": 4}}, "4 folds, and the output has 5 columns"),
        ({"trained_on_labelled": []}, "names 'data'"),
        ({"score": {"formula": "softmax"}}, "are folds, and no classes"),
    ):
        files.card.write_text(yaml.safe_dump(content | change))
        with pytest.raises(OddjetsError, match=said):
            load_card(files.card)
    files.card.write_text(yaml.safe_dump(content))
    files.events.write_bytes(files.events.read_bytes()[:-8])
    with pytest.raises(OddjetsError, match="was changed or cut short"):
        load_card(files.card)


def test_a_distribution_as_a_graph_is_the_same_function():
    import onnxruntime
    from onnx import TensorProto, helper

    random = np.random.default_rng(4)
    for values in (random.normal(size=5000), np.repeat([-1.0, 0.5, 3.0], [20, 30, 50]), np.array([0.0, 1.0])):
        cdf = ScoreCdf.of(values)
        part = cdf.graph("raw", "level", "x_")
        ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["batch", 1]) for name in ("raw", "level")]
        graph = helper.make_graph(part.nodes, "cdf", ends[:1], ends[1:], part.constants)
        session = onnxruntime.InferenceSession(model_of(graph).SerializeToString(), providers=["CPUExecutionProvider"])
        at = np.concatenate([np.linspace(-9, 9, 4001), cdf.knots])[:, None]
        assert session.run(None, {"raw": at})[0] == pytest.approx(cdf(at), abs=1e-14)


def test_jets_that_know_nothing_of_each_other_close_where_no_model_saw_them():
    """What a model learns by heart of the two jets of an event fakes a correlation of them: scored by its own model."""
    pairs = made_pairs(8000, signal=0.0, seed=11)
    labels = tag_n_train(pairs.seed, pairs.pt)
    # many leaves, so that a few thousand jets are learnt by heart
    trainer = BoostedTrainer(members=2, leaves=16, least_jets=5, rate=0.1, most_trees=80, patience=80)
    score = FoldedScore.train(pairs.features, pairs.folds, trainer, labels)
    random = np.random.default_rng(1)
    closed = pair_closure(score.scores(pairs.features, pairs.folds), pairs.folds, random)
    assert closed.ratio == pytest.approx(1, abs=3.5 * closed.spread)
    assert closed.permuted == pytest.approx(1, abs=0.05)
    assert closed.share == pytest.approx(0.05, abs=0.005)
    used = labels >= 0
    events = np.broadcast_to(np.arange(8000)[:, None], used.shape)
    own = trainer(pairs.features[used], labels[used], events[used], 1)
    in_sample = own.logit(pairs.features.reshape(-1, 4)).reshape(-1, 2)
    seen = pair_closure(in_sample, np.zeros(8000, np.int8), random)
    assert seen.ratio > 1.4 > 1 + 1.5 * seen.spread
