"""The record of a publication in an output folder, for the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["FILE", "read_publication"]

#: in the output folder: where the archive is, its sha256, and of which fit it is
FILE = "published.json"


def read_publication(out: Path) -> dict[str, Any] | None:
    """Return what `oddjets publish` left in an output folder; None where nothing was published, or it cannot be read."""
    try:
        found = json.loads((out / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or not {"archive", "sha256", "fit"} <= found.keys():
        return None
    # it becomes a link: of a folder from elsewhere it may be anything
    return found if isinstance(found["archive"], str) and ":" not in found["archive"] else None
