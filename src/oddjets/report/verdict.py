"""The verdict on a result, in a line of the first screen and in a table: each answer has its place, or the study that lacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from oddjets.io.studies import method_of, outdated_null_studies
from oddjets.report.artifacts import Artifacts
from oddjets.report.finished_studies import study_of
from oddjets.report.learnt_scores import LEARNING, gain_in_words
from oddjets.report.scrutiny_tables import CHOICES, INJECTION, SCULPTING
from oddjets.report.tables import Cell, Table, closure_table
from oddjets.report.text import p_value
from oddjets.report.two_sample import TWO_SAMPLE
from oddjets.stats.closure_state import region_verdicts

__all__ = ["CALIBRATION", "CLOSURE", "Answer", "verdict", "verdict_table"]

#: anchors of tables
CALIBRATION, CLOSURE, VERDICT = "table-calibration", "table-closure", "table-verdict"
#: studies without signal, from the one whose p counts first: 'independent' assumes what the analysis does
SOURCES = ("independent", "mixed", "simulation", "toys")
#: luminosities that differ by more are other ones
SAME_LUMINOSITY = 0.01


@dataclass(frozen=True)
class Answer:
    """One answer to how sure a result is.

    Attributes:
        name: what was asked.
        text: the answer; with a command between backticks where a study was not run.
        place: the anchor of the page that has all of it.
        note: what it means, and what it assumes.
        found: whether there is an answer.
        question: in words, for the table.
    """

    name: str
    text: str
    place: str
    note: str = ""
    found: bool = True
    question: str = ""


def verdict(artifacts: Artifacts) -> list[Answer]:
    """Return the answers of the first screen; none without a fitted strength of a process and data-driven background.

    Args:
        artifacts: of the output directory.
    """
    return [
        answer for answer in _answers(artifacts) if answer.name not in ("learnt score", "sculpting", "two-sample test")
    ]


def verdict_table(artifacts: Artifacts) -> Table | None:
    """Return all answers with their questions; None where there are none."""
    answers = _answers(artifacts)
    if not answers:
        return None
    return Table(
        "The verdict",
        ["Question", "Answer", "What it rests on"],
        [[Cell(a.question), Cell(a.text.replace("`", "")), Cell(a.note)] for a in answers],
        "results.json",
        "significance",
        anchor=VERDICT,
    )


def _answers(artifacts: Artifacts) -> list[Answer]:
    fit = artifacts.analysis.fit
    if fit is None or artifacts.analysis.data_driven is None or not artifacts.has("results"):
        return []
    if (artifacts.results.get("significance") or {}).get("z") is None:
        return []
    return [
        _local(artifacts),
        _calibrated(artifacts),
        _of_study(artifacts, "choices", "global z", CHOICES, "How large is it after all that was tried?", _global),
        _closure(artifacts),
        _of_study(
            artifacts, "injection", "expected signal", INJECTION, "How large a signal would have been seen?", _expected
        ),
        *_learning(artifacts),
        _of_study(artifacts, "sculpting", "sculpting", SCULPTING, "Does the score itself make a bump?", _sculpted),
        _of_study(
            artifacts,
            "two_sample",
            "two-sample test",
            TWO_SAMPLE,
            "Do the events differ from a reference at all?",
            _tested,
        ),
    ]


def _command(artifacts: Artifacts, verb: str) -> str:
    """Return the command that answers, for this folder."""
    return f"`oddjets {verb} {artifacts.out}`"


def _local(artifacts: Artifacts) -> Answer:
    z = artifacts.results["significance"]["z"]
    blind = ", of the expected background: A is blinded" if artifacts.blinded else ""
    return Answer("local z", f"{z:.2f}", "fit", f"asymptotic{blind}", question="How large is the significance?")


def _calibrated(artifacts: Artifacts) -> Answer:
    question = "How often is it as large without signal?"
    for source in SOURCES:
        study = artifacts.studies.get(source)
        if study is None:
            continue
        if (seen := study.get("calibration")) is None:
            note = f"{study['name']}: experiments without an observed z"
            return Answer("calibrated z", "no observed z", VERDICT, note, found=False, question=question)
        bound = seen.get("bound")
        text = f"> {bound['z_above']:.2f}" if bound else f"{seen['z']:.2f}"
        note = f"{study['name']}, {study['experiments']} experiments, {method_of(seen)}"
        return Answer("calibrated z", text, CALIBRATION, note, question=question)
    outdated = [source for source in outdated_null_studies(artifacts.out) if source in SOURCES]
    command = _command(artifacts, "study null")
    text = f"out of date: {command}" if outdated else f"not run: {command}"
    note = "it is of another workspace" if outdated else ""
    return Answer("calibrated z", text, VERDICT, note, found=False, question=question)


def _of_study(
    artifacts: Artifacts,
    name: str,
    title: str,
    place: str,
    question: str,
    answer: Callable[[Mapping[str, Any], Artifacts], tuple[str, str, bool]],
) -> Answer:
    """Return what a study says, or that it was not run or is out of date."""
    found = study_of(artifacts, name)
    # a list of choices is named by the user
    of = "CHOICES.yaml --events " if name == "choices" else ""
    command = f"`oddjets study {name.replace('_', '-')} {of}{artifacts.out}`"
    if found is None:
        return Answer(title, f"not run: {command}", VERDICT, found=False, question=question)
    if found.outdated:
        return Answer(title, f"out of date: {command}", VERDICT, found.outdated, found=False, question=question)
    text, note, known = answer(found.content, artifacts)
    at = found.content.get("luminosity_pb")
    own = artifacts.luminosity_pb
    if at and own and abs(at / own - 1) > SAME_LUMINOSITY:
        note += f"; at {at:.4g} /pb, and this analysis has {own:.4g} /pb"
    return Answer(title, text, place, note, known, question)


def _global(found: Mapping[str, Any], artifacts: Artifacts) -> tuple[str, str, bool]:
    number = len(found["choices"])
    seen = found.get("global")
    if seen is None:
        return "no observed z", f"{number} choices in {found['complete']} experiments, compared with no data", False
    here = found.get("of_folder")
    local = "extrapolated from the experiments, at most the formula's" if seen["local_z_extrapolated"] else "by rank"
    note = (
        f"{number} choices of {found.get('name', 'a list')}; the most significant is '{seen['choice']}' with"
        f" z {seen['observed_z']:.2f}, a local z of {seen['local_z']:.2f} {local}"
    )
    if here is None:
        note += "; this analysis itself is none of them"
    counted = seen["bound"]["z_above"] if seen["bound"] else seen["z"]
    is_bound = bool(seen["bound"]) or seen["saturated"]
    if counted is not None and not is_bound and not seen["extrapolated"]:
        low, high = (p_value(seen[end]) for end in ("low", "high"))
        return f"{counted:.2f}", f"{note}; by counting, p {low} to {high} at 68 %", True
    text = f"{seen['copula']['z']:.2f} by extrapolation"
    alone = next((artifacts.studies[source] for source in SOURCES if source in artifacts.studies), {}).get(
        "calibration"
    )
    if alone and alone["z"] is not None and alone["z"] < seen["copula"]["z"]:
        note += (
            "; more than the calibrated z of this analysis alone, whose longer tails it does not know: believe that one"
        )
    if counted is not None:
        text = f"{'above ' if is_bound else ''}{counted:.2f} by counting, {text}"
    return text, f"{note}; extrapolated by a Gaussian copula beyond the experiments", True


def _closure(artifacts: Artifacts) -> Answer:
    question = "Is the background estimate right?"
    fit = artifacts.analysis.fit
    assert fit is not None
    if not artifacts.has("closure"):
        command = _command(artifacts, "closure")
        return Answer("closure", f"not run: {command}", VERDICT, found=False, question=question)
    found = region_verdicts(artifacts.closure)
    verdicts = {region: found.get(region, "not tested") for region in fit.regions}
    if all(one == "closes" for one in verdicts.values()):
        text = "closes"
    else:
        text = ", ".join(f"{one} in {region}" for region, one in verdicts.items() if one != "closes")
    used = artifacts.results.get("closure_uncertainty") or {}
    note = f"{', '.join(fit.regions)}; the fit has " + ("its uncertainty" if used else "no closure uncertainty")
    place = CLOSURE if closure_table(artifacts) is not None else "fit"
    return Answer("closure", text, place, note, question=question)


def _expected(found: Mapping[str, Any], artifacts: Artifacts) -> tuple[str, str, bool]:
    this = found["methods"]["this analysis"]
    signal = artifacts.process(found["signal"])["label"]
    note = f"{signal}, {found['experiments']} experiments for each strength"
    if this["for_3"] is None:
        return f"3 σ not reached up to {max(found['strengths']):.3g}", note, True
    five = "not reached" if this["for_5"] is None else f"at {this['for_5']:.3g}"
    return f"3 σ at strength {this['for_3']:.3g}", f"{note}; 5 σ {five}", True


def _learning(artifacts: Artifacts) -> list[Answer]:
    """Return what a learnt score gains; nobody needs one, so that nothing is said where it was not studied."""
    if not artifacts.has("learning"):
        return []
    question = "What does a score learnt from data gain, and cost without a signal?"
    return [_of_study(artifacts, "learning", "learnt score", LEARNING, question, _gained)]


def _gained(found: Mapping[str, Any], artifacts: Artifacts) -> tuple[str, str, bool]:
    signal = artifacts.process(found["signal"])["label"]
    return gain_in_words(found), f"{signal}, {found['experiments']} trainings for each strength, learnt × seed", True


def _sculpted(found: Mapping[str, Any], _: Artifacts) -> tuple[str, str, bool]:
    rows = [row["spurious_simulation"] for one in found["regions"].values() for row in one["efficiencies"]]
    known = [row["largest"] for row in rows if row["largest"] is not None]
    if not known:
        return "too few events", f"simulated {found['process']}", False
    largest = max(known, key=lambda one: abs(one["ratio"]))
    text = f"spurious signal {largest['ratio']:+.2f} ± {largest['uncertainty']:.2f} of its error".replace("-", "−")
    decided = all(row["decided"] for row in rows)
    note = f"simulated {found['process']} alone, the largest of all masses, thresholds and regions"
    return text, note + ("" if decided else "; too few events to know it to 20 %"), True


def _tested(found: Mapping[str, Any], _: Artifacts) -> tuple[str, str, bool]:
    test = found["test"]
    smallest = test["min_p"]
    text = f"p {'< ' if smallest['beyond'] else ''}{p_value(smallest['p_value'])} by {test['toys']} toys"
    return text, f"{found['hypothesis']} ({found['part']})", True
