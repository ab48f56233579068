"""The one list of what varies: ordered, immutable, known by name, and nothing for data."""

import json

import pytest
import yaml
from helpers.analyses import analysis, content

from oddjets.config.analysis import load_analysis
from oddjets.config.systematics import Systematic
from oddjets.corrections import systematics
from oddjets.corrections.systematics import BUILT_IN, variations_of, with_defaults
from oddjets.workflow.validation import resolve

#: the paper's and its code's, in the order of docs
EVERY = ("jes", "jer", "jms", "jmr", "pu", "pref", "isr", "fsr", "scale", "toppt")


def resolved(*given):
    made = analysis(systematics=list(given))
    listed = tuple(with_defaults(s, moves_jets=s.name in ("jes", "jer", "jms", "jmr")) for s in made.systematics)
    return made.model_copy(update={"systematics": listed})


def test_every_row_is_known_without_words_and_in_order():
    assert tuple(BUILT_IN) == EVERY
    names = [v.name for v in variations_of(resolved(*EVERY), "top", is_data=False)]
    two = [f"{name}{d}" for name in EVERY[:8] for d in ("Up", "Down")]
    assert names == [*two, *(f"scale{i}" for i in range(6)), "topptUp", "topptDown"]


def test_the_list_cannot_be_changed():
    with pytest.raises(TypeError):
        BUILT_IN["mine"] = BUILT_IN["jes"]
    with pytest.raises(AttributeError):
        BUILT_IN["jes"].kind = "weight"
    assert isinstance(variations_of(resolved("jes"), "top", is_data=False), tuple)


def test_correlations_are_those_of_the_paper():
    apart = {s.name for s in resolved(*EVERY).systematics if s.decorrelate}
    assert apart == {"isr", "fsr", "scale"}
    shared = with_defaults(Systematic(name="isr", decorrelate=False), moves_jets=False)
    assert shared.decorrelate is False


def test_top_pt_varies_top_quarks_alone():
    assert variations_of(resolved("toppt"), "wjets", is_data=False) == ()
    assert len(variations_of(resolved({"name": "toppt", "processes": ["wjets"]}), "wjets", is_data=False)) == 2


def test_a_process_can_be_left_out():
    """As ww, wz and zz are in the authors' code."""
    varied = resolved({"name": "jes", "processes": ["top"]})
    assert variations_of(varied, "wjets", is_data=False) == ()


def test_data_get_nothing_even_where_they_are_named():
    named = resolved(*({"name": name, "processes": ["data"]} for name in EVERY))
    assert variations_of(named, "data", is_data=True) == ()
    # the same words for simulation do vary it: nothing but being data stands in the way
    assert variations_of(named, "data", is_data=False) != ()


@pytest.mark.parametrize("name", EVERY)
def test_kinds(name):
    kind = systematics.kind_of(Systematic(name=name))
    assert kind == {"jes": "jets", "jer": "jets", "jms": "jets", "jmr": "jets", "scale": "envelope"}.get(name, "weight")


@pytest.mark.parametrize("era", ["simulation", "2016UL"])
def test_both_eras_know_every_row(tmp_path, era):
    metadata = {"process": "top", "is_data": False, "era": era, "cross_section_pb": 1.0}
    (tmp_path / "fileset.json").write_text(json.dumps({"top": {"files": ["t.root"], "metadata": metadata}}))
    data = content(era=era, systematics=list(EVERY), jet_corrections=["jer"])
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    kinds = {s.name: s.kind for s in resolve(load_analysis(tmp_path / "a.yaml")).analysis.systematics}
    assert list(kinds) == list(EVERY)
    assert kinds["scale"] == "envelope"
