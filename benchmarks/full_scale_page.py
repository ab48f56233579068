"""The page of full_scale.py: its text, with all numbers and pictures from the JSON of the study."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from full_scale_closure import PAPERS_MASS, REGIONS
from full_scale_pictures import AT, PICTURES, fits, pm
from full_scale_sample import EFFICIENCY, PAPER, SCORES, TREATMENTS
from full_scale_study import PAPERS_Z

from oddjets.core.errors import InputFileError
from oddjets.core.files import atomic_write
from oddjets.core.rounding import rounded

#: pictures stand in this folder beside the page
IMAGES = "images"


def write_page(results: Path, out: Path) -> None:
    """Write the page and its pictures.

    Raises:
        InputFileError: no results, or without a section that the page needs.
    """
    try:
        result = json.loads(results.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputFileError(f"{results}: cannot be read ({error}); run `full_scale.py study` first") from None
    needed = ("sample", "closure", "observed", "sculpting", "choices", "nulls", "injection")
    if missing := [name for name in needed if name not in result]:
        raise InputFileError(f"{results}: has no section '{missing[0]}'; run `full_scale.py study` with it first")
    (out.parent / IMAGES).mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        figure = draw(result)
        with atomic_write(out.parent / IMAGES / f"full_scale_{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
    with atomic_write(out) as temporary:
        temporary.write_text(filled(text_of(result, results.name)) + "\n", encoding="utf-8")


def filled(text: str) -> str:
    """Return a page whose paragraphs and items are lines of 120 columns; tables, titles and pictures stay as they are."""
    parts = []
    for part in text.split("\n\n"):
        lines = part.strip("\n")
        if not lines or lines[0] in "|#!":
            parts.append(lines)
            continue
        items = re.split(r"\n(?=- )", lines)
        parts.append(
            "\n".join(
                textwrap.fill(
                    " ".join(item.split()),
                    120,
                    subsequent_indent="  " if item.startswith("- ") else "",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
                for item in items
            )
        )
    return "\n\n".join(part for part in parts if part)


def number(value: float | None, digits: int = 2) -> str:
    """Return a number of fixed digits; a dash for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """Return a number with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def text_of(result: Mapping[str, Any], source: str) -> str:
    """Return the page."""
    sample = result["sample"]
    luminosity, events = sample["luminosity_pb"], sample["events"]
    made = [f for f in fits(result) if f[0] != "top"]
    z = np.array([f[3]["z"] for f in made])
    largest = made[int(z.argmax())] if len(z) else None
    paper = [f for f in made if (f[0], f[1]) in PAPER and f[2] == "as-published"]
    signal = [f for f in fits(result) if f[0] == "top" and f[2] == "as-published" and f[1] == "omnilearned"]
    cpu = sample.get("cpu_seconds") or {}
    data = sum(about.get("in_data", 0) for about in sample["samples"].values())
    parts = [
        _HEAD.format(
            luminosity=luminosity / 1000,
            share=100 * luminosity / 16393.38,
            qcd=events["qcd"],
            data=data,
            hours=sum(cpu.values()) / 3600,
            source=source,
        ),
        "## What came out\n",
        _answers(result, made, largest, paper, signal),
        "![Significance of an HH-like signal in pseudo-data without one](images/full_scale_z.png)\n",
        "## Is the background estimate right?\n",
        _CLOSURE.format(efficiency=100 * EFFICIENCY),
        _closure_table(result),
        "\n![QCD in A and its estimate](images/full_scale_closure.png)\n",
        "## Is a peak near 150 GeV made by a score?\n",
        _SPURIOUS,
        _spurious_table(result),
        "\n![The narrow signal that QCD alone seems to have](images/full_scale_spurious.png)\n",
        "## The paper's set-ups on these pseudo-data\n",
        _observed_table(result),
        "\n## How often does it come up by chance?\n",
        _CHANCE.format(z=PAPERS_Z),
        _anywhere_table(result),
        "\n![How often some choice is as large](images/full_scale_anywhere.png)\n",
        _null_table(result),
        "\n## Would a signal have been seen?\n",
        _injection_table(result),
        _TAIL.format(source=source),
    ]
    return "\n".join(parts)


_HEAD = """# The paper's size with known truth

