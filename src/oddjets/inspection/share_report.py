"""Mean shares of class groups, as JSON can hold them and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from oddjets.core.tables import text_table
from oddjets.inspection.share_profiles import ShareMeans

__all__ = ["CAVEAT", "share_content", "share_text"]

CAVEAT = (
    "A description, not a proof: shares are what the model takes the jets for, and it knows no classes but its own."
)
_JET = {1: "leading", 2: "subleading"}


def share_content(
    means: Sequence[ShareMeans],
    *,
    sample: str,
    letter: str,
    score: str,
    model: str,
    edges: Sequence[float],
    signal: Sequence[str],
) -> dict[str, Any]:
    """Return what is written of a sample.

    Args:
        means: of all samples, selections and jets.
        sample: the name of the window's own sample.
        letter: of the window.
        score: the score's name.
        model: the name of its model.
        edges: of the bins of the mass, GeV.
        signal: the class groups of the score's numerator.
    """
    return {
        "caveat": CAVEAT,
        "score": score,
        "model": model,
        "sample": sample,
        "letter": letter,
        "edges": [float(edge) for edge in edges],
        "classes": list(means[0].means) if means else [],
        "signal": list(signal),
        "means": [asdict(found) for found in means],
    }


def share_text(content: Mapping[str, Any], words: str) -> str:
    """Return a table: a row for each sample, selection and jet, a column for each class group, in percent.

    Args:
        content: from `share_content`.
        words: the window in words.
    """
    head = ["sample", "events", "jets", "number", *content["classes"]]
    rows = [
        [
            found["sample"],
            found["selection"],
            _JET[found["jet"]],
            found["events"],
            *(_percent(found["means"][name]) for name in content["classes"]),
        ]
        for found in content["means"]
    ]
    title = f"Mean shares of the class groups of {content['model']} in percent, {words}"
    if not rows:
        return f"{title}: no events\n"
    return f"{title}\n{content['caveat']}\n\n{text_table(head, rows)}\n"


def _percent(found: Sequence[float] | None) -> str:
    return "-" if found is None else f"{100 * found[0]:.1f} +- {100 * found[1]:.1f}"
