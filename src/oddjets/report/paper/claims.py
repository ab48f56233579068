"""Statements of the paper about its figures, compared with the results here.

The paper's numbers are those of arXiv:2603.23593. A verdict is about a statement, not about digits: with another luminosity,
another model and another world, no number should be the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from scipy.stats import chi2

from oddjets.report.text import count, p_of_toys, p_value, strength, with_error

__all__ = ["Comparison", "Results", "compare"]

#: agrees: the paper's statement holds here; apart: nothing to hold it against; absent: not made yet
Verdict = Literal["agrees", "differs", "apart", "absent"]


@dataclass(frozen=True)
class Comparison:
    """One statement.

    Attributes:
        what: it is about.
        paper: what the paper has.
        here: what we have.
        verdict: whether the same holds.
        file: where our number is, relative to the index; "" if there is none.
        key: and under which key.
    """

    what: str
    paper: str
    here: str
    verdict: Verdict
    file: str = ""
    key: str = ""


class Results:
    """The numbers of all set-ups.

    Args:
        out: the folder with a folder a set-up.
        injected: strengths of processes that were put into the pseudo-data.
    """

    def __init__(self, out: Path, injected: Mapping[str, float]) -> None:
        self.out = out
        self.injected = injected
        self.json = cache(self._json)

    def _json(self, place: str) -> dict[str, Any] | None:
        """Read a JSON file; None where it is not there, or half-written."""
        try:
            content = json.loads((self.out / place).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def fit(self, setup: str) -> dict[str, Any] | None:
        """Return a set-up's results.json."""
        return self.json(f"{setup}/results.json")

    def z(self, setup: str) -> float | None:
        """Return a set-up's significance."""
        value = ((self.fit(setup) or {}).get("significance") or {}).get("z")
        return None if value is None else float(value)


Found = list[Comparison]

#: an error of a closure constant above which it says nothing
_MAX_RELATIVE_ERROR = 0.25


def compare(number: int, results: Results) -> Found:
    """Return the statements about one of the paper's figures."""
    return _BY_FIGURE[number](results)


def _statement(what: str, paper: str, here: str | None, holds: bool | None, file: str, key: str) -> Comparison:
    """Return one statement: ``absent`` without a number here, ``apart`` where the two cannot be compared."""
    if here is None:
        return Comparison(what, paper, "not yet", "absent")
    return Comparison(what, paper, here, "apart" if holds is None else "agrees" if holds else "differs", file, key)


def _bump(results: Results) -> Found:
    file = "paper_top/figures/bump.json"
    drawn = results.json(file)
    fit = window = None
    good = excess = None
    if drawn is not None:
        quality, p = drawn["quality"], drawn["p_value"]
        fit = f"deviance / ndf = {quality['deviance']:.1f} / {quality['ndf']}"
        # the deviance of counts follows a chi-square where they are not small
        good = bool(chi2.sf(quality["deviance"], quality["ndf"]) > 0.05)
        window = f"local p = {p_value(p['local'])}, global {p_of_toys(p['global'], p['toys'])}"
        excess = p["local"] < 0.00135
    return [
        _statement("Fit of the sidebands", "excellent (small), poor (large)", fit, good, file, "quality"),
        _statement("Jets in the top window", "clear excess (small)", window, excess, file, "p_value"),
    ]


def _regions(results: Results) -> Found:
    file = "paper_top/figures/regions.json"
    fit = results.fit("paper_top")
    found = None if fit is None else sum(len(letters) for letters in fit["yields"].values())
    return [_statement("Regions fitted at once", "8", None if found is None else str(found), found == 8, file, "maps")]


