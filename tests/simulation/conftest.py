"""Boosted resonances, made once a test process."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def resonances(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulation of W, Z, H and top quarks."""
    pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")
    from oddjets.simulation.run import simulate
    from oddjets.simulation.spec import SimulationSpec

    folder = tmp_path_factory.mktemp("resonances")
    simulate(SimulationSpec(seed=21, templates={"wz_4q": 120, "top": 400, "hh": 350}), folder, workers=1)
    return folder
