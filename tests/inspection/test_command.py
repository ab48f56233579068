"""The command `inspect`: its files, its messages, its blinding, and what the report shows of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import planted, toy_candidates
from typer.testing import CliRunner

import oddjets
from oddjets.cli.main import app
from oddjets.config.analysis import load_analysis
from oddjets.config.yaml import ConfigError
from oddjets.core.errors import BlindedError, OddjetsError
from oddjets.inspection.displays import displacement, species_of
from oddjets.inspection.shares import OTHER, class_groups, shares_of_columns, shares_of_groups
from oddjets.inspection.source_files import joined_jets
from oddjets.io.inspections import read_inspection
from oddjets.io.nanoaod_schema import IDENTITY
from oddjets.report import figure_files, health, html, registry
from oddjets.report.artifacts import Artifacts
from oddjets.report.inspections import event_table
from oddjets.scoring.class_groups import share_columns
from oddjets.scoring.model_card import load_card
from oddjets.workflow.inspected_run import InspectedRun, asked_of
from oddjets.workflow.inspection import _simulated_as
from oddjets.workflow.run import RunContext
from oddjets.workflow.validation import resolve

PICTURE = b"\x89PNG"


def figure(folder: Path, name: str, data: dict[str, Any], reuse: bool = False) -> list[Path]:
    """Write a figure's numbers without its picture: drawing takes long."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{data['name']}.{suffix}" for suffix in ("json", "png", "pdf")]
    files[0].write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for file in files[1:]:
        file.write_bytes(PICTURE)
    return files


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_files, "write_figure", figure)
    monkeypatch.setattr("oddjets.workflow.inspection.write_figure", figure)
    monkeypatch.setattr(
        html, "embed", lambda kind, data, png: html.EmbeddedFigure(
            data["name"], data["title"], data["alt"], data["caption"], data["sources"], {}, "", 1, 1
        )
    )  # fmt: skip


def invoke(*words: str | Path) -> tuple[int, str]:
    # the neighbours have tests of their own
    own = ["--no-neighbours"] if words[0] == "inspect" and "--help" not in words else []
    done = CliRunner().invoke(app, [*(str(word) for word in words), *own])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        if not isinstance(done.exception, OddjetsError):
            raise done.exception
        return 2, str(done.exception)
    return done.exit_code, done.output


def inspect(*words: str | Path) -> str:
    # what other tests look at
    few = [] if "--top" in words else ["--top", "3"]
    code, said = invoke("inspect", *words, *few, "--why", "0", "--no-shares")
    assert code == 0, said
    return said


def ask(folder: Path, **changes: Any) -> Path:
    """Change the YAML."""
    file = folder / "analysis.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(content | changes), encoding="utf-8")
    return file


def part(folder: Path, window: str = "SR_A", name: str = "events") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "out" / "inspection" / window / f"{name}.json").read_text())
    return found


def test_the_table_is_text_json_and_a_list(folder: Path) -> None:
    file = folder / "analysis.yaml"
    said = inspect(file, "--out", folder / "out", "--top", "5", "--displays", "2")
    events = part(folder)["events"]
    assert [event["rank"] for event in events] == [1, 2, 3, 4, 5]
    lower = [min(jet["scores"]["mine"] for jet in event["jets"]) for event in events]
    assert lower == sorted(lower, reverse=True) == [event["lower_score"] for event in events]
    window = folder / "out" / "inspection" / "SR_A"
    picked = (window / "picks.txt").read_text().splitlines()
    assert picked == [event["id"] for event in events]
    assert all(re.fullmatch(r"\d+:\d+:\d+", line) for line in picked)
    text = (window / "events.txt").read_text()
    assert text.strip() in said
    assert "24 events of data in SR, letter A; the 5 with the highest lower mine of both jets:" in text
    for event in events:
        for jet in event["jets"]:
            assert sum(jet["shares"]["mine"].values()) == pytest.approx(1, abs=1e-6)
            share, qcd = (jet["shares"]["mine"][name] for name in ("X", "QCD"))
            assert share / (share + qcd) == pytest.approx(jet["scores"]["mine"], rel=1e-5)
        assert event["id"] in text
        assert f"{event['file']}  {event['entry']}" in text
    names = {file.name for file in window.iterdir()}
    assert names == {
        *("events.json", "events.txt", "picks.txt", "displays.json"),
        *(f"display_0{rank}.{suffix}" for rank in (1, 2) for suffix in ("json", "png", "pdf")),
    }
    # what an earlier inspection left goes
    inspect(file, "--out", folder / "out", "--top", "2", "--displays", "0")
    assert {file.name for file in window.iterdir()} == {"events.json", "events.txt", "picks.txt"}


