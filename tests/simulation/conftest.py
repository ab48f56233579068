"""Boosted resonances, made once a test process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oddjets.simulation.generator import GeneratedBatch


@pytest.fixture(scope="session")
def resonances(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulation of W, Z, H and top quarks."""
    pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")
    from oddjets.config.simulation import SimulationSpec
    from oddjets.simulation.run import simulate

    folder = tmp_path_factory.mktemp("resonances")
    simulate(SimulationSpec(seed=21, templates={"wz_4q": 120, "top": 400, "hh": 120}), folder, workers=1)
    return folder


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pythia's tables of multiparton interactions."""
    pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")
    from oddjets.simulation.generator import prepare_multiparton_tables

    return prepare_multiparton_tables(tmp_path_factory.mktemp("tables") / "multiparton.dat")


@pytest.fixture(scope="session")
def boosted_w(tables: Path) -> GeneratedBatch:
    """Some W + jet events before the detector."""
    from oddjets.simulation.generator import generate
    from oddjets.simulation.processes import load_processes

    (batch,) = generate(load_processes()["wjets"], 400, 9, early_veto=True, tables=tables)
    return batch
