"""Downloads by HTTPS, with checksums and resumption."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from oddjets import __version__
from oddjets.core.errors import OddjetsError
from oddjets.core.files import sha256_of

__all__ = ["FetchError", "download"]

_BLOCK = 1 << 18
_TIMEOUT_S = 30.0


class FetchError(OddjetsError):
    """A download that failed or is not what it should be."""


def download(url: str, target: Path, sha256: str | None) -> None:
    """Download a file; it appears under its name only when it is whole and its sha256 is right.

    Args:
        url: https; plain http only on this machine.
        target: where to; its folder is made. What arrived of an interrupted download is beside it, in ``NAME.part``,
            and is gone on with.
        sha256: what the content must have; None: nobody knows, and what arrived whole is taken.

    Raises:
        FetchError: the server can't be reached or breaks off (what arrived is kept), or the checksum is wrong (nothing
            is kept).
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
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to send, so what is there is whole or wrong
            raise FetchError(f"{url}: the server says {error.code} {error.reason}") from None
        missing = 0
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        raise FetchError(f"{url}: {reason}; {_resume_advice(part)}") from None
    if missing:
        raise FetchError(f"{url}: the connection broke off; {_resume_advice(part)}")
    if sha256 is not None and (found := sha256_of(part)) != sha256:
        part.unlink()
        raise FetchError(
            f"{url}: sha256 is {found}, expected {sha256}; the download is deleted. If the publisher has a new version,"
            " compare it and put its sha256 into the era's YAML"
        )
    part.replace(target)


def _resume_advice(part: Path) -> str:
    kept = part.stat().st_size if part.is_file() else 0
    return f"{kept} bytes are kept, and the same command continues from there" if kept else "nothing was received"
