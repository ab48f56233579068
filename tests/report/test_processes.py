"""The picture of what was simulated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers import synthetic

from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import processes
from oddjets.simulation.processes import load_processes


def test_jets_of_pairs_that_pass_are_shown_where_they_belong(tmp_path: Path) -> None:
    asked = synthetic.analysis()
    synthetic.fabricate(tmp_path, asked)
    drawn = processes.data(Artifacts(asked, tmp_path))["processes"]
    # pseudo-data are left out, and one of the two events has a jet below 450 GeV
    ((line,),) = [row["lines"] for row in drawn["rows"]]
    assert (line["process"], line["jets"]) == ("wjets", 2)
    for x, values in zip(drawn["x"], ([500, 460], [80.4, 100], [0.25, 0.5]), strict=True):
        np.testing.assert_allclose(line[x["name"]], np.histogram(values, x["edges"])[0] / 2)


def test_every_process_that_can_be_simulated_has_a_place_in_the_picture() -> None:
    assert sorted(name for family in processes.FAMILIES.values() for name in family) == sorted(load_processes())
