"""Removal of secrets from URLs before these are printed or saved."""

from __future__ import annotations

import re

__all__ = ["redacted", "without_folders"]

_HIDDEN = "***"
_SCHEME = r"\b[a-zA-Z][a-zA-Z0-9+.-]*://"
_USER = re.compile(rf"({_SCHEME})[^/?#\s\"'<>]*@")
#: up to what ends a URL in running text or in JSON; punctuation before that is the text's
_QUERY = re.compile(rf"({_SCHEME}[^?#\s\"'<>]*\?)([^\s\"'<>]*?)(?=[:;,.)\]}}]*(?:[\s\"'<>]|$))")
_BEARER = re.compile(r"\b(bearer(?:\s|%20|\+)+)[^\s&\"'<>]+", re.IGNORECASE)

#: absolute paths, also of a home folder: two names or more, at no URL's and no word's end
_FOLDERS = re.compile(r"(?:\bfile://(?:localhost)?|(?<![\w:/.$\\}]))(?:~[\w.-]*|(?=/))(?:/[\w.+@=%-]+)+/(?=[\w.+@=%-])")


def redacted(text: str) -> str:
    """Hide user names, passwords and the values of query parameters (tokens such as ``authz``) of all URLs in a text.

    Args:
        text: a URL, a path or a message; a local path comes back unchanged, but for bytes of its name that are no UTF-8:
            they are escaped, since nothing could print them.
    """
    if "://" in text:
        text = _QUERY.sub(_hide_values, _USER.sub(rf"\1{_HIDDEN}@", text))
    return _BEARER.sub(rf"\1{_HIDDEN}", text).encode("utf-8", "backslashreplace").decode("utf-8")


def _hide_values(found: re.Match[str]) -> str:
    address, query = found.groups()
    parts = [part.partition("=") for part in query.split("&") if part]
    # without a value it may be the token itself, padded
    return address + "&".join(f"{key}={_HIDDEN}" if value.strip("=") else _HIDDEN for key, _, value in parts)


def without_folders(text: str) -> str:
    """Return a text in which absolute paths have lost their folders, which are of one machine and may name its user.

    Args:
        text: ``/home/me/search/data.json`` becomes ``data.json``, and so does ``~/search/data.json``; URLs and relative paths
            stay.
    """
    return _FOLDERS.sub("", text)
