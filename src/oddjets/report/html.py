"""The report: one self-contained HTML file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup
from PIL import Image

from oddjets import __version__
from oddjets.config.analysis import Analysis
from oddjets.core.redaction import redacted
from oddjets.io.publications import read_publication
from oddjets.report import (
    eras,
    headline,
    health,
    inspections,
    jet_inspection,
    jet_studies,
    layout,
    learnt_scores,
    neighbours,
    score_tables,
    score_variations,
    scrutiny_tables,
    studies,
    tables,
    trainings,
    two_sample,
    verdict,
)
from oddjets.report.artifacts import Artifacts
from oddjets.report.figure_files import collect_possible, log_missing, remove_hidden, write_figures
from oddjets.report.modelled import has_simulation, not_simulated
from oddjets.report.registry import FigureKind
from oddjets.report.style import DPI
from oddjets.report.text import label_html, prose_html

__all__ = ["EmbeddedFigure", "embed", "page_template", "write"]

#: figures that stand beside their region, not in the sections
REGIONAL = ("postfit", "residual", "closure", "observable")

#: of a figure's palette in the report
COLORS = 128

#: section: (title, kinds of figure)
SECTIONS = {
    "score": (
        "Score and selection",
        ("efficiency", "score", "efficiency_map", "shapes", "tau21", "cutflow", "regions", "threshold_scan"),
    ),
    "events": ("The anomalous events", ("bump", "jet_bump", "kde")),
    "inspection": ("Event by event", ("display", "neighbours", "why", "class_shares", "jet_periods")),
    "scores": ("Scores compared", ("sic", "agreement", "overlap")),
    "fit": (
        "The fit",
        ("yields", "grid", "closures", "mixing", "pulls", "impacts", "scan", "limit", "gof", "correlation"),
    ),
    "study": ("How sure", ("injection", "null", "jet_null", "choices", "learning", "sculpting", "two_sample")),
    "systematics": ("Systematic variations", ("systematics",)),
    "simulated": ("Simulated processes", ("processes",)),
    "rescored": ("A rescored signal", ("signal_limit", "acceptance", "signal_score", "signal_templates")),
}


@dataclass(frozen=True)
class EmbeddedFigure:
    """One figure inside the report."""

    name: str
    title: Markup
    alt: str
    caption: Markup
    sources: list[dict[str, str]]
    files: dict[str, str]
    png: str
    width: int
    height: int

    @property
    def columns(self) -> int:
        """How many of the page's three columns it needs to be read."""
        return layout.columns_of(self.width / DPI)


def write(analysis: Analysis, out: Path, stale: Mapping[str, str] | None = None, *, unblinds: str = "") -> Path:
    """Write ``out/report.html``, from whatever exists of the analysis.

    Figures that were drawn from the same data are taken from ``out/figures``; the others are drawn there.

    Args:
        analysis: what was asked.
        out: the output directory.
        stale: stage to why its results no longer stand; the first screen says it.
        unblinds: how the data in A are shown against what the YAML says (``--unblind``); "": they are not.

    Returns:
        The file.
    """
    artifacts = Artifacts(analysis, out)
    figures, problems = _figures(artifacts)
    regions = _regions(artifacts, figures)
    # what a cluster is built with may hold a password, and reports are shown around
    asked = analysis.model_dump(mode="json", exclude={"execution": {"cluster", "executor_options"}})
    if unblinds:
        asked["fit"]["blind"] = True
    opened = f"# {unblinds} opened the data in A\n" if unblinds else ""
    html = page_template("report.html.j2").render(
        analysis=analysis,
        fits=artifacts.expected("results"),
        not_simulated=not_simulated(artifacts),
        notes=[*notes_of(analysis), *_injected(artifacts)],
        simulated=artifacts.simulated,
        data_name=artifacts.data_name.lower(),
        header=artifacts.header,
        answer=headline.summarise_results(artifacts),
        verdict=verdict.verdict(artifacts),
        checks=health.health_checks(artifacts),
        missing=[*health.missing(artifacts, stale or {}), *problems],
        warnings=artifacts.results.get("warnings", []) if artifacts.has("results") else [],
        regions=regions,
        sections=_sections(artifacts, figures),
        provenance=tables.provenance_table(artifacts),
        versions=_versions(artifacts),
        asked=opened + redacted(yaml.safe_dump(asked, sort_keys=False, allow_unicode=True, width=100)),
        files=_files(out),
        published=_published(artifacts),
        version=__version__,
    )
    file = out / "report.html"
    file.write_text(html, encoding="utf-8")
    return file


