"""The signal side of a rescoring: its files, cross section, era and energy, and what of them does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.config.per_era import eras_of
from oddjets.core.errors import InputFileError, OddjetsError, nearest, nearest_file
from oddjets.core.files import sha256_of, write_json
from oddjets.corrections.lookups import Era, load_era
from oddjets.io.beams import beam_energy, is_ours
from oddjets.io.fileset import load_fileset
from oddjets.simulation.external import ExternalSample, is_generator_file, read_generator_file, simulate_external
from oddjets.workflow.rescoring.options import RescoreOptions

__all__ = ["SignalSample", "prepare_sample"]

#: the era, and the energy in TeV, of our own detector and of `oddjets simulate`
SIMULATION, OUR_ENERGY = "simulation", 13.0
#: relative difference of energies that are the same
SAME_ENERGY = 1e-3
_FILESETS = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class SignalSample:
    """A signal as a fileset that the analysis can read.

    Attributes:
        fileset: the file of it.
        kind: what the events were, in words.
        cross_section_pb: of all generated events.
        cross_section_from: who says so.
        energy_TeV: of the beams; None: no file says it.
        forced: in what the sample is another one than the analysis's, in words; only with ``force``.
        notes: what else must be known.
        source: name and sha256 of the file of events, where there is one.
        detector: the simulation of our detector, where it was made here.
    """

    fileset: Path
    kind: str
    cross_section_pb: float
    cross_section_from: str
    energy_TeV: float | None
    forced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: Mapping[str, str] = field(default_factory=dict)
    detector: ExternalSample | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON can hold them, without folders of this machine."""
        made = self.detector
        return {
            **{k: v for k, v in vars(self).items() if k not in ("fileset", "detector", "source")},
            "forced": list(self.forced),
            "notes": list(self.notes),
            "source": dict(self.source),
            "detector": None
            if made is None
            else {"generator": made.generator, "events": made.events, "lost": made.lost, "written": made.written},
        }


@dataclass
class _Found:
    """A sample while it is looked at."""

    datasets: dict[str, dict[str, Any]]
    kind: str
    cross_section: tuple[float, str]
    energy: float | None
    era: str
    differing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    source: dict[str, str] = field(default_factory=dict)
    detector: ExternalSample | None = None


def prepare_sample(
    analysis: Analysis, eras: Mapping[str, tuple[Era, Path]], options: RescoreOptions, out: Path
) -> SignalSample:
    """Find a signal's files, or simulate the detector for its events, and write a fileset of them.

    Args:
        analysis: that the signal goes through.
        eras: its eras, by the names that it has for them.
        options: what is asked.
        out: the folder of the results; simulated files go into ``simulation/`` there.

    Raises:
        InputFileError: no such file, or one that cannot be read or ends early.
        OddjetsError: no cross section, no era, several processes; another era, energy or detector, without ``force``.
    """
    options.check()
    source = options.source
    if not source.exists():
        names = [p.name for p in source.parent.iterdir()] if source.parent.is_dir() else []
        raise InputFileError(f"{source}: no such file or folder; {nearest_file(source.name, names)}".rstrip("; "))
    if is_generator_file(source):
        found = _of_generator(analysis, eras, options, out)
    elif any(source.name.removesuffix(".gz").endswith(ending) for ending in _FILESETS):
        found = _of_fileset(analysis, options)
        _refuse_others(found, analysis, eras, options)
    else:
        found = _of_root(analysis, options)
        _refuse_others(found, analysis, eras, options)
    if options.pythia and not is_generator_file(source):
        raise OddjetsError(f"--pythia: has no effect on {source.name}, which is simulated already; leave it out")
    if found.differing:
        said = f"--force: {'; '.join(found.differing)}"
        for entry in found.datasets.values():
            entry["metadata"]["note"] = f"{entry['metadata'].get('note') or ''} {said}".strip()
    file = out / "signal.json"
    out.mkdir(parents=True, exist_ok=True)
    write_json(file, found.datasets)
    return SignalSample(
        fileset=file,
        kind=found.kind,
        cross_section_pb=found.cross_section[0],
        cross_section_from=found.cross_section[1],
        energy_TeV=found.energy,
        forced=tuple(found.differing),
        notes=tuple(found.notes),
        source=found.source,
        detector=found.detector,
    )


