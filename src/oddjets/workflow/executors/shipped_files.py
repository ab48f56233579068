"""The files that a worker needs, as bytes, for workers without a shared file system.

A worker unpacks them once, below its own folder, checks their sha256, and works there. What it wrote comes back as bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from oddjets.config.per_era import eras_of
from oddjets.core.errors import OddjetsError
from oddjets.core.files import atomic_write
from oddjets.corrections import lookups
from oddjets.corrections.lookups import era_yamls, load_era
from oddjets.scoring.model_card import load_card
from oddjets.workflow.executors.chunk_worker import ChunkWorker
from oddjets.workflow.executors.chunks import Chunk
from oddjets.workflow.executors.records import CHUNKS

__all__ = ["ShippedFiles", "collect_outputs", "pack", "write_file"]

_ANALYSIS, _CACHE, _MODELS, _OUTPUT = "analysis", "cache", "models", "output"


@dataclass(frozen=True)
class ShippedFiles:
    """Files by their paths relative to one folder.

    Attributes:
        files: path, sha256 and content of each.
        work: as it is to be done there, with paths that start at the folder.
    """

    files: tuple[tuple[str, str, bytes], ...]
    work: ChunkWorker

    @property
    def sha256(self) -> str:
        """Of all files."""
        return hashlib.sha256(repr([(path, sha256) for path, sha256, _ in self.files]).encode()).hexdigest()

    def unpack(self, folder: Path) -> ChunkWorker:
        """Write the files below a folder, unless they are there, and return the work on them.

        Raises:
            OddjetsError: a file is not what was packed.
        """
        for path, sha256, content in self.files:
            if hashlib.sha256(content).hexdigest() != sha256:
                raise OddjetsError(f"{path} was changed on its way to the worker: its sha256 is not {sha256}")
            if not (folder / path).is_file():
                write_file(folder / path, content)
        # official corrections are looked for in the cache
        os.environ["ODDJETS_CACHE"] = str(folder / _CACHE)
        analysis = self.work.analysis.model_copy(update={"path": folder / _ANALYSIS / "analysis.yaml"})
        cards = tuple((name, str(folder / card)) for name, card in self.work.cards)
        return replace(self.work, analysis=analysis, cards=cards, output=str(folder / _OUTPUT))


def pack(work: ChunkWorker) -> ShippedFiles:
    """Pack what work needs: the analysis's cards, models and corrections; the processor's file is in the work already.

    Raises:
        OddjetsError: a file is missing.
    """
    found: dict[str, Path] = {}
    cards = []
    for name, path in work.cards:
        card, folder = load_card(path), Path(path).parent
        for member in (Path(path).name, card.file, *(extra.file for extra in card.files_beside)):
            found[f"{_MODELS}/{name}/{member}"] = folder / member
        cards.append((name, f"{_MODELS}/{name}/{Path(path).name}"))
    analysis = work.analysis
    for era_name in eras_of(analysis):
        era, era_folder = load_era(era_name, analysis.folder)
        own, *extended = era_yamls(era_name, analysis.folder)
        found[f"{_ANALYSIS}/corrections/{era_name}.yaml"] = own
        found |= {f"{_ANALYSIS}/corrections/{file.name}": file for file in extended}
        for name, spec in era.files.items():
            top = f"{_CACHE}/{era.name}" if spec.official else f"{_ANALYSIS}/corrections"
            file = lookups.locate(era, era_folder, name)
            if file.is_file():  # what an analysis does not use need not have been fetched
                found[f"{top}/{spec.path}"] = file
    golden = analysis.selection.golden_json
    if golden not in (None, "era"):
        found[f"{_ANALYSIS}/golden.json"] = analysis.folder / str(golden)
        selection = analysis.selection.model_copy(update={"golden_json": "golden.json"})
        analysis = analysis.model_copy(update={"selection": selection})
    by_era = dict(analysis.selection_by_era)
    for era_name, stated in by_era.items():
        if stated.get("golden_json") not in (None, "era"):
            found[f"{_ANALYSIS}/golden_{era_name}.json"] = analysis.folder / str(stated["golden_json"])
            by_era[era_name] = {**stated, "golden_json": f"golden_{era_name}.json"}
    if by_era != analysis.selection_by_era:
        analysis = analysis.model_copy(update={"selection_by_era": by_era})
    there = replace(work, analysis=analysis, cards=tuple(cards), score_cache=None)
    return ShippedFiles(tuple(_packed(found)), there)


def _packed(found: Mapping[str, Path]) -> list[tuple[str, str, bytes]]:
    files = []
    for path, file in sorted(found.items()):
        if ".." in Path(path).parts or Path(path).is_absolute():
            raise OddjetsError(
                f"{file}: its name in the YAML leaves the folder of the YAML, so it cannot travel to workers"
            )
        content = file.read_bytes()
        files.append((path, hashlib.sha256(content).hexdigest(), content))
    return files


def collect_outputs(folder: Path, chunk: Chunk) -> dict[str, bytes]:
    """Take what was written about a chunk out of a worker's folder.

    Returns:
        Path relative to the analysis's output folder, to content; the record last, as it was written.
    """
    home = {}
    for suffix in (".parquet", ".json"):
        path = f"{CHUNKS}/{chunk.dataset}/{chunk.name}{suffix}"
        file = folder / _OUTPUT / path
        if file.is_file():
            home[path] = file.read_bytes()
            file.unlink()
    return home


def write_file(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(file) as temporary:
        temporary.write_bytes(content)