This page is for the authors of [arXiv:2603.23593](https://arxiv.org/abs/2603.23593) and for referees. The paper sees
a structure near 150 GeV where
one score selects, and cannot know whether it is physics, the model or the background estimate. Here the same
procedure is done where the truth is known: simulated
collisions without any signal, at {luminosity:.2f} /fb, {share:.0f} % of the paper's 16.39 /fb, with the paper's
efficiency of 0.2 %.

**The sample.** {qcd:,} QCD events after the base selection and all smaller processes, in all {data:,} events of
pseudo-data, simulated, selected and scored in one pass ({hours:.1f} core hours). Every event was scored by a large
training of OmniLearned-small, four further trainings and their mean, a baseline that was trained with labels of known
particles, and an emulated X(bb) tagger. HH pairs are in no pseudo-data. All numbers of this page and its pictures are
from `benchmarks/results/{source}`
(`python benchmarks/full_scale.py page`).
"""

_CLOSURE = """The constant is A D / (B C) of simulated QCD at {efficiency:g} %: `structural` of jets paired with jets of other
events, `whole` of the events as they are, `correlation` their ratio. 1 means that
the estimate is right; errors are from a bootstrap of the events. (Cells in brackets have fewer than ten effective
events in a letter.)
"""

_SPURIOUS = """
The spurious signal is the narrow peak that $A - BC/D$ of QCD alone seems to have, over the error that an experiment
of this luminosity has; ± is the statistical error of the sample, which is
as large as one experiment, so that values within 2 say nothing. The column *JS* is the p value of the difference
between the spectra of events that pass and that fail.
"""

_CHANCE = """Experiments without signal, the same ones for all choices: QCD are pairs of jets of different events, so that jets
know nothing of each other. `anywhere` is the share of experiments in which at
least one choice has this z; a single right one would have the last column. {z} is the paper's largest.
"""

_TAIL = """
## What this says of CMS data, and what it does not

- It says what the procedure does to events like these: QCD at leading order with Pythia's shower, a parametric
  detector, no pileup.
- It does not say what CMS's detector, its b tagger and its X(bb) tagger do: those here are emulations. The models are
  small, and were trained on such simulation.
- A b tag that couples the two jets of an event is as strong as Pythia makes it, by gluon splitting to b quarks.
- One sample of this size is one experiment: what is asked of the pseudo-data has the fluctuations of one experiment,
  and QCD of the size of an experiment bounds the correlation of the jets and does not measure it below the
  errors in the table.
- Scaled to 16.39 /fb, statistical errors shrink by the root of the luminosities' ratio; the constants do not change.

To repeat it: `python benchmarks/full_scale.py sample`, `pack`, `join`, `study`, `page`; `{source}` has the seed and
the settings.
"""


def _answers(result: Mapping[str, Any], made: Any, largest: Any, paper: Any, signal: Any) -> str:
    lines = []
    if signal:
        one = signal[0][3]
        lines.append(
            f"- **Top quarks are found**: z = {one['z']:.1f},"
            f" strength {' ± '.join(rounded(one['strength'], one['error']))} (true: 1)."
            if one["error"]
            else f"- **Top quarks are found**: z = {one['z']:.1f}."
        )
    if paper:
        shown = ", ".join(f"{f[0]} ({SCORES[f[1]]}) {f[3]['z']:.2f}" for f in paper)
        most = max(f[3]["z"] for f in paper)
        verdict = "as large as the paper's" if most >= PAPERS_Z else f"none as large as the paper's {PAPERS_Z}"
        lines.append(
            f"- **An HH-like signal that is not there**, in the paper's five set-ups as published: z = {shown}; {verdict}."
        )
    if largest is not None:
        above = sum(f[3]["z"] >= 3 for f in made)
        lines.append(
            f"- **In all {len(made)} fits** of set-ups, scores and ABCD treatments the largest z is {largest[3]['z']:.2f}"
            f" ({largest[0]}, {SCORES[largest[1]]}, {largest[2]}); {above} have 3 or more."
        )
    for label, words in (("paper", "the paper's five set-ups"), ("all", "all choices together")):
        rows = result["choices"].get(label, {}).get("anywhere")
        if rows:
            row = rows[-1]
            few = (
                f"fewer than {row['high']:.2g}"
                if not row["above"]
                else f"{row['p']:.2g} [{row['low']:.2g}, {row['high']:.2g}]"
            )
            lines.append(
                f"- **{PAPERS_Z} or more somewhere** in {words}, without signal and with independent jets: {row['above']} of"
                f" {row['experiments']} experiments ({few});"
                f" by the copula, an extrapolation, {result['choices'][label]['copula_at_4.11']['p']:.1g}."
            )
    rows = [
        (one["ratio"] / one["uncertainty"], score, region, one)
        for score, regions in result["sculpting"].items()
        for region, found in regions.items()
        if (one := found[AT]["near_150"]) and one["uncertainty"] > 0
    ]
    if rows:
        _, score, region, one = max(rows, key=lambda row: row[0])
        large = sum(row[0] >= 3 for row in rows)
        lines.append(
            f"- **A peak of QCD alone near {PAPERS_MASS:.0f} GeV**: of {len(rows)} pairs of score and region the largest is"
            f" {one['ratio']:.2f} ± {one['uncertainty']:.2f} errors of an experiment ({SCORES[score]}, {region}); {large} are"
            " three times their statistical error or more."
        )
    trainings = [f for f in made if f[1].startswith("team_member") and f[0] == "split" and f[2] == "as-published"]
    if len(trainings) > 1:
        values = [f[3]["z"] for f in trainings]
        lines.append(
            f"- **Training by training**: the four trainings of one network have z ="
            f" {', '.join(f'{v:.2f}' for v in values)} (split by mass), a standard deviation of {np.std(values, ddof=1):.2f}."
        )
    return "\n".join(lines) + "\n"


def _closure_table(result: Mapping[str, Any]) -> str:
    rows = []
    for score in result["sample"]["scores"]:
        for region in REGIONS:
            one = result["closure"][score][region][AT]
            cells = [pm(one[part]) for part in ("structural", "correlation", "whole")]
            cells = [f"({c})" if one["few"] and i else c for i, c in enumerate(cells)]
            rows.append([SCORES[score] if region == REGIONS[0] else "", region, f"{one['in_A']:.0f}", *cells])
    return table(["score", "region", "QCD in A", "structural", "correlation", "whole"], rows)


def _spurious_table(result: Mapping[str, Any]) -> str:
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


def _observed_table(result: Mapping[str, Any]) -> str:
    rows = []
    for entry in result["observed"].values():
        cells = []
        for treatment in TREATMENTS:
            one = entry["treatments"][treatment]
            if one.get("z") is None:
                cells.append("failed")
                continue
            p = (one.get("gof") or {}).get("p_value")
            cells.append(f"{one['z']:.2f} ({number(p)})")
        name = f"**{entry['set_up']}**" if entry["paper"] else entry["set_up"]
        rows.append([name, SCORES[entry["score"]], *cells])
    text = (
        "z of each fit, and in brackets p of the goodness of fit in A. In bold what the paper did; `top` tests top pairs,\n"
        "which are there, all others HH.\n\n"
    )
    return text + table(["set-up", "score", *TREATMENTS], rows)


def _anywhere_table(result: Mapping[str, Any]) -> str:
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


def _null_table(result: Mapping[str, Any]) -> str:
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


def _injection_table(result: Mapping[str, Any]) -> str:
    rows = []
    for score, strengths in result["injection"].items():
        for injected, one in strengths.items():
            if "z" not in one:
                rows.append([SCORES[score], injected, "–", "–"])
                continue
            fitted = one["strength"]
            rows.append(
                [
                    SCORES[score],
                    injected,
                    number(one["z"]["mean"]),
                    " ± ".join(rounded(fitted["mean"], fitted["error_of_mean"])),
                ]
            )
    text = (
        "HH in the experiments, in units of its cross section (0.108 fb above 900 GeV), split by mass, mixed QCD, as"
        " published.\n\n"
    )
    return text + table(["score", "injected", "mean z", "mean fitted strength"], rows)
