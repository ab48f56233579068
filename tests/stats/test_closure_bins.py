"""The closure's uncertainty bin by bin: the workspace has the covariance that was given, and c of a sample is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import study_events

from oddjets.core.errors import OddjetsError
from oddjets.stats import combine
from oddjets.stats.closure_bins import binned_uncertainties, shifts_of, smooth_closure
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.histfactory.model import HistFactoryModel
from oddjets.study.choices import ChoiceEvents, share
from oddjets.study.null import NullPlan

EDGES = np.linspace(60, 240, 10)
CENTRES = 0.5 * (EDGES[1:] + EDGES[:-1])
X = (CENTRES - 150) / 90


def letters_of(c):
    d = 4e5 * np.exp(-CENTRES / 60)
    return np.stack([c * 0.01 * d, 0.1 * d, 0.1 * d, d])


def study_of(one):
    return {"process": "qcd", "regions": {"SR": {"closure": one}}}


def test_a_parabola_is_found_and_a_constant_of_one_has_the_error_of_the_sample():
    c = 1.1 - 0.2 * X + 0.1 * X**2
    letters = letters_of(c)
    found = smooth_closure(letters, letters, EDGES)
    np.testing.assert_allclose(found["constants"], c, rtol=1e-9)
    assert found["ndf"] == 6
    closed = letters_of(np.ones(9))
    (used,) = binned_uncertainties(study_of(smooth_closure(closed, closed, EDGES)), {"SR": EDGES}).values()
    # of the sum, a straight ratio of counts knows it nearly as well
    assert used.size == pytest.approx(used.constant_error)
    assert used.size == pytest.approx(np.sqrt(1 / closed[0].sum()), rel=0.35)
    assert len(used.bins) == 3


def test_its_covariance_is_right_for_samples_with_counts():
    """The pulls of the curve in experiments are normal: its covariance is that of the sample."""
    rng = np.random.default_rng(1)
    c = 1.1 - 0.2 * X
    pulls = []
    for _ in range(300):
        drawn = rng.poisson(letters_of(c) / 4).astype(float)
        found = smooth_closure(drawn, drawn, EDGES)
        pulls.append((np.array(found["constants"]) - c) / np.sqrt(np.diag(found["covariance"])))
    # chi2 above its degrees of freedom widens some of them
    assert np.std(pulls, axis=0) == pytest.approx(1.0, abs=0.15)
    assert np.mean(pulls, axis=0) == pytest.approx(0.0, abs=0.2)


def test_shifts_add_up_to_the_covariance():
    vectors = np.random.default_rng(2).normal(size=(2, 9))
    covariance = vectors.T @ vectors
    shifts = shifts_of(covariance)
    assert len(shifts) == 2
    np.testing.assert_allclose(shifts.T @ shifts, covariance, atol=1e-12)
    assert len(shifts_of(np.zeros((3, 3)))) == 0


@pytest.fixture(scope="module")
def built():
    """The workspace of toy events with an uncertainty of a slope and a curvature, and the study that it is from."""
    analysis = study_events.make_analysis(
        fit={
            "observable": "mass",
            "regions": ["SR"],
            "poi": {"name": "mu", "process": "top", "bounds": [0, 10]},
            "closure_uncertainty": "by-bin",
        },
        threshold={"score": "s", "efficiency": 0.02},
    )
    edges = np.array(analysis.binning("mass", "SR"))
    x = np.linspace(-1, 1, len(edges) - 1)
    one = {
        "edges": edges.tolist(),
        "constants": (1.1 + 0.1 * x).tolist(),
        "covariance": (0.05**2 * np.outer(x, x) + 0.03**2 * np.outer(x**2, x**2)).tolist(),
        "shares": np.full(len(x), 1 / len(x)).tolist(),
    }
    used = binned_uncertainties(study_of(one), {"SR": edges})
    events = study_events.make_events(analysis, qcd=20_000, scale=0.1)
    made, _ = share({"only": ChoiceEvents(analysis, events, events, used)}, NullPlan())
    experiments = made["only"]
    return json.loads(json.dumps(experiments.workspaces[experiments.central])), one, used


def test_the_workspace_has_the_covariance_that_was_given(built):
    workspace, one, _ = built
    model = HistFactoryModel(workspace, "mu")
    p, point = model.parameters, model.parameters.init.copy()
    names = [name for name in p.names if name.startswith("closure_SR_")]
    assert names == ["closure_SR_1", "closure_SR_2", "closure_SR_3"]
    nominal = model.expected(point)
    shifts = []
    for name in names:
        varied = point.copy()
        varied[p.index(name)] = 1.0
        shifts.append(model.expected(varied) - nominal)
        varied[p.index(name)] = -1.0
        # both sides alike
        np.testing.assert_allclose(model.expected(varied) - nominal, -shifts[-1], atol=1e-9)
        assert p.sigma[p.index(name)] == 1
    moved = np.flatnonzero(np.abs(shifts).max(axis=0) > 0)
    assert len(moved) == len(one["constants"])  # the bins of A, and no others
    (channel,) = (c for c in workspace["channels"] if c["name"] == "SR_A")
    (qcd,) = (np.array(s["data"]) for s in channel["samples"] if s["name"] == "qcd")
    covariance = np.array(shifts)[:, moved].T @ np.array(shifts)[:, moved]
    off = np.array(one["constants"]) - 1
    given = np.outer(off, off) + np.array(one["covariance"])
    np.testing.assert_allclose(covariance, given * np.outer(qcd, qcd), rtol=1e-6, atol=1e-9)


def test_the_card_of_combine_has_the_shift_of_each_bin(built, tmp_path):
    workspace, one, used = built
    combine.write_card(workspace, tmp_path)
    lines = (tmp_path / "datacard.txt").read_text(encoding="utf-8").splitlines()
    (line,) = (line.split() for line in lines if line.startswith("closure_SR_1"))
    assert line[1] == "lnN"
    found = [entry for entry in line[2:] if entry != "-"]
    assert len(found) == len(one["constants"])
    expected = sorted(1 + shift for shift in used["SR"].bins[0])
    assert sorted(float(entry.split("/")[1]) for entry in found) == pytest.approx(expected)


def test_what_the_fit_knows_is_taken_out():
    letters = letters_of(np.full(9, 0.5))
    one = smooth_closure(letters, letters, EDGES)
    (plain,) = binned_uncertainties(study_of(one), {"SR": EDGES}).values()
    (known,) = binned_uncertainties(study_of(one), {"SR": EDGES}, {"SR": StructuralFactor(0.5, 0.01)}).values()
    assert plain.size == pytest.approx(0.5, rel=0.01)
    assert known.constant == pytest.approx(1.0)
    assert known.size < 0.05


def test_a_region_that_is_not_known_is_an_error():
    letters = letters_of(np.ones(9)) / 1e4
    few = smooth_closure(letters, letters, EDGES)
    assert few["constants"] is None
    for study, said in (
        (study_of(few), r"not known bin by bin \(0.4 effective events"),
        ({"process": "qcd", "regions": {}}, "has no region 'SR' in these bins"),
        (study_of({**few, "edges": [0, 1]}), "has no region 'SR' in these bins"),
        (
            study_of(smooth_closure(letters_of(1 + 1.5 * X**2 + 0.3 * X), letters, EDGES)),
            "not known to 100 % from 220 to 240",
        ),
    ):
        with pytest.raises(OddjetsError, match=said):
            binned_uncertainties(study, {"SR": EDGES})
