"""Downloads by HTTPS, with checksums and resumption."""

from __future__ import annotations

import errno
import http.client
import urllib.error
import urllib.parse
import urllib.request
from email.message import Message
from pathlib import Path

from oddjets import __version__
from oddjets.core.errors import OddjetsError
from oddjets.core.files import sha256_of

__all__ = ["FetchError", "download"]

_BLOCK = 1 << 18
_TIMEOUT_S = 30.0
#: the disk is full, or the quota is used up
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class FetchError(OddjetsError):
    """A download that failed or is not what it should be."""


def download(url: str, target: Path, sha256: str | None, begins: bytes = b"") -> None:
    """Download a file; it appears under its name only when it is whole and its sha256 is right.

    Args:
        url: https; plain http only on this machine.
        target: where to; its folder is made. What arrived of an interrupted download is beside it, in ``NAME.part``,
            and is gone on with.
        sha256: what the content must have; None: nobody knows, and what arrived whole is taken.
        begins: what the content must begin with; servers send pages in the place of files.

    Raises:
        FetchError: the server can't be reached or breaks off, or the disk is full (what arrived is kept), or the content, its
            size or its checksum is wrong (nothing is kept).
    """
    address = urllib.parse.urlsplit(url)
    if address.scheme != "https" and not (address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost")):
        raise FetchError(f"{url}: official files are downloaded by https only")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"oddjets/{__version__}"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            # 206: the rest; 200: a server that knows no ranges sends all of it again
            with part.open("ab" if answer.status == 206 else "wb") as stream:
                while block := answer.read(_BLOCK):
                    stream.write(block)
            missing = answer.length or 0
            total = _total(answer.headers) if answer.status == 206 else None
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to send, so what is there is whole or wrong
            raise FetchError(f"{url}: the server says {error.code} {error.reason}") from None
        missing, total = 0, _total(error.headers)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise FetchError(f"{part}: {error.strerror}; {_resume_advice(part)}") from None
        reason = getattr(error, "reason", None) or error
        raise FetchError(f"{url}: {reason}; {_resume_advice(part)}") from None
    if missing:
        raise FetchError(f"{url}: the connection broke off; {_resume_advice(part)}")
    size = part.stat().st_size
    with part.open("rb") as stream:
        begin = stream.read(len(begins))
    if begin != begins:
        part.unlink()
        what = "a page of a website" if begin.lstrip()[:1] == b"<" else f"something that begins with {begin!r}"
        raise FetchError(
            f"{url}: the server sent {what} and not the file; the download is deleted. Is the link still right?"
        )
    if total is not None and size != total:
        part.unlink()
        raise FetchError(
            f"{url}: {size} bytes arrived, and the file has {total}: it was another version when the download began; the"
            " download is deleted, and the same command begins anew"
        )
    if sha256 is not None and (found := sha256_of(part)) != sha256:
        part.unlink()
        raise FetchError(
            f"{url}: sha256 is {found}, expected {sha256}; the download is deleted. If the publisher has a new version,"
            " compare it and put its sha256 into the YAML that lists the file"
        )
    part.replace(target)


def _total(headers: Message) -> int | None:
    """Return the size of the whole file that an answer about a part of it states; None: it states none."""
    stated = str(headers.get("Content-Range", "")).rpartition("/")[2]
    return int(stated) if stated.isdecimal() else None


def _resume_advice(part: Path) -> str:
    kept = part.stat().st_size if part.is_file() else 0
    return f"{kept} bytes are kept, and the same command continues from there" if kept else "nothing was received"
