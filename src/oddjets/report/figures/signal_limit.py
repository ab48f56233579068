"""The CLs upper limit on the cross section of a rescored signal, with its expected bands."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import limit
from oddjets.report.intervals import finite

__all__ = ["data", "draw"]


def data(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    """Return the observed and the expected limit, pb."""
    if not artifacts.has("rescoring"):
        return {}
    found = artifacts.json("rescoring.json", "limit", "signal")
    of_signal, label = found["limit"], found["signal"]["label"]
    if of_signal is None or None in of_signal["expected_pb"]:
        return {}
    observed, expected = of_signal["observed_pb"], of_signal["expected_pb"]
    seen = "blinded" if found["blinded"] else "none" if observed is None else f"{observed:.3g} pb"
    forced = f" Forced: {'; '.join(found['forced'])}." if found["forced"] else ""
    return {
        "signal_limit": {
            "kind": "signal_limit",
            "name": "signal_limit",
            "title": f"Upper limit on the cross section of {label}",
            "header": artifacts.header,
            "poi": "the cross section [pb]",
            "process": label,
            "observed": observed,
            "expected": finite(expected),
            "confidence": of_signal["level"],
            "alt": (
                f"Asymptotic upper limit on the cross section of {label} at {of_signal['level']:.0%} confidence level: observed"
                f" {seen}, median expected {expected[2]:.3g} pb, 68 % band {expected[1]:.3g} to {expected[3]:.3g} pb."
            ),
            "caption": (
                f"Asymptotic CLs upper limit on the cross section of {label}, of all generated events, at"
                f" {100 * of_signal['level']:g} % confidence level, with the expected bands without signal.{forced}"
            ),
            "sources": [{"file": "rescoring.json", "key": "limit"}],
        }
    }


def draw(drawn: dict[str, Any]) -> Figure:
    """Draw bands, median and observed limit, as of a strength."""
    return limit.draw(drawn)
