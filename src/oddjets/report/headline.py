"""The result in words, for the top of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from oddjets.io.studies import bound_of, method_of
from oddjets.report.artifacts import Artifacts
from oddjets.report.text import count, label_html, p_of_toys, p_value, strength
from oddjets.stats.closure_state import conditions
from oddjets.stats.shown_numbers import is_asymmetric, percent

__all__ = ["ResultSummary", "Statement", "summarise_results"]

#: the field's words for a significance, from above
WORDS = ((5.0, "Observation of"), (3.0, "Evidence for"), (2.0, "A hint of"), (0.0, "No significant sign of"))
#: what an error is, by its kind in results.json
ERRORS = {
    "symmetric": "",
    "one-sided": "one-sided error: how far −2 ln L rises by one inside the range",
    "profile": "error from the profile of −2 ln L, the mean of both sides",
}


@dataclass(frozen=True)
class Statement:
    """One sentence with at most one number.

    Attributes:
        before: the words before the number; all of them if there is none.
        number: as it is read; "" if there is none.
        after: the words after it.
        file: where the number is, relative to the output directory.
        key: and under which key.
    """

    before: Markup
    number: str = ""
    after: Markup | str = ""
    file: str = ""
    key: str = ""


@dataclass(frozen=True)
class ResultSummary:
    """The content of the top of the report.

    Attributes:
        headline: one sentence.
        numbers: (name, value, note, file, key) of the large numbers.
        sentences: what else belongs to the result.
    """

    headline: Markup
    numbers: list[tuple[str, str, str, str, str]]
    sentences: list[Statement]


def summarise_results(artifacts: Artifacts) -> ResultSummary | None:
    """Return the result, or None where there is no fit yet."""
    if not artifacts.has("results") or not artifacts.results.get("poi"):
        return None
    results = artifacts.results
    poi = results["poi"]
    z = (results.get("significance") or {}).get("z")
    fit = artifacts.analysis.fit
    process = next((p.process for p in (fit.pois if fit is not None else ()) if p.name == poi["name"]), None)
    # any parameter can be asked about, and not all are the strength of a process
    signal, without = process is not None, "without signal" if process is not None else f"if {poi['name']} = 0"
    label = label_html(artifacts.process(process)["label"]) if process else Markup("{}").format(poi["name"])
    numbers = [
        (
            "Signal strength" if signal else f"Fitted {poi['name']}",
            f"{'μ' if poi['name'] == 'mu' else poi['name']} = {strength(poi)}",
            "; ".join(
                filter(
                    None,
                    (
                        "in units of the stated cross section" if signal else "",
                        _kind_of_error(poi),
                    ),
                )
            ),
            "results.json",
            "poi",
        )
    ]
    if z is not None:
        found = results["significance"]
        symbol = "μ" if poi["name"] == "mu" else poi["name"]
        notes = [f"p = {p_value(found.get('p_value'))} {without}, asymptotic"]
        if expected := found.get("expected"):
            notes.insert(0, f"{expected['z']:.2f} expected for {symbol} = {expected['strength']:g}")
        if toys := found.get("toys"):
            failed = f", {count(toys['failed'])} failed" if toys.get("failed") else ""
            p = p_of_toys(toys["p_value"], toys["toys"], toys.get("failed") or 0)
            notes.append(f"{p} from {count(toys['toys'])} toys{failed}")
        for study in artifacts.studies.values():
            if calibrated := study.get("calibration"):
                known = bound_of(calibrated) or f"{p_value(calibrated['p_value'])} ({method_of(calibrated)})"
                notes.append(f"{study['name']}: {known}")
        significance = "Significance" if signal else f"Significance of {poi['name']} > 0"
        numbers.append((significance, f"{z:.2f} σ", "; ".join(notes), "results.json", "significance.z"))
    limit = results.get("limit") or {}
    if limit.get("observed") is not None:
        expected = limit.get("expected")
        note = "asymptotic"
        if expected and len(expected) == 5 and expected[2] is not None:
            note = f"{expected[2]:.3g} expected {without}, asymptotic"
        if toys := limit.get("toys"):
            middle = toys["expected"][len(toys["expected"]) // 2]
            seen = "none" if toys["observed"] is None else f"{toys['observed']:.3g}"
            parts = [note, f"from {count(toys['toys'])} toys {seen}"]
            parts[1] += "" if middle is None else f", {middle:.3g} expected"
            note = "; ".join(filter(None, parts))
        upper = "95 % CL upper limit" if signal else f"95 % CL upper limit on {poi['name']}"
        numbers.append((upper, f"{limit['observed']:.3g}", note, "results.json", "limit.observed"))
    condition = _Condition.of(artifacts, results)
    sentences = [*condition.reasons(), *_sentences(artifacts, results, label, signal)]
    return ResultSummary(_headline(label, z, signal, condition), numbers, sentences)


def _kind_of_error(poi: Mapping[str, Any]) -> str:
    kind = str(poi.get("error_kind") or "")
    if not is_asymmetric(poi) or kind == "fixed":
        return ERRORS.get(kind, "")
    ends = [word for side, word in (("up", "upper"), ("down", "lower")) if poi.get(f"{side}_at_bound")]
    bound = f"; the {' and the '.join(ends)} one ends at the bound" if ends else ""
    return f"errors at which −2 ln L has risen by one{bound}"


@dataclass(frozen=True)
class _Condition:
    """The assumption that a result rests on.

    Attributes:
        why: clauses that say why it stands only if ABCD holds; empty: it needs no such words.
        contradicted: whether the closure contradicts ABCD.
        beside: the significance with the closure's uncertainty, where the fit has none; None: not known.
        sizes: that uncertainty by region, of the fit or of `beside`.
    """

    why: Sequence[str]
    contradicted: bool
    beside: float | None
    sizes: Mapping[str, float]

    @classmethod
    def of(cls, artifacts: Artifacts, results: Mapping[str, Any]) -> _Condition:
        fit, used = artifacts.analysis.fit, results.get("closure_uncertainty") or {}
        if fit is None or artifacts.analysis.data_driven is None:
            return cls((), contradicted=False, beside=None, sizes={})
        closure = artifacts.closure if artifacts.has("closure") else None
        why = conditions(closure, fit.regions, used)
        other = results.get("significance", {}).get("with_closure_uncertainty") or {}
        sizes = {region: one["size"] for region, one in used.items()} or other.get("sizes", {})
        return cls(why, any("contradicts" in clause for clause in why), other.get("z"), sizes)

    @property
    def words(self) -> str:
        """What the headline says behind the process."""
        if not self.why:
            return ""
        return " if ABCD holds, which the closure contradicts" if self.contradicted else " if ABCD holds"

    @property
    def uncertainty(self) -> str:
        """The sizes of the uncertainty in words."""
        return " and ".join(f"{percent(size)} in {region}" for region, size in self.sizes.items())

    @property
    def end(self) -> str:
        """What the headline says behind the significance."""
        if not self.why or not self.sizes:
            return ""
        if self.beside is None:
            return f", with a closure uncertainty of {self.uncertainty}"
        return f"; {self.beside:.1f} with a closure uncertainty of {self.uncertainty}"

    def reasons(self) -> Iterator[Statement]:
        """Yield the sentence that says why."""
        if self.why:
            yield Statement(Markup("It is not shown that ABCD holds: {}.").format("; ".join(self.why)))


def _headline(label: Markup, z: float | None, signal: bool, condition: _Condition) -> Markup:
    if z is None:
        return Markup("The strength of {} was fitted." if signal else "{} was fitted.").format(label)
    shown = f"{max(z, 0.0):.1f}"
    if not signal:
        return Markup("{} lies {} standard deviations above 0{}{}.").format(
            label, shown, condition.words, condition.end
        )
    words = next(text for least, text in WORDS if max(z, 0.0) >= least)
    return Markup("{} {}{}: {} standard deviations{}.").format(words, label, condition.words, shown, condition.end)


def _sentences(artifacts: Artifacts, results: dict[str, Any], label: Markup, signal: bool) -> Iterator[Statement]:
    if results["poi"].get("at_boundary"):
        what = Markup("The fitted strength of {}" if signal else "{}").format(label)
        yield Statement(Markup("{} is at the boundary of its range: its error is one-sided.").format(what))
    if artifacts.blinded:
        yield Statement(
            Markup(
                "Letter A is blinded: the expected background stands in for its data, and the result is an expectation."
            )
        )
    likelihood = results.get("twice_nll") or {}
    if {"background", "signal_plus_background"} <= set(likelihood):
        gain = likelihood["background"] - likelihood["signal_plus_background"]
        if gain < 0.05:
            text = "Adding {} does not improve the fit." if signal else "The fit is no better than that with {} = 0."
            yield Statement(Markup(text).format(label))
        else:
            text = "Adding {} improves −2 ln L by " if signal else "Against the fit with {} = 0, −2 ln L is lower by "
            before = Markup(text).format(label)
            yield Statement(before, f"{gain:.1f}", Markup("."), "results.json", "twice_nll")
    in_a = {
        region: sum(letters["A"]["data"])
        for region, letters in results.get("yields", {}).items()
        if "A" in letters and letters["A"].get("data") is not None
    }
    # where A is blinded, what is called data there is the expected background
    if in_a and not artifacts.blinded:
        *others, last = in_a
        where = f"{', '.join(others)} and {last}" if others else last
        after = Markup(" data events have both scores above the threshold in {}.").format(where)
        yield Statement(Markup(), count(sum(in_a.values())), after, "results.json", "yields.*.A.data")
