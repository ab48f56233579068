"""The tables of the page of full_scale.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from full_scale_closure import PAPERS_MASS, REGIONS
from full_scale_parts import GROUPS
from full_scale_pictures import AT, pm
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


def closure_table(result: Mapping[str, Any], at: str) -> str:
    """Return the constants of QCD at an efficiency."""
    rows = []
    for score in result["sample"]["scores"]:
        for region in REGIONS:
            one = result["closure"][score][region][at]
            cells = [pm(one[part]) for part in ("structural", "correlation", "whole")]
            cells = [f"({c})" if one["few"] and i else c for i, c in enumerate(cells)]
            rows.append([SCORES[score] if region == REGIONS[0] else "", region, f"{one['in_A']:.0f}", *cells])
    return table(["score", "region", "QCD in A", "structural", "correlation", "whole"], rows)


def spurious_table(result: Mapping[str, Any]) -> str:
    """Return the narrow signals that QCD alone seems to have."""
    rows = []
    for score, regions in result["sculpting"].items():
        for region in ("SR", "VR1", "SR1", "SR3"):
            one = regions[region][AT]
            near, most = one["near_150"], one["largest"]
            shown = [f"{signed(r['ratio'])} ± {r['uncertainty']:.2f}" if r else "–" for r in (near, most)]
            at = f" at {most['mass']:.0f} GeV" if most else ""
            rows.append(
                [
                    SCORES[score] if region == "SR" else "",
                    region,
                    shown[0],
                    shown[1] + at,
                    number(one["divergence"]["p_value"], 3),
                ]
            )
    return table(["score", "region", f"at {PAPERS_MASS:.0f} GeV", "largest", "JS"], rows)


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
            cells.append(f"{number(one['signed_z'])} ({number(p)})")
        name = f"**{entry['set_up']}**" if entry["paper"] else entry["set_up"]
        rows.append([name, SCORES[entry["score"]], *cells])
    text = (
        "z of each fit with the sign of the strength, and in brackets p of the goodness of fit in A. In bold what the paper"
        " did; `top` tests top pairs, which are there, all others HH.\n\n"
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
    return table(["choices", "z", "experiments", "anywhere", "a single one"], rows)


def large_ones(result: Mapping[str, Any], papers_z: float) -> str:
    """Return the experiments whose z is large, one by one."""
    large = sorted(result["choices"]["large"], key=lambda row: -row["z"])
    if not large:
        return "\nNo choice has a z of 3 or more in any experiment.\n"
    number_ = len({row["experiment"] for row in large})
    shown = [f"{row['z']:.2f} ({row['choice']}, strength {row['strength']:,.0f})" for row in large[:6]]
    text = f"\nz of 3 or more: {len(large)} fits of {number_} experiments, the largest {'; '.join(shown)}."
    if most := [row for row in large if row["z"] >= papers_z]:
        names = dict.fromkeys(row["choice"] for row in most)
        means = [f"{name} (mean z {number(result['choices']['all']['choices'][name]['mean_z'], 1)})" for name in names]
        text += f" All with {papers_z} or more are of {', '.join(means)}."
    return (
        text
        + " A strength of tens of thousands is no signal: the fit takes its efficiency away by nuisance parameters, to"
        " mend a background that does not fit. The same in data would be seen in the pulls.\n"
    )


def null_table(result: Mapping[str, Any]) -> str:
    """Return experiments without signal, set-up by set-up."""
    rows = []
    for source, found in result["nulls"].items():
        for name, one in found.items():
            if "z" not in one:
                rows.append([source, name, "–", "–", "–", "–", "–"])
                continue
            number_ = one["experiments"] - one["failed"]
            error = one["z"]["sd"] / np.sqrt(max(number_, 1))
            alarms = {row["sigma"]: row for row in one["false_alarms"]}
            rate = [f"{alarms[s]['ratio']:.1f}" if s in alarms else "–" for s in (2, 3)]
            mean = " ± ".join(rounded(one["z"]["mean"], error)) if error > 0 else number(one["z"]["mean"])
            rows.append([source, name, str(number_), mean, number(one["z"]["sd"]), *rate])
    text = (
        "\nThe same set-ups one by one. `independent` and `mixed` have jets that know nothing of each other;\n"
        "`simulation` are the events as they are, which are as many as one experiment: its mean z has the error of"
        " one experiment, 1.\n\n"
    )
    return text + table(
        ["QCD", "set-up / score / treatment", "experiments", "mean z", "sd of z", "z > 2", "z > 3"], rows
    )


def injection_table(result: Mapping[str, Any]) -> str:
    """Return what is found of an injected signal."""
    rows = []
    for score, strengths in result["injection"].items():
        for injected, one in strengths.items():
            if "z" not in one:
                rows.append([SCORES[score], injected, "–", "–", "–"])
                continue
            at = one["strength"]["quantiles"]
            far = one["strength"]["mean"]
            rows.append(
                [
                    SCORES[score],
                    injected,
                    number(one["z"]["mean"]),
                    f"{at['0.5']:.0f} [{at['0.16']:.0f}, {at['0.84']:.0f}]",
                    f"{far:.0f}",
                ]
            )
    text = (
        "HH in the experiments, in units of its cross section (0.108 fb above 900 GeV), split by mass, mixed QCD, as"
        " published. In a few experiments of a hundred nuisance parameters take the signal's efficiency away, and the fitted"
        " strength runs off to many times the injected one at the same z: that is why the mean is above the median.\n\n"
    )
    return text + table(["score", "injected", "mean z", "fitted strength: median [68 %]", "mean"], rows)