def _published(artifacts: Artifacts) -> dict[str, Any] | None:
    """Return where the publication is, and whether it is of another fit; None: nothing is published, or the data are blind."""
    found = read_publication(artifacts.out)
    if found is None or artifacts.blinded:
        return None
    return {**found, "earlier": found["fit"] != (artifacts.manifests.get("fit") or {}).get("key")}


def _figures(artifacts: Artifacts) -> tuple[dict[str, dict[str, EmbeddedFigure]], list[str]]:
    """Draw or reuse every figure that can be; return them by kind, and what went wrong with the others."""
    log_missing(artifacts)
    chosen, problems = collect_possible(artifacts)
    remove_hidden(artifacts, [data for _, data in chosen])
    workers = artifacts.analysis.execution.processes
    written = write_figures(artifacts.out / "figures", chosen, workers=workers, reuse=True)
    made: dict[str, dict[str, EmbeddedFigure]] = {}
    for (kind, data), files in zip(chosen, written, strict=True):
        made.setdefault(kind.name, {})[data["name"]] = embed(kind, data, files[1])
    return made, problems


def embed(kind: FigureKind, data: dict[str, Any], png: Path) -> EmbeddedFigure:
    """Return a figure for a page, with its picture inside.

    Args:
        kind: of the figure.
        data: the figure's.
        png: its picture; other files of it are beside it.
    """
    formats = {"PDF": "pdf", "JSON": "json"} | ({"animation": "gif"} if kind.animate is not None else {})
    with Image.open(png) as image:
        width, height = image.size
        small = io.BytesIO()
        # a figure has few colours: a palette makes the report a third of the size
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return EmbeddedFigure(
        name=data["name"],
        title=label_html(data["title"]),
        alt=data["alt"],
        caption=label_html(data["caption"]),
        sources=data["sources"],
        files={label: f"figures/{data['name']}.{suffix}" for label, suffix in formats.items()},
        png=base64.b64encode(small.getvalue()).decode("ascii"),
        width=width,
        height=height,
    )


def _regions(artifacts: Artifacts, figures: dict[str, dict[str, EmbeddedFigure]]) -> list[dict[str, Any]]:
    fitted = list(artifacts.results.get("yields", {})) if artifacts.has("results") else []
    known = [*fitted, *(artifacts.closure.get("regions", {}) if artifacts.has("closure") else [])]
    observables = list(artifacts.analysis.observables)
    known += [
        r
        for r in artifacts.analysis.regions
        for o in observables
        if f"observable_{r}_{o}" in figures.get("observable", {})
    ]
    made = []
    for region in dict.fromkeys(known):
        names = [f"postfit_{region}_{a}" for a in ("A", "A_background", "B", "C", "D")]
        names += [f"residual_{region}", f"closure_{region}", *(f"observable_{region}_{o}" for o in observables)]
        drawn = [figures[kind][name] for kind in REGIONAL for name in names if name in figures.get(kind, {})]
        table = tables.yields_table(artifacts, region) if region in fitted else None
        made.append({"name": region, "label": artifacts.region_label(region), "figures": drawn, "table": table})
    return made


def notes_of(analysis: Analysis) -> list[str]:
    """Return the notes of an analysis, and what its pseudo-data have that is not as in nature."""
    injected = analysis.simulate.inject if analysis.simulate is not None else {}
    said = ", ".join(f"{process} {strength:g} times" for process, strength in injected.items())
    return [*analysis.notes, *([f"In the pseudo-data there is {said} its cross section."] if said else [])]


