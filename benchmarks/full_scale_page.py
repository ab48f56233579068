"""The page of full_scale.py: its text, with all numbers and pictures from the JSON of the study."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from full_scale_closure import PAPERS_MASS
from full_scale_pictures import AT, LOOSER, PICTURES, fits, pm
from full_scale_sample import EFFICIENCY, PAPER, SCORES
from full_scale_study import PAPERS_Z
from full_scale_tables import (
    anywhere_table,
    closure_table,
    injection_table,
    large_ones,
    name_of,
    null_table,
    number,
    observed_table,
    sample_table,
    spurious_table,
)

from oddjets.core.errors import InputFileError
from oddjets.core.files import atomic_write
from oddjets.core.rounding import rounded

#: the paper's luminosity, /pb
PLANNED = 16393.38
#: regions with a cut on each jet, whose estimate is right for independent jets; of VR1 it nearly is
PRODUCTS = ("SR", "VR1", "SR1", "SR2")
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


def text_of(result: Mapping[str, Any], source: str) -> str:
    """Return the page."""
    sample = result["sample"]
    luminosity, events = sample["luminosity_pb"], sample["events"]
    made = [f for f in fits(result) if f[0] != "top"]
    z = np.array([f[3]["signed_z"] for f in made])
    largest = made[int(z.argmax())] if len(z) else None
    paper = [f for f in made if (f[0], f[1]) in PAPER and f[2] == "as-published"]
    signal = [f for f in fits(result) if f[0] == "top" and f[2] == "as-published" and f[1] == "omnilearned"]
    cpu = sample.get("cpu_seconds") or {}
    main = [name for name in ("omnilearned", "team", "xbb") if name in sample["scores"]]
    others = [name for name in sample["scores"] if name not in main]
    data = sum(about.get("in_data", 0) for about in sample["samples"].values())
    parts = [
        _HEAD.format(
            luminosity=luminosity / 1000,
            share=100 * luminosity / PLANNED,
            qcd=events["qcd"],
            data=data,
            in_a=EFFICIENCY * data,
            hours=sum(cpu.values()) / 3600,
            source=source,
        ),
        sample_table(result),
        _LEFT_OUT,
        "## What came out\n",
        _answers(result, made, largest, paper, signal),
        "![Significance of an HH-like signal in pseudo-data without one](images/full_scale_z.png)\n",
        "## Is the background estimate right?\n",
        _CLOSURE.format(efficiency=100 * EFFICIENCY),
        closure_table(result, main, AT),
        _CLOSURE_LOOSER,
        closure_table(result, main, LOOSER),
        "\n![QCD in A and its estimate](images/full_scale_closure.png)\n",
        "## Is a peak near 150 GeV made by a score?\n",
        _SPURIOUS,
        spurious_table(result, main),
        "\n![The narrow signal that QCD alone seems to have](images/full_scale_spurious.png)\n",
        "## The paper's set-ups on these pseudo-data\n",
        observed_table(result),
        "\n## How often does it come up by chance?\n",
        _CHANCE.format(z=PAPERS_Z),
        anywhere_table(result),
        large_ones(result, PAPERS_Z),
        "\n![How often some choice is as large](images/full_scale_anywhere.png)\n",
        null_table(result),
        "\n## Would a signal have been seen?\n",
        injection_table(result),
        "\n## All other scores\n",
        "The constants of QCD at 0.2 %, then at 1 %, and the narrow signals.\n",
        *(f"{closure_table(result, others, at)}\n" for at in (AT, LOOSER)),
        spurious_table(result, others),
        _TAIL.format(source=source),
    ]
    return "\n".join(parts)


_HEAD = """# The paper's size with known truth

