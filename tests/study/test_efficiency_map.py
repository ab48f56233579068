"""The map of the score's efficiency: by hand, with errors, and from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from helpers import toy_analysis
from helpers.toy_nano import toy_nano
from scipy.stats import beta

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io.decay_partons import read_decay_partons
from oddjets.simulation.nanoaod_layout import jagged
from oddjets.study.efficiency_map import MapJets, make_map, read_map
from oddjets.workflow import efficiency_map
from oddjets.workflow.pipeline import run_stage, stage_of

PT, MASS = (400.0, 500.0, 1000.0), (50.0, 100.0, 200.0)


def _jets(number: int = 40_000) -> MapJets:
    """Jets that pass with a chance that depends on their class and mass alone."""
    rng = np.random.default_rng(1)
    pt, mass = rng.uniform(400, 1000, (2, number)), rng.uniform(50, 200, (2, number))
    prongs = rng.integers(0, 6, (2, number))
    chance = np.where(mass < 100, 0.1, 0.6) * np.where(prongs > 1, 1.0, 0.5)
    return MapJets(pt, mass, prongs, rng.random((2, number)) < chance, np.full(number, 0.5), np.full(number, "x"))


def test_a_map_finds_the_chances_that_jets_were_given() -> None:
    made, check = make_map(_jets(), PT, MASS)
    assert made.values.shape == (4, 2, 2)
    known = np.array([[0.05, 0.3], *[[0.1, 0.6]] * 3])[:, None, :]
    pulls = (made.values - known) / (0.5 * (made.down + made.up))
    assert np.abs(pulls).max() < 4
    assert np.sqrt((pulls**2).mean()) == pytest.approx(1, abs=0.5)
    # jets pass whatever the other one does: so the map predicts A
    of = check["x"]
    assert of["predicted"] == pytest.approx(of["events"], abs=4 * float(of["error"] or 0))


def test_a_bin_is_counted_by_hand_with_its_interval() -> None:
    pt, mass = np.array([[450.0, 450.0, 2000.0], [450.0, 450.0, 450.0]]), np.full((2, 3), 75.0)
    prongs, passes = np.array([[2, 2, 2], [0, 1, 7]]), np.array([[True, False, True], [True, True, True]])
    made, check = make_map(MapJets(pt, mass, prongs, passes, np.array([3.0, 1.0, 1.0]), np.full(3, "x")), PT, MASS)
    # two jets of weights 3 and 1, of which the heavier passes; the third is outside
    effective = 16 / 10
    assert made.jets[1, 0, 0] == pytest.approx(effective)
    assert made.values[1, 0, 0] == pytest.approx(0.75)
    k = 0.75 * effective
    assert made.values[1, 0, 0] - made.down[1, 0, 0] == pytest.approx(
        beta.ppf(0.158655, k, effective - k + 1), rel=1e-4
    )
    assert made.values[0, 0, 0] == 1.0
    assert np.isnan(made.values[2]).all()
    # of the event with a jet outside of the map nothing is predicted
    assert check["x"]["events"] == 3.0
    assert check["x"]["predicted"] == pytest.approx((3 + 1) * 0.75 * 1.0)
    np.testing.assert_array_equal(made.efficiency([2, 0, 9, 2], [450, 450, 450, 2000], 75), [0.75, 1.0, 1.0, np.nan])


def test_a_map_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    made, _ = make_map(_jets(2000), PT, MASS)
    file = tmp_path / "map.json"
    file.write_text(json.dumps({"map": made.as_dict()}, allow_nan=False))
    found = read_map(file)
    for name, values in vars(made).items():
        np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)
    file.write_text("{}")
    with pytest.raises(InputFileError, match="is no efficiency map"):
        read_map(file)


#: H -> bb, and t -> b W, W -> q q', of each event: pdgId, mother, eta, phi
DECAYS = [
    (25, -1, 0.0, 0.0), (5, 0, 0.1, 3.1), (-5, 0, 0.1, -3.1), (6, -1, 0.0, 0.0), (5, 3, 1.0, 0.0), (24, 3, 1.0, 0.0),
    (1, 5, 1.1, 0.2), (-2, 5, 0.8, 0.1), (21, -1, 0.1, 3.1), (12, 5, 1.0, 0.0),
]  # fmt: skip


def _with_decays(record: dict[str, Any], _: dict[str, Any]) -> None:
    n = len(record["event"])
    columns = dict(zip(("pdgId", "genPartIdxMother", "eta", "phi"), np.array(DECAYS * n).T, strict=True))
    integers = {name: columns.pop(name).astype(int) for name in ("pdgId", "genPartIdxMother")}
    record["GenPart"] = jagged(np.full(n, len(DECAYS)), **columns, **integers, pt=np.ones(n * len(DECAYS)))
    for name, values in (("eta", [0.1, 1.0]), ("phi", [3.1, 0.0])):
        column = ak.unflatten(np.tile(values, n).astype(np.float32), np.full(n, 2))
        record["FatJet"] = ak.with_field(record["FatJet"], column, name)


def test_prongs_are_the_decay_products_in_the_jet(tmp_path: Path) -> None:
    found = read_decay_partons(str(toy_nano(tmp_path / "top.root", 3, change=_with_decays)))
    assert found is not None
    assert np.diff(found.offsets).tolist() == [5, 5, 5]
    rows = found.rows_of(np.array([[1, 2, 1], [1, 2, 9]], np.uint64))
    assert rows.tolist() == [1, -1]
    # both b quarks, across the end of phi; b and both quarks of the W, and no neutrino or gluon
    prongs = found.prongs_near(np.array([0, 0]), np.array([0.1, 1.0]), np.array([3.1, 0.0]), 0.8)
    assert prongs.tolist() == [2, 3]


def test_the_command_maps_the_samples_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(efficiency_map, "make", lambda analysis, out, names: drawn.extend(names))
    files = {
        "data": [toy_nano(tmp_path / "data.root", 30, is_data=True)],
        "top": [toy_nano(tmp_path / "top.root", 100, seed=3, change=_with_decays)],
    }
    run = toy_analysis.run_of(toy_analysis.write(tmp_path, files))
    with pytest.raises(InputFileError, match=r"threshold\.json: not there"):
        efficiency_map.map_efficiency(run)
    for stage in ("process", "histogram"):
        run_stage(run, stage_of(run, stage))
    with pytest.raises(OddjetsError, match="no simulated process 'tpo'"):
        efficiency_map.map_efficiency(run, ["tpo"])
    content = json.loads(efficiency_map.map_efficiency(run).read_text())
    assert drawn == ["efficiency_map"]
    jets = np.array(content["map"]["jets"], float).sum(axis=(1, 2)) > 0
    # the leading jet holds the H, the other the top quark
    assert jets.tolist() == [False, True, True, False]
    assert content["threshold"] == {"score": "xbb", "value": 0.5}
    assert content["samples"]["top"]["events"] > 0
