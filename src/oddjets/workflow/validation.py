"""Validation of an analysis: all errors at once, before any work is done.

`load_analysis` checks the form of the YAML; here the names in it are checked against what they name: processes, regions,
cuts of the processor, observables, scores, systematics, files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from oddjets.config.analysis import Analysis, check_analysis, files_of
from oddjets.config.fit import Fit
from oddjets.config.per_era import eras_of
from oddjets.config.yaml import ConfigError
from oddjets.config.yaml_lines import with_lines
from oddjets.core.errors import OddjetsError, nearest
from oddjets.core.expressions import names_in
from oddjets.corrections import jet_energy, lookups
from oddjets.corrections.systematics import with_defaults, with_score_systematics
from oddjets.io import fileset
from oddjets.io.fileset_search import find_fileset
from oddjets.io.histograms import DATA
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import load_card
from oddjets.selection import processor_loader, region_products
from oddjets.selection.decorators import jet_variations_of
from oddjets.selection.processor import DijetProcessor
from oddjets.simulation.processes import check_processes
from oddjets.workflow.aspen_validation import aspen_problems
from oddjets.workflow.bank_validation import bank_problems, why_unused
from oddjets.workflow.combination_validation import combined_score_problems, no_data_problems
from oddjets.workflow.cut_validation import column_problems, cut_problems
from oddjets.workflow.dataset_eras import dataset_problems
from oddjets.workflow.era_validation import era_problems, load_eras, nuisance_names, of_each, with_eras
from oddjets.workflow.file_validation import file_problems
from oddjets.workflow.hold_out import held_out_problems, with_held_out
from oddjets.workflow.score_validation import card_problems, cards_of, score_problems
from oddjets.workflow.score_variation_validation import score_variation_problems
from oddjets.workflow.systematic_validation import stored_systematic_problems, systematic_problems

__all__ = ["ResolvedAnalysis", "resolve", "validated"]


@dataclass(frozen=True)
class ResolvedAnalysis:
    """An analysis with its processor, era and model cards loaded.

    Attributes:
        analysis: what was asked; each systematic's kind is filled in.
        source: the processor's file.
        processor: the class in it.
        eras: the corrections: era, as the analysis names it, to what it is and where its relative paths start.
        cards: score name to model card file.
    """

    analysis: Analysis
    source: processor_loader.ProcessorSource
    processor: type[DijetProcessor]
    eras: dict[str, tuple[lookups.Era, Path]]
    cards: dict[str, Path]

    @property
    def era(self) -> lookups.Era:
        """The corrections; of several eras, those of the first."""
        return next(iter(self.eras.values()))[0]

    @property
    def era_folder(self) -> Path:
        """The folder in which relative paths of `era` start."""
        return next(iter(self.eras.values()))[1]

    @property
    def columns_of_models(self) -> dict[str, frozenset[str]]:
        """The columns that models of jet columns read, by score."""
        cards = {name: load_card(file) for name, file in self.cards.items()}
        return {name: card.columns_read for name, card in cards.items() if isinstance(card, ColumnCard)}

    def why_bank_unused(self) -> str:
        """Return why the closure is not measured on the bank that the analysis names; "" if it is, or if it names none."""
        if self.analysis.closure is None:
            return ""
        try:
            processor = self.processor(self.analysis, self.era, self.era_folder, {})
        except Exception:  # a user's own may want something else; who runs it says so
            return ""
        return why_unused(self.analysis, self.cards, processor)


def resolve(
    analysis: Analysis, selection: type[DijetProcessor] | None = None, *, place: str = "", recorded: bool = False
) -> ResolvedAnalysis:
    """Check every name and return what they mean.

    Args:
        analysis: what was asked.
        selection: the processor's class, in place of the one in the file that the YAML names.
        place: what the message is headed by; by default the analysis's file.
        recorded: whether the tail probabilities that scores are combined by are known, so that no data are needed for them.

    Raises:
        ConfigError: with all errors, each with its place and the nearest valid name.
    """
    problems: list[str] = []
    source = processor = None
    try:
        source = processor_loader.find_processor(analysis.processor, analysis.folder)
        processor = selection or source.load()
    except OddjetsError as error:
        problems.append(f"processor: {error}")
    eras = load_eras(analysis, problems)
    readable = not problems or len(eras) == len(eras_of(analysis))
    if readable:
        problems += era_problems(analysis, eras)
    fitting = not any(problem.startswith("era: ") for problem in problems)
    found_cards = cards_of(analysis, problems)
    card_files = {name: file for name, (file, _) in found_cards.items()}
    cards = {name: card for name, (_, card) in found_cards.items()}
    problems += score_problems(analysis, cards)
    of_scores = list(score_variation_problems(analysis, cards))
    problems += of_scores
    analysis = analysis if of_scores else with_score_systematics(analysis)
    problems += _input_problems(analysis, eras if fitting else {})
    problems += bank_problems(analysis)
    problems += aspen_problems(analysis, cards)
    problems += _name_problems(analysis)
    problems += combined_score_problems(analysis, processor, eras, recorded=recorded)
    if processor is not None:
        problems += cut_problems(analysis, processor)
        for era, era_folder in list(eras.values())[:1]:
            problems += column_problems(analysis, processor, era, era_folder, cards)
            problems += card_problems(analysis, processor, era, era_folder, cards)
        if analysis.npz is None:
            problems += systematic_problems(analysis, jet_variations_of(processor), eras)
            problems += _selection_problems(analysis)
            for asked, era in of_each(analysis, eras):
                problems += _correction_problems(asked, era)
        else:
            problems += stored_systematic_problems(analysis)
    if fitting and not problems:
        analysis = with_eras(analysis, eras)
        problems += _parameter_problems(analysis)
    problems = list(dict.fromkeys(problems))
    if problems:
        shown = with_lines(problems, files_of(analysis.path)) if analysis.path is not None and not place else None
        raise ConfigError.of_problems(place or str(analysis.path or analysis.name), problems, shown)
    assert source is not None
    assert processor is not None
    moving = jet_variations_of(processor)
    systematics = tuple(with_defaults(s, moves_jets=s.name in moving or s.kind == "jets") for s in analysis.systematics)
    analysis = analysis.model_copy(update={"systematics": systematics})
    if analysis.fit is not None and analysis.fit.abcd != "as-published":
        era, era_folder = next(iter(eras.values()))
        analysis = _with_cells(analysis, analysis.fit, processor(analysis, era, era_folder, {}))
    return ResolvedAnalysis(analysis, source, processor, eras, card_files)


def validated(path: Path) -> ResolvedAnalysis:
    """Read an analysis and check it whole: errors of form and of names in one message.

    Args:
        path: its YAML.

    Raises:
        ConfigError: with all errors, each with its place, its line and the nearest valid name.
    """
    checked = check_analysis(path)
    problems = list(checked.lines)
    if checked.model is not None:
        eras = load_eras(checked.model, [])
        problems += [
            p for p in file_problems(checked.model, eras, _processor_of(checked.model)) if not checked.follows(p)
        ]
        problems += no_data_problems(checked.model)
    try:
        if checked.model is not None:
            resolved = resolve(checked.model)
    except ConfigError as error:
        if not error.problems and not problems:
            raise
        problems += [problem for problem in error.problems if not checked.follows(problem)]
    problems = [checked.as_written(problem) for problem in dict.fromkeys(problems)]
    if problems:
        raise ConfigError.of_problems(str(path), problems, with_lines(problems, files_of(path)))
    return resolved


def _processor_of(analysis: Analysis) -> type[DijetProcessor] | None:
    """Return the processor's class; None if it cannot be imported, which `resolve` says."""
    try:
        return processor_loader.find_processor(analysis.processor, analysis.folder).load()
    except OddjetsError:
        return None


