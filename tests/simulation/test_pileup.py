"""Pileup: what is overlaid, what PUPPI takes away again, and what stays the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from oddjets.config.simulation import SimulationSpec
from oddjets.core.errors import OddjetsError
from oddjets.core.kinematics import momenta
from oddjets.simulation import pileup
from oddjets.simulation.detector import detect
from oddjets.simulation.generator import GeneratedBatch
from oddjets.simulation.job_plan import make_plan
from oddjets.simulation.pileup import PileupPool, load_pool, overlay, prepare_pool
from oddjets.simulation.reconstruction import reconstruct, stable_particles
from oddjets.simulation.run import simulate, simulate_block
from oddjets.simulation.vertices import find_vertices, from_primary_vertex


@pytest.fixture(scope="module", autouse=True)
def small_pools() -> object:
    """Few interactions without the diffractive ones, whose initialisation takes ten seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pileup, "POOL_SIZE", 120)
        patch.setattr(pileup, "MINIMUM_BIAS", ("SoftQCD:nonDiffractive = on",))
        yield patch


@pytest.fixture(scope="module")
def pool_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pythia8mc")
    return prepare_pool(tmp_path_factory.mktemp("pileup") / "pool.npz", 5)


@pytest.fixture(scope="module")
def pool(pool_file: Path) -> PileupPool:
    return load_pool(pool_file, 5)


NOTHING = PileupPool(
    np.zeros(2, np.int64),
    np.zeros(0, np.int32),
    np.zeros((0, 4), np.float32),
    np.zeros((0, 3), np.float32),
    np.zeros(1, np.int64),
)


def same(one: ak.Array, two: ak.Array, but: tuple[str, ...] = ()) -> bool:
    return one.fields == two.fields and all(
        one[name].to_list() == two[name].to_list() for name in one.fields if name not in but
    )


@pytest.mark.slow
def test_interactions_that_leave_nothing_change_no_bit(boosted_w: GeneratedBatch) -> None:
    without = reconstruct(boosted_w, np.random.default_rng(1), is_data=False)
    empty = reconstruct(boosted_w, np.random.default_rng(1), is_data=False, pool=NOTHING)
    assert same(without, empty, but=("PV_npvs", "Pileup_nTrueInt"))


def test_the_number_of_interactions_is_poisson_around_its_mean() -> None:
    n = 3000
    nobody = (np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros((0, 4)), np.zeros((0, 3)))
    for mean in (3.0, 25.0):
        numbers = np.diff(overlay(nobody, np.full(n, mean), NOTHING, np.random.default_rng(2)).offsets)
        assert numbers.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / n))
        assert numbers.var() == pytest.approx(mean, rel=4 * np.sqrt(2 / n))


def test_an_overlay_turns_mirrors_and_shifts_whole_interactions(pool: PileupPool) -> None:
    n, size = 300, int(pool.offsets[1])
    one = PileupPool(pool.offsets[:2], pool.ids[:size], pool.momenta[:size], pool.vertices[:size], pool.tracks[:1])
    hard = (np.arange(n + 1), np.full(n, 22, np.int32), np.tile([1.0, 0, 0, 1], (n, 1)), np.zeros((n, 3)))
    laid = overlay(hard, np.full(n, 3.0), one, np.random.default_rng(3))
    offsets, ids, p, vertices = laid.particles
    np.testing.assert_array_equal(p[offsets[:-1]], hard[2])  # the hard particle is first
    from_pileup = np.ones(len(ids), np.bool_)
    from_pileup[offsets[:-1]] = False
    shape = (len(laid.z), size)
    assert np.all(ids[from_pileup].reshape(shape) == one.ids)
    copies = p[from_pileup].reshape(*shape, 4)
    x, y, z, energy = one.momenta.astype(float).T
    np.testing.assert_allclose(copies[..., 3], np.broadcast_to(energy, shape))
    mirrored = np.sign(copies[:, 0, 2] / z[0])
    np.testing.assert_allclose(copies[..., 2], mirrored[:, None] * z)
    assert mirrored.mean() == pytest.approx(0, abs=4 / np.sqrt(len(mirrored)))
    # one angle an interaction, of all angles: complex numbers turn by multiplication
    turned = (copies[..., 0] + 1j * copies[..., 1]) / (x + 1j * y)
    np.testing.assert_allclose(turned, np.broadcast_to(turned[:, :1], shape), rtol=1e-9)
    np.testing.assert_allclose(np.abs(turned), 1)
    assert abs(turned[:, 0].mean()) < 4 / np.sqrt(len(turned))
    # production points move with their interaction, whose position is the difference of two in a spot of 3.65 cm
    shift = vertices[from_pileup].reshape(*shape, 3)[..., 2] - mirrored[:, None] * one.vertices[:, 2]
    np.testing.assert_allclose(shift, np.broadcast_to(10 * laid.z[:, None], shape), atol=1e-5)
    assert laid.z.std() == pytest.approx(3.65 * np.sqrt(2), rel=0.15)


def test_pileup_tracks_have_the_dz_of_their_vertex() -> None:
    n = 2000
    p = momenta(np.full(n, 5.0), np.full(n, 0.3), np.zeros(n), np.full(n, 0.1396))
    one = PileupPool(
        np.arange(2),
        np.array([211], np.int32),
        p[:1].astype(np.float32),
        np.zeros((1, 3), np.float32),
        np.ones(1, np.int64),
    )
    nobody = (np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros((0, 4)), np.zeros((0, 3)))
    laid = overlay(nobody, np.full(n, 1.0), one, np.random.default_rng(4))
    c = detect(*laid.particles, np.random.default_rng(5))
    event = np.repeat(np.arange(n), np.diff(c.offsets))
    single = np.diff(laid.offsets) == 1
    tracks = (c.charge != 0) & single[event]
    z = laid.z[laid.offsets[:-1][event[tracks]]]
    assert tracks.sum() > 500
    assert np.abs(c.floats["dz"][tracks] - z).max() < 6 * c.floats["dzErr"][tracks].max()


