"""Ready-made simulations, by name: what ``simulate: {set: NAME}`` and ``--set NAME`` begin with."""

from __future__ import annotations

from typing import Any

from oddjets.core.errors import OddjetsError, nearest

__all__ = ["SETS", "named_set"]

#: eras G and H of 2016, 1/pb
_LUMINOSITY_2016_GH = 16393.38
_OTHERS = ("top", "wjets", "zjets", "stop_t", "stop_s", "ww", "wz", "zz", "wh", "zh", "hj", "tth")

#: name: fields of `oddjets.config.simulation.SimulationSpec`
SETS: dict[str, dict[str, Any]] = {
    # seconds, for tests
    "tiny": {"luminosity": 1.0, "templates": {"qcd": 600, "top": 200, "wjets": 200, "zjets": 200}},
    # minutes
    "demo": {"luminosity": 90.0, "templates": {"qcd": 20_000, "top": 12_000, "wjets": 5000, "zjets": 3500}},
    # 100 000 selected QCD events
    "validation": {
        "luminosity": 300.0,
        "templates": {"qcd": 3_300_000, "top": 60_000, "wjets": 30_000, "zjets": 30_000, "hh": 17_000},
    },
    # the data of 2016 that the open-data analysis uses, and every process
    "full": {
        "luminosity": _LUMINOSITY_2016_GH,
        "data_processes": ("qcd", *_OTHERS),
        "templates": {"qcd": 3_300_000, **dict.fromkeys(_OTHERS, 100_000), "top": 400_000, "hh": 57_000},
    },
}


def named_set(name: str) -> dict[str, Any]:
    """Return what a ready-made simulation asks for.

    Args:
        name: a name of ``SETS``.

    Returns:
        Fields of `oddjets.config.simulation.SimulationSpec`.

    Raises:
        OddjetsError: for an unknown name.
    """
    if name not in SETS:
        raise OddjetsError(f"simulate: no set '{name}'; {nearest(name, SETS)}")
    return dict(SETS[name])
