"""The tables of the page of full_scale.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from full_scale_closure import PAPERS_MASS, REGIONS
from full_scale_parts import GROUPS
from full_scale_pictures import AT, LOOSER, pm
from full_scale_sample import SCORES, TREATMENTS

from oddjets.core.rounding import rounded

_GROUPS = {
    "qcd": "QCD",
    "top": "top pairs",
    "stop": "single top",
    "wjets": "W + jets",
    "zjets": "Z + jets",
    "vv": "WW, WZ, ZZ",
    "higgs": "WH, ZH, H + jet, ttH",
    "hh": "HH (1 × its cross section)",
}


def number(value: float | None, digits: int = 2) -> str:
    """Return a number of fixed digits; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """Return a number with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def sample_table(result: Mapping[str, Any]) -> str:
    """Return how many events were simulated, selected, and in A."""
    samples = result["sample"]["samples"]
    in_a = result["observed"]["SR + VR1 / omnilearned"]["treatments"]["as-published"]["in_A"]
    rows = []
    for group, processes in GROUPS.items():
        of_data = [samples[name] for p in processes if (name := f"data_{p}") in samples]
        templates = [samples[p] for p in processes if p in samples]
        cells = [
            f"{sum(one[key] for one in part):,}" if part else "–"
            for part, key in (
                (of_data, "tries"),
                (of_data, "events"),
                (of_data, "in_data"),
                (templates, "tries"),
                (templates, "events"),
            )
        ]
        expected = [f"{sum(in_a[region][group]):.3g}" if group in in_a[region] else "–" for region in ("SR", "VR1")]
        rows.append([_GROUPS[group], *cells, *expected])
    head = [
        "process",
        "simulated",
        "selected",
        "in the pseudo-data",
        "templates",
        "selected",
        "in A of the SR",
        "of VR1",
    ]
    return table(head, rows)


def closure_table(result: Mapping[str, Any], scores: Sequence[str], at: str) -> str:
    """Return the constants of QCD at an efficiency."""
    rows = []
    for score in scores:
        for region in REGIONS:
            one = result["closure"][score][region][at]
            cells = [pm(one[part]) for part in ("structural", "correlation", "whole")]
            rows.append([SCORES[score] if region == REGIONS[0] else "", region, f"{one['in_A']:.0f}", *cells])
    return table(["score", "region", "QCD in A", "structural", "correlation", "whole"], rows)


def spurious_table(result: Mapping[str, Any], scores: Sequence[str]) -> str:
    """Return the narrow signals that QCD alone seems to have."""
    rows = []
    for score in scores:
        for region in REGIONS:
            one, looser = (result["sculpting"][score][region][e] for e in (AT, LOOSER))
            shown = [
                f"{signed(r['ratio'])} ± {r['uncertainty']:.2f} at {r['mass']:.0f} GeV" if r else "–"
                for r in (one["near_150"], one["largest"])
            ]
            p = [number(found["divergence"]["p_value"], 3) for found in (one, looser)]
            rows.append([SCORES[score] if region == REGIONS[0] else "", region, *shown, *p])
    near = f"at the mass next to {PAPERS_MASS:.0f} GeV"
    return table(["score", "region", near, "largest", "JS, 0.2 %", "JS, 1 %"], rows)


def observed_table(result: Mapping[str, Any]) -> str:
    """Return z of all fits of the pseudo-data."""
    rows = []
    for entry in result["observed"].values():
        cells = []
        for treatment in TREATMENTS:
            one = entry["treatments"][treatment]
            if one.get("signed_z") is None:
                cells.append("failed")
                continue
            p = (one.get("gof") or {}).get("p_value")
            shown = "–" if p is None else number(p) if p >= 0.01 else "< 0.01"
            cells.append(f"{number(one['signed_z'])} ({shown})")
        name = f"**{entry['set_up']}**" if entry["paper"] else entry["set_up"]
        rows.append([name, SCORES[entry["score"]], *cells])
    text = (
        "z of each fit with the sign of the strength, and in brackets p of the goodness of fit in A. In bold what the paper"
        " did; `top` tests top pairs, which are there, all others HH. The paper has well above 10 for top pairs, and for HH"
        " 2.38 (SR + VR1), 3.92 (split), 4.11 (split, b tag), 1.02 (split, X(bb)), at 16.39 /fb and with a large network.\n\n"
    )
    return text + table(["set-up", "score", *TREATMENTS], rows)


def anywhere_table(result: Mapping[str, Any]) -> str:
    """Return how often some choice has a z."""
    rows = []
    for label, words in (("paper", "the paper's five"), ("trainings", "trainings"), ("all", "all")):
        found = result["choices"].get(label, {})
        for row in found.get("anywhere", ()):
            interval = f"[{row['low']:.2g}, {row['high']:.2g}]"
            cells = [
                f"{row['z']:g}",
                f"{row['above']} of {row['experiments']}",
                f"{row['p']:.3g} {interval}",
                f"{row['single_choice']:.2g}",
            ]
            rows.append([f"{words} ({len(found['choices'])})", *cells])
    return table(["choices", "z", "experiments", "anywhere [68 %]", "a single one"], rows)


def large_ones(result: Mapping[str, Any], papers_z: float) -> str:
    """Return the experiments whose z is large, one by one."""
    large = sorted(result["choices"]["large"], key=lambda row: -row["z"])
    if not large:
        return "\nNo choice has a z of 3 or more in any experiment.\n"
    number_ = len({row["experiment"] for row in large})
    shown = [f"{row['z']:.2f} ({name_of(row['choice'])}; strength {row['strength']:,.0f})" for row in large[:6]]
    text = f"\nz of 3 or more: {len(large)} fits of {number_} experiments, the largest {'; '.join(shown)}."
    if most := [row for row in large if row["z"] >= papers_z]:
        of_all = result["choices"]["all"]["choices"]
        means = [
            f"{name_of(case)} (mean z {number(of_all[case]['mean_z'], 1)})"
            for case in dict.fromkeys(row["choice"] for row in most)
        ]
        text += f" All with {papers_z} or more are of {', '.join(means)}."
    return (
        text
        + " At a strength of tens of thousands the fit has taken the signal's efficiency away by nuisance parameters, to"
        " mend a background that does not fit. In data the pulls would show it; here these experiments count.\n"
    )


def name_of(case: str) -> str:
    """Return a set-up, score and treatment with the names of the page."""
    set_up, score, treatment = case.split(" / ")
    return f"{set_up}, {SCORES[score]}, {treatment}"


def null_table(result: Mapping[str, Any]) -> str:
    """Return experiments without signal, set-up by set-up."""
    rows = []
    for source, found in result["nulls"].items():
        for case, one in found.items():
            if "z" not in one:
                rows.append([source, name_of(case), *["–"] * 6])
                continue
            done = one["experiments"] - one["failed"]
            error = one["z"]["sd"] / np.sqrt(max(done, 1))
            alarms = {row["sigma"]: row["above"] for row in one["false_alarms"]}
            mean = " ± ".join(rounded(one["z"]["mean"], error)) if error > 0 else number(one["z"]["mean"])
            covered = ", ".join(f"{100 * row['covered']:.0f}" for row in one["coverage"])
            cells = [mean, number(one["z"]["sd"]), str(alarms.get(2.0, "–")), str(alarms.get(3.0, "–")), covered]
            gof = one["goodness_of_fit"]["quantiles"]
            cells.append(f"{gof['0.5']:.0f} [{gof['0.16']:.0f}, {gof['0.84']:.0f}]")
            rows.append([source, name_of(case), *cells])
    text = (
        "\nThe same set-ups one by one, 1000 experiments each; of a calibrated search 23 have z > 2 and 1.3 have z > 3, and the"
        " intervals of 68 and 95 % contain the true strength, which is 0, in as many. `independent` are jets drawn from"
        " distributions of single jets, `mixed` ten random pairings of the jets, and `simulation` the events as they are, whose"
        " number is that of one experiment: its mean z has the error of one experiment, 1. The last column is -2 log L of the"
        " saturated model in A, median and 68 %.\n\n"
    )
    head = ["QCD", "set-up, score, treatment", "mean z", "sd of z", "z > 2", "z > 3", "covered, %", "goodness of fit"]
    return text + table(head, rows)


def injection_table(result: Mapping[str, Any]) -> str:
    """Return what is found of an injected signal."""
    rows = []
    for case, strengths in result["injection"].items():
        for injected, one in strengths.items():
            if "z" not in one:
                rows.append([name_of(case), injected, *["–"] * 4])
                continue
            at = one["strength"]["quantiles"]
            covered = ", ".join(f"{100 * row['covered']:.0f}" for row in one["coverage"])
            rows.append(
                [
                    name_of(case) if injected == next(iter(strengths)) else "",
                    injected,
                    f"{number(one['z']['mean'])} ({number(one['z']['sd'])})",
                    f"{at['0.5']:.0f} [{at['0.16']:.0f}, {at['0.84']:.0f}]",
                    f"{one['strength']['mean']:.0f}",
                    covered,
                ]
            )
    text = (
        "HH in the experiments, in units of its cross section above 900 GeV, 0.108 fb (the paper's 4000 is of all HH), with"
        " mixed QCD. In a few per cent of the experiments nuisance parameters reduce the signal's efficiency, and the fitted"
        " strength runs off to many times the injected one at the same z: that is why the mean is above the median.\n\n"
    )
    head = ["set-up, score, treatment", "injected", "mean z (sd)", "fitted: median [68 %]", "mean", "covered, %"]
    return text + table(head, rows)
