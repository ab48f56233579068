"""What a shell offers for half-typed words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oddjets.cli import completion
from oddjets.cli.main import app

BASH = shutil.which("bash")
#: sources the script and prints what it offers for the words given, one a line
OFFERED = r"""
eval "$(oddjets --show-completion)"
complete -p oddjets >&2
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_oddjets_completion oddjets
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which `oddjets` is a program, whatever is installed."""
    program = tmp_path / "bin" / "oddjets"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m oddjets "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}


@pytest.mark.skipif(BASH is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["hist"], ["histogram"]),
        (["model", "exp"], ["export"]),
        (["fit", "a.yaml", "--imp"], ["--impacts"]),
        (["run", "m"], ["mine.yaml"]),
        (["simulate", "--set", "ti"], ["tiny"]),
        (["plot", "a.yaml", "closur"], ["closure", "closures"]),
        (["process", "a.yaml", "--executor", "da"], ["dask", "dask-awkward"]),
    ],
)
def test_bash_completes(words: list[str], offered: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").touch()
    command = [str(BASH), "--norc", "-c", OFFERED, "bash", "oddjets", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    # where nothing is offered, bash offers files
    assert "complete -o default -F _oddjets_completion oddjets" in done.stderr
    assert done.stdout.split() == offered, done.stderr


@pytest.mark.parametrize(("shell", "offered"), [("zsh", '"histogram":'), ("fish", "histogram\t")])
def test_other_shells_get_verbs_with_their_help(shell: str, offered: str, environment: dict[str, str]) -> None:
    asked = {"_ODDJETS_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "oddjets hist"}
    asked["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    done = subprocess.run(["oddjets"], env=environment | asked, capture_output=True, text=True, check=False)
    assert offered in done.stdout
    assert "Find the threshold" in done.stdout


def test_analyses_are_yaml_files_folders_and_those_that_are_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("demand.yaml", "demand.json", "demand.txt", "other.yml", ".hidden.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "department").mkdir()
    (tmp_path / "department" / "inner.yaml").touch()
    assert completion.analyses("dem") == ["demand.yaml", "demo.yaml", "demo_small.yaml"]
    assert completion.analyses_and_workspaces("dema") == ["demand.json", "demand.yaml"]
    assert completion.analyses("de")[-1] == "department/"
    assert completion.analyses("department/") == ["department/inner.yaml"]
    # names with blanks, which the folder of tests may have, are left to the shell
    absolute = [] if " " in str(tmp_path) else [f"{tmp_path}/other.yml"]
    assert completion.analyses(f"{tmp_path}/oth") == absolute
    assert ".hidden.yaml" not in completion.analyses("")
    assert completion.analyses(".h") == [".hidden.yaml"]


def test_the_shell_completes_folders_and_odd_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It puts no blank behind a folder, and quotes; a program's list has neither."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "two words.yaml").touch()
    assert completion.analyses("fol") == []
    assert completion.analyses("two") == []
    assert completion.analyses("absent/") == []


def test_fetch_offers_eras_files_and_with_list_samples() -> None:
    def offered(words: str) -> set[str]:
        asked = {"_ODDJETS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()))}
        return set(CliRunner().invoke(app, [], env=asked, prog_name="oddjets").output.split())

    assert {"2016UL", "golden", "jerc"} <= offered("oddjets fetch ")
    assert "jetht_g" not in offered("oddjets fetch ")
    assert {"2016UL", "jetht_g"} <= offered("oddjets fetch --list ")


def test_nothing_heavy_is_imported_to_offer_verbs_and_analyses() -> None:
    program = """
import sys
from oddjets.cli import completion, main
completion.analyses("")
print(sorted({"numpy", "awkward", "coffea", "matplotlib", "scipy"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
