"""Words in figures wrap, cover nothing, and can be read at the width that the page gives a figure."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import synthetic
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from oddjets.config.analysis import Analysis
from oddjets.report import layout, registry, style
from oddjets.report.artifacts import Artifacts

LONG = "both_jets_low_subjettiness_mass_window"


def long_names(regions: int = 2) -> Analysis:
    """Regions and processes of more than thirty characters."""
    names = {f"{LONG}_{k}": {"all": "tau21_low", "label": "both jets with a low subjettiness"} for k in range(regions)}
    processes = {
        "qcd": {"label": "QCD multijet production at leading order", "data_driven": True},
        "top": {"label": "top-quark pair production, all decays"},
        "wjets": {"label": "W boson with jets, hadronic decays only"},
    }
    fit = {"observable": "mass", "regions": list(names), "poi": {"name": "mu", "process": "top"}}
    content = synthetic.analysis(regions=names, fit=fit).model_dump(mode="json", exclude_unset=True)
    return Analysis.model_validate({**content, "processes": processes})


@pytest.fixture(scope="module")
def long_named(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    out = tmp_path_factory.mktemp("long")
    asked = long_names()
    synthetic.fabricate(out, asked)
    return Artifacts(asked, out)


def drawn(data: dict[str, Any]) -> Figure:
    figure = registry.draw(data)
    figure.canvas.draw()
    return figure


def texts(figure: Figure) -> list[Text]:
    shown = [t for t in figure.findobj(Text) if isinstance(t, Text)]
    return [t for t in shown if t.get_visible() and t.get_text().strip()]


def boxes(found: list[Text]) -> list[Any]:
    return [t.get_window_extent() for t in found]


def overlap(one: Any, other: Any) -> bool:
    return bool(min(one.x1, other.x1) - max(one.x0, other.x0) > 1 and min(one.y1, other.y1) - max(one.y0, other.y0) > 1)


def smallest_pixels(figure: Figure) -> float:
    """The smallest text of a figure on the report's page, CSS pixels."""
    inches = figure.get_figwidth()
    column = layout.COLUMN_PIXELS[layout.columns_of(inches)]
    # Matplotlib keeps unused tick labels; they are outside the axes' range and empty or invisible
    return min(t.get_fontsize() for t in texts(figure)) / 72 * column / inches


GRIDS = (
    "systematics",
    "closure",
    "closures",
    "mixing",
    "correlation",
    "regions",
    "yields",
    "pulls",
    "observable",
    "grid",
)


@pytest.mark.parametrize("name", GRIDS)
def test_text_is_readable_at_the_width_of_the_page(name: str, long_named: Artifacts) -> None:
    data = next(iter(registry.KINDS[name].data(long_named).values()))
    assert smallest_pixels(drawn(data)) >= layout.READABLE


#: kinds that the made-up folder has nothing of: pictures of them are in test_images.py
NOT_THERE = (
    *("efficiency", "null", "display", "why", "class_shares", "neighbours"),
    *("choices", "injection", "learning", "sculpting", "two_sample", "jet_bump", "jet_null", "jet_periods"),
    *("acceptance", "signal_limit", "signal_score", "signal_templates", "efficiency_map"),
)


@pytest.mark.slow
@pytest.mark.parametrize("name", [kind for kind in registry.KINDS if kind not in (*GRIDS, *NOT_THERE)])
def test_text_of_every_kind_is_readable(name: str, finished: tuple[Analysis, Path]) -> None:
    data = next(iter(registry.KINDS[name].data(Artifacts(*finished)).values()))
    assert smallest_pixels(drawn(data)) >= layout.READABLE


@pytest.mark.parametrize("regions", [1, 2, 3, 8])
@pytest.mark.parametrize("name", ["regions", "mixing"])
def test_text_is_readable_however_many_regions(name: str, regions: int, long_named: Artifacts) -> None:
    data = next(iter(registry.KINDS[name].data(long_named).values()))
    key = "maps" if name == "regions" else "panels"
    data[key] = [data[key][0]] * regions
    assert smallest_pixels(drawn(data)) >= layout.READABLE


