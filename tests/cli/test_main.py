"""The program: help, versions, and mistakes that end with a message and exit code 2."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.analyses import content
from rich.text import Text
from typer.main import get_command
from typer.testing import CliRunner

from oddjets.cli import main
from oddjets.cli.main import app
from oddjets.core.errors import OddjetsError

REPOSITORY = Path(__file__).resolve().parents[2]
#: every verb of the design's table
VERBS = (
    *("simulate", "process", "import-npz", "export-npz", "histogram", "closure", "workspace", "fit", "plot", "report"),
    *("run", "demo", "skim", "status", "clean", "validate", "fetch", "model", "yields"),
)


def program(*words, cwd):
    return subprocess.run(
        [sys.executable, "-m", "oddjets", *words], cwd=cwd, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_exists(verb):
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def helps(command):
    """The help texts of all options and arguments of a command and of those below it."""
    yield from (parameter.help for parameter in command.params if getattr(parameter, "help", None))
    for inner in getattr(command, "commands", {}).values():
        yield from helps(inner)


def test_no_word_of_the_help_is_taken_for_markup():
    texts = list(helps(get_command(app)))
    assert len(texts) > 50
    assert [Text.from_markup(text).plain for text in texts] == texts


def test_a_folder_in_place_of_a_yaml_is_said(tmp_path):
    done = program("validate", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert ".: is a folder; give a YAML file" in done.stderr


def test_a_misspelt_yaml_ends_with_a_message_and_no_traceback(tmp_path):
    data = content(titel="x")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(data))
    done = program("validate", "a.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "titel: unknown key; did you mean 'title'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("columns", ["40", "200"])
def test_a_wrong_command_line_is_said_in_one_line(tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    path = "/a/long/path" * 30
    done = program("run", "a.yaml", path, cwd=tmp_path)
    assert done.returncode == 2
    assert any(line.startswith("Error: ") and f"({path})" in line for line in done.stderr.splitlines())


def test_debug_shows_the_traceback(tmp_path):
    done = program("--debug", "validate", "missing.yaml", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    # Python's own, in which no path is broken
    last = done.stderr.splitlines()[-1]
    assert last.startswith("oddjets.core.errors.InputFileError: no analysis 'missing.yaml': there is no such file")


def test_a_folder_that_cannot_be_written_is_a_message(tmp_path):
    (tmp_path / "file").write_text("")
    done = program("demo", "--small", "--out", "file/out", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "file" in done.stderr


def test_an_error_of_the_system_that_names_no_file_is_said_with_its_kind(monkeypatch, capsys):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(main, "app", refuse)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.startswith(
        "error: the system refused what a run needs, and named no file: Permission denied (PermissionError)"
    )


def test_run_py_is_the_same_program(tmp_path):
    outputs = [
        subprocess.run([*words, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for words in ([sys.executable, str(REPOSITORY / "run.py")], [str(Path(sys.executable).parent / "oddjets")])
    ]
    assert outputs[0].replace("run.py", "oddjets") == outputs[1]


def test_a_workspace_that_is_no_json_is_a_message(tmp_path):
    (tmp_path / "w.json").write_text('{"channels": [')
    done = program("fit", "w.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "w.json" in done.stderr


@pytest.mark.parametrize("measurements", ["m", 5, ["m"], {}, None])
def test_measurements_that_are_none_are_a_message(tmp_path, measurements):
    channel = {"name": "c", "samples": [{"name": "s", "data": [1.0], "modifiers": []}]}
    content = {"channels": [channel], "observations": [{"name": "c", "data": [1]}], "version": "1.0.0"}
    (tmp_path / "w.json").write_text(json.dumps({**content, "measurements": measurements}))
    result = CliRunner().invoke(app, ["fit", str(tmp_path / "w.json"), "--out", str(tmp_path / "out")])
    assert isinstance(result.exception, OddjetsError)
    assert "measurement" in str(result.exception)


@pytest.mark.parametrize(
    "words", [("fit", "w.json"), ("skim", "demo.yaml"), ("simulate", "demo.yaml"), ("yields", "demo.yaml")]
)
def test_a_file_in_place_of_the_output_folder_is_said(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("w.json", "taken"):
        (tmp_path / name).write_text("{}")
    result = CliRunner().invoke(app, [*words, "--out", "taken"])
    assert isinstance(result.exception, OddjetsError)
    assert "taken: is a file, and results need a folder; give another folder with --out" in str(result.exception)


def test_fitting_a_workspace_does_not_replace_the_results_of_an_analysis(tmp_path):
    (tmp_path / "manifests").mkdir()
    (tmp_path / "workspace.json").write_text("{}")
    for words in ([], ["--out", str(tmp_path)]):
        refused = CliRunner().invoke(app, ["fit", str(tmp_path / "workspace.json"), *words])
        assert isinstance(refused.exception, OddjetsError)
        assert "whose results.json this fit would replace: give another folder with --out" in str(refused.exception)


@pytest.mark.parametrize("listing", [[], ["--list"]])
def test_an_era_that_is_none_is_told_the_eras(listing):
    done = CliRunner().invoke(app, ["fetch", *listing, "2019"])
    assert isinstance(done.exception, OddjetsError)
    assert str(done.exception).startswith(
        "no era '2019'; eras: 2016UL, 2016postVFP, 2016preVFP, 2017, 2018, simulation; and "
    )


def test_a_misspelt_official_file_is_told_the_right_one():
    said = str(CliRunner().invoke(app, ["fetch", "goldn"]).exception)
    assert said.endswith("; and era '2016postVFP' has no official file 'goldn'; did you mean 'golden'?")


@pytest.mark.parametrize("name", ["2016UL", "2016postVFP"])
def test_both_names_of_the_open_era_list_its_samples(name):
    assert "jetht_g" in CliRunner().invoke(app, ["fetch", "--list", name]).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["process", "demo_small", "--executor", "futurs", "--workers", "2"],
            "--executor: no executor 'futurs', and no class as in coffea.processor:FuturesExecutor; did you mean 'futures'?",
        ),
        (
            ["fit", "demo_small", "--gof", "5", "--gof-channels", "A,Q"],
            "--gof-channels: input should be 'A', 'B', 'C' or 'D' (got 'Q')",
        ),
    ],
)
def test_an_option_and_its_value_are_named_once(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(CliRunner().invoke(app, words).exception) == said
