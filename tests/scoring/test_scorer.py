"""Scores: the model's own numbers, whatever jets are scored together, and errors that say what to do."""

from __future__ import annotations

import functools
import importlib.metadata
import itertools
import logging
import pickle
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import tiny_model
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oddjets.core.errors import OddjetsError
from oddjets.scoring import onnx_session, score, scorer
from oddjets.scoring.gpu import free_memory, run_uploaded, upload
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents, prepare
from oddjets.scoring.model_card import ModelCard, PaperScore, load_card
from oddjets.scoring.onnx_session import runtime_version
from oddjets.scoring.scorer import Scorer
from oddjets.training.export.pairs import MAX_CONSTITUENTS
from oddjets.training.export.random_jets import multiplicities

CARD = load_card(Path(__file__).resolve().parents[2] / "models" / "omnilearned_small_simulation.yaml")
N_CLASSES = CARD.output.n_classes


def random_jets(counts: list[int], seed: int = 0) -> JetConstituents:
    """Jets of these multiplicities with constituents around one to three axes."""
    rng = np.random.default_rng(seed)
    n = sum(counts)
    jet = np.repeat(np.arange(len(counts)), counts)
    kinds = np.array([(211, 1), (-211, -1), (22, 0), (130, 0), (13, -1), (-11, 1)])
    pdg_id, charge = kinds[rng.choice(6, n, p=[0.3, 0.3, 0.25, 0.11, 0.02, 0.02])].T
    prongs = rng.normal(0, 0.25, (len(counts), 3, 2))[jet, rng.integers(0, 3, n)]
    spread = rng.normal(0, 0.05, (n, 2))
    jet_eta = rng.uniform(-2, 2, len(counts))
    jet_phi = rng.uniform(-np.pi, np.pi, len(counts))
    tracked = charge != 0
    return JetConstituents(
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        pt=np.float32(0.3 + np.exp(rng.normal(1.5, 1.2, n))),
        eta=np.float32(jet_eta[jet] + prongs[:, 0] + spread[:, 0]),
        phi=np.float32(np.mod(jet_phi[jet] + prongs[:, 1] + spread[:, 1] + np.pi, 2 * np.pi) - np.pi),
        mass=np.float32(np.where(tracked, 0.13957, 0.0)),
        pdg_id=pdg_id,
        charge=charge,
        d0=np.float32(np.where(tracked, rng.normal(0, 0.02, n), -1)),
        d0_error=np.float32(np.where(tracked, 0.003, -1)),
        dz=np.float32(np.where(tracked, rng.normal(0, 0.03, n), -1)),
        dz_error=np.float32(np.where(tracked, 0.005, -1)),
        puppi_weight=np.ones(n, np.float32),
        jet_eta=jet_eta,
        jet_phi=jet_phi,
    )


def select(jets: JetConstituents, which: NDArray[np.int64]) -> JetConstituents:
    """Some of the jets, in this order."""
    pieces = [np.arange(jets.offsets[j], jets.offsets[j + 1]) for j in which]
    flat = np.concatenate([np.zeros(0, np.int64), *pieces])
    arrays = {name: getattr(jets, name)[flat] for name in CANDIDATE_BRANCHES}
    offsets = np.concatenate([[0], np.cumsum([len(p) for p in pieces], dtype=np.int64)])
    return JetConstituents(offsets=offsets, jet_eta=jets.jet_eta[which], jet_phi=jets.jet_phi[which], **arrays)


@pytest.fixture(scope="module")
def jets() -> JetConstituents:
    """Jets of 1 to 160 constituents: fewer than the model's 10 neighbours, more than its card and its graph take."""
    return random_jets([1, 2, 3, 10, 11, 12, 15, 16, 17, 24, 33, 40, 55, 64, 99, 128, 129, 160])


@pytest.fixture(scope="module")
def scores(jets: JetConstituents) -> NDArray[np.float64]:
    return Scorer(CARD, "cpu").score(jets)


def run_one_by_one(jets: JetConstituents) -> NDArray[np.float64]:
    """Logits from ONNX Runtime alone: its default session, each jet without any padding."""
    import onnxruntime

    session = onnxruntime.InferenceSession(CARD.path, providers=["CPUExecutionProvider"])
    prepared = prepare(jets, CARD)
    return np.concatenate(
        [
            session.run(["logits"], prepared.tensors(np.array([j]), int(prepared.counts[j])))[0].astype(np.float64)
            for j in range(jets.n_jets)
        ]
    )


