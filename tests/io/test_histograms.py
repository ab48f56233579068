"""The histogram set: what is saved is what is loaded, and absent is not zero."""

import contextlib
import json

import numpy as np
import pytest

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io.histograms import HistogramSet, ThresholdResult, empty_histogram


@pytest.fixture
def histograms():
    histogram = empty_histogram("mass", [0, 1, 2, 4.0], "mass [GeV]")
    histogram.fill(process="top", letter="A", variation="nominal", mass=[0.5, 3, 9], weight=[1, 2, 4])
    histogram.fill(process="top", letter="A", variation="jesUp", mass=[0.5], weight=[3])
    histogram.fill(process="data", letter="D", variation="nominal", mass=[0.5, 0.6])
    threshold = ThresholdResult("x", 0.5, 0.1, 0.1, 2, 1)
    variations = {"data": ["nominal"], "top": ["nominal", "jesUp", "jesDown"], "wjets": ["nominal"]}
    return HistogramSet({("SR", "mass"): histogram}, variations, 100.0, threshold)


def test_values_and_variances_leave_out_the_overflow(histograms):
    np.testing.assert_array_equal(histograms.values("SR", "mass", "top", "A"), [1, 0, 2])
    np.testing.assert_array_equal(histograms.variances("SR", "mass", "top", "A"), [1, 0, 4])
    np.testing.assert_array_equal(histograms.values("SR", "mass", "top", "A", "jesUp"), [3, 0, 0])


def test_a_process_of_which_nothing_passed_is_zero_and_an_unknown_one_an_error(histograms):
    np.testing.assert_array_equal(histograms.values("SR", "mass", "wjets", "A"), [0, 0, 0])
    with pytest.raises(OddjetsError, match="no process 'wjet' in the histograms; did you mean 'wjets'"):
        histograms.values("SR", "mass", "wjet", "A")
    with pytest.raises(OddjetsError, match="no variation 'jesUp'"):
        histograms.values("SR", "mass", "wjets", "A", "jesUp")
    with pytest.raises(OddjetsError, match="no histogram of 'mas'"):
        histograms.values("SR", "mas", "top", "A")
    with pytest.raises(OddjetsError, match="no letter 'E'; there are A, B, C, D"):
        histograms.values("SR", "mass", "top", "E")


def test_saved_is_loaded(histograms, tmp_path):
    histograms.save(tmp_path)
    loaded = HistogramSet.load(tmp_path)
    assert loaded.histograms["SR", "mass"] == histograms.histograms["SR", "mass"]
    assert (loaded.variations, loaded.threshold, loaded.luminosity_pb) == (
        histograms.variations,
        histograms.threshold,
        100.0,
    )


def test_a_broken_folder_says_which_verb_mends_it(histograms, tmp_path):
    with pytest.raises(InputFileError, match="run `oddjets histogram`"):
        HistogramSet.load(tmp_path)
    histograms.save(tmp_path)
    (tmp_path / "SR.mass.json").write_text("{")
    with pytest.raises(InputFileError, match="damaged histograms"):
        HistogramSet.load(tmp_path)


GARBAGE = (None, "x", 5, [], {}, [None], [[1]], True, float("inf"), {"a": 1})


def places(node, at=()):
    """The places of all that a JSON holds."""
    yield at
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield from places(value, (*at, key))


def replaced(node, at, value):
    if not at:
        return value
    copied = dict(node) if isinstance(node, dict) else list(node)
    copied[at[0]] = replaced(node[at[0]], at[1:], value)
    return copied


@pytest.mark.fault("Nonsense in the index of histograms", "Is an error that names the folder, wherever it stands.")
def test_nonsense_anywhere_in_the_index_is_an_error_of_ours(histograms, tmp_path):
    histograms.save(tmp_path)
    index = json.loads((tmp_path / "index.json").read_text()) | {"shared_events": [["SR", "VR", 2]]}
    for at in places(index):
        for value in GARBAGE:
            (tmp_path / "index.json").write_text(json.dumps(replaced(index, at, value)))
            with contextlib.suppress(OddjetsError):
                HistogramSet.load(tmp_path)
