"""A published analysis: what is in the record, that it tells nothing of the machine, and that it can be run again."""

from __future__ import annotations

import getpass
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import planted
from helpers.pixels import write_pixels
from typer.testing import CliRunner

from oddjets.cli.main import app
from oddjets.config.analysis import Analysis, load_analysis
from oddjets.core.archives import read_archive, write_archive
from oddjets.core.errors import BlindedError, InputFileError, OddjetsError
from oddjets.io.publications import FILE
from oddjets.io.publications import read_publication as read_link
from oddjets.report import figure_files, html
from oddjets.stats.histfactory.workspace_sources import load_workspace
from oddjets.workflow import reproduction
from oddjets.workflow.pipeline import run_stages
from oddjets.workflow.publication import Publication, publish
from oddjets.workflow.published_files import RECORD, Cleaner
from oddjets.workflow.reproduction import compare, read_publication, reproduce
from oddjets.workflow.run import RunContext

for _module in ("hepdata_lib", "hepdata_validator"):
    pytest.importorskip(_module, reason="needs hepdata-lib and hepdata-validator: pip install 'oddjets[hepdata]'")

#: nothing ends at a bound
FIT = {
    "observable": "leading_mass",
    "regions": ["SR", "VR1"],
    "poi": {"process": "top", "bounds": [0, 100]},
    "goodness_of_fit": {"toys": 3},
}
#: figures of the copies that tests publish again: to write and to check all takes seconds
FEW = ("limit", "postfit_SR_A")


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (figure_files, html):
            patch.setattr(module, "write_figures", write_pixels)
        yield


