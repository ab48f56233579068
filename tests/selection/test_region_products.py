"""Cuts on single jets, and what regions are made of: products, unions of products, or neither."""

import itertools
import re

import numpy as np
import pytest
from helpers.analyses import analysis

from oddjets.core.errors import OddjetsError
from oddjets.io.event_table import EventTable
from oddjets.selection import DijetProcessor, cut, jet_cut, regions
from oddjets.selection.needed_columns import columns_needed
from oddjets.selection.region_products import cell_masks, describe_region, impossible_regions
from oddjets.workflow.loading import load
from oddjets.workflow.validation import resolve


class Jets(DijetProcessor):
    """Cuts of all kinds."""

    def __init__(self):
        pass

    @jet_cut
    def tagged(self, jets):
        return jets["tag"] > 0

    @jet_cut
    def heavy(self, jets):
        return jets["mass"] > 100

    @cut
    def first_heavy(self, table):
        return table["mass_1"] > 100

    @cut
    def fired(self, table):
        return table["trigger_X"]

    @cut
    def heavy_pair(self, table):
        return table["mass_1"] + table["mass_2"] > 200

    @cut
    def far(self, table):
        return table["mjj"] > 100


REGIONS = {
    "P": {"all": "tagged", "leading": ["heavy"], "subleading": "not heavy"},
    "U": {"any": "tagged", "all": "heavy"},
    "UU": {"cuts": ["U", "V"]},
    "V": {"any": ["not tagged", "heavy"]},
    "NP": {"cuts": ["not A"]},
    "A": {"all": ["tagged", "heavy"]},
    "NV": {"cuts": ["not V"]},
    "NN": {"cuts": ["not NP"]},
    "E": {"any": "tagged", "cuts": ["first_heavy", "not fired"]},
    "NE": {"cuts": ["not F"]},
    "F": {"cuts": ["fired"]},
    "contradicts": {"all": "tagged", "any": ["tagged", "heavy"], "leading": "not heavy"},
    # expressions over columns: of a jet, of one jet of the event, of one jet and the event
    "XP": {"all": "tag>0", "leading": ["mass > 100"], "cuts": ["not mass_2 > 100"]},
    "XU": {"any": "tag > 0 and mass > 100"},
    "XL": {"cuts": ["tag_1 > 0 or mass_1 > 100"]},
    "XN": {"cuts": ["not XL", "mass_2 < 100"]},
    "XE": {"all": "tagged", "cuts": ["not (mass_2 > 100 and trigger_X)"]},
    "XJ": {"cuts": ["not XJ1"]},
    "XJ1": {"cuts": ["100 < mass_2 < 200"]},
}
#: by hand: events by (leading tagged, leading heavy, subleading tagged, subleading heavy, fired)
EXPECTED = {
    "P": lambda t1, h1, t2, h2, f: t1 and t2 and h1 and not h2,
    "U": lambda t1, h1, t2, h2, f: (t1 or t2) and h1 and h2,
    "UU": lambda t1, h1, t2, h2, f: (t1 or t2) and h1 and h2 and (not t1 or not t2),
    "V": lambda t1, h1, t2, h2, f: (not t1 and h1) or (not t2 and h2),
    "NP": lambda t1, h1, t2, h2, f: not (t1 and h1 and t2 and h2),
    "A": lambda t1, h1, t2, h2, f: t1 and h1 and t2 and h2,
    "NV": lambda t1, h1, t2, h2, f: (t1 or not h1) and (t2 or not h2),
    "NN": lambda t1, h1, t2, h2, f: t1 and h1 and t2 and h2,
    "E": lambda t1, h1, t2, h2, f: (t1 or t2) and h1 and not f,
    "NE": lambda t1, h1, t2, h2, f: not f,
    "F": lambda t1, h1, t2, h2, f: f,
    "contradicts": lambda t1, h1, t2, h2, f: t1 and t2 and not h1 and h2,
    "XP": lambda t1, h1, t2, h2, f: t1 and t2 and h1 and not h2,
    "XU": lambda t1, h1, t2, h2, f: (t1 and h1) or (t2 and h2),
    "XL": lambda t1, h1, t2, h2, f: t1 or h1,
    "XN": lambda t1, h1, t2, h2, f: not (t1 or h1) and not h2,
    "XE": lambda t1, h1, t2, h2, f: t1 and t2 and not (h2 and f),
    "XJ": lambda t1, h1, t2, h2, f: not h2,
    "XJ1": lambda t1, h1, t2, h2, f: h2,
}
CELLS = {
    "P": [""],
    "U": ["both", "leading", "subleading"],
    "UU": ["leading", "subleading"],  # both tagged and both heavy jets untagged contradict each other, and so on
    "V": ["both", "leading", "subleading"],
    "NP": ["both", "leading", "subleading"],
    "A": [""],
    "NV": [""],
    "NN": [""],
    "E": ["both", "leading", "subleading"],
    "NE": [""],
    "F": [""],
    "contradicts": ["subleading"],
    "XU": ["both", "leading", "subleading"],
    **{name: [""] for name in ("XP", "XL", "XN", "XE", "XJ", "XJ1")},
}


