"""One run at a time on a folder."""

import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from oddjets.core.errors import OddjetsError
from oddjets.core.locks import LockedError, lock_holder, locked

#: holds a lock until it is killed
HOLD = """
import sys, time
from pathlib import Path
from oddjets.core.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_and_does_not_disturb_the_first(tmp_path):
    with locked(tmp_path):
        for _ in range(2):
            with (
                pytest.raises(LockedError, match=rf"another run works here \(process {os.getpid()} on "),
                locked(tmp_path),
            ):
                raise AssertionError("two runs in one folder")
        assert f"process {os.getpid()} on " in (lock_holder(tmp_path) or "")
    assert lock_holder(tmp_path) is None
    with locked(tmp_path):
        pass


def test_the_lock_ends_with_a_process_that_is_killed(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert f"process {process.pid} on " in (lock_holder(tmp_path) or "")
        process.kill()
        process.wait()
    assert lock_holder(tmp_path) is None
    with locked(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["process"] == os.getpid()


def test_asking_makes_no_file_and_keeps_nobody_off(tmp_path):
    assert lock_holder(tmp_path) is None
    assert not any(tmp_path.iterdir())
    (tmp_path / ".lock").touch()
    with (tmp_path / ".lock").open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        assert lock_holder(tmp_path) is None


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch, capfd, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        assert lock_holder(tmp_path) is None
    assert "has no locks" in capfd.readouterr().err


def test_a_folder_that_cannot_be_made_or_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for out, said in (
        ("file", "is a file, and results need a folder"),
        ("file/below", r"nothing can be written there \("),
    ):
        with pytest.raises(OddjetsError, match=f"{tmp_path / out}: {said}"), locked(tmp_path / out):
            pass

    def refusing(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("oddjets.core.locks.FileLock", refusing)
    with pytest.raises(OddjetsError, match=r"nothing can be written there \(Permission denied\)"), locked(tmp_path):
        pass