def _with_cells(analysis: Analysis, fit: Fit, processor: DijetProcessor) -> Analysis:
    """Return an analysis whose fit asks for product cells with these as regions; check that its regions have them."""
    try:
        if fit.abcd == "cells":
            return region_products.with_cells(analysis, processor, fit.regions)
        for region in fit.regions:
            _ = region_products.describe_region(analysis, processor, region).cells
    except OddjetsError as error:
        raise ConfigError(f"{analysis.path or analysis.name}: fit.abcd: {error}") from None
    return analysis


def _input_problems(analysis: Analysis, eras: Mapping[str, tuple[lookups.Era, Path]]) -> Iterator[str]:
    given = (analysis.simulate, analysis.fileset, analysis.npz, analysis.aspen)
    if sum(section is not None for section in given) != 1:
        yield (
            "(top level): give one of 'simulate' (make the input), 'fileset' (read files), 'npz' (the authors' files) and"
            " 'aspen' (Aspen Open Jets)"
        )
    if analysis.simulate is not None:
        try:
            check_processes(analysis.simulate)
        except OddjetsError as error:
            yield str(error)
    if analysis.fileset is not None:
        try:
            file = find_fileset(analysis.fileset, analysis.folder)
            datasets = fileset.load_fileset(file)
            if eras:
                yield from dataset_problems(analysis, datasets)
            known = {era.name: era for era, _ in eras.values()} | {name: era for name, (era, _) in eras.items()}
            for name, dataset in datasets.items():
                process = dataset.metadata.process
                if not dataset.metadata.is_data and process not in (known_processes := with_held_out(analysis)):
                    yield f"fileset.{name}: no process '{process}'; {nearest(process, known_processes) or 'there is none'}"
                era = known.get(dataset.metadata.era, next(iter(known.values())) if len(eras) == 1 else None)
                for weight in dataset.metadata.weights if era is not None else ():
                    if era is not None and weight not in era.corrections:
                        near = nearest(weight, era.corrections)
                        yield f"fileset.{name}.weights: era '{era.name}' has no correction '{weight}'; {near}"
        except OddjetsError as error:
            yield f"fileset: {error}"


