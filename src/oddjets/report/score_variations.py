"""Variations of the constituents in the report: what is varied, by how much, and where the sizes are from."""

from __future__ import annotations

from collections import Counter
from typing import Any

from oddjets.report.artifacts import Artifacts
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count

__all__ = ["score_variation_table"]


def score_variation_table(artifacts: Artifacts) -> Table | None:
    """Return the variations of constituents with their sizes and sources; None where scores are not varied.

    Args:
        artifacts: of the output directory.
    """
    extra: dict[str, Any] = (artifacts.manifests.get("process") or {}).get("extra") or {}
    if not (listed := extra.get("score_variations")):
        return None
    jets: dict[str, Counter[str]] = {}
    for dataset in extra.get("datasets", {}).values():
        for variation, found in dataset.get("varied_scores", {}).items():
            jets.setdefault(variation, Counter()).update(found)
    rows = []
    for name, one in listed.items():
        counts = [jets.get(f"{name}{direction}", Counter()) for direction in one["directions"]]
        total, changed = (sum(found[key] for found in counts) for key in ("jets", "changed"))
        radius = f", within {one['radius']:g}" if "radius" in one else ""
        rows.append(
            [
                Cell(name),
                Cell(f"{one['size']:.3g}{radius}", one["size"]),
                Cell("up and down" if len(one["directions"]) > 1 else f"{one['directions'][0].lower()}, mirrored"),
                Cell(", ".join(one["processes"])),
                Cell(f"{100 * changed / total:.3g} %" if total else "–", changed / total if total else None),
                Cell(count(total), total),
                Cell(one["source"]),
            ]
        )
    return Table(
        "Variations of the constituents",
        ["Variation", "Size", "Directions", "Processes", "Jets changed", "Jets", "Source of the size"],
        rows,
        "manifests/process.json",
        "extra.score_variations",
        note="Scores and N-subjettiness are varied, momenta and soft-drop masses of the jets are not; data are never varied.",
    )
