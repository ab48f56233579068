"""`jer: official`: the POG's JERSmear applied to jets, against the hybrid method written out and correctionlib itself."""

import json
import math
from pathlib import Path

import awkward as ak
import correctionlib
import numpy as np
import pytest
import uproot
import yaml
from helpers.analyses import analysis, content
from helpers.chunks import chunk_of
from helpers.toy_nano import toy_nano
from scipy import stats

from oddjets.config.analysis import load_analysis
from oddjets.config.systematics import CorrectionSpec
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import InputFileError
from oddjets.core.files import sha256_of
from oddjets.corrections import jet_energy, lookups
from oddjets.corrections.lookups import CorrectionFile, Era
from oddjets.selection.jet_systematics import JetVariations
from oddjets.simulation.nanoaod_layout import jagged
from oddjets.workflow.validation import resolve

SIGMA = 0.06
FACTORS = {"nominal": 1.1, "up": 1.15, "down": 0.95}
N = 1500


def formula(expression, *variables):
    return {"nodetype": "formula", "expression": expression, "parser": "TFormula", "variables": list(variables)}


def correction(name, inputs, data):
    given = [{"name": key, "type": kind} for key, kind in inputs.items()]
    return {"name": name, "version": 1, "inputs": given, "output": {"name": "out", "type": "real"}, "data": data}


#: what the POG's file computes: a normal number hashed from event and jet where GenPt is below 0, else a scaled difference
SMEAR = correction(
    "JERSmear",
    dict.fromkeys(("JetPt", "JetEta", "GenPt", "Rho"), "real") | {"EventID": "int", "JER": "real", "JERSF": "real"},
    {
        "nodetype": "binning",
        "input": "GenPt",
        "edges": [-1.0, 0.0, 1.0],
        "flow": "clamp",
        "content": [
            {
                "nodetype": "transform",
                "input": "GenPt",
                "rule": {
                    "nodetype": "hashprng",
                    "inputs": ["JetPt", "JetEta", "Rho", "EventID"],
                    "distribution": "normal",
                },
                "content": formula("1 + sqrt(max(x*x - 1, 0)) * y * z", "JERSF", "JER", "GenPt"),
            },
            formula("1 + (x-1)*(y-z)/y", "JERSF", "JetPt", "GenPt"),
        ],
    },
)
RESOLUTION = correction("resolution", {"JetPt": "real"}, SIGMA)
FACTOR = correction(
    "factor",
    {"systematic": "string"},
    {
        "nodetype": "category",
        "input": "systematic",
        "content": [{"key": k, "value": v} for k, v in FACTORS.items()],
    },
)
SMEAR_INPUTS = {
    "JetPt": "pt",
    "JetEta": "eta",
    "GenPt": "gen_pt",
    "Rho": "rho",
    "EventID": "event",
    "JER": "resolution",
    "JERSF": "scale_factor",
}


@pytest.fixture(scope="module")
def era(tmp_path_factory):
    file = tmp_path_factory.mktemp("era") / "jets.json"
    file.write_text(json.dumps({"schema_version": 2, "corrections": [SMEAR, RESOLUTION, FACTOR]}))
    corrections = {
        "jer_resolution": CorrectionSpec(file="jets", key="resolution", inputs={"JetPt": "pt"}),
        "jer_scale_factor": CorrectionSpec(file="jets", key="factor", inputs={"systematic": "variation"}),
        "jer_smear": CorrectionSpec(file="jets", key="JERSmear", inputs=SMEAR_INPUTS),
    }
    files = {"jets": CorrectionFile(path=file.name, sha256=sha256_of(file), source="here")}
    return Era(name="test", files=files, corrections=corrections), file.parent