@pytest.fixture(scope="module")
def finished(quick: None, tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """An analysis whose every stage has run; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    run = RunContext(load_analysis(planted.write(folder, blind=False, fit=FIT)), folder / "out")
    run_stages(run)
    return run


@pytest.fixture(scope="module")
def published(finished: RunContext, tmp_path_factory: pytest.TempPathFactory) -> Publication:
    return publish(finished, tmp_path_factory.mktemp("published") / "record")


@pytest.fixture
def copied(finished: RunContext, tmp_path: Path) -> RunContext:
    """The same in a folder of its own, with few figures."""
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    manifest = json.loads((out / "manifests" / "plot.json").read_text())
    manifest["extra"]["figures"] = [f"figures/{name}.{suffix}" for name in FEW for suffix in ("json", "png", "pdf")]
    (out / "manifests" / "plot.json").write_text(json.dumps(manifest))
    return RunContext(finished.requested, out)


def contents(archive: Path) -> dict[str, bytes]:
    """All files, those of archives inside it too."""
    found = read_archive(archive)
    for name in [name for name in found if name.endswith(".tar.gz")]:
        with tarfile.open(fileobj=io.BytesIO(found[name])) as inner:
            found |= {f"{name}/{e.name}": inner.extractfile(e).read() for e in inner}  # type: ignore[union-attr]
    return found


# ---- what is published --------------------------------------------------------------------------------------------------


def test_the_record_has_tables_likelihood_models_and_the_analysis(published: Publication) -> None:
    documents = list(yaml.safe_load_all((published.submission / "submission.yaml").read_text()))
    record = documents[0]
    locations = {r["location"]: r.get("type") for r in record["additional_resources"]}
    assert locations["likelihood.tar.gz"] == "HistFactory"
    assert {"workspace.json", "results.json", "analysis.yaml", "threshold.json", RECORD} <= locations.keys()
    names = {document["name"] for document in documents[1:]}
    assert {"parameters", "limits", "significance", "correlation_matrix", "cutflow_weighted", "cutflow_raw"} <= names
    assert {"yields_SR", "templates_SR_A", "postfit_SR_A", "nuisance_parameters"} <= names
    assert len(names) == published.tables


def test_every_figure_that_was_drawn_is_in_the_record(finished: RunContext, published: Publication) -> None:
    drawn = {file.stem for file in (finished.out / "figures").glob("*.json")}
    places = [d.get("location", "") for d in yaml.safe_load_all((published.submission / "submission.yaml").read_text())]
    assert drawn - {place.removeprefix("Figure ") for place in places} == {"grid"}


def test_the_templates_have_their_errors_by_name(finished: RunContext, published: Publication) -> None:
    workspace = load_workspace(finished.out / "workspace.json")
    channel = next(c for c in workspace["channels"] if c["name"] == "SR_A")
    sample = next(s for s in channel["samples"] if s["name"] == "top")
    factor = next(m["data"] for m in sample["modifiers"] if m["name"] == "lumi")
    spread = next(m["data"] for m in sample["modifiers"] if m["type"] == "staterror")
    columns = yaml.safe_load((published.submission / "templates_sr_a.yaml").read_text())["dependent_variables"]
    column = next(c for c in columns if c["header"]["name"] == "top pairs")
    for i, value in enumerate(column["values"]):
        errors = {e["label"]: e.get("asymerror") or e["symerror"] for e in value["errors"]}
        nominal = sample["data"][i]
        assert value["value"] == pytest.approx(nominal, rel=1e-6)
        assert errors["stat, simulation"] == pytest.approx(spread[i], rel=1e-6)
        assert nominal + errors["sys,lumi"]["plus"] == pytest.approx(nominal * factor["hi"], rel=1e-6)
        assert nominal + errors["sys,lumi"]["minus"] == pytest.approx(nominal * factor["lo"], rel=1e-6)


def test_the_likelihood_is_that_of_the_fit(finished: RunContext, published: Publication) -> None:
    parts = contents(published.archive)
    background, patches = (
        json.loads(parts[f"likelihood.tar.gz/{name}"]) for name in ("background_only.json", "patchset.json")
    )
    assert load_workspace(background, [(patches, "top")]) == load_workspace(finished.out / "workspace.json")


def test_the_analysis_is_the_one_that_ran(finished: RunContext, published: Publication) -> None:
    found = Analysis.model_validate(yaml.safe_load((published.submission / "analysis.yaml").read_text()))
    left_out: Any = {"execution": True, "npz": {"folder"}}
    assert found.model_dump(exclude=left_out) == finished.analysis.model_dump(exclude=left_out)


def test_the_record_names_versions_and_has_the_sha256_of_each_file(published: Publication) -> None:
    record = json.loads((published.submission / RECORD).read_text())
    assert record["versions"]["fit"]["numpy"]
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in published.submission.iterdir()}
    assert record["files"] == {name: digest for name, digest in files.items() if name != RECORD}
    assert hashlib.sha256(published.archive.read_bytes()).hexdigest() == published.sha256


def test_nothing_of_the_machine_is_published(finished: RunContext, published: Publication) -> None:
    secret = [str(finished.out.parent), str(published.archive.parent), str(Path.home()), str(Path.cwd())]
    secret += [f"/{getpass.getuser()}/", str(Path(__file__).resolve().parent)]
    for name, content in contents(published.archive).items():
        assert not [text for text in secret if text.encode() in content], name
    # the folder of the event files is an absolute path
    assert (
        yaml.safe_load((published.submission / "analysis.yaml").read_text())["npz"]["folder"]
        == finished.out.parent.name
    )
    assert published.paths_removed >= 1


def test_folders_with_blanks_are_removed_too(tmp_path: Path) -> None:
    folder = tmp_path / "my search"
    folder.mkdir()
    clean = Cleaner(folder / "out put")
    assert clean.text(f"{folder}/events 1.root") == "events 1.root"  # it is a path as a whole
    assert clean.text(f"read {folder}/out put/a.json and {folder}/b.json") == "read a.json and b.json"
    for kept in ("A / (B C / D)", "/ D", "https://a.b/my search/x", "pb / GeV"):
        assert clean.text(kept) == kept
    assert clean.changed == 2


def test_publishing_twice_gives_the_same_bytes(copied: RunContext, tmp_path: Path) -> None:
    first, second = publish(copied, tmp_path / "first"), publish(copied, tmp_path / "second")
    assert contents(first.archive) == contents(second.archive)
    assert first.sha256 == second.sha256


def test_an_earlier_publication_is_replaced(copied: RunContext, tmp_path: Path) -> None:
    first = publish(copied, tmp_path / "record")
    stray = first.submission / "stray.txt"
    stray.write_text("of an earlier version")
    assert publish(copied, tmp_path / "record").sha256 == first.sha256
    assert not stray.exists()
    assert sorted(f.name for f in (tmp_path / "record").iterdir()) == sorted([first.archive.name, "submission"])


def test_relative_folders_give_the_same_bytes(
    copied: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(copied, tmp_path / "absolute")
    monkeypatch.chdir(tmp_path)
    second = publish(RunContext(copied.requested, Path(copied.out.name)), Path("relative"))
    assert second.sha256 == first.sha256
    assert sorted(f.name for f in Path("relative").iterdir()) == sorted([first.archive.name, "submission"])


def test_the_report_links_what_is_published(copied: RunContext, tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["publish", str(copied.out), "--out", str(tmp_path / "record")])
    assert said.exit_code == 0, said.output
    assert (tmp_path / "record" / "submission" / "submission.yaml").is_file()
    known = json.loads((copied.out / FILE).read_text())
    report = (copied.out / "report.html").read_text()
    assert known["archive"] == f"../record/{copied.analysis.name}.tar.gz"
    assert f'href="{known["archive"]}"' in report
    assert known["sha256"] in report
    assert "of an earlier fit" not in report
    (copied.out / FILE).write_text(json.dumps({**known, "fit": "another key"}))
    html.write(copied.analysis, copied.out)
    assert "of an earlier fit" in (copied.out / "report.html").read_text()


def test_a_link_from_elsewhere_that_is_no_path_is_not_shown(tmp_path: Path) -> None:
    for archive, shown in (("../record/a.tar.gz", True), ("javascript:alert(1)", False), (3, False)):
        (tmp_path / FILE).write_text(json.dumps({"archive": archive, "sha256": "0", "fit": None}))
        assert (read_link(tmp_path) is not None) is shown


# ---- what cannot be published -------------------------------------------------------------------------------------------


@pytest.mark.fault("Publication of an analysis that has not run", "Names the stages; nothing is written.")
def test_an_analysis_that_has_not_run_names_the_stages(finished: RunContext, tmp_path: Path) -> None:
    run = RunContext(finished.requested, tmp_path / "out")
    with pytest.raises(OddjetsError, match=r"process \(missing\).*fit \(missing\).*`oddjets run`"):
        publish(run, tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_results_of_an_earlier_state_are_refused(copied: RunContext, tmp_path: Path) -> None:
    (copied.out / "results.json").unlink()
    with pytest.raises(OddjetsError, match=r"fit \("):
        publish(copied, tmp_path / "record")


def test_a_blind_analysis_is_refused(finished: RunContext, tmp_path: Path) -> None:
    assert finished.analysis.fit is not None
    fit = finished.analysis.fit.model_copy(update={"blind": True})
    for unblind in (False, True):
        run = RunContext(finished.requested.model_copy(update={"fit": fit}), finished.out, unblind=unblind)
        with pytest.raises(BlindedError, match="is blind, so nothing is published"):
            publish(run, tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_an_analysis_without_a_fit_is_refused(finished: RunContext, tmp_path: Path) -> None:
    run = RunContext(finished.requested.model_copy(update={"fit": None}), finished.out)
    with pytest.raises(OddjetsError, match="no 'fit', so there is no likelihood"):
        publish(run, tmp_path / "record")


@pytest.mark.fault("Publication into a folder of something else", "Refuses it; the folder stays as it is.")
def test_a_folder_of_something_else_is_left_alone(finished: RunContext, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OddjetsError, match=r"holds other files \(thesis\.tex\)"):
        publish(finished, tmp_path)
    with pytest.raises(OddjetsError, match="is a file"):
        publish(finished, tmp_path / "thesis.tex")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_publication_of_another_analysis_is_left_alone(finished: RunContext, tmp_path: Path) -> None:
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / RECORD).write_text('{"analysis": "another"}')
    with pytest.raises(OddjetsError, match="holds the publication of 'another'"):
        publish(finished, tmp_path)


@pytest.mark.fault("Publication of a figure without its JSON", "Names the file; an earlier publication stays as it is.")
def test_a_figure_without_its_json_is_named(copied: RunContext, tmp_path: Path) -> None:
    first = publish(copied, tmp_path / "record")
    (copied.out / "figures" / "postfit_SR_A.json").unlink()
    with pytest.raises(InputFileError, match=r"postfit_SR_A\.json: is not there any more.*`oddjets plot`"):
        publish(copied, tmp_path / "record")
    assert hashlib.sha256(first.archive.read_bytes()).hexdigest() == first.sha256
    assert (first.submission / "submission.yaml").is_file()
    assert sorted(f.name for f in (tmp_path / "record").iterdir()) == sorted([first.archive.name, "submission"])


def test_a_file_with_nan_is_named(copied: RunContext, tmp_path: Path) -> None:
    file = copied.out / "workspace_report.json"
    file.write_text('{"edges": {"SR": [NaN]}}')
    with pytest.raises(InputFileError, match=r"workspace_report\.json: cannot be published: it holds NaN"):
        publish(copied, tmp_path / "record")


# ---- run again ----------------------------------------------------------------------------------------------------------


def test_every_number_comes_out_again(published: Publication, tmp_path: Path) -> None:
    found = reproduce(published.archive, tmp_path / "again")
    assert found.differences == ()
    assert {"workspace", "poi", "significance", "limit", "gof", "yields", "correlation"} <= found.compared.keys()
    assert all(found.compared[part] > 0 for part in ("poi", "significance", "limit", "gof", "yields"))
    assert json.loads((tmp_path / "again" / "differences.json").read_text()) == []
    assert "gof" in json.loads((tmp_path / "again" / "results.json").read_text())
    assert found.versions == {}


def test_an_unpacked_publication_can_be_read(published: Publication) -> None:
    assert read_publication(published.submission) == read_archive(published.archive)


@pytest.fixture
def repacked(published: Publication, tmp_path: Path) -> Callable[..., Path]:
    """Return what packs a publication again with other files; digests are mended if asked."""

    def pack(changed: dict[str, bytes | None], *, mended: bool = False, **record: Any) -> Path:
        files = read_archive(published.archive)
        known = json.loads(files[RECORD])
        for name, content in changed.items():
            if content is None:
                del files[name]
            else:
                files[name] = content
                if mended:
                    known["files"][name] = hashlib.sha256(content).hexdigest()
        if record or mended:
            files[RECORD] = json.dumps({**known, **record}).encode()
        write_archive(tmp_path / "changed.tar.gz", files)
        return tmp_path / "changed.tar.gz"

    return pack


@pytest.fixture
def remembered(published: Publication, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fit give what was published, as it does elsewhere: it takes seconds."""
    results = read_archive(published.archive)["results.json"]
    monkeypatch.setattr(reproduction, "fitted", lambda *_: json.loads(results))


def test_a_number_that_differs_is_listed_and_ends_with_code_1(
    published: Publication, repacked: Callable[..., Path], remembered: None
) -> None:
    results = json.loads(read_archive(published.archive)["results.json"])
    before = results["significance"]["z"]
    # in its last digit
    results["significance"]["z"] = before * (1 + 4e-16)
    results["limit"]["level"] = None
    assert results["significance"]["z"] != before
    archive = repacked({"results.json": json.dumps(results).encode()}, mended=True)
    said = CliRunner().invoke(app, ["reproduce", str(archive)])
    assert said.exit_code == 1
    flat = " ".join(said.output.split())
    assert f"significance.z: published {results['significance']['z']!r}, here {before!r}, relative difference" in flat
    assert "limit.level: published None, here 0.95" in flat
    assert "2 differences in" in flat


def test_agreement_ends_with_code_0(published: Publication, remembered: None) -> None:
    said = CliRunner().invoke(app, ["reproduce", str(published.archive)])
    assert said.exit_code == 0, said.output
    assert "agree in every digit" in " ".join(said.output.split())


def test_comparison_finds_what_only_one_side_has() -> None:
    found = {one.place: (one.published, one.found) for one in compare({"a": [1, 2], "b": "x"}, {"a": [1], "c": 3}, "r")}
    assert found == {"r.a[1]": (2, None), "r.b": ("x", None), "r.c": (None, 3)}
    assert compare({"a": [1.0, None, True, "x"]}, {"a": [1.0, None, True, "x"]}, "r") == []


@pytest.mark.fault("Publication whose files were changed", "Lists them; nothing is fitted.")
def test_a_publication_that_was_tampered_with_is_refused(repacked: Callable[..., Path]) -> None:
    archive = repacked({"workspace.json": b"{}", "threshold.json": None, "extra.json": b"{}"})
    with pytest.raises(InputFileError) as error:
        reproduce(archive)
    for words in ("threshold.json is missing", f"extra.json is not in {RECORD}", "workspace.json was changed"):
        assert words in str(error.value)


@pytest.mark.fault("Publication of another version", "Names the version of oddjets to install.")
def test_a_publication_of_another_version_is_refused(repacked: Callable[..., Path]) -> None:
    with pytest.raises(InputFileError, match=r"format 2, by oddjets 9\.1.*pip install 'oddjets==9\.1'"):
        reproduce(repacked({}, format=2, oddjets="9.1"))
    with pytest.raises(InputFileError, match=r"does not understand it.*pip install 'oddjets==9\.1'"):
        reproduce(repacked({"analysis.yaml": b"name: a\nkey_of_later: 1\n"}, mended=True, oddjets="9.1"))


def test_a_crafted_publication_is_an_error_and_runs_nothing(repacked: Callable[..., Path]) -> None:
    aliases = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join(10 * [f'*{a}'])}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    for name, content, words in (
        ("analysis.yaml", aliases.encode(), "analysis.yaml: no valid YAML"),
        ("workspace.json", b"[" * 100_000, "workspace.json is no JSON"),
        ("results.json", b"[]", "results.json holds no JSON object"),
    ):
        with pytest.raises(OddjetsError, match=words):
            reproduce(repacked({name: content}, mended=True))