def test_scores_and_probabilities_are_those_of_the_bare_model(
    jets: JetConstituents, scores: NDArray[np.float64]
) -> None:
    logits = run_one_by_one(jets)[:, [199, 2, 196, 190, 15, 13, 12, 21, 27, 100]]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    # float32 sums in another order: far below the card's tolerance of 1e-5
    np.testing.assert_allclose(Scorer(CARD, "cpu").class_probabilities(jets), probabilities, atol=2e-6)
    np.testing.assert_allclose(scores, 1 - probabilities[:, :4].sum(axis=1), atol=2e-6)
    assert scores.dtype == np.float64
    assert np.ptp(scores) > 0.1  # not saturated, or the comparison would mean nothing


def test_a_score_does_not_depend_on_the_order_of_jets(jets: JetConstituents, scores: NDArray[np.float64]) -> None:
    order = np.random.default_rng(1).permutation(jets.n_jets)
    assert Scorer(CARD, "cpu").score(select(jets, order)).tobytes() == scores[order].tobytes()


def test_a_score_does_not_depend_on_how_jets_are_split_into_calls(
    jets: JetConstituents, scores: NDArray[np.float64]
) -> None:
    pieces = np.split(np.arange(jets.n_jets), [1, 2, 9])
    parts = [Scorer(CARD, "cpu").score(select(jets, piece)) for piece in pieces]
    assert np.concatenate(parts).tobytes() == scores.tobytes()


def test_a_score_does_not_depend_on_the_number_of_threads(jets: JetConstituents, scores: NDArray[np.float64]) -> None:
    assert Scorer(CARD, "cpu", threads=3).score(jets).tobytes() == scores.tobytes()


