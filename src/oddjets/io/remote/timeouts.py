"""Timeouts and encryption of fsspec and XRootD."""

from __future__ import annotations

import importlib
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

from oddjets.core.errors import InputFileError

__all__ = ["discard_handle", "is_unencrypted", "timeout_options"]

_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def timeout_options(url: str, timeout_s: int) -> dict[str, Any]:
    """Return fsspec's options that end a wait for a silent server.

    Args:
        url: says which protocol.
        timeout_s: seconds.
    """
    if url.startswith("root://"):
        _limit_xrootd(timeout_s)
        return {"timeout": timeout_s}
    import aiohttp

    limit = aiohttp.ClientTimeout(total=None, connect=timeout_s, sock_connect=timeout_s, sock_read=timeout_s)
    return {"client_kwargs": {"timeout": limit, "middlewares": (_refuse_unencrypted,)}}


def is_unencrypted(url: str) -> bool:
    """Tell whether a URL is http to another machine: its content could be changed on the way."""
    address = urllib.parse.urlsplit(url)
    return address.scheme == "http" and address.hostname not in _LOCAL_HOSTS


async def _refuse_unencrypted(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
    """Send a request of aiohttp's, or refuse it: a server may redirect to anywhere."""
    if is_unencrypted(str(request.url)):
        raise InputFileError(
            f"{request.url}: the server redirects to http, where the file could be changed during transfer; use a"
            " server with https"
        )
    return await handler(request)


def _limit_xrootd(timeout_s: int) -> None:
    """Set the limits of XrdCl that no request carries; what the user's environment sets (XRD_...) stands."""
    client: Any = importlib.import_module("XRootD.client")
    values = {
        "RequestTimeout": timeout_s,
        "StreamTimeout": timeout_s,
        "ConnectionWindow": timeout_s,
        # by default a server that was away is not asked again for half an hour, and clocks tick every 15 s
        "StreamErrorWindow": 1,
        "TimeoutResolution": 1,
    }
    for name, value in values.items():
        client.EnvPutInt(name, value)


def discard_handle(filesystem: Any, path: str) -> None:
    """Discard the handle of a file that failed, so that it is not used again.

    fsspec-xrootd keeps handles for later readers, and one that has failed fails for ever, even if the server is back.

    Args:
        filesystem: fsspec's, of any protocol.
        path: as it knows the file.
    """
    handles = getattr(filesystem, "_readonly_filehandle_cache", None)
    if handles is not None:
        handles._cache.pop(filesystem.unstrip_protocol(path), None)
