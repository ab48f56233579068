"""The YAML of an analysis with a learnt score: the user's own analysis, with the learnt score and its product with the seed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from oddjets.config.analysis import load_analysis
from oddjets.core import resources
from oddjets.core.files import atomic_write

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["FOLDER", "LEARNT_YAML", "TRAINING", "folder_of", "product_name", "write_analysis"]

#: the folder of the results of the score of this name, and the analysis in it
FOLDER, LEARNT_YAML = "learnt", "learnt.yaml"
#: the systematic of the spread of the trainings
TRAINING = "learnt_training"
#: smaller relative changes of a yield are not worth a nuisance parameter
_LEAST_CHANGE = 1e-4


def folder_of(score: str) -> str:
    """Return the folder of the results of a learnt score, so that scores of several names stand beside each other."""
    return FOLDER if score == FOLDER else f"{FOLDER}_{score}"


def product_name(score: str, seed: str) -> str:
    """Return the name of the product of a learnt score and its seed."""
    return f"{score}_x_{seed}"


def write_analysis(
    run: RunContext,
    folder: Path,
    card: str,
    score: str,
    seed: str,
    weight: float,
    efficiency: float,
    stochastic: Mapping[str, float],
    notes: tuple[str, ...],
) -> Path:
    """Write the analysis beside the card, so that `oddjets run` goes through it as through any other.

    It has all scores of the user's, so that the seed stands beside what was learnt; the product of the two has the threshold.
    Events that were simulated are read where they are, and so are scores that were stored. Names of files that were beside
    the user's YAML are written as seen from the new one.

    Args:
        run: the analysis and its folder.
        folder: of the card.
        card: its file there.
        score: name of the learnt score.
        seed: the score that it is multiplied with.
        weight: of the learnt score in the product, 0 to 1.
        efficiency: of the threshold.
        stochastic: signal process to the relative standard deviation of its yield in A over trainings.
        notes: for the report.

    Returns:
        The file.
    """
    asked = run.requested
    content = asked.model_dump(mode="json", exclude_unset=True)
    # a bank that was made before has no learnt score
    for key in ("simulate", "closure", "jet_bump"):
        content.pop(key, None)
    product = product_name(score, seed)
    label = asked.scores[seed].label or seed
    scores = {name: dict(stated) for name, stated in content["scores"].items()}
    if seed in scores and len(scores) == 1:
        # with several scores, one without a label is called by its name
        scores[seed].setdefault("label", label)
    scores[score] = {"card": card, "label": f"{score} score"}
    # four digits are more than the evidence has
    powers = {} if weight == 1 else {"weights": [1.0, round(weight, 4)]}
    scores[product] = {"product": [seed, score], **powers, "label": f"{score} x {label}"}
    content |= {
        "name": f"{asked.name}_{score}",
        "title": f"{asked.title} ({score} score)",
        "notes": [*asked.notes, *notes],
        "scores": scores,
        "threshold": {
            **{k: v for k, v in content["threshold"].items() if k not in ("score", "value", "efficiency")},
            "score": product,
            "efficiency": efficiency,
        },
    }
    changed = {name: value for name, value in stochastic.items() if value > _LEAST_CHANGE}
    if changed:
        content["systematics"] = [*content.get("systematics", []), *_systematics(changed)]
    _move(content, asked.folder, folder)
    if asked.simulate is not None:
        content["fileset"] = _from(folder, run.out / "simulation" / "fileset.json")
    execution = dict(content.get("execution", {}))
    stored = asked.execution.scores(run.out, asked.folder)
    if stored is not None and asked.execution.shared_filesystem:
        execution["score_folder"] = _from(folder, stored)
    content["execution"] = execution
    where = asked.path.name if asked.path is not None else asked.name
    file = folder / LEARNT_YAML
    with atomic_write(file) as temporary:
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
        temporary.write_text(
            f"# {where} with the learnt score '{score}' beside '{seed}', and their product as the threshold's score.\n"
            f"# Written by `oddjets learn`; `oddjets run` goes through it as through any other analysis.\n{text}",
            encoding="utf-8",
        )
    load_analysis(file)
    return file


def _systematics(changed: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a weight of each signal that moves its yield by what trainings differ."""
    several = len(changed) > 1
    return [
        {
            "name": f"{TRAINING}_{process}" if several else TRAINING,
            "kind": "weight",
            "processes": [process],
            # an expression is of columns of the event: its pT is above 0
            "correction": {
                "nominal": None,
                "up": f"1 + {value:.4f} * (pt_1 > 0)",
                # by the same factor, so that no weight changes its sign where few simulated events pass
                "down": f"1 / (1 + {value:.4f} * (pt_1 > 0))",
            },
        }
        for process, value in changed.items()
    ]


def _move(content: dict[str, Any], old: Path, new: Path) -> None:
    """Write names of files beside the old YAML as seen from the new one; changes the content."""

    def moved(name: str, kind: str = "", ending: str = "") -> str:
        path = old / Path(name).expanduser()
        beside = path.with_name(f"{path.name}{ending}")
        shipped = resources.carried(beside.name, kind) if kind else None
        if not beside.exists() or (shipped is not None and shipped.resolve() == beside.resolve()):
            return name
        return _from(new, path)

    if "processor" in content:
        file, colon, cls = content["processor"].rpartition(":")
        content["processor"] = f"{moved(file, 'processors')}{colon}{cls}"
    if content.get("fileset") is not None:
        content["fileset"] = moved(content["fileset"], "datasets")
    eras = content["era"]
    names = [moved(era, "corrections", ".yaml") for era in ([eras] if isinstance(eras, str) else eras)]
    content["era"] = names[0] if isinstance(eras, str) else names
    for selection in (content.get("selection", {}), *content.get("selection_by_era", {}).values()):
        for key in ("golden_json", "luminosity_table"):
            if selection.get(key) not in (None, "era"):
                selection[key] = moved(selection[key])
    for name, stated in content["scores"].items():
        if "card" in stated and not (new / stated["card"]).is_file():
            content["scores"][name] = {**stated, "card": moved(stated["card"], "models")}
        if "family" in stated:
            content["scores"][name] = {**stated, "family": [moved(card, "models") for card in stated["family"]]}
    execution = content.get("execution", {})
    for key in ("cache", "score_folder"):
        if execution.get(key) is not None:
            execution[key] = _from(new, old / Path(execution[key]).expanduser())


def _from(folder: Path, path: Path) -> str:
    """Return a path as seen from a folder."""
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
