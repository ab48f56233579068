"""What a study finds where the truth is known: nothing where there is nothing, and the known failures without being told."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from helpers import study_events
from scipy.stats import kstest, norm

from oddjets.core.errors import OddjetsError
from oddjets.io.studies import calibration_line
from oddjets.stats.model import Model
from oddjets.study import null
from oddjets.study.calibration import Tail, binomial_interval, calibrated
from oddjets.study.events import Patterns
from oddjets.study.experiment_chunk import ExperimentChunk
from oddjets.study.experiments import CHUNK, run_chunks
from oddjets.study.rates import closure_counts, closure_of, require_bank, require_marginals
from oddjets.study.summary import read_chunks
from oddjets.study.thresholds import find_grid

POI = {"name": "mu", "process": "top", "bounds": [0, 10]}
PLAN = null.NullPlan(experiments=256, limit=False)


@cache
def prepared(regions=("SR",), source="simulation", **settings):
    return prepare(regions, source, **settings)


def prepare(regions=("SR",), source="simulation", *, qcd=60_000, scale=0.1, plan=PLAN, efficiency=0.02, **odd):
    analysis = study_events.make_analysis(
        fit={"observable": "mass", "regions": list(regions), "poi": POI},
        threshold={"score": "s", "efficiency": efficiency},
    )
    events = study_events.make_events(analysis, qcd=qcd, scale=scale, **odd)
    return null.of_events(analysis, source, plan, events, events)


def z_of(study, chunks=1):
    experiments = study.truths["nominal"]
    return np.concatenate([experiments.chunk(i).z for i in range(chunks)])


def test_where_abcd_holds_z_is_normal():
    z = z_of(prepared())
    assert np.isfinite(z).all()
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert abs(z.std() - 1) < 0.2


def test_a_union_is_found_not_to_close():
    """VR1, at least one jet with high tau21, whose jets know nothing of each other."""
    study = prepared(("VR1",))
    assert study.notes["closure_of_source"]["VR1"] < 0.75
    assert z_of(study).mean() < -0.4


def test_a_union_fails_among_independent_scores_too_and_a_product_does_not():
    union = prepared(("VR1",), "independent", correlation=0.3)
    product = prepared(("SR",), "independent", correlation=0.3)
    assert union.notes["closure_of_source"]["VR1"] < 0.75
    assert product.notes["closure_of_source"]["SR"] == pytest.approx(1, abs=0.02)
    assert z_of(union).mean() < -0.4
    assert abs(z_of(product).mean()) < 0.3


def test_a_correlation_of_the_scores_is_found():
    study = prepared(("SR",), correlation=0.3)
    assert study.notes["closure_of_source"]["SR"] > 1.5
    assert z_of(study).mean() > 1


def test_a_bump_of_the_score_is_found():
    z = z_of(prepared(("SR",), bump=0.05))
    assert z.mean() > 0.4


def test_few_events_are_found_to_have_more_false_alarms():
    """With a few events a bin, z is not normal any more: its errors are too small."""
    study = prepared(("SR",), qcd=30_000, scale=0.02, efficiency=0.04)
    found = study.truths["nominal"].chunk(0, 64)
    z = found.z[np.isfinite(found.z)]
    coverage = (np.abs(z) < 1).mean()
    low, high = binomial_interval(int((np.abs(z) < 1).sum()), len(z), 0.99)
    assert found.above.mean() < 30
    assert not low < 0.6827 < high, coverage


def test_toys_of_many_events_are_uniform(tmp_path):
    study = prepared(("SR",), qcd=60_000, scale=20.0)
    nominal = study.truths["nominal"]
    toys = null.of_model(study.analysis, PLAN, nominal.workspaces[nominal.central], {}, 0.5)
    found = read_chunks(run_chunks(toys.truths["nominal"], 512, tmp_path))
    assert np.isfinite(found["z"]).all()
    assert kstest(found["z"], "norm").pvalue > 1e-3
    for n in (1.0, 2.0):
        low, high = binomial_interval(int((found["z"] >= n).sum()), 512, 0.999)
        assert low < norm.sf(n) < high


def test_z_strength_and_limit_are_those_of_the_analysis_fit():
    """Single experiments against the fit of a workspace of their own, with the published bounds."""
    study = prepare(("SR",), plan=null.NullPlan(experiments=8, limit=True))
    nominal = study.truths["nominal"]
    procedure = nominal.procedure(nominal.central)
    rng = np.random.default_rng(5)
    data = procedure.model.sample(procedure.truth, 4, rng)
    answers = procedure.answer(data)
    for i in range(4):
        model = Model(nominal.workspaces[nominal.central], poi="mu")
        model.data = type(data)(data.main[i : i + 1], data.aux[i : i + 1])
        expected = model.significance().z
        assert max(answers.z[i], 0) == pytest.approx(expected, abs=2e-3)
        if answers.strength[i] > 0:
            assert answers.strength[i] == pytest.approx(model.fits.best["mu"], rel=1e-3)
        # the limit of a fit whose strength may not be negative is the same
        assert answers.limit[i] == pytest.approx(model.limit().observed, rel=5e-3)


def test_the_same_bits_for_any_number_of_workers_and_after_a_stop(tmp_path):
    experiments = prepared().truths["nominal"]
    one = run_chunks(experiments, CHUNK + 40, tmp_path / "one")
    assert [f.name for f in one] == ["chunk-00000-256.npz", "chunk-00001-40.npz"]
    # a study that was stopped goes on: what is there is kept
    before = one[0].stat().st_mtime_ns
    content = ExperimentChunk.load(one[1])
    one[1].unlink()
    again = run_chunks(experiments, CHUNK + 40, tmp_path / "one")
    assert again[0].stat().st_mtime_ns == before
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    one[0].unlink()
    two = run_chunks(experiments, CHUNK + 40, tmp_path / "one", workers=2)
    for name, value in vars(content).items():
        np.testing.assert_array_equal(value, getattr(ExperimentChunk.load(two[1]), name))
    np.testing.assert_array_equal(
        ExperimentChunk.load(two[0]).z, ExperimentChunk.load(tmp_path / "other" / one[0].parent.name / one[0].name).z
    )


def test_other_questions_are_other_experiments(tmp_path):
    study = prepared()
    nominal = study.truths["nominal"]
    assert nominal.key != replace(nominal, seed=2).key
    assert nominal.key != replace(nominal, number=2).key
    assert nominal.key == replace(nominal).key


def test_importance_sampling_agrees_with_counting(tmp_path):
    """The tail of the same experiments, counted and weighted back; and beyond, with a useful error."""
    experiments = prepared(("SR",)).truths["nominal"]
    files = run_chunks(experiments, 1024, tmp_path)
    tilted = experiments.tilted(files, null.TILTS, 1)
    more = read_chunks(run_chunks(tilted, 1024, tmp_path))
    weights = np.exp(more["log_weight"])
    # a mixture that has the truth in it
    assert weights.max() <= len(null.TILTS) * (1 + 1e-9)
    assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / 32)
    tail = Tail(read_chunks(files)["z"], more["z"], more["log_weight"])
    counted, low, high, _ = tail.counted(1.0)
    p, error = tail.weighted(1.0)
    assert abs(p - counted) < 4 * np.hypot(error, (high - low) / 2)
    p, error = tail.weighted(4.0)
    assert norm.sf(4) / 5 < p < norm.sf(4) * 5
    assert error < 0.7 * p


def test_calibrated_p_counts_extrapolates_and_ranges():
    z = np.linspace(-3, 3, 1001)
    moved = Tail(z + 0.5)
    found = calibrated(2.0, {"nominal": Tail(z), "moved": moved}, float(norm.sf(2)))
    above = int((z >= 2).sum())
    assert found["p_value"] == pytest.approx((1 + above) / 1002)
    assert not found["extrapolated"]
    assert found["range"] == [found["p_value"], found["truths"]["moved"]["p_value"]]
    far = calibrated(5.0, {"nominal": Tail(z), "moved": moved}, float(norm.sf(5)))
    assert far["extrapolated"]
    # no experiment is as extreme: (1 - p)^1001 is above 5 % for all p below the bound
    assert far["p_value"] is None
    assert far["z"] is None
    assert far["bound"]["p_below"] == pytest.approx(1 - 0.05 ** (1 / 1001))
    assert far["range"] is None
    assert far["not_measured"] == ["nominal", "moved"]
    assert Tail(z).reach == pytest.approx(np.sort(z)[-10])


def test_a_bound_is_never_a_value_and_importance_sampling_goes_before_it():
    z = np.linspace(-3, 3, 300)
    line = calibration_line("p", calibrated(4.95, {"nominal": Tail(z), "moved": Tail(z / 2)}, float(norm.sf(4.95))))
    assert line.startswith(
        "p: p < 0.0099 at 95 % (none of 300 experiments is as extreme), z > 2.33; asymptotic 3.71e-07"
    )
    assert "not measured: too few experiments over nuisance" in line
    # k of 100 weighted experiments of the same weight are above: the relative error is sqrt((100 / k - 1) / 99)
    for k, used, extrapolated in ((1, False, True), (2, True, True), (3, True, True), (4, True, False)):
        tilted = np.where(np.arange(100) < k, 6.0, 0.0)
        tail = Tail(z, tilted, np.full(100, -10.0))
        found = tail(5.0)
        assert (found["p_value"] is not None) == used
        assert found["extrapolated"] == extrapolated
        assert tail.needed(5.0) == {1: 400, 2: 200, 3: 140, 4: 100}[k]
        if used:
            assert found["bound"] is None
            assert found["p_value"] == pytest.approx(k / 100 * np.exp(-10))
            assert (found["high"] - found["p_value"]) / found["p_value"] == pytest.approx(np.sqrt((100 / k - 1) / 99))
    assert "importance sampling, extrapolation" in calibration_line(
        "p", calibrated(5.0, {"nominal": Tail(z, np.repeat([6.0, 0.0], [2, 98]), np.zeros(100))}, 1e-6)
    )


def test_clopper_pearson_covers():
    low, high = binomial_interval(0, 10, 0.9)
    assert low == 0
    assert high == pytest.approx(1 - 0.05 ** (1 / 10))
    assert binomial_interval(10, 10, 0.9)[0] == pytest.approx(0.05 ** (1 / 10))


def test_a_whole_study(tmp_path):
    plan = null.NullPlan(experiments=128, tail=64, nuisances=("jes", "isr"), closures={"SR": (1.1, 0.1)}, limit=True)
    study = prepare(("SR",), plan=plan)
    observed = {"significance": {"z": 1.5}, "gof": {"statistic": 3.0, "p_value": 0.5}}
    found = null.run(study, tmp_path, observed=observed)
    assert found["experiments"] == 128
    assert found["failed"] == 0
    assert {r["sigma"] for r in found["false_alarms"]} == {1.0, 2.0, 3.0}
    assert sum(found["z"]["counts"]) == 128
    assert set(found["truths"]) == {f"{n} {s}" for n in ("jes", "isr", "c") for s in ("+1 sigma", "-1 sigma")}
    # a larger c is taken for a signal
    shift = [found["truths"][f"c {s} sigma"]["z"]["mean"] for s in ("+1", "-1")]
    assert shift[0] > shift[1] + 0.2
    assert found["truths"]["c +1 sigma"]["closure"]["SR"]["constant"] == pytest.approx(1.2, abs=0.05)
    assert found["calibration"]["range"][0] <= found["calibration"]["p_value"] <= found["calibration"]["range"][1]
    assert found["limit"]["quantiles"]["0.5"] > 0
    assert {n["name"] for n in found["nuisances"]} >= {"jes", "isr_top", "lumi"}
    assert all(abs(n["sd"] - 1) < 0.3 for n in found["nuisances"])
    text = "\n".join(null.lines_of(found))
    assert f"in the source, without fluctuations, {found['closure_of_source']['SR']:.3f}" in text
    # the error of the mean of c is that of its ratio, whose denominator hardly fluctuates
    closed = found["closure"]["SR"]
    assert closed["error_of_mean"] == pytest.approx(closed["sd"] / np.sqrt(128), rel=0.3)
    assert "p if the simulation is right" in text


@pytest.mark.parametrize(
    ("p", "width", "covered", "low", "high", "said"),
    [
        (0.049, 1.0, 0.68, 0.66, 0.70, ["warning: z is not normal", "good: intervals"]),
        # 100 experiments: a width of 1.2 is 2.3 of its errors from 1, one of 1.44 is 4.3
        (0.051, 1.2, 0.66, 0.645, 0.675, ["good: no difference", "too rarely: they are too short; by chance"]),
        (0.5, 1.44, 0.73, 0.71, 0.75, ["warning: z has the width 1.44, not 1", "too often"]),
    ],
)
def test_words_say_whether_z_and_coverage_are_good(p, width, covered, low, high, said):
    coverage = [{"level": 0.6827, "covered": covered, "low": low, "high": high}]
    result = {
        "experiments": 101,
        "failed": 1,
        "z": {"kolmogorov_smirnov": {"p_value": p}, "sd": width},
        "coverage": coverage,
    }
    lines = null.warnings_of(result, "z") + null.warnings_of(result, "coverage")
    assert len(lines) == 2
    assert all(words in line for words, line in zip(said, lines, strict=True))


def test_a_coverage_that_no_chance_explains_is_not_called_chance():
    coverage = [{"level": 0.9545, "covered": 0.81, "low": 0.762, "high": 0.851}]
    (line,) = null.warnings_of({"coverage": coverage}, "coverage")
    assert line.endswith("too rarely: they are too short")


def test_a_bank_that_is_too_small_is_refused():
    analysis = study_events.make_analysis()
    events = study_events.make_events(analysis, qcd=5000, scale=0.5)
    with pytest.raises(OddjetsError, match="only 2 times the experiment"):
        require_bank(events, "qcd")
    with pytest.raises(OddjetsError, match="Use --source mixed, a larger bank"):
        require_bank(events, "qcd", instead="mixed")
    assert require_bank(study_events.make_events(analysis, qcd=5000, scale=0.1), "qcd") == pytest.approx(10)
    few = study_events.make_events(analysis, qcd=100, scale=20)
    with pytest.raises(OddjetsError, match="too few for --source independent"):
        require_marginals(few, Patterns.from_analysis(analysis), find_grid(analysis, few, {}), "qcd")


def test_experiments_need_all_processes():
    analysis = study_events.make_analysis()
    events = [e for e in study_events.make_events(analysis, qcd=5000) if e.process != "top"]
    with pytest.raises(OddjetsError, match="no events of 'top'"):
        null.of_events(analysis, "simulation", PLAN, events, events)


@pytest.mark.parametrize("events_in_d", [4.0, 30.0])
def test_the_mean_closure_of_experiments_with_few_events_is_that_of_their_source(events_in_d):
    """Bins that close, with few events in B, C and D: the ratio of the means of A and of B C / D would be off by 1/d."""
    patterns = Patterns({"SR": np.array([0.0, 1, 2]), "VR1": np.array([0.0, 1])})
    mean = np.array([[0.4, 0.9, 0.2], [1.5, 2.0, 0.5], [0, 0, 0], [events_in_d] * 3])
    mean[2] = mean[0] * mean[3] / mean[1]
    counts = np.random.default_rng(7).poisson(mean.ravel(), (60_000, 12)).astype(float)
    in_a, predicted = closure_counts(counts, patterns)
    assert in_a.shape == predicted.shape == (60_000, 2)
    np.testing.assert_array_equal(in_a[:, 0], counts[:, :2].sum(axis=1))
    found = in_a.sum(axis=0) / predicted.sum(axis=0)
    error = (in_a - found * predicted).std(axis=0) / predicted.mean(axis=0) / np.sqrt(len(counts))
    assert (np.abs(found * (1 - np.exp(-events_in_d)) - 1) < 4 * error).all()
    _, b, c, d = np.moveaxis(counts.reshape(-1, 4, 3), 1, 0)
    plain = np.where(d > 0, b * c / np.maximum(d, 1), 0.0)
    assert in_a[:, 0].sum() / plain[:, :2].sum() < 1 - 0.7 / events_in_d


def test_the_closure_of_the_source_is_that_of_its_bins():
    """Products that close in each bin close, also where jets of another mass pass more often."""
    study = prepared(("SR",), "independent")
    experiments = study.truths["nominal"]
    assert closure_of(experiments.rates, experiments.patterns)[:, 0] == pytest.approx(1, abs=1e-9)


def test_the_closure_of_the_source_is_a_d_over_b_c():
    study = prepared()
    experiments = study.truths["nominal"]
    rates, central = experiments.rates, experiments.central
    a = rates.qcd[1:, central + 1 :, central + 1 :].sum()
    assert a > 0
    found = closure_of(rates, experiments.patterns)
    assert found.shape == (len(experiments.grid), 1)
    moved = rates.with_closure(experiments.patterns, central, {"SR": 2.0})
    assert closure_of(moved, experiments.patterns)[central] == pytest.approx(2 * found[central])
