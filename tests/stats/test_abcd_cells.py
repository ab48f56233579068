"""Unions in the fit: structural constants and product cells give back what was put in."""

from __future__ import annotations

import json

import numpy as np
import pyhf
import pytest
from helpers.small_fit import EDGES, make_analysis, put
from helpers.toy_pairs import PASS_PLAIN, PASS_TAGGED, TAG, constant_of_union
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oddjets.config.regions import Region
from oddjets.core.errors import OddjetsError
from oddjets.io.histograms import DATA, HistogramSet, ThresholdResult, empty_histogram
from oddjets.stats import Model
from oddjets.stats.cell_bins import bin_groups, channels_of, shown_edges, sums_over_cells
from oddjets.stats.closure_parts import StructuralFactor, structural_factors
from oddjets.stats.closure_uncertainty import closure_uncertainties
from oddjets.stats.combine import write_card
from oddjets.stats.summary import fit_workspace
from oddjets.stats.workspace import build, varied_variances

#: the cells of "at least one tag": probability, and pass rates of the leading and the subleading jet
CELLS = {
    "both": (TAG**2, PASS_TAGGED, PASS_TAGGED),
    "leading": (TAG * (1 - TAG), PASS_TAGGED, PASS_PLAIN),
    "subleading": (TAG * (1 - TAG), PASS_PLAIN, PASS_TAGGED),
}
CONSTANT = constant_of_union(TAG, PASS_TAGGED, PASS_PLAIN)
FRACTIONS = {
    "A": lambda one, other: one * other,
    "B": lambda one, other: (1 - one) * other,
    "C": lambda one, other: one * (1 - other),
    "D": lambda one, other: (1 - one) * (1 - other),
}
SHAPE = np.array([0.3, 0.25, 0.2, 0.15, 0.1])


def union_analysis(abcd, init=1.0, **fit):
    """One region, ANY, with its product cells."""
    poi = {"name": "mu", "process": "top", "bounds": [-50, 50], "init": init}
    analysis = make_analysis(regions=["ANY"], abcd=abcd, poi=poi, **fit)
    cells = {f"ANY_{cell}": Region(cuts=("x",), part_of="ANY") for cell in CELLS}
    regions = {"ANY": Region(any=("tagged",)), **cells}
    return analysis.model_copy(update={"regions": regions, "systematics": ()})


def union_histograms(events=3e5, strength=1.0, seed=None):
    """QCD of independent jets, and a signal of 60 events in A; data are their expectation, or Poisson numbers."""
    rng = np.random.default_rng(seed)
    histograms, whole = {}, empty_histogram("mass", EDGES)
    sums = {}
    for cell, (probability, one, other) in CELLS.items():
        h = empty_histogram("mass", EDGES)
        for letter, fraction in FRACTIONS.items():
            qcd = events * probability * fraction(one, other) * SHAPE
            top = {"A": 20.0, "B": 4.0, "C": 4.0, "D": 2.0}[letter] * SHAPE[::-1]
            data = qcd + strength * top
            data = data if seed is None else rng.poisson(data).astype(float)
            for process, values in (("qcd", qcd), ("top", top), (DATA, data)):
                put(h, process, letter, "nominal", values, 0.05 * values if process != DATA else values)
                sums.setdefault((process, letter), []).append(values)
        histograms[f"ANY_{cell}", "mass"] = h
    for (process, letter), values in sums.items():
        total = np.sum(values, axis=0)
        put(whole, process, letter, "nominal", total, 0.05 * total if process != DATA else total)
    histograms["ANY", "mass"] = whole
    variations = {DATA: ["nominal"], "qcd": ["nominal"], "top": ["nominal"]}
    return HistogramSet(histograms, variations, 100.0, ThresholdResult("s", 0.5, None, None, 0, 0))


def strength_of(workspace):
    return Model(workspace).fit()["mu"]


def test_a_union_as_published_is_off_by_its_constant_and_its_cells_are_not():
    """With data equal to their expectation: cells and the true constant give strength 1 exactly; B C / D of all does not."""
    histograms = union_histograms()
    cells, report = build(union_analysis("cells"), histograms)
    assert strength_of(cells) == pytest.approx(1.0, abs=1e-3)
    published, _ = build(union_analysis("as-published"), histograms)
    assert abs(strength_of(published) - 1) > 1.0
    # as small an error as a closure without error would have: the constant alone must mend it
    known = {"ANY": StructuralFactor(CONSTANT, 1e-4)}
    structural, _ = build(union_analysis("structural"), histograms, structural=known)
    assert strength_of(structural) == pytest.approx(1.0, abs=0.05)
    names = {c["name"] for c in cells["channels"]}
    assert names == {f"ANY_{cell}_{letter}" for cell in CELLS for letter in "ABCD"}
    assert report["absorbed"].keys() == {"ANY"}
    assert report["cells"]["ANY"].keys() == {f"ANY_{cell}" for cell in CELLS}


