"""The installed package is the whole program: a wheel in an empty folder runs the small demo. What is released has no junk."""

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_wheel_runs_the_small_demo_in_an_empty_folder(tmp_path):
    pytest.importorskip("pythia8mc", reason="needs Pythia 8: pip install 'oddjets[simulate]'")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path / "dist"), str(REPOSITORY)],
        check=True,
        capture_output=True,
    )
    wheel = next((tmp_path / "dist").glob("*.whl"))
    site = tmp_path / "site"
    # what it depends on is here already; the package itself comes from the wheel alone
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    where = subprocess.run(
        [sys.executable, "-c", "import oddjets; print(oddjets.__file__)"],
        cwd=empty,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert where.startswith(str(site))
    done = subprocess.run(
        [sys.executable, "-m", "oddjets", "demo", "--small"],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    out = empty / "output" / "demo_small"
    assert "<html" in (out / "report.html").read_text(encoding="utf-8").lower()
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["poi"]["name"] == "mu"
    for key in ("significance", "twice_nll", "yields", "closure", "timing_s"):
        assert key in results
    # a second run finds everything up to date and changes nothing
    before = (out / "results.json").stat().st_mtime_ns
    again = subprocess.run(
        [sys.executable, "-m", "oddjets", "demo", "--small"],
        cwd=empty,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stderr.count("up to date") >= 8
    assert (out / "results.json").stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The folder of the files of a release, built as `make wheel` does: the wheel from the source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def files(*which):
    """The files that git knows (`--cached`), or others."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("needs the repository, not a copy of its files")
    command = ["git", "-C", str(REPOSITORY), "ls-files", "-z", *which]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return {name for name in names if name and (REPOSITORY / name).is_file()}


@pytest.mark.slow
def test_the_source_distribution_is_the_repository(released):
    (file,) = released.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        packed = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert "PKG-INFO" in packed
    known = files("--cached")
    assert known <= packed
    # what is new in the folders that are packed may be in it
    new = packed - known - {"PKG-INFO"}
    assert new <= files("--others", "--exclude-standard")
    assert {name.partition("/")[0] for name in new} <= {name.partition("/")[0] for name in known}


@pytest.mark.slow
def test_the_wheel_has_the_package_and_its_resources_and_nothing_else(released):
    (file,) = released.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    places = project["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"]

    def packed_as(names):
        return {
            place + name.removeprefix(top)
            for name in names
            for top, place in places.items()
            # only training needs checkpoints
            if name.startswith(f"{top}/") and not name.endswith(".pt")
        }

    assert packed_as(files("--cached")) <= packed
    assert packed <= packed_as(files("--cached", "--others", "--exclude-standard"))
    # PyPI's limit is 100 MB; docs/sites.md says about 67
    assert file.stat().st_size < 70e6