def test_tracks_of_the_hard_interaction_are_kept_and_those_of_pileup_are_not(
    boosted_w: GeneratedBatch, pool: PileupPool
) -> None:
    n = len(boosted_w.offsets) - 1
    hard = stable_particles(boosted_w)
    laid = overlay(hard, np.full(n, 23.0), pool, np.random.default_rng(6))
    others = find_vertices(laid)
    alone = detect(*hard, np.random.default_rng(7))
    kept = from_primary_vertex(alone, others)[alone.charge != 0]
    assert kept.mean() > 0.96
    both = detect(*laid.particles, np.random.default_rng(7))
    charged = both.charge != 0
    primary = from_primary_vertex(both, others) & charged
    assert not from_primary_vertex(both, others)[~charged].any()
    # what is taken for the hard interaction's beyond its own tracks, of all pileup tracks
    taken = primary.sum() - kept.sum()
    assert 0 < taken < 0.08 * (charged.sum() - len(kept))


def test_puppi_gives_the_jets_back(boosted_w: GeneratedBatch, pool: PileupPool) -> None:
    without = reconstruct(boosted_w, np.random.default_rng(8), is_data=False)
    overlaid = reconstruct(boosted_w, np.random.default_rng(8), is_data=False, pool=pool)
    assert ak.mean(overlaid.PV_npvs) > 8
    density = ak.mean(overlaid.fixedGridRhoFastjetAll)
    assert density > 5
    pt, mass = [], []
    for before, after in zip(without, overlaid, strict=True):
        for jet in range(min(2, len(before.FatJet.pt), len(after.FatJet.pt))):
            if abs(before.FatJet.eta[jet] - after.FatJet.eta[jet]) < 0.1 and before.FatJet.pt[jet] > 400:
                pt.append(after.FatJet.pt[jet] / before.FatJet.pt[jet])
                if before.FatJet.msoftdrop[jet] > 60:
                    mass.append(after.FatJet.msoftdrop[jet] / before.FatJet.msoftdrop[jet])
    # pileup alone, without PUPPI, would add density x area = 10 GeV at least: 2 % of pT and much more of mass
    assert np.median(pt) == pytest.approx(1, abs=0.015)
    assert np.median(mass) == pytest.approx(1, abs=0.04)


def test_weights_are_what_the_jets_are_made_with(boosted_w: GeneratedBatch, pool: PileupPool) -> None:
    events = reconstruct(boosted_w, np.random.default_rng(9), is_data=False, pool=pool)
    candidates = events.PFCands[events.FatJetPFCands.pFCandsIdx]
    weight = candidates.puppiWeight
    assert ak.all((weight > 0) & (weight <= 1))
    assert ak.all(weight[candidates.charge != 0] == 1)
    assert ak.any(weight < 1)
    px = weight * candidates.pt * np.cos(candidates.phi)
    py = weight * candidates.pt * np.sin(candidates.phi)
    jet = events.FatJetPFCands.jetIdx
    for index in range(2):
        total = np.hypot(ak.sum(px[jet == index], axis=1), ak.sum(py[jet == index], axis=1))
        np.testing.assert_allclose(total, events.FatJet.pt[:, index], rtol=2e-3)


SMALL = SimulationSpec(seed=3, luminosity=1.0, data_processes=("top",), templates={"top": 8}, pileup=True)


def contents(folder: Path) -> dict[str, list[object]]:
    return {path.name: uproot.open(path)["Events"].arrays().to_list() for path in sorted(folder.rglob("*.root"))}


@pytest.mark.slow
def test_a_file_made_again_alone_has_the_same_events(tables: Path, tmp_path: Path) -> None:
    shutil.copy(tables, tmp_path / "multiparton.dat")
    simulate(SMALL, tmp_path, workers=1)
    before = contents(tmp_path)
    assert any(weight < 1 for event in before["top-0000.root"] for weight in event["PFCands_puppiWeight"])  # type: ignore[index]
    # the pool is the same when it is made again
    (tmp_path / "pileup.npz").unlink()
    block = make_plan(SMALL)[-1]
    assert block.pileup_seed is not None
    prepare_pool(tmp_path / "pileup.npz", block.pileup_seed)
    (tmp_path / block.path).unlink()
    simulate_block(block, tmp_path)
    assert contents(tmp_path) == before


def test_the_pools_seed_is_nobody_elses() -> None:
    plan = make_plan(SMALL.model_copy(update={"templates": {"qcd": 500_000}}))
    (seed,) = {block.pileup_seed for block in plan}
    assert seed is not None
    assert seed not in {stream.pythia_seed for block in plan for stream in block.streams}
    without = make_plan(SMALL.model_copy(update={"pileup": False}))
    assert {block.pileup_seed for block in without} == {None}
    assert [block.streams for block in without] == [block.streams for block in make_plan(SMALL)]


def test_the_pool_of_another_simulation_is_refused(pool_file: Path, tmp_path: Path) -> None:
    assert len(load_pool(pool_file, 5).tracks) == 120
    with pytest.raises(OddjetsError, match="another simulation"):
        load_pool(pool_file, 7)
    with pytest.raises(OddjetsError, match="no pileup in"):
        load_pool(tmp_path / "absent.npz", 5)
