"""Odd names of files and links to them: read as what they are, each event once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.chunks import process
from helpers.toy_nano import toy_nano

from oddjets.core.errors import InputFileError
from oddjets.io import event_table

BRANCHES = {
    "scores": {"xbb": {"signal": ["particleNetMD_Xbb"], "background": ["particleNetMD_QCD"]}},
    "threshold": {"score": "xbb", "value": 0.5},
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_nano(tmp_path_factory.mktemp("toy") / "top.root", 60)


@pytest.fixture(scope="module")
def plain(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return rows(tmp_path_factory.mktemp("plain"), toy)


def rows(folder: Path, file: Path | list[Path]) -> np.ndarray:
    return event_table.read(process(folder, {"top": file}, **BRANCHES).out / "events", "top")["event"]


@pytest.mark.fault("Non-UTF-8 and space in paths", "Reads such files like any other; messages show the bytes escaped.")
@pytest.mark.parametrize("name", [b"a b\tc.root", b"caf\xe9 \xe2\x98\x83.root", b"a:b*?[c].root"])
def test_odd_names_are_read_and_named(toy, plain, tmp_path, name):
    folder = tmp_path / "with space"
    folder.mkdir()
    file = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    file.write_bytes(toy.read_bytes())
    np.testing.assert_array_equal(rows(tmp_path / "run", file), plain)
    file.write_bytes(b"")
    with pytest.raises(InputFileError) as caught:
        rows(tmp_path / "again", file)
    json.dumps(str(caught.value)).encode()
    str(caught.value).encode()


@pytest.mark.fault(
    "Symlinked inputs",
    "Reads the target of the link; a link and its target in one fileset are refused as the same file.",
)
def test_links_are_followed_and_count_once(toy, plain, tmp_path):
    link = tmp_path / "link.root"
    link.symlink_to(toy)
    np.testing.assert_array_equal(rows(tmp_path / "linked", link), plain)
    with pytest.raises(InputFileError, match="the same file as"):
        rows(tmp_path / "both", [toy, link])
    broken = tmp_path / "broken.root"
    broken.symlink_to(tmp_path / "gone.root")
    with pytest.raises(InputFileError, match=r"broken\.root: no such file"):
        rows(tmp_path / "dangling", broken)
