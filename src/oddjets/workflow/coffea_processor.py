"""`processor`: an analysis as a processor for coffea's own `Runner`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis, find_analysis, load_analysis, place_of
from oddjets.config.combinations import combinations_of
from oddjets.core.console import console
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.io.fileset import Dataset, fileset_of, load_fileset
from oddjets.io.fileset_search import find_fileset
from oddjets.scoring.column_scorer import scorer_of
from oddjets.scoring.model_card import load_card
from oddjets.selection.processor import DijetProcessor
from oddjets.workflow.dataset_eras import match_eras
from oddjets.workflow.validation import resolve

__all__ = ["processor"]


def processor(
    analysis: str | Path | Analysis,
    changes: Mapping[str, Any] | None = None,
    *,
    selection: type[DijetProcessor] | None = None,
    fileset: str | Path | Mapping[str, Any] | None = None,
    score_cache: str | Path | None = None,
) -> DijetProcessor:
    """Make the processor of an analysis, for coffea's `Runner` with any of its executors.

    Args:
        analysis: its YAML, or its name if the package carries it; or what `load` returned.
        changes: keys that are laid over the YAML's, as for `load`.
        selection: a subclass of `DijetProcessor` in place of the one that the YAML names; it may be defined in a notebook.
        fileset: which files: JSON or YAML (gzipped too, as coffea's preprocessing writes it) or its content; by default the
            analysis's, or the files that its stage `simulate` made.
        score_cache: a folder that keeps scores, so that a second pass computes none.

    Returns:
        The processor. ``processor.fileset`` is what the Runner takes; `postprocess` normalises the histograms.

    Raises:
        OddjetsError: no such analysis, or mistakes in it: all of them at once; no fileset; a score that is a combination.

    Examples:
        >>> import oddjets
        >>> from coffea.processor import IterativeExecutor, Runner
        >>> from coffea.util import coffea_console
        >>> coffea_console.quiet = True  # no bars
        >>> processor = oddjets.processor("analysis.yaml")
        >>> run = Runner(IterativeExecutor(), schema=oddjets.io.PFNano, chunksize=50_000)
        >>> results = run(processor.fileset, processor)
        >>> results["histograms"]["SR", "leading_mass"].axes.name
        ('process', 'letter', 'variation', 'leading_mass')
        >>> workspace, report = oddjets.stats.build(processor.analysis, results["histogram_set"])
        >>> oddjets.stats.Model(workspace)
        Model: 8 channels, 48 bins, 64 parameters, parameter of interest mu
    """
    if isinstance(analysis, Analysis):
        if changes is not None:
            raise OddjetsError("'changes' are laid over a YAML: give its path, or give the changes to oddjets.load")
        asked, place = analysis, ""
    else:
        file = find_analysis(analysis)
        asked = load_analysis(file, changes).model_copy(update={"path": file.absolute()})
        place = place_of(file, changes)
    resolved = resolve(asked, selection, place=place)
    if not resolved.analysis.reads_root:
        what = "the authors' event files ('npz')" if resolved.analysis.npz is not None else "HDF5 files ('aspen')"
        raise OddjetsError(f"{asked.path or asked.name}: reads {what}, not ROOT files")
    if made_later := [*combinations_of(resolved.analysis.scores)]:
        raise OddjetsError(
            f"{asked.path or asked.name}: scores.{made_later[0]} is made of tail probabilities in all data, and coffea's Runner"
            " sees one chunk at a time: run the analysis with `oddjets run`, or give oddjets.processor an analysis without"
            f" {', '.join(map(repr, made_later))}"
        )
    execution = resolved.analysis.execution
    scorers = {name: scorer_of(load_card(path), provider=execution.provider) for name, path in resolved.cards.items()}
    made = resolved.processor(
        resolved.analysis,
        resolved.era,
        resolved.era_folder,
        scorers,
        None if score_cache is None else Path(score_cache).resolve(),
    )
    made.datasets = _datasets(resolved.analysis, fileset)
    if fileset is not None or resolved.analysis.fileset is not None:
        made.datasets = match_eras(resolved.analysis, made.datasets)
    if selection is None:
        made.source = resolved.source
    if resolved.analysis.threshold.value is None:
        console.print(
            f"{asked.name}: the threshold is that of an efficiency of {resolved.analysis.threshold.efficiency} in data: a first"
            " pass over the data finds it, and with_threshold() fills histograms in a second; 'threshold.value' needs one pass"
        )
    return made


def _datasets(analysis: Analysis, fileset: str | Path | Mapping[str, Any] | None) -> dict[str, Dataset]:
    if isinstance(fileset, Mapping):
        return fileset_of(fileset, Path("fileset").resolve())
    if fileset is not None:
        return load_fileset(Path(fileset).resolve())
    if analysis.fileset is not None:
        return load_fileset(find_fileset(analysis.fileset, analysis.folder))
    path = Path("output") / analysis.name / "simulation" / "fileset.json"
    if not path.is_file():
        raise InputFileError(
            f"{path}: not there yet; oddjets.Run(ANALYSIS).up_to('simulate') makes it, or give oddjets.processor a 'fileset'"
        )
    return load_fileset(path.resolve())
