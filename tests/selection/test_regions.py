"""Regions and letters: every event in exactly one letter; the threshold as NumPy's quantile."""

import numpy as np
import pytest
from helpers.analyses import analysis
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from oddjets.config.selection import Threshold
from oddjets.core.errors import OddjetsError
from oddjets.corrections.lookups import Era
from oddjets.io.event_table import EventTable
from oddjets.selection import cut, jet_cut, jet_variation, regions
from oddjets.selection.decorators import mask_of
from oddjets.selection.processor_loader import find_processor
from oddjets.selection.regions import find_threshold
from oddjets.workflow.validation import resolve

scores = hnp.arrays(np.float64, 30, elements=st.floats(0, 1))


@given(scores, scores, st.floats(0, 1))
def test_letters_lose_no_event_and_count_none_twice(first, second, threshold):
    letter = regions.letters(first, second, threshold)
    expected = [
        {(True, True): "A", (False, True): "B", (True, False): "C", (False, False): "D"}[a >= threshold, b >= threshold]
        for a, b in zip(first, second, strict=True)
    ]
    assert letter.tolist() == expected


def test_events_at_the_threshold_pass():
    assert regions.letters(np.array([0.5]), np.array([0.5]), 0.5).tolist() == ["A"]


@given(scores, scores, st.floats(0.01, 0.99))
def test_threshold_from_data_is_the_quantile_of_the_smaller_score(first, second, efficiency):
    assume(np.ptp(np.minimum(first, second)) > 0)
    found = regions.find_threshold(
        Threshold(score="x", efficiency=efficiency), {"score_x_1": first, "score_x_2": second}
    )
    assert found.value == np.quantile(np.minimum(first, second), 1 - efficiency)
    assert found.n_above == (regions.letters(first, second, found.value) == "A").sum()
    assert found.n_data == 30


@pytest.mark.parametrize("data", [None, {"score_x_1": np.array([]), "score_x_2": np.array([])}])
def test_threshold_without_data_says_what_to_give_instead(data):
    with pytest.raises(OddjetsError, match=r"give 'threshold\.value'"):
        regions.find_threshold(Threshold(score="x", efficiency=0.1), data)


def processor_of(small):
    resolved = resolve(small)
    return resolved.processor(resolved.analysis, resolved.era, resolved.era_folder, {})


@pytest.fixture
def small(tmp_path):
    (tmp_path / "fileset.json").write_text(
        '{"data": {"files": ["a.root"], "metadata": {"process": "data", "is_data": true, "era": "simulation"}}}'
    )
    return analysis().model_copy(update={"path": tmp_path / "analysis.yaml"})


def test_regions_follow_facts(small):
    table = EventTable(
        {
            "tau21_1": np.array([0.3, 0.3, 0.5, 0.3]),
            "tau21_2": np.array([0.4, 0.4, 0.3, 0.45]),
            "mass_1": np.array([80.0, 120.0, 80.0, 80.0]),
            "mass_2": np.array([120.0, 80.0, 120.0, 120.0]),
        }
    )
    masks = {r: regions.region_mask(small, processor_of(small), r, table).tolist() for r in small.regions}
    assert masks["SR"] == [True, True, False, False]
    assert masks["VR1"] == [False, False, True, True]
    assert masks["SR1"] == [True, False, False, False]
    assert masks["SR2"] == [False, True, False, False]


