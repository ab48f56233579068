"""The function `load`: an analysis by its file or name, validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oddjets.config.analysis import Analysis, find_analysis, load_analysis
from oddjets.workflow.validation import resolve

__all__ = ["load"]


def load(source: str | Path, changes: Mapping[str, Any] | None = None) -> Analysis:
    """Read an analysis and check all that it names, as `oddjets validate` does.

    Args:
        source: its YAML; one that the package carries may be named without its folder, as ``demo_small.yaml``.
        changes: keys that are laid over the YAML's, as those of a file that ``extends`` it: mappings are merged, None removes
            a key, everything else replaces.

    Returns:
        The analysis, frozen.

    Raises:
        OddjetsError: no such analysis, or mistakes in it: all of them at once, each with its place and the nearest valid name.

    Examples:
        >>> import oddjets
        >>> analysis = oddjets.load("demo_small.yaml", {"threshold": {"efficiency": 0.2}})
        >>> analysis.threshold.efficiency
        0.2
        >>> list(analysis.regions)
        ['SR', 'VR1', 'SR1', 'SR2']
    """
    analysis = load_analysis(find_analysis(source), changes)
    resolve(analysis)
    return analysis
