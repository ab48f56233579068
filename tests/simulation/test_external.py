"""Events of other generators: what their files say, what is refused, and that none is lost on the way to PFNano."""

from __future__ import annotations

import gzip
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from oddjets.core.errors import InputFileError, OddjetsError

pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")

from helpers.lhe import CROSS_SECTION_PB, DECAYS, write_hh

from oddjets.simulation.external import is_generator_file, read_generator_file, simulate_external
from oddjets.simulation.gen_particles import generator_jets, generator_particles
from oddjets.simulation.generator import GeneratedBatch, generate
from oddjets.simulation.lhe_files import read_lhe
from oddjets.simulation.processes import load_processes

EVENTS = 12


def _weight(number: int) -> float:
    """Weights of three sizes, each fourth negative; pb."""
    return (-1.0 if number % 4 == 3 else 1.0) * (1 + number % 3) * 1e-4


@pytest.fixture(scope="module")
def lhe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weighted events of HH."""
    return write_hh(tmp_path_factory.mktemp("lhe") / "hh.lhe", EVENTS, 3, strategy=-4, weight=_weight)


def test_an_lhe_file_says_beams_cross_section_and_weights(lhe: Path, tmp_path: Path) -> None:
    found = read_lhe(lhe)
    assert (found.beams, found.energy_TeV, found.strategy) == ((2212, 2212), 13.0, -4)
    assert found.cross_section_pb == CROSS_SECTION_PB
    weights = np.array([_weight(i) for i in range(EVENTS)])
    (block,) = found.blocks
    assert (block.events, block.negative) == (EVENTS, 3)
    assert [block.total, block.squares] == pytest.approx([weights.sum(), (weights**2).sum()])
    packed = tmp_path / "hh.lhe.gz"
    packed.write_bytes(gzip.compress(lhe.read_bytes()))
    assert read_generator_file(packed).blocks == found.blocks
    # with strategy 3 the sign alone counts
    signs = tmp_path / "signs.lhe"
    signs.write_text(lhe.read_text().replace(" 0 0 0 0 -4 1", " 0 0 0 0 -3 1"))
    assert read_lhe(signs).blocks[0].total == EVENTS - 6


@pytest.mark.fault(
    "An LHE or HepMC file that ends early, or without usable weights", "An error, before anything is simulated."
)
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</LesHouchesEvents>", "", "ends early, after event 12"),
        ("</event>\n</LesHouchesEvents>", "", "ends early, in event 12"),
        ("<LesHouchesEvents", "<html", "is no Les Houches event file"),
        ("<init>", "<other>", "no block <init>"),
        ("2212 2212 6500.", "11 -11 6500.", "its beams are 11 and -11"),
        (" 0 0 0 0 -4 1", " 0 0 0 0 1 1", "strategy 1"),
        (f"{CROSS_SECTION_PB} 1e-6", "0.0 1e-6", "cross section of 0 pb"),
        ("6500. 6500.", "6500.", "should have 10 numbers"),
        ("1.00000000e-04", "nan", "has the weight nan"),
        ("9999 1.00000000e-04", "9999 -9.00000000e-04", "add up to -"),
    ],
)
def test_damaged_lhe_files_are_refused(old: str, new: str, message: str, lhe: Path, tmp_path: Path) -> None:
    text = lhe.read_text()
    assert old in text
    file = tmp_path / "damaged.lhe"
    file.write_text(text.replace(old, new))
    with pytest.raises(InputFileError, match=message):
        read_lhe(file)


def test_an_lhe_file_that_is_cut_inside_its_packing(lhe: Path, tmp_path: Path) -> None:
    file = tmp_path / "cut.lhe.gz"
    file.write_bytes(gzip.compress(lhe.read_bytes())[:-200])
    with pytest.raises(InputFileError, match="cannot be read to its end"):
        read_lhe(file)


def test_all_events_of_an_lhe_file_reach_pfnano_with_their_weights(lhe: Path, tmp_path: Path) -> None:
    source = read_lhe(lhe)
    made = simulate_external(source, tmp_path, settings=DECAYS, seed=5)
    assert (made.events, made.lost) == (EVENTS, 0)
    with uproot.open(made.files[0]) as file:
        runs = file["Runs"].arrays(library="np")
        events = file["Events"].arrays(["genWeight", "event", "PSWeight", "LHEScaleWeight", "GenPart_pdgId"])
    assert len(events) == made.written > 0
    total = source.blocks[0]
    assert [runs[f"genEvent{name}"][0] for name in ("Count", "Sumw", "Sumw2")] == [EVENTS, total.total, total.squares]
    known = {abs(_weight(i)) for i in range(EVENTS)}
    assert all(any(abs(abs(w) - k) < 1e-9 for k in known) for w in events.genWeight.tolist())
    assert ak.all(ak.num(events.PSWeight) == 4)
    # how a file's matrix element depends on its scales is not known
    assert ak.all(ak.num(events.LHEScaleWeight) == 1)
    # Pythia has decayed the two Higgs bosons
    assert ak.all(ak.sum(abs(events.GenPart_pdgId) == 5, axis=1) >= 4)
    before = made.files[0].stat().st_mtime_ns
    assert simulate_external(source, tmp_path, settings=DECAYS, seed=5) == made
    assert made.files[0].stat().st_mtime_ns == before


def test_names_of_generator_files() -> None:
    assert [is_generator_file(Path(n)) for n in ("a.lhe", "a.lhe.gz", "a.hepmc", "a.hepmc3.gz", "a.root", "a.json.gz")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip
    with pytest.raises(InputFileError, match="no such file"):
        read_generator_file(Path("nowhere.lhe"))


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> GeneratedBatch:
    """Showered events of HH."""
    tables = tmp_path_factory.mktemp("tables") / "multiparton.dat"
    return next(generate(load_processes()["hh"], 3, 7, early_veto=False, tables=tables))


def _stable(batch: GeneratedBatch, event: int) -> np.ndarray:
    rows = slice(batch.offsets[event], batch.offsets[event + 1])
    final = batch.integers["status"][rows] > 0
    table = np.column_stack([batch.integers["id"][rows], batch.momenta[rows], batch.vertices[rows]])[final]
    return table[np.lexsort(table.T)]


def test_hepmc_gives_the_particles_that_pythia_gave(batch: GeneratedBatch, tmp_path: Path) -> None:
    pytest.importorskip("pyhepmc", reason="needs pyhepmc: pip install 'oddjets[hepmc]'")
    from helpers.hepmc import write_hepmc

    from oddjets.simulation.hepmc_files import read_batches

    number = len(batch.offsets) - 1
    weights = [2.0, -0.5, 1.5][:number]
    file = write_hepmc(tmp_path / "hh.hepmc", batch, weights, cross_section_pb=0.25)
    found = read_generator_file(file)
    assert (found.energy_TeV, found.cross_section_pb) == (pytest.approx(13.0), pytest.approx(0.25))
    assert [found.blocks[0].total, found.blocks[0].squares] == pytest.approx([sum(weights), sum(w**2 for w in weights)])
    parts = list(read_batches(file, 2))
    assert [part.tried for part in parts] == ([2, 1] if number == 3 else [number])
    events = [(part, i) for part in parts for i in range(len(part.offsets) - 1)]
    for event, (part, i) in enumerate(events):
        np.testing.assert_array_equal(_stable(part, i), _stable(batch, event))
        assert part.weights is not None
        assert part.weights[i] == weights[event]
    # generator jets and the resonances' decays are found in the record, too
    whole = parts[0]
    first = slice(0, len(whole.offsets) - 1)
    assert ak.to_list(generator_jets(whole).jets.pt) == [
        pytest.approx(jets, rel=1e-5) for jets in ak.to_list(generator_jets(batch).jets.pt[first])
    ]
    ours, theirs = generator_particles(whole), generator_particles(batch)[first]
    assert ak.to_list(ak.sort(ours.pdgId)) == ak.to_list(ak.sort(theirs.pdgId))
    quark, other = ours[abs(ours.pdgId) == 5], theirs[abs(theirs.pdgId) == 5]
    mothers = [part.pdgId[part.genPartIdxMother[abs(part.pdgId) == 5]] for part in (ours, theirs)]
    assert ak.to_list(ak.sort(mothers[0])) == ak.to_list(ak.sort(mothers[1]))
    assert ak.to_list(ak.num(quark)) == ak.to_list(ak.num(other))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("HepMC::Asciiv3-END_EVENT_LISTING", ""), "ends early"),
        (lambda text: text[: len(text) // 2], "ends early"),
        (lambda text: "hello\n" + text, "is no HepMC file"),
        (lambda text: text.replace("\nE 1 ", "\nE 1 9", 1), r"event 2 of \d cannot be read"),
    ],
)
def test_damaged_hepmc_files_are_refused(spoil: object, message: str, batch: GeneratedBatch, tmp_path: Path) -> None:
    pytest.importorskip("pyhepmc", reason="needs pyhepmc: pip install 'oddjets[hepmc]'")
    from helpers.hepmc import write_hepmc

    file = write_hepmc(tmp_path / "hh.hepmc", batch, [1.0] * (len(batch.offsets) - 1))
    assert callable(spoil)
    file.write_text(spoil(file.read_text()))
    with pytest.raises(InputFileError, match=message):
        read_generator_file(file)


def test_hepmc_without_weights_or_hadrons_is_refused(batch: GeneratedBatch, tmp_path: Path) -> None:
    pytest.importorskip("pyhepmc", reason="needs pyhepmc: pip install 'oddjets[hepmc]'")
    from helpers.hepmc import write_hepmc

    from oddjets.simulation.hepmc_files import HepmcFile, read_batches

    with pytest.raises(InputFileError, match="event 1 has no weight"):
        read_generator_file(write_hepmc(tmp_path / "bare.hepmc", batch, None))
    partons = batch._replace(
        integers={**batch.integers, "id": np.where(batch.integers["status"] > 0, 21, batch.integers["id"])}
    )
    file = write_hepmc(tmp_path / "partons.hepmc", partons, [1.0] * (len(batch.offsets) - 1), cross_section_pb=None)
    found = read_generator_file(file)
    assert isinstance(found, HepmcFile)
    assert found.cross_section_pb is None
    with pytest.raises(InputFileError, match="quarks or gluons among its final particles"):
        next(read_batches(file))
    with pytest.raises(OddjetsError, match="--pythia has no effect on HepMC"):
        simulate_external(found, tmp_path / "out", settings=DECAYS)
