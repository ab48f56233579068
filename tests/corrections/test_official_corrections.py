"""The official corrections of 2016 UL, by the names of our YAML, against their published numbers."""

import numpy as np
import pytest

from oddjets.corrections import lookups
from oddjets.corrections.working_point import working_point


@pytest.fixture
def era(official_cache):
    return lookups.load_era("2016UL")


def value(era, name, variation=None, **columns):
    description, folder = era
    arrays = {k: np.atleast_1d(np.asarray(v, dtype=float)) for k, v in columns.items()}
    return lookups.lookup(description, folder, description.corrections[name], arrays, variation)


def test_energy_scale_uncertainty(era):
    pt = [200, 450, 600, 1000, 2000]
    found = 100 * value(era, "jes", pt=pt, eta=[0.5] * 5)
    # in percent; the file says 0.735 at 1 TeV, which is quoted as 0.74
    np.testing.assert_allclose(found, [0.80, 0.69, 0.69, 0.74, 0.83], atol=0.0055)


def test_resolution_and_its_scale_factor(era):
    assert value(era, "jer_resolution", pt=450, eta=0.5, rho=20)[0] == pytest.approx(0.063, abs=0.0005)
    factors = [value(era, "jer_scale_factor", v, eta=0.2)[0] for v in ("nom", "up", "down")]
    np.testing.assert_allclose(factors, [1.0993, 1.1125, 1.0861], atol=5e-5)


def test_energy_corrections_of_data_and_simulation_differ_by_little(era):
    jet = {"area": 2.0, "eta": 0.5, "pt_raw": 500.0, "rho": 20.0}
    simulation, data = value(era, "jec", **jet)[0], value(era, "jec_data", **jet)[0]
    assert 1.0 < simulation < 1.15
    assert data == pytest.approx(simulation, rel=0.03)
    assert data != simulation


def test_btag_working_point(era):
    description, folder = era
    assert working_point(description, folder) == pytest.approx(0.5847, abs=1e-9)


def test_pileup_up_moves_data_to_more_interactions(era):
    n = np.arange(1, 70)
    few, many = n < 15, n > 35
    nominal, up, down = (value(era, "pu", v, Pileup_nTrueInt=n) for v in ("nominal", "up", "down"))
    assert (up[many] > nominal[many]).all()
    assert (nominal[many] > down[many]).all()
    assert down[few].sum() > nominal[few].sum() > up[few].sum()


def test_veto_map_has_holes_and_is_mostly_empty(era):
    eta, phi = (a.ravel() for a in np.meshgrid(np.linspace(-2.4, 2.4, 200), np.linspace(-3.1, 3.1, 200)))
    vetoed = value(era, "jet_veto_map", "jetvetomap", eta=eta, phi=phi) > 0
    assert 0 < vetoed.mean() < 0.1


def test_every_official_file_is_the_one_that_the_era_names(era, shared_dir):
    description, folder = era
    for name in description.files:
        assert lookups.verified_path(description, folder, name).is_file()
