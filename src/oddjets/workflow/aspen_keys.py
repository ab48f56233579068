"""The content keys of tables of Aspen Open Jets: configuration, model cards and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oddjets.core import provenance
from oddjets.core.files import sha256_of
from oddjets.corrections import luminosity
from oddjets.scoring.model_card import load_card

if TYPE_CHECKING:
    from oddjets.workflow.run import RunContext

__all__ = ["decides_rows", "key_inputs"]


def key_inputs(run: RunContext) -> dict[str, Any]:
    """Return what rows and their number depend on, for content keys: configuration, cards and files."""
    analysis = run.analysis
    assert analysis.aspen is not None
    era, folder = run.resolved.eras[str(analysis.era)]
    simulation = run.aspen_simulation
    return {
        **decides_rows(run),
        "files": {file.path.name: file.identity for file in run.aspen_files},
        "luminosity": luminosity.input_digests(analysis, era, folder, []),
        "simulation": None
        if simulation is None
        else (provenance.read_manifest(simulation, "process") or {}).get("key"),
    }


def decides_rows(run: RunContext) -> dict[str, Any]:
    """Return the part of the configuration that decides the rows of a chunk."""
    analysis = run.analysis
    assert analysis.aspen is not None
    return {
        "aspen": {"events": analysis.aspen.events, "chunk_size": analysis.aspen.chunk_size},
        "selection": analysis.selection.model_dump(mode="json", exclude={"luminosity_table"}),
        "scores": {name: s.stated() for name, s in analysis.scores.items() if s.combined is None},
        "cards": {name: [load_card(path).sha256, sha256_of(path)] for name, path in run.resolved.cards.items()},
        "processor": [run.resolved.source.code_sha256, run.resolved.source.class_name],
    }
