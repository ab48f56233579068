"""The installed package is the whole program: a wheel in an empty folder runs the small demo."""

import json
import os
import subprocess
import sys
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