def _name_problems(analysis: Analysis) -> Iterator[str]:
    def unknown(place: str, what: str, name: str, valid: object) -> Iterator[str]:
        names = list(valid)  # type: ignore[call-overload]
        if name not in names:
            yield f"{place}: no {what} '{name}'; {nearest(name, names) or 'there is none'}"

    yield from held_out_problems(analysis)
    if DATA in analysis.processes:
        yield f"processes.{DATA}: this name is kept for the data"
    if sum(p.data_driven for p in analysis.processes.values()) > 1:
        yield "processes: only one process can be data_driven"
    yield from unknown("threshold.score", "score", analysis.threshold.score, analysis.scores)
    for name, observable in analysis.observables.items():
        try:
            names_in(observable.expression)
        except OddjetsError as error:
            yield f"observables.{name}.expression: {error}"
    for name, region in analysis.regions.items():
        for observable_name in region.binning:
            yield from unknown(f"regions.{name}.binning", "observable", observable_name, analysis.observables)
    for i, systematic in enumerate(analysis.systematics):
        for process in systematic.processes or ():
            yield from unknown(f"systematics.{i}.processes", "process", process, with_held_out(analysis))
    if analysis.simulate is not None:
        for process in analysis.simulate.templates:
            yield from unknown("simulate.templates", "process", process, with_held_out(analysis))
    if (asked := analysis.inspect) is not None:
        for what, named, valid in (
            ("region", asked.region, analysis.regions),
            ("observable", asked.observable, analysis.observables),
            ("process", asked.process, analysis.processes),
        ):
            if named is not None:
                yield from unknown(f"inspect.{what}", what, named, valid)
    fit = analysis.fit
    if fit is None:
        return
    yield from unknown("fit.observable", "observable", fit.observable, analysis.observables)
    for region_name in fit.regions:
        yield from unknown("fit.regions", "region", region_name, analysis.regions)
    for region_name in sorted({name for name in fit.regions if fit.regions.count(name) > 1}):
        yield f"fit.regions: '{region_name}' is listed twice; its events would be counted twice"
    taken = ["lumi", "sf", *fit.normalisations, *(s.name for s in analysis.systematics)]
    for i, poi in enumerate(fit.pois):
        if poi.name in [*taken, *(p.name for p in fit.pois[:i])]:
            yield f"fit.poi.name: '{poi.name}' is another parameter's name"
    for name in fit.normalisations:
        if name in ("lumi", "sf"):
            yield f"fit.normalisations.{name}: this name is kept for the parameter of the model that is called so"
    simulated = [name for name, process in analysis.processes.items() if not process.data_driven]
    for poi in fit.pois:
        yield from unknown("fit.poi.process", "simulated process", poi.process, simulated)
        if not poi.bounds[0] <= poi.init <= poi.bounds[1]:
            yield f"fit.poi.init: {poi.init} is outside the bounds {list(poi.bounds)}"
    if fit.scale_factor is not None:
        low, high = fit.scale_factor.bounds
        if not low <= fit.scale_factor.init <= high:
            yield f"fit.scale_factor.init: {fit.scale_factor.init} is outside the bounds {[low, high]}"
        for process in fit.scale_factor.processes:
            yield from unknown("fit.scale_factor.processes", "simulated process", process, simulated)
            if process in [p.process for p in fit.pois] and fit.mode == "exact":
                yield f"fit.scale_factor.processes: '{process}' is the POI's process; the two would be degenerate"
    if fit.closure_uncertainty == "by-bin" and fit.abcd == "cells":
        yield (
            "fit.closure_uncertainty: by-bin is of the bins of whole regions, and abcd: cells fits their product cells; use"
            " true, or abcd: structural"
        )
    for name, normalisation in fit.normalisations.items():
        for process in normalisation.processes:
            yield from unknown(f"fit.normalisations.{name}.processes", "simulated process", process, simulated)
    if analysis.data_driven is None:
        yield "processes: the fit needs one process with 'data_driven: true', which ABCD estimates"