def test_a_score_does_not_depend_on_its_neighbours_in_full_batches(
    jets: JetConstituents, scores: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way through batches that a GPU takes, on a CPU: with one thread inside, the rows of a batch are independent."""
    session, _ = onnx_session.get_session(CARD, "cpu")
    monkeypatch.setattr(scorer, "get_session", lambda *_: (session, "cuda"))
    monkeypatch.setattr(scorer, "upload", lambda inputs, _: upload(inputs, 0, "cpu"))
    monkeypatch.setattr(scorer, "run_uploaded", lambda *arguments: run_uploaded(*arguments, "cpu"))
    monkeypatch.setattr(scorer, "_FIRST_CELLS", 256)
    several = Scorer(CARD, "cuda").score(jets)
    order = np.random.default_rng(2).permutation(jets.n_jets)
    assert Scorer(CARD, "cuda").score(select(jets, order)).tobytes() == several[order].tobytes()
    np.testing.assert_allclose(several, scores, atol=2e-6)


def test_the_order_of_constituents_in_the_file_does_not_matter(
    jets: JetConstituents, scores: NDArray[np.float64]
) -> None:
    rng = np.random.default_rng(3)
    shuffled = np.concatenate(
        [rng.permutation(np.arange(a, b)) for a, b in zip(jets.offsets[:-1], jets.offsets[1:], strict=True)]
    )
    arrays = {name: getattr(jets, name)[shuffled] for name in CANDIDATE_BRANCHES}
    same = JetConstituents(offsets=jets.offsets, jet_eta=jets.jet_eta, jet_phi=jets.jet_phi, **arrays)
    assert Scorer(CARD, "cpu").score(same).tobytes() == scores.tobytes()


def test_only_the_hardest_constituents_count(jets: JetConstituents, scores: NDArray[np.float64]) -> None:
    start, stop = jets.offsets[-2:]
    assert stop - start > MAX_CONSTITUENTS > CARD.constituents.maximum
    hardest = start + np.argsort(-jets.pt[start:stop], kind="stable")[: CARD.constituents.maximum]
    arrays = {name: getattr(jets, name)[hardest] for name in CANDIDATE_BRANCHES}
    cut = JetConstituents(
        offsets=np.array([0, len(hardest)]), jet_eta=jets.jet_eta[-1:], jet_phi=jets.jet_phi[-1:], **arrays
    )
    assert Scorer(CARD, "cpu").score(cut)[0] == scores[-1]


def test_a_constituent_of_one_gev_is_ignored_where_no_other_is_softer() -> None:
    """Its ln pT is 0, which the graph takes for padding: the score is that of the jet without it."""
    jet = random_jets([12])
    with_one = {name: getattr(jet, name).copy() for name in CANDIDATE_BRANCHES}
    with_one["pt"][:] = 2 + np.arange(12, dtype=np.float32)
    with_one["pt"][5] = 1
    kept = np.arange(12) != 5
    axes = {"jet_eta": jet.jet_eta, "jet_phi": jet.jet_phi}
    both = [
        JetConstituents(offsets=np.array([0, 12]), **with_one, **axes),
        JetConstituents(offsets=np.array([0, 11]), **{k: v[kept] for k, v in with_one.items()}, **axes),
    ]
    assert [prepare(j, CARD).unusual.ignored_constituents for j in both] == [1, 0]
    a, b = (Scorer(CARD, "cpu").score(j)[0] for j in both)
    assert a == pytest.approx(b, abs=2e-6)


def test_a_jet_without_constituents_has_no_score_and_disturbs_no_other(
    jets: JetConstituents, scores: NDArray[np.float64]
) -> None:
    offsets = np.insert(jets.offsets, 3, jets.offsets[3])
    axes = {name: np.insert(getattr(jets, name), 3, 0.0) for name in ("jet_eta", "jet_phi")}
    arrays = {name: getattr(jets, name) for name in CANDIDATE_BRANCHES}
    found = Scorer(CARD, "cpu").score(JetConstituents(offsets=offsets, **axes, **arrays))
    assert np.flatnonzero(np.isnan(found)).tolist() == [3]
    assert np.delete(found, 3).tobytes() == scores.tobytes()


RunContext = Callable[[dict[str, NDArray[Any]]], NDArray[Any]]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A GPU whose model is a function, and whose free memory is told one value at a time."""

    def install(run: RunContext, memory: Sequence[int] = ()) -> None:
        told = iter(memory)
        session = functools.partial(run)  # a new one
        monkeypatch.setattr(scorer, "get_session", lambda *_: (session, "cuda"))
        monkeypatch.setattr(scorer, "upload", lambda inputs, *_: inputs)
        monkeypatch.setattr(scorer, "run_uploaded", lambda run, inputs, *_: run(inputs))
        monkeypatch.setattr(scorer, "free_memory", lambda *_: next(told, None))

    return install


def counting(inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """A "model" whose gluon logit is the number of constituents."""
    output = np.zeros((len(inputs["x"]), N_CLASSES), np.float32)
    output[:, CARD.classes["QCD_g"][0]] = np.count_nonzero(inputs["x"][..., 2], axis=1)
    return output


def counted(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers of constituents that `counting` was given."""
    gluon = list(CARD.output.softmax).index(CARD.classes["QCD_g"][0])
    return np.log(probabilities[:, gluon] / probabilities[:, gluon - 1])


def test_a_gpu_is_given_few_batches_with_little_padding(jets: JetConstituents, gpu: Callable[..., None]) -> None:
    """Few jets share one batch, many have others of like length; each jet comes out in its own place."""
    shapes: list[tuple[int, ...]] = []

    def run(inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        shapes.append(inputs["x"].shape[:2])
        return counting(inputs)

    gpu(run)
    expected = prepare(jets, CARD).counts
    found = counted(Scorer(CARD, "cuda").class_probabilities(jets))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert len(shapes) <= 2
    shapes.clear()
    many = select(jets, np.arange(18).repeat(600))
    found = counted(Scorer(CARD, "cuda").class_probabilities(many))
    np.testing.assert_allclose(found, expected.repeat(600), rtol=1e-9)
    assert all((length + 4) % 8 == 0 or length == CARD.constituents.maximum for _, length in shapes)
    cells = [size * length for size, length in shapes]
    assert max(cells) <= scorer._FIRST_CELLS
    assert sum(cells) < 1.2 * 600 * expected.sum()
    assert np.mean(cells) > 0.6 * scorer._FIRST_CELLS


def cost(groups: Sequence[tuple[NDArray[np.int64], int]]) -> int:
    """Cells with class tokens, and what starts cost."""
    return sum(len(rows) * (length + 4) + scorer._BATCH_COST for rows, length in groups)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_cut_into_groups_costs_less(seed: int) -> None:
    """Against all cuts of up to nine lengths."""
    rng = np.random.default_rng(seed)
    counts = rng.choice(np.arange(0, 70), rng.integers(1, 60))
    counts[0] = 1 + rng.integers(60)
    groups = scorer._by_cost(counts, 128)
    assert np.sort(np.concatenate([rows for rows, _ in groups])).tolist() == np.flatnonzero(counts).tolist()
    assert all(counts[rows].max() <= length for rows, length in groups)
    padded = -(-(counts + 4) // 8) * 8 - 4
    lengths = np.unique(padded[counts > 0])
    cuts = itertools.chain.from_iterable(
        itertools.combinations(lengths[:-1], n) for n in range(len(lengths))
    )  # where groups end before the last
    costs = []
    for cut in cuts:
        of = np.searchsorted([*cut, lengths[-1]], padded[counts > 0])
        ends = np.array([*cut, lengths[-1]])
        costs.append(int((ends[of] + 4).sum() + scorer._BATCH_COST * len(ends)))
    assert cost(groups) == min(costs)


@pytest.mark.parametrize("n_jets", [1000, 1500, 8192])
def test_from_1000_jets_on_a_tenth_of_the_cells_is_padding_at_most(n_jets: int) -> None:
    rng = np.random.default_rng(n_jets)
    counts = np.array(multiplicities(n_jets, rng))
    cells = sum(len(rows) * (length + 4) for rows, length in scorer._by_cost(counts, 150))
    assert cells <= 1.1 * (counts + 4).sum()


def test_the_next_batch_begins_before_one_has_ended(gpu: Callable[..., None]) -> None:
    """Where batches were computed one by one, the first would wait for a second for ever."""
    both = threading.Barrier(2, timeout=30)

    def run(inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        if measured:
            both.wait()
        return counting(inputs)

    measured = False
    gpu(run, memory=[100 << 30, 99 << 30])
    scorer_of_gpu = Scorer(CARD, "cuda")
    scorer_of_gpu.score(random_jets([20] * 300))  # alone, since it tells how much memory others take
    measured = True
    found = counted(scorer_of_gpu.class_probabilities(random_jets([20] * 300 + [60] * 300)))
    np.testing.assert_allclose(found, np.repeat([20, 60], 300), rtol=1e-9)


def test_batches_that_fit_alone_but_not_together_run_one_by_one(gpu: Callable[..., None]) -> None:
    lock = threading.Lock()

    def run(inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        if not lock.acquire(timeout=0):
            raise RuntimeError("CUDA out of memory")
        time.sleep(0.002)  # long enough for another to come
        lock.release()
        return counting(inputs)

    gpu(run, memory=[100 << 30, 90 << 30])
    counts = np.repeat([1, 20, 40, 60], [400, 300, 200, 100])
    scorer_of_gpu = Scorer(CARD, "cuda")
    scorer_of_gpu.score(random_jets([20] * 300))
    found = counted(scorer_of_gpu.class_probabilities(random_jets(counts.tolist())))
    np.testing.assert_allclose(found, counts, rtol=1e-9)


def test_a_gpu_is_not_given_jets_without_constituents(gpu: Callable[..., None]) -> None:
    """A model gives some number for padding alone, and nothing else would say that it means nothing."""
    gpu(counting)
    found = Scorer(CARD, "cuda").score(random_jets([0, 5, 0, 30, 0]))
    assert np.isnan(found).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize("fitting", [1, 3, 40])
def test_batches_are_halved_until_they_fit_into_memory(
    fitting: int, jets: JetConstituents, gpu: Callable[..., None]
) -> None:
    """No jet is lost, none is scored twice, and later batches begin with what did fit."""
    tried: list[int] = []

    def run(inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        tried.append(len(inputs["x"]))
        if len(inputs["x"]) > fitting:
            raise RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9")
        return counting(inputs)

    gpu(run)
    many = select(jets, np.arange(18).repeat(20))
    scorer_of_gpu = Scorer(CARD, "cuda")
    found = counted(scorer_of_gpu.class_probabilities(many))
    np.testing.assert_allclose(found, prepare(many, CARD).counts, rtol=1e-9)
    tried.clear()
    scorer_of_gpu.class_probabilities(many)
    # by then, batches of the longest jets fit, and shorter jets may fill up to as many cells
    assert tried[0] <= fitting


def test_batches_grow_to_what_the_memory_allows(gpu: Callable[..., None]) -> None:
    """The first batch takes 2 of 100 GB; 30 % of the remaining 98 have room for 15 times as much, but speed ends earlier."""
    tried: list[int] = []

    def run(inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        tried.append(inputs["x"].shape[0] * inputs["x"].shape[1])
        return counting(inputs)

    jets = random_jets([60] * 3000)
    gpu(run, memory=[100 << 30, 98 << 30])
    Scorer(CARD, "cuda").score(jets)
    assert tried[0] == pytest.approx(scorer._FIRST_CELLS, rel=0.1)
    assert 0.8 * scorer._MOST_CELLS < max(tried) <= scorer._MOST_CELLS
    tried.clear()
    Scorer(CARD, "cuda").score(jets)  # of the next chunk, with the same session
    assert 0.8 * scorer._MOST_CELLS < tried[0] <= scorer._MOST_CELLS
    tried.clear()
    gpu(run, memory=[100 << 30, 50 << 30])
    Scorer(CARD, "cuda").score(jets)
    assert max(tried[1:]) == pytest.approx(1.3 / 3 * scorer._FIRST_CELLS, rel=0.1)  # three at a time
    tried.clear()
    gpu(run)  # the driver does not tell
    Scorer(CARD, "cuda").score(jets)
    assert max(tried) == pytest.approx(scorer._FIRST_CELLS, rel=0.1)


def test_inputs_that_are_sent_ahead_give_the_same(jets: JetConstituents) -> None:
    """The way to a GPU, with the CPU as the device."""
    session, _ = onnx_session.get_session(CARD, "cpu")
    inputs = prepare(jets, CARD).tensors(np.arange(4, 8), 20)
    sent = upload(inputs, 0, "cpu")
    found = run_uploaded(session, sent, CARD.output.name, 0, "cpu")
    assert found.tobytes() == session.run([CARD.output.name], inputs)[0].tobytes()


def test_the_shipped_model_for_gpus_is_the_shipped_model(jets: JetConstituents, scores: NDArray[np.float64]) -> None:
    """In 16 bits, on a CPU: within the tolerance of its card, and nowhere the same bits."""
    card = load_card(Path(__file__).resolve().parents[2] / "models" / "omnilearned_small_simulation_gpu.yaml")
    assert (card.classes, card.score, card.inputs) == (CARD.classes, CARD.score, CARD.inputs)
    one, other = (Scorer(c, "cpu").class_probabilities(jets) for c in (CARD, card))
    np.testing.assert_allclose(other, one, rtol=0, atol=card.numerics.tolerance)
    assert np.abs(other - one).max() > CARD.numerics.tolerance


def test_a_driver_that_does_not_tell_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert free_memory(0) is None
    script = tmp_path / "nvidia-smi"
    script.write_text('#!/bin/sh\n[ "$1" = --id=GPU-b ] && echo 1024\n', encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    assert (free_memory(0), free_memory(1)) == (None, 1 << 30)


def test_a_jet_that_does_not_fit_into_memory_and_other_failures_are_errors(gpu: Callable[..., None]) -> None:
    def fail(message: str) -> None:
        def run(inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
            raise RuntimeError(message)

        gpu(run)

    fail("CUDA failure 2: out of memory")
    with pytest.raises(OddjetsError, match="not even with a single jet"):
        Scorer(CARD, "cuda").score(random_jets([3]))
    fail("something else")
    with pytest.raises(RuntimeError, match="something else"):
        Scorer(CARD, "cuda").score(random_jets([3]))


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_no_constituents_at_all_need_no_session(counts: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "get_session", None)
    jets = random_jets(counts)
    assert Scorer(CARD, "cpu").score(jets).shape == (len(counts),)
    assert Scorer(CARD, "cpu").class_probabilities(jets).shape == (len(counts), 10)


def test_progress_adds_up_to_all_jets(jets: JetConstituents) -> None:
    done: list[int] = []
    some = select(jets, np.arange(5))
    Scorer(CARD, "cpu").score(some, progress=done.append)
    assert sum(done) == 5
    done.clear()
    Scorer(CARD, "cpu").score(random_jets([0, 2, 0]), progress=done.append)
    assert sum(done) == 3


def test_a_scorer_is_pickled_without_its_session(jets: JetConstituents, scores: NDArray[np.float64]) -> None:
    original = Scorer(CARD, "cpu", threads=2)
    assert original.provider_used == "cpu"  # a session exists
    data = pickle.dumps(original)
    assert len(data) < 20_000
    assert pickle.loads(data).score(jets).tobytes() == scores.tobytes()


def test_a_session_computes_with_one_thread() -> None:
    """Else workers would take each other's cores, and the last bits would depend on how many there are."""
    options = onnx_session.get_session(CARD, "cpu")[0].get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)


def test_one_session_serves_all_scorers_of_a_process() -> None:
    first = onnx_session.get_session(CARD, "cpu")[0]
    assert onnx_session.get_session(pickle.loads(pickle.dumps(CARD)), "cpu")[0] is first


def test_a_model_of_the_users_own_gives_its_own_numbers(tmp_path: Path) -> None:
    """Any ONNX file with a card: other inputs, classes and sizes, and nothing of OmniLearned."""
    jets = random_jets([1, 7, tiny_model.MAXIMUM + 20])
    jets.puppi_weight[3:20] = 0.5
    jets.puppi_weight[20] = 0.0
    expected = []
    for i, (start, stop) in enumerate(pairwise(jets.offsets)):
        pt = (jets.pt * jets.puppi_weight)[start:stop].astype(np.float64)
        hardest = np.argsort(-pt)[: min(tiny_model.MAXIMUM, np.count_nonzero(pt))]
        d_eta = jets.eta[start:stop].astype(np.float64) - jets.jet_eta[i]
        logits = np.array([d_eta[hardest].sum(), np.log(pt[hardest]).sum()]) @ tiny_model.MATRIX
        expected.append(1 / (1 + np.exp(logits[0] - logits[1])))
    found = Scorer(load_card(tiny_model.write(tmp_path)), "cpu").score(jets)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.ptp(found) > 0.1


# --- formulas -----------------------------------------------------------------------------------------------------


def test_a_row_has_the_same_bits_alone_and_among_others() -> None:
    rng = np.random.default_rng(0)
    for card in (CARD, published_card(formula="authors-code", class_offset=0)):
        output = rng.normal(0, 4, (200, card.output.n_classes)).astype(np.float32)
        together, classes = score.anomaly_score(output, card), score.class_probabilities(output, card)
        for i in range(len(output) - 3):
            for n in (1, 2, 3):
                assert score.anomaly_score(output[i : i + n], card).tobytes() == together[i : i + n].tobytes()
                some = score.class_probabilities(output[i : i + n], card)
                assert some.tobytes() == classes[i : i + n].tobytes()


def test_the_odds_of_the_paper_keep_their_precision_at_both_ends() -> None:
    """With one class far ahead, s and 1 - s are exponentials of the gap; float32 or 1 - Q would give 0 or 1."""
    output = np.zeros((2, N_CLASSES), np.float32)
    assert isinstance(CARD.score, PaperScore)
    (odd,), (gluon,) = CARD.classes[CARD.score.signal[-1]], CARD.classes["QCD_g"]
    output[0, odd], output[1, gluon] = 30.0, 600.0
    certain, hopeless = score.anomaly_score(output, CARD)
    assert 1 - certain == pytest.approx(4 * np.exp(-30.0), rel=1e-3, abs=0)  # as much as a float64 near 1 can hold
    assert hopeless == pytest.approx(len(CARD.score.signal) * np.exp(-600.0), rel=1e-9, abs=0)


FORMULAS: list[dict[str, Any]] = [{}, *({"formula": "authors-code", "class_offset": offset} for offset in (0, 2))]


def exact_score(output: NDArray[Any], formula: dict[str, Any], kind: str) -> tuple[Decimal, Decimal]:
    """s and 1 - s of one jet in arithmetic with 50 digits, from the formulas as published."""
    with localcontext(prec=50):
        weights = [Decimal(float(value)) for value in output[:200]]
        if kind == "logits":
            weights = [value.exp() for value in weights]
        p = [weight / sum(weights) for weight in weights]
        if formula:
            offset = formula["class_offset"]
            odd, rest = sum(p[offset + 10 :]), p[offset] + Decimal("1e-6")
        else:
            odd, rest = sum(p[12:173]), p[2] + sum(p[173:])
        return odd / (odd + rest), rest / (odd + rest)


@pytest.mark.parametrize("formula", FORMULAS, ids=["paper", "authors-code, 0", "authors-code, 2"])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), width=st.floats(0, 40), gap=st.floats(-80, 80))
def test_s_and_one_minus_s_are_as_precise_as_float64_holds_them(
    kind: str, formula: dict[str, Any], seed: int, width: float, gap: float
) -> None:
    """Relative to s where it is small, and to the spacing of numbers below 1 where it is not; from float32 outputs."""
    output = np.random.default_rng(seed).normal(0, width, N_CLASSES)
    output[12:173] += gap
    if kind == "probabilities":
        output = np.exp(output - output[:200].max())
    output = output.astype(np.float32)
    assume(output[12:200].any() or output[2])  # all of them may vanish in float32
    s, rest = exact_score(output, formula, kind)
    found = score.anomaly_score(output[np.newaxis], published_card(**formula, output={"kind": kind}))[0]
    error = float(abs(Decimal(float(found)) - s))
    assert error <= 2**-52 + 1e-11 * float(min(s, rest))
    assert error <= 1e-11 * float(s)


