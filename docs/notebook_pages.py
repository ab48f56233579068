"""The notebooks of the documentation: executed in an empty folder each, and shown as pages with what they printed and drew.

They are kept without outputs. `python docs/notebook_pages.py` executes them into `output/notebooks`, where what is executed
stays until it, the package, or the version of a package that computes changes: the tests and `make docs` share it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

__all__ = ["NOTEBOOKS", "executed", "page_of"]

DOCS = Path(__file__).resolve().parent
REPOSITORY = DOCS.parent
#: the notebooks, in the order in which they are read
NOTEBOOKS = ("tour", "own_selection", "fast_fit", "coffea")
#: seconds that a cell may take, on a busy machine
SLOWEST_CELL = 900
#: lives as long as the notebook
_WIDGET = "application/vnd.jupyter.widget-view+json"
#: what an output is shown as, the best first
_SHOWN = ("text/html", "image/png", "text/plain")


def source_of(name: str) -> Path:
    """Return the file of a notebook."""
    return DOCS / "notebooks" / f"{name}.ipynb"


@functools.cache
def _package_digest() -> str:
    from oddjets.core.provenance import versions

    digest = hashlib.sha256(repr(sorted(versions().items())).encode())
    for folder in ("src/oddjets", "processors", "models", "corrections"):
        for file in sorted((REPOSITORY / folder).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest.update(str(file.relative_to(REPOSITORY)).encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def executed(name: str) -> Any:
    """Return a notebook with its outputs, executed now unless nothing that it depends on has changed since it was.

    Args:
        name: of `NOTEBOOKS`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the message has its traceback.
    """
    key = hashlib.sha256(source_of(name).read_bytes() + _package_digest().encode()).hexdigest()[:16]
    kept = REPOSITORY / "output" / "notebooks" / f"{name}.{key}.ipynb"
    if kept.is_file():
        return nbformat.read(kept, as_version=4)
    notebook = _execute(name)
    kept.parent.mkdir(parents=True, exist_ok=True)
    for old in kept.parent.glob(f"{name}.*.ipynb"):
        old.unlink()
    with tempfile.NamedTemporaryFile("w", dir=kept.parent, delete=False, encoding="utf-8") as file:
        file.write(nbformat.writes(notebook))
    Path(file.name).replace(kept)
    return notebook


def _execute(name: str) -> Any:
    from nbclient import NotebookClient

    notebook = nbformat.read(source_of(name), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        here, settings = Path(folder) / "work", Path(folder) / "settings"
        here.mkdir()
        sources = os.pathsep.join([str(REPOSITORY / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
        # nobody's own start-up files, and no history written
        environment = {**os.environ, "PYTHONPATH": sources, "IPYTHONDIR": str(settings), "JUPYTER_PLATFORM_DIRS": "1"}
        client = NotebookClient(
            notebook,
            timeout=SLOWEST_CELL,
            kernel_name="python3",
            resources={"metadata": {"path": str(here)}},
        )
        client.execute(env=environment)
        text = nbformat.writes(notebook).replace(str(here), "/home/me")
    return nbformat.reads(text, as_version=4)


# ---- as a page -------------------------------------------------------------------------------------------------------


def page_of(name: str, notebook: Any) -> str:
    """Return an executed notebook as Markdown.

    Args:
        name: of the notebook, which the page links to.
        notebook: with its outputs.
    """
    parts = []
    for cell in notebook.cells:
        shown = "" if cell.cell_type == "markdown" else "\n".join(_outputs(cell))
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
        parts += [f'<div class="notebook-output">\n{shown}\n</div>'] if shown else []
    title, rest = parts[0].partition("\n")[::2]
    note = f"This page is a notebook, executed as it stands: [{name}.ipynb]({name}.ipynb)."
    return "\n\n".join([title, note, rest.strip(), *parts[1:]]) + "\n"


def _outputs(cell: Any) -> Iterator[str]:
    """What a cell printed and drew, as HTML; lines that were printed one after the other stand together."""
    printed = ""
    for output in [*cell.outputs, None]:
        if output is not None and output.output_type == "stream":
            printed += output.text
            continue
        if printed:
            yield f"<pre>{html.escape(_plain(printed))}</pre>"
            printed = ""
        data = {} if output is None else output.get("data", {})
        if _WIDGET in data:  # as coffea's bars are: nothing on a page
            continue
        best = next((kind for kind in _SHOWN if kind in data), None)
        if best == "text/html":
            yield f"<div>{_plain(data[best])}</div>"
        elif best == "image/png":
            # as bytes again, so that nothing but a picture gets into the page
            picture = base64.b64encode(base64.b64decode(data[best])).decode()
            yield f'<img alt="drawn by the cell above" src="data:image/png;base64,{picture}">'
        elif best:
            yield f"<pre>{html.escape(_plain(data[best]))}</pre>"


def _plain(text: str) -> str:
    """Text without blank lines, which would end a block of HTML in Markdown."""
    return re.sub(r"\n\s*\n", "\n", text.strip())


if __name__ == "__main__":
    for each in sys.argv[1:] or NOTEBOOKS:
        executed(each)