def _refuse_others(
    found: _Found, analysis: Analysis, eras: Mapping[str, tuple[Era, Path]], options: RescoreOptions
) -> None:
    """Note or refuse a sample of another energy, era or detector."""
    if found.energy is None:
        found.notes.append(
            f"no file says the energy of its beams: it is taken to be the analysis's, {_energy(eras):g} TeV"
        )
    elif abs(found.energy / _energy(eras) - 1) > SAME_ENERGY:
        found.differing.append(f"its beams have {found.energy:g} TeV, and those of the analysis {_energy(eras):g} TeV")
    if found.differing and not options.force:
        raise OddjetsError(
            f"{options.source}: does not belong to '{analysis.name}': {'; '.join(found.differing)}. Its acceptance and"
            " templates would be those of other collisions; give a sample that belongs to the analysis, or"
            " --force, which every output will say"
        )


def _energy(eras: Mapping[str, tuple[Era, Path]]) -> float:
    return next(iter(eras.values()))[0].energy_TeV


def _name_of(era: str, beside: Path) -> str:
    with suppress(OddjetsError):
        return load_era(era, beside)[0].name
    return era


def _single_era(analysis: Analysis, options: RescoreOptions) -> str:
    asked = eras_of(analysis)
    if len(asked) > 1:
        raise OddjetsError(
            f"{options.source}: '{analysis.name}' has the eras {', '.join(asked)}, and one sample is of one of them: give a"
            " fileset with a dataset of each (docs/rescoring.md)"
        )
    return asked[0]


def _refuse_process(options: RescoreOptions) -> None:
    if options.process is not None:
        raise OddjetsError(
            f"--process: says which process of a fileset is meant, and {options.source.name} is none; leave it out"
        )


def _check_era(found: _Found, analysis: Analysis, ours: str, era: str) -> None:
    """Note a sample of another era, and give it the analysis's."""
    if _name_of(era, analysis.folder) != _name_of(ours, analysis.folder):
        what = "simulated with oddjets' own detector" if era == SIMULATION else f"of era '{era}'"
        found.differing.append(f"it is {what}, and the analysis of era '{ours}'")


def _of_generator(
    analysis: Analysis, eras: Mapping[str, tuple[Era, Path]], options: RescoreOptions, out: Path
) -> _Found:
    """Shower LHE, or read HepMC, and simulate our detector."""
    _refuse_process(options)
    ours = _single_era(analysis, options)
    if options.era not in (None, SIMULATION):
        raise OddjetsError(
            f"--era {options.era}: {options.source.name} goes through oddjets' own detector, which is of era"
            f" '{SIMULATION}'; leave --era out"
        )
    read = read_generator_file(options.source)
    stated = (read.cross_section_pb, "the file") if read.cross_section_pb is not None else None
    section = _cross_section(options, stated)
    found = _Found({}, "", section, read.energy_TeV, SIMULATION)
    _check_era(found, analysis, ours, SIMULATION)
    # before minutes of simulation
    _refuse_others(found, analysis, eras, options)
    pileup = analysis.simulate is not None and analysis.simulate.pileup
    made = simulate_external(
        read,
        out / "simulation",
        settings=options.pythia,
        seed=options.seed,
        pileup=pileup,
        workers=options.workers or analysis.execution.processes,
    )
    found.kind = made.generator
    found.detector = made
    found.source = {"file": options.source.name, "sha256": sha256_of(options.source)}
    if made.lost:
        found.notes.append(f"Pythia could not shower {made.lost} of {made.events} events: they count as not selected")
    names = list(getattr(read, "weight_names", ()))
    if len(names) > 1:
        found.notes.append(f"of the {len(names)} weights of an event the first, '{names[0]}', is used")
    if not made.written:
        raise OddjetsError(
            f"{options.source}: no event of {made.events} has two AK8 jets above 300 GeV in oddjets' detector, so that none is"
            " selected; the signal is out of this search's reach, or has particles that Pythia does not know and leaves whole"
            " and unseen: their decays belong into the file, or into an SLHA block of its header"
        )
    files = {str(file.resolve()): "Events" for file in made.files}
    found.datasets = {
        options.name: {"files": files, "metadata": _metadata(options.name, ours, section, made.generator)}
    }
    return found


def _metadata(process: str, era: str, section: tuple[float, str], generator: str) -> dict[str, Any]:
    return {
        "process": process,
        "is_data": False,
        "era": era,
        "cross_section_pb": section[0],
        "cross_section_source": section[1],
        "generator": generator,
    }