def test_the_table_does_not_depend_on_the_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = set()
    for width in ("40", "300"):
        monkeypatch.setenv("COLUMNS", width)
        inspect(folder / "analysis.yaml", "--out", folder / "out", "--displays", "0")
        texts.add((folder / "out" / "inspection" / "SR_A" / "events.txt").read_text())
    assert len(texts) == 1


def test_a_display_has_what_the_event_has(folder: Path) -> None:
    inspect(folder / "analysis.yaml", "--out", folder / "out", "--top", "3", "--displays", "3")
    found = part(folder, name="displays")
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    sources = InspectedRun(run, asked_of(run, {"top": 3})).sources
    for display, source in zip(found["displays"], sources, strict=True):
        assert source.jets is not None
        significance = displacement(source.jets)
        for number, jet in enumerate(display["jets"]):
            own = slice(*source.jets.offsets[number : number + 2])
            parts = jet["constituents"]
            assert parts["pt"] == sorted(parts["pt"], reverse=True)
            assert sum(parts["pt"]) == pytest.approx(source.jets.pt[own].sum(), rel=1e-4)
            assert np.hypot(parts["d_eta"], parts["d_phi"]).max() < 0.8
            # made of two prongs that are 0.4 apart
            assert len(jet["prongs"]) == 2
            assert sum(prong["pt"] for prong in jet["prongs"]) == pytest.approx(sum(parts["pt"]), rel=0.1)
            tracks = [one for one in parts["displacement"] if one is not None]
            expected = significance[own][np.isfinite(significance[own])]
            np.testing.assert_allclose(sorted(tracks), np.sort(expected), rtol=1e-4)
        whole = display["event"]
        assert len(whole["candidates"]["pt"]) == 2 * toy_candidates.IN_JET + toy_candidates.BESIDE * 9 // 10
        assert [jet["jet"] for jet in whole["fat_jets"]] in ([1, 2], [2, 1])
    # the same numbers, and words for who cannot see them
    figure = json.loads((folder / "out" / "inspection" / "SR_A" / "display_01.json").read_text())
    assert figure["alt"].startswith(f"Display of event {found['displays'][0]['id']} (data), number 1 of the oddest.")
    assert registry.find(figure["name"]).name == "display"


@pytest.mark.parametrize("letter", ["B", "C", "D"])
def test_other_windows_have_folders_of_their_own(folder: Path, letter: str) -> None:
    inspect(
        folder / "analysis.yaml", "--out", folder / "out", "--letter", letter, "--bins", "90:150", "--displays", "0"
    )
    found = part(folder, f"SR_{letter}_leading_mass_90_150")
    assert found["window"]["letter"] == letter
    assert all(90 <= event["value"] < 150 and event["letter"] == letter for event in found["events"])


def test_simulation_has_its_process_in_the_table(folder: Path) -> None:
    said = inspect(
        folder / "analysis.yaml", "--out", folder / "out", "--process", "top", "--displays", "0", "--letter", "D"
    )
    events = part(folder, "SR_D_top")["events"]
    assert {event["process"] for event in events} == {"top"}
    assert "simulated events of top" in said
    assert said.count(" top ") >= len(events)
    words = ["--dataset", "top", "--displays", "0", "--letter", "D"]
    by_dataset = inspect(folder / "analysis.yaml", "--out", folder / "out", *words)
    assert [e["id"] for e in part(folder, "SR_D_top")["events"]] == [e["id"] for e in events]
    assert "simulated events of top" in by_dataset


