"""The closure measured on event tables: unions, planted correlations, sources, and what is not known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.toy_pairs import PASS_PLAIN, PASS_TAGGED, TAG, Tagged, columns, constant_of_union, toy

from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import dijet_mass, write_part
from oddjets.io.histograms import ThresholdResult
from oddjets.selection import cut
from oddjets.selection.closure_events import ClosureEvents, read_closure_events
from oddjets.selection.closure_measurement import measure_closure
from oddjets.selection.normalisation import Normalisation
from oddjets.stats.closure_parts import EFFICIENCIES, one_efficiency
from oddjets.workflow.stages.closure import closure_lines

#: the efficiency of the toy: both jets pass
PASSING = (TAG * PASS_TAGGED + (1 - TAG) * PASS_PLAIN) ** 2
FIT = {"observable": "mass", "regions": ["ANY", "BOTH"], "poi": {"process": "top"}}
UNION = constant_of_union(TAG, PASS_TAGGED, PASS_PLAIN)


def threshold(value=0.5, asked=None):
    return ThresholdResult("s", value, asked, None, 0, 0)


def smooth(events, rng):
    """Scores that go on above and below the threshold, so that other efficiencies have thresholds; the letters stay."""
    for j in (1, 2):
        passing = events[f"score_s_{j}"] > 0.5
        events[f"score_s_{j}"] = np.where(passing, 0.5, 0.0) + 0.5 * rng.uniform(size=len(passing)) ** 2
    return events


def measured(simulation=None, data=None, others=(), analysis=None, processor=None, asked=None):
    joined = None
    n_data = 0
    if data is not None:
        n_data = len(data["event"])
        tables = [data, *others]
        joined = (
            {name: np.concatenate([t[name] for t in tables]) for name in data},
            np.concatenate([np.ones(n_data), *(-np.ones(len(t["event"])) for t in others)]),
        )
    source = None if simulation is None else (simulation, np.ones(len(simulation["event"])))
    found = measure_closure(
        analysis or toy(fit=FIT),
        processor or Tagged(),
        ClosureEvents(source, joined, n_data),
        threshold(asked=asked),
        pairs=100_000,
    )
    json.dumps(found, allow_nan=False)
    return found


@pytest.fixture(scope="module")
def independent():
    rng = np.random.default_rng(1)
    return measured(smooth(columns(20_000, rng), rng))


def test_products_close_and_a_union_is_off_by_its_closed_form(independent):
    regions = independent["regions"]
    assert independent["working_point"] == pytest.approx(PASSING, rel=0.15)
    assert {region: one["kind"] for region, one in regions.items()} == {
        "ALL": "product",
        "ANY": "union",
        "BOTH": "product",
        "LOOSE": "union",
    }
    assert regions["ANY"]["cells"] == ["both", "leading", "subleading"]
    at = independent["efficiencies"].index(independent["working_point"])
    for region, expected in (("ALL", 1.0), ("BOTH", 1.0), ("ANY", UNION)):
        part = regions[region]["structural"]
        assert part["used"][at]
        assert abs(part["values"][at] - expected) < 3.5 * part["errors"][at], region
    assert regions["ANY"]["verdict"] == "does not close"
    assert regions["ALL"]["verdict"] == "closes"
    assert abs(regions["ANY"]["correlation"]["value"] - 1) < 3.5 * regions["ANY"]["correlation"]["error"]
    assert regions["ANY"]["advice"]["treatment"] == "structural"  # without data there are no counts for cells
    assert regions["ALL"]["advice"]["treatment"] == "as-published"


def test_the_grid_has_the_working_point_with_its_threshold(independent):
    at = independent["working_point"]
    assert independent["thresholds"][independent["efficiencies"].index(at)] == 0.5
    assert [e for e in independent["efficiencies"] if e != at] == [
        e for e in EFFICIENCIES if abs(np.log(e / at)) > 0.05
    ]
    assert independent["thresholds"] == sorted(independent["thresholds"], reverse=True)


def test_pairs_of_flavours_are_told_apart(independent):
    """Tags are the flavour: inside a pair of flavours the union is one product or two, and nothing is correlated."""
    flavours = independent["regions"]["ANY"]["flavours"]
    shares = {pair: one["share"] for pair, one in flavours.items()}
    inside = 1 - (1 - TAG) ** 2
    assert shares["b b"] == pytest.approx(TAG**2 / inside, rel=0.2)
    assert shares["b light"] == pytest.approx(2 * TAG * (1 - TAG) / inside, rel=0.05)
    assert shares["light light"] == shares["c c"] == 0
    assert abs(flavours["b light"]["correlation"]["value"] - 1) < 3.5 * flavours["b light"]["correlation"]["error"]


@pytest.mark.slow
def test_a_planted_correlation_is_no_matter_of_the_structure():
    """Two tags of one cause in some events: the structural part stays as in closed form, the correlation is above 1."""
    rng = np.random.default_rng(2)
    both = 0.03
    found = measured(smooth(columns(20_000, rng, both=both), rng))["regions"]
    share = TAG + (1 - TAG) * both
    for region, expected in (("ALL", 1.0), ("ANY", constant_of_union(share, PASS_TAGGED, PASS_PLAIN))):
        part = found[region]["structural"]
        assert abs(part["value"] - expected) < max(3.5 * part["error"], 0.05)
    for region in ("ALL", "ANY"):
        part = found[region]["correlation"]
        assert part["value"] > 1 + 2 * part["error"], region
    assert found["BOTH"]["correlation"]["value"] == pytest.approx(1, abs=4 * found["BOTH"]["correlation"]["error"])
    # the tags are the flavours, which explain all of it; inside a pair of flavours there is nothing to see
    kinds = {(1, 1): TAG**2 + (1 - TAG**2) * both, (1, 0): TAG * (1 - TAG) * (1 - both)}
    kinds |= {(0, 1): kinds[1, 0], (0, 0): (1 - TAG) ** 2 * (1 - both)}
    passes = (PASS_PLAIN, PASS_TAGGED)
    a, b, c, d = (
        sum(p * abs(x - passes[i]) * abs(y - passes[k]) for (i, k), p in kinds.items())
        for x, y in ((0, 0), (1, 0), (0, 1), (1, 1))
    )
    coupling = found["ALL"]["flavour_coupling"]
    assert a * d / (b * c) > 1.3
    assert abs(coupling["value"] - a * d / (b * c)) < 3.5 * coupling["error"] < 0.3
    assert coupling["excess"]["b b"] == pytest.approx(kinds[1, 1] / share**2, rel=0.05)
    alone = found["ALL"]["flavours"]["b b"]["correlation"]
    assert abs(alone["value"] - 1) < 3.5 * alone["error"]


def test_data_stand_in_for_simulation_and_others_are_subtracted():
    """A tenth of the data are pairs of odd jets; subtracted by weight, what is left is as without them."""
    rng = np.random.default_rng(3)

    def odd(n):
        events = columns(n, rng, both=1.0)
        for j in (1, 2):
            events[f"score_s_{j}"] = np.full(n, 0.8)
        return events

    qcd, signal, template = columns(10_000, rng), odd(1000), odd(1000)
    data = {name: np.concatenate([qcd[name], signal[name]]) for name in qcd}
    with_signal = measured(data=data, others=[template])
    assert with_signal["sources"]["structural"] == "data, other processes subtracted"
    assert with_signal["notes"] == ["there is no simulation of 'qcd': what jets have in common is seen in data alone"]
    part = with_signal["regions"]["ANY"]["structural"]
    at = with_signal["efficiencies"].index(with_signal["working_point"])
    assert abs(part["values"][at] - UNION) < 3.5 * part["errors"][at]
    ignored = measured(data=data)["regions"]["ANY"]["structural"]
    assert abs(ignored["values"][at] - UNION) > 3 * ignored["errors"][at]


def test_control_regions_of_data_have_no_event_above_the_threshold():
    rng = np.random.default_rng(4)
    found = measured(data=smooth(columns(10_000, rng), rng))
    control = found["regions"]["ALL"]["control"]
    assert max(control["thresholds"]) < 0.5
    assert abs(control["correlation"]["value"] - 1) < 3.5 * control["correlation"]["error"]
    assert found["sources"]["correlation"] == "data with both scores below the threshold"
    assert found["regions"]["ALL"]["constant"] is not None


@pytest.mark.parametrize("asked", [None, 0.02])
def test_of_blinded_data_nothing_in_a_is_looked_at(asked):
    """Other events in A, or more of them: everything that is found stays."""
    rng = np.random.default_rng(5)
    data, simulation = smooth(columns(3000, rng), rng), smooth(columns(2000, rng), rng)
    analysis = toy(fit={**FIT, "blind": True})
    above = np.flatnonzero(np.minimum(data["score_s_1"], data["score_s_2"]) >= 0.5)
    more = {name: np.concatenate([array, array[above]]) for name, array in data.items()}
    for name in ("mass_1", "tag_1", "score_s_1"):
        more[name][above] = {"mass_1": 1e6, "tag_1": 1.0, "score_s_1": 0.99}[name]
    found = measured(simulation, data, analysis=analysis, asked=asked)
    again = measured(simulation, more, analysis=analysis, asked=asked)
    assert again == found
    assert found["sources"]["structural"] == "simulation of 'qcd'"
    assert any("blinded" in note for note in found["notes"])


def test_blinded_data_without_simulation_have_their_asked_efficiency_and_looser_ones():
    rng = np.random.default_rng(5)
    data = smooth(columns(3000, rng), rng)
    analysis = toy(fit={**FIT, "blind": True})
    found = measured(data=data, analysis=analysis, asked=0.02)
    assert found["efficiencies"] == [0.02, 0.05, 0.1]
    assert "structural" not in found["regions"]["ANY"]
    assert found["regions"]["ANY"]["control"]["correlation"]["value"] is not None
    with pytest.raises(OddjetsError, match=r"blinded, the threshold is a fixed one, .* no simulation of 'qcd'"):
        measured(data=data, analysis=analysis)


def test_advice_counts_events_in_cells():
    rng = np.random.default_rng(6)
    many = measured(columns(2000, rng), columns(6000, rng))
    assert many["regions"]["ANY"]["advice"]["treatment"] == "cells"
    few = measured(columns(4000, rng), columns(300, rng))
    assert few["regions"]["ANY"]["advice"]["treatment"] == "structural"


def test_a_region_that_is_neither_is_measured_and_inconclusive():
    class Far(Tagged):
        @cut
        def far(self, table):
            return table["mass_1"] + table["mass_2"] > 200

    analysis = toy(fit=FIT, regions={"FAR": {"cuts": ["far"]}, "ANY": {"any": "tagged"}})
    found = measured(columns(5000, np.random.default_rng(7)), analysis=analysis, processor=Far())["regions"]["FAR"]
    assert (found["kind"], found["why"]) == ("unknown", "the cut 'far' reads columns of both jets")
    assert found["advice"]["treatment"] is None


def test_without_a_fit_the_first_observable_and_all_regions_are_measured():
    events = columns(5000, np.random.default_rng(7))
    alone = measured(events, analysis=toy(regions={"ANY": {"any": "tagged"}}))
    fitted = measured(events, analysis=toy(fit=FIT, regions={"ANY": {"any": "tagged"}}))
    assert alone["observable"] == fitted["observable"]
    assert alone["regions"] == fitted["regions"]


def test_nothing_to_measure_on_is_an_error():
    with pytest.raises(OddjetsError, match="no events of data or of 'qcd' after the base selection"):
        measured()
    with pytest.raises(OddjetsError, match="needs an observable"):
        measured(columns(10, np.random.default_rng(1)), analysis=toy(observables={}))
    events = columns(50, np.random.default_rng(1))
    with pytest.raises(OddjetsError, match="threshold 2 keeps 0 of the events: no efficiency"):
        measure_closure(toy(fit=FIT), Tagged(), ClosureEvents((events, np.ones(50)), None, 0), threshold(2.0))


def test_efficiencies_with_too_few_events_have_no_values_and_one_alone_is_named():
    """A constant of 0 where nothing is in A would be taken for a measurement."""
    rng = np.random.default_rng(10)
    found = measured(smooth(columns(400, rng), rng))
    at, part = found["working_point"], found["regions"]["ALL"]["correlation"]
    for use, value, error in zip(part["used"], part["values"], part["errors"], strict=True):
        assert (value is not None) == use == (error is not None)
    assert not all(part["used"])
    assert part["measured_at"] == [e for e, use in zip(found["efficiencies"], part["used"], strict=True) if use]
    # measured there, and not extrapolated
    structural = found["regions"]["ALL"]["structural"]
    assert one_efficiency(structural, at) is None
    alone = {**part, "measured_at": [0.05]}
    assert one_efficiency(alone, at) == 0.05
    assert one_efficiency({**part, "measured_at": [at]}, at) is None
    assert one_efficiency({"value": 1.0}, at) is None
    found["regions"]["ALL"]["correlation"] = alone
    text = "\n".join(closure_lines(found))
    assert text.count("(from 5 % alone: without the error of a slope)") == 1
    assert found["definition"].startswith("sum of A over the sum of B C / D")


def test_two_events_give_no_answer_but_no_failure():
    found = measured(columns(2, np.random.default_rng(8)) | {f"score_s_{j}": np.array([0.9, 0.1]) for j in (1, 2)})
    assert {one["verdict"] for one in found["regions"].values()} == {"inconclusive"}


def test_events_are_read_with_the_signs_and_sizes_of_their_weights(tmp_path):
    rng = np.random.default_rng(9)
    for name, n in (("data", 30), ("qcd_a", 20), ("qcd_b", 10), ("top", 5)):
        table = columns(n, rng) | {"run": np.ones(n), "luminosityBlock": np.ones(n), "pt_1__jesUp": np.ones(n)}
        write_part(tmp_path / name / "part-000000.parquet", table | {"mjj": dijet_mass(table)}, {})
    processes = {"qcd": {"label": "q", "data_driven": True}, "top": {"label": "t", "template_scale": 4.0}}
    factors = {
        "data": Normalisation("data", True, 1.0),
        "qcd_a": Normalisation("qcd", False, 2.0),
        "qcd_b": Normalisation("qcd", False, 3.0),
        "top": Normalisation("top", False, 8.0),
        "nothing": Normalisation("top", False, 1.0),
    }
    found = read_closure_events(toy(fit=FIT, processes=processes), Tagged(), tmp_path, factors)
    assert found.simulation[1].tolist() == [2.0] * 20 + [3.0] * 10
    assert found.data[1].tolist() == [1.0] * 30 + [-2.0] * 5
    assert found.n_data == 30
    assert "pt_1__jesUp" not in found.data[0]
    assert len(found.smaller_scores("s")) == 30
