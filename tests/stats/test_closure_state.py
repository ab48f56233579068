"""Whether a result stands only if ABCD holds, and the significance with the closure's uncertainty."""

from __future__ import annotations

import pytest
from helpers.small_fit import make_analysis, make_histograms

from oddjets.stats import Model
from oddjets.stats.closure_significance import significance_with_closure
from oddjets.stats.closure_state import conditions, region_verdicts
from oddjets.stats.closure_uncertainty import ClosureUncertainty
from oddjets.stats.workspace import build

NONE = "the fit has no closure uncertainty"


def closure(parts: dict[str, str], single: dict[str, str]) -> dict[str, object]:
    """A closure with these verdicts of all efficiencies together, and of the threshold alone."""
    return {
        "regions": {region: {"verdict": verdict, "constant": 1.0} for region, verdict in single.items()},
        "parts": {"regions": {region: {"verdict": verdict, "constant": 1.0} for region, verdict in parts.items()}},
    }


def test_the_verdict_at_the_working_point_counts_where_it_is_known():
    found = closure({"SR": "closes"}, {"SR": "inconclusive", "VR1": "does not close"})
    assert region_verdicts(found) == {"SR": "closes", "VR1": "does not close"}
    found["parts"]["regions"]["SR"]["constant"] = None
    assert region_verdicts(found)["SR"] == "inconclusive"


@pytest.mark.parametrize(
    ("verdicts", "uncertainty", "said"),
    [
        ({"SR": "closes", "VR1": "closes"}, {"SR": 0.1, "VR1": 0.1}, []),
        ({"SR": "closes", "VR1": "closes"}, {}, [NONE]),
        ({"SR": "inconclusive", "VR1": "closes"}, {"SR": 0.1}, ["the closure is inconclusive in SR"]),
        ({"SR": "inconclusive", "VR1": "inconclusive"}, None, ["the closure is inconclusive in SR and VR1", NONE]),
        ({"SR": "does not close", "VR1": "inconclusive"}, {"SR": 0.1},
         ["the closure contradicts it in SR", "the closure is inconclusive in VR1"]),
        ({"SR": "closes"}, {"SR": 0.1}, ["the closure was not tested in VR1"]),
        # of a region that is not in the fit nothing is said
        ({"SR": "closes", "VR1": "closes", "SR2": "inconclusive"}, {"SR": 0.1}, []),
    ],
)  # fmt: skip
def test_a_result_stands_if_abcd_holds(verdicts, uncertainty, said):
    assert conditions(closure(verdicts, verdicts), ["SR", "VR1"], uncertainty) == said


def test_without_a_closure_nothing_is_shown():
    assert conditions(None, ["SR"], None) == ["the closure was not tested in SR", NONE]


def test_the_uncertainty_added_to_a_workspace_is_that_of_a_workspace_built_with_it():
    sizes = {"SR": 0.3, "VR1": 0.15}
    plain, _ = build(make_analysis(), make_histograms())
    used = {region: ClosureUncertainty(size, 1.0, size, "a test", fallback=False) for region, size in sizes.items()}
    built, _ = build(make_analysis(), make_histograms(), used)
    before = str(plain)
    found = significance_with_closure(plain, "qcd", {region: [region] for region in sizes}, sizes)
    assert str(plain) == before
    assert found.z == pytest.approx(Model(built).significance().z, abs=1e-5)
    assert 0 < found.z < Model(plain).significance().z - 0.1
