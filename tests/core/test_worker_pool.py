"""Worker processes of a script that starts itself again."""

import multiprocessing
import os
import subprocess
import sys

import pytest

from oddjets.core import worker_pool
from oddjets.core.errors import OddjetsError

#: work under a lock, file by file on two processes, as a run does it
SCRIPT = """
import sys
from pathlib import Path
from oddjets.core.locks import locked
from oddjets.core.worker_pool import run_tasks

def work():
    with locked(Path(sys.argv[1])):
        print(sorted(run_tasks([3, 4], abs, 2, "test")))
"""


def run(folder, text):
    file = folder / "script.py"
    file.write_text(SCRIPT + text)
    command = [sys.executable, str(file), str(folder / "out")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_script_without_a_guard_is_told_so(tmp_path):
    done = run(tmp_path, "work()\n")
    assert done.returncode == 1
    assert (
        "this worker process imports the script that started it: what the script runs must stand under" in done.stderr
    )
    assert f"test: worker processes could not start: each imports {tmp_path / 'script.py'} again" in done.stderr
    assert "another run works here" not in done.stderr


def test_a_script_with_a_guard_works(tmp_path):
    done = run(tmp_path, 'if __name__ == "__main__":\n    work()\n')
    assert (done.returncode, done.stdout) == (0, "[3, 4]\n"), done.stderr


def test_cores_are_those_that_the_process_may_use(monkeypatch):
    assert 1 <= worker_pool.available_cores() <= os.cpu_count()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 7}, raising=False)
    assert worker_pool.available_cores() == 3
    # as on macOS
    monkeypatch.delattr(os, "sched_getaffinity")
    assert worker_pool.available_cores() == os.cpu_count()


@pytest.mark.fault(
    "No locks between processes (`/dev/shm` cannot be written)",
    "Ends with exit code 2 and says how to work in one process; figures are drawn one after the other.",
)
@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), ImportError("This platform lacks a functioning sem_open")]
)
def test_where_no_process_can_be_started_it_is_said_what_to_do(monkeypatch, error):
    def refuse():
        raise error

    monkeypatch.setattr(multiprocessing.get_context("spawn"), "Lock", refuse)
    said = r"refuses locks between them \((Permission denied|This platform .*)\): make /dev/shm writable.*iterative"
    with pytest.raises(OddjetsError, match=said):
        list(worker_pool.run_tasks([3, 4], abs, 2, "test"))
    assert list(worker_pool.run_tasks([3, 4], abs, 1, "test")) == [3, 4]