def _closure(paper: dict[str, str], comparable: bool) -> Callable[[Results], Found]:
    def found(results: Results) -> Found:
        file = "paper_top/closure.json"
        closure = results.json(file) or {}
        made = []
        for region, said in paper.items():
            best = _most_certain(closure, region)
            here, holds, key = "too few simulated events", None, f"regions.{region}"
            if best is not None and best.error < _MAX_RELATIVE_ERROR:
                here, key = f"c = {with_error(best.value, best.error)}{best.where}", best.key
                holds = abs(best.value - 1) < 2 * best.error if comparable else None
            made.append(_statement(f"Constant, {region}", said, here if closure else None, holds, file, key))
        return made

    return found


class _Constant(NamedTuple):
    """A closure constant: ``where`` says with how many jets, ``key`` where it is in closure.json."""

    value: float
    error: float
    where: str
    key: str


def _most_certain(closure: dict[str, Any], region: str) -> _Constant | None:
    """Return the constant of simulated QCD with the smallest error, at the threshold or where more jets pass."""
    found = []
    for number, one in enumerate([closure, *closure.get("scans", [])], start=-1):
        values = one.get("regions", {}).get(region, {})
        c, error = values.get("constant"), values.get("constant_error")
        if one.get("process") == "qcd" and c is not None and error:
            where = "" if number < 0 else f" with {one['efficiency']:.0%} of jets".replace("%", " %")
            place = "" if number < 0 else f"scans.{number}."
            found.append(_Constant(c, error, where, f"{place}regions.{region}.constant"))
    return min(found, key=lambda constant: constant.error, default=None)


def _significance(setup: str, paper: str, holds: Callable[[float], bool]) -> Callable[[Results], Comparison]:
    def found(results: Results) -> Comparison:
        z = results.z(setup)
        here = None if z is None else f"{z:.2f} σ"
        return _statement(
            "Significance", paper, here, None if z is None else holds(z), f"{setup}/results.json", "significance.z"
        )

    return found


def _qcd_yield(results: Results, region: str, paper: float) -> Comparison:
    fit = results.fit("paper_top")
    fitted = {} if fit is None else fit["yields"].get(region, {}).get("A", {}).get("signal_plus_background", {})
    share = None
    if "qcd" in fitted and fitted["total"]["sum"]["value"] > 0:
        share = fitted["qcd"]["sum"]["value"] / fitted["total"]["sum"]["value"]
    return _statement(
        f"QCD in A, {region}",
        f"about {paper:.0%}".replace("%", " %"),
        None if share is None else f"{share:.0%}".replace("%", " %"),
        None if share is None else abs(share - paper) < 0.1,
        "paper_top/results.json",
        f"yields.{region}.A",
    )


def _top(results: Results) -> Found:
    # five standard deviations: found again
    z = _significance("paper_top", "well above 10 σ, 16.4 /fb", lambda z: z >= 5)(results)
    return [z, _qcd_yield(results, "SR", 0.25), _qcd_yield(results, "VR1", 0.30)]


def _goodness(setup: str, what: str, paper: str, comparable: bool) -> Callable[[Results], Comparison]:
    def found(results: Results) -> Comparison:
        gof = (results.fit(setup) or {}).get("gof") or {}
        p = gof.get("p_value")
        here = None if p is None else p_of_toys(p, gof.get("toys") or 0, gof.get("failed") or 0)
        holds = p > 0.05 if p is not None and comparable else None
        return _statement(what, paper, here, holds, f"{setup}/results.json", "gof.p_value")

    return found


def _gain(setup: str, paper: str, holds: bool | None) -> Callable[[Results], Comparison]:
    """Compare how much the signal improves the fit; ``holds``: whether the paper says that it does."""

    def found(results: Results) -> Comparison:
        both = (results.fit(setup) or {}).get("twice_nll")
        gain = None if both is None else both["background"] - both["signal_plus_background"]
        here = None if gain is None else f"−2 ln L falls by {gain:.1f}"
        agrees = None if holds is None or gain is None else (gain > 1) is holds
        return _statement("With the signal", paper, here, agrees, f"{setup}/results.json", "twice_nll")

    return found


