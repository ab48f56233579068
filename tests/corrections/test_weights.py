"""Event weights: products and ratios written out, in every bit; nothing that goes in is changed."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.analyses import analysis

from oddjets.config.systematics import CorrectionSpec
from oddjets.core.errors import OddjetsError
from oddjets.corrections import generator_weights
from oddjets.corrections.generator_weights import RelativeWeights
from oddjets.corrections.lookups import Era
from oddjets.corrections.systematics import variations_of, with_defaults
from oddjets.corrections.weights import ChunkColumns, event_weights

N = 4000


def spec(name):
    return CorrectionSpec(nominal=f"{name}_nominal", up=f"{name}_up", down=f"{name}_down")


ERA = Era(
    name="x",
    corrections={
        # the second's name ends in a direction; the third has no nominal weight; the last is one number
        "pu": spec("pu"),
        "pileUp": spec("pileUp"),
        "own": CorrectionSpec(nominal=None, up="own_up", down="own_down"),
        "k_factor": CorrectionSpec(nominal="61526.7 / 50380"),
    },
)


@pytest.fixture
def columns():
    rng = np.random.default_rng(3)
    names = [f"{name}_{d}" for name in ("pu", "pileUp", "own") for d in ("nominal", "up", "down")]
    return {name: rng.lognormal(0, 0.5, N) for name in names}


@pytest.fixture
def generator():
    return np.random.default_rng(4).normal(size=N) * 50


def weights_of(columns, generator, systematics, anomalies=None, **metadata):
    asked = analysis(systematics=systematics)
    listed = tuple(with_defaults(s, moves_jets=s.name == "jes") for s in asked.systematics)
    asked = asked.model_copy(update={"systematics": listed})
    chunk = ChunkColumns(columns, SimpleNamespace(metadata=metadata), np.arange(N))
    variations = variations_of(asked, "top", is_data=False)
    return event_weights(
        asked, ERA, Path(), chunk, generator, variations, Counter() if anomalies is None else anomalies
    )


def assert_same_bits(found, expected):
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name].view(np.uint64), values.view(np.uint64), err_msg=name)


def test_weights_are_products_and_variations_ratios(columns, generator):
    found = weights_of(columns, generator, ["jes", "pu", "pileUp", "own"], weights=["k_factor"])
    nominal = generator * (61526.7 / 50380) * columns["pu_nominal"] * columns["pileUp_nominal"]
    expected = {"weight": nominal}
    for name in ("pu", "pileUp"):
        for direction in ("Up", "Down"):
            ratio = columns[f"{name}_{direction.lower()}"] / columns[f"{name}_nominal"]
            expected[f"weight__{name}{direction}"] = nominal * ratio
    expected |= {f"weight__own{d}": nominal * columns[f"own_{d.lower()}"] for d in ("Up", "Down")}
    assert_same_bits(found, expected)


def test_what_goes_in_is_not_changed(columns, generator):
    before, weights_before = {name: values.copy() for name, values in columns.items()}, generator.copy()
    weights_of(columns, generator, ["pu", "pileUp", "own"], weights=["k_factor"])
    assert_same_bits(columns, before)
    np.testing.assert_array_equal(generator, weights_before)


@pytest.mark.parametrize("varied", [0.0, 2.0, np.inf, np.nan])
def test_where_the_nominal_correction_is_zero_every_weight_is(columns, generator, varied):
    columns["pu_nominal"][:10], columns["pu_up"][:10] = 0.0, varied
    found = weights_of(columns, generator, ["pu", "own"])
    assert all((values[:10] == 0).all() and (values[10:] != 0).all() for values in found.values())


def test_members_of_an_envelope_and_a_generator_without_weights(columns, generator, monkeypatch):
    members = np.random.default_rng(5).lognormal(0, 0.2, (6, N))
    every, some = np.ones(N, dtype=bool), np.arange(N) < 10
    known = {
        "scale": lambda direction: RelativeWeights(members[int(direction)], every, Counter()),
        "isr": lambda direction: RelativeWeights(np.ones(N), ~every, Counter(of_44_weights=N)),
        "fsr": lambda direction: RelativeWeights(np.where(some, 2.0, 1.0), some, Counter()),
    }
    for name, weight in known.items():
        monkeypatch.setitem(
            generator_weights.GENERATOR_SYSTEMATICS, name, lambda events, rows, d, weight=weight: weight(d)
        )
    anomalies = Counter()
    found = weights_of(columns, generator, ["scale", "isr", "fsr"], anomalies)
    expected = {"weight": generator} | {f"weight__scale{i}": generator * members[i] for i in range(6)}
    doubled = np.where(some, 2 * generator, generator)
    expected |= {"weight__isrUp": generator, "weight__isrDown": generator}
    assert_same_bits(found, expected | {"weight__fsrUp": doubled, "weight__fsrDown": doubled})
    assert anomalies == {"without_isr": N, "isr_of_44_weights": N, "without_fsr": N - 10}


def test_a_weight_that_the_era_lacks_is_named(columns, generator):
    with pytest.raises(OddjetsError, match=r"era 'x' has no weight 'k_faktor'.*'k_factor'"):
        weights_of(columns, generator, [], weights=["k_faktor"])