def _injected(artifacts: Artifacts) -> list[str]:
    """Say what files of single jets were simulated with: each different injection once."""
    found = {
        ", ".join(f"{process} {strength:g} times" for process, strength in inject.items()): None
        for inject in (artifacts.processed("jets").get("inject") or {}).values()
    }
    return [f"In some of the files of simulated jets there is {said} its cross section." for said in found]


def _sections(artifacts: Artifacts, figures: dict[str, dict[str, EmbeddedFigure]]) -> list[dict[str, Any]]:
    made = []
    for name, (title, kinds) in SECTIONS.items():
        drawn = [figure for kind in kinds for figure in figures.get(kind, {}).values()]
        # those of two columns first, so that those of one column stand beside them; then those of all three
        drawn.sort(key=lambda figure: (2, 1, 3).index(figure.columns))
        shown: list[tables.Table | None] = []
        if name == "score" and artifacts.has("cutflow") and artifacts.cutflow["datasets"]:
            shown = [
                # without simulation the two are the same
                *([tables.cutflow_table(artifacts, "weighted")] if has_simulation(artifacts) else []),
                tables.cutflow_table(artifacts, "raw"),
                tables.last_cut_table(artifacts),
            ]
        if name == "scores":
            shown = [*score_tables.comparison_tables(artifacts)]
        if name == "systematics":
            shown = [
                eras.luminosity_table(artifacts),
                eras.nuisance_table(artifacts),
                score_variations.score_variation_table(artifacts),
                tables.variations_table(artifacts, health.VARIATIONS),
                tables.weights_table(artifacts, health.WEIGHTS),
            ]
        if name == "study":
            shown = [verdict.verdict_table(artifacts)]
            shown += [studies.calibration_table(artifacts), studies.false_alarm_table(artifacts)]
            shown += jet_studies.jet_null_tables(artifacts)
            shown += scrutiny_tables.choice_tables(artifacts)
            shown += [*scrutiny_tables.injection_tables(artifacts), *scrutiny_tables.sculpting_tables(artifacts)]
            shown += learnt_scores.learning_tables(artifacts)
            shown += two_sample.two_sample_tables(artifacts)
            shown += [trainings.training_table(artifacts), trainings.agreement_table(artifacts)]
        if name == "inspection":
            shown = [inspections.event_table(artifacts), *neighbours.neighbour_tables(artifacts)]
            shown += jet_inspection.jet_tables(artifacts)
        if name == "fit":
            shown = [
                tables.parameter_table(artifacts) if artifacts.has("results") else None,
                tables.closure_table(artifacts) if artifacts.has("closure") else None,
            ]
        present = [table for table in shown if table is not None]
        if drawn or present:
            title = "The closure" if name == "fit" and not artifacts.expected("results") else title
            made.append({"name": name, "title": title, "figures": drawn, "tables": present})
    return made


def _versions(artifacts: Artifacts) -> dict[str, str]:
    """Return the versions that the stages ran with; where stages differ, all of them."""
    seen: dict[str, dict[str, None]] = {}
    for manifest in artifacts.manifests.values():
        for package, version in (manifest.get("versions") or {}).items():
            seen.setdefault(package, {})[str(version)] = None
    return {package: " / ".join(versions) for package, versions in sorted(seen.items())}


def _files(out: Path) -> list[str]:
    """Return the JSON files that the numbers come from, for the links."""
    names = (
        *("results.json", "cutflow.json", "closure.json", "workspace.json", "workspace_report.json"),
        *("histograms/index.json", "event_weights.json", "blinding.json"),
    )
    found = [name for name in names if (out / name).is_file()]
    return found + [f"manifests/{p.name}" for p in sorted(out.glob("manifests/*.json"))]


def page_template(name: str, *packages: str) -> Template:
    """Return a template of a page, with the filters that pages share.

    Args:
        name: of the file.
        packages: whose folders ``templates`` are looked into before that of `oddjets.report`.
    """
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package) for package in (*packages, "oddjets.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["label"] = label_html
    environment.filters["prose"] = prose_html
    return environment.get_template(name)
