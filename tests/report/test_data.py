"""What the figures show is what the artifacts hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import synthetic
from scipy.stats import chi2

from oddjets.config.analysis import Analysis
from oddjets.config.regions import Region
from oddjets.report import panels, registry
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import (
    kde,
    observable,
    postfit,
    regions,
    residual,
    score,
    score_overlap,
    systematics,
    threshold_scan,
)
from oddjets.report.figures import yields as yields_figure
from oddjets.report.intervals import binomial, garwood

Finished = tuple[Analysis, Path]


def test_stack_sums_to_the_fitted_total(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    for data in postfit.data(artifacts).values():
        layers = np.sum([layer["values"] for layer in data["stack"]], axis=0)
        np.testing.assert_allclose(layers, data["total"]["values"], rtol=1e-12)


def test_ratio_is_data_over_total(finished: Finished) -> None:
    data = postfit.panel(Artifacts(*finished), "SR", "A", "signal_plus_background")
    total = np.array(data["total"]["values"])
    np.testing.assert_allclose(np.array(data["ratio"]["values"]) * total, data["data"]["values"])
    np.testing.assert_allclose(np.array(data["ratio"]["up"]) * total, data["data"]["up"])
    np.testing.assert_allclose(np.array(data["ratio"]["band"]) * total, data["total"]["errors"])


def test_signal_is_on_top_of_rising_backgrounds(finished: Finished) -> None:
    data = postfit.panel(Artifacts(*finished), "SR", "D", "signal_plus_background")
    names = [layer["process"] for layer in data["stack"]]
    sums = [sum(layer["values"]) for layer in data["stack"][:-1]]
    assert names[-1] == "top"
    assert data["stack"][-1]["signal"]
    assert sums == sorted(sums)


def test_count_errors_are_garwood() -> None:
    counts = np.array([0, 1, 7, 1000])
    down, up = garwood(counts)
    # the central 68.27 % interval from the chi-square quantiles (Garwood 1936)
    alpha = 0.317310507862914
    low = np.array([0, *(chi2.ppf(alpha / 2, 2 * counts[1:]) / 2)])
    high = chi2.ppf(1 - alpha / 2, 2 * counts + 2) / 2
    np.testing.assert_allclose(counts - down, low, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(counts + up, high, rtol=1e-6)


def test_binomial_errors_stay_within_zero_and_one() -> None:
    efficiency, down, up = binomial([0, 3, 5, 0], [5, 5, 5, 0])
    np.testing.assert_allclose(efficiency[:3], [0, 0.6, 1])
    assert np.all(efficiency[:3] - down[:3] >= 0)
    assert np.all(efficiency[:3] + up[:3] <= 1)
    assert np.isnan([efficiency[3], down[3], up[3]]).all()


def test_yields_are_the_sums_over_the_bins(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    data = yields_figure.data(artifacts)["yields"]
    for label, total, counts in zip(data["labels"], data["total"]["values"], data["data"]["values"], strict=True):
        region, letter = label.split()
        entry = artifacts.results["yields"][region][letter]
        assert total == pytest.approx(sum(entry["signal_plus_background"]["total"]["values"]))
        assert counts == sum(entry["data"])


def test_score_is_normalised_to_the_cutflow(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    data = score.data(artifacts)["score"]
    expected = {d["process"]: d["weighted"][-1] for d in artifacts.cutflow["datasets"].values()}
    for layer in data["stack"]:
        assert sum(layer["values"]) == pytest.approx(expected[layer["process"]])
    assert sum(data["data"]["values"]) == expected["data"]
    assert data["mark"]["value"] == artifacts.histograms.threshold.value


def test_many_processes_are_merged_and_none_is_lost(tmp_path: Path) -> None:
    asked = synthetic.analysis(processes=60)
    synthetic.fabricate(tmp_path, asked)
    data = postfit.panel(Artifacts(asked, tmp_path), "SR", "A", "signal_plus_background")
    assert len(data["stack"]) <= 9
    assert any(layer["label"].startswith("Other (5") for layer in data["stack"])
    np.testing.assert_allclose(np.sum([s["values"] for s in data["stack"]], axis=0), data["total"]["values"])


def test_every_figure_is_json_with_text_for_those_who_cannot_see_it(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    names = []
    for kind in registry.KINDS.values():
        figures = kind.data(artifacts)
        # only tables of muon events have a trigger efficiency: tests/report/test_trigger_efficiency.py
        # only a folder with studies has those: tests/study, test_verdict.py; and one with an inspection: tests/inspection;
        # and only imported single jets have figures of theirs: tests/workflow/test_aspen.py, test_aspen_jets.py
        # rescored signals: test_rescoring.py
        assert bool(figures) is (
            kind.name
            not in (
                "efficiency",
                "null",
                "display",
                "why",
                "class_shares",
                "neighbours",
                "choices",
                "injection",
                "learning",
                "sculpting",
                "two_sample",
                "jet_bump",
                "jet_null",
                "jet_periods",
                "acceptance",
                "signal_limit",
                "signal_score",
                "signal_templates",
                "efficiency_map",
            )
        ), kind.name
        for name, data in figures.items():
            assert json.loads(json.dumps(data, allow_nan=False)) == data
            assert data["kind"] == kind.name
            assert data["name"] == name
            assert len(data["alt"]) > 40
            assert data["sources"]
            names.append(name)
    assert len(names) == len(set(names))


def test_residual_is_data_minus_background(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    fitted = artifacts.results["yields"]["SR"]["A"]
    background = sum(
        np.array(v["values"]) for p, v in fitted["signal_plus_background"].items() if p not in ("top", "total")
    )
    points = residual.data(artifacts)["residual_SR"]["points"]["values"]
    np.testing.assert_allclose(points, np.array(fitted["data"]) - background)


def test_region_map_holds_every_event_of_the_histograms(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    for one in regions.data(artifacts)["regions"]["maps"]:
        for letter, number in one["letters"].items():
            assert number == artifacts.histograms.values(one["region"], "mass", "data", letter).sum()
        letters = one["letters"]
        assert one["predicted"] == pytest.approx(letters["B"] * letters["C"] / letters["D"])


def test_region_map_has_names_in_words_and_expressions_as_they_are(finished: Finished) -> None:
    asked, out = finished
    cuts = ("mass_1 > mass_2 or n_muons == 0", "not VR_1", "mass_2>100", "mass_1 + mass_2 > 300")
    one = Region(all=("tau21_low", "mass_ungroomed > 50"), cuts=cuts)
    changed = asked.model_copy(update={"regions": dict.fromkeys(asked.regions, one)})
    (first, *_) = regions.data(Artifacts(changed, out))["regions"]["maps"]
    assert first["cuts"] == [
        "all tau21 low & mass_ungroomed > 50",
        "subleading mass > 100",
        "(mass_1 > mass_2 or n_muons == 0)",
        "not VR 1",
        "mass_1 + mass_2 > 300",
    ]


def test_systematic_ratios_are_varied_over_nominal(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    row = systematics.data(artifacts)["systematics_top"]["rows"][0]
    panel = next(p for p in row["panels"] if p["name"] == "jes")
    nominal = artifacts.histograms.values("SR", "mass", "top", "A")
    np.testing.assert_allclose(
        np.array(panel["up"]) * nominal, artifacts.histograms.values("SR", "mass", "top", "A", "jesUp")
    )


def test_background_estimated_from_data_has_no_systematics_figure(finished: Finished) -> None:
    assert "systematics_qcd" not in systematics.data(Artifacts(*finished))


def test_overlap_compares_the_same_number_of_events(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    data = score_overlap.data(artifacts)["overlap_xbb"]
    table = artifacts.table(["score_odd_1", "score_odd_2", "score_xbb_1", "score_xbb_2"])["data"]
    odd = np.minimum(table["score_odd_1"], table["score_odd_2"]) >= 0.9
    # the other score's oddest events, as many of them
    order = np.argsort(-np.minimum(table["score_xbb_1"], table["score_xbb_2"]))[: odd.sum()]
    assert data["share"] == pytest.approx(odd[order].mean(), abs=1.5 / odd.sum())


def test_density_integrates_to_one() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(100, 10, 300), rng.normal(1200, 100, 300)
    gx, gy = np.linspace(30, 170, 141), np.linspace(500, 1900, 141)
    found = kde.density(x, y, gx, gy)
    assert found.sum() * (gx[1] - gx[0]) * (gy[1] - gy[0]) == pytest.approx(1, abs=1e-3)


def test_tightening_keeps_the_fraction_that_it_says(finished: Finished) -> None:
    artifacts = Artifacts(*finished)
    table = artifacts.table(["mass_1", "score_odd_1", "score_odd_2"])["data"]
    smaller = np.minimum(table["score_odd_1"], table["score_odd_2"])
    for frame in threshold_scan.data(artifacts)["threshold_scan"]["frames"]:
        assert (smaller >= frame["threshold"]).mean() == pytest.approx(frame["efficiency"], abs=1.5 / len(smaller))
        kept = smaller >= frame["threshold"]
        inside = (table["mass_1"][kept] >= 60) & (table["mass_1"][kept] <= 240)
        assert sum(frame["data"]["values"]) == inside.sum()


def test_blinded_data_in_a_are_in_no_figure(tmp_path: Path) -> None:
    asked = synthetic.analysis()
    assert asked.fit is not None
    blind = asked.model_copy(update={"fit": asked.fit.model_copy(update={"blind": True})})
    synthetic.fabricate(tmp_path, blind)
    artifacts = Artifacts(blind, tmp_path)
    table = artifacts.table(["mass_1", "score_odd_1", "score_odd_2"])["data"]
    assert np.all(np.minimum(table["score_odd_1"], table["score_odd_2"]) < 0.9)
    shown = score.data(artifacts)["score"]
    edges = np.array(shown["x"]["edges"])
    assert all(v is None for v, high in zip(shown["data"]["values"], edges[1:], strict=True) if high > 0.9 + 1e-9)
    assert regions.data(artifacts)["regions"]["maps"][0]["letters"]["A"] is None
    assert postfit.panel(artifacts, "SR", "A", "signal_plus_background")["text"][-1] == "blinded"
    for kind in ("bump", "kde", "overlap", "threshold_scan"):
        assert registry.KINDS[kind].data(artifacts) == {}
    # what stands in for the data is not called data
    for region in ("SR", "VR1"):
        panel = postfit.panel(artifacts, region, "A", "signal_plus_background")
        names = [handle.get_label() for handle in panels.handles([panel])]
        assert "Expected background" in names
        assert "Data" not in names
    below, above = observable.data(artifacts)["observable_SR_mass"]["panels"]
    assert below["data"] is not None
    assert above["data"] is None


def test_every_observable_in_every_region_has_a_figure_of_all_its_events(tmp_path: Path) -> None:
    # a region that no fit uses, and an observable that is not the fit's
    asked = synthetic.analysis(
        fit={"observable": "mass", "regions": ["SR"], "poi": {"name": "mu", "process": "top"}},
    )
    synthetic.fabricate(tmp_path, asked)
    artifacts = Artifacts(asked, tmp_path)
    histograms = artifacts.histograms
    figures = observable.data(artifacts)
    assert set(figures) == {f"observable_{region}_mass" for region in asked.regions}
    for region in asked.regions:
        below, above = figures[f"observable_{region}_mass"]["panels"]
        for panel, letters in ((below, "BCD"), (above, "A")):
            counted = sum(histograms.values(region, "mass", "data", a) for a in letters)
            simulated = sum(histograms.values(region, "mass", p, a) for p in histograms.processes for a in letters)
            np.testing.assert_allclose(panel["data"]["values"], counted)
            np.testing.assert_allclose(panel["total"]["values"], simulated)
            np.testing.assert_allclose(np.sum([one["values"] for one in panel["stack"]], axis=0), simulated)


def _words(content: Any) -> Iterator[str]:
    """Every text in a figure's data, without names of files."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            if key not in ("sources", "process", "name", "kind"):
                yield from _words(value)
    elif isinstance(content, list):
        for value in content:
            yield from _words(value)


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_data_are_called_pseudo_data_in_every_figure(simulated: bool, tmp_path: Path) -> None:
    asked = synthetic.analysis()
    synthetic.fabricate(tmp_path, asked)
    if simulated:
        manifest = tmp_path / "manifests" / "process.json"
        content = json.loads(manifest.read_text())
        content["extra"]["datasets"]["data_one"]["generator"] = "pythia8"
        manifest.write_text(json.dumps(content))
    closure = json.loads((tmp_path / "closure.json").read_text())
    closure["scans"].append({**closure["scans"][0], "label": "data below the threshold"})
    (tmp_path / "closure.json").write_text(json.dumps(closure))
    artifacts = Artifacts(asked, tmp_path)
    seen = 0
    for kind in registry.KINDS.values():
        for name, data in kind.data(artifacts).items():
            for text in _words(data):
                plain = re.search(r"(?<!pseudo-)\bdata\b", text, re.IGNORECASE)
                pseudo = re.search(r"pseudo-data", text, re.IGNORECASE)
                assert not (plain if simulated else pseudo), f"{name}: {text}"
                seen += bool(pseudo)
    assert (seen > 10) is simulated


