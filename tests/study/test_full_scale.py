"""The sample of the paper's size: its plan, its parts and their join, what rounding moves, and models run by PyTorch."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import expit, logit

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.simulation.processes import load_processes
from oddjets.study.bank import Bank, rounded

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PLANNED, QCD_UNITS = 100.0, 4
DATA = ("qcd", "top", "wjets", "zjets", "stop_t", "stop_s", "ww", "wz", "zz", "wh", "zh", "hj", "tth")


@pytest.fixture(scope="module")
def full_scale() -> Iterator[SimpleNamespace]:
    """Load the modules of benchmarks/full_scale.py, which are in no package."""
    sys.path.insert(0, str(BENCHMARKS))
    names = ("units", "parts", "truth", "torch", "sample", "study", "page")
    yield SimpleNamespace(**{name: importlib.import_module(f"full_scale_{name}") for name in names})
    sys.path.remove(str(BENCHMARKS))
    for name in [name for name in sys.modules if name.startswith("full_scale")]:
        del sys.modules[name]


def make_parts(
    full_scale: SimpleNamespace, folder: Path, *, done: int = 2, change: dict[str, Any] | None = None
) -> list[Path]:
    """Write units of random events, of QCD so many of four, and pack them in two parts."""
    rng = np.random.default_rng(3)
    plan = [(True, process, k) for process in DATA for k in range(done if process == "qcd" else 1)]
    plan += [(False, process, 0) for process in (*DATA[1:], "hh")]
    for seed, (is_data, process, index) in enumerate(plan, 1):
        size = 40 if process == "qcd" else 10
        columns: dict[str, Any] = {"entry": np.arange(1, size + 1, dtype=np.uint32)}
        for j in (1, 2):
            for name in ("omnilearned", "team_member1", "team_member2", "team_member3", "team_member4", "xbb"):
                columns[f"score_{name}_{j}"] = rounded(rng.normal(0, 2, size), 12)
            columns |= {f"pt_{j}": rng.uniform(500, 900, size), f"mass_{j}": rng.uniform(70, 230, size)}
            columns |= {f"mass_ungroomed_{j}": columns[f"mass_{j}"], f"eta_{j}": rng.normal(0, 1, size)}
            columns |= {
                f"phi_{j}": rng.uniform(-3, 3, size),
                f"tau21_{j}": rng.random(size),
                f"btag_{j}": rng.random(size),
            }
            columns |= {f"truth_{j}": np.zeros(size, np.int8), f"flavour_{j}": np.zeros(size, np.int8)}
        columns |= {"weight": rng.uniform(0.9, 1.1, size), "prefiring": rng.uniform(0.8, 1.0, size)}
        columns = {n: a.astype(np.float32) if a.dtype == np.float64 else a for n, a in columns.items()}
        dataset = ("data_" if is_data else "") + process
        note = {
            "unit": f"{dataset}-{index:05d}",
            "dataset": dataset,
            "process": process,
            "is_data": is_data,
            "index": index,
        }
        note |= {"of": QCD_UNITS if process == "qcd" else 1, "planned_pb": PLANNED, "tries": 1000, "pythia_seed": seed}
        note |= {"detector_seed": seed, "sum_of_weights": 1000.0, "rows": size}
        note |= {"sum_of_row_weights": float(columns["weight"].astype(float).sum()), "seconds": {}}
        note["seconds"] = {"simulation": 1.0, "selection and scores": 2.0}
        note |= (change or {}).get(note["unit"], {})
        full_scale.units.write(folder / "units" / dataset / f"{note['unit']}.parquet", columns, note)
    made: list[Path] = full_scale.parts.pack_units(folder / "units", folder / "parts", "part", files=2)
    return made


def test_the_plan_has_each_event_once_and_any_part_of_it_is_of_one_luminosity(full_scale: SimpleNamespace) -> None:
    spec = full_scale.units.scaled(full_scale.units.the_analysis().simulate, 0.02)
    units = full_scale.units.make_units(spec)
    assert len({unit.name for unit in units}) == len(units)
    seeds = [stream.pythia_seed for unit in units for stream in unit.block.streams]
    assert len(set(seeds)) == len(seeds)
    assert [unit.name for unit in full_scale.units.make_units(spec)] == [unit.name for unit in units]
    made = load_processes()["qcd"]
    qcd = [unit for unit in units if unit.is_data and unit.process == "qcd"]
    expected = made.cross_section_pb * made.k_factor * spec.luminosity / len(qcd)
    tries = np.array([unit.block.tries for unit in qcd])
    assert abs(tries.mean() - expected) < 5 * np.sqrt(expected / len(qcd))
    assert tries.std() == pytest.approx(np.sqrt(expected), rel=0.5)  # Poisson numbers
    top = [unit.block.tries for unit in units if not unit.is_data and unit.process == "top"]
    assert sum(top) == spec.templates["top"]  # the templates are divided, and none is lost
    assert not any(unit.block.is_data for unit in units)  # so that all have generator truth


def test_parts_join_to_one_luminosity(full_scale: SimpleNamespace, tmp_path: Path) -> None:
    about = full_scale.parts.join(make_parts(full_scale, tmp_path), tmp_path / "sample.parquet")
    assert about["luminosity_pb"] == PLANNED * 2 / QCD_UNITS
    bank = Bank.open(tmp_path / "sample.parquet")
    (qcd,), (top,), (data,) = (list(bank.tables(process)) for process in ("qcd", "top", "data_top"))
    made = load_processes()["top"]
    cross_section = made.cross_section_pb * made.k_factor
    assert top["weight"].sum() == pytest.approx(cross_section * 10 / 1000, rel=0.05)  # ten events of 1000 tries
    assert len(qcd["weight"]) == 80
    assert 0.7 < qcd["in_data"].mean() < 1.0  # what prefiring leaves
    assert len(data["weight"]) < 10  # half of the luminosity was simulated for QCD, and all of it for top pairs
    mean = np.mean([logit(qcd[f"score_team_member{k}_1"]) for k in range(1, 5)], axis=0)
    np.testing.assert_allclose(logit(qcd["score_team_1"]), mean, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_qcd-00001": {"pythia_seed": 1}}, "pythia_seed 1 is there twice"),
        ({"data_qcd-00001": {"sum_of_row_weights": 50.0}}, "its weights add up to"),
        ({"data_qcd-00001": {"sum_of_weights": 999.0}}, "is not the number of tries"),
        ({"data_qcd-00001": {"planned_pb": 5.0}}, "different plans"),
        ({"data_qcd-00001": {"rows": 39}}, "copy it again"),
        ({"data_qcd-00001": {"index": 0}}, "an event is there twice"),
    ],
)
def test_what_does_not_add_up_is_refused(full_scale: SimpleNamespace, tmp_path: Path, change: Any, words: str) -> None:
    parts = make_parts(full_scale, tmp_path, change=change)
    with pytest.raises(OddjetsError, match=words):
        full_scale.parts.read_parts(parts)


def test_a_part_twice_and_a_file_that_is_none_are_refused(full_scale: SimpleNamespace, tmp_path: Path) -> None:
    parts = make_parts(full_scale, tmp_path)
    with pytest.raises(OddjetsError, match="join each part once"):
        full_scale.parts.read_parts([*parts, parts[0]])
    pq.write_table(pa.table({"dataset": ["qcd"]}), tmp_path / "other.parquet")
    with pytest.raises(InputFileError, match="is no part"):
        full_scale.parts.read_parts([tmp_path / "other.parquet"])
    with pytest.raises(OddjetsError, match="no pseudo-data of"):
        full_scale.parts.join(parts[:1], tmp_path / "sample.parquet")


def test_a_unit_that_was_cut_off_is_left_out(full_scale: SimpleNamespace, tmp_path: Path) -> None:
    """A unit appears under its name when it is complete; what a kill leaves is no unit."""
    make_parts(full_scale, tmp_path)
    (tmp_path / "units" / "data_qcd" / "data_qcd-00003.parquet").write_bytes(b"PAR1")
    parts = full_scale.parts.pack_units(tmp_path / "units", tmp_path / "again", "part", files=1)
    said = json.loads(pq.read_schema(parts[0]).metadata[b"full_scale"])
    assert "data_qcd-00003" not in {unit["unit"] for unit in said["units"]}


def test_rounding_moves_hardly_an_event_across_a_threshold(full_scale: SimpleNamespace) -> None:
    """A step of the logit is 2^-12 of it at most, half of which a score moves; what moves is counted."""
    rng = np.random.default_rng(1)
    exact = expit(rng.logistic(-1, 1.2, (2, 500_000)))
    kept = expit(rounded(logit(exact), full_scale.units.SCORE_BITS).astype(np.float64))
    assert np.abs(logit(kept) / logit(exact) - 1).max() < 2**-13 * 1.01
    moved = full_scale.parts.threshold_moves(exact.min(axis=0), 0.002, kept.min(axis=0))
    assert moved["selected"] == 1000
    # events within half a step of the threshold: 2^-13 of its logit times their density there
    cut = float(logit(moved["threshold"]))
    density = 1000 * 2 / 1.2  # of the smaller of two: both tails fall by e in 1.2
    assert moved["moved"] <= 3 + 5 * density * abs(cut) * 2**-13
    assert moved["moved_with_own_threshold"] <= 2 * moved["moved"] + 2


def test_a_jet_is_what_is_in_it(full_scale: SimpleNamespace) -> None:
    columns = {"eta_1": np.zeros(4), "phi_1": np.full(4, 3.1)}
    nothing = np.full(4, np.nan)
    particles = dict.fromkeys(range(full_scale.truth.MOST), (nothing, nothing, nothing))
    # a top and its W; a W alone beyond the seam of phi; quarks and a gluon, of which the gluon is nearer; a Higgs far away
    particles[0] = (np.array([6, 24, 1, 25.0]), np.array([0.1, 0, 0.5, 2]), np.array([3.1, -3.1, 3.1, 3.1]))
    particles[1] = (np.array([24, np.nan, 21, np.nan]), np.array([0, np.nan, 0.2, np.nan]), np.full(4, 3.1))
    for k, (code, eta, phi) in particles.items():
        columns |= {f"particle_id_{k}": code, f"particle_eta_{k}": eta, f"particle_phi_{k}": phi}
    assert full_scale.truth.truth_of(columns, 1).tolist() == [6, 24, 21, 0]


def test_a_graph_gives_the_same_by_pytorch(full_scale: SimpleNamespace) -> None:
    """Jets of a padded batch have the logits that ONNX Runtime gives them one by one."""
    pytest.importorskip("torch")
    file = BENCHMARKS.parent / "models" / "omnilearned_small_reduced_2.onnx"
    graph = full_scale.torch.TorchGraph(file, "cpu")
    assert full_scale.torch.largest_difference(file, graph, jets=4) < 1e-4


def test_a_study_is_of_one_sample_and_of_known_sections(full_scale: SimpleNamespace, tmp_path: Path) -> None:
    sample, out = tmp_path / "sample.parquet", tmp_path / "results.json"
    full_scale.parts.join(make_parts(full_scale, tmp_path), sample)
    settings = full_scale.sample.Settings
    with pytest.raises(OddjetsError, match="no section 'nothing'; there are closure"):
        full_scale.study.study(sample, out, settings(only=("nothing",)))
    with pytest.raises(OddjetsError, match="has no score 'labelled'; it has omnilearned, team"):
        full_scale.study.study(sample, out, settings(scores=("labelled",)))
    out.write_text(json.dumps({"sample": {"luminosity_pb": 1.0}}), encoding="utf-8")
    with pytest.raises(OddjetsError, match="results of another sample"):
        full_scale.study.study(sample, out, settings())


def test_pseudo_data_have_weight_one_and_the_set_ups_are_the_papers(
    full_scale: SimpleNamespace, tmp_path: Path
) -> None:
    full_scale.parts.join(make_parts(full_scale, tmp_path), tmp_path / "sample.parquet")
    sample = full_scale.sample.Sample.open(tmp_path / "sample.parquet")
    data = sample.pseudo_data()
    assert set(data["weight"]) == {1.0}
    counts = {name: int(columns["in_data"].sum()) for name, columns in sample.tables.items() if "in_data" in columns}
    assert len(data["weight"]) == sum(counts.values())
    for set_up, score in full_scale.sample.PAPER:
        analysis = sample.analysis(set_up, score)
        assert analysis.threshold.efficiency == 0.002
        assert analysis.fit.poi.process == ("top" if set_up == "top" else "hh")
        assert analysis.threshold.score == score


def test_a_page_needs_all_sections_and_fills_its_lines(full_scale: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"sample": {}}), encoding="utf-8")
    with pytest.raises(InputFileError, match="no section 'closure'"):
        full_scale.page.write_page(tmp_path / "results.json", tmp_path / "page.md")
    text = "# Title\n\none\ntwo\n\n- first\n- second item\n\n| a |\n| --- |"
    assert full_scale.page.filled(text) == text.replace("one\ntwo", "one two")


def test_the_page_of_the_documentation_is_that_of_the_results(full_scale: SimpleNamespace) -> None:
    results = BENCHMARKS / "results" / "full_scale.json"
    result = json.loads(results.read_text(encoding="utf-8"))
    text = full_scale.page.filled(full_scale.page.text_of(result, results.name)) + "\n"
    page = BENCHMARKS.parent / "docs" / "full_scale.md"
    assert text == page.read_text(encoding="utf-8"), "make it again with `benchmarks/full_scale.py page`"