def test_cells_share_everything_but_the_factors_of_qcd():
    workspace, _ = build(
        union_analysis("cells", scale_factor={"processes": ["wjets"]}), union_histograms(), {"ANY": closure_of(0.2)}
    )
    by_name: dict[str, set[str]] = {}
    for channel in workspace["channels"]:
        for sample in channel["samples"]:
            for modifier in sample["modifiers"]:
                by_name.setdefault(modifier["name"], set()).add(channel["name"].removeprefix("ANY_").split("_")[0])
    assert by_name["mu"] == by_name["lumi"] == by_name["closure_ANY"] == set(CELLS)
    for cell in CELLS:
        for factor in "sbc":
            assert by_name[f"qcd_{factor}_ANY_{cell}"] == {cell}


def closure_of(size):
    return closure_uncertainties(
        {"process": "qcd", "regions": {"R": {"constant": 1 + size, "constant_error": size / 10}}}, ["R"]
    )["R"]


def test_structural_multiplies_qcd_in_a_and_has_its_error():
    histograms = union_histograms(seed=1)
    plain, _ = build(union_analysis("as-published"), histograms)
    known = {"ANY": StructuralFactor(0.4, 0.02)}
    workspace, report = build(union_analysis("structural"), histograms, structural=known)
    assert report["structural"] == {"ANY": {"value": 0.4, "error": 0.02}}
    for before, after in zip(plain["channels"], workspace["channels"], strict=True):
        samples = {s["name"]: s for s in after["samples"]}
        for sample in before["samples"]:
            now = samples[sample["name"]]
            if (sample["name"], before["name"]) == ("qcd", "ANY_A"):
                np.testing.assert_allclose(now["data"], 0.4 * np.array(sample["data"]))
                assert now["modifiers"][-1] == {
                    "name": "structural_ANY",
                    "type": "normsys",
                    "data": {"hi": pytest.approx(1.05), "lo": pytest.approx(1 / 1.05)},
                }
            else:
                assert now == sample
    pyhf.Workspace(workspace)
    assert Model(workspace).fit().error("mu") > 0


@pytest.mark.slow
def test_the_fit_of_cells_is_unbiased_and_its_errors_cover():
    found, errors = [], []
    for seed in range(40):
        workspace, _ = build(union_analysis("cells"), union_histograms(seed=seed))
        fitted = Model(workspace).fit()
        found.append(fitted["mu"])
        errors.append(fitted.error("mu"))
    assert np.mean(found) == pytest.approx(1.0, abs=3 * np.std(found) / np.sqrt(40))
    assert np.std(found) == pytest.approx(np.mean(errors), rel=0.35)


def test_tables_show_the_region_and_add_up():
    """Events are kept by merging and summing; the error of the sum has the covariance of all cells."""
    histograms = union_histograms(events=6000, seed=3)
    workspace, report = build(union_analysis("cells"), histograms)
    result = fit_workspace(workspace, limit=False, impacts=False, scan=False, report=report)
    assert list(result["yields"]) == ["ANY"]
    for letter, shown in result["yields"]["ANY"].items():
        whole = histograms.values("ANY", "mass", DATA, letter)
        assert shown["edges"] == report["edges"]["ANY"]
        assert sum(shown["data"]) == whole.sum()
        merged, _ = np.histogram(EDGES[:-1], shown["edges"], weights=whole)
        np.testing.assert_allclose(shown["data"], merged)
        fitted = shown["signal_plus_background"]
        parts = [fitted[name] for name in ("qcd", "top")]
        np.testing.assert_allclose(fitted["total"]["values"], np.sum([p["values"] for p in parts], axis=0))
        if letter == "D":
            # nothing but its own counts fixes QCD in D: the fit reproduces them
            assert fitted["total"]["sum"]["value"] == pytest.approx(whole.sum(), rel=0.01)
            assert fitted["total"]["sum"]["error"] == pytest.approx(np.sqrt(whole.sum()), rel=0.05)
    json.dumps(result["yields"], allow_nan=False)
    assert [w for w in report["warnings"] if "are merged to" in w]


def test_the_card_names_the_cells_of_a_region(tmp_path):
    histograms = union_histograms()
    analysis = union_analysis("cells")
    workspace, report = build(analysis, histograms)
    card, *_ = write_card(workspace, tmp_path, report["edges"], varied_variances(analysis, histograms), report["cells"])
    text = card.read_text()
    assert "# region ANY: the sum of its product cells ANY_both, ANY_leading, ANY_subleading" in text
    assert "qcd_bin0_ANY_both_A rateParam ANY_both_A qcd_bin0 (@0*@1/@2)" in text
    known = {"ANY": StructuralFactor(0.4, 0.02)}
    structural, report = build(union_analysis("structural"), histograms, structural=known)
    card, *_ = write_card(structural, tmp_path, report["edges"])
    assert "structural_ANY lnN" in card.read_text()


