"""Yields on a grid of thresholds against the histograms and workspaces of single thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import study_events
from helpers.study_events import VARIATIONS, Cuts

from oddjets.config.analysis import Threshold
from oddjets.core.errors import OddjetsError
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.histograms import DATA, HistogramSet, ThresholdResult
from oddjets.io.yields import YieldArrays, envelope
from oddjets.selection.histogramming import HistogramFiller
from oddjets.stats import workspace
from oddjets.study.events import EventArrays, Patterns, read_events
from oddjets.study.thresholds import ThresholdGrid, find_grid, letter_sums, of_letters, templates_at

FIT = {"observable": "mass", "regions": ["SR", "VR1"], "poi": {"name": "mu", "process": "top", "bounds": [0, 10]}}


def histograms_at(analysis, tables, value, data):
    """The histograms that the stage `histogram` would fill at this threshold."""
    threshold = ThresholdResult("s", value, None, None, 0, 0)
    filler = HistogramFiller(analysis, Cuts(), threshold)
    variations = {}
    for process, table in tables.items():
        names = [NOMINAL, *(VARIATIONS if process not in ("qcd", DATA) else ())]
        filler.add(table, process, dict.fromkeys(names, 1.0))
        variations[process] = names
    filler.add(data, DATA, {NOMINAL: 1.0})
    variations[DATA] = [NOMINAL]
    return HistogramSet(filler.histograms(), variations, 1.0, threshold)


@pytest.mark.parametrize("strict", [False, True])
def test_templates_are_those_of_histograms(strict):
    analysis = study_events.make_analysis(fit=FIT, threshold={"score": "s", "efficiency": 0.05, "strict": strict})
    tables = {
        "qcd": study_events.columns("qcd", 3000, 2.0, 1),
        "top": study_events.columns("top", 700, 0.25, 2),
        "wjets": study_events.columns("wjets", 400, 0.5, 3),
    }
    events: list[EventArrays] = []
    for process, table in tables.items():
        names = [NOMINAL, *(VARIATIONS if process != "qcd" else ())]
        events += read_events(analysis, Cuts(), [table], process, dict.fromkeys(names, 1.0))
    # scores at the threshold itself, where strictness matters
    grid = ThresholdGrid(np.sort(tables["qcd"]["score_s_1"])[[1500, 2200, 2500]], strict, 0.05)
    built = templates_at(analysis, events, grid, {})
    # data that are what is expected
    joined = {
        name: np.concatenate([table[name] for table in tables.values()])
        for name in set.intersection(*map(set, tables.values()))
    }
    for value, found in zip(grid.values, built, strict=True):
        at = analysis.model_copy(update={"threshold": Threshold(score="s", value=float(value), strict=strict)})
        expected = histograms_at(at, tables, float(value), joined)
        for region in ("SR", "VR1"):
            for process, names in found.variations.items():
                for name in names:
                    for letter in "ABCD":
                        args = (region, "mass", process, letter, name)
                        np.testing.assert_allclose(found.values(*args), expected.values(*args), rtol=1e-12, atol=0)
                        if process != DATA:
                            np.testing.assert_allclose(
                                found.variances(*args), expected.variances(*args), rtol=1e-12, atol=0
                            )
        ours, theirs = workspace.build(at, found)[0], workspace.build(at, expected)[0]
        assert [c["name"] for c in ours["channels"]] == [c["name"] for c in theirs["channels"]]
        for a, b in zip(ours["channels"], theirs["channels"], strict=True):
            for one, other in zip(a["samples"], b["samples"], strict=True):
                np.testing.assert_allclose(one["data"], other["data"], rtol=1e-9)


def test_counts_stay_whole_numbers_and_empty_bins_empty():
    rng = np.random.default_rng(3)
    table = rng.poisson(0.3, (4, 6, 6)).astype(float)
    table[2] = 0
    found = of_letters(table)
    assert found.shape == (5, 4, 4)
    assert (found == np.round(found)).all()
    assert not found[:, :, 2].any()
    # every event has one letter
    np.testing.assert_array_equal(found.sum(axis=1), np.broadcast_to(table.sum(axis=(1, 2)), (5, 4)))
    for t in range(5):
        assert found[t, 0, 1] == table[1, t + 1 :, t + 1 :].sum()
        assert found[t, 1, 1] == table[1, : t + 1, t + 1 :].sum()
        assert found[t, 2, 1] == table[1, t + 1 :, : t + 1].sum()


def test_events_of_several_regions_and_none_are_counted_once_each():
    analysis = study_events.make_analysis(
        regions={"SR": {"cuts": ["low_tau21"]}, "ALL": {"cuts": []}, "VR1": {"cuts": ["not SR"]}},
        fit=FIT | {"regions": ["SR", "ALL"]},
    )
    table = study_events.columns("qcd", 500, 1.0, 4)
    table["mass_1"][:5] = 1000.0
    (events,) = read_events(analysis, Cuts(), [table], "qcd", {NOMINAL: 1.0})
    patterns = Patterns.from_analysis(analysis)
    sums = letter_sums(events, patterns, ThresholdGrid(np.array([0.5]), False, None))[NOMINAL][0, 0]
    inside = table["mass_1"] < 210
    low = Cuts().low_tau21(_Sized(table)) & inside
    assert sums[:, :5].sum() == low.sum()
    assert sums[:, 5:].sum() == inside.sum()
    # all of SR, under- and overflow included
    assert patterns.shared(events.codes) == {("SR", "ALL"): int(Cuts().low_tau21(_Sized(table)).sum())}


class _Sized(dict):
    @property
    def size(self):
        return len(self["mass_1"])


def test_a_score_that_is_no_number_passes_no_threshold():
    grid = ThresholdGrid(np.array([0.1, 0.5]), False, 0.1)
    np.testing.assert_array_equal(grid.ranks(np.array([np.nan, 0.0, 0.1, 0.5, 0.7])), [0, 0, 1, 2, 2])
    strict = ThresholdGrid(np.array([0.1, 0.5]), True, 0.1)
    np.testing.assert_array_equal(strict.ranks(np.array([np.nan, 0.0, 0.1, 0.5, 0.7])), [0, 0, 0, 1, 2])


def test_the_grid_surrounds_the_threshold_of_the_expectation():
    analysis = study_events.make_analysis()
    events = study_events.make_events(analysis, qcd=20_000, scale=0.5)
    grid = find_grid(analysis, events, {"top": 0.0})
    nominal = [e for e in events if NOMINAL in e.variations and e.process != "top"]
    total = sum(e.nominal.sum() for e in nominal)
    above = [sum(e.nominal[e.scores.min(axis=0) >= t].sum() for e in nominal) for t in grid.values]
    assert above[len(grid) // 2] == pytest.approx(0.02 * total, rel=0.02)
    assert above[0] - above[-1] == pytest.approx(8 * np.sqrt(0.02 * total), rel=0.05)


def test_too_few_events_for_a_threshold_are_an_error():
    analysis = study_events.make_analysis()
    with pytest.raises(OddjetsError, match="too few to find a threshold"):
        find_grid(analysis, [], {})


def test_an_envelope_is_the_largest_and_smallest_ratio():
    nominal = np.array([[4.0, 0.0, 2.0], [1.0, 0.0, 1.0]])
    up, down = envelope(nominal, np.array([[5.0, 1.0, 1.0], [3.0, 0.0, 2.5]]))
    np.testing.assert_allclose(up, [[5.0, 0.0, 2.5], [25 / 16, 0.0, 25 / 16]])
    np.testing.assert_allclose(down, [[3.0, 0.0, 1.0], [9 / 16, 0.0, 1 / 4]])


def test_yields_that_are_not_there_are_named():
    yields = YieldArrays("mass", {"SR": np.array([0.0, 1.0])}, {"top": ["nominal"]}, {})
    assert yields.values("SR", "mass", "top", "A").tolist() == [0.0]
    with pytest.raises(OddjetsError, match="no yields of 'tip, nominal'"):
        yields.values("SR", "mass", "tip", "A")
