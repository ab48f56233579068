"""The analysis that a signal goes through: the published one, with its threshold and luminosity, and the signal's process."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis
from oddjets.core.errors import OddjetsError
from oddjets.core.expressions import names_in
from oddjets.corrections.lookups import Era
from oddjets.io.layouts import CandidateLayout
from oddjets.selection.file_layouts import VARIED_QUANTITIES
from oddjets.workflow.rescoring.options import RescoreOptions
from oddjets.workflow.rescoring.published import Published

__all__ = ["NewAnalysis", "new_analysis"]

#: what the generator's weights are read from; a sample may lack them
_GENERATOR_BRANCHES = {"isr": "PSWeight", "fsr": "PSWeight", "scale": "LHEScaleWeight"}
COLOR = "#832db6"


class NewAnalysis:
    """The analysis of a signal.

    Attributes:
        analysis: as the stages run it.
        absent: systematic of the published analysis -> why the signal's templates do not have it.
    """

    def __init__(self, analysis: Analysis, absent: dict[str, str]) -> None:
        self.analysis = analysis
        self.absent = absent


def parameter_of(published: Published, name: str) -> str:
    """Return the name of the strength of a signal: that of the analysis's own, where the signal has its name."""
    return published.signal.name if name == published.signal.process else f"mu_{name}"


def new_analysis(
    published: Published,
    options: RescoreOptions,
    fileset: Path,
    branches: frozenset[str],
    layouts: Iterable[CandidateLayout | None],
) -> NewAnalysis:
    """Return the analysis that a signal goes through.

    Systematics act on the signal as on the process of the published signal; those of that process alone do not, unless the
    signal has its name.

    Args:
        published: the published analysis.
        options: what is asked.
        fileset: of the signal.
        branches: that all files of the signal have.
        layouts: of the PF candidates in its files.

    Raises:
        OddjetsError: the signal's name is that of another process or parameter.
    """
    run = published.run
    asked, own, name = run.requested, published.signal.process, options.name
    if name in asked.processes and name != own:
        raise OddjetsError(f"--name: '{name}' is a background of '{asked.name}'; give the signal another name")
    content = asked.model_dump(exclude_unset=True)
    for key in ("simulate", "npz", "aspen", "closure", "inspect", "jet_bump", "hold_out"):
        content.pop(key, None)
    known = content["processes"].get(name, {"color": COLOR})
    content["processes"] = {
        **content["processes"],
        name: known | {"label": options.label or known.get("label") or name},
    }
    content |= {
        "name": f"{asked.name}_{name}",
        "title": f"{options.label or known.get('label') or name} in the search “{asked.title}”",
        "question": "What would this signal look like in the search, and how large may its cross section be?",
        "fileset": str(fileset.resolve()),
        "luminosity": published.luminosities,
        "threshold": {
            **{k: v for k, v in content["threshold"].items() if k != "efficiency"},
            "value": published.threshold["value"],
        },
    }
    resolved = {s.name: s for s in run.analysis.systematics}
    absent: dict[str, str] = {}
    kept = []
    for given in asked.systematics:
        acts_on = resolved[given.name].processes if given.name in resolved else given.processes
        reason = _why_absent(given.name, acts_on, own, name) or _lacking_branch(published, given.name, branches)
        if reason:
            absent[given.name] = reason
            continue
        stated = given.model_dump(exclude_unset=True)
        if given.processes is not None and name not in given.processes:
            stated["processes"] = [*given.processes, name]
        kept.append(stated)
    content["systematics"] = kept
    varied, more = _score_variations(asked, own, name, list(layouts))
    absent |= more
    content["score_variations"] = varied
    fit = content["fit"]
    fit.pop("tested", None)
    fit.pop("scan", None)
    content["fit"] = {
        **fit,
        "blind": False,
        "poi": {"name": parameter_of(published, name), "process": name, "bounds": [0, 1e6], "init": 1.0},
    }
    analysis = Analysis.model_validate(content)
    execution = {} if options.workers is None else {"workers": options.workers}
    changes = {"path": asked.path, "execution": asked.execution.model_copy(update=execution)}
    return NewAnalysis(analysis.model_copy(update=changes), absent)


def _why_absent(systematic: str, acts_on: Iterable[str] | None, own: str, name: str) -> str:
    if name == own or acts_on is None:
        return ""
    processes = list(acts_on)
    if own not in processes:
        return f"does not act on '{own}', whose place the signal takes"
    return f"is of the process '{own}' alone" if processes == [own] else ""


def _lacking_branch(published: Published, systematic: str, branches: frozenset[str]) -> str:
    """Return which branch of a weight the sample lacks; "" where it lacks none, or the weight needs none."""
    spec = next((s.correction for s in published.run.requested.systematics if s.name == systematic), None)
    if spec is None and systematic in _GENERATOR_BRANCHES:
        branch = _GENERATOR_BRANCHES[systematic]
        return "" if branch in branches else f"the sample has no branch {branch}"
    eras = published.run.resolved.eras.values()
    for era, _ in eras:
        for expression in _expressions(era, spec, systematic):
            for used in names_in(expression):
                # columns of the event table are made of what the selection needs, which is there
                if used not in branches and _is_branch(used):
                    return f"the sample has no branch {used}"
    return ""


def _expressions(era: Era, spec: Any, systematic: str) -> list[str]:
    spec = spec or era.corrections.get(systematic)
    if spec is None or systematic in ("jes", "jer", "jms", "jmr"):
        return []
    if spec.file is None:
        return [text for text in (spec.nominal, spec.up, spec.down) if text is not None]
    return [value for value in spec.inputs.values() if isinstance(value, str) and value != "variation"]


def _is_branch(name: str) -> bool:
    """Return whether a name is that of a branch and of no column: columns of jets end in _1 and _2."""
    return "_" in name and name[0].isupper() and not name.endswith(("_1", "_2"))


def _score_variations(
    asked: Analysis, own: str, name: str, layouts: list[CandidateLayout | None]
) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Return the variations of constituents that the sample can have, and why not the others."""
    section = asked.score_variations
    if section is None:
        return None, {}
    stated = section.model_dump(exclude_unset=True, exclude_none=True)
    kept: dict[str, Any] = {}
    absent: dict[str, str] = {}
    for variation, found in section.listed.items():
        needed = VARIED_QUANTITIES.get(variation, ())
        lacking = [
            quantity
            for row in layouts
            for quantity in needed
            if row is None or quantity not in {*row.branches} - {*row.missing}
        ]
        reason = _why_absent(variation, found.processes, own, name)
        if lacking:
            reason = f"the sample's candidates have no {', '.join(dict.fromkeys(lacking))}"
        if reason:
            absent[variation] = reason
            continue
        kept[variation] = dict(stated[variation])
        if found.processes is not None and name not in found.processes:
            kept[variation]["processes"] = [*found.processes, name]
    return kept or None, absent
