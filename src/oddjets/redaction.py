"""Secrets in URLs: what is printed or saved shows where a file is, not who may read it."""

from __future__ import annotations

import re

__all__ = ["redacted"]

_HIDDEN = "***"
#: scheme, user and password, then the rest up to a character that ends a URL in running text or in JSON
_USER = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)[^/?#\s\"'<>]*@")
_QUERY = re.compile(r"(?P<address>\b[a-zA-Z][a-zA-Z0-9+.-]*://[^?#\s\"'<>]*\?)(?P<query>[^\s\"'<>]*)")
_VALUE = re.compile(r"=[^&;#]*")


def redacted(text: str) -> str:
    """Hide user names, passwords and the values of query parameters (tokens such as ``authz``) of all URLs in a text.

    Args:
        text: a URL, a path or a message; a local path comes back unchanged.
    """
    if "://" not in text:
        return text
    return _QUERY.sub(_without_values, _USER.sub(rf"\g<scheme>{_HIDDEN}@", text))


def _without_values(found: re.Match[str]) -> str:
    query, _, after = found["query"].partition(":")
    if "=" not in query:
        # a bare token, or nothing
        return found["address"] + (_HIDDEN if query else "") + (f":{after}" if after else "")
    return found["address"] + _VALUE.sub(f"={_HIDDEN}", query) + (f":{after}" if found["query"].endswith(":") else "")
