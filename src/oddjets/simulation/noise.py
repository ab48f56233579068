"""A noisy calorimeter tower in files that were made: a fault of the detector, to see whether one finds it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import write_json
from oddjets.core.kinematics import offsets_from, positions
from oddjets.io.fileset import TREE
from oddjets.simulation.detector import DetectedCandidates
from oddjets.simulation.jets import FatJets, build_fat_jets
from oddjets.simulation.job_plan import DATA
from oddjets.simulation.nanoaod_layout import jagged
from oddjets.simulation.reconstruction import candidate_momenta, stored_candidates, stored_jets
from oddjets.simulation.tagger_inputs import tagging_inputs
from oddjets.simulation.taggers import load_taggers, tag
from oddjets.simulation.writer import write_nano

__all__ = ["NoisyTower", "add_noisy_tower", "with_noisy_tower"]

#: PDG code of neutral hadrons, as candidates have it
_NEUTRAL_HADRON = 130
#: edge of a tower, as in `oddjets.simulation.detector`
_EDGE = 0.087


@dataclass(frozen=True)
class NoisyTower:
    """A tower that shows energy that no particle has left.

    Attributes:
        eta: pseudorapidity of its middle.
        phi: azimuth of its middle.
        pt: smallest and largest pT of what it shows, GeV; uniform between them.
        fraction: part of the events in which it does so.
        files: the first and the last file of the data in which it does so, from 0.
        seed: of the events, and of the pT.
    """

    eta: float
    phi: float
    pt: tuple[float, float] = (80.0, 160.0)
    fraction: float = 0.5
    files: tuple[int, int] = (0, 10_000)
    seed: int = 1


def with_noisy_tower(
    simulation: Path,
    out: Path,
    tower: NoisyTower | None,
    *,
    files_per_run: int | None = None,
    without: Collection[str] = (),
) -> Path:
    """Copy the pseudo-data of a simulation, with a noisy tower in some of the files; templates stay where they are.

    Args:
        simulation: the folder of `oddjets simulate`, with ``fileset.json``.
        out: the folder for the new files and their ``fileset.json``; made if it does not exist.
        tower: the tower; None: there is none.
        files_per_run: so many files get a run number of their own, from 1, as runs of data have; None: the numbers stay.
        without: processes whose events are left out, as ``truth/`` knows them: what was injected, for instance.

    Returns:
        The path of the new ``fileset.json``.

    Raises:
        InputFileError: there is no simulation.
        OddjetsError: it has no pseudo-data.
    """
    listed = simulation / "fileset.json"
    try:
        fileset: dict[str, Any] = json.loads(listed.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(f"{listed}: no fileset of a simulation ({type(error).__name__})") from None
    if DATA not in fileset:
        raise OddjetsError(f"{listed}: has no pseudo-data, which a noisy tower could be in")
    for name, entry in fileset.items():
        files = {str((simulation / file).resolve()): tree for file, tree in entry["files"].items()}
        if name == DATA:
            files = {
                str(_copied(Path(file), number, out / DATA, tower, files_per_run, without).resolve()): tree
                for number, (file, tree) in enumerate(files.items())
            }
        entry["files"] = files
    write_json(out / "fileset.json", fileset)
    return out / "fileset.json"


def _copied(
    file: Path,
    number: int,
    folder: Path,
    tower: NoisyTower | None,
    files_per_run: int | None,
    without: Collection[str],
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with uproot.open(file) as opened:
        events = _collections(opened[TREE].arrays())
        runs = {name: values.to_numpy() for name, values in opened["Runs"].arrays(library="ak", how=dict).items()}
    if without:
        events = ak.to_packed(events[~np.isin(_processes(file, ak.to_numpy(events.event)), list(without))])
    if files_per_run is not None:
        events["run"] = np.full(len(events), 1 + number // files_per_run, np.uint32)
        runs["run"] = np.array([1 + number // files_per_run], np.uint32)
    changed = events if tower is None else _noisy(events, tower, number)
    write_nano(folder / file.name, [events[:0], changed], runs)
    return folder / file.name


def _noisy(events: ak.Array, tower: NoisyTower, number: int) -> ak.Array:
    """Return the events of a file, by its number, with the tower."""
    rng = np.random.default_rng([tower.seed, number])
    noisy = rng.random(len(events)) < tower.fraction * (tower.files[0] <= number <= tower.files[1])
    pt = rng.uniform(*tower.pt, len(events))
    place = rng.uniform(-_EDGE / 2, _EDGE / 2, (2, len(events)))
    return add_noisy_tower(events, noisy, pt, tower.eta + place[0], tower.phi + place[1])


def _processes(file: Path, numbers: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.str_]:
    """Return which process each event of a file was simulated as.

    Raises:
        InputFileError: nobody knows.
    """
    truth = file.parent.parent / "truth" / f"{file.stem}.npz"
    try:
        with np.load(truth, allow_pickle=False) as stored:
            known = dict(zip(stored["event"].tolist(), stored["process"].tolist(), strict=True))
        return np.array([known[number] for number in numbers.tolist()], np.str_)
    except (OSError, ValueError, KeyError) as error:
        raise InputFileError(f"{truth}: does not say what the events of {file} are ({type(error).__name__})") from None


def _collections(flat: ak.Array) -> ak.Array:
    """Return branches as the collections that `write_nano` takes."""
    counters = {name[1:] for name in flat.fields if name.startswith("n") and name[1:2].isupper()}
    found: dict[str, ak.Array] = {}
    for name in flat.fields:
        owner = next((c for c in sorted(counters, key=len, reverse=True) if name.startswith(f"{c}_")), None)
        if owner is not None and flat[name].ndim == 2:
            found.setdefault(owner, {})[name[len(owner) + 1 :]] = flat[name]
        elif not (name.startswith("n") and name[1:] in counters):
            found[name] = flat[name]
    return ak.zip({n: ak.zip(v) if isinstance(v, dict) else v for n, v in found.items()}, depth_limit=1)


def add_noisy_tower(
    events: ak.Array,
    noisy: npt.NDArray[np.bool_],
    pt: npt.NDArray[np.float64],
    eta: npt.NDArray[np.float64],
    phi: npt.NDArray[np.float64],
) -> ak.Array:
    """Add a neutral hadron to some events, and cluster their AK8 jets again from the candidates that are stored.

    Stored are the candidates of AK8 jets, so a tower far from all jets changes nothing; it makes no jet of its own below the
    170 GeV of stored jets. Trigger decisions stay.

    Args:
        events: as `oddjets.simulation.reconstruction.reconstruct` returns them, of pseudo-data.
        noisy: in which events, (n,).
        pt: of the neutral hadron, GeV, (n,).
        eta: its pseudorapidity, (n,).
        phi: its azimuth, (n,).
    """
    rows = np.flatnonzero(noisy)
    if not len(rows):
        return events
    candidates = _with_tower(events.PFCands[rows], pt[rows], eta[rows], (phi[rows] + np.pi) % (2 * np.pi) - np.pi)
    jets = build_fat_jets(candidate_momenta(candidates), candidates.offsets)
    changed = {
        "FatJet": stored_jets(jets, tag(tagging_inputs(candidates, jets), load_taggers()), {}),
        "PFCands": stored_candidates(candidates, jets),
        "FatJetPFCands": _links(jets),
    }
    order = np.arange(len(events))
    order[rows] = len(events) + np.arange(len(rows))
    for name, collection in changed.items():
        fields = events[name].fields
        both = ak.concatenate([events[name], ak.zip({field: collection[field] for field in fields})])
        events = ak.with_field(events, ak.to_packed(both[order]), name)
    return events


def _with_tower(stored: ak.Array, pt: Any, eta: Any, phi: Any) -> DetectedCandidates:
    """Return the candidates of some events, each with one more at the end."""
    neutral = {
        "pt": pt,
        "eta": eta,
        "phi": phi,
        "d0Err": -1.0,
        "dzErr": -1.0,
        "pdgId": _NEUTRAL_HADRON,
        "puppiWeight": 1.0,
    }
    n = len(stored)
    types = {"pdgId": np.int32, "charge": np.int32}

    def column(name: str) -> npt.NDArray[Any]:
        one = np.broadcast_to(np.asarray(neutral.get(name, 0.0)), (n,)).reshape(n, 1)
        kind = types.get(name, np.float32)
        both = ak.concatenate([stored[name], ak.from_regular(ak.Array(one.astype(kind)))], axis=1)
        return np.asarray(ak.to_numpy(ak.flatten(both)), kind)

    names = ("pt", "eta", "phi", "mass", "d0", "d0Err", "dz", "dzErr")
    offsets = offsets_from(ak.to_numpy(ak.num(stored.pt)) + 1)
    floats = {name: column(name) for name in names}
    return DetectedCandidates(offsets, floats, column("pdgId"), column("charge"), column("puppiWeight"))


def _links(jets: FatJets) -> ak.Array:
    """Return pairs of jet and candidate, as stored: the candidates of one jet after the other."""
    of_events, constituents = jets.clustered.event_offsets, jets.clustered.constituent_offsets
    counts = np.diff(constituents[of_events])
    number = np.arange(of_events[-1]) - np.repeat(of_events[:-1], np.diff(of_events))
    return jagged(counts, jetIdx=np.repeat(number, np.diff(constituents)), pFCandsIdx=positions(0, counts))
