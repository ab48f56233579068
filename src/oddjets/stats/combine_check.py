"""The check of a card in Combine: a script that runs it in its container, and a table of what it should give.

Nothing of Combine runs here. The table has the fit of the workspace, and that of a workspace which is closer to Combine's model
in the two ways that HistFactory can express (`like_combine`): the difference of the two is what to expect.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from oddjets import __version__
from oddjets.core.files import write_json
from oddjets.stats.summary import fit_workspace

__all__ = ["IMAGE", "Expectation", "expectations", "like_combine", "write_check"]

#: Combine's public container, as its documentation names it
IMAGE = "gitlab-registry.cern.ch/cms-cloud/combine-standalone:v9.2.1"
#: what the files are called
SCRIPT, TABLE, NUMBERS = "combine.sh", "combine_expected.md", "combine_expected.json"
#: relative accuracy of limits that is asked of Combine; by default it stops at 5 per mille
ACCURACY = 1e-4

#: what no number here stands for, and how large it is known to be
OTHER_SOURCES = (
    "Shape variations inside 1 sigma: a polynomial of sixth order here, a smooth step in Combine; the same at 0 and 1 sigma.",
    "Log-normals: within a per mille for lo = 1/hi.",
    "Ranges of the free QCD factors: on s, b and c here, on B, C and D in the card; the same unless a factor ends at a bound.",
    "What `combine_report.json` lists: templates that the card leaves out, or changes.",
    "Combine's minimiser stops at a tolerance; its log warns where a fit is not good.",
)

GofModel = Literal["background", "signal"]


class Expectation(NamedTuple):
    """One number of Combine.

    Attributes:
        method: of Combine.
        quantity: what it prints it as.
        here: the fit of the workspace; None: there is none.
        like_combine: the fit of `like_combine`.
    """

    method: str
    quantity: str
    here: float | None
    like_combine: float | None

    @property
    def difference(self) -> float | None:
        """What to expect of Combine, less our number."""
        return None if self.here is None or self.like_combine is None else self.like_combine - self.here


def like_combine(workspace: Mapping[str, Any]) -> dict[str, Any]:
    """Return a workspace whose model is closer to that of the card.

    A shape variation becomes its normalisation (a log-normal) and its normalised shape, with one nuisance parameter. And each
    process has its own statistical errors, not those of its group: in a bin the errors of several processes, each with its
    Gaussian parameter, move the sum as one parameter does whose error is their quadratic sum. That is ``autoMCStats``.

    Args:
        workspace: of `workspace.build`.
    """
    made: dict[str, Any] = copy.deepcopy(dict(workspace))
    for channel in made["channels"]:
        for sample in channel["samples"]:
            modifiers: list[dict[str, Any]] = []
            for modifier in sample["modifiers"]:
                if modifier["type"] == "staterror":
                    modifier["name"] = f"mcstat_{sample['name']}_{channel['name']}"
                modifiers += _split(modifier, sample["data"])
            sample["modifiers"] = modifiers
    return made


def _split(modifier: dict[str, Any], nominal: list[float]) -> list[dict[str, Any]]:
    """Return a shape variation as normalisation and shape; anything else as it is."""
    if modifier["type"] != "histosys":
        return [modifier]
    total = sum(nominal)
    sums = {side: sum(modifier["data"][f"{side}_data"]) for side in ("hi", "lo")}
    if total <= 0 or min(sums.values()) <= 0:
        return [modifier]
    ratios = {side: value / total for side, value in sums.items()}
    shape = {f"{side}_data": [v / ratios[side] for v in modifier["data"][f"{side}_data"]] for side in ratios}
    name = modifier["name"]
    return [{"name": name, "type": "histosys", "data": shape}, {"name": name, "type": "normsys", "data": ratios}]


def expectations(workspace: Mapping[str, Any], *, gof_model: GofModel = "signal") -> list[Expectation]:
    """Return what each method of Combine should print.

    Args:
        workspace: of `workspace.build`.
        gof_model: the model of the goodness of fit.

    Raises:
        OddjetsError: the workspace cannot be fitted.
    """
    columns = [_numbers(one, gof_model) for one in (workspace, like_combine(workspace))]
    return [Expectation(*key, *(column.get(key) for column in columns)) for key in columns[0]]


def _numbers(workspace: Mapping[str, Any], gof_model: GofModel) -> dict[tuple[str, str], float | None]:
    results = fit_workspace(workspace, limit=True, impacts=False, scan=False, progress=False)
    poi, found, limit = results["poi"], results["significance"], results.get("limit") or {}
    fit = "signal_plus_background" if gof_model == "signal" else "background"
    expected = limit.get("expected") or [None] * 5
    bands = zip(("2.5%", "16.0%", "50.0%", "84.0%", "97.5%"), expected, strict=True)
    return {
        ("FitDiagnostics", "Best fit r"): poi["value"],
        ("FitDiagnostics", "error up"): poi.get("error_up"),
        ("FitDiagnostics", "error down"): poi.get("error_down"),
        ("Significance", "Significance, observed"): found.get("z"),
        ("Significance", "Significance, expected for r = 1"): (found.get("expected") or {}).get("z"),
        ("AsymptoticLimits", "Observed Limit"): limit.get("observed"),
        **{("AsymptoticLimits", f"Expected {name}"): value for name, value in bands},
        # Combine keeps the constraint terms in its saturated statistic
        ("GoodnessOfFit", "Best fit test statistic"): (results["convergence"].get(fit) or {}).get("deviance"),
    }


def write_check(
    workspace: Mapping[str, Any], folder: Path, *, gof_model: GofModel = "signal", gof_toys: int = 0, seed: int = 1
) -> list[Path]:
    """Write the script and the table beside a card.

    Args:
        workspace: that the card was made of.
        folder: of the card.
        gof_model: the model of the goodness of fit.
        gof_toys: toys of Combine's goodness of fit; 0: none.
        seed: of these.

    Returns:
        The files: the script, and the table as Markdown and as JSON.
    """
    found = expectations(workspace, gof_model=gof_model)
    config = workspace["measurements"][0]["config"]
    bounds = next((p["bounds"][0] for p in config["parameters"] if p["name"] == config["poi"]), [0.0, 10.0])
    files = [folder / SCRIPT, folder / TABLE, folder / NUMBERS]
    script = _script(tuple(bounds), gof_model, gof_toys, seed)
    files[0].write_text(script, encoding="utf-8")
    files[0].chmod(0o755)
    others = [*OTHER_SOURCES, *_beyond(found, bounds[1])]
    files[1].write_text(_table(found, config["poi"], others), encoding="utf-8")
    content = {
        "combine_was_run": False,
        "image": IMAGE,
        "oddjets": __version__,
        "parameter": config["poi"],
        "numbers": [{**one._asdict(), "difference": one.difference} for one in found],
        "other_sources_of_differences": others,
    }
    write_json(files[2], json.loads(json.dumps(content)))
    return files


def _script(bounds: tuple[float, float], gof_model: GofModel, gof_toys: int, seed: int) -> str:
    low, high = bounds
    span = f"--rMin {low:g} --rMax {high:g}"
    fixed = " --fixedSignalStrength=0" if gof_model == "background" else ""
    saturated = f"combine -M GoodnessOfFit workspace.root --algo=saturated{fixed}"
    steps = [
        "text2workspace.py datacard.txt -o workspace.root",
        f"combine -M FitDiagnostics workspace.root {span} --robustFit 1",
        f"combine -M Significance workspace.root {span} -n .observed",
        f"combine -M Significance workspace.root {span} -n .expected -t -1 --expectSignal 1 --toysFrequentist",
        f"combine -M AsymptoticLimits workspace.root --rMin 0 --rMax {high:g} --rRelAcc {ACCURACY:g} --rAbsAcc {ACCURACY:g}",
        f"{saturated} {span} -n .data",
    ]
    if gof_toys:
        steps.append(f"{saturated} {span} -n .toys -t {gof_toys} -s {seed} --toysFrequentist")
    lines = "\n".join(f"  step {step}" for step in steps)
    return f"""#!/usr/bin/env bash
