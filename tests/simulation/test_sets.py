"""Ready-made simulations and their predicted cost."""

from __future__ import annotations

import pytest

from oddjets.errors import OddjetsError
from oddjets.simulation.plan import make_plan
from oddjets.simulation.sets import SETS, named_set, predict
from oddjets.simulation.spec import SimulationSpec


def test_sets_grow_from_seconds_to_days() -> None:
    seconds = [predict(SETS[name]).cpu_seconds for name in ("tiny", "demo", "validation", "full")]
    assert seconds[0] < 60 < seconds[1] < 1000 < 3600 < seconds[2] < seconds[3]


def test_validation_has_100_000_selected_qcd_events() -> None:
    qcd = SimulationSpec(templates={"qcd": SETS["validation"].templates["qcd"]})
    assert predict(qcd).selected == pytest.approx(100_000, rel=0.1)


def test_full_has_a_file_for_every_block_and_the_luminosity_of_2016_gh() -> None:
    spec = named_set("full")
    assert spec.luminosity == pytest.approx(7653.26 + 8740.12)
    assert predict(spec).files == len(make_plan(spec))


def test_cost_is_proportional_to_tries() -> None:
    one, ten = (predict(SimulationSpec(templates={"top": tries})) for tries in (1000, 10_000))
    assert ten.cpu_seconds == pytest.approx(10 * one.cpu_seconds)
    assert ten.megabytes == pytest.approx(10 * one.megabytes)
    assert one.text(2).startswith("1 file, ")


def test_without_veto_everything_costs_more() -> None:
    cheap, dear = (predict(SimulationSpec(templates={"qcd": 1000}, early_veto=veto)) for veto in (True, False))
    assert dear.cpu_seconds > 5 * cheap.cpu_seconds


def test_an_unknown_set_names_the_nearest() -> None:
    with pytest.raises(OddjetsError, match=r"no set 'validate'.*'validation'"):
        named_set("validate")


def test_two_workers_take_half_the_time() -> None:
    prediction = predict(SETS["full"])
    assert prediction.text(2) != prediction.text(4)
