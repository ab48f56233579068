"""Ctrl-C and the SIGTERM of batch systems: workers gone, the lock released, what is done kept."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest
from helpers import toy_analysis as toy

from oddjets.core import locks
from oddjets.core.provenance import read_manifest
from oddjets.workflow.status import stage_statuses


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return toy.files(tmp_path_factory.mktemp("inputs"))


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def started(*command):
    """A process, which is killed at the end whatever happens."""

    def listen() -> None:
        # a job in the background of a shell ignores Ctrl-C, and so would its children
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, preexec_fn=listen) as process:
        try:
            yield process
        finally:
            process.kill()


def gone(processes):
    return not [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.fault(
    "Run stopped by the batch system (SIGTERM) or by Ctrl-C",
    "Ends at once with exit code 143 or 130; all workers end, the folder is unlocked, finished chunks are kept.",
)
@pytest.mark.parametrize(
    ("executor", "number"),
    [
        ("iterative", signal.SIGTERM),
        pytest.param("iterative", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("futures", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("futures", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("dask", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_run_that_is_stopped_leaves_nobody_behind_and_goes_on_from_there(inputs, tmp_path, executor, number):
    if executor == "dask":
        pytest.importorskip("distributed", reason="needs dask: pip install 'oddjets[dask]'")
    file = toy.write(tmp_path, inputs, **toy.misbehaving(tmp_path))
    (tmp_path / "hang-40").touch()
    out = tmp_path / "out"
    command = ["-m", "oddjets", "process", str(file), "--out", str(out), "--executor", executor, "--workers", "2"]
    with started(*command) as run:
        until(lambda: (tmp_path / "hanging").exists() or run.poll() is not None)
        # the other worker has done what it can
        until(lambda: len(toy.records(toy.run_of(file))) >= 2)
        family = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(number)
        _, said = run.communicate(timeout=120)
    assert run.returncode == 128 + number, said
    assert f"stopped ({number.name}); finished work is kept" in said
    assert "Traceback" not in said
    assert "distributed" not in said
    until(lambda: gone(family))
    assert locks.lock_holder(out) is None
    before = len(toy.records(toy.run_of(file)))
    (tmp_path / "hang-40").unlink()
    again = toy.process(toy.run_of(file))
    assert read_manifest(again.out, "process")["extra"]["chunks"]["kept"] == before
    assert stage_statuses(again)[0].state == "done"


#: work that takes long, in two more processes
SLEEPING = """
import time
from oddjets.core.interrupts import interruptible
from oddjets.core.worker_pool import run_tasks
with interruptible():
    list(run_tasks([600, 600], time.sleep, 2, "sleep"))
"""


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_processes_that_simulate_or_skim_end_with_their_parent(number):
    with started("-c", SLEEPING) as parent:
        of_python = psutil.Process(parent.pid)
        # one more is Python's own, which looks after shared memory
        until(lambda: len(of_python.children()) == 3 or parent.poll() is not None)
        workers = of_python.children()
        time.sleep(1)
        parent.send_signal(number)
        parent.communicate(timeout=120)
    until(lambda: gone(workers))