@settings(max_examples=100)
@given(values=st.lists(st.floats(-20, 20, width=32), min_size=10, max_size=10), shift=st.floats(-50, 50))
def test_the_score_is_the_share_of_the_signal_classes(values: list[float], shift: float) -> None:
    output = np.full((1, N_CLASSES), 77.0)  # what is outside the softmax must not matter
    output[0, list(CARD.output.softmax)] = values
    e = np.exp(np.array(values))
    assert score.anomaly_score(output, CARD)[0] == pytest.approx(e[4:].sum() / e.sum(), rel=1e-9)
    assert score.class_probabilities(output, CARD)[0] == pytest.approx(e / e.sum(), rel=1e-9)
    assert score.anomaly_score(output + shift, CARD)[0] == pytest.approx(score.anomaly_score(output, CARD)[0], rel=1e-9)


def published_card(**changes: Any) -> ModelCard:
    """A card with the class map of the published checkpoints."""
    content = CARD.model_dump()
    content["output"] |= {"softmax": "0-199"} | changes.pop("output", {})
    content["classes"] = {"prongs": "12-172", "jetclass_qcd": 2, "qcd": "173-199"}
    content["score"] = {"formula": "paper", "signal": ["prongs"], "qcd": ["jetclass_qcd", "qcd"]} | changes
    if content["score"]["formula"] == "authors-code":
        content["score"] = changes
    return ModelCard.model_validate(content)