def test_a_window_without_events_says_where_they_are(folder: Path) -> None:
    said = " ".join(inspect(folder / "analysis.yaml", "--out", folder / "out", "--bins", "1000:1100").split())
    assert "no event of data is in SR, letter A, leading_mass 1000 to 1100 GeV; the letter has 24 events, from" in said
    assert part(folder, "SR_A_leading_mass_1000_1100")["events"] == []
    assert (folder / "out/inspection/SR_A_leading_mass_1000_1100/picks.txt").read_text() == ""


def test_ends_that_are_no_edges_are_allowed_and_said(folder: Path) -> None:
    said = " ".join(
        inspect(folder / "analysis.yaml", "--out", folder / "out", "--bins", "91:150", "--displays", "0").split()
    )
    assert "91 is no edge of the bins of leading_mass in SR (60, 85, 110, 135, 160, 185, 210)" not in said
    assert "91, 150 is no edge of the bins of leading_mass in SR (60, 85, 110, 135, 160, 185, 210)" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--region", "RS"], "inspect: no region 'RS'; did you mean 'SR'?"),
        (["--observable", "mass"], "inspect: no observable 'mass'; did you mean 'leading_mass'?"),
        (["--letter", "E"], "inspect: letter: input should be 'A', 'B', 'C' or 'D' (got 'E')"),
        (["--bins", "140"], "--bins: '140' is no range; give two numbers with a colon, as in 140:170"),
        (["--bins", "170:140"], "'bins' must rise"),
        (["--bins", "nan:140"], "finite number"),
        (["--process", "tops"], "inspect: no simulated dataset of the process 'tops'; did you mean 'top'?"),
        (["--dataset", "dat"], "has no dataset 'dat'; did you mean 'data'?"),
        (["--process", "top", "--dataset", "data"], "'process' and 'dataset' both say whose events; give one of them"),
    ],
)
def test_what_cannot_be_is_an_error(folder: Path, words: list[str], said: str) -> None:
    code, found = invoke("inspect", folder / "analysis.yaml", "--out", folder / "out", *words)
    assert code == 2
    assert said in found


def test_truth_of_what_is_no_pseudo_data_is_said_not_to_be_there(folder: Path) -> None:
    said = inspect(folder / "analysis.yaml", "--out", folder / "out", "--top", "1", "--displays", "0", "--truth")
    assert "truth: not known of 1 of 1 events: it is in the folder truth/" in " ".join(said.split())
    words = ("--process", "top", "--letter", "D", "--top", "1", "--displays", "0", "--truth")
    said = inspect(folder / "analysis.yaml", "--out", folder / "out", *words)
    assert "truth: these events are not data" in said


def test_without_histograms_the_command_to_run_is_named(folder: Path) -> None:
    (folder / "out" / "manifests" / "histogram.json").unlink()
    code, said = invoke("inspect", folder / "analysis.yaml", "--out", folder / "out")
    assert code == 2
    assert "run `oddjets histogram` first" in said


def test_a_yaml_with_names_that_do_not_exist_is_found_by_validate(folder: Path) -> None:
    file = ask(folder, inspect={"region": "RS", "observable": "mas", "process": "tops", "letter": "A"})
    with pytest.raises(ConfigError) as found:
        resolve(load_analysis(file))
    for line in (
        "inspect.region: no region 'RS'",
        "inspect.observable: no observable 'mas'",
        "inspect.process: no process",
    ):
        assert line in str(found.value)
    file = ask(folder, inspect={"bins": [3, 1]})
    with pytest.raises(ConfigError, match="inspect: 'bins' must rise"):
        load_analysis(file)


def test_the_command_line_goes_over_the_yaml(folder: Path) -> None:
    file = ask(folder, inspect={"letter": "D", "top": 3, "displays": 0, "bins": [60, 85]})
    run = RunContext(load_analysis(file), folder / "out")
    assert asked_of(run).top == 3
    assert asked_of(run, {"top": 4, "letter": None}).model_dump() == asked_of(run).model_dump() | {"top": 4}
    assert asked_of(run, {"observable": "leading_mass"}).bins is None
    assert asked_of(run, {"process": "top"}).process == "top"


