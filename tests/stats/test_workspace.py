"""From histograms to a workspace: what is in it, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyhf
import pytest
from helpers.small_fit import make_analysis, make_histograms, put

from oddjets.core.errors import OddjetsError
from oddjets.stats import Model
from oddjets.stats.qcd_templates import QCD_FLOOR
from oddjets.stats.summary import fit_workspace
from oddjets.stats.templates import AUTHORS_VARIED_FLOOR
from oddjets.stats.workspace import ABCD_FACTORS, build


def _channel(workspace, name):
    return next(c for c in workspace["channels"] if c["name"] == name)


def _sample(workspace, channel, name):
    return next(s for s in _channel(workspace, channel)["samples"] if s["name"] == name)


def _modifiers(sample):
    return {m["name"]: m for m in sample["modifiers"]}


def put_varied(histograms, values):
    """Give top in SR_A this variation jesUp."""
    h = histograms.histograms["SR", "mass"]
    view = h["top", "A", "jesUp", :].view(flow=False)
    view["value"] = values
    h["top", "A", "jesUp", :] = view
    return histograms


@pytest.fixture(scope="module")
def workspace(analysis, histograms):
    return build(analysis, histograms)[0]


def test_the_workspace_follows_pyhfs_schema(workspace):
    pyhf.schema.validate(workspace, "workspace.json")


def test_every_region_has_a_channel_for_each_letter(workspace):
    assert [c["name"] for c in workspace["channels"]] == [f"{r}_{x}" for r in ("SR", "VR1") for x in "ABCD"]


def test_a_is_exactly_b_c_over_d_for_any_factors(workspace):
    model = Model(workspace).spec.pyhf_model
    rng = np.random.default_rng(3)
    pars = np.array(model.config.suggested_init())
    for name in ("qcd_s_SR", "qcd_b_SR", "qcd_c_SR"):
        pars[model.config.par_slice(name)] = rng.uniform(0.2, 3, 5)
    rates = model.main_model.expected_data(pars, return_by_sample=True)
    qcd = rates[model.config.samples.index("qcd")]
    a, b, c, d = (qcd[model.config.channel_slices[f"SR_{x}"]] for x in "ABCD")
    np.testing.assert_allclose(a, b * c / d, rtol=1e-12)


def test_qcd_is_data_minus_simulation_in_the_control_regions(workspace, histograms):
    for letter in "BCD":
        rest = histograms.values("SR", "mass", "data", letter) - sum(
            histograms.values("SR", "mass", p, letter) for p in ("top", "wjets")
        )
        np.testing.assert_allclose(_sample(workspace, f"SR_{letter}", "qcd")["data"], np.maximum(rest, QCD_FLOOR))


def test_the_factors_are_shared_as_designed(workspace):
    for letter, factors in ABCD_FACTORS.items():
        assert set(_modifiers(_sample(workspace, f"SR_{letter}", "qcd"))) == {f"qcd_{f}_SR" for f in factors}


def test_bounds_reach_five_standard_deviations_above_the_data(workspace, histograms):
    bounds = {p["name"]: np.array(p["bounds"]) for p in workspace["measurements"][0]["config"]["parameters"]}
    for factor, letter in (("s", "D"), ("b", "B"), ("c", "C")):
        n = histograms.values("SR", "mass", "data", letter)
        top = bounds[f"qcd_{factor}_SR"][:, 1] * _sample(workspace, f"SR_{letter}", "qcd")["data"]
        assert (top >= n + 5 * np.sqrt(n + 1)).all()


def test_systematics_are_shared_unless_decorrelated(workspace):
    top, wjets = (_modifiers(_sample(workspace, "SR_A", p)) for p in ("top", "wjets"))
    assert "jes" in top
    assert "jes" in wjets
    assert "isr_top" in top
    assert "isr_wjets" in wjets
    assert "isr" not in {**top, **wjets}


def test_the_signal_has_its_own_statistical_uncertainty(workspace):
    assert "mcstat_top_SR_A" in _modifiers(_sample(workspace, "SR_A", "top"))
    assert "mcstat_SR_A" in _modifiers(_sample(workspace, "SR_A", "wjets"))


def test_the_scale_factor_acts_in_a_on_its_processes_only(histograms):
    workspace, _ = build(make_analysis(scale_factor={"processes": ["wjets"]}), histograms)
    having = {(c["name"], s["name"]) for c in workspace["channels"] for s in c["samples"] if "sf" in _modifiers(s)}
    assert having == {("SR_A", "wjets"), ("VR1_A", "wjets")}


def test_a_log_normal_acts_on_its_letters(histograms):
    norm = {"sf_v": {"processes": ["wjets"], "size": 0.5, "letters": ["A"]}}
    workspace, _ = build(make_analysis(normalisations=norm), histograms)
    assert _modifiers(_sample(workspace, "SR_A", "wjets"))["sf_v"]["data"] == {"hi": 1.5, "lo": 1 / 1.5}
    assert "sf_v" not in _modifiers(_sample(workspace, "SR_B", "wjets"))


def test_the_strength_is_free_below_zero_where_asked(histograms):
    poi = {"name": "mu", "process": "top", "bounds": [-3, 10]}
    workspace, _ = build(make_analysis(poi=poi), histograms)
    parameters = {p["name"]: p for p in workspace["measurements"][0]["config"]["parameters"]}
    assert parameters["mu"]["bounds"] == [[-3.0, 10.0]]


def test_several_parameters_of_interest(histograms):
    poi = [{"name": "mu_top", "process": "top"}, {"name": "mu_w", "process": "wjets"}]
    workspace, _ = build(make_analysis(poi=poi), histograms)
    result = fit_workspace(workspace, limit=False, impacts=False, scan=False)
    assert [p["name"] for p in result["pois"]] == ["mu_top", "mu_w"]
    assert result["poi"]["name"] == "mu_top"


def test_blinded_data_in_a_are_the_background_expectation():
    workspace, report = build(make_analysis(blind=True), make_histograms(strength=5))
    assert report["blinded"] == ["SR", "VR1"]
    samples = {
        letter: {s["name"]: np.array(s["data"]) for s in _channel(workspace, f"SR_{letter}")["samples"]}
        for letter in "ABCD"
    }
    observed = {o["name"]: np.array(o["data"]) for o in workspace["observations"]}
    others = {letter: samples[letter]["wjets"] for letter in "ABCD"}
    qcd = {letter: observed[f"SR_{letter}"] - others[letter] for letter in "BCD"}
    np.testing.assert_allclose(observed["SR_A"], qcd["B"] * qcd["C"] / qcd["D"] + others["A"])


def test_a_blinded_fit_finds_no_signal_whatever_the_signal_is_elsewhere():
    workspace, _ = build(make_analysis(blind=True), make_histograms(strength=5))
    result = fit_workspace(workspace, limit=False, impacts=False, scan=False)
    assert result["pois"][0]["value"] == pytest.approx(0.0, abs=1e-3)
    assert result["significance"]["z"] == pytest.approx(0.0, abs=1e-2)


def test_data_below_simulation_floors_qcd_and_says_where(edit):
    histograms = edit("SR", "data", "B", [0.0, 100, 100, 50, 50])
    workspace, report = build(make_analysis(), histograms)
    assert _sample(workspace, "SR_B", "qcd")["data"][0] == QCD_FLOOR
    assert [(f["region"], f["letter"], f["bin"]) for f in report["floored"]] == [("SR", "B", 0)]
    result = fit_workspace(workspace, limit=False, impacts=False, scan=False)
    assert "qcd_b_SR[0]" in result["at_bounds"]


def test_negative_bins_become_zero_and_are_listed(edit):
    histograms = edit("SR", "wjets", "A", [-0.5, 1, 1, 1, 1])
    workspace, report = build(make_analysis(), histograms)
    assert _sample(workspace, "SR_A", "wjets")["data"][0] == 0
    assert report["negative"] == [
        {"region": "SR", "letter": "A", "process": "wjets", "variation": "nominal", "bin": 0, "value": -0.5}
    ]


def test_a_process_absent_from_a_channel_is_left_out(edit):
    histograms = edit("SR", "wjets", "A", np.zeros(5))
    for name in ("jesUp", "jesDown", "isrUp", "isrDown"):
        put(histograms.histograms["SR", "mass"], "wjets", "A", name, np.zeros(5), np.zeros(5))
    workspace, report = build(make_analysis(), histograms)
    assert [s["name"] for s in _channel(workspace, "SR_A")["samples"]] == ["top", "qcd"]
    assert report["left_out"] == [{"region": "SR", "letter": "A", "process": "wjets"}]


def test_the_report_says_how_much_signal_qcd_would_absorb(analysis, histograms):
    _, report = build(analysis, histograms)
    absorbed = report["absorbed"]["SR"]["top"]
    # B + C of the signal are 6 % of QCD's there: BC/D moves by about that share of QCD in A
    assert 0 < absorbed["events"] < 0.2 * absorbed["signal_in_A"]


def test_the_authors_code_mode_has_zero_floors_and_its_own_range(edit):
    histograms = edit("SR", "data", "B", [0.0, 100, 100, 50, 50])
    workspace, report = build(make_analysis(mode="authors-code"), histograms)
    assert _sample(workspace, "SR_B", "qcd")["data"][0] == 0
    assert "the range [0, 5] acts on s, b and c" in report["warnings"][0]
    bounds = {p["name"]: p["bounds"] for p in workspace["measurements"][0]["config"]["parameters"]}
    assert all(bounds[f"qcd_{factor}_SR"] == [[0.0, 5.0]] * 5 for factor in "sbc")


def test_the_authors_code_mode_clips_varied_templates_where_the_nominal_is_empty(edit):
    histograms = edit("SR", "top", "A", [0.0, 10, 20, 30, 20])
    for mode, low in (("authors-code", AUTHORS_VARIED_FLOOR), ("exact", 0.0)):
        workspace, _ = build(make_analysis(mode=mode), put_varied(histograms, [-1.0, 11, 21, 31, 21]))
        modifier = _modifiers(_sample(workspace, "SR_A", "top"))["jes"]["data"]
        assert modifier["hi_data"] == [low, 11, 21, 31, 21]


def test_the_authors_code_mode_without_qcd_in_d_expects_none_in_a(edit):
    workspace, _ = build(make_analysis(mode="authors-code"), edit("SR", "data", "D", [0.0, 900, 800, 700, 600]))
    assert _sample(workspace, "SR_D", "qcd")["data"][0] == 0
    assert _sample(workspace, "SR_A", "qcd")["data"][0] == 0


def _authors_qcd(histograms, region, signal, bins=5):
    """QCD's nominal as the authors' code has it, written out: bins one by one, CR1 = B, CR2 = D, CR3 = C."""
    rest = {}
    for letter in "BCD":
        rest[letter] = []
        for i in range(bins):
            left = histograms.values(region, "mass", "data", letter)[i]
            for process in ("top", "wjets"):
                if process != signal:
                    left -= histograms.values(region, "mass", process, letter)[i]
            rest[letter].append(left)
    a = []
    for b, c, d in zip(rest["B"], rest["C"], rest["D"], strict=True):
        prediction = c / d * b if d != 0 else 0.0
        a.append(max(prediction, 0.0))
    return {"A": a, **{letter: [max(x, 0.0) for x in rest[letter]] for letter in "BCD"}}


@pytest.mark.parametrize(
    ("process", "letter", "values"),
    [
        ("wjets", "B", [-30.0, 5, 5, 5, 5]),  # subtracted before it is clipped: QCD grows
        ("data", "B", [0.0, 100, 100, 50, 50]),  # B below zero: A is clipped last, at zero
        ("data", "D", [0.0, 900, 800, 700, 600]),  # D below zero
        ("top", "C", [90.0, 90, 90, 90, 90]),  # the signal, which is never subtracted
    ],
)
def test_the_authors_code_mode_has_their_qcd_bin_by_bin(edit, process, letter, values):
    histograms = edit("SR", process, letter, values)
    workspace, _ = build(make_analysis(mode="authors-code"), histograms)
    for region in ("SR", "VR1"):
        expected = _authors_qcd(histograms, region, "top")
        for x in "ABCD":
            np.testing.assert_allclose(_sample(workspace, f"{region}_{x}", "qcd")["data"], expected[x], err_msg=x)


def test_two_yields_below_zero_make_a_prediction_above_it_in_the_authors_code_mode(edit):
    histograms = edit("SR", "data", "B", [0.0, 100, 100, 50, 50])
    old = histograms.variances("SR", "mass", "data", "C")
    put(histograms.histograms["SR", "mass"], "data", "C", "nominal", [0.0, 100, 100, 50, 50], old)
    workspace, report = build(make_analysis(mode="authors-code"), histograms)
    expected = _authors_qcd(histograms, "SR", "top")
    assert expected["A"][0] > 0
    np.testing.assert_allclose(_sample(workspace, "SR_A", "qcd")["data"], expected["A"])
    assert _sample(workspace, "SR_B", "qcd")["data"][0] == 0
    assert {(f["letter"], f["bin"]) for f in report["floored"]} == {("B", 0), ("C", 0)}


def test_a_clipped_prediction_is_listed_in_the_authors_code_mode(edit):
    _, report = build(make_analysis(mode="authors-code"), edit("SR", "data", "B", [0.0, 100, 100, 50, 50]))
    clipped = [f for f in report["floored"] if f["letter"] == "A"]
    assert [(f["region"], f["bin"], f["floor"]) for f in clipped] == [("SR", 0, 0.0)]
    assert clipped[0]["b_c_over_d"] < 0


@pytest.mark.parametrize("mode", ["exact", "authors-code"])
def test_a_variation_that_equals_its_nominal_is_written(mode):
    histograms = make_histograms()
    for region in ("SR", "VR1"):
        for letter in "ABCD":
            for direction in ("Up", "Down"):
                nominal = histograms.values(region, "mass", "wjets", letter)
                put(histograms.histograms[region, "mass"], "wjets", letter, f"jes{direction}", nominal, nominal)
    workspace, _ = build(make_analysis(mode=mode), histograms)
    sample = _sample(workspace, "SR_A", "wjets")
    assert _modifiers(sample)["jes"]["data"] == {"hi_data": sample["data"], "lo_data": sample["data"]}


def test_a_process_left_out_says_which_of_its_variations_have_events(edit):
    histograms = edit("SR", "wjets", "A", np.zeros(5))
    _, report = build(make_analysis(), histograms)
    varied = ["jesUp", "jesDown", "isrUp", "isrDown"]
    assert report["left_out"] == [{"region": "SR", "letter": "A", "process": "wjets", "variations": varied}]


def test_floors_and_bounds_that_nothing_meets_change_no_answer(histograms):
    exact, authors = (Model(build(make_analysis(mode=m), histograms)[0]).fit() for m in ("exact", "authors-code"))
    assert authors.twice_nll == pytest.approx(exact.twice_nll, abs=1e-6)
    assert authors["mu"] == pytest.approx(exact["mu"], abs=1e-4)


def test_a_scale_factor_that_moves_all_of_the_signal_is_refused(histograms):
    factor = {"processes": ["top"], "letters": ["A", "B", "C", "D"]}
    workspace, _ = build(make_analysis(scale_factor=factor), histograms)
    with pytest.raises(OddjetsError, match=r"cannot tell these parameters apart: (mu, sf|sf, mu)"):
        Model(workspace).fit()


def test_two_strengths_of_one_process_are_refused(histograms):
    poi = [{"name": "mu_one", "process": "top"}, {"name": "mu_two", "process": "top"}]
    with pytest.raises(OddjetsError, match="two parameters of interest scale 'top'"):
        build(make_analysis(poi=poi), histograms)


def test_regions_that_share_events_are_not_fitted_together(histograms):
    shared = {("SR", "VR1"): 7, ("SR", "SR1"): 40}
    with pytest.raises(
        OddjetsError, match=r"fit.regions: SR and VR1 share 7 events .*; add 'not VR1' to the cuts of SR"
    ):
        build(make_analysis(), dataclasses.replace(histograms, shared_events=shared))


def test_regions_beside_the_fit_may_share_events(histograms, workspace):
    others = dataclasses.replace(histograms, shared_events={("SR", "SR1"): 40, ("SR1", "VR1"): 3})
    assert build(make_analysis(), others)[0] == workspace


@pytest.mark.parametrize("letter", ["B", "C", "D"])
def test_a_region_empty_in_a_control_letter_is_named(edit, letter):
    with pytest.raises(OddjetsError, match=f"region 'SR' is empty in {letter}"):
        build(make_analysis(), edit("SR", "data", letter, np.zeros(5)))


def test_a_region_without_data_is_named():
    histograms = make_histograms()
    for letter in "ABCD":
        view = histograms.histograms["VR1", "mass"]["data", letter, "nominal", :].view(flow=False)
        view["value"] = 0
        histograms.histograms["VR1", "mass"]["data", letter, "nominal", :] = view
    with pytest.raises(OddjetsError, match="region 'VR1' is empty: no data event in any"):
        build(make_analysis(), histograms)


def test_an_empty_a_region_can_be_fitted(edit):
    workspace, _ = build(make_analysis(), edit("SR", "data", "A", np.zeros(5)))
    result = fit_workspace(workspace, impacts=False, scan=False)
    assert result["poi"]["value"] < 1
    assert result["limit"]["observed"] > 0


def test_a_signal_without_events_is_an_error():
    histograms = make_histograms()
    for region in ("SR", "VR1"):
        for letter in "ABCD":
            h = histograms.histograms[region, "mass"]
            view = h["top", letter, "nominal", :].view(flow=False)
            view["value"] = 0
            h["top", letter, "nominal", :] = view
    with pytest.raises(OddjetsError, match="nothing depends on the parameter of interest 'mu'"):
        build(make_analysis(), histograms)


def test_nan_in_a_histogram_is_named(edit):
    with pytest.raises(OddjetsError, match=r"histogram of wjets in SR_A .nominal.: bin 2 is nan"):
        build(make_analysis(), edit("SR", "wjets", "A", [1, 1, np.nan, 1, 1]))


def test_a_misspelt_signal_gets_the_nearest_name(histograms):
    with pytest.raises(OddjetsError, match="did you mean 'wjets'"):
        build(make_analysis(poi={"process": "wjet"}), histograms)
