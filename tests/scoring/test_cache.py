"""Kept scores: the same bits, no inference where nothing changed for a jet, and nothing wrong ever taken from disk."""

from __future__ import annotations

import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import analyses, chunks, tiny_model

from oddjets.config.analysis import load_analysis
from oddjets.config.execution import Execution
from oddjets.core import resources
from oddjets.core.errors import OddjetsError
from oddjets.io import event_table
from oddjets.scoring import cache as cache_module
from oddjets.scoring import scorer
from oddjets.scoring.cache import Evaluation, ScoreCache, cache_key, evaluate, refused_writing
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents, prepare
from oddjets.scoring.model_card import ModelCard, PaperScore, load_card
from oddjets.scoring.score import anomaly_score, class_probabilities, class_shares
from oddjets.scoring.scorer import Scorer
from oddjets.workflow.pipeline import run_stage, stage_of
from oddjets.workflow.run import RunContext

CARD = load_card(resources.find("omnilearned_small_simulation.yaml", "models"))


def some_jets(counts: list[int], seed: int = 0) -> JetConstituents:
    rng = np.random.default_rng(seed)
    n = sum(counts)
    columns: dict[str, Any] = {name: rng.uniform(0.01, 0.5, n).astype(np.float32) for name in CANDIDATE_BRANCHES}
    columns |= {"pt": rng.uniform(2, 50, n), "puppi_weight": np.ones(n, np.float32)}
    columns |= {"pdg_id": rng.choice([211, -211, 22, 130], n), "charge": rng.choice([-1, 0, 1], n)}
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    axis = np.zeros(len(counts), np.float32)
    return JetConstituents(offsets=offsets, jet_eta=axis, jet_phi=axis, **columns)


@pytest.fixture(scope="module")
def jets() -> JetConstituents:
    return some_jets([5, 12, 30, 8])


@pytest.fixture(scope="module")
def scores(jets: JetConstituents) -> Any:
    """Without anything kept."""
    return Scorer(CARD, "cpu").score(jets)


@pytest.fixture
def cache(tmp_path: Path) -> ScoreCache:
    return ScoreCache(tmp_path / "scores", "4f1c", 0, 100)


