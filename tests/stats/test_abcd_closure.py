"""The ABCD closure: exact where it must be, and its verdicts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.small_fit import make_analysis, make_histograms
from scipy.stats import chi2 as chi2_distribution

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model
from oddjets.stats.abcd_closure import (
    ClosureSample,
    closure,
    constant_fit,
    predict,
    region_closure,
)
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.closure_uncertainty import closure_uncertainties
from oddjets.stats.inference.estimates import best_fits
from oddjets.stats.summary import fit_workspace
from oddjets.stats.workspace import build

EDGES = np.arange(5.0)
EXACT = {"D": np.array([400.0, 300, 200, 100]), "B": np.array([80.0, 60, 40, 20]), "C": np.array([100.0, 75, 50, 25])}


def _letters(scale=100.0, slope=0.0):
    values = {x: scale * v for x, v in EXACT.items()}
    values["A"] = values["B"] * values["C"] / values["D"] * (1 + slope)
    return values, {x: v.copy() for x, v in values.items()}


def test_an_exact_product_closes_with_constant_one():
    found = region_closure(EDGES, *_letters())
    assert found["constant"] == pytest.approx(1.0)
    assert found["chi2"] == pytest.approx(0.0, abs=1e-9)
    assert found["ndf"] == 3
    assert found["verdict"] == "closes"


def test_a_wrong_prediction_fails():
    found = region_closure(EDGES, *_letters(slope=0.3))
    assert found["constant"] == pytest.approx(1.3)
    assert found["verdict"] == "does not close"


def test_few_events_decide_nothing():
    assert region_closure(EDGES, *_letters(scale=0.5))["verdict"] == "inconclusive"


def test_the_prediction_has_the_error_of_independent_letters():
    values, variances = _letters(scale=1.0)
    prediction, variance = predict(values, variances)
    rng = np.random.default_rng(1)
    b, c, d = (rng.normal(values[x], 0.01 * np.sqrt(variances[x]), (20000, 4)) for x in "BCD")
    np.testing.assert_allclose((b * c / d).std(axis=0), 0.01 * np.sqrt(variance), rtol=0.03)
    np.testing.assert_allclose(prediction, values["A"])


def test_the_constant_is_unbiased_with_an_honest_error():
    rng = np.random.default_rng(2)
    truth, _ = _letters(scale=4.0)
    found = []
    for _ in range(400):
        values = {x: rng.poisson(v).astype(float) for x, v in truth.items()}
        found.append(region_closure(EDGES, values, values))
    constants = np.array([f["constant"] for f in found])
    errors = np.array([f["constant_error"] for f in found])
    assert constants.mean() == pytest.approx(1.0, abs=0.01)
    assert constants.std() == pytest.approx(errors.mean(), rel=0.1)
    assert np.mean([f["chi2"] / f["ndf"] for f in found]) == pytest.approx(1.0, abs=0.15)


def test_small_p_values_of_chi2_are_as_rare_as_they_say_with_few_events_too():
    """In 20 bins with 2 to 10 events in B and C: the textbook's p value is below 5 % in a third of the cases."""
    rng = np.random.default_rng(4)
    truth = {x: np.tile(0.1 * v, 5) for x, v in EXACT.items()}
    truth["A"] = truth["B"] * truth["C"] / truth["D"]
    calibrated, textbook = [], []
    for _ in range(300):
        values = {x: rng.poisson(v).astype(float) for x, v in truth.items()}
        found = region_closure(np.arange(21.0), values, values)
        calibrated.append(found["chi2_p"])
        textbook.append(chi2_distribution.sf(found["chi2"], found["ndf"]))
    for level, most in ((0.01, 0.03), (0.05, 0.10)):
        assert np.mean(np.array(calibrated) < level) < most
    assert np.mean(np.array(calibrated) < 0.05) > 0.02
    assert np.mean(np.array(textbook) < 0.05) > 0.25


