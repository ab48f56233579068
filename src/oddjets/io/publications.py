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
    return found if isinstance(found, dict) and {"archive", "sha256", "fit"} <= found.keys() else None