def test_the_formulas_of_the_paper_and_of_the_authors_code_for_published_checkpoints() -> None:
    logits = np.random.default_rng(5).normal(0, 3, (20, N_CLASSES))
    p = np.exp(logits[:, :200])
    p /= p.sum(axis=1, keepdims=True)
    signal, qcd = p[:, 12:173].sum(axis=1), p[:, 2] + p[:, 173:200].sum(axis=1)
    np.testing.assert_allclose(score.anomaly_score(logits, published_card()), signal / (signal + qcd), rtol=1e-12)
    for offset in (0, 2):
        card = published_card(formula="authors-code", class_offset=offset)
        rest = p[:, offset + 10 :].sum(axis=1)
        np.testing.assert_allclose(score.anomaly_score(logits, card), rest / (p[:, offset] + rest + 1e-6), rtol=1e-12)


def test_a_model_that_gives_probabilities_is_not_normalised_twice() -> None:
    logits = np.random.default_rng(6).normal(0, 3, (20, N_CLASSES))
    p = np.exp(logits)
    p /= p[:, :200].sum(axis=1, keepdims=True)
    p[0, 5] = 0.0  # one that underflowed
    card = published_card(output={"kind": "probabilities"})
    signal, qcd = p[:, 12:173].sum(axis=1), p[:, 2] + p[:, 173:200].sum(axis=1)
    np.testing.assert_allclose(score.anomaly_score(p, card), signal / (signal + qcd), rtol=1e-12)
    np.testing.assert_allclose(score.class_probabilities(p, card)[1:], p[1:, :200], rtol=1e-12)


