"""The check finds what is wrong, and says what other arithmetic does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from oddjets.core.errors import OddjetsError
from oddjets.scoring.model_card import load_card
from oddjets.training.export.random_jets import load_jets, random_jets
from oddjets.training.validate.parity import compare, groups, has_tied_neighbours, reference_card

SHIPPED = load_card(Path(__file__).parents[2] / "models" / "omnilearned_small_simulation.yaml")


def test_a_difference_is_measured_and_nothing_infinite_gets_lost() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (300, 210))
    from oddjets.scoring import score

    p, s = score.class_probabilities(logits, SHIPPED), score.anomaly_score(logits, SHIPPED)
    same = compare("same", p, s, logits, SHIPPED)
    assert same[:6] == ("same", 300, 0.0, 0.0, 0.0, 0.0)
    p[7, 3] += 0.25
    assert compare("one", p, s, logits, SHIPPED).maximum == pytest.approx(0.25)
    p[7, 3] = np.nan
    assert compare("nan", p, s, logits, SHIPPED).maximum == np.inf
    assert reference_card(SHIPPED).output.kind == "logits"


def test_groups_hold_the_jets_that_they_name() -> None:
    by_name = {group.name: group for group in groups(30, seed=1)}
    for count in (1, 2, 3, 10, 11, 12, 150):
        jets = by_name[f"{count} constituent{'s' if count > 1 else ''}"].jets
        assert set(jets.counts) == {count}
    padded = by_name["padded, in one batch"].jets
    assert padded.x.shape[1] > padded.counts.max()
    assert len(by_name["generic"].jets.x) == 30
    tied = by_name["tied distances"]
    assert not tied.judged
    assert sum(not group.judged for group in by_name.values()) == 1


def test_random_jets_are_padded_with_zeros_and_in_descending_pt() -> None:
    jets = random_jets([3, 20, 7], np.random.default_rng(2))
    assert jets.counts.tolist() == [3, 20, 7]
    for i, count in enumerate(jets.counts):
        assert (np.diff(jets.x[i, :count, 2]) <= 0).all()
        assert not jets.x[i, count:].any()
        assert not jets.add[i, count:].any()
        assert not jets.pid[i, count:].any()
        assert (jets.x[i, :count, 3] >= jets.x[i, :count, 2]).all()  # E >= pT
    rounded = random_jets([20], np.random.default_rng(2), spacing=0.1).x[0, :, :2] / 0.1
    np.testing.assert_allclose(rounded, np.rint(rounded), atol=1e-5)


def test_files_of_jets_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OddjetsError, match="no file of jets"):
        load_jets(tmp_path / "none.npz", 5)
    np.savez(tmp_path / "a.npz", x=np.zeros((3, 5, 4)))
    with pytest.raises(OddjetsError, match="not an npz file with x, pid and add"):
        load_jets(tmp_path / "a.npz", 5)
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 5, 4)), pid=np.zeros((3, 5)), add=np.zeros((3, 5, 3)))
    with pytest.raises(OddjetsError, match="have shapes"):
        load_jets(tmp_path / "b.npz", 5)


def test_without_torch_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib

    from oddjets.core import optional_imports

    def absent(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(OddjetsError, match=r"needs torch: pip install 'oddjets\[train\]'"):
        optional_imports.require("torch")


def run(*arguments: Any) -> Any:
    from oddjets.cli.model import app

    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_exit_code_follows_the_tolerance_of_the_card(
    checkpoint: Path, card: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("check", card, checkpoint, "--n-jets", "5").exit_code == 0
    model = load_card(card)
    (tmp_path / model.file).write_bytes(model.path.read_bytes())
    strict = tmp_path / "strict.yaml"
    strict.write_text(
        re.sub(r"tolerance: .*", "tolerance: 1.0e-12", card.read_text(encoding="utf-8")), encoding="utf-8"
    )
    assert run("check", strict, checkpoint, "--n-jets", "5").exit_code == 1


def test_a_model_of_another_checkpoint_is_found_out(
    torch: Any, content: dict[str, Any], card: Path, tmp_path: Path
) -> None:
    changed = dict(content["body"])
    changed["in_blocks.1.attn.in_proj_weight"] = 1.01 * changed["in_blocks.1.attn.in_proj_weight"]
    torch.save(content | {"body": changed}, tmp_path / "other.pt")
    assert run("check", card, tmp_path / "other.pt", "--n-jets", "5").exit_code == 1


def test_export_then_check_from_the_command_line(checkpoint: Path, tmp_path: Path) -> None:
    assert run("export", checkpoint, tmp_path / "m.onnx", "--as-published", "--output", "probabilities").exit_code == 0
    exported = load_card(tmp_path / "m.yaml")
    assert exported.output.kind == "probabilities"
    assert exported.numerics.tolerance == 0.1
    result = run("export", checkpoint, tmp_path / "n.onnx", "--size", "large")
    assert "not large" in str(result.exception)


# --- arithmetic -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "kept", "lost"),
    [("tf32", 2.0**-10, 2.0**-12), ("float16", 2.0**-10, 2.0**-12), ("bfloat16", 2.0**-7, 2.0**-9)],
)
def test_products_keep_the_bits_of_their_precision(torch: Any, precision: Any, kept: float, lost: float) -> None:
    from oddjets.training.validate.numerics import rounded_products

    a = torch.tensor([[1 + kept, 1 + lost] + [0.0] * 10])
    with rounded_products(precision, islands=False):
        assert (a @ torch.eye(12)).tolist()[0][:2] == [1 + kept, 1]
        linear = torch.nn.functional.linear(a, torch.eye(12), torch.full((12,), lost))
        assert linear.tolist()[0][:2] == [1 + kept + lost, 1 + lost]  # sums stay in float32
    with rounded_products(precision, islands=True):
        assert (a[:, :2] @ torch.eye(2)).tolist() == [[1 + kept, 1 + lost]]
        assert (a @ torch.eye(12)).tolist()[0][1] == 1
    assert (a @ torch.eye(12)).tolist()[0][1] == 1 + lost


def test_kinds_of_arithmetic_are_ordered_by_their_bits(checkpoint: Path, card: Path) -> None:
    from oddjets.training.export.checkpoint import read_checkpoint
    from oddjets.training.validate.numerics import PASSES, compare_arithmetic, run_arithmetics
    from oddjets.training.validate.reference import Reference

    jets = random_jets([20, 30, 40, 50] * 2, np.random.default_rng(4))
    done: list[int] = []
    reference = Reference(read_checkpoint(checkpoint))
    exact, *others = run_arithmetics([load_card(card)], reference, jets, done.append)
    assert sum(done) == PASSES * len(jets.x)
    median = {other.name: compare_arithmetic(exact, other).probability[0] for other in others}
    assert max(median["float32"], median[f"ONNX, {load_card(card).name}"]) < 1e-5
    assert 10 * median["float32"] < median["float16, islands"] < median["bfloat16, islands"]
    assert median["TF32, islands"] == pytest.approx(median["float16, islands"], rel=1)  # as many bits


def test_jets_that_cross_a_threshold_are_counted() -> None:
    from oddjets.training.validate.numerics import ArithmeticResult, compare_arithmetic

    scores = np.arange(1000) / 1000
    moved = scores.copy()
    moved[[990, 989, 500]] = 0.9, 0.999, 0.5001  # out of and into the 1 %; within the bulk
    none = np.zeros((1000, 1))
    row = compare_arithmetic(ArithmeticResult("float64", none, scores), ArithmeticResult("other", none, moved))
    assert row.passing == (2, 10, 50)
    assert row.crossed == (1, 2, 1)
    assert row.score == (0.0, 0.0, pytest.approx(0.09))


def test_jets_are_taken_from_all_over_a_file(tmp_path: Path) -> None:
    jets = random_jets([5] * 10, np.random.default_rng(1))
    np.savez(tmp_path / "jets.npz", **jets._asdict())
    assert np.array_equal(load_jets(tmp_path / "jets.npz", 5).x, jets.x[::2])
    assert np.array_equal(load_jets(tmp_path / "jets.npz", 20).x, jets.x)


def test_jets_whose_neighbours_are_a_matter_of_chance_are_kept_apart() -> None:
    jets = random_jets([40, 40, 40, 5], np.random.default_rng(6))
    jets.x[1, 5, :2] = jets.x[1, 6, :2]  # two at one place
    nearest = np.argsort(np.square(jets.x[2, :40, :2] - jets.x[2, 0, :2]).sum(axis=1))
    jets.x[2, nearest[11], :2] = 2 * jets.x[2, 0, :2] - jets.x[2, nearest[10], :2]  # as far, on the other side
    assert has_tied_neighbours(jets).tolist() == [False, True, True, False]
    found = {group.name: group for group in groups(4, seed=1, sample=jets)}
    assert len(found["generic"].jets.x) == len(found["generic, tied distances"].jets.x) == 2
    assert not found["generic, tied distances"].judged
