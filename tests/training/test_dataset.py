"""Training jets: a fixed sequence that can be interrupted, the processors' features, and no known particle."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("h5py", reason="needs h5py: pip install 'oddjets[train]'")
pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")

import h5py

from oddjets.scoring.inputs import gather_constituents, prepare, take_constituents
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.jets import build_fat_jets
from oddjets.simulation.reconstruction import reconstruct
from oddjets.training.class_labels import CLASSES, KNOWN, QCD, SIGNAL
from oddjets.training.dataset.generate import generate, shard_sequence
from oddjets.training.dataset.processes import HELD_OUT, RECIPES, TRAINING, recipe_names
from oddjets.training.dataset.reconstruction import CARD, INFO, MIN_MASS, MIN_PT, TrainingJets, reconstruct_jets
from oddjets.training.dataset.shards import TABLES, Shard, count_jets, events_of
from oddjets.training.dataset.truth_labels import match_resonances

#: jets of more than one small shard
FEW = 10
Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module", autouse=True)
def small_recipes() -> Iterator[None]:
    """Shards of a few jets."""
    with pytest.MonkeyPatch.context() as patch:
        for name, recipe in RECIPES.items():
            patch.setitem(RECIPES, name, recipe._replace(tries=10, jets=8))
        yield


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first shards of seed 1."""
    folder = tmp_path_factory.mktemp("jets")
    generate(folder, FEW, workers=1)
    return folder


class Made(NamedTuple):
    """What one shard was made of and became; all its events are in one batch."""

    shard: Shard
    batch: GeneratedBatch
    jets: TrainingJets


@pytest.fixture(scope="module")
def of_all_training(generated: Path) -> dict[str, Made]:
    """A small shard of each recipe of the training."""
    result = {}
    for index, name in enumerate(TRAINING):
        shard = Shard(1000 + index, name, 5, False)
        (batch,) = events_of(shard, generated / TABLES, 24)
        result[name] = Made(shard, batch, reconstruct_jets(batch, RECIPES[name].labels, shard.rng(), 0))
    return result


def read(path: Path) -> Arrays:
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file}


def column(jets: TrainingJets, name: str) -> npt.NDArray[np.float64]:
    return jets.info[:, INFO.index(name)]


@pytest.mark.parametrize("shares", [TRAINING, HELD_OUT], ids=["training", "held-out"])
def test_every_beginning_of_the_sequence_has_the_shares(shares: dict[str, float]) -> None:
    names = list(itertools.islice(recipe_names(shares), 500))
    for n in range(1, 501):
        for name, share in shares.items():
            assert abs(names[:n].count(name) - n * share / sum(shares.values())) < 1.5


def test_more_jets_are_the_same_and_some_more(generated: Path) -> None:
    few = generate(generated, 1, workers=1)
    before = {path: path.stat().st_mtime_ns for path in (generated / "shards").iterdir()}
    some = generate(generated, FEW, workers=1)
    assert few == some[: len(few)]
    assert len(few) < len(some)
    assert before == {path: path.stat().st_mtime_ns for path in (generated / "shards").iterdir()}
    assert sum(len(read(path)["pid"]) for path in some[:-1]) < FEW <= sum(len(read(path)["pid"]) for path in some)
    assert [path.name for path in some] == [s.name for s in itertools.islice(shard_sequence(1, False), len(some))]


def test_an_interrupted_generation_goes_on_to_the_same_jets(generated: Path, tmp_path: Path) -> None:
    whole = generate(generated, FEW, workers=1)
    shutil.copytree(generated, tmp_path, dirs_exist_ok=True)
    missing, damaged = (tmp_path / "shards" / path.name for path in whole[:2])
    missing.rename(missing.with_name(missing.name + ".tmp"))
    damaged.write_bytes(damaged.read_bytes()[:1000])
    for path, again in zip(whole, generate(tmp_path, FEW, workers=1), strict=True):
        expected, found = read(path), read(again)
        assert expected.keys() == found.keys() == {"data", "pid", "global", "info"}
        for name in expected:
            np.testing.assert_array_equal(expected[name], found[name])


