"""Fixtures that more than one test module uses."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# small fits are slower with threads, and the test processes share the cores; before NumPy is imported
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import awkward as ak
import pytest
import uproot
from helpers import analyses
from hypothesis import HealthCheck, settings

from oddjets.selection import closure_measurement

# how long an example takes says how busy the machine is
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

REPOSITORY = Path(__file__).resolve().parent.parent


#: tests of the closure's parts themselves
MEASURING = ("test_closure_measurement.py", "test_mixing.py", "test_abcd.py")


@pytest.fixture(scope="module", autouse=True)
def few_pairs_of_jets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the stage `closure` make few pairs of jets and replicas, but where its numbers are tested: it costs seconds."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in MEASURING:
            defaults = closure_measurement.measure_closure.__kwdefaults__
            assert defaults is not None
            patch.setitem(defaults, "pairs", 2000)
            patch.setattr(closure_measurement, "REPLICAS", 20)
        yield


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder beside the checkout with the real CMS file and the official corrections; absent on most machines."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the folder {folder.name}/ beside the checkout (real CMS file, official corrections)")
    return folder


def _real_file(shared_dir: Path, name: str) -> Path:
    file = shared_dir / "data" / "cms" / name
    if not file.is_file():
        pytest.skip(f"needs the real CMS file {name}")
    return file


@pytest.fixture(scope="session")
def cms_file(shared_dir: Path) -> Path:
    """Ten simulated CMS events with 2017 conditions, from a real file."""
    return _real_file(shared_dir, "pfnano.root")


@pytest.fixture(scope="session")
def nanoaod_v15_file(shared_dir: Path) -> Path:
    """The 200 simulated events of top pairs in NanoAODv15 that coffea tests with; it has no tree Runs."""
    return _real_file(shared_dir, "nano_tt_v15.root")


@pytest.fixture
def official_cache(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds the official corrections of 2016 UL, as `oddjets fetch` would have filled it."""
    if not (shared_dir / "data" / "pog").is_dir():
        pytest.skip("needs the official corrections in shared/data/pog")
    cache = tmp_path_factory.mktemp("cache")
    (cache / "2016postVFP").symlink_to(shared_dir / "data" / "pog")
    monkeypatch.setenv("ODDJETS_CACHE", str(cache))
    return cache


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one test process at a time in."""
    lock = folder.with_suffix(".lock")
    for _ in range(3000):
        try:
            lock.mkdir()
            break
        except FileExistsError:
            time.sleep(0.2)
    else:
        raise TimeoutError(f"{lock} is held for more than ten minutes")
    try:
        yield
    finally:
        lock.rmdir()


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
def sample(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Sample:
    """One small simulation, made once and shared by all test processes."""
    pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")
    from oddjets.config.simulation import SimulationSpec
    from oddjets.simulation.run import simulate

    spec = SimulationSpec(
        seed=11,
        luminosity=1.0,
        inject={"top": 10.0},
        blocks=2,
        templates={"qcd": 600, "top": 120, "wjets": 300, "hh": 60},
    )
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "simulation"
    with only_one(folder):
        # finished files are found and kept
        fileset = simulate(spec, folder, workers=1)
        content = json.loads(fileset.read_text(encoding="utf-8"))
        subset = {name: content[name] for name in ("data", "top")}
        (folder / "subset.json").write_text(json.dumps(subset), encoding="utf-8")
    return Sample(folder, content)


@pytest.fixture
def simulated_content(sample: Sample) -> dict[str, Any]:
    """An analysis of the pseudo-data and top pairs of the small simulation, as data."""
    return analyses.of_simulation(sample.folder)
