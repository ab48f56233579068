"""Blocks and seeds."""

from __future__ import annotations

import itertools
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from oddjets.config.analysis import load_analysis
from oddjets.config.simulation import SimulationSpec, default_seed
from oddjets.core.errors import OddjetsError
from oddjets.simulation.job_plan import TRIES_PER_BLOCK, make_plan
from oddjets.simulation.processes import load_processes, select_processes
from oddjets.workflow.paper import SETUPS, analyses


def test_no_two_streams_share_a_seed() -> None:
    spec = SimulationSpec(luminosity=2000.0, templates={"qcd": 2_000_000, "top": 400_000, "hh": 30})
    streams = [stream for block in make_plan(spec) for stream in block.streams]
    assert len(streams) > 500
    assert len({s.pythia_seed for s in streams}) == len(streams)
    assert len({s.detector_seed for s in streams}) == len(streams)
    assert all(1 <= s.pythia_seed <= 900_000_000 for s in streams)


def test_templates_try_exactly_what_is_asked() -> None:
    tries = 2 * TRIES_PER_BLOCK + 7
    blocks = make_plan(SimulationSpec(templates={"qcd": tries}))
    assert [b.tries for b in blocks] == [TRIES_PER_BLOCK, TRIES_PER_BLOCK, 7]
    assert [b.path for b in blocks] == [f"qcd/qcd-000{k}.root" for k in range(3)]


def test_pseudo_data_are_poisson_around_cross_section_times_luminosity() -> None:
    luminosity, seeds = 3.0, 200
    counts = [
        sum(s.tries for b in make_plan(SimulationSpec(seed=k, luminosity=luminosity, blocks=4)) for s in b.streams)
        for k in range(seeds)
    ]
    processes = load_processes()
    mean = luminosity * sum(
        processes[n].cross_section_pb * processes[n].k_factor for n in ("qcd", "top", "wjets", "zjets")
    )
    assert sum(counts) / seeds == pytest.approx(mean, abs=4 * math.sqrt(mean / seeds))
    variance = sum((c - mean) ** 2 for c in counts) / seeds
    assert variance == pytest.approx(mean, rel=4 * math.sqrt(2 / seeds))


def test_each_process_is_poisson_by_itself_and_knows_nothing_of_the_others() -> None:
    luminosity, seeds, inject = 2.0, 300, {"top": 3.0, "hh": 2e5}
    processes = load_processes()
    names = ("qcd", "top", "wjets", "zjets", "hh")
    counts = np.zeros((seeds, len(names)))
    for seed in range(seeds):
        for block in make_plan(SimulationSpec(seed=seed, luminosity=luminosity, inject=inject, blocks=3)):
            for stream in block.streams:
                counts[seed, names.index(stream.process)] += stream.tries
    strengths = np.array([inject.get(name, 1.0) for name in names])
    means = luminosity * strengths * [processes[n].cross_section_pb * processes[n].k_factor for n in names]
    pulls = (counts - means) / np.sqrt(means)
    np.testing.assert_allclose(pulls.mean(axis=0), 0, atol=4 / np.sqrt(seeds))
    np.testing.assert_allclose(pulls.var(axis=0), 1, atol=4 * np.sqrt((2 + 1 / means.min()) / seeds))
    np.testing.assert_allclose(np.corrcoef(counts.T), np.eye(len(names)), atol=4 / np.sqrt(seeds))


def test_pseudo_experiments_and_templates_share_no_seed() -> None:
    specs = [SimulationSpec(templates={"qcd": 100_000, "top": 4000, "wjets": 2500})]
    specs += [SimulationSpec(seed=1000 + k, luminosity=0.5, blocks=1) for k in range(1, 101)]
    seeds = [stream.pythia_seed for spec in specs for block in make_plan(spec) for stream in block.streams]
    assert len(seeds) > 300
    assert len(set(seeds)) == len(seeds)


def test_injected_strength_replaces_one_and_zero_removes() -> None:
    spec = SimulationSpec(luminosity=1.0, inject={"hh": 5.0, "top": 0.0})
    assert spec.strengths == {"qcd": 1.0, "wjets": 1.0, "zjets": 1.0, "hh": 5.0}


@settings(max_examples=20)
@given(seed=st.integers(0, 2**63), luminosity=st.floats(0.1, 100))
def test_a_plan_depends_on_nothing_but_its_specification(seed: int, luminosity: float) -> None:
    spec = SimulationSpec(seed=seed, luminosity=luminosity, templates={"top": 3000})
    first, second = make_plan(spec), make_plan(spec)
    assert first == second
    assert [b.key for b in first] == [b.key for b in second]


def test_the_key_knows_seed_tries_and_veto() -> None:
    keys = [
        make_plan(SimulationSpec(seed=seed, early_veto=veto, templates={"top": tries}))[0].key
        for seed, veto, tries in [(1, True, 10), (2, True, 10), (1, False, 10), (1, True, 11)]
    ]
    assert len(set(keys)) == 4


