"""Corrections: numbers that depend on nothing but their inputs, and files that are what they say."""

import hashlib
import json

import numpy as np
import pytest

from oddjets.config.systematics import CorrectionSpec
from oddjets.core.errors import OddjetsError
from oddjets.core.files import sha256_of
from oddjets.corrections import lookups
from oddjets.corrections.lookups import CorrectionFile, Era


@pytest.fixture
def era(tmp_path):
    content = {
        "schema_version": 2,
        "corrections": [
            {
                "name": "double",
                "version": 1,
                "inputs": [{"name": "x", "type": "real"}, {"name": "direction", "type": "string"}],
                "output": {"name": "weight", "type": "real"},
                "data": {
                    "nodetype": "category",
                    "input": "direction",
                    "content": [
                        {
                            "key": k,
                            "value": {
                                "nodetype": "formula",
                                "expression": f"{f}*x",
                                "parser": "TFormula",
                                "variables": ["x"],
                            },
                        }
                        for k, f in (("nominal", 1), ("up", 2), ("down", 0.5))
                    ],
                },
            }
        ],
    }
    file = tmp_path / "c.json"
    file.write_text(json.dumps(content))
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    return Era(name="test", files={"c": CorrectionFile(path="c.json", sha256=sha, source="here")}), tmp_path


SPEC = CorrectionSpec(file="c", key="double", inputs={"x": "a + 1", "direction": "variation"})


def test_lookup_evaluates_inputs_as_expressions(era):
    columns = {"a": np.array([[1.0, 2.0], [3.0, 4.0]])}
    np.testing.assert_array_equal(lookups.weight(*era, SPEC, columns, "Up"), 2 * (columns["a"] + 1))
    np.testing.assert_array_equal(lookups.weight(*era, SPEC, columns, None), columns["a"] + 1)


def test_a_weight_of_branches_needs_no_file(era):
    spec = CorrectionSpec(nominal="w", up="w * 1.1", down="w / 1.1")
    np.testing.assert_allclose(lookups.weight(*era, spec, {"w": np.array([2.0])}, "Up"), [2.2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "d"}, "no correction file 'd'"),
        ({"key": "dubble"}, "did you mean 'double'"),
        ({"inputs": {"x": "a"}}, "'direction' is missing"),
    ],
)
def test_mistakes_in_a_correction_name_what_there_is(era, change, message):
    with pytest.raises(OddjetsError, match=message):
        lookups.weight(*era, SPEC.model_copy(update=change), {"a": np.ones(2)}, "Up")


@pytest.mark.parametrize(
    ("inputs", "variation", "said"),
    [
        ({"x": "a", "direction": "variation"}, "sideways", "sideways"),
        ({"x": "a", "direction": "a"}, "up", "Array arguments only allowed"),
        ({"x": "variation", "direction": "variation"}, "up", "x"),
    ],
)
def test_what_a_correction_refuses_names_it_and_its_file(era, inputs, variation, said):
    """A category that it does not have, numbers for a string, and a string for numbers."""
    spec = SPEC.model_copy(update={"inputs": inputs})
    with pytest.raises(OddjetsError, match=rf"correction 'double' of c\.json cannot be evaluated: .*{said}"):
        lookups.lookup(*era, spec, {"a": np.ones(3)}, variation)


def test_a_tampered_file_is_refused(era):
    description, folder = era
    (folder / "c.json").write_text((folder / "c.json").read_text() + " ")
    with pytest.raises(OddjetsError, match="sha256"):
        lookups.weight(description, folder, SPEC, {"a": np.ones(2)}, "Up")


def test_the_simulated_era_is_built_by_its_script(tmp_path):
    """The committed JSON is the one that its script makes, and the YAML knows its sha256."""
    import runpy
    import shutil

    era, folder = lookups.load_era("simulation")
    shutil.copy(folder / "build_simulation.py", tmp_path)
    runpy.run_path(str(tmp_path / "build_simulation.py"), run_name="__main__")
    assert sha256_of(tmp_path / "simulation.json") == era.files["simulation"].sha256


def test_pileup_weights_average_to_one():
    """Simulation is made like pseudo-data, whose mean number of interactions is uncertain by 4.6 %."""
    from oddjets.simulation.pileup_profile import draw_pileup

    era, folder = lookups.load_era("simulation")
    simulated, _ = draw_pileup(200_000, False, np.random.default_rng(1))
    data, _ = draw_pileup(200_000, True, np.random.default_rng(2))
    for direction, scale in ((None, 1.0), ("Up", 1.046), ("Down", 0.954)):
        weight = lookups.weight(era, folder, era.corrections["pu"], {"Pileup_nTrueInt": simulated}, direction)
        assert weight.mean() == pytest.approx(1, abs=0.01)
        assert np.average(simulated, weights=weight) == pytest.approx(scale * data.mean(), rel=0.005)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_input_that_is_not_finite_is_refused_and_its_event_named(era, value):
    columns = {"a": np.array([1.0, value, value, 2.0]), "run": np.full(4, 3), "luminosityBlock": np.array([1, 1, 1, 2])}
    columns["event"] = np.array([10, 11, 11, 12], np.uint64)
    with pytest.raises(
        lookups.NotFiniteError, match=r"a \+ 1 .* is not finite in 1 event\(s\), the first being 3:1:11"
    ):
        lookups.weight(*era, SPEC, columns, "Up")
    with pytest.raises(lookups.NotFiniteError, match=r"is not finite$"):
        lookups.weight(*era, SPEC, {"a": columns["a"]}, "Up")
    # of a jet and its event
    two = {name: np.stack([values] * 2, axis=1) for name, values in columns.items()}
    with pytest.raises(lookups.NotFiniteError, match=r"in 1 event\(s\), the first being 3:1:11"):
        lookups.weight(*era, SPEC, two, "Up")


def test_a_number_in_the_yaml_that_is_not_finite_is_refused(era):
    spec = SPEC.model_copy(update={"inputs": dict(SPEC.inputs) | {next(iter(SPEC.inputs)): float("nan")}})
    with pytest.raises(lookups.NotFiniteError, match="is not finite"):
        lookups.weight(*era, spec, {"a": np.ones(2)}, "Up")