def table():
    """All events that cuts can tell from each other."""
    t1, h1, t2, h2, fired = np.array(list(itertools.product([False, True], repeat=5))).T
    columns = {"tag_1": t1 * 1.0, "tag_2": t2 * 1.0, "mass_1": 50 + 100.0 * h1, "mass_2": 50 + 100.0 * h2}
    return EventTable({**columns, "trigger_X": fired, "mjj": np.linspace(50, 150, 32)})


def small(**more):
    return analysis(regions={**REGIONS, **more}, fit=None)


@pytest.mark.parametrize("region", REGIONS)
def test_regions_and_their_cells_follow_facts(region):
    asked, events = small(), table()
    expected = [EXPECTED[region](*bits) for bits in itertools.product([False, True], repeat=5)]
    np.testing.assert_array_equal(regions.region_mask(asked, Jets(), region, events), expected)
    described = describe_region(asked, Jets(), region)
    cells = cell_masks(asked, Jets(), described, regions.jet_masks(asked, Jets(), events), events)
    if region != "UU":
        assert list(cells) == CELLS[region]
    np.testing.assert_array_equal(np.sum(list(cells.values()), axis=0), np.array(expected, int))
    assert described.is_union == (len(described.cells) > 1 or region == "contradicts")
    assert described.is_product != described.is_union
    # a cell is a product: which leading jets there are does not depend on the subleading one
    t1, h1, t2, h2, fired = np.array(list(itertools.product([False, True], repeat=5))).T
    for mask, only in itertools.product(cells.values(), [fired, ~fired]):
        kept = {((a, b), (c, d)) for a, b, c, d in zip(*(x[mask & only] for x in (t1, h1, t2, h2)), strict=True)}
        leading, subleading = ({pair[i] for pair in kept} for i in (0, 1))
        assert kept == set(itertools.product(leading, subleading))


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ({"all": ["tagged", "not tagged"]}, "(all: tagged, not tagged)"),
        ({"all": "tagged", "subleading": "not tagged"}, "(all: tagged; subleading: not tagged)"),
        ({"all": "tagged", "any": "not tagged"}, "(all: tagged; any: not tagged)"),
        ({"all": ["tagged", "heavy"], "cuts": ["not A"]}, "(all: tagged, heavy; cuts: not A)"),
        ({"cuts": ["fired", "not F"]}, "(cuts: fired, not F)"),
        # what else a cut reads does not matter
        ({"all": "tagged", "leading": "not tagged", "cuts": ["far"]}, "(all: tagged; leading: not tagged; cuts: far)"),
        ({"any": ["tagged", "heavy"], "all": "not tagged"}, "(all: not tagged; any: tagged, heavy)"),
        (
            {"all": "mass>100", "cuts": ["not(mass_2 > 100)"]},
            "(all: mass>100; cuts: not(mass_2 > 100))",
        ),
    ],
)
def test_regions_that_no_event_can_pass_are_named(region, said):
    asked = small(X=region)
    assert impossible_regions(asked) == {"X": f"no event can pass, since its cuts contradict each other {said}"}
    assert not regions.region_mask(asked, Jets(), "X", table()).any()


def test_jet_masks_have_both_jets():
    masks = regions.jet_masks(small(), Jets(), table())
    assert {"heavy", "tagged", "mass > 100"} < {*masks}
    for name, (first, second) in {"heavy": (1, 3), "tagged": (0, 2), "mass > 100": (1, 3)}.items():
        bits = np.array(list(itertools.product([False, True], repeat=5))).T
        np.testing.assert_array_equal(masks[name], bits[[first, second]])


@pytest.mark.parametrize(
    ("region", "why"),
    [
        ({"any": "tagged", "cuts": ["heavy_pair"]}, "the cut 'heavy_pair' reads columns of both jets"),
        ({"cuts": ["not far"]}, "the cut 'far' reads 'mjj', which both jets may decide"),
        ({"cuts": ["mass_1 + mass_2>200"]}, "the cut 'mass_1 + mass_2 > 200' reads columns of both jets"),
        ({"cuts": ["not mjj > 100"]}, "the cut 'mjj > 100' reads 'mjj', which both jets may decide"),
        ({"cuts": ["not P"]}, "'not P' negates a region of several cuts"),
        ({"cuts": ["not E"]}, "'not E' negates a region of several cuts"),
    ],
)
def test_what_is_neither_is_said_and_why(region, why):
    described = describe_region(small(X=region), Jets(), "X")
    assert (described.unknown, described.is_product, described.is_union) == (why, False, False)
    with pytest.raises(
        OddjetsError, match=f"region 'X' is neither a product .* products: {re.escape(why)}; declare its cuts"
    ):
        _ = described.cells