def test_probabilities_that_all_vanish_are_an_error_and_no_score() -> None:
    """Nothing says then whether the jet is odd."""
    card = published_card(output={"kind": "probabilities"})
    output = np.zeros((3, N_CLASSES), np.float32)
    output[0, 2] = output[1, 10] = 1  # QCD, a top, and nothing within the softmax
    assert score.anomaly_score(output[:1], card).tolist() == [0]
    with pytest.raises(OddjetsError, match="gives 2 of 3 jets the probability zero for all classes of the score"):
        score.anomaly_score(output, card)


# --- what can go wrong --------------------------------------------------------------------------------------------


def test_unknown_provider_and_no_threads_are_refused() -> None:
    with pytest.raises(OddjetsError, match="no provider 'cude'; did you mean 'cuda'"):
        Scorer(CARD, "cude")  # type: ignore[arg-type]
    with pytest.raises(OddjetsError, match="at least one thread"):
        Scorer(CARD, "cpu", threads=0)


class FakeSession:
    """Stands for a session that ONNX Runtime built with other providers than asked for."""

    def __init__(self, used: str) -> None:
        self._used = used

    def get_providers(self) -> list[str]:
        return [self._used]


@pytest.fixture
def fake_runtime(monkeypatch: pytest.MonkeyPatch):
    """Replace ONNX Runtime by one that says it has these providers, and uses that one."""
    import onnxruntime

    asked: list[Any] = []

    def install(available: list[str], used: str) -> list[Any]:
        def build(path: Path, options: Any, providers: list[Any]) -> FakeSession:
            asked.append(providers)
            return FakeSession(used if len(providers) > 1 else "CPUExecutionProvider")

        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
        monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None, raising=False)
        monkeypatch.setattr(onnxruntime, "InferenceSession", build)
        monkeypatch.setattr(onnx_session, "_check_graph", lambda session, card: None)
        monkeypatch.setattr(onnx_session, "_SESSIONS", {})
        return asked

    return install


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


