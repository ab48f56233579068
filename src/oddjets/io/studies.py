"""Finished studies in an output folder, as far as the fit's summary and the report show them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from oddjets.core.errors import InputFileError
from oddjets.core.files import sha256_of
from oddjets.core.provenance import content_key, read_manifest

__all__ = [
    "CHOICES",
    "FOLDER",
    "INJECTION",
    "LEARNING",
    "LEARNING_MIXED",
    "PICKS",
    "SCULPTING",
    "TRAININGS",
    "TWO_SAMPLE",
    "FinishedStudy",
    "bound_of",
    "calibration_line",
    "few_experiments",
    "jets_made_of",
    "jets_study",
    "made_of",
    "method_of",
    "outdated_jet_studies",
    "outdated_null_studies",
    "range_of",
    "read_jet_studies",
    "read_null_studies",
    "read_study",
    "read_training_study",
    "two_sample_answer",
    "two_sample_lines",
]

#: the folder of studies, in the output folder
FOLDER = "study"
#: the study of a family of trainings, there
TRAININGS = "trainings.json"
#: those of choices, of an injected signal and of sculpting, there
CHOICES, INJECTION, SCULPTING = "choices.json", "injection.json", "sculpting.json"
#: those of a score that is learnt anew in every experiment, there: of simulated events, and of pairs of their jets
LEARNING, LEARNING_MIXED = "learning.json", "learning_mixed.json"
#: that of data against their own pairs or other events, there
TWO_SAMPLE = "two_sample.json"
#: run:section:event of its most discrepant events, one a line
PICKS = "two_sample_picks.txt"
#: what a finished study must have: of what state of the folder it is, and what the report reads
_ENTRIES = {
    CHOICES: ("of", "choices", "correlation", "trials", "complete"),
    INJECTION: ("of", "signal", "methods", "strengths"),
    **dict.fromkeys(
        (LEARNING, LEARNING_MIXED),
        ("of", "signal", "strengths", "loss_at_zero", "break_even", "uniformity", "trained_on", "source"),
    ),
    SCULPTING: ("of", "regions", "observable", "process", "score"),
    TWO_SAMPLE: ("of", "against", "hypothesis", "test", "shows_data_in_A"),
}
#: likewise of a study of single jets
_OF_JETS = ("of", "source", "choices", "together", "curve", "experiments")
#: fewer experiments are a warning: at 2 sigma two of so many are expected
LEAST_EXPERIMENTS = 100


class FinishedStudy(NamedTuple):
    """A finished study of choices, of an injected signal, of a learnt score, of sculpting, or a two-sample test.

    Attributes:
        content: of its file.
        outdated: why it is of another state of the folder, in words; empty: it is of what is there now.
    """

    content: dict[str, Any]
    outdated: str


def made_of(out: Path, name: str) -> dict[str, str | None]:
    """Return the state of a folder that a study is of, for its file.

    Sculpting is of the histograms and not of the workspace, which may take its closure uncertainty from it; a two-sample test
    is of the event tables.

    Args:
        out: the output folder.
        name: the study's file, such as `CHOICES`.
    """
    if name == SCULPTING:
        key = (read_manifest(out, "histogram") or {}).get("key")
        return {"histograms": None if key is None else str(key)}
    if name == TWO_SAMPLE:
        key = (read_manifest(out, "process") or {}).get("key")
        return {"events": None if key is None else str(key)}
    workspace = out / "workspace.json"
    return {"workspace": sha256_of(workspace) if workspace.is_file() else None}


def read_study(out: Path, name: str) -> FinishedStudy | None:
    """Return a study; None where there is none.

    Args:
        out: the output folder.
        name: its file: `CHOICES`, `INJECTION`, `LEARNING`, `LEARNING_MIXED`, `SCULPTING` or `TWO_SAMPLE`.

    Raises:
        InputFileError: the file is no such study.
    """
    file = out / FOLDER / name
    if not file.is_file():
        return None
    verb = f"study {name.removesuffix('.json').removesuffix('_mixed').replace('_', '-')}"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        (kind, of), *_ = content["of"].items()
        if lacking := [key for key in _ENTRIES[name] if key not in content]:
            raise KeyError(lacking[0])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputFileError(
            f"{file}: cannot be read as a study ({type(error).__name__}: {error}); remove it, or run `oddjets {verb}` again"
        ) from None
    other = {"histograms": "other histograms", "events": "other event tables"}.get(kind, f"another {kind}")
    return FinishedStudy(content, "" if of == made_of(out, name)[kind] else f"it is of {other}")


def outdated_null_studies(out: Path) -> list[str]:
    """Return the sources of studies without signal that are of another workspace than the one that is there now.

    Args:
        out: the output folder.
    """
    current = read_null_studies(out)
    there = [file.stem.removeprefix("null_") for file in sorted((out / FOLDER).glob("null_*.json"))]
    return [source for source in there if source not in current]


def read_null_studies(out: Path) -> dict[str, dict[str, Any]]:
    """Return source -> study without signal, of those that are of the workspace that is there now.

    Args:
        out: the output folder.

    Raises:
        InputFileError: a file is no study.
    """
    workspace = out / "workspace.json"
    files = sorted((out / FOLDER).glob("null_*.json"))
    now = sha256_of(workspace) if files and workspace.is_file() else None
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            source, of = content["source"], content["workspace_sha256"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputFileError(
                f"{file}: cannot be read as a study ({type(error).__name__}); remove it, or run `oddjets study null` again"
            ) from None
        if of == now:
            found[source] = content
    return found


def read_training_study(out: Path) -> dict[str, Any] | None:
    """Return the study of a family of trainings, if it is of the workspace that is there now.

    Args:
        out: the output folder.

    Raises:
        InputFileError: the file is no such study.
    """
    file, workspace = out / FOLDER / TRAININGS, out / "workspace.json"
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        of = content["workspace_sha256"]
        if not {"family", "blinded", "members", "spread", "agreement"} <= content.keys():
            raise KeyError("its entries")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(
            f"{file}: cannot be read as a study of trainings ({type(error).__name__}); remove it, or run"
            " `oddjets study trainings` again"
        ) from None
    now = sha256_of(workspace) if workspace.is_file() else None
    return dict(content) if of == now else None


def jets_study(source: str) -> str:
    """Return the name of the file of a study of single jets.

    Args:
        source: what its experiments were drawn from.
    """
    return f"jets_{source.replace('-', '_')}.json"


def jets_made_of(out: Path, asked: BaseModel) -> dict[str, str | None]:
    """Return the state of a folder that a study or an inspection of single jets is of, for its file.

    Args:
        out: the output folder.
        asked: the section ``jet_bump``; the toys of its figure decide nothing.
    """
    key = (read_manifest(out, "process") or {}).get("key")
    return {
        "jets": None if key is None else str(key),
        "asked": content_key(asked.model_dump(mode="json", exclude={"toys"})),
    }


def read_jet_studies(out: Path, asked: BaseModel | None) -> dict[str, dict[str, Any]]:
    """Return source -> study of single jets without signal, of those that are of the jets and the searches of now.

    Args:
        out: the output folder.
        asked: the section ``jet_bump``; None: there is none, and no study.

    Raises:
        InputFileError: a file is no such study.
    """
    return {} if asked is None else {s: content for s, (content, now) in _jet_studies(out, asked).items() if now}


def outdated_jet_studies(out: Path, asked: BaseModel | None) -> list[str]:
    """Return the sources of studies of single jets that are of other jets, or other searches, than those of now.

    Args:
        out: the output folder.
        asked: as for `read_jet_studies`.
    """
    return [] if asked is None else [source for source, (_, now) in _jet_studies(out, asked).items() if not now]


def _jet_studies(out: Path, asked: BaseModel) -> dict[str, tuple[dict[str, Any], bool]]:
    found = {}
    for file in sorted((out / FOLDER).glob("jets_*.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if lacking := [key for key in _OF_JETS if key not in content]:
                raise KeyError(lacking[0])
            found[str(content["source"])] = content, content["of"] == jets_made_of(out, asked)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputFileError(
                f"{file}: cannot be read as a study ({type(error).__name__}: {error}); remove it, or run `oddjets study null`"
                " again"
            ) from None
    return found


def few_experiments(number: int) -> list[str]:
    """Return a warning where so many experiments say little; nothing where they are enough."""
    if number >= LEAST_EXPERIMENTS:
        return []
    line = (
        f"warning: {number} experiments say little: the mean of z has an error of {number**-0.5:.2f}, its sd one of"
        f" {(2 * number) ** -0.5:.2f}, and no rate of 2 or 3 sigma is measured; take 1000 or more"
    )
    return [line]


def bound_of(found: Mapping[str, Any]) -> str | None:
    """Return what is known of a p where no experiment is as extreme: ``p < 0.0099 at 95 % (...)``; None if it is measured.

    Args:
        found: the entry ``calibration`` of a study.
    """
    if not (bound := found.get("bound")):
        return None
    level = f"{100 * bound['level']:g} %"
    return f"p < {bound['p_below']:.2g} at {level} (none of {bound['experiments']} experiments is as extreme)"


def method_of(found: Mapping[str, Any]) -> str:
    """Return how a calibrated p was found, and whether it is an extrapolation.

    Args:
        found: the entry ``calibration`` of a study.
    """
    if found.get("bound"):
        return f"a bound by {found['method']}"
    return f"{found['method']}, extrapolation" if found["extrapolated"] else str(found["method"])


def range_of(found: Mapping[str, Any], digits: Callable[[float], str]) -> str:
    """Return the range of a calibrated p over nuisance values and c, or why there is none.

    Args:
        found: the entry ``calibration`` of a study.
        digits: how a p is written.
    """
    if len(found["truths"]) < 2:
        return "not tried"
    if found["range"] is None:
        return "not measured: too few experiments"
    return " to ".join(digits(p) for p in found["range"])


def calibration_line(name: str, found: Mapping[str, Any]) -> str:
    """Return a calibrated p in a line.

    Args:
        name: what it is the probability under.
        found: the entry ``calibration`` of a study.
    """
    if bound := bound_of(found):
        line = f"{name}: {bound}, z > {found['bound']['z_above']:.2f}"
    else:
        line = f"{name}: {found['p_value']:.3g} [{found['low']:.2g}, {found['high']:.2g}], z = {found['z']:.2f}"
    line += f"; asymptotic {found['p_asymptotic']:.3g}, z = {found['observed_z']:.2f}"
    if len(found["truths"]) > 1:
        line += f"; {range_of(found, '{:.2g}'.format)} over nuisance values and c"
    line += f"; {method_of(found)}" if found.get("bound") or found["extrapolated"] else f"; by {found['method']}"
    if needed := found.get("tail_needed"):
        line += f"; for an error of 50 % use --tail {needed} or more"
    return line


def two_sample_lines(found: Mapping[str, Any]) -> list[str]:
    """Return what a two-sample test found, in lines.

    Args:
        found: the content of its file.
    """
    lines = [f"two-sample test of {found['events']} events ({found['part']}), {', '.join(found['columns'])}:"]
    lines += [f"  left out {what}: {number}" for what, number in found.get("left_out", {}).items()]
    lines.append(f"  hypothesis: {found['hypothesis']}; toys: {found.get('toys_are', '')}")
    lines.append(f"  {two_sample_answer(found['test'])}")
    if found.get("with_residual"):
        lines.append(
            f"  with the correlation of simulated pairs as an uncertainty: {two_sample_answer(found['with_residual'])}"
        )
    for row in found["test"]["widths"]:
        lines.append(
            f"    width {row['width']:.2f}: t {row['t']:.1f}, toys {row['dof']:.1f} (by median); p {row['p_value']:.3g} by toys"
        )
    return lines


def two_sample_answer(test: Mapping[str, Any]) -> str:
    """Return the p values of a two-sample test in a line; what is an extrapolation is called that.

    Args:
        test: the entry ``test`` of its file.
    """
    smallest, mean, beyond = test["min_p"], test["mean_p"], test["extrapolated"]
    said = f"p {smallest['p_value']:.3g} by {test['toys']} toys (smallest p of five widths), {mean['p_value']:.3g} (mean p)"
    if smallest["beyond"]:
        said += f"; no toy is as extreme: by a fitted chi2, an extrapolation, p {beyond['p_value']:.1g} (z {beyond['z']:.1f})"
    return said