def test_adding_a_template_leaves_the_other_files_alone() -> None:
    few = make_plan(SimulationSpec(luminosity=1.0, templates={"top": 100}))
    more = make_plan(SimulationSpec(luminosity=1.0, templates={"top": 100, "qcd": 100}))
    assert {b.key for b in few} < {b.key for b in more}
    assert all(a.key != b.key for a, b in pairwise(more))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"luminosity": -1.0}, "greater than 0"),
        ({"luminosity": float("inf")}, "finite"),
        ({"luminosity": 1.0, "inject": {"hh": -2.0}}, "greater than or equal to 0"),
        ({"templates": {"qcd": 0}}, "greater than 0"),
        ({}, "nothing to simulate"),
        ({"templates": {"qcd": 1}, "inject": {"hh": 1.0}}, "no luminosity"),
        ({"luminosity": 1.0, "energy_TeV": 7.0}, "13 TeV only"),
        ({"luminosity": 1.0, "lumi": 2.0}, "Extra inputs"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SimulationSpec(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"templates": {"tpo": 10}}, "unknown process 'tpo': did you mean 'top'"),
        ({"luminosity": 1.0, "inject": {"dihiggs": 1.0}}, "unknown process 'dihiggs'"),
        ({"templates": {"ww": 10, "ww_4q": 10}}, "ww and ww_4q overlap"),
    ],
)
def test_no_plan_has_processes_that_there_are_not(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OddjetsError, match=message):
        make_plan(SimulationSpec(**arguments))  # type: ignore[arg-type]


def test_processes_state_their_cross_sections() -> None:
    processes = load_processes()
    assert {"qcd", "top", "wjets", "zjets", "stop_t", "stop_s", "ww", "wz", "zz", "wh", "zh", "hj", "tth", "hh"} <= set(
        processes
    )
    # 833.9 pb times the part of inclusive leading order (508.3 pb) that is above pt_hat_min
    assert processes["top"].k_factor == pytest.approx(833.9 / 508.3, rel=1e-3)
    # HH to 4b above 900 GeV (30 686 of 3 million events), over the accepted part of the tries
    assert processes["hh"].cross_section_pb * 0.8627 == pytest.approx(0.03105 * 0.5824**2 * 30686 / 3e6, rel=1e-3)
    assert all(p.cross_section_source and p.k_factor_source for p in processes.values())


def test_a_decay_mode_is_not_used_beside_all_decays() -> None:
    with pytest.raises(OddjetsError, match="ww and ww_4q overlap"):
        select_processes(["qcd", "ww", "ww_4q"])


def test_overlapping_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {k: p.model_copy(update={"overlap_group": "vjets"}) for k, p in load_processes().items()}
    monkeypatch.setattr("oddjets.simulation.processes.load_processes", lambda: known)
    with pytest.raises(OddjetsError, match="qcd and top overlap"):
        select_processes(["qcd", "top"])


def shipped() -> dict[str, Any]:
    """What every analysis that the package carries asks of the simulation."""
    found = {}
    for file in sorted((Path(__file__).resolve().parents[2] / "processors").glob("*.yaml")):
        # a list of choices is no analysis
        if file.stem.endswith("_choices"):
            continue
        if (spec := load_analysis(file).simulate) is not None:
            found[file.stem] = spec
    return found


#: analyses that say in their YAML whose sample they share
ON_PURPOSE = {"demo_small": "demo", **dict.fromkeys(SETUPS, SETUPS[0])}


def test_analyses_share_no_stream_unless_they_share_a_sample() -> None:
    """The demo's events were nearly all in the sample of the paper's set-ups, so that one could not confirm the other."""
    streams = {
        name: {(stream.process, stream.pythia_seed) for block in make_plan(spec) for stream in block.streams}
        for name, spec in shipped().items()
    }
    assert {"demo", "trigger_efficiency", *SETUPS} <= set(streams)
    for (one, of_one), (other, of_other) in itertools.combinations(streams.items(), 2):
        together = ON_PURPOSE.get(one, one) == ON_PURPOSE.get(other, other)
        assert bool(of_one & of_other) == together, (one, other)


def test_the_demo_and_the_efficiency_keep_the_seeds_that_their_numbers_are_from() -> None:
    specs = shipped()
    assert {name: specs[name].seed for name in ("demo", "demo_small", "trigger_efficiency")} == {
        "demo": 1,
        "demo_small": 1,
        "trigger_efficiency": 7,
    }


def test_the_papers_set_ups_share_one_sample() -> None:
    asked = analyses(1.0, [])
    assert len({analysis.simulate.model_dump_json() for analysis in asked if analysis.simulate}) == 1
    assert {analysis.simulate.seed for analysis in asked if analysis.simulate} == {default_seed("paper_top")}
    assert {a.simulate.seed for a in analyses(0.1, [], seed=5) if a.simulate} == {5}