@pytest.mark.fault(
    "GPU asked for and absent",
    "Stops and gives the reason; only `provider: auto` uses the CPU instead, and reports it.",
)
@pytest.mark.parametrize(("available", "reason"), [([CPU], "has no CUDA"), ([CUDA, CPU], "could not start CUDA")])
def test_cuda_means_cuda_or_an_error(fake_runtime: Any, available: list[str], reason: str) -> None:
    fake_runtime(available, used=CPU)
    with pytest.raises(OddjetsError, match=reason):
        _ = Scorer(CARD, "cuda").provider_used


@pytest.mark.parametrize("available", [[CPU], [CUDA, CPU]])
def test_auto_falls_back_to_the_cpu_and_says_so_once(
    fake_runtime: Any, available: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    fake_runtime(available, used=CPU)
    with caplog.at_level(logging.WARNING, logger="oddjets"):
        assert [Scorer(CARD, "auto").provider_used for _ in range(3)] == ["cpu"] * 3
    assert [r.getMessage().count("on the CPU") for r in caplog.records] == [1]


def test_cuda_is_refused_before_work_where_the_runtime_has_none(fake_runtime: Any) -> None:
    fake_runtime([CPU], used=CPU)
    with pytest.raises(OddjetsError, match="has no CUDA"):
        onnx_session.check_provider("cuda")
    onnx_session.check_provider("auto")
    fake_runtime([CUDA, CPU], used=CUDA)
    onnx_session.check_provider("cuda")


@pytest.mark.parametrize("provider", ["auto", "cuda"])
def test_cuda_is_used_where_it_works_on_the_device_asked_for(fake_runtime: Any, provider: Any) -> None:
    asked = fake_runtime([CUDA, CPU], used=CUDA)
    assert Scorer(CARD, provider, device=1).provider_used == "cuda"
    name, options = asked[0][0]
    assert (name, options["device_id"], options["use_tf32"]) == (CUDA, 1, 0)


def test_cpu_never_asks_for_cuda(fake_runtime: Any) -> None:
    asked = fake_runtime([CUDA, CPU], used=CUDA)
    assert Scorer(CARD, "cpu").provider_used == "cpu"
    assert asked == [[CPU]]


@pytest.mark.parametrize(
    ("installed", "message"),
    [(set(), r"pip install 'oddjets\[cpu\]'"), ({"onnxruntime", "onnxruntime-gpu"}, "both installed")],
)
def test_neither_or_both_runtimes_are_an_error(
    installed: set[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(name: str) -> str:
        if name in installed:
            return "1.0"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(onnx_session, "_SESSIONS", {})
    with pytest.raises(OddjetsError, match=message):
        _ = Scorer(CARD, "cpu").provider_used


def test_the_runtime_is_named_for_the_manifest() -> None:
    name, version = runtime_version().split()
    assert importlib.metadata.version(name) == version


@pytest.mark.fault("NaN from the model", "Stops and gives the number of jets; no such score enters a table.")
def test_values_that_are_not_finite_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(names: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        output = np.zeros((len(inputs["x"]), N_CLASSES), np.float32)
        output[:, 7] = np.nan
        return [output]

    monkeypatch.setattr(scorer, "get_session", lambda *_: (SimpleNamespace(run=run), "cpu"))
    with pytest.raises(OddjetsError, match="not finite for 2 of 2 jets"):
        Scorer(CARD, "cpu").score(random_jets([3, 0, 4]))


def with_input(which: str, **changes: Any) -> ModelCard:
    """The shipped card with one input described otherwise, under another sha256 so that no session is found."""
    inputs = tuple(t.model_copy(update=changes) if t.name == which else t for t in CARD.inputs)
    return CARD.model_copy(update={"inputs": inputs, "sha256": "1" * 64})


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (with_input("x", name="points"), "the graph's inputs are x, pid, add, the card's add, pid, points"),
        (with_input("pid", dtype="float32"), r"input pid is tensor\(int64\) in the graph, float32 in the card"),
        (with_input("x", shape=("batch", "constituents", 3)), "input x has shape .* in the card"),
        (
            CARD.model_copy(
                update={"sha256": "2" * 64, "output": CARD.output.model_copy(update={"name": "probabilities"})}
            ),
            "the graph's outputs are logits, the card's probabilities",
        ),
        (
            CARD.model_copy(update={"sha256": "3" * 64, "output": CARD.output.model_copy(update={"n_classes": 211})}),
            "211 classes in the card",
        ),
    ],
)
def test_a_graph_that_does_not_fit_its_card_is_refused(card: ModelCard, message: str) -> None:
    with pytest.raises(OddjetsError, match=message):
        onnx_session.get_session(card, "cpu")


def test_a_file_that_is_no_onnx_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / CARD.file).write_bytes(b"not a model")
    card = CARD.model_copy(update={"sha256": "4" * 64})
    card._folder = tmp_path
    with pytest.raises(OddjetsError, match="does not load"):
        onnx_session.get_session(card, "cpu")


# --- the shipped model on jets it never saw -------------------------------------------------------------------------