@pytest.mark.parametrize("systematics", [1, 2, pytest.param(40, marks=pytest.mark.slow)])
def test_systematics_are_readable_and_apart_however_many(systematics: int, finished: tuple[Analysis, Path]) -> None:
    data = registry.KINDS["systematics"].data(Artifacts(*finished))["systematics_top"]
    row = {**data["rows"][0], "region": LONG}
    panels = [
        {**row["panels"][0], "name": f"CMS_scale_j_Regrouped_FlavorQCD_{k}_2016postVFP"} for k in range(systematics)
    ]
    figure = drawn({**data, "rows": [{**row, "panels": panels}]})
    assert smallest_pixels(figure) >= layout.READABLE
    for axes in figure.axes[: systematics // 10 + 1]:
        if axes.axison:
            assert max(t.get_window_extent().x1 for t in axes.texts if t.get_text()) <= figure.bbox.x1
            words = [t for t in axes.texts if "CMS" in t.get_text() or LONG[:8] in t.get_text()]
            assert all(t.get_window_extent().x1 <= axes.bbox.x1 + 1 for t in words)


@pytest.mark.parametrize("name", ["yields", "regions"])
def test_long_names_of_regions_do_not_overlap(name: str, long_named: Artifacts) -> None:
    figure = drawn(next(iter(registry.KINDS[name].data(long_named).values())))
    words = [t for axes in figure.axes for t in axes.texts if "_" in t.get_text()]
    assert len(words) >= 2
    for one, other in combinations(boxes(words), 2):
        assert not overlap(one, other)
    for box in boxes(words):
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
    # nothing is cut: all of a name is there
    shown = "".join(t.get_text().replace("\n", "") for t in words)
    assert shown.count(LONG) >= 2


@pytest.mark.parametrize("letter", ["A", "B"])
def test_legend_and_text_leave_each_other_and_the_histogram_free(letter: str, long_named: Artifacts) -> None:
    data = registry.KINDS["postfit"].data(long_named)[f"postfit_{LONG}_0_{letter}"]
    figure = drawn(data)
    main = figure.axes[0]
    legend = main.get_legend()
    assert legend is not None
    box = legend.get_window_extent()
    assert box.x0 >= main.bbox.x0
    for text in main.texts:
        if main.bbox.contains(*text.get_window_extent().p0):
            assert not overlap(text.get_window_extent(), box), text.get_text()
    highest = max(data["total"]["values"])
    assert main.transData.transform((0, highest))[1] < box.y0


def test_a_signal_drawn_alone_is_in_the_legend(finished: tuple[Analysis, Path]) -> None:
    figures = registry.KINDS["postfit"].data(Artifacts(*finished))
    for letter, dashed in (("B", True), ("A", False)):
        legend = drawn(figures[f"postfit_SR_{letter}"]).axes[0].get_legend()
        assert legend is not None
        lines = [line for line in legend.get_lines() if line.get_linestyle() == "--"]
        assert bool(lines) is dashed
        assert all(isinstance(line, Line2D) and line.get_color() == "#bd1f01" for line in lines)
        assert any("not stacked" in text.get_text() for text in legend.get_texts()) is dashed


@pytest.mark.parametrize(
    "text", [LONG, "a few words, of which none is long", r"both $\tau_{21} < 0.45$ and $m > 100$ GeV", "x" * 90]
)
def test_wrapped_lines_fit_and_lose_nothing(text: str) -> None:
    with style.context():
        lines = layout.wrapped(text, 120, 14)
        assert len(lines) > 1
        assert all(layout.text_width(line, 14) <= 120 for line in lines)
        assert "".join("".join(lines).split()) == "".join(text.split())
        assert all(line.count("$") % 2 == 0 for line in lines)
        short = layout.wrapped(text, 120, 14, lines=1)
        assert len(short) == 1
        assert short[0].endswith("…")


def test_the_width_of_text_is_what_matplotlib_draws() -> None:
    with style.context():
        figure = style.figure()
        for text in ("both_jets_low", r"$t\bar{t}$ + jets", "W + jets"):
            drawn_text = figure.text(0.1, 0.5, text, fontsize=20)
            points = drawn_text.get_window_extent().width * 72 / figure.dpi
            assert layout.text_width(text, 20) == pytest.approx(points, rel=0.06)


def test_a_region_without_events_says_so_in_place_of_empty_axes(finished: tuple[Analysis, Path]) -> None:
    data = registry.KINDS["closure"].data(Artifacts(*finished))["closure_SR"]
    nothing = [0.0] * len(data["observed"]["values"])
    for key in ("observed", "predicted"):
        data[key] = {"values": nothing, "errors": nothing}
    data["constant"] = {"value": None, "error": None}
    figure = drawn(data)
    (axes,) = figure.axes
    assert not axes.get_xticks().size
    assert not axes.get_yticks().size
    assert any("no events" in text.get_text() for text in axes.texts)


def test_a_closure_without_a_prediction_says_so_in_its_ratio(finished: tuple[Analysis, Path]) -> None:
    data = registry.KINDS["closure"].data(Artifacts(*finished))["closure_SR"]
    number = len(data["observed"]["values"])
    data["predicted"] = {"values": [0.0] * number, "errors": [0.0] * number}
    data["ratio"] = {"values": [None] * number, "errors": [None] * number}
    below = drawn(data).axes[1]
    assert any("no bin has a prediction" in text.get_text() for text in below.texts)


def test_the_correlation_matrix_has_its_numbers_and_the_strength_first(finished: tuple[Analysis, Path]) -> None:
    rng = np.random.default_rng(2)
    artifacts = Artifacts(*finished)
    names = [f"a_nuisance_parameter_of_a_long_name_{k}" for k in range(40)]
    matrix = rng.uniform(-0.9, 0.9, (41, 41))
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1)
    # the strength is somewhere, as in a model whose parameters are sorted
    names.insert(17, "mu")
    artifacts.__dict__["results"] = {
        "poi": {"name": "mu"},
        "pois": [{"name": "mu"}],
        "correlation": {"names": names, "matrix": matrix.tolist()},
    }
    data = registry.KINDS["correlation"].data(artifacts)["correlation"]
    assert data["labels"][0] == "mu"
    first = np.abs(data["matrix"][0])
    assert np.all(np.diff(first) <= 0)
    for i, j in ((0, 1), (5, 9)):
        a, b = (names.index(data["labels"][k]) for k in (i, j))
        assert data["matrix"][i][j] == matrix[a, b]
    figure = drawn(data)
    numbers = [t.get_text() for t in figure.axes[0].texts if t.get_text().lstrip("−").replace(".", "").isdigit()]
    shown = [f"{v:.2f}".replace("-", "−") for v in np.ravel(data["matrix"]) if abs(v) >= 0.005]
    assert numbers == shown
    cells = [t for t in figure.axes[0].texts if t.get_text() in set(shown)]
    row = boxes(cells[: len(data["labels"]) - 1])
    assert not any(overlap(one, other) for one, other in pairwise(row))
    assert smallest_pixels(figure) >= layout.READABLE
