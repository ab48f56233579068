"""Results of the stages in an output directory, read when a figure needs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from oddjets.config.analysis import Analysis, Process
from oddjets.config.stages import has_stage
from oddjets.core.blinding_history import UNBLINDED, BlindingEvent, read_history
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError
from oddjets.core.provenance import is_consistent
from oddjets.io import event_table
from oddjets.io.histograms import HistogramSet, ThresholdResult
from oddjets.io.inspections import FOLDER as INSPECTIONS
from oddjets.io.inspections import read_inspection
from oddjets.io.rescoring import EFFICIENCY_MAP, RESCORING
from oddjets.io.studies import read_null_studies, read_training_study
from oddjets.report.colors import process_colors
from oddjets.report.style import HATCH, hatches, luminosity_text

__all__ = ["ARTIFACTS", "Artifacts", "MissingArtifactError"]

#: artifact: (its path in the output directory, the command that makes it)
ARTIFACTS = {
    "simulation": ("simulation/fileset.json", "simulate"),
    "events": ("events", "process"),
    "jets": ("jets", "import-aspen"),
    "cutflow": ("cutflow.json", "process"),
    "histograms": ("histograms/index.json", "histogram"),
    "closure": ("closure.json", "closure"),
    "workspace": ("workspace.json", "workspace"),
    "results": ("results.json", "fit"),
    "study": ("study", "study null"),
    "choices": ("study/choices.json", "study choices"),
    "injection": ("study/injection.json", "study injection"),
    "learning": ("study/learning.json", "study learning"),
    "sculpting": ("study/sculpting.json", "study sculpting"),
    "two_sample": ("study/two_sample.json", "study two-sample"),
    "inspection": (INSPECTIONS, "inspect"),
    "rescoring": (RESCORING, "rescore"),
    "efficiency_map": (EFFICIENCY_MAP, "efficiency-map"),
}

#: the reason why results are not shown
EXPOSED = (
    "from data in A, but the analysis is blind, so it is not shown; `oddjets run` fits the expected background"
    " instead, and --unblind shows the data"
)

#: the reasons why events are not shown
OTHER_THRESHOLD = (
    "the data in A are blinded, and the threshold or the events have changed since the histograms were made, so the"
    " data in A cannot be identified; run `oddjets histogram` first"
)
NO_THRESHOLD = (
    "the data in A are blinded, and without the threshold of the histograms they cannot be identified; run "
    "`oddjets histogram` first"
)


class MissingArtifactError(OddjetsError):
    """A requested figure cannot be drawn, because its stage has not run or did not compute its numbers."""


class Artifacts:
    """The artifacts (results of stages) in an output directory, and the labels of figures.

    Args:
        analysis: the analysis.
        out: the output directory.
    """

    def __init__(self, analysis: Analysis, out: Path) -> None:
        self.analysis = analysis
        self.out = out

    def path(self, artifact: str) -> Path:
        """Return the path of an artifact, whether it exists or not."""
        return self.out / ARTIFACTS[artifact][0]

    def has(self, artifact: str) -> bool:
        """Return whether an artifact exists; results from blinded data in A count as absent."""
        return self.path(artifact).exists() and not (artifact == "results" and self.exposed)

    def expected(self, artifact: str) -> bool:
        """Return whether the analysis has a stage that makes an artifact."""
        analysis, aspen = self.analysis, self.analysis.aspen
        optional = {
            "events": aspen is None or aspen.events or None,
            "jets": aspen,
            # nobody must make one
            **dict.fromkeys(
                ("study", "choices", "injection", "learning", "sculpting", "two_sample", "rescoring", "efficiency_map")
            ),
            "inspection": analysis.inspect,
        }
        return optional.get(artifact, True) is not None and has_stage(analysis, ARTIFACTS[artifact][1])

    def require(self, artifact: str, figure: str) -> None:
        """Raise a `MissingArtifactError` that names the command to run, if an artifact is absent."""
        if artifact == "results" and self.exposed:
            raise BlindedError(f"the figure '{figure}': {self.path(artifact)} is {EXPOSED}")
        if not self.has(artifact):
            place, command = ARTIFACTS[artifact]
            raise MissingArtifactError(
                f"the figure '{figure}' is drawn from {self.out / place}, which does not exist: run `oddjets "
                f"{command}` first"
            )

    def json(self, place: str, *keys: str) -> dict[str, Any]:
        """Read a JSON file of the output directory.

        Args:
            place: the file.
            keys: what it must have.

        Raises:
            InputFileError: it is not a JSON object, or lacks a key; the message has the file and the line, or the key.
        """
        path = self.out / place
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputFileError(f"{path}: cannot be read as JSON: {error}; make it again or remove it") from None
        if not isinstance(content, dict):
            raise InputFileError(f"{path}: does not contain a JSON object; make it again or remove it")
        for key in keys:
            if key not in content:
                raise InputFileError(f"{path}: has no '{key}', so it is not complete; make it again or remove it")
        return content

    @cached_property
    def results(self) -> dict[str, Any]:
        """The fit's results.

        Raises:
            BlindedError: they are from blinded data in A.
        """
        if self.exposed:
            raise BlindedError(f"{self.path('results')} is {EXPOSED}")
        return self.json("results.json", "poi", "pois", "significance", "warnings")

    @cached_property
    def exposed(self) -> bool:
        """Whether the analysis is blind but results.json is from data in A, so that it must not be shown."""
        return self.analysis.blind and self.path("results").is_file() and not self.json("results.json").get("blinded")

    @cached_property
    def cutflow(self) -> dict[str, Any]:
        """Events after each cut, per dataset."""
        return self.json("cutflow.json", "cuts", "datasets")

    @cached_property
    def event_weights(self) -> dict[str, Any] | None:
        """The weights of single events in the templates; None if no histograms were filled yet."""
        return self.json("event_weights.json") if (self.out / "event_weights.json").is_file() else None

    @cached_property
    def workspace_report(self) -> dict[str, Any]:
        """The report of `workspace` on the templates; empty if it has not run."""
        manifest = self.manifests.get("workspace") or {}
        return (manifest.get("extra") or {}).get("report") or {}

    @cached_property
    def closure(self) -> dict[str, Any]:
        """The ABCD closure on simulation."""
        return self.json("closure.json")

    @cached_property
    def studies(self) -> dict[str, dict[str, Any]]:
        """The studies without signal of the workspace, by source; of a blind analysis without the observed significance."""
        found = read_null_studies(self.out)
        if self.analysis.blind:
            return {s: {k: v for k, v in content.items() if k != "calibration"} for s, content in found.items()}
        return found

    def inspection(self, part: str) -> dict[str, Any] | None:
        """Return a part of the inspection that the YAML asks for; None if it asks for none, or if it was not made.

        One of other histograms than those that are there now, or of data in A that are blinded, counts as not made.

        Args:
            part: ``events``, ``displays`` or another one.

        Raises:
            InputFileError: it is damaged.
        """
        if self.analysis.inspect is None:
            return None
        found = read_inspection(self.out, self.analysis, part)
        if found is None or (self.blinded and found["shows_data_in_A"]):
            # the data in A of a time when they were open
            return None
        return found if found["histogram_key"] == (self.manifests.get("histogram") or {}).get("key") else None

    @cached_property
    def trainings(self) -> dict[str, Any] | None:
        """The study of a family of trainings of the workspace; of a blind analysis only one that was blind too."""
        found = read_training_study(self.out)
        return None if found is None or (self.analysis.blind and not found["blinded"]) else found

    @cached_property
    def histograms(self) -> HistogramSet:
        """The region histograms; for a blind analysis without the data in A, even if the files contain them."""
        found = HistogramSet.load(self.out / "histograms")
        return found.blind() if self.analysis.blind else found

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """The manifest of each stage."""
        return {path.stem: self.json(f"manifests/{path.name}") for path in sorted(self.out.glob("manifests/*.json"))}

    def table(self, columns: list[str]) -> dict[str, dict[str, np.ndarray]]:
        """Read columns of the events that pass the base selection.

        Args:
            columns: their names; ``weight`` is added, normalised to the luminosity (the dataset's last weighted
                number in the cutflow over the sum of the table's weights).

        Returns:
            Process (``data`` for data): column: values, shape (events,). Blinded data in A are omitted.

        Raises:
            BlindedError: the data are blinded, and the threshold or the events have changed since the histograms were made.
        """
        # without a threshold the data in A cannot be identified
        hide_all = self.blinded and not self.has("histograms")
        threshold = None if hide_all else self.cut_on_data()
        scores = [f"score_{threshold.score}_{j}" for j in (1, 2)] if threshold else []
        parts: dict[str, list[dict[str, np.ndarray]]] = {}
        counts = self.cutflow["datasets"]
        for dataset in event_table.datasets(self.out / "events"):
            if dataset not in counts:
                continue
            is_data = counts[dataset]["is_data"]
            if is_data and hide_all:
                continue
            wanted = list(dict.fromkeys([*columns, *(scores if is_data else []), "weight", "passes_nominal"]))
            read = event_table.read(self.out / "events", dataset, wanted)
            passing = read["passes_nominal"].astype(bool)
            if threshold is not None and is_data:
                # a NaN score passes no threshold
                passing &= ~(np.minimum(*(read[s] for s in scores)) >= threshold.value)
            chosen = {name: read[name][passing] for name in [*columns, "weight"]}
            total = float(chosen["weight"].sum())
            if is_data:
                chosen["weight"] = np.ones(len(chosen["weight"]))
            elif total:
                chosen["weight"] = chosen["weight"] * (counts[dataset]["weighted"][-1] / total)
            parts.setdefault("data" if is_data else counts[dataset]["process"], []).append(chosen)
        return {
            process: {name: np.concatenate([p[name] for p in pieces]) for name in pieces[0]}
            for process, pieces in parts.items()
        }

    def cut_on_data(self) -> ThresholdResult | None:
        """Return the cut on the scores at and above which data are blinded; None if no data are blinded.

        Raises:
            BlindedError: the data in A cannot be identified: there are no histograms yet, or the threshold or the events have
                changed since they were made.
        """
        if not self.blinded:
            return None
        if not self.has("histograms"):
            raise BlindedError(f"{self.out}: {NO_THRESHOLD}")
        settings = {"threshold": self.analysis.threshold.model_dump(mode="json")}
        if not is_consistent(self.out, "histogram", "process", settings):
            raise BlindedError(f"{self.out}: {OTHER_THRESHOLD}")
        return self.histograms.threshold

    # labels of figures

    @property
    def simulated(self) -> bool:
        """Whether everything is simulated, including the (pseudo-)data."""
        if self.analysis.simulate is not None:
            return True
        if self.has("cutflow") and not any(d["is_data"] for d in self.cutflow["datasets"].values()):
            return True
        # metadata of real data have no generator
        return any(d["is_data"] and d.get("generator") for d in self.datasets.values())

    @property
    def data_name(self) -> str:
        """What the data are called: ``Data``, and ``Pseudo-data`` where they are simulated."""
        return "Pseudo-data" if self.simulated else "Data"

    def naming_data(self, text: str) -> str:
        """Return a text about data, with these called what they are: ``pseudo-data`` where they are simulated."""
        return re.sub(r"(?<!pseudo-)\bdata\b", self.data_name.lower(), text)

    @cached_property
    def blinded(self) -> bool:
        """Whether the data in A are hidden: the analysis is blind, or its histograms or workspace were made blind."""
        if self.analysis.blind or self.workspace_report.get("blinded"):
            return True
        return self.has("histograms") and self.histograms.blinded

    @property
    def blinded_points(self) -> str:
        """The sentence of a caption if the points in A are not data; else ""."""
        return " A is blinded: its points, open, are the expected background." if self.blinded else ""

    @property
    def blinded_events(self) -> str:
        """The sentence of a caption if the data in A are omitted; else ""."""
        left_out = f"{self.data_name.lower()} with both jets above the threshold are left out"
        return f" A is blinded: {left_out}." if self.blinded else ""

    @cached_property
    def unblinded(self) -> BlindingEvent | None:
        """The unblinding of the data in A (``on``, ``by``); None if they are hidden or were never blinded."""
        events = self.blinding
        return events[-1] if events and events[-1]["state"] == UNBLINDED and not self.blinded else None

    @cached_property
    def blinding(self) -> list[BlindingEvent]:
        """The history of blinding and unblinding, in order."""
        return read_history(self.out)

    @property
    def datasets(self) -> dict[str, dict[str, Any]]:
        """The metadata of each dataset and the number of events read, from the manifest of the stage ``process``."""
        return self.processed("datasets")

    def processed(self, part: str) -> dict[str, Any]:
        """Return a part of what the stage ``process`` says, such as ``datasets``; empty where it does not."""
        return ((self.manifests.get("process") or {}).get("extra") or {}).get(part) or {}

    @cached_property
    def luminosity_pb(self) -> float | None:
        """The integrated luminosity (/pb); None if it is not known yet."""
        if self.has("histograms"):
            return float(self.histograms.luminosity_pb)
        if self.has("cutflow"):
            # the luminosity of the data read
            return self.cutflow.get("luminosity_pb")
        stated = self.analysis.luminosity
        return sum(stated.values()) if isinstance(stated, dict) else stated

    @cached_property
    def header(self) -> dict[str, Any]:
        """The line above every figure: label and luminosity."""
        energy = self.histograms.energy_TeV if self.has("histograms") else 13.0
        return {
            "label": ["oddjets", "simulation" if self.simulated else "CMS Open Data"],
            "right": luminosity_text(self.luminosity_pb, energy),
        }

    def process(self, name: str) -> dict[str, Any]:
        """Return a process's name, label, colour, hatch and whether it is the signal, for a figure's data."""
        fit = self.analysis.fit
        signals = [poi.process for poi in fit.pois] if fit is not None else []
        known = self.analysis.processes.get(name)
        return {
            "process": name,
            "label": known.label if known else name,
            "color": self._colors.get(name, "#717581"),
            "hatch": HATCH if name in signals else self._hatches.get(name),
            "signal": name in signals,
        }

    def colors_of(self, names: Iterable[str]) -> dict[str, str]:
        """Return the colours of processes: those of the analysis, and unused ones for others."""
        missing = {name: Process(label=name) for name in names if name not in self.analysis.processes}
        return process_colors({**self.analysis.processes, **missing})

    @cached_property
    def _colors(self) -> dict[str, str]:
        return self.colors_of(())

    @cached_property
    def _hatches(self) -> dict[str, str | None]:
        """The hatch of each process that is not the signal."""
        return hatches({name: self._colors[name] for name in self.analysis.processes})

    def axis_label(self, observable: str) -> str:
        """Return an observable's axis label with its unit."""
        known = self.analysis.observables[observable]
        label = known.label[:1].upper() + known.label[1:]
        return f"{label} [{known.unit}]" if known.unit else label

    def edges(self, region: str, stored: Sequence[float]) -> list[float]:
        """Return the bin edges of a fitted region.

        Args:
            region: its name.
            stored: the edges in results.json; bin numbers if the workspace was fitted without its analysis.
        """
        fit = self.analysis.fit
        if fit is not None and region in self.analysis.regions and fit.observable in self.analysis.observables:
            edges = self.analysis.binning(fit.observable, region)
            if len(edges) == len(stored):
                return edges
        return [float(e) for e in stored]

    def region_label(self, region: str) -> str:
        """Return a region's name and label."""
        known = self.analysis.regions.get(region)
        return f"{region}: {known.label}" if known and known.label else region