def _parameter_problems(analysis: Analysis) -> Iterator[str]:
    """Check that no two sources of uncertainty, and no other parameter, have one name; the eras' scheme is filled in."""
    names = Counter(nuisance_names(analysis))
    for name, count in names.items():
        if count > 1:
            yield (
                f"systematics: '{name}' would be the nuisance parameter of {count} systematics; give one of them another name,"
                " or another 'correlation'"
            )
    fit = analysis.fit
    for poi in fit.pois if fit is not None else ():
        if poi.name in names:
            yield f"fit.poi.name: '{poi.name}' is another parameter's name"
    for name in fit.normalisations if fit is not None else ():
        if name in names and name != "lumi":
            yield f"fit.normalisations.{name}: this name is that of a systematic's nuisance parameter"


def _correction_problems(analysis: Analysis, era: lookups.Era) -> Iterator[str]:
    """Check that the era has the corrections that the selection and the jets need."""
    for step in analysis.jet_corrections:
        for name in jet_energy.REQUIRED_CORRECTIONS[step]:
            if name not in era.corrections:
                yield f"jet_corrections: '{step}' needs the correction '{name}', which era '{era.name}' does not have"
    if analysis.jer == "official" and jet_energy.OFFICIAL_SMEARING not in era.corrections:
        yield (
            f"jer: 'official' needs the correction '{jet_energy.OFFICIAL_SMEARING}' (the POG's JERSmear), which era"
            f" '{era.name}' does not have; 'ours' needs none"
        )
    if "jet_veto" in analysis.selection.cuts and "jet_veto_map" not in era.corrections:
        yield f"selection.cuts: 'jet_veto' needs the correction 'jet_veto_map', which era '{era.name}' does not have"
    if analysis.selection.golden_json == "era" and era.golden_json is None:
        yield f"selection.golden_json: era '{era.name}' has none of its own; give a file"


def _selection_problems(analysis: Analysis) -> Iterator[str]:
    """Check what parts of the analysis need of each other."""
    if "jer" in [s.name for s in analysis.systematics] and "jer" not in analysis.jet_corrections:
        yield "systematics: 'jer' varies the smearing, so it needs 'jet_corrections: [jer]'"
    if analysis.jer == "official" and "jer" not in analysis.jet_corrections:
        yield "jer: 'official' says how jets are smeared, so it needs 'jet_corrections: [jer]'"
    if (analysis.selection.golden_json is None) == ("certified" in analysis.selection.cuts):
        yield "selection: the cut 'certified' and 'golden_json' go together"
    if analysis.selection.luminosity_table is not None and analysis.selection.golden_json is None:
        yield "selection.luminosity_table: needs 'golden_json', which says what of it counts"