def test_shards_of_other_settings_are_made_again(generated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = generate(generated, 1, workers=1)
    shard = next(shard_sequence(1, False))
    assert count_jets(shard, path.parent) == len(read(path)["pid"])
    monkeypatch.setitem(RECIPES, shard.recipe, RECIPES[shard.recipe]._replace(tries=13))
    assert count_jets(shard, path.parent) is None


def test_held_out_jets_have_other_seeds_for_any_seed() -> None:
    def seeds(held_out: bool) -> list[int]:
        return [s.pythia_seed for seed in range(5) for s in itertools.islice(shard_sequence(seed, held_out), 300)]

    training, held_out = seeds(False), seeds(True)
    assert len(set(training)) == len(training) == len(set(held_out)) == 1500
    assert not set(training) & set(held_out)
    assert min(training + held_out) >= 1
    assert max(training + held_out) <= 900_000_000


def test_files_are_in_the_layout_of_omnilearned(generated: Path) -> None:
    content = read(generate(generated, 1, workers=1)[0])
    n = len(content["pid"])
    assert content["data"].shape == (n, 150, 9)
    assert content["data"].dtype == np.float32
    info = dict(zip(INFO, content["info"].T, strict=True))
    real = content["data"][:, :, 2] != 0
    np.testing.assert_array_equal(real.sum(axis=1), np.minimum(info["n_constituents"], 150))
    np.testing.assert_array_equal(content["pid"], info["label"])
    assert not content["data"][~real].any()
    assert set(np.unique(content["data"][:, :, 4])) <= set(range(9))
    # the constituents' momenta add up to the jet's
    pt, phi = np.where(real, np.exp(content["data"][:, :, 2].astype(float)), 0), content["data"][:, :, 1].astype(float)
    total = np.hypot((pt * np.cos(phi)).sum(axis=1), (pt * np.sin(phi)).sum(axis=1))
    np.testing.assert_allclose(total, info["pt"], rtol=2e-3)


def test_features_are_those_that_scoring_prepares_from_files(of_all_training: dict[str, Made]) -> None:
    """The same events through the simulation of PFNano files, and the way that a processor takes."""
    shard, batch, jets = of_all_training["qcd"]
    events = reconstruct(batch, shard.rng(), is_data=False)
    flat = {
        name: ak.to_numpy(ak.flatten(events.FatJet[name]))
        for name in ("pt", "eta", "phi", "msoftdrop", "tau1", "tau2", "tau3", "tau4", "nConstituents")
    }
    place = ak.to_numpy(ak.flatten(ak.local_index(events.FatJet.pt)))
    row = np.repeat(np.arange(len(events)), ak.to_numpy(ak.num(events.FatJet)))
    compared = 0
    for jet, features in zip(jets.info, jets.data, strict=True):
        wanted = dict(zip(INFO, jet, strict=True))
        same = np.flatnonzero((flat["pt"] == wanted["pt"]) & (flat["eta"] == wanted["eta"]))
        if len(same) == 0:  # its event has no second jet above 300 GeV, and is not written
            continue
        for name in ("phi", "msoftdrop", "tau1", "tau2", "tau3", "tau4"):
            assert flat[name][same[0]] == wanted[name]
        index = gather_constituents(
            jet_index=ak.to_numpy(ak.flatten(events.FatJetPFCands.jetIdx)),
            candidate_index=ak.to_numpy(ak.flatten(events.FatJetPFCands.pFCandsIdx)),
            links_per_event=ak.to_numpy(ak.num(events.FatJetPFCands)),
            candidates_per_event=ak.to_numpy(ak.num(events.PFCands)),
            event_rows=row[same],
            wanted_jets=place[same],
        )
        branches = {name: ak.to_numpy(ak.flatten(events.PFCands[name])) for name in events.PFCands.fields}
        constituents = take_constituents(index, branches, flat["eta"][same], flat["phi"][same])
        tensors = prepare(constituents, CARD).tensors(np.array([0]), 150)
        np.testing.assert_array_equal(features[:, [0, 1, 2, 3]], tensors["x"][0])
        np.testing.assert_array_equal(features[:, 4], tensors["pid"][0])
        np.testing.assert_array_equal(features[:, 5:], tensors["add"][0])
        compared += 1
    assert compared > 3


def test_training_jets_are_selected_and_of_their_classes(of_all_training: dict[str, Made]) -> None:
    for name, (_, _, jets) in of_all_training.items():
        assert len(jets.info) > 3
        assert (column(jets, "pt") > MIN_PT).all()
        assert (column(jets, "msoftdrop") > MIN_MASS).all()
        labels = set(column(jets, "label").astype(int))
        if name.startswith("qcd"):
            assert labels <= set(QCD.values())
            assert not column(jets, "resonance_mass").any()
        else:
            assert labels <= set(RECIPES[name].labels.values())
            assert (column(jets, "resonance_mass") > 20).all()
    trained = set().union(*(RECIPES[name].labels.values() for name in TRAINING)) | set(QCD.values())
    tested = set().union(*(RECIPES[name].labels.values() for name in HELD_OUT)) | set(QCD.values())
    assert trained == set((QCD | SIGNAL).values())
    assert not trained & set(KNOWN.values())
    assert tested == set(CLASSES.values())


def test_no_known_particle_is_in_training_events(of_all_training: dict[str, Made]) -> None:
    for name, (_, batch, _) in of_all_training.items():
        codes, masses = np.abs(batch.integers["id"]), np.sqrt(np.maximum(_squared(batch.momenta), 0))
        assert not np.isin(codes, (6, 23, 24)).any()
        resonance = masses[np.isin(codes, (8, 25, 32, 34, 36)) & (np.abs(batch.integers["status"]) == 22)]
        for mass in (80.4, 91.2, 125.0, 172.5):  # no peak: masses repeat nowhere
            assert (np.abs(resonance - mass) < 0.01).sum() <= 1
        if name.startswith("qcd"):
            assert len(resonance) == 0
        else:
            assert resonance.std() > 0.3 * resonance.mean()


def _squared(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(p[:, 3] ** 2 - (p[:, :3] ** 2).sum(axis=1))


def test_b_hadrons_are_in_jets_of_b_classes(of_all_training: dict[str, Made]) -> None:
    jets = of_all_training["qcd_b"].jets
    b = column(jets, "label") == QCD["QCD_b"]
    np.testing.assert_array_equal(b, column(jets, "n_b_hadrons") > 0)
    assert b.mean() > 0.7
    jets = of_all_training["two_prong"].jets
    label = column(jets, "label")
    assert column(jets, "n_b_hadrons")[label == SIGNAL["X_bb"]].mean() > 1.2
    assert column(jets, "n_b_hadrons")[label == SIGNAL["X_qq"]].mean() < 0.5


@pytest.mark.parametrize(
    ("angle", "flavour", "label"),
    [(0.3, 5, SIGNAL["X_bb"]), (0.3, 21, SIGNAL["X_gg"]), (0.3, 11, -1), (0.75, 4, SIGNAL["X_cc"]), (0.9, 4, -1)],
)
def test_a_jet_must_hold_all_of_a_resonance(angle: float, flavour: int, label: int) -> None:
    """Two partons at this angle on either side of a resonance that was copied once; the jet is around it."""
    directions = np.array([[0, 0], [0, 0], [0, 0], [angle, 0], [-angle, 0]])  # eta, phi; the first is the system
    pt = np.array([1.0, 600, 600, 300, 300])
    p3 = np.stack([pt, 0 * pt, pt * np.sinh(directions[:, 0])], axis=-1)
    momenta = np.concatenate([p3, np.linalg.norm(p3, axis=1, keepdims=True)], axis=1)
    momenta[1:3] = momenta[3:].sum(axis=0)
    integers = {
        "id": np.array([90, 25, 25, flavour, -flavour if flavour != 21 else 21], np.int32),
        "status": np.array([-11, -22, -62, 1, 1], np.int32),
        "mother1": np.array([0, 0, 1, 2, 2], np.int32),
        "daughter1": np.array([0, 2, 3, 0, 0], np.int32),
        "daughter2": np.array([0, 2, 4, 0, 0], np.int32),
    }
    empty = GeneratedBatch.empty()
    batch = empty._replace(tried=1, offsets=np.array([0, 5]), integers=integers, momenta=momenta)
    jets = build_fat_jets(np.array([momenta[1]]), np.array([0, 1]), 100.0)
    truth = match_resonances(batch, jets, RECIPES["two_prong"].labels)
    assert truth.label.tolist() == [label]
    assert truth.resonance_mass[0] == pytest.approx(600 * np.sinh(angle) if label >= 0 else 0)