def test_a_constant_that_does_not_hold_in_every_bin_has_a_small_p_value():
    values, variances = _letters(scale=30.0)
    values["A"] *= np.array([1.3, 0.7, 1.3, 0.7])
    variances["A"] = values["A"]
    assert region_closure(EDGES, values, variances)["chi2_p"] == pytest.approx(1 / 1001)


def test_bins_without_events_are_left_out():
    values, variances = _letters()
    values["D"][2] = 0
    found = region_closure(EDGES, values, variances)
    assert found["predicted"][2] is None
    assert found["ndf"] == 2
    json.dumps(found, allow_nan=False)


def test_a_constant_fit_without_points_is_nan():
    assert np.isnan(constant_fit(np.array([np.nan]), np.array([1.0])).value)


def test_every_region_of_the_fit_is_closed(analysis, histograms):
    found = closure(analysis, histograms)
    assert found["process"] == "qcd"
    assert list(found["regions"]) == ["SR", "VR1"]
    assert found["regions"]["SR"]["constant"] == pytest.approx(1.0)


def test_without_a_data_driven_process_there_is_no_closure(histograms):
    analysis = make_analysis()
    processes = {k: v.model_copy(update={"data_driven": False}) for k, v in analysis.processes.items()}
    with pytest.raises(OddjetsError, match="data_driven: true"):
        closure(analysis.model_copy(update={"processes": processes}), histograms)


def without_qcd():
    """Histograms of an analysis that simulates no QCD."""
    histograms = make_histograms(seed=None)
    rest = {k: v for k, v in histograms.variations.items() if k != "qcd"}
    return type(histograms)(histograms.histograms, rest, 1.0, histograms.threshold)


def test_without_its_simulation_the_closure_says_so_and_tests_data_alone():
    scans = [ClosureSample("5 %", "qcd", without_qcd()), ClosureSample("data", "data", without_qcd())]
    found = closure(make_analysis(), without_qcd(), scans)
    assert found["note"] == "there is no simulation of 'qcd': A = B C / D is not tested on it"
    assert found["regions"] == {}
    assert [scan["label"] for scan in found["scans"]] == ["data"]
    # data equal to their expectation
    assert found["scans"][0]["regions"]["SR"]["constant"] == pytest.approx(1.0)


def test_the_method_is_tested_again_on_other_sources(analysis, histograms):
    simulation = make_histograms(scale=5)
    scans = [
        ClosureSample("5 %", "qcd", simulation),
        ClosureSample("data", "data", make_histograms(strength=1, seed=None)),
    ]
    found = closure(analysis, histograms, scans)["scans"]
    assert [s["label"] for s in found] == ["5 %", "data"]
    # data equal to their expectation: what is left after subtraction is QCD, which closes exactly
    np.testing.assert_allclose(found[1]["regions"]["SR"]["observed"], found[1]["regions"]["SR"]["predicted"])
    assert found[1]["regions"]["SR"]["observed_error"][0] > found[0]["regions"]["SR"]["observed_error"][0] / 5


def test_what_a_fit_scales_up_is_subtracted_as_it_is():
    """Templates of a signal at a thousand times its rate: the data have it once."""
    plain, scaled = make_histograms(strength=1, seed=None), make_histograms(strength=1, seed=None)
    for histogram in scaled.histograms.values():
        view = histogram.view(flow=True)
        place = list(histogram.axes["process"]).index("top")
        part = [slice(None)] * view.ndim
        part[[axis.name for axis in histogram.axes].index("process")] = place
        view.value[tuple(part)] *= 1000
        view.variance[tuple(part)] *= 1000**2
    analysis = make_analysis()
    processes = {
        name: one.model_copy(update={"template_scale": 1000.0}) if name == "top" else one
        for name, one in analysis.processes.items()
    }
    by_hand = analysis.model_copy(update={"processes": processes})
    found, expected = (
        closure(a, h, [ClosureSample("data", "data", h)])["scans"][0]["regions"]["SR"]
        for a, h in ((by_hand, scaled), (analysis, plain))
    )
    assert found["constant"] == pytest.approx(expected["constant"])
    assert found["observed_error"] == pytest.approx(expected["observed_error"])
    assert found["constant"] == pytest.approx(1.0)


