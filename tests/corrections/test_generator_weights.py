"""Generator weights: order, number of entries, and samples that have none."""

import awkward as ak
import numpy as np
import pytest

from oddjets.corrections import generator_weights as weights


def test_shower_weights_are_in_nanoaods_order():
    stored = ak.Array([[1.1, 1.2, 0.9, 0.8]] * 3)
    found = {v: weights.shower_weight(stored, v)[0] for v in ("isrUp", "fsrUp", "isrDown", "fsrDown")}
    assert found == {"isrUp": 1.1, "fsrUp": 1.2, "isrDown": 0.9, "fsrDown": 0.8}


@pytest.mark.parametrize("stored", [[[1.0]] * 3, [[], [], []], [[1.0, 1.0, 1.0, 1.0], [1.0], [1.0]]])
def test_a_sample_without_weights_has_no_variation(stored):
    assert weights.shower_weight(ak.Array(stored), "isrUp") is None
    assert weights.scale_weight(ak.Array(stored), 0) is None


def test_scales_that_move_apart_are_left_out():
    """(0.5, 2) and (2, 0.5) are no members, the nominal divides; 8 entries are the same without the nominal one."""
    factors = [(r, f) for r in (0.5, 1.0, 2.0) for f in (0.5, 1.0, 2.0)]
    nine = [0.7 * 10 * r + f for r, f in factors]
    eight = [w for (r, f), w in zip(factors, nine, strict=True) if (r, f) != (1, 1)]
    nominal = nine[factors.index((1.0, 1.0))]
    allowed = [
        w / nominal for (r, f), w in zip(factors, nine, strict=True) if (r, f) != (1, 1) and max(r, f) / min(r, f) < 4
    ]
    from_nine = [weights.scale_weight(ak.Array([nine]), i)[0] for i in range(6)]
    from_eight = [weights.scale_weight(ak.Array([[w / nominal for w in eight]]), i)[0] for i in range(6)]
    np.testing.assert_allclose(from_nine, allowed)
    np.testing.assert_allclose(from_eight, allowed)


LAST = 1 << 13


def test_top_weight_uses_last_copies():
    pdg = ak.Array([[6, 6, -6, 5], [21, 5]])
    flags = ak.Array([[0, LAST, LAST, LAST], [LAST, LAST]])
    pt = ak.Array([[999.0, 300.0, 500.0, 10.0], [1.0, 2.0]])

    def w(p):
        return 0.103 * np.exp(-0.0118 * p) - 0.000134 * p + 0.973

    np.testing.assert_allclose(weights.top_pt_weight(pdg, flags, pt), [np.sqrt(w(300) * w(500)), 1.0])


def test_no_top_quarks_no_variation():
    assert weights.top_pt_weight(ak.Array([[21]]), ak.Array([[LAST]]), ak.Array([[5.0]])) is None