# Runs Combine on datacard.txt: here if it is installed, else in its container. Written by oddjets {__version__}, which has
# not run it; {TABLE} says what to expect. Output: combine_log.txt, and the lines that matter in combine_results.txt.
set -euo pipefail
cd "$(dirname "$0")"
image=${{IMAGE:-{IMAGE}}}

step() {{
  echo "=== $*"
  "$@"
}}

# in a folder of its own: the container's user may not write here
all_steps() {{
  local scratch
  scratch=$(mktemp -d)
  cp datacard.txt shapes.root "$scratch"
  cd "$scratch"
{lines}
}}

if command -v combine >/dev/null; then
  all_steps
  exit
fi
runner=$(command -v docker || command -v podman) || {{
  echo "neither combine nor docker or podman is here" >&2
  exit 1
}}
# by standard input, whatever the container starts with
echo 'cd /card && bash ./{SCRIPT}' |
  "$runner" run --rm --interactive --volume "$PWD":/card:ro "$image" 2>&1 | tee combine_log.txt
grep -E '^===|Best fit r|^Significance|Limit: r|^Expected|Best fit test statistic' combine_log.txt >combine_results.txt
"""


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _beyond(found: list[Expectation], high: float) -> list[str]:
    """Say which limits are above the range that the script gives to Combine."""
    names = [
        one.quantity
        for one in found
        if one.method == "AsymptoticLimits" and max(one.here or 0.0, one.like_combine or 0.0) > high
    ]
    if not names:
        return []
    return [
        (
            f"{', '.join(names)}: above --rMax {high:g}, the upper bound of the strength, where Combine stops; raise the bound"
            " in the YAML to compare them."
        )
    ]


def _table(found: list[Expectation], poi: str, others: Sequence[str]) -> str:
    rows = [
        f"| {one.method} | {one.quantity} | {_shown(one.here)} | {_shown(one.like_combine)} | {_shown(one.difference)} |"
        for one in found
    ]
    said = (
        f"**Combine was not run.** These are numbers of oddjets {__version__}; `bash {SCRIPT}` runs Combine, in its container"
        f" `{IMAGE}`. Combine's r is `{poi}`."
    )
    explained = (
        "'Like Combine' is the same workspace with two changes that bring it closer to the card: a shape variation is its"
        " normalisation, a log-normal, and its normalised shape; and each process has its own statistical errors, which add up"
        " as those of `autoMCStats` do. The last column is what these two change: so far Combine may be from the fit of the"
        " workspace. The statistic of the goodness of fit is that of all channels with the constraint terms, as in Combine; the"
        " one in `results.json` is without them, and in the letters that the YAML names."
    )
    return "\n".join(
        [
            "# What Combine should give",
            "",
            said,
            "",
            "| method | Combine prints | workspace, fitted here | like Combine, fitted here | expected difference |",
            "|---|---|---|---|---|",
            *rows,
            "",
            explained,
            "",
            "Not in the numbers:",
            "",
            *(f"- {text}" for text in others),
            "",
        ]
    )