@pytest.fixture
def no_inference(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A switch: from then on, any inference in this process is an error."""

    def switch() -> None:
        def refuse(*args: Any) -> Any:
            raise AssertionError("the model ran")

        monkeypatch.setattr(scorer.Scorer, "_on_cpu", refuse)

    return switch


def scores_of(found: Evaluation) -> Any:
    return anomaly_score(found.output, CARD)


def parts(cache: ScoreCache) -> list[Path]:
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


def test_kept_scores_have_the_bits_of_computed_ones(
    jets: JetConstituents, scores: Any, cache: ScoreCache, no_inference: Any
) -> None:
    first = evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    assert (first.computed, first.from_cache) == (4, 0)
    no_inference()
    again = evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    assert (again.computed, again.from_cache) == (0, 4)
    assert scores_of(first).tobytes() == scores_of(again).tobytes() == scores.tobytes()


def test_what_is_kept_gives_every_score_share_and_probability(
    jets: JetConstituents, cache: ScoreCache, no_inference: Any
) -> None:
    """Of a kept output, any formula has the bits of the model's own."""
    own = Scorer(CARD, "cpu").run(prepare(jets, CARD))
    evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    no_inference()
    kept = evaluate(Scorer(CARD, "cpu"), jets, cache=cache).output
    assert (kept.dtype, kept.shape) == (own.dtype, own.shape)
    for compute in (anomaly_score, class_shares, class_probabilities):
        assert compute(kept, CARD).tobytes() == compute(own, CARD).tobytes()
    of_groups = PaperScore(formula="paper", signal=("X_bb",), qcd=("QCD_b", "QCD_c"))
    assert anomaly_score(kept, CARD, of_groups).tobytes() == anomaly_score(own, CARD, of_groups).tobytes()


@pytest.mark.parametrize("name", [*CANDIDATE_BRANCHES, "jet_eta", "jet_phi"])
def test_a_jet_that_changed_in_anything_is_scored_again_and_no_other(
    name: str, jets: JetConstituents, cache: ScoreCache
) -> None:
    evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    values = getattr(jets, name).copy()
    values[1 if name.startswith("jet") else jets.offsets[1]] += 1
    changed = replace(jets, **{name: values})
    found = evaluate(Scorer(CARD, "cpu"), changed, cache=cache)
    assert (found.computed, found.from_cache) == (1, 3)
    assert scores_of(found).tobytes() == Scorer(CARD, "cpu").score(changed).tobytes()


def test_a_jet_that_lost_a_constituent_is_scored_again(jets: JetConstituents, cache: ScoreCache) -> None:
    evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    fewer = {name: getattr(jets, name)[:-1] for name in CANDIDATE_BRANCHES}
    offsets = jets.offsets.copy()
    offsets[-1] -= 1
    found = evaluate(Scorer(CARD, "cpu"), replace(jets, offsets=offsets, **fewer), cache=cache)
    assert (found.computed, found.from_cache) == (1, 3)


def with_card(**changes: Any) -> ModelCard:
    return CARD.model_copy(update=changes)


@pytest.mark.parametrize(
    ("card", "same"),
    [
        (with_card(notes=("another description",)), True),
        (with_card(sha256="0" * 64), False),
        (with_card(constituents=CARD.constituents.model_copy(update={"puppi": "raw"})), False),
        (with_card(constituents=CARD.constituents.model_copy(update={"maximum": 50})), False),
        (with_card(output=CARD.output.model_copy(update={"softmax": CARD.output.softmax[1:]})), False),
        (with_card(score=CARD.score.model_copy(update={"signal": ("X_bb",)})), True),
        (with_card(classes={**CARD.classes, "two": CARD.classes["X_qq"]}), True),
    ],
    ids=["notes", "sha256", "puppi", "maximum", "softmax", "formula", "classes"],
)
def test_outputs_of_another_model_are_not_taken_and_those_of_another_formula_are(card: ModelCard, same: bool) -> None:
    keys = [cache_key(Scorer(c, "cpu")) for c in (CARD, card)]
    assert (keys[0] == keys[1]) is same


def test_scores_of_another_provider_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = cache_key(Scorer(CARD, "auto"))
    monkeypatch.setattr(scorer.Scorer, "provider_used", "cuda")
    assert cache_key(Scorer(CARD, "auto")) != on_cpu


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    with np.load(file) as stored:
        place = content.find(stored["values"].tobytes())
    content[place + 3] ^= 1
    file.write_bytes(content)


def of_another_model(file: Path) -> None:
    with np.load(file) as stored:
        np.savez(file, **{**stored, "key": np.array("0" * 64)})


def pickled(file: Path) -> None:
    with np.load(file) as stored:
        np.savez(file, **{**stored, "values": np.array([object()])}, allow_pickle=True)


def not_finite(file: Path) -> None:
    with np.load(file) as stored:
        np.savez(file, **{**stored, "values": np.full_like(stored["values"], np.nan)})


def fewer_scores(file: Path) -> None:
    with np.load(file) as stored:
        np.savez(file, **{**stored, "values": stored["values"][:-1]})


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_byte,
        of_another_model,
        pickled,
        not_finite,
        fewer_scores,
        lambda file: file.write_bytes(file.read_bytes()[:-30]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_text("no archive"),
    ],
    ids=["byte", "model", "pickle", "nan", "fewer", "truncated", "empty", "text"],
)
def test_a_damaged_or_foreign_part_is_ignored_with_a_word_and_replaced(
    damage: Any, jets: JetConstituents, scores: Any, cache: ScoreCache, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    (file,) = parts(cache)
    damage(file)
    found = evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    assert (found.computed, found.from_cache) == (4, 0)
    assert scores_of(found).tobytes() == scores.tobytes()
    assert [file.name in record.getMessage() for record in caplog.records] == [True]
    assert parts(cache) == [file]
    assert evaluate(Scorer(CARD, "cpu"), jets, cache=cache).from_cache == 4


@pytest.mark.slow
def test_no_changed_byte_of_a_part_gives_another_score_or_stops_the_run(
    jets: JetConstituents, cache: ScoreCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers and padding included: a byte that does not matter may change."""
    first = evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    (file,) = parts(cache)
    whole = file.read_bytes()
    monkeypatch.setattr(cache_module.log, "disabled", True)

    def kept() -> set[tuple[bytes, bytes]]:
        return {(jet, kept.tobytes()) for jet, kept in cache_module._read(cache, first.key, 10).items()}

    right = kept()
    assert len(right) == 4
    ignored = 0
    for place in range(len(whole)):
        for change in (1 << place % 8, 255):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ change]) + whole[place + 1 :])
            found = kept()
            assert found <= right
            ignored += not found
    assert ignored > len(whole)


def test_a_file_with_another_name_is_ignored(jets: JetConstituents, cache: ScoreCache) -> None:
    evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    (file,) = parts(cache)
    file.with_name("part-mine.npz").write_bytes(file.read_bytes())
    assert evaluate(Scorer(CARD, "cpu"), jets, cache=cache).from_cache == 4


def test_other_chunks_find_the_scores_and_read_only_what_overlaps(
    jets: JetConstituents, cache: ScoreCache, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(Scorer(CARD, "cpu"), jets, cache=replace(cache, start=10, stop=20))
    wider = evaluate(Scorer(CARD, "cpu"), jets, cache=replace(cache, start=0, stop=1000))
    assert wider.from_cache == 4
    parts(cache)[0].write_bytes(b"damaged")
    elsewhere = evaluate(Scorer(CARD, "cpu"), jets, cache=replace(cache, start=20, stop=30))
    assert elsewhere.from_cache == 0
    assert not caplog.records  # the damaged part was not opened


def test_a_jet_without_constituents_has_no_score_and_none_is_kept(cache: ScoreCache) -> None:
    jets = some_jets([0, 7, 0])
    for expected in ((1, 0), (0, 1)):
        found = evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
        assert (found.computed, found.from_cache) == expected
        assert np.isnan(scores_of(found)).tolist() == [True, False, True]


def test_what_is_unusual_is_counted_whether_scores_were_kept_or_not(cache: ScoreCache) -> None:
    jets = some_jets([0, 7, CARD.constituents.maximum + 2])
    jets.pt[3] = 1
    for _ in range(2):
        found = evaluate(Scorer(CARD, "cpu"), jets, cache=cache).unusual
        assert (found.without_constituents, found.truncated, found.ignored_constituents) == (1, 1, 1)


def test_workers_write_at_once(jets: JetConstituents, scores: Any, cache: ScoreCache) -> None:
    """All at the same entries: at worst a jet is scored twice."""
    barrier, found = threading.Barrier(4), []

    def work() -> None:
        barrier.wait()
        for _ in range(5):
            found.append(scores_of(evaluate(Scorer(CARD, "cpu"), jets, cache=cache)).tobytes())

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == [scores.tobytes()] * 20
    assert [file.suffix for file in parts(cache)] == [".npz"]  # one part, no temporary file


def test_nothing_is_kept_unless_asked(jets: JetConstituents, scores: Any, tmp_path: Path) -> None:
    found = evaluate(Scorer(CARD, "cpu"), jets)
    assert scores_of(found).tobytes() == scores.tobytes()
    assert list(tmp_path.iterdir()) == []


# --- the stage --------------------------------------------------------------------------------------------------------


SCORES = analyses.CONTENT["scores"]


def processed(folder: Path, file: Path, pt_min: float = 300.0, scores: Any = SCORES, **execution: Any) -> RunContext:
    """Run `process` on top pairs, even where nothing changed."""
    folder.mkdir(exist_ok=True)
    metadata = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    (folder / "fileset.json").write_text(json.dumps({"top": {"files": [str(file)], "metadata": metadata}}))
    data = analyses.content(
        luminosity=1.0,
        scores=scores,
        threshold={"score": next(iter(scores)), "value": 0.5},
        systematics=[],
        fit=None,
        execution={"executor": "iterative"} | execution,
    )
    data["selection"]["jets"] = {"pt_min": pt_min, "mass_min": 0.0}
    (folder / "analysis.yaml").write_text(yaml.safe_dump(data))
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    run_stage(run, stage_of(run, "process"), force=True)
    return run


def rows_of(run: RunContext) -> dict[str, Any]:
    return event_table.read(run.out / "events", "top")


def inference_of(run: RunContext, score: str = "omnilearned") -> Any:
    how = dict(run.extra("process")["datasets"]["top"]["inference"][score])
    assert all("has no CUDA" in reason or "could not start CUDA" in reason for reason in how.pop("fallbacks"))
    assert score in how.pop("scores")
    # what `clean` leaves alone
    assert set(how.pop("kept_as")) <= {folder.name for folder in (run.out / "scores").glob("*")}
    return how


@pytest.fixture(scope="module")
def few(sample: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chunks.copy(sample.files("top")[0], tmp_path_factory.mktemp("few") / "top.root", stop=8)


def test_a_changed_cut_needs_no_inference(few: Path, tmp_path: Path, no_inference: Any) -> None:
    loose = processed(tmp_path, few)
    rows = rows_of(loose)
    assert inference_of(loose) == {"computed": 2 * len(rows["event"]), "from_cache": 0, "providers": ["cpu"]}
    no_inference()
    pt_min = float(np.median(rows["pt_2"]))
    tight = processed(tmp_path, few, pt_min, chunk_size=3)
    kept = rows_of(tight)
    assert 0 < len(kept["event"]) < len(rows["event"])
    assert inference_of(tight) == {"computed": 0, "from_cache": 2 * len(kept["event"]), "providers": ["cpu"]}
    survivors = rows["pt_2"] > pt_min
    for name, values in kept.items():
        assert values.tobytes() == rows[name][survivors].tobytes(), name


@pytest.mark.slow
def test_workers_share_kept_scores(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hides the GPU of a machine that has one
    first = inference_of(processed(tmp_path, few, executor="futures", workers=2, chunk_size=2, provider="auto"))
    # none of the workers says it, but who gave them the work
    assert capfd.readouterr().err.count("on the CPU") == 1
    again = inference_of(processed(tmp_path, few, executor="futures", workers=2, chunk_size=8))
    assert (again["from_cache"], again["computed"]) == (first["computed"], 0)


def test_analyses_share_a_folder_of_scores(few: Path, tmp_path: Path, no_inference: Any) -> None:
    shared = {"score_folder": "../scores"}
    first = processed(tmp_path / "one", few, **shared)
    no_inference()
    second = processed(tmp_path / "two", few, chunk_size=3, **shared)
    counts = [run.extra("process")["datasets"]["top"]["inference"]["omnilearned"] for run in (first, second)]
    assert counts[0]["computed"] == counts[1]["from_cache"] > 0
    assert not (first.out / "scores").exists()
    assert (tmp_path / "scores").is_dir()
    assert rows_of(first)["score_omnilearned_1"].tobytes() == rows_of(second)["score_omnilearned_1"].tobytes()


def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse any writing of scores, as a file system that is mounted for reading does, also from root."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(cache_module.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(cache_module, "atomic_write", refuse)


@pytest.mark.fault(
    "A shared folder of scores that can only be read", "Its scores are used, new ones are not kept; said once."
)
def test_a_folder_that_can_only_be_read_is_said_and_used(
    jets: JetConstituents, scores: Any, cache: ScoreCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    assert refused_writing(cache.folder) == ""
    read_only(monkeypatch)
    assert refused_writing(cache.folder) == "Read-only file system"
    again = evaluate(Scorer(CARD, "cpu"), jets, cache=cache)
    assert (again.computed, again.from_cache) == (0, 4)
    new = evaluate(Scorer(CARD, "cpu"), jets, cache=replace(cache, uuid="other"))
    assert new.computed == 4
    assert scores_of(new).tobytes() == scores.tobytes()


def test_what_cannot_be_a_folder_of_scores_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OddjetsError, match=r"file.*: cannot be the folder of scores \(.*'execution.score_folder'"):
            refused_writing(place)


@pytest.mark.parametrize("other", ["score_cache", "shared_filesystem"])
def test_a_folder_of_scores_where_none_are_stored_is_refused(other: str) -> None:
    asked = {"score_folder": "x", other: False, "executor": "dask"}
    with pytest.raises(ValueError, match=f"with '{other}: false' none are"):
        Execution.model_validate(asked)


def test_without_kept_scores_the_rows_are_the_same(few: Path, tmp_path: Path) -> None:
    kept = processed(tmp_path / "kept", few)
    computed = processed(tmp_path / "computed", few, score_cache=False)
    assert (kept.out / "scores").is_dir()
    assert not (computed.out / "scores").exists()
    one, other = ({name: array.tobytes() for name, array in rows_of(run).items()} for run in (kept, computed))
    assert one == other


def test_several_scores_stand_side_by_side(few: Path, tmp_path: Path) -> None:
    """A model that came with oddjets, one of the user's own, and branches: each as if it were alone."""
    mine = {"mine": {"card": str(tiny_model.write(tmp_path))}}
    branches = {"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}}
    together = processed(tmp_path / "together", few, scores={**mine, **SCORES, **branches})
    rows = rows_of(together)
    computed = {"computed": 2 * len(rows["event"]), "from_cache": 0, "providers": ["cpu"]}
    assert inference_of(together, "mine") == inference_of(together) == computed
    for scores in (mine, SCORES, branches):
        (name,) = scores
        alone = rows_of(processed(tmp_path / name, few, scores=scores))
        for column in (f"score_{name}_1", f"score_{name}_2"):
            assert alone[column].tobytes() == rows[column].tobytes()
            assert ((rows[column] > 0) & (rows[column] < 1)).any()
    # each model has scores of its own, and one more score needs no inference for the others
    fewer = processed(tmp_path / "omnilearned", few, scores=mine | SCORES)
    assert (inference_of(fewer)["computed"], inference_of(fewer, "mine")["computed"]) == (0, computed["computed"])
