"""The tight ID where a file does not store it."""

import awkward as ak
import correctionlib.schemav2 as cs
import numpy as np
import pytest

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import sha256_of
from oddjets.corrections.jet_identification import CRITERIA, passes_criteria, with_tight_id
from oddjets.corrections.lookups import Era

INPUTS = ("eta", "chHEF", "neHEF", "chEmEF", "neEmEF", "muEF", "chMultiplicity", "neMultiplicity")
GOOD = {
    "eta": 0.5,
    "chHEF": 0.6,
    "neHEF": 0.1,
    "chEmEF": 0.05,
    "neEmEF": 0.2,
    "muEF": 0.0,
    "chMultiplicity": 20,
    "neMultiplicity": 15,
}
ERA = Era(name="test", jet_id="2016UL")


def jets_of(*changes):
    """One event a jet."""
    rows = [GOOD | change for change in changes]
    kinds = {
        name: "uint8" if name == "chMultiplicity" else "int16" if name == "neMultiplicity" else "float32"
        for name in INPUTS
    }
    return ak.zip(
        {name: ak.values_astype(ak.Array([[row[name]] for row in rows]), kind) for name, kind in kinds.items()}
    )


def tight(jets, era=ERA, folder=None, eta_max=2.5):
    found, computed = with_tight_id(ak.Array([{}]), jets, era, folder, eta_max)
    assert computed == len(jets)
    return (ak.flatten(found.jetId) & 2 != 0).to_list()


# cuts as in the tables of CMSSW's PFJetIDSelectionFunctor, each just passed and just failed
@pytest.mark.parametrize(
    ("era", "change", "passed"),
    [
        ("2016UL", {}, True),
        ("2016UL", {"neHEF": 0.895}, True),
        ("2016UL", {"neHEF": 0.905}, False),
        ("2016UL", {"neEmEF": 0.905}, False),
        ("2016UL", {"chHEF": 0.0}, False),
        ("2016UL", {"chMultiplicity": 0}, False),
        ("2016UL", {"chMultiplicity": 1, "neMultiplicity": 0}, False),
        ("2016UL", {"chMultiplicity": 255, "neMultiplicity": 0}, True),
        ("2016UL", {"eta": -2.45, "chHEF": 0.0, "neHEF": 0.97, "chMultiplicity": 0}, True),
        ("2016UL", {"eta": -2.45, "neHEF": 0.985}, False),
        ("2018UL", {"eta": -2.45, "chHEF": 0.0}, False),
        ("2018UL", {"eta": 2.65, "chHEF": 0.0, "neHEF": 0.89, "neEmEF": 0.985}, True),
        ("2017UL", {"eta": 2.65, "neHEF": 0.91}, False),
        ("Run3", {"neHEF": 0.95}, True),
        ("Run3", {"neHEF": 0.995}, False),
        ("Run3", {"chHEF": 0.009}, False),
        ("Run3", {"eta": 2.8}, False),
        ("Run3", {"neHEF": np.nan}, False),
    ],
)
def test_the_criteria_of_an_era(era, change, passed):
    assert tight(jets_of(change), Era(name="test", jet_id=era)) == [passed]


def test_every_era_that_a_yaml_may_name_has_criteria():
    allowed = Era.model_json_schema()["properties"]["jet_id"]["anyOf"][0]["enum"]
    assert sorted(CRITERIA) == sorted(allowed)


def test_a_stored_id_is_left_as_it_is():
    jets = ak.zip({"jetId": ak.Array([[6, 0], [2]])})
    found, computed = with_tight_id(ak.Array([{}]), jets, ERA, None, 2.5)
    assert computed == 0
    assert found.jetId.to_list() == [[6, 0], [2]]


@pytest.mark.fault(
    "Branch missing in one of many files", "Without jetId, names the branches that computing the tight ID needs."
)
def test_what_is_lacking_to_compute_it_is_named():
    with pytest.raises(
        InputFileError, match="no branch 'FatJet_jetId', and no FatJet_neHEF, FatJet_chMultiplicity to compute"
    ):
        with_tight_id(
            ak.Array([{}]), jets_of({})[[n for n in INPUTS if n not in ("neHEF", "chMultiplicity")]], ERA, None, 2.5
        )


def test_an_era_without_criteria_is_an_error_that_says_what_to_give():
    with pytest.raises(OddjetsError, match=r"era 'bare' has no criteria .* 'jet_id' \(2016UL, .*jetid.json.gz"):
        with_tight_id(ak.Array([{}]), jets_of({}), Era(name="bare"), None, 2.5)


def test_beyond_the_criteria_is_an_error():
    with pytest.raises(OddjetsError, match=r"selection.jets.eta_max: 3.0 is beyond 2.7"):
        with_tight_id(ak.Array([{}]), jets_of({}), ERA, None, 3.0)


@pytest.fixture
def pog_file(tmp_path):
    """A file with the inputs of jetid.json.gz, and cuts of 2016 UL within abs(eta) of 2.4 in another way than ours."""
    inputs = [*INPUTS, "multiplicity"]

    def category(name, edge, below, above):
        return cs.Binning(
            nodetype="binning", input=name, edges=["-inf", edge, "inf"], content=[below, above], flow="error"
        )

    neutral = category("neHEF", 0.9, category("neEmEF", 0.9, 1.0, 0.0), 0.0)
    charged = category("chMultiplicity", 0.5, 0.0, category("multiplicity", 1.5, 0.0, neutral))
    correction = cs.Correction(
        name="AK8PUPPI_Tight",
        version=1,
        inputs=[cs.Variable(name=name, type="real") for name in inputs],
        output=cs.Variable(name="passed", type="real"),
        data=category("chHEF", 1e-9, 0.0, charged),
    )
    path = tmp_path / "jetid.json"
    path.write_text(cs.CorrectionSet(schema_version=2, corrections=[correction]).model_dump_json(exclude_unset=True))
    return path


def test_the_pogs_file_takes_precedence_and_agrees_with_the_built_in_criteria(pog_file):
    era = Era.model_validate(
        {
            "name": "test",
            "jet_id": "Run3",
            "files": {"jetid": {"path": pog_file.name, "sha256": sha256_of(pog_file), "source": "this test"}},
            "corrections": {
                "jet_id": {
                    "file": "jetid",
                    "key": "AK8PUPPI_Tight",
                    "inputs": {name: name for name in (*INPUTS, "multiplicity")},
                }
            },
        }
    )
    rng = np.random.default_rng(4)
    numbers = {name: rng.integers(0, 4, 300) for name in ("chMultiplicity", "neMultiplicity")}
    fractions = {name: rng.choice([0.0, 0.3, 0.89, 0.91, 0.99], 300) for name in ("chHEF", "neHEF", "neEmEF")}
    columns = {**numbers, **fractions}
    jets = jets_of(*({name: values[i] for name, values in columns.items()} for i in range(300)), {"neHEF": np.nan})
    found = tight(jets, era, pog_file.parent)
    flat = {name: ak.to_numpy(ak.flatten(jets[name])) for name in INPUTS}
    assert found == passes_criteria(CRITERIA["2016UL"], flat).tolist()
    assert 0 < sum(found) < 300
    assert found != passes_criteria(CRITERIA["Run3"], flat).tolist()