def _colors(content: Any) -> Iterator[tuple[str, str]]:
    if isinstance(content, dict):
        if {"process", "color"} <= set(content):
            yield content["process"], content["color"]
        for value in content.values():
            yield from _colors(value)
    elif isinstance(content, list):
        for value in content:
            yield from _colors(value)


def test_a_process_has_one_colour_in_all_figures_and_shares_it_with_none(tmp_path: Path) -> None:
    asked = synthetic.analysis(processes=18)
    synthetic.fabricate(tmp_path, asked)
    artifacts = Artifacts(asked, tmp_path)
    found: dict[str, set[str]] = {}
    for kind in registry.KINDS.values():
        for data in kind.data(artifacts).values():
            for process, color in _colors(data):
                found.setdefault(process, set()).add(color)
    assert set(asked.processes) <= set(found)
    assert all(len(colors) == 1 for colors in found.values()), found
    assert len(set().union(*found.values())) == len(found)


def test_a_process_without_a_place_in_the_analysis_takes_no_colour_of_another() -> None:
    asked = synthetic.analysis()
    found = Artifacts(asked, Path("nowhere")).colors_of(["zjets", "top", "hh"])
    assert found["top"] == asked.processes["top"].color
    assert len(set(found.values())) == len(found) == len(asked.processes) + 2


def test_shapes_of_many_processes_keep_the_signal_and_say_what_they_leave_out(tmp_path: Path) -> None:
    asked = synthetic.analysis(processes=20)
    synthetic.fabricate(tmp_path, asked)
    data = registry.KINDS["shapes"].data(Artifacts(asked, tmp_path))["shapes_odd"]
    names = [line["process"] for line in data["lines"]]
    assert "top" in names
    assert len(names) == 10  # nine, and the data
    assert "The 11 smallest processes are left out" in data["caption"]
