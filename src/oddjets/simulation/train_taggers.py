"""The training of the emulated taggers: ``python -m oddjets.simulation.train_taggers OUT.json [SCALE]``.

Jets come from Pythia with seeds of this program's own (900 000 000 - 1, downwards; a simulation's seeds are hashes, so
one of them meets these with a probability of 1e-7 a file). Half of the jets train, the other half sets the working points
and measures.

- b tag: jets with a b hadron (X to bb, top, QCD) against all others; weights make both classes equal;
- X: QCD against a scalar of 60 to 200 GeV that decays to bb, cc or ss, so that its mass tells nothing.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import awkward as ak
import numpy as np
import numpy.typing as npt

from oddjets.core.console import console
from oddjets.core.kinematics import offsets_from, pt_eta_phi
from oddjets.simulation.detector import detect
from oddjets.simulation.flavour import heavy_hadrons
from oddjets.simulation.gen_particles import generator_particles, match
from oddjets.simulation.generator import generate, prepare_multiparton_tables
from oddjets.simulation.jets import FatJets, build_fat_jets
from oddjets.simulation.processes import SimulatedProcess, load_processes
from oddjets.simulation.reconstruction import candidate_momenta, stable_particles
from oddjets.simulation.tagger_inputs import INPUTS, tagging_inputs
from oddjets.simulation.taggers import X_CLASSES, Network, Taggers

__all__ = ["main"]

Floats = npt.NDArray[np.float64]

_MASSES = (60, 90, 125, 160, 200)  # GeV
_MIN_PT, _MIN_MASS = 400.0, 40.0  # GeV
_TRIES = {"qcd": 60_000, "top": 1200, "X": 300}
_HIDDEN, _EPOCHS, _BATCH, _RATE = 32, 60, 256, 3e-3
_FIRST_SEED = 899_999_999


class _TaggedJets(NamedTuple):
    inputs: Floats
    #: index in X_CLASSES; -1: a top or another resonance
    label: npt.NDArray[np.int64]
    flavour: npt.NDArray[np.int32]


def main(arguments: list[str]) -> None:
    """Train and write the taggers.

    Args:
        arguments: the output file and, if not 1, a factor for the numbers of events.
    """
    scale = float(arguments[1]) if len(arguments) > 1 else 1.0
    with tempfile.TemporaryDirectory() as folder:
        tables = prepare_multiparton_tables(Path(folder) / "multiparton.dat")
        samples = [
            _jets(process, int(scale * tries), _FIRST_SEED - k, label, tables)
            for k, (process, tries, label) in enumerate(_samples())
        ]
    jets = _TaggedJets(*(np.concatenate(columns) for columns in zip(*samples, strict=True)))
    console.print(f"{len(jets.label)} jets")
    train = np.random.default_rng(1).random(len(jets.label)) < 0.5
    mean, width = jets.inputs[train].mean(axis=0), jets.inputs[train].std(axis=0) + 1e-6
    x = (jets.inputs - mean) / width
    is_b = (jets.flavour == 5).astype(np.int64)
    btag = _train(x[train], is_b[train], ("other", "b"), 1)
    resonant = train & (jets.label >= 0)
    tagger = _train(x[resonant], jets.label[resonant], X_CLASSES, 2)

    test, qcd = ~train, jets.label == 0
    logits = btag.logits(x)
    difference = logits[:, 1] - logits[:, 0]
    light = difference[test & qcd & (jets.flavour == 0)]
    thresholds = tuple(float(np.quantile(light, 1 - mistag)) for mistag in (0.1, 0.01, 0.001))
    scores = tagger.logits(x)
    bb, b_jets = test & (jets.label == X_CLASSES.index("Xbb")), test & qcd & (jets.flavour == 5)
    ratio = scores[:, 1] - scores[:, 0]  # P(Xbb) / (P(Xbb) + P(QCD)) is monotone in it
    cut = np.quantile(ratio[bb], 0.5)
    description = {
        "made by": "python -m oddjets.simulation.train_taggers, Pythia and detector of this version",
        "training": f"{int(train.sum())} jets, pT > {_MIN_PT:g} GeV, soft-drop mass > {_MIN_MASS:g} GeV, early veto on",
        "working points": f"set on {len(light)} light jets of QCD",
        "b tag at medium": f"{np.mean(difference[bb] > thresholds[1]):.3f} of X to bb, "
        f"{np.mean(difference[b_jets] > thresholds[1]):.3f} of {int(b_jets.sum())} QCD jets with b hadrons",
        "Xbb at 50 % of X to bb": f"{np.mean(ratio[test & qcd] > cut):.4f} of QCD jets, "
        f"{np.mean(ratio[test & (jets.label == X_CLASSES.index('Xcc'))] > cut):.3f} of X to cc",
    }
    taggers = Taggers(
        description=description,
        inputs=INPUTS,
        mean=_rounded(mean),
        width=_rounded(width),
        btag=btag,
        x=tagger,
        btag_thresholds=(thresholds[0], thresholds[1], thresholds[2]),
    )
    Path(arguments[0]).write_text(taggers.model_dump_json() + "\n", encoding="utf-8")
    for name, value in description.items():
        console.print(f"{name}: {value}")


def _samples() -> list[tuple[SimulatedProcess, int, int]]:
    """Return process, tries and class of each sample."""
    known = load_processes()
    samples = [(known["qcd"], _TRIES["qcd"], 0), (known["top"], _TRIES["top"], -1)]
    for label, quark in ((1, 5), (2, 4), (3, 3)):
        for mass in _MASSES:
            lines = (*known["hh"].pythia, "35:m0 = 1300.", "35:mWidth = 250.", f"25:m0 = {mass}.", "25:mMin = 20.")
            decay = ("25:onMode = off", f"25:onIfMatch = {quark} -{quark}")
            update = {"pythia": (*lines, *decay), "mass_acceptance": None}
            samples.append((known["hh"].model_copy(update=update), _TRIES["X"], label))
    return samples


def _jets(process: SimulatedProcess, tries: int, seed: int, label: int, tables: Path) -> _TaggedJets:
    """Jets of a sample; of resonances those that hold one."""
    console.print(f"{process.name}: {tries} tries")
    rng = np.random.default_rng(seed)
    parts = []
    for batch in generate(process, tries, seed, early_veto=True, tables=tables):
        candidates = detect(*stable_particles(batch), rng)
        jets = build_fat_jets(candidate_momenta(candidates), candidates.offsets)
        pt, eta, phi = pt_eta_phi(jets.clustered.momenta)
        chosen = (pt > _MIN_PT) & (np.abs(eta) < 2.4) & (jets.groomed.mass > _MIN_MASS)
        if label > 0:
            chosen &= _holds_higgs(jets, eta, phi, generator_particles(batch))
        labels = np.full(int(chosen.sum()), label)
        parts.append(
            _TaggedJets(
                tagging_inputs(candidates, jets)[chosen], labels, heavy_hadrons(batch, jets)["hadronFlavour"][chosen]
            )
        )
    return _TaggedJets(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _holds_higgs(jets: FatJets, eta: Floats, phi: Floats, particles: ak.Array) -> npt.NDArray[np.bool_]:
    higgs = particles[(particles.pdgId == 25) & ((particles.statusFlags >> 13) & 1 == 1)]
    offsets = offsets_from(ak.to_numpy(ak.num(higgs)))
    columns = (ak.to_numpy(ak.flatten(higgs[name])) for name in ("eta", "phi"))
    return np.asarray(match(jets.clustered.event_offsets, eta, phi, offsets, *columns)) >= 0


def _train(x: Floats, labels: npt.NDArray[np.int64], classes: tuple[str, ...], seed: int) -> Network:
    """Minimise the cross entropy, every class with the same total weight, by Adam (arXiv:1412.6980)."""
    rng = np.random.default_rng(seed)
    sizes = (x.shape[1], _HIDDEN, _HIDDEN, len(classes))
    parameters = [rng.normal(0, np.sqrt(2 / a), (a, b)) for a, b in itertools.pairwise(sizes)]
    parameters += [np.zeros(b) for b in sizes[1:]]
    first, second = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    weight = (len(labels) / len(classes) / np.bincount(labels, minlength=len(classes)))[labels]
    target = np.eye(len(classes))[labels]
    step = 0
    for epoch in range(_EPOCHS):
        rate = _RATE * 0.5 * (1 + np.cos(np.pi * epoch / _EPOCHS))
        order = rng.permutation(len(labels))
        for rows in np.array_split(order, max(1, len(order) // _BATCH)):
            step += 1
            gradients = _gradients(parameters, x[rows], target[rows], weight[rows])
            for k, gradient in enumerate(gradients):
                first[k] = 0.9 * first[k] + 0.1 * gradient
                second[k] = 0.999 * second[k] + 0.001 * gradient**2
                scale = np.sqrt(second[k] / (1 - 0.999**step)) + 1e-8
                parameters[k] = parameters[k] - rate * first[k] / (1 - 0.9**step) / scale
    layers = len(sizes) - 1
    weights = [[_rounded(row) for row in matrix] for matrix in parameters[:layers]]
    return Network(classes=classes, weights=weights, biases=[_rounded(b) for b in parameters[layers:]])


def _gradients(parameters: list[Floats], x: Floats, target: Floats, weight: Floats) -> list[Floats]:
    layers = len(parameters) // 2
    values = [x]
    for k in range(layers):
        y = values[-1] @ parameters[k] + parameters[layers + k]
        values.append(np.maximum(y, 0) if k < layers - 1 else y)
    probability = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    delta = (probability - target) * weight[:, None] / len(x)
    gradients: list[Floats] = [np.zeros(0)] * (2 * layers)
    for k in reversed(range(layers)):
        gradients[k], gradients[layers + k] = values[k].T @ delta, delta.sum(axis=0)
        if k:
            delta = (delta @ parameters[k].T) * (values[k] > 0)
    return gradients


def _rounded(values: Floats) -> list[float]:
    """Round to six digits: enough for a tagger, and a small file."""
    return [float(f"{value:.6g}") for value in values]


if __name__ == "__main__":
    main(sys.argv[1:])
