"""One small simulation, made once a session and shared by the tests of this folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import pytest
import uproot

from oddjets.simulation.run import simulate
from oddjets.simulation.spec import SimulationSpec

SPEC = SimulationSpec(
    seed=11,
    luminosity=1.0,
    inject={"top": 10.0},
    blocks=2,
    templates={"qcd": 600, "top": 120, "wjets": 300, "hh": 60},
)


@dataclass(frozen=True)
class Sample:
    """A finished simulation."""

    folder: Path
    fileset: dict[str, Any]

    def files(self, dataset: str) -> list[Path]:
        return [self.folder / name for name in self.fileset[dataset]["files"]]

    def events(self, dataset: str) -> ak.Array:
        """All branches of a dataset, flat names."""
        return ak.concatenate([uproot.open(path)["Events"].arrays() for path in self.files(dataset)])


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")
    folder = tmp_path_factory.mktemp("simulation")
    fileset = simulate(SPEC, folder, workers=1)
    return Sample(folder, json.loads(fileset.read_text()))