def test_other_versions_of_packages_are_said(
    published: Publication, repacked: Callable[..., Path], remembered: None
) -> None:
    versions = json.loads(read_archive(published.archive)[RECORD])["versions"]
    versions["fit"] = {**versions["fit"], "numpy": "1.0"}
    found = reproduce(repacked({}, versions=versions))
    assert found.versions["numpy"][0] == "1.0"
    assert found.differences == ()


@pytest.mark.parametrize("record", [b"[]", b"{", b'{"format": 1}'])
def test_a_broken_record_is_refused(record: bytes, repacked: Callable[..., Path]) -> None:
    with pytest.raises(InputFileError, match=f"{RECORD} cannot be read"):
        reproduce(repacked({RECORD: record}))


def test_an_archive_or_folder_of_something_else_is_refused(published: Publication, tmp_path: Path) -> None:
    write_archive(tmp_path / "a.tar.gz", {"thesis.tex": b"years of work"})
    with pytest.raises(InputFileError, match=r"no publication.*it holds thesis\.tex"):
        reproduce(tmp_path / "a.tar.gz")
    with pytest.raises(InputFileError, match=f"no publication.*it has no {RECORD}$"):
        reproduce(tmp_path)
    with pytest.raises(InputFileError, match="did you mean"):
        reproduce(published.archive.parent)
    with pytest.raises(InputFileError, match="no such file"):
        reproduce(tmp_path / "absent.tar.gz")