def test_the_report_shows_what_the_yaml_asks_for(folder: Path) -> None:
    file = ask(folder, inspect={"top": 4, "displays": 1})
    out = folder / "out"
    analysis = load_analysis(file)
    artifacts = Artifacts(analysis, out)
    assert event_table(artifacts) is None
    assert any("run `oddjets inspect`" in line for line in health.missing(artifacts, {}))
    # as many as the YAML says
    assert invoke("inspect", file, "--out", out, "--why", "0", "--no-shares")[0] == 0
    html.write(analysis, out)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Event by event" in page
    events = part(folder)["events"]
    assert all(event["id"] in page for event in events)
    table = event_table(Artifacts(analysis, out))
    assert table is not None
    assert table.caption == "SR, letter A, 24 events: the 4 with the highest lower score of their jets"
    assert (out / "figures" / "display_01.json").read_text() == (
        out / "inspection" / "SR_A" / "display_01.json"
    ).read_text()
    assert not any("oddjets inspect" in line for line in health.missing(Artifacts(analysis, out), {}))
    # another window is not the one that was inspected
    assert event_table(Artifacts(load_analysis(ask(folder, inspect={"letter": "D"})), out)) is None
    # and no window is asked for
    without = load_analysis(ask(folder, inspect=None))
    assert event_table(Artifacts(without, out)) is None
    assert registry.KINDS["display"].data(Artifacts(without, out)) == {}


def test_an_inspection_of_other_histograms_is_not_shown(folder: Path) -> None:
    file = ask(folder, inspect={"top": 2, "displays": 0})
    out = folder / "out"
    inspect(file, "--out", out)
    assert Artifacts(load_analysis(file), out).inspection("events") is not None
    manifest = out / "manifests" / "histogram.json"
    manifest.write_text(manifest.read_text().replace('"key": "', '"key": "other'), encoding="utf-8")
    artifacts = Artifacts(load_analysis(file), out)
    assert artifacts.inspection("events") is None
    assert any("run `oddjets inspect`" in line for line in health.missing(artifacts, {}))


def test_a_damaged_inspection_is_named(folder: Path) -> None:
    file = ask(folder, inspect={"top": 2, "displays": 0})
    inspect(file, "--out", folder / "out")
    damaged = folder / "out" / "inspection" / "SR_A" / "events.json"
    for content in ("{", "[]", '{"events": []}'):
        damaged.write_text(content, encoding="utf-8")
        with pytest.raises(OddjetsError, match=r"cannot be read as an inspection .* run `oddjets inspect` again"):
            read_inspection(folder / "out", load_analysis(file), "events")


def test_the_table_stands_without_source_files(folder: Path, made: Path) -> None:
    text = (folder / "fileset.json").read_text(encoding="utf-8")
    gone = folder / "gone"
    for record in (folder / "out" / "chunks" / "data").glob("*.json"):
        record.write_text(record.read_text().replace(str(made), str(gone)), encoding="utf-8")
    (folder / "fileset.json").write_text(text.replace(str(made), str(gone)), encoding="utf-8")
    said = " ".join(inspect(folder / "analysis.yaml", "--out", folder / "out", "--top", "4", "--displays", "4").split())
    assert "without constituents: " in said
    assert "is not there any more" in said
    events = part(folder)["events"]
    assert len(events) == 4
    assert all("is not there any more" in event["problem"] for event in events)
    # those of the event table
    for event in events:
        for jet in event["jets"]:
            share, qcd = (jet["shares"]["mine"][name] for name in ("X", "QCD"))
            assert share / (share + qcd) == pytest.approx(jet["scores"]["mine"], rel=1e-5)
    assert part(folder, name="displays")["displays"] == []


@pytest.mark.parametrize("kept", [0, 1])
def test_event_tables_without_some_of_their_files_are_refused(folder: Path, kept: int) -> None:
    files = sorted((folder / "out" / "events" / "data").glob("*.parquet"))
    assert len(files) > 1
    for file in files[kept:]:
        file.unlink()
    code, said = invoke("inspect", folder / "analysis.yaml", "--out", folder / "out", "--displays", "0")
    assert code == 2
    assert re.search(r"data: \d+ events, and \d+ were written: files were removed or added", said)


