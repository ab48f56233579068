"""All errors of form of a YAML at once, also those that pydantic finds only when others are mended.

What is wrong is mended in a copy, as far as that can be: an unknown key gets the name that it is near to, a value that
cannot be is left out. The rest is then checked as if the user had done it.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from oddjets.config.yaml import describe_error, keys_at, merge_mappings, place_in, told

__all__ = ["Checked", "check_form"]

M = TypeVar("M", bound=BaseModel)
Place = tuple[int | str, ...]

#: more rounds would mend what mending did
_ROUNDS = 10


@dataclass(frozen=True)
class Checked(Generic[M]):
    """The result of checking a form.

    Attributes:
        lines: the errors, each with its place.
        model: the content without what is wrong; None if too little is left.
        left_out: the places that are not in it.
        renamed: place of an unknown key, as ``model`` has it -> as it is written.
    """

    lines: tuple[str, ...]
    model: M | None
    left_out: tuple[str, ...]
    renamed: Mapping[str, str]

    def as_written(self, problem: str) -> str:
        """Return a problem of ``model`` with its place as the file has it."""
        for new, old in self.renamed.items():
            if problem.startswith((f"{new}:", f"{new}.")):
                return old + problem.removeprefix(new)
        return problem

    def follows(self, problem: str) -> bool:
        """Return whether a problem of ``model`` may only be there because something was left out."""
        return any(problem.startswith(place) or f"'{place.split('.')[-1]}'" in problem for place in self.left_out)


def check_form(data: dict[Any, Any], model: type[M]) -> Checked[M]:
    """Check content against a model; list all errors.

    Args:
        data: as read; not changed.
        model: the model.
    """
    data = copy.deepcopy(data)
    lines: list[str] = []
    mended: list[Place] = []
    left_out: list[str] = []
    renamed: dict[str, str] = {}
    for _ in range(_ROUNDS):
        try:
            return Checked(tuple(dict.fromkeys(lines)), model.model_validate(data), tuple(left_out), renamed)
        except ValidationError as error:
            found = [(place_in(item["loc"]), item) for item in told(error)]
        lines += [
            describe_error(item, model)
            for place, item in found
            # what is said of a place after something in it was mended may come of that
            if not any(place == at[: len(place)] or at == place[: len(at)] for at in mended)
        ]
        changed = False
        for place, item in found:
            if (at := _mend(data, place, str(item["type"]), model, left_out, renamed)) is not None:
                mended.append(at)
                changed = True
        if not changed:
            break
    return Checked(tuple(dict.fromkeys(lines)), None, tuple(left_out), renamed)


def _mend(
    data: Any, place: Place, kind: str, model: type[BaseModel], left_out: list[str], renamed: dict[str, str]
) -> Place | None:
    """Mend one error in place; return where, None if that cannot be."""
    parents: list[Any] = [data]
    reached: list[int | str] = []
    for step in place:
        inner = parents[-1]
        there = step in inner if isinstance(inner, dict) else isinstance(inner, list) and step in range(len(inner))
        if not there:
            break
        parents.append(inner[step])
        reached.append(step)
    if not reached:
        return None
    owner, key = parents[len(reached) - 1], reached[-1]
    if kind == "extra_forbidden" and isinstance(owner, dict) and len(reached) == len(place):
        near = difflib.get_close_matches(str(key), keys_at(place[:-1], model), n=1)
        value = owner.pop(key)
        if near:
            # laid over what the file has from one that it extends, as under the right name
            known = owner.get(near[0])
            if isinstance(known, dict) and isinstance(value, dict):
                value = merge_mappings(known, value)
            owner[near[0]] = value
            renamed[".".join(map(str, (*reached[:-1], near[0])))] = ".".join(map(str, reached))
        return tuple(reached)
    while isinstance(owner, list) and len(reached) > 1:
        # the places of what follows in the list stay right only if all of it goes
        reached.pop()
        owner, key = parents[len(reached) - 1], reached[-1]
    if not isinstance(owner, dict):
        return None
    del owner[key]
    left_out.append(".".join(map(str, reached)))
    return tuple(reached)
