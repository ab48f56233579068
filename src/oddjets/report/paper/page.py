"""The index page: the paper's figures beside ours, in one self-contained file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup
from PIL import Image

from oddjets import __version__
from oddjets.config.analysis import Analysis
from oddjets.report import health
from oddjets.report.artifacts import Artifacts
from oddjets.report.html import COLORS, page_template
from oddjets.report.paper.claims import Comparison, Results, compare
from oddjets.report.text import label_html, p_of_toys, strength

__all__ = ["write"]

#: width of a thumbnail, pixels: twice what is shown, for fine screens
WIDTH = 520
#: what a set-up is for, and the significance in the paper
PAPER = {
    "paper_top": ("well above 10, small model", "4, 15"),
    "paper_hh": ("2.38, large model", "8, 17"),
    "paper_hh_split": ("3.92, large model", "9, 18"),
    "paper_hh_btag": ("4.11, large model", "10, 19"),
    "paper_xbb": ("1.02", "11, 20"),
    "paper_dijet_mass": ("not given", "13, 21"),
}


@dataclass(frozen=True)
class Thumbnail:
    """A small version of one of our figures, with a link to the large one."""

    setup: str
    title: Markup
    alt: str
    link: str
    png: str
    width: int
    height: int


@dataclass(frozen=True)
class FigureEntry:
    """One of the paper's figures.

    Attributes:
        number: in the paper.
        title: what it shows.
        paper: its caption and what the authors find, in our words.
        differs: what ours cannot show, and why.
        drawn: our figures.
        missing: names of our figures that are not there, with the verb that makes them.
        statements: what was compared.
    """

    number: int
    title: str
    paper: str
    differs: str
    drawn: list[Thumbnail]
    missing: list[str]
    statements: list[Comparison]


@dataclass(frozen=True)
class SetUp:
    """One row of the table of set-ups."""

    name: str
    title: str
    signal: Markup
    regions: str
    score: str
    figures: str
    paper: str
    significance: str
    strength: str
    goodness: str
    closure: str
    health: list[tuple[str, str]]
    done: bool


def write(asked: Sequence[Analysis], out: Path) -> Path:
    """Write ``out/index.html``, from whatever the set-ups have so far.

    Args:
        asked: the set-ups, whose folders are in ``out`` under their names.
        out: the folder.

    Returns:
        The file.
    """
    simulate = asked[0].simulate
    results = Results(out, {} if simulate is None else simulate.inject)
    entries = [_entry(content, results, out) for content in _figures()]
    statements = [statement for entry in entries for statement in entry.statements]
    html = page_template("index.html.j2", "oddjets.report.paper").render(
        simulate=simulate,
        labels={name: label_html(process.label) for name, process in asked[0].processes.items()},
        setups=[_setup(analysis, results) for analysis in asked],
        entries=entries,
        verdicts={v: sum(s.verdict == v for s in statements) for v in ("agrees", "differs", "apart", "absent")},
        version=__version__,
    )
    out.mkdir(parents=True, exist_ok=True)
    file = out / "index.html"
    file.write_text(html, encoding="utf-8")
    return file


def _figures() -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("figures.yaml").read_text(encoding="utf-8"))
    return content


def _entry(content: dict[str, Any], results: Results, out: Path) -> FigureEntry:
    drawn, missing = [], []
    for place in content["ours"]:
        setup, name = place.split("/")
        thumbnail = _thumbnail(results, setup, name)
        if thumbnail is not None:
            drawn.append(thumbnail)
        elif (out / setup / "report.html").is_file():
            missing.append(f"{setup}: {name} has nothing to show; too few events are left.")
        else:
            missing.append(f"{setup}: {name} is not drawn yet; run `oddjets paper` again.")
    texts = {key: " ".join(str(content[key]).split()) for key in ("title", "paper", "differs")}
    return FigureEntry(
        content["number"], **texts, drawn=drawn, missing=missing, statements=compare(content["number"], results)
    )


def _thumbnail(results: Results, setup: str, name: str) -> Thumbnail | None:
    """Return a small version of a figure; None where it is not drawn yet (its JSON is written last)."""
    folder = results.out / setup / "figures"
    drawn = results.json(f"{setup}/figures/{name}.json")
    if drawn is None or not (folder / f"{name}.png").is_file():
        return None
    small = io.BytesIO()
    with Image.open(folder / f"{name}.png") as image:
        made = image.convert("RGB")
        made.thumbnail((WIDTH, 2 * WIDTH), Image.Resampling.LANCZOS)
        made.quantize(COLORS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return Thumbnail(
        setup=setup,
        title=label_html(drawn["title"]),
        alt=drawn["alt"],
        link=f"{setup}/report.html#figure-{name}",
        png=base64.b64encode(small.getvalue()).decode("ascii"),
        width=made.width,
        height=made.height,
    )


def _setup(analysis: Analysis, results: Results) -> SetUp:
    name, fit = analysis.name, analysis.fit
    assert fit is not None
    found = results.fit(name) or {}
    closure = (results.json(f"{name}/closure.json") or {}).get("regions", {})
    poi, z = found.get("poi") or {}, results.z(name)
    paper, figures = PAPER.get(name, ("–", "–"))
    done = (results.out / name / "report.html").is_file()
    return SetUp(
        name=name,
        title=analysis.title,
        signal=label_html(analysis.processes[fit.pois[0].process].label),
        regions=" + ".join(fit.regions),
        score=analysis.score_label(analysis.threshold.score),
        figures=figures,
        paper=paper,
        significance="–" if z is None else f"{z:.2f}",
        strength=strength(poi),
        goodness=_goodness(found.get("gof") or {}),
        closure=", ".join(f"{region} {one.get('verdict', '–')}" for region, one in closure.items()) or "–",
        health=_health(analysis, results.out / name) if done else [],
        done=done,
    )


def _goodness(gof: Mapping[str, Any]) -> str:
    """Return the p value of a goodness of fit, or that no toy reached it."""
    if gof.get("p_value") is None:
        return "–"
    return p_of_toys(gof["p_value"], gof.get("toys") or 0, gof.get("failed") or 0).removeprefix("p ").removeprefix("= ")


def _health(analysis: Analysis, out: Path) -> list[tuple[str, str]]:
    """Return the warnings of the report's health table, as (status, words)."""
    return [
        (check.status, f"{check.name}: {check.value}")
        for check in health.health_checks(Artifacts(analysis, out))
        if check.status in ("watch", "bad")
    ]