@pytest.fixture(scope="module")
def chunk(tmp_path_factory):
    """One jet an event: a third with a generator jet nearby, a third with one too far in pT or angle, a third with none."""
    rng = np.random.default_rng(7)
    pt, one, kind = rng.uniform(200, 900, N), np.ones(N, int), np.arange(N) % 3
    jet = {"pt": pt, "eta": rng.uniform(-2, 2, N), "phi": rng.uniform(-3, 3, N), "mass": pt / 5, "msoftdrop": pt / 6}
    distant = (kind == 1) & (rng.random(N) < 0.5)
    gen = {
        "pt": pt * np.where((kind == 1) & ~distant, 1.5, rng.uniform(0.9, 1.1, N)),
        "eta": jet["eta"] + np.where(distant, 0.5, 0.1),
        "phi": jet["phi"],
        "mass": pt / 5,
    }
    # beyond 32 bits, as CMS's event numbers may be
    event = (2**33 + rng.permutation(N)).astype(np.uint64)
    record = {
        "run": np.ones(N, np.uint32),
        "luminosityBlock": np.ones(N, np.uint32),
        "event": event,
        "fixedGridRhoFastjetAll": rng.uniform(5, 40, N),
        "FatJet": jagged(one, **jet, genJetAK8Idx=np.where(kind == 2, -1, 0)),
        "GenJetAK8": jagged(one, **gen),
    }
    path = tmp_path_factory.mktemp("jets") / "jets.root"
    with uproot.recreate(path) as out:
        types = {k: v.type.content if v.ndim > 1 else ak.to_numpy(ak.Array(v)).dtype for k, v in record.items()}
        out.mktree("Events", types, counter_name=lambda name: f"n{name}").extend(record)
    return chunk_of(path, stop=N, is_data=False), kind == 0


def smeared(chunk, era, direction=None, rows=slice(None), official=True):
    jets = jet_energy.calibrated_jets(
        chunk[rows], *era, ("jer",), is_data=False, official_smearing=official, smearing_direction=direction
    )
    return np.asarray(ak.flatten(jets.pt / chunk.FatJet.pt[rows]))


def flat(array):
    return np.asarray(ak.flatten(array), dtype=np.float64)


def test_matched_jets_are_scaled_and_others_smeared_as_the_hybrid_method_says(chunk, era):
    events, matched = chunk
    pt, gen = flat(events.FatJet.pt), flat(events.GenJetAK8.pt)
    found = {name: smeared(events, era, direction) for name, direction in (("nominal", None), ("up", "Up"))}
    for name, factors in found.items():
        s = FACTORS[name]
        expected = [1 + (s - 1) * (p - g) / p for p, g in zip(pt[matched], gen[matched], strict=True)]
        np.testing.assert_allclose(factors[matched], expected, rtol=1e-6)
    # one normal number a jet, whatever the scale factor
    numbers = [(found[name][~matched] - 1) / (SIGMA * math.sqrt(FACTORS[name] ** 2 - 1)) for name in found]
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-4, atol=1e-4)
    assert stats.kstest(numbers[0], "norm").pvalue > 1e-3
    # a scale factor below 1 cannot undo a resolution
    np.testing.assert_array_equal(smeared(events, era, "Down")[~matched], 1.0)


def assert_as_correctionlib_alone(official, events, matched, era, sigma, factor):
    columns = [flat(events.FatJet.pt), flat(events.FatJet.eta), np.where(matched, flat(events.GenJetAK8.pt), -1.0)]
    entropy = zip(*columns, events.fixedGridRhoFastjetAll, events.event, strict=True)
    expected = [
        official.evaluate(pt, eta, gen, float(rho), int(event), sigma, factor) for pt, eta, gen, rho, event in entropy
    ]
    np.testing.assert_allclose(smeared(events, era), expected, rtol=1e-6)


def test_the_file_called_directly_gives_the_same(chunk, era):
    file = correctionlib.CorrectionSet.from_file(str(era[1] / "jets.json"))
    assert_as_correctionlib_alone(file["JERSmear"], *chunk, era, SIGMA, FACTORS["nominal"])


def test_the_pogs_file_called_directly_gives_the_same(chunk, era, official_cache):
    """The official file by the names of the official era; resolution and scale factor stay those of this test."""
    official, _ = lookups.load_era("2016UL")
    path = official_cache / "2016postVFP" / official.files["jer_smear"].path
    here, folder = era
    files = here.files | {"jer_smear": official.files["jer_smear"]}
    corrections = here.corrections | {"jer_smear": official.corrections["jer_smear"]}
    # of this name, since that is where the cache has it
    mixed = here.model_copy(update={"name": "2016postVFP", "files": files, "corrections": corrections})
    smear = correctionlib.CorrectionSet.from_file(str(path))["JERSmear"]
    assert_as_correctionlib_alone(smear, *chunk, (mixed, folder), SIGMA, FACTORS["nominal"])