def _strength(results: Results) -> Comparison:
    fit = results.fit("paper_hh") or {}
    poi = fit.get("poi")
    here = None
    if poi is not None:
        here = f"μ = {strength(poi)}; {results.injected.get('hh', 0):g} put in"
    return _statement("Strength", "4000 × SM", here, None, "paper_hh/results.json", "poi")


def _rises(setup: str, before: str, paper: str, known: str) -> Callable[[Results], Found]:
    def found(results: Results) -> Found:
        z, less = results.z(setup), results.z(before)
        here = None if z is None or less is None else f"{less:.2f} to {z:.2f} σ"
        holds = None if z is None or less is None else z > less
        return [_statement("Significance", f"{paper}: {known}", here, holds, f"{setup}/results.json", "significance.z")]

    return found


def _xbb(results: Results) -> Found:
    limit = ((results.fit("paper_xbb") or {}).get("limit") or {}).get("observed")
    here = None if limit is None else f"{count(limit)} in units of 0.1 fb"
    return [
        _significance("paper_xbb", "1.02 σ: no signal", lambda z: z < 2)(results),
        _statement("95 % CL limit", "323 × SM", here, None, "paper_xbb/results.json", "limit.observed"),
    ]


def _overlap(results: Results) -> Found:
    file = "paper_top/figures/overlap_xbb.json"
    drawn = results.json(file)
    here = None if drawn is None else f"{drawn['share']:.0%}".replace("%", " %")
    # a little beside the paper's range
    holds = None if drawn is None else 0.15 <= drawn["share"] <= 0.35
    return [_statement("Anomalous by X(bb), too", "20 to 30 %", here, holds, file, "share")]


def _controls(setup: str) -> Callable[[Results], Found]:
    """Compare the data with the fit in B, C and D, where QCD follows the data."""

    def found(results: Results) -> Found:
        fit = results.fit(setup)
        largest = None
        if fit is not None:
            largest = max(
                abs(seen - expected) / max(expected, 1.0) ** 0.5
                for letters in fit["yields"].values()
                for letter, one in letters.items()
                if letter != "A" and one["data"] is not None
                for seen, expected in zip(one["data"], one["signal_plus_background"]["total"]["values"], strict=True)
            )
        here = None if largest is None else f"at most {largest:.1f} σ of the counts in a bin"
        holds = None if largest is None else largest < 3
        return [_statement("B, C and D", "agree by construction", here, holds, f"{setup}/results.json", "yields")]

    return found


_BY_FIGURE: dict[int, Callable[[Results], Found]] = {
    1: _bump,
    2: _regions,
    3: _closure({"SR": "compatible with 1", "VR1": "compatible with 1"}, comparable=True),
    4: _top,
    5: _closure({"SR": "0.926 ± 0.065", "VR1": "1.042 ± 0.031"}, comparable=False),
    6: lambda r: [_gain("paper_hh", "a structure no process explains", None)(r)],
    7: lambda r: [
        _goodness("paper_top", "Small model", "reasonable p", comparable=True)(r),
        _goodness("paper_hh", "Large model; here: with the signal", "small p", comparable=False)(r),
    ],
    8: lambda r: [_significance("paper_hh", "2.38 σ: a hint", lambda z: z >= 2)(r), _strength(r)],
    9: _rises("paper_hh_split", "paper_hh", "rises with the split", "2.38 to 3.92 σ"),
    10: _rises("paper_hh_btag", "paper_hh_split", "rises with a b tag", "3.92 to 4.11 σ"),
    11: _xbb,
    12: _overlap,
    13: lambda r: [_gain("paper_dijet_mass", "improves the fit", True)(r)],
    14: lambda r: [],
    15: _controls("paper_top"),
    16: lambda r: [],
    17: _controls("paper_hh"),
    18: _controls("paper_hh_split"),
    19: _controls("paper_hh_btag"),
    20: _controls("paper_xbb"),
    21: _controls("paper_dijet_mass"),
}
