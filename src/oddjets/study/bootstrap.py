"""Templates of experiments that are drawn again: a bootstrap of the events of the simulated processes.

In the experiments of a study the simulation is both the truth and the templates. Without more the templates would agree with
the truth better than those of an analysis do. Two things mend it. Either the auxiliary measurements of the templates'
statistical errors are thrown; that is what the likelihood says of them: each bin's sum of templates is off by a normal number.
Or the templates themselves are drawn again, which also sees what the likelihood leaves out: a process fluctuates by itself, and
a variation is known from as few events as the nominal template. This is the second.

Each event is in the templates as often as a Poisson number of mean 1 says, the same number in all variations, which are of the
same events. Events, and not contents of bins, are drawn, because the correlation of a variation with the nominal template is
in the events alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from oddjets.config.analysis import Analysis
from oddjets.corrections.systematics import NOMINAL
from oddjets.io.histograms import DATA
from oddjets.stats import workspace
from oddjets.stats.closure_parts import StructuralFactor
from oddjets.stats.closure_uncertainty import ClosureUncertainty
from oddjets.study.events import EventArrays
from oddjets.study.thresholds import ThresholdGrid, templates_at

__all__ = ["TemplateBootstrap", "redrawn"]

Floats = npt.NDArray[np.float64]


def redrawn(events: Sequence[EventArrays], rng: np.random.Generator) -> list[EventArrays]:
    """Return events that count as often as a Poisson number of mean 1 says, one for each event and all of its variations.

    Args:
        events: of one or more processes; those of one process with the same row are the same event.
        rng: draws the numbers, process by process in the order of the events.
    """
    sizes: dict[str, int] = {}
    for part in events:
        sizes[part.process] = max(sizes.get(part.process, 0), int(part.rows.max(initial=-1)) + 1)
    numbers = {process: rng.poisson(1.0, size) for process, size in sizes.items()}
    found = []
    for part in events:
        # repeated events, and not larger weights, have the sums of squared weights of another sample
        place = np.repeat(np.arange(len(part)), numbers[part.process][part.rows])
        found.append(
            EventArrays(
                part.process,
                part.variations,
                part.codes[place],
                part.classes[:, place],
                part.scores[:, place],
                part.weights[place],
                part.rows[place],
            )
        )
    return found


@dataclass(frozen=True)
class TemplateBootstrap:
    """The parts from which workspaces of experiments with templates of their own are built; can be pickled.

    Attributes:
        analysis: an analysis that is not blinded.
        events: of the simulated processes.
        grid: the thresholds.
        data: for each threshold, region -> what is expected, shape (2, letters, bins).
        closure: as for `workspace.build`.
        structural: likewise.
    """

    analysis: Analysis
    events: Sequence[EventArrays]
    grid: ThresholdGrid
    data: Sequence[Mapping[str, Floats]]
    closure: Mapping[str, ClosureUncertainty] | None
    structural: Mapping[str, StructuralFactor] | None

    @cached_property
    def digest(self) -> str:
        """A hash of the events and of what workspaces are built with, beside the nominal ones."""
        digest = hashlib.sha256()
        for part in self.events:
            digest.update(json.dumps([part.process, *part.variations]).encode())
            for array in (part.codes, part.scores, part.weights, part.rows):
                digest.update(np.ascontiguousarray(array).tobytes())
        parts = {"fit", "systematics", "processes"}
        digest.update(self.analysis.model_dump_json(include=parts).encode())
        return digest.hexdigest()

    def workspace(
        self, place: int, rng: np.random.Generator
    ) -> tuple[dict[str, Any], dict[str, Sequence[Sequence[int]]]]:
        """Return a workspace with templates that are drawn again, and which of its bins are merged (see `Experiments`).

        Args:
            place: of its threshold in the grid.
            rng: draws the events.

        Raises:
            OddjetsError: no workspace can be built, such as of a signal without events.
        """
        at = ThresholdGrid(self.grid.values[place : place + 1], self.grid.strict, None)
        (yields,) = templates_at(self.analysis, redrawn(self.events, rng), at, {})
        data = {(region, DATA, NOMINAL): content for region, content in self.data[place].items()}
        own = replace(yields, contents={**yields.contents, **data})
        built, report = workspace.build(self.analysis, own, self.closure, self.structural)
        return built, {cell: groups for of in report.get("cells", {}).values() for cell, groups in of.items()}