def entry(constant, error=0.1):
    return {"constant": constant, "constant_error": None if constant is None else error}


def result(**constants):
    """A closure: constants at the threshold, at 10 %, at 5 % and in data, in region SR; each None has none."""
    scans = [
        ("data below", "data", 0.05, constants.get("data")),
        ("qcd simulation at 10 %", "qcd", 0.10, constants.get("ten")),
        ("qcd simulation at 5 %", "qcd", 0.05, constants.get("five")),
    ]
    return {
        "process": "qcd",
        "regions": {"SR": entry(constants.get("nominal"))},
        "scans": [
            {"label": label, "process": process, "efficiency": e, "regions": {"SR": entry(c)}}
            for label, process, e, c in scans
        ],
    }


@pytest.mark.parametrize(
    ("constants", "size", "source", "fallback"),
    [
        ({"nominal": 0.7, "five": 1.1, "ten": 1.2, "data": 1.4}, 0.3, "qcd simulation at the threshold", False),
        ({"nominal": 1.02, "five": 1.5}, 0.1, "qcd simulation at the threshold", False),  # the error is larger
        ({"five": 1.15, "ten": 1.2, "data": 1.4}, 0.15, "qcd simulation at 5 %", True),
        ({"ten": 1.2, "data": 1.4}, 0.2, "qcd simulation at 10 %", True),
        ({"data": 1.4}, 0.4, "data below", True),
    ],
)
def test_a_region_without_a_constant_has_the_next_closures_uncertainty(constants, size, source, fallback):
    used = closure_uncertainties(result(**constants), ["SR"])["SR"]
    assert used.size == pytest.approx(size)
    assert (used.source, used.fallback) == (source, fallback)


def part(value, error, measured_at=(0.02, 0.05)):
    return {"value": value, "error": error, "measured_at": list(measured_at)}


def known_by(simulation=None, extrapolated=None, control=None, expected=20.0):
    """A closure with 5 % at 0.9 ± 0.01; constants with errors at the threshold, and of the two kinds of extrapolation."""
    found = result(nominal=None if simulation is None else simulation[0], five=0.9)
    found["regions"]["SR"] |= {"constant_error": simulation and simulation[1], "expected_events": expected}
    found["scans"][2]["regions"]["SR"]["constant_error"] = 0.01
    of_region = {"structural": part(0.95, 0.0, [0.01])}
    of_region |= {"correlation": part(*extrapolated)} if extrapolated else {}
    of_region |= {"control": {"correlation": part(*control)}} if control else {}
    found["parts"] = {"sources": {"correlation": "simulation of 'qcd'"}, "regions": {"SR": of_region}}
    return found


CONTROL = "data with both scores below the threshold, extrapolated"


@pytest.mark.parametrize(
    ("closures", "source", "constant", "size", "why"),
    [
        # the one that is known best at the threshold; 5 %, which is known better, is elsewhere
        ({"simulation": (0.8, 0.3), "control": (1.0, 0.05)}, CONTROL, 0.95, 0.05, "which is known to ± 0.3 there"),
        ({"simulation": (0.8, 0.04), "control": (1.0, 0.05)}, "qcd simulation at the threshold", 0.8, 0.2, ""),
        (
            {"simulation": (1.0, 0.3), "extrapolated": (1.1, 0.04), "control": (1.0, 0.05)},
            "qcd simulation, extrapolated to the threshold",
            1.045,
            0.045,
            "which is known to ± 0.3 there",
        ),
        # nothing in A by chance has a small error, and is not well known
        (
            {"simulation": (0.04, 0.05), "control": (1.0, 0.1)},
            CONTROL,
            0.95,
            0.96,
            "of qcd simulation at the threshold",
        ),
        (
            {"simulation": (0.0, 0.32), "control": (1.0, 0.1), "expected": 4.6},
            CONTROL,
            0.95,
            0.095,
            "too few events there",
        ),
        # one efficiency says nothing of another one
        ({"simulation": (0.9, 0.3), "control": (1.0, 0.05, (0.05,))}, "qcd simulation at the threshold", 0.9, 0.3, ""),
        ({"control": (1.0, 0.05, (0.05,))}, "qcd simulation at 5 %", 0.9, 0.1, "which has no constant there"),
        # a low fluctuation is no contradiction, however small its own error is, and a line that ends below 0 says nothing
        (
            {"simulation": (0.3, 0.2), "extrapolated": (-0.05, 0.4), "control": (1.0, 0.1)},
            CONTROL,
            0.95,
            0.095,
            "which is known to ± 0.2 there",
        ),
        # what contradicts it is not forgotten
        ({"simulation": (1.6, 0.2), "control": (1.0, 0.05)}, CONTROL, 0.95, 0.6, "contradicts it (1.60 ± 0.20)"),
    ],
)
def test_the_best_known_closure_at_the_threshold_is_used(closures, source, constant, size, why):
    used = closure_uncertainties(known_by(**closures), ["SR"])["SR"]
    assert used.source == source
    assert used.constant == pytest.approx(constant)
    assert used.size == pytest.approx(size, rel=0.06)
    assert why in used.why
    assert used.fallback == (source != "qcd simulation at the threshold")


