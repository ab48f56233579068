"""Environments of their own, on top of the one that runs the tests: for packages that it does not have, or has otherwise."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

__all__ = ["on_top"]


def on_top(folder: Path, *requirements: str) -> Path:
    """Make an environment with some packages; all that does not conflict with them comes from this one.

    Args:
        folder: of the environment.
        requirements: as pip takes them; the test is skipped where it cannot have them.

    Returns:
        Its Python.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    query = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip())
    # packages of the new environment come first; .pth files of this one are followed too
    here = sysconfig.get_path("purelib")
    (site / "this_environment.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    install = [str(python), "-m", "pip", "install", "--quiet", *requirements]
    result = subprocess.run(install, capture_output=True, text=True, timeout=300, check=False)
    if result.returncode:
        pytest.skip(f"needs {' and '.join(requirements)}, which pip could not install: {result.stderr.strip()[-300:]}")
    return python
