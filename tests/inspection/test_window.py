"""The window: what is filled in, which values are inside, and which events of a region it has."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import toy_search
from helpers.analyses import analysis
from hypothesis import given
from hypothesis import strategies as st

from oddjets.config.analysis import load_analysis
from oddjets.config.inspect import Inspect
from oddjets.config.window import Window
from oddjets.core.errors import BlindedError, OddjetsError
from oddjets.inspection.table import oddest
from oddjets.inspection.window import events_of_region, refuse_blinded
from oddjets.io import event_table
from oddjets.io.histograms import HistogramSet, ThresholdResult
from oddjets.workflow.inspected_run import InspectedRun, asked_of
from oddjets.workflow.pipeline import run_stages, stages_up_to
from oddjets.workflow.run import RunContext

SMALL = analysis()
#: hides what has both scores at or above 0.5
HALF = ThresholdResult("xbb", 0.5, None, None, 0, None)


def window(**asked: object) -> Window:
    return Window.of_analysis(SMALL, Inspect.model_validate(asked))


def test_what_is_not_given_is_that_of_the_fit() -> None:
    found = window()
    assert (found.region, found.letter, found.observable, found.of) == ("SR", "A", "leading_mass", "data")
    assert not found.is_bounded
    assert found.name == "SR_A"
    without_fit = Window.of_analysis(analysis(fit=None), Inspect(region="VR1", letter="D", process="top"))
    assert without_fit.name == "VR1_D_top"


def test_windows_that_differ_have_folders_of_their_own() -> None:
    asked = [
        {},
        {"letter": "B"},
        {"region": "VR1"},
        {"process": "top"},
        {"bins": (60, 90)},
        {"bins": (60, 90.5)},
        {"bins": (60, 90.5), "letter": "C"},
    ]
    names = [window(**one).name for one in asked]
    assert len(set(names)) == len(names)
    assert "SR_A_leading_mass_60_90.5" in names


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"region": "SSR"}, "no region 'SSR'; did you mean 'SR'"),
        ({"observable": "leading_mas"}, "no observable 'leading_mas'; did you mean 'leading_mass'?"),
    ],
)
def test_names_that_do_not_exist_are_errors_with_the_nearest(asked: dict[str, str], said: str) -> None:
    with pytest.raises(OddjetsError, match=said.replace("?", r"\?")):
        window(**asked)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20), st.floats(0, 100), st.floats(0.1, 100))
def test_every_value_is_inside_or_beside(values: list[float], low: float, width: float) -> None:
    found = Window("SR", "A", "leading_mass", low, low + width)
    inside = found.contains(values)
    assert inside.tolist() == [low <= value < low + width for value in values]
    # without bounds everything is inside, also what no bin has
    assert Window("SR", "A", "leading_mass").contains(values).all()


def test_ends_that_are_no_edges_are_known_and_whole_bins_too() -> None:
    # edges are 60, 90, ..., 240
    assert window(bins=(90, 150)).off_edges(SMALL) == []
    assert window(bins=(90, 150)).inner_bins(SMALL).tolist() == [1, 2]
    assert window(bins=(91, 150)).off_edges(SMALL) == [91]
    assert window(bins=(91, 150)).inner_bins(SMALL).tolist() == [2]
    assert window().off_edges(SMALL) == []
    assert window().inner_bins(SMALL).tolist() == list(range(6))


def test_blinded_windows_are_refused_and_others_are_not() -> None:
    with pytest.raises(BlindedError, match="are blinded: no event of them is shown"):
        refuse_blinded(window(), is_data=True, hidden=HALF)
    refuse_blinded(window(letter="B"), is_data=True, hidden=HALF)
    refuse_blinded(window(process="top"), is_data=False, hidden=HALF)
    refuse_blinded(window(), is_data=True, hidden=None)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """A search with histograms: 400 events of data, 100 of top pairs."""
    folder = tmp_path_factory.mktemp("searched")
    run = RunContext(load_analysis(toy_search.write(folder)), folder / "out")
    run_stages(run, stages_up_to(run, "histogram"))
    return run


@pytest.mark.parametrize("process", [None, "top"])
@pytest.mark.parametrize("region", ["SR", "VR1"])
def test_events_are_those_of_the_histograms(searched: RunContext, region: str, process: str | None) -> None:
    histograms = HistogramSet.load(searched.out / "histograms")
    edges = searched.analysis.binning("leading_mass", region)
    for letter in "ABCD":
        asked = asked_of(searched, {"region": region, "letter": letter, "process": process})
        inspected = InspectedRun(searched, asked)
        counts = histograms.values(region, "leading_mass", process or "data", letter)
        for k in range(len(edges) - 1):
            inside = [
                events.inside(Window(region, letter, "leading_mass", edges[k], edges[k + 1]))
                for events in inspected.events
            ]
            np.testing.assert_allclose(sum(e.columns["weight"].sum() for e in inside), counts[k], rtol=1e-9, atol=1e-12)
        assert all((events.letters == letter).all() for events in inspected.inside)


def test_rows_are_those_of_the_event_table(searched: RunContext) -> None:
    events = InspectedRun(searched, asked_of(searched)).events[0]
    pieces = list(event_table.stream(searched.out / "events", "data"))
    whole = np.concatenate([piece["event"] for piece in pieces])
    np.testing.assert_array_equal(whole[events.rows], events.columns["event"])


def test_the_oddest_have_the_largest_lower_scores(searched: RunContext) -> None:
    inspected = InspectedRun(searched, asked_of(searched, {"top": 7, "displays": 0}))
    everything = np.sort(np.concatenate([e.lower_score for e in inspected.inside]))[::-1]
    found = [event.events.lower_score[event.place] for event in inspected.oddest]
    np.testing.assert_array_equal(found, everything[:7])
    # ties do not depend on the order of datasets
    twice = oddest([*inspected.inside, *inspected.inside], 4)
    assert [one.events.columns["event"][one.place] for one in twice[::2]] == [
        one.events.columns["event"][one.place] for one in inspected.oddest[:2]
    ]


class Everything:
    """A processor whose base selection everything passes."""

    def passing(self, table: event_table.EventTable) -> np.ndarray:
        return np.ones(table.size, bool)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1) | st.just(math.nan),
            st.floats(0, 1) | st.just(math.nan),
        ),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
)
def test_hidden_data_are_in_no_letter(scores: list[tuple[float, float]], is_data: bool) -> None:
    one, other = np.array(scores).T
    number = len(one)
    columns = {
        "score_xbb_1": one,
        "score_xbb_2": other,
        "mass_1": np.full(number, 100.0),
        "mass_1__jmsUp": np.full(number, 101.0),
        "weight": np.full(number, 2.0),
        "event": np.arange(number),
    }
    asked = analysis(
        scores={"xbb": {"signal": ["a"], "background": ["b"]}}, threshold={"score": "xbb", "value": 0.5},
        regions={"SR": {"cuts": ["weight > 0"]}, "VR1": {"cuts": ["weight > 500"]}},
    )  # fmt: skip
    found = events_of_region(
        asked, Everything(), [columns], Window("SR", "A", "leading_mass"), HALF, dataset="d", process="p", is_data=is_data,
        factor=0.5, hidden=HALF,
    )  # fmt: skip
    in_a = (one >= 0.5) & (other >= 0.5)
    assert ("A" in found.letters.tolist()) is (not is_data and bool(in_a.any()))
    expected = np.flatnonzero(~in_a) if is_data else np.arange(number)
    np.testing.assert_array_equal(found.rows, expected)
    assert "mass_1__jmsUp" not in found.columns
    np.testing.assert_array_equal(found.columns["weight"], 1.0)
    assert len(found.beside(Window("SR", "D", "leading_mass", 0, 1))) + len(
        found.inside(Window("SR", "D", "leading_mass", 0, 1))
    ) == np.count_nonzero(found.letters == "D")
