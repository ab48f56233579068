"""Outliers by mixtures and autoencoders: what they compute, and their ONNX graphs; nothing here needs PyTorch."""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers.made_pairs import made_pairs
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from oddjets.core.errors import OddjetsError
from oddjets.learning.autoencoder import Autoencoder, AutoencoderModel, AutoencoderTrainer
from oddjets.learning.folded import FoldedScore
from oddjets.learning.mixture import MixtureTrainer
from oddjets.learning.model import FoldModel
from oddjets.learning.normal_columns import LARGEST, NormalColumns
from oddjets.learning.trees import model_of

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'oddjets[learn]'")
pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'oddjets[learn]'")
onnxruntime = pytest.importorskip("onnxruntime")

QUICK = MixtureTrainer(members=2, components=3)


def odd_columns(n: int = 4000, seed: int = 0) -> NDArray[np.float32]:
    """A long tail, whole numbers, a column with values missing, and two that depend on each other."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 5))
    x[:, 0] = np.exp(3 * x[:, 0])
    x[:, 1] = np.rint(3 * x[:, 1])
    x[:, 3] += 2 * x[:, 4] ** 2
    x[random.random(n) < 0.1, 2] = np.nan
    return x.astype(np.float32)


def trained(trainer: Any, x: NDArray[np.float32], seed: int = 1) -> FoldModel:
    n = len(x)
    found: FoldModel = trainer(x, np.zeros(n, np.int8), np.arange(n) // 2, seed)
    return found


def by_graph(model: FoldModel, x: NDArray[np.float32]) -> NDArray[np.float32]:
    part = model.graph("columns", "output", "fold0_")
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        part.nodes,
        "outliers",
        [onnx.helper.make_tensor_value_info("columns", kind, ["batch", x.shape[1]])],
        [onnx.helper.make_tensor_value_info("output", kind, ["batch", 1])],
        part.constants,
    )
    made = model_of(graph)
    onnx.checker.check_model(made, full_check=True)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    together: NDArray[np.float32] = session.run(None, {"columns": x})[0][:, 0]
    alone = [session.run(None, {"columns": x[i : i + 1]})[0][0, 0] for i in range(20)]
    assert np.array(alone).tobytes() == together[:20].tobytes()
    return together


def random_autoencoders(x: NDArray[np.float32]) -> AutoencoderModel:
    random = np.random.default_rng(3)
    sizes = (x.shape[1], 7, 2, 7, x.shape[1])
    pairs = list(pairwise(sizes))
    members = [
        Autoencoder(tuple(random.normal(size=pair) for pair in pairs), tuple(random.normal(size=b) for _, b in pairs))
        for _ in range(2)
    ]
    return AutoencoderModel(NormalColumns.of(x), members)


def test_columns_become_normal_whatever_they_were():
    x = odd_columns()
    transform = NormalColumns.of(x)
    z = transform(x)
    for column in (0, 2, 3, 4):
        known = ~np.isnan(x[:, column])
        found = np.quantile(z[known, column], [0.02, 0.16, 0.5, 0.84, 0.98])
        assert found == pytest.approx(ndtri([0.02, 0.16, 0.5, 0.84, 0.98]), abs=0.02)
    # each whole number has one value, which is the mean normal variable of its jets, but for the knots' distance
    for number in (-3, 0, 3):
        at = x[:, 1] == number
        ranks = (np.flatnonzero(np.isin(np.argsort(x[:, 1], kind="stable"), np.flatnonzero(at))) + 0.5) / len(x)
        assert z[at, 1] == pytest.approx(ndtri(ranks).mean(), abs=0.06)
        assert len(np.unique(z[at, 1])) == 1
    assert np.all(z[np.isnan(x[:, 2]), 2] == 0)
    # rising, beyond the jets of the training too, as far as the largest
    line = np.repeat(np.linspace(-60, 60, 500, dtype=np.float32)[:, None], 5, axis=1)
    assert np.all(np.diff(transform(line), axis=0) >= 0)
    far = transform(np.array([[-1e30] * 5, [1e30] * 5], np.float32))
    assert np.all(far[1] == LARGEST)
    assert np.all(far[0] == -LARGEST)


def test_a_mixture_is_that_of_scikit_learn(monkeypatch: pytest.MonkeyPatch):
    import sklearn.mixture

    kept = []

    class Keeping(sklearn.mixture.GaussianMixture):
        def fit(self, *given: Any) -> Any:
            kept.append(self)
            return super().fit(*given)

    monkeypatch.setattr(sklearn.mixture, "GaussianMixture", Keeping)
    x = odd_columns()
    model = trained(QUICK, x)
    z = NormalColumns.of(x)(x)
    assert len(kept) == 2
    for member, found in zip(kept, model.member_logits(x), strict=True):
        np.testing.assert_allclose(found, -member.score_samples(z), rtol=0, atol=1e-10)
    np.testing.assert_allclose(model.logit(x), model.member_logits(x).mean(axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(by_graph(model, x), model.logit(x), rtol=0, atol=1e-5)


def test_of_one_component_the_score_is_the_density_of_a_normal_distribution():
    x = odd_columns()
    z = NormalColumns.of(x)(x)
    model = trained(MixtureTrainer(members=1, components=1, part=1.0, least_variance=0.0), x)
    exact = multivariate_normal(z.mean(axis=0), np.cov(z.T, bias=True)).logpdf(z)
    np.testing.assert_allclose(model.logit(x), -exact, rtol=1e-9)


@pytest.mark.parametrize("make", [lambda x: trained(QUICK, x), random_autoencoders], ids=["mixture", "autoencoder"])
def test_graphs_take_what_is_missing_or_far_away(make: Any):
    x = odd_columns()
    model = make(x)
    strange = odd_columns(200, seed=5)
    strange[::7] = np.nan
    strange[1::7, 1] = 1e30
    strange[2::7, 3] = -1e30
    found, expected = by_graph(model, strange), model.logit(strange)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_error_of_an_autoencoder_is_that_of_a_slow_computation():
    x = odd_columns(50)
    model = random_autoencoders(x)
    values = NormalColumns.of(x)(x)
    for row in (0, 31):
        for member, found in zip(model.members, model.member_logits(x)[:, row], strict=True):
            at = list(values[row])
            for layer, (weights, bias) in enumerate(zip(member.weights, member.biases, strict=True)):
                at = [np.tanh(number) for number in at] if layer else at
                at = [sum(at[i] * weights[i, j] for i in range(len(at))) + bias[j] for j in range(len(bias))]
            expected = sum((a - b) ** 2 for a, b in zip(at, values[row], strict=True)) / len(at)
            assert found == pytest.approx(expected, rel=1e-12)


def test_folds_of_mixtures_find_what_is_odd_although_it_is_in_the_training():
    """Both jets of 2 % of the events are 1.5 standard deviations off in two columns of four."""
    pairs = made_pairs(6000)
    means = []
    for kept in (np.ones(6000, np.bool_), ~pairs.is_signal):
        score = FoldedScore.train(pairs.features[kept], pairs.folds[kept], QUICK)
        means.append(score.mean_scores(pairs.features)[pairs.is_signal].mean())
    # of jets like all others it would be 0.5 +- 0.02
    assert means[0] > 0.65
    assert means[1] == pytest.approx(means[0], abs=0.03)
    background = ~pairs.is_signal
    high = FoldedScore.train(pairs.features, pairs.folds, QUICK).scores(pairs.features, pairs.folds)[background] >= 0.9
    a, b, c, d = (np.count_nonzero((high == pattern).all(axis=1)) for pattern in ([1, 1], [0, 1], [1, 0], [0, 0]))
    assert a * d / (b * c) == pytest.approx(1, abs=4 * np.sqrt(1 / a + 1 / b + 1 / c))


def test_a_seed_gives_the_same_bits_again_and_members_differ():
    x = odd_columns(2000)
    first, second, other = (trained(QUICK, x, seed).member_logits(x) for seed in (4, 4, 5))
    assert first.tobytes() == second.tobytes()
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], first[1])


def test_what_nothing_can_be_learnt_from_is_refused(monkeypatch: pytest.MonkeyPatch):
    x = odd_columns(1000)
    same, empty = x.copy(), x.copy()
    same[:, 3], empty[:600, 4] = 7.0, np.nan
    for features, said in (
        (same, "column 4 of 5 has the value 7 for nearly all jets"),
        (empty, "column 5 of 5 has a value for 400 of 1000 jets"),
        (x[:299], "has 299 jets, and needs 100 for each"),
    ):
        with pytest.raises(OddjetsError, match=said):
            trained(QUICK, features)
    import sklearn.mixture

    class Wandering(sklearn.mixture.GaussianMixture):
        def fit(self, *given: Any) -> Any:
            self.max_iter, self.tol = 1, 0.0
            return super().fit(*given)

    monkeypatch.setattr(sklearn.mixture, "GaussianMixture", Wandering)
    with pytest.raises(OddjetsError, match="does not converge on"):
        trained(QUICK, x)


def test_an_autoencoder_without_pytorch_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    """And no other method takes its place."""
    real = importlib.import_module

    def absent(name: str) -> Any:
        if name == "torch":
            raise ImportError(name, name=name)
        return real(name)

    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(OddjetsError, match=r"this needs torch: pip install 'oddjets\[train\]'"):
        trained(AutoencoderTrainer(members=1), odd_columns())
