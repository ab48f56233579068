"""Eras in the report: their luminosities, the nuisance parameters that they share, and files that nobody checked."""

from __future__ import annotations

from typing import Any

from oddjets.report.artifacts import Artifacts
from oddjets.report.health_line import HealthCheck
from oddjets.report.tables import Cell, Table
from oddjets.report.text import count, name_some

__all__ = ["ERAS", "era_checks", "luminosity_table", "nuisance_table"]

#: anchor of the table of luminosities
ERAS = "table-eras"


def era_checks(artifacts: Artifacts) -> list[HealthCheck]:
    """Return lines about the eras of an analysis that has several, and about correction files without a known sha256.

    Args:
        artifacts: of the output directory.
    """
    made = []
    if found := _of_histogram(artifacts):
        total = sum(found["luminosity_by_era_pb"].values())
        note = ", ".join(f"{era} {_fb(value)}" for era, value in found["luminosity_by_era_pb"].items())
        value = f"{count(len(found['luminosity_by_era_pb']))}, {_fb(total)}"
        made.append(
            HealthCheck(
                "Eras", "good", value, note, "manifests/histogram.json", "extra.eras.luminosity_by_era_pb", ERAS
            )
        )
    process: dict[str, Any] = (artifacts.manifests.get("process") or {}).get("extra") or {}
    if unchecked := process.get("unchecked_files"):
        names = [f"{name} of {era}" for era, files in unchecked.items() for name in files]
        note = f"{name_some(names)}: the eras' YAML has no sha256 to compare with; the manifest has those of the files used"
        place = ("manifests/process.json", "extra.unchecked_files")
        made.append(HealthCheck("Correction files", "watch", f"{count(len(names))} not checked", note, *place))
    return made


def luminosity_table(artifacts: Artifacts) -> Table | None:
    """Return the luminosity of each era and of all, with its uncertainty; None of an analysis of one era."""
    if not (found := _of_histogram(artifacts)):
        return None
    parts: dict[str, dict[str, float]] = found["luminosity_parts"]
    rows = []
    for era, value in found["luminosity_by_era_pb"].items():
        own = [f"{name} {100 * sizes[era]:.3g} %" for name, sizes in parts.items() if era in sizes]
        size = sum(sizes.get(era, 0.0) ** 2 for sizes in parts.values()) ** 0.5
        rows.append(
            [Cell(era), Cell(_fb(value), value), _percent(size if parts else None), Cell(", ".join(own) or "–")]
        )
    total = sum(found["luminosity_by_era_pb"].values())
    rows.append([Cell("all"), Cell(_fb(total), total), _percent(found["luminosity_uncertainty"]), Cell("–")])
    return Table(
        "Luminosities of the eras",
        ["Era", "Luminosity", "Uncertainty", "Parts"],
        rows,
        "manifests/histogram.json",
        "extra.eras",
        note="Parts of the same name are one nuisance parameter: their uncertainties add linearly, others in quadrature.",
        anchor=ERAS,
    )


def nuisance_table(artifacts: Artifacts) -> Table | None:
    """Return which eras share each nuisance parameter; None of an analysis of one era."""
    if not (found := _of_histogram(artifacts)):
        return None
    eras = list(found["luminosity_by_era_pb"])
    sharing = found["nuisances"] | {name: list(sizes) for name, sizes in found["luminosity_parts"].items()}
    rows = [
        [Cell(name), *(Cell("varied" if era in names else "–", float(era in names)) for era in eras)]
        for name, names in sharing.items()
    ]
    return Table(
        "Nuisance parameters and eras",
        ["Parameter", *eras],
        rows,
        "manifests/histogram.json",
        "extra.eras.nuisances",
        note="Where an era is not varied, a variation of the sum has its nominal events.",
    )


def _of_histogram(artifacts: Artifacts) -> dict[str, Any]:
    extra: dict[str, Any] = (artifacts.manifests.get("histogram") or {}).get("extra") or {}
    found: dict[str, Any] = extra.get("eras") or {}
    return found


def _fb(luminosity_pb: float) -> str:
    return f"{luminosity_pb / 1000:.4g} /fb" if luminosity_pb >= 100 else f"{luminosity_pb:.4g} /pb"


def _percent(value: float | None) -> Cell:
    return Cell("–") if value is None else Cell(f"{100 * value:.2g} %", value)
