"""Archives: the same bytes for the same files, and nothing from outside leads out of them."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from oddjets.core import archives
from oddjets.core.archives import archive_bytes, read_archive, write_archive
from oddjets.core.errors import InputFileError

FILES = {"b.json": b"{}", "a.yaml": b"x: 1\n" * 1000}


def packed(*entries: tarfile.TarInfo, content: bytes = b"x") -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for entry in entries:
            entry.size = len(content) if entry.isfile() else 0
            archive.addfile(entry, io.BytesIO(content) if entry.isfile() else None)
    return stream.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_archive(tmp_path / "a.tar.gz", FILES)
    assert read_archive(tmp_path / "a.tar.gz") == FILES


def test_bytes_depend_on_the_files_alone() -> None:
    assert archive_bytes(FILES) == archive_bytes(dict(reversed(FILES.items())))
    # of RFC 1952: no time, and no name of a file
    assert archive_bytes(FILES)[4:8] == b"\0\0\0\0"
    assert not archive_bytes(FILES)[3] & 8


def test_no_user_and_no_date_are_in_it() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive_bytes(FILES))) as archive:
        assert {(e.uid, e.gid, e.uname, e.gname, e.mtime, e.mode) for e in archive} == {(0, 0, "", "", 0, 0o644)}


def test_a_folder_packed_by_hand_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(packed(entry(".", tarfile.DIRTYPE), entry("./x.json")))
    assert read_archive(tmp_path / "a.tar.gz") == {"x.json": b"x"}


@pytest.mark.fault("Archive with paths that lead out of it", "Refuses it and names the path; nothing is unpacked.")
@pytest.mark.parametrize(
    "bad",
    [
        entry("../../outside.json"),
        entry("/etc/outside.json"),
        entry("folder/inside.json"),
        entry("..\\outside.json"),
        entry("link.json", tarfile.SYMTYPE, "/etc/passwd"),
        entry("link.json", tarfile.LNKTYPE, "good.json"),
        entry("pipe", tarfile.FIFOTYPE),
        entry("good.json"),
    ],
    ids=["up", "absolute", "folder", "backslash", "symlink", "hardlink", "pipe", "twice"],
)
def test_an_archive_that_leads_elsewhere_is_refused(bad: tarfile.TarInfo, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "a.tar.gz").write_bytes(packed(entry("good.json"), bad))
    with pytest.raises(InputFileError, match="such an archive is not read") as error:
        read_archive(inside / "a.tar.gz")
    assert bad.name in str(error.value)
    assert [file.name for file in tmp_path.rglob("*")] == ["inside", "a.tar.gz"]


@pytest.mark.fault("Archive that ends early", "Says so; nothing of it is used.")
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_an_archive_that_ends_early_is_refused(part: float, tmp_path: Path) -> None:
    whole = archive_bytes({"a": bytes(range(256)) * 40, "b": b"second"})
    (tmp_path / "a.tar.gz").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputFileError, match="cannot be read as an archive"):
        read_archive(tmp_path / "a.tar.gz")


@pytest.mark.parametrize("content", [b"no archive", gzip.compress(b"no archive", mtime=0)])
def test_something_else_is_no_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(InputFileError, match="cannot be read as an archive"):
        read_archive(tmp_path / "a.tar.gz")


def test_a_small_archive_of_a_large_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST", 1000)
    (tmp_path / "a.tar.gz").write_bytes(archive_bytes({"zeros": bytes(2000)}))
    with pytest.raises(InputFileError, match="when unpacked"):
        read_archive(tmp_path / "a.tar.gz")