def test_a_region_without_its_column_says_which(small):
    with pytest.raises(OddjetsError, match=r"region 'SR1': cut 'mass_high' needs the column 'mass' of each jet"):
        regions.region_mask(
            small, processor_of(small), "SR1", EventTable({"tau21_1": np.zeros(2), "tau21_2": np.zeros(2)})
        )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("{}['mass']", r"failed in mine.py, line 7 \(KeyError: 'mass'\)"),
        ("table['mass'] > 1 / 0", r"failed in mine.py, line 7 \(ZeroDivisionError: division by zero\)"),
        ("np.ones(2) @ table['mass']", r"failed in mine.py, line 7 \(ValueError: matmul"),
        ("help_with(table)", r"failed in helping.py, line 2 \(IndexError: "),
        ("table['mas']", r"needs the column 'mas', .*; mine.py, line 7\); did you mean 'mass'\?$"),
    ],
)
def test_a_cut_that_fails_is_named_with_its_line(tmp_path, code, said):
    (tmp_path / "helping.py").write_text("def help_with(table):\n    return [][1]\n")
    text = "import numpy as np\nfrom helping import help_with\nfrom oddjets.selection import DijetProcessor, cut\n"
    text += f"class Mine(DijetProcessor):\n    @cut\n    def odd(self, table):\n        return {code}\n"
    (tmp_path / "mine.py").write_text(text)
    asked = analysis(processor="mine.py:Mine", regions={"X": {"cuts": ["odd"]}})
    made = find_processor("mine.py:Mine", tmp_path).load()(asked, Era(name="simulation"), tmp_path, {})
    with pytest.raises(OddjetsError, match=f"^region 'X': cut 'odd' {said}"):
        regions.region_mask(asked, made, "X", EventTable({"mass": np.zeros(3)}))


def test_circles_are_found(small):
    circular = analysis(regions={"P": {"cuts": ["not Q"]}, "Q": {"cuts": ["P"]}, "R": {"all": "tau21_low"}})
    assert set(regions.circular_regions(circular)) == {"P", "Q"}


def test_a_constant_has_no_threshold_of_an_efficiency():
    """All events would be in A, as many as of a score that works with another threshold."""
    same = dict.fromkeys(("score_s_1", "score_s_2"), np.full(200, 0.25))
    with pytest.raises(
        OddjetsError, match=r"0\.25 for all 200 data events, so that no cut keeps 0\.1 of them: a constant"
    ):
        find_threshold(Threshold(score="s", efficiency=0.1), same)
    # of a few events it may be chance, and a given value asks for no share
    assert find_threshold(Threshold(score="s", efficiency=0.1), {n: v[:3] for n, v in same.items()}).n_above == 3
    assert find_threshold(Threshold(score="s", value=0.5), same).n_above == 0


def test_a_score_that_is_no_number_is_below_every_threshold():
    """As in the letters: the quantile is that of scores with -infinity in its place."""
    rng = np.random.default_rng(1)
    scores = rng.uniform(size=(2, 200))
    odd = scores.copy()
    odd[0, :20] = np.nan
    below = np.where(np.isnan(odd), -1.0, odd)
    found, expected = (
        find_threshold(Threshold(score="s", efficiency=0.1), {"score_s_1": one, "score_s_2": two})
        for one, two in (odd, below)
    )
    assert found == expected
    assert (found.n_data, found.n_above) == (200, 20)
    odd[:, :190] = np.nan
    with pytest.raises(OddjetsError, match="190 of 200 data events have a score 's' that is NaN or infinite"):
        find_threshold(Threshold(score="s", efficiency=0.1), {"score_s_1": odd[0], "score_s_2": odd[1]})


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (None, "returns None for 3 events"),  # no 'return'
        (True, r"type bool and shape \(\)"),
        (3, r"type int64 and shape \(\)"),
        (np.ones(3), r"type float64 and shape \(3,\)"),
        (np.ones(2, bool), r"type bool and shape \(2,\)"),
        (np.ones((3, 1), bool), r"type bool and shape \(3, 1\)"),
    ],
)
def test_what_a_cut_returns_is_a_mask(returned, said):
    with pytest.raises(OddjetsError, match=f"cut 'mine' .*{said}.*must return an array with True or False"):
        mask_of("mine", returned, 3)
    kept = np.array([True, False, True])
    assert mask_of("mine", kept, 3) is kept


@pytest.mark.parametrize("decorator", [cut, jet_cut, jet_variation])
def test_decorators_stand_alone(decorator):
    with pytest.raises(
        OddjetsError, match=f"@{decorator.__name__} takes no arguments: write it above a method without brackets"
    ):
        decorator("name")