@given(hnp.arrays(np.float64, st.tuples(st.just(3), st.integers(1, 12)), elements=st.floats(-2, 12)))
def test_groups_are_all_bins_in_order_each_with_enough(expected):
    groups = bin_groups(expected)
    assert [i for group in groups for i in group] == list(range(expected.shape[1]))
    if len(groups) > 1:
        for group in groups[1:]:
            assert (expected[:, group].sum(axis=1) >= 4).all()
            # no later start would do
            for shorter in range(1, len(group)):
                assert not (expected[:, group[shorter:]].sum(axis=1) >= 4).all()


def test_groups_by_hand():
    many = np.full(6, 100.0)
    assert bin_groups(np.array([many, many, many])) == [[0], [1], [2], [3], [4], [5]]
    assert bin_groups(np.array([many, [1, 9, 2, 2, 3, 3], many])) == [[0, 1], [2, 3], [4, 5]]
    assert bin_groups(np.array([many, [4, 4, 4, 4, 4, 1], many])) == [[0], [1], [2], [3], [4, 5]]
    assert bin_groups(np.zeros((3, 3))) == [[0, 1, 2]]


def test_merged_bins_keep_all_events_and_flow():
    h = empty_histogram("mass", EDGES)
    rng = np.random.default_rng(1)
    h.fill(process="qcd", letter="B", variation="nominal", mass=rng.uniform(0, 300, 500), weight=rng.uniform(size=500))
    h.fill(process="top", letter="A", variation="jesUp", mass=rng.uniform(0, 300, 50), weight=rng.uniform(size=50))
    histograms = HistogramSet({("SR", "mass"): h}, {}, 1.0, ThresholdResult("s", 0.5, None, None, 0, 0))
    merged = histograms.with_merged_bins("mass", {"SR": [[0], [1, 2], [3, 4]]}).histograms["SR", "mass"]
    assert merged.axes[-1].edges.tolist() == [60, 90, 150, 210]
    for process, letter, variation in (("qcd", "B", "nominal"), ("top", "A", "jesUp")):
        before, after = (x[process, letter, variation, :].view(flow=True) for x in (h, merged))
        for field in ("value", "variance"):
            np.testing.assert_allclose(after[field], np.add.reduceat(before[field], [0, 1, 2, 4, 6]))


def test_a_region_is_shown_in_the_bins_that_its_cells_have_in_common():
    groups = {"a": [[0, 1], [2], [3], [4]], "b": [[0], [1], [2, 3], [4]]}
    assert shown_edges(groups, EDGES) == [60.0, 120.0, 180.0, 210.0]
    assert sums_over_cells(groups) == {"a": [[0], [1, 2], [3]], "b": [[0, 1], [2], [3]]}


def test_which_channels_a_region_has():
    assert channels_of(union_analysis("as-published"), "ANY") == ["ANY"]
    assert channels_of(union_analysis("cells"), "ANY") == ["ANY_both", "ANY_leading", "ANY_subleading"]
    product = make_analysis(abcd="cells")
    assert channels_of(product, "SR") == ["SR"]


def test_a_cell_without_events_is_named():
    histograms = union_histograms()
    h = histograms.histograms["ANY_both", "mass"]
    put(h, DATA, "B", "nominal", np.zeros(5), np.zeros(5))
    with pytest.raises(OddjetsError, match="region 'ANY_both' is empty in B"):
        build(union_analysis("cells"), histograms)


def test_structural_needs_its_constants():
    with pytest.raises(
        OddjetsError, match=r"fit\.abcd: 'structural' needs the structural constants .* run `oddjets closure`"
    ):
        build(union_analysis("structural"), union_histograms())
    parts = {
        "P": {"kind": "product", "why": "", "structural": {"value": 1.02, "error": 0.01}},
        "U": {"kind": "union", "why": "", "structural": {"value": 0.5, "error": 0.02}},
        "N": {"kind": "union", "why": "", "structural": {"value": None, "error": None}},
        "X": {"kind": "unknown", "why": "the cut 'far' reads 'mjj'"},
    }
    closure = {"parts": {"regions": parts, "notes": []}}
    assert structural_factors(closure, ["P", "U"]) == {"U": (0.5, 0.02)}
    for region, why in (("N", "too few events"), ("X", "the cut 'far' reads 'mjj'"), ("absent", "too few events")):
        with pytest.raises(OddjetsError, match=f"region '{region}' has no structural constant in closure.json .{why}"):
            structural_factors(closure, ["P", region])


def test_the_closure_uncertainty_leaves_out_what_the_fit_knows():
    found = {"process": "qcd", "regions": {"U": {"constant": 0.55, "constant_error": 0.05}}}
    assert closure_uncertainties(found, ["U"])["U"].size == pytest.approx(0.45)
    known = closure_uncertainties(found, ["U"], {"U": StructuralFactor(0.5, 0.02)})["U"]
    assert (known.size, known.constant, known.constant_error) == pytest.approx((0.1, 1.1, 0.1))


def test_a_blinded_fit_of_cells_expects_its_background():
    analysis = union_analysis("cells", blind=True)
    histograms = union_histograms(strength=0.0).blind()
    workspace, report = build(analysis, histograms)
    assert report["blinded"] == ["ANY"]
    assert strength_of(workspace) == pytest.approx(0.0, abs=1e-3)
