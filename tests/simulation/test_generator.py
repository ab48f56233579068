"""Pythia's set-up: exact tries, errors that help."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest

from oddjets.config.simulation import SimulationSpec
from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import invariant_mass
from oddjets.simulation.generator import generate, prepare_multiparton_tables
from oddjets.simulation.processes import load_processes
from oddjets.simulation.run import simulate
from oddjets.simulation.writer import write_nano


def test_tries_add_up_and_the_veto_drops_most(tables: Path) -> None:
    batches = list(generate(load_processes()["qcd"], 450, 1, early_veto=True, tables=tables))
    assert sum(b.tried for b in batches) == 450
    assert 0 < sum(len(b.offsets) - 1 for b in batches) < 100


def test_without_veto_every_try_is_an_event_and_momentum_is_conserved(tables: Path) -> None:
    (batch,) = generate(load_processes()["top"], 5, 1, early_veto=False, tables=tables)
    assert len(batch.offsets) == 6
    for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        final = batch.integers["status"][a:b] > 0
        np.testing.assert_allclose(batch.momenta[a:b][final].sum(axis=0), [0, 0, 0, 13_000], atol=0.1)


def test_accept_reject_gives_the_stated_spectrum_and_counts_every_try(tables: Path) -> None:
    bare = [f"PartonLevel:{step} = off" for step in ("ISR", "FSR", "MPI", "Remnants")]
    settings = (*load_processes()["hh"].pythia, *bare, "HadronLevel:all = off", "Check:event = off")
    hh = load_processes()["hh"].model_copy(update={"pythia": settings})
    tries = 1500
    batches = list(generate(hh, tries, 3, early_veto=False, tables=tables))
    assert sum(b.tried for b in batches) == tries
    masses = np.concatenate([invariant_mass(b.momenta[b.integers["id"] == 35]) for b in batches])
    accepted = 0.8627  # processes.yaml
    assert len(masses) / tries == pytest.approx(accepted, abs=4 * np.sqrt(accepted * (1 - accepted) / tries))
    # events of the standard model's spectrum (see processes.yaml) in 900-1000, 1000-1200, 1200-1500 GeV and above
    expected = np.array([15320, 10997, 3528, 841]) / 30686
    found = np.histogram(masses, bins=[900, 1000, 1200, 1500, 3000])[0] / len(masses)
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / len(masses)))


def test_a_misspelt_pythia_setting_is_named(tables: Path) -> None:
    wrong = load_processes()["top"].model_copy(update={"pythia": ("Top:gg2tbar = on",)})
    with pytest.raises(OddjetsError, match="does not know the setting 'Top:gg2tbar = on'"):
        next(generate(wrong, 1, 1, early_veto=False, tables=tables))


def test_a_missing_pythia_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    with pytest.raises(OddjetsError, match=r"pip install 'oddjets\[simulate\]'"):
        simulate(SimulationSpec(templates={"top": 1}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_data_folder_is_named(tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHIA8DATA", str(tmp_path / "nowhere"))
    with pytest.raises(OddjetsError, match=r"data folder .*nowhere.*unset PYTHIA8DATA"):
        next(generate(load_processes()["top"], 1, 1, early_veto=False, tables=tables))


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OddjetsError, match="No space left on device; finished files are kept"):
        write_nano(tmp_path / "x.root", [ak.zip({"event": np.arange(3)})], {"run": np.array([1])})
    assert not list(tmp_path.iterdir())


def test_tables_can_lie_in_a_folder_whose_name_has_blanks(tables: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my search for top"
    folder.mkdir()
    made = prepare_multiparton_tables(folder / "multiparton.dat")
    assert made.read_bytes() == tables.read_bytes()
