"""Content keys, package versions and manifests: the provenance of a result.

A stage's key is the sha256 of everything it depends on: the values of the configuration that it uses, the code that
computes (`code_digests`), the files it reads, the versions of the packages that compute. Equal keys mean equal results.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oddjets import __version__
from oddjets.core.files import write_json
from oddjets.core.redaction import redacted

__all__ = [
    "Manifest",
    "content_key",
    "digests",
    "is_consistent",
    "lost_files",
    "read_failure",
    "read_manifest",
    "read_start",
    "remove_manifest",
    "upstream_state",
    "versions",
    "write_failure",
    "write_manifest",
    "write_start",
]

#: the packages whose versions can change a number
PACKAGES = (
    "awkward",
    "coffea",
    "correctionlib",
    "fastjet",
    "hist",
    "numpy",
    "onnxruntime",
    "onnxruntime-gpu",
    "pyarrow",
    "pyhf",
    "pythia8mc",
    "scipy",
    "uproot",
)

Manifest = dict[str, Any]


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of oddjets, Python and the packages that compute; absent ones are left out."""
    found = {"oddjets": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def content_key(parts: Any) -> str:
    """Return the sha256 of a JSON-able structure, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def digests(content: Any, depth: int = 2) -> dict[str, str]:
    """Return a short digest of every place in a structure, to find later what has changed.

    Args:
        content: JSON-able; mappings are entered.
        depth: how deep.
    """
    if not isinstance(content, Mapping) or depth == 0:
        return {"": content_key(content)[:8]}
    found: dict[str, str] = {}
    for name, inner in content.items():
        found |= {f"{name}.{place}".rstrip("."): short for place, short in digests(inner, depth - 1).items()}
    return found


def read_manifest(out: Path, stage: str) -> Manifest | None:
    """Return a stage's manifest, None where there is none or it is broken (the stage then runs again)."""
    try:
        content = json.loads((out / "manifests" / f"{stage}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def lost_files(processed: Mapping[str, Any] | None) -> list[str]:
    """Return the files that were left out.

    Args:
        processed: what the stage `process` left in its manifest.
    """
    ledger = (processed or {}).get("ledger") or {}
    return sorted(file["file"] for found in ledger.values() for file in found["files"])


def upstream_state(manifest: Manifest | None) -> list[Any]:
    """Return what a stage depends on of an earlier one: its key, and the files that it left out."""
    lost = lost_files(manifest["extra"]) if manifest else None
    return [manifest["key"] if manifest else None, *([lost] if lost else [])]


def is_consistent(out: Path, stage: str, upstream: str, config: Mapping[str, Any]) -> bool:
    """Tell whether a stage ran with these values and with the current results of an earlier stage.

    Args:
        out: the output folder.
        stage: which.
        upstream: a stage that it reads.
        config: values of the configuration that it uses, as they are now.

    Returns:
        Also False where nothing says it.
    """
    depends = (read_manifest(out, stage) or {}).get("depends") or {}
    read = digests({upstream: upstream_state(read_manifest(out, upstream))}, 1)
    return all(
        now.items() <= dict(depends.get(kind) or {}).items()
        for kind, now in (("upstream", read), ("config", digests(config)))
    )


def remove_manifest(out: Path, stage: str) -> None:
    """Remove a stage's manifest, and what it said when it began and when it failed."""
    for suffix in ("json", "failed", "started"):
        (out / "manifests" / f"{stage}.{suffix}").unlink(missing_ok=True)


def write_start(out: Path, stage: str) -> None:
    """Say that a stage begins; what it leaves at its end, of success or failure, takes the place of this.

    Raises:
        OSError: it cannot be written.
    """
    (out / "manifests").mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    (out / "manifests" / f"{stage}.started").write_text(now, encoding="utf-8")


def read_start(out: Path, stage: str) -> str | None:
    """Return when a stage began that has not ended, ISO 8601: it is at work, or was killed. None where it ended."""
    try:
        return (out / "manifests" / f"{stage}.started").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def write_failure(out: Path, stage: str, message: str) -> None:
    """Say why a stage has no manifest, where that can be written."""
    with suppress(OSError):
        (out / "manifests").mkdir(parents=True, exist_ok=True)
        (out / "manifests" / f"{stage}.failed").write_text(message, encoding="utf-8")
    _remove_start(out, stage)


def read_failure(out: Path, stage: str) -> str | None:
    """Return why a stage failed when it last ran; None where it did not."""
    try:
        return (out / "manifests" / f"{stage}.failed").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def write_manifest(out: Path, stage: str, content: Mapping[str, Any]) -> None:
    """Write a stage's manifest, last of all that the stage writes: it says that the rest is whole.

    Secrets in URLs are hidden.
    """
    (out / "manifests").mkdir(parents=True, exist_ok=True)
    write_json(out / "manifests" / f"{stage}.json", json.loads(redacted(json.dumps(content))))
    _remove_start(out, stage)


def _remove_start(out: Path, stage: str) -> None:
    with suppress(OSError):
        (out / "manifests" / f"{stage}.started").unlink(missing_ok=True)
