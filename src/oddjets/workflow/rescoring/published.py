"""The published side of a rescoring: the workspace, threshold, model cards and luminosity of a finished analysis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oddjets.config.combinations import combinations_of
from oddjets.config.fit import POI
from oddjets.core import provenance
from oddjets.core.errors import InputFileError, OddjetsError
from oddjets.core.files import sha256_of
from oddjets.io.combined_scores import COMBINED_SCORES
from oddjets.scoring.model_card import load_card
from oddjets.selection.normalisation import Luminosities
from oddjets.stats.histfactory.workspace_sources import load_workspace
from oddjets.workflow.executors.records import EVENTS
from oddjets.workflow.keys import fitted_values, rows_of_era
from oddjets.workflow.run import RunContext

__all__ = ["Published", "altered_settings", "published", "published_threshold"]

#: settings that change no event and no template of simulation
_NOT_COMPARED = ("blind", "fit.blind", "luminosity", "luminosity_parts", "eras")
#: so many are named
_NAMED = 5


@dataclass(frozen=True)
class Published:
    """A finished analysis, as far as a new signal needs it; no file of events is among it.

    Attributes:
        run: the analysis and its folder.
        workspace: the fitted workspace.
        report: of the workspace's construction.
        threshold: the content of ``threshold.json``.
        luminosities: /pb; of several eras, by era.
        signal: the parameter of interest that is tested, with its process.
    """

    run: RunContext
    workspace: dict[str, Any]
    report: Mapping[str, Any]
    threshold: Mapping[str, Any]
    luminosities: Luminosities
    signal: POI

    @property
    def blinded(self) -> bool:
        """Whether the data in A of the workspace are the expected background."""
        return bool(self.report.get("blinded"))

    def digests(self) -> dict[str, Any]:
        """Return what is used of the analysis, by sha256: workspace, threshold, model cards."""
        out = self.run.out
        cards = {name: (path, load_card(path)) for name, path in self.run.resolved.cards.items()}
        return {
            "workspace_sha256": sha256_of(out / "workspace.json"),
            "threshold_sha256": sha256_of(out / "threshold.json"),
            "cards": {
                name: {"model": card.name, "card_sha256": sha256_of(path), "model_sha256": card.sha256}
                for name, (path, card) in cards.items()
            },
        }


def published(run: RunContext) -> Published:
    """Open a finished analysis.

    Args:
        run: the analysis and its folder.

    Raises:
        InputFileError: no workspace, no threshold, or no record of how they were made.
        OddjetsError: no fit, files of other programs as input, a model card or a setting that is not the recorded one, a score
            that was learnt from data.
    """
    analysis = run.analysis
    if analysis.fit is None:
        raise OddjetsError(f"{analysis.name}: has no 'fit' section, so that there is no limit to be found")
    if not analysis.reads_root:
        raise OddjetsError(
            f"{analysis.name}: its events are imported with their scores, and a new signal has none; rescoring needs an"
            " analysis that scores jets itself (PFNano)"
        )
    for file, verb in (("workspace.json", "workspace"), ("threshold.json", "histogram")):
        if not (run.out / file).is_file():
            raise InputFileError(
                f"{run.out / file}: not there, and a signal is rescored with it; run `oddjets {verb}` first, or name the folder"
                " of the finished analysis"
            )
    report = run.extra("workspace")["report"]
    run.extra("histogram")
    threshold = published_threshold(run)
    _refuse_other_settings(run)
    _refuse_learnt(run)
    if combinations_of(analysis.scores) and not (run.out / EVENTS / COMBINED_SCORES).is_file():
        raise InputFileError(
            f"{run.out / EVENTS / COMBINED_SCORES}: not there, and the analysis combines scores by their tail probabilities in"
            " data, which it holds; get it with the folder"
        )
    name = analysis.fit.tested or analysis.fit.pois[0].name
    tested = next((poi for poi in analysis.fit.pois if poi.name == name), analysis.fit.pois[0])
    return Published(run, load_workspace(run.out / "workspace.json"), report, threshold, run.luminosities, tested)


def published_threshold(run: RunContext) -> dict[str, Any]:
    """Return the content of ``threshold.json``.

    Raises:
        InputFileError: it is not there, or damaged.
        OddjetsError: it is of another score than the analysis's.
    """
    file = run.out / "threshold.json"
    try:
        if not file.is_file():
            raise InputFileError(f"{file}: not there; run `oddjets histogram` first")
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        score, value = found["score"], float(found["value"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(f"{file}: is damaged ({error}); run `oddjets histogram` again") from None
    if score != run.analysis.threshold.score:
        raise OddjetsError(
            f"{file}: is a threshold of the score '{score}', and '{run.analysis.name}' cuts on"
            f" '{run.analysis.threshold.score}'; name the folder of this analysis"
        )
    return found | {"value": value}


def altered_settings(run: RunContext) -> dict[str, list[str]]:
    """Return the settings that are other ones than those with which the results in a folder were made.

    No file of events is looked at, nor the code. Blinding and luminosity do not count; what decides the rows of several eras
    is recorded with their files, and is not compared.

    Args:
        run: the analysis, with a fit, and its folder.

    Returns:
        Stage to names such as ``cards.omnilearned`` or ``regions.SR``.
    """
    histogram, workspace = fitted_values(run)
    now: dict[str, Any] = {"histogram": histogram, "workspace": workspace}
    if isinstance(run.analysis.era, str):
        now["process"] = rows_of_era(run, run.analysis)
    found = {}
    for stage, config in now.items():
        before = ((provenance.read_manifest(run.out, stage) or {}).get("depends") or {}).get("config") or {}
        differing = [
            place
            for place, digest in provenance.digests(config).items()
            if place not in _NOT_COMPARED and before.get(place) != digest
        ]
        if differing:
            found[stage] = differing
    return found


def _refuse_other_settings(run: RunContext) -> None:
    altered = altered_settings(run)
    of_cards = [name for name in altered.get("process", ()) if name.startswith(("cards.", "card_files."))]
    if of_cards:
        score = of_cards[0].partition(".")[2]
        path = run.resolved.cards[score]
        raise OddjetsError(
            f"{path}: is not the model card that the scores '{score}' in {run.out} were made with (now model sha256"
            f" {load_card(path).sha256[:12]}, card sha256 {sha256_of(path)[:12]}): a signal would get other scores than data"
            " and background; use the published card and model"
        )
    if altered:
        said = "; ".join(
            f"{stage}: {', '.join(names[:_NAMED])}{' and more' if len(names) > _NAMED else ''}"
            for stage, names in altered.items()
        )
        raise OddjetsError(
            f"{run.analysis.name}: is not the analysis that {run.out} was made with ({said}): a signal would pass other cuts"
            " than data and background; use the published YAML, or run `oddjets run` again"
        )


def _refuse_learnt(run: RunContext) -> None:
    for name, path in run.resolved.cards.items():
        card = load_card(path)
        if card.learnt_from_data:
            raise OddjetsError(
                f"scores.{name}: the model {card.name} was learnt from the data of a search (its card {path.name} names 'data'"
                " in trained_on_labelled): with another signal in the data it would be another model, so that no limit on that"
                " signal follows from this one; repeat the training with the signal in the data"
            )
