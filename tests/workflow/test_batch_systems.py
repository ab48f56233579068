"""Batch systems and Parsl as docs/cluster.md and docs/sites.md have them; scripts play SLURM's and HTCondor's commands."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from helpers import toy_analysis as toy
from helpers.environments import on_top

pytestmark = pytest.mark.slow

PAGES = "\n".join(
    (Path(__file__).parents[2] / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("cluster", "sites")
)

#: submits: starts the job at once, in a session of its own; notes what was asked for
SUBMIT = """
import re, subprocess, sys
from pathlib import Path
# options come first
text = Path(sys.argv[-1]).read_text()
quoted = re.search(r"^Arguments = \\"-c '(.*)'\\"$", text, re.MULTILINE)
# HTCondor's manual, condor_submit, "arguments": quotes are doubled
words = ["-c", quoted[1].replace("''", "'").replace('""', '"')] if quoted else [sys.argv[-1]]
nowhere = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
job = subprocess.Popen(["sh", *words], start_new_session=True, **nowhere)
Path(__file__).with_name(f"job-{job.pid}").write_text(text)
print(f"1 job(s) submitted to cluster {job.pid}." if quoted else f"Submitted batch job {job.pid}")
"""
CANCEL = """
import os, signal, sys
for job in sys.argv[1:]:
    os.killpg(int(job.partition(".")[0]), signal.SIGTERM)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """A Python with dask-jobqueue, two classes that are made of it, and Parsl."""
    packages = ("dask-jobqueue>=0.9", "dask-lxplus>=0.3.3", "coffea-casa>=2026.10.14", "parsl>=2026.10")
    return on_top(tmp_path_factory.mktemp("environment"), *packages)


@pytest.fixture
def batch_system(tmp_path, monkeypatch):
    """The folder of the commands, where the jobs leave what was asked for."""
    folder = tmp_path / "bin"
    folder.mkdir()
    commands = {"sbatch": SUBMIT, "condor_submit": SUBMIT, "scancel": CANCEL, "condor_rm": CANCEL}
    for name, text in commands.items():
        (folder / name).write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    yield folder
    for job in numbers(folder):
        with suppress(ProcessLookupError):
            os.killpg(job, signal.SIGKILL)


def numbers(folder):
    return [int(job.name.removeprefix("job-")) for job in folder.glob("job-*")]


def runs(process):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fence(language, word):
    """The example of the pages in which a word is."""
    (found,) = (text for text in re.findall(rf"```{language}\n(.*?)```", PAGES, re.DOTALL) if word in text)
    return found


@pytest.fixture
def rows(tmp_path):
    """The inputs, and the rows of a run in this process."""
    inputs = toy.files(tmp_path / "inputs")
    return inputs, toy.rows(toy.process(toy.run_of(toy.write(tmp_path / "here", inputs))))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("SLURMCluster", ["#SBATCH -p normal", "#SBATCH --mem=4G", "#SBATCH -t 08:00:00"]),
        ("HTCondorCluster", ['+JobFlavour = "workday"', "MY.DaskWorkerDisk = 10000000000"]),
        (
            "CernCluster",
            ['MY.JobFlavour = "workday"', "getenv = true", "MY.DaskWorkerMemory = 3000000000", "universe = vanilla"],
        ),
        ("CoffeaCasaCluster", ["MY.DaskWorkerMemory = 4294967296", "MY.DaskWorkerCores = 1", "universe = docker"]),
    ],
)
def test_jobs_are_submitted_and_do_the_work(tmp_path, monkeypatch, python, rows, batch_system, name, asked):
    inputs, expected = rows
    example = yaml.safe_load(fence("yaml", name))["execution"] | {"workers": 2, "chunk_size": toy.CHUNK_SIZE}
    if "adaptive" in example["cluster"]:
        example["cluster"]["adaptive"]["maximum"] = 2
    options = example["cluster"]["options"]
    options["scheduler_options"] = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    if options.pop("ship_env", False):
        # there is no conda here; the class tells workers this address and port
        monkeypatch.setenv("POD_IP", "127.0.0.1")
        options |= {"ship_env": False, "scheduler_port": free_port(), "log_directory": str(tmp_path)}
    file = toy.write(tmp_path / "there", inputs, execution=example)
    command = [str(python), "-m", "oddjets", "process", str(file), "--out", str(file.parent / "out")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    toy.assert_same_rows(toy.rows(toy.run_of(file)), expected)
    jobs = [job.read_text() for job in batch_system.glob("job-*")]
    assert 1 <= len(jobs) <= 2
    assert all(line in job for line in asked for job in jobs)
    # the cluster has cancelled them
    end = time.monotonic() + 120
    while any(runs(job) for job in numbers(batch_system)):
        assert time.monotonic() < end
        time.sleep(0.1)


def test_parsl_does_the_work(tmp_path, python, rows):
    inputs, expected = rows
    file = toy.write(tmp_path / "there", inputs)
    file.rename(file.with_name("analysis.yaml"))
    script = tmp_path / "there" / "script.py"
    # the stages after this one are the same whoever does the work
    whole, part = "oddjets.Run(analysis).run()", 'oddjets.Run(analysis, output="out").up_to("process")'
    assert whole in fence("python", "parsl")
    script.write_text(fence("python", "parsl").replace(whole, part), encoding="utf-8")
    # as in an environment that is activated: Parsl starts programs of its own
    activated = os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    options = {"cwd": script.parent, "env": activated, "capture_output": True, "text": True, "timeout": 200}
    result = subprocess.run([str(python), script.name], check=False, **options)
    assert result.returncode == 0, result.stderr
    toy.assert_same_rows(toy.rows(toy.run_of(script.with_name("analysis.yaml"))), expected)
