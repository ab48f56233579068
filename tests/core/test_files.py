"""Files appear whole or not at all."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from oddjets.core.files import atomic_write, sha256_of, write_json


def names(folder):
    return [path.name for path in folder.iterdir()]


def test_nobody_sees_a_file_that_is_being_written(tmp_path):
    with atomic_write(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
        assert re.fullmatch(r"\.a\.json\.\d+\.[0-9a-f]{8}", *names(tmp_path))
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("before", [None, "old"])
def test_a_failure_leaves_what_was_there(tmp_path, before):
    file = tmp_path / "a.txt"
    if before is not None:
        file.write_text(before)
    with pytest.raises(IsADirectoryError), atomic_write(file) as temporary:  # noqa: PT012
        temporary.write_text("half")
        tmp_path.read_text()
    assert [path.read_text() for path in tmp_path.iterdir()] == [before] * (before is not None)


def test_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    file = tmp_path / "a.json"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: write_json(file, [i] * 1000), range(40)))
    content = json.loads(file.read_text())
    assert content == [content[0]] * 1000
    assert names(tmp_path) == ["a.json"]


def test_a_checksum_is_that_of_the_content(tmp_path):
    content = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()
