"""The answer in words: what the fit found, for the first screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from oddjets.plots.artifacts import Artifacts
from oddjets.plots.text import count, label_html, p_value, with_error

__all__ = ["Answer", "answer"]

#: the field's words for a significance, from above
WORDS = ((5.0, "Observation of"), (3.0, "Evidence for"), (2.0, "A hint of"), (0.0, "No significant sign of"))
#: what an error is, by its kind in results.json
ERRORS = {
    "symmetric": "",
    "one-sided": "one-sided error: how far −2 ln L rises by one inside the range",
    "profile": "error from the profile of −2 ln L, the mean of both sides",
}


@dataclass(frozen=True)
class Answer:
    """What the first screen says.

    Attributes:
        headline: one sentence.
        numbers: (name, value, note, file, key) of the large numbers.
        sentences: (sentence, file, key) of what else belongs to the answer; no file where it holds no number.
    """

    headline: Markup
    numbers: list[tuple[str, str, str, str, str]]
    sentences: list[tuple[Markup, str, str]]


def answer(artifacts: Artifacts) -> Answer | None:
    """Return the answer, or None where there is no fit yet."""
    if not artifacts.has("results") or not artifacts.results.get("poi"):
        return None
    results = artifacts.results
    poi = results["poi"]
    z = (results.get("significance") or {}).get("z")
    fit = artifacts.analysis.fit
    name = fit.pois[0].process if fit is not None else poi["name"]
    label = label_html(artifacts.process(name)["label"])
    numbers = [
        (
            "Signal strength",
            f"{'μ' if poi['name'] == 'mu' else poi['name']} = {with_error(poi['value'], poi.get('error'))}",
            "; ".join(filter(None, ("in units of the stated cross section", ERRORS.get(poi.get("error_kind") or "")))),
            "results.json",
            "poi",
        )
    ]
    if z is not None:
        note = f"p = {p_value((results.get('significance') or {}).get('p_value'))} without signal"
        numbers.append(("Significance", f"{z:.2f} σ", note, "results.json", "significance.z"))
    limit = results.get("limit") or {}
    if limit.get("observed") is not None:
        expected = limit.get("expected")
        note = f"{expected[2]:.3g} expected without signal" if expected and len(expected) == 5 else ""
        numbers.append(("95 % CL upper limit", f"{limit['observed']:.3g}", note, "results.json", "limit.observed"))
    return Answer(_headline(label, z), numbers, list(_sentences(artifacts, results, label)))


def _headline(label: Markup, z: float | None) -> Markup:
    if z is None:
        return Markup("The strength of {} was fitted.").format(label)
    words = next(text for least, text in WORDS if max(z, 0.0) >= least)
    return Markup("{} {}: {} standard deviations.").format(words, label, f"{max(z, 0.0):.1f}")


def _sentences(artifacts: Artifacts, results: dict[str, Any], label: Markup) -> list[tuple[Markup, str, str]]:
    said = []
    if results["poi"].get("at_boundary"):
        at = Markup("The fitted strength of {} is at the boundary of its range: its error is one-sided.").format(label)
        said.append((at, "results.json", "poi.at_boundary"))
    if artifacts.blinded:
        blind = Markup(
            "Letter A is blinded: the expected background stands in for its data, and the answer is an expectation."
        )
        said.append((blind, "", ""))
    likelihood = results.get("twice_nll") or {}
    if {"background", "signal_plus_background"} <= set(likelihood):
        gain = f"{likelihood['background'] - likelihood['signal_plus_background']:.1f}"
        said.append((Markup("Adding {} improves −2 ln L by {}.").format(label, gain), "results.json", "twice_nll"))
    in_a = [
        sum(letters["A"]["data"])
        for letters in results.get("yields", {}).values()
        if "A" in letters and letters["A"].get("data") is not None
    ]
    if in_a:
        where = ", ".join(results["yields"])
        passing = Markup("{} data events have both scores above the threshold in {}.").format(count(sum(in_a)), where)
        said.append((passing, "results.json", "yields.*.A.data"))
    return said