def test_chunks_and_order_do_not_change_the_official_smearing(chunk, era):
    events, _ = chunk
    whole, rows = smeared(events, era), np.array([900, 3, 77, 1499])
    np.testing.assert_array_equal(smeared(events, era, rows=rows), whole[rows])


def test_only_the_random_numbers_differ_from_ours(chunk, era):
    events, matched = chunk
    official, ours = smeared(events, era), smeared(events, era, official=False)
    np.testing.assert_allclose(official[matched], ours[matched], rtol=1e-6)
    assert (official[~matched] != ours[~matched]).mean() > 0.99
    assert np.std(official[~matched]) == pytest.approx(np.std(ours[~matched]), rel=0.1)


@pytest.mark.parametrize("jer", ["ours", "official"])
def test_the_yaml_says_who_smears(chunk, era, jer):
    events, _ = chunk
    processor = JetVariations()
    processor.era, processor.era_folder = era
    processor.analysis = analysis(jet_corrections=["jer"], jer=jer)
    found = np.asarray(ak.flatten(processor.calibrated_jets(events).pt / events.FatJet.pt))
    np.testing.assert_array_equal(found, smeared(events, era, official=jer == "official"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"jet_corrections": ["jer"]}, "jer: 'official' needs the correction 'jer_smear'.*era 'simulation' does not"),
        ({"era": "2016UL"}, r"jer: 'official' says how jets are smeared, so it needs 'jet_corrections: \[jer\]'"),
    ],
    ids=["era", "steps"],
)
def test_what_official_smearing_needs_is_said_before_any_work(tmp_path: Path, changes, message):
    metadata = {"process": "top", "is_data": False, "era": "simulation", "cross_section_pb": 1.0}
    (tmp_path / "fileset.json").write_text(json.dumps({"top": {"files": ["t.root"], "metadata": metadata}}))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content(jer="official", **changes)))
    with pytest.raises(ConfigError, match=message):
        resolve(load_analysis(tmp_path / "a.yaml"))


@pytest.mark.parametrize(
    "name", ["fixedGridRhoFastjetAll", "Rho_fixedGridRhoFastjetAll", "ScoutingRho_fixedGridRhoFastjetAll"]
)
def test_rho_is_found_under_its_names(tmp_path, name):
    """A correction that is rho itself: pT becomes raw pT x rho."""
    rho = np.array([2.0, 3.0, 5.0], np.float32)

    def change(record, _):
        record["FatJet"] = ak.with_field(record["FatJet"], ak.full_like(record["FatJet"].pt, 0.25), "rawFactor")
        record["FatJet"] = ak.with_field(record["FatJet"], ak.full_like(record["FatJet"].pt, 2.0), "area")
        del record["fixedGridRhoFastjetAll"]
        if name:
            record[name] = rho

    path = tmp_path / "jec.json"
    content = {"schema_version": 2, "corrections": [correction("rho", {"Rho": "real"}, formula("x", "Rho"))]}
    path.write_text(json.dumps(content))
    files = {"jec": CorrectionFile(path=path.name, sha256=sha256_of(path), source="this test")}
    spec = CorrectionSpec(file="jec", key="rho", inputs={"Rho": "rho"})
    era = Era(name="test", files=files, corrections={"jec": spec})
    chunk = chunk_of(toy_nano(tmp_path / "a.root", 3, change=change))
    found = jet_energy.calibrated_jets(chunk, era, tmp_path, ("jec",), is_data=False)
    np.testing.assert_allclose(found.pt / chunk.FatJet.pt, np.repeat(0.75 * rho[:, None], 2, axis=1), rtol=1e-6)
    name = ""
    missing = chunk_of(toy_nano(tmp_path / "none.root", 3, change=change))
    with pytest.raises(InputFileError, match=r"no branch 'fixedGridRhoFastjetAll' or .*'ScoutingRho_"):
        jet_energy.calibrated_jets(missing, era, tmp_path, ("jec",), is_data=False)
