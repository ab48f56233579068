"""The files of a publication: the likelihood, results, models and the analysis, without folders of this machine."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from oddjets.core import provenance
from oddjets.core.archives import archive_bytes
from oddjets.core.errors import InputFileError
from oddjets.core.files import sha256_of
from oddjets.core.redaction import redacted, without_folders
from oddjets.report.record.submission import Resource
from oddjets.scoring.model_card import load_card
from oddjets.stats.patch_set import split_signal
from oddjets.workflow.run import RunContext

__all__ = ["NOT_PUBLISHED", "RECORD", "Cleaner", "drawn_figures", "write_resources"]

#: what is in the archive, with sha256 of every other file
RECORD = "publication.json"
#: of results.json: how long the stages took on a machine
NOT_PUBLISHED = ("timing_s",)

_README = """# The likelihood

`background_only.json` is a HistFactory workspace of the background. `patchset.json` adds the signal to it, as the patch
`{name}`:

    pyhf patchset apply background_only.json patchset.json --name {name} > workspace.json
    oddjets fit background_only.json --patch patchset.json:{name}

`references` of the patch set has a number that stands for the record at INSPIRE: nobody knows it before the record is there.
"""


class Cleaner:
    """Texts without secrets and without folders of this machine; counts what was changed.

    Args:
        folders: those that are known, which are found in sentences too where they have a blank inside.
    """

    def __init__(self, *folders: Path) -> None:
        self.changed = 0
        # without a blank inside, any folder is found
        known = {str(parent) for folder in folders for parent in (folder, *folder.parents) if " " in str(parent)}
        names = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
        self._known = re.compile(rf"(?<![\w:/.])(?:{names})/") if known else None

    def text(self, text: str) -> str:
        """Return a text without secrets and folders."""
        made = redacted(text)
        if _is_path(made):
            made = Path(made).name
        if self._known is not None:
            made = self._known.sub("", made)
        made = without_folders(made)
        self.changed += made != text
        return made

    def content(self, content: Any) -> Any:
        """Return what JSON can hold, with every text in it cleaned."""
        if isinstance(content, str):
            return self.text(content)
        if isinstance(content, Mapping):
            return {key: self.content(value) for key, value in content.items()}
        if isinstance(content, (list, tuple)):
            return [self.content(value) for value in content]
        return content


def _is_path(text: str) -> bool:
    """Tell whether a whole text is an absolute path, whose folder is there."""
    path = Path(text)
    try:
        return path.is_absolute() and path.parent != path.parent.parent and path.parent.is_dir()
    except (OSError, ValueError):  # no name that a file could have
        return False


def drawn_figures(out: Path) -> list[dict[str, Any]]:
    """Return the data of all figures that the stage `plot` drew.

    Raises:
        InputFileError: a figure has no JSON, or one that cannot be read.
    """
    drawn = ((provenance.read_manifest(out, "plot") or {}).get("extra") or {}).get("figures") or []
    found = []
    for name in dict.fromkeys(Path(file).stem for file in drawn):
        for suffix in ("json", "png"):
            if not (file := out / "figures" / f"{name}.{suffix}").is_file():
                raise InputFileError(
                    f"{file}: is not there any more, and the figure '{name}' cannot be published without it; draw"
                    " it again: `oddjets plot`"
                )
        found.append(_read(out / "figures" / f"{name}.json", "plot"))
    return found


def _read(file: Path, stage: str) -> Any:
    """Read a JSON file of the output folder.

    Raises:
        InputFileError: it is missing or damaged, or holds NaN or an infinite number, which JSON does not have.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"it holds {constant}, which JSON does not have")

    try:
        return json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)
    except FileNotFoundError:
        raise InputFileError(f"{file}: does not exist; run `oddjets {stage}` first", cause="missing file") from None
    except (OSError, ValueError) as error:
        raise InputFileError(f"{file}: cannot be published: {error}; run `oddjets {stage} --force` again") from None


def write_resources(
    run: RunContext, analysis: Mapping[str, Any], clean: Cleaner, folder: Path
) -> tuple[list[Resource], list[dict[str, Any]]]:
    """Write the files of the whole record into a folder, and say which models the scores are of."""
    fit = run.analysis.fit
    assert fit is not None
    made: list[Resource] = []

    def add(name: str, content: bytes | str, description: str, kind: str = "") -> None:
        file = folder / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        made.append(Resource(file, description, kind))

    def as_json(content: Any) -> str:
        return json.dumps(content, indent=1) + "\n"

    workspace = _read(run.out / "workspace.json", "workspace")
    likelihood = split_signal(workspace, {poi.name: poi.process for poi in fit.pois})
    parts = {
        "background_only.json": as_json(likelihood.background),
        "patchset.json": as_json(likelihood.patch_set),
        "README.md": _README.format(name=likelihood.name),
    }
    packed = archive_bytes({name: text.encode() for name, text in parts.items()})
    add(
        "likelihood.tar.gz",
        packed,
        "Likelihood in the HistFactory JSON format: background, and patch set with the signal",
        "HistFactory",
    )
    add("workspace.json", as_json(workspace), "The same likelihood as one pyhf workspace, as it was fitted")
    report = clean.content(_read(run.out / "workspace_report.json", "workspace"))
    add("workspace_report.json", as_json(report), "Bin edges of the workspace, and what was done to its templates")
    results = clean.content(_read(run.out / "results.json", "fit"))
    results = {name: value for name, value in results.items() if name not in NOT_PUBLISHED}
    add("results.json", as_json(results), "All results of the fit, in full precision")
    add("threshold.json", as_json(_read(run.out / "threshold.json", "histogram")), "The threshold of the score")
    text = yaml.safe_dump(dict(analysis), sort_keys=False, allow_unicode=True, width=100)
    add("analysis.yaml", text, "The analysis, with all that its YAML extends")
    cards: dict[str, dict[str, Any]] = {}
    for score, path in run.resolved.cards.items():
        if str(path) in cards:
            cards[str(path)]["scores"].append(score)
            continue
        card = load_card(path)
        name = path.name if path.name not in {known["card"] for known in cards.values()} else f"{score}_{path.name}"
        add(
            name,
            clean.text(path.read_text(encoding="utf-8")),
            f"Card of the model of the score '{score}'; sha256 of the model: {card.sha256}",
        )
        digests = {"card_sha256": sha256_of(path), "model": card.path.name, "model_sha256": card.sha256}
        cards[str(path)] = {"scores": [score], "card": name, **digests}
    add(RECORD, "{}", "What is in this record: versions, models, sha256 of all files")
    return made, list(cards.values())