This page is for the authors of [arXiv:2603.23593](https://arxiv.org/abs/2603.23593) and for referees. The paper sees
a structure near 150 GeV where one score selects, and cannot know whether it is physics, the model or the background
estimate. Here the same procedure is done where the truth is known: simulated collisions without any signal, at
{luminosity:.2f} /fb, {share:.0f} % of the paper's 16.39 /fb, with the paper's efficiency of 0.2 %.

**The sample.** {qcd:,} QCD events after the base selection and all smaller processes that Pythia has, in all {data:,}
events of pseudo-data, simulated, selected and scored in one pass ({hours:.1f} core hours). The 0.2 % are
{in_a:.0f} events, where the paper has about 1000 at 16.39 /fb: the simulation has more events per luminosity than CMS's
data. By events the study is of the paper's size; by luminosity it is {share:.0f} %.

Every event was scored by a long training of OmniLearned-small, four shorter trainings (2 to 5) and their mean, a
baseline that was trained with labels of known particles, and an emulated X(bb) tagger. HH pairs are in no pseudo-data.
All numbers of this page and its pictures are from `benchmarks/results/{source}`
(`python benchmarks/full_scale.py page`). Intervals in square brackets are of 68 %.

**Regions.** SR: tau21 of both jets below 0.45; VR1: all other events. SR1 and SR2: the SR with a soft-drop mass of the
subleading jet above or below 100 GeV. SR3 and SR4: SR1 and SR with at least one b tag. **Set-ups**: `SR + VR1`,
`split` (SR1, SR2, VR1) and `split, b tag` (SR3, SR2, VR1) with the leading jet's soft-drop mass, `dijet mass` as `split`
with the mass of both jets. **Treatments** of ABCD: [as published](abcd.md), with a structural constant, and cell by cell.
"""

_LEFT_OUT = """
Joining the parts checks that no seed and no event is there twice and that the sums of weights add up: they did. Of
QCD, what prefiring leaves is in the pseudo-data. Pseudo-data of other processes were simulated for 16.39 /fb, and those
of the luminosity that QCD reached were taken. The numbers in A are expected ones at the threshold of the long training
in the pseudo-data; those of QCD are from all simulated events.

**Left out.** The rest of the luminosity, for want of time on that machine; pileup, which was not planned; tW, ttW and ttZ,
[which Pythia does not have](simulation.md); vector-boson fusion. Small processes are grouped, as they have too few events in A
for templates of their own. The fit of top pairs is in no count of choices: there is a signal in it. **Nuisance parameters**:
jet energy, mass and resolution (jes, jer, jms, jmr), pileup, prefiring, initial and final-state showers, scales, the top's
pT, free scale factors, and 50 % on single top and on WW, WZ, ZZ; none of QCD, since data estimate it.
"""

_CLOSURE = """The constant is A D / (B C) of simulated QCD at {efficiency:g} %: `structural` of jets paired with jets of other
events, `whole` of the events as they are, `correlation` their ratio. 1 means that
the estimate is right; errors are from a bootstrap of the events. In VR1, SR3 and SR4 at least one jet has a high tau21, or
a b tag. $BC/D$ is wrong for such a union even if jets are independent, which is what `structural` says;
[the ABCD page](abcd.md#what-abcd-assumes) explains it. The treatments `structural` and `cells` correct for it,
`as-published` does not. Thresholds are those of the 0.2 % of pseudo-data.
"""

_CLOSURE_LOOSER = """
The same at 1 %, where there are more events: what correlates the jets is better seen here.
"""

_SPURIOUS = """
The spurious signal is the narrow peak that $A - BC/D$ of QCD alone seems to have, in units of the statistical error of one
experiment of this luminosity; ± is the statistical error of the sample. It is too small where A has few events by chance,
so that a value with a small ± is not to be divided by it. In wide bins the mass next to 150 GeV is another one. The columns
*JS* are the p value of the difference between the spectra of events that pass and that fail. In SR3 and SR4 the
estimate as published is two to six times too large: that is the negative signal there.
"""

_CHANCE = """Experiments without signal, the same ones for all choices: QCD are pairs of jets of different events, ten for each
event, so that jets know nothing of each other. `anywhere` is the share of experiments in which at
least one choice has this z; a single right one would have the last column. {z} is the paper's largest. The choices are
the paper's five; `split` and `split, b tag` of every score (`trainings`: those of OmniLearned and its trainings); and the
paper's five with the two other treatments.
"""

_TAIL = """
## What this says of CMS data, and what it does not

- It says what the procedure does to events like these: QCD at leading order with Pythia's shower, a parametric
  detector, no pileup.
- It does not say what CMS's detector, its b tagger and its X(bb) tagger do: those here are emulations. The models are
  small, and were trained on such simulation; the paper's structure is seen with a large one.
- A b tag that couples the two jets of an event is as strong as Pythia makes it, by gluon splitting to b quarks.
- One sample of this size is one experiment: what is asked of the pseudo-data has the fluctuations of one experiment,
  and QCD of the size of an experiment bounds the correlation of the jets and does not measure it below the
  errors in the table.
- Scaled to 16.39 /fb of such events, statistical errors shrink by the root of the luminosities' ratio; the constants do
  not change.

To repeat it: `python benchmarks/full_scale.py sample`, `pack`, `join`, `study`, `page`; `{source}` has the seed and
the settings.
"""


def _answers(result: Mapping[str, Any], made: Any, largest: Any, paper: Any, signal: Any) -> str:
    lines = []
    row = (result["choices"].get("paper", {}).get("anywhere") or [{"above": None}])[-1]
    if largest is not None and largest[3]["signed_z"] < 3 and row["above"] == 0:
        lines.append(
            "- **In short**: on events like these the procedure did not make the feature, with none of five trainings and with"
            " neither independent nor simulated QCD jets. The structural error of the estimate as published makes such a signal"
            " smaller, not larger."
        )
    if signal and signal[0][3]["error"]:
        one = signal[0][3]
        lines.append(
            f"- **Top quarks are found**: z = {one['z']:.1f}, strength"
            f" {' ± '.join(rounded(one['strength'], one['error']))} (true: 1). The error of the strength includes the"
            " uncertainties of the predicted yield; they do not lower z."
        )
    if paper:
        shown = ", ".join(f"{f[0]} ({SCORES[f[1]]}) {number(f[3]['signed_z'])}" for f in paper)
        most = max(f[3]["signed_z"] for f in paper)
        verdict = "as large as the paper's" if most >= PAPERS_Z else f"none as large as the paper's {PAPERS_Z}"
        lines.append(
            f"- **An HH-like signal that is not there**, in the paper's five set-ups as published: z = {shown}; {verdict}."
        )
    if largest is not None:
        above = sum(f[3]["signed_z"] >= 3 for f in made)
        lines.append(
            f"- **In all {len(made)} fits** of set-ups, scores and ABCD treatments the largest z is"
            f" {largest[3]['signed_z']:.2f} ({largest[0]}, {SCORES[largest[1]]}, {largest[2]}); {above} have 3 or more."
        )
    for label, words in (("paper", "the paper's five set-ups"), ("all", "all choices together")):
        rows = result["choices"].get(label, {}).get("anywhere")
        if rows:
            row = rows[-1]
            few = (
                f"below {-np.log(0.05) / row['experiments']:.2g} at 95 %"
                if not row["above"]
                else f"{row['p']:.2g} [{row['low']:.2g}, {row['high']:.2g}]"
            )
            own = {r["choice"] for r in result["choices"]["large"] if r["z"] >= PAPERS_Z}
            whose = f" All of them are fits of {', '.join(map(name_of, own))}; see below." if row["above"] else ""
            lines.append(
                f"- **{PAPERS_Z} or more somewhere** in {words}, without signal and with independent jets: {row['above']} of"
                f" {row['experiments']} experiments ({few});"
                f" by the copula, an extrapolation for normal z, {result['choices'][label]['copula_at_4.11']['p']:.1g}.{whose}"
            )
    rows = [
        (one["ratio"], score, region, one)
        for score, regions in result["sculpting"].items()
        for region in PRODUCTS
        if (one := regions[region][AT]["near_150"])
    ]
    if rows:
        ends = [
            f"{number(one['ratio'])} ± {one['uncertainty']:.2f} ({SCORES[score]}, {region}, at {one['mass']:.0f} GeV)"
            for _, score, region, one in (max(rows, key=lambda row: row[0]), min(rows, key=lambda row: row[0]))
        ]
        lines.append(
            f"- **A peak of QCD alone near {PAPERS_MASS:.0f} GeV**, in units of the error of one experiment: of {len(rows)}"
            f" pairs of score and region (SR, VR1, SR1, SR2) the largest is {ends[0]} and the smallest {ends[1]}."
        )
    p = {
        (score, region): found[LOOSER]["divergence"]["p_value"]
        for score, regions in result["sculpting"].items()
        for region, found in regions.items()
    }
    least = min(p, key=lambda key: p[key])
    lines.append(
        f"- **Does a score change QCD's mass?** Of {len(p)} comparisons of the spectra that pass and fail at 1 % the smallest"
        f" p is {number(p[least], 3)} ({SCORES[least[0]]}, {least[1]}); {sum(v < 0.05 for v in p.values())} are below 0.05,"
        f" of them {sum(v < 0.05 for k, v in p.items() if k[0] == 'labelled')} of the labelled baseline (regions overlap)."
    )
    lines.append(_of_correlation(result))
    trainings = [f for f in made if f[1].startswith("team_member") and f[0] == "split" and f[2] == "as-published"]
    if len(trainings) > 1:
        values = [f[3]["signed_z"] for f in trainings]
        lines.append(
            f"- **Training by training**: the four shorter trainings have z ="
            f" {', '.join(map(number, values))} (split by mass), a standard deviation of {np.std(values, ddof=1):.2f}."
        )
    return "\n".join(lines) + "\n"


def _of_correlation(result: Mapping[str, Any]) -> str:
    """Return what the correlation of QCD's jets is, and what it does to z."""
    shown = []
    for name in ("xbb", "omnilearned", "team"):
        if name in result["closure"]:
            at, looser = (pm(result["closure"][name]["SR"][e]["correlation"]) for e in (AT, LOOSER))
            shown.append(f"{SCORES[name]} {at} at 0.2 % and {looser} at 1 %")
    text = (
        f"- **Are the jets of a QCD event independent?** The constant of correlation of the SR is {'; '.join(shown)}."
    )
    nulls = result["nulls"]
    moved = [
        one["z"]["mean"] - nulls["independent"][case]["z"]["mean"]
        for case, one in nulls.get("simulation", {}).items()
        if "z" in one and "z" in nulls["independent"].get(case, {})
    ]
    if moved:
        factor = np.sqrt(PLANNED / result["sample"]["luminosity_pb"])
        text += (
            f" With QCD as simulated, the mean z of {len(moved)} set-ups differs from that of independent jets by"
            f" {number(min(moved))} to {number(max(moved))}, each ± 1: no sign of a correlation that makes a signal, and this"
            f" sample alone excludes at 95 % a mean shift above {number((max(moved) + 1.64) * factor, 1)} at"
            f" {PLANNED / 1000:.2f} /fb."
        )
    return text
