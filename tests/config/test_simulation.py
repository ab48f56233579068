"""Ready-made simulations and their predicted cost."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from oddjets.config.simulation import PREDEFINED, SimulationSpec
from oddjets.simulation.cost_estimate import CostPrediction, predict
from oddjets.simulation.job_plan import make_plan


def cost(**fields: object) -> CostPrediction:
    return predict(make_plan(SimulationSpec.model_validate(fields)))


def test_sets_grow_from_seconds_to_days() -> None:
    seconds = [cost(set=name).cpu_seconds for name in ("tiny", "demo", "validation", "full")]
    assert seconds[0] < 60 < seconds[1] < 1000 < 3600 < seconds[2] < seconds[3]


def test_validation_has_100_000_selected_qcd_events() -> None:
    assert cost(templates={"qcd": PREDEFINED["validation"]["templates"]["qcd"]}).selected == pytest.approx(
        100_000, rel=0.1
    )


def test_full_has_the_luminosity_of_2016_gh_and_every_process_but_the_signal() -> None:
    spec = SimulationSpec.model_validate({"set": "full"})
    assert spec.luminosity == pytest.approx(7653.26 + 8740.12)
    assert set(spec.templates) - set(spec.data_processes) == {"hh"}


def test_what_is_given_replaces_what_the_set_has() -> None:
    spec = SimulationSpec.model_validate({"set": "tiny", "luminosity": 2.0, "inject": {"hh": 5.0}})
    plain = SimulationSpec.model_validate({"set": "tiny"})
    assert (spec.luminosity, spec.inject, spec.templates) == (2.0, {"hh": 5.0}, plain.templates)


def test_cost_is_proportional_to_tries() -> None:
    one, ten = (cost(templates={"top": tries}) for tries in (1000, 10_000))
    assert ten.cpu_seconds == pytest.approx(10 * one.cpu_seconds)
    assert ten.megabytes == pytest.approx(10 * one.megabytes)
    assert one.text(2).startswith("1 file, ")


def test_without_veto_everything_costs_more() -> None:
    cheap, dear = (cost(templates={"qcd": 1000}, early_veto=veto) for veto in (True, False))
    assert dear.cpu_seconds > 5 * cheap.cpu_seconds


def test_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"no set 'validate'.*'validation'"):
        SimulationSpec.model_validate({"set": "validate"})


def test_two_workers_take_half_the_time() -> None:
    prediction = cost(set="full")
    assert prediction.text(2) != prediction.text(4)
