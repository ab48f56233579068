"""Figures whose pictures are one pixel: drawing is tested elsewhere and takes long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: the smallest PNG
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010800000000"
    "3a7e9b550000000a4944415478da63f80f00010101001ab06af80000000049454e44ae426082"
)


def write_pixels(folder: Path, figures: list[tuple[Any, dict[str, Any]]], **_: Any) -> list[list[Path]]:
    """Write the data of figures as ever, and a pixel as the picture: drawing takes long."""
    folder.mkdir(exist_ok=True)
    made = []
    for kind, data in figures:
        suffixes = ["json", "png", "pdf", *(["gif"] if kind.animate is not None else [])]
        made.append([folder / f"{data['name']}.{suffix}" for suffix in suffixes])
        for file in made[-1]:
            file.write_bytes(PIXEL if file.suffix == ".png" else b"")
        made[-1][0].write_text(json.dumps(data, indent=1, allow_nan=False) + "\n")
    return made
