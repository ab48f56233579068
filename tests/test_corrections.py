"""Corrections: numbers that depend on nothing but their inputs, and files that are what they say."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from oddjets import corrections
from oddjets.config import CorrectionSpec
from oddjets.corrections import CorrectionFile, Era
from oddjets.errors import OddjetsError


def test_random_numbers_are_standard_normal_and_independent():
    n = 20_000
    event = np.arange(n)
    one = corrections.standard_normal(np.ones(n), np.ones(n), event, 1, "jmr")
    assert stats.kstest(one, "norm").pvalue > 1e-3
    for other in (
        corrections.standard_normal(np.ones(n), np.ones(n), event, 2, "jmr"),
        corrections.standard_normal(np.ones(n), np.ones(n), event, 1, "jer"),
        corrections.standard_normal(np.ones(n), 2 * np.ones(n), event, 1, "jmr"),
    ):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(n)


@given(st.permutations(range(12)))
def test_random_numbers_do_not_depend_on_order_or_neighbours(order):
    event = np.arange(12)
    whole = corrections.standard_normal(np.ones(12), np.ones(12), event, 1, "jmr")
    order = np.array(order)
    np.testing.assert_array_equal(
        corrections.standard_normal(np.ones(12), np.ones(12), event[order], 1, "jmr"), whole[order]
    )
    np.testing.assert_array_equal(corrections.standard_normal(np.ones(1), np.ones(1), event[3:4], 1, "jmr"), whole[3:4])


def test_mass_resolution_widens_and_narrows_about_the_generated_mass():
    mass, gen = np.array([[90.0, 70.0]]), np.array([[80.0, 80.0]])
    up = corrections.mass_resolution(mass, gen, +1, 0.02, np.zeros((1, 2)))
    down = corrections.mass_resolution(mass, gen, -1, 0.02, np.zeros((1, 2)))
    # m' = m + (s - 1)(m - m_gen)
    np.testing.assert_allclose(up, [[90.2, 69.8]])
    np.testing.assert_allclose(down, [[89.8, 70.2]])


def test_mass_resolution_without_a_match_smears_up_only():
    mass, gen, noise = np.array([[100.0, 100.0]]), np.full((1, 2), np.nan), np.array([[1.0, -1.0]])
    up = corrections.mass_resolution(mass, gen, +1, 0.02, noise)
    np.testing.assert_allclose(up, 100 * (1 + 0.1 * np.sqrt(1.02**2 - 1) * noise))
    np.testing.assert_array_equal(corrections.mass_resolution(mass, gen, -1, 0.02, noise), mass)


def test_groomed_gen_mass_is_that_of_the_two_subjets():
    # two massless subjets: m^2 = 2 pt1 pt2 (cosh d_eta - cos d_phi)
    subjets = {"pt": [400.0, 100.0, 50.0], "eta": [0.1, 0.3, 2.0], "phi": [3.1, -3.1, 0.0], "mass": [0.0, 0.0, 0.0]}
    d_phi = 2 * np.pi - 6.2
    expected = np.sqrt(2 * 400 * 100 * (np.cosh(0.2) - np.cos(d_phi)))
    found = corrections.groomed_gen_mass(
        np.array([[0.1, np.nan]]),
        np.array([[3.1, np.nan]]),
        {k: np.array(v) for k, v in subjets.items()},
        np.array([0, 3]),
    )
    assert found[0, 0] == pytest.approx(expected)
    assert np.isnan(found[0, 1])


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
    np.testing.assert_array_equal(corrections.weight(*era, SPEC, columns, "Up"), 2 * (columns["a"] + 1))
    np.testing.assert_array_equal(corrections.weight(*era, SPEC, columns, None), columns["a"] + 1)


def test_a_weight_of_branches_needs_no_file(era):
    spec = CorrectionSpec(nominal="w", up="w * 1.1", down="w / 1.1")
    np.testing.assert_allclose(corrections.weight(*era, spec, {"w": np.array([2.0])}, "Up"), [2.2])


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
        corrections.weight(*era, SPEC.model_copy(update=change), {"a": np.ones(2)}, "Up")


def test_a_tampered_file_is_refused(era):
    description, folder = era
    (folder / "c.json").write_text((folder / "c.json").read_text() + " ")
    with pytest.raises(OddjetsError, match="sha256"):
        corrections.weight(description, folder, SPEC, {"a": np.ones(2)}, "Up")


def test_the_simulated_era_is_built_by_its_script(tmp_path):
    """The committed JSON is the one that its script makes, and the YAML knows its sha256."""
    import runpy
    import shutil

    era, folder = corrections.load_era("simulation")
    shutil.copy(folder / "build_simulation.py", tmp_path)
    runpy.run_path(str(tmp_path / "build_simulation.py"), run_name="__main__")
    assert corrections.sha256_of(tmp_path / "simulation.json") == era.files["simulation"].sha256


def test_pileup_weights_average_to_one():
    """Simulation is made like pseudo-data, whose mean number of interactions is uncertain by 4.6 %."""
    from oddjets.simulation.conditions import draw_pileup

    era, folder = corrections.load_era("simulation")
    simulated, _ = draw_pileup(200_000, False, np.random.default_rng(1))
    data, _ = draw_pileup(200_000, True, np.random.default_rng(2))
    for direction, scale in ((None, 1.0), ("Up", 1.046), ("Down", 0.954)):
        weight = corrections.weight(era, folder, era.corrections["pu"], {"Pileup_nTrueInt": simulated}, direction)
        assert weight.mean() == pytest.approx(1, abs=0.01)
        assert np.average(simulated, weights=weight) == pytest.approx(scale * data.mean(), rel=0.005)
