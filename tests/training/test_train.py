"""Training: OmniLearned's function, balanced spectra, turned jets, and a stop that leaves no trace."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.toy_jets import write_toy_jets

from oddjets.training.class_labels import QCD, SIGNAL

SIZES = {"base_dim": 16, "num_heads": 2, "num_transformers": 1, "num_transformers_head": 1, "num_tokens": 2}


@pytest.fixture(scope="module")
def shards(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    pytest.importorskip("h5py", reason="needs h5py: pip install 'oddjets[train]'")
    folder = tmp_path_factory.mktemp("jets")
    return [write_toy_jets(folder / f"part-{i}.h5", 400, seed=i) for i in range(2)]


def toy_settings(**changes: Any) -> Any:
    from oddjets.training.train.settings import TrainingSettings

    return TrainingSettings(**{"epochs": 2, "batch": 32, "held_back": 0.25, "network": SIZES, **changes})


@pytest.mark.parametrize("counts", [[1, 2, 3, 10, 11], [12, 30, 55, 80]])
def test_fast_logits_are_those_of_omnilearned(torch: Any, checkpoint: Path, counts: list[int]) -> None:
    from oddjets.training.export.checkpoint import read_checkpoint
    from oddjets.training.export.random_jets import random_jets
    from oddjets.training.train.network import FastPet2
    from oddjets.training.validate.reference import Reference

    reference = Reference(read_checkpoint(checkpoint))
    jets = random_jets(counts, np.random.default_rng(3)).padded(16)
    exact = reference.logits(jets)
    inputs = [torch.from_numpy(array) for array in jets]
    with torch.no_grad():
        found = FastPet2(reference.model.float(), half=False)(*inputs).numpy()
        rough = FastPet2(reference.model, half=True)(*inputs).numpy()
    assert np.ptp(exact, axis=0).max() > 0.1
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5 * np.abs(exact).max())
    # bfloat16 has 8 bits; a mask that leaks would move logits by their size
    np.testing.assert_allclose(rough, exact, rtol=0, atol=0.05 * np.abs(exact).max())


def test_padding_changes_nothing_in_half_precision(torch: Any, checkpoint: Path) -> None:
    from oddjets.training.export.checkpoint import read_checkpoint
    from oddjets.training.export.random_jets import random_jets
    from oddjets.training.train.network import FastPet2
    from oddjets.training.validate.reference import Reference

    network = FastPet2(Reference(read_checkpoint(checkpoint)).model, half=True)
    jets = random_jets([20, 24], np.random.default_rng(3))
    with torch.no_grad():
        short, long = (network(*map(torch.from_numpy, jets.padded(n))) for n in (24, 64))
    assert float((short - long).abs().max()) < 0.01 * float(short.abs().max())


def test_half_precision_has_gradients_of_all_parameters_that_matter(torch: Any) -> None:
    from oddjets.training.export.random_jets import random_jets
    from oddjets.training.train.network import FastPet2, build_pet2

    model = build_pet2(210, 0.1, **SIZES)
    jets = random_jets([20, 24], np.random.default_rng(3))
    FastPet2(model, half=True)(*map(torch.from_numpy, jets)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_the_small_model_is_that_of_the_command_line(torch: Any) -> None:
    from omnilearned.utils import get_model_parameters

    from oddjets.training.train.network import build_pet2

    ours = {name: p.shape for name, p in build_pet2(210, 0.0).named_parameters()}
    theirs = {name: p.shape for name, p in build_pet2(210, 0.0, **get_model_parameters("small")).named_parameters()}
    assert ours == theirs
    assert sum(math.prod(shape) for shape in ours.values()) == pytest.approx(2.85e6, rel=0.01)  # the release's


def test_turned_jets_keep_distances_energies_and_lifetimes(torch: Any) -> None:
    from oddjets.training.export.random_jets import random_jets
    from oddjets.training.train.batches import rotate

    rng = np.random.default_rng(2)
    jets = random_jets([30, 20], rng)
    eta = torch.tensor([0.0, 1.5], dtype=torch.float64)
    x, add = (torch.from_numpy(a).double() for a in (jets.x, jets.add))
    angle, mirrored = torch.tensor([1.0, 2.5]).double(), torch.tensor([1.0, -1.0]).double()
    new_x, new_add = rotate(x, add, eta, angle, mirrored)
    torch.testing.assert_close(torch.cdist(new_x[..., :2], new_x[..., :2]), torch.cdist(x[..., :2], x[..., :2]))
    torch.testing.assert_close(new_x[..., 2], x[..., 2])
    # without mass: E = pT cosh eta, before and after
    real = x[..., 2] != 0

    def excess(some: Any) -> Any:
        return (some[..., 3] - some[..., 2] - torch.log(torch.cosh(eta[:, None] + some[..., 0])))[real]

    torch.testing.assert_close(excess(new_x), excess(x))

    # the distance at which a track passes the vertex, and on which side of the jet's axis
    def across(some_x: Any, some: Any) -> tuple[Any, Any]:
        along_eta = torch.atanh(some[..., 2]) / torch.cosh(eta[:, None] + some_x[..., 0])
        along_phi = torch.atanh(some[..., 0])
        return torch.hypot(along_eta, along_phi), along_eta * some_x[..., 0] + along_phi * some_x[..., 1]

    for new, old in zip(across(new_x, new_add), across(x, add), strict=True):
        torch.testing.assert_close(new, old)
    assert not new_add[~real].any()
    assert not new_x[~real].any()


def test_a_quarter_turn_exchanges_eta_and_phi(torch: Any) -> None:
    from oddjets.training.train.batches import rotate

    x = torch.tensor([[[0.1, 0.2, 1.0, 1.1]]], dtype=torch.float64)
    add = torch.tensor([[[0.3, 0.01, 0.0, 0.02]]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    new_x, new_add = rotate(x, add, 0 * one, math.pi / 2 * one, one)
    np.testing.assert_allclose(new_x[0, 0, :2], [-0.2, 0.1])
    # d0 becomes -dz cosh(eta), its error that of dz
    cosh = math.cosh(-0.2)
    np.testing.assert_allclose(new_add[0, 0, 2], math.tanh(-math.atanh(0.3) * cosh))
    np.testing.assert_allclose(new_add[0, 0, [1, 3]], [0.02 / math.cosh(0.1), 0.01 * cosh])


def test_an_epoch_draws_jets_as_often_as_their_weights_say(torch: Any) -> None:
    from oddjets.training.train.batches import epoch_order

    weights = np.random.default_rng(1).exponential(size=1000)
    weights[-3:] = 0
    drawn = np.bincount(epoch_order(weights, 5000, seed=1, epoch=3), minlength=1000)
    assert np.abs(drawn - 5000 * weights / weights.sum()).max() <= 1
    assert not drawn[-3:].any()
    assert not np.array_equal(epoch_order(weights, 50, 1, 0), epoch_order(weights, 50, 1, 1))


def test_files_are_read_as_they_were_written(shards: list[Path], tmp_path: Path) -> None:
    import h5py

    from oddjets.training.train.jet_dataset import read_jets

    jets = read_jets(shards, tmp_path, workers=1)
    with h5py.File(shards[1]) as file:
        data, info = file["data"][:], file["info"][:]
    last = jets.take(np.array([len(jets) - 1]))
    n = int(last.counts[0])
    np.testing.assert_array_equal(np.column_stack([last.x, last.pid, last.add]), data[-1, :n])
    assert not data[-1, n:].any()
    assert jets.column("msoftdrop")[-1] == pytest.approx(info[-1, 3])
    assert len(np.unique(jets.event)) == 400  # two jets an event, 400 jets in each of two files
    again = read_jets(shards, tmp_path, workers=1)  # from the cache
    np.testing.assert_array_equal(again.x, jets.x)


@pytest.mark.slow
def test_a_stopped_training_goes_on_to_the_same_weights(
    torch: Any, shards: list[Path], tmp_path: Path, monkeypatch: Any
) -> None:
    from oddjets.training.train import loop
    from oddjets.training.train.checkpoint_state import STATE

    settings = toy_settings()
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
    loop.train(tmp_path / "whole", shards, settings, workers=1)

    monkeypatch.setattr(loop, "_SAVE_EVERY", 0.0)  # after every step

    def stop(step: int) -> None:
        if step in (5, 12):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            loop.train(tmp_path / "stopped", shards, settings, 1, on_step=stop)
    loop.train(tmp_path / "stopped", shards, settings, workers=1)
    whole, stopped = (torch.load(tmp_path / name / STATE, weights_only=True) for name in ("whole", "stopped"))
    assert whole["step"] == stopped["step"] == whole["steps"] > 20
    for name, weights in whole["model"].items():
        torch.testing.assert_close(stopped["model"][name], weights, rtol=0, atol=0)
    for name, weights in whole["best"].items():
        torch.testing.assert_close(stopped["best"][name], weights, rtol=0, atol=0)
    # what is kept is the best look, and something was learned: toy signal has species that toy QCD has not
    looks = np.array(stopped["history"])[:, 2:4]
    assert stopped["loss"] == looks.min()
    assert looks.min() < math.log(200)


def test_other_settings_do_not_go_on(torch: Any, shards: list[Path], tmp_path: Path) -> None:
    from oddjets.core.errors import OddjetsError
    from oddjets.training.train import loop

    loop.train(tmp_path, shards, toy_settings(epochs=1), workers=1)
    with pytest.raises(OddjetsError, match=r"epochs 1 \(now 2\)"):
        loop.train(tmp_path, shards, toy_settings(epochs=2), workers=1)


def test_events_are_not_split(torch: Any) -> None:
    from oddjets.training.train.loop import _validation_mask

    event = np.repeat(np.arange(4000), 2)
    held_back = _validation_mask(event, toy_settings(held_back=0.05))
    np.testing.assert_array_equal(held_back[::2], held_back[1::2])
    assert held_back.mean() == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 4000))


def test_known_particles_are_learned_only_when_asked_for() -> None:
    from oddjets.training.class_labels import KNOWN
    from oddjets.training.train.settings import class_shares

    qcd, signal = class_shares(supervised=False)
    assert set(qcd) == set(QCD.values())
    assert set(signal) == set(SIGNAL.values())
    assert set(class_shares(supervised=True)[1]) == set(SIGNAL.values()) | set(KNOWN.values())


def test_jets_of_files_get_the_scores_of_the_bare_model(shards: list[Path], card: Path, tmp_path: Path) -> None:
    """The hardest of their constituents alone."""
    from oddjets.scoring import score
    from oddjets.scoring.model_card import load_card
    from oddjets.scoring.onnx_session import get_session
    from oddjets.training.train.jet_dataset import read_jets
    from oddjets.training.validate.evaluation import scores_of

    model = load_card(card)
    few = model.model_copy(update={"constituents": model.constituents.model_copy(update={"maximum": 12})})
    jets = read_jets(shards[:1], tmp_path, workers=1).take(np.arange(30))
    assert jets.counts.min() < 12 < jets.counts.max()
    session, _ = get_session(few, "cpu")
    logits = []
    for start, count in zip(jets.offsets, np.minimum(jets.counts, 12), strict=False):
        rows = slice(start, start + count)
        jet = {"x": jets.x[rows], "pid": jets.pid[rows].astype(np.int64), "add": jets.add[rows]}
        logits.append(session.run(["logits"], {name: array[np.newaxis] for name, array in jet.items()})[0])
    done: list[int] = []
    found = scores_of(few, jets, "cpu", progress=done.append)
    np.testing.assert_array_equal(found, score.anomaly_score(np.concatenate(logits), few))
    assert sum(done) == 30


def toy_generation(folder: Path, n_jets: int, workers: int, seed: int = 1, held_out: bool = False) -> list[Path]:
    path = folder / "toy.h5"
    return [path if path.exists() else write_toy_jets(path, n_jets, seed + 100 * held_out, known=held_out)]


@pytest.mark.slow
def test_one_command_makes_a_model_that_scores(torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from typer.testing import CliRunner

    from oddjets.cli import model
    from oddjets.cli.main import app
    from oddjets.scoring.model_card import load_card
    from oddjets.scoring.scorer import Scorer
    from oddjets.training.dataset import generate
    from oddjets.training.export.checkpoint import read_checkpoint

    monkeypatch.setattr(generate, "generate", toy_generation)
    monkeypatch.setattr(model, "TrainingSettings", toy_settings)
    shipped = Path(__file__).parents[2] / "models" / "omnilearned_small_simulation.yaml"
    arguments = ["model", "train", str(tmp_path), "--jets", "600", "--held-out", "60", "--epochs", "1", "--batch", "64"]
    for more in ([], ["--only", "evaluate", "--compare", str(shipped)]):
        done = CliRunner().invoke(app, [*arguments, "--workers", "1", "--name", "toy", *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    card = load_card(tmp_path / "toy.yaml")
    assert card.trained_on_labelled == ()
    assert set(card.score.signal) == set(SIGNAL)
    assert not {8, 9, 3, 10} & set(card.output.softmax)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["models"]) == {"toy", "omnilearned-small-simulation"}
    assert 0 <= card.metrics["auc_top"] == pytest.approx(metrics["models"]["toy"]["signals"]["top"]["auc"], abs=1e-3)
    assert read_checkpoint(tmp_path / "best_model_toy_s.pt").config.base_dim == SIZES["base_dim"]
    assert Scorer(card, "cpu").score(few_jets()).shape == (2,)


def few_jets() -> Any:
    """Two jets as scoring takes them."""
    from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents

    rng = np.random.default_rng(1)
    columns: dict[str, Any] = {name: rng.uniform(0.1, 0.2, 30) for name in CANDIDATE_BRANCHES}
    columns |= {"pt": rng.uniform(1, 50, 30), "pdg_id": np.full(30, 22), "charge": np.zeros(30, np.int64)}
    return JetConstituents(offsets=np.array([0, 10, 30]), jet_eta=np.zeros(2), jet_phi=np.zeros(2), **columns)


def test_a_second_start_is_refused(torch: Any, tmp_path: Path) -> None:
    from oddjets.core.errors import OddjetsError
    from oddjets.core.locks import locked
    from oddjets.training.train.job import JobPart, TrainingJob, in_background, run

    job = TrainingJob(tmp_path, 1, 1, 1, "toy", (), toy_settings())
    # `model train` has no --out
    refused = r"another `model train` works here \(process \d+ on .*\); wait for it, or name another FOLDER$"
    with locked(tmp_path):
        with pytest.raises(OddjetsError, match=refused):
            run(job, [JobPart.train])
        with pytest.raises(OddjetsError, match=refused):
            in_background(job, [JobPart.train], [])


def test_a_model_that_is_not_trained_cannot_be_measured(torch: Any, tmp_path: Path) -> None:
    from oddjets.core.errors import OddjetsError
    from oddjets.training.train.job import JobPart, TrainingJob, run

    with pytest.raises(OddjetsError, match=r"toy\.yaml does not exist: train the model first \(--only train\)"):
        run(TrainingJob(tmp_path, 1, 1, 1, "toy", (), toy_settings()), [JobPart.evaluate])


def test_a_damaged_state_is_said(torch: Any, tmp_path: Path) -> None:
    from oddjets.core.errors import OddjetsError
    from oddjets.training.train.checkpoint_state import STATE, read_state

    assert read_state(tmp_path) is None
    torch.save({"step": 1}, tmp_path / STATE)
    with pytest.raises(OddjetsError, match=r"is not the state of a training: remove it to start again \('steps'\)"):
        read_state(tmp_path)
    (tmp_path / STATE).write_bytes((tmp_path / STATE).read_bytes()[:100])
    with pytest.raises(OddjetsError, match="is not the state of a training"):
        read_state(tmp_path)


def test_a_training_in_the_background_writes_its_log(torch: Any, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from oddjets.cli.main import app
    from oddjets.core.locks import locked
    from oddjets.training.train.job import JobPart, TrainingJob, in_background

    folder = tmp_path / "model"
    job = TrainingJob(folder, 1, 1, 1, "toy", (), toy_settings())
    process = in_background(job, [JobPart.train], ["model", "train", str(folder), "--only", "train"])
    assert process.wait(timeout=120) == 2
    assert "generate them first" in (folder / "train.log").read_text()
    with locked(folder):  # it gave the folder back
        pass
    done = CliRunner().invoke(app, ["model", "train", "--help"])
    assert "--background" in done.output


@pytest.mark.slow
def test_several_seeds_are_a_family_on_the_same_jets(
    torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two trainings: same jets and split, other weights; the second start trains nothing that is there."""
    import json

    from typer.testing import CliRunner

    from oddjets.cli import model
    from oddjets.cli.main import app
    from oddjets.scoring.model_card import load_card
    from oddjets.training.dataset import generate
    from oddjets.training.train import members
    from oddjets.training.train.checkpoint_state import read_state

    monkeypatch.setattr(generate, "generate", toy_generation)
    monkeypatch.setattr(model, "TrainingSettings", toy_settings)
    arguments = ["model", "train", str(tmp_path), "--jets", "600", "--held-out", "60", "--epochs", "1", "--batch", "64"]
    arguments += ["--workers", "1", "--name", "toy", "--float16-weights", "--seed", "7"]
    done = CliRunner().invoke(app, [*arguments, "--seeds", "2"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    cards = [load_card(tmp_path / f"seed-{seed}" / f"toy_{seed}.yaml") for seed in (8, 9)]
    assert [(card.name, card.family, card.seed) for card in cards] == [("toy-8", "toy", 8), ("toy-9", "toy", 9)]
    assert cards[0].sha256 != cards[1].sha256
    assert all(card.numerics.maximum <= card.numerics.tolerance == 2e-3 for card in cards)
    states = [read_state(tmp_path / f"seed-{seed}") for seed in (8, 9)]
    assert states[0].jets == states[1].jets
    assert {state.settings["split_seed"] for state in states} == {7}
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["models"]) == {"toy-8", "toy-9", "toy-mean"}
    pair = metrics["agreement"]["QCD"]["toy-8, toy-9"]
    assert -1 <= pair["rank_correlation"]["value"] < 1
    assert set(metrics["history"]) == {"toy-8", "toy-9"}
    # one more seed: what is there stays as it is
    trained = []
    train = members.train
    monkeypatch.setattr(members, "train", lambda folder, *a, **k: (trained.append(folder.name), train(folder, *a, **k)))
    done = CliRunner().invoke(app, [*arguments, "--seeds", "3", "--only", "train"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert trained == ["seed-10"]


def test_trainings_share_the_gpus(torch: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from oddjets.training.train import members

    shares: list[Any] = []
    monkeypatch.setattr(members.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(members, "run_tasks", lambda tasks, *rest: shares.extend(tasks) or [])
    monkeypatch.setattr(members._Work, "read", lambda self, workers: None)
    five = members.members_of(tmp_path, "toy", toy_settings(seed=1), 5)
    members.train_members(five, [], tmp_path / "cache", 1)
    assert [(share.gpu, [m.settings.seed for m in share.members]) for share in shares] == [(0, [2, 4, 6]), (1, [3, 5])]


def test_a_single_training_is_as_before(torch: Any, tmp_path: Path) -> None:
    from oddjets.training.train.members import members_of

    (only,) = members_of(tmp_path, "toy", toy_settings(seed=3), 1)
    assert (only.folder, only.name, only.family, only.settings) == (tmp_path, "toy", "", toy_settings(seed=3))
    assert only.card == tmp_path / "toy.yaml"


def test_a_state_from_before_a_setting_came_goes_on(torch: Any, shards: list[Path], tmp_path: Path) -> None:
    from oddjets.training.train import loop
    from oddjets.training.train.checkpoint_state import STATE

    loop.train(tmp_path, shards, toy_settings(epochs=1), workers=1)
    content = torch.load(tmp_path / STATE, weights_only=True)
    del content["settings"]["split_seed"]
    torch.save(content, tmp_path / STATE)
    loop.train(tmp_path, shards, toy_settings(epochs=1), workers=1)