def _cross_section(options: RescoreOptions, stated: tuple[float, str] | None) -> tuple[float, str]:
    if options.cross_section is not None:
        return options.cross_section, "--cross-section"
    if stated is None:
        raise OddjetsError(
            f"{options.source}: does not state its cross section, without which it has no normalisation; give --cross-section,"
            " pb, of all generated events (branching ratios and efficiencies of filters included)"
        )
    return stated


def _of_fileset(analysis: Analysis, options: RescoreOptions) -> _Found:
    """Take the simulated datasets of one process from a fileset."""
    datasets = {n: d for n, d in load_fileset(options.source).items() if not d.metadata.is_data}
    known = list(dict.fromkeys(d.metadata.process for d in datasets.values()))
    if not known:
        raise OddjetsError(f"{options.source}: has no simulated dataset, and a signal is one")
    if options.process is None and len(known) > 1:
        raise OddjetsError(
            f"{options.source}: has several processes; say with --process which is the signal: {', '.join(known)}"
        )
    process = options.process or known[0]
    if process not in known:
        raise OddjetsError(f"--process: {options.source} has no process '{process}'; {nearest(process, known)}")
    chosen = {name: d for name, d in datasets.items() if d.metadata.process == process}
    if options.cross_section is not None and len(chosen) > 1:
        raise OddjetsError(
            f"--cross-section: the signal has {len(chosen)} datasets ({', '.join(chosen)}), each with its own; correct them in"
            f" {options.source}"
        )
    total = sum(float(d.metadata.cross_section_pb or 0) * d.metadata.k_factor for d in chosen.values())
    eras = list(dict.fromkeys(d.metadata.era for d in chosen.values()))
    if len(eras) > 1:
        # the same cross section in each era
        total /= len(eras)
    section = _cross_section(options, (total, f"the fileset, {', '.join(chosen)}"))
    energies = [_energy_of_file(d.files[0]) for d in chosen.values()]
    generators = list(dict.fromkeys(d.metadata.generator for d in chosen.values() if d.metadata.generator))
    found = _Found({}, "; ".join(generators) or "simulated files", section, energies[0], eras[0])
    ours = eras_of(analysis)
    if options.era is not None and options.era != eras[0]:
        found.differing.append(f"--era says '{options.era}', and its fileset '{eras[0]}'")
    if len(ours) == 1:
        _check_era(found, analysis, ours[0], eras[0])
    for name, dataset in chosen.items():
        metadata = dataset.metadata.model_dump(mode="json", exclude_unset=True) | {"process": options.name}
        if len(ours) == 1:
            metadata["era"] = ours[0]
        if options.cross_section is not None:
            metadata |= {"cross_section_pb": section[0], "k_factor": 1.0, "cross_section_source": section[1]}
        found.datasets[name] = {"files": dict.fromkeys(dataset.files, "Events"), "metadata": metadata}
    return found


def _of_root(analysis: Analysis, options: RescoreOptions) -> _Found:
    """Take a ROOT file, or those of a folder."""
    source = options.source
    _refuse_process(options)
    files = sorted(source.rglob("*.root")) if source.is_dir() else [source]
    if not files:
        raise InputFileError(f"{source}: there is no ROOT file in this folder")
    ours = _single_era(analysis, options)
    section = _cross_section(options, None)
    readable = True
    try:
        made_here = is_ours(str(files[0]))
    except Exception:  # uproot raises many kinds; what is wrong with the file is said when it is processed
        made_here, readable = False, False
    era = SIMULATION if made_here else options.era
    if era is None and readable:
        raise OddjetsError(
            f"{source}: NanoAOD does not say for which era it was simulated; say it with --era (the analysis is of '{ours}')"
        )
    era = era or ours
    found = _Found({}, "oddjets simulation" if made_here else "PFNano or NanoAOD", section, None, era)
    found.energy = _energy_of_file(str(files[0]))
    if made_here and options.era not in (None, SIMULATION):
        found.differing.append(f"--era says '{options.era}', and the file was made by `oddjets simulate`")
    _check_era(found, analysis, ours, era)
    found.datasets = {
        options.name: {
            "files": {str(file.resolve()): "Events" for file in files},
            "metadata": _metadata(options.name, ours, section, found.kind),
        }
    }
    if len(files) == 1:
        found.source = {"file": source.name, "sha256": sha256_of(files[0])}
    return found


def _energy_of_file(path: str) -> float | None:
    """Return the energy of the beams as a file of events tells it; what is wrong with the file is said later."""
    try:
        return OUR_ENERGY if is_ours(path) else beam_energy(path)
    except Exception:  # uproot raises many kinds
        return None
