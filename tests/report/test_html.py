"""The report is one file that holds everything, and says what is missing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import synthetic

from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core import resources
from oddjets.report import headline, health, html, registry, tables
from oddjets.report.artifacts import Artifacts
from oddjets.report.figures import likelihood_scan, limit, postfit
from oddjets.report.text import count, label_html, p_value, strength, with_error
from oddjets.workflow.pipeline import stage_of
from oddjets.workflow.run import RunContext

VOID = {"meta", "link", "img", "br", "input", "hr"}


class Document(HTMLParser):
    """Collects elements, and checks that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def written(finished: tuple[Analysis, Path], quick_pictures: None) -> tuple[str, Document]:
    text = html.write(*finished).read_text(encoding="utf-8")
    return text, Document(text)


def test_fetches_nothing(written: tuple[str, Document]) -> None:
    text, document = written
    assert not re.search(r"(?:src|href|action|data)\s*=\s*[\"']?(?:https?:)?//", text)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", text)
    assert all(str(image.get("src", "data:")).startswith("data:") for image in document.all("img"))


def test_every_link_leads_to_a_file_or_a_place(written: tuple[str, Document], finished: tuple[Analysis, Path]) -> None:
    places = {attributes.get("id") for _, attributes in written[1].elements}
    for link in written[1].all("a"):
        target = str(link["href"])
        assert target[1:] in places if target.startswith("#") else (finished[1] / target).exists(), target


