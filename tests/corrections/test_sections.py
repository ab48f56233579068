"""Lists of luminosity sections: intervals, however they are written, and never one by one."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oddjets.core.errors import InputFileError
from oddjets.corrections.sections import in_intervals, intervals_of, read_sections, sections_of


def written(folder, text):
    file = folder / "golden.json"
    file.write_text(text if isinstance(text, str) else json.dumps(text))
    return file


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 5]), st.integers(0, 20), st.integers(0, 8)), max_size=12),
)
def test_ranges_hold_what_each_of_them_holds(found):
    """In any order, overlapping, touching, one within another."""
    ranges = [(run, first, first + more) for run, first, more in found]
    intervals = intervals_of(ranges)
    run, section = (
        np.array(list(numbers)) for numbers in zip(*[(r, s) for r in range(7) for s in range(32)], strict=True)
    )
    expected = [any(r == k and a <= s <= b for k, a, b in ranges) for r, s in zip(run, section, strict=True)]
    assert in_intervals(intervals, run, section).tolist() == expected
    assert intervals.count(np.ones(len(intervals.first), dtype=bool)) == sum(expected)
    assert (intervals.first[1:] > intervals.last[:-1] + 1).all()


def test_intervals_of_two_runs_stay_apart():
    last = 2**32 - 1
    intervals = intervals_of([(1, 5, last), (2, 0, 3)])
    assert intervals.runs.tolist() == [1, 2]
    assert in_intervals(intervals, [1, 1, 2, 2], [4, last, 3, 4]).tolist() == [False, True, True, False]


@pytest.mark.parametrize("last", [9_999_999, 2**32 - 1])
def test_an_open_end_takes_no_memory(tmp_path, last):
    file = written(tmp_path, {str(run): [[1, last]] for run in range(100, 200)})
    tracemalloc.start()
    intervals = read_sections(file)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1_000_000
    assert in_intervals(intervals, [100, 199, 200], [last, 1, 1]).tolist() == [True, True, False]
    assert intervals.count(intervals.runs == 150) == last
    assert intervals.open_ended_run(intervals.runs == 150) == 150


def test_runs_of_32_bits_in_events():
    """NanoAOD's run is an unsigned number."""
    intervals = intervals_of([(2**31 - 1, 1, 4)])
    run = np.array([2**31 - 1, 2**32 - 1, 2**31], dtype=np.uint32)
    assert in_intervals(intervals, run, np.array([4, 4, 4], dtype=np.uint32)).tolist() == [True, False, False]
    assert len(sections_of(run, np.ones(3, np.uint32))) == 3


@pytest.mark.parametrize(
    "text", ['{"7": [[3, 4], [1, 2]], "5": []}', '{"7": [[1.0, 4.0]]}', '{"7": [[1, 4], [2, 3], [1, 1]]}']
)
def test_other_ways_to_say_the_same(tmp_path, text):
    intervals = read_sections(written(tmp_path, text))
    assert (intervals.first.tolist(), intervals.last.tolist()) == ([7 * 2**32 + 1], [7 * 2**32 + 4])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"7": [[1, 2]], "7": [[3, 4]]}', "run 7 appears twice"),
        ('{"7": [[1, 2]], "07": [[3, 4]]}', "run 7 appears twice"),
        ('{"7": [[-1, 2]]}', "-1 is not a valid section of run 7"),
        ('{"7": [[1, 4294967296]]}', "these are 0 to 4294967295"),
        ('{"7": [[1, 1e300]]}', "1e[+]300 is not a valid section"),
        ('{"2147483648": [[1, 2]]}', "2147483648 is not a valid run: these are 0 to 2147483647"),
        ('{"-7": [[1, 2]]}', "'-7' is not a run number"),
        ('{"7": [[1.5, 2]]}', "1.5 is not a valid section"),
        ('{"7": [[NaN, 2]]}', "nan is not a valid section"),
        ('{"7": [[1, Infinity]]}', "inf is not a valid section"),
        ('{"7": [["1", "2"]]}', "'1' is not a valid section"),
        ('{"7": [[true, 2]]}', "True is not a valid section"),
        ('{"7": [[1, null]]}', "None is not a valid section"),
        ('{"7": [[1, 2, 3]]}', r"run 7: \[1, 2, 3\] is not a pair \[first, last\]"),
        ('{"7": [1, 2]}', "not a list of luminosity sections"),
        ('{"7.5": [[1, 2]]}', "not a list of luminosity sections"),
        ('{"7": [[2, 1]]}', r"the range \[2, 1\] of run 7 ends before it begins"),
        ('{"7": []}', "the list of luminosity sections is empty"),
    ],
)
def test_what_is_no_list_of_sections_is_named(tmp_path, text, message):
    with pytest.raises(InputFileError, match=rf"golden\.json: .*{message}"):
        read_sections(written(tmp_path, text))