def test_the_columns_of_a_cut_on_single_jets_are_those_of_both_jets():
    asked = analysis(regions={"R": {"subleading": "tagged"}}, selection={"cuts": []}, observables={}, fit=None)
    assert columns_needed(asked, Jets()) == {"tag_1": "cut 'tagged'", "tag_2": "cut 'tagged'"}


def test_the_columns_of_expressions_are_needed_too():
    region = {"any": "not tag > 1", "cuts": ["mass_2 > 100", "mjj > 500"]}
    asked = analysis(regions={"R": region}, selection={"cuts": []}, observables={}, fit=None)
    needed = columns_needed(asked, Jets())
    of_jets = {f"{name}_{j}": f"cut '{name} > {value}'" for name, value in (("tag", 1), ("mass", 100)) for j in (1, 2)}
    assert needed == of_jets | {"mjj": "cut 'mjj > 500'"}


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ({"cuts": ["mas_2 > 100"]}, "region 'X': cut 'mas > 100': no column 'mas'; did you mean 'mass'"),
        ({"cuts": ["mass_2 - mjj"]}, "the cut 'mass_2 - mjj' is no condition; compare it"),
    ],
)
def test_an_expression_that_is_no_cut_is_said(region, said):
    with pytest.raises(OddjetsError, match=said):
        regions.region_mask(small(X=region), Jets(), "X", table())


def test_a_cut_on_single_jets_must_return_a_mask_and_have_its_column():
    class Odd(Jets):
        @jet_cut
        def tagged(self, jets):
            return jets["mjj"] > 0

        @jet_cut
        def heavy(self, jets):
            assert "mass" in jets
            assert sorted(jets) == ["mass", "tag"]
            assert len(jets) == 2
            return jets["mass"]

    with pytest.raises(
        OddjetsError, match=r"region 'V'.*cut 'tagged' needs the column 'mjj' of each jet, .*; valid names: mass, tag$"
    ):
        regions.region_mask(small(), Odd(), "V", table())
    with pytest.raises(OddjetsError, match=r"cut 'heavy' returns values of type float64 and shape \(32,\)"):
        regions.region_mask(small(X={"any": "heavy"}), Odd(), "X", table())


def old_masks(table, selection):
    """The paper's regions as they were written before cuts on single jets: the larger of two values, the smaller, one."""
    low = np.maximum(table["tau21_1"], table["tau21_2"]) < selection.tau21_max
    heavy = table["mass_2"] > selection.subleading_mass_split
    tagged = np.maximum(table["btag_1"], table["btag_2"]) > selection.btag_min
    return {
        "SR": low,
        "VR1": ~low,
        "SR1": low & heavy,
        "SR2": low & ~heavy,
        "SR3": low & heavy & tagged,
        "SR4": low & tagged,
    }


def test_the_papers_regions_are_what_they_were():
    asked = load("paper_hh_btag.yaml")
    resolved = resolve(asked)
    processor = resolved.processor(asked, resolved.era, resolved.era_folder, {})
    rng = np.random.default_rng(1)
    columns = {
        f"{name}_{j}": rng.uniform(0, high, 5000).astype(np.float32)
        for name, high in (("tau21", 1), ("mass", 250), ("btag", 1))
        for j in (1, 2)
    }
    edges = {"tau21_1": asked.selection.tau21_max, "mass_2": 100.0, "btag_1": asked.selection.btag_min}
    for name, edge in edges.items():
        columns[name][:50] = edge
    columns["tau21_2"][100:120] = np.nan
    columns["pt_1"], columns["pt_2"] = np.sort(rng.uniform(450, 900, (2, 5000)), axis=0)[::-1]
    events = EventTable(columns)
    found = regions.region_masks(asked, processor, events)
    expected = old_masks(events, asked.selection)
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        assert 0 < mask.sum() < 5000
        np.testing.assert_array_equal(found[name], mask, err_msg=name)
    kinds = {name: describe_region(asked, processor, name) for name in found}
    assert {name for name, kind in kinds.items() if kind.is_union} == {"VR1", "SR3", "SR4"}
    assert {name for name, kind in kinds.items() if kind.is_product} == {"SR", "SR1", "SR2"}


def test_a_region_that_is_said_anew_is_said_as_a_whole(tmp_path):
    """What an extended file asks of a region is not added to; its binning stays."""
    (tmp_path / "mine.yaml").write_text(
        "extends: demo.yaml\nregions:\n  SR: {any: mass_high}\n  SR2: {label: light}\n  VR1: {cuts: [not SR]}\n"
    )
    asked = load(tmp_path / "mine.yaml").regions
    assert asked["SR"].of_jets == {"any": ("mass_high",)}
    assert asked["SR2"].of_jets == {"all": ("tau21_low",), "subleading": ("not mass_high",)}
    assert asked["SR2"].label == "light"
    assert asked["SR2"].binning["leading_mass"].bins == 6
    assert (asked["VR1"].of_jets, asked["VR1"].cuts) == ({}, ("not SR",))
    assert load("demo.yaml", {"regions": {"SR": {"any": "mass_high"}}}).regions["SR"] == asked["SR"]