def test_ids_are_unique_and_references_exist(written: tuple[str, Document]) -> None:
    ids = [a["id"] for _, a in written[1].elements if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes in written[1].elements:
        for key in ("aria-controls", "aria-labelledby"):
            assert attributes.get(key) is None or attributes[key] in ids


def test_every_figure_has_text(written: tuple[str, Document]) -> None:
    images = [i for i in written[1].all("img") if "src" in i]
    assert len(images) > 20
    assert all(len(str(image["alt"])) > 40 for image in images)


def test_first_screen_has_question_answer_and_health(written: tuple[str, Document]) -> None:
    document = written[1]
    first = document.text[: document.text.index("Events in which both jets pass")]
    for said in ("Are there jets that look odd", "μ = 1.10 ± 0.20", "5.60 σ", "p = 0.34", "SR closes", "no discovery"):
        assert said in first


def test_a_directory_with_nothing_says_what_is_missing(tmp_path: Path) -> None:
    document = Document(html.write(synthetic.analysis(), tmp_path).read_text(encoding="utf-8"))
    assert "nothing has been fitted" in document.text
    for verb in ("process", "histogram", "closure", "workspace", "fit"):
        assert f"oddjets {verb}" in document.text


def test_a_half_finished_directory_gives_a_report(
    finished: tuple[Analysis, Path], tmp_path: Path, quick_pictures: None
) -> None:
    for name in ("cutflow.json", "closure.json"):
        shutil.copy(finished[1] / name, tmp_path)
    document = Document(html.write(finished[0], tmp_path).read_text(encoding="utf-8"))
    assert "results.json is absent" in document.text
    assert "closure.json is absent" not in document.text
    assert "ABCD closure, SR" in document.text


def test_a_stale_stage_is_named_with_its_reason(
    finished: tuple[Analysis, Path], tmp_path: Path, quick_pictures: None
) -> None:
    shutil.copytree(finished[1] / "manifests", tmp_path / "manifests")
    for name in ("closure.json", "workspace.json"):
        (tmp_path / name).write_text("{}")
    # the manifests are of another analysis, and what the fit wrote is gone
    asked = load_analysis(resources.find("demo_small.yaml", "processors"))
    run = RunContext(asked, tmp_path)
    stage_of(run, "report").run(run)
    said = Document((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "The stage closure no longer stands" in said
    assert "The stage fit no longer stands (results.json is not there): run oddjets fit again" in said
    assert "The stage plot" not in said
    current = Document(html.write(asked, tmp_path).read_text(encoding="utf-8")).text
    assert "no longer stands" not in current


def test_a_failed_stage_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "fit.failed").write_text("no minimum was found")
    said = Document(html.write(synthetic.analysis(), tmp_path).read_text(encoding="utf-8")).text
    assert "The stage fit failed when it last ran: no minimum was found" in said


def test_nothing_is_missing_that_the_analysis_does_not_have(tmp_path: Path) -> None:
    # it reads a fileset, and fits nothing
    said = health.missing(Artifacts(synthetic.analysis(fit=None), tmp_path), {})
    assert not [line for line in said if "simulat" in line or "workspace" in line or "results" in line]
    assert [line for line in said if "closure.json" in line]


def test_an_analysis_without_a_fit_is_not_told_to_fit(tmp_path: Path) -> None:
    known = synthetic.analysis(fit=None)
    asked = known.model_copy(update={"processes": {"top": known.processes["top"]}})
    said = Document(html.write(asked, tmp_path).read_text(encoding="utf-8")).text
    assert "its figures are its result" in said
    assert "oddjets process" in said
    assert not re.search("oddjets (fit|workspace|closure)|Goodness of fit|ABCD", said)


def test_error_of_another_kind_and_empty_bins_are_told(finished: tuple[Analysis, Path], tmp_path: Path) -> None:
    results = json.loads((finished[1] / "results.json").read_text())
    results["poi"] |= {"error_kind": "profile"}
    results["at_kinks"] = ["bin 3 of channel 'SR_A'"]
    (tmp_path / "results.json").write_text(json.dumps(results))
    artifacts = Artifacts(finished[0], tmp_path)
    found = headline.summarise_results(artifacts)
    assert found is not None
    assert "mean of both sides" in found.numbers[0][2]
    held = [check for check in health.health_checks(artifacts) if check.key == "at_kinks"]
    assert [(check.status, check.value) for check in held] == [("watch", "1")]
    assert "SR_A" in held[0].note


def test_toys_and_the_closures_uncertainty_are_told(finished: tuple[Analysis, Path], tmp_path: Path) -> None:
    results = json.loads((finished[1] / "results.json").read_text())
    results["significance"]["toys"] = {"p_value": 0.0123, "toys": 900, "failed": 2}
    results["limit"]["toys"] = {"observed": 1.61, "expected": [None, 0.3, 0.41, 0.6, 0.8], "toys": 900}
    used = {"size": 0.2, "constant": 1.2, "constant_error": 0.1, "source": "QCD simulation at 5 %", "fallback": True}
    results["closure_uncertainty"] = {"SR": used}
    (tmp_path / "results.json").write_text(json.dumps(results))
    artifacts = Artifacts(finished[0], tmp_path)
    found = headline.summarise_results(artifacts)
    assert found is not None
    notes = {name: note for name, _, note, _, _ in found.numbers}
    assert notes["Significance"].endswith("from 900 toys, 2 failed")
    assert "p = 0.012" in notes["Significance"]
    assert notes["95 % CL upper limit"].endswith("; from 900 toys 1.61, 0.41 expected")
    (check,) = [check for check in health.health_checks(artifacts) if check.key == "closure_uncertainty"]
    assert (check.status, check.value, check.note) == ("watch", "SR 20 %", "SR: QCD simulation at 5 %")


def answer_of(
    finished: tuple[Analysis, Path], tmp_path: Path, verdict: str, **results: object
) -> headline.ResultSummary:
    """The answer with other results, where the closure has one verdict in all regions."""
    known = json.loads((finished[1] / "results.json").read_text())
    significance = {**known["significance"], **results.pop("significance", {})}
    (tmp_path / "results.json").write_text(json.dumps({**known, **results, "significance": significance}))
    closure = json.loads((finished[1] / "closure.json").read_text())
    for one in (*closure["regions"].values(), *closure["parts"]["regions"].values()):
        one["verdict"] = verdict
    (tmp_path / "closure.json").write_text(json.dumps(closure))
    found = headline.summarise_results(Artifacts(finished[0], tmp_path))
    assert found is not None
    return found


USED = {region: {"size": 0.2, "source": "a test", "fallback": False} for region in ("SR", "VR1")}
DENIED = "the closure contradicts: 5.6 standard deviations"
SIZES = "a closure uncertainty of 20 % in SR and 20 % in VR1"


@pytest.mark.parametrize(
    ("verdict", "uncertainty", "beside", "said"),
    [
        ("closes", USED, None, "Observation of top pairs: 5.6 standard deviations."),
        ("closes", {}, 4.2, f"Observation of top pairs if ABCD holds: 5.6 standard deviations; 4.2 with {SIZES}."),
        ("closes", {}, None, "Observation of top pairs if ABCD holds: 5.6 standard deviations."),
        ("inconclusive", USED, None, f"Observation of top pairs if ABCD holds: 5.6 standard deviations, with {SIZES}."),
        ("does not close", USED, None, f"Observation of top pairs if ABCD holds, which {DENIED}, with {SIZES}."),
    ],
)  # fmt: skip
def test_the_headline_agrees_with_the_health(
    finished: tuple[Analysis, Path], tmp_path: Path, verdict: str, uncertainty: dict, beside: float | None, said: str
) -> None:
    known = {"z": beside, "sizes": dict.fromkeys(USED, 0.2)}
    significance = {} if beside is None else {"with_closure_uncertainty": known}
    answer = answer_of(finished, tmp_path, verdict, closure_uncertainty=uncertainty, significance=significance)
    label = label_html(Artifacts(*finished).process("top")["label"])
    assert answer.headline == said.replace("top pairs", label)
    (line,) = [c for c in health.health_checks(Artifacts(finished[0], tmp_path)) if c.name == "ABCD closure"]
    sure = verdict == "closes" and bool(uncertainty)
    # what the health calls into question is not stated as a fact, with the reason below
    assert ("if ABCD holds" not in answer.headline) == sure
    assert sure or line.status != "good" or not uncertainty
    reasons = [str(s.before) for s in answer.sentences if "It is not shown that ABCD holds" in s.before]
    assert len(reasons) == (not sure)


def test_expected_stands_beside_observed_and_errors_on_both_sides(
    finished: tuple[Analysis, Path], tmp_path: Path
) -> None:
    poi = {"name": "mu", "value": 1.3, "error": 0.55, "error_kind": "symmetric", "error_up": 0.66, "error_down": 0.46}
    toys = {"p_value": 1 / 1001, "toys": 1000, "failed": 0}
    significance = {"expected": {"strength": 1.0, "z": 4.06, "p_value": 2.5e-5}, "toys": toys}
    answer = answer_of(finished, tmp_path, "closes", poi=poi, significance=significance)
    numbers = {name: (value, note) for name, value, note, _, _ in answer.numbers}
    assert numbers["Signal strength"][0] == "μ = 1.30 +0.66 −0.46"
    assert numbers["Significance"][1].startswith("4.06 expected for μ = 1; p = 1.1 × 10⁻⁸ without signal, asymptotic")
    assert "; p < 0.001 from 1\u202f000 toys" in numbers["Significance"][1]
    assert numbers["95 % CL upper limit"][1].endswith("expected without signal, asymptotic")
    scanned = likelihood_scan.data(Artifacts(finished[0], tmp_path))["scan"]
    assert (scanned["poi"]["error_up"], scanned["poi"]["error_down"]) == (0.66, 0.46)
    assert "1.30 +0.66 −0.46" in scanned["alt"]


@pytest.mark.parametrize(
    ("value", "up", "down", "text"),
    [(1.3, 0.66, 0.46, "1.30 +0.66 −0.46"), (0.0, 0.83, 0.0, "0.00 +0.83 −0.00"), (12.3, 4.1, 13.0, "12.3 +4.1 −13.0"),
     (1.0, 0.21, 0.2, "1.00 ± 0.20")],
)  # fmt: skip
def test_a_strength_has_two_errors_where_they_differ(value: float, up: float, down: float, text: str) -> None:
    poi = {"value": value, "error": 0.2, "error_kind": "symmetric", "error_up": up, "error_down": down}
    assert strength(poi) == text


def test_another_parameter_than_a_strength_is_called_by_its_name(
    finished: tuple[Analysis, Path], tmp_path: Path
) -> None:
    results = json.loads((finished[1] / "results.json").read_text())
    results["poi"] |= {"name": "sf"}
    results["significance"] |= {"z": 1.5, "p_value": 0.07}
    (tmp_path / "results.json").write_text(json.dumps(results))
    artifacts = Artifacts(finished[0], tmp_path)
    found = headline.summarise_results(artifacts)
    assert found is not None
    assert found.headline == "sf lies 1.5 standard deviations above 0 if ABCD holds."
    assert "cross section" not in found.numbers[0][2]
    names = [name for name, *_ in found.numbers]
    assert names[:2] == ["Fitted sf", "Significance of sf > 0"]
    assert found.numbers[1][2].startswith("p = 0.07 if sf = 0")
    assert "95 % CL upper limit on sf" in names
    assert not any("signal" in note or "Adding" in note for _, _, note, *_ in found.numbers)
    region, letters = next(iter(results["yields"].items()))
    assert postfit.panel(artifacts, region, next(iter(letters)), "background_only")["text"][2] == "fit with sf = 0"
    assert limit.data(artifacts)["limit"]["caption"].endswith("expected bands if sf = 0.")
    assert limit.draw(limit.data(artifacts)["limit"]).axes[0].get_xlabel().endswith("upper limit on sf")


def test_every_sentence_with_a_number_names_its_file(finished: tuple[Analysis, Path]) -> None:
    found = headline.summarise_results(Artifacts(*finished))
    assert found is not None
    assert found.sentences
    for sentence in found.sentences:
        # the 2 of -2 ln L is no result, and neither is the 1 of VR1
        assert not re.search(r"\b\d", f"{sentence.before}{sentence.after}".replace("−2 ln L", ""))
        assert bool(sentence.number) == bool(sentence.file) == bool(sentence.key)
        assert not sentence.file or (finished[1] / sentence.file).is_file()


def test_a_signal_that_fits_no_better_is_said_so(finished: tuple[Analysis, Path], tmp_path: Path) -> None:
    results = json.loads((finished[1] / "results.json").read_text())
    results["twice_nll"] = {"background": 900.0, "signal_plus_background": 900.0 + 1e-9}
    (tmp_path / "results.json").write_text(json.dumps(results))
    found = headline.summarise_results(Artifacts(finished[0], tmp_path))
    assert found is not None
    assert "does not improve the fit" in " ".join(sentence.before for sentence in found.sentences)
    assert not [sentence for sentence in found.sentences if sentence.number.startswith("-")]


def test_every_kind_of_figure_has_its_place() -> None:
    placed = [*html.REGIONAL, *(kind for _, kinds in html.SECTIONS.values() for kind in kinds)]
    assert sorted(placed) == sorted(registry.KINDS)


def test_the_animation_is_linked(written: tuple[str, Document], finished: tuple[Analysis, Path]) -> None:
    assert "figures/threshold_scan.gif" in [link["href"] for link in written[1].all("a")]


def test_last_cut_table_divides_by_what_passes_the_others(finished: tuple[Analysis, Path]) -> None:
    table = tables.last_cut_table(Artifacts(*finished))
    assert table is not None
    assert {cell.text for row in table.rows for cell in row[1:]} == {"50 %"}


def test_text_in_a_column_of_numbers_is_aligned_with_them() -> None:
    few, one = tables.Cell("too few (0)"), tables.Cell("1.0", 1.0)
    name = tables.Cell("top")
    table = tables.Table("", ["Signal", "Score", "AUC"], [[name, name, few], [name, name, one]], "", "")
    assert table.of_numbers == [False, False, True]


@pytest.mark.fault("A script in the title of an analysis", "Shows it as text in the report.")
def test_text_from_the_configuration_is_escaped(tmp_path: Path) -> None:
    asked = synthetic.analysis(title="<script>alert(1)</script>", notes=["a <b> & `c`"])
    text = html.write(asked, tmp_path).read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "a &lt;b&gt; &amp; <code>c</code>" in text


def test_a_report_before_the_figures_draws_them_and_says_what_has_not_run(
    finished: tuple[Analysis, Path], tmp_path: Path, quick_pictures: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "histograms").symlink_to(finished[1] / "histograms")
    text = html.write(finished[0], tmp_path).read_text(encoding="utf-8")
    assert (tmp_path / "figures" / "regions.png").is_file()
    assert 'id="figure-observable_SR_mass"' in text
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert "`oddjets fit` has not run: no figures yet of postfit" in said


def test_notes_of_tables_show_formulas_and_data_by_their_name(
    finished: tuple[Analysis, Path], written: tuple[str, Document]
) -> None:
    text = written[1].text
    assert "The model knows the tt events in B, C and D" in text
    assert "$" not in text.partition("The whole configuration")[0]
    yields = tables.yields_table(Artifacts(*finished), "SR")
    assert yields is not None
    assert [row[0].text for row in yields.foot] == ["Fitted total", "Data"]


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.0999, 0.2, "1.10 ± 0.20"),
        (1234.6, 35.2, "1\u202f235 ± 35"),
        (1.5, 0.0996, "1.50 ± 0.10"),
        (-0.5, 0.031, "−0.500 ± 0.031"),
        (None, 1.0, "–"),
    ],
)
def test_numbers_are_rounded_to_their_error(value: float | None, error: float, text: str) -> None:
    assert with_error(value, error) == text


def test_counts_p_values_and_labels() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert p_value(1.13e-8) == "1.1 × 10⁻⁸"
    assert label_html(r"$t\bar{t}$ & $\tau_{21} \geq 3$") == 't<span class="bar">t</span> &amp; τ<sub>21</sub> ≥ 3'


@pytest.mark.parametrize(
    ("inject", "said"),
    [({}, []), ({"top": 0.0}, ["In the pseudo-data there is top 0 times its cross section."])],
)
def test_what_was_injected_is_a_note(inject, said):
    analysis = load_analysis(resources.find("demo.yaml", "processors"), {"simulate": {"inject": inject}})
    assert html.notes_of(analysis) == [*analysis.notes, *said]