def test_of_a_structural_constant_that_the_fit_knows_only_the_correlation_is_left():
    found = known_by(control=(1.02, 0.05))
    used = closure_uncertainties(found, ["SR"], {"SR": StructuralFactor(0.5, 0.02)})["SR"]
    assert (used.constant, used.constant_error, used.size) == pytest.approx((1.02, 0.05, 0.05))


def test_a_region_without_any_constant_is_an_error():
    with pytest.raises(
        OddjetsError, match=r"no closure has a constant in region 'SR' \(tried: qcd simulation at the thr"
    ):
        closure_uncertainties(result(), ["SR"])
    with pytest.raises(OddjetsError, match="region 'VR1'"):
        closure_uncertainties(result(nominal=1.0), ["SR", "VR1"])


def test_which_closure_was_used_is_in_report_and_results(analysis, histograms):
    used = {
        "SR": closure_uncertainties(result(ten=1.2), ["SR"])["SR"],
        "VR1": closure_uncertainties(result(nominal=1.3), ["SR"])["SR"],
    }
    workspace, report = build(analysis, histograms, used)
    assert report["closure_uncertainty"]["SR"]["source"] == "qcd simulation at 10 %"
    assert [w for w in report["warnings"] if "closure uncertainty of" in w] == [
        (
            "the closure uncertainty of SR, 20.0%, is not from the closure of simulation at the threshold, which "
            "has no constant there, but from: qcd simulation at 10 %"
        )
    ]
    factor = {
        m["name"]: m["data"]["hi"]
        for c in workspace["channels"]
        for s in c["samples"]
        for m in s["modifiers"]
        if m["name"].startswith("closure_")
    }
    assert factor == pytest.approx({"closure_SR": 1.2, "closure_VR1": 1.3})
    fitted = fit_workspace(workspace, limit=False, impacts=False, scan=False, report=report)
    assert fitted["closure_uncertainty"] == report["closure_uncertainty"]


def test_the_closure_gives_an_uncertainty_of_qcd_in_a(analysis, histograms):
    found = closure(analysis, histograms)
    sizes = closure_uncertainties(found, ["SR", "VR1"])
    assert sizes["SR"].size == pytest.approx(found["regions"]["SR"]["constant_error"])
    without, _ = build(analysis, histograms)
    half = sizes["SR"]._replace(size=0.5)
    with_closure, _ = build(analysis, histograms, {"SR": half, "VR1": half})
    names = {
        (c["name"], s["name"])
        for c in with_closure["channels"]
        for s in c["samples"]
        for m in s["modifiers"]
        if m["name"].startswith("closure_")
    }
    assert names == {("SR_A", "qcd"), ("VR1_A", "qcd")}
    errors = [best_fits(Model(w)).best.error("mu") for w in (without, with_closure)]
    assert errors[1] > errors[0]
