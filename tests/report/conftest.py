"""A made-up output directory for the tests of the figures."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import synthetic

from oddjets.config.analysis import Analysis
from oddjets.report.registry import FigureKind

#: the smallest PNG, one white pixel: drawing is tested elsewhere and takes long
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsGr4dAAAAABJRU5ErkJggg==")


def _pixels(folder: Path, figures: list[tuple[FigureKind, dict[str, Any]]], **_: Any) -> list[list[Path]]:
    folder.mkdir(exist_ok=True)
    made = []
    for kind, data in figures:
        suffixes = ["json", "png", "pdf", *(["gif"] if kind.animate is not None else [])]
        made.append([folder / f"{data['name']}.{suffix}" for suffix in suffixes])
        for file in made[-1]:
            file.write_bytes(PIXEL if file.suffix == ".png" else b"{}")
    return made


@pytest.fixture(scope="module")
def quick_pictures() -> Iterator[None]:
    """Reports with one-pixel figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("oddjets.report.html.write_figures", _pixels)
        yield


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Analysis, Path]:
    """An analysis and a directory in which every stage has run; not to be changed."""
    out = tmp_path_factory.mktemp("finished")
    asked = synthetic.analysis()
    synthetic.fabricate(out, asked)
    return asked, out
