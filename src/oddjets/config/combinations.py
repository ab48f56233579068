"""Combinations of scores in an analysis: which score is made of which, and in which order they are computed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from oddjets.config.analysis import Analysis
from oddjets.config.selection import Score
from oddjets.core.errors import nearest

__all__ = [
    "b_tags_in",
    "columns_behind",
    "combination_problems",
    "combinations_of",
    "combined_columns",
    "components_of",
    "scores_with_b_tags",
    "without_combinations",
]

#: the taggers of an AK8 jet that find b quarks, as 'selection.taggers' names them
B_TAGGERS = ("btag", "xbb")
#: the name of a branch, a column or a class that stands for b quarks: btagDeepB, particleNetMD_Xbb, X_bb, QCDbb
_OF_B_QUARKS = re.compile(r"btag|bb(?![a-z])|(?<![a-z])bb", re.IGNORECASE)


def combinations_of(scores: Mapping[str, Score]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the combinations among scores: name -> how (``product`` ...) and of which; those that others use come first.

    Args:
        scores: of an analysis, by name. What `combination_problems` finds is left out of the order, not of the result.
    """
    known = {name: found for name, score in scores.items() if (found := score.combined) is not None}
    ordered: dict[str, None] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            return
        for component in known[name][1]:
            if component in known:
                add(component, (*above, name))
        ordered.setdefault(name)

    for name in known:
        add(name, ())
    return {name: known[name] for name in ordered}


def without_combinations(scores: Mapping[str, Score]) -> dict[str, Score]:
    """Return the scores that each jet has of its own, by name."""
    return {name: score for name, score in scores.items() if score.combined is None}


def components_of(scores: Mapping[str, Score], name: str) -> tuple[str, ...]:
    """Return the scores of their own that a score is made of, through all combinations; of one of its own, itself.

    Args:
        scores: of an analysis, by name.
        name: one of them.
    """
    found: dict[str, None] = {}
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        if current in seen or current not in scores:
            continue
        seen.add(current)
        if (combined := scores[current].combined) is None:
            found.setdefault(current)
        else:
            waiting += combined[1]
    return tuple(found)


def combined_columns(scores: Mapping[str, Score]) -> dict[str, str]:
    """Return the columns of combinations, ``score_both_1``, and the score that each is of."""
    return {f"score_{name}_{jet}": name for name in combinations_of(scores) for jet in (1, 2)}


def columns_behind(scores: Mapping[str, Score], columns: Iterable[str]) -> list[str]:
    """Return columns with those of combinations replaced by the columns that they are made of.

    Args:
        scores: of an analysis, by name.
        columns: of its event tables.
    """
    combined = combined_columns(scores)
    found: dict[str, None] = {}
    for column in columns:
        if column not in combined:
            found.setdefault(column)
            continue
        names, jet = [combined[column]], column[-1]
        for name in names:
            _, members = scores[name].combined or ("", ())
            # the list grows while it is read
            names += [member for member in members if scores[member].combined is not None and member not in names]
            found |= {f"score_{member}_{jet}": None for member in members if scores[member].combined is None}
            if (flat := scores[name].flat_in) is not None:
                found |= {f"{quantity}_{jet}": None for quantity in flat.edges}
    return list(found)


def combination_problems(analysis: Analysis) -> Iterator[str]:
    """List what is wrong with the names in combinations: of no score, or of a score that is made of the combination itself.

    Args:
        analysis: its form is right.
    """
    scores = analysis.scores
    circular: set[str] = set()
    for name, (how, members) in combinations_of(scores).items():
        others = [other for other in scores if other != name]
        for i, member in enumerate(members):
            if member == name:
                yield f"scores.{name}.{how}.{i}: is the score itself; name other scores"
            elif member not in scores:
                yield f"scores.{name}.{how}.{i}: no score '{member}'; {nearest(member, others)}".rstrip("; ")
            elif name not in circular and (path := _path(scores, member, name)):
                circular |= {*path}
                yield f"scores.{name}.{how}.{i}: goes in a circle: {' <- '.join((name, *path))}"


def _path(scores: Mapping[str, Score], start: str, target: str) -> tuple[str, ...]:
    """Return the combinations from one to another that it is made of, both included; () if it is not."""
    waiting: list[tuple[str, ...]] = [(start,)]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop(0)
        if path[-1] == target:
            return path
        if path[-1] in seen or path[-1] not in scores:
            continue
        seen.add(path[-1])
        if (combined := scores[path[-1]].combined) is not None:
            waiting += [(*path, member) for member in combined[1]]
    return ()


def b_tags_in(analysis: Analysis, name: str, read: Mapping[str, Iterable[str]] | None = None) -> tuple[str, ...]:
    """Return the components of a score that tag b quarks: a tagger's column or branch, or a group of classes with b quarks.

    Args:
        analysis: its scores and taggers.
        name: of a score.
        read: score to the columns that its model reads, of models of jet columns; without, they are taken for none.
    """
    return tuple(one for one in components_of(analysis.scores, name) if _tags_b(analysis, one, read or {}))


def _tags_b(analysis: Analysis, score_name: str, of_models: Mapping[str, Iterable[str]]) -> bool:
    score, taggers = analysis.scores[score_name], analysis.selection.taggers
    branches = {branch for tagger in B_TAGGERS if (branch := taggers.branch(tagger)) is not None}
    of_model = tuple(of_models.get(score_name, ()))
    read = (*score.signal, *([score.column] if score.column is not None else []), *of_model)
    if any(name in B_TAGGERS or name in branches or bool(_OF_B_QUARKS.search(name)) for name in read):
        return True
    # a model can read the score of another model, which reads a b tag
    inner = {name for column in of_model for name in re.findall(r"\bscore_(\w+)", column)} & {*analysis.scores}
    others = {name: columns for name, columns in of_models.items() if name != score_name}
    return any(_tags_b(analysis, name, others) for name in inner - {score_name})


def scores_with_b_tags(
    analysis: Analysis, read: Mapping[str, Iterable[str]] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the combinations with b tags among their components -> these components; the threshold's score, too.

    Args:
        analysis: its scores and taggers. A b tag by itself couples jets only where it has the threshold.
        read: as for `b_tags_in`.
    """
    asked = [*combinations_of(analysis.scores)]
    if analysis.threshold.score in analysis.scores and analysis.threshold.score not in asked:
        asked.append(analysis.threshold.score)
    return {name: tags for name in asked if (tags := b_tags_in(analysis, name, read))}
