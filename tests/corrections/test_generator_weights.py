"""Generator weights: which entry is which, event by event, and events that have none."""

from collections import Counter

import awkward as ak
import numpy as np
import pytest

from oddjets.corrections import generator_weights as weights

SHOWER = ("isrUp", "fsrUp", "isrDown", "fsrDown")
#: titles as CMSSW writes them: today, before 2020, from the generator's own names, and of all weights
USUAL = "PS weights (w_var / w_nominal);   [0] is ISR=2 FSR=1; [1] is ISR=1 FSR=2[2] is ISR=0.5 FSR=1; [3] is ISR=1 FSR=0.5;"
BEFORE = "PS weights (w_var / w_nominal); [0] is ISR=0.5 FSR=1; [1] is ISR=1 FSR=0.5; [2] is ISR=2 FSR=1; [3] is ISR=1 FSR=2 "
NAMED = (
    "PS weights (w_var / w_nominal) [0] isr.murfac=2.0; [1] fsr.murfac=2.0; [2] isr.murfac=0.5; [3] fsr.murfac=0.5; "
)
ALL = "All PS weights (w_var / w_nominal)"
#: and as uproot does
NOTHING = "PSWeight[nPSWeight]/F"

PAIRS = [(r, f) for r in (0.5, 1.0, 2.0) for f in (0.5, 1.0, 2.0)]
MEMBERS = [(0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (1.0, 2.0), (2.0, 1.0), (2.0, 2.0)]


def scale_title(pairs, form="[{i}] is renscfact={r}d0 facscfact={f}d0"):
    stated = " ; ".join(form.format(i=i, r=r, f=f) for i, (r, f) in enumerate(pairs))
    return f"LHE scale variation weights (w_var / w_nominal); {stated}"


def places(title, length):
    """Where each variation of the shower is taken from."""
    found = {v: weights.shower_weight(ak.Array([np.arange(length) + 10.0]), v, title) for v in SHOWER}
    return [int(one.values[0]) - 10 if one.present[0] else None for one in found.values()]


@pytest.mark.parametrize(
    ("title", "length", "expected"),
    [
        ("", 4, [0, 1, 2, 3]),
        (NOTHING, 4, [0, 1, 2, 3]),
        (USUAL, 4, [0, 1, 2, 3]),
        (NAMED, 4, [0, 1, 2, 3]),
        (BEFORE, 4, [2, 3, 0, 1]),
        (USUAL, 44, [0, 1, 2, 3]),
        (ALL, 12, [4, 5, 6, 7]),
        (ALL, 44, [None] * 4),  # CMSSW knows two orders of 46 weights, of which it leaves two out
        ("", 44, [None] * 4),
        (NOTHING, 46, [None] * 4),
        (USUAL.replace("[2] is ISR=0.5", "[2] is ISR=0.7"), 4, [0, 1, 2, 3]),
        (BEFORE.replace("[2] is ISR=2", "[2] is ISR=1.4"), 4, [None] * 4),
    ],
)
def test_the_title_says_which_shower_weight_is_which_else_the_usual_order_does(title, length, expected):
    assert places(title, length) == expected


def test_another_order_and_an_unknown_length_are_counted():
    four, many = [1.1, 1.2, 0.9, 0.8], [1.0] * 44
    assert weights.shower_weight(ak.Array([four]), "isrUp", USUAL).anomalies == Counter()
    assert weights.shower_weight(ak.Array([four] * 2), "isrUp", BEFORE).anomalies == {"in_another_order": 2}
    assert weights.shower_weight(ak.Array([four, many, []]), "isrUp").anomalies == {"of_44_weights": 1}


def test_an_event_without_weights_is_as_nominal_and_changes_no_other():
    stored = [[1.1, 1.2, 0.9, 0.8], [], [1.0], [2.1, 2.2, 1.9, 1.8]]
    found = weights.shower_weight(ak.Array(stored), "fsrUp")
    assert found.values.tolist() == [1.2, 1.0, 1.0, 2.2]
    assert found.present.tolist() == [True, False, False, True]
    for i, one in enumerate(stored):
        alone = weights.shower_weight(ak.Array([one]), "fsrUp")
        assert alone.values[0] == found.values[i]


def test_lists_of_8_and_9_scales_may_stand_beside_each_other():
    nine = np.arange(1.0, 10.0)
    eight = np.delete(nine / nine[4], 4)
    found = [weights.scale_weight(ak.Array([nine, eight, []]), i) for i in range(6)]
    expected = [nine[PAIRS.index(pair)] / nine[4] for pair in MEMBERS]
    np.testing.assert_array_equal([one.values for one in found], np.transpose([expected, expected, np.ones(6)]))
    assert all(one.present.tolist() == [True, True, False] for one in found)


def test_scales_whose_nominal_weight_is_zero_are_none():
    found = weights.scale_weight(ak.Array([[2.0] * 4 + [0.0] + [2.0] * 4]), 0)
    assert (found.values.tolist(), found.present.tolist()) == ([1.0], [False])


@pytest.mark.parametrize(
    ("nominal", "generator", "relative"),
    [
        (1e-38, 1.0, None),
        (1e-7, 1.0, None),
        (-1.0, 1.0, None),
        (-1e-38, -1.0, None),
        # weights that are not relative have the sign of the event's
        (-1.0, -1.0, -2.0),
        (1.0, -1.0, 2.0),
        (0.01, 1.0, 200.0),
    ],
)
def test_scales_are_relative_to_a_nominal_weight_that_can_be_one(nominal, generator, relative):
    stored = ak.Array([[2.0] * 4 + [nominal] + [2.0] * 4])
    found = weights.scale_weight(stored, 0, generator=np.array([generator]))
    assert found.present.tolist() == [relative is not None]
    assert found.values.tolist() == [pytest.approx(1.0 if relative is None else relative)]


@pytest.mark.parametrize("nominal", [np.nan, np.inf])
def test_a_nominal_scale_that_is_no_number_is_no_relative_weight(nominal):
    found = weights.scale_weight(ak.Array([[2.0] * 4 + [nominal] + [2.0] * 4]), 0)
    assert np.isnan(found.values).all()


FORMS = (
    "[{i}] is renscfact={r}d0 facscfact={f}d0",
    '[{i}] is MUF="{f}" MUR="{r}"',
    "[{i}] is muR={r}0000E+00 muF={f}0000E+00",
    "[{i}] is mur={r} muf={f}",
)


@pytest.mark.parametrize("form", FORMS)
def test_scales_are_taken_from_where_the_title_says(form):
    order = PAIRS[::-1]
    stored = ak.Array([[10 * r + f for r, f in order]])
    found = [weights.scale_weight(stored, i, scale_title(order, form)) for i in range(6)]
    np.testing.assert_allclose([one.values[0] for one in found], [(10 * r + f) / 11.0 for r, f in MEMBERS])
    assert all(one.anomalies == {"in_another_order": 1} for one in found)


@pytest.mark.parametrize(("copies", "of_nominal"), [(2, 2), (5, 5), (5, 4)])
def test_of_several_choices_of_the_scale_the_first_is_the_default(copies, of_nominal):
    """18, 45 and 44 entries: in the last the default's nominal weight, which is 1, is the one that is not stored."""
    order = [pair for pair in PAIRS for _ in range(of_nominal if pair == (1.0, 1.0) else copies)]
    stored = np.full(len(order), 99.0)
    for pair in PAIRS:
        if pair != (1.0, 1.0) or copies == of_nominal:
            stored[order.index(pair)] = 10 * pair[0] + pair[1]
    nominal = 11.0 if copies == of_nominal else 1.0
    found = [weights.scale_weight(ak.Array([stored]), i, scale_title(order)).values[0] for i in range(6)]
    np.testing.assert_allclose(found, [(10 * r + f) / nominal for r, f in MEMBERS])


@pytest.mark.parametrize("title", ["", scale_title([(1.0, 1.0)] * 18), scale_title(PAIRS[:5])])
def test_18_scales_that_nothing_documents_are_none(title):
    found = weights.scale_weight(ak.Array([[1.1] * 18]), 0, title)
    assert (found.values.tolist(), found.anomalies) == ([1.0], {"of_18_weights": 1})


def test_scales_that_move_apart_are_left_out():
    """(0.5, 2) and (2, 0.5) are no members, the nominal divides; 8 entries are the same without the nominal one."""
    nine = [0.7 * 10 * r + f for r, f in PAIRS]
    eight = [w for (r, f), w in zip(PAIRS, nine, strict=True) if (r, f) != (1, 1)]
    nominal = nine[PAIRS.index((1.0, 1.0))]
    allowed = [
        w / nominal for (r, f), w in zip(PAIRS, nine, strict=True) if (r, f) != (1, 1) and max(r, f) / min(r, f) < 4
    ]
    from_nine = [weights.scale_weight(ak.Array([nine]), i).values[0] for i in range(6)]
    from_eight = [weights.scale_weight(ak.Array([[w / nominal for w in eight]]), i).values[0] for i in range(6)]
    np.testing.assert_allclose(from_nine, allowed)
    np.testing.assert_allclose(from_eight, allowed)


LAST = 1 << 13


def test_top_weight_uses_last_copies():
    pdg = ak.Array([[6, 6, -6, 5], [21, 5]])
    flags = ak.Array([[0, LAST, LAST, LAST], [LAST, LAST]])
    pt = ak.Array([[999.0, 300.0, 500.0, 10.0], [1.0, 2.0]])

    def w(p):
        return 0.103 * np.exp(-0.0118 * p) - 0.000134 * p + 0.973

    found = weights.top_pt_weight(pdg, flags, pt)
    np.testing.assert_allclose(found.values, [np.sqrt(w(300) * w(500)), 1.0])
    assert found.present.tolist() == [True, False]
