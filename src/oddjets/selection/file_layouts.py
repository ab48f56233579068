"""Checks of the layouts of files against what the models need, and messages about substitutes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.markup import escape

from oddjets.config.analysis import Analysis
from oddjets.core.console import console
from oddjets.io.fileset import Dataset, FileInfo
from oddjets.io.layouts import CandidateLayout, describe_misfits
from oddjets.scoring.column_card import ColumnCard
from oddjets.scoring.model_card import ModelCard
from oddjets.selection.input_anomalies import STALE_SHARE

__all__ = [
    "VARIED_QUANTITIES",
    "constituent_sources",
    "describe_layouts",
    "layout_errors",
    "summarise_layouts",
    "warn_of_stale_weights",
]

#: variation of the constituents -> the quantities that it needs as branches
VARIED_QUANTITIES = {"impact_parameters": ("d0", "d0_error", "dz", "dz_error"), "puppi_weights": ("puppi_weight",)}

Fileset = Mapping[str, tuple[Dataset, Sequence[FileInfo]]]
Cards = Mapping[str, ModelCard | ColumnCard]


def constituent_sources(files: Sequence[FileInfo]) -> dict[str, list[str]]:
    """Return how constituents of jets are found (``index``, ``reclustered`` or ``none``) -> the files of that kind."""
    sources: dict[str, list[str]] = {}
    for info in files:
        source = None if info.layout is None else info.layout.source
        sources.setdefault(source or "none", []).append(info.path)
    return sources


def summarise_layouts(files: Sequence[FileInfo]) -> dict[str, dict[str, Any]]:
    """Return the layouts of files, for the manifest.

    Returns:
        Name of the layout to the number of ``files``, what is ``derived`` there and how, and the ``missing`` quantities.
    """
    found: dict[str, dict[str, Any]] = {}
    for info in files:
        row = info.layout
        entry = found.setdefault(
            "unknown" if row is None else row.name,
            {
                "files": 0,
                "derived": {} if row is None else dict(row.derived),
                "missing": [] if row is None else list(row.missing),
            },
        )
        entry["files"] += 1
    return found


def layout_errors(
    fileset: Fileset, cards: Cards, analysis: Analysis | None = None, *, skip_bad_files: bool = False
) -> list[str]:
    """Return what is wrong with the layouts of files.

    Args:
        fileset: the datasets and their files; those without events do not matter.
        cards: score to its model's card; without models, no candidates are read.
        analysis: its variations of the constituents need quantities, too; None: there are none.
        skip_bad_files: whether files of no known layout are left out later, and are no errors here.
    """
    errors: list[str] = []
    for name, groups in _by_layout(fileset, cards):
        for row, of in groups.items():
            if row is not None:
                errors += (f"{of[0].path}: {text}" for text in _unusable(name, row, len(of), cards))
                metadata = fileset[name][0].metadata
                if analysis is not None and not metadata.is_data:
                    lines = _not_varied(analysis, metadata.process, name, row, len(of))
                    errors += (f"{of[0].path}: {text}" for text in lines)
            elif not skip_bad_files:
                tried = describe_misfits(of[0].branches.__contains__)
                errors.append(
                    f"{of[0].path}: no known layout of PF candidates ({len(of)} file(s) of dataset '{name}'): {tried}"
                )
    return errors


def describe_layouts(fileset: Fileset, cards: Cards) -> None:
    """Print which datasets have files of several layouts, and what is done about quantities that a layout lacks.

    Args:
        fileset: the datasets and their files.
        cards: score to its model's card.
    """
    for name, groups in _by_layout(fileset, cards):
        if len(groups) > 1:
            parts = (f"{len(of)} {'unknown' if row is None else row.name}" for row, of in groups.items())
            console.print(
                f"[bold yellow]dataset '{escape(name)}'[/bold yellow]: its files have {len(groups)} layouts of PF candidates"
                f" ({', '.join(parts)}): scores may differ between them by what a layout lacks"
            )
        for row, of in groups.items():
            if row is not None:
                _describe_substitutes(name, row, len(of), len(fileset[name][1]), cards)


def _by_layout(fileset: Fileset, cards: Cards) -> Iterator[tuple[str, dict[CandidateLayout | None, list[FileInfo]]]]:
    """Give each dataset with its files by layout."""
    reading = any(card.reads_constituents for card in cards.values())
    for name, (_, files) in fileset.items() if reading else ():
        groups: dict[CandidateLayout | None, list[FileInfo]] = {}
        for info in files:
            if info.entries:
                groups.setdefault(info.layout, []).append(info)
        yield name, groups


def _unusable(name: str, row: CandidateLayout, number: int, cards: Cards) -> Iterator[str]:
    """List what the models need and files of a layout lack."""
    which = f"({number} file(s) of dataset '{name}')"
    for score, card in cards.items():
        if not card.reads_constituents:
            continue
        if row.source is None:
            yield (
                f"no PF candidates (branch 'PFCands_pt'), which the score '{score}' needs {which}: NanoAOD has none; use a"
                " score from branches of FatJet, or make PFNano with allPF"
            )
        elif isinstance(card, ColumnCard):
            continue  # it counts candidates, and reads nothing of them
        elif lacking := [quantity for quantity in card.constituents.required if quantity in row.missing]:
            yield (
                f"{row.label} has no {', '.join(lacking)}, which the card of the score '{score}' requires"
                f" (constituents.required) {which}; use PFNano with allPF, or a model that does without"
            )
        elif row.weighted and card.constituents.puppi == "raw":
            yield (
                f"{row.label} stores candidates times their PUPPI weights, and the card of the score '{score}' needs them"
                f" without (constituents.puppi: raw) {which}; use PFNano with allPF, or a model of weighted candidates"
            )


def _not_varied(analysis: Analysis, process: str, name: str, row: CandidateLayout, number: int) -> Iterator[str]:
    """List the variations of constituents that files of a layout have nothing for."""
    for systematic in analysis.systematics:
        acts = systematic.kind == "scores" and (systematic.processes is None or process in systematic.processes)
        needed = VARIED_QUANTITIES.get(systematic.name, ()) if acts and row.source is not None else ()
        stored = {*row.branches} - {*row.missing}
        if lacking := [quantity for quantity in needed if quantity not in stored]:
            yield (
                f"{row.label} has no {', '.join(lacking)} of candidates, which score_variations.{systematic.name} varies"
                f" ({number} file(s) of dataset '{name}'); leave the variation out, give it 'processes' of other datasets, or"
                " use PFNano with allPF"
            )


def _describe_substitutes(name: str, row: CandidateLayout, number: int, of: int, cards: Cards) -> None:
    where = f"dataset '{escape(name)}': {number} of {of} file(s)"
    if row.source == "reclustered":
        console.print(
            f"{where} have no index of the jets' constituents (FatJetPFCands_jetIdx, _pFCandsIdx): AK8 jets are clustered"
            " again and matched"
        )
    for quantity, how in row.derived.items():
        console.print(f"{where} are {row.label}, without {quantity} of candidates: {how}")
    for score, card in cards.items():
        if isinstance(card, ColumnCard):
            continue
        if lacking := [quantity for quantity in row.missing if quantity in card.quantities]:
            console.print(
                f"{where} are {row.label}, without {', '.join(lacking)}: the model of the score '{escape(score)}' gets"
                f" {card.constituents.without_track} for them, as for any candidate without a track"
                " (constituents.without_track on its card)"
            )


def warn_of_stale_weights(name: str, counted: Mapping[str, int], jets: int) -> float:
    """Say that the candidates of a dataset have other PUPPI weights than its jets, where many do not add up.

    Args:
        name: of the dataset.
        counted: what was odd in it, from `oddjets.selection.input_anomalies`.
        jets: how many were read with their constituents.

    Returns:
        The part of the jets whose constituents do not add up to them.
    """
    share = counted.get("jets_unlike_constituents", 0) / jets if jets else 0.0
    if share > STALE_SHARE:
        console.print(
            f"[bold yellow]dataset '{escape(name)}'[/bold yellow]: the candidates of {100 * share:.3g} % of the jets do not add"
            " up to the jet's pT before corrections: their PUPPI weights are those of the MiniAOD files, as in NanoAODv15"
            " made again of Run 2 and 2022-23 before October 2025 (CMSSW, pull request 49137). Scores are of other momenta"
            " than the jets'; use files made later"
        )
    return share
