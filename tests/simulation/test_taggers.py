"""Emulated taggers and the truth that they are measured with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from oddjets.simulation.flavour import heavy_hadrons
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.jets import build_fat_jets
from oddjets.simulation.tagger_inputs import INPUTS
from oddjets.simulation.taggers import BTAG_WORKING_POINTS, load_taggers, tag

if TYPE_CHECKING:
    from conftest import Sample


def test_the_networks_are_those_of_the_inputs() -> None:
    taggers = load_taggers()
    assert taggers.inputs == INPUTS
    assert len(taggers.mean) == len(taggers.width) == len(INPUTS)
    assert not {"mass", "pt"} & set(INPUTS)


@given(st.lists(st.floats(-5, 20), min_size=len(INPUTS), max_size=len(INPUTS)))
def test_outputs_are_probabilities(values: list[float]) -> None:
    result = tag(np.array([values]), load_taggers())
    assert sum(result[f"particleNetMD_{name}"][0] for name in ("QCD", "Xbb", "Xcc", "Xqq")) == pytest.approx(1)
    assert 0 <= result["btagDeepB"][0] <= 1


def test_no_jets_have_no_tags() -> None:
    assert all(len(column) == 0 for column in tag(np.zeros((0, len(INPUTS))), load_taggers()).values())


def test_the_b_tag_tells_b_jets_from_light_ones(sample: Sample) -> None:
    events = ak.concatenate([sample.events(name)[["FatJet_btagDeepB", "FatJet_hadronFlavour", "FatJet_pt"]]
                             for name in ("qcd", "top", "wjets")])  # fmt: skip
    hard = ak.flatten(events.FatJet_pt) > 400
    tags, flavour = (ak.to_numpy(ak.flatten(events[f"FatJet_{c}"]))[hard] for c in ("btagDeepB", "hadronFlavour"))
    medium = BTAG_WORKING_POINTS[1]
    light = tags[flavour == 0] > medium
    # set on 1 % of QCD's light jets; W decays are among these
    assert light.mean() < 0.03 + 3 * np.sqrt(0.03 / len(light))
    assert (tags[flavour == 5] > medium).mean() > 0.5


def test_xbb_finds_higgs_bosons(sample: Sample, resonances: Path) -> None:
    def discriminant(events: ak.Array) -> np.ndarray:
        hard = events.FatJet_pt > 400
        xbb, qcd = (ak.flatten(events[f"FatJet_particleNetMD_{c}"][hard]) for c in ("Xbb", "QCD"))
        return ak.to_numpy(xbb / (xbb + qcd))

    higgs = uproot.open(resonances / "hh" / "hh-0000.root")["Events"].arrays()
    assert np.median(discriminant(higgs)) > np.quantile(discriminant(sample.events("qcd")), 0.9)


def test_data_have_tags_but_no_truth(sample: Sample) -> None:
    tree = uproot.open(sample.files("data")[0])["Events"]
    assert {"FatJet_btagDeepB", "FatJet_particleNetMD_Xbb"} <= set(tree.keys())
    assert not [name for name in tree.keys() if "adron" in name]  # noqa: SIM118  (a tree's keys)
    assert "emulations" in tree.title


def test_the_last_b_hadron_of_a_chain_is_counted_once() -> None:
    # B* -> B gamma, B -> D pi: one b hadron and one c hadron, all in one jet; a second, far B in none
    ids = [513, 511, 22, -411, 211, 521]
    daughters = [(1, 2), (3, 4), (0, 0), (0, 0), (0, 0), (0, 0)]
    angle = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 2.5])
    pt = np.array([500.0, 450, 50, 300, 150, 100])
    p = np.stack([pt * np.cos(angle), pt * np.sin(angle), 0 * pt, pt], axis=-1)
    zeros = np.zeros(6, np.int32)
    integers = {
        "id": np.array(ids, np.int32),
        "status": zeros,
        "mother1": zeros,
        "daughter1": np.array([d[0] for d in daughters], np.int32),
        "daughter2": np.array([d[1] for d in daughters], np.int32),
    }
    batch = GeneratedBatch(1, np.array([0, 6]), integers, p, np.zeros((6, 3)), np.ones((1, 1)), np.ones((1, 9)))
    jets = build_fat_jets(p[[2, 3, 4]], np.array([0, 3]), 100.0)
    found = heavy_hadrons(batch, jets)
    assert [found[name].tolist() for name in ("nBHadrons", "nCHadrons", "hadronFlavour")] == [[1], [1], [5]]
