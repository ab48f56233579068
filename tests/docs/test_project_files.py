"""What the repository says of its own work is so: make's targets, hooks, workflows, versions, citations."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.environments import on_top
from helpers.pages import REPOSITORY, pages, text_of

import oddjets

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
#: of the words of a command, those that are files of the repository
FILES = r"(?<![\w/.])(?:tests|benchmarks|src|docs|\.ci|\.github|processors)/[\w/.-]*\w"


def steps(workflow: Path) -> list[dict[str, Any]]:
    """All steps of a workflow's jobs."""
    jobs = yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job.get("steps", [])]


@pytest.mark.parametrize("page", pages())
def test_what_pages_tell_people_to_make_is_a_target(page: str) -> None:
    blocks = "\n".join(re.findall(r"^```console\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL))
    told = re.findall(r"`make ([\w-]+)", text_of(page)) + re.findall(r"^make ([\w-]+)", blocks, re.MULTILINE)
    assert set(told) <= TARGETS


def test_files_of_the_commands_for_contributors_are_there() -> None:
    spans = re.findall(r"`([^`\n]+)`", text_of("../CONTRIBUTING.md"))
    files = {file for span in spans for file in re.findall(FILES, span)}
    assert len(files) > 8
    assert not [file for file in files if not (REPOSITORY / file).exists()]


def test_every_target_for_people_is_phony_and_told_to_contributors() -> None:
    phony = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())
    assert phony == TARGETS
    told = set(re.findall(r"\bmake ([\w-]+)", text_of("../CONTRIBUTING.md") + text_of("../README.md")))
    # parts of `make check`, and the paper's own page
    assert phony - told <= {"check-training", "paper"}


# ---- hooks and workflows ---------------------------------------------------------------------------------------------


def test_hooks_are_the_commands_of_make_lint() -> None:
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = hooks["repos"]
    # nothing is fetched
    assert repository["repo"] == "local"
    assert {hook["language"] for hook in repository["hooks"]} == {"system"}
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1]
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    assert [hook["entry"] for hook in repository["hooks"]] == commands


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_targets_and_files_that_are_there(workflow: Path) -> None:
    text = workflow.read_text(encoding="utf-8")
    assert set(re.findall(r"\bmake ([\w-]+)", "\n".join(step.get("run", "") for step in steps(workflow)))) <= TARGETS
    assert not [file for file in re.findall(FILES, text) if not (REPOSITORY / file).exists()]
    # nothing may write but what says so, job by job
    assert yaml.safe_load(text)["permissions"] == {}
    for step in steps(workflow):
        assert re.fullmatch(r"[\w./-]+@(v\d+|release/v\d+)", step.get("uses", "a@v1"))


def test_every_python_that_is_promised_is_tested() -> None:
    job = yaml.safe_load((REPOSITORY / ".github/workflows/tests.yml").read_text(encoding="utf-8"))["jobs"]["fast"]
    pythons = job["strategy"]["matrix"]["python"]
    assert f">={pythons[0]}" == PROJECT["project"]["requires-python"]
    assert pythons == [f"3.{minor}" for minor in range(11, 11 + len(pythons))]


# ---- containers ------------------------------------------------------------------------------------------------------


def test_both_recipes_install_the_same_parts_and_say_that_nobody_has_built_them() -> None:
    docker, apptainer = (
        (REPOSITORY / "docs" / "containers" / name).read_text(encoding="utf-8")
        for name in ("Dockerfile", "oddjets.def")
    )
    extras = re.search(r"^ARG EXTRAS=(.+)$", docker, re.MULTILINE)[1]
    assert f"oddjets-*.whl)[{extras}]" in apptainer
    assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])
    base = re.search(r"^FROM (.+)$", docker, re.MULTILINE)[1]
    assert re.search(r"^From: (.+)$", apptainer, re.MULTILINE)[1] == base
    for recipe in (docker, apptainer):
        assert "NOT BUILT" in recipe
        # the image is used before it is done
        assert {"oddjets --version", "oddjets validate demo.yaml"} <= set(
            re.findall(r"oddjets (?:--version|validate demo.yaml)", recipe)
        )
        assert set(re.findall(r"make ([\w-]+)", recipe)) <= TARGETS
    page = text_of("sites.md")
    assert "Not tried" in page
    assert all(f"`{extra}`" in page for extra in extras.split(","))


def test_a_release_is_used_in_a_fresh_environment_by_the_same_commands_here_and_on_github() -> None:
    (step,) = [s for s in steps(REPOSITORY / ".github/workflows/wheel.yml") if "fresh" in s.get("run", "")]
    loop = re.compile(r"for words in (.+?); do")
    here, there = loop.search(MAKEFILE)[1], loop.search(step["run"])[1]
    assert here == there
    assert {"--help", '"demo --help"', '"validate demo.yaml"'} <= set(re.findall(r'"[^"]+"|\S+', here))


def test_the_tag_in_the_page_for_contributors_is_the_version() -> None:
    tags = re.findall(r"\bv(\d+\.\d+\.\d+)\b", text_of("../CONTRIBUTING.md"))
    assert tags
    assert set(tags) == {oddjets.__version__}


# ---- versions and citations ------------------------------------------------------------------------------------------


def test_the_version_stands_in_one_place_and_in_the_changelog() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert REPOSITORY / PROJECT["tool"]["hatch"]["version"]["path"] == REPOSITORY / "src/oddjets/__init__.py"
    headings = re.findall(r"^## \[([^]]+)\](?: - (\d{4}-\d\d-\d\d))?$", text_of("../CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == ("Unreleased", "")
    assert headings[1][0] == oddjets.__version__
    assert all(date for _, date in headings[1:])
    kinds = set(re.findall(r"^### (.*)$", text_of("../CHANGELOG.md"), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_names_the_paper_the_model_and_the_packages_and_no_version() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["license"] == PROJECT["project"]["license"]
    assert "version" not in citation
    references = citation["references"]
    assert {"coffea", "pyhf"} <= {reference["title"] for reference in references}
    numbers = {known["value"] for reference in references for known in reference.get("identifiers", [])}
    assert numbers == {"arXiv:2603.23593", "arXiv:2510.24066"}
    # the same as in the pages
    everything = "".join(map(text_of, pages()))
    assert not [number for number in numbers if f"arxiv.org/abs/{number.removeprefix('arXiv:')}" not in everything]


@pytest.mark.slow
def test_the_citation_is_valid(tmp_path: Path) -> None:
    python = on_top(tmp_path / "environment", "cffconvert==2.0.0")
    command = [str(python.with_name("cffconvert")), "--validate", "--infile", str(REPOSITORY / "CITATION.cff")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "valid according to schema version 1.2.0" in done.stdout
