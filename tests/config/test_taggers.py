"""Names of taggers' branches in the YAML."""

import pytest
from helpers.analyses import analysis, content
from pydantic import ValidationError

from oddjets.config.analysis import Analysis
from oddjets.config.taggers import TAGGER_BRANCHES, TaggerNames


@pytest.mark.parametrize("names", TAGGER_BRANCHES)
def test_a_version_has_a_name_or_none_for_every_tagger(names):
    taggers = TaggerNames(names=names)
    assert (
        set(TAGGER_BRANCHES[names]) == {"btag", "xbb", "xqq", "xcc", "qcd"} == set(TaggerNames.model_fields) - {"names"}
    )
    assert taggers.branch("xbb").endswith("_Xbb")
    assert taggers.branch("qcd").endswith("_QCD")
    assert taggers.branch("particleNet_XbbVsQCD") == "particleNet_XbbVsQCD"


def test_a_branch_of_its_own_replaces_that_of_the_version():
    taggers = TaggerNames(names="v15", btag="FatJet_particleNet_XbbVsQCD", xbb="particleNetLegacy_Xbb")
    assert taggers.branch("btag") == "particleNet_XbbVsQCD"
    assert taggers.branch("xbb") == "particleNetLegacy_Xbb"
    assert taggers.branch("xqq") == "globalParT3_Xqq"
    assert TaggerNames(names="v15").branch("btag") is None


def test_the_default_is_that_of_2016():
    assert analysis().selection.taggers.branch("btag") == "btagDeepB"
    assert analysis().selection.taggers.branch("xbb") == "particleNetMD_Xbb"


def test_another_b_tag_needs_a_working_point_of_its_own():
    own = {"names": "v15", "btag": "particleNet_XbbVsQCD"}
    with pytest.raises(ValidationError, match=r"'btag_min' is the working point of btagDeepB, .* particleNet_XbbVsQCD"):
        Analysis.model_validate(content(selection={"taggers": own}))
    made = Analysis.model_validate(content(selection={"taggers": own, "btag_min": 0.9}))
    # what is read back from a file of the run is as valid
    assert Analysis.model_validate(made.model_dump()).selection.btag_min == 0.9
