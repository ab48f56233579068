"""Variations of constituents: against scaling and dropping by hand, and through event tables and histograms."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import toy_candidates
from helpers.analyses import analysis
from scipy.special import logit

from oddjets.config.analysis import load_analysis
from oddjets.config.score_variations import ScoreVariations
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import InputFileError
from oddjets.io import event_table
from oddjets.io.histograms import HistogramSet
from oddjets.scoring.inputs import CANDIDATE_BRANCHES, JetConstituents
from oddjets.selection.constituent_variations import (
    EventNumbers,
    changed_jets,
    in_dense_cores,
    subjettiness,
    varied_constituents,
)
from oddjets.workflow.pipeline import run_stages, stage_of
from oddjets.workflow.run import RunContext
from oddjets.workflow.validation import resolve

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")

#: charged pion, photon, neutral hadron, muon and electron, with their charges
KINDS = np.array([(211, 1), (22, 0), (130, 0), (-13, 1), (11, -1), (-211, -1)])
EACH, JETS = 60, 80


def section(**sizes: float) -> ScoreVariations:
    return ScoreVariations.model_validate({name: {"size": size} for name, size in sizes.items()})


@pytest.fixture(scope="module")
def jets() -> JetConstituents:
    """Jets of two narrow prongs, the last one without constituents; neutral candidates have no track."""
    rng = np.random.default_rng(1)
    n = EACH * JETS
    code, charge = KINDS[rng.integers(0, len(KINDS), n)].T
    track = charge != 0
    error = np.where(track, rng.uniform(0.001, 0.01, n), -1)
    return JetConstituents(
        offsets=np.append(np.arange(JETS + 1) * EACH, n),
        pt=rng.exponential(10, n).astype(np.float32) + np.float32(0.5),
        eta=(rng.normal(0, 0.02, n) + 0.4 * rng.integers(0, 2, n)).astype(np.float32),
        phi=((rng.normal(0, 0.02, n) + 2 * np.pi) % (2 * np.pi) - np.pi).astype(np.float32),
        mass=np.full(n, 0.14, np.float32),
        pdg_id=code,
        charge=charge,
        d0=np.where(track, rng.normal(0, 0.01, n), -1),
        d0_error=error,
        dz=np.where(track, rng.normal(0, 0.01, n), -1),
        dz_error=error,
        puppi_weight=np.where(track, 1.0, rng.uniform(0, 1, n)),
        jet_eta=np.zeros(JETS + 1),
        jet_phi=np.full(JETS + 1, np.pi),
    )


def numbers(jets: JetConstituents) -> EventNumbers:
    events = np.arange(jets.n_jets) // 2
    return EventNumbers(np.ones_like(events), events % 7, events)


def differing(one: JetConstituents, other: JetConstituents) -> set[str]:
    return {f.name for f in fields(one) if not np.array_equal(getattr(one, f.name), getattr(other, f.name))}


@pytest.mark.parametrize("sign", [1, -1])
def test_all_species_by_one_factor_are_pt_and_mass_by_hand(jets: JetConstituents, sign: int) -> None:
    asked = section(charged_scale=0.03, neutral_scale=0.03, photon_scale=0.03)
    varied = jets
    for name in asked.listed:
        varied = varied_constituents(varied, numbers(jets), asked, name, sign)
    lepton = np.isin(np.abs(jets.pdg_id), (11, 13))
    for name in ("pt", "mass"):
        nominal = getattr(jets, name)
        assert getattr(varied, name).dtype == nominal.dtype
        np.testing.assert_array_equal(getattr(varied, name)[lepton], nominal[lepton])
        np.testing.assert_allclose(getattr(varied, name)[~lepton], nominal[~lepton] * (1 + sign * 0.03), rtol=1e-6)
    assert differing(jets, varied) == {"pt", "mass"}
    assert changed_jets(jets, varied) == JETS


def test_tracks_are_lost_in_dense_cores_alone(jets: JetConstituents) -> None:
    dense = np.zeros(len(jets.pt), bool)
    for first in range(0, EACH * JETS, EACH):
        for i in range(first, first + EACH):
            for j in range(first, first + EACH) if abs(jets.pdg_id[i]) == 211 else ():
                step = abs(float(jets.phi[i]) - float(jets.phi[j]))
                near = np.hypot(float(jets.eta[i]) - float(jets.eta[j]), min(step, 2 * np.pi - step)) < 0.02
                dense[i] |= near and jets.charge[j] != 0 and jets.pt[j] > jets.pt[i]
    np.testing.assert_array_equal(in_dense_cores(jets, 0.02), dense)

    def kept(size: float, of: JetConstituents = jets) -> np.ndarray:
        left = varied_constituents(of, numbers(of), section(track_efficiency=size), "track_efficiency", -1)
        assert left.offsets[-1] == len(left.pt)
        return np.isin(of.pt, left.pt)

    some, more = kept(0.3), kept(0.6)
    assert some[~dense].all()
    assert more[~dense].all()
    # a larger inefficiency loses the same tracks and others
    assert not (more & ~some).any()
    assert np.mean(~some[dense]) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / dense.sum()))
    # the order of constituents, and which other jets there are, do not matter
    order = np.concatenate([first + np.arange(EACH)[::-1] for first in range(0, EACH * JETS, EACH)])
    turned = replace(jets, **{name: getattr(jets, name)[order] for name in CANDIDATE_BRANCHES})
    np.testing.assert_array_equal(kept(0.3, turned), some[order])


def test_impact_parameters_are_smeared_to_a_worse_resolution(jets: JetConstituents) -> None:
    varied = varied_constituents(jets, numbers(jets), section(impact_parameters=0.5), "impact_parameters", 1)
    track = jets.charge != 0
    pulls = []
    for name in ("d0", "dz"):
        error = getattr(jets, f"{name}_error")
        np.testing.assert_array_equal(getattr(varied, f"{name}_error")[track], 1.5 * error[track])
        pulls.append((getattr(varied, name) - getattr(jets, name))[track] / error[track])
        # a resolution of 1 in quadrature with this is one of 1.5
        assert np.std(pulls[-1]) == pytest.approx(np.sqrt(1.5**2 - 1), rel=0.1)
    assert abs(np.corrcoef(*pulls)[0, 1]) < 0.1
    for name in ("d0", "d0_error", "dz", "dz_error"):
        np.testing.assert_array_equal(getattr(varied, name)[~track], -1)


def test_puppi_weights_move_where_they_are_neither_0_nor_1(jets: JetConstituents) -> None:
    for sign in (1, -1):
        varied = varied_constituents(jets, numbers(jets), section(puppi_weights=0.2), "puppi_weights", sign)
        between = jets.puppi_weight < 1
        shift = logit(varied.puppi_weight[between]) - logit(jets.puppi_weight[between])
        np.testing.assert_allclose(shift, sign * 0.2, rtol=1e-9)
        assert (varied.puppi_weight[~between] == 1).all()


def test_subjettiness_knows_no_scale_and_no_candidate_of_weight_0(jets: JetConstituents) -> None:
    tau = subjettiness(jets)
    assert tau.shape == (JETS + 1, 4)
    assert (tau[-1] == 0).all()
    assert (tau[:-1, 1] < 0.3 * tau[:-1, 0]).all()  # two prongs
    scaled = replace(jets, pt=jets.pt * 2, mass=jets.mass * 2)
    np.testing.assert_allclose(subjettiness(scaled), tau, rtol=1e-6)


# ---- through the stages --------------------------------------------------------------------------------------------------

SIZES = {
    "charged_scale": {"size": 0.2},
    "photon_scale": {"size": 0.0},
    "track_efficiency": {"size": 0.5, "radius": 0.5, "source": "a test"},
}
REGIONS = {"SR": {"all": "tau21_low"}, "VR": {"any": "not tau21_low"}}


def processed(folder: Path, **changes: Any) -> RunContext:
    selection = {"cuts": ["two_jets", "jet_pt"], "triggers": ["PFHT800", "PFJet450"], "tau21_max": 0.95}
    file = toy_candidates.write(
        folder, **{"regions": REGIONS, "selection": selection, "systematics": ["jms"]} | changes
    )
    run = RunContext(load_analysis(file), folder / "out")
    run_stages(run, [stage_of(run, name) for name in ("process", "histogram")])
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, RunContext]:
    """The same analysis without and with variations."""
    folder = tmp_path_factory.mktemp("variations")
    return processed(folder / "without"), processed(folder / "with", score_variations=SIZES)


def test_scores_move_as_the_formula_of_the_model_says(runs: tuple[RunContext, RunContext]) -> None:
    table = event_table.read(runs[1].event_tables, "top")
    # of 15 constituents 6 are charged hadrons; the model adds up ln pT, with 0.04 for X and -0.02 for QCD
    for j in (1, 2):
        for side, sign in (("Up", 1), ("Down", -1)):
            shift = logit(table[f"score_mine_{j}__charged_scale{side}"]) - logit(table[f"score_mine_{j}"])
            np.testing.assert_allclose(shift, 6 * 0.06 * np.log(1 + sign * 0.2), rtol=1e-4)
    lost = [n for n in table if n.startswith("score_mine") and "track_efficiency" in n]
    assert lost == ["score_mine_1__track_efficiencyDown", "score_mine_2__track_efficiencyDown"]
    assert (table["tau21_1__track_efficiencyDown"] != table["tau21_1"]).any()
    np.testing.assert_array_equal(
        table["tau21_1__track_efficiencyDown"],
        table["tau2_1__track_efficiencyDown"] / table["tau1_1__track_efficiencyDown"],
    )


def test_size_0_and_all_else_have_the_bits_of_before(runs: tuple[RunContext, RunContext]) -> None:
    plain, varied = (event_table.read(run.event_tables, "top") for run in runs)
    for name, values in varied.items():
        stem, _, variation = name.partition("__")
        if not variation or variation.startswith(("photon", "jms")):
            before = plain[name if variation.startswith("jms") else stem]
            np.testing.assert_array_equal(values, before, strict=True, err_msg=name)
    assert {name for name in varied if "photon" in name} >= {
        "score_mine_2__photon_scaleUp",
        "tau21_1__photon_scaleDown",
    }
    assert {name for name in varied if "__" not in name or "jms" in name} == {*plain}
    data = event_table.read(runs[1].event_tables, "data")
    assert not [name for name in data if "__" in name]


def test_histograms_are_those_of_varied_letters_and_regions(runs: tuple[RunContext, RunContext]) -> None:
    plain, found = (HistogramSet.load(run.out / "histograms") for run in runs)
    table = event_table.read(runs[1].event_tables, "top")
    factor = plain.luminosity_pb * 1.0 / runs[1].extra("process")["datasets"]["top"]["sum_of_weights"]
    cut = found.threshold.value
    total = {}
    for name in ("nominal", "charged_scaleUp", "charged_scaleDown", "photon_scaleUp", "track_efficiencyDown"):
        suffix = "" if name == "nominal" else f"__{name}"
        passing = np.minimum(*(table[f"score_mine_{j}{suffix}"] for j in (1, 2))) >= cut
        low = np.maximum(*(table[f"tau21_{j}{suffix}"] for j in (1, 2))) < 0.95
        total[name] = 0.0
        for region, inside in (("SR", passing & low), ("VR", passing & ~low)):
            weights = factor * table["weight"][inside]
            by_hand, _ = np.histogram(table["mass_1"][inside], np.linspace(60, 210, 7), weights=weights)
            in_a = found.values(region, "leading_mass", "top", "A", name)
            np.testing.assert_allclose(in_a, by_hand, rtol=1e-6)
            total[name] += in_a.sum()
    assert total["charged_scaleUp"] > total["nominal"] > total["charged_scaleDown"]
    assert total["photon_scaleUp"] == total["nominal"]
    assert "track_efficiencyUp" not in found.variations["top"]
    for process, names in plain.variations.items():
        for name in names:
            for letter in "ABCD":
                one, other = (h.values("SR", "leading_mass", process, letter, name) for h in (plain, found))
                np.testing.assert_array_equal(one, other)


def test_the_manifest_says_what_was_varied_and_what_it_cost(runs: tuple[RunContext, RunContext]) -> None:
    plain, extra = (run.extra("process") for run in runs)
    assert "score_variations" not in plain
    assert "varied_scores" not in str(plain["datasets"])
    said = extra["score_variations"]
    assert [said[name]["size"] for name in SIZES] == [0.2, 0.0, 0.5]
    assert said["track_efficiency"]["source"] == "a test"
    assert said["track_efficiency"]["directions"] == ["Down"]
    assert said["charged_scale"]["source"].startswith("ours")
    assert said["charged_scale"]["processes"] == ["top"]
    counts = extra["datasets"]["top"]["varied_scores"]
    jets = 2 * extra["datasets"]["top"]["rows"]
    assert counts["charged_scaleUp"] == {"jets": jets, "changed": jets, "computed": jets, "from_cache": 0}
    # what does not change is not scored again
    assert counts["photon_scaleUp"] == {"jets": jets, "changed": 0, "computed": 0, "from_cache": jets}
    assert "varied_scores" not in extra["datasets"]["data"]


def test_files_without_what_is_varied_are_refused(tmp_path: Path) -> None:
    file = toy_candidates.write(
        tmp_path, "nanoaod_v15", score_variations={"impact_parameters": {}, "puppi_weights": {"processes": ["top"]}}
    )
    run = RunContext(load_analysis(file), tmp_path / "out")
    with pytest.raises(InputFileError) as raised:
        run_stages(run, [stage_of(run, "process")])
    assert "has no d0, d0_error, dz, dz_error of candidates, which score_variations.impact_parameters" in str(
        raised.value
    )
    assert "has no puppi_weight of candidates" in str(raised.value)
    assert "'data'" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score_variations": {"photon_scale": {"processes": ["tpo"]}}}, "no process 'tpo'; did you mean 'top'"),
        ({"systematics": [{"name": "photon_scale", "kind": "scores"}]}, "a section of their own"),
        (
            {
                "scores": {"omnilearned": {"signal": ["xbb"], "background": ["qcd"]}},
                "score_variations": {"photon_scale": {}},
            },
            "the score 'omnilearned' of the threshold is not computed from constituents",
        ),
        (
            {
                "scores": {
                    "omnilearned": {"card": "omnilearned_small_simulation.yaml"},
                    "btag": {"column": "btag"},
                    "both": {"product": ["omnilearned", "btag"]},
                },
                "score_variations": {"photon_scale": {}},
            },
            "'both' is a combination of scores, which is not varied",
        ),
    ],
)
def test_what_makes_no_sense_is_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(analysis(**changes))


def test_an_empty_section_is_refused() -> None:
    with pytest.raises(ValueError, match="lists no variation"):
        ScoreVariations()
