"""dask-awkward needs an older dask than the one beside it: an environment of its own, on top of this one."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers import toy_analysis as toy
from helpers.environments import on_top

from oddjets.workflow.pipeline import run_stages, stage_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with the extra ``dask-awkward``; all that does not conflict with it comes from this one."""
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        extra = tomllib.load(file)["project"]["optional-dependencies"]["dask-awkward"]
    return on_top(tmp_path_factory.mktemp("environment"), *extra)


def test_rows_and_histograms_are_the_same(python, tmp_path):
    inputs = toy.files(tmp_path / "inputs")
    here = toy.run_of(toy.write(tmp_path / "here", inputs))
    run_stages(here, [stage_of(here, "process"), stage_of(here, "histogram")])
    file = toy.write(tmp_path / "there", inputs)
    command = [str(python), "-m", "oddjets", "process", str(file), "--out", str(tmp_path / "there" / "out")]
    result = subprocess.run(
        [*command, "--executor", "dask-awkward", "--workers", "2"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "dask: scheduler tcp://127.0.0.1:" in result.stderr
    there = toy.run_of(file)
    toy.assert_same_rows(toy.rows(there), toy.rows(here))
    run_stages(there, [stage_of(there, "histogram")])
    names = sorted(path.name for path in (here.out / "histograms").iterdir())
    assert len(names) > 3
    for name in names:
        assert (there.out / "histograms" / name).read_bytes() == (here.out / "histograms" / name).read_bytes(), name


def test_dask_works_there_too(python, tmp_path):
    inputs = toy.files(tmp_path / "inputs")
    here = toy.process(toy.run_of(toy.write(tmp_path / "here", inputs)))
    file = toy.write(tmp_path / "there", inputs)
    command = [str(python), "-m", "oddjets", "process", str(file), "--out", str(tmp_path / "there" / "out")]
    subprocess.run([*command, "--executor", "dask"], capture_output=True, check=True)
    toy.assert_same_rows(toy.rows(toy.run_of(file)), toy.rows(here))


def test_without_it_the_extra_is_named(tmp_path):
    code = "import sys; sys.modules['dask_awkward'] = None; from oddjets.cli.main import main; main()"
    file = toy.write(tmp_path, toy.files(tmp_path / "inputs"))
    command = [sys.executable, "-c", code, "process", str(file), "--out", str(tmp_path / "out")]
    result = subprocess.run([*command, "--executor", "dask-awkward"], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "pip install 'oddjets[dask-awkward]'" in result.stderr
