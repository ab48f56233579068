"""Autoencoders trained with PyTorch, alone and decorrelated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from oddjets.core.errors import OddjetsError
from oddjets.learning.autoencoder import AutoencoderSettings, AutoencoderTrainer, fit_together
from oddjets.learning.distance_correlation import distance_correlation_of
from oddjets.learning.double_autoencoder import OF_EVENTS, DoubleAutoencoder
from oddjets.stats.divergence import distance_correlation

SHORT = AutoencoderSettings(hidden=12, bottleneck=2, most_epochs=12, batch=128)


@pytest.fixture(scope="module")
def torch() -> Any:
    module = pytest.importorskip("torch", reason="needs torch: pip install 'oddjets[train]'")
    module.set_num_threads(1)
    return module


def on_a_plane(n: int, seed: int = 0, columns: int = 6) -> np.ndarray:
    """Normal variables that are sums of two, with a little noise: what two nodes can copy."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2)) @ np.random.default_rng(9).normal(size=(2, columns))
    return np.asarray(x + 0.1 * random.normal(size=x.shape), np.float32)


def test_the_distance_correlation_is_that_of_numpy_and_has_its_derivatives(torch: Any):
    random = np.random.default_rng(1)
    x = random.normal(size=200)
    for y in (random.normal(size=200), x**2 + random.normal(size=200), x):
        found = distance_correlation_of(torch.from_numpy(x), torch.from_numpy(np.array(y)))
        assert float(found) == pytest.approx(distance_correlation(x, y).squared, abs=1e-12)
    given = [torch.from_numpy(random.normal(size=15)).requires_grad_() for _ in range(2)]
    assert torch.autograd.gradcheck(distance_correlation_of, given)
    with pytest.raises(ValueError, match="needs 10 jets, not 3"):
        distance_correlation_of(*(torch.zeros(3),) * 2)
    # without any spread it is 0, and so are its derivatives
    flat = torch.ones(20, dtype=torch.float64, requires_grad=True)
    value = distance_correlation_of(flat, torch.arange(20.0, dtype=torch.float64))
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_the_distance_correlation_of_normal_variables_is_the_known_one(rho: float):
    """G. J. Szekely, M. L. Rizzo, N. K. Bakirov, Ann. Stat. 35 (2007) 2769, theorem 7."""
    x, y = np.random.default_rng(2).multivariate_normal([0, 0], [[1, rho], [rho, 1]], 3000).T
    above = rho * np.arcsin(rho) + np.sqrt(1 - rho**2) - rho * np.arcsin(rho / 2) - np.sqrt(4 - rho**2) + 1
    assert distance_correlation(x, y).squared == pytest.approx(above / (1 + np.pi / 3 - np.sqrt(3)), abs=0.025)


def test_a_network_copies_as_one_of_pytorch(torch: Any):
    x = on_a_plane(1000).astype(np.float64)
    (network,) = fit_together(x[:800], x[800:], 1, 0.0, SHORT, np.random.default_rng(1))
    layers: list[Any] = []
    for weights, bias in zip(network.weights, network.biases, strict=True):
        linear = torch.nn.Linear(*weights.shape, dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.from_numpy(weights.T.copy()), torch.from_numpy(bias)
        layers += [linear, torch.nn.Tanh()]
    with torch.no_grad():
        copies = torch.nn.Sequential(*layers[:-1])(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(network.copies(x), copies, rtol=0, atol=1e-12)
    np.testing.assert_allclose(network.error(x), ((x - copies) ** 2).mean(axis=1), rtol=0, atol=1e-12)


def test_what_is_off_the_plane_is_odd_and_a_seed_gives_the_same_bits(torch: Any):
    x = on_a_plane(3000)
    labels, events = np.zeros(3000, np.int8), np.arange(3000) // 2
    trainer = AutoencoderTrainer(members=2, settings=replace(SHORT, most_epochs=30))
    model = trainer(x, labels, events, 3)
    mixed = np.random.default_rng(5).permuted(on_a_plane(500, seed=4), axis=0)
    inside, outside = model.logit(on_a_plane(500, seed=4)), model.logit(mixed)
    assert np.median(inside) < 0.2 * np.median(outside)
    # the bits do not depend on what else draws random numbers, or computes
    torch.manual_seed(7)
    again = trainer(x, labels, events, 3)
    assert again.member_logits(x).tobytes() == model.member_logits(x).tobytes()
    assert not np.array_equal(*model.member_logits(x))


def test_training_stops_where_the_held_out_loss_is_least(torch: Any):
    """Few jets to learn by heart: what is kept is the best state, not the last."""
    random = np.random.default_rng(0)
    x, held_out = random.normal(size=(400, 8)), random.normal(size=(400, 8))
    settings = replace(SHORT, batch=50, hidden=60, bottleneck=6, rate=2e-2, least_jets=100)
    losses = []
    for most in (10, 60, 400):
        (network,) = fit_together(
            x, held_out, 1, 0.0, replace(settings, most_epochs=most, patience=15), np.random.default_rng(1)
        )
        losses.append(network.error(held_out).mean())
    assert losses[0] >= losses[1] >= losses[2]
    (last,) = fit_together(x, x, 1, 0.0, replace(settings, most_epochs=400), np.random.default_rng(1))
    assert last.error(held_out).mean() > losses[2]


def test_decorrelated_errors_have_less_in_common(torch: Any):
    """Events with a scale of their own: two networks that know nothing of each other fail on the same ones."""
    random = np.random.default_rng(3)
    x = random.normal(size=(3000, 8)) * random.gamma(4, 0.25, size=(3000, 1))
    folds = (np.arange(3000) % 2).astype(np.int8)
    settings = replace(OF_EVENTS, most_epochs=15)
    squared = []
    for weight in (0.0, 30.0):
        made = DoubleAutoencoder.train(x, folds, n_folds=2, decorrelation=weight, settings=settings)
        scores = made.scores(x, folds)
        assert np.quantile(scores, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
        assert made.mean_scores(x).shape == (3000, 2)
        squared.append(distance_correlation(*scores.T).squared)
    assert squared[0] > 0.2
    assert squared[1] < 0.2 * squared[0]


def test_what_an_autoencoder_cannot_learn_is_refused(torch: Any):
    x = on_a_plane(1000).astype(np.float64)
    random = np.random.default_rng(1)
    for values, held_out, settings, said in (
        (x[:, :2], x[:, :2], SHORT, "of 2 columns with a bottleneck of 2 copies every jet"),
        (x[:300], x, SHORT, "has 300 jets to train on"),
        (x, x[:50], SHORT, "50 held out, and needs 400 and 100"),
        (x, x, replace(SHORT, rate=1e300), "diverges: take a smaller rate"),
    ):
        with pytest.raises(OddjetsError, match=said):
            fit_together(values, held_out, 1, 0.0, settings, random)