def test_from_python_it_is_the_same(folder: Path) -> None:
    run = oddjets.Run(folder / "analysis.yaml", folder / "out")
    found = run.inspect(top=2, displays=0, letter="B", neighbours=False, shares=False, why=0)
    assert dict(found) == {"events": part(folder, "SR_B")}
    assert repr(found) == (folder / "out" / "inspection" / "SR_B" / "events.txt").read_text()
    assert found["events"]["events"][0]["id"] in found._repr_html_()
    with pytest.raises(KeyError, match="no part 'displays'"):
        found["displays"]
    with pytest.raises(OddjetsError, match="inspect: tops: unknown key; did you mean 'top'"):
        run.inspect(tops=3)


# ---- blinding ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made_blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a blind analysis of imported event files, with histograms in ``out``; not to be changed."""
    folder = tmp_path_factory.mktemp("blind")
    file = planted.write(folder / "in", blind=True)
    for verb in ("process", "histogram"):
        assert invoke(verb, file, "--out", folder / "out")[0] == 0
    return folder


@pytest.fixture
def blind(made_blind: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The YAML of a copy of it, and its output folder."""
    shutil.copytree(made_blind, tmp_path, dirs_exist_ok=True)
    return next((tmp_path / "in").glob("*.yaml")), tmp_path / "out"


def test_blinded_data_are_not_inspected_and_other_letters_and_simulation_are(blind: tuple[Path, Path]) -> None:
    file, out = blind
    code, said = invoke("inspect", file, "--out", out)
    assert code == 2
    assert "the events of data in SR, letter A, are blinded: no event of them is shown" in said
    assert not (out / "inspection" / "SR_A").exists()
    with pytest.raises(BlindedError, match="or use unblind=True"):
        oddjets.Run(file, out).inspect()
    inspect(file, "--out", out, "--letter", "B", "--top", "100")
    events = part(out.parent, "SR_B")["events"]
    assert {event["letter"] for event in events} == {"B"}
    # masses that only the data in A have
    values = np.array([event["value"] for event in events])
    assert np.abs(values[:, None] - planted.MASSES).min() > 0.01
    process = next(name for name in load_analysis(file).processes if (out / "events" / name).is_dir())
    inspect(file, "--out", out, "--process", process)


def test_what_was_inspected_before_is_removed_where_the_data_are_blinded(tmp_path: Path) -> None:
    file, out = planted.write(tmp_path / "in", blind=False), tmp_path / "out"
    for verb in ("process", "histogram"):
        assert invoke(verb, file, "--out", out)[0] == 0
    inspect(file, "--out", out, "--top", "2")
    inspect(file, "--out", out, "--top", "2", "--letter", "B")
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"blind: \w+", "blind: true", text), encoding="utf-8")
    code, said = invoke("histogram", file, "--out", out)
    assert code == 0
    assert "inspection/SR_A" in said
    assert not any((out / "inspection" / "SR_A").iterdir())
    assert (out / "inspection" / "SR_B" / "events.json").is_file()


def test_to_unblind_is_recorded(blind: tuple[Path, Path]) -> None:
    file, out = blind
    inspect(file, "--out", out, "--unblind", "--top", "2")
    assert part(out.parent)["shows_data_in_A"] is True
    history = json.loads((out / "blinding.json").read_text())["history"]
    assert history[-1]["state"] == "unblinded"
    assert history[-1]["by"] == "--unblind"
    # the report of the blind analysis does not show it
    artifacts = Artifacts(
        load_analysis(file).model_copy(update={"inspect": asked_of(RunContext(load_analysis(file), out))}), out
    )
    assert artifacts.inspection("events") is None


def test_imported_event_files_have_a_table_and_no_displays(blind: tuple[Path, Path]) -> None:
    file, out = blind
    said = " ".join(inspect(file, "--out", out, "--letter", "D", "--top", "3").split())
    assert "holds no constituents" in said
    found = part(out.parent, "SR_D")
    assert len(found["events"]) == 3
    assert all(event["entry"] is None and event["file"].endswith(".npz") for event in found["events"])
    assert part(out.parent, "SR_D", "displays")["displays"] == []


# ---- shares and species --------------------------------------------------------------------------------------------------


def test_groups_of_classes_are_those_of_the_names_and_do_not_overlap() -> None:
    card = load_card("omnilearned_small_simulation.yaml")
    groups = class_groups(card)
    assert list(groups) == ["QCD", "bb", "cc", "2 prongs", "3 prongs", "4 prongs"]
    assert sorted([*groups["bb"], *groups["cc"]]) == [12, 13]
    assert sorted(index for indices in groups.values() for index in indices) == sorted(card.output.softmax)
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(len(card.output.softmax)), 5)
    shares = shares_of_groups(card, probabilities)
    np.testing.assert_allclose(sum(shares.values()), 1)
    place = list(card.output.softmax).index(card.classes["X_bb"][0])
    np.testing.assert_allclose(shares["bb"], probabilities[:, place])
    order = list(card.output.softmax)
    columns = {
        f"{column}_1": probabilities[:, [order.index(index) for index in card.classes[name]]].sum(axis=1)
        for name, column in share_columns(card, "mine").items()
    }
    stored = shares_of_columns(card, "mine", 1, columns)
    assert stored is not None
    assert list(stored) == list(shares)
    for group, values in shares.items():
        np.testing.assert_allclose(stored[group], values, rtol=1e-6)
    assert shares_of_columns(card, "mine", 2, columns) is None


def test_groups_of_the_published_card_have_names_too(made: Path) -> None:
    card = load_card(made / "mine.yaml")
    assert list(class_groups(card)) == ["QCD", "X", "other"]
    card = card.model_copy(update={"classes": {"two_prong": (0,), "three_and_four_prong": (1,)}})
    assert list(class_groups(card)) == ["2 prongs", "3 and 4 prongs", OTHER]


def test_species_are_those_of_cms() -> None:
    codes = np.array([211, -211, 22, 130, 11, -13, 1, 2, 321, 9999, 9999])
    charges = np.array([1, -1, 0, 0, -1, 1, 0, 0, 1, 1, 0])
    assert species_of(codes, charges).tolist() == [
        *(
            "charged hadron",
            "charged hadron",
            "photon",
            "neutral hadron",
            "electron",
            "muon",
            "neutral hadron",
            "photon",
        ),
        *("charged hadron", "charged hadron", "neutral hadron"),
    ]


def test_displacement_is_the_significance_of_both_impact_parameters(made: Path) -> None:
    run = RunContext(load_analysis(made / "analysis.yaml"), made / "out")
    jets = joined_jets([s.jets for s in InspectedRun(run, asked_of(run)).sources if s.jets is not None])
    found = displacement(jets)
    charged = jets.charge != 0
    assert np.isnan(found[~charged]).all()
    # made with these errors: the square is chi-squared of two degrees of freedom
    expected = (jets.d0[charged] / 0.002) ** 2 + (jets.dz[charged] / 0.003) ** 2
    np.testing.assert_allclose(found[charged] ** 2, expected, rtol=1e-5)
    assert np.mean(found[charged] ** 2) == pytest.approx(2, abs=5 * 2 / np.sqrt(charged.sum()))


def test_truth_is_found_beside_the_source_files(folder: Path, made: Path, tmp_path: Path) -> None:
    run = RunContext(load_analysis(folder / "analysis.yaml"), folder / "out")
    inspected = InspectedRun(run, asked_of(run, {"top": 2}))
    (tmp_path / "truth").mkdir()
    for event, source in zip(inspected.oddest, inspected.sources, strict=True):
        there = replace(source.source, path=str(tmp_path / "data" / Path(source.source.path).name))
        moved = replace(source, source=there)
        assert _simulated_as(event, moved) is None
        own = {name: event.events.columns[name][[event.place, event.place - 1]] for name in IDENTITY}
        file = tmp_path / "truth" / f"{Path(there.path).stem}.npz"
        np.savez(file, process=np.array(["hh", "qcd"]), **own)
        assert _simulated_as(event, moved) == "hh"
        file.write_bytes(b"nothing")
        with pytest.raises(OddjetsError, match="does not say what events were simulated as"):
            _simulated_as(event, moved)
        file.unlink()
